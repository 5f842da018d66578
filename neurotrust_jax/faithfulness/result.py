"""Intervals of all pairs of a layer, and what they promise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
from jax import Array

from .._runtime.short_repr import short_repr
from .methods import IntervalMethod

__all__ = ["Intervals", "promise"]


@short_repr
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("lower", "upper", "similarity", "reason"),
    meta_fields=(
        "metric", "interval_method", "alpha", "simultaneous", "units", "thresholds", "assumes"
    ),
)  # fmt: skip
@dataclass(frozen=True, eq=False)
class Intervals:
    """Two-sided intervals for the true similarity of every neuron and concept.

    Attributes
    ----------
    lower, upper : Array [U, C]
        Within the metric's range. NaN only for ``method="asymptotic"``, where ``reason`` says why;
        elsewhere a pair on which the data say nothing gets the whole range (infinite for a metric
        without one).
    similarity : Array [U, C]
        The measured value; NaN where undefined.
    reason : Array [U, C] of int32
        :class:`Reason` codes of undefined similarities, else 0.
    metric : str
    interval_method : IntervalMethod
        The method that was used.
    alpha : float
        Probability of a miss.
    simultaneous : {"none", "concepts", "all"}
        Whether alpha is for each pair alone, for all concepts of a neuron, or for all pairs.
    units : str
        What is taken as independent.
    thresholds : str
        How the neurons' thresholds enter; empty where the metric has none.
    assumes : str
        What is taken for granted beside the independence of the units; empty where nothing is.
    """

    lower: Array
    upper: Array
    similarity: Array
    reason: Array
    metric: str
    interval_method: IntervalMethod
    alpha: float
    simultaneous: str
    units: str
    thresholds: str
    assumes: str

    def _in_short(self) -> str:
        neurons, concepts = self.lower.shape
        return f"of {neurons:,} neurons x {concepts:,} concepts by {self.metric}: {self.guarantee}"

    @property
    def method(self) -> str:
        """Name of the method that was used; never ``"auto"``."""
        return self.interval_method.name

    @property
    def asymptotic(self) -> bool:
        """Whether the guarantee holds in the limit of many units only."""
        return self.interval_method.asymptotic

    @property
    def finite_sample(self) -> bool:
        """Whether the guarantee holds for every n, with nothing assumed but independent units."""
        return not self.asymptotic and not self.assumes

    @property
    def guarantee(self) -> str:
        """What the intervals promise, in one sentence."""
        scope = {
            "none": "each pair alone",
            "concepts": "all concepts of a neuron at once",
            "all": "all neurons and concepts at once",
        }[self.simultaneous]
        return promise(self, self.alpha, scope)


def promise(found: Intervals, alpha: float, scope: str) -> str:
    """What bounds promise at a level and for a scope, in one sentence."""
    kind = "asymptotically" if found.asymptotic else "for every sample size"
    text = (
        f"{100 * (1 - alpha):g}% coverage {kind} ({found.method}), {scope}; "
        f"independent units: {found.units}"
    )
    if found.thresholds:
        text += f"; thresholds: {found.thresholds}"
    return text + (f"; this assumes that {found.assumes}" if found.assumes else "")
