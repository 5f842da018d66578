"""Replicates of chosen pairs, one neuron after the other, from the rows that the index lists.

A neuron that is active on one sample in twenty meets a concept on those samples only; a neuron that
is ranked is read in the order of its activations.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._numerics.byte_products import MANY
from .._numerics.moments import standard_deviation
from .._numerics.packing import Blocks, Steps
from .._numerics.sums import Sums
from ..metrics.table import Metric
from .candidates import stable_scale
from .draws import Drawn, drawn_of, exact_product
from .neuron_view import NeuronView, read_neuron
from .rank_digits import Pieces, pieces_of
from .room import NUM_PILOT
from .row_index import RowIndex, RowLists

__all__ = ["rows_replicates", "rows_similarity", "rows_spread"]


def _scores(drawn: Drawn, index: RowIndex, blocks: Blocks, metric: Metric) -> tuple[Array, Array]:
    """Similarities [blocks, width, b], NaN also where a block has no concept; and scales [U, b].

    :func:`replicate_range` bounds the product of a similarity and its neuron's scale, which is
    twice the standard deviation of the neuron's ranks where concepts are ranked too, else 1.
    """
    shape = *blocks.concept.shape, drawn.total.shape[1]
    out = (
        jnp.full(shape, jnp.nan, drawn.total.dtype),
        jnp.ones((blocks.neuron.shape[0], shape[-1]), drawn.total.dtype),
    )
    fill_in = _by_neuron if jax.default_backend() == "cpu" else _by_blocks
    return fill_in(drawn, index, blocks, metric, out)


def _by_neuron(
    drawn: Drawn, index: RowIndex, blocks: Blocks, metric: Metric, out: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Fill in the scores and scales, each neuron read once: what is read stays in the cache."""
    # neurons without concepts come last, and are not read
    empty = len(index.lists)
    kind = jnp.where(blocks.start < blocks.stop, index.kind[blocks.neuron], empty)
    order, bounds = _by_kind(kind, empty)
    pieces = pieces_of(drawn, index)

    def neuron(lists: RowLists, i: Array, out: tuple[Array, Array]) -> tuple[Array, Array]:
        read = read_neuron(lists, index.place[blocks.neuron[i]], drawn)
        scores, scale = out
        if metric.concept_view == "rank":
            scale = lax.dynamic_update_index_in_dim(scale, _scale(drawn, read), i, 0)

        def block(j: Array, scores: Array) -> Array:
            steps = None if lists.ties is None else blocks.steps
            value = _value(drawn, index, read, blocks.concept[j], metric, pieces, steps, j)
            return lax.dynamic_update_index_in_dim(scores, value, j, 0)

        return lax.fori_loop(blocks.start[i], blocks.stop[i], block, scores), scale

    for kind_id, lists in enumerate(index.lists):
        out = lax.fori_loop(
            bounds[kind_id], bounds[kind_id + 1],
            lambda i, out, lists=lists: neuron(lists, order[i], out), out,
        )  # fmt: skip
    return out


def _by_blocks(
    drawn: Drawn, index: RowIndex, blocks: Blocks, metric: Metric, out: tuple[Array, Array]
) -> tuple[Array, Array]:
    """As :func:`_by_neuron`, but many blocks at a time: a few neurons would not fill a GPU.

    A neuron is read once for each of its blocks, and no loop waits within another.
    """
    num_blocks = blocks.concept.shape[0]
    every = jnp.arange(num_blocks, dtype=jnp.int32)
    owner = jnp.minimum(_owner(blocks), blocks.neuron.shape[0] - 1)
    neuron = blocks.neuron[owner]
    empty = len(index.lists)
    order, bounds = _by_kind(jnp.where(every < blocks.stop[-1], index.kind[neuron], empty), empty)

    def step(
        lists: RowLists, many: int, place: Array, stop: Array, out: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        scores, scale = out
        place = place + jnp.arange(many, dtype=jnp.int32)
        own = order.at[place].get(mode="clip")

        def one(j: Array) -> tuple[Array, Array]:
            # a block of another kind, whose result is dropped, may have a place beyond the end
            v = jnp.minimum(index.place[neuron[j]], lists.rows.shape[0] - 1)
            read = read_neuron(lists, v, drawn)
            return _value(drawn, index, read, blocks.concept[j], metric), _scale(drawn, read)

        found = jax.vmap(one)(own) if many > 1 else jax.tree.map(lambda x: x[None], one(own[0]))
        inside = place < stop
        scores = scores.at[jnp.where(inside, own, num_blocks)].set(found[0], mode="drop")
        if metric.concept_view == "rank":
            at = jnp.where(inside, owner[own], scale.shape[0])
            scale = scale.at[at].set(found[1], mode="drop")
        return scores, scale

    for kind_id, lists in enumerate(index.lists):
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
    """Neuron of each block; a number beyond the last neuron for blocks that fill up."""
    index = jnp.arange(blocks.concept.shape[0], dtype=jnp.int32)
    return jnp.searchsorted(blocks.stop, index, side="right").astype(jnp.int32)


def _scale(drawn: Drawn, read: NeuronView) -> Array:
    """Twice the standard deviation of a neuron's view, [b]."""
    return 2 * jnp.sqrt(jnp.maximum(read.square / drawn.total, 0))[0]


def _value(
    drawn: Drawn,
    index: RowIndex,
    read: NeuronView,
    concept: Array,
    metric: Metric,
    pieces: Pieces | None = None,
    steps: Steps | None = None,
    block: Array | None = None,
) -> Array:
    """Similarities [width, b] of a neuron and the concepts of a block."""
    some = jnp.maximum(concept, 0)
    c = drawn.concept_total[some]

    def product(rows: Array, weighted: Array) -> Array:
        if read.hits is not None:
            return exact_product(read.hits[:, some].T, weighted, c.dtype)
        present = index.present.at[some[:, None], rows[None, :]].get(mode="promise_in_bounds")
        return exact_product(present, weighted, c.dtype)

    if pieces is not None and read.doubled is not None and steps is None and len(concept) >= MANY:
        both = pieces.product(some, read.doubled, c.dtype) / (2 * drawn.total)
    elif steps is None:
        both = product(*read.terms(None))
    else:
        both = lax.fori_loop(
            steps.start[block], steps.stop[block],
            lambda s, both: both + product(*read.terms(steps.place[s])), jnp.zeros_like(c),
        )  # fmt: skip
    if read.tie_corrections is not None:
        both = both + product(*read.tie_corrections)
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


@partial(jax.jit, static_argnames="metric")
def rows_similarity(weights: Array, index: RowIndex, blocks: Blocks, *, metric: Metric) -> Array:
    """Similarities [blocks * width] on the data, as a replicate with the data's weights [n]."""
    drawn = drawn_of(weights[:, None], index, weights.dtype, False)
    return _scores(drawn, index, blocks, metric)[0].reshape(-1)


@partial(jax.jit, static_argnames="metric")
def rows_spread(
    drawn: Drawn, index: RowIndex, blocks: Blocks, places: Array, observed: Array, *, metric: Metric
) -> tuple[Array, Array]:
    """As :func:`dense_spread`, for the pairs at ``places`` [P], whose values are ``observed``.

    A second result [U] is the mean scale of each neuron, see :func:`_scores`.
    """
    pilot = jax.tree.map(lambda x: x[:, :NUM_PILOT], drawn)
    scores, scale = _scores(pilot, index, blocks, metric)
    scores = stable_scale(metric, scores.reshape(-1, scores.shape[-1])[places])
    deviation = scores - stable_scale(metric, observed)[:, None]
    defined = ~jnp.isnan(deviation)
    deviation = jnp.where(defined, deviation, 0)
    number = defined.sum(axis=1, dtype=jnp.int32).astype(deviation.dtype)
    moments = number, deviation.sum(axis=1), (deviation**2).sum(axis=1)
    return standard_deviation(moments), scale.mean(axis=1)


@partial(jax.jit, static_argnames="metric")
def rows_replicates(
    drawn: Drawn, index: RowIndex, blocks: Blocks, places: Array, *, metric: Metric
) -> tuple[Array, Array, Array, Array]:
    """As :func:`dense_replicates`, for the pairs at ``places`` [P] in the blocks.

    A fourth result [U, 1] is the lowest similarity of a winner in any replicate, times the scale.
    """
    scores, scale = _scores(drawn, index, blocks, metric)
    num_neurons, num_concepts = blocks.neuron.shape[0], index.present.shape[0]
    # arg-max by two reductions, which a CPU does many at a time
    top = lax.reduce(scores, jnp.asarray(-jnp.inf, scores.dtype), _higher, [1])
    column = jnp.where(scores == top[:, None, :], blocks.concept[:, :, None], num_concepts)
    owner = _owner(blocks)
    winning = jax.ops.segment_max(top, owner, num_neurons, indices_are_sorted=True)
    leads = top == winning.at[owner].get(mode="clip")
    first = jnp.where(leads, column.min(axis=1), num_concepts)
    won = jax.ops.segment_min(first, owner, num_neurons, indices_are_sorted=True)
    none = ~jnp.isfinite(winning)
    floor = jnp.where(none, -jnp.inf, winning * scale).min(axis=1, keepdims=True)
    won, winning = jnp.where(none, -1, won), jnp.where(none, jnp.nan, winning)
    return won, winning, scores.reshape(-1, scores.shape[-1])[places], floor


def _higher(x: Array, y: Array) -> Array:
    """The higher of two, where NaN is lower than all numbers."""
    return lax.select(x != x, y, lax.select(y > x, y, x))
