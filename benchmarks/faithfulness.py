"""How far are measured similarities from true ones, and do the intervals cover?

Two worlds whose true similarities are known: ``planted`` samples, and probing sets drawn with
replacement from all 28,356 glyphs, read by a trained network. Writes ``faithfulness.json`` and four
figures, and exits with status 1 if a finite-sample method misses more often than it may, or if a
negative control, which must miss, does not. Parts:

gap       |measured - true| against n, and the slope of its logarithm (expected: -1/2)
coverage  how often each method's interval misses, at alpha = 0.05
width     interval widths over the oracle's, which knows the law of the measured similarity
auroc     half-widths of AUROC's own limits
controls  groups ignored, thresholds tuned on the same data; thresholds that are plain quantiles
cost      time of ``intervals`` over that of ``similarity``
planning  the gap known beforehand (figure only)
"""

import argparse
import datetime
import json
import math
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from populations import Population
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import neurotrust_jax as nt
from neurotrust_jax.datasets.planted import planted, planted_similarity
from neurotrust_jax.faithfulness.sample_size import generalization_gap

HERE = Path(__file__).parent
DELTA = 0.05
FIXED = ("exact", "betting", "chernoff", "bernstein", "hoeffding")
BINARY = (*FIXED, "dkw", "asymptotic")
METHODS = {
    "accuracy": BINARY,
    "iou": BINARY,
    "precision": BINARY,
    "recall": BINARY,
    "f1": BINARY,
    "auroc": ("chernoff", "hoeffding", "agarwal", "asymptotic"),
    "correlation": ("betting", "chernoff", "bernstein", "hoeffding", "asymptotic"),
}
PARTS = ("gap", "coverage", "width", "auroc", "controls", "cost", "planning")


class Size(NamedTuple):
    """How much is simulated."""

    samples: tuple[int, ...]
    more_samples: tuple[int, ...]  # for the gap of the rarest planted concepts only
    frequencies: tuple[float, ...]
    metrics: tuple[str, ...]
    datasets: int
    control_datasets: int
    glyphs: bool
    cost: tuple[int, int, int]  # n, U, C


FULL = Size(
    samples=(100, 300, 1000, 3000, 10_000),
    more_samples=(30_000, 100_000),
    frequencies=(0.5, 0.1, 0.01),
    metrics=tuple(METHODS),
    datasets=200,
    control_datasets=2000,
    glyphs=True,
    cost=(10_000, 512, 256),
)
QUICK = Size(
    samples=(100, 300, 900),
    more_samples=(),
    frequencies=(0.5,),
    metrics=("iou", "auroc"),
    datasets=30,
    control_datasets=800,
    glyphs=False,
    cost=(500, 16, 16),
)


def allowance(num_datasets):
    """Miss rate that a sound interval exceeds by chance less than once in 700 cells.

    Pairs of one dataset are dependent; taken as one, the allowance errs on the wide side.
    """
    return DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / num_datasets)


# ---------------------------------------------------------------------------- worlds


class World(NamedTuple):
    """A law to draw probing sets from.

    Attributes
    ----------
    name : str
    draw : callable
        ``draw(seed, n)`` gives activations [n, U] and concepts [n, C].
    thresholds : array [U]
    truth : dict of array [U, C]
        True similarity by metric.
    condition : dict of array [U, C]
        Share of samples on which each metric is measured.
    columns : dict of array
        Columns of the concepts of each frequency.
    low, high : array [U]
        Range of the activations.
    """

    name: str
    draw: Callable
    thresholds: np.ndarray
    truth: dict
    condition: dict
    columns: dict
    low: np.ndarray
    high: np.ndarray


def conditions(active, present, both):
    """Share of samples that each metric conditions on; AUROC's and correlation's rarer class."""
    rarer = np.minimum(present, 1 - present)[None, :] + 0 * both
    either = active[:, None] + present[None, :] - both
    return {
        "accuracy": np.ones_like(both),
        "iou": either,
        "f1": either,
        "precision": active[:, None] + 0 * both,
        "recall": present[None, :] + 0 * both,
        "auroc": rarer,
        "correlation": rarer,
    }


def planted_world(frequency):
    """Four neurons, four concepts; effects in proportion keep similarities in mid range."""
    law = {
        "num_neurons": 4, "num_concepts": 4, "frequency": frequency, "base_rate": frequency / 2,
        "effect": 0.1 + 0.3 * np.eye(4),
    }  # fmt: skip
    sample = jax.jit(lambda key, n: planted(key, n, **law), static_argnums=1)

    def draw(seed, n):
        p = sample(jax.random.key(seed), n)
        return np.asarray(p.activations), np.asarray(p.concepts)

    known = sample(jax.random.key(0), 1)
    return World(
        name="planted",
        draw=draw,
        thresholds=np.zeros(4, np.float32),
        truth={m: np.asarray(planted_similarity(known, m), np.float64) for m in METHODS},
        condition=conditions(*(np.asarray(x, np.float64) for x in known[2:])),
        columns={frequency: np.arange(4)},
        low=np.full(4, -1.0, np.float32),
        high=np.full(4, 1.0, np.float32),
    )


def glyph_world(frequencies):
    """All glyphs as the population, and the neurons that say most of some concept."""
    found = Population("glyphs-cnn")
    activations, data, thresholds, live = (
        found.activations,
        found.data,
        found.thresholds,
        found.live,
    )
    score = np.asarray(nt.similarity(found.probe(), "iou"))
    rate = data.concepts.mean(axis=0)
    neurons, concepts, columns = [], [], {}
    for frequency in frequencies:
        near = np.flatnonzero(np.abs(np.log(rate / frequency)) < math.log(1.7))
        best = near[np.argsort(-score[:, near].max(axis=0), kind="stable")[:2]]
        columns[frequency] = np.arange(len(concepts), len(concepts) + len(best))
        for concept in best:
            order = live[np.argsort(-score[:, concept], kind="stable")]
            neurons.append(next(u for u in order if u not in neurons))
            concepts.append(concept)
    f, c = activations[:, neurons], data.concepts[:, concepts]
    t = thresholds[np.array(neurons)]
    whole = nt.make_probe(f, c, thresholds=t)

    def draw(seed, n):
        rows = np.random.default_rng(seed).integers(0, len(f), n)
        return f[rows], c[rows]

    active = np.asarray(whole.neurons.present, np.float64)
    world = World(
        name="glyphs",
        draw=draw,
        thresholds=t,
        truth={m: np.asarray(nt.similarity(whole, m), np.float64) for m in METHODS},
        condition=conditions(active.mean(axis=0), c.mean(axis=0), active.T @ c / len(c)),
        columns=columns,
        low=f.min(axis=0),
        high=f.max(axis=0),
    )
    about = {
        "population": len(f),
        "layer": found.layer.name,
        "neurons": [int(u) for u in neurons],
        "active_rate": [float(x) for x in active.mean(axis=0)],
        "concepts": [
            {"name": data.concept_names[i], "rate": float(rate[i])} for i in concepts
        ],
    }  # fmt: skip
    return world, about


# ---------------------------------------------------------------------------- simulation


class Cell(NamedTuple):
    """All datasets of one world, frequency, sample size and metric.

    Attributes
    ----------
    measured : array [R, U, C]
    lower, upper : dict of array [R, U, C]
        By method; empty where only the gap is wanted.
    truth, condition : array [U, C]
    """

    world: str
    frequency: float
    n: int
    metric: str
    measured: np.ndarray
    lower: dict
    upper: dict
    truth: np.ndarray
    condition: np.ndarray

    @property
    def where(self):
        return {
            "world": self.world, "frequency": self.frequency, "n": self.n, "metric": self.metric
        }  # fmt: skip


BATCH = 10


def side_by_side(drawn, **options):
    """One probe of several datasets, since a call's overhead is most of its time.

    Only the blocks on the diagonal are read: a pair's limits depend on its own columns alone.
    """
    f, c = (np.concatenate(x, axis=1) for x in zip(*drawn, strict=True))
    return nt.make_probe(f, c, **options)


def blocks(x, count):
    """The blocks on the diagonal: [count * U, count * C] to [count, U, C]."""
    x = np.asarray(x)
    x = x.reshape(count, x.shape[0] // count, count, x.shape[1] // count)
    return x[np.arange(count), :, np.arange(count)]


def simulate(world, n, size, tick, *, limits):
    """Measure and bound every metric on R datasets of n samples: a list of cells."""
    measured = {m: [] for m in size.metrics}
    ends = {(m, method): [] for m in size.metrics for method in METHODS[m] if limits}
    known = np.tile(world.low, BATCH), np.tile(world.high, BATCH)
    for start in range(0, size.datasets, BATCH):
        probe = side_by_side(
            [world.draw(seed, n) for seed in range(start, start + BATCH)],
            thresholds=np.tile(world.thresholds, BATCH),
        )
        for metric in size.metrics:
            options = {"activation_range": known} if metric == "correlation" else {}
            for method in METHODS[metric] if limits else ():
                found = nt.intervals(probe, metric, alpha=DELTA, method=method, **options)
                both = blocks(found.lower, BATCH), blocks(found.upper, BATCH)
                ends[metric, method].append(np.stack(both))
            value = found.similarity if limits else nt.similarity(probe, metric)
            measured[metric].append(blocks(value, BATCH))
        tick()
    cells = []
    for metric in size.metrics:
        value = np.concatenate(measured[metric])
        both = {method: np.concatenate(x, axis=1) for (m, method), x in ends.items() if m == metric}
        for frequency, columns in world.columns.items():
            cells.append(
                Cell(
                    world.name, frequency, n, metric, value[..., columns],
                    {k: x[0][..., columns] for k, x in both.items()},
                    {k: x[1][..., columns] for k, x in both.items()},
                    world.truth[metric][:, columns],
                    world.condition[metric][:, columns],
                )
            )  # fmt: skip
    return cells


def simulate_all(size, parts):
    """Cells of both worlds, and what the glyph world is made of."""
    limits = bool({"coverage", "width", "auroc"} & set(parts))
    about = {}
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        cells = []

        def run(world, n, *, limits=limits):
            name = f"{world.name} {'/'.join(map(str, world.columns))}, n={n:,}"
            task = progress.add_task(name, total=size.datasets)
            cells.extend(
                simulate(world, n, size, lambda: progress.advance(task, BATCH), limits=limits)
            )
            # hundreds of compiled functions exhaust the memory maps of a process
            jax.clear_caches()

        worlds = [planted_world(frequency) for frequency in size.frequencies]
        if size.glyphs:
            task = progress.add_task("training on glyphs", total=1)
            glyphs, about = glyph_world(size.frequencies)
            worlds.append(glyphs)
            progress.advance(task)
        for n in size.samples:
            for world in worlds:
                run(world, n)
        if "gap" in parts:
            for n in size.more_samples:
                run(worlds[len(size.frequencies) - 1], n, limits=False)
    return cells, about


# ---------------------------------------------------------------------------- parts


def mean_by_dataset(x):
    """Mean over pairs, NaN left out; NaN where none is defined. [R]."""
    some = ~np.isnan(x)
    count = some.sum(axis=(1, 2))
    return np.where(count > 0, np.nansum(x, axis=(1, 2)) / np.maximum(count, 1), np.nan)


def gap_part(cells):
    """Mean gaps, and their slope in log-log by world, frequency and metric."""
    rows, series = [], {}
    for cell in cells:
        error = np.abs(cell.measured - cell.truth)
        share = float(cell.condition.min())
        each = mean_by_dataset(error)
        enters = cell.n * share >= 20
        rows.append(
            cell.where | {
                "gap": mean(each), "undefined": float(np.isnan(error).mean()),
                "expected_in_condition": cell.n * share, "enters_slope": enters,
            }
        )  # fmt: skip
        series.setdefault((cell.world, cell.frequency, cell.metric), [])
        if enters:
            series[cell.world, cell.frequency, cell.metric].append((cell.n, each))
    slopes = []
    rng = np.random.default_rng(0)
    for (world, frequency, metric), points in series.items():
        row = {"world": world, "frequency": frequency, "metric": metric}
        if len(points) < 3:
            reason = (
                f"{len(points)} sample sizes give the smallest condition 20 samples, 3 are needed"
            )
            slopes.append(row | {"slope": None, "low": None, "high": None, "reason": reason})
            continue
        n = np.log([n for n, _ in points])
        weight = (n - n.mean()) / ((n - n.mean()) ** 2).sum()

        def fit(gaps, weight=weight):
            return float(weight @ np.log(gaps))

        again = [
            fit([np.nanmean(rng.choice(each, len(each))) for _, each in points])
            for _ in range(1000)
        ]
        low, high = np.quantile(again, [0.025, 0.975])
        slope = fit([np.nanmean(each) for _, each in points])
        slopes.append(row | {"slope": slope, "low": low, "high": high, "points": len(points)})
    return {"rows": rows, "slopes": slopes}


def coverage_part(cells):
    """Miss rates by method."""
    rows = []
    for cell in cells:
        for method, lower in cell.lower.items():
            truth, upper = cell.truth, cell.upper[method]
            undefined = np.isnan(lower) | np.isnan(upper)
            # the truth is known in single precision, and no interval claims more
            miss = (truth < lower - 1e-6) | (truth > upper + 1e-6)
            rate = float(miss.sum() / max((~undefined).sum(), 1))
            allowed = allowance(len(miss))
            row = cell.where | {
                "method": method, "miss_rate": rate, "undefined": float(undefined.mean())
            }  # fmt: skip
            if method != "asymptotic":
                row["verdict"] = "holds" if rate <= allowed else "FAILS"
            rows.append(row)
    return {"allowance": allowance(len(cells[0].measured)), "rows": rows}


def oracle_width(cell):
    """Central 95% of the law of the measured similarity, [U, C]; NaN where mostly undefined."""
    some = (~np.isnan(cell.measured)).mean(axis=0) > 0.5
    filled = np.where(some, cell.measured, 0)
    return np.where(
        some, np.diff(np.nanquantile(filled, [0.025, 0.975], axis=0), axis=0)[0], np.nan
    )


def width_part(cells):
    """Widths over the oracle's, and how often exact is the narrowest that is valid."""
    rows, contests = [], []
    for cell in cells:
        if not cell.lower:
            continue
        oracle = oracle_width(cell)
        usable = np.where(oracle > 0, oracle, np.nan)
        widths = {}
        for method, lower in cell.lower.items():
            width = np.nanmean(cell.upper[method] - lower, axis=0)
            widths[method] = float(width.mean())
            rows.append(
                cell.where | {
                    "method": method, "width": widths[method], "over_oracle": mean(width / usable)
                }
            )  # fmt: skip
        if "exact" in widths:
            del widths["asymptotic"]
            best = min(widths, key=widths.get)
            contests.append(cell.where | {"narrowest": best, "width": widths[best],
                                          "exact": widths["exact"]})  # fmt: skip
    won = sum(x["narrowest"] == "exact" for x in contests)
    return {
        "rows": rows,
        "exact_narrowest": {
            "cells": len(contests), "share": won / max(len(contests), 1),
            "elsewhere": [x for x in contests if x["narrowest"] != "exact"],
        },
    }  # fmt: skip


def auroc_part(cells):
    """Half-widths of AUROC's limits beside the oracle's."""
    rows = []
    for cell in cells:
        if cell.metric != "auroc" or not cell.lower:
            continue
        half = {k: float(np.nanmean(cell.upper[k] - x) / 2) for k, x in cell.lower.items()}
        oracle = mean(oracle_width(cell))
        rows.append(
            {k: v for k, v in cell.where.items() if k != "metric"}
            | half | {"oracle": None if oracle is None else oracle / 2}
        )  # fmt: skip
    return {"rows": rows}


# ---------------------------------------------------------------------------- controls


class Law(NamedTuple):
    """A neuron and a concept whose similarity is known in closed form at every threshold.

    u is uniform on (0, 1) and P(concept | u) = low + slope u + jump [u > step]. The activation is u
    itself, 0 where u is at most ``zero``, or the level on which u lies.
    """

    name: str
    low: float
    slope: float = 0.0
    jump: float = 0.0
    step: float = 0.0
    zero: float = 0.0
    levels: int | None = None

    def draw(self, rng, shape):
        u = rng.uniform(size=shape)
        concept = rng.uniform(size=shape) < self.low + self.slope * u + self.jump * (u > self.step)
        f = np.where(u < self.zero, 0, u)
        if self.levels:
            f = np.floor(f * self.levels)  # whole numbers: a threshold can then be met exactly
        return f.astype(np.float32), concept

    def truth(self, metric, threshold):
        t = np.asarray(threshold, np.float64)
        edge = (np.floor(t) + 1) / self.levels if self.levels else t
        edge = np.clip(edge, self.zero, 1)  # active is u > edge
        active, present = 1 - edge, self.low + self.slope / 2 + self.jump * (1 - self.step)
        both = (
            self.low * active
            + self.slope * (1 - edge**2) / 2
            + self.jump * (1 - np.maximum(edge, self.step))
        )
        either = active + present - both
        return {
            "accuracy": 1 - either + both,
            "iou": both / either,
            "f1": 2 * both / (active + present),
            "recall": both / present,
            "precision": both / np.where(active > 0, active, np.nan),
        }[metric]


LAWS = (
    Law("independent", 0.1),
    Law("concept more likely at high activation", 0.0, slope=1.0),
    Law("concept is the top 5%", 0.0, jump=1.0, step=0.95),
    Law("concept is all but the top 5%", 1.0, jump=-1.0, step=0.95),
    Law("concept is the top 3%, ReLU active on 5%", 0.0, jump=1.0, step=0.97, zero=0.95),
    Law("concept is the top 5%, 20 levels", 0.0, jump=1.0, step=0.95, levels=20),
    Law("concept is the top 3%, 25 levels", 0.0, jump=1.0, step=0.97, levels=25),
)
PLAIN_METRICS = ("accuracy", "iou", "precision", "recall", "f1")


def verdict(misses):
    """Miss rate of a list of booleans, with its allowance."""
    rate, allowed = float(np.mean(misses)), allowance(len(misses))
    return {"miss_rate": rate, "allowance": allowed, "covers": rate <= allowed}


def misses(probe, metric, method, truth, count):
    """Whether the intervals of each of the datasets side by side leave the truth out."""
    with warnings.catch_warnings():
        # the flaw under test is what it warns of
        warnings.simplefilter("ignore", nt.faithfulness.CoverageWarning)
        found = nt.intervals(probe, metric, alpha=DELTA, method=method)
    lower, upper = blocks(found.lower, count), blocks(found.upper, count)
    return (truth < lower - 1e-6) | (truth > upper + 1e-6)


def ignored_groups(num_datasets, tick):
    """Each row stands there four times: as independent samples, and as groups."""
    n, copies, world = 300, 4, planted_world(0.5)
    settings = {"ungrouped exact": ("exact", False), "grouped betting": ("betting", True)}
    tests = ("accuracy", "iou")
    found = {(metric, name): [] for metric in tests for name in settings}
    rows = np.repeat(np.arange(n), copies)
    for start in range(0, num_datasets, BATCH):
        once = [world.draw(seed, n) for seed in range(start, start + BATCH)]
        repeated = [(f[rows], c[rows]) for f, c in once]
        for name, (method, grouped) in settings.items():
            probe = side_by_side(repeated, thresholds=0.0, groups=rows if grouped else None)
            for metric in tests:
                missed = misses(probe, metric, method, world.truth[metric], BATCH)
                found[metric, name] += list(missed.mean(axis=(1, 2)))
        tick()
    return [
        {"control": "groups ignored", "metric": metric, "method": name, "n": n,
         "must_fail": name.startswith("ungrouped")} | verdict(x)
        for (metric, name), x in found.items()
    ]  # fmt: skip


SINGLES = 50  # datasets of one pair that sit side by side


def tuned_thresholds(num_datasets, tick):
    """The threshold of the highest similarity on the same data, where f says nothing of c."""
    n = 100
    laws = {"accuracy": Law("independent", 0.5), "iou": Law("independent", 0.1)}
    found = {(metric, method): [] for metric in laws for method in ("exact", "dkw")}
    rng = np.random.default_rng(0)
    for _ in range(0, num_datasets, SINGLES):
        for metric, law in laws.items():
            drawn = [law.draw(rng, (n, 1)) for _ in range(SINGLES)]
            best = []
            for f, c in drawn:
                candidates = np.sort(f[:, 0])[:-1]
                # every threshold is a neuron of one probe
                every = nt.make_probe(np.repeat(f, n - 1, axis=1), c, thresholds=candidates)
                best.append(candidates[np.nanargmax(np.asarray(nt.similarity(every, metric)))])
            probe = side_by_side(drawn, thresholds=np.array(best))
            truth = law.truth(metric, best)[:, None, None]
            for method in ("exact", "dkw"):
                missed = misses(probe, metric, method, truth, SINGLES)
                found[metric, method] += list(missed[:, 0, 0])
        tick()
    return [
        {"control": "tuned threshold", "metric": metric, "method": method, "n": n,
         "must_fail": method == "exact"} | verdict(x)
        for (metric, method), x in found.items()
    ]  # fmt: skip


def plain_quantiles(num_datasets, tick):
    """Thresholds at the top 5% of the same data; nothing is required of them."""
    results = []
    for law in LAWS:
        for n in (50, 100, 300):
            rng = np.random.default_rng(n)
            found = {(m, way): [] for m in PLAIN_METRICS for way in ("exact", "dkw", "split")}
            for batch in range(0, num_datasets, SINGLES):
                plain = side_by_side([law.draw(rng, (n, 1)) for _ in range(SINGLES)])
                split = nt.split_thresholds(jax.random.key(batch), plain)
                for way, probe in (("exact", plain), ("dkw", plain), ("split", split)):
                    method = "exact" if way == "split" else way
                    for metric in PLAIN_METRICS:
                        truth = law.truth(metric, probe.thresholds)
                        missed = misses(probe, metric, method, truth[:, None, None], SINGLES)
                        found[metric, way] += list(missed[~np.isnan(truth), 0, 0])
                tick()
            results += [
                {"law": law.name, "n": n, "metric": metric, "method": way, "datasets": len(x)}
                | verdict(x)
                for (metric, way), x in found.items()
                if x
            ]
    return results


def controls_part(size):
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def ticker(name, total):
            task = progress.add_task(name, total=total)
            return lambda: progress.advance(task)

        few = size.datasets
        rows = ignored_groups(few, ticker("groups ignored", few // BATCH))
        many = size.control_datasets
        rows += tuned_thresholds(many, ticker("tuned thresholds", many // SINGLES))
        result = {"rows": rows}
        if size.glyphs:
            total = many // SINGLES * len(LAWS) * 3
            result["plain_quantiles"] = plain_quantiles(many, ticker("plain quantiles", total))
    return result


# ---------------------------------------------------------------------------- cost


def cost_part(size):
    """Seconds of each call, warm; the first call's, which compiles, apart."""
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

    def seconds(call):
        start = time.perf_counter()
        jax.block_until_ready(call())
        first = time.perf_counter() - start
        warm = []
        for _ in range(5 if first < 10 else 1):
            start = time.perf_counter()
            jax.block_until_ready(call())
            warm.append(time.perf_counter() - start)
        return statistics.median(warm), first

    rows = []
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("cost", total=sum(map(len, metrics.values())))
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
                progress.advance(task)
    return {"n": n, "neurons": num_neurons, "concepts": num_concepts, "rows": rows}


# ---------------------------------------------------------------------------- planning


def planning_part(size):
    n = np.geomspace(100, 100_000, 61)
    return {
        "n": n.tolist(),
        "rows": [
            {"metric": m, "frequency": p,
             "gap": generalization_gap(m, n, concept_frequency=p, active_rate=0.05).tolist()}
            for m in METHODS for p in FULL.frequencies
        ],
    }  # fmt: skip


# ---------------------------------------------------------------------------- tables


def mean(x):
    x = np.asarray(x, np.float64)
    return float(np.nanmean(x)) if np.any(~np.isnan(x)) else None


def shown(x, digits=3):
    return "" if x is None else f"{x:.{digits}f}"


def order(names, known):
    names = set(names)
    return [x for x in known if x in names]


ALL_METHODS = ("exact", "betting", "chernoff", "bernstein", "hoeffding", "agarwal", "dkw",
               "asymptotic")  # fmt: skip


def table(title, columns, rows):
    result = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        result.add_column(str(column), justify="left" if i == 0 else "right")
    for row in rows:
        result.add_row(*(str(x) for x in row))
    return result


def tables(results, parts):
    """What to print of each part."""
    if "gap" in parts:
        yield table(
            "slope of log gap on log n (95% interval); expected -0.5",
            ("world", "frequency", "metric", "slope", ""),
            [
                (x["world"], x["frequency"], x["metric"], shown(x["slope"]),
                 x.get("reason") or f"{x['low']:.3f} to {x['high']:.3f}")
                for x in results["gap"]["slopes"]
            ],
        )  # fmt: skip
    if "coverage" in parts:
        rows = results["coverage"]["rows"]
        body = []
        for method in order((x["method"] for x in rows), ALL_METHODS):
            mine = [x for x in rows if x["method"] == method]
            worst = max(mine, key=lambda x: x["miss_rate"])
            body.append(
                (method, len(mine), shown(mean([x["miss_rate"] for x in mine]), 4),
                 shown(worst["miss_rate"], 4),
                 f"{worst['world']} {worst['metric']} {worst['frequency']} n={worst['n']}",
                 sum(x.get("verdict") == "FAILS" for x in mine))
            )  # fmt: skip
        yield table(
            f"misses, alpha {DELTA}, allowance {results['coverage']['allowance']:.4f}",
            ("method", "cells", "mean", "worst", "where", "FAILS"), body,
        )  # fmt: skip
    if "width" in parts:
        rows = results["width"]["rows"]
        sizes = sorted({x["n"] for x in rows})
        body = []
        for metric in order((x["metric"] for x in rows), METHODS):
            for method in METHODS[metric]:
                at = {
                    n: [x["over_oracle"] for x in rows
                        if (x["metric"], x["method"], x["n"]) == (metric, method, n)
                        and x["over_oracle"] is not None]
                    for n in sizes
                }  # fmt: skip
                body.append(
                    (metric, method,
                     *(shown(statistics.median(v), 2) if v else "" for v in at.values()))
                )  # fmt: skip
        share = results["width"]["exact_narrowest"]
        yield table(
            f"width over the oracle's, median of the cells; exact is the narrowest in "
            f"{share['share']:.0%} of {share['cells']} cells",
            ("metric", "method", *(f"n={n}" for n in sizes)), body,
        )  # fmt: skip
    if "auroc" in parts:
        names = ("hoeffding", "chernoff", "agarwal", "asymptotic", "oracle")
        yield table(
            "AUROC: half-widths",
            ("world", "frequency", "n", *names),
            [
                (x["world"], x["frequency"], x["n"], *(shown(x[name]) for name in names))
                for x in results["auroc"]["rows"]
            ],
        )
    if "controls" in parts:
        yield table(
            "negative controls: what must fail, and its remedy, which must not",
            ("control", "metric", "method", "misses", "allowance", ""),
            [
                (x["control"], x["metric"], x["method"], shown(x["miss_rate"]),
                 shown(x["allowance"]), control_word(x))
                for x in results["controls"]["rows"]
            ],
        )  # fmt: skip
        rows = results["controls"].get("plain_quantiles", [])
        laws = dict.fromkeys(x["law"] for x in rows)
        body = []
        for law in laws:
            for way in ("exact", "dkw", "split"):
                mine = [x for x in rows if x["law"] == law and x["method"] == way]
                worst = max(mine, key=lambda x: x["miss_rate"])
                body.append(
                    (law, way, shown(mean([x["miss_rate"] for x in mine])),
                     shown(worst["miss_rate"]), f"{worst['metric']} n={worst['n']}",
                     "over" if not worst["covers"] else "")
                )  # fmt: skip
        if rows:
            yield table(
                "thresholds at the top 5% of the same data",
                ("law", "method", "mean misses", "worst", "where", ""), body,
            )  # fmt: skip
    if "cost" in parts:
        rows = results["cost"]["rows"]
        base = {x["metric"]: x["seconds"] for x in rows if x["method"] == "similarity"}
        ratio = {(x["metric"], x["method"]): x.get("ratio") for x in rows}
        about = results["cost"]
        yield table(
            f"time over that of similarity, n={about['n']}, U={about['neurons']}, "
            f"C={about['concepts']}",
            ("metric", "similarity, s", *ALL_METHODS),
            [
                (m, shown(s), *(shown(ratio.get((m, method)), 1) for method in ALL_METHODS))
                for m, s in base.items()
            ],
        )


def control_word(row):
    if row["must_fail"]:
        return "PASSES, must fail" if row["covers"] else "fails, as it must"
    return "holds" if row["covers"] else "FAILS"


def failures(results, parts):
    """One line for everything that makes the run fail."""
    for x in results["coverage"]["rows"] if "coverage" in parts else ():
        if x.get("verdict") == "FAILS":
            yield "{world} {metric} {frequency} n={n} {method}: misses {miss_rate:.4f}".format(**x)
    for x in results["controls"]["rows"] if "controls" in parts else ():
        if x["covers"] == x["must_fail"]:
            yield f"{x['control']}, {x['metric']}, {x['method']}: {control_word(x)}"


# ---------------------------------------------------------------------------- figures

# Okabe & Ito's palette, told apart by colour-blind readers too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "os^Dvp*X"
METRIC_STYLE = dict(zip(METHODS, zip(COLOURS, MARKERS, strict=True), strict=False))
METHOD_STYLE = dict(zip(ALL_METHODS, zip(COLOURS, MARKERS, strict=True), strict=True))


def panels(count, width=3.6, height=3.4):
    figure, axes = plt.subplots(
        1, count, figsize=(width * count, height), sharey=True, squeeze=False, layout="constrained"
    )
    for ax in axes[0]:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def finish(figure, path, handles):
    figure.legend(*handles, loc="outside lower center", ncols=8, frameon=False, handlelength=1.6)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw_gap(part, path):
    rows = [x for x in part["rows"] if x["world"] == "planted" and x["gap"]]
    frequencies = sorted({x["frequency"] for x in rows}, reverse=True)
    figure, axes = panels(len(frequencies))
    for ax, frequency in zip(axes, frequencies, strict=True):
        for metric, (colour, marker) in METRIC_STYLE.items():
            mine = [x for x in rows if (x["metric"], x["frequency"]) == (metric, frequency)]
            if mine:
                n, gap = [x["n"] for x in mine], [x["gap"] for x in mine]
                ax.plot(n, gap, color=colour, marker=marker, ms=4, lw=1.2, label=metric)
        n = np.array(sorted({x["n"] for x in rows if x["frequency"] == frequency}))
        ax.plot(n, 1.6 / np.sqrt(n), color="#444444", ls=":", lw=1.2, label="slope -1/2")
        ax.set(xscale="log", yscale="log", xlabel="samples n",
               title=f"concept frequency {frequency:g}")  # fmt: skip
    axes[0].set_ylabel("mean |measured - true similarity|")
    finish(figure, path, axes[0].get_legend_handles_labels())


def by_method(ax, rows, value, summary):
    for method, (colour, marker) in METHOD_STYLE.items():
        mine = [x for x in rows if x["method"] == method and x[value] is not None]
        sizes = sorted({x["n"] for x in mine})
        y = [summary([x[value] for x in mine if x["n"] == n]) for n in sizes]
        ax.plot(sizes, y, color=colour, marker=marker, ms=4, lw=1.2, label=method)


def draw_coverage(part, path):
    rows = part["rows"]
    frequencies = sorted({x["frequency"] for x in rows}, reverse=True)
    figure, axes = panels(len(frequencies))
    for ax, frequency in zip(axes, frequencies, strict=True):
        by_method(ax, [x for x in rows if x["frequency"] == frequency], "miss_rate", max)
        ax.axhline(DELTA, color="#444444", lw=1)
        ax.axhline(part["allowance"], color="#444444", lw=1, ls=":")
        ax.set(xscale="log", xlabel="samples n", title=f"concept frequency {frequency:g}")
        ax.set_yscale("symlog", linthresh=0.1)
    axes[0].set_ylabel("highest miss rate of all metrics")
    finish(figure, path, axes[0].get_legend_handles_labels())


def draw_width(part, path):
    rows = part["rows"]
    metrics = order((x["metric"] for x in rows), ("accuracy", "iou", "auroc", "correlation"))
    figure, axes = panels(len(metrics), width=3.0)
    for ax, metric in zip(axes, metrics, strict=True):
        mine = [x for x in rows if x["metric"] == metric]
        by_method(ax, mine, "over_oracle", statistics.median)
        ax.axhline(1, color="#444444", lw=1)
        ax.set(xscale="log", yscale="log", xlabel="samples n", title=metric)
    axes[0].set_ylabel("interval width / oracle's width")
    finish(figure, path, axes[0].get_legend_handles_labels())


def draw_planning(part, path):
    frequencies = sorted({x["frequency"] for x in part["rows"]}, reverse=True)
    figure, axes = panels(len(frequencies))
    for ax, frequency in zip(axes, frequencies, strict=True):
        for x in part["rows"]:
            if x["frequency"] == frequency:
                colour, _ = METRIC_STYLE[x["metric"]]
                ax.plot(part["n"], x["gap"], color=colour, lw=1.4, label=x["metric"])
        ax.set(xscale="log", yscale="log", xlabel="samples n",
               title=f"concept frequency {frequency:g}")  # fmt: skip
    axes[0].set_ylabel("gap known beforehand (95%)")
    finish(figure, path, axes[0].get_legend_handles_labels())


FIGURES = {"gap": draw_gap, "coverage": draw_coverage, "width": draw_width,
           "planning": draw_planning}  # fmt: skip

# ---------------------------------------------------------------------------- output


def rounded(x):
    """Five significant digits; NaN and infinities as null, which JSON has."""
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [rounded(v) for v in x]
    if isinstance(x, bool | np.bool_):
        return bool(x)
    if isinstance(x, float | np.floating):
        return float(f"{x:.5g}") if math.isfinite(x) else None
    return x


def dumped(x, depth=0):
    """JSON with one line a row: a dictionary or list without another inside."""
    inner = x.values() if isinstance(x, dict) else x if isinstance(x, list) else ()
    if not any(isinstance(v, dict | list) for v in inner):
        return json.dumps(x)
    pad, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(x, dict):
        body = [f"{json.dumps(str(k))}: {dumped(v, depth + 1)}" for k, v in x.items()]
        return "{" + pad + ("," + pad).join(body) + end + "}"
    return "[" + pad + ("," + pad).join(dumped(v, depth + 1) for v in x) + end + "]"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute's worth, without the glyphs")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    size, parts = QUICK if arguments.quick else FULL, arguments.parts

    matplotlib.use("Agg")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "faithfulness.json"
    results = {}
    stamp = {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
        "datasets": size.datasets,
        "alpha": DELTA,
    }

    def keep(name, part):
        # another run may have written other parts meanwhile
        results.update(json.loads(path.read_text()) if path.exists() else {})
        results[name] = rounded(stamp | part)
        path.write_text(dumped(dict(sorted(results.items()))) + "\n")

    # the timings first, while nothing else of ours has filled the memory
    for name, part in (
        ("planning", planning_part),
        ("cost", cost_part),
        ("controls", controls_part),
    ):
        if name in parts:
            keep(name, part(size))
    simulated = {"gap": gap_part, "coverage": coverage_part, "width": width_part,
                 "auroc": auroc_part}  # fmt: skip
    if set(simulated) & set(parts):
        cells, about = simulate_all(size, parts)
        if about:
            keep("glyphs", about)
        for name, part in simulated.items():
            if name in parts:
                keep(name, part(cells))

    console = Console(width=110)
    for shown_table in tables(results, parts):
        console.print(shown_table)
    for name, draw in FIGURES.items():
        if name in parts:
            draw(results[name], arguments.out / f"faithfulness_{name}.png")
    failed = list(failures(results, parts))
    for line in failed:
        console.print(line, style="bold red")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
