"""The ways to bootstrap: which fits, what each needs of the data, and what comes of all chunks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._numerics.packing import Pairs, Part, pack_pairs, padded, pairs_where
from .._runtime.checkpoint import Checkpoint
from .._runtime.chunks import Progress, in_chunks
from .._runtime.devices import divided, on_host
from ..metrics.metric import Metric
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..schemes import SCHEMES
from .candidates import Candidates, choose, likely
from .replicates import (
    dense_replicates,
    dense_spread,
    draw_chunk,
    draw_weights,
    rows_replicates,
    rows_similarity,
    rows_spread,
)
from .room import NUM_PILOT, Room
from .row_index import Layer, in_steps, rows_fit
from .screening import has_bounds

__all__ = [
    "ReplicateInputs",
    "choose_followed",
    "choose_strategy",
    "run_dense",
    "run_rows",
    "similarity_of_rows",
]

STRATEGIES = ("auto", "screened", "rows", "dense")
WORTH_IT = 1e10  # multiply-adds of the dense product, below which less is compiled with it
ROUNDING = 1e-5  # of a similarity, far above that of single precision
MOST_ACTIVE = 0.5  # of the samples; above it the product over all of them is as good


def choose_strategy(
    probe: Probe, metric: Metric, scheme: str, strategy: str, num_replicates: int
) -> str:
    """The strategy to use, after checking that it fits."""
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; known: {', '.join(STRATEGIES)}")
    if strategy == "dense":
        return strategy
    able, bounded = rows_fit(probe, metric, scheme), has_bounds(probe, metric, scheme)
    if strategy != "auto" and not able:
        raise ValueError(
            f"strategy {strategy!r} needs concepts of 0 and 1, and a neuron that is ranked, or "
            f'binary under whole weights; got {metric.name!r} and {scheme!r}; use "auto"'
        )
    if strategy == "screened" and not bounded:
        raise ValueError(
            'strategy "screened" needs a metric made of shares, equal sample weights, no groups '
            f'and a scheme with bounds; got {metric.name!r} and {scheme!r}; use "auto"'
        )
    if strategy != "auto":
        return strategy
    size = probe.num_samples * probe.num_neurons * probe.num_concepts * num_replicates
    sparse = isinstance(probe.activations, SparseColumns)
    if not able or (size < WORTH_IT and not sparse):
        return "dense"
    if bounded:
        return "screened"
    often = metric.neuron_view == "binary" and bool(probe.active_rate.mean() > MOST_ACTIVE)
    return "dense" if often else "rows"


def similarity_of_rows(probe: Probe, metric: Metric, layer: Layer, room: Room) -> Array:
    """The similarity on the data [U, C], from lists of rows."""
    result = np.empty((probe.num_neurons, probe.num_concepts), probe.weights.dtype)
    every = pairs_where(np.ones(result.shape, bool))
    for part in pack_pairs(every, probe.num_neurons, room.pairs):
        found = rows_similarity(probe.weights, layer, part.blocks, metric=metric)
        result[part.pairs] = np.asarray(found)[part.place]
    return jax.device_put(result)


class ReplicateInputs(NamedTuple):
    """What replicates are wanted of.

    Attributes
    ----------
    prepared : Any
        What the metric prepared of the neurons.
    layer : Layer or None
        Lists of rows, unless the way is dense.
    observed : numpy.ndarray [U, C]
        The similarity on the data.
    label : numpy.ndarray [U]
        The most similar concept on the data, -1 where there is none.
    has_evidence : numpy.ndarray [U, C] of bool
        Pairs on enough evidence for a bootstrap.
    ceiling : numpy.ndarray [U, C], or None
        What no replicate of a pair exceeds; None where that is not known.
    errors : numpy.ndarray [U, C], or None
        Standard errors on the stable scale; None where replicates are to tell them.
    room : Room
        What fits into memory.
    mesh : Mesh or None
        The devices.
    kept : Checkpoint
        What is done already.
    """

    key: Array
    probe: Probe
    metric: Metric
    scheme: str
    num_replicates: int
    prepared: Any
    layer: Layer | None
    observed: np.ndarray
    label: np.ndarray
    has_evidence: np.ndarray
    ceiling: np.ndarray | None
    errors: np.ndarray | None
    room: Room
    mesh: Mesh | None
    kept: Checkpoint

    def choose(self, pairs: Pairs, spread: np.ndarray) -> tuple[Candidates, Pairs]:
        """The candidates, and the pairs to follow."""
        return choose_followed(
            self.metric,
            self.observed,
            self.label,
            self.has_evidence,
            pairs,
            spread,
            self.room.followed,
        )


def choose_followed(
    metric: Metric,
    observed: np.ndarray,
    label: np.ndarray,
    has_evidence: np.ndarray,
    pairs: Pairs,
    spread: np.ndarray,
    room: int,
) -> tuple[Candidates, Pairs]:
    """The candidates, and the pairs to follow: theirs, then every neuron's label."""
    found = choose(metric, observed, has_evidence, pairs, spread, room)
    neuron, place = np.nonzero(found.concept >= 0)
    (labelled,) = np.nonzero(label >= 0)
    return found, (
        np.concatenate([neuron, labelled]),
        np.concatenate([found.concept[neuron, place], label[labelled]]),
    )


def run_dense(inputs: ReplicateInputs, pairs: Pairs, progress: Progress | None) -> tuple[Any, ...]:
    """Candidates among the pairs; of all replicates three arrays.

    The winners and their similarity, [U, B], and the similarity of the pairs to follow, [P, B].
    """
    probe, metric, room = inputs.probe, inputs.metric, inputs.room
    data = probe.weights, probe.groups
    pilot, draws = _draws(inputs, draw_weights, *data, num_units=probe.num_units)
    sides = inputs.prepared, metric.prepare_concepts(probe.labels)
    spread = np.asarray(dense_spread(pilot(), sides, inputs.observed, metric=metric))
    found, followed = inputs.choose(pairs, spread[pairs])
    listed = tuple(padded([x.astype(np.int32) for x in followed]))
    replicates = divided(dense_replicates, inputs.mesh, 0, metric=metric)

    def run(ids: Array) -> tuple[np.ndarray, ...]:
        won, winning, values = replicates(draws(ids), sides, listed)
        return on_host(won), on_host(winning), on_host(values)[: len(followed[0])]

    return found, *in_chunks(
        run, inputs.num_replicates, room.replicates, inputs.kept, progress, axis=-1
    )


def _draws(
    inputs: ReplicateInputs, draw: Callable[..., Any], *data: Any, **static: Any
) -> tuple[Callable[[], Any], Callable[[Array], Any]]:
    """How the first replicates are drawn, and how a chunk of replicates is."""
    key, room, static = inputs.key, inputs.room, static | {"scheme": inputs.scheme}
    # the first chunk is drawn once where one device draws it all
    reused = inputs.mesh is None and room.replicates >= NUM_PILOT
    each = divided(draw, inputs.mesh, 1, **static)

    @cache
    def pilot() -> Any:
        return draw(key, np.arange(room.replicates if reused else NUM_PILOT), *data, **static)

    def draws(ids: Array) -> Any:
        return pilot() if reused and np.asarray(ids)[0] == 0 else each(key, ids, *data)

    return pilot, draws


def run_rows(inputs: ReplicateInputs, pairs: Pairs, progress: Progress | None) -> tuple[Any, ...]:
    """As :func:`run_dense`; winners are inputs among the pairs alone.

    Replicates are taken of the pairs that are likely to matter. What wins there tells, by the
    ceilings, which of the others could have won, and these are then taken too.
    """
    probe, metric, room, layer = inputs.probe, inputs.metric, inputs.room, inputs.layer
    assert layer is not None
    num_neurons, num_concepts = inputs.observed.shape
    # a large group drawn several times would not fit into the few bits of a count
    single = probe.groups is None and bool((probe.weights == 1).all())
    counts = single and SCHEMES[inputs.scheme].whole
    data = layer, probe.weights, probe.groups
    pilot, draws = _draws(inputs, draw_chunk, *data, num_units=probe.num_units, counts=counts)
    replicates = divided(rows_replicates, inputs.mesh, 0, metric=metric)
    spread, scale = _spread(inputs, pairs, pilot)
    found, followed = inputs.choose(pairs, spread)
    first = _needed_first(inputs, pairs, followed, spread, scale)
    rest = _some(pairs, ~first)
    parts = in_steps(layer, pack_pairs(_some(pairs, first), num_neurons, room.pairs))
    own = [part.find(followed, num_concepts) for part in parts]
    places = padded([place for _, place in own])
    # filled anew by each chunk: new memory would take longer than that
    values = np.empty((len(followed[0]), room.replicates), probe.weights.dtype)

    def taken(drawn: Any, parts: list[Part], places: list[np.ndarray]) -> tuple[Any, ...]:
        """Of the parts' neurons three results joined, and what each part has at its places."""
        results = [
            replicates(drawn, layer, part.blocks, place)
            for part, place in zip(parts, places, strict=True)
        ]
        won, winning, floor = (
            _joined([x[i] for x in results], [len(part.neurons) for part in parts])
            for i in (0, 1, 3)
        )
        return won, winning, floor, [on_host(x[2]) for x in results]

    def in_place(rows: list[np.ndarray]) -> np.ndarray:
        if len(parts) == 1:  # it has all of them, in their order
            return rows[0][: len(followed[0])]
        for (index, _), x in zip(own, rows, strict=True):
            values[index] = x[: len(index)]
        return values

    def run(ids: Array) -> tuple[Any, ...]:
        drawn = draws(ids)
        won, winning, floor, rows = taken(drawn, parts, places)
        if inputs.ceiling is not None:
            lowest = np.asarray(floor).min(axis=1)
            reached = inputs.ceiling[rest] >= lowest[rest[0]] - ROUNDING
            if reached.any():
                # in blocks of the shape that is compiled already
                more = pack_pairs(_some(rest, reached), num_neurons, room.pairs, like=parts[0])
                more = in_steps(layer, more, like=parts[0])
                late = taken(drawn, more, [np.zeros_like(places[0])] * len(more))
                won, winning = _better((won, winning), late[:2])
        return won, winning, in_place(rows)

    return found, *in_chunks(
        run, inputs.num_replicates, room.replicates, inputs.kept, progress, axis=-1
    )


def _joined(pieces: list[Array], sizes: list[int]) -> Array | np.ndarray:
    """The first rows of each, so many; one of one device stays there if it has no more."""
    first = pieces[0]
    if len(pieces) == 1 and len(first) == sizes[0] and len(first.sharding.device_set) == 1:
        return first
    return np.concatenate([on_host(x)[:size] for x, size in zip(pieces, sizes, strict=True)])


def _some(pairs: Pairs, mask: np.ndarray) -> Pairs:
    return pairs[0][mask], pairs[1][mask]


def _spread(
    inputs: ReplicateInputs, pairs: Pairs, pilot: Callable[[], Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors [P] on the stable scale, of the first replicates if unknown; scales [U]."""
    if inputs.errors is not None:
        return inputs.errors[pairs], np.ones(len(inputs.observed), inputs.observed.dtype)
    errors, scales = [], []
    parts = pack_pairs(pairs, len(inputs.observed), inputs.room.pairs)
    places = padded([part.place for part in parts])
    centres = padded([inputs.observed[part.pairs] for part in parts])
    for part, place, centre in zip(parts, places, centres, strict=True):
        error, scale = rows_spread(
            pilot(), inputs.layer, part.blocks, place, centre, metric=inputs.metric
        )
        errors.append(np.asarray(error)[: len(part.place)])
        scales.append(np.asarray(scale)[: len(part.neurons)])
    return np.concatenate(errors), np.concatenate(scales)


def _needed_first(
    inputs: ReplicateInputs, pairs: Pairs, followed: Pairs, spread: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Which of the pairs are followed, or likely to be needed to find the winners, [P]."""
    if inputs.ceiling is None:
        return np.ones(len(pairs[0]), bool)
    mask = np.zeros(inputs.observed.shape, bool)
    mask[followed] = True
    with np.errstate(divide="ignore", invalid="ignore"):  # a constant neuron has no scale
        ceiling = inputs.ceiling[pairs] / scale[pairs[0]]
    return mask[pairs] | likely(inputs.metric, inputs.observed, pairs, spread, ceiling)


def _better(one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Winners and their similarity, [U, b] each, from those of two sets of concepts."""
    (won, winning), (won_too, winning_too) = (tuple(map(np.asarray, x)) for x in (one, other))
    a, b = (np.where(np.isnan(x), -np.inf, x) for x in (winning, winning_too))
    better = (b > a) | ((b == a) & (won_too >= 0) & (won_too < won))
    return np.where(better, won_too, won), np.where(better, winning_too, winning)
