"""Choose the concepts that a bootstrap follows: those that may be best, on enough evidence."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.packing import pad_to_equal_length, places_in_lists
from ..faithfulness.evidence import MIN_UNITS
from ..metrics.metric import Metric
from ..metrics.table import UNIT
from .labelling_method import LabellingMethod

__all__ = [
    "Candidates",
    "at_top",
    "choose",
    "has_enough_evidence",
    "may_matter",
    "possible_winners",
    "stable_scale",
]

FAR_BEHIND = 6.0  # sums of two standard errors
REACH = 4.5  # standard errors: the lowest of a thousand replicates of one pair is 3.2 below it
MAX_CANDIDATES = 256
EDGE = 1e-4  # the logit and Fisher's z stay finite


class Candidates(NamedTuple):
    """What a bootstrap must know about the concepts of each neuron.

    Attributes
    ----------
    concept : numpy.ndarray [U, K] of int32
        Concepts to follow, most similar first; -1 fills up.
    thin : numpy.ndarray [U, C] of bool
        Too little evidence for a bootstrap, see :func:`has_enough_evidence`, or no spread among the
        replicates.
    excluded : numpy.ndarray [U, C] of bool
        On enough evidence, and further behind the most similar of those than any test allows.
    """

    concept: np.ndarray
    thin: np.ndarray
    excluded: np.ndarray


@partial(jax.jit, static_argnames="metric")
def stable_scale(metric: Metric | LabellingMethod, similarity: Array) -> Array:
    """Put similarities on a scale on which their spread depends little on their value.

    The order of concepts is the same on every increasing scale, but a spread that is estimated
    along with the value must not depend on it: a rival that is high by luck would otherwise also
    look too certain. Shares of events take the arcsine of the root (Anscombe, 1948), other
    similarities in [0, 1] the logit, which suits the skew of AUROC near 1, and those in [-1, 1]
    Fisher's z (1921); the rest stay as they are.

    Parameters
    ----------
    metric : Metric or LabellingMethod
        The scores of a labelling method stay as they are.
    similarity : Array
        In the metric's range; NaN stays NaN.
    """
    if isinstance(metric, LabellingMethod):
        return similarity
    inside = jnp.clip(similarity, *_scale_bounds(metric))
    if metric.range == UNIT and metric.neuron_view == metric.concept_view == "binary":
        return _arcsine_of_root(inside)
    if metric.range == UNIT:
        return jnp.log(inside / (1 - inside))
    if metric.range == (-1.0, 1.0):
        return jnp.arctanh(inside)
    return similarity


def _arcsine_of_root(share: Array) -> Array:
    """Arcsine of the root of numbers in [0, 1].

    In single precision by the polynomial of the Cephes library (asinf, Moshier), which is ten times
    faster on CPUs than XLA's arcsine.
    """
    root = jnp.sqrt(share)
    if share.dtype != jnp.float32:
        return jnp.arcsin(root)
    upper = share > 0.25  # asin(x) = pi / 2 - 2 asin(sqrt((1 - x) / 2))
    # where 1 - x is (1 - share) / (1 + x), without cancellation
    square = jnp.where(upper, 0.5 * (1 - share) / (1 + root), share)
    x = jnp.where(upper, jnp.sqrt(square), root)
    series = jnp.full_like(square, 4.2163199048e-2)
    for coefficient in (2.4181311049e-2, 4.5470025998e-2, 7.4953002686e-2, 1.6666752422e-1):
        series = series * square + coefficient
    arcsine = x + x * square * series
    return jnp.where(upper, jnp.pi / 2 - 2 * arcsine, arcsine)


def _scale_bounds(metric: Metric | LabellingMethod) -> tuple[float, float]:
    """The lower and upper bound of the similarities between which the stable scale rises."""
    if isinstance(metric, LabellingMethod):
        return -math.inf, math.inf
    low, high = metric.range
    shares = metric.neuron_view == metric.concept_view == "binary"
    edge = EDGE if (low, high) == (-1.0, 1.0) or ((low, high) == UNIT and not shares) else 0.0
    return low + edge, high - edge


def has_enough_evidence(
    metric: Metric | LabellingMethod, similarity: Array | np.ndarray, evidence: Array | np.ndarray
) -> np.ndarray:
    """Whether the evidence on a pair is enough for replicates to mean something, [U, C].

    The pair needs at least three effective units, and a similarity inside the range of the stable
    scale: nothing varies at the bounds of the range.
    """
    return np.asarray(_has_enough_evidence(metric, similarity, evidence, MIN_UNITS))


@partial(jax.jit, static_argnames="metric")
def _has_enough_evidence(
    metric: Metric | LabellingMethod, similarity: Array, evidence: Array, least: Array
) -> Array:
    above = similarity > _scale_bounds(metric)[0] + _rounding(similarity)
    return (evidence >= least) & above & ~at_top(metric, similarity)


@partial(jax.jit, static_argnames="metric")
def at_top(metric: Metric | LabellingMethod, similarity: Array) -> Array:
    """Whether a similarity is at the upper bound of the stable scale, where nothing varies."""
    return similarity >= _scale_bounds(metric)[1] - _rounding(similarity)


def _rounding(similarity: Array) -> float:
    # not on the scale, whose values and bounds may be rounded differently; and a GPU rounds
    # quotients by two units in the last place, so that 300 of 300 may be less than 1
    return 4 * float(jnp.finfo(similarity.dtype).eps)


def possible_winners(
    has_evidence: np.ndarray | None,
    bounds: tuple[Array | np.ndarray, Array | np.ndarray] | None,
    similarity: np.ndarray,
) -> np.ndarray:
    """Pairs [U, C] that may be the most similar of a replicate.

    These are all defined pairs, less those whose replicates always stay below those of another
    concept; ``bounds`` are those of :func:`replicate_range`. The other concept must
    be on enough evidence (``has_evidence``), so that what is behind it needs no test either.
    """
    defined = ~np.isnan(similarity)
    return defined if bounds is None else defined & np.asarray(_reaching(has_evidence, *bounds))


@jax.jit
def _reaching(has_evidence: Array, lower: Array, upper: Array) -> Array:
    """Whether the upper bound of a pair reaches the lower bound of all others with evidence."""
    return upper >= jnp.where(has_evidence, lower, -jnp.inf).max(axis=1, keepdims=True)


def _on_stable_scale(metric: Metric | LabellingMethod, values: np.ndarray) -> np.ndarray:
    """As :func:`stable_scale`, for any number of values [P] with few compiled shapes."""
    (filled,) = pad_to_equal_length([values])
    return np.asarray(stable_scale(metric, filled))[: len(values)]


def _foremost(neuron: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """The place of the foremost pair of each pair's neuron, the first among equals: [P].

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


def may_matter(
    metric: Metric,
    similarity: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    spread: np.ndarray,
    upper_bound: np.ndarray,
) -> np.ndarray:
    """Which of the pairs in play may matter, [P].

    These are the pairs whose replicates can reach the lowest value that the most similar concept of
    their neuron probably has in any replicate. Replicates cost less without the others, which are
    computed later where the guess was wrong.

    Parameters
    ----------
    metric : Metric
    similarity : array [U, C]
    pairs, spread : as in :func:`choose`
    upper_bound : array [P]
        What no replicate of a pair exceeds, on the scale of the similarity.
    """
    scaled, top = (_on_stable_scale(metric, x) for x in (similarity[pairs], upper_bound))
    best = _foremost(pairs[0], np.where(np.isnan(scaled), -np.inf, scaled))
    return ~(top < scaled[best] - REACH * spread[best])


def choose(
    metric: Metric | LabellingMethod,
    similarity: np.ndarray,
    has_evidence: np.ndarray,
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
    metric : Metric or LabellingMethod
    similarity : array [U, C]
    has_evidence : array [U, C] of bool
        From :func:`has_enough_evidence`.
    pairs : tuple of array [P]
        Neurons, in ascending order, and concepts of the pairs in play.
    spread : array [P]
        Their standard errors on the stable scale.
    room : int
        Largest number of pairs to follow. If there are more, the least similar are neither followed
        nor excluded.
    """
    num_neurons, num_concepts = similarity.shape
    neuron, concept = pairs
    scaled = _on_stable_scale(metric, similarity[pairs])
    tiny = np.sqrt(np.finfo(scaled.dtype).eps) * np.maximum(np.abs(scaled), 1e-3)
    strong = has_evidence[pairs] & (spread > tiny)
    has_evidence = has_evidence.copy()
    has_evidence[pairs] = strong

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
    excluded = has_evidence.copy()
    excluded[neuron, concept] = False
    return Candidates(chosen, ~has_evidence, excluded)
