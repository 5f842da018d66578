"""What each part of `probing_size.py` measures, in rows."""

import math

import jax
import numpy as np
from _common.terminal import track
from _common.truth import best_concepts, fresh_labels, mean_of, share_held, some_neurons

import neurotrust_jax as nt

ALPHA = 0.1
EDGES = (0.0, 0.01, 0.03, 0.1, 1.0)  # of the frequency of concepts
BINS = ("below 1%", "1 to 3%", "3 to 10%", "above 10%")


class Truth:
    """What is true of some neurons of a population."""

    def __init__(self, found, metric, columns):
        self.similarity = np.asarray(
            nt.similarity(found.probe(columns=columns), metric), np.float64
        )
        self.best = best_concepts(self.similarity)
        self.first = np.nan_to_num(self.similarity, nan=-np.inf).argmax(axis=1)
        self.frequency = found.concepts.mean(axis=0)
        self.bin = np.digitize(self.frequency, EDGES[1:-1])
        self.neurons = np.arange(len(columns))


def size_part(found, metric, size):
    """A row for each number of samples and bin of frequency."""
    columns = some_neurons(found, size["neurons"])
    truth = Truth(found, metric, columns)
    rows = []
    for n in track(size["samples"], f"{found.layer.name}, {metric}"):
        fresh = fresh_labels(found, n, columns, metric, size["fresh"])
        drawn = [
            one_draw(found.probe(found.samples(seed, n), columns), seed, metric, truth, fresh, size)
            for seed in range(size["draws"])
        ]
        gaps, values = (list(x) for x in zip(*drawn, strict=True))
        values = np.array(values, np.float64)  # [draws, kind, neurons]
        gap = np.mean(gaps, axis=0)
        bins = {"all": np.ones(len(columns), bool)}
        bins |= {name: truth.bin[truth.first] == b for b, name in enumerate(BINS)}
        for name, inside in bins.items():
            rows.append({
                "task": found.layer.name.split()[0], "metric": metric, "n": n, "bin": name,
                "gap": None if name == "all" else gap[BINS.index(name)],
                "neurons": int(inside.sum()), **means_of(values[:, :, inside]),
            })  # fmt: skip
        jax.clear_caches()  # compiled functions take memory maps, of which there are few
    return rows


def one_draw(probe, seed, metric, truth, fresh, size):
    """Mean gap in each bin, and seven values of each neuron, on one probing set."""
    boot = nt.bootstrap(jax.random.key(seed), probe, metric, num_replicates=size["replicates"])
    gap = np.abs(np.asarray(boot.similarity, np.float64) - truth.similarity)
    sets = nt.concept_sets(boot, alpha=ALPHA)
    mask, untested = np.asarray(sets.mask), np.asarray(sets.untested)
    label = np.asarray(boot.label)
    values = [
        truth.best[truth.neurons, label] & (label >= 0),
        truth.similarity[truth.neurons, truth.first] - truth.similarity[truth.neurons, label],
        np.asarray(nt.stability(boot).top1_agreement),
        (fresh == label).mean(axis=0),
        share_held(mask, truth.best),
        (mask & ~untested).sum(axis=1),
        (mask & untested).sum(axis=1),
    ]
    return [mean_of(gap[:, truth.bin == b]) for b in range(len(BINS))], values


def means_of(values):
    """Means over draws and neurons of what `one_draw` gives, [draws, kind, neurons]."""
    some = values.shape[2] > 0
    mean = np.nanmean(values, axis=(0, 2)) if some else [math.nan] * 7
    # neurons of a draw are dependent, draws are not
    by_draw = values[:, 4].mean(axis=1) if some else np.array([math.nan])
    return {
        "label_is_best": mean[0], "regret": mean[1], "agreement": mean[2],
        "fresh_agreement": mean[3], "coverage": mean[4],
        "standard_error": by_draw.std() / math.sqrt(len(by_draw)), "tested": mean[5],
        "untested": mean[6],
    }  # fmt: skip


def slopes(rows):
    """Exponent of n in the gap, by least squares of logarithms, with a 95% interval."""
    found = []
    for task, metric, name in dict.fromkeys((x["task"], x["metric"], x["bin"]) for x in rows):
        mine = [x for x in rows if (x["task"], x["metric"], x["bin"]) == (task, metric, name)]
        if name == "all" or any(not np.isfinite(x["gap"]) or x["gap"] <= 0 for x in mine):
            continue
        x, y = np.log([x["n"] for x in mine]), np.log([x["gap"] for x in mine])
        (slope, _), residual = np.polyfit(x, y, 1), 0.0
        if len(x) > 2:
            residual = ((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2).sum() / (len(x) - 2)
        error = math.sqrt(residual / ((x - x.mean()) ** 2).sum())
        found.append({
            "task": task, "metric": metric, "bin": name, "exponent": slope,
            "standard_error": error,
        })  # fmt: skip
    return found


def files_part(found, size, metric="iou"):
    """A row for each number of files and way to take them."""
    columns = some_neurons(found, size["neurons"])
    truth = Truth(found, metric, columns)
    rows = []
    for count in track(size["files"], f"{found.layer.name}, files"):
        values = {"files": [], "tokens": []}
        for seed in range(size["draws"]):
            drawn, groups = found.units(seed, count)
            for unit, of_unit in (("files", groups), ("tokens", None)):
                probe = found.probe(drawn, columns, groups=of_unit)
                values[unit].append(one_draw_of_files(probe, seed, metric, truth, size))
        for unit, x in values.items():
            x = np.array(x, np.float64)
            mean, by_draw = np.nanmean(x, axis=(0, 2)), np.nanmean(x, axis=2)
            error = by_draw.std(axis=0) / math.sqrt(len(x))
            rows.append({
                "task": found.layer.name.split()[0], "metric": metric, "files": count,
                "tokens": count * found.size, "unit": unit, "coverage": mean[0],
                "standard_error": error[0], "interval_coverage": mean[1],
                "interval_error": error[1], "tested": mean[2], "untested": mean[3],
                "agreement": mean[4],
            })  # fmt: skip
    return rows


def one_draw_of_files(probe, seed, metric, truth, size):
    """Five values of each neuron on one probing set of whole files."""
    boot = nt.bootstrap(jax.random.key(seed), probe, metric, num_replicates=size["replicates"])
    sets = nt.concept_sets(boot, alpha=ALPHA)
    mask, untested = np.asarray(sets.mask), np.asarray(sets.untested)
    limits = nt.intervals(probe, metric, alpha=ALPHA, method="asymptotic")
    low, high = (
        np.asarray(x, np.float64)[truth.neurons, truth.first] for x in (limits.lower, limits.upper)
    )
    true = truth.similarity[truth.neurons, truth.first]
    return [
        share_held(mask, truth.best),
        (low <= true) & (true <= high),
        (mask & ~untested).sum(axis=1),
        (mask & untested).sum(axis=1),
        np.asarray(nt.stability(boot).top1_agreement),
    ]
