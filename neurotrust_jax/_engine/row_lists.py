"""List the active or sorted rows of each neuron, on the host or on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.packing import table_of
from .._numerics.ranks import COLUMNS, Ranking
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns

__all__ = ["FEW_TIES", "ListMaker", "active_listing", "ranked_listing"]

FEW_TIES = 64  # tied places that are corrected one by one
BASE_SHARE = 0.25  # of the rows that share one value, above which they are left out

TieTables = tuple[Array, Array, Array | None]


class ListMaker(NamedTuple):
    """The sizes of the lists of U neurons, and functions that make them.

    Attributes
    ----------
    length : numpy.ndarray [U]
        How many rows are listed.
    tied : numpy.ndarray [U]
        How many of the listed rows tie with others; 0 where rows are active ones.
    below : numpy.ndarray [U]
        How many are below the rows left out (see :class:`Ties`), -1 where
        none is.
    rows : callable
        ``rows(own, size) -> Array [V, size] of int32`` are the rows of some neurons, n filling up.
    ties : callable, or None
        ``ties(own, size, few) -> (first, last, place)`` as in
        :class:`Ties`; of all places where there are not ``few`` ties. None
        where rows are active ones.
    """

    length: np.ndarray
    tied: np.ndarray
    below: np.ndarray
    rows: Callable[[np.ndarray, int], Array]
    ties: Callable[[np.ndarray, int, bool], TieTables] | None


def _active(length: np.ndarray, rows: Callable[[np.ndarray, int], Array]) -> ListMaker:
    """The list maker of active rows, which are in no order."""
    return ListMaker(length, np.zeros_like(length), np.full_like(length, -1), rows, None)


def active_listing(probe: Probe) -> ListMaker:
    """Make lists of each neuron's active rows."""
    if not _by_device(probe):
        rows = [
            np.flatnonzero(column)
            for _, part in probe.in_neurons()
            for column in np.ascontiguousarray(np.asarray(part.active).T)
        ]
        return _active(*_on_host(probe, rows))
    active = probe.active
    length = np.asarray(active.sum(axis=0, dtype=jnp.int32))
    return _active(length, lambda own, size: _active_table(active, own, size=size))


def ranked_listing(probe: Probe, ranking: Ranking | None) -> ListMaker:
    """Make lists of each neuron's rows by ascending activation, less those of its commonest value.

    A large share of ties (the zeros of a rectified neuron, or those that a sparse column does not
    store) has one rank, which follows from its weight alone. ``ranking`` is that of dense
    activations.
    """
    if isinstance(probe.activations, SparseColumns):
        found = _stored(probe.activations)
    else:
        assert ranking is not None
        if _by_device(probe):
            return _on_device(ranking)
        found = _ordered(ranking)
    rows, ties = zip(*found, strict=True)
    below, *sides = zip(*ties, strict=True)

    def tables(own: np.ndarray, size: int, few: bool) -> TieTables:
        return _tie_tables(*([x[u] for u in own] for x in sides), size=size, few=few)

    length, table = _on_host(probe, list(rows))
    tied = np.array([len(x) for x in sides[0]])
    return ListMaker(length, tied, np.array(below, np.int32), table, tables)


def _by_device(probe: Probe) -> bool:
    """Whether dense activations are listed where they are: an accelerator sends them slowly."""
    return jax.default_backend() != "cpu" and not isinstance(probe.activations, SparseColumns)


@partial(jax.jit, static_argnames="size")
def _active_table(active: Array, own: Array, *, size: int) -> Array:
    """Rows on which these columns of ``active`` [n, U] are, [V, size]; n fills up."""
    up_to = jnp.cumsum(active.T[own], axis=1, dtype=jnp.int32)
    nth = jnp.arange(1, size + 1, dtype=jnp.int32)
    return jax.vmap(lambda x: jnp.searchsorted(x, nth))(up_to).astype(jnp.int32)


def _on_device(ranking: Ranking) -> ListMaker:
    num_samples = ranking.order.shape[0]
    low, high, tied = (np.asarray(x) for x in _widest_ties(ranking))
    left_out = _is_base(high - low, num_samples)
    span = np.where(left_out, high - low, 0)
    below = np.where(left_out, low, -1)

    def part(own: np.ndarray) -> tuple[Any, ...]:
        return ranking, own, low[own], span[own]

    def ties(own: np.ndarray, size: int, few: bool) -> TieTables:
        return _ranked_ties(*part(own), size=size, few=few)

    def rows(own: np.ndarray, size: int) -> Array:
        return _ranked_table(*part(own), size=size)

    return ListMaker(num_samples - span, tied - span, below, rows, ties)


@jax.jit
def _widest_ties(ranking: Ranking) -> tuple[Array, Array, Array]:
    """Where each column's widest tie begins and ends, and how many of its rows tie, [U]."""
    width = ranking.last - ranking.first
    widest = jnp.argmax(width, axis=0)[None, :]
    low, high = (jnp.take_along_axis(x, widest, axis=0)[0] for x in ranking[1:])
    return low, high, (width > 1).sum(axis=0, dtype=jnp.int32)


def _is_base(width: Any, num_samples: int) -> Any:
    """Whether a tie is wide enough to be left out."""
    return width >= max(BASE_SHARE * num_samples, 2)


@partial(jax.jit, static_argnames="size")
def _ranked_table(ranking: Ranking, own: Array, low: Array, span: Array, *, size: int) -> Array:
    """Rows [V, size] of these neurons without the ``span`` ones from the ``low``-th on."""
    fill = ranking.order.shape[0]

    def column(order: Array, low: Array, span: Array) -> Array:
        place = jnp.arange(size, dtype=jnp.int32)
        place = place + jnp.where(place >= low, span, 0)
        return order.at[place].get(mode="fill", fill_value=fill)

    return jax.vmap(column, in_axes=(1, 0, 0))(ranking.order[:, own], low, span)


@partial(jax.jit, static_argnames=("size", "few"))
def _ranked_ties(
    ranking: Ranking, own: Array, low: Array, span: Array, *, size: int, few: bool
) -> TieTables:
    """The ties of what :func:`_ranked_table` lists."""
    rows = _ranked_table(ranking, own, low, span, size=size)
    fill = ranking.order.shape[0]

    def column(rows: Array, first: Array, last: Array, low: Array, span: Array) -> TieTables:
        place = jnp.arange(size, dtype=jnp.int32)
        moved = jnp.where(place >= low, span, 0)
        listed = rows < fill
        begin, end = (x.at[rows].get(mode="clip") - moved for x in (first, last))
        begin, end = jnp.where(listed, begin, place), jnp.where(listed, end, place + 1)
        if not few:
            return begin, end, None
        up_to = jnp.cumsum(end - begin > 1, dtype=jnp.int32)
        nth = jnp.arange(1, FEW_TIES + 1, dtype=jnp.int32)
        at = jnp.searchsorted(up_to, nth).astype(jnp.int32)
        begin = begin.at[at].get(mode="fill", fill_value=0)
        return begin, end.at[at].get(mode="fill", fill_value=1), at

    first, last = (x[:, own] for x in ranking[1:])
    return jax.vmap(column, in_axes=(0, 1, 1, 0, 0))(rows, first, last, low, span)


NeuronTies = tuple[int, np.ndarray, np.ndarray, np.ndarray]  # as the fields of Ties, of tied rows


def _ordered(ranking: Ranking) -> Iterator[tuple[np.ndarray, NeuronTies]]:
    num_samples, num_neurons = ranking.order.shape
    for start in range(0, num_neurons, COLUMNS):
        some = slice(start, start + COLUMNS)
        for order, first, last in zip(
            *(np.ascontiguousarray(np.asarray(x[:, some]).T) for x in ranking), strict=True
        ):
            widest = int((last - first).argmax())
            low, high = int(first[widest]), int(last[widest])
            if high - low > 1:  # else no row ties, in whatever order
                first, last = first[order], last[order]
            if not _is_base(high - low, num_samples):
                yield order, (-1, *_tied(first, last))
                continue
            listed = np.r_[0:low, high:num_samples]
            moved = (high - low) * (listed >= high)
            yield order[listed], (low, *_tied(first[listed] - moved, last[listed] - moved))


def _stored(activations: SparseColumns) -> Iterator[tuple[np.ndarray, NeuronTies]]:
    for rows, values in activations.columns():
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        first, last = (np.searchsorted(ascending, ascending, side) for side in ("left", "right"))
        yield rows[order], (int((values < 0).sum()), *_tied(first, last))


def _tied(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (place,) = np.nonzero(last - first > 1)
    return first[place], last[place], place


def _on_host(
    probe: Probe, rows: list[np.ndarray]
) -> tuple[np.ndarray, Callable[[np.ndarray, int], Array]]:
    """The lengths of lists, and the function that puts those of some neurons into a table."""

    def table(own: np.ndarray, size: int) -> Array:
        return jax.device_put(table_of([rows[u] for u in own], size, probe.num_samples))

    return np.array([len(x) for x in rows]), table


def _tie_tables(
    first: list[np.ndarray],
    last: list[np.ndarray],
    place: list[np.ndarray],
    *,
    size: int,
    few: bool,
) -> TieTables:
    """Tables of ties, which each neuron has at some places."""
    if few:
        tables = (table_of(x, FEW_TIES, fill) for x, fill in ((first, 0), (last, 1), (place, size)))
        begin, end, at = map(jax.device_put, tables)
        return begin, end, at
    begin = np.tile(np.arange(size, dtype=np.int32), (len(place), 1))
    end = begin + 1
    for i, at in enumerate(place):
        begin[i, at], end[i, at] = first[i], last[i]
    return jax.device_put(begin), jax.device_put(end), None
