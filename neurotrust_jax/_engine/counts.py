"""Sums over lists of rows: a product of a table with 0 and 1, by addition.

A product over all rows takes as many multiplications for a neuron that is active on one row in
twenty as for any other. How often concepts are present where it is active takes one addition of
eight bits for each row of the list and concept, and on a CPU 32 of these are one instruction: at
10,000 rows, 512 neurons active on 1 in 20 and 256 concepts 1.3 ms on two cores, where the product
takes 20. Sums of ranks where a rare concept is present take additions of 32 bits.

Lists are cut into pieces of one length, which are added up side by side; the sums of the pieces of
a list are then added up eight at a time. So lists of very unequal lengths take hardly more than
equal ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import cut_lists, round_up_shape
from .._numerics.sums import Sums
from ..metrics.metric import Metric
from ..probing.active_rows import ActiveRows, as_lists
from ..probing.probe import Probe

__all__ = [
    "CountTable",
    "count_rows",
    "countable",
    "list_rows",
    "shorter_lists",
    "similarity_of_counts",
]

BURST = 8  # rows that are added up at once, and sums of pieces
LENGTHS = range(BURST, 256, BURST)  # of pieces, whose counts fit into 8 bits
COUNTS = 2**17  # counts that stay in the cache of a CPU
STEP = 256  # places that take as long as what a burst does beside adding up
COLUMNS = 16  # narrow tables have a multiple of so many, which a CPU adds up quicker


class CountTable(NamedTuple):
    """Lists of rows (where neurons are active, say), and a table by row (of concepts).

    Attributes
    ----------
    rows : Array [blocks, length, width] of int32
        The pieces: rows of a list, or those that are not on it, whichever are fewer; n fills up.
    joined : tuple of Array [J, 8] of int32
        Which sums are added up, of pieces at first and then of what was added up before; one beyond
        the last fills up. The last array has the V lists first.
    others : Array [V] of bool
        Whether the rows are those that are not on the list.
    table : Array [n + 1, D or more] of uint8, or of int16
        0 and 1, or small numbers; the last row and the columns beyond D are 0.
    length : Array [V] of int32
        How many rows are on each list.
    total : Array [D] of int32
        Sum of all rows of the table.
    """

    rows: Array
    joined: tuple[Array, ...]
    others: Array
    table: Array
    length: Array
    total: Array


def countable(probe: Probe, metric: Metric) -> bool:
    """Whether rows can be counted: six sums of 0 and 1 under equal weights, on a CPU."""
    binary = metric.neuron_view == metric.concept_view == "binary"
    if jax.default_backend() != "cpu" or metric.finalise is None or not binary:
        return False
    return probe.equal_weights


def list_rows(on: Array | np.ndarray | ActiveRows, table: Array | np.ndarray) -> CountTable:
    """List where each column of ``on`` [n, V] is true; ``table`` [n, D] of bool, or of int16."""
    table = np.asarray(table)
    narrow = table.dtype == bool
    lists, others = shorter_lists(on)
    number = np.where(others, len(table) - lists.lengths, lists.lengths)
    most = max((COUNTS if narrow else COUNTS // 8) // table.shape[1], BURST)
    length = min(LENGTHS, key=lambda x: _cost(lists.lengths, x, most))
    pieces, first = cut_lists(lists.rows, lists.lengths, length, len(table))
    width = min(round_up_shape(len(pieces)), most)
    blocks = -(-len(pieces) // width)
    short = blocks * width - len(pieces), -table.shape[1] % COLUMNS if narrow else 0
    pieces = np.pad(pieces, ((0, short[0]), (0, 0)), constant_values=len(table))
    arrays = (
        pieces.reshape(blocks, width, length).transpose(0, 2, 1),
        _joined(np.diff(first), blocks * width),
        others,
        np.pad(table, ((0, 1), (0, short[1]))).astype(np.uint8 if narrow else np.int16),
        number.astype(np.int32),
        table.sum(axis=0).astype(np.int32),
    )
    return CountTable(*jax.device_put(arrays))


def shorter_lists(on: Array | np.ndarray | ActiveRows) -> tuple[ActiveRows, np.ndarray]:
    """The rows of each list, or those that are not on it, and for which lists it is these."""
    if isinstance(on, ActiveRows):
        return on, np.zeros(len(on.lengths), bool)
    on = np.asarray(on)
    others = on.sum(axis=0) > len(on) / 2
    column, rows = np.nonzero(np.ascontiguousarray((on ^ others).T))
    return as_lists(column, rows, on.shape[1]), others


def _cost(lengths: np.ndarray, length: int, most: int) -> int:
    """Time that pieces of a length take, in places; ``most`` are added up side by side."""
    pieces = int((-(-lengths // length)).sum())
    blocks = -(-pieces // most)
    return pieces * (length + BURST) + blocks * length // BURST * STEP


def _joined(pieces: np.ndarray, number: int) -> tuple[np.ndarray, ...]:
    """Which sums to add up, until each list of so many pieces has one sum; ``number`` in all."""
    steps: list[np.ndarray] = []
    while not steps or pieces.max() > 1:
        items = np.arange(pieces.sum())
        table, first = cut_lists(items, pieces, BURST, number)
        pieces = np.diff(first)
        # so many are enough whatever the lengths, so that few shapes are compiled
        number = len(pieces) + number // BURST
        steps.append(np.pad(table, ((0, number - len(table)), (0, 0))))
    return tuple(steps)


def count_rows(
    listed: CountTable, place: Callable[[Array], Array], total: Array | None = None
) -> Array:
    """Sums of the table over the rows of each list, [V, D] of int32.

    Parameters
    ----------
    listed : CountTable
    place : callable
        ``place(i)`` gives the rows of the table that stand for some listed rows; n for none, as
        also for n itself.
    total : Array [D] of int32, optional
        Sum of the table over all rows, unless it is as before.
    """
    num_columns = listed.total.shape[0]
    narrow = jnp.uint8 if listed.table.dtype == jnp.uint8 else jnp.int32
    none = jnp.zeros((listed.rows.shape[2], listed.table.shape[1]), narrow)

    def block(pieces: Array) -> Array:
        def burst(i: Array, found: Array) -> Array:
            for at in place(lax.dynamic_slice_in_dim(pieces, i * BURST, BURST)):
                found = found + listed.table[at].astype(narrow)
            return found

        return lax.fori_loop(0, listed.rows.shape[1] // BURST, burst, none)

    found = lax.map(block, listed.rows).reshape(-1, listed.table.shape[1])
    for which in listed.joined:
        found = jnp.pad(found, ((0, 1), (0, 0)))
        found = sum(found[which[:, i]].astype(jnp.int32) for i in range(BURST))
    found = found[: len(listed.length), :num_columns]
    every = listed.total if total is None else total
    return jnp.where(listed.others[:, None], every[None, :] - found, found)


def similarity_of_counts(
    metric: Metric, weight: Array, size: Array | int, active: Array, positives: Array, both: Array
) -> Array:
    """The similarity [U, C] from numbers of rows of one weight, NaN where a side does not vary.

    The numbers are those of all rows, of rows where a neuron is active [U], of rows with a concept
    [C], and of rows with both [U, C].
    """
    f, c = active[:, None], positives[None, :]
    s, wf, wc, fc = (weight * jnp.asarray(x).astype(weight.dtype) for x in (size, f, c, both))
    defined = (f > 0) & (f < size) & (c > 0) & (c < size)
    return metric.value(Sums(s, wf, wc, wf, wc, fc), defined)
