"""A neuron in some replicates, read from the list of its active rows or of its sorted rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._numerics.sums import TiledTotal, Tiling, column_total, tiled_total, tiling
from .draws import Drawn, exact_product, is_small
from .row_index import RowLists

__all__ = ["NeuronView", "read_neuron"]


class NeuronView(NamedTuple):
    """A neuron's view in b replicates, on the k rows of its list.

    Attributes
    ----------
    terms : callable
        ``terms(places)`` gives the rows [k] at places of the list, n filling up, and the view there
        times the weights, less its offset, [k, b]. None stands for the whole list, and a place
        beyond its end gives 0.
    tie_corrections : tuple of Array [t] and Array [t, b], or None
        Rows, n filling up, and what must be added to their terms; None where ties are exact.
    offset : Array [1, b] or None
        The view on the rows that are not listed; None for 0.
    total, square : Array [1, b]
        Sums of the view and of its square.
    constant : Array [1, b] of bool
        Whether the view takes one value only.
    hits : Array [k, C], or None
        Weight of the active rows with each concept, where groups are listed.
    doubled : callable, or None
        ``doubled(samples, weights)`` gives the view on some samples [k] times their weights [k, b]
        and twice the sum of all weights, whole numbers of int32. None where not all samples are
        listed.
    """

    terms: Callable[[Array | None], tuple[Array, Array]]
    tie_corrections: tuple[Array, Array] | None
    offset: Array | None
    total: Array
    square: Array
    constant: Array
    hits: Array | None = None
    doubled: Callable[[Array, Array], Array] | None = None


def read_neuron(lists: RowLists, v: Array, drawn: Drawn) -> NeuronView:
    """The view of the neuron whose list is the ``v``-th."""
    return _read_active(lists, v, drawn) if lists.ties is None else _read_ranked(lists, v, drawn)


def _read_active(lists: RowLists, v: Array, drawn: Drawn) -> NeuronView:
    rows = lists.rows[v]
    w = drawn.weights.at[rows].get(mode="promise_in_bounds")
    if lists.weight is not None and lists.hits is not None:
        active = exact_product(lists.weight[v][None, :], w, drawn.total.dtype)
        constant = (active <= 0) | (active >= drawn.total)
        return NeuronView(
            lambda places: (rows, w), None, None, active, active, constant, lists.hits[v]
        )
    active = lax.platform_dependent(
        w,
        cpu=lambda w: w.sum(axis=0, keepdims=True, dtype=drawn.total.dtype),
        # an accelerator multiplies by ones faster than it sums down columns; the ones must depend
        # on the neuron, or they are multiplied by all weights at once
        default=lambda w: exact_product(rows[None, :] >= 0, w, drawn.total.dtype),
    )
    constant = (active <= 0) | (active >= drawn.total)
    return NeuronView(lambda places: (rows, w), None, None, active, active, constant)


class _Base(NamedTuple):
    """The rows that are not listed, all of one activation.

    Attributes
    ----------
    below : Array [] of int32
        How many of the listed rows are below the base.
    weight : Array [1, b]
        The weight of the base.
    listed : Array [1, b]
        The weight of the listed rows.
    """

    below: Array
    weight: Array
    listed: Array


class _SortedWeights(NamedTuple):
    """The weights of a ranked neuron's rows in the order of its activations, in b replicates.

    Attributes
    ----------
    order : Array [k] of int32
        The rows in their order, n filling up.
    rows, weights : Array [stored] of int32, Array [stored, b]
        The same rows and their weights, in the order in which they are stored.
    up_to : TiledTotal
        The weight up to each place of the list.
    storage : Tiling
    base : _Base or None
        None where all rows are listed.
    middle : Array [1, b]
        Twice the weight below the middle of the base; the total weight without a base.
    total : Array [1, b]
    """

    order: Array
    rows: Array
    weights: Array
    up_to: TiledTotal
    storage: Tiling
    base: _Base | None
    middle: Array
    total: Array

    @property
    def dtype(self) -> Any:
        """The type of sums."""
        return self.total.dtype

    def at(self, values: Array, place: Array) -> Array:
        """Values, stored as the weights are, at some places of the list."""
        found = values.at[self.storage.stored(place)].get(mode="promise_in_bounds")
        return found.astype(self.dtype)

    def around(self, first: Array, last: Array) -> tuple[Array, Array]:
        """The weight below ties, and the weight up to their end."""
        below = self.up_to.at(first, self.dtype) - self.at(self.weights, first)
        return below, self.up_to.at(last - 1, self.dtype)

    def rank(self, twice: Array, place: Array) -> Array:
        """The centred rank from twice the listed weight below the middle of a row's ties."""
        if self.base is not None:
            twice = twice + jnp.where(place >= self.base.below, 2 * self.base.weight, 0)
        return (twice - self.middle) / (2 * self.total)


def _sorted_weights(rows: Array, below_base: Array | None, drawn: Drawn) -> _SortedWeights:
    size, total = rows.shape[0], drawn.total
    dtype = total.dtype
    storage = tiling(size)
    stored_rows = storage.store(rows, drawn.weights.shape[0] - 1)
    weights = drawn.weights.at[stored_rows].get(mode="promise_in_bounds")
    wide = weights.dtype
    if is_small(weights):
        # half of the memory to move where all counts together fit into 16 bits; that those of a
        # tile, about Poisson(64) at most, leave 8 bits has probability 1e-71
        wide = jnp.dtype(jnp.uint16 if 2 * size < 2**16 else jnp.uint32)
    up_to = tiled_total(weights, wide, storage)
    base, middle = None, total
    if below_base is not None:
        listed = up_to.at(jnp.array([size - 1]), dtype)
        rest = total - listed
        # where weights are not whole, a small rest may be rounding alone
        least = 0 if is_small(drawn.weights) else 16 * jnp.finfo(dtype).eps
        base = _Base(below_base, jnp.where(rest > least * total, rest, 0), listed)
        below = up_to.at(jnp.maximum(below_base - 1, 0)[None], dtype)
        middle = 2 * jnp.where(below_base > 0, below, 0) + base.weight
    return _SortedWeights(rows, stored_rows, weights, up_to, storage, base, middle, total)


def _read_ranked(lists: RowLists, v: Array, drawn: Drawn) -> NeuronView:
    """The view by weighted mid-ranks, as :func:`mid_ranks`, in the order of rows."""
    assert lists.ties is not None
    assert drawn.cubes is not None
    below_base, first, last, place = jax.tree.map(lambda x: x[v], lists.ties)
    ordered = _sorted_weights(lists.rows[v], below_base, drawn)
    base, total = ordered.base, ordered.total
    if place is None:
        storage = ordered.storage
        lowest, highest = ordered.around(storage.store(first, 0), storage.store(last, 1))
        twice = lowest + highest
    else:
        lowest, highest = ordered.around(first, last)
        twice = 2 * ordered.up_to.whole(ordered.dtype) - ordered.weights.astype(ordered.dtype)
    listed = total if base is None else base.listed
    constant = drawn.single | ((lowest <= 0) & (highest >= listed)).any(axis=0, keepdims=True)
    rank = ordered.rank(twice, ordered.storage.places()[:, None])
    weighted = ordered.weights.astype(ordered.dtype) * rank
    if base is None and place is not None:
        # the sum of squared ranks of untied samples is the same in every order
        square, offset = (total - drawn.cubes / total**2) / 12, None
    elif base is None:
        square, offset = column_total(weighted * rank), None
    else:
        offset = (ordered.middle - total) / (2 * total)
        # the mean rank is 0
        square = column_total(weighted * rank) - total * offset**2
        constant = jnp.where(base.weight > 0, listed <= 0, constant)
    corrections = None
    if place is not None:
        corrections, squares = _tie_corrections(ordered, place, lowest + highest, drawn)
        square = square + squares
    terms = _terms(ordered, (first, last, place), weighted, drawn)
    view = NeuronView(terms, corrections, offset, jnp.zeros_like(total), square, constant)
    if base is None and is_small(drawn.weights):
        view = view._replace(doubled=_doubled(ordered, (first, last, place)))
    return view


def _doubled(
    ordered: _SortedWeights, ties: tuple[Array, Array, Array | None]
) -> Callable[[Array, Array], Array]:
    """The function ``doubled`` of a :class:`NeuronView`, where a few ties are not corrected."""
    first, last, few = ties
    size, total = ordered.order.shape[0], ordered.total.astype(jnp.int32)
    # a place for the sample that fills up too, which weighs nothing
    place = (
        jnp.zeros(size + 1, jnp.int32)
        .at[ordered.order]
        .set(jnp.arange(size, dtype=jnp.int32), unique_indices=True)
    )

    def doubled(samples: Array, weights: Array) -> Array:
        at, whole = place[samples], weights.astype(jnp.int32)
        # written once, since XLA would gather again for each digit
        if few is not None:
            up_to = lax.optimization_barrier(ordered.up_to.at(at, ordered.up_to.before.dtype))
            twice = 2 * up_to.astype(jnp.int32) - whole
        else:
            low, high = ordered.around(first[at], last[at])
            twice = lax.optimization_barrier((low + high).astype(jnp.int32))
        return whole * (twice - total)

    return doubled


def _tie_corrections(
    ordered: _SortedWeights, place: Array, twice: Array, drawn: Drawn
) -> tuple[tuple[Array, Array], Array]:
    """What the terms of the tied rows lack that are ranked as if untied, and their squares.

    A few rows are corrected, because a scatter into the terms would copy the whole list.
    """
    size = ordered.order.shape[0]
    inside = jnp.minimum(place, size - 1)
    w, true = ordered.at(ordered.weights, inside), ordered.rank(twice, inside[:, None])
    false = ordered.rank(2 * ordered.up_to.at(inside, ordered.dtype) - w, inside[:, None])
    lacking = jnp.where((place < size)[:, None], w * (true - false), 0)
    end = drawn.weights.shape[0] - 1
    rows = jnp.where(place < size, ordered.order.at[inside].get(), end)
    return (rows, lacking), (lacking * (true + false)).sum(axis=0, keepdims=True)


def _terms(
    ordered: _SortedWeights,
    ties: tuple[Array, Array, Array | None],
    weighted: Array,
    drawn: Drawn,
) -> Callable[[Array | None], tuple[Array, Array]]:
    """The function ``terms`` of a ranked :class:`NeuronView`."""
    first, last, place = ties

    def terms(some: Array | None) -> tuple[Array, Array]:
        if some is None:
            return ordered.rows, weighted
        rows = ordered.order.at[some].get(mode="fill", fill_value=drawn.weights.shape[0] - 1)
        some = jnp.minimum(some, ordered.order.shape[0] - 1)
        w = drawn.weights.at[rows].get(mode="promise_in_bounds").astype(ordered.dtype)
        if place is None:
            low, high = ordered.around(first[some], last[some])
        else:
            high = ordered.up_to.at(some, ordered.dtype)
            low = high - w
        return rows, w * ordered.rank(low + high, some[:, None])

    return terms
