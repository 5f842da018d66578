"""How much of the gain of longer formulas is left on other data, on layers of real networks."""

import statistics
import time

import jax
import numpy as np
from _common.terminal import track

import neurotrust_jax as nt
from neurotrust_jax.composition.formulas import OPERATORS
from neurotrust_jax.composition.search import SearchOptions, search

from .worlds import ALPHA, at_hand, layer_probe

TIE = 1e-6  # difference below which float32 similarities tie
LEAST = 5  # samples on which a formula must hold, as in `compose` with ten units a concept


def judged_row(probe, metric):
    """What `compose` says of a layer."""
    how = "optimal" if metric == "iou" else "beam"
    found = nt.compose(jax.random.key(0), probe, metric, search=how, alpha=ALPHA)
    known = ~np.isnan(found.p_value) & ~np.isnan(found.similarity).any(axis=0)
    row = {}
    for length in (2, 3):
        seemed, left = (
            float((x[length - 1] - x[0])[known].mean())
            for x in (found.search_similarity, found.similarity)
        )
        row[f"searched_{length}"], row[f"left_{length}"] = seemed, left
        row[f"optimism_{length}"] = 1 - left / seemed if seemed > 0 else None
    longer = known & (found.formula.length > 1)
    return row | {
        "single": float(found.similarity[0, known].mean()),
        "better": float(found.better.mean()), "better_neurons": int(found.better.sum()),
        "same": float(found.replicated[longer].mean()),
        "overlap": float(np.nanmean(found.overlap[longer])),
        "proved": float(found.proved[known].mean()) if how == "optimal" else None,
        "units": found.num_units, "num_formulas": found.num_formulas, "search": how,
    }  # fmt: skip


def searches_row(probe, metric, repeats):
    """The beam's formulas against the best ones, on all samples; both timed without compilation."""
    judged = np.flatnonzero(np.asarray(probe.positive_units) >= 2 * LEAST)
    own, metric = probe.of_concepts(judged), nt.METRICS[metric]
    every = tuple(range(len(OPERATORS)))
    options = [SearchOptions(3, every, best, 10, 100_000, False, LEAST) for best in (False, True)]
    beam, best = (search(own, metric, x) for x in options)  # these compile
    seconds = [[], []]
    for _ in range(repeats):
        for mine, x in zip(seconds, options, strict=True):
            start = time.perf_counter()
            search(own, metric, x)
            mine.append(time.perf_counter() - start)
    known = np.isfinite(best.score[-1])
    ahead = np.nan_to_num(best.score[-1] - beam.score[-1])
    beaten = ahead > TIE
    of_beam, of_best = map(statistics.median, seconds)
    return {
        "beaten": float(beaten[known].mean()),
        "proved_whole": float((best.bound <= best.score[-1])[known].mean()),
        "ahead": float(ahead[beaten].mean()) if beaten.any() else None,
        "most_ahead": float(ahead.max()), "beam_seconds": of_beam, "optimal_seconds": of_best,
        "time_ratio": of_best / of_beam,
    }  # fmt: skip


def real_part(size):
    """A row for each layer and metric."""
    rows = []
    for name in track([x for x in size["layers"] if at_hand(x)], "real layers"):
        probe = layer_probe(name, size["neurons"])
        for metric in size["metrics"]:
            row = {
                "layer": name, "metric": metric, "n": probe.num_samples,
                "neurons": probe.num_neurons, "concepts": probe.num_concepts,
            } | judged_row(probe, metric)  # fmt: skip
            if metric == "iou":
                row |= searches_row(probe, metric, size["repeats"])
            rows.append(row)
        jax.clear_caches()
    return rows
