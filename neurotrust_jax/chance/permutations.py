"""Permutations: which units may trade places, and which row's concepts each row then gets."""

from __future__ import annotations

import math
import os
import warnings
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._runtime.threads import in_threads
from ..probing.groups import number_groups
from ..probing.probe import Probe

__all__ = ["Layout", "PowerWarning", "draw_ranks", "draw_units", "layout_of", "rows_of"]


class PowerWarning(UserWarning):
    """A test keeps its level, but can hardly find what is there."""


class Kinds(NamedTuple):
    """Units of one kind (size and stratum) may trade places.

    Attributes
    ----------
    kind : Array [G] of int32
        Kind of each unit.
    slots : Array [G] of int32
        Units in order of kind.
    """

    kind: Array
    slots: Array


class Blocks(NamedTuple):
    """The rows that units consist of.

    Attributes
    ----------
    unit, position : Array [n] of int32
        Unit of each row, and its place in it.
    rows : Array [n] of int32, or None
        Rows in order of unit; None where they are in this order already.
    start : Array [G] of int32
        Where each unit begins in ``rows``.
    """

    unit: Array
    position: Array
    rows: Array | None
    start: Array


class Layout(NamedTuple):
    """Which rows trade places.

    Attributes
    ----------
    kinds : Kinds or None
        None if all units are of one kind.
    blocks : Blocks or None
        None if each row is a unit.
    """

    kinds: Kinds | None
    blocks: Blocks | None


def draw_units(key: Array, ids: Array, layout: Layout, *, num_units: int) -> Array:
    """Where the unit begins whose concepts each unit gets in permutations, [b, G] of int32.

    These are places in the order of units, see :class:`Blocks`; without blocks, rows. Units are put
    in the order of 64 random bits each, drawn from ``fold_in(key, id)``. On a CPU by NumPy, which
    sorts ten times faster.
    """
    bits = _bits(key, ids, num_units=num_units)
    if jax.default_backend() == "cpu":
        high, low = np.asarray(bits).astype(np.uint64)
        code = high << np.uint64(32) | low
        drawn = jax.device_put(np.argsort(code, axis=1, kind="stable").astype(np.int32))
    else:
        drawn = _ascending(bits)
    return drawn if layout == Layout(None, None) else _places(drawn, layout)


def draw_ranks(key: Array, ids: np.ndarray, num_samples: int) -> np.ndarray:
    """Rank that each of n samples gets in the permutations ``ids``, [b, n] of uint16 or int32.

    Each is NumPy's shuffle, seeded by the key and the id. It takes a tenth of a millisecond for
    10,000 samples, while XLA's sort takes several on a CPU. All devices get the same ranks.
    """
    words = np.asarray(jax.random.key_data(key)).reshape(-1).tolist()
    narrow = num_samples <= np.iinfo(np.uint16).max
    ranks = np.empty((len(ids), num_samples), np.uint16 if narrow else np.int32)

    def draw(row: np.ndarray, number: int) -> None:
        bits = np.random.SFC64(np.random.SeedSequence([*words, number]))
        row[:] = np.random.Generator(bits).permutation(num_samples)

    in_threads(lambda i: draw(ranks[i], int(ids[i])), range(len(ids)), os.cpu_count() or 1)
    return ranks


@partial(jax.jit, static_argnames="num_units")
def _bits(key: Array, ids: Array, *, num_units: int) -> Array:
    """The higher and the lower half of the random bits, [2, b, G]."""
    keys = jax.vmap(partial(jax.random.fold_in, key))(ids)
    return jax.vmap(lambda k: jax.random.bits(k, (2, num_units), jnp.uint32), out_axes=1)(keys)


@jax.jit
def _ascending(bits: Array) -> Array:
    unit = lax.broadcasted_iota(jnp.int32, bits.shape[1:], 1)
    return lax.sort((bits[0], bits[1], unit), dimension=1, num_keys=2)[2]


def rows_of(begin: Array, layout: Layout) -> Array:
    """Row whose concepts each row gets in a permutation from :func:`draw_units`, [n] of int32."""
    if layout.blocks is None:
        return begin
    unit, position, rows, _ = layout.blocks
    place = begin[unit] + position
    return place if rows is None else rows[place]


@jax.jit
def _places(drawn: Array, layout: Layout) -> Array:
    """Where the units begin that are given in the order drawn."""

    def one(drawn: Array) -> Array:
        if layout.kinds is not None:
            kind, slots = layout.kinds
            # the stable sort leaves the units of each kind in the random order drawn
            by_kind = drawn[jnp.argsort(kind[drawn], stable=True)]
            drawn = jnp.zeros_like(drawn).at[slots].set(by_kind, unique_indices=True)
        return drawn if layout.blocks is None else layout.blocks.start[drawn]

    return lax.map(one, drawn)


class Units(NamedTuple):
    """Units in NumPy, as :class:`Kinds` and :class:`Blocks` hold them, and the sizes of kinds."""

    unit: np.ndarray
    position: np.ndarray
    rows: np.ndarray
    start: np.ndarray
    kind: np.ndarray
    slots: np.ndarray
    members: np.ndarray


def layout_of(probe: Probe, strata: Any, alpha: float) -> tuple[Layout, int, int]:
    """The layout, the number of units and of those that can move, after all checks."""
    units = _units(probe, strata)
    _check_weights(probe, units)
    num_units, num_movable = len(units.start), int(units.members[units.members > 1].sum())
    if num_movable == 0:
        what = "sample" if probe.groups is None else "group"
        raise ValueError(
            f"none of the {num_units} {what}s has another of its size and stratum to trade places "
            "with; use coarser strata, or cut the groups to equal sizes with probe.take"
        )
    orders = sum(math.lgamma(m + 1) for m in units.members)
    if 2 * num_movable < num_units or orders < -math.log(alpha) - 1e-9:
        warnings.warn(
            f"{num_movable} of {num_units} units have another of their size and stratum to trade "
            f"places with, in {math.exp(min(orders, 700)):.3g} ways; the test is valid but can "
            "hardly find anything: use coarser strata, or cut the groups to equal sizes with "
            "probe.take",
            PowerWarning,
            stacklevel=4,
        )

    def index(x: np.ndarray) -> Array:
        return jax.device_put(x.astype(np.int32))

    kinds = blocks = None
    if len(units.members) > 1:
        kinds = Kinds(index(units.kind), index(units.slots))
    if probe.groups is not None:
        in_order = bool((np.diff(units.rows) == 1).all())
        blocks = Blocks(*map(index, units[:4]))
        blocks = blocks._replace(rows=None) if in_order else blocks
    return Layout(kinds, blocks), num_units, num_movable


def _units(probe: Probe, strata: Any) -> Units:
    """Number the units and their kinds; refuse strata that split a group."""
    n = probe.num_samples
    stratum, names = number_groups(np.zeros(n, int) if strata is None else strata, n, "strata")
    unit = np.arange(n)
    if probe.groups is not None:
        # rows that were taken from another probe may have left groups behind
        unit = np.unique(np.asarray(probe.groups), return_inverse=True)[1]
    size = np.bincount(unit)
    rows = np.argsort(unit, kind="stable")
    start = np.cumsum(size) - size
    position = np.empty(n, np.int64)
    position[rows] = np.arange(n) - start[unit[rows]]

    first = rows[start]
    split = stratum != stratum[first][unit]
    if split.any():
        row = int(split.argmax())
        other = first[unit[row]]
        raise ValueError(
            f"strata must be constant within a group, but rows {other} and {row} of one group "
            f"have {names[stratum[other]]} and {names[stratum[row]]}; give each group one stratum"
        )
    kind = np.unique(size * (stratum.max() + 1) + stratum[first], return_inverse=True)[1]
    slots = np.argsort(kind, kind="stable")
    return Units(unit, position, rows, start, kind, slots, np.bincount(kind))


def _check_weights(probe: Probe, units: Units) -> None:
    """Compare each row with the same place in the first unit of its kind."""
    model = units.slots[np.cumsum(units.members) - units.members][units.kind]
    partner = units.rows[units.start[model[units.unit]] + units.position]
    w = np.asarray(probe.sample_weight)
    unequal = w != w[partner]
    if unequal.any():
        row = int(unequal.argmax())
        raise ValueError(
            f"samples {partner[row]} and {row} would trade places, but their sample_weight is "
            f"{w[partner[row]]:g} and {w[row]:g}: unequal weights are not exchangeable; give none, "
            "or strata in which they are equal (without groups, strata=sample_weight)"
        )
