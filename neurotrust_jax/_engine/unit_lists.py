"""List the groups in which each neuron is active, with the sums that a replicate weighs.

All rows of a group have one weight in a replicate, so a neuron that is 0 or 1 meets a concept of 0
or 1 through the sums over its active rows per group: a product over the groups in which it is
active, in place of one over its active rows, and weights of groups in place of weights of samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.packing import table_of
from .._runtime.kept import kept
from ..metrics.metric import Metric
from ..metrics.unit_sums import sums_of_pairs, totals_of_units
from ..probing.active_rows import list_active
from ..probing.probe import Probe
from .row_index import RowIndex, RowLists

__all__ = ["active_units"]

SHARE = 0.8  # of the samples; as many groups are worth no sums
ROOM = 2**26  # sums of concepts that all lists may hold
ROOM_OF_ONE = 2**24  # the same, where all are of one length
SHRINK = 4  # ratio of two lengths after each other
LEAST = 16  # groups of the shortest lists


@kept
def active_units(probe: Probe, *, metric: Metric) -> RowIndex | None:
    """List each neuron's active groups; None where listing rows does as well."""
    binary = metric.neuron_view == metric.concept_view == "binary"
    if probe.groups is None or not binary or probe.num_units > SHARE * probe.num_samples:
        return None
    num_units = probe.num_units
    rows, first, code = list_active(probe).in_groups(np.asarray(probe.groups), num_units)
    neuron, unit = np.divmod(code, num_units)
    count = np.bincount(neuron, minlength=probe.num_neurons)
    every = np.arange(probe.num_neurons)
    # one size, where there is room for it, so that all blocks of a layer have the same shapes
    size = min(_power_of_two(int(count.max(initial=1))), num_units)
    sizes = [(every, size)]
    if size * probe.num_neurons * probe.num_concepts > ROOM_OF_ONE:
        sizes = list(_by_size(count, size))
    if sum(_power_of_two(len(own)) * size for own, size in sizes) * probe.num_concepts > ROOM:
        return None
    weight, hits = sums_of_pairs(probe.present, probe.weights, rows, first)
    kind, place = (np.zeros(probe.num_neurons, np.int32) for _ in range(2))
    starts = np.append(0, np.cumsum(count))
    lists: list[RowLists] = []
    for own, size in sizes:
        kind[own], place[own] = len(lists), np.arange(len(own))
        pairs = [np.arange(starts[u], starts[u + 1]) for u in own]
        if len(sizes) > 1:  # lists of no group fill up, so that few shapes are compiled
            pairs += [np.zeros(0, int)] * (_power_of_two(len(own)) - len(own))
        units = table_of([unit[x] for x in pairs], size, num_units)
        at = table_of(pairs, size, len(weight))
        lists.append(
            RowLists(jax.device_put(units), None, *_at((weight, hits), jax.device_put(at)))
        )
    of_units = totals_of_units(probe.present, probe.weights, probe.groups, num=num_units)
    weights, present = _turned(of_units)
    return RowIndex(tuple(lists), jax.device_put(kind), jax.device_put(place), present, weights)


@jax.jit
def _at(sums: tuple[Array, ...], place: Array) -> tuple[Array, ...]:
    return tuple(x.at[place].get(mode="fill", fill_value=0) for x in sums)


@jax.jit
def _turned(sums: tuple[Array, ...]) -> tuple[Array, ...]:
    """Sums by column, with one more that is 0."""
    return tuple(jnp.pad(x.T, ((0, 0), (0, 1))) for x in sums)


def _power_of_two(number: int) -> int:
    """The smallest power of 2 from a number on."""
    return 1 << max(number - 1, 0).bit_length()


def _by_size(count: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Divide neurons by the length of their lists: which, and the size these are filled up to."""
    while True:
        smaller = size // SHRINK
        last = smaller < LEAST
        some = np.flatnonzero((count <= size) & (last | (count > smaller)))
        if len(some):
            yield some, size
        if last:
            return
        size = smaller
