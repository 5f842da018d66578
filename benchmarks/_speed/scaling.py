"""Time and memory against the size, and a wide layer under a memory limit."""

from functools import partial

import numpy as np

from .plan import KEY, PATIENCE
from .rows import ours
from .timing import memory_since, peak_memory, seconds_of, timed
from .worlds import World


def scaling_point(size, metric, variable, factor):
    """The row of one size."""
    world = World(size)
    before = peak_memory()
    times, _ = timed(partial(world.bootstrap, metric), PATIENCE)
    return [ours(metric, size, times | memory_since(before))
            | {"variable": variable, "factor": factor}]  # fmt: skip


def scaling_jobs(plan):
    """The base size, and each variable of it multiplied by each factor."""
    for metric in plan.scaled:
        yield scaling_point, plan.base, metric, "base", 1
        for variable in plan.variables:
            for factor in plan.factors:
                scaled = max(round(factor * getattr(plan.base, variable)), 1)
                size = plan.base._replace(**{variable: scaled})
                if size != plan.base:
                    yield scaling_point, size, metric, variable, factor


def curves(rows):
    """Factors, seconds and fitted exponent by metric and variable."""
    for metric, variable in dict.fromkeys((x["metric"], x["variable"]) for x in rows):
        mine = [x for x in rows if x["metric"] == metric and x["variable"] in (variable, "base")]
        if variable != "base":
            mine.sort(key=lambda x: x["factor"])
            factors, seconds = ([x[k] for x in mine] for k in ("factor", "seconds"))
            exponent = np.polyfit(np.log(factors), np.log(seconds), 1)[0]
            yield metric, variable, factors, seconds, float(exponent)


def scale(size, memory_limit):
    """One call, compilation included: a second one would take as long."""
    world = World(size)
    before = peak_memory()
    run = partial(world.bootstrap, "iou", KEY, memory_limit=memory_limit)
    seconds, _ = seconds_of(run)
    times = {"seconds": seconds, "memory_limit": memory_limit, "compilation_included": True}
    return [ours("iou", size, times | memory_since(before))]
