"""Distribution shift: labels on a distribution other than the one that was probed.

Either the shift is known, or estimated, as a density ratio: then it is a sample weight. Or only its
size is: the density ratio w of the target over the probing distribution lies in [1/G, G] all over.
Then each event's target probability E[w 1_A] is bounded, with E[w] = 1, and so is every similarity
that is made of such probabilities.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .bounds import intervals
from .checks import check_count
from .evidence import Share, combine
from .metrics import METRICS, Metric, get_metric
from .probe import Probe
from .rules import RULES
from .similarity import at_concept, similarity, winner
from .sums import weighted_sums

__all__ = [
    "ImportanceWeights",
    "RobustnessRadius",
    "ShiftBounds",
    "ShiftWarning",
    "effective_size",
    "importance_weights",
    "reweight",
    "robustness_radius",
    "shift_bounds",
]

FEW = 100  # effective units, below which weighted estimates are warned of
SMALL_SHARE = 0.1  # of the units, likewise
LARGEST = 1e6  # odds of a radius: beyond it no shift is meant
NEWTON_STEPS = 30
BISECTIONS = 40


class ShiftWarning(UserWarning):
    """What was probed says little on the target."""


# ---------------------------------------------------------------------------- known density ratios


class ImportanceWeights(NamedTuple):
    """Density ratio of a target over the probing distribution, see :func:`importance_weights`.

    Attributes
    ----------
    weight : Array [n]
        Of each probing sample; mean 1.
    effective_size : float
        As many unweighted units would tell as much, see :func:`effective_size`.
    largest : float
        The largest weight.
    auroc : float
        How well the classifier tells held-out probing samples from target samples: at 0.5 there is
        no shift that it can see, near 1 the two hardly overlap and weights are of little use.
    """

    weight: Array
    effective_size: float
    largest: float
    auroc: float


def effective_size(weight: Any, groups: Any = None) -> float:
    """``(sum w)^2 / sum w^2`` (Kish, 1965); with ``groups`` [n] of the groups' total weights."""
    w: np.ndarray = np.asarray(weight, np.float64)
    if groups is not None:
        w = np.bincount(np.unique(np.asarray(groups), return_inverse=True)[1], w)
    return float(w.sum() ** 2 / (w**2).sum())


def importance_weights(
    key: Array,
    features: Any,
    target: Any,
    *,
    groups: Any = None,
    target_groups: Any = None,
    penalty: float = 1.0,
    num_folds: int = 5,
    largest: float | None = None,
) -> ImportanceWeights:
    """Estimate the density ratio of a target over the probing distribution.

    A logistic regression learns to tell target samples from probing samples; its odds, over the
    ratio of their numbers, estimate the density ratio (Bickel, Brueckner & Scheffer, 2009). Each
    sample's odds come from a model that has not seen its fold (or group). No labels are needed.

    Parameters
    ----------
    key : JAX PRNG key
        Decides the folds.
    features : array [n, d]
        Of the probing samples: whatever may tell the two apart, such as the network's activations.
    target : array [m, d]
        The same features of samples of the target distribution.
    groups, target_groups : array [n], [m], optional
        Samples of one group go into one fold.
    penalty : float
        Half of it multiplies the squared coefficients of standardised features, in a sum of losses
        (the inverse of scikit-learn's ``C``); above 0.
    num_folds : int
        At least 2.
    largest : float, optional
        Weights are cut off here before they are scaled to mean 1: less variance, some bias.

    Returns
    -------
    ImportanceWeights

    Raises
    ------
    ValueError
        On features that do not match or are not finite, or options out of range.
    """
    x, y = (_as_features(v, name) for v, name in ((features, "features"), (target, "target")))
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"features has {x.shape[1]} columns and target {y.shape[1]}; both need the same ones"
        )
    if not penalty > 0 or not math.isfinite(penalty):
        raise ValueError(f"penalty must be positive and finite, got {penalty}")
    if largest is not None and not largest > 0:
        raise ValueError(f"largest must be positive, got {largest}")
    num_folds = check_count(num_folds, "num_folds")
    units = [
        _folds(jax.random.fold_in(key, i), len(v), g, num_folds, name)
        for i, (v, g, name) in enumerate(
            ((x, groups, "groups"), (y, target_groups, "target_groups"))
        )
    ]
    both, fold = np.concatenate([x, y]), np.concatenate(units)
    is_target = np.arange(len(both)) >= len(x)
    centre, size = both.mean(axis=0), both.std(axis=0)
    both = (both - centre) / np.where(size > 0, size, 1)
    score = np.zeros(len(both))
    for k in range(num_folds):
        seen = jnp.asarray(fold != k, both.dtype)
        coefficients = logistic_regression(
            jnp.asarray(both), jnp.asarray(is_target), seen, jnp.asarray(penalty, both.dtype)
        )
        held = fold == k
        slope, intercept = np.asarray(coefficients[:-1]), float(coefficients[-1])
        score[held] = both[held] @ slope + intercept
        # the odds of the fold's own training set
        score[held] -= math.log((is_target & ~held).sum() / (~is_target & ~held).sum())
    ratio = np.exp(np.clip(score[: len(x)], -50, 50))
    if largest is not None:
        ratio = np.minimum(ratio, largest)
    weight = ratio / ratio.mean()
    return ImportanceWeights(
        weight=jnp.asarray(weight, jnp.asarray(both).dtype),
        effective_size=effective_size(weight, groups),
        largest=float(weight.max()),
        auroc=_auroc(score, is_target),
    )


def _as_features(values: Any, name: str) -> np.ndarray:
    x = np.asarray(values)
    if x.ndim != 2 or 0 in x.shape or x.dtype.kind not in "fbiu":
        raise ValueError(f"{name} must be numbers of shape [samples, features], got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinite values; drop or repair them")
    return x.astype(jax.dtypes.canonicalize_dtype(np.float64))


def _folds(key: Array, n: int, groups: Any, num_folds: int, name: str) -> np.ndarray:
    labels = np.arange(n) if groups is None else np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"{name} must have shape [{n}], got {list(labels.shape)}")
    _, unit = np.unique(labels, return_inverse=True)
    if not 2 <= num_folds <= unit.max() + 1:
        raise ValueError(
            f"num_folds must lie between 2 and the {unit.max() + 1} units of {name}, got "
            f"{num_folds}"
        )
    return np.asarray(jax.random.permutation(key, int(unit.max()) + 1))[unit] % num_folds


@jax.jit
def logistic_regression(x: Array, y: Array, weights: Array, penalty: Array) -> Array:
    """Coefficients [d + 1], the intercept last and not penalised, by Newton's method."""
    x = jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)
    ridge = penalty * jnp.ones(x.shape[1], x.dtype).at[-1].set(0)
    label = y.astype(x.dtype)
    highest = partial(jnp.matmul, precision=lax.Precision.HIGHEST)

    def loss(beta: Array) -> Array:
        z = highest(x, beta)
        return (weights * (jnp.logaddexp(0, z) - label * z)).sum() + (ridge * beta**2).sum() / 2

    def step(_: int, beta: Array) -> Array:
        p = jax.nn.sigmoid(highest(x, beta))
        gradient = highest(x.T, weights * (p - label)) + ridge * beta
        curvature = weights * jnp.maximum(p * (1 - p), 1e-6)
        hessian = highest(x.T, curvature[:, None] * x) + jnp.diag(ridge)
        direction = jnp.linalg.solve(hessian, gradient)
        # halve the step until the loss falls
        sizes = 0.5 ** jnp.arange(8, dtype=x.dtype)
        losses = lax.map(lambda s: loss(beta - s * direction), sizes)
        best = jnp.argmin(losses)
        return jnp.where(losses[best] < loss(beta), beta - sizes[best] * direction, beta)

    return lax.fori_loop(0, NEWTON_STEPS, step, jnp.zeros(x.shape[1], x.dtype))


def _auroc(score: np.ndarray, positive: np.ndarray) -> float:
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    k = positive.sum()
    return float((rank[positive].sum() - k * (k + 1) / 2) / (k * (len(score) - k)))


def reweight(probe: Probe, weight: Any) -> Probe:
    """The probe under importance weights [n]: its estimates then speak of the target.

    Thresholds stay as they are.

    Raises
    ------
    ValueError
        If the weights have another shape, are negative or not finite, or all zero.

    Warns
    -----
    ShiftWarning
        If the effective size is below 100 units, or below a tenth of them.
    """
    w = np.asarray(weight)
    if w.shape != (probe.num_samples,) or w.dtype.kind not in "fbiu":
        raise ValueError(f"weight must be numbers of shape [{probe.num_samples}], got {w.shape}")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError("weight holds negative or non-finite values; weights must be at least 0")
    total = np.asarray(probe.sample_weight) * w
    if not (total > 0).any():
        raise ValueError("weight leaves no sample with a positive weight")
    groups = None if probe.groups is None else np.asarray(probe.groups)
    size = effective_size(total, groups)
    if size < max(FEW, SMALL_SHARE * probe.num_units):
        warnings.warn(
            f"under these weights {probe.num_units:,} units tell as much as {size:.0f} would; what "
            "is said of the target is then uncertain",
            ShiftWarning,
            stacklevel=2,
        )
    return replace(probe, sample_weight=jnp.asarray(total, probe.sample_weight.dtype))


# -------------------------------------------------------------------------- bounded density ratios


def _at_most(p: Array, gamma: Array) -> Array:
    """Largest target probability of an event of probability p.

    E[w 1_A] <= G p, and 1 - E[w 1_A] = E[w 1_not A] >= (1 - p) / G; w of two values attains it.
    """
    return jnp.minimum(gamma * p, 1 - (1 - p) / gamma)


def _at_least(p: Array, gamma: Array) -> Array:
    """Smallest target probability: one less the largest of the complement."""
    return jnp.maximum(p / gamma, 1 - gamma * (1 - p))


def _most_conditional(hit: Array, miss: Array, gamma: Array) -> Array:
    """Largest target value of hit / (hit + miss), from the probabilities of the two events.

    It rises in the target's hit and falls in its miss, so it is at most that of the largest hit and
    the smallest miss. Both are reached together: the first is at 1 - (1 - hit) / G only where hit >
    1 / (G + 1), the second at 1 - G (1 - miss) only where miss > G / (G + 1), which is not both
    true of disjoint events; in the first case w = 1 / G off the hits, in the second G off the
    misses, in neither the rest takes what is left. Its odds move by a factor of at most G^2.
    """
    top, bottom = _at_most(hit, gamma), _at_least(miss, gamma)
    some = top + bottom
    return jnp.where(some > 0, top / jnp.where(some > 0, some, 1), jnp.nan)


def _odds_times(p: Array, factor: Array) -> Array:
    """A probability whose odds are multiplied."""
    return factor * p / (1 - p + factor * p)


class ShiftBounds(NamedTuple):
    """Range of the target's similarity, see :func:`shift_bounds`.

    Attributes
    ----------
    lower, upper : Array [U, C]
        NaN where the similarity is undefined.
    gamma : float
        The density ratio lies in [1/gamma, gamma].
    sharp : bool
        Whether some such density ratio attains each end, of the data at hand.
    """

    lower: Array
    upper: Array
    gamma: float
    sharp: bool


def shift_bounds(
    probe: Probe, metric: str | Metric = "iou", *, gamma: float, delta: float | None = None
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
    delta : float in (0, 1), optional
        With it the bounds also hold for the sampling error, each pair with probability 1 - delta:
        the limits of :func:`intervals` are moved, conditional ones by the factor of the odds.

    Returns
    -------
    ShiftBounds

    Raises
    ------
    ValueError
        If gamma is below 1, or the metric has no bounds.
    """
    metric = get_metric(metric)
    _check_metric(metric)
    if not (math.isfinite(gamma) and gamma >= 1):
        raise ValueError(f"gamma must be finite and at least 1, got {gamma}")
    if delta is None:
        lower, upper = _bounds_at(probe, metric, gamma)
        return ShiftBounds(lower, upper, float(gamma), metric.name in SHARP)
    found = intervals(probe, metric, delta=delta)
    g = jnp.asarray(gamma, found.lower.dtype)
    lower, upper = _moved(found.lower, found.upper, g, metric)
    return ShiftBounds(lower, upper, float(gamma), False)


SHARP = ("accuracy", "precision", "recall", "iou", "f1")
AUROCS = ("auroc", "simulation_auroc")
MEANS = ("balanced_accuracy", "simulation_balanced_accuracy")


def _check_metric(metric: Metric) -> None:
    known = (*SHARP, *MEANS, *AUROCS)
    if METRICS.get(metric.name) is not metric or metric.name not in known:
        raise ValueError(
            f"{metric.name!r} has no bounds under shift; these have: {', '.join(known)}"
        )


def _bounds_at(probe: Probe, metric: Metric, gamma: float) -> tuple[Array, Array]:
    def of_part(part: Probe) -> tuple[Array, Array]:
        g = jnp.asarray(gamma, part.weights.dtype)
        if metric.name in AUROCS:
            value = similarity(part, metric)
            return _moved(value, value, g, metric)
        neurons, labels = part.neurons, part.labels
        return _share_bounds(neurons.present, labels.present, part.weights, g, metric=metric)

    return probe.each_neuron(of_part)


@partial(jax.jit, static_argnames="metric")
def _share_bounds(
    active: Array, present: Array, weights: Array, gamma: Array, *, metric: Metric
) -> tuple[Array, Array]:
    f, c = active.astype(weights.dtype), present.astype(weights.dtype)
    sums = weighted_sums(f, c, weights)
    value = metric.score((f, c), weights)
    rule = RULES[metric.name]
    lower, upper = [], []
    for part in rule.parts:
        assert isinstance(part, Share)
        hit = combine(part.hits, sums) / sums.S
        miss = combine(part.trials, sums) / sums.S - hit
        upper.append(_most_conditional(hit, miss, gamma))
        lower.append(1 - _most_conditional(miss, hit, gamma))
    none = jnp.zeros((1, 1), f.dtype)
    low, high = rule.carry(lower, upper, (none, none))
    defined = ~jnp.isnan(value)
    return jnp.where(defined, low, jnp.nan), jnp.where(defined, high, jnp.nan)


def _moved(lower: Array, upper: Array, gamma: Array, metric: Metric) -> tuple[Array, Array]:
    """Limits moved as far as a shift can; odds rise concavely, so those of a mean by no more."""
    if metric.name == "accuracy":
        return _at_least(lower, gamma), _at_most(upper, gamma)
    if metric.name == "f1":  # through the IoU
        low, high = _moved(lower / (2 - lower), upper / (2 - upper), gamma, METRICS["iou"])
        return 2 * low / (1 + low), 2 * high / (1 + high)
    power = _power(metric)
    return _odds_times(lower, gamma**-power), _odds_times(upper, gamma**power)


def _power(metric: Metric) -> int:
    """The power of gamma by which odds move."""
    return 4 if metric.name in AUROCS else 2


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
    delta: float | None = None,
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
    delta : float in (0, 1), optional
        With it the radius also holds for the sampling error, for each neuron with probability
        1 - delta: limits for all concepts at once are compared. A lower bound.
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
    """
    metric = get_metric(metric)
    _check_metric(metric)
    value = similarity(probe, metric)
    label = winner(value)
    if delta is not None or metric.name not in SHARP:
        lower = upper = value
        if delta is not None:
            found = intervals(probe, metric, delta=delta, simultaneous="concepts")
            lower, upper = found.lower, found.upper
        radii = _marginal_radii(at_concept(lower, label)[:, None], upper, metric)
        exact = jnp.zeros(radii.shape, bool)
    else:
        parts = [
            _joint_radii(
                part.neurons.present, part.labels.present, part.weights, label[some],
                metric=metric,
            )
            for some, part in probe.in_neurons()
        ]  # fmt: skip
        radii, exact = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    columns = jnp.arange(value.shape[1], dtype=jnp.int32)[None, :]
    rivals = ~jnp.isnan(value) & (columns != label[:, None])
    radii = jnp.where(rivals, jnp.maximum(radii, 1), jnp.inf)
    rival = jnp.argmin(radii, axis=1).astype(jnp.int32)
    radius = jnp.where(label < 0, jnp.nan, radii.min(axis=1))
    overtaken = jnp.isfinite(radius)
    found_exact = jnp.take_along_axis(exact, rival[:, None], axis=1)[:, 0] & overtaken
    if warn_below is not None and bool((radius < warn_below).any()):
        warnings.warn(
            f"{int((radius < warn_below).sum())} of {len(radius)} labels have a robustness radius "
            f"below {warn_below:g}: a target whose density differs by that factor may have others",
            ShiftWarning,
            stacklevel=2,
        )
    return RobustnessRadius(radius, jnp.where(overtaken, rival, -1), label, found_exact)


def _event_radius(p: Array, q: Array) -> Array:
    """Where the least target probability of one event meets the largest of another.

    Both are the larger, and the smaller, of two functions of G, so they meet at the largest of the
    four roots; the shift that attains both is that of :func:`_most_conditional`.
    """
    roots = [
        jnp.sqrt(p / jnp.where(q > 0, q, 1)),
        1 + p - q,
        1 / jnp.where(1 - p + q > 0, 1 - p + q, 1),
        jnp.sqrt((1 - q) / jnp.where(p < 1, 1 - p, 1)),
    ]
    never = ((q <= 0) & (p > 0)) | ((p >= 1) & (q < 1))
    radius = jnp.where(never, jnp.inf, jnp.stack(roots).max(axis=0))
    return jnp.where(p > q, radius, 1)


def _marginal_radii(lower: Array, upper: Array, metric: Metric) -> Array:
    if metric.name == "accuracy":
        return _event_radius(lower, upper)
    if metric.name == "f1":
        lower, upper = lower / (2 - lower), upper / (2 - upper)
    odds = lower * (1 - upper) / jnp.where(upper > 0, upper * jnp.maximum(1 - lower, 0), 1)
    radius = jnp.where((upper <= 0) | (lower >= 1), jnp.inf, odds ** (0.5 / _power(metric)))
    return jnp.where(lower > upper, radius, 1)


class Cells(NamedTuple):
    """Probabilities [U, C] of the kinds of samples: active or not, of the label, of the rival."""

    a11: Array
    a10: Array
    a01: Array
    a00: Array
    n11: Array
    n10: Array
    n01: Array
    n00: Array


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


@partial(jax.jit, static_argnames="metric")
def _joint_radii(
    active: Array, present: Array, weights: Array, label: Array, *, metric: Metric
) -> tuple[Array, Array]:
    """Radius of each pair, and whether it is exact: two [U, C]."""
    cells = _cells(active, present, weights, label)
    if metric.name == "accuracy":
        radius = _event_radius(cells.a10 + cells.n01, cells.a01 + cells.n10)
        return radius, jnp.ones(radius.shape, bool)
    if metric.name == "precision":
        radius = _event_radius(cells.a10, cells.a01)
        return radius, jnp.ones(radius.shape, bool)
    lead = _recall_lead if metric.name == "recall" else _iou_lead

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = jnp.sqrt(low * high)
        ahead = lead(cells, middle)[0] > 0
        return jnp.where(ahead, middle, low), jnp.where(ahead, high, middle)

    one = jnp.ones_like(cells.a11)
    low, _ = lax.fori_loop(0, BISECTIONS, halve, (one, LARGEST * one))
    _, used, free = lead(cells, low)
    exact = (free / low <= 1 - used) & (1 - used <= free * low)
    return jnp.where(lead(cells, LARGEST * one)[0] > 0, jnp.inf, low), exact


Lead = tuple[Array, Array, Array]  # the label's lead, the weight put on, the rest's before


def _iou_lead(k: Cells, gamma: Array) -> Lead:
    """Least of tp (F + rival's fn) - rival's tp (F + fn), F active, over w in [1/G, G].

    It rises in a10 and n01, falls in a01 and n10, and is linear in the others.
    """
    x, y, z, v = k.a10 / gamma, k.n01 / gamma, k.a01 * gamma, k.n10 * gamma
    both = y - v + x - z
    a11 = k.a11 * jnp.where(both > 0, 1 / gamma, gamma)
    others = jnp.where(x > z, 1 / gamma, gamma) * (k.a00 + k.n11)
    lead = a11 * both + x * (x + y) - z * (z + v) + (x - z) * others
    return lead, x + y + z + v + a11 + others, k.n00


def _recall_lead(k: Cells, gamma: Array) -> Lead:
    """Least of tp times the rival's fn less the rival's tp times fn, likewise."""
    x, y, z, v = k.a10 / gamma, k.n01 / gamma, k.a01 * gamma, k.n10 * gamma
    a11 = k.a11 * jnp.where(y > v, 1 / gamma, gamma)
    n11 = k.n11 * jnp.where(x > z, 1 / gamma, gamma)
    lead = a11 * (y - v) + x * y - z * v + n11 * (x - z)
    return lead, x + y + z + v + a11 + n11, k.a00 + k.n00
