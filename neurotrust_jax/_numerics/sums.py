"""The six weighted sums from which most similarity metrics follow pointwise."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

__all__ = [
    "Sums",
    "TiledTotal",
    "Tiling",
    "about_own_means",
    "column_total",
    "per_unit",
    "power_sum",
    "running_total",
    "tiled_total",
    "tiling",
    "weighted_sums",
    "weighted_total",
]


TILE = 16  # rows, or slabs of rows
SLABS = 64  # rows of a tile that are stored apart: together they count to less than 256
TILES_TOGETHER = 32  # a product over all rows can then be divided as an accelerator likes


class Sums(NamedTuple):
    """Weighted sums of a view f of the neurons and a view c of the concepts.

    Attributes
    ----------
    S : Array []
        Total weight.
    F, FF : Array [U, 1]
        Sums of f and of its square.
    C, CC : Array [1, C]
        Sums of c and of its square.
    FC : Array [U, C]
        Sums of products: the only matrix, and one matrix product.
    """

    S: Array
    F: Array
    C: Array
    FF: Array
    CC: Array
    FC: Array


def weighted_total(columns: Array, weights: Array) -> Array:
    """Sum ``columns`` [n, d] under ``weights`` [n], giving [d].

    A product and a reduction, which XLA sums in a tree. Written as a vector-matrix product, the
    CPU adds term by term: at n = 500,000 in float32 that is wrong in the third digit.
    """
    return (weights[:, None] * columns).sum(axis=0)


def weighted_sums(f: Array, c: Array, weights: Array) -> Sums:
    """Take the six sums of ``f`` [n, U] and ``c`` [n, C] under ``weights`` [n].

    The product runs at the highest matrix precision, so that no accelerator rounds it to TF32 or
    bfloat16; sums of 0/1 data under whole weights are exact up to 2**24 in float32.
    """
    return Sums(
        S=weights.sum(),
        F=weighted_total(f, weights)[:, None],
        C=weighted_total(c, weights)[None, :],
        FF=weighted_total(f * f, weights)[:, None],
        CC=weighted_total(c * c, weights)[None, :],
        FC=jnp.matmul((weights[:, None] * f).T, c, precision=lax.Precision.HIGHEST),
    )


def about_own_means(s: Sums, neurons: bool, concepts: bool) -> Sums:
    """The sums of views less their means under these weights, for either side or for both.

    The sums may be JAX arrays, or NumPy arrays in double precision.
    """
    if not (neurons or concepts):
        return s
    xp: Any = jnp if isinstance(s.S, Array) else np
    size = xp.where(s.S > 0, s.S, 1)
    return Sums(
        S=s.S,
        F=xp.zeros_like(s.F) if neurons else s.F,
        C=xp.zeros_like(s.C) if concepts else s.C,
        FF=s.FF - s.F**2 / size if neurons else s.FF,
        CC=s.CC - s.C**2 / size if concepts else s.CC,
        FC=s.FC - s.F * s.C / size,
    )


def power_sum(f: Array, c: Array, weights: Array, a: int, b: int) -> Array:
    """Sum ``f^a c^b`` of ``f`` [n, U] and ``c`` [n, C] under ``weights``: [U, C] or less."""
    if a and b:
        weighted = weights[:, None] * f**a
        return jnp.matmul(weighted.T, c**b, precision=lax.Precision.HIGHEST)
    if a:
        return weighted_total(f**a, weights)[:, None]
    return weighted_total(c**b, weights)[None, :] if b else weights.sum()


def running_total(x: Array) -> Array:
    """Cumulative sum of ``x`` [n, d] along its rows.

    On a CPU row by row, compensated for rounding: several times faster than XLA's own, and little
    to compile.
    """
    return lax.platform_dependent(x, cpu=_row_by_row, default=partial(lax.cumsum, axis=0))


def _row_by_row(x: Array) -> Array:
    def exact(total: Array, row: Array) -> tuple[Array, Array]:
        return total + row, total + row

    def compensated(carry: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], Array]:
        # what rounding has added to the total is taken off the next row (Kahan, 1965)
        total, excess = carry
        row = row - excess
        reached = total + row
        return (reached, (reached - total) - row), reached

    none = jnp.zeros_like(x[0])
    if jnp.issubdtype(x.dtype, jnp.integer):
        return lax.scan(exact, none, x)[1]
    return lax.scan(compensated, (none, none), x)[1]


class Tiling(NamedTuple):
    """The order in which a list of rows is stored so that its cumulative sum is quick.

    A CPU stores row after row. An accelerator stores the first row of every tile, then the second
    of every tile, and so on: the sums within all tiles are then one matrix product.

    Attributes
    ----------
    size : int
        Rows of the list.
    tile : int
        Rows of a tile.
    slabs : bool
        Whether one row of every tile is stored together. Tiles are then filled up.
    """

    size: int
    tile: int
    slabs: bool

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        number = -(-self.size // self.tile)
        return -(-number // TILES_TOGETHER) * TILES_TOGETHER if self.slabs else number

    def stored(self, place: Array) -> Array:
        """Where the row at a place of the list is stored."""
        return place % self.tile * self.tiles + place // self.tile if self.slabs else place

    def places(self) -> Array:
        """The place in the list of every row stored; of what fills up, beyond its end."""
        every = jnp.arange(self.tiles * self.tile if self.slabs else self.size, dtype=jnp.int32)
        return every % self.tiles * self.tile + every // self.tiles if self.slabs else every

    def store(self, values: Array, fill: Any) -> Array:
        """Values [size], as they are stored."""
        if not self.slabs:
            return values
        short = self.tiles * self.tile - self.size
        filled = jnp.pad(values, (0, short), constant_values=fill)
        return filled.reshape(self.tiles, self.tile).T.reshape(-1)


def tiling(size: int) -> Tiling:
    """How a list of this size is stored here."""
    slabs = jax.default_backend() != "cpu"
    return Tiling(size, SLABS if slabs else TILE, slabs)


class TiledTotal(NamedTuple):
    """A cumulative sum in two levels, so that a few of its rows are cheap to read.

    Attributes
    ----------
    within : Array [tiles * tile, d]
        Sums over the rows of a tile up to each row, in the order in which rows are stored.
    before : Array [tiles, d]
        Sums over all tiles before.
    tiling : Tiling
    """

    within: Array
    before: Array
    tiling: Tiling

    def at(self, place: Array, dtype: Any) -> Array:
        """The sum up to each place of the list, that row included."""

        def get(x: Array, rows: Array) -> Array:
            return x.at[rows].get(mode="promise_in_bounds").astype(dtype)

        return get(self.within, self.tiling.stored(place)) + get(
            self.before, place // self.tiling.tile
        )

    def whole(self, dtype: Any) -> Array:
        """All sums, in the order in which rows are stored."""
        size, tile, slabs = self.tiling
        axis = 0 if slabs else 1
        shape = (tile, len(self.before)) if slabs else (len(self.before), tile)
        tiled = self.within.reshape(*shape, -1).astype(dtype)
        total = tiled + jnp.expand_dims(self.before.astype(dtype), axis)
        total = total.reshape(self.within.shape)
        return total if slabs else total[:size]


def tiled_total(x: Array, dtype: Any, tiling: Tiling) -> TiledTotal:
    """Cumulative sum of the rows of ``x`` [rows, d], as they are stored, by all processors.

    Inside of a loop several times as fast as :func:`running_total`: whole numbers of few bits pass
    through memory as they are. A tile's sum must fit into the type of ``x``; all of them are
    added up in ``dtype``.
    """
    tile = tiling.tile
    if tiling.slabs:
        # sums of a tile's counts are exact in bfloat16 up to 256
        narrow = jnp.bfloat16 if x.dtype == jnp.uint8 else x.dtype
        up_to = jnp.tril(jnp.ones((tile, tile), narrow))
        within = jnp.matmul(
            up_to, x.astype(narrow).reshape(tile, -1), precision=lax.Precision.HIGHEST
        ).reshape(x.shape)
        each = within[-tiling.tiles :].astype(dtype)
    else:
        rows = _within_tiles(x, tile)
        within = jnp.stack(rows, axis=1).reshape(-1, x.shape[1])
        each = rows[-1]
        if jnp.issubdtype(x.dtype, jnp.integer):
            return TiledTotal(within, _whole_before(each.astype(jnp.int32)).astype(dtype), tiling)
        each = each.astype(dtype)
    return TiledTotal(within, running_total(each) - each, tiling)


def _within_tiles(x: Array, tile: int) -> list[Array]:
    """Sums up to the first, second ... row of every tile of ``x`` [rows, d]: [tiles, d] each."""
    tiled = jnp.pad(x, ((0, -len(x) % tile), (0, 0))).reshape(-1, tile, x.shape[1])
    rows = [tiled[:, 0]]
    for j in range(1, tile):
        rows.append(rows[-1] + tiled[:, j])
    return rows


def _whole_before(x: Array) -> Array:
    """Sum of the rows of whole numbers ``x`` [rows, d] before each one, tile by tile."""
    rows = _within_tiles(x, TILE)
    before = jnp.stack([jnp.zeros_like(rows[0]), *rows[:-1]], axis=1)
    if len(rows[0]) > 1:
        before = before + _whole_before(rows[-1])[:, None]
    return before.reshape(-1, x.shape[1])[: len(x)]


def column_total(x: Array) -> Array:
    """Sum of ``x`` [n, d] over its rows, [1, d].

    Sixteen slabs are added up first: XLA sums down columns several times slower on a CPU.
    """
    slab = -(-x.shape[0] // TILE)
    slabs = jnp.pad(x, ((0, slab * TILE - x.shape[0]), (0, 0))).reshape(TILE, slab, -1)
    total = slabs[0]
    for j in range(1, TILE):
        total = total + slabs[j]
    return total.sum(axis=0, keepdims=True)


def per_unit(values: Array, groups: Array | None, num_units: int) -> Array:
    """Sums over the rows of each unit, [num_units, ...]; without groups each row is one."""
    return values if groups is None else jax.ops.segment_sum(values, groups, num_units)
