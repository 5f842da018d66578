"""Metrics that walk down a neuron's ranked samples: average precision and the top-k family.

They do not reduce to six sums. All take sample weights and share ties exactly: tied samples share
the positions they occupy, so the order of rows never decides. Memory is O(n (U + C)); neurons go
one by one through ``lax.map`` inside one compiled call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._numerics.ranks import Ranking, cumulative_weight, rank_from_top, ranking
from .._numerics.sums import running_total, weighted_total
from ..probing.probe import Side
from .transforms import VIEWS, centred, evaluate

__all__ = [
    "active_and_ranks",
    "average_precision",
    "correlation_top_and_random",
    "rank_reorder",
    "rank_reorder_columns",
    "ranks_and_labels",
    "simulation_average_precision",
    "soft_wpmi",
    "soft_wpmi_columns",
    "wpmi_topk",
    "wpmi_topk_columns",
]

MIN_PROBABILITY = 1e-7  # added to a probability before its logarithm, as in CLIP-Dissect


class Ranked(NamedTuple):
    """The side of a probe that ranks the samples.

    Attributes
    ----------
    values : Array [n, d]
        What ranks, over its largest magnitude.
    order : Ranking
        Its order.
    """

    values: Array
    order: Ranking


def rank_side(side: Side) -> Ranked:
    """Sort the columns of a side once."""
    return Ranked(VIEWS["raw"].prepare(side), ranking(side.values))


def own_values(side: Side) -> Array:
    """Read a side's values as they are."""
    return side.values


def average_precision(ranked: Ranked, labels: Array, weights: Array) -> Array:
    """Average precision sum_k (R_k - R_{k-1}) P_k over distinct scores, [A, L].

    The definition of scikit-learn's ``average_precision_score`` (no interpolation).
    """
    weighted = weights[:, None] * labels
    positives = weighted.sum(axis=0)

    def one(column: tuple[Array, Array]) -> Array:
        order, first = column
        down = order[::-1]
        # in descending order, the tie group of a row ends where its ascending one begins
        end = order.shape[0] - 1 - first[down]
        hits = weighted[down]
        retrieved = running_total(weights[down][:, None])[end]
        precision = running_total(hits)[end] / jnp.where(retrieved > 0, retrieved, 1)
        return (hits * precision).sum(axis=0)

    total = lax.map(one, (ranked.order.order.T, ranked.order.first.T))
    return total / jnp.where(positives > 0, positives, jnp.nan)[None, :]


def simulation_average_precision(labels: Array, ranked: Ranked, weights: Array) -> Array:
    """Average precision of the concept's score against the active neuron as label, [U, C]."""
    return average_precision(ranked, labels, weights).T


class TopRows(NamedTuple):
    """The rows of one neuron from its highest activation down, those beyond the top at weight 0.

    Attributes
    ----------
    weight : Array [m]
        The part of each row's weight that lies among the top k; ties at the boundary share it.
    position : Array [m]
        Place in the list, 0 for the first; ties share the mean of their places.
    activation : Array [m]
        The neuron's activation.
    concepts : Array [m, C]
        The concepts' scores.
    """

    weight: Array
    position: Array
    activation: Array
    concepts: Array


def _share_among_top(above: Array, at_or_above: Array, k: Array) -> Array:
    """The part of each row that lies among the top k of its column, [n, d]; ties share it."""
    tied = at_or_above - above
    return jnp.clip((k - above) / jnp.where(tied > 0, tied, 1), 0, 1)


def over_top_rows(
    ranked: Ranked,
    concepts: Array,
    weights: Array,
    k: Array,
    typical: int,
    score: Callable[[TopRows], Array],
) -> Array:
    """Map ``score`` over every neuron's top ``k`` (in units of weight) rows, giving [U, C].

    About k rows are gathered where they suffice; a neuron whose boundary tie spreads further (a
    ReLU with few positive activations) takes all rows. ``typical`` is k, known while tracing.
    """
    n = weights.shape[0]
    few = min(n, 2 * typical + 64)
    k = jnp.minimum(k, weights.sum())
    above, at_or_above = rank_from_top(ranked.order, weights)
    taken = weights[:, None] * _share_among_top(above, at_or_above, k)
    position = (above + jnp.minimum(at_or_above, k)) / 2 - 0.5
    reach = (above < k).sum(axis=0)

    def one(column: tuple[Array, ...]) -> Array:
        order, v, place, f, needed = column
        down = order[::-1]

        def on(rows: Array) -> Array:
            return score(TopRows(v[rows], place[rows], f[rows], concepts[rows]))

        if few == n:
            return on(down)
        return lax.cond(needed <= few, lambda: on(down[:few]), lambda: on(down))

    return lax.map(one, (ranked.order.order.T, taken.T, position.T, ranked.values.T, reach))


def _pointwise_mutual_information(log_likelihood: Array, strength: float) -> Array:
    """Subtract ``strength`` times the log of the likelihood's mean over neurons, [U, C]."""
    num_neurons = log_likelihood.shape[0]
    prior = jax.nn.logsumexp(log_likelihood, axis=0, keepdims=True) - jnp.log(
        jnp.asarray(num_neurons, log_likelihood.dtype)
    )
    return log_likelihood - strength * prior


TOP_SOFT, TOP_HARD, TOP_REORDERED = 100, 28, 0.05  # samples, samples, share of samples
FIRST, LAST = 0.998, 0.97  # how sure SoftWPMI is of the first and of the last


def soft_wpmi(
    ranked: Ranked,
    concepts: Array,
    weights: Array,
    *,
    top_k: int = TOP_SOFT,
    strength: float = 1.0,
    first: float = FIRST,
    last: float = LAST,
) -> Array:
    """CLIP-Dissect's soft weighted pointwise mutual information (Oikarinen & Weng, 2023), [U, C].

    The j-th of the top k samples belongs to the neuron's concept with a probability falling
    linearly from ``first`` to ``last``; concepts are probabilities (CLIP-Dissect's softmax over
    concepts). The prior is the mean over the neurons at hand, so scores depend on which neurons
    are scored together, and one neuron alone scores 0 everywhere at ``strength`` 1.
    """

    def score(top: TopRows) -> Array:
        # 1 + p (c - 1) with p near 1, written in 1 - p so that float32 keeps its digits
        stranger = (1 - first) + top.position / top_k * (first - last)
        inside = stranger[:, None] + (1 - stranger)[:, None] * top.concepts
        return weighted_total(jnp.log(inside + MIN_PROBABILITY), top.weight)

    k = jnp.asarray(top_k, weights.dtype)
    return _pointwise_mutual_information(
        over_top_rows(ranked, concepts, weights, k, top_k, score), strength
    )


def wpmi_topk(
    ranked: Ranked, concepts: Array, weights: Array, *, top_k: int = TOP_HARD, strength: float = 0.6
) -> Array:
    """CLIP-Dissect's weighted pointwise mutual information on the top k samples, [U, C]."""

    def score(top: TopRows) -> Array:
        return weighted_total(jnp.log(top.concepts + MIN_PROBABILITY), top.weight)

    k = jnp.asarray(top_k, weights.dtype)
    return _pointwise_mutual_information(
        over_top_rows(ranked, concepts, weights, k, top_k, score), strength
    )


def rank_reorder(
    ranked: Ranked, concepts: Array, weights: Array, *, top_fraction: float = TOP_REORDERED
) -> Array:
    """CLIP-Dissect's rank reorder score, at most 0, [U, C].

    Among the top fraction of samples the activations are re-sorted by the concept's score; the
    score is minus the mean cubed displacement, over its expectation under a random order
    (in closed form; CLIP-Dissect draws five), over the root of the concept's mean score. Samples
    that tie on the concept get the mean of the activations they could get.
    """
    k = _size_of_top(weights, top_fraction)

    def score(top: TopRows) -> Array:
        v, up = top.weight, slice(None, None, -1)
        size = v.sum()
        highest = top.activation[0]
        lowest = jnp.min(jnp.where(v > 0, top.activation, highest))
        spread = highest - lowest
        t = jnp.clip((top.activation - lowest) / jnp.where(spread > 0, spread, 1), 0, 1)

        # moments of the activations below each position, in ascending order
        powers = jnp.stack([jnp.ones_like(t), t, t**2, t**3])[:, up]
        moments = running_total((v[None, up] * powers).T).T
        moments = jnp.concatenate([jnp.zeros((4, 1), t.dtype), moments], axis=1)
        m0, m1, m2, m3 = moments[:, :-1]
        a = powers[1]
        pairs = a**3 * m0 - 3 * a**2 * m1 + 3 * a * m2 - m3
        chance = 2 * (v[up] * pairs).sum() / size**2

        tie = ranking(top.concepts)
        below = cumulative_weight(tie, v)
        low = jnp.take_along_axis(below, tie.first, axis=0)
        high = jnp.take_along_axis(below, tie.last, axis=0)
        mass = jnp.interp(jnp.stack([low, high]), moments[0], moments[1])
        reordered = (mass[1] - mass[0]) / jnp.where(high > low, high - low, 1)
        displacement = weighted_total(jnp.abs(t[:, None] - reordered) ** 3, v) / size
        mean_score = jnp.maximum(weighted_total(top.concepts, v) / size, MIN_PROBABILITY)
        return -displacement / jnp.where(chance > 0, chance, jnp.nan) / jnp.sqrt(mean_score)

    typical = int(top_fraction * weights.shape[0]) + 1
    return over_top_rows(ranked, concepts, weights, k, typical, score)


def _size_of_top(weights: Array, fraction: float) -> Array:
    return jnp.maximum(jnp.floor(fraction * weights.sum() * (1 + 1e-6)), 1)


@jax.jit
def _among_top(ranked: Ranked, weights: Array, k: Array) -> Array:
    return _share_among_top(*rank_from_top(ranked.order, weights), jnp.minimum(k, weights.sum()))


@jax.jit
def _log(labels: Side, least: Array) -> Array:
    return jnp.log(least + (1 - least) * labels.values)


def soft_wpmi_columns(ranked: Ranked, labels: Side, weights: Array) -> tuple[Array, Array]:
    """The share of each sample among the top, and the logarithm that it adds there."""
    k, stranger = (jnp.asarray(x, weights.dtype) for x in (TOP_SOFT, 1 - (FIRST + LAST) / 2))
    return _among_top(ranked, weights, k), _log(labels, stranger)


def wpmi_topk_columns(ranked: Ranked, labels: Side, weights: Array) -> tuple[Array, Array]:
    """The share of each sample among the top, and the logarithm that it adds there."""
    k, least = (jnp.asarray(x, weights.dtype) for x in (TOP_HARD, MIN_PROBABILITY))
    return _among_top(ranked, weights, k), _log(labels, least)


def rank_reorder_columns(ranked: Ranked, labels: Side, weights: Array) -> tuple[Array, Array]:
    """The share of each sample among the top, and the concept's score."""
    return _among_top(ranked, weights, _size_of_top(weights, TOP_REORDERED)), labels.values


def ranks_and_labels(ranked: Ranked, labels: Side, weights: Array) -> tuple[Array, Array]:
    """The neuron's mid-ranks, and where the concept is present."""
    return evaluate(ranked.order, weights, view="rank"), VIEWS["binary"].prepare(labels)


def active_and_ranks(active: Array, labels: Side, weights: Array) -> tuple[Array, Array]:
    """Where the neuron is active, and the mid-ranks of the concept's score."""
    return active, evaluate(ranking(labels.values), weights, view="rank")


def scaled_and_active(side: Side) -> tuple[Array, Array]:
    """Scaled values, and where they are active."""
    return VIEWS["standard"].prepare(side), VIEWS["binary"].prepare(side)


def correlation_top_and_random(
    neurons: tuple[Array, Array], concepts: Array, weights: Array
) -> Array:
    """Pearson correlation on an even mix of active samples and of all samples, [U, C].

    Published code draws 25 of each by chance (Bills et al., 2023; Oikarinen et al., 2025); this is
    the mean over infinitely many draws, so it adds no sampling noise.
    """
    f, active = neurons
    f, c = centred(f, weights), centred(concepts, weights)
    taken = weights[:, None] * active
    top = taken.sum(axis=0, keepdims=True)
    mix = taken / jnp.where(top > 0, top, jnp.nan) / 2 + weights[:, None] / weights.sum() / 2
    f = f - (mix * f).sum(axis=0, keepdims=True)

    def mean(left: Array, right: Array) -> Array:
        return jnp.matmul(left.T, right, precision=lax.Precision.HIGHEST)

    variance = (mix * f**2).sum(axis=0)[:, None] * (mean(mix, c**2) - mean(mix, c) ** 2)
    return mean(mix * f, c) / jnp.sqrt(jnp.where(variance > 0, variance, jnp.nan))
