"""Similarities on random halves and quarters of the sampling units, for all pairs at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .counts import Listed, countable, list_rows, over_counts, similarity_of_counts
from .crossfit import keep_rows
from .metrics import Metric
from .probe import Probe
from .similarity import prepare, score_prepared
from .weights import draw_all

__all__ = ["draw_halves", "draw_quarters", "half_similarities"]

QUARTERS = 2**32 - 1  # folded into the key of the quarters; splits fold in 0, 1, ...


def draw_halves(key: Array, probe: Probe, num_splits: int) -> Array:
    """Samples of a random half of the sampling units in each of several splits, [S, n] of bool."""
    weights = draw_all(
        key, np.arange(num_splits), probe.groups,
        scheme="subsample", num_units=probe.num_units, dtype=probe.weights.dtype,
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


def half_similarities(
    part: Probe, metric: Metric, halves: Array, quarters: Array | None = None
) -> tuple[Array, ...]:
    """Similarities on both halves of each split, [U, splits, 2, C], and on all data, [U, C].

    Where ``quarters`` are given, on these as well, [U, deals, 4, C].
    """
    if countable(part, metric):
        on = part.neurons.present
        listed = list_rows(on, part.labels.present)
        found = _by_counts(listed, on, part.weights[0], halves, metric=metric)
        if quarters is None:
            return found
        return *found, _counted(listed, on, part.weights[0], quarters, metric=metric)
    prepared = prepare(part, metric)
    scores = partial(_scored, prepared, part.weights, metric=metric)
    found = (
        scores(jnp.stack([halves, ~halves], 1)),
        score_prepared(prepared, part.weights, metric=metric),
    )
    return found if quarters is None else (*found, scores(quarters))


@partial(jax.jit, static_argnames="metric")
def _scored(prepared: Any, weights: Array, parts: Array, *, metric: Metric) -> Array:
    """Similarities on parts of the samples, [U, splits, P, C] from [splits, P, n] of bool."""

    def score(rows: Array) -> Array:
        return metric.score(prepared, keep_rows(metric, weights, rows))

    return lax.map(lambda split: lax.map(score, split), parts).transpose(2, 0, 1, 3)


@partial(jax.jit, static_argnames="metric")
def _counted(listed: Listed, on: Array, weight: Array, parts: Array, *, metric: Metric) -> Array:
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
    listed: Listed, on: Array, weight: Array, halves: Array, *, metric: Metric
) -> tuple[Array, Array]:
    """As :func:`_counted` of halves: what one half lacks, the other half has."""
    num_samples = halves.shape[1]
    rows = jnp.arange(num_samples, dtype=jnp.int32)
    together = over_counts(listed, rows, lambda _, count: count)
    similarity = partial(similarity_of_counts, metric, weight)

    def both(half: Array) -> Array:
        size = half.sum(dtype=jnp.int32)
        active, positives = (
            (x & half[:, None]).sum(axis=0, dtype=jnp.int32) for x in (on, listed.table[:-1] > 0)
        )

        def scores(neurons: Array, count: Array) -> Array:
            inside = similarity(size, active[neurons], positives, count)
            outside = similarity(
                num_samples - size, listed.length[neurons] - active[neurons],
                listed.total - positives, together[neurons] - count,
            )  # fmt: skip
            return jnp.stack([inside, outside], axis=1)

        return over_counts(listed, jnp.where(half, rows, num_samples), scores, positives)

    whole = similarity(num_samples, listed.length, listed.total, together)
    return lax.map(both, halves).transpose(1, 0, 2, 3), whole
