"""Negative controls: intervals that must miss too often, and remedies that must not."""

import warnings

import jax
import numpy as np
from _common.terminal import progress_bars

import neurotrust_jax as nt

from .laws import LAWS, Law
from .settings import ALPHA, allowance
from .simulation import BATCH, blocks, side_by_side
from .worlds import planted_world

PLAIN_METRICS = ("accuracy", "iou", "precision", "recall", "f1")
SINGLES = 50  # datasets of one pair that sit side by side


def verdict(misses):
    """Miss rate of a list of booleans, with its allowance."""
    rate, allowed = float(np.mean(misses)), allowance(len(misses))
    return {"miss_rate": rate, "allowance": allowed, "covers": rate <= allowed}


def misses(probe, metric, method, truth, count):
    """Whether the intervals of each of the datasets side by side leave the truth out."""
    with warnings.catch_warnings():
        # the flaw under test is what it warns of
        warnings.simplefilter("ignore", nt.faithfulness.CoverageWarning)
        found = nt.intervals(probe, metric, alpha=ALPHA, method=method)
    lower, upper = blocks(found.lower, count), blocks(found.upper, count)
    return (truth < lower - 1e-6) | (truth > upper + 1e-6)


def ignored_groups(num_datasets, tick):
    """Each row is repeated four times, taken as independent samples and as groups."""
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
                split = nt.split_thresholds(jax.random.key(batch), plain, split=0.5)
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
    """Rows of the controls and, but for a quick run, of plain quantiles."""
    with progress_bars() as add_bar:
        few, many = size.datasets, size.control_datasets
        rows = ignored_groups(few, add_bar("groups ignored", few // BATCH))
        rows += tuned_thresholds(many, add_bar("tuned thresholds", many // SINGLES))
        result = {"rows": rows}
        if size.glyphs:
            total = many // SINGLES * len(LAWS) * 3
            result["plain_quantiles"] = plain_quantiles(many, add_bar("plain quantiles", total))
    return result
