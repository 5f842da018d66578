"""One block of a layer's neurons: all that an audit reads from its data, which are then dropped."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

import jax
import numpy as np
from jax import Array

from .._runtime.chunks import StageProgress
from .._runtime.threads import in_threads
from ..chance.null import PermutationPlan
from ..faithfulness.wide_intervals import label_intervals
from ..metrics.metric import Metric
from ..probing.probe import Probe
from ..resampling.bootstrapping import bootstrap
from ..resampling.halves import Parts, read_parts
from ..resampling.replication import answer_numbers, parts_reader
from ..resampling.selection import corrected_similarity, split_reader
from ..schemes import Scheme
from ..sets.conformal import scores_reader
from ..sets.rule import BoundOptions, SetInputs
from ..sets.set_rules import SET_RULES, sets_by
from .fit import label_fit
from .prepared import Bounds, PreparedBlock, bound_block, prepare
from .result import Leading

__all__ = ["Record", "Task", "part_of", "read_block"]

STEPS = 4  # of the stage "judging" in a block

Record = dict[str, Any]
"""What is known of some neurons: arrays [u, ...] by name, and plain values of the whole layer."""


@dataclass(frozen=True, eq=False)
class Task:
    """What an audit reads from every block of neurons; all blocks have the same draws.

    Attributes
    ----------
    metric : Metric
    roots : numpy.ndarray [C] of int, or None
        Number of the tree of the hierarchy that each concept is in; None without a hierarchy.
    alpha : float
    num_replicates : int
    parts : Parts
        Halves and quarters of the sampling units.
    scheme : str or Scheme
    options : BoundOptions
    plan : PermutationPlan or None
        None where the test is left out.
    keys : tuple of JAX PRNG keys
        For replicates and permutations.
    memory_limit : float or None
    checkpoint : path or None
        Folder for the finished chunks of a block.
    threads : int
        So many parts of a block are read at the same time: bounds, replicates, halves, and chance.
    first : {0, 2}
        The part that is read first, bounds or halves. Blocks that are read at the same time begin
        with different parts, so that each compiles what the other needs later.
    """

    metric: Metric
    roots: np.ndarray | None
    alpha: float
    num_replicates: int
    parts: Parts
    scheme: str | Scheme
    options: BoundOptions
    plan: PermutationPlan | None
    keys: tuple[Array, Array]
    memory_limit: float | None
    checkpoint: Any
    threads: int = 1
    first: int = 0


def read_block(task: Task, probe: Probe, scores: Array, progress: StageProgress) -> Record:
    """Read what is asked for from the neurons of a probe.

    Parameters
    ----------
    task : Task
    probe : Probe
        With the judged concepts.
    scores : Array [u, C]
        Their similarity.
    progress : callable
        Called as ``progress(stage, done, total)``.
    """
    data = prepare(probe, task.metric, scores)
    bounds: Future[Bounds] = Future()
    lock, judged = Lock(), itertools.count(1)

    def of_bounds() -> Record:
        try:
            bounds.set_result(bound_block(data, task.alpha, task.options))
        except BaseException as error:
            bounds.set_exception(error)  # or the thread of the sets would wait for ever
            raise
        return _of_label(task, data, bounds.result())

    def of_chance() -> Record:
        if task.plan is None or task.plan.shared is not None:
            return {}
        return _of_chance(task, task.plan, data, progress)

    def read(part: Callable[[], Record]) -> Record:
        found = part()
        with lock:
            progress("judging", next(judged), STEPS)
        return found

    progress("judging", 0, STEPS)
    parts = [
        of_bounds, lambda: _of_replicates(task, data, bounds, progress),
        lambda: _of_halves(task, data), of_chance,
    ]  # fmt: skip
    turned = parts[task.first :] + parts[: task.first]
    record: Record = {}
    for found in in_threads(read, turned, task.threads):
        record |= found
    return jax.device_get(record)


def part_of(record: Record, name: str) -> Record:
    """The values whose names begin with ``name`` and a dot, by the rest of their names."""
    return {k.removeprefix(f"{name}."): x for k, x in record.items() if k.startswith(f"{name}.")}


def _named(name: str, values: Any) -> Record:
    """The fields of a result, under names that begin with ``name`` and a dot."""
    if isinstance(values, tuple) and not hasattr(values, "_asdict"):
        fields = {str(i): x for i, x in enumerate(values)}
    else:
        fields = values._asdict() if hasattr(values, "_asdict") else vars(values)
    return {f"{name}.{k}": x for k, x in fields.items()}


def _of_chance(
    task: Task, plan: PermutationPlan, data: PreparedBlock, progress: StageProgress
) -> Record:
    """Compare the neurons with a null of their own each."""
    null = plan.draw(
        task.keys[1], data.probe, checkpoint=task.checkpoint,
        progress=lambda done, total: progress("permuting", done, total),
    )  # fmt: skip
    return _named("null", plan.judge(np.asarray(data.found.similarity)[:, 0], null))


def _of_replicates(
    task: Task, data: PreparedBlock, bounds: Future[Bounds], progress: StageProgress
) -> Record:
    boot = bootstrap(
        task.keys[0], data.probe, task.metric, num_replicates=task.num_replicates,
        scheme=task.scheme, scores=data.similarity, memory_limit=task.memory_limit,
        checkpoint=task.checkpoint,
        progress=lambda done, total: progress("resampling", done, total),
    )  # fmt: skip
    inputs = SetInputs(boot, task.alpha, "best", task.options, bounds.result().one_sided)
    sets = sets_by(SET_RULES["calibrated"], inputs)
    return {
        "scheme": boot.scheme,
        "vote_share": boot.vote_share,
        "calibrated_set": sets.mask,
        "untested": sets.untested,
        "calibrated_guarantee": sets.guarantee,
        "corrected": corrected_similarity(boot),
    }


def _of_halves(task: Task, data: PreparedBlock) -> Record:
    """What conformal sets, probabilities of replication and the winner's curse are made from."""
    probe, metric = data.probe, task.metric
    readers = [split_reader(metric), scores_reader(metric)]
    answers = [None] if task.roots is None else [None, task.roots]
    readers += [parts_reader(metric, answer_numbers(x, probe.num_concepts)) for x in answers]
    split, scores, *parts = read_parts(task.parts, probe, metric, readers, scores=data.similarity)
    record = {"split": split, **_named("scores", tuple(scores))}
    for name, found in zip(("parts", "answer_parts"), parts, strict=False):
        record |= _named(name, tuple(jax.tree.leaves(found)))
    return record


def _of_label(task: Task, data: PreparedBlock, bounds: Bounds) -> Record:
    """What describes the neurons, their labels and the bounds of these."""
    probe, found, options = data.probe, data.found, task.options
    fit = label_fit(probe, task.metric, label=data.label)
    intervals = label_intervals(
        probe, task.metric, bounds.given, in_the_limit=bounds.asymptotic,
        activation_range=options.activation_range, largest_unit=options.largest_unit,
    )  # fmt: skip
    proof = bounds.certificate
    return {
        "label": data.label,
        "similarity": np.asarray(found.similarity)[:, 0],
        "tied": found.tied,
        "reason": found.reason,
        "regret": proof.regret,
        "certified_set": proof.mask,
        "excludes_nothing": proof.excludes_nothing,
        "finite_sample": proof.finite_sample,
        "active_rate": probe.active_rate,
        **_named("leading", _leading(data, bounds)),
        **_named("fit", fit),
        **_named("intervals", intervals),
        "intervals.why_wide": np.array(intervals.why_wide, dtype=np.str_),
    }


def _leading(data: PreparedBlock, bounds: Bounds) -> Leading:
    """The leading concepts, with their bounds of both kinds."""
    concept = np.asarray(data.found.concept)

    def at_leading(values: Array) -> np.ndarray:
        there = np.take_along_axis(np.asarray(values), concept, axis=1)
        return np.where(concept < 0, np.nan, there)

    given, asymptotic = bounds.given, bounds.asymptotic
    sides = given.lower, given.upper, asymptotic.lower, asymptotic.upper
    return Leading(concept, np.asarray(data.found.similarity), *map(at_leading, sides))
