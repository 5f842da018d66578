"""Pack pairs of neurons and concepts into blocks of one shape."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

__all__ = [
    "Blocks",
    "PackedPairs",
    "Pairs",
    "Steps",
    "cut_lists",
    "pack_pairs",
    "pad_to_equal_length",
    "pairs_where",
    "places_in_lists",
    "round_up_shape",
    "table_of",
]

WIDTHS = (4, 8, 16, 32, 64, 128, 256)
START_ON_CPU, START_ELSEWHERE = 8, 128  # cost of a block, in columns

Pairs = tuple[np.ndarray, np.ndarray]  # neurons, in ascending order, and concepts: [P] of int each


class Steps(NamedTuple):
    """Where in its neuron's list a block has something to add up.

    Attributes
    ----------
    start, stop : Array [blocks] of int32
        The steps start .. stop - 1 are the block's.
    place : Array [steps, length] of int32
        Places in a list; one beyond its end fills up.
    """

    start: Array
    stop: Array
    place: Array


class Blocks(NamedTuple):
    """Blocks of one neuron each.

    Attributes
    ----------
    neuron, start, stop : Array [U] of int32
        Neurons, and the blocks start .. stop - 1 that are theirs.
    concept : Array [blocks, width] of int32
        Concepts in ascending order; -1 fills up.
    steps : Steps or None
        None where whole lists are read at once.
    """

    neuron: Array
    start: Array
    stop: Array
    concept: Array
    steps: Steps | None


class PackedPairs(NamedTuple):
    """Blocks of some neurons, and the place of each pair in them.

    Attributes
    ----------
    blocks : Blocks
    neurons : range
        The neurons; ``blocks`` may repeat the last one, without blocks.
    pairs : Pairs
        The pairs in the blocks.
    place : numpy.ndarray [P]
        Place of each in the blocks, one row after the other.
    """

    blocks: Blocks
    neurons: range
    pairs: Pairs
    place: np.ndarray

    def find(self, pairs: Pairs, num_concepts: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of the ``pairs`` are these neurons', and their places: two [Q]."""
        neuron, concept = pairs
        (own,) = np.nonzero((neuron >= self.neurons.start) & (neuron < self.neurons.stop))
        known, wanted = (
            x.astype(np.int64) * num_concepts + y
            for x, y in (self.pairs, (neuron[own], concept[own]))
        )
        return own, self.place[np.searchsorted(known, wanted)]


def round_up_shape(size: int) -> int:
    """Round a size up by at most a quarter, so that few shapes are compiled."""
    step = max(1 << max(int(size).bit_length() - 3, 0), 8)
    return max(-(-int(size) // step), 1) * step


def pad_to_equal_length(lists: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Fill lists up with zeros to one length, so that few shapes are compiled."""
    longest = round_up_shape(max(map(len, lists)))
    return [np.pad(x, (0, longest - len(x))) for x in lists]


def table_of(lists: Sequence[np.ndarray], width: int, fill: int) -> np.ndarray:
    """Lists as the rows of a table of int32."""
    table = np.full((len(lists), width), fill, np.int32)
    for row, x in zip(table, lists, strict=True):
        row[: len(x)] = x
    return table


def pairs_where(mask: np.ndarray) -> Pairs:
    """The pairs that a mask [U, C] marks."""
    neuron, concept = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return neuron, concept


def places_in_lists(lengths: np.ndarray) -> np.ndarray:
    """Place of each item in its own list, for lists of these lengths one after another."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def cut_lists(
    items: np.ndarray, lengths: np.ndarray, length: int, fill: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lists, one after the other, in pieces [P, length] of int32, and the first piece of each."""
    pieces = np.maximum(-(-lengths // length), 1)
    first = np.append(0, np.cumsum(pieces))
    table = np.full((first[-1], length), fill, np.int32)
    table.reshape(-1)[np.repeat(first[:-1] * length, lengths) + places_in_lists(lengths)] = items
    return table, first


def pack_pairs(
    pairs: Pairs,
    num_neurons: int,
    room: int,
    like: PackedPairs | None = None,
    *,
    start_cost: int | None = None,
) -> list[PackedPairs]:
    """Put pairs (sorted by neuron, then by concept) into parts of at most ``room`` places each.

    A part holds whole neurons, at least one; all parts have one shape, that of the part ``like``
    if given and if every neuron's pairs fit into it. ``start_cost`` is what a block costs before
    its first column, in columns; it follows from the processor unless given.
    """
    neuron, concept = pairs
    count = np.bincount(neuron, minlength=num_neurons)
    if like is None:
        if start_cost is None:
            start_cost = START_ON_CPU if jax.default_backend() == "cpu" else START_ELSEWHERE
        width = min(WIDTHS, key=lambda w: (-(-count // w)).sum() * (start_cost + w))
        most_neurons, least_blocks = num_neurons, 0
    else:
        most_neurons, (least_blocks, width) = len(like.blocks.neuron), like.blocks.concept.shape
        room = least_blocks * width
    taken = -(-count // width)
    bounds, filled = [0], 0
    for u, blocks in enumerate(taken.tolist()):
        if (filled and (filled + blocks) * width > room) or u - bounds[-1] == most_neurons:
            bounds.append(u)
            filled = 0
        filled += blocks
    bounds.append(num_neurons)
    spans = [range(a, b) for a, b in itertools.pairwise(bounds)]
    if like is None:
        most_neurons = max(map(len, spans))
    fullest = max(int(taken[r.start : r.stop].sum()) for r in spans)
    most_blocks = max(least_blocks, round_up_shape(fullest))
    first = np.searchsorted(neuron, np.arange(num_neurons + 1))

    def part(span: range) -> PackedPairs:
        own = slice(first[span.start], first[span.stop])
        own_blocks = taken[span.start : span.stop]
        stop = np.cumsum(own_blocks)
        local = neuron[own] - span.start
        place = (stop - own_blocks)[local] * width + places_in_lists(count[span.start : span.stop])
        members = np.full(most_blocks * width, -1, np.int32)
        members[place] = concept[own]
        short = most_neurons - len(span)
        start = np.pad(stop - own_blocks, (0, short), constant_values=stop[-1])
        stop = np.pad(stop, (0, short), mode="edge")
        every = np.pad(np.asarray(span), (0, short), mode="edge")
        grid = members.reshape(-1, width)
        every, start, stop, grid = (
            jax.device_put(x.astype(np.int32)) for x in (every, start, stop, grid)
        )
        blocks = Blocks(every, start, stop, grid, None)
        return PackedPairs(blocks, span, (neuron[own], concept[own]), place)

    return [part(span) for span in spans]
