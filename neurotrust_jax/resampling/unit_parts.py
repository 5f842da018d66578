"""Similarities on parts of the groups, from each neuron's sums per group.

A part has whole groups, so that its sums are products of 0 and 1 (which groups it has) with the
sums per group: for each neuron [P, k] x [k, C], with k the groups in which it is active.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import RowIndex
from .._numerics.sums import Sums
from .._runtime.kept import kept
from ..metrics.metric import Metric
from ..metrics.scores import winner

__all__ = ["score_unit_parts"]


def score_unit_parts(
    listed: RowIndex, groups: Array, rows: Array, *, metric: Metric, num_splits: int
) -> tuple[Array, Array, Sums]:
    """Similarities [U, P, C] and labels [U, P] on parts, and crossed sums [U, 2S].

    Parameters
    ----------
    listed : RowIndex
        From :func:`active_units`.
    groups : Array [n] of int32
    rows : Array [P, n] of bool
        The samples of each part, see :func:`score_parts`.
    metric : Metric
    num_splits : int
    """
    inside = _units_of(
        rows, groups, num_units=listed.present.shape[1] - 1, dtype=listed.present.dtype
    )
    found = [
        _of_lists(x, listed, inside, metric=metric, num_splits=num_splits) for x in listed.lists
    ]
    kind, place = np.asarray(listed.kind), np.asarray(listed.place)
    begin = np.cumsum([0, *(len(x.rows) for x in listed.lists)])
    order = begin[kind] + place
    if len(found) == 1 and len(order) == begin[1] and (order == np.arange(begin[1])).all():
        return found[0]
    return _joined(found, jax.device_put(order))


@jax.jit
def _joined(found: list[Any], order: Array) -> Any:
    return jax.tree.map(lambda *x: jnp.concatenate(x)[order], *found)


@kept
@partial(jax.jit, static_argnames=("num_units", "dtype"))
def _units_of(rows: Array, groups: Array, *, num_units: int, dtype: np.dtype) -> Array:
    """Which groups each part has, [G + 1, P] of 0 and 1."""
    has = jnp.zeros((len(rows), num_units + 1), bool).at[:, groups].max(rows)
    return has.T.astype(dtype)


@partial(jax.jit, static_argnames=("metric", "num_splits"))
def _of_lists(
    lists: Any, listed: RowIndex, inside: Array, *, metric: Metric, num_splits: int
) -> tuple[Array, Array, Sums]:
    assert listed.unit_weight is not None
    product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    size = product(listed.unit_weight, inside)[0]  # [P]
    positives = product(listed.present, inside).T  # [P, C]
    varies = (positives > 0) & (positives < size[:, None])
    halves = 2 * num_splits
    other = jnp.arange(halves, dtype=jnp.int32) ^ 1

    def neuron(own: Any) -> tuple[Array, Array, Sums]:
        here = inside[own.rows].T  # [P, k]
        active, hits = product(here, own.weight)[:, None], product(here, own.hits)
        sums = Sums(size[:, None], active, positives, active, positives, hits)
        defined = varies & (active > 0) & (active < size[:, None])
        similarity = metric.value(sums, defined)
        label = winner(similarity)
        given = jnp.maximum(label[:halves], 0)
        f, c = active[other, 0], positives[other, given]
        crossed = Sums(size[other], f, c, f, c, hits[other, given])
        return similarity, label, crossed

    return lax.map(neuron, lists)
