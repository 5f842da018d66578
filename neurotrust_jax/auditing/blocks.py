"""Map a function over blocks of neurons: within memory, over devices and processes, with a save.

All blocks of a layer have one shape and about as many active samples, so that everything is
compiled once: neurons are dealt to them by the number of samples on which they are active. A block
that would be shorter reads a neuron of another one again, and drops what it finds of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from .._engine import MAX_CANDIDATES, num_weights, room_for
from .._runtime.buffers import memory_taken_over
from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.chunks import StageProgress
from .._runtime.devices import gathered
from .._runtime.kept import kept_for
from .._runtime.memory import free_memory
from .._runtime.threads import in_threads
from ..metrics.scores import similarity
from ..probing.checkpoints import checkpoint_for
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..schemes import check_scheme, draw
from ..sets.rule import BoundOptions
from .block import Record, Task, read_block

__all__ = [
    "BlockProgress",
    "Division",
    "Span",
    "blocks_of",
    "divide",
    "joined",
    "map_blocks",
    "read_blocks",
    "saved",
]

MOST = 512  # neurons of a block; more gain nothing
LEAST = 64
SHARE = 0.5  # of the memory that is free, which an audit takes
OF_REPLICATES = 0.25  # of what a block may take, for the replicates of its near ties
COPIES = 3  # of these, while sets are made from them
COLUMNS = 16  # bytes for each value of a block's neurons and of the concepts, or for each sum


class Span(NamedTuple):
    """A block of neurons.

    Attributes
    ----------
    neurons : numpy.ndarray [u] of int
    skip : int
        So many at the beginning belong to another block.
    """

    neurons: np.ndarray
    skip: int


class Division(NamedTuple):
    """The blocks of a layer, and where they are stored.

    Attributes
    ----------
    spans : list of Span
    at_once : int
        So many are read at the same time, by threads or devices.
    threads : int
        So many parts of a block are read at the same time.
    memory_limit : float or None
        Bytes for a block.
    checkpoint : Checkpoint
    """

    spans: list[Span]
    at_once: int
    threads: int
    memory_limit: float | None
    checkpoint: Checkpoint


def divide(task: Task, probe: Probe, mesh: Mesh | None) -> Division:
    """Divide a layer into blocks.

    Raises
    ------
    ValueError
        If the memory limit is too low for a block.
    """
    checkpoint = _checkpoint(task, probe)
    limit = SHARE * free_memory() if task.memory_limit is None else task.memory_limit
    at_once = _at_once(task, probe, limit, mesh)
    spans = _spans(task, probe, limit / at_once, at_once, checkpoint)
    blocks = min(at_once, len(spans))
    threads = max(at_once // blocks, 1) if mesh is None else 1
    one = _part(probe, spans[0])
    elsewhere = float(probe.activations.nbytes - one.activations.nbytes)
    weights = num_weights(one, task.metric, check_scheme(task.scheme), task.num_replicates)
    room_for(one, task.num_replicates, task.memory_limit, None, weights, elsewhere=elsewhere)
    alone = task.memory_limit is None and at_once == 1
    each = None if alone else (limit - elsewhere) / (blocks * threads)
    return Division(spans, blocks, threads, each, checkpoint)


def _at_once(task: Task, probe: Probe, limit: float, mesh: Mesh | None) -> int:
    """How many blocks are read at the same time, or parts of the only one.

    Much of a block keeps one core busy, and so does compilation. A CPU reads as many at a time as
    it has cores, where they fit into memory.
    """
    if mesh is not None:
        return max(len(mesh.local_devices), 1)
    if jax.default_backend() != "cpu":
        return 1
    f = probe.activations
    if isinstance(f, SparseColumns):  # sums over the stored rows, by concept
        values = probe.num_concepts * f.nse * min(MOST / probe.num_neurons, 1)
    else:
        values = (probe.num_concepts + MOST) * probe.num_samples
    each = COLUMNS * values + MOST // 2 * _of_replicates(probe.num_concepts, task.num_replicates)
    return max(1, min(os.cpu_count() or 1, int(limit / each)))


def read_blocks(
    task: Task,
    probe: Probe,
    division: Division,
    mesh: Mesh | None,
    progress: StageProgress | None,
) -> Record:
    """Read all neurons of a probe, block by block, as one record.

    Parameters
    ----------
    task : Task
    probe : Probe
        With the judged concepts.
    division : Division
    mesh : jax.sharding.Mesh or None
        See :func:`map_blocks`.
    progress : callable or None
        Called as ``progress(stage, done, total)``.
    """
    spans, at_once, threads, limit, checkpoint = division
    task = replace(task, memory_limit=limit, threads=threads)
    if len(spans) > 1:
        # what is finished of a block is not worth a file of its own
        task = replace(task, checkpoint=None)
    report = BlockProgress(progress, len(spans))

    def read(i: int) -> Record:
        part = _part(probe, spans[i])
        first = 2 * (i % min(at_once, 2))
        own = replace(task, options=_options_of(task.options, spans[i]), first=first)
        with kept_for(part):
            scores = similarity(part, task.metric)
            # a metric of the user's own is known by what it gives
            name = f"block-{i}-{fingerprint(np.asarray(scores))[:16]}"
            progress = report.of_block(i)
            return saved(checkpoint, name, lambda: read_block(own, part, scores, progress))

    layout = None if task.plan is None else task.plan.layout
    shared = probe.concepts, probe.sample_weight, probe.groups, task.parts.rows, layout
    with memory_taken_over(), kept_for(shared):
        return joined(map_blocks(read, len(spans), mesh, at_once), spans)


def _part(probe: Probe, span: Span) -> Probe:
    whole = len(span.neurons) == probe.num_neurons
    return probe if whole else probe.of_neurons(span.neurons)


def _options_of(options: BoundOptions, span: Span) -> BoundOptions:
    """The same options, with the ranges of these neurons' activations."""
    if options.activation_range is None:
        return options
    low, high = (
        x if np.ndim(x) == 0 else np.asarray(x)[span.neurons] for x in options.activation_range
    )
    return options._replace(activation_range=(low, high))


def _checkpoint(task: Task, probe: Probe) -> Checkpoint:
    """Where the blocks of a layer are stored."""
    if task.checkpoint is None:
        return Checkpoint(None)
    scheme = check_scheme(task.scheme)
    # the first draw distinguishes two schemes of one name
    first = draw(
        task.keys[0], np.int32(0), probe.groups, scheme, probe.num_units, probe.weights.dtype
    )
    bounds = [np.asarray(x, np.float64) for x in task.options.activation_range or ()]
    permuted = None if task.plan is None else task.plan.num_permutations
    trading = [] if task.plan is None else jax.tree.leaves(task.plan.layout)
    roots = [] if task.roots is None else [task.roots]
    options = task.options
    return checkpoint_for(
        task.checkpoint, task.keys[0], probe, task.metric.name, task.alpha, task.num_replicates,
        scheme.name, np.asarray(first), np.asarray(task.parts.rows), str(options.method),
        options.largest_unit, task.memory_limit, permuted, len(bounds), *bounds, len(trading),
        *trading, len(roots), *roots,
    )  # fmt: skip


def _spans(
    task: Task, probe: Probe, limit: float, at_once: int, checkpoint: Checkpoint
) -> list[Span]:
    """The blocks of a layer; the memory that was free at first decides, however much is now."""
    number = probe.num_neurons
    if task.metric.joint:  # it reads all neurons together
        return [Span(np.arange(number), 0)]

    def make() -> tuple[np.ndarray, ...]:
        active = np.asarray(probe.active_rate)
        spans = blocks_of(active, probe.num_concepts, task.num_replicates, limit, at_once)
        return tuple(np.array(x) for x in zip(*spans, strict=True))

    neurons, skip = checkpoint.piece("blocks", make)
    return [Span(x, int(y)) for x, y in zip(neurons, skip, strict=True)]


def blocks_of(
    active: np.ndarray, num_concepts: int, num_replicates: int, limit: float, at_once: int
) -> list[Span]:
    """Divide neurons into blocks of one length whose replicates fit into memory.

    Parameters
    ----------
    active : numpy.ndarray [U]
        Share of the samples on which each neuron is active.
    num_concepts, num_replicates : int
    limit : float
        Bytes for a block.
    at_once : int
        As many blocks at least, where they are not too short then.
    """
    fit = int(limit / _of_replicates(num_concepts, num_replicates))
    most = min(max(fit, LEAST), MOST)
    blocks = max(-(-len(active) // most), min(at_once, len(active) // LEAST), 1)
    length = -(-len(active) // blocks)
    order = np.argsort(-active, kind="stable")
    dealt = [np.sort(order[i::blocks]) for i in range(blocks)]
    short = [length - len(x) for x in dealt]
    return [
        Span(np.append(order[len(order) - s :], x), s) for x, s in zip(dealt, short, strict=True)
    ]


def _of_replicates(num_concepts: int, num_replicates: int) -> float:
    """Bytes for each neuron of a block, by what the replicates of its near ties take."""
    pairs = min(num_concepts, MAX_CANDIDATES)
    return 4 * COPIES * pairs * num_replicates / OF_REPLICATES


class BlockProgress:
    """Adds up the progress of blocks, which may run at the same time.

    Parameters
    ----------
    progress : callable or None
        Called as ``progress(stage, done, total)``, where the total is that of all blocks.
    number : int
        Number of blocks.
    """

    def __init__(self, progress: StageProgress | None, number: int) -> None:
        self._progress = progress
        self._number = number
        self._done: dict[str, dict[int, int]] = {}
        self._lock = Lock()

    def of_block(self, block: int) -> StageProgress:
        """The function that a block calls."""

        def report(stage: str, done: int, total: int) -> None:
            if self._progress is None:
                return
            with self._lock:
                blocks = self._done.setdefault(stage, {})
                blocks[block] = done
                self._progress(stage, sum(blocks.values()), total * self._number)

        return report


def map_blocks(
    read: Callable[[int], Record], number: int, mesh: Mesh | None, at_once: int
) -> list[Record]:
    """The records of all blocks, in their order.

    Parameters
    ----------
    read : callable
        ``read(i)`` gives the record of block i.
    number : int
        Number of blocks.
    mesh : jax.sharding.Mesh or None
        Devices that take the blocks in turn, each one at a time. They may belong to several
        processes, all of which get all records.
    at_once : int
        Number of blocks at the same time without a mesh.
    """
    if mesh is None:  # what several of them need at the same time is compiled once
        return in_threads(read, range(number), at_once)
    devices = list(mesh.devices.flat)
    owner = [devices[i % len(devices)] for i in range(number)]
    local = [d for d in devices if d.process_index == jax.process_index()]

    def on(device: Any) -> dict[int, Record]:
        with jax.default_device(device):
            return {i: read(i) for i in range(number) if owner[i] == device}

    own: dict[int, Record] = {}
    for found in in_threads(on, local, len(local)):
        own |= found
    if len({d.process_index for d in devices}) == 1:
        return [own[i] for i in range(number)]
    everywhere = gathered({i: _packed(x) for i, x in own.items()})
    return [_unpacked(everywhere[i]) for i in range(number)]


def saved(checkpoint: Checkpoint, name: str, read: Callable[[], Record]) -> Record:
    """The record that a checkpoint has under a name, or else the one that is read."""
    return _unpacked(checkpoint.piece(name, lambda: _packed(read())))


def joined(records: Sequence[Record], spans: Sequence[Span]) -> Record:
    """One record of all neurons: arrays in their order, plain values of the first block.

    The records of several blocks are empty afterwards.
    """
    if len(records) == 1:
        return records[0]
    order = np.argsort(np.concatenate([x.neurons[x.skip :] for x in spans]))
    whole: Record = {}
    for name, value in list(records[0].items()):
        # those of the blocks are dropped as they are joined, or all would be there twice
        parts = [x.pop(name) for x in records]
        if isinstance(value, np.ndarray):
            each = zip(parts, spans, strict=True)
            whole[name] = np.concatenate([x[span.skip :] for x, span in each])[order]
        else:
            whole[name] = value
    return whole


def _packed(record: Record) -> tuple[np.ndarray, ...]:
    """Arrays alone, the first of which tells the names and the plain values."""
    arrays = {name: np.asarray(x) for name, x in record.items() if isinstance(x, np.ndarray)}
    plain = {name: x for name, x in record.items() if name not in arrays}
    text = json.dumps({"arrays": list(arrays), "plain": plain})
    return np.frombuffer(text.encode(), np.uint8), *arrays.values()


def _unpacked(pieces: tuple[np.ndarray, ...]) -> Record:
    names = json.loads(pieces[0].tobytes())
    plain = {k: tuple(x) if isinstance(x, list) else x for k, x in names["plain"].items()}
    return plain | dict(zip(names["arrays"], pieces[1:], strict=True))
