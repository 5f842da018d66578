"""The door to the engine: the replicates of a probe by a metric, or by a labelling method."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._numerics.packing import pairs_where
from .._runtime.checkpoint import Checkpoint
from .._runtime.chunks import Progress
from .._runtime.devices import by_neurons
from .._runtime.memory import free_memory
from ..faithfulness.evidence import effective_units
from ..metrics.scores import check_joint, reads_active_rows, score, similarity, winner
from ..metrics.table import Metric
from ..probing.checkpoints import checkpoint_for
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..schemes import Scheme
from ..schemes import draw as draw_one
from .black_box import run_black_box
from .candidates import has_enough_evidence, possible_winners
from .dense import run_dense
from .draws import Draw
from .inputs import ReplicateInputs
from .labelling_method import ScoreFunction
from .result import Replicates, as_replicates, in_parts
from .room import SHARE, Room, room_for
from .row_index import RowIndex, active_rows, ranked_rows
from .run_rows import run_rows, similarity_of_rows
from .screening import replicate_errors, replicate_range
from .strategies import choose_strategy
from .unit_lists import active_units

__all__ = ["Budget", "compute_replicates"]


class Budget(NamedTuple):
    """What a computation may take.

    Attributes
    ----------
    memory_limit : float or None
        Bytes in all, the probe and the result included. None for half of what is free.
    chunk_size : int or None
        Replicates of a compiled call. None for what fits into memory.
    """

    memory_limit: float | None = None
    chunk_size: int | None = None


def compute_replicates(
    probe: Probe,
    metric: Metric | ScoreFunction,
    draw: Draw,
    num_replicates: int,
    *,
    strategy: str = "auto",
    budget: Budget | None = None,
    mesh: Mesh | None = None,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
    label: np.ndarray | None = None,
    candidates: bool = True,
    scores: Array | None = None,
) -> Replicates:
    """Compute the winners of all replicates, and the similarity of some pairs in each of them.

    Parameters
    ----------
    probe : Probe
    metric : Metric or ScoreFunction
        A score function is called once for each replicate; strategy, budget, mesh, label and
        candidates do not apply to it.
    draw : Draw
        Equal draws give equal replicates, on whatever probe of as many units.
    num_replicates : int
        At least 1.
    strategy : {"auto", "screened", "rows", "dense"}
        No effect on the winners but for ties within rounding.
    budget : Budget, optional
    mesh : jax.sharding.Mesh, optional
    checkpoint : path, optional
        A folder for finished chunks.
    progress : callable, optional
        Called as ``progress(done, num_replicates)``.
    label : array [U] of int, optional
        The concepts whose similarity is followed, -1 for none. Default: the most similar ones.
    candidates : bool
        Whether all concepts that may be the most similar are followed too.
    scores : Array [U, C], optional
        The similarities on the data, where they are at hand.

    Returns
    -------
    Replicates

    Raises
    ------
    ValueError
        If the strategy does not fit, or the memory limit is too low.
    """
    if isinstance(metric, ScoreFunction):
        return run_black_box(probe, metric, draw, num_replicates, checkpoint, progress)
    request = _Request(
        probe,
        metric,
        draw,
        num_replicates,
        strategy,
        budget or Budget(),
        mesh,
        checkpoint,
        label,
        candidates,
        scores,
    )
    return _run(request, progress)


class _Request(NamedTuple):
    """The arguments of :func:`compute_replicates` for a metric."""

    probe: Probe
    metric: Metric
    draw: Draw
    num_replicates: int
    strategy: str
    budget: Budget
    mesh: Mesh | None
    checkpoint: Path | str | None
    label: np.ndarray | None
    candidates: bool
    scores: Array | None
    units: RowIndex | None = None

    def of_part(self, some: slice, part: Probe) -> _Request:
        """The same for some of the neurons."""
        label = None if self.label is None else self.label[some]
        scores = None if self.scores is None else self.scores[some]
        return self._replace(probe=part, label=label, scores=scores)


def _run(request: _Request, progress: Progress | None) -> Replicates:
    """Divide the neurons where a mesh or the memory asks for it, and compute each part."""
    probe, metric, budget = request.probe, request.metric, request.budget
    meshes = by_neurons(request.mesh)
    if meshes:
        return _on_meshes(request, meshes, progress)
    strategy = choose_strategy(
        probe, metric, request.draw.scheme, request.strategy, request.num_replicates
    )
    units = _units_of(probe, metric, strategy)
    request = request._replace(strategy=strategy, units=units)
    room = room_for(probe, request.num_replicates, *budget, _num_weights(probe, units))
    if strategy != "dense" or not isinstance(probe.activations, SparseColumns):
        return _together(request, room, progress)
    check_joint(probe, metric)
    parts = [request.of_part(*x) for x in probe.in_neurons()]
    return in_parts(lambda i, report: _run(parts[i], report), len(parts), progress)


def num_weights(probe: Probe, metric: Metric, scheme: Scheme, num_replicates: int) -> int:
    """How many weights a replicate has: one for each sample, or for each group that is listed."""
    strategy = choose_strategy(probe, metric, scheme, "auto", num_replicates)
    return _num_weights(probe, _units_of(probe, metric, strategy))


def _num_weights(probe: Probe, units: RowIndex | None) -> int:
    return probe.num_samples if units is None else probe.num_units


def _units_of(probe: Probe, metric: Metric, strategy: str) -> RowIndex | None:
    """The groups in which neurons are active, where the strategy lists them."""
    return None if strategy == "dense" else active_units(probe, metric=metric)


def _on_meshes(request: _Request, meshes: list[Mesh], progress: Progress | None) -> Replicates:
    """Divide the neurons among the devices of several meshes."""
    probe, budget = request.probe, request.budget
    check_joint(probe, request.metric, divided=len(meshes) > 1)
    # the limit, or the free memory, is shared by all
    limit = SHARE * free_memory() if budget.memory_limit is None else budget.memory_limit
    bounds = np.linspace(0, probe.num_neurons, len(meshes) + 1).astype(int).tolist()
    spans = [slice(a, b) for a, b in itertools.pairwise(bounds) if a < b]
    own_budget = budget._replace(memory_limit=limit / len(spans))
    parts = [
        request.of_part(x, probe.of_neurons(x))._replace(budget=own_budget, mesh=mesh)
        for x, mesh in zip(spans, meshes, strict=False)
    ]
    return in_parts(
        lambda i, report: _run(parts[i], report), len(parts), progress, meshes[: len(parts)]
    )


class _Prepared(NamedTuple):
    """What needs no weights: the prepared neurons, or the index of their rows, or both."""

    neurons: Any
    row_index: RowIndex | None

    def similarity(self, probe: Probe, metric: Metric, room: Room) -> Array:
        """The similarity on the data, [U, C]."""
        if not isinstance(probe.activations, SparseColumns):
            return score(probe, self.neurons, metric)
        if reads_active_rows(probe, metric):
            return similarity(probe, metric)
        assert self.row_index is not None
        return similarity_of_rows(probe, metric, self.row_index, room)


def _together(request: _Request, room: Room, progress: Progress | None) -> Replicates:
    """The replicates of neurons that are computed together."""
    probe, metric, draw, num_replicates = request[:4]
    strategy, given = request.strategy, request.label
    prepared = _prepare(probe, metric, strategy, request.units)
    observed = request.scores
    if observed is None:
        observed = prepared.similarity(probe, metric, room)
    on_data, best = np.asarray(observed), winner(observed)
    followed = np.asarray(best if given is None else given)
    checkpoint = _checkpoint(request, on_data)
    # the memory that was free at first decides, however much is free now
    room = Room(*(int(x) for x in checkpoint.piece("room", lambda: tuple(room))))
    if request.mesh is not None:
        size = request.mesh.size
        room = room._replace(replicates=-(-room.replicates // size) * size)
    evidence = has_evidence = bounds = upper_bound = errors = None
    if request.candidates or strategy == "screened":
        evidence = effective_units(probe, metric, prepared.neurons)
        has_evidence = has_enough_evidence(metric, observed, evidence)
    if strategy == "screened":
        by = metric.ordering_statistic
        shown = observed if by is metric else prepared.similarity(probe, by, room)
        bounds = replicate_range(probe, metric, draw.scheme, num_replicates, shown)
        upper_bound = np.asarray(bounds[1])
        errors = replicate_errors(probe, metric, prepared.neurons, shown)
    in_play = possible_winners(has_evidence, bounds, on_data)
    if given is not None:
        (labelled,) = np.nonzero(followed >= 0)
        in_play[labelled, followed[labelled]] = True
    inputs = ReplicateInputs(
        probe, metric, draw, num_replicates, *prepared, on_data, followed,
        has_evidence if request.candidates else None, upper_bound, errors, room, request.mesh,
        checkpoint,
    )  # fmt: skip
    run = run_dense if strategy == "dense" else run_rows
    found, *results = run(inputs, pairs_where(in_play), progress)
    return as_replicates(
        found, *results, observed=observed, best=best, followed=followed, evidence=evidence
    )


def _prepare(probe: Probe, metric: Metric, strategy: str, units: RowIndex | None) -> _Prepared:
    sparse = isinstance(probe.activations, SparseColumns)
    # what is prepared of sparse activations would be dense
    neurons = None if sparse else metric.prepare_neurons(probe.neurons)
    if strategy == "dense":
        return _Prepared(neurons, None)
    if metric.neuron_view == "rank":
        return _Prepared(neurons, ranked_rows(probe, neurons))
    return _Prepared(neurons, units or active_rows(probe))


def _checkpoint(request: _Request, observed: np.ndarray) -> Checkpoint:
    """The checkpoint of a request; the first draw distinguishes two schemes of one name."""
    if request.checkpoint is None:
        return Checkpoint(None)
    probe, (key, scheme), budget = request.probe, request.draw, request.budget
    first = draw_one(key, np.int32(0), probe.groups, scheme, probe.num_units, probe.weights.dtype)
    given = None if request.label is None else np.asarray(request.label).tolist()
    return checkpoint_for(
        request.checkpoint, key, probe, request.metric.name, observed, request.num_replicates,
        scheme.name, np.asarray(first), request.strategy, budget.chunk_size, budget.memory_limit,
        given, request.candidates,
    )  # fmt: skip
