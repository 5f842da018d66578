"""Index of the samples on which each neuron is active, or of its sorted samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.packing import PackedPairs, Steps, round_up_shape
from .._numerics.ranks import Ranking
from ..metrics.metric import Metric
from ..probing.probe import Probe
from ..schemes import Scheme
from .row_lists import FEW_TIES, ListMaker, active_listing, ranked_listing

__all__ = [
    "RowIndex",
    "RowLists",
    "Ties",
    "active_rows",
    "lengths_together",
    "ranked_rows",
    "rows_fit",
    "with_steps",
]

WASTE = 0.1  # of all places; lists of two sizes are filled up to one where it costs less
LEAST_SHARE = 1 / 64  # of the longest list; shorter ones are of one size
STEPS = 8  # of a whole list; a step then stays in the cache
LEAST = 2048  # places of a list that is worth dividing
WORTH_IT = 0.8  # of the places of whole lists, above which these are read at once


class Ties(NamedTuple):
    """The ties in V sorted lists.

    Attributes
    ----------
    below : Array [V] of int32, or None
        How many of the listed rows are below the base: the rows that are not listed, all of one
        activation. None where all rows are listed.
    first, last : Array [V, t] of int32
        Where the ties of listed rows begin and end: of all, or of those at ``place``.
    place : Array [V, t] of int32, or None
        Places of the listed rows that tie with others; k fills up. None for all places.
    """

    below: Array | None
    first: Array
    last: Array
    place: Array | None


class RowLists(NamedTuple):
    """Lists of V neurons, of about one length.

    Attributes
    ----------
    rows : Array [V, k] of int32
        RowLists on which the neuron is active; or by ascending activation those off the base (see
        :class:`Ties`). n fills up.
    ties : Ties or None
        None where rows are active ones.
    weight : Array [V, k], or None
        Weight of the active rows of each group, where groups are listed in place of rows.
    hits : Array [V, k, C], or None
        Weight of those with each concept.
    """

    rows: Array
    ties: Ties | None
    weight: Array | None = None
    hits: Array | None = None


class RowIndex(NamedTuple):
    """The rows that each neuron is read from, listed once for all replicates, and the concepts.

    Attributes
    ----------
    lists : tuple of RowLists
        By length.
    kind, place : Array [U] of int32
        Which of the lists, and where in it, is the neuron's.
    present : Array [C, n + 1] of bool
        With a last column of False. Where groups are listed, the weight of each concept in each
        group, [C, G + 1].
    unit_weight : Array [1, G + 1], or None
        Weight of each group, where groups are listed.
    """

    lists: tuple[RowLists, ...]
    kind: Array
    place: Array
    present: Array
    unit_weight: Array | None = None

    @property
    def ranks_all(self) -> bool:
        """Whether all samples of some neurons are listed in order."""
        return any(x.ties is not None and x.ties.below is None for x in self.lists)


def rows_fit(probe: Probe, metric: Metric, scheme: Scheme) -> bool:
    """Whether a metric's replicates can be computed from listed rows.

    Concepts must be 0 and 1; their rank is then a linear function of that. A binary neuron is read
    on its active rows only, and its sums must be whole numbers, which are the same in every order.
    """
    if metric.finalise is None:
        return False
    binary = metric.concept_view == "binary" or (
        metric.concept_view == "rank" and _two_values(probe)
    )
    if metric.neuron_view == "rank":
        return binary
    weights = np.asarray(probe.weights)
    whole = scheme.whole_counts and bool((weights == np.round(weights)).all())
    # and no sum too large for that, however the units are drawn
    exact = max(2.0, scheme.scale) * weights.sum() <= 2.0 ** np.finfo(weights.dtype).nmant
    return metric.neuron_view == "binary" and binary and whole and bool(exact)


def _two_values(probe: Probe) -> bool:
    labels = probe.concepts.dtype == jnp.bool_ or probe.concept_threshold > 0
    return labels and probe.binary_concepts


def active_rows(probe: Probe) -> RowIndex:
    """List each neuron's active rows."""
    return _index_of(probe, active_listing(probe))


def ranked_rows(probe: Probe, ranking: Ranking | None) -> RowIndex:
    """List each neuron's rows in order, see :func:`ranked_listing`."""
    return _index_of(probe, ranked_listing(probe, ranking))


def with_steps(
    index: RowIndex, parts: list[PackedPairs], like: PackedPairs | None = None
) -> list[PackedPairs]:
    """The parts, with the places where a concept of each block is present.

    Rare concepts have few such places, and a product over these is as good as one over the whole
    list. The parts stay as they are where that saves little: for active rows, for short lists, and
    on accelerators, which are quicker with whole lists. With ``like`` the parts get the shape of
    that part, but over whole lists, which are the first of its steps.
    """
    if like is not None:
        if like.blocks.steps is None:
            return parts
        starts = (jax.device_put(np.zeros(len(part.blocks.concept), np.int32)) for part in parts)
        return [
            _stepped(part, Steps(x, x + STEPS, like.blocks.steps.place))
            for part, x in zip(parts, starts, strict=True)
        ]
    longest = max(x.rows.shape[1] for x in index.lists)
    ranked = index.lists[0].ties is not None
    if not ranked or longest < LEAST or jax.default_backend() != "cpu":
        return parts
    number = np.asarray(index.present.sum(axis=1))
    fewer = whole = 0
    for part in parts:
        for _, rows, some in _blocks(index, part):
            fewer += min(len(rows), int(number[some].sum()))
            whole += len(rows)
    # they take no more memory than the lists themselves
    if fewer > min(WORTH_IT * whole, sum(x.rows.size for x in index.lists)):
        return parts
    length = -(-longest // STEPS)
    found = [_steps(index, part, length) for part in parts]
    size = round_up_shape(max(len(place) for *_, place in found))
    stepped = []
    for part, (start, stop, place) in zip(parts, found, strict=True):
        short = (0, size - len(place)), (0, 0)
        filled = np.pad(place, short, constant_values=STEPS * length)
        stepped.append(_stepped(part, Steps(*map(jax.device_put, (start, stop, filled)))))
    return stepped


def _stepped(part: PackedPairs, steps: Steps) -> PackedPairs:
    return part._replace(blocks=part.blocks._replace(steps=steps))


def _steps(
    index: RowIndex, part: PackedPairs, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The contents of the part's :class:`Steps`."""
    fill = STEPS * length
    present = np.asarray(index.present)
    start = np.zeros(len(part.blocks.concept), np.int32)
    stop = start.copy()
    tables = [np.arange(fill, dtype=np.int32).reshape(STEPS, length)]
    taken = STEPS
    for block, rows, some in _blocks(index, part):
        (here,) = np.nonzero(present[some].any(axis=0)[rows])
        table = np.full((-(-len(here) // length), length), fill, np.int32)
        table.reshape(-1)[: len(here)] = here
        tables.append(table)
        start[block], stop[block] = taken, taken + len(table)
        taken += len(table)
    return start, stop, np.concatenate(tables)


def _blocks(index: RowIndex, part: PackedPairs) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Every block of the part, its neuron's list, and its concepts."""
    kind, place = np.asarray(index.kind), np.asarray(index.place)
    tables = [np.asarray(x.rows) for x in index.lists]
    neuron, start, stop, concept = (np.asarray(x) for x in part.blocks[:4])
    for u, first, last in zip(neuron, start, stop, strict=True):
        for block in range(first, last):
            some = concept[block]
            yield block, tables[kind[u]][place[u]], some[some >= 0]


def _index_of(probe: Probe, maker: ListMaker) -> RowIndex:
    """Put lists of about one length together."""
    kind, place = (np.zeros(probe.num_neurons, np.int32) for _ in range(2))
    lists: list[RowLists] = []
    shrink = 2 if maker.ties is None else 4  # lists in order take longer to compile
    for many, off_base in itertools.product((False, True), repeat=2):
        chosen = ((maker.tied > FEW_TIES) == many) & ((maker.below >= 0) == off_base)
        for own, size in lengths_together(
            np.flatnonzero(chosen), maker.length, probe.num_samples, shrink
        ):
            kind[own], place[own] = len(lists), np.arange(len(own))
            ties = None
            if maker.ties is not None:
                below = jax.device_put(maker.below[own].astype(np.int32)) if off_base else None
                few = not many and size > FEW_TIES
                ties = Ties(below, *maker.ties(own, size, few))
            lists.append(RowLists(maker.rows(own, size), ties))
    every = jax.device_put(kind), jax.device_put(place)
    return RowIndex(tuple(lists), *every, _by_concept(probe.present))


def lengths_together(
    members: np.ndarray, count: np.ndarray, most: int, shrink: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Divide neurons by the length of their lists: which, and the length they are filled up to.

    Each size is that of the longer lists before over ``shrink``.
    """
    if len(members) == 0:
        return
    filled = np.maximum(count[members], 1)
    share = np.maximum(filled / filled.max(), LEAST_SHARE)
    shorter = np.floor(-np.log2(share) / math.log2(shrink)).astype(int)
    waiting = np.zeros(0, int)
    for level in range(shorter.max(), -1, -1):
        waiting = np.concatenate([waiting, members[shorter == level]])
        # places more, were they as long as those before
        wasted = filled.max() / shrink ** max(level - 1, 0) * len(waiting)
        if len(waiting) and (level == 0 or wasted > WASTE * filled.sum()):
            yield np.sort(waiting), min(round_up_shape(count[waiting].max()), most)
            waiting = np.zeros(0, int)


@jax.jit
def _by_concept(present: Array) -> Array:
    return jnp.pad(present.T, ((0, 0), (0, 1)))
