"""Run replicates of chosen pairs from the rows that each neuron's index lists.

Replicates are first computed for the pairs that may matter. The winners among these show, by the
upper bounds of the others, which of the others could have won; these are then computed too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from .._numerics.byte_products import MANY, digits_fit
from .._numerics.packing import PackedPairs, Pairs, pack_pairs, pad_to_equal_length, pairs_where
from .._runtime.chunks import Progress, Scattered, in_chunks
from .._runtime.devices import divided, on_host
from ..metrics.table import Metric
from ..probing.probe import Probe
from .candidates import Candidates, may_matter
from .draws import draw_chunk, pilot_and_chunks
from .inputs import ReplicateInputs
from .room import Room
from .row_index import RowIndex, with_steps
from .rows import rows_replicates, rows_similarity, rows_spread

__all__ = ["run_rows", "similarity_of_rows"]

START_OF_DIGITS = 128  # cost of a block, in columns: the digits are formed again for each
ROUNDING = 1e-5  # of a similarity, far above that of single precision


def similarity_of_rows(probe: Probe, metric: Metric, index: RowIndex, room: Room) -> Array:
    """The similarity on the data [U, C], from the rows that the index lists."""
    result = np.empty((probe.num_neurons, probe.num_concepts), probe.weights.dtype)
    every = pairs_where(np.ones(result.shape, bool))
    for part in pack_pairs(every, probe.num_neurons, room.pairs):
        found = rows_similarity(probe.weights, index, part.blocks, metric=metric)
        result[part.pairs] = np.asarray(found)[part.place]
    return jax.device_put(result)


class _Plan(NamedTuple):
    """Which pairs are computed first, which perhaps later, and which are followed to the end.

    Attributes
    ----------
    candidates : Candidates or None
        None where only labels are followed.
    followed, first, rest : Pairs
        The pairs whose similarity is returned, those computed in every replicate, and the others.
    """

    candidates: Candidates | None
    followed: Pairs
    first: Pairs
    rest: Pairs


def run_rows(inputs: ReplicateInputs, pairs: Pairs, progress: Progress | None) -> tuple[Any, ...]:
    """As :func:`run_dense`; winners are searched among the pairs alone."""
    probe, room, index = inputs.probe, inputs.room, inputs.row_index
    assert index is not None
    num_neurons, num_concepts = inputs.observed.shape
    # a large group drawn several times would not fit into the few bits of a count
    single = probe.groups is None and bool((probe.weights == 1).all())
    scheme = inputs.draw.scheme
    counts = single and scheme.whole_counts and scheme.small_counts
    pilot, chunk = pilot_and_chunks(
        inputs.draw, room.replicates, inputs.mesh, draw_chunk, index, probe.weights, probe.groups,
        num_units=probe.num_units, counts=counts,
    )  # fmt: skip
    plan = _plan(inputs, pairs, pilot)
    many = len(plan.first[0]) >= MANY * num_neurons
    by_digits = many and index.ranks_all and digits_fit(probe.num_samples, counts)
    start_cost = START_OF_DIGITS if by_digits else None
    packed = pack_pairs(plan.first, num_neurons, room.pairs, start_cost=start_cost)
    parts = with_steps(index, packed)
    own = [part.find(plan.followed, num_concepts) for part in parts]
    places = pad_to_equal_length([place for _, place in own])
    num_followed = len(plan.followed[0])

    def run(ids: Array) -> tuple[Any, ...]:
        drawn = chunk(ids)
        won, winning, floor, rows = _results(inputs, drawn, parts, places)
        if inputs.upper_bound is not None:
            lowest = np.asarray(floor).min(axis=1)
            reached = inputs.upper_bound[plan.rest] >= lowest[plan.rest[0]] - ROUNDING
            if reached.any():
                # in blocks of the shape that is compiled already
                late = _some(plan.rest, reached)
                more = pack_pairs(late, num_neurons, room.pairs, like=parts[0])
                more = with_steps(index, more, like=parts[0])
                others = _results(inputs, drawn, more, [np.zeros_like(places[0])] * len(more))
                won, winning = _better((won, winning), others[:2])
        return won, winning, Scattered(rows, [place for place, _ in own], num_followed)

    return plan.candidates, *in_chunks(
        run, inputs.num_replicates, room.replicates, inputs.checkpoint, progress, axis=-1
    )


def _results(
    inputs: ReplicateInputs, drawn: Any, parts: list[PackedPairs], places: list[np.ndarray]
) -> tuple[Any, ...]:
    """Three results of the parts' neurons joined, and the values at each part's places."""
    replicates = divided(rows_replicates, inputs.mesh, 0, metric=inputs.metric)
    results = [
        replicates(drawn, inputs.row_index, part.blocks, place)
        for part, place in zip(parts, places, strict=True)
    ]
    won, winning, floor = (
        _joined([x[i] for x in results], [len(part.neurons) for part in parts]) for i in (0, 1, 3)
    )
    return won, winning, floor, [on_host(x[2]) for x in results]


def _joined(pieces: list[Array], sizes: list[int]) -> Array | np.ndarray:
    """The first rows of each piece; a single piece of one device stays where it is."""
    first = pieces[0]
    if len(pieces) == 1 and len(first) == sizes[0] and len(first.sharding.device_set) == 1:
        return first
    return np.concatenate([on_host(x)[:size] for x, size in zip(pieces, sizes, strict=True)])


def _some(pairs: Pairs, mask: np.ndarray) -> Pairs:
    return pairs[0][mask], pairs[1][mask]


def _plan(inputs: ReplicateInputs, pairs: Pairs, pilot: Callable[[], Any]) -> _Plan:
    none = pairs[0][:0], pairs[1][:0]
    if inputs.has_evidence is None and inputs.upper_bound is None:
        return _Plan(None, inputs.labels(), pairs, none)
    spread, scale = _spread(inputs, pairs, pilot)
    found, followed = None, inputs.labels()
    if inputs.has_evidence is not None:
        found, followed = inputs.choose(pairs, spread)
    if inputs.upper_bound is None:
        return _Plan(found, followed, pairs, none)
    mask = np.zeros(inputs.observed.shape, bool)
    mask[followed] = True
    with np.errstate(divide="ignore", invalid="ignore"):  # a constant neuron has no scale
        top = inputs.upper_bound[pairs] / scale[pairs[0]]
    first = mask[pairs] | may_matter(inputs.metric, inputs.observed, pairs, spread, top)
    return _Plan(found, followed, _some(pairs, first), _some(pairs, ~first))


def _spread(
    inputs: ReplicateInputs, pairs: Pairs, pilot: Callable[[], Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors [P] on the stable scale, and the neurons' scales [U].

    The errors are those of the first replicates unless they are known.
    """
    if inputs.errors is not None:
        return inputs.errors[pairs], np.ones(len(inputs.observed), inputs.observed.dtype)
    errors, scales = [], []
    parts = pack_pairs(pairs, len(inputs.observed), inputs.room.pairs)
    places = pad_to_equal_length([part.place for part in parts])
    centres = pad_to_equal_length([inputs.observed[part.pairs] for part in parts])
    for part, place, centre in zip(parts, places, centres, strict=True):
        error, scale = rows_spread(
            pilot(), inputs.row_index, part.blocks, place, centre, metric=inputs.metric
        )
        errors.append(np.asarray(error)[: len(part.place)])
        scales.append(np.asarray(scale)[: len(part.neurons)])
    return np.concatenate(errors), np.concatenate(scales)


def _better(one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Winners and their similarity, [U, b] each, from those of two sets of concepts."""
    (won, winning), (won_too, winning_too) = (tuple(map(np.asarray, x)) for x in (one, other))
    a, b = (np.where(np.isnan(x), -np.inf, x) for x in (winning, winning_too))
    better = (b > a) | ((b == a) & (won_too >= 0) & (won_too < won))
    return np.where(better, won_too, won), np.where(better, winning_too, winning)
