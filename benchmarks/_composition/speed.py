"""The time of `compose`, and of loops in NumPy that search formulas by the same rules."""

import statistics
import time
from functools import partial

import jax
import numpy as np
from _common.terminal import track
from _speed.plan import Size
from _speed.timing import measured
from _speed.worlds import World

import neurotrust_jax as nt
from neurotrust_jax.composition.formulas import OPERATORS
from neurotrust_jax.composition.layer_formulas import search_halves
from neurotrust_jax.composition.search import SearchOptions, search

from .loops import Products, published

SAME = 1e-6
KEY = 0
OPTIONS = SearchOptions(3, tuple(range(len(OPERATORS))), False, 10, 100_000, False, least=5)


def repeated(call, repeats, at_most):
    """Times of a call, and its result.

    They are the median of repeated calls, and what the first one took longer, which compiles. There
    are fewer repeats where they take longer than ``at_most`` seconds together, and none where the
    first call does: its time then includes compilation.
    """
    first, _, result = measured(call)
    if first > at_most:
        return {"seconds": first, "calls": 1, "compilation_included": True}, result
    seconds = []
    while len(seconds) < repeats and sum(seconds) < at_most:
        wall, _, result = measured(call)
        seconds.append(wall)
    median = statistics.median(seconds)
    times = {"seconds": median, "best_seconds": min(seconds), "calls": len(seconds)}
    return times | {"compile_seconds": first - median}, result


def loop_row(name, halves, neurons, found):
    """A loop on some neurons of both halves; its time is scaled to all of them."""
    values, prepared, looped = [], 0.0, 0.0
    for half in halves:
        concepts = np.ascontiguousarray(np.asarray(half.present).T.astype(bool))
        active = np.asarray(half.neurons.present).astype(bool)
        start = time.perf_counter()
        one = Products(concepts) if name == "products" else partial(published, concepts=concepts)
        ready = time.perf_counter()
        values += [one(np.ascontiguousarray(active[:, u])) for u in neurons]
        prepared += ready - start
        looped += time.perf_counter() - ready
    seconds = prepared + looped * halves[0].num_neurons / len(neurons)
    expected = np.concatenate([x.score[-1][neurons] for x in found])
    difference = np.abs(np.array(values) - expected)
    return {
        "method": name, "seconds": seconds, "neurons_timed": len(neurons),
        "equal": float((difference <= SAME).mean()), "largest_difference": float(difference.max()),
    }  # fmt: skip


def speed_part(size):
    """A row for each world and method."""
    rows = []
    n, neurons, concepts = size["speed"]
    for name in track(size["worlds"], "speed"):
        made = World(Size(n, neurons, concepts, 0), name).probe
        probe = nt.make_probe(
            np.asarray(made.activations), np.asarray(made.concepts),
            thresholds=np.asarray(made.thresholds),
        )  # fmt: skip
        halves = search_halves(jax.random.key(KEY), probe)
        mine = []
        times, found = repeated(
            lambda halves=halves: [search(x, nt.METRICS["iou"], OPTIONS) for x in halves],
            size["repeats"], size["at_most"],
        )  # fmt: skip
        mine.append({"method": "search, beam"} | times)
        for how in ("beam", "optimal"):
            times, result = repeated(
                lambda how=how, probe=probe: nt.compose(jax.random.key(KEY), probe, search=how),
                size["repeats"], size["at_most"],
            )  # fmt: skip
            beaten = result.search_similarity[-1] > found[0].score[-1] + SAME
            mine.append(
                {"method": f"compose, {how}"} | times
                | {"beaten": float(beaten.mean()), "proved": float(result.proved.mean())}
            )  # fmt: skip
        rng = np.random.default_rng(0)
        for loop in ("published", "products"):
            some = rng.permutation(neurons)[: size["timed"][loop]]
            mine.append(loop_row(loop, halves, some, found))
        rows += [{"world": name, "n": n, "U": neurons, "C": concepts} | x for x in mine]
        jax.clear_caches()
    return rows
