"""Draw the null once for each tie pattern of a layer, not for each neuron.

A permutation puts the samples in a random order, and a neuron of a given pattern meets the concepts
of the first sample with its largest value, and so on. Two ways compute the sum of products of all
patterns and concepts, the only one of the six sums that changes:

- **A product** of the values [permutations, n] of a pattern with the concepts [n, C], for many
  permutations at once: n C multiplications for each pattern, in the fastest routine there is.
- **Running sums** along the permuted order, of the concepts and of the concepts times their place.
  Their values at the few places where ties begin and end give the sums of every pattern: 2 n C
  additions for all patterns together, and a few more for each.

The product is for the few patterns of a layer of floats, the running sums for a rectified layer,
where each neuron has its own number of zeros. On an accelerator, where n steps in turn are slow,
the product serves all. Both sum whole numbers where the concepts are present or absent.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import round_up_shape
from .._numerics.sums import Sums, weighted_total
from ..metrics.metric import Metric
from ..metrics.transforms import VIEWS, varies
from ..probing.probe import Probe
from .permutations import draw_ranks
from .tie_patterns import MOST_BLOCKS, TiePatterns, levels, square_sum, tie_patterns

__all__ = ["SharedNull", "prepare_shared_null"]

FEW = 6  # patterns for which products are as quick as running sums on a CPU
BURST = 8  # places that running sums pass at a time, whose sums fit into 8 bits
ENTRIES = 2**23  # of running sums held at once
TOGETHER = 32  # permutations whose running sums are taken at once
MOST_WHOLE = 92_681  # samples whose sums of doubled ranks, up to n^2 / 4, fit into 32 bits


class Concepts(NamedTuple):
    """The concepts' side of the six sums, which no permutation changes.

    Attributes
    ----------
    view : Array [n, C]
    S : Array []
    C, CC : Array [1, C]
    defined : Array [1, C] of bool
        Whether the concept varies.
    unit : Array []
        What a sum of products of :func:`levels` is multiplied by.
    """

    view: Array
    S: Array
    C: Array
    CC: Array
    defined: Array
    unit: Array


class Neurons(NamedTuple):
    """The neurons' side: the sums F and FF of each pattern, [P]."""

    F: Array
    FF: Array


class Route(NamedTuple):
    """The way of running sums along the order of samples.

    Attributes
    ----------
    place : Array [steps] of int32
        Places in the order; n fills up.
    level : Array [steps / BURST] of int32
        Doubled, centred rank of the first place of each burst.
    start, stop : Array [K] of int32
        Bursts of steps that lead to each of the K readings; none to the first.
    """

    place: Array
    level: Array
    start: Array
    stop: Array


class Reading(NamedTuple):
    """How the sum of products of each pattern follows from running sums.

    Attributes
    ----------
    at : Array [P, Q] of int32
        Which of the K readings; 0 is the one before any step.
    of_count, of_rank : Array [P, Q] of int32
        What running sums of concepts, and of concepts times ranks, are multiplied by.
    """

    at: Array
    of_count: Array
    of_rank: Array


class SharedNull(NamedTuple):
    """All that replicates of the null of each pattern are computed from.

    Attributes
    ----------
    patterns : TiePatterns
    metric : Metric
    concepts : Concepts
    slack : numpy.ndarray [U]
        The most that the ties left out can change a statistic.
    """

    patterns: TiePatterns
    metric: Metric
    concepts: Concepts
    slack: np.ndarray

    @property
    def summed(self) -> np.ndarray:
        """Patterns that running sums serve, [P] of bool."""
        blocks = self.patterns.blocks
        few = np.array([len(x) <= 2 * MOST_BLOCKS for x in blocks], bool)
        return few & (jax.default_backend() == "cpu") & (few.sum() > FEW)

    def replicates(self, key: Array) -> Any:
        """The function that gives the statistics [b, P] of the permutations ``ids`` [b]."""
        summed = self.summed
        n = self.patterns.num_samples
        (by_product,), (by_sums,) = np.nonzero(~summed), np.nonzero(summed)
        dtype = self.concepts.view.dtype
        blocks = self.patterns.blocks
        table = np.array([levels(self.patterns, blocks[p]) for p in by_product]).reshape(-1, n)
        level = jax.device_put(table.astype(dtype))
        one, other = self._neurons(by_product), self._neurons(by_sums, round_up_shape)
        route = _route(self.patterns, by_sums) if len(by_sums) else None

        def run(ids: Array) -> tuple[np.ndarray]:
            ranks = draw_ranks(key, np.asarray(ids), n)
            best = np.empty((len(ranks), len(blocks)), dtype)
            if len(by_product):
                best[:, by_product] = _by_product(
                    jax.device_put(ranks), level, one, self.concepts, metric=self.metric
                )
            if route is not None:
                found = _along(ranks, route, other, self.concepts, self.patterns, self.metric)
                best[:, by_sums] = found[:, : len(by_sums)]
            return (best,)

        return run

    def _neurons(self, some: np.ndarray, length: Any = int) -> Neurons:
        weight = float(self.concepts.unit)
        chosen = [self.patterns.blocks[p] for p in some]
        first = [0.0 if self.patterns.ranked else weight * x[0] for x in chosen]
        scale = weight / (2 * self.patterns.num_samples) if self.patterns.ranked else weight
        squares = [scale * square_sum(self.patterns, x) for x in chosen]
        short = length(len(chosen)) - len(chosen) if chosen else 0

        def array(x: list[float]) -> Array:
            values = np.array(x, self.concepts.view.dtype)
            return jax.device_put(np.pad(values, (0, short), mode="edge") if short else values)

        return Neurons(array(first), array(squares))


def prepare_shared_null(probe: Probe, metric: Metric) -> SharedNull:
    """Read the concepts and the tie patterns of a layer.

    The metric must be a function of six sums that reads neurons as ``"rank"`` or ``"binary"``, and
    all samples must have one weight.
    """
    ranked = metric.neuron_view == "rank"
    prepared = metric.prepare_concepts(probe.labels)
    concepts, spans = _concepts(prepared, probe.weights, view=metric.concept_view, ranked=ranked)
    total, squares, spans = (np.asarray(x, float) for x in (concepts.C, concepts.CC, spans))
    total, squares, weight = total[0], squares[0], float(np.asarray(probe.weights)[0])
    about_mean = np.maximum(squares - total**2 / np.asarray(concepts.S, float), 0) / weight
    vary = np.asarray(concepts.defined)[0]
    spread = float((np.sqrt(about_mean[vary]) / spans[vary]).min()) if vary.any() else 0.0
    patterns = tie_patterns(probe, metric, spread)
    shared = SharedNull(patterns, metric, concepts, np.zeros(len(patterns.of_neuron)))
    if not patterns.left_out.any():
        return shared
    number = np.arange(len(patterns.blocks))
    steepest = _steepest(shared._neurons(number), concepts, spans, metric=metric)
    slack = patterns.left_out * np.asarray(steepest, float)[patterns.of_neuron]
    return shared._replace(slack=np.where(patterns.left_out > 0, slack, 0.0))


@partial(jax.jit, static_argnames=("view", "ranked"))
def _concepts(prepared: Any, weights: Array, *, view: str, ranked: bool) -> tuple[Concepts, Array]:
    """The concepts, and how far the values of each one range, [C]."""
    read = VIEWS[view]
    c = read.evaluate(prepared, weights)
    total, squares = (weighted_total(x, weights)[None, :] for x in (c, c * c))
    defined = varies(read.distinct(prepared), weights)[None, :]
    unit = weights[0] / (2 * len(weights)) if ranked else weights[0]
    spans = c.max(axis=0) - c.min(axis=0)
    return Concepts(c, weights.sum(), total, squares, defined, unit), spans


def _best(total: Array, F: Array, FF: Array, concepts: Concepts, metric: Metric) -> Array:
    """Largest similarity over the concepts from sums of products [b, C] of one pattern, [b]."""
    _, S, C, CC, defined, unit = concepts
    sums = Sums(S, F[None, None], C, FF[None, None], CC, total.astype(unit.dtype) * unit)
    return jnp.nanmax(metric.value(sums, defined), axis=1)


@partial(jax.jit, static_argnames="metric")
def _steepest(neurons: Neurons, concepts: Concepts, spans: Array, *, metric: Metric) -> Array:
    """The most that the value changes with a sum of products of doubled ranks, [P]."""
    assert metric.finalise is not None
    finalise, (_, S, C, CC, defined, unit) = metric.finalise, concepts

    def one(own: Neurons) -> Array:
        sums = Sums(S, own.F[None, None], C, own.FF[None, None], CC, 0 * C)
        slope = (finalise(sums._replace(FC=0 * C + S)) - finalise(sums)) / S
        change = jnp.abs(slope) * unit * spans.astype(C.dtype)[None, :]
        return jnp.where(defined, change, 0).max()

    return lax.map(one, neurons)


@partial(jax.jit, static_argnames="metric")
def _by_product(
    ranks: Array, level: Array, neurons: Neurons, concepts: Concepts, *, metric: Metric
) -> Array:
    """Statistics [b, P] of permutations that give the samples these ranks [b, n]."""

    def one(own: tuple[Array, Neurons]) -> Array:
        level, (F, FF) = own
        values = level.at[ranks].get(mode="promise_in_bounds")
        total = jnp.matmul(values, concepts.view, precision=lax.Precision.HIGHEST)
        return _best(total, F, FF, concepts, metric)

    return lax.map(one, (level, neurons)).T


def _route(patterns: TiePatterns, some: np.ndarray) -> tuple[Route, Reading]:
    """Where running sums are read for some patterns, and how."""
    n = patterns.num_samples
    chosen = [patterns.blocks[p] for p in some]
    last = (n,) if patterns.ranked else ()
    places = np.unique(np.concatenate([[0], *chosen, last]).astype(np.int64))
    bursts = -(-np.diff(places) // BURST)
    stop = np.cumsum(bursts)
    start = stop - bursts
    steps = round_up_shape(int(stop[-1])) * BURST
    place = np.full(steps, n)
    passed = np.arange(places[-1])
    own = np.searchsorted(places, passed, side="right") - 1
    where = start[own] * BURST + passed - places[own]
    place[where] = passed
    level = n - 1 - 2 * place[::BURST]
    short = round_up_shape(len(stop) + 1) - len(stop) - 1
    start, stop = (np.pad(np.append(0, x), (0, short), mode="edge") for x in (start, stop))
    start[len(bursts) + 1 :] = stop[-1]

    width = max((len(x) for x in chosen), default=0) + len(last)
    rows = len(chosen) + round_up_shape(len(chosen)) - len(chosen)
    at, of_count, of_rank = np.zeros((3, rows, width), np.int64)
    for i, blocks in enumerate(chosen):
        at[i, : len(blocks)] = np.searchsorted(places, blocks)
        if not patterns.ranked:
            of_count[i] = 1
            continue
        at[i, -1], of_rank[i, -1] = np.searchsorted(places, n), 1
        for j in range(0, len(blocks), 2):
            middle = n - blocks[j] - blocks[j + 1]
            of_count[i, j : j + 2], of_rank[i, j : j + 2] = (-middle, middle), (1, -1)

    def array(x: np.ndarray) -> Array:
        return jax.device_put(x.astype(np.int32))

    route = Route(*map(array, (place, level, start, stop)))
    return route, Reading(*map(array, (at, of_count, of_rank)))


def _power_of_two(number: int) -> int:
    """The largest power of 2 up to a number."""
    return 1 << number.bit_length() - 1


def _along(
    ranks: np.ndarray,
    route: tuple[Route, Reading],
    neurons: Neurons,
    concepts: Concepts,
    patterns: TiePatterns,
    metric: Metric,
) -> np.ndarray:
    """Statistics [b, P] by running sums, of permutations that give the samples these ranks."""
    number, n = ranks.shape
    held = len(route[0].start) * concepts.view.shape[1]
    together = min(TOGETHER, _power_of_two(max(ENTRIES // held, 1)), 2 * _power_of_two(number))
    order = np.empty((-(-number // together) * together, n), np.int32)
    order[number:] = np.arange(n)
    np.put_along_axis(order[:number], ranks.astype(np.int64), np.arange(n, dtype=np.int32)[None], 1)
    whole = metric.concept_view == "binary" and n <= MOST_WHOLE
    found = _by_running_sums(
        order.reshape(-1, together, n), *route, neurons, concepts,
        metric=metric, ranked=patterns.ranked, whole=whole,
    )  # fmt: skip
    return np.asarray(found).reshape(len(order), -1)[:number]


@partial(jax.jit, static_argnames=("metric", "ranked", "whole"))
def _by_running_sums(
    order: Array,
    route: Route,
    reading: Reading,
    neurons: Neurons,
    concepts: Concepts,
    *,
    metric: Metric,
    ranked: bool,
    whole: bool,
) -> Array:
    """Statistics [a, b, P] of the samples in these orders [a, b, n]."""
    exact = jnp.int32 if whole else concepts.view.dtype
    table = jnp.pad(concepts.view, ((0, 1), (0, 0))).astype(jnp.uint8 if whole else exact)

    def statistics(order: Array) -> Array:
        sample = jnp.pad(order, ((0, 0), (0, 1)), constant_values=order.shape[1]).T

        def burst(i: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
            count, by_rank = sums
            some = sample[lax.dynamic_slice_in_dim(route.place, i * BURST, BURST)]
            here = later = jnp.zeros_like(none, table.dtype)
            for j in range(BURST - 1, -1, -1):
                here = here + table[some[j]]  # [b, C]
                later = later + here if j else later  # c of place j is added up j times
            here, later = here.astype(exact), later.astype(exact)
            if ranked:  # doubled ranks fall by 2 from place to place
                by_rank = by_rank + route.level[i].astype(exact) * here - 2 * later
            count = count + here
            return count, by_rank

        def segment(sums: tuple[Array, Array], span: tuple[Array, Array]) -> Any:
            sums = lax.fori_loop(*span, burst, sums)
            return sums, sums if ranked else sums[:1]

        none = jnp.zeros((order.shape[0], table.shape[1]), exact)
        found = lax.scan(segment, (none, none), (route.start, route.stop))[1]
        count, *by_rank = found

        def one(own: tuple[Reading, Neurons]) -> Array:
            (at, of_count, of_rank), (F, FF) = own
            total = none
            for q in range(at.shape[0]):
                total = total + of_count[q].astype(exact) * count[at[q]]
                if by_rank:
                    total = total + of_rank[q].astype(exact) * by_rank[0][at[q]]
            return _best(total, F, FF, concepts, metric)

        return lax.map(one, (reading, neurons)).T

    return lax.map(statistics, order)
