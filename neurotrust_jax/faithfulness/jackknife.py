"""Standard errors of similarities: the infinitesimal jackknife.

The influence of a unit (a sample, or a group of them) on a similarity is the derivative along the
unit's weight. Its spread over the units estimates the standard error (Jaeckel, 1972; Efron, 1982)
at the price of a derivative, without replicates, for every pair at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.ranks import Ranking, twice_below
from .._numerics.sums import Sums, per_unit, power_sum, weighted_sums
from ..metrics.interval_rules import AREA_OF_NEURON
from ..metrics.metric import Metric
from ..metrics.scores import prepare, similarity
from ..metrics.table import get_metric
from ..metrics.transforms import VIEWS
from ..metrics.unit_sums import UnitSums, in_order, unit_sums
from ..probing.active_rows import list_active
from ..probing.probe import Probe
from .evidence import units_of_moments

__all__ = ["standard_error", "standard_error_of_lead"]

POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))  # powers of f and c, in the order of Sums
NUM_BLOCKS = 64
CHUNK = 2**22  # numbers in one array of gradients


def standard_error(
    probe: Probe, metric: str | Metric, *, scores: Array | None = None
) -> tuple[Array, float]:
    """Infinitesimal jackknife standard error of every similarity, thresholds held fixed.

    With ``D_i = sum_k w_k d score / d w_k`` over the samples k of unit i, and G units of positive
    weight, it is ``sqrt(G / (G - 1) sum_i (D_i - mean D)^2)``. Units are groups where the probe
    has them, else samples. For a joint metric they are first pooled at random, the same way each
    time, into at most 64 blocks of equal size, which take their place.

    Parameters
    ----------
    probe : Probe
    metric : str or Metric
    scores : Array [U, C], optional
        The similarities, where they are at hand.

    Returns
    -------
    error : Array [U, C]
        NaN where the similarity is undefined, or one unit has all the weight.
    degrees_of_freedom : float
        Number of blocks less 1 for a joint metric, else infinite.
    """
    metric = get_metric(metric)
    if metric.joint:
        prepared = prepare(probe, metric)
        blocks, num = _blocks(probe)
        return _by_blocks(prepared, probe.weights, blocks, metric=metric, num_blocks=num), num - 1.0
    views = VIEWS[metric.neuron_view], VIEWS[metric.concept_view]
    polynomial = all(view.weights_enter != "other" for view in views)
    counted = metric.neuron_view == metric.concept_view == "binary"
    if probe.groups is not None and metric.finalise is not None and counted:
        value = similarity(probe, metric) if scores is None else scores
        return jnp.where(jnp.isnan(value), jnp.nan, _of_groups(probe, metric)), math.inf

    def error(part: Probe) -> Array:
        data = prepare(part, metric), part.weights
        if probe.groups is None and metric.finalise is not None and polynomial:
            return _by_moments(*data, metric=metric)
        if _is_area(part, metric):
            value = metric.score(*data)
            return _of_areas(data[0][0], part.present, part.weights, value)
        return _by_gradients(*data, part.groups, metric=metric, num_units=part.num_units)

    return probe.map_neurons(error), math.inf


def standard_error_of_lead(
    probe: Probe, metric: Metric, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much one concept is more similar to a neuron than another, and how exactly that is known.

    Parameters
    ----------
    probe : Probe
    metric : Metric
        Not a joint one.
    first, second : array [U] of int
        Columns of two concepts for each neuron.

    Returns
    -------
    lead : numpy.ndarray [U]
        Similarity of the first less that of the second; NaN where either is undefined.
    error : numpy.ndarray [U]
        Its standard error, as :func:`standard_error`: that of the same units for both.
    units : numpy.ndarray [U]
        Effective number of units behind it (see the head of :mod:`.evidence`).
    """
    found = []
    for some, part in probe.in_neurons():
        pair = np.stack([first[some], second[some]], axis=1).astype(np.int32)
        prepared = prepare(part, metric)
        found.append(
            _leads(prepared, part.weights, part.groups, pair, metric=metric,
                   num_units=part.num_units)
        )  # fmt: skip
    lead, error, units = (np.concatenate(x) for x in zip(*found, strict=True))
    return lead, error, units


@partial(jax.jit, static_argnames=("metric", "num_units"))
def _leads(
    prepared: tuple[Any, Any],
    weights: Array,
    groups: Array | None,
    pairs: Array,
    *,
    metric: Metric,
    num_units: int,
) -> tuple[Array, Array, Array]:
    """Lead, error and effective units [U] of the first concept of each pair [U, 2]."""
    f, c = prepared
    positive = per_unit(weights, groups, num_units) > 0
    count = positive.sum().astype(weights.dtype)

    def neuron(own: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        u, pair = own
        both = _column(f, u), jax.tree.map(lambda x: x[..., pair], c)

        def lead(w: Array) -> Array:
            first, second = metric.score(both, w)[0]
            return first - second

        value, influence = _influence(lead, weights, groups, num_units)
        # influences sum to 0, as the similarity does not change with the scale of the weights
        units = units_of_moments((influence**2).sum(), (influence**4).sum(), count)
        return value, jnp.where(jnp.isnan(value), jnp.nan, _spread(influence, positive)), units

    return lax.map(neuron, (jnp.arange(len(pairs)), pairs))


def _is_area(probe: Probe, metric: Metric) -> bool:
    """Whether the metric is the area under a curve of single samples, with weights that are 0 or 1.

    Weights have a common scale.
    """
    area = metric.interval_rule == AREA_OF_NEURON and metric.concept_view == "binary"
    return area and probe.groups is None and probe.even_weights and metric.finalise is not None


@jax.jit
def _of_areas(ranking: Ranking, present: Array, weights: Array, value: Array) -> Array:
    """Errors of areas [U, C] under curves, of samples that all weigh the same or nothing.

    The influence of a present sample is the share of absent samples below it, less the area, over
    the number of present ones; that of an absent sample the share of present samples above it, less
    the area, over the number of absent ones (DeLong et al., 1988). Both follow from running totals
    along a neuron's sorted samples, where ties count half.
    """
    dtype = weights.dtype
    used = (weights > 0).astype(jnp.uint8)[:, None]
    positive = jnp.where(present, used, 0)
    number = used.sum(dtype=jnp.int32).astype(dtype)
    have = positive.sum(axis=0, keepdims=True, dtype=jnp.int32).astype(dtype)  # [1, C]
    lack = number - have

    def neuron(own: tuple[Ranking, Array]) -> Array:
        ranking, area = own
        area = area[None, :]
        # how much is below each sample, and half of what ties with it
        lower, every = (twice_below(x, ranking).astype(dtype) / 2 for x in (positive, used))
        of_present = (every - lower) / lack - area
        of_absent = (have - lower) / have - area
        absent = jnp.where(used > 0, (of_absent / lack) ** 2, 0)
        square = jnp.where(positive > 0, (of_present / have) ** 2, absent)
        return jnp.sqrt(square.sum(axis=0) * _unbiased(number))

    error = lax.map(neuron, (jax.tree.map(jnp.transpose, ranking), value))
    return jnp.where(jnp.isnan(value), jnp.nan, error)


def _of_groups(probe: Probe, metric: Metric) -> Array:
    """All pairs of a binary six-sum metric in groups, from the groups in which neurons are active.

    Pairs whose similarity is undefined have no meaning.

    The influence of a group is ``g_S S + g_F F + g_C C + g_FC FC`` of its sums, with the gradient g
    of the metric at the sums of all.
    """
    assert probe.groups is not None
    active, weights = list_active(probe), probe.weights
    positive = per_unit(weights, probe.groups, probe.num_units) > 0
    columns = []
    for _, part in probe.in_columns():
        blocks = unit_sums(active, part.present, weights, probe.groups, probe.num_units)
        columns.append(
            in_order([(own, _by_unit_sums(x, positive, metric=metric)) for own, x in blocks])
        )
    return jnp.concatenate(columns, axis=1)


@partial(jax.jit, static_argnames="metric")
def _by_unit_sums(sums: UnitSums, positive: Array, *, metric: Metric) -> Array:
    """One neuron after the other, so that memory stays at [groups, C]."""
    assert metric.finalise is not None
    finalise = metric.finalise

    def one(place: Array) -> Array:
        units = sums.of_neuron(place)
        total = Sums(*(x.sum(axis=0, keepdims=True) for x in units))
        total = Sums(*(jnp.broadcast_to(x, total.FC.shape) for x in total))
        score, pull = jax.vjp(finalise, total)
        (g,) = pull(jnp.ones_like(score))
        return _spread(sum(x * y for x, y in zip(g, units, strict=True)), positive)

    return lax.map(one, sums.place)


@partial(jax.jit, static_argnames="metric")
def _by_moments(prepared: tuple[Any, Any], weights: Array, *, metric: Metric) -> Array:
    """All pairs from weighted moments, for a six-sum metric of polynomial views.

    Sample k moves the six sums along ``w_k (1, f, c, f^2, c^2, f c)``, and a centred view by
    ``-w_k f_k / S``. Its influence is a polynomial of f and c with coefficients [U, C], and so is
    the square, whose total over the samples takes one matrix product per power ``f^a c^b``.
    """
    assert metric.finalise is not None
    finalise = metric.finalise
    f, f_unit = _scaled_view(metric.neuron_view, prepared[0], weights)
    c, c_unit = _scaled_view(metric.concept_view, prepared[1], weights)
    p, q = f_unit[:, None], c_unit[None, :]

    def value(s: Sums) -> Array:
        return finalise(Sums(s.S, p * s.F, q * s.C, p * p * s.FF, q * q * s.CC, p * q * s.FC))

    s = weighted_sums(f, c, weights)
    s = Sums(*(jnp.broadcast_to(x, s.FC.shape) for x in s))
    score, pull = jax.vjp(value, s)
    (g,) = pull(jnp.ones_like(score))
    if VIEWS[metric.neuron_view].weights_enter == "mean":
        g = g._replace(F=-(2 * g.FF * s.F + g.FC * s.C) / s.S)
    if VIEWS[metric.concept_view].weights_enter == "mean":
        g = g._replace(C=-(2 * g.CC * s.C + g.FC * s.F) / s.S)

    top = (1 if metric.neuron_view == "binary" else 4, 1 if metric.concept_view == "binary" else 4)
    square: dict[tuple[int, int], Array] = {}
    for (i, x), (j, y) in product(zip(POWERS, g, strict=True), repeat=2):
        a, b = min(i[0] + j[0], top[0]), min(i[1] + j[1], top[1])  # 0/1 values are their powers
        square[a, b] = square.get((a, b), jnp.zeros_like(x)) + x * y
    moments = [(x, power_sum(f, c, weights**2, *power)) for power, x in square.items()]
    second = sum(x * moment for x, moment in moments)
    size = sum(jnp.abs(x * moment) for x, moment in moments)
    total = sum(x * y for x, y in zip(g, s, strict=True))
    positive = weights > 0
    count = positive.sum().astype(weights.dtype)
    variance = (second - total**2 / count) * _unbiased(count)
    undefined = jnp.isnan(metric.score(prepared, weights))

    # hardly any variance is left to nearly perfect pairs: the digits of their moments cancel
    cancelled = ~undefined & ~(variance >= jnp.sqrt(jnp.finfo(weights.dtype).eps) * size)
    rows, columns = jnp.nonzero(cancelled, size=cancelled.size)

    def again(i: Array, error: Array) -> Array:
        u, k = rows[i], columns[i]
        pair = _column(prepared[0], u), _column(prepared[1], k)
        return error.at[u, k].set(_pair_error(pair, weights, None, positive, metric=metric))

    error = jnp.where(undefined, jnp.nan, jnp.sqrt(variance))
    return lax.fori_loop(0, cancelled.sum(), again, error)


def _scaled_view(view: str, prepared: Any, weights: Array) -> tuple[Array, Array]:
    """A view [n, d], and the unit [d] in which it is given: the fourth power must not overflow."""
    x = VIEWS[view].evaluate(prepared, weights)
    if view != "centred":
        return x, jnp.ones(x.shape[1], x.dtype)
    largest = jnp.max(jnp.abs(x), axis=0)
    unit = jnp.where(largest > 0, largest, 1)
    return x / unit[None, :], unit


@partial(jax.jit, static_argnames=("metric", "num_units"))
def _by_gradients(
    prepared: tuple[Any, Any],
    weights: Array,
    groups: Array | None,
    *,
    metric: Metric,
    num_units: int,
) -> Array:
    """Pair by pair: the gradient of the score in the weights, [n] numbers at a time."""
    f, c = prepared
    num_neurons, num_concepts = (jax.tree.leaves(x)[0].shape[-1] for x in prepared)
    positive = per_unit(weights, groups, num_units) > 0

    def row(u: Array) -> Array:
        neuron = _column(f, u)
        return lax.map(
            lambda k: _pair_error(
                (neuron, _column(c, k)), weights, groups, positive, metric=metric
            ),
            jnp.arange(num_concepts),
            batch_size=min(num_concepts, max(1, CHUNK // weights.shape[0])),
        )

    return lax.map(row, jnp.arange(num_neurons))


def _pair_error(
    pair: Any, weights: Array, groups: Array | None, positive: Array, *, metric: Metric
) -> Array:
    """Standard error of one prepared pair; ``positive`` [G] tells which units have weight."""
    score, influence = _influence(
        lambda w: metric.score(pair, w)[0, 0], weights, groups, positive.shape[0]
    )
    return jnp.where(jnp.isnan(score), jnp.nan, _spread(influence, positive))


def _influence(
    score: Callable[[Array], Array], weights: Array, groups: Array | None, num_units: int
) -> tuple[Array, Array]:
    """A function of the weights, and the influence of each unit on it, [num_units]."""
    value, slope = jax.value_and_grad(score)(weights)
    return value, per_unit(weights * slope, groups, num_units)


def _column(side: Any, index: Array) -> Any:
    return jax.tree.map(lambda x: x[..., index[None]], side)


@partial(jax.jit, static_argnames=("metric", "num_blocks"))
def _by_blocks(
    prepared: tuple[Any, Any], weights: Array, blocks: Array, *, metric: Metric, num_blocks: int
) -> Array:
    """All pairs at once: the derivative of the score along the weight of each block of units."""

    def score(w: Array) -> Array:
        return metric.score(prepared, w)

    def influence(block: Array) -> Array:
        return jax.jvp(score, (weights,), (jnp.where(blocks == block, weights, 0),))[1]

    error = _spread(lax.map(influence, jnp.arange(num_blocks)), jnp.ones(num_blocks, bool))
    return jnp.where(jnp.isnan(score(weights)), jnp.nan, error)


def _blocks(probe: Probe) -> tuple[Array, int]:
    """Deal the units of positive weight into blocks at random; the block of each sample, [n]."""
    positive = per_unit(probe.weights, probe.groups, probe.num_units) > 0
    num_blocks = min(NUM_BLOCKS, int(positive.sum()))
    order = jax.random.permutation(jax.random.key(0), probe.num_units)
    turn = jnp.cumsum(positive[order]) % num_blocks
    of_unit = jnp.zeros_like(turn).at[order].set(turn)
    return (of_unit if probe.groups is None else of_unit[probe.groups]), num_blocks


def _spread(influence: Array, positive: Array) -> Array:
    """Standard error from the influences [G, ...] of the units, of which some have no weight."""
    count = positive.sum().astype(influence.dtype)
    used = positive.reshape(-1, *[1] * (influence.ndim - 1))
    deviation = jnp.where(used, influence - influence.sum(axis=0, keepdims=True) / count, 0)
    return jnp.sqrt((deviation**2).sum(axis=0) * _unbiased(count))


def _unbiased(count: Array) -> Array:
    return jnp.where(count > 1, count / (count - 1), jnp.nan)
