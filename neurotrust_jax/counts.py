"""How often concepts are present on some rows of each neuron: a product of 0 and 1, by counting.

A product over all rows takes as many multiplications for a neuron that is active on one row in
twenty as for any other. Counting takes one addition of eight bits for each row of the list and
concept, and on a CPU 32 of these are one instruction: at 10,000 rows, 512 neurons active on 1 in 20
and 256 concepts 1.3 ms on two cores, where the product takes 20.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .blocks import few_shapes, table_of
from .metrics import Metric
from .probe import Probe
from .sums import Sums

__all__ = ["Listed", "countable", "list_rows", "over_counts", "similarity_of_counts"]

BURST = 8  # rows whose concepts are added up at once
BURSTS = 31  # as many as fit into a count of 8 bits
COUNTS = 2**17  # counts that a CPU keeps at hand


class Listed(NamedTuple):
    """Neurons by the rows where they are active, and concepts by row.

    Neurons go in blocks of lists of about one length, so that few places are filled up.

    Attributes
    ----------
    rows : Array [places, width] of int32
        Rows where a neuron is active, or where it is not, whichever are fewer; n fills up. One
        block after the other.
    start, stop : Array [blocks] of int32
        Where each block begins and ends, in bursts of places.
    neurons : Array [blocks, width] of int32
        Which neurons are in a block; the last of all fills up.
    place : Array [U] of int32
        Where each neuron is among these.
    inactive : Array [blocks, width] of bool
        Whether the rows are those where the neuron is not active.
    concepts : Array [n + 1, C] of uint8
        Whether each is present on a row; on the last one, none.
    active : Array [U] of int32
        On how many rows a neuron is active.
    positives : Array [C] of int32
        On how many a concept is present.
    """

    rows: Array
    start: Array
    stop: Array
    neurons: Array
    place: Array
    inactive: Array
    concepts: Array
    active: Array
    positives: Array


def countable(probe: Probe, metric: Metric) -> bool:
    """Whether rows can be counted: six sums of 0 and 1 under equal weights, on a CPU."""
    binary = metric.neuron_view == metric.concept_view == "binary"
    if jax.default_backend() != "cpu" or metric.finalise is None or not binary:
        return False
    weights = np.asarray(probe.weights)
    return bool((weights == weights[0]).all())


def list_rows(active: Array, present: Array) -> Listed:
    """List the rows of neurons ``active`` [n, U] on them, and the concepts ``present`` [n, C]."""
    on, there = np.asarray(active), np.asarray(present)
    num_samples, num_neurons = on.shape
    number = on.sum(axis=0)
    inactive = number > num_samples / 2
    rows = [np.flatnonzero(column) for column in np.ascontiguousarray((on ^ inactive).T)]
    length = np.minimum(number, num_samples - number)
    width = min(max(COUNTS // there.shape[1], BURST), num_neurons)
    order = np.argsort(-length, kind="stable").astype(np.int32)
    blocks = np.pad(order, (0, -num_neurons % width), mode="edge").reshape(-1, width)

    def table(neurons: np.ndarray) -> np.ndarray:
        places = -(-int(length[neurons].max()) // BURST) * BURST
        return table_of([rows[u] for u in neurons], places, num_samples).T

    tables = [table(neurons) for neurons in blocks]
    stop = np.cumsum([len(x) // BURST for x in tables]).astype(np.int32)
    total = int(stop[-1])
    spare = np.full(((few_shapes(total) - total) * BURST, width), num_samples, np.int32)
    place = np.empty_like(order)
    place[order] = np.arange(num_neurons)
    arrays = (
        np.concatenate([*tables, spare]),
        np.append(0, stop[:-1]).astype(np.int32),
        stop,
        blocks,
        place,
        inactive[blocks],
        np.pad(there, ((0, 1), (0, 0))).astype(np.uint8),
        number.astype(np.int32),
        there.sum(axis=0).astype(np.int32),
    )
    return Listed(*map(jax.device_put, arrays))


def over_counts(
    listed: Listed,
    moved: Array,
    fn: Callable[[Array, Array], Array],
    positives: Array | None = None,
) -> Array:
    """``fn`` of neurons [width] and counts [width, C] of int32, giving [width, ...], for all.

    A count is on how many rows a neuron is active while a concept is present, where row i has the
    concepts of row ``moved[i]``, or none where that is n. ``positives`` [C] are the rows where each
    is present then, unless as many as before.
    """
    num_samples = moved.shape[0]
    where = jnp.append(moved, jnp.asarray(num_samples, moved.dtype))
    every = listed.positives if positives is None else positives
    none = jnp.zeros((listed.rows.shape[1], listed.concepts.shape[1]), jnp.uint8)

    def burst(i: Array, count: Array) -> Array:
        for rows in where[lax.dynamic_slice_in_dim(listed.rows, i * BURST, BURST)]:
            count = count + listed.concepts[rows]
        return count

    def block(own: tuple[Array, ...]) -> Array:
        start, stop, neurons, inactive = own

        def stretch(i: Array, total: Array) -> Array:
            first = start + i * BURSTS
            some = lax.fori_loop(first, jnp.minimum(first + BURSTS, stop), burst, none)
            return total + some.astype(jnp.int32)

        stretches = (stop - start + BURSTS - 1) // BURSTS
        found = lax.fori_loop(0, stretches, stretch, none.astype(jnp.int32))
        return fn(neurons, jnp.where(inactive[:, None], every[None, :] - found, found))

    each = lax.map(block, (listed.start, listed.stop, listed.neurons, listed.inactive))
    return each.reshape(-1, *each.shape[2:])[listed.place]


def similarity_of_counts(
    metric: Metric, weight: Array, size: Array | int, active: Array, positives: Array, both: Array
) -> Array:
    """The similarity [U, C] from numbers of rows of one weight, NaN where a side does not vary.

    Of all of the rows, those where a neuron is active [U], with a concept [C], and both [U, C].
    """
    f, c = active[:, None], positives[None, :]
    s, wf, wc, fc = (weight * jnp.asarray(x).astype(weight.dtype) for x in (size, f, c, both))
    defined = (f > 0) & (f < size) & (c > 0) & (c < size)
    return metric.value(Sums(s, wf, wc, wf, wc, fc), defined)
