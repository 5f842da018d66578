"""Distribution shift of unknown direction: what holds on every target near what was probed.

The density ratio w of the target over the probing distribution lies in [1/G, G] all over. Then each
event's target probability E[w 1_A] is bounded, with E[w] = 1, and so is every similarity that is
made of such probabilities.
"""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._numerics.sums import weighted_sums
from .._runtime.short_repr import short_repr
from ..faithfulness.bounds import intervals
from ..metrics.metric import Metric
from ..metrics.parts import combine
from ..metrics.scores import at_concept, similarity, winner
from ..metrics.shift_rules import Cells, ShiftRule
from ..metrics.table import METRICS, get_metric
from ..probing.probe import Probe
from .probabilities import at_least, at_most, event_radius, most_conditional, odds_times
from .reweighting import ShiftWarning

__all__ = [
    "RobustnessRadius",
    "ShiftBounds",
    "robustness_radius",
    "shift_bounds",
]

LARGEST = 1e6  # odds of a radius: beyond it no shift is meant
BISECTIONS = 40


@short_repr
class ShiftBounds(NamedTuple):
    """Bounds on the target's similarity, see :func:`shift_bounds`.

    Attributes
    ----------
    lower, upper : Array [U, C]
        NaN where the similarity is undefined.
    gamma : float
        The density ratio lies in [1/gamma, gamma].
    sharp : bool
        Whether some such density ratio attains each bound on these data.
    """

    lower: Array
    upper: Array
    gamma: float
    sharp: bool


def shift_bounds(
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    gamma: float,
    alpha: float | None = None,
    largest_unit: float | None = None,
) -> ShiftBounds:
    """Bounds of each similarity on any target whose density ratio lies in [1/gamma, gamma].

    A probability p (accuracy) stays between ``max(p/G, 1 - G(1-p))`` and ``min(Gp, 1 - (1-p)/G)``;
    a conditional probability (precision, recall, iou; f1 through iou) between those of its hits and
    misses, so that its odds move by at most G^2. These are sharp. Balanced accuracies are the mean
    of two such bounds, and the odds of an AUROC move by at most G^4 (a pair of samples has a
    density ratio in [1/G^2, G^2]): valid, not sharp.

    Parameters
    ----------
    probe : Probe
    metric : str or Metric
        accuracy, precision, recall, iou, f1, a balanced accuracy or an AUROC.
    gamma : float
        At least 1, where the target is the probing distribution.
    alpha : float in (0, 1), optional
        With it the bounds also hold for the sampling error, each pair with probability 1 - alpha:
        the bounds of :func:`intervals` are moved, conditional ones by the factor of the odds. What
        those assume, these assume too.
    largest_unit : float, optional
        As for :func:`intervals`; matters with alpha, and with groups or unequal weights.

    Returns
    -------
    ShiftBounds

    Raises
    ------
    ValueError
        If gamma is below 1, or the metric has no bounds.

    Examples
    --------
    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((400, 3)) < 0.2
    >>> activations = rng.normal(size=(400, 2))
    >>> activations[:, 0] += 4 * concepts[:, 1]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> found = nt.shift_bounds(probe, "iou", gamma=1.5)
    >>> value = nt.similarity(probe, "iou")
    >>> found.sharp, bool((found.lower <= value).all() and (value <= found.upper).all())
    (True, True)
    """
    metric = get_metric(metric)
    shift = _rule_of(metric)
    if not (math.isfinite(gamma) and gamma >= 1):
        raise ValueError(f"gamma must be finite and at least 1, got {gamma}")
    if alpha is None:
        lower, upper = _bounds_at(probe, metric, shift, gamma)
        return ShiftBounds(lower, upper, float(gamma), _sharp(metric))
    found = intervals(probe, metric, alpha=alpha, largest_unit=largest_unit)
    g = jnp.asarray(gamma, found.lower.dtype)
    lower, upper = _moved(found.lower, found.upper, g, shift)
    return ShiftBounds(lower, upper, float(gamma), False)


def _rule_of(metric: Metric) -> ShiftRule:
    """The shift rule of a metric that has bounds."""
    parts = metric.interval_rule
    # bounds of pairs follow from the odds alone, those of shares from hits and misses
    countable = parts is not None and parts.countable and (not parts.paired or not parts.shares)
    if metric.shift_rule is None or not countable:
        known = ", ".join(x.name for x in METRICS.values() if x.shift_rule is not None)
        raise ValueError(
            f"{metric.name!r} has no bounds under shift; these have: {known}, and metrics of your "
            "own with a shift_rule and an interval_rule made of probabilities"
        )
    return metric.shift_rule


def _paired(metric: Metric) -> bool:
    return metric.interval_rule is not None and metric.interval_rule.paired


def _sharp(metric: Metric) -> bool:
    """Whether bounds without sampling error are attained: those of one share are."""
    rule = metric.interval_rule
    return rule is not None and not rule.paired and len(rule.parts) == 1


def _bounds_at(probe: Probe, metric: Metric, shift: ShiftRule, gamma: float) -> tuple[Array, Array]:
    def of_part(part: Probe) -> tuple[Array, Array]:
        g = jnp.asarray(gamma, part.weights.dtype)
        if _paired(metric):
            value = similarity(part, metric)
            return _moved(value, value, g, shift)
        neurons, labels = part.neurons, part.labels
        return _share_bounds(neurons.present, labels.present, part.weights, g, metric=metric)

    return probe.map_neurons(of_part)


@partial(jax.jit, static_argnames="metric")
def _share_bounds(
    active: Array, present: Array, weights: Array, gamma: Array, *, metric: Metric
) -> tuple[Array, Array]:
    f, c = active.astype(weights.dtype), present.astype(weights.dtype)
    sums = weighted_sums(f, c, weights)
    value = metric.score((f, c), weights)
    rule = metric.interval_rule
    assert rule is not None
    lower, upper = [], []
    for part in rule.shares:
        hit = combine(part.hits, sums) / sums.S
        miss = combine(part.trials, sums) / sums.S - hit
        upper.append(most_conditional(hit, miss, gamma))
        lower.append(1 - most_conditional(miss, hit, gamma))
    none = jnp.zeros((1, 1), f.dtype)
    low, high = rule.carry(lower, upper, (none, none))
    defined = ~jnp.isnan(value)
    return jnp.where(defined, low, jnp.nan), jnp.where(defined, high, jnp.nan)


def _moved(lower: Array, upper: Array, gamma: Array, shift: ShiftRule) -> tuple[Array, Array]:
    """Bounds moved as far as a shift can; odds rise concavely, so those of a mean by no more."""
    if shift.to_probability is not None:
        lower, upper = shift.to_probability(lower), shift.to_probability(upper)
    power = shift.odds_power
    if power is None:
        low, high = at_least(lower, gamma), at_most(upper, gamma)
    else:
        low, high = odds_times(lower, gamma**-power), odds_times(upper, gamma**power)
    if shift.from_probability is not None:
        low, high = shift.from_probability(low), shift.from_probability(high)
    return low, high


@short_repr
class RobustnessRadius(NamedTuple):
    """How large a shift each label withstands, see :func:`robustness_radius`.

    Attributes
    ----------
    radius : Array [U]
        No other concept overtakes the label while the density ratio lies in [1/radius, radius]; at
        least 1, inf if no such shift is of use to any rival, NaN without a label.
    rival : Array [U] of int32
        The concept that overtakes first, -1 where none does.
    label : Array [U] of int32
        The most similar concept on the data, -1 where there is none.
    exact : Array [U] of bool
        Whether a slightly larger shift overturns the label; else the radius is a lower bound.
    """

    radius: Array
    rival: Array
    label: Array
    exact: Array


def robustness_radius(
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float | None = None,
    largest_unit: float | None = None,
    warn_below: float | None = None,
) -> RobustnessRadius:
    """Largest shift at which each label stays the most similar concept.

    One shifted distribution serves the label and its rival alike, so the two are compared on the
    eight kinds of samples that neuron, label and rival tell apart. For accuracy and precision the
    comparison is one of two disjoint events, of probabilities p >= q, with the radius in closed
    form; for iou, f1 and recall it is a polynomial of the eight, least at a corner that is known,
    and the radius is exact where the samples of no interest take up what weight is left. For
    balanced accuracies and AUROCs the bounds of :func:`shift_bounds` are compared: a lower bound.

    Parameters
    ----------
    probe, metric
        As in :func:`shift_bounds`.
    alpha : float in (0, 1), optional
        With it the radius also holds for the sampling error, for each neuron with probability
        1 - alpha: bounds for all concepts at once are compared. A lower bound.
    largest_unit : float, optional
        As in :func:`shift_bounds`.
    warn_below : float, optional
        Warn of labels with a radius below this.

    Returns
    -------
    RobustnessRadius

    Raises
    ------
    ValueError
        If the metric has no bounds under shift.

    Warns
    -----
    ShiftWarning
        If ``warn_below`` is given and reached.

    Examples
    --------
    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((400, 3)) < 0.2
    >>> activations = rng.normal(size=(400, 2))
    >>> activations[:, 0] += 4 * concepts[:, 1]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> found = nt.robustness_radius(probe, "iou")
    >>> int(found.label[0]), bool(found.radius[0] > found.radius[1])
    (1, True)
    """
    metric = get_metric(metric)
    shift = _rule_of(metric)
    value = similarity(probe, metric)
    label = winner(value)
    compared = shift.rival_events is not None or shift.least_lead is not None
    if alpha is None and compared:
        radii, exact = _compared_radii(probe, label, shift)
    else:
        lower = upper = value
        if alpha is not None:
            found = intervals(
                probe, metric, alpha=alpha, simultaneous="concepts", largest_unit=largest_unit
            )
            lower, upper = found.lower, found.upper
        radii = _marginal_radii(at_concept(lower, label)[:, None], upper, shift)
        exact = jnp.zeros(radii.shape, bool)
    result = _first_rival(value, label, radii, exact)
    if warn_below is not None and bool((result.radius < warn_below).any()):
        count = int((result.radius < warn_below).sum())
        warnings.warn(
            f"{count} of {len(result.radius)} labels have a robustness radius below "
            f"{warn_below:g}: a target whose density differs by that factor may have others",
            ShiftWarning,
            stacklevel=2,
        )
    return result


def _compared_radii(probe: Probe, label: Array, shift: ShiftRule) -> tuple[Array, Array]:
    """Radius of each pair from the label and the rival compared, and whether it is exact."""
    parts = [
        _joint_radii(
            part.neurons.present, part.labels.present, part.weights, label[some], shift=shift
        )
        for some, part in probe.in_neurons()
    ]
    radii, exact = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    return radii, exact


def _first_rival(value: Array, label: Array, radii: Array, exact: Array) -> RobustnessRadius:
    """The rival with the least radius."""
    columns = jnp.arange(value.shape[1], dtype=jnp.int32)[None, :]
    rivals = ~jnp.isnan(value) & (columns != label[:, None])
    radii = jnp.where(rivals, jnp.maximum(radii, 1), jnp.inf)
    rival = jnp.argmin(radii, axis=1).astype(jnp.int32)
    radius = jnp.where(label < 0, jnp.nan, radii.min(axis=1))
    overtaken = jnp.isfinite(radius)
    found_exact = jnp.take_along_axis(exact, rival[:, None], axis=1)[:, 0] & overtaken
    return RobustnessRadius(radius, jnp.where(overtaken, rival, -1), label, found_exact)


def _marginal_radii(lower: Array, upper: Array, shift: ShiftRule) -> Array:
    if shift.to_probability is not None:
        lower, upper = shift.to_probability(lower), shift.to_probability(upper)
    if shift.odds_power is None:
        return event_radius(lower, upper)
    odds = lower * (1 - upper) / jnp.where(upper > 0, upper * jnp.maximum(1 - lower, 0), 1)
    radius = jnp.where((upper <= 0) | (lower >= 1), jnp.inf, odds ** (0.5 / shift.odds_power))
    return jnp.where(lower > upper, radius, 1)


def _cells(active: Array, present: Array, weights: Array, label: Array) -> Cells:
    f, c = active.astype(weights.dtype), present.astype(weights.dtype)
    w = (weights / weights.sum())[:, None]
    own = c[:, jnp.maximum(label, 0)]
    product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    a11 = product((w * f * own).T, c)
    n11 = product((w * (1 - f) * own).T, c)
    a01 = product((w * f * (1 - own)).T, c)
    n01 = product((w * (1 - f) * (1 - own)).T, c)
    of_label = [(w * x).sum(axis=0)[:, None] for x in (f * own, (1 - f) * own, f, 1 - f)]
    least = 4 * jnp.finfo(f.dtype).eps
    # rounding alone is no sample
    rest = [
        jnp.where(x > least, x, 0)
        for x in (
            of_label[0] - a11, of_label[1] - n11,
            of_label[2] - of_label[0] - a01, of_label[3] - of_label[1] - n01,
        )
    ]  # fmt: skip
    return Cells(a11, rest[0], a01, rest[2], n11, rest[1], n01, rest[3])


@partial(jax.jit, static_argnames="shift")
def _joint_radii(
    active: Array, present: Array, weights: Array, label: Array, *, shift: ShiftRule
) -> tuple[Array, Array]:
    """Radius of each pair, and whether it is exact: two [U, C]."""
    cells = _cells(active, present, weights, label)
    if shift.rival_events is not None:
        radius = event_radius(*shift.rival_events(cells))
        return radius, jnp.ones(radius.shape, bool)
    lead = shift.least_lead
    assert lead is not None

    def halve(_: int, between: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = between
        middle = jnp.sqrt(low * high)
        ahead = lead(cells, middle)[0] > 0
        return jnp.where(ahead, middle, low), jnp.where(ahead, high, middle)

    one = jnp.ones_like(cells.a11)
    low, _ = lax.fori_loop(0, BISECTIONS, halve, (one, LARGEST * one))
    _, used, free = lead(cells, low)
    exact = (free / low <= 1 - used) & (1 - used <= free * low)
    return jnp.where(lead(cells, LARGEST * one)[0] > 0, jnp.inf, low), exact
