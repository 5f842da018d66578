"""The similarities of many replicates, computed in one of two ways that give the same.

``dense``: one replicate after the other, all pairs at once, any metric. ``rows``: one neuron after
the other, all replicates at once, on the rows that the neuron is about: those on which it is active
(a neuron active on one sample in twenty meets a concept on those samples only), or all of them in
the order of its activations. The second way takes only the pairs that it is given.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .blocks import Blocks, few_shapes, places_in_lists
from .candidates import stable_scale
from .memory import NUM_PILOT
from .metrics import Metric
from .probe import Probe
from .similarity import at_concept, winner
from .sums import Sums, running_total
from .views import Ranking
from .weights import draw, draw_all

__all__ = [
    "accumulate",
    "active_rows",
    "dense_replicates",
    "dense_spread",
    "draw_chunk",
    "ranked_rows",
    "rows_fit",
    "rows_replicates",
    "rows_spread",
    "standard_deviation",
]

COLUMNS = 4096  # concepts whose totals are taken at a time


@partial(jax.jit, static_argnames=("metric", "scheme", "num_units"))
def dense_spread(
    key: Array,
    prepared: Any,
    weights: Array,
    groups: Array | None,
    observed: Array,
    *,
    metric: Metric,
    scheme: str,
    num_units: int,
) -> Array:
    """Standard errors [U, C] on the stable scale from the first replicates."""

    def add(b: Array, moments: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        w = weights * draw(key, b, groups, scheme, num_units, weights.dtype)
        return accumulate(moments, stable_scale(metric, metric.score(prepared, w)) - centre)

    centre = stable_scale(metric, observed)
    zero = jnp.zeros_like(centre)
    return standard_deviation(lax.fori_loop(0, NUM_PILOT, add, (zero, zero, zero)))


@partial(jax.jit, static_argnames=("metric", "scheme", "num_units"))
def dense_replicates(
    key: Array,
    ids: Array,
    prepared: Any,
    weights: Array,
    groups: Array | None,
    pairs: tuple[Array, Array],
    *,
    metric: Metric,
    scheme: str,
    num_units: int,
) -> tuple[Array, Array, Array]:
    """Of the replicates ``ids``: winners [U, b], their similarity [U, b], the pairs' [P, b]."""

    def one(replicate: Array) -> tuple[Array, Array, Array]:
        w = weights * draw(key, replicate, groups, scheme, num_units, weights.dtype)
        scores = metric.score(prepared, w)
        won = winner(scores)
        return won, at_concept(scores, won), scores[pairs]

    won, winning, followed = lax.map(one, ids)
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


class Layer(NamedTuple):
    """The rows that each neuron is about, and the concepts.

    Attributes
    ----------
    rows : Array [U, k] of int32
        Rows on which the neuron is active, n filling up; or all rows by ascending activation.
    ties : tuple of Array, or None
        Of ordered rows: where in the order the ties of each row begin and end, [U, n] of int32
        each, and whether the neuron has any, [U] of bool. None where rows are active ones.
    present : Array [C, n + 1] of bool
        With a last column of False.
    """

    rows: Array
    ties: tuple[Array, Array, Array] | None
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
    """List each neuron's active rows, as many places for all as the most active one needs."""
    present = np.ascontiguousarray(np.asarray(probe.active).T)
    count = present.sum(axis=1)
    rows = np.full((len(present), few_shapes(count.max())), probe.num_samples, np.int32)
    neuron, row = np.nonzero(present)
    rows[neuron, places_in_lists(count)] = row
    return Layer(jnp.asarray(rows), None, _by_concept(probe.present))


def ranked_rows(probe: Probe, ranking: Ranking) -> Layer:
    """All rows by ascending activation of each neuron."""
    order, first, last = (x.T for x in ranking)
    return Layer(order, (first, last, (last - first > 1).any(axis=1)), _by_concept(probe.present))


@jax.jit
def _by_concept(present: Array) -> Array:
    return jnp.pad(present.T, ((0, 0), (0, 1)))


class Read(NamedTuple):
    """A neuron in b replicates.

    Attributes
    ----------
    rows : Array [k] of int32, or None
        The rows read; None for all of them.
    weighted : Array [k, b]
        Its view times the weights.
    square : Array [1, b]
        Sum of the squared view.
    constant : Array [1, b] of bool
        Whether the view takes one value only; of an active neuron that follows from its sum.
    """

    rows: Array | None
    weighted: Array
    square: Array
    constant: Array


def _read_active(layer: Layer, u: Array, drawn: Drawn) -> Read:
    rows = layer.rows[u]
    w = drawn.weights.at[rows].get(mode="promise_in_bounds")
    nothing = jnp.zeros_like(drawn.total)
    return Read(rows, w, nothing, nothing > 0)


def _read_ranked(layer: Layer, u: Array, drawn: Drawn) -> Read:
    """By weighted mid-ranks, as :func:`neurotrust_jax.views.mid_ranks`, in the order of rows."""
    assert layer.ties is not None
    first, last, tied = (x[u] for x in layer.ties)
    ordered = drawn.weights.at[layer.rows[u]].get(mode="promise_in_bounds")
    if _is_small(ordered):
        # half of the memory to move where all counts together fit into 16 bits
        few = 2 * ordered.shape[0] < 2**16
        ordered = ordered.astype(jnp.uint16 if few else jnp.uint32)
    reached = running_total(ordered)
    w = drawn.weights[:-1].astype(drawn.total.dtype)

    def at(x: Array, place: Array) -> Array:
        return x.at[place].get(mode="promise_in_bounds").astype(w.dtype)

    def alone() -> tuple[Array, Array]:
        return 2 * at(reached, last - 1) - w, drawn.single

    def shared() -> tuple[Array, Array]:
        below = at(reached - ordered, first)
        # none of the rows in use is above another
        constant = (jnp.where(w > 0, below, 0) <= 0).all(axis=0, keepdims=True)
        return below + at(reached, last - 1), constant

    twice, constant = lax.cond(tied, shared, alone)
    rank = twice / (2 * drawn.total) - 0.5
    weighted = w * rank
    square = (weighted * rank).sum(axis=0, keepdims=True)
    return Read(None, weighted, square, constant)


def _concept_totals(present: Array, drawn: Array, dtype: Any) -> Array:
    """Weight of each concept in each replicate, [C, b]; some concepts at a time."""
    num_concepts = present.shape[0]
    width = min(num_concepts, COLUMNS)
    steps = jnp.arange(-(-num_concepts // width), dtype=jnp.int32) * width
    # the last slice begins earlier, so that all have one width
    starts = jnp.minimum(steps, num_concepts - width)
    totals = lax.map(
        lambda s: _exact_product(lax.dynamic_slice_in_dim(present, s, width), drawn, dtype), starts
    )
    every = jnp.zeros((num_concepts, drawn.shape[1]), dtype)
    place = starts[:, None] + jnp.arange(width, dtype=jnp.int32)[None, :]
    return every.at[place.reshape(-1)].set(totals.reshape(-1, drawn.shape[1]))


def _exact_product(a: Array, b: Array, dtype: Any) -> Array:
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
    """

    weights: Array
    total: Array
    single: Array
    concept_total: Array
    concept_varies: Array


def _scores(drawn: Drawn, layer: Layer, blocks: Blocks, metric: Metric) -> Array:
    """Similarities [blocks, width, b]; NaN also where a block has no concept."""
    total = drawn.total
    dtype = total.dtype
    read_neuron = _read_active if layer.ties is None else _read_ranked
    with_all = jnp.ones((1, layer.present.shape[1]), bool).at[:, -1].set(False)

    def neuron(i: Array, out: Array) -> Array:
        read = read_neuron(layer, blocks.neuron[i], drawn)

        def block(j: Array, out: Array) -> Array:
            some = jnp.maximum(blocks.concept[j], 0)
            # one column more for the neuron's own sum
            if read.rows is None:
                present = jnp.concatenate([layer.present[some], with_all])[:, :-1]
            else:
                at = some[:, None], read.rows[None, :]
                own = with_all.at[:, read.rows].get(mode="promise_in_bounds")
                present = jnp.concatenate([layer.present[at], own])
            both = _exact_product(present, read.weighted, dtype)
            both, f = both[:-1], both[-1:]
            c = drawn.concept_total[some]
            if layer.ties is None:
                sums = Sums(total, f, c, f, c, both)
                varies = (f > 0) & (f < total)
            else:
                sums = Sums(total, f, c, read.square, c, both)
                varies = ~read.constant
            if metric.concept_view == "rank":
                sums = _two_ranks(sums)
            value = jnp.clip(metric.finalise(sums), *metric.range)  # type: ignore[misc]
            defined = drawn.concept_varies[some] & varies & (blocks.concept[j] >= 0)[:, None]
            return lax.dynamic_update_index_in_dim(out, jnp.where(defined, value, jnp.nan), j, 0)

        return lax.fori_loop(blocks.start[i], blocks.stop[i], block, out)

    empty = jnp.full((*blocks.concept.shape, total.shape[1]), jnp.nan, dtype)
    return lax.fori_loop(0, blocks.neuron.shape[0], neuron, empty)


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
        drawn = draw_all(key, ids, groups, scheme, num_units, jnp.uint8)
    else:
        drawn = draw_all(key, ids, groups, scheme, num_units, weights.dtype) * weights[None, :]
    dtype = weights.dtype
    drawn = jnp.pad(drawn.T, ((0, 1), (0, 0)))
    total = drawn.sum(axis=0, keepdims=True, dtype=dtype)
    present = _concept_totals(layer.present, drawn, dtype)
    # whole numbers tell exactly what is left; of others the rest is summed by itself
    absent = total - present if counts else _concept_totals(~layer.present, drawn, dtype)
    single = drawn.max(axis=0, keepdims=True).astype(dtype) >= total
    return Drawn(drawn, total, single, present, (present > 0) & (absent > 0))


@partial(jax.jit, static_argnames="metric")
def rows_spread(
    drawn: Drawn, layer: Layer, blocks: Blocks, places: Array, observed: Array, *, metric: Metric
) -> Array:
    """As :func:`dense_spread`, of the pairs at ``places`` [P], whose values are ``observed``."""
    pilot = Drawn(*(x[:, :NUM_PILOT] for x in drawn))
    scores = _scores(pilot, layer, blocks, metric)
    scores = stable_scale(metric, scores.reshape(-1, scores.shape[-1])[places])
    deviation = scores - stable_scale(metric, observed)[:, None]
    defined = ~jnp.isnan(deviation)
    deviation = jnp.where(defined, deviation, 0)
    number = defined.sum(axis=1, dtype=jnp.int32).astype(deviation.dtype)
    return standard_deviation((number, deviation.sum(axis=1), (deviation**2).sum(axis=1)))


@partial(jax.jit, static_argnames="metric")
def rows_replicates(
    drawn: Drawn, layer: Layer, blocks: Blocks, places: Array, *, metric: Metric
) -> tuple[Array, Array, Array]:
    """As :func:`dense_replicates`; the pairs are told by their ``places`` [P] in the blocks."""
    scores = _scores(drawn, layer, blocks, metric)
    num_neurons, num_concepts = blocks.neuron.shape[0], layer.present.shape[0]
    ordered = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    top = ordered.max(axis=1)
    # arg-max by two reductions, which a CPU does many at a time
    column = jnp.where(ordered == top[:, None, :], blocks.concept[:, :, None], num_concepts)
    index = jnp.arange(blocks.concept.shape[0], dtype=jnp.int32)
    owner = jnp.searchsorted(blocks.stop, index, side="right").astype(jnp.int32)
    winning = jax.ops.segment_max(top, owner, num_neurons, indices_are_sorted=True)
    leads = top == winning.at[owner].get(mode="clip")
    first = jnp.where(leads, column.min(axis=1), num_concepts)
    won = jax.ops.segment_min(first, owner, num_neurons, indices_are_sorted=True)
    none = ~jnp.isfinite(winning)
    won, winning = jnp.where(none, -1, won), jnp.where(none, jnp.nan, winning)
    return won, winning, scores.reshape(-1, scores.shape[-1])[places]
