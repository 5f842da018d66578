"""On how many rows a neuron is active and a concept present in permutations of whole units.

A permutation gives each unit the concepts of another one of its kind, so a row meets one row of
each unit of its kind: that at the same place. These rows are stored side by side, and all
permutations of a neuron's row are read before its next row. However long the table is, what is read
at a time then fits into the cache of a CPU: of 90,000 active rows among 10^6, in 250 units and with
100 concepts, 1,000 permutations take a quarter of the time that they take one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import shorter_lists, similarity_of_counts
from .._numerics.packing import cut_lists, places_in_lists, round_up_shape
from .._runtime.kept import kept
from ..metrics.metric import Metric
from ..probing.active_rows import list_active
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from .permutations import Layout

__all__ = ["ByCounts", "permuted_counts"]

BURST = 8  # rows of a list that are added up at once, in 8 bits
COLUMNS = 16  # a table has a multiple of so many, which a CPU adds up quicker
COUNTS = 2**17  # of the permutations together, so that they stay in the cache of a CPU
DRAWN = 2**23  # units of all permutations together
READ = 2**31  # rows of the table that one call reads: a few seconds
FEWEST = 8  # permutations of a call


class Table(NamedTuple):
    """Concepts of 0 and 1, those rows side by side that a row may meet.

    Attributes
    ----------
    values : Array [n + 1, D or more] of uint8
        The last row and the columns beyond D are 0.
    total : Array [D] of int32
        On how many rows each concept is present.
    number : Array [n] of int32
        By the place at which a unit begins, see :func:`draw_units`: its number among its kind.
    unit, first : numpy.ndarray [n] of int32
        Unit of each row, and where the rows begin that it may meet: that of unit k of its kind is k
        rows further.
    """

    values: Array
    total: Array
    number: Array
    unit: np.ndarray
    first: np.ndarray


class ByCounts(NamedTuple):
    """Neurons and concepts of 0 and 1 under one weight.

    Attributes
    ----------
    weight : Array []
    values, total, number : Array
        Of the :class:`Table`.
    unit, first : Array [bursts, 8] of int32
        Those of the listed rows, one list after the other in whole bursts; of what fills up, a unit
        beyond the last, and n.
    begin : Array [V + 1] of int32
        The burst at which each list begins.
    others : Array [V] of bool
        Whether the rows are those on which the neuron is not active.
    active : Array [V] of int32
        On how many rows it is.
    most : Array [] of uint16 or int32
        Length of the longest list, of a type that holds it.
    """

    weight: Array
    values: Array
    total: Array
    number: Array
    unit: Array
    first: Array
    begin: Array
    others: Array
    active: Array
    most: Array

    def at_once(self, num_permutations: int, num_units: int) -> int:
        """How many permutations a call should have, of so many in all."""
        by_room = COUNTS // self.values.shape[1], DRAWN // num_units
        most = max(min(*by_room, READ // self.unit.size), FEWEST)
        return -(-num_permutations // -(-num_permutations // most))

    def best(self, begin: Array, layout: Layout, metric: Metric) -> Array:
        """Largest similarity over the concepts, NaN if none is defined, [b, U].

        ``begin`` [b, G] are permutations from :func:`draw_units`.
        """
        met = jnp.pad(self.number[begin], ((0, 0), (0, 1))).T  # of no unit: the row of zeros
        none = jnp.zeros((len(begin), self.values.shape[1]), self.most.dtype)
        num_samples, num_concepts = len(self.values) - 1, len(self.total)

        def neuron(own: tuple[Array, ...]) -> Array:
            start, stop, others, active = own

            def burst(i: Array, found: Array) -> Array:
                unit, first = self.unit[i], self.first[i]
                some = self.values[first[0] + met[unit[0]]]
                for k in range(1, BURST):
                    some = some + self.values[first[k] + met[unit[k]]]
                return found + some.astype(found.dtype)

            found = lax.fori_loop(start, stop, burst, none)[:, :num_concepts].astype(jnp.int32)
            both = jnp.where(others, self.total[None, :] - found, found)
            margins = num_samples, active[None], self.total
            return jnp.nanmax(similarity_of_counts(metric, self.weight, *margins, both), axis=1)

        return lax.map(neuron, (self.begin[:-1], self.begin[1:], self.others, self.active)).T


def permuted_counts(probe: Probe, layout: Layout) -> ByCounts:
    """List the rows of each neuron, and where those stand that they meet."""
    sparse = isinstance(probe.activations, SparseColumns)
    lists, others = shorter_lists(list_active(probe) if sparse else probe.active)
    table = _table(probe.present, layout)
    bursts, begin = cut_lists(lists.rows, lists.lengths, BURST, probe.num_samples)
    short = round_up_shape(len(bursts)) - len(bursts)
    bursts = np.pad(bursts, ((0, short), (0, 0)), constant_values=probe.num_samples)
    unit = np.append(table.unit, 1 + table.unit.max())[bursts]
    first = np.append(table.first, probe.num_samples)[bursts]
    active = np.where(others, probe.num_samples - lists.lengths, lists.lengths)
    most = lists.lengths.max(initial=0)
    arrays = (
        *(x.astype(np.int32) for x in (unit, first, begin)), others, active.astype(np.int32),
        np.asarray(most, np.uint16 if most <= np.iinfo(np.uint16).max else np.int32),
    )  # fmt: skip
    return ByCounts(probe.weights[0], *table[:3], *jax.device_put(arrays))


@kept
def _table(present: Array, layout: Layout) -> Table:
    """The table of a layer, from where its concepts are present [n, D]."""
    num_samples, num_concepts = present.shape
    if layout.blocks is None:
        unit = start = np.arange(num_samples)
        position = np.zeros(num_samples, int)
    else:
        unit, position, start = (
            np.asarray(x) for x in (layout.blocks.unit, layout.blocks.position, layout.blocks.start)
        )
    kind = np.zeros(len(start), int) if layout.kinds is None else np.asarray(layout.kinds.kind)
    members = np.bincount(kind)
    number = np.empty(len(start), np.int32)
    number[np.argsort(kind, kind="stable")] = places_in_lists(members)
    own = kind[unit]
    rows = np.bincount(own, minlength=len(members))
    first = (np.cumsum(rows) - rows)[own] + position * members[own]
    columns = -(-num_concepts // COLUMNS) * COLUMNS
    values = np.zeros((num_samples + 1, columns), np.uint8)
    values[first + number[unit], :num_concepts] = present
    by_start = np.zeros(num_samples, np.int32)
    by_start[start] = number
    total = values.sum(axis=0, dtype=np.int32)[:num_concepts]
    values, total, by_start = jax.device_put((values, total, by_start))
    return Table(values, total, by_start, unit.astype(np.int32), first.astype(np.int32))
