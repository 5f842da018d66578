"""Sums over the rows on which neurons are active: per sampling unit, or over all of them.

A metric of a binary neuron depends on the data through F and FC, the sums of 1 and of c over the
active rows, and through S and C, which are the same for all neurons. With groups, every statistic
depends on them through the sums per group. They take z C additions for z active rows and C
concepts, and a neuron has sums of its own only for the groups in which it is active: the [n, U]
matrix of activity is never written out, and no sum runs over the n rows of a neuron.

Columns of 0 and 1 may be given as truth values, which take a quarter of the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.packing import round_up_shape
from .._numerics.sums import Sums, per_unit, weighted_total
from .._runtime.kept import kept
from ..probing.active_rows import ActiveRows

__all__ = [
    "UnitSums",
    "in_order",
    "sums_of_pairs",
    "sums_over_active",
    "totals_of_units",
    "unit_sums",
]

ROOM = 2**22  # numbers in the largest array of a block


class UnitSums(NamedTuple):
    """The sums of a block of neurons, per group.

    Attributes
    ----------
    S : Array [G, 1]
        Weight of each group.
    C : Array [G, C]
        Sum of each concept's column.
    F : Array [P]
        Weight of the active rows of each pair of a neuron and a group in which it is active.
    FC : Array [P, C]
        Sums of the concepts' columns over these rows.
    place : Array [V, G] of int32
        Where the pair stands in F and FC; P or more where the neuron is not active. There may be
        more rows than neurons.
    """

    S: Array
    C: Array
    F: Array
    FC: Array
    place: Array

    def of_neuron(self, place: Array, concepts: Array | None = None) -> Sums:
        """The sums per group of one row of ``place``, of all concepts or of some: [G, K].

        FF and CC hold F and C, which they are where both sides are 0 or 1.
        """
        f = self.F.at[place].get(mode="fill", fill_value=0)[:, None]
        if concepts is None:
            c, fc = self.C, self.FC.at[place].get(mode="fill", fill_value=0)
        else:
            c = self.C[:, concepts]
            at = place[:, None], concepts[None, :]
            fc = self.FC.at[at].get(mode="fill", fill_value=0)
        return Sums(S=self.S, F=f, C=c, FF=f, CC=c, FC=fc)


def unit_sums(
    active: ActiveRows, c: Array, weights: Array, groups: Array, num_groups: int
) -> Iterator[tuple[np.ndarray, UnitSums]]:
    """The neurons and the sums per group of a block, so that no array outgrows one.

    Parameters
    ----------
    active : ActiveRows
    c : Array [n, C]
    weights : Array [n]
    groups : Array [n] of int32
    num_groups : int
    """
    s, cs = totals_of_units(c, weights, groups, num=num_groups)
    group = np.asarray(groups)
    blocks = active.in_blocks(ROOM // c.shape[1], ROOM // max(num_groups, c.shape[1]))
    most_rows, most_neurons = _largest(blocks)
    for neurons, part in blocks:
        rows, pair, place = _pairs(part, group, num_groups, most_rows, most_neurons)
        f, fc = _listed_totals(c, weights, rows, pair, num=most_rows)
        yield neurons, UnitSums(s, cs, f, fc, place)


@kept
@partial(jax.jit, static_argnames="num")
def totals_of_units(c: Array, weights: Array, groups: Array, *, num: int) -> tuple[Array, Array]:
    """Sums of the weights [G, 1] and of the weighted columns [G, C] over each group."""
    weighted = weights[:, None] * c.astype(weights.dtype)
    s, cs = (per_unit(x, groups, num) for x in (weights[:, None], weighted))
    return s, cs


def in_order(found: list[tuple[np.ndarray, Any]]) -> Any:
    """What was found of the neurons of each block, in the order of all neurons.

    Arrays may have more rows than there are neurons in the block.
    """
    place = jax.device_put(np.argsort(np.concatenate([own for own, _ in found])))

    def joined(*blocks: Array) -> Array:
        cut = [x[: len(own)] for x, (own, _) in zip(blocks, found, strict=True)]
        return cut[0] if len(cut) == 1 else jnp.concatenate(cut)[place]

    return jax.tree.map(joined, *(x for _, x in found))


def _largest(blocks: list[tuple[np.ndarray, ActiveRows]]) -> tuple[int, int]:
    """Number of rows and of neurons that every block is filled up to."""
    most_rows = round_up_shape(max(len(part.rows) for _, part in blocks))
    return most_rows, max(len(neurons) for neurons, _ in blocks)


def _pairs(
    part: ActiveRows, group: np.ndarray, num_groups: int, most_rows: int, most_neurons: int
) -> tuple[Array, Array, Array]:
    """The listed rows by neuron and group, the number of each one's pair, and the pairs' places."""
    rows, first, code = part.in_groups(group, num_groups)
    place = np.full(most_neurons * num_groups, most_rows, np.int32)
    place[code] = np.arange(len(code))
    return (
        *_padded(rows, first, most_rows),
        jax.device_put(place.reshape(most_neurons, num_groups)),
    )


def _padded(rows: np.ndarray, first: np.ndarray, size: int) -> tuple[Array, Array]:
    """Lists of rows, which begin at ``first``, and the number of each row's list, filled up."""
    number = np.zeros(len(rows), np.int32)
    number[first[1:]] = 1
    short = 0, size - len(rows)
    # a list beyond the last one is not added up
    number = np.pad(np.cumsum(number, dtype=np.int32), short, constant_values=size)
    return jax.device_put(np.pad(rows, short)), jax.device_put(number)


@partial(jax.jit, static_argnames="num")
def _listed_totals(
    c: Array, weights: Array, rows: Array, to: Array, *, num: int
) -> tuple[Array, Array]:
    """Sums of the weights and of the weighted columns over listed rows, in ascending order."""
    own = weights[rows]
    f, fc = (
        jax.ops.segment_sum(x, to, num, indices_are_sorted=True)
        for x in (own, own[:, None] * c[rows].astype(own.dtype))
    )
    return f, fc


def sums_of_pairs(
    c: Array, weights: Array, rows: np.ndarray, first: np.ndarray
) -> tuple[Array, Array]:
    """Sums of the weights [P] and of the weighted columns [P, C] over lists of rows.

    ``rows`` [z] are those of one list after the other, which begin at ``first``. There may be more
    sums than lists.
    """
    num = round_up_shape(max(len(rows), 1))
    return _listed_totals(c, weights, *_padded(rows, first, num), num=num)


def sums_over_active(active: ActiveRows, c: Array, weights: Array) -> Sums:
    """The six sums of neurons that are 0 or 1, from their active rows.

    ``c`` [n, C] is the concepts' view, ``weights`` [n] the weights of all samples.
    """
    blocks = active.in_blocks(ROOM // c.shape[1], ROOM // c.shape[1])
    most_rows, most_neurons = _largest(blocks)
    found = []
    for neurons, part in blocks:
        short = most_rows - len(part.rows)
        rows = np.pad(part.rows, (0, short))
        to = np.pad(part.neuron.astype(np.int32), (0, short), constant_values=most_neurons)
        f, fc = _listed_totals(c, weights, *map(jax.device_put, (rows, to)), num=most_neurons)
        found.append((neurons, (f, fc)))
    f, fc = in_order(found)
    return _as_sums(f, fc, *_totals(c, weights))


@jax.jit
def _as_sums(f: Array, fc: Array, total: Array, of_concepts: Array, of_squares: Array) -> Sums:
    f = f[:, None]
    return Sums(S=total, F=f, C=of_concepts[None, :], FF=f, CC=of_squares[None, :], FC=fc)


@kept
@jax.jit
def _totals(c: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Sums of the weights, of the weighted columns [C] and of their squares [C], in one pass."""
    c = c.astype(weights.dtype)
    return weights.sum(), weighted_total(c, weights), weighted_total(c * c, weights)
