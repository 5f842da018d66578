"""Whole audits, their parts, and the loops that one would write for the same results."""

from functools import partial

import jax
import numpy as np

import neurotrust_jax as nt

from .audit_loops import audit_by_loops, numpy_scores, scipy_scores, torch_scores, total_seconds
from .audit_parts import SPLITS, STEPS, AuditParts
from .features import Features
from .loops import devices
from .plan import ALPHA, KEY, PAIR, TOLERANCE
from .rows import agreement, row
from .timing import clocks, memory_since, once, peak_memory, timed
from .worlds import Layer, World


def verdicts_of(result):
    return {x.text: int((np.asarray(result.verdict) == x).sum()) for x in nt.Verdict}


def audit_of(probe, metric, size, key=KEY):
    numbers = {"num_replicates": size.B, "num_permutations": size.B}
    return nt.audit(jax.random.key(key), probe, metric, alpha=ALPHA, **numbers)


def whole(size, metric, name, limits):
    """Rows of an audit, of each of its parts, and of the loops."""
    world = World(size, name)
    times, result = timed(lambda key: audit_of(world.probe, metric, size, key), limits)
    common = {"world": name}
    rows = [row(metric, "audit", size, **common, **times, verdicts=verdicts_of(result))]
    parts = AuditParts(jax.random.key(KEY), world.probe, metric, size.B, size.B)
    for step in STEPS:
        spent, _ = timed(lambda _, step=step: getattr(parts, step)(), limits)
        rows.append(row(metric, step, size, **common, **spent))
    layer = Layer(parts.probe)
    for method, build in loops():
        rows.append(
            loop_row(method, build, layer, parts, size, limits, times["best_seconds"]) | common
        )
    return rows


def loops():
    """The loops of this machine, by name."""
    yield "numpy_loops", numpy_scores
    for device in devices():
        found = partial(torch_scores, device=device)
        yield "torch_loops" + ("" if device == "cpu" else f", {device}"), found


def loop_row(method, build, layer, parts, size, limits, best_seconds):
    """The row of the loops of a whole audit, checked against the audit's own results."""
    metric = parts.metric.name
    draws = parts.draws(200)
    wall, others = clocks()
    found = audit_by_loops(build, layer, metric, draws, limits.loop)
    wall, others = (now - then for now, then in zip(clocks(), (wall, others), strict=True))
    numbers = {
        "replicates": size.B, "permutations": parts.num_permutations,
        "parts": sum(map(len, draws.parts)),
    }  # fmt: skip
    times = total_seconds(found, numbers)
    timed_steps = {f"{k}_timed": len(found[k].seconds) for k in numbers}
    each = {f"seconds_a_{k[:-1]}": float(np.median(found[k].seconds)) for k in numbers}
    return row(
        metric, method, size, **times, **timed_steps, **each, extrapolated=True,
        speed_up=times["best_seconds"] / best_seconds, cores_of_others=max(others, 0) / wall,
        **checks(found, parts),
    )  # fmt: skip


def checks(found, parts):
    """How far the results of the loops are from the audit's, on the same draws."""
    loops_similarity = np.nan_to_num(found["similarity"], nan=-1)
    similarity = np.nan_to_num(np.asarray(parts.data.similarity), nan=-1)
    winners = agreement(np.asarray(parts.boot.winners), found["replicates"].found)
    number = len(found["permutations"].seconds)
    p_value = np.asarray(parts.permutations(number).p_value)
    labels = parts.labels_on_halves()
    in_parts = [
        pair for scores, own, _ in found["parts"].found for pair in zip(scores, own, strict=True)
    ]
    in_parts = [(np.asarray(scores), label) for scores, label in in_parts[: 2 * SPLITS]]
    halves = agreement(labels, in_parts)
    known = ~np.isnan(p_value)
    return winners | {
        "difference": float(np.abs(loops_similarity - similarity).max()),
        "tolerance": TOLERANCE,
        "p_value_difference": float(
            np.abs(found["permutations"].summary - p_value)[known].max(initial=0)
        ),
        # chance ties of floats may count as reached, at most a hundredth of a standard deviation
        "p_value_tolerance": 0.02 + 2 / (number + 1),
        "equal_on_halves": halves["equal_winners"],
        "disagreements_on_halves": halves["disagreements"],
    }


def permutations(size, metric, name, numbers, limits):
    """Rows of the permutation test alone, of different numbers of permutations."""
    world = World(size, name)
    scores = nt.similarity(world.probe, metric)
    rows = []
    for number in numbers:

        def test(key, number=number):
            return nt.permutation_test(
                jax.random.key(key), world.probe, metric, num_permutations=number, scores=scores
            )

        times, found = timed(test, limits)
        explained = int(np.asarray(found.explained).sum())
        rows.append(
            row(metric, "ours", size, world=name, permutations=number, **times, explained=explained)
        )
    return rows


def features(size, documents, name, limits, with_loops):
    """Rows of an audit of sparse features, compilation included, and of SciPy's sparse loops."""
    layer = Features(size, documents, name)
    density = layer.activations.nnz / (size.n * size.U)
    probe = layer.make_probe()
    if not with_loops:
        del layer
    before = peak_memory()
    times, result = once(lambda: audit_of(probe, "iou", size))
    about = {"world": name, "documents": documents, "density": density}
    rows = [row(
        "iou", "audit", size, **about, **times, **memory_since(before),
        verdicts=verdicts_of(result),
    )]  # fmt: skip
    if with_loops:
        few = size._replace(B=min(size.B, 50))
        parts = AuditParts(jax.random.key(KEY), probe, "iou", few.B, size.B)
        parts.similarity()
        parts.replicates()
        judged = sparse_layer(parts.probe, layer)
        rows.append(
            loop_row("scipy_loops", scipy_scores, judged, parts, size, limits, times["seconds"])
            | about
        )
    return rows


def sparse_layer(probe, layer):
    """The judged concepts beside the sparse features."""
    found = Layer(probe)
    found.activations = layer.activations
    return found


def memory(size, limits):
    """The row of an audit of weak neurons, with its peak of memory, in a process of its own."""
    probe = World(size, "weak").probe
    before = peak_memory()
    times, result = once(lambda: audit_of(probe, PAIR[0], size))
    found = sum(x.nbytes for x in jax.tree.leaves(vars(result)) if hasattr(x, "nbytes"))
    data = probe.activations.nbytes + probe.concepts.nbytes
    return [row(
        PAIR[0], "audit", size, world="weak", **times, **memory_since(before), data_bytes=data,
        result_bytes=found,
    )]  # fmt: skip
