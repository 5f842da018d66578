"""One call against loops over replicates, on the same resampled rows."""

from functools import partial

import numpy as np

from .loops import baselines
from .rows import agreement, baseline, ours, row, run_replicates
from .timing import clocks, timed
from .worlds import World


def compare_loops(size, metric, name, baseline_names, limits):
    """One row for us and for each loop over replicates."""
    world = World(size, name)
    times, boot = timed(partial(world.bootstrap, metric), limits)
    winners = np.asarray(boot.winners)
    counts = world.counts()
    rows = [ours(metric, size, times)]
    for method, build in baselines(metric, baseline_names).items():
        try:
            score = build(world, metric)
        except ModuleNotFoundError as error:
            rows.append(row(metric, method, size, missing=error.name.split(".")[0]))
            continue
        before = clocks()
        each, found = run_replicates(score, counts, limits.loop)
        wall, others = (now - then for now, then in zip(clocks(), before, strict=True))
        checked = agreement(winners, found) | {"cores_of_others": max(others, 0) / wall}
        rows.append(baseline(metric, method, size, each, times["best_seconds"], **checked))
    return [x | {"world": name} for x in rows]
