"""Which concepts of a neuron a bootstrap follows: those that may be best, on enough evidence."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from .metrics import UNIT, Metric
from .probe import Probe, Side
from .sums import per_unit

__all__ = ["Candidates", "choose", "effective_units", "stable_scale"]

MIN_EVIDENCE = 10.0  # effective units; with fewer, replicates say little about other probing sets
FAR_BEHIND = 6.0  # sums of two standard errors
MAX_CANDIDATES = 256
EDGE = 1e-4  # the logit and Fisher's z stay finite


class Candidates(NamedTuple):
    """What a bootstrap needs to know of each neuron's concepts.

    Attributes
    ----------
    concept : Array [U, K] of int32
        Concepts to follow, most similar first; -1 fills up.
    thin : Array [U, C] of bool
        Too little evidence for a bootstrap, see :func:`effective_units`, or no spread among its
        replicates.
    excluded : Array [U, C] of bool
        On enough evidence, and further behind the most similar of those than any test allows.
    """

    concept: Array
    thin: Array
    excluded: Array


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
    if metric.range == UNIT and metric.neuron_view == metric.concept_view == "binary":
        return jnp.arcsin(jnp.sqrt(jnp.clip(similarity, 0, 1)))
    if metric.range == UNIT:
        inside = jnp.clip(similarity, EDGE, 1 - EDGE)
        return jnp.log(inside / (1 - inside))
    if metric.range == (-1.0, 1.0):
        return jnp.arctanh(jnp.clip(similarity, EDGE - 1, 1 - EDGE))
    return similarity


def effective_units(probe: Probe, metric: Metric | None) -> Array:
    """How many units carry the evidence on each pair, [U, C], from 0 to their number.

    For a column with weighted deviations D_i from its mean, summed by unit, it is
    ``(sum D_i^2)^2 / sum D_i^4``: about the number of positives for a rare concept, all units for
    one present half of the time, 0 for a constant. A pair has the smaller of its two columns'.
    A column read by its ranks has all units. Without a metric only the concepts count.
    """
    f_view = "rank" if metric is None else metric.neuron_view
    c_view = "binary" if metric is None else metric.concept_view

    def units(side: Side, view: str) -> Array:
        if view == "rank":
            return jnp.full(side.values.shape[1], probe.num_units, probe.weights.dtype)
        x = side.present.astype(probe.weights.dtype) if view == "binary" else side.values
        return _effective(x, probe.weights, probe.groups, num_units=probe.num_units)

    return jnp.minimum(units(probe.neurons, f_view)[:, None], units(probe.labels, c_view)[None, :])


def _effective(x: Array, weights: Array, groups: Array | None, *, num_units: int) -> Array:
    mean = (weights[:, None] * x).sum(axis=0, keepdims=True) / weights.sum()
    deviation = per_unit(weights[:, None] * (x - mean), groups, num_units)
    largest = jnp.abs(deviation).max(axis=0, keepdims=True)
    # rounding alone is no deviation
    size = weights.max() * jnp.abs(x).max(axis=0, keepdims=True)
    varies = largest > 8 * jnp.finfo(x.dtype).eps * size
    square = jnp.where(varies, deviation / jnp.where(varies, largest, 1), 0) ** 2
    fourth = (square**2).sum(axis=0)
    return jnp.where(fourth > 0, square.sum(axis=0) ** 2 / jnp.where(fourth > 0, fourth, 1), 0)


def choose(
    metric: Metric | None, similarity: Array, evidence: Array, spread: Array, room: int
) -> Candidates:
    """Pick the concepts to follow.

    A concept that trails by six times the sum of two standard errors (by more than six standard
    errors of the difference, whatever the correlation) is no candidate, at any level.

    Parameters
    ----------
    metric : Metric or None
    similarity : Array [U, C]
    evidence : Array [U, C]
        From :func:`effective_units`.
    spread : Array [U, C]
        Standard errors on the stable scale, from some replicates.
    room : int
        Largest K; concepts beyond it are neither followed nor excluded.
    """
    scaled = stable_scale(metric, similarity)
    low, high = (-jnp.inf, jnp.inf) if metric is None else metric.range
    inside = (similarity > low) & (similarity < high)
    tiny = jnp.sqrt(jnp.finfo(scaled.dtype).eps) * jnp.maximum(jnp.abs(scaled), 1e-3)
    thin = ~((evidence >= MIN_EVIDENCE) & inside & (spread > tiny))
    strong = jnp.where(thin, -jnp.inf, scaled)
    best = strong.argmax(axis=1, keepdims=True)
    lead = jnp.take_along_axis(strong, best, axis=1) - strong
    excluded = ~thin & (lead > FAR_BEHIND * (spread + jnp.take_along_axis(spread, best, axis=1)))
    follow = ~thin & ~excluded
    most = int(follow.sum(axis=1).max())
    # few distinct shapes, so that few are compiled
    size = min(similarity.shape[1], room, 1 << max(most - 1, 0).bit_length())
    order = jnp.argsort(jnp.where(follow, strong, -jnp.inf), axis=1, descending=True)[:, :size]
    chosen = jnp.take_along_axis(follow, order, axis=1)
    return Candidates(jnp.where(chosen, order, -1).astype(jnp.int32), thin, excluded)
