"""The ways to bootstrap: which fits, what each needs of the data, and what comes of all chunks."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from .blocks import Pairs, padded, pairs_where, parts_of
from .candidates import Candidates, choose
from .chunks import Progress, in_chunks
from .devices import divided, on_host
from .folders import Kept
from .layers import Layer, rows_fit
from .memory import NUM_PILOT, Room
from .metrics import Metric
from .probe import Probe
from .replicates import (
    dense_replicates,
    dense_spread,
    draw_chunk,
    rows_replicates,
    rows_similarity,
    rows_spread,
)
from .screening import has_bounds
from .similarity import prepare_concepts
from .sparse import SparseColumns

__all__ = ["Sought", "choose_followed", "dense_way", "rows_way", "similarity_of_rows", "way_of"]

METHODS = ("auto", "screened", "rows", "dense")
WORTH_IT = 1e10  # multiply-adds of the dense product, below which less is compiled with it
MOST_ACTIVE = 0.5  # of the samples; above it the product over all of them is as good


def way_of(probe: Probe, metric: Metric, scheme: str, method: str, num_replicates: int) -> str:
    """The method to use, after checking that it fits."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if method == "dense":
        return method
    able, bounded = rows_fit(probe, metric, scheme), has_bounds(probe, metric, scheme)
    if method != "auto" and not able:
        raise ValueError(
            f"method {method!r} needs concepts of 0 and 1, and a neuron that is ranked, or binary "
            f'under whole weights; got {metric.name!r} and {scheme!r}; use "auto"'
        )
    if method == "screened" and not bounded:
        raise ValueError(
            'method "screened" needs a metric made of shares, equal sample weights, no groups and '
            f'a scheme with bounds; got {metric.name!r} and {scheme!r}; use "auto"'
        )
    if method != "auto":
        return method
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
    for part in parts_of(every, probe.num_neurons, room.pairs):
        found = rows_similarity(probe.weights, layer, part.blocks, metric=metric)
        result[part.pairs] = np.asarray(found)[part.place]
    return jnp.asarray(result)


class Sought(NamedTuple):
    """What replicates are wanted of.

    Attributes
    ----------
    prepared : Any
        What the metric prepared of the neurons.
    layer : Layer or None
        Lists of rows, unless the way is dense.
    observed : numpy.ndarray [U, C]
        The similarity on the data.
    told : numpy.ndarray [U, C] of bool
        Pairs on enough evidence for a bootstrap.
    room : Room
        What fits into memory.
    mesh : Mesh or None
        The devices.
    kept : Kept
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
    told: np.ndarray
    room: Room
    mesh: Mesh | None
    kept: Kept

    def choose(self, pairs: Pairs, spread: np.ndarray) -> tuple[Candidates, Pairs]:
        """The candidates, and the pairs to follow."""
        return choose_followed(
            self.metric, self.observed, self.told, pairs, spread, self.room.followed
        )


def choose_followed(
    metric: Metric,
    observed: np.ndarray,
    told: np.ndarray,
    pairs: Pairs,
    spread: np.ndarray,
    room: int,
) -> tuple[Candidates, Pairs]:
    """The candidates, and the pairs to follow: theirs, then every neuron's label."""
    found = choose(metric, observed, told, pairs, spread, room)
    neuron, place = np.nonzero(found.concept >= 0)
    label = np.nanargmax(np.where(np.isnan(observed), -np.inf, observed), axis=1)
    (labelled,) = np.nonzero(~np.isnan(observed).all(axis=1))
    return found, (
        np.concatenate([neuron, labelled]),
        np.concatenate([found.concept[neuron, place], label[labelled]]),
    )


def dense_way(sought: Sought, pairs: Pairs, progress: Progress | None) -> tuple[Any, ...]:
    """Candidates among the pairs; of all replicates three arrays.

    The winners and their similarity, [U, B], and the similarity of the pairs to follow, [P, B].
    """
    key, probe, metric, scheme, num_replicates, prepared, _, observed, _, room, mesh, kept = sought
    sides = prepared, prepare_concepts(probe, metric)
    data = sides, probe.weights, probe.groups
    static = {"metric": metric, "scheme": scheme, "num_units": probe.num_units}
    spread = np.asarray(dense_spread(key, *data, observed, **static))
    found, followed = sought.choose(pairs, spread[pairs])
    listed = tuple(padded(x.astype(np.int32)) for x in followed)

    replicates = divided(dense_replicates, mesh, 1, **static)

    def run(ids: Array) -> tuple[np.ndarray, ...]:
        won, winning, values = replicates(key, ids, *data, listed)
        return on_host(won), on_host(winning), on_host(values)[: len(followed[0])]

    return found, *in_chunks(run, num_replicates, room.replicates, kept, progress, axis=-1)


def rows_way(sought: Sought, pairs: Pairs, progress: Progress | None) -> tuple[Any, ...]:
    """As :func:`dense_way`; winners are sought among the pairs alone."""
    key, probe, metric, scheme, num_replicates, _, layer, observed, _, room, mesh, kept = sought
    parts = parts_of(pairs, probe.num_neurons, room.pairs)
    # a large group drawn several times would not fit into the few bits of a count
    single = probe.groups is None and bool((probe.weights == 1).all())
    counts = single and scheme != "bayesian"
    static = {"scheme": scheme, "num_units": probe.num_units, "counts": counts}
    data = layer, probe.weights, probe.groups
    draws = divided(draw_chunk, mesh, 1, **static)
    replicates = divided(rows_replicates, mesh, 0, metric=metric)

    # the first chunk is drawn once where one device draws it all
    reused = mesh is None and room.replicates >= NUM_PILOT
    pilot = draw_chunk(key, jnp.arange(room.replicates if reused else NUM_PILOT), *data, **static)
    spread = []
    for part in parts:
        centre = padded(observed[part.pairs])
        errors = rows_spread(pilot, layer, part.blocks, padded(part.place), centre, metric=metric)
        spread.append(np.asarray(errors)[: len(part.place)])
    found, followed = sought.choose(pairs, np.concatenate(spread))
    own = [part.find(followed, probe.num_concepts) for part in parts]
    back = np.argsort(np.concatenate([index for index, _ in own]))

    def run(ids: Array) -> tuple[np.ndarray, ...]:
        drawn = pilot if reused and int(ids[0]) == 0 else draws(key, ids, *data)
        results = []
        for part, (_, place) in zip(parts, own, strict=True):
            result = replicates(drawn, layer, part.blocks, padded(place))
            sizes = len(part.neurons), len(part.neurons), len(place)
            results.append([on_host(x)[:size] for x, size in zip(result, sizes, strict=True)])
        won, winning, values = (np.concatenate(x) for x in zip(*results, strict=True))
        return won, winning, values[back]

    return found, *in_chunks(run, num_replicates, room.replicates, kept, progress, axis=-1)
