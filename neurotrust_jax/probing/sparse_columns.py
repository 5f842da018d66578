"""Sparse activations: of each neuron the rows on which it is not zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._numerics.packing import places_in_lists
from .._runtime.host_arrays import as_host_array
from .._runtime.short_repr import short_repr

__all__ = ["SparseColumns", "by_column", "dense_rows", "read_sparse"]


@short_repr
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class SparseColumns:
    """A matrix [n, U] by columns, on the host; what is not stored is 0.

    Attributes
    ----------
    values : numpy.ndarray [z]
        Those that are not 0, one column after the other.
    rows : numpy.ndarray [z] of int32
        Their rows, ascending in each column.
    starts : numpy.ndarray [U + 1] of int64
        Column u is stored at ``starts[u] .. starts[u + 1] - 1``.
    num_rows : numpy.ndarray [] of int64
        Number of rows n.
    """

    values: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    num_rows: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(n, U)."""
        return int(self.num_rows), len(self.starts) - 1

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def nse(self) -> int:
        """Number of stored values, as JAX calls it."""
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes in store."""
        return self.values.nbytes + self.rows.nbytes + self.starts.nbytes

    def astype(self, dtype: Any) -> SparseColumns:
        """The same values in another type."""
        return SparseColumns(self.values.astype(dtype), self.rows, self.starts, self.num_rows)

    def of_columns(self, some: slice | np.ndarray) -> SparseColumns:
        """Some columns: from one to another, without a copy, or of these numbers."""
        first, last = self.starts[:-1][some], self.starts[1:][some]
        starts = np.append(0, np.cumsum(last - first))
        if isinstance(some, slice):
            stored: Any = slice(first[0], last[-1]) if len(first) else slice(0)
        else:
            stored = np.repeat(first, last - first) + places_in_lists(last - first)
        return SparseColumns(self.values[stored], self.rows[stored], starts, self.num_rows)

    def places(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of some of the stored values, by their places in store."""
        return self.rows[stored], np.searchsorted(self.starts, stored, side="right") - 1

    def columns(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and values of one column after the other."""
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.rows[start:stop], self.values[start:stop]

    def dense(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Columns start to stop - 1 with their zeros, [n, stop - start]."""
        stop = self.shape[1] if stop is None else stop
        stored = slice(self.starts[start], self.starts[stop])
        result = np.zeros((self.shape[0], stop - start), self.dtype)
        column = np.repeat(np.arange(stop - start), np.diff(self.starts[start : stop + 1]))
        result[self.rows[stored], column] = self.values[stored]
        return result

    def take(self, rows: np.ndarray) -> SparseColumns:
        """The given rows, in their order, repeats allowed."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            (rows,) = np.nonzero(rows)
        n = self.shape[0]
        # the places at which each row is wanted, one row after the other
        places = np.argsort(rows % n, kind="stable")
        times = np.bincount(rows % n, minlength=n)
        begin = np.cumsum(times) - times
        repeats = times[self.rows]
        stored = np.repeat(np.arange(len(self.rows)), repeats)
        nth = np.arange(len(stored)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        column = np.repeat(np.arange(self.shape[1]), np.diff(self.starts))[stored]
        return by_column(
            places[begin[self.rows[stored]] + nth], column, self.values[stored],
            (len(rows), self.shape[1]),
        )  # fmt: skip


def read_sparse(values: Any, name: str) -> SparseColumns:
    """Read a sparse matrix of SciPy (any format) or JAX (BCOO, BCSR), adding what is stored twice.

    Raises
    ------
    TypeError
        On values that are not real.
    ValueError
        On another number of axes than two.
    """
    if isinstance(values, SparseColumns):
        return values
    row, column, data = _listed(values, name)
    whole = data.dtype.kind in "biu"
    with np.errstate(over="ignore"):  # infinity is refused where it may not be
        data = data.astype(jnp.float32 if whole else jax.dtypes.canonicalize_dtype(data.dtype))
    return by_column(row, column, data, tuple(values.shape))


def dense_rows(values: Any, name: str) -> Callable[[int, int], np.ndarray]:
    """Read a sparse matrix by rows: a function of ``(start, stop)`` that gives these rows, dense.

    Values keep their type; what is stored twice is added (truth values: either). Raises as
    :func:`read_sparse` does.
    """
    if isinstance(values, SparseColumns):
        column = np.repeat(np.arange(values.shape[1]), np.diff(values.starts))
        row, data = values.rows, values.values
    else:
        row, column, data = _listed(values, name)
    order = np.argsort(row, kind="stable")
    row, column, data = row[order], column[order], data[order]

    def rows(start: int, stop: int) -> np.ndarray:
        first, last = np.searchsorted(row, [start, stop])
        result = np.zeros((min(stop, values.shape[0]) - start, values.shape[1]), data.dtype)
        np.add.at(result, (row[first:last] - start, column[first:last]), data[first:last])
        return result

    return rows


def _listed(values: Any, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of all that a matrix of SciPy or JAX stores."""
    if len(values.shape) != 2:
        raise ValueError(f"{name} must have two axes, got shape {tuple(values.shape)}")
    if hasattr(values, "tocoo"):
        listed = values.tocoo()
        row, column, data = listed.row, listed.col, listed.data
    elif values.n_batch or values.n_dense:
        raise ValueError(
            f"{name} is a {type(values).__name__} with batch or dense axes; make it by "
            f"{type(values).__name__}.fromdense(x)"
        )
    else:
        data, index = np.asarray(values.data), np.asarray(values.indices)
        if hasattr(values, "indptr"):
            row, column = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr)), index
        else:
            row, column = index.T
        # JAX marks places that are not used by an index outside
        used = (row < values.shape[0]) & (column < values.shape[1])
        row, column, data = row[used], column[used], data[used]
    return row, column, as_host_array(data, name)


def by_column(
    row: np.ndarray, column: np.ndarray, data: np.ndarray, shape: tuple[int, int]
) -> SparseColumns:
    """The matrix of the entries in any order; those of one place are added."""
    code = column.astype(np.int64) * shape[0] + row
    order = np.argsort(code, kind="stable")
    code, data = code[order], data[order]
    if len(code) and (code[1:] == code[:-1]).any():
        code, first = np.unique(code, return_index=True)
        data = np.add.reduceat(data, first)
    # XLA takes smaller ones for 0; of short floats it has room for all, in single precision
    short = data.dtype.itemsize < 4
    smallest = jnp.finfo(jnp.float32 if short else data.dtype).tiny
    stored = ~(np.abs(data.astype(np.float64)) < smallest)  # and what is no number, to be refused
    code, data = code[stored], data[stored]
    starts = np.searchsorted(code, np.arange(shape[1] + 1) * shape[0])
    return SparseColumns(data, (code % shape[0]).astype(np.int32), starts, np.asarray(shape[0]))
