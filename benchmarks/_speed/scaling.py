"""Time and memory against the size, and a wide layer under a memory limit."""

from functools import partial

import numpy as np

from .plan import KEY
from .rows import ours
from .timing import memory_since, once, peak_memory, timed
from .worlds import World


def scaling_point(size, metric, name, variable, factor, limits):
    """The row of one size."""
    world = World(size, name)
    before = peak_memory()
    times, _ = timed(partial(world.bootstrap, metric), limits)
    return [ours(metric, size, times | memory_since(before))
            | {"world": name, "variable": variable, "factor": factor}]  # fmt: skip


def scaling_jobs(plan):
    """The base size, and each variable of it multiplied by each factor."""
    points = {plan.base: ("base", 1)}
    for variable in plan.variables:
        for factor in plan.factors:
            scaled = max(round(factor * getattr(plan.base, variable)), 1)
            points.setdefault(plan.base._replace(**{variable: scaled}), (variable, factor))
    for metric in plan.scaled:
        for world in plan.worlds:
            for size, point in points.items():
                arguments = size, metric, world, *point, plan.limits
                yield f"{metric}, {world}, {size.text}", scaling_point, arguments


def curves(rows):
    """Factors, seconds and fitted exponent by metric, world and variable."""
    for metric, world, variable in dict.fromkeys(
        (x["metric"], x["world"], x["variable"]) for x in rows
    ):
        mine = [
            x for x in rows
            if (x["metric"], x["world"]) == (metric, world)
            and x["variable"] in (variable, "base")
        ]  # fmt: skip
        if variable != "base" and len(mine) > 1:
            mine.sort(key=lambda x: x["factor"])
            factors, seconds = ([x[k] for x in mine] for k in ("factor", "seconds"))
            exponent = np.polyfit(np.log(factors), np.log(seconds), 1)[0]
            yield metric, world, variable, factors, seconds, float(exponent)


def scale(size, name, memory_limit):
    """One call, compilation included: a second one would take as long."""
    world = World(size, name)
    before = peak_memory()
    run = partial(world.bootstrap, "iou", KEY, memory_limit=memory_limit)
    times, _ = once(run)
    times |= {"world": name, "memory_limit": memory_limit} | memory_since(before)
    return [ours("iou", size, times)]
