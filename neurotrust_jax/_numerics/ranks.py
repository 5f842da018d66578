"""The order of each column with exact ties, and weighted ranks that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .sums import running_total, tiled_total, tiling

__all__ = [
    "COLUMNS", "Ranking", "ascending", "cumulative_weight", "mid_ranks", "rank_from_top", "ranking",
    "tied_with_next", "twice_below",
]  # fmt: skip

COLUMNS = 64  # turned from columns to rows at a time


class Ranking(NamedTuple):
    """The order of each column; weights change the ranks, never the order.

    Attributes
    ----------
    order : Array [n, d] of int32
        Rows in ascending order of value.
    first, last : Array [n, d] of int32
        Row i of a column ties with the sorted positions ``first[i] .. last[i] - 1``.
    """

    order: Array
    first: Array
    last: Array


def ascending(values: Array) -> Array:
    """Rows of each column of ``values`` [n, d] in ascending order of value, [n, d] of int32."""
    if not _by_numpy(values):
        return _sorted_by_xla(values)[1].T
    order = np.empty(values.shape, np.int32)
    for some, columns in _in_columns(np.asarray(values)):
        order[:, some] = np.argsort(columns, axis=1).T
    return jax.device_put(order)


def tied_with_next(values: Array) -> np.ndarray:
    """Whether each value of a column, in ascending order, equals the next one, [d, n - 1] of bool.

    Much cheaper than a :func:`ranking` where only the sizes of ties matter.
    """
    if not _by_numpy(values):
        return np.asarray(_equal_to_next(_sorted_by_xla(values)[0]))
    tied = np.empty((values.shape[1], values.shape[0] - 1), bool)
    for some, columns in _in_columns(np.asarray(values)):
        columns = np.sort(columns, axis=1)
        np.equal(columns[:, 1:], columns[:, :-1], out=tied[some])
    return tied


@jax.jit
def _equal_to_next(ascending: Array) -> Array:
    return ascending[:, 1:] == ascending[:, :-1]


def ranking(values: Array) -> Ranking:
    """Sort every column of ``values`` [n, d] once, with exact ties."""
    return _ranking_by_numpy(np.asarray(values)) if _by_numpy(values) else _ranking_by_xla(values)


def _by_numpy(values: Array) -> bool:
    """Whether NumPy sorts: several times faster on a CPU, but no part of a compiled function."""
    return jax.default_backend() == "cpu" and not isinstance(values, jax.core.Tracer)


def _in_columns(values: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Some columns at a time, as rows."""
    for start in range(0, values.shape[1], COLUMNS):
        some = slice(start, start + COLUMNS)
        columns = np.ascontiguousarray(values[:, some].T)
        if columns.dtype in (np.float32, np.float64):
            # as in XLA's arithmetic
            columns = np.where(np.abs(columns) < np.finfo(columns.dtype).tiny, 0, columns)
        yield some, columns


@jax.jit
def _sorted_by_xla(values: Array) -> tuple[Array, Array]:
    """Each column in ascending order, as whole numbers, and its rows in that order, [d, n]."""
    rows = _as_integers(values.T)
    ascending, order = lax.sort((rows, _positions(rows.shape)), num_keys=1)
    return ascending, order


def _as_integers(values: Array) -> Array:
    """Whole numbers in the order of ``values``: by these a GPU sorts ten times as fast."""
    if not jnp.issubdtype(values.dtype, jnp.floating):
        return values
    wide = values.dtype == jnp.float64
    values = values.astype(jnp.float64 if wide else jnp.float32)
    values = jnp.where(jnp.abs(values) < jnp.finfo(values.dtype).tiny, 0, values)
    whole = jnp.int64 if wide else jnp.int32
    bits = lax.bitcast_convert_type(values, whole)
    return jnp.where(bits < 0, bits ^ jnp.iinfo(whole).max, bits)


def _positions(shape: tuple[int, ...]) -> Array:
    return lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)


@jax.jit
def _ranking_by_xla(values: Array) -> Ranking:
    ascending, order = _sorted_by_xla(values)
    position, num_samples = _positions(order.shape), order.shape[1]
    new = jnp.pad(ascending[:, 1:] != ascending[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    end = jnp.pad(new[:, 1:], ((0, 0), (0, 1)), constant_values=True)
    first = lax.cummax(jnp.where(new, position, 0), axis=1)
    last = lax.cummin(jnp.where(end, position + 1, num_samples), axis=1, reverse=True)

    def by_row(order: Array, x: Array) -> Array:
        return jnp.zeros_like(x).at[order].set(x, unique_indices=True)

    return Ranking(order.T, *(jax.vmap(by_row)(order, x).T for x in (first, last)))


def _ranking_by_numpy(values: np.ndarray) -> Ranking:
    num_samples = values.shape[0]
    position = np.arange(num_samples, dtype=np.int32)
    tables = [np.empty(values.shape, np.int32) for _ in Ranking._fields]
    for some, columns in _in_columns(values):
        order = np.argsort(columns, axis=1)
        ascending = np.take_along_axis(columns, order, axis=1)
        new = np.pad(ascending[:, 1:] != ascending[:, :-1], ((0, 0), (1, 0)), constant_values=True)
        first = np.maximum.accumulate(np.where(new, position, 0), axis=1)
        end = np.pad(new[:, 1:], ((0, 0), (0, 1)), constant_values=True)
        ends = np.where(end, position + 1, num_samples)
        last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        tables[0][:, some] = order.T
        for table, sorted_ones in zip(tables[1:], (first, last), strict=True):
            by_row = np.empty_like(sorted_ones)
            np.put_along_axis(by_row, order, sorted_ones, axis=1)
            table[:, some] = by_row.T
    return Ranking(*map(jax.device_put, tables))


@jax.jit
def cumulative_weight(r: Ranking, weights: Array) -> Array:
    """Weight of the lowest k rows, k = 0..n, as [n + 1, d].

    Either of d columns under weights [n], or of one column under weights [n, d].
    """
    total = running_total(weights[r.order])
    return jnp.concatenate([jnp.zeros((1, total.shape[1]), total.dtype), total])


def mid_ranks(r: Ranking, weights: Array) -> Array:
    """Weighted mid-ranks over the total weight, minus one half: in [-1/2, 1/2], mean 0, [n, d].

    With ``R(i) = sum_j w_j (1[v_j < v_i] + 1[v_j = v_i] / 2)`` and ``S = sum w`` the value is
    ``R / S - 1/2``. Centring keeps float32 sums of ranks accurate.
    """
    below = cumulative_weight(r, weights)
    low = jnp.take_along_axis(below, r.first, axis=0)
    high = jnp.take_along_axis(below, r.last, axis=0)
    # the gathered values are written once, since XLA would gather them again for every sum
    low, high = lax.optimization_barrier((low, high))
    return (low + high) / (2 * below[-1:]) - 0.5


def rank_from_top(r: Ranking, weights: Array) -> tuple[Array, Array]:
    """Weight strictly above, and weight at or above, each row's value: two arrays [n, d]."""
    # summed from the top: less what is below, a small sum would have the rounding of the total
    down = running_total(weights[r.order][::-1])
    from_top = jnp.concatenate([jnp.zeros((1, down.shape[1]), down.dtype), down])[::-1]
    above = jnp.take_along_axis(from_top, r.last, axis=0)
    at_or_above = jnp.take_along_axis(from_top, r.first, axis=0)
    return above, at_or_above


def twice_below(members: Array, r: Ranking) -> Array:
    """How many members are below each row of one column, and how many not above it, together.

    ``members`` [n, d] are 0 or 1, of uint8, and ``r`` is the ranking of a single column [n]. The
    result [n, d] of int32 is twice the number of members below the middle of each row's ties.
    """
    num_rows = len(r.order)
    storage, dtype = tiling(num_rows), jnp.uint16 if num_rows < 2**16 else jnp.uint32
    in_order = members.at[storage.store(r.order, num_rows)].get(
        mode="fill" if storage.slabs else "promise_in_bounds", fill_value=0
    )
    up_to = tiled_total(in_order, jnp.dtype(dtype), storage)
    below = jnp.where((r.first > 0)[:, None], up_to.at(jnp.maximum(r.first - 1, 0), dtype), 0)
    # written once, since XLA would gather again for each use
    below, up_to_end = lax.optimization_barrier((below, up_to.at(r.last - 1, dtype)))
    return below.astype(jnp.int32) + up_to_end.astype(jnp.int32)
