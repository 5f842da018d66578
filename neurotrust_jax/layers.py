"""The rows that each neuron of a layer is about, listed once for all replicates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .blocks import Part, Steps, few_shapes, table_of
from .metrics import Metric
from .probe import Probe
from .sparse import SparseColumns
from .views import COLUMNS, Ranking

__all__ = ["Layer", "Rows", "Ties", "active_rows", "in_steps", "ranked_rows", "rows_fit"]

WASTE = 0.1  # of all places; lists of two sizes are filled up to one where it costs less
LEAST_SHARE = 1 / 64  # of the longest list; shorter ones are of one size
FEW_TIES = 64  # tied places that are mended one by one
STEPS = 8  # of a whole list; a step then stays in the cache
LEAST = 2048  # places of a list that is worth dividing
WORTH_IT = 0.8  # of the places of whole lists, above which these are read at once
BASE_SHARE = 0.25  # of the rows that share one value, above which they are left out


class Ties(NamedTuple):
    """What the order of V lists leaves open.

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


class Rows(NamedTuple):
    """Lists of V neurons, of about one length.

    Attributes
    ----------
    rows : Array [V, k] of int32
        Rows on which the neuron is active; or by ascending activation those off the base (see
        :class:`Ties`). n fills up.
    ties : Ties or None
        None where rows are active ones.
    """

    rows: Array
    ties: Ties | None


class Layer(NamedTuple):
    """The rows that each neuron is about, and the concepts.

    Attributes
    ----------
    lists : tuple of Rows
        By length.
    kind, place : Array [U] of int32
        Which of the lists, and where in it, is the neuron's.
    present : Array [C, n + 1] of bool
        With a last column of False.
    """

    lists: tuple[Rows, ...]
    kind: Array
    place: Array
    present: Array


def rows_fit(probe: Probe, metric: Metric, scheme: str) -> bool:
    """Whether a metric's replicates can be taken from rows.

    Concepts of 0 and 1, also by their rank, which is then a linear function. A binary neuron is
    read on its active rows only: its sums are whole numbers, the same in whatever order.
    """
    if metric.finalise is None:
        return False
    binary = metric.concept_view == "binary" or (
        metric.concept_view == "rank" and _two_values(probe)
    )
    if metric.neuron_view == "rank":
        return binary
    weights = np.asarray(probe.weights)
    whole = scheme != "bayesian" and bool((weights == np.round(weights)).all())
    # and no sum too large for that, however the units are drawn
    exact = 2 * weights.sum() <= 2.0 ** np.finfo(weights.dtype).nmant
    return metric.neuron_view == "binary" and binary and whole and bool(exact)


def _two_values(probe: Probe) -> bool:
    concepts = probe.concepts
    if concepts.dtype == jnp.bool_:
        return True
    return probe.concept_threshold > 0 and bool(((concepts == 0) | (concepts == 1)).all())


def active_rows(probe: Probe) -> Layer:
    """List each neuron's active rows."""
    if _by_device(probe):
        active = probe.active
        count = np.asarray(active.sum(axis=0, dtype=jnp.int32))
        return _layer(probe, count, lambda own, size: _active_table(active, own, size=size), None)
    rows = [
        np.flatnonzero(column)
        for _, part in probe.in_neurons()
        for column in np.ascontiguousarray(np.asarray(part.active).T)
    ]
    return _layer(probe, *_listed(probe, rows), None)


def ranked_rows(probe: Probe, ranking: Ranking | None) -> Layer:
    """List each neuron's rows by ascending activation, less those of its commonest value.

    A large share of ties (the zeros of a rectified unit, or all that a sparse one does not store)
    has one rank, which its weight alone tells. ``ranking`` is that of dense activations.
    """
    if isinstance(probe.activations, SparseColumns):
        found = _stored(probe.activations)
    else:
        assert ranking is not None
        if _by_device(probe):
            tied = np.asarray((ranking.last - ranking.first > 1).sum(axis=0, dtype=jnp.int32))
            if tied.max() <= FEW_TIES <= BASE_SHARE * probe.num_samples:
                return _untied(probe, ranking)
        found = _ordered(ranking)
    rows, ties = zip(*found, strict=True)
    return _layer(probe, *_listed(probe, list(rows)), list(ties))


def _by_device(probe: Probe) -> bool:
    """Whether dense activations are listed where they are: an accelerator sends them slowly."""
    return jax.default_backend() != "cpu" and not isinstance(probe.activations, SparseColumns)


@partial(jax.jit, static_argnames="size")
def _active_table(active: Array, own: Array, *, size: int) -> Array:
    """Rows on which these columns of ``active`` [n, U] are, [V, size]; n fills up."""
    up_to = jnp.cumsum(active.T[own], axis=1, dtype=jnp.int32)
    nth = jnp.arange(1, size + 1, dtype=jnp.int32)
    return jax.vmap(lambda x: jnp.searchsorted(x, nth))(up_to).astype(jnp.int32)


def _untied(probe: Probe, ranking: Ranking) -> Layer:
    """The layer of neurons none of which has many ties."""
    every = np.arange(probe.num_neurons, dtype=np.int32)
    lists = Rows(*_in_order(ranking))
    kind = jax.device_put(np.zeros_like(every))
    return Layer((lists,), kind, jax.device_put(every), _by_concept(probe.present))


@jax.jit
def _in_order(ranking: Ranking) -> tuple[Array, Ties]:
    num_samples = ranking.order.shape[0]
    nth = jnp.arange(1, FEW_TIES + 1, dtype=jnp.int32)

    def column(order: Array, first: Array, last: Array) -> Ties:
        up_to = jnp.cumsum((last - first > 1)[order], dtype=jnp.int32)
        place = jnp.searchsorted(up_to, nth).astype(jnp.int32)
        row = order.at[place].get(mode="clip")
        inside = place < num_samples
        return Ties(None, jnp.where(inside, first[row], 0), jnp.where(inside, last[row], 1), place)

    ties = jax.vmap(column, in_axes=1)(*ranking)
    return ranking.order.T, ties


def in_steps(layer: Layer, parts: list[Part], like: Part | None = None) -> list[Part]:
    """The parts, with the places of each block on which a concept of it is present.

    Of rare concepts these are few, and products over them as good as over whole lists. The same
    parts where that spares little: of active rows, of short lists, and on accelerators, which are
    quicker with whole lists. As the part ``like`` if given: in its shape, but over whole lists,
    which are the first of its steps.
    """
    if like is not None:
        if like.blocks.steps is None:
            return parts
        starts = (jax.device_put(np.zeros(len(part.blocks.concept), np.int32)) for part in parts)
        return [
            _stepped(part, Steps(x, x + STEPS, like.blocks.steps.place))
            for part, x in zip(parts, starts, strict=True)
        ]
    longest = max(x.rows.shape[1] for x in layer.lists)
    ranked = layer.lists[0].ties is not None
    if not ranked or longest < LEAST or jax.default_backend() != "cpu":
        return parts
    number = np.asarray(layer.present.sum(axis=1))
    fewer = whole = 0
    for part in parts:
        for _, rows, some in _blocks(layer, part):
            fewer += min(len(rows), int(number[some].sum()))
            whole += len(rows)
    # they take no more memory than the lists themselves
    if fewer > min(WORTH_IT * whole, sum(x.rows.size for x in layer.lists)):
        return parts
    length = -(-longest // STEPS)
    found = [_steps(layer, part, length) for part in parts]
    size = few_shapes(max(len(place) for *_, place in found))
    stepped = []
    for part, (start, stop, place) in zip(parts, found, strict=True):
        short = (0, size - len(place)), (0, 0)
        filled = np.pad(place, short, constant_values=STEPS * length)
        stepped.append(_stepped(part, Steps(*map(jax.device_put, (start, stop, filled)))))
    return stepped


def _stepped(part: Part, steps: Steps) -> Part:
    return part._replace(blocks=part.blocks._replace(steps=steps))


def _steps(layer: Layer, part: Part, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the part's :class:`Steps` hold."""
    fill = STEPS * length
    present = np.asarray(layer.present)
    start = np.zeros(len(part.blocks.concept), np.int32)
    stop = start.copy()
    tables = [np.arange(fill, dtype=np.int32).reshape(STEPS, length)]
    taken = STEPS
    for block, rows, some in _blocks(layer, part):
        (here,) = np.nonzero(present[some].any(axis=0)[rows])
        table = np.full((-(-len(here) // length), length), fill, np.int32)
        table.reshape(-1)[: len(here)] = here
        tables.append(table)
        start[block], stop[block] = taken, taken + len(table)
        taken += len(table)
    return start, stop, np.concatenate(tables)


def _blocks(layer: Layer, part: Part) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Every block of the part, its neuron's list, and its concepts."""
    kind, place = np.asarray(layer.kind), np.asarray(layer.place)
    tables = [np.asarray(x.rows) for x in layer.lists]
    neuron, start, stop, concept = (np.asarray(x) for x in part.blocks[:4])
    for u, first, last in zip(neuron, start, stop, strict=True):
        for block in range(first, last):
            some = concept[block]
            yield block, tables[kind[u]][place[u]], some[some >= 0]


NeuronTies = tuple[int, np.ndarray, np.ndarray, np.ndarray]  # as the fields of Ties, of tied rows


def _ordered(ranking: Ranking) -> Iterator[tuple[np.ndarray, NeuronTies]]:
    num_samples, num_neurons = ranking.order.shape
    for start in range(0, num_neurons, COLUMNS):
        some = slice(start, start + COLUMNS)
        for order, first, last in zip(
            *(np.ascontiguousarray(np.asarray(x[:, some]).T) for x in ranking), strict=True
        ):
            widest = int((last - first).argmax())
            low, high = int(first[widest]), int(last[widest])
            if high - low > 1:  # else no row ties, in whatever order
                first, last = first[order], last[order]
            if high - low < max(BASE_SHARE * num_samples, 2):
                yield order, (-1, *_tied(first, last))
                continue
            listed = np.r_[0:low, high:num_samples]
            moved = (high - low) * (listed >= high)
            yield order[listed], (low, *_tied(first[listed] - moved, last[listed] - moved))


def _stored(activations: SparseColumns) -> Iterator[tuple[np.ndarray, NeuronTies]]:
    for rows, values in activations.columns():
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        first, last = (np.searchsorted(ascending, ascending, side) for side in ("left", "right"))
        yield rows[order], (int((values < 0).sum()), *_tied(first, last))


def _tied(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (place,) = np.nonzero(last - first > 1)
    return first[place], last[place], place


def _listed(
    probe: Probe, rows: list[np.ndarray]
) -> tuple[np.ndarray, Callable[[np.ndarray, int], Array]]:
    """How long lists are, and a function of some neurons that puts theirs into a table."""

    def table(own: np.ndarray, size: int) -> Array:
        return jax.device_put(table_of([rows[u] for u in own], size, probe.num_samples))

    return np.array([len(x) for x in rows]), table


def _layer(
    probe: Probe,
    count: np.ndarray,
    table: Callable[[np.ndarray, int], Array],
    ties: list[NeuronTies] | None,
) -> Layer:
    """Put lists of about one length together."""
    num_neurons = probe.num_neurons
    num_tied = np.zeros_like(count) if ties is None else np.array([len(x[1]) for x in ties])
    kind, place = np.zeros(num_neurons, np.int32), np.zeros(num_neurons, np.int32)
    lists: list[Rows] = []
    shrink = 2 if ties is None else 4  # lists in order take longer to compile
    based = np.zeros(num_neurons, bool) if ties is None else np.array([x[0] >= 0 for x in ties])
    for many, off_base in itertools.product((False, True), repeat=2):
        (members,) = np.nonzero(((num_tied > FEW_TIES) == many) & (based == off_base))
        for own, size in _sizes(members, count, probe.num_samples, shrink):
            kind[own], place[own] = len(lists), np.arange(len(own))
            found = None
            if ties is not None:
                below, *tied = zip(*(ties[u] for u in own), strict=True)
                begin = np.array(below, np.int32) if off_base else None
                found = _ties(begin, *tied, size=size)
            lists.append(Rows(table(own, size), found))
    every = jax.device_put(kind), jax.device_put(place)
    return Layer(tuple(lists), *every, _by_concept(probe.present))


def _sizes(
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
            yield np.sort(waiting), min(few_shapes(count[waiting].max()), most)
            waiting = np.zeros(0, int)


def _ties(
    below: np.ndarray | None,
    first: tuple[np.ndarray, ...],
    last: tuple[np.ndarray, ...],
    place: tuple[np.ndarray, ...],
    *,
    size: int,
) -> Ties:
    start = None if below is None else jax.device_put(below)
    most = max(map(len, place))
    if most <= FEW_TIES < size:
        tables = (table_of(x, FEW_TIES, fill) for x, fill in ((first, 0), (last, 1), (place, size)))
        return Ties(start, *map(jax.device_put, tables))
    begin = np.tile(np.arange(size, dtype=np.int32), (len(place), 1))
    end = begin + 1
    for i, at in enumerate(place):
        begin[i, at], end[i, at] = first[i], last[i]
    return Ties(start, jax.device_put(begin), jax.device_put(end), None)


@jax.jit
def _by_concept(present: Array) -> Array:
    return jnp.pad(present.T, ((0, 0), (0, 1)))
