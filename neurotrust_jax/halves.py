"""Similarities on random halves of the sampling units, for all pairs at once."""

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

__all__ = ["draw_halves", "half_similarities"]


def draw_halves(key: Array, probe: Probe, num_splits: int) -> Array:
    """Samples of a random half of the sampling units in each of several splits, [S, n] of bool."""
    weights = draw_all(
        key, np.arange(num_splits), probe.groups,
        scheme="subsample", num_units=probe.num_units, dtype=probe.weights.dtype,
    )  # fmt: skip
    return weights > 0


def half_similarities(part: Probe, metric: Metric, halves: Array) -> tuple[Array, Array]:
    """Similarities on both halves of each split, [U, splits, 2, C], and on all data, [U, C]."""
    if countable(part, metric):
        on = part.neurons.present
        listed = list_rows(on, part.labels.present)
        return _by_counts(listed, on, part.weights[0], halves, metric=metric)
    prepared = prepare(part, metric)
    return (
        _by_scores(prepared, part.weights, halves, metric=metric),
        score_prepared(prepared, part.weights, metric=metric),
    )


@partial(jax.jit, static_argnames="metric")
def _by_scores(prepared: Any, weights: Array, halves: Array, *, metric: Metric) -> Array:
    def both(half: Array) -> Array:
        parts = jnp.stack([keep_rows(metric, weights, rows) for rows in (half, ~half)])
        return lax.map(lambda w: metric.score(prepared, w), parts)

    return lax.map(both, halves).transpose(2, 0, 1, 3)


@partial(jax.jit, static_argnames="metric")
def _by_counts(
    listed: Listed, on: Array, weight: Array, halves: Array, *, metric: Metric
) -> tuple[Array, Array]:
    """As :func:`_by_scores`, of rows to count: what one half lacks, the other half has."""
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
