"""One call against loops over replicates, on the same resampled rows."""

from functools import partial

import numpy as np

from .loops import baselines
from .rows import agreement, baseline, ours, row, run_replicates
from .timing import timed
from .worlds import World


def compare_loops(size, metric, names, budget):
    """One row for us and for each loop over replicates."""
    world = World(size)
    times, boot = timed(partial(world.bootstrap, metric))
    winners = np.asarray(boot.winners)
    counts = world.counts()
    rows = [ours(metric, size, times)]
    for name, build in baselines(metric, names).items():
        try:
            score = build(world, metric)
        except ModuleNotFoundError as error:
            rows.append(row(metric, name, size, missing=error.name.split(".")[0]))
            continue
        each, found = run_replicates(score, counts, budget)
        checked = agreement(winners, found)
        rows.append(baseline(metric, name, size, each, times["best_seconds"], **checked))
    return rows
