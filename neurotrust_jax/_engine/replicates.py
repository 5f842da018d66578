"""The similarities of many replicates, computed in one of two ways that give the same.

``dense``: one replicate after the other, all pairs at once, any metric. ``rows``: one neuron after
the other, all replicates at once, on the rows that the neuron is about: those on which it is active
(a neuron active on one sample in twenty meets a concept on those samples only), or all of them in
the order of its activations. The second way takes only the pairs that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._numerics.packing import Blocks, Steps
from .._numerics.sums import Sums, column_total, tiled_total, tiling
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, winner
from ..schemes import draw_all
from .candidates import stable_scale
from .room import NUM_PILOT
from .row_index import Layer, Rows

__all__ = [
    "accumulate",
    "dense_replicates",
    "dense_spread",
    "draw_chunk",
    "draw_weights",
    "exact_product",
    "rows_replicates",
    "rows_similarity",
    "rows_spread",
    "standard_deviation",
]

COLUMNS = 4096  # concepts whose totals are taken at a time


@partial(jax.jit, static_argnames=("scheme", "num_units"))
def draw_weights(
    key: Array, ids: Array, weights: Array, groups: Array | None, *, scheme: str, num_units: int
) -> Array:
    """Weights [n, b] of the replicates ``ids``, sample weights included."""
    drawn = draw_all(key, ids, groups, scheme, num_units, weights.dtype)
    return (drawn * weights[None, :]).T


@partial(jax.jit, static_argnames="metric")
def dense_spread(drawn: Array, prepared: Any, observed: Array, *, metric: Metric) -> Array:
    """Standard errors [U, C] on the stable scale from the first replicates."""

    def add(
        moments: tuple[Array, Array, Array], weights: Array
    ) -> tuple[tuple[Array, Array, Array], None]:
        scores = stable_scale(metric, metric.score(prepared, weights))
        return accumulate(moments, scores - centre), None

    centre = stable_scale(metric, observed)
    zero = jnp.zeros_like(centre)
    moments, _ = lax.scan(add, (zero, zero, zero), drawn[:, :NUM_PILOT].T)
    return standard_deviation(moments)


@partial(jax.jit, static_argnames="metric")
def dense_replicates(
    drawn: Array, prepared: Any, pairs: tuple[Array, Array], *, metric: Metric
) -> tuple[Array, Array, Array]:
    """Of replicates: winners [U, b], their similarity [U, b], the pairs' [P, b]."""

    def one(weights: Array) -> tuple[Array, Array, Array]:
        scores = metric.score(prepared, weights)
        won = winner(scores)
        return won, at_concept(scores, won), scores[pairs]

    won, winning, followed = lax.map(one, drawn.T)
    return won.T, winning.T, followed.T


def accumulate(moments: tuple[Array, Array, Array], x: Array) -> tuple[Array, Array, Array]:
    """Add values to their number, sum and sum of squares; NaN is left out."""
    count, total, square = moments
    defined = ~jnp.isnan(x)
    x = jnp.where(defined, x, 0)
    return count + defined.astype(x.dtype), total + x, square + x * x


def standard_deviation(moments: tuple[Array, Array, Array]) -> Array:
    """The standard deviation of what was accumulated."""
    count, total, square = moments
    some = jnp.maximum(count, 1)
    return jnp.sqrt(jnp.maximum(square / some - (total / some) ** 2, 0))


class Read(NamedTuple):
    """A neuron in b replicates, on k rows.

    Attributes
    ----------
    terms : callable
        ``terms(places)`` are the rows [k], n filling up, at places of its list, and its view there
        times the weights, less its offset, [k, b]; None stands for the whole list, and a place
        beyond its end gives 0.
    mended : tuple of Array [t] and Array [t, b], or None
        Rows, n filling up, and what their terms are short of.
    offset : Array [1, b] or None
        Its view on the rows that are not listed; None for 0.
    total, square : Array [1, b]
        Sums of the view and of its square.
    constant : Array [1, b] of bool
        Whether the view takes one value only.
    """

    terms: Callable[[Array | None], tuple[Array, Array]]
    mended: tuple[Array, Array] | None
    offset: Array | None
    total: Array
    square: Array
    constant: Array


def _read(lists: Rows, v: Array, drawn: Drawn) -> Read:
    """The neuron whose list is the ``v``-th."""
    return (_read_active if lists.ties is None else _read_ranked)(lists, v, drawn)


def _read_active(lists: Rows, v: Array, drawn: Drawn) -> Read:
    rows = lists.rows[v]
    w = drawn.weights.at[rows].get(mode="promise_in_bounds")
    active = lax.platform_dependent(
        w,
        cpu=lambda w: w.sum(axis=0, keepdims=True, dtype=drawn.total.dtype),
        # an accelerator multiplies by ones, told apart by neuron, faster than it sums down columns
        default=lambda w: exact_product(rows[None, :] >= 0, w, drawn.total.dtype),
    )
    constant = (active <= 0) | (active >= drawn.total)
    return Read(lambda places: (rows, w), None, None, active, active, constant)


def _read_ranked(lists: Rows, v: Array, drawn: Drawn) -> Read:
    """By weighted mid-ranks, as :func:`mid_ranks`, in the order of rows."""
    assert lists.ties is not None
    assert drawn.cubes is not None
    below_base, first, last, place = jax.tree.map(lambda x: x[v], lists.ties)
    total, size = drawn.total, lists.rows.shape[1]
    dtype = total.dtype
    storage = tiling(size)
    stored_rows = storage.store(lists.rows[v], drawn.weights.shape[0] - 1)
    ordered = drawn.weights.at[stored_rows].get(mode="promise_in_bounds")
    wide = ordered.dtype
    if _is_small(ordered):
        # half of the memory to move where all counts together fit into 16 bits; that those of a
        # tile, about Poisson(64) at most, leave 8 bits has probability 1e-71
        wide = jnp.dtype(jnp.uint16 if 2 * size < 2**16 else jnp.uint32)
    reached = tiled_total(ordered, wide, storage)

    def at(x: Array, place: Array) -> Array:
        return x.at[storage.stored(place)].get(mode="promise_in_bounds").astype(dtype)

    def ends(first: Array, last: Array) -> tuple[Array, Array]:
        """Weight below ties and weight up to their end."""
        return reached.at(first, dtype) - at(ordered, first), reached.at(last - 1, dtype)

    if place is None:
        lowest, highest = ends(storage.store(first, 0), storage.store(last, 1))
    else:
        lowest, highest = ends(first, last)
    untied = 2 * reached.whole(dtype) - ordered.astype(dtype)
    listed, base, middle = total, None, total
    if below_base is not None:
        listed = reached.at(jnp.array([size - 1]), dtype)
        base = total - listed
        # of weights that are not whole the rest may be rounding alone
        least = 0 if _is_small(drawn.weights) else 16 * jnp.finfo(dtype).eps
        base = jnp.where(base > least * total, base, 0)
        below = reached.at(jnp.maximum(below_base - 1, 0)[None], dtype)
        middle = 2 * jnp.where(below_base > 0, below, 0) + base
    constant = drawn.single | ((lowest <= 0) & (highest >= listed)).any(axis=0, keepdims=True)

    def rank(twice: Array, place: Array) -> Array:
        if base is not None:
            twice = twice + jnp.where(place >= below_base, 2 * base, 0)
        return (twice - middle) / (2 * total)

    every = storage.places()[:, None]
    plain = rank(lowest + highest if place is None else untied, every)

    weighted = ordered.astype(dtype) * plain

    def terms(some: Array | None) -> tuple[Array, Array]:
        if some is None:
            return stored_rows, weighted
        rows = lists.rows[v].at[some].get(mode="fill", fill_value=drawn.weights.shape[0] - 1)
        some = jnp.minimum(some, size - 1)
        w = drawn.weights.at[rows].get(mode="promise_in_bounds").astype(dtype)
        if place is None:
            low, high = ends(first[some], last[some])
        else:
            high = reached.at(some, dtype)
            low = high - w
        return rows, w * rank(low + high, some[:, None])

    if base is None and place is not None:
        # of the ranks of untied samples, whichever their order
        square, offset = (total - drawn.cubes / total**2) / 12, None
    elif base is None:
        square, offset = column_total(weighted * plain), None
    else:
        offset = (middle - total) / (2 * total)
        # the mean rank is 0
        square = column_total(weighted * plain) - total * offset**2
        constant = jnp.where(base > 0, listed <= 0, constant)
    mended = None
    if place is not None:
        # a scatter would copy the whole list
        inside = jnp.minimum(place, size - 1)
        w, true = at(ordered, inside), rank(lowest + highest, inside[:, None])
        false = at(plain, inside)
        short = jnp.where((place < size)[:, None], w * (true - false), 0)
        square = square + (short * (true + false)).sum(axis=0, keepdims=True)
        end = drawn.weights.shape[0] - 1
        mended = jnp.where(place < size, lists.rows[v].at[inside].get(), end), short
    return Read(terms, mended, offset, jnp.zeros_like(total), square, constant)


def _concept_totals(present: Array, drawn: Array, dtype: Any) -> Array:
    """Weight of each concept in each replicate, [C, b]; some concepts at a time."""
    num_concepts = present.shape[0]
    width = min(num_concepts, COLUMNS)
    steps = jnp.arange(-(-num_concepts // width), dtype=jnp.int32) * width
    # the last slice begins earlier, so that all have one width
    starts = jnp.minimum(steps, num_concepts - width)
    totals = lax.map(
        lambda s: exact_product(lax.dynamic_slice_in_dim(present, s, width), drawn, dtype), starts
    )
    every = jnp.zeros((num_concepts, drawn.shape[1]), dtype)
    place = starts[:, None] + jnp.arange(width, dtype=jnp.int32)[None, :]
    return every.at[place.reshape(-1)].set(totals.reshape(-1, drawn.shape[1]))


def exact_product(a: Array, b: Array, dtype: Any) -> Array:
    """Product of 0/1 and of weights: small counts are exact in bfloat16, where that is faster."""
    wide = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    if not (_is_small(a) and _is_small(b)):
        return wide(a.astype(dtype), b.astype(dtype))

    def narrow(a: Array, b: Array) -> Array:
        a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
        return jnp.matmul(a, b, preferred_element_type=jnp.float32).astype(dtype)

    return lax.platform_dependent(
        a, b, cpu=lambda a, b: wide(a.astype(dtype), b.astype(dtype)), default=narrow
    )


def _is_small(x: Array) -> bool:
    return x.dtype in (jnp.bool_, jnp.uint8)


class Drawn(NamedTuple):
    """Some replicates.

    Attributes
    ----------
    weights : Array [n + 1, b]
        With a last row of zeros; of uint8 where samples are single, and weigh 1.
    total : Array [1, b]
        Their sum.
    single : Array [1, b] of bool
        Whether one sample has all the weight.
    concept_total : Array [C, b]
        Weight of each concept.
    concept_varies : Array [C, b] of bool
        Whether it is present in the replicate, and absent.
    cubes : Array [1, b], or None
        Sum of the cubes of the weights; None where no neuron is ranked.
    """

    weights: Array
    total: Array
    single: Array
    concept_total: Array
    concept_varies: Array
    cubes: Array | None


def _scores(drawn: Drawn, layer: Layer, blocks: Blocks, metric: Metric) -> tuple[Array, Array]:
    """Similarities [blocks, width, b], NaN also where a block has no concept; and scales [U, b].

    Times its neuron's scale a similarity is what :func:`replicate_range`
    bounds: twice the standard deviation of the neuron's ranks where concepts are ranked too, or 1.
    """
    shape = *blocks.concept.shape, drawn.total.shape[1]
    out = (
        jnp.full(shape, jnp.nan, drawn.total.dtype),
        jnp.ones((blocks.neuron.shape[0], shape[-1]), drawn.total.dtype),
    )
    fill_in = _by_neuron if jax.default_backend() == "cpu" else _by_blocks
    return fill_in(drawn, layer, blocks, metric, out)


def _by_neuron(
    drawn: Drawn, layer: Layer, blocks: Blocks, metric: Metric, out: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Fill in the scores and scales, each neuron read once: what is read stays in the cache."""
    # neurons without concepts come last, and are not read
    empty = len(layer.lists)
    kind = jnp.where(blocks.start < blocks.stop, layer.kind[blocks.neuron], empty)
    order, bounds = _by_kind(kind, empty)

    def neuron(lists: Rows, i: Array, out: tuple[Array, Array]) -> tuple[Array, Array]:
        read = _read(lists, layer.place[blocks.neuron[i]], drawn)
        scores, scale = out
        if metric.concept_view == "rank":
            scale = lax.dynamic_update_index_in_dim(scale, _scale(drawn, read), i, 0)

        def block(j: Array, scores: Array) -> Array:
            steps = None if lists.ties is None else blocks.steps
            value = _value(drawn, layer, read, blocks.concept[j], metric, steps, j)
            return lax.dynamic_update_index_in_dim(scores, value, j, 0)

        return lax.fori_loop(blocks.start[i], blocks.stop[i], block, scores), scale

    for kind_id, lists in enumerate(layer.lists):
        out = lax.fori_loop(
            bounds[kind_id], bounds[kind_id + 1],
            lambda i, out, lists=lists: neuron(lists, order[i], out), out,
        )  # fmt: skip
    return out


def _by_blocks(
    drawn: Drawn, layer: Layer, blocks: Blocks, metric: Metric, out: tuple[Array, Array]
) -> tuple[Array, Array]:
    """As :func:`_by_neuron`, many blocks at a time: few neurons are too little work to fill it.

    A neuron is read anew for each of its blocks, and no loop waits within another.
    """
    num_blocks = blocks.concept.shape[0]
    index = jnp.arange(num_blocks, dtype=jnp.int32)
    owner = jnp.minimum(_owner(blocks), blocks.neuron.shape[0] - 1)
    neuron = blocks.neuron[owner]
    empty = len(layer.lists)
    order, bounds = _by_kind(jnp.where(index < blocks.stop[-1], layer.kind[neuron], empty), empty)

    def step(
        lists: Rows, many: int, place: Array, stop: Array, out: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        scores, scale = out
        place = place + jnp.arange(many, dtype=jnp.int32)
        own = order.at[place].get(mode="clip")

        def one(j: Array) -> tuple[Array, Array]:
            # of another kind, which is dropped, the place may be beyond the end
            v = jnp.minimum(layer.place[neuron[j]], lists.rows.shape[0] - 1)
            read = _read(lists, v, drawn)
            return _value(drawn, layer, read, blocks.concept[j], metric), _scale(drawn, read)

        found = jax.vmap(one)(own) if many > 1 else jax.tree.map(lambda x: x[None], one(own[0]))
        inside = place < stop
        scores = scores.at[jnp.where(inside, own, num_blocks)].set(found[0], mode="drop")
        if metric.concept_view == "rank":
            at = jnp.where(inside, owner[own], scale.shape[0])
            scale = scale.at[at].set(found[1], mode="drop")
        return scores, scale

    for kind_id, lists in enumerate(layer.lists):
        start, stop = bounds[kind_id], bounds[kind_id + 1]
        # as many as have no more rows together than there are samples
        many = min(max(1, drawn.weights.shape[0] // lists.rows.shape[1]), num_blocks)

        def body(
            i: Array, out: tuple[Array, Array], of_kind: Any = (lists, many, start, stop)
        ) -> tuple[Array, Array]:
            lists, many, start, stop = of_kind
            return step(lists, many, start + i * many, stop, out)

        out = lax.fori_loop(0, -(-(stop - start) // many), body, out)
    return out


def _by_kind(kind: Array, number: int) -> tuple[Array, Array]:
    """Places in the order of their kind, and where each kind begins."""
    order = jnp.argsort(kind, stable=True)
    return order, jnp.searchsorted(kind[order], jnp.arange(number + 1, dtype=jnp.int32))


def _owner(blocks: Blocks) -> Array:
    """Whose each block is; of blocks that are nobody's, beyond the last neuron."""
    index = jnp.arange(blocks.concept.shape[0], dtype=jnp.int32)
    return jnp.searchsorted(blocks.stop, index, side="right").astype(jnp.int32)


def _scale(drawn: Drawn, read: Read) -> Array:
    """Twice the standard deviation of a neuron's view, [b]."""
    return 2 * jnp.sqrt(jnp.maximum(read.square / drawn.total, 0))[0]


def _value(
    drawn: Drawn,
    layer: Layer,
    read: Read,
    concept: Array,
    metric: Metric,
    steps: Steps | None = None,
    block: Array | None = None,
) -> Array:
    """Similarities [width, b] of a neuron and the concepts of a block."""
    some = jnp.maximum(concept, 0)
    c = drawn.concept_total[some]

    def product(rows: Array, weighted: Array) -> Array:
        present = layer.present.at[some[:, None], rows[None, :]].get(mode="promise_in_bounds")
        return exact_product(present, weighted, c.dtype)

    if steps is None:
        both = product(*read.terms(None))
    else:
        both = lax.fori_loop(
            steps.start[block], steps.stop[block],
            lambda s, both: both + product(*read.terms(steps.place[s])), jnp.zeros_like(c),
        )  # fmt: skip
    if read.mended is not None:
        both = both + product(*read.mended)
    if read.offset is not None:
        both = both + read.offset * c
    sums = Sums(drawn.total, read.total, c, read.square, c, both)
    if metric.concept_view == "rank":
        sums = _two_ranks(sums)
    defined = (concept >= 0)[:, None] & drawn.concept_varies[some] & ~read.constant
    return metric.value(sums, defined)


def _two_ranks(s: Sums) -> Sums:
    """The sums for a concept read by its rank, from those of 0 and 1: the rank is (c - C/S) / 2."""
    share = s.C / s.S
    return s._replace(C=jnp.zeros_like(s.C), CC=s.C * (1 - share) / 4, FC=(s.FC - share * s.F) / 2)


@partial(jax.jit, static_argnames=("scheme", "num_units", "counts"))
def draw_chunk(
    key: Array,
    ids: Array,
    layer: Layer,
    weights: Array,
    groups: Array | None,
    *,
    scheme: str,
    num_units: int,
    counts: bool,
) -> Drawn:
    """Draw the replicates ``ids``; with ``counts`` samples are single, and weigh 1."""
    if counts:
        drawn = draw_all(key, ids, groups, scheme, num_units, jnp.uint8).T
    else:
        drawn = draw_weights(key, ids, weights, groups, scheme=scheme, num_units=num_units)
    return _drawn(drawn, layer, weights.dtype, counts)


def _drawn(weights: Array, layer: Layer, dtype: Any, counts: bool) -> Drawn:
    """Replicates of these weights [n, b]."""
    drawn = jnp.pad(weights, ((0, 1), (0, 0)))
    total = drawn.sum(axis=0, keepdims=True, dtype=dtype)
    present = _concept_totals(layer.present, drawn, dtype)
    # whole numbers tell exactly what is left; of others the rest is summed by itself
    absent = total - present if counts else _concept_totals(~layer.present, drawn, dtype)
    single = drawn.max(axis=0, keepdims=True).astype(dtype) >= total
    ranked = layer.lists[0].ties is not None
    cubes = column_total(drawn.astype(dtype) ** 3) if ranked else None
    return Drawn(drawn, total, single, present, (present > 0) & (absent > 0), cubes)


@partial(jax.jit, static_argnames="metric")
def rows_similarity(weights: Array, layer: Layer, blocks: Blocks, *, metric: Metric) -> Array:
    """Similarities [blocks * width] on the data itself: a replicate of its own weights [n]."""
    drawn = _drawn(weights[:, None], layer, weights.dtype, False)
    return _scores(drawn, layer, blocks, metric)[0].reshape(-1)


@partial(jax.jit, static_argnames="metric")
def rows_spread(
    drawn: Drawn, layer: Layer, blocks: Blocks, places: Array, observed: Array, *, metric: Metric
) -> tuple[Array, Array]:
    """As :func:`dense_spread`, of the pairs at ``places`` [P], whose values are ``observed``.

    Also the mean scale of each neuron [U], see :func:`_scores`.
    """
    pilot = jax.tree.map(lambda x: x[:, :NUM_PILOT], drawn)
    scores, scale = _scores(pilot, layer, blocks, metric)
    scores = stable_scale(metric, scores.reshape(-1, scores.shape[-1])[places])
    deviation = scores - stable_scale(metric, observed)[:, None]
    defined = ~jnp.isnan(deviation)
    deviation = jnp.where(defined, deviation, 0)
    number = defined.sum(axis=1, dtype=jnp.int32).astype(deviation.dtype)
    moments = number, deviation.sum(axis=1), (deviation**2).sum(axis=1)
    return standard_deviation(moments), scale.mean(axis=1)


@partial(jax.jit, static_argnames="metric")
def rows_replicates(
    drawn: Drawn, layer: Layer, blocks: Blocks, places: Array, *, metric: Metric
) -> tuple[Array, Array, Array, Array]:
    """As :func:`dense_replicates`; the pairs are told by their ``places`` [P] in the blocks.

    Also how low a winner's similarity is in any replicate, times the scale, [U, 1].
    """
    scores, scale = _scores(drawn, layer, blocks, metric)
    num_neurons, num_concepts = blocks.neuron.shape[0], layer.present.shape[0]
    ordered = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    top = ordered.max(axis=1)
    # arg-max by two reductions, which a CPU does many at a time
    column = jnp.where(ordered == top[:, None, :], blocks.concept[:, :, None], num_concepts)
    owner = _owner(blocks)
    winning = jax.ops.segment_max(top, owner, num_neurons, indices_are_sorted=True)
    leads = top == winning.at[owner].get(mode="clip")
    first = jnp.where(leads, column.min(axis=1), num_concepts)
    won = jax.ops.segment_min(first, owner, num_neurons, indices_are_sorted=True)
    none = ~jnp.isfinite(winning)
    floor = jnp.where(none, -jnp.inf, winning * scale).min(axis=1, keepdims=True)
    won, winning = jnp.where(none, -1, won), jnp.where(none, jnp.nan, winning)
    return won, winning, scores.reshape(-1, scores.shape[-1])[places], floor
