"""The labels of many replicates, computed in one of two ways that give the same.

``dense``: all rows, one replicate after the other. ``active``: the rows on which a neuron is
active, one neuron after the other. A neuron that is active on one sample in twenty meets a concept
on those samples only, so the large matrix product of a replicate, neurons by concepts, needs no
other rows; all replicates of a neuron then go through one product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .candidates import stable_scale
from .metrics import Metric
from .probe import Probe
from .similarity import at_concept, winner
from .sums import Sums
from .weights import draw, draw_all

__all__ = [
    "ActiveRows",
    "accumulate",
    "active_fits",
    "active_replicates",
    "active_rows",
    "active_spread",
    "dense_replicates",
    "dense_spread",
    "standard_deviation",
]

NUM_PILOT = 64  # replicates for the standard errors that choose the candidates


@partial(jax.jit, static_argnames=("metric", "scheme", "num_units"))
def dense_spread(
    key: Array,
    prepared: Any,
    weights: Array,
    groups: Array | None,
    observed: Array,
    *,
    metric: Metric,
    scheme: str,
    num_units: int,
) -> Array:
    """Standard errors on the stable scale from the first replicates, whatever their number B."""

    def add(b: Array, moments: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        w = weights * draw(key, b, groups, scheme, num_units, weights.dtype)
        return accumulate(moments, stable_scale(metric, metric.score(prepared, w)) - centre)

    centre = stable_scale(metric, observed)
    zero = jnp.zeros_like(centre)
    return standard_deviation(lax.fori_loop(0, NUM_PILOT, add, (zero, zero, zero)))


@partial(jax.jit, static_argnames=("metric", "scheme", "num_units"))
def dense_replicates(
    key: Array,
    ids: Array,
    prepared: Any,
    weights: Array,
    groups: Array | None,
    label: Array,
    candidates: Array,
    *,
    metric: Metric,
    scheme: str,
    num_units: int,
) -> tuple[Array, Array, Array, Array]:
    """Of the replicates ``ids``: winners, their similarity, the label's; the candidates'.

    Three of shape [b, U], the last [b, U, K]. One replicate after the other: each is a large matrix
    product already, and its bits then do not depend on its neighbours.
    """

    def one(replicate: Array) -> tuple[Array, Array, Array, Array]:
        w = weights * draw(key, replicate, groups, scheme, num_units, weights.dtype)
        scores = metric.score(prepared, w)
        won = winner(scores)
        followed = jnp.take_along_axis(scores, jnp.maximum(candidates, 0), axis=1)
        return won, at_concept(scores, won), at_concept(scores, label), followed

    return lax.map(one, ids)


def accumulate(moments: tuple[Array, Array, Array], x: Array) -> tuple[Array, Array, Array]:
    """Add values to their number, sum and sum of squares; NaN is left out."""
    count, total, square = moments
    defined = ~jnp.isnan(x)
    x = jnp.where(defined, x, 0)
    return count + defined.astype(x.dtype), total + x, square + x * x


def standard_deviation(moments: tuple[Array, Array, Array]) -> Array:
    """The standard deviation of what was accumulated."""
    count, total, square = moments
    some = jnp.maximum(count, 1)
    return jnp.sqrt(jnp.maximum(square / some - (total / some) ** 2, 0))


class ActiveRows(NamedTuple):
    """Where each neuron is active, and the concepts there.

    Attributes
    ----------
    rows : Array [U, k] of int32
        Rows on which the neuron is active; n fills up.
    concepts : Array [n + 1, C]
        0/1, with a last row of zeros.
    """

    rows: Array
    concepts: Array


def active_fits(probe: Probe, metric: Metric, scheme: str) -> bool:
    """Whether sums are whole numbers, which come out the same in whatever order they are taken."""
    weights = np.asarray(probe.weights)
    return (
        metric.finalise is not None
        and metric.neuron_view == metric.concept_view == "binary"
        and scheme != "bayesian"
        and bool((weights == np.round(weights)).all())
        # and none is too large for that, however the units are drawn
        and 2 * weights.sum() <= 2.0 ** np.finfo(weights.dtype).nmant
    )


def active_rows(probe: Probe) -> ActiveRows:
    """List each neuron's active rows, as many places for all as the most active one needs."""
    present = np.ascontiguousarray(np.asarray(probe.neurons.present).T)
    count = present.sum(axis=1)
    most = max(int(count.max()), 1)
    # few distinct shapes, so that few are compiled
    step = max(1 << max(most.bit_length() - 3, 0), 8)
    rows = np.full((len(present), -(-most // step) * step), probe.num_samples, np.int32)
    neuron, row = np.nonzero(present)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    rows[neuron, place] = row
    concepts = probe.labels.present.astype(probe.weights.dtype)
    return ActiveRows(jnp.asarray(rows), jnp.pad(concepts, ((0, 1), (0, 0))))


def _neuron_scores(active: ActiveRows, weights: Array, metric: Metric) -> Callable[[Array], Array]:
    """A function that gives the scores [C, b] of the neuron with given rows [k].

    ``weights`` [n, b] are those of b replicates.
    """
    padded = jnp.pad(weights, ((0, 1), (0, 0)))
    total = padded.sum(axis=0, keepdims=True)
    concepts = jnp.matmul(active.concepts.T, padded, precision=lax.Precision.HIGHEST)
    concept_varies = (concepts > 0) & (concepts < total)

    def scores(rows: Array) -> Array:
        w = padded[rows]
        both = jnp.matmul(active.concepts[rows].T, w, precision=lax.Precision.HIGHEST)
        neuron = w.sum(axis=0, keepdims=True)
        sums = Sums(S=total, F=neuron, C=concepts, FF=neuron, CC=concepts, FC=both)
        defined = concept_varies & (neuron > 0) & (neuron < total)
        return jnp.where(defined, jnp.clip(metric.finalise(sums), *metric.range), jnp.nan)  # type: ignore[misc]

    return scores


@partial(jax.jit, static_argnames=("metric", "scheme", "num_units"))
def active_spread(
    key: Array,
    active: ActiveRows,
    weights: Array,
    groups: Array | None,
    observed: Array,
    *,
    metric: Metric,
    scheme: str,
    num_units: int,
) -> Array:
    """As :func:`dense_spread`."""
    ids = jnp.arange(NUM_PILOT)
    drawn = draw_all(key, ids, weights, groups, scheme, num_units)
    scores = _neuron_scores(active, drawn, metric)

    def neuron(x: tuple[Array, Array]) -> Array:
        rows, centre = x
        deviation = stable_scale(metric, scores(rows)) - centre[:, None]
        zero = jnp.zeros_like(centre)
        defined = ~jnp.isnan(deviation)
        deviation = jnp.where(defined, deviation, 0)
        count = defined.sum(axis=1).astype(zero.dtype)
        return standard_deviation((count, deviation.sum(axis=1), (deviation**2).sum(axis=1)))

    return lax.map(neuron, (active.rows, stable_scale(metric, observed)))


@partial(jax.jit, static_argnames=("metric", "scheme", "num_units"))
def active_replicates(
    key: Array,
    ids: Array,
    active: ActiveRows,
    weights: Array,
    groups: Array | None,
    label: Array,
    candidates: Array,
    *,
    metric: Metric,
    scheme: str,
    num_units: int,
) -> tuple[Array, Array, Array, Array]:
    """As :func:`dense_replicates`, one neuron after the other."""
    drawn = draw_all(key, ids, weights, groups, scheme, num_units)
    scores = _neuron_scores(active, drawn, metric)

    def neuron(x: tuple[Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        rows, labelled, followed = x
        found = scores(rows)
        ordered = jnp.where(jnp.isnan(found), -jnp.inf, found)
        top = ordered.max(axis=0)
        # arg-max by two reductions that a CPU does many at a time
        column = jnp.arange(found.shape[0], dtype=jnp.int32)[:, None]
        first = jnp.where(ordered == top[None, :], column, found.shape[0]).min(axis=0)
        none = jnp.isnan(found).all(axis=0)
        at_label = jnp.where(labelled < 0, jnp.nan, found[labelled])
        won = jnp.where(none, -1, first)
        return won, jnp.where(none, jnp.nan, top), at_label, found[jnp.maximum(followed, 0)]

    won, winning, labelled, followed = lax.map(neuron, (active.rows, label, candidates))
    return won.T, winning.T, labelled.T, followed.transpose(2, 0, 1)
