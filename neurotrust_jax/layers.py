"""The rows that each neuron of a layer is about, listed once for all replicates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

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


class Listing(NamedTuple):
    """How the lists of U neurons are made.

    Attributes
    ----------
    length : numpy.ndarray [U]
        Of each.
    tied : numpy.ndarray [U], or None
        How many of the listed rows tie with others; None where rows are active ones.
    below : numpy.ndarray [U]
        How many are below the rows left out (see :class:`Ties`), -1 where none is.
    rows : callable
        ``rows(own, size) -> Array [V, size] of int32`` are the rows of some neurons, n filling up.
    ties : callable
        ``ties(own, size, few) -> (first, last, place)`` as in :class:`Ties`; of all places where
        there are not ``few`` ties.
    """

    length: np.ndarray
    tied: np.ndarray | None
    below: np.ndarray
    rows: Callable[[np.ndarray, int], Array]
    ties: Callable[[np.ndarray, int, bool], tuple[Array, Array, Array | None]]


def active_rows(probe: Probe) -> Layer:
    """List each neuron's active rows."""
    if not _by_device(probe):
        rows = [
            np.flatnonzero(column)
            for _, part in probe.in_neurons()
            for column in np.ascontiguousarray(np.asarray(part.active).T)
        ]
        return _layer(probe, _listed(probe, rows, None))
    active = probe.active
    count = np.asarray(active.sum(axis=0, dtype=jnp.int32))

    def table(own: np.ndarray, size: int) -> Array:
        return _active_table(active, own, size=size)

    return _layer(probe, Listing(count, None, np.full_like(count, -1), table, _no_ties))


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
            return _layer(probe, _ranked_listing(ranking))
        found = _ordered(ranking)
    rows, ties = zip(*found, strict=True)
    return _layer(probe, _listed(probe, list(rows), list(ties)))


def _by_device(probe: Probe) -> bool:
    """Whether dense activations are listed where they are: an accelerator sends them slowly."""
    return jax.default_backend() != "cpu" and not isinstance(probe.activations, SparseColumns)


def _no_ties(own: np.ndarray, size: int, few: bool) -> tuple[Array, Array, Array | None]:
    raise AssertionError("active rows are in no order")


@partial(jax.jit, static_argnames="size")
def _active_table(active: Array, own: Array, *, size: int) -> Array:
    """Rows on which these columns of ``active`` [n, U] are, [V, size]; n fills up."""
    up_to = jnp.cumsum(active.T[own], axis=1, dtype=jnp.int32)
    nth = jnp.arange(1, size + 1, dtype=jnp.int32)
    return jax.vmap(lambda x: jnp.searchsorted(x, nth))(up_to).astype(jnp.int32)


def _ranked_listing(ranking: Ranking) -> Listing:
    num_samples = ranking.order.shape[0]
    low, high, tied = (np.asarray(x) for x in _widest_ties(ranking))
    left_out = _is_base(high - low, num_samples)
    span = np.where(left_out, high - low, 0)
    below = np.where(left_out, low, -1)

    def part(own: np.ndarray) -> tuple[Any, ...]:
        return ranking, own, low[own], span[own]

    def ties(own: np.ndarray, size: int, few: bool) -> tuple[Array, Array, Array | None]:
        return _ranked_ties(*part(own), size=size, few=few)

    def rows(own: np.ndarray, size: int) -> Array:
        return _ranked_table(*part(own), size=size)

    return Listing(num_samples - span, tied - span, below, rows, ties)


@jax.jit
def _widest_ties(ranking: Ranking) -> tuple[Array, Array, Array]:
    """Where each column's widest tie begins and ends, and how many of its rows tie, [U]."""
    width = ranking.last - ranking.first
    widest = jnp.argmax(width, axis=0)[None, :]
    low, high = (jnp.take_along_axis(x, widest, axis=0)[0] for x in ranking[1:])
    return low, high, (width > 1).sum(axis=0, dtype=jnp.int32)


def _is_base(width: Any, num_samples: int) -> Any:
    """Whether a tie is wide enough to be left out."""
    return width >= max(BASE_SHARE * num_samples, 2)


@partial(jax.jit, static_argnames="size")
def _ranked_table(ranking: Ranking, own: Array, low: Array, span: Array, *, size: int) -> Array:
    """Rows [V, size] of these neurons without the ``span`` ones from the ``low``-th on."""
    fill = ranking.order.shape[0]

    def column(order: Array, low: Array, span: Array) -> Array:
        place = jnp.arange(size, dtype=jnp.int32)
        place = place + jnp.where(place >= low, span, 0)
        return order.at[place].get(mode="fill", fill_value=fill)

    return jax.vmap(column, in_axes=(1, 0, 0))(ranking.order[:, own], low, span)


@partial(jax.jit, static_argnames=("size", "few"))
def _ranked_ties(
    ranking: Ranking, own: Array, low: Array, span: Array, *, size: int, few: bool
) -> tuple[Array, Array, Array | None]:
    """The ties of what :func:`_ranked_table` lists."""
    rows = _ranked_table(ranking, own, low, span, size=size)
    fill = ranking.order.shape[0]

    def column(
        rows: Array, first: Array, last: Array, low: Array, span: Array
    ) -> tuple[Array, Array, Array | None]:
        place = jnp.arange(size, dtype=jnp.int32)
        moved = jnp.where(place >= low, span, 0)
        listed = rows < fill
        begin, end = (x.at[rows].get(mode="clip") - moved for x in (first, last))
        begin, end = jnp.where(listed, begin, place), jnp.where(listed, end, place + 1)
        if not few:
            return begin, end, None
        up_to = jnp.cumsum(end - begin > 1, dtype=jnp.int32)
        nth = jnp.arange(1, FEW_TIES + 1, dtype=jnp.int32)
        at = jnp.searchsorted(up_to, nth).astype(jnp.int32)
        begin = begin.at[at].get(mode="fill", fill_value=0)
        return begin, end.at[at].get(mode="fill", fill_value=1), at

    first, last = (x[:, own] for x in ranking[1:])
    return jax.vmap(column, in_axes=(0, 1, 1, 0, 0))(rows, first, last, low, span)


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
            if not _is_base(high - low, num_samples):
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


def _listed(probe: Probe, rows: list[np.ndarray], ties: list[NeuronTies] | None) -> Listing:
    """The listing of what is on the host."""
    count = np.array([len(x) for x in rows])

    def table(own: np.ndarray, size: int) -> Array:
        return jax.device_put(table_of([rows[u] for u in own], size, probe.num_samples))

    if ties is None:
        return Listing(count, None, np.full_like(count, -1), table, _no_ties)
    below, *sides = zip(*ties, strict=True)

    def tie_tables(own: np.ndarray, size: int, few: bool) -> tuple[Array, Array, Array | None]:
        return _tie_tables(*([x[u] for u in own] for x in sides), size=size, few=few)

    return Listing(
        count, np.array([len(x) for x in sides[0]]), np.array(below, np.int32), table, tie_tables
    )


def _layer(probe: Probe, listing: Listing) -> Layer:
    """Put lists of about one length together."""
    kind, place = (np.zeros(probe.num_neurons, np.int32) for _ in range(2))
    lists: list[Rows] = []
    ranked = listing.tied is not None
    shrink = 4 if ranked else 2  # lists in order take longer to compile
    num_tied = listing.tied if listing.tied is not None else np.zeros_like(listing.length)
    for many, off_base in itertools.product((False, True), repeat=2):
        chosen = ((num_tied > FEW_TIES) == many) & ((listing.below >= 0) == off_base)
        for own, size in _sizes(np.flatnonzero(chosen), listing.length, probe.num_samples, shrink):
            kind[own], place[own] = len(lists), np.arange(len(own))
            ties = None
            if ranked:
                below = jax.device_put(listing.below[own].astype(np.int32)) if off_base else None
                few = not many and size > FEW_TIES
                ties = Ties(below, *listing.ties(own, size, few))
            lists.append(Rows(listing.rows(own, size), ties))
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


def _tie_tables(
    first: list[np.ndarray],
    last: list[np.ndarray],
    place: list[np.ndarray],
    *,
    size: int,
    few: bool,
) -> tuple[Array, Array, Array | None]:
    """Tables of ties, which each neuron has at some places."""
    if few:
        tables = (table_of(x, FEW_TIES, fill) for x, fill in ((first, 0), (last, 1), (place, size)))
        begin, end, at = map(jax.device_put, tables)
        return begin, end, at
    begin = np.tile(np.arange(size, dtype=np.int32), (len(place), 1))
    end = begin + 1
    for i, at in enumerate(place):
        begin[i, at], end[i, at] = first[i], last[i]
    return jax.device_put(begin), jax.device_put(end), None


@jax.jit
def _by_concept(present: Array) -> Array:
    return jnp.pad(present.T, ((0, 0), (0, 1)))
