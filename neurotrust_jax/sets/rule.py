"""What a concept set is, and what a rule that makes such sets consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.short_repr import short_repr
from ..faithfulness.bounds import intervals_at
from ..faithfulness.certificates import certificate_levels
from ..faithfulness.methods import reads_thresholds
from ..faithfulness.result import Intervals
from ..metrics.table import Metric
from ..probing.probe import Probe
from ..resampling.bootstrapping import Bootstrap

__all__ = [
    "TARGETS",
    "BoundOptions",
    "ConceptSets",
    "SetInputs",
    "SetRule",
    "at_label",
    "threshold_note",
]

TARGETS = ("best", "replication")


@short_repr
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("mask", "untested", "score"),
    meta_fields=("alpha", "method", "target", "guarantee"),
)
@dataclass(frozen=True, eq=False)
class ConceptSets:
    """One set of concepts for each neuron.

    Attributes
    ----------
    mask : Array [U, C] of bool
        Whether the concept is in the neuron's set. The label is always in, and no row is empty.
    untested : Array [U, C] of bool
        Members of a calibrated set that no test could look at: there is too little evidence for a
        bootstrap (see :attr:`Bootstrap.thin`), and no bound for every sample size rules them out.
    alpha : float
        Nominal error: the set should hold its target with probability 1 - alpha. Conformal sets
        should do so for a share 1 - alpha of the neurons.
    method : str
        Name of the rule that made the sets.
    target : str
        What the set should hold: ``"best"``, the population's most similar concept, or
        ``"replication"``, the label that a fresh probing set of the same size would give.
    guarantee : str
        What the sets promise, for whom, and what the promise takes for granted.
    score : Array [U, C] or None
        For conformal sets the distance of each concept from the label: the label's lead over it in
        standard errors, 0 for the label, infinite where there is nothing to compare. The members
        with the lowest scores are the closest. None for other rules.
    """

    mask: Array
    untested: Array
    alpha: float
    method: str
    target: str
    guarantee: str
    score: Array | None = None

    def _in_short(self) -> str:
        size, (neurons, concepts) = np.asarray(self.size), self.mask.shape
        return (
            f"of {neurons:,} neurons x {concepts:,} concepts ({self.method}, alpha {self.alpha:g}, "
            f"target {self.target}): median size {np.median(size):g}, {(size == 1).sum():,} of one "
            "concept"
        )

    @property
    def size(self) -> Array:
        """Number of concepts in each set, [U] of int32."""
        return self.mask.sum(axis=1, dtype=jnp.int32)


class BoundOptions(NamedTuple):
    """How bounds are made, see :func:`neurotrust_jax.intervals`."""

    method: str = "auto"
    activation_range: tuple[Any, Any] | None = None
    largest_unit: float | None = None


class SetInputs(NamedTuple):
    """What a rule makes its sets from.

    Attributes
    ----------
    boot : Bootstrap
    alpha : float in (0, 1)
    target : {"best", "replication"}
    options : BoundOptions
    bounds : tuple of Intervals, optional
        Lower and upper bounds at the levels of a certificate, where they are at hand already.
    """

    boot: Bootstrap
    alpha: float
    target: str
    options: BoundOptions = BoundOptions()
    bounds: tuple[Intervals, Intervals] | None = None

    def certificate_bounds(self) -> tuple[Intervals, Intervals]:
        """Lower and upper bounds at the levels of a certificate."""
        if self.bounds is not None:
            return self.bounds
        boot = self.boot
        assert isinstance(boot.probe, Probe)
        assert isinstance(boot.definition, Metric)
        low, high = intervals_at(
            boot.probe, boot.definition, certificate_levels(self.alpha), *self.options,
            scores=boot.similarity,
        )  # fmt: skip
        return low, high


@dataclass(frozen=True)
class SetRule:
    """A rule that makes concept sets from a bootstrap.

    Attributes
    ----------
    name : str
        What ``concept_sets(boot, method=...)`` calls it.
    targets : tuple of str
        What its sets can be made to hold, some of ``"best"`` and ``"replication"``.
    scope : str
        What the promise is about: ``"neuron"`` for each neuron alone, ``"layer"`` for the average
        over a layer's neurons, ``"none"`` where the sets promise nothing.
    needs : tuple of str
        What the bootstrap must hold: ``"metric"`` where the scores have to be those of a metric,
        ``"probe"`` where the data have to be at hand.
    make : callable
        ``make(SetInputs) -> ConceptSets``.

    Examples
    --------
    A rule that keeps the label alone:

    >>> def label_only(inputs):
    ...     label = np.asarray(inputs.boot.label)
    ...     mask = label[:, None] == np.arange(inputs.boot.similarity.shape[1])
    ...     untested = np.zeros_like(mask)
    ...     return ConceptSets(mask, untested, inputs.alpha, "label", inputs.target, "nothing")
    >>> rule = SetRule("label", ("best",), "none", (), label_only)
    >>> probe = nt.make_probe(np.eye(8), np.eye(8), thresholds=0.5)
    >>> boot = nt.bootstrap(jax.random.key(0), probe, num_replicates=20)
    >>> nt.concept_sets(boot, method=rule).size.tolist()
    [1, 1, 1, 1, 1, 1, 1, 1]
    """

    name: str
    targets: tuple[str, ...]
    scope: str
    needs: tuple[str, ...]
    make: Callable[[SetInputs], ConceptSets]


@partial(jax.jit, static_argnames="num_concepts")
def at_label(label: Array, num_concepts: int) -> Array:
    """Which concept is the observed label, [U, C] of bool."""
    return jnp.arange(num_concepts, dtype=jnp.int32)[None, :] == label[:, None]


def threshold_note(probe: Probe, metric: Metric) -> str:
    """What a promise must add where the thresholds come from the same data; else empty."""
    if not reads_thresholds(probe, metric) or probe.thresholds_fixed:
        return ""
    return (
        f"; thresholds ({probe.threshold_source}) are taken as fixed beforehand, but they come "
        "from the same data"
    )
