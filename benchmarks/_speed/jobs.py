"""What each part of `speed.py` runs."""

from typing import Any, NamedTuple

from .ceiling import ceiling
from .command import command
from .compare import compare_loops
from .plan import LOOPS, PAIR
from .real import real
from .scaling import scale, scaling_jobs
from .tools import compare_errors, compare_sets
from .whole import features, memory, permutations, whole

QUOTED = ("compare", "whole", "permutations", "real", "command", "features", "memory")  # in READMEs
PARTS = (*QUOTED, "wide", "tools", "ceiling", "scaling", "scale")


class Job(NamedTuple):
    """A measurement in a process of its own.

    Attributes
    ----------
    name : str
        Distinguishes it from the other jobs of its part, and from those of other sizes.
    function : callable
        Gives rows.
    arguments : tuple
    """

    name: str
    function: Any
    arguments: tuple


def jobs(plan):
    """The jobs of each part."""
    base, limits = plan.base, plan.limits
    pair = [x for x in plan.metrics if x in PAIR]
    return {
        "compare": [*compare_jobs(plan)],
        "whole": [
            Job(f"{metric}, {world}, {base.text}", whole, (base, metric, world, limits))
            for metric in pair
            for world in plan.worlds
        ],
        "permutations": [*permutation_jobs(plan, pair)],
        "real": [
            Job(f"{layer}, {metric}, {plan.neurons}", real, (layer, metric, plan.neurons, limits))
            for metric in pair[:1]
            for layer in plan.layers
        ],
        "command": [Job(f"iou, {plan.command.text}", command, (plan.command, "iou", limits))],
        "features": [*feature_jobs(plan, plan.features, True)],
        "memory": [Job(f"iou, {x.text}", memory, (x, limits)) for x in plan.memory],
        "wide": [*feature_jobs(plan, plan.wide, False)],
        "tools": [*tool_jobs(plan)],
        "ceiling": [
            Job(f"{x}, {w}, {base.text}", ceiling, (base, x, w, plan.matrix, plan.copied, limits))
            for x in pair
            for w in plan.worlds
        ],
        "scaling": [Job(name, *rest) for name, *rest in scaling_jobs(plan)],
        "scale": [
            Job(f"iou, {world}, {plan.scale.text}", scale, (plan.scale, world, plan.memory_limit))
            for world in plan.worlds
        ],
    }


def compare_jobs(plan):
    """All metrics where labels are strong, one of counts and one of ranks in the other worlds."""
    names = tuple(x for x in plan.baselines if x.split(",")[0] in LOOPS)
    for world in plan.worlds:
        for metric in plan.metrics:
            if world == "strong" or metric in PAIR:
                name = f"{metric}, {world}, {plan.base.text}"
                yield Job(name, compare_loops, (plan.base, metric, world, names, plan.limits))


def permutation_jobs(plan, metrics):
    """Few permutations in all worlds, many where labels are weak: the null is the same in all."""
    for metric in metrics:
        for world in plan.worlds:
            numbers = plan.permutations if world == "weak" else plan.permutations[:1]
            name = f"{metric}, {world}, {plan.base.text}"
            yield Job(name, permutations, (plan.base, metric, world, numbers, plan.limits))


def feature_jobs(plan, size, with_loops):
    for world in plan.sparse_worlds:
        arguments = size, plan.documents, world, plan.limits, with_loops
        yield Job(f"iou, {world}, {size.text}", features, arguments)


def tool_jobs(plan):
    tools = tuple(x for x in plan.baselines if x in ("torchmetrics", "scipy"))
    for world in plan.worlds:
        for metric in PAIR if tools else ():
            arguments = plan.small, metric, world, tools, plan.limits
            yield Job(f"{metric}, {world}, {plan.small.text}", compare_errors, arguments)
        if "arch" in plan.baselines:
            arguments = plan.base, world, plan.limits
            yield Job(f"accuracy, {world}, {plan.base.text}", compare_sets, arguments)
