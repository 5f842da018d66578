"""The interval of each neuron's label in three forms, and why one of them is wide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.kept import kept
from .._runtime.short_repr import short_repr
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, winner
from ..metrics.table import get_metric
from ..probing.active_rows import list_active
from ..probing.probe import Probe
from .bounds import Level, intervals_at
from .known_beforehand import largest_weight
from .result import Intervals

__all__ = ["LabelIntervals", "label_intervals"]

WIDE = 0.8  # share of the metric's range
FEW = 10  # units in which neuron and concept meet
LARGE = 4  # times the mean size of a group
FROM_DATA = (
    "the thresholds come from the same data, so the bound must hold for every threshold: set some "
    "samples aside (split_thresholds, --split), or give thresholds="
)
FIXED = "the bound holds for every threshold, but these are fixed: leave method= out"


@short_repr
@partial(
    jax.tree_util.register_dataclass,
    data_fields=(
        "label", "lower", "upper", "pair_lower", "pair_upper", "asymptotic_lower",
        "asymptotic_upper",
    ),
    meta_fields=("guarantee", "pair_guarantee", "asymptotic_guarantee", "why_wide"),
)  # fmt: skip
@dataclass(frozen=True, eq=False)
class LabelIntervals:
    """The interval of each neuron's label, NaN without a label; see :func:`label_intervals`.

    Attributes
    ----------
    label : numpy.ndarray [U] of int32
        The most similar concept, -1 where there is none.
    lower, upper : numpy.ndarray [U]
        The interval that was given.
    guarantee : str
        What it promises, and what it assumes.
    pair_lower, pair_upper : numpy.ndarray [U]
        The interval of ``largest_unit="pair"`` by the same method; NaN where there are no groups,
        the metric counts pairs of samples, or the method holds in the limit or for every threshold.
    pair_guarantee : str
        What it promises; empty where there is none.
    asymptotic_lower, asymptotic_upper : numpy.ndarray [U]
        The asymptotic interval, with groups a cluster-robust one.
    asymptotic_guarantee : str
    why_wide : tuple of str
        Why the first interval is nearly the whole range of the metric, and what would help, in one
        sentence; empty where it is narrower.
    """

    label: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    guarantee: str
    pair_lower: np.ndarray
    pair_upper: np.ndarray
    pair_guarantee: str
    asymptotic_lower: np.ndarray
    asymptotic_upper: np.ndarray
    asymptotic_guarantee: str
    why_wide: tuple[str, ...]

    @property
    def asymptotic(self) -> bool:
        """Whether the interval that was given is the asymptotic one."""
        return self.guarantee == self.asymptotic_guarantee


def label_intervals(
    probe: Probe,
    metric: str | Metric,
    found: Intervals,
    *,
    in_the_limit: Intervals | None = None,
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
) -> LabelIntervals:
    """Put the interval of each label beside those that assume more, and say why it is wide.

    A guarantee for every sample size has to allow for the largest unit that there can be. Where
    units are of very unequal sizes it may say next to nothing, while an interval that assumes more
    is narrow. So three are given at the same level: the one at hand; that on the assumption that no
    group has more samples that count for a pair than the most seen; and the asymptotic one.

    Parameters
    ----------
    probe, metric, activation_range, largest_unit
        As in :func:`intervals`.
    found : Intervals
        What :func:`intervals` gave with them.
    in_the_limit : Intervals, optional
        The asymptotic ones at the same level, where they are at hand.

    Returns
    -------
    LabelIntervals

    Raises
    ------
    ValueError
        If ``found`` is of another metric or another number of pairs.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((500, 3)) < 0.3
    >>> activations = rng.normal(size=(500, 2)) + 4 * concepts[:, :2]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> found = nt.label_intervals(probe, "iou", nt.intervals(probe, "iou"))
    >>> found.label.tolist(), found.why_wide
    ([0, 1], ('', ''))
    """
    metric = get_metric(metric)
    shape = (probe.num_neurons, probe.num_concepts)
    if found.metric != metric.name or found.lower.shape != shape:
        raise ValueError(
            f"found must hold the intervals of {metric.name!r} for this probe, {list(shape)}, got "
            f"those of {found.metric!r}, {list(found.lower.shape)}; call intervals on this probe"
        )
    label = winner(found.similarity)
    level = [Level(found.alpha, found.simultaneous)]
    at_level = partial(intervals_at, probe, metric, level, scores=found.similarity)

    def of_label(given: Intervals) -> list[np.ndarray]:
        return [np.asarray(at_concept(x, label)) for x in (given.lower, given.upper)]

    bounds = of_label(found)
    asymptotic = found if found.asymptotic else in_the_limit
    if asymptotic is None:
        (asymptotic,) = at_level("asymptotic", None, None)
    pair_bounds, pair_guarantee = [np.full(len(label), np.nan)] * 2, ""
    if found.interval_method.fits_per_pair(metric, probe):
        own = jnp.maximum(label, 0)
        (pair,) = at_level(found.interval_method, activation_range, "pair", concept=own)
        pair_bounds = [
            np.where(np.asarray(label) < 0, np.nan, np.asarray(x)[:, 0])
            for x in (pair.lower, pair.upper)
        ]
        pair_guarantee = pair.guarantee
    host = np.asarray(label)
    size = _size(probe, largest_unit)
    reasons = _reasons(probe, metric, found, host, bounds, pair_bounds, size)
    asymptotic_bounds = of_label(asymptotic)
    return LabelIntervals(
        label=host,
        lower=bounds[0],
        upper=bounds[1],
        guarantee=found.guarantee,
        pair_lower=pair_bounds[0],
        pair_upper=pair_bounds[1],
        pair_guarantee=pair_guarantee,
        asymptotic_lower=asymptotic_bounds[0],
        asymptotic_upper=asymptotic_bounds[1],
        asymptotic_guarantee=asymptotic.guarantee,
        why_wide=reasons,
    )


def _size(probe: Probe, largest_unit: float | None) -> str:
    """Why the sizes of groups make a bound wide; empty where they are even enough."""
    if probe.groups is None:
        return ""
    weights = np.asarray(probe.weights)
    largest = largest_weight(probe, largest_unit)
    mean = weights.sum() / _num_used(probe.weights, probe.groups)
    if largest < LARGE * mean:
        return ""
    samples = f"{largest / weights.max():g}"
    if largest_unit is not None:
        return f"the guarantee must allow for groups of {samples} samples (largest_unit)"
    return (
        f"the largest group holds {samples} of {np.count_nonzero(weights):,} samples, and the "
        "guarantee must allow for groups of that size: give large groups less weight "
        "(sample_weight=)"
    )


@kept
def _num_used(weights: Array, groups: Array) -> int:
    """Number of groups of positive weight."""
    return len(np.unique(np.asarray(groups)[np.asarray(weights) > 0]))


def _reasons(
    probe: Probe,
    metric: Metric,
    found: Intervals,
    label: np.ndarray,
    bounds: list[np.ndarray],
    pair_bounds: list[np.ndarray],
    size: str,
) -> tuple[str, ...]:
    width = bounds[1] - bounds[0]
    low, high = metric.range
    with np.errstate(invalid="ignore"):
        wide = np.isinf(width) if np.isinf(high - low) else width >= WIDE * (high - low)
        other = pair_bounds[1] - pair_bounds[0] < 0.7 * width
    units = probe.unit_name
    together = _together(probe, metric, label, wide)
    meets = "occurs together with the neuron" if metric.neuron_view == "binary" else "is present"
    reasons = []
    for u in range(len(label)):
        if not wide[u]:
            reasons.append("")
        elif found.interval_method.every_threshold:
            reasons.append(FIXED if probe.thresholds_fixed else FROM_DATA)
        elif together[u] < FEW:
            reasons.append(
                f"the concept {meets} in {together[u]} {units}, too few: probe more samples in "
                "which it is present"
            )
        elif size and not found.asymptotic:
            more = "the interval of largest_unit='pair', or " if other[u] else ""
            reasons.append(f"{size}, or read {more}the asymptotic one")
        else:
            reasons.append(
                f"the concept {meets} in {together[u]} {units}, too few for a bound at this level: "
                "probe more samples, or read the asymptotic interval"
            )
    return tuple(reasons)


def _together(probe: Probe, metric: Metric, label: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Units in which the label is present, and the neuron active if that counts: [U] of int.

    Counted where asked for, else 0.
    """
    units = np.arange(probe.num_samples) if probe.groups is None else np.asarray(probe.groups)
    present = np.asarray(probe.present)
    used = np.asarray(probe.sample_weight) > 0
    active = list_active(probe) if metric.neuron_view == "binary" and wide.any() else None
    count = np.zeros(len(label), int)
    for u in np.flatnonzero(wide).tolist():
        rows = np.flatnonzero(used) if active is None else active.of_neuron(u)
        count[u] = len(np.unique(units[rows[present[rows, label[u]]]]))
    return count
