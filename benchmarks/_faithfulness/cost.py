"""Time of ``intervals`` over that of ``similarity``; and the gap known beforehand."""

import statistics
import time

import jax
import numpy as np
from _common.terminal import progress_bars

import neurotrust_jax as nt
from neurotrust_jax.datasets import planted
from neurotrust_jax.faithfulness.sample_size import generalization_gap

from .settings import FIXED, FULL, METHODS


def seconds(call):
    """Median time of calls after the first, and time of the first, which compiles."""

    def once():
        start = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - start

    first = once()
    warm = [once() for _ in range(5 if first < 10 else 1)]
    return statistics.median(warm), first


def cost_part(size):
    """A row for each metric and method, and for `similarity`."""
    n, num_neurons, num_concepts = size.cost
    drawn = planted(
        jax.random.key(0), n, num_neurons=num_neurons, num_concepts=num_concepts, frequency=0.1
    )
    probe = nt.make_probe(drawn.activations, drawn.concepts, thresholds=0.0)
    metrics = {m: METHODS[m] for m in size.metrics}
    if size.glyphs:
        metrics["mad"] = METHODS["correlation"]
        metrics["wpmi"] = (*FIXED[1:], "asymptotic")
        metrics["spearman"] = ("asymptotic",)
    rows = []
    with progress_bars() as add_bar:
        advance = add_bar("cost", sum(map(len, metrics.values())))
        for metric, methods in metrics.items():
            base, first = seconds(lambda metric=metric: nt.similarity(probe, metric))
            rows.append({"metric": metric, "method": "similarity", "seconds": base, "first": first})
            options = {"activation_range": (-1, 1)} if metric in ("mad", "correlation") else {}
            for method in methods:

                def call(metric=metric, method=method, options=options):
                    found = nt.intervals(probe, metric, method=method, **options)
                    return found.lower, found.upper

                warm, first = seconds(call)
                rows.append(
                    {"metric": metric, "method": method, "seconds": warm, "first": first,
                     "ratio": warm / base}
                )  # fmt: skip
                advance()
    return {"n": n, "neurons": num_neurons, "concepts": num_concepts, "rows": rows}


def planning_part(size):
    """The gap known beforehand, for each metric and frequency of a full run."""
    n = np.geomspace(100, 100_000, 61)
    return {
        "n": n.tolist(),
        "rows": [
            {"metric": m, "frequency": p,
             "gap": generalization_gap(m, n, concept_frequency=p, active_rate=0.05).tolist()}
            for m in METHODS for p in FULL.frequencies
        ],
    }  # fmt: skip
