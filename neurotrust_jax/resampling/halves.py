"""Random halves and quarters of the sampling units, and what they say of all neurons at once.

Conformal sets, the probability of replication and the winner's curse read the same halves: one
pass serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import (
    CountTable,
    countable,
    list_rows,
    over_counts,
    similarity_of_counts,
    stable_scale,
)
from .._numerics.sums import Sums
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, prepare, score_prepared, winner
from ..probing.probe import Probe
from ..schemes import SUBSAMPLE, draw_all
from .crossfit import blocks_of_neurons, keep_rows, scores_and_sums, sums_at

__all__ = [
    "OnHalves",
    "draw_halves",
    "draw_quarters",
    "half_differences",
    "half_similarities",
    "read_halves",
]

COPIES = 4  # arrays of all similarities of the parts that are alive at once
QUARTERS = 2**32 - 1  # folded into the key of the quarters; splits fold in 0, 1, ...


def draw_halves(key: Array, probe: Probe, num_splits: int) -> Array:
    """Samples of a random half of the sampling units in each of several splits, [S, n] of bool."""
    weights = draw_all(
        key, np.arange(num_splits), probe.groups,
        scheme=SUBSAMPLE, num_units=probe.num_units, dtype=probe.weights.dtype,
    )  # fmt: skip
    return weights > 0


def draw_quarters(key: Array, probe: Probe, num_deals: int) -> Array:
    """Samples of each of four parts in several deals of the sampling units, [D, 4, n] of bool."""
    num_units = probe.num_units
    part = jnp.arange(num_units, dtype=jnp.int32) % 4
    keys = jax.random.split(jax.random.fold_in(key, QUARTERS), num_deals)
    dealt = jax.vmap(lambda k: jax.random.permutation(k, part))(keys)
    dealt = dealt if probe.groups is None else dealt[:, probe.groups]
    return dealt[:, None, :] == jnp.arange(4, dtype=jnp.int32)[None, :, None]


class OnHalves(NamedTuple):
    """Similarities of some neurons on halves, quarters and all data.

    Attributes
    ----------
    similarity : Array [U, S, 2, C]
        Similarities on both halves of each split.
    whole : Array [U, C]
        Those on all data.
    quarters : Array [U, D, 4, C], or None
        Those on quarters, where these are asked for.
    label : Array [S, 2, U] of int32, or None
        Label that each half gives, -1 for none, where labels on other halves are asked for.
    crossed : Sums of Array [S, 2, U], or Array [S, 2, U], or None
        The six sums of that label on the other half; of a metric that is no function of them its
        similarity there.
    """

    similarity: Array
    whole: Array
    quarters: Array | None
    label: Array | None
    crossed: Any


def read_halves(
    key: Array,
    probe: Probe,
    metric: Metric,
    num_splits: int,
    readers: Sequence[Callable[[OnHalves], Any]],
    *,
    num_deals: int = 0,
    crossed: bool = False,
    scores: Array | None = None,
) -> list[Any]:
    """Pass the same halves to several readers, in one pass over the neurons.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    metric : Metric
    num_splits : int
        Splits into halves.
    readers : sequence of callable
        ``reader(OnHalves)`` gives arrays [U, ...], or a pytree of them, of some neurons.
    num_deals : int
        Deals into quarters, none unless given.
    crossed : bool
        Whether some reader needs labels on the other halves; of ranks that costs half as much
        again.
    scores : array [U, C], optional
        Similarities on all data, where they are at hand already.

    Returns
    -------
    list
        The arrays of each reader, as NumPy arrays of all neurons.
    """
    halves = draw_halves(key, probe, num_splits)
    quarters = draw_quarters(key, probe, num_deals) if num_deals else None
    arrays = COPIES * (2 * num_splits + 4 * num_deals)
    found = []
    for some, part in blocks_of_neurons(probe, metric, arrays):
        whole = None if scores is None else scores[some]
        on_halves = half_similarities(part, metric, halves, quarters, crossed=crossed, whole=whole)
        found.append([jax.device_get(read(on_halves)) for read in readers])
    return [jax.tree.map(lambda *x: np.concatenate(x), *each) for each in zip(*found, strict=True)]


def half_differences(metric: Metric, similarity: Array) -> tuple[Array, Array, Array, Array]:
    """How far the halves of one neuron differ, from its similarities [S, 2, C].

    Returns
    -------
    label : Array [S, 2] of int32
        Label of each half, -1 for none.
    used : Array [S] of bool
        Whether both halves give one.
    scaled : Array [S, 2, C]
        The similarities on the stable scale.
    apart : Array [S, C]
        Half of the difference of the two halves, 0 where not used. A similarity that is undefined
        on a half counts as the mean of those that are defined.
    """
    num_splits = similarity.shape[0]
    label = winner(similarity.reshape(2 * num_splits, -1)).reshape(num_splits, 2)
    used = (label >= 0).all(axis=1)
    scaled = stable_scale(metric, similarity)
    typical = jnp.nanmean(scaled, axis=2, keepdims=True)
    known = jnp.where(jnp.isnan(scaled), typical, scaled)
    apart = jnp.where(used[:, None], known[:, 0] - known[:, 1], 0) / 2
    return label, used, scaled, apart


def half_similarities(
    part: Probe,
    metric: Metric,
    halves: Array,
    quarters: Array | None = None,
    *,
    crossed: bool = False,
    whole: Array | None = None,
) -> OnHalves:
    """What halves [S, n] and quarters [D, 4, n] of bool say of all neurons of a probe.

    ``whole`` [U, C] are the similarities on all data, where they are at hand already.
    """
    label = other = dealt = None
    if countable(part, metric):
        on = part.neurons.present
        listed = list_rows(on, part.labels.present)
        counted = listed, on, part.weights[0]
        similarity, whole, label, other = _by_counts(*counted, halves, metric=metric)
        if quarters is not None:
            dealt = _counted(*counted, quarters, metric=metric)
    else:
        prepared = prepare(part, metric)
        scored = partial(_scored, prepared, part.weights, metric=metric)
        if crossed:
            similarity, label, other = _by_scores(prepared, part.weights, halves, metric=metric)
        else:
            similarity = scored(jnp.stack([halves, ~halves], axis=1))
        if whole is None:
            whole = score_prepared(prepared, part.weights, metric=metric)
        if quarters is not None:
            dealt = scored(quarters)
    return OnHalves(similarity, whole, dealt, label, other)


@partial(jax.jit, static_argnames="metric")
def _by_scores(
    prepared: Any, weights: Array, halves: Array, *, metric: Metric
) -> tuple[Array, Array, Any]:
    """Similarities on halves, their labels, and these on the other halves."""

    def score(rows: Array) -> tuple[Array, Any]:
        kept = keep_rows(metric, weights, rows)
        if metric.finalise is None:
            scores = metric.score(prepared, kept)
            return scores, scores
        return scores_and_sums(metric, prepared, kept)

    def both(half: Array) -> tuple[Array, Array, Any]:
        scores, found = lax.map(score, jnp.stack([half, ~half]))  # [2, U, C], and sums of these
        label = jnp.stack([winner(scores[0]), winner(scores[1])])
        other = jax.tree.map(lambda x: x[::-1], found)
        crossed = jax.vmap(at_concept if metric.finalise is None else sums_at)(other, label)
        return scores, label, crossed

    scores, label, crossed = lax.map(both, halves)
    return scores.transpose(2, 0, 1, 3), label, crossed


@partial(jax.jit, static_argnames="metric")
def _scored(prepared: Any, weights: Array, parts: Array, *, metric: Metric) -> Array:
    """Similarities on parts of the samples, [U, splits, P, C] from [splits, P, n] of bool."""

    def score(rows: Array) -> Array:
        return metric.score(prepared, keep_rows(metric, weights, rows))

    return lax.map(lambda split: lax.map(score, split), parts).transpose(2, 0, 1, 3)


@partial(jax.jit, static_argnames="metric")
def _counted(
    listed: CountTable, on: Array, weight: Array, parts: Array, *, metric: Metric
) -> Array:
    """As :func:`_scored`, of rows to count."""
    num_samples = parts.shape[2]
    rows = jnp.arange(num_samples, dtype=jnp.int32)

    def score(inside: Array) -> Array:
        size = inside.sum(dtype=jnp.int32)
        active, positives = (
            (x & inside[:, None]).sum(axis=0, dtype=jnp.int32) for x in (on, listed.table[:-1] > 0)
        )

        def scores(neurons: Array, count: Array) -> Array:
            return similarity_of_counts(metric, weight, size, active[neurons], positives, count)

        return over_counts(listed, jnp.where(inside, rows, num_samples), scores, positives)

    return lax.map(lambda split: lax.map(score, split), parts).transpose(2, 0, 1, 3)


@partial(jax.jit, static_argnames="metric")
def _by_counts(
    listed: CountTable, on: Array, weight: Array, halves: Array, *, metric: Metric
) -> tuple[Array, Array, Array, Sums]:
    """As :func:`_by_scores`, of rows to count: what one half lacks, the other half has."""
    num_samples = halves.shape[1]
    rows = jnp.arange(num_samples, dtype=jnp.int32)
    together = over_counts(listed, rows, lambda _, count: count)
    similarity = partial(similarity_of_counts, metric, weight)

    def both(half: Array) -> tuple[Array, Array, Sums]:
        size = half.sum(dtype=jnp.int32)
        active, positives = (
            (x & half[:, None]).sum(axis=0, dtype=jnp.int32) for x in (on, listed.table[:-1] > 0)
        )
        sizes = jnp.stack([size, num_samples - size])
        has = jnp.stack([positives, listed.total - positives])
        on_half = jnp.stack([active, listed.length - active])

        def counted(neurons: Array, count: Array) -> tuple[Array, Array, Array]:
            hits = jnp.stack([count, together[neurons] - count])
            of_half = zip(sizes, on_half[:, neurons], has, hits, strict=True)
            scores = jnp.stack([similarity(*x) for x in of_half], axis=1)
            label = jnp.stack([winner(scores[:, 0]), winner(scores[:, 1])])
            at = jnp.maximum(label, 0)
            crossed = jnp.take_along_axis(hits[::-1], at[:, :, None], axis=2)[:, :, 0]
            return scores, label.T, crossed.T

        moved = jnp.where(half, rows, num_samples)
        scores, label, crossed = over_counts(listed, moved, counted, positives)
        label, crossed = label.T, crossed.T  # [2, U]
        positive = jnp.take_along_axis(has[::-1], jnp.maximum(label, 0), axis=1)
        size_of = jnp.broadcast_to(sizes[::-1, None], label.shape)
        f = on_half[::-1]
        return scores, label, Sums(size_of, f, positive, f, positive, crossed)

    whole = similarity(num_samples, listed.length, listed.total, together)
    scores, label, sums = lax.map(both, halves)
    weighted = jax.tree.map(lambda x: weight * x.astype(weight.dtype), sums)
    return scores.transpose(1, 0, 2, 3), whole, label, weighted
