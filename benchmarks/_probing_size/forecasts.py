"""Forecasts for larger probing sets beside what happened there."""

import itertools

import jax
import numpy as np
from _common.terminal import track
from _common.truth import labels, some_neurons

from neurotrust_jax.resampling import replication_trend

from .measurements import ALPHA

TIMES = (2, 4)
FEWEST = 10  # sampling units with a concept, in the smallest probing set


def forecast_part(found, metric, size):
    """A row for each size of a probing set and how many times as large the forecast is for.

    The vocabulary is that of the smallest probing set: concepts that become frequent enough to be
    judged in a larger one are no part of a forecast.
    """
    columns = some_neurons(found, size["forecast_neurons"])
    sizes = size["forecast_samples" if found.size == 1 else "forecast_files"]
    kept, trends, label = None, {}, {}
    for n in track(sizes, f"{found.layer.name}, {metric}, forecasts"):
        for draw in range(size["forecast_draws"]):
            seed = 1000 * draw + n
            rows, groups = (
                (found.samples(seed, n), None) if found.size == 1 else found.units(seed, n)
            )
            if kept is None:
                present = np.asarray(found.probe(rows, columns, groups).positive_units)
                kept = np.flatnonzero(present >= FEWEST)
            probe = found.probe(rows, columns, groups, concepts=kept)
            trends[n, draw] = replication_trend(jax.random.key(draw), probe, metric)
            label[n, draw] = labels(probe, metric)
    task, draws = found.layer.name.split()[0], range(size["forecast_draws"])
    rows = []
    for n, times in itertools.product(sizes, TIMES):
        if times * n in sizes:
            some, later = (
                [x[m, draw] for draw in draws] for x, m in ((trends, n), (trends, times * n))
            )
            fresh = [label[times * n, draw] for draw in draws]
            rows.append(
                {"task": task, "metric": metric, "n": n, "times": times}
                | compared(some, later, fresh, times * n)
            )
    return rows


def compared(trends, later, fresh, num_units):
    """Shares of the neurons: now, forecast and what happened; the worst of the draws beside it."""
    now, ahead = (
        np.array([np.nan_to_num(x.probability(n)) for x in trends])
        for n in (trends[0].num_units, num_units)
    )
    measured = np.array([np.nan_to_num(x.probability(num_units)) for x in later])
    agreement = np.mean([
        ((a == b) & (a >= 0)).mean() for a, b in itertools.combinations(fresh, 2)
    ])  # fmt: skip
    reliable = (measured >= 1 - ALPHA).mean()
    return {
        "same_now": now.mean(), "same_forecast": ahead.mean(), "same_happened": agreement,
        "same_worst": np.abs(ahead.mean(axis=1) - agreement).max(),
        "reliable_now": (now >= 1 - ALPHA).mean(),
        "reliable_forecast": (ahead >= 1 - ALPHA).mean(),
        "reliable_happened": reliable,
        "reliable_worst": np.abs((ahead >= 1 - ALPHA).mean(axis=1) - reliable).max(),
    }  # fmt: skip
