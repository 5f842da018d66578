"""Faithfulness: how far the true similarity can be from the measured one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.validation import check_share
from ..metrics.interval_rules import IntervalRule, Share
from ..metrics.metric import Metric
from ..metrics.scores import similarity, undefined_reason
from ..metrics.table import get_metric
from ..metrics.unit_sums import in_order, unit_sums
from ..probing.active_rows import list_active
from ..probing.probe import Probe
from .concentration import Interval
from .estimands import Data, Units
from .evidence import MIN_UNITS, effective_units, student_ratio
from .finite_sample import finite_sample_bounds
from .jackknife import standard_error
from .known_beforehand import LargestUnit, check_per_pair, in_samples, known_range, largest_weight
from .methods import (
    CoverageWarning,
    IntervalMethod,
    assumptions,
    independent_units,
    resolve,
    threshold_source,
)
from .result import Intervals

__all__ = ["CoverageWarning", "Level", "intervals", "intervals_at"]

SIMULTANEOUS = ("none", "concepts", "all")


def intervals(
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.05,
    method: str | IntervalMethod = "auto",
    simultaneous: str = "none",
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: LargestUnit = None,
) -> Intervals:
    """Intervals that hold the true similarity with probability 1 - alpha.

    The true similarity is that of the law from which the units (samples, or groups) are drawn
    independently. With groups or unequal sample weights it is a ratio of expectations per unit.

    Parameters
    ----------
    probe : Probe
    metric : str or Metric
    alpha : float in (0, 1)
        Probability of a miss.
    method : str or IntervalMethod
        For every sample size: ``"exact"`` (Clopper and Pearson, 1934, given the number of samples
        that meet the condition: active, present, either), ``"chernoff"`` and ``"hoeffding"``
        (Hoeffding, 1963; for AUROC as a two-sample U-statistic), ``"bernstein"`` (Maurer and
        Pontil, 2009), ``"betting"`` (Waudby-Smith and Ramdas, 2024; all but AUROC), ``"agarwal"``
        (Agarwal et al., 2005, AUROC only), all for thresholds fixed beforehand; ``"dkw"`` (Massart,
        1990) for all thresholds at once. In the limit: ``"asymptotic"`` (infinitesimal jackknife,
        with Student's quantile for the effective units of each pair; the whole range where these
        are fewer than three). ``"auto"``: dkw where a metric of active samples meets thresholds
        from the same data (asymptotic for the two cuts of a range of activation), else exact, else
        betting, else (AUROC) chernoff, else asymptotic, for metrics without other bounds. Betting
        reads the units one by one for the eight most similar concepts of each neuron, where at most
        2,048 units count, and only their mean squares for the others, whose bounds are somewhat
        wider; both hold at the same error.
    simultaneous : {"none", "concepts", "all"}
        Divide alpha by the number of concepts, or of pairs (Bonferroni).
    activation_range : pair of float or array [U], optional
        Smallest and largest activation possible, known beforehand. With it ``mad``,
        ``standardised_mad``, ``correlation`` and ``cosine`` have bounds for every sample size.
    largest_unit : float or "pair", optional
        Largest total weight that a unit (a group, or a sample) can have, known beforehand, in units
        of the heaviest sample's weight (of equal weights: the most samples in a group). With groups
        or unequal weights, bounds for every sample size rest on it; unless it is given they assume
        that no unit weighs more than the largest seen, and say so in ``assumes``. ``"pair"``, for
        groups and all metrics but AUROC, assumes less of large groups and more of the pair: that no
        group has more samples that count for it (for iou: neuron active or concept present) than
        the most seen.

    Returns
    -------
    Intervals

    Raises
    ------
    ValueError
        If an option is unknown or out of range, the method does not fit metric and data (the
        message lists those that do), or an activation lies outside ``activation_range``.

    Warns
    -----
    CoverageWarning
        If a method for fixed thresholds is asked for thresholds that come from the same data.

    Examples
    --------
    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((400, 3)) < 0.2
    >>> activations = rng.normal(size=(400, 2))
    >>> activations[:, 0] += 4 * concepts[:, 1]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> found = nt.intervals(probe, "iou", alpha=0.05)
    >>> found.method, found.finite_sample
    ('exact', True)
    >>> bool((found.lower <= found.similarity).all() and (found.similarity <= found.upper).all())
    True
    >>> bool(found.lower[0, 1] > found.upper[0, 0])
    True
    """
    if simultaneous not in SIMULTANEOUS:
        raise ValueError(
            f"simultaneous must be one of {', '.join(SIMULTANEOUS)}, got {simultaneous!r}"
        )
    level = Level(alpha, simultaneous)
    return intervals_at(probe, metric, [level], method, activation_range, largest_unit)[0]


class Level(NamedTuple):
    """The error of bounds, what it is for, and which bound it is spent on.

    ``bound`` is ``"both"``, ``"lower"`` or ``"upper"``: a single bound may fail with the whole of
    alpha, and the other is then that of the metric's range.
    """

    alpha: float
    simultaneous: str
    bound: str = "both"


def intervals_at(
    probe: Probe,
    metric: str | Metric,
    levels: list[Level],
    method: str | IntervalMethod,
    activation_range: tuple[Any, Any] | None,
    largest_unit: LargestUnit,
    *,
    scores: Array | None = None,
    concept: Array | None = None,
) -> list[Intervals]:
    """Intervals at each level, all by one method.

    ``scores`` [U, C] are the similarities, where they are at hand already. With ``concept`` [U] the
    bounds of a method for every sample size are those of this concept of each neuron alone,
    [U, 1].
    """
    metric = get_metric(metric)
    for level in levels:
        check_share(level.alpha, "alpha")
    even = probe.even_weights
    independent = probe.groups is None and even
    per_pair = largest_unit == "pair"
    if per_pair:
        check_per_pair(probe, metric)
    heaviest = largest_weight(probe, None if largest_unit == "pair" else largest_unit)
    unit = heaviest / float(np.asarray(probe.weights).max())
    largest = "" if independent else in_samples(unit, even)
    known = largest_unit is not None and not per_pair
    activations = known_range(probe, activation_range)
    chosen = resolve(probe, metric, method, activation_range is not None)
    counts = {
        "none": 1, "concepts": probe.num_concepts, "all": probe.num_neurons * probe.num_concepts
    }  # fmt: skip
    errors = [(x.alpha / counts[x.simultaneous], x.bound) for x in levels]
    if chosen.asymptotic:
        value, bounds = _asymptotic_bounds(probe, metric, errors, scores)
    else:
        value, bounds = _bounds_by_parts(
            probe, metric, chosen, errors, heaviest, activations, independent, per_pair, scores,
            concept,
        )  # fmt: skip
    reason = undefined_reason(probe, metric, scores=value)
    return [
        Intervals(
            lower=lower,
            upper=upper,
            similarity=value,
            reason=reason,
            metric=metric.name,
            interval_method=chosen,
            alpha=float(level.alpha),
            simultaneous=level.simultaneous,
            units=independent_units(probe, even, largest if known else ""),
            thresholds=threshold_source(probe, metric, chosen),
            assumes=assumptions(probe, metric, chosen, "" if known else largest, per_pair),
        )
        for level, (lower, upper) in zip(levels, bounds, strict=True)
    ]


Found = tuple[Array, list[Interval]]  # similarity [U, C], and bounds at each error


def _asymptotic_bounds(
    probe: Probe, metric: Metric, errors: list[tuple[float, str]], scores: Array | None
) -> Found:
    """Similarity, and bounds by standard errors, at each error."""
    value = similarity(probe, metric) if scores is None else scores
    error, freedom = standard_error(probe, metric, scores=value)
    evidence = effective_units(probe, metric)
    found = []
    for share, bound in errors:
        quantile = NormalDist().inv_cdf(1 - (share / 2 if bound == "both" else share))
        both = _in_the_limit(value, error, evidence, freedom, quantile, metric=metric)
        found.append(_only(both, bound, metric))
    return value, found


def _bounds_by_parts(
    probe: Probe,
    metric: Metric,
    method: IntervalMethod,
    errors: list[tuple[float, str]],
    heaviest: float,
    activations: tuple[Array, Array],
    independent: bool,
    per_pair: bool,
    scores: Array | None,
    concept: Array | None,
) -> Found:
    """Similarity, and bounds for every sample size, at each error."""
    rule, part_bounds = method.rule(metric), method.part_bounds(metric, independent)
    assert rule is not None
    assert part_bounds is not None
    units = Units(probe.num_units, independent)
    value = similarity(probe, metric) if scores is None else scores
    parts = []
    for neurons, data in _blocks(probe, rule, heaviest, activations):
        own = _filled(_at(value, neurons), data)
        chosen = None if concept is None else _filled(_at(concept, neurons), data)
        found = finite_sample_bounds(
            data, own, errors, rule, part_bounds, metric.range, units, per_pair, chosen
        )
        parts.append((neurons, found))
    bounds: list[Interval] = in_order(parts)
    return value, [
        _only(both, bound, metric) for both, (_, bound) in zip(bounds, errors, strict=True)
    ]


def _blocks(
    probe: Probe, rule: IntervalRule, heaviest: float, activations: tuple[Array, Array]
) -> Iterator[tuple[np.ndarray, Data]]:
    """What bounds are made of, some neurons at a time: of the sums per group where these do."""
    counted = all(isinstance(part, Share) and part.binomial for part in rule.parts)
    if probe.groups is None or not counted:
        for some, part in probe.in_neurons():
            neurons = np.arange(some.start, some.stop)
            yield neurons, _data(part, heaviest, *(x[some] for x in activations))
        return
    share, bound = _in_heaviest(probe, heaviest)
    active, present = list_active(probe), probe.present
    for neurons, sums in unit_sums(active, present, share, probe.groups, probe.num_units):
        data = Data(None, None, share, probe.groups, bound, *activations, sums)
        low, high = (_filled(_at(x, neurons), data) for x in activations)
        yield neurons, data._replace(low=low, high=high)


def _data(probe: Probe, heaviest: float, low: Array, high: Array) -> Data:
    share, bound = _in_heaviest(probe, heaviest)
    return Data(probe.neurons, probe.labels, share, probe.groups, bound, low, high)


def _in_heaviest(probe: Probe, heaviest: float) -> tuple[Array, Array]:
    """The weights [n], and that of the heaviest unit, over the largest weight of a sample."""
    w = np.asarray(probe.weights)
    share = probe.weights if w.max() == 1 else jax.device_put(w / w.max())
    return share, jax.device_put(np.asarray(heaviest, w.dtype) / w.max())


def _at(values: Array, neurons: np.ndarray) -> Array:
    """The values of some neurons; all of them, in their order, take no work."""
    every = len(neurons) == len(values) and bool((np.diff(neurons) == 1).all())
    return values if every else values[neurons]


def _filled(values: Array, data: Data) -> Array:
    """Rows of zeros at the end, for the neurons that fill a block up."""
    if data.sums is None:
        return values
    short = len(data.sums.place) - len(values)
    return jnp.pad(values, ((0, short), *[(0, 0)] * (values.ndim - 1)))


def _only(bounds: Interval, bound: str, metric: Metric) -> Interval:
    """The bound that is meant, with the metric's range in place of the other."""
    lower, upper = bounds
    low, high = metric.range

    def everywhere(value: float) -> Array:
        return jax.device_put(np.full(lower.shape, value, lower.dtype))  # compiles nothing

    return (
        everywhere(low) if bound == "upper" else lower,
        everywhere(high) if bound == "lower" else upper,
    )


@partial(jax.jit, static_argnames="metric")
def _in_the_limit(
    value: Array, error: Array, units: Array, freedom: Array, quantile: Array, *, metric: Metric
) -> Interval:
    """Bounds by a standard error from some effective units; all of the range from too few."""
    units = jnp.minimum(units, freedom + 1)
    half = quantile * student_ratio(quantile, jnp.maximum(units - 1, 1)) * error
    few = (units < MIN_UNITS) & ~jnp.isnan(value)
    lower = jnp.where(few, metric.range[0], jnp.clip(value - half, *metric.range))
    return lower, jnp.where(few, metric.range[1], jnp.clip(value + half, *metric.range))
