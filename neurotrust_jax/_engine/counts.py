"""Sums over lists of rows: a product of a table with 0 and 1, by addition.

A product over all rows takes as many multiplications for a neuron that is active on one row in
twenty as for any other. How often concepts are present where it is active takes one addition of
eight bits for each row of the list and concept, and on a CPU 32 of these are one instruction: at
10,000 rows, 512 neurons active on 1 in 20 and 256 concepts 1.3 ms on two cores, where the product
takes 20. Sums of ranks where a rare concept is present take additions of 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import round_up_shape, table_of
from .._numerics.sums import Sums
from ..metrics.metric import Metric
from ..probing.probe import Probe

__all__ = ["CountTable", "countable", "list_rows", "over_counts", "similarity_of_counts"]

BURST = 8  # rows whose concepts are added up at once
BURSTS = 31  # as many as fit into a count of 8 bits
COUNTS = 2**17  # counts that stay in the cache of a CPU
STEP = 128  # places that take as long as what a burst does beside adding up


class CountTable(NamedTuple):
    """Lists of rows (where neurons are active, say), and a table by row (of concepts).

    Lists go in blocks of about one length, so that few places are filled up.

    Attributes
    ----------
    rows : Array [places, width] of int32
        Rows of a list, or those that are not on it, whichever are fewer; n fills up. One block
        after the other.
    start, stop : Array [blocks] of int32
        Where each block begins and ends, in bursts of places.
    lists : Array [blocks, width] of int32
        Which lists are in a block; the last of all fills up.
    place : Array [V] of int32
        Where each list is among these.
    others : Array [blocks, width] of bool
        Whether the rows are those that are not on the list.
    table : Array [n + 1, D] of uint8, or of int16
        0 and 1, or small numbers; the last row is 0.
    length : Array [V] of int32
        How many rows are on each list.
    total : Array [D] of int32
        Sum of all rows of the table.
    """

    rows: Array
    start: Array
    stop: Array
    lists: Array
    place: Array
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


def list_rows(on: Array | np.ndarray, table: Array | np.ndarray) -> CountTable:
    """List where each column of ``on`` [n, V] is true; ``table`` [n, D] of bool, or of int16."""
    on, table = np.asarray(on), np.asarray(table)
    num_samples, num_lists = on.shape
    narrow = table.dtype == bool
    number = on.sum(axis=0)
    others = number > num_samples / 2
    rows = [np.flatnonzero(column) for column in np.ascontiguousarray((on ^ others).T)]
    length = np.minimum(number, num_samples - number)
    together = COUNTS if narrow else COUNTS // 8
    order = np.argsort(-length, kind="stable").astype(np.int32)
    width = _width(length[order], min(max(together // table.shape[1], BURST), num_lists))
    blocks = np.pad(order, (0, -num_lists % width), mode="edge").reshape(-1, width)

    def of_block(lists: np.ndarray) -> np.ndarray:
        places = -(-int(length[lists].max()) // BURST) * BURST
        return table_of([rows[u] for u in lists], places, num_samples).T

    tables = [of_block(lists) for lists in blocks]
    stop = np.cumsum([len(x) // BURST for x in tables]).astype(np.int32)
    total = int(stop[-1])
    spare = np.full(((round_up_shape(total) - total) * BURST, width), num_samples, np.int32)
    place = np.empty_like(order)
    place[order] = np.arange(num_lists)
    arrays = (
        np.concatenate([*tables, spare]),
        np.append(0, stop[:-1]).astype(np.int32),
        stop,
        blocks,
        place,
        others[blocks],
        np.pad(table, ((0, 1), (0, 0))).astype(np.uint8 if narrow else np.int16),
        number.astype(np.int32),
        table.sum(axis=0).astype(np.int32),
    )
    return CountTable(*map(jax.device_put, arrays))


def _width(length: np.ndarray, most: int) -> int:
    """Lists in a block, at most ``most``, so that few places are filled up: lengths descend."""
    widths = [most]
    while widths[-1] > BURST:
        widths.append(-(-widths[-1] // 2))

    def cost(width: int) -> int:
        bursts = -(-length[::width] // BURST)
        return int(bursts.sum()) * (BURST * width + STEP)

    return min(widths, key=cost)


def over_counts(
    listed: CountTable,
    moved: Array,
    fn: Callable[[Array, Array], Any],
    total: Array | None = None,
) -> Any:
    """``fn`` of lists [width] and their sums [width, D] of int32, for all lists.

    ``fn`` returns an array [width, ...], or a pytree of such arrays.

    A sum is that of the table over the rows of a list, where row i has that of row ``moved[i]``, or
    none where that is n. ``total`` [D] is the sum of all rows then, unless it is as before.
    """
    num_samples = moved.shape[0]
    where = jnp.append(moved, jnp.asarray(num_samples, moved.dtype))
    every = listed.total if total is None else total
    narrow = jnp.uint8 if listed.table.dtype == jnp.uint8 else jnp.int32
    none = jnp.zeros((listed.rows.shape[1], listed.table.shape[1]), narrow)

    def burst(i: Array, found: Array) -> Array:
        for rows in where[lax.dynamic_slice_in_dim(listed.rows, i * BURST, BURST)]:
            found = found + listed.table[rows].astype(narrow)
        return found

    def block(own: tuple[Array, ...]) -> Any:
        start, stop, lists, others = own

        def stretch(i: Array, total: Array) -> Array:
            first = start + i * BURSTS
            some = lax.fori_loop(first, jnp.minimum(first + BURSTS, stop), burst, none)
            return total + some.astype(jnp.int32)

        stretches = (stop - start + BURSTS - 1) // BURSTS
        found = lax.fori_loop(0, stretches, stretch, none.astype(jnp.int32))
        return fn(lists, jnp.where(others[:, None], every[None, :] - found, found))

    each = lax.map(block, (listed.start, listed.stop, listed.lists, listed.others))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[listed.place], each)


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
