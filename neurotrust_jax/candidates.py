"""Which concepts of a neuron a bootstrap follows: those that may be best, on enough evidence."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .blocks import padded, places_in_lists
from .metrics import UNIT, Metric
from .probe import Probe, Side
from .sums import per_unit, weighted_total

__all__ = [
    "Candidates",
    "choose",
    "effective_units",
    "in_play",
    "likely",
    "stable_scale",
    "telling",
]

MIN_EVIDENCE = 10.0  # effective units; with fewer, replicates say little about other probing sets
FAR_BEHIND = 6.0  # sums of two standard errors
REACH = 4.5  # standard errors: the lowest of a thousand replicates of one pair is 3.2 below it
MAX_CANDIDATES = 256
EDGE = 1e-4  # the logit and Fisher's z stay finite


class Candidates(NamedTuple):
    """What a bootstrap needs to know of each neuron's concepts.

    Attributes
    ----------
    concept : numpy.ndarray [U, K] of int32
        Concepts to follow, most similar first; -1 fills up.
    thin : numpy.ndarray [U, C] of bool
        Too little evidence for a bootstrap, see :func:`effective_units`, or no spread among its
        replicates.
    excluded : numpy.ndarray [U, C] of bool
        On enough evidence, and further behind the most similar of those than any test allows.
    """

    concept: np.ndarray
    thin: np.ndarray
    excluded: np.ndarray


@partial(jax.jit, static_argnames="metric")
def stable_scale(metric: Metric | None, similarity: Array) -> Array:
    """Put similarities on a scale on which their spread depends little on their value.

    The order of concepts is the same on every increasing scale, but a spread that is estimated
    along with the value must not depend on it: a rival that is high by luck would otherwise also
    look too certain. Shares of events take the arcsine of the root (Anscombe, 1948), other
    similarities in [0, 1] the logit, which suits the skew of AUROC near 1, and those in [-1, 1]
    Fisher's z (1921); the rest stay as they are.

    Parameters
    ----------
    metric : Metric or None
        None for scores of unknown range.
    similarity : Array
        In the metric's range; NaN stays NaN.
    """
    if metric is None:
        return similarity
    inside = jnp.clip(similarity, *_ends(metric))
    if metric.range == UNIT and metric.neuron_view == metric.concept_view == "binary":
        return jnp.arcsin(jnp.sqrt(inside))
    if metric.range == UNIT:
        return jnp.log(inside / (1 - inside))
    if metric.range == (-1.0, 1.0):
        return jnp.arctanh(inside)
    return similarity


def _ends(metric: Metric | None) -> tuple[float, float]:
    """The similarities between which the stable scale rises."""
    low, high = (-math.inf, math.inf) if metric is None else metric.range
    shares = metric is not None and metric.neuron_view == metric.concept_view == "binary"
    edge = EDGE if (low, high) == (-1.0, 1.0) or ((low, high) == UNIT and not shares) else 0.0
    return low + edge, high - edge


def effective_units(probe: Probe, metric: Metric | None) -> Array:
    """How many units carry the evidence on each pair, [U, C], from 0 to their number.

    For a column with weighted deviations D_i from its mean, summed by unit, it is
    ``(sum D_i^2)^2 / sum D_i^4``: about the number of positives for a rare concept, all units for
    one present half of the time, 0 for a constant. A pair has the smaller of its two columns'.

    A column read by its ranks has all units, unless more than half of the samples share its lowest
    value, or 0 (a sparse feature, a rectified unit): it then has those of the indicator of the
    others, and a pair of it with a binary concept that is present on none of those has no evidence,
    since all its replicates lack it too. Without a metric only the concepts count.
    """
    f_view = "rank" if metric is None else metric.neuron_view
    c_view = "binary" if metric is None else metric.concept_view
    ranked = metric is not None and f_view == "rank"
    binary = c_view == "binary" or (c_view == "rank" and probe.concepts.dtype == jnp.bool_)

    def units(side: Side, view: str) -> Array:
        if view == "rank":
            every = np.full(side.values.shape[1], probe.num_units, probe.weights.dtype)
            return jax.device_put(every)
        x = side.present if view == "binary" else side.values
        return _effective(x, probe.weights, probe.groups, num_units=probe.num_units)

    columns = [labels for _, labels in probe.in_columns()]
    of_concept = jnp.concatenate([units(labels, c_view) for labels in columns])

    def of_neurons(part: Probe) -> Array:
        side = part.neurons
        own = units(side, f_view)
        evidence = _smaller(own, of_concept)
        if not ranked:
            return evidence
        off, tied = _off_ties(side.values, probe.weights)
        if not bool(tied.any()):
            return evidence
        own = _effective(off, probe.weights, probe.groups, num_units=probe.num_units)
        less = jnp.minimum(own[:, None], evidence)
        if binary:
            met = [_met(off, labels.present, probe.weights) for labels in columns]
            less = jnp.where(jnp.concatenate(met, axis=1), less, 0)
        return jnp.where(tied[:, None], less, evidence)

    return probe.each_neuron(of_neurons)


@jax.jit
def _smaller(of_neuron: Array, of_concept: Array) -> Array:
    return jnp.minimum(of_neuron[:, None], of_concept[None, :])


@jax.jit
def _off_ties(values: Array, weights: Array) -> tuple[Array, Array]:
    """Where each column is off its commonest value [n, U], and whether most of it is there [U].

    Only the lowest value and 0 are looked at.
    """
    used = weights > 0
    lowest = jnp.where(used[:, None], values, jnp.inf).min(axis=0, keepdims=True)
    zero, low = values != 0, values != lowest
    shares = jnp.stack([weighted_total(x.astype(weights.dtype), weights) for x in (zero, low)])
    least = jnp.argmin(shares, axis=0)
    off = jnp.where(least[None, :] == 0, zero, low)
    return off, shares.min(axis=0) < weights.sum() / 2


@jax.jit
def _met(off: Array, present: Array, weights: Array) -> Array:
    """Whether a concept is present where a column is off its ties, [U, C]."""
    x, y = (a.astype(jnp.float32) for a in (off & (weights > 0)[:, None], present))
    return jnp.matmul(x.T, y) > 0


@partial(jax.jit, static_argnames="num_units")
def _effective(x: Array, weights: Array, groups: Array | None, *, num_units: int) -> Array:
    x = x.astype(weights.dtype)
    mean = weighted_total(x, weights)[None, :] / weights.sum()
    deviation = per_unit(weights[:, None] * (x - mean), groups, num_units)
    largest = jnp.abs(deviation).max(axis=0, keepdims=True)
    # rounding alone is no deviation
    size = weights.max() * jnp.abs(x).max(axis=0, keepdims=True)
    varies = largest > 8 * jnp.finfo(x.dtype).eps * size
    square = jnp.where(varies, deviation / jnp.where(varies, largest, 1), 0) ** 2
    fourth = (square**2).sum(axis=0)
    return jnp.where(fourth > 0, square.sum(axis=0) ** 2 / jnp.where(fourth > 0, fourth, 1), 0)


def telling(
    metric: Metric | None, similarity: Array | np.ndarray, evidence: Array | np.ndarray
) -> np.ndarray:
    """Whether the evidence on a pair is enough for replicates to mean something, [U, C].

    At least ten effective units, and a similarity within the range of the stable scale: at its ends
    nothing varies.
    """
    return np.asarray(_telling(metric, similarity, evidence))


@partial(jax.jit, static_argnames="metric")
def _telling(metric: Metric | None, similarity: Array, evidence: Array) -> Array:
    # not on the scale, whose values may be rounded differently from its ends; and a GPU rounds
    # quotients by two units in the last place, so that 300 of 300 may be less than 1
    rounding = 4 * float(jnp.finfo(similarity.dtype).eps)
    low, high = _ends(metric)
    inside = (similarity > low + rounding) & (similarity < high - rounding)
    return (evidence >= MIN_EVIDENCE) & inside


def in_play(
    told: np.ndarray,
    ends: tuple[Array | np.ndarray, Array | np.ndarray] | None,
    similarity: np.ndarray,
) -> np.ndarray:
    """Pairs [U, C] that may be the most similar of a replicate.

    All that are defined, less those whose replicates stay below another concept's all the time;
    ``ends`` are those of :func:`neurotrust_jax.screening.replicate_range`. The other concept must
    be on enough evidence (``told``), so that what is behind it needs no test either.
    """
    defined = ~np.isnan(similarity)
    return defined if ends is None else defined & np.asarray(_reaching(told, *ends))


@jax.jit
def _reaching(told: Array, lower: Array, upper: Array) -> Array:
    """Whether the upper end of a pair reaches the lower end of every other that is told of."""
    return upper >= jnp.where(told, lower, -jnp.inf).max(axis=1, keepdims=True)


def _on_stable_scale(metric: Metric | None, values: np.ndarray) -> np.ndarray:
    """As :func:`stable_scale`, of however many values [P], for which few shapes are compiled."""
    (filled,) = padded([values])
    return np.asarray(stable_scale(metric, filled))[: len(values)]


def _foremost(neuron: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Of each pair, which is the foremost of its neuron, the first among equals: [P].

    Pairs are in the order of their neurons.
    """
    if len(neuron) == 0:
        return np.zeros(0, int)
    begin = np.flatnonzero(np.r_[True, neuron[1:] != neuron[:-1]])
    number = np.diff(np.r_[begin, len(neuron)])
    most = np.maximum.reduceat(ahead, begin)
    (leads,) = np.nonzero(ahead == np.repeat(most, number))
    own = neuron[leads]
    return np.repeat(leads[np.r_[True, own[1:] != own[:-1]]], number)


def likely(
    metric: Metric,
    similarity: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    spread: np.ndarray,
    ceiling: np.ndarray,
) -> np.ndarray:
    """Which of the pairs in play are likely to be needed, [P].

    Those whose replicates can reach the lowest value that their neuron's most similar concept is
    likely to have in any replicate: replicates cost less when they leave the others out, and are
    repeated with them where the guess is wrong.

    Parameters
    ----------
    metric : Metric
    similarity : array [U, C]
    pairs, spread : as in :func:`choose`
    ceiling : array [P]
        What no replicate of a pair exceeds, on the scale of the similarity.
    """
    scaled, top = (_on_stable_scale(metric, x) for x in (similarity[pairs], ceiling))
    best = _foremost(pairs[0], np.where(np.isnan(scaled), -np.inf, scaled))
    return ~(top < scaled[best] - REACH * spread[best])


def choose(
    metric: Metric | None,
    similarity: np.ndarray,
    told: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    spread: np.ndarray,
    room: int,
) -> Candidates:
    """Pick the concepts to follow.

    A concept that trails by six times the sum of two standard errors (by more than six standard
    errors of the difference, whatever the correlation) is no candidate, at any level; nor is one
    that is not in play.

    Parameters
    ----------
    metric : Metric or None
    similarity : array [U, C]
    told : array [U, C] of bool
        From :func:`telling`.
    pairs : tuple of array [P]
        Neurons, in ascending order, and concepts of the pairs in play.
    spread : array [P]
        Their standard errors on the stable scale.
    room : int
        Largest number of pairs to follow; of the others the least similar are given up, neither
        followed nor excluded.
    """
    num_neurons, num_concepts = similarity.shape
    neuron, concept = pairs
    scaled = _on_stable_scale(metric, similarity[pairs])
    tiny = np.sqrt(np.finfo(scaled.dtype).eps) * np.maximum(np.abs(scaled), 1e-3)
    strong = told[pairs] & (spread > tiny)
    told = told.copy()
    told[pairs] = strong

    # how far the others are behind the neuron's most similar pair that is strong
    ahead = np.where(strong, scaled, -np.inf)
    best = _foremost(neuron, ahead)
    lead = np.where(strong, ahead[best] - scaled, 0)
    (near,) = np.nonzero(strong & (lead <= FAR_BEHIND * (spread + spread[best])))

    near = near[np.lexsort((-ahead[near], neuron[near]))]
    neuron, concept = neuron[near], concept[near]
    place = places_in_lists(np.bincount(neuron, minlength=num_neurons))
    followed_to = np.cumsum(np.bincount(place, minlength=1))
    limit = min(MAX_CANDIDATES, max(int((followed_to <= room).sum()), 1))
    followed = place < limit
    most = int(place[followed].max(initial=0)) + 1
    # few distinct shapes, so that few are compiled
    size = min(num_concepts, 1 << (most - 1).bit_length())
    chosen = np.full((num_neurons, size), -1, np.int32)
    chosen[neuron[followed], place[followed]] = concept[followed]
    excluded = told.copy()
    excluded[neuron, concept] = False
    return Candidates(chosen, ~told, excluded)
