"""Probed on one distribution, judged on another.

Probing sets are drawn from a population, and the labels are judged on another one, all of it known:
characters resampled (the density ratio is known, and at most 2), turned by 15 degrees, thinned, of
faces with serifs after faces without; source of other packages after the standard library's.
Writes ``shift.json`` and a figure, and exits with status 1 if sets under the true density ratio, or
limits that allow for it, miss more often than they may, or if a label that no such ratio can
overturn is overturned. Parts:

coverage  how often a set holds the concept that is best on the target, and how often limits of the
          label's similarity hold its similarity there: as if there were no shift, under importance
          weights (true, and estimated from unlabelled target samples), under bounds for every
          density ratio in [1/gamma, gamma]
radius    do labels of a small robustness radius break, and does it tell them better than the share
          of resampled probing sets that agree, or the lead over the second concept, does?
"""

import argparse
import datetime
import json
import math
import platform
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib
import numpy as np
from _common.populations import Population
from matplotlib import pyplot as plt
from PIL import Image
from rich.console import Console
from rich.progress import track as rich_track
from rich.table import Table
from scipy import stats

import neurotrust_jax as nt
from neurotrust_jax import datasets, tasks

HERE = Path(__file__).parent
ALPHA = 0.1
GAMMAS = (1.5, 2.0)
KNOWN = 2.0  # largest density ratio of the resampled characters, and one over the smallest
PREDICTORS = ("radius", "agreement", "lead")
COLOURS = {
    "no correction": "#D55E00", "weights": "#0072B2", "true weights": "#56B4E9",
    "bounds, 1.5": "#E69F00", "bounds, 2.0": "#009E73",
}  # fmt: skip


def track(items, description):
    return rich_track(items, description, console=Console(stderr=True))


class Pair(NamedTuple):
    """Two populations of the same neurons and concepts.

    Attributes
    ----------
    name : str
    f, c : array [N, U], [N, C]
        Where probing sets are drawn.
    target_f, target_c : array [M, U], [M, C]
        Where labels are judged.
    thresholds : array [U]
    ratio : array [N] or None
        The density ratio of the target over the population, where it is known.
    """

    name: str
    f: np.ndarray
    c: np.ndarray
    target_f: np.ndarray
    target_c: np.ndarray
    thresholds: np.ndarray
    ratio: np.ndarray | None = None

    def probe(self, rows=slice(None)):
        return nt.make_probe(self.f[rows], self.c[rows], thresholds=self.thresholds)

    def rows(self, seed, n):
        return np.random.default_rng(seed).integers(0, len(self.f), n)

    def target_sample(self, seed, n):
        rng = np.random.default_rng([seed, 1])
        if self.ratio is None:
            return self.target_f[rng.integers(0, len(self.target_f), n)]
        return self.f[rng.choice(len(self.f), n, p=self.ratio / self.ratio.sum())]

    def truth(self, metric):
        """Similarity on the target, [U, C]."""
        if self.ratio is not None:
            whole = nt.reweight(self.probe(), self.ratio)
        else:
            whole = nt.make_probe(self.target_f, self.target_c, thresholds=self.thresholds)
        return np.asarray(nt.similarity(whole, metric), np.float64)


def turned(images, degrees=15):
    pictures = [Image.fromarray(np.uint8(255 * x[..., 0])) for x in images]
    after = [np.asarray(x.rotate(degrees, Image.Resampling.BILINEAR)) for x in pictures]
    return np.stack(after)[..., None].astype(np.float32) / 255


def thinned(images):
    """Ink only where the pixel on the right has some too."""
    return np.minimum(images, np.roll(images, -1, axis=2))


def image_pairs(task, num_neurons, all_of_them):
    found = Population(task)
    columns = found.live[:num_neurons]
    f, c, thresholds = found.activations[:, columns], found.concepts, found.thresholds[columns]
    images = found.data.images

    def read(images):
        return found.layer.read(images)[:, columns]

    # a ratio of the two values that is 1 on average: more of what the first neuron is above
    above = f[:, 0] > np.quantile(f[:, 0], 1 - 1 / (1 + KNOWN))
    ratio = np.where(above, KNOWN, 1 / KNOWN)
    ratio = np.clip(ratio / ratio.mean(), 1 / KNOWN, KNOWN)
    yield Pair("resampled", f, c, f, c, thresholds, ratio)
    yield Pair("turned by 15 degrees", f, c, read(turned(images)), c, thresholds)
    if not all_of_them:
        return
    yield Pair("thinned", f, c, read(thinned(images)), c, thresholds)
    serif = c[:, found.names.index("serif face")]
    signs = np.array(["face" not in name for name in found.names])
    yield Pair(
        "sans-serif to serif", f[~serif], c[~serif][:, signs], f[serif], c[serif][:, signs],
        thresholds,
    )  # fmt: skip


def source_pairs(task, num_neurons, packages):
    found = Population(task)
    columns = found.live[:num_neurons]
    for package in packages:
        other = datasets.python_source(package)
        rows = tasks.excerpts(other.groups, found.size)
        activations = found.layer.read(other.tokens[rows], other.groups[rows])[:, columns]
        yield Pair(
            f"Python's library to {package}", found.activations[:, columns], found.concepts,
            activations, other.concepts[rows], found.thresholds[columns],
        )  # fmt: skip


def best_of(truth):
    """Whether each concept is the best, and which neurons have one: are active on the target."""
    known = ~np.isnan(truth).all(axis=1)
    truth = np.where(np.isnan(truth), -np.inf, truth)
    return truth >= truth.max(axis=1, keepdims=True) - 1e-7, known


def coverage_part(pair, n, size, metric):
    """One row for each way to make sets and limits."""
    truth = pair.truth(metric)
    best, known = best_of(truth)
    everyone = np.arange(len(best))
    found = {}

    def keep(name, mask, label, lower, upper):
        hit = (mask & best).sum(axis=1) / best.sum(axis=1)
        true = truth[everyone, label]
        inside = (lower <= true + 1e-7) & (true <= upper + 1e-7)
        of_neurons = hit, mask.sum(axis=1), inside, upper - lower, best[everyone, label]
        found.setdefault(name, []).append([x[known].mean() for x in of_neurons])

    for seed in track(range(size["draws"]), f"coverage, {pair.name}"):
        rows = pair.rows(seed, n)
        probe = pair.probe(rows)
        weighted = {"no correction": probe}
        target = pair.target_sample(seed, n)
        weights = nt.importance_weights(
            jax.random.key(seed), probe.activations, target, penalty=size["penalty"], largest=20
        )
        weighted["weights"] = nt.reweight(probe, weights.weight)
        if pair.ratio is not None:
            weighted["true weights"] = nt.reweight(probe, pair.ratio[rows])
        for name, there in weighted.items():
            boot = nt.bootstrap(
                jax.random.key(seed), there, metric, num_replicates=size["replicates"]
            )
            sets = nt.concept_sets(boot, alpha=ALPHA)
            limits = nt.intervals(there, metric, delta=ALPHA, simultaneous="concepts")
            label = np.asarray(boot.label)
            ends = (np.asarray(x)[everyone, label] for x in (limits.lower, limits.upper))
            keep(name, np.asarray(sets.mask), label, *ends)
        label = np.asarray(nt.identify(probe, metric).concept)[:, 0]
        for gamma in GAMMAS:
            # limits for all concepts of a neuron at once, then all that may be the best
            moved = nt.shift_bounds(probe, metric, gamma=gamma, delta=ALPHA / probe.num_concepts)
            lower, upper = np.asarray(moved.lower), np.asarray(moved.upper)
            mask = upper >= np.nanmax(lower, axis=1, keepdims=True)
            mask |= np.isnan(upper)  # nothing is known of what was not met
            keep(f"bounds, {gamma}", mask, label, lower[everyone, label], upper[everyone, label])
    rows = []
    for name, values in found.items():
        mean = np.mean(values, axis=0)
        # neurons of a draw are dependent, draws are not
        error = np.std(values, axis=0) / math.sqrt(len(values))
        rows.append({
            "pair": pair.name, "n": n, "method": name, "coverage": mean[0],
            "standard_error": error[0], "size": mean[1], "holds_similarity": mean[2],
            "similarity_error": error[2], "width": mean[3], "label_is_best": mean[4],
            "effective_size": weights.effective_size, "told_apart": weights.auroc,
            "neurons": int(known.sum()),
        })  # fmt: skip
    return rows


def predictor_values(probe, metric, boot):
    """What is known of each label from one probing set."""
    ordered = np.sort(np.nan_to_num(np.asarray(boot.similarity), nan=-np.inf), axis=1)
    return {
        "radius": np.asarray(nt.robustness_radius(probe, metric).radius),
        "agreement": np.asarray(nt.stability(boot).top1_agreement),
        "lead": ordered[:, -1] - ordered[:, -2],
    }


def radius_part(pair, n, size, metric):
    """One row for each predictor of a label's breaking, and one for the population itself."""
    best, known = best_of(pair.truth(metric))
    everyone = np.arange(len(best))
    whole = nt.robustness_radius(pair.probe(), metric)
    label, radius = np.asarray(whole.label), np.asarray(whole.radius)[known]
    broken = ~best[everyone, label][known]
    rows = [{
        "pair": pair.name, "predictor": "population", "n": len(pair.f), "broken": broken.mean(),
        "radius": radius.tolist(), "broke": broken.tolist(),
        "overturned": int((broken & (radius > KNOWN)).sum()) if pair.ratio is not None else None,
    }]  # fmt: skip
    values, broke = {name: [] for name in PREDICTORS}, []
    for seed in track(range(size["draws"]), f"radius, {pair.name}"):
        probe = pair.probe(pair.rows(seed, n))
        boot = nt.bootstrap(jax.random.key(seed), probe, metric, num_replicates=size["replicates"])
        for name, x in predictor_values(probe, metric, boot).items():
            values[name].append(x[known])
        broke.append(~best[everyone, np.asarray(boot.label)][known])
    broke = np.array(broke)
    rng = np.random.default_rng(0)
    resampled = [rng.integers(0, len(broke), len(broke)) for _ in range(200)]
    for name, x in values.items():
        x = np.array(x)
        spread = [auroc(-x[i], broke[i]) for i in resampled]
        edges = np.quantile(x, (0.25, 0.5, 0.75))
        quarter = np.searchsorted(edges, x)
        rows.append({
            "pair": pair.name, "predictor": name, "n": n, "broken": broke.mean(),
            "auroc": auroc(-x, broke), "interval": np.nanquantile(spread, (0.025, 0.975)).tolist(),
            "quartiles": edges.tolist(),
            "broken_by_quarter": [
                broke[quarter == q].mean() if (quarter == q).any() else None for q in range(4)
            ],
        })  # fmt: skip
    return rows


def auroc(score, positive):
    """How well a score tells what breaks from what does not."""
    score, positive = score.ravel(), positive.ravel()
    if positive.all() or not positive.any():
        return math.nan
    u = stats.mannwhitneyu(score[positive], score[~positive]).statistic
    return u / (positive.sum() * (~positive).sum())


def tables(found):
    sets = Table(title=f"nominal {1 - ALPHA:.0%}", title_justify="left")
    for name in (
        "pair", "n", "method", "holds the target's best", "size", "limits hold", "width",
        "label is best",
    ):  # fmt: skip
        sets.add_column(name, justify="right")
    for x in found["coverage"]:
        sets.add_row(
            x["pair"], f"{x['n']:,}", x["method"],
            f"{x['coverage']:.3f} +- {x['standard_error']:.3f}", f"{x['size']:.1f}",
            f"{x['holds_similarity']:.3f}", f"{x['width']:.2f}", f"{x['label_is_best']:.2f}",
        )  # fmt: skip
    radii = Table(title="which labels break?", title_justify="left")
    for name in ("pair", "predictor", "broken", "AUROC", "broken by quarter, lowest first"):
        radii.add_column(name, justify="right")
    for x in found["radius"]:
        if x["predictor"] == "population":
            radii.add_row(x["pair"], "(population)", f"{x['broken']:.2f}", "", "")
            continue
        low, high = x["interval"]
        quarters = "  ".join("" if q is None else f"{q:.2f}" for q in x["broken_by_quarter"])
        radii.add_row(
            x["pair"], x["predictor"], f"{x['broken']:.2f}",
            f"{x['auroc']:.3f} ({low:.3f} to {high:.3f})", quarters,
        )  # fmt: skip
    return sets, radii


def draw_figure(found, path):
    pairs = list(dict.fromkeys(x["pair"] for x in found["coverage"]))
    figure, axes = plt.subplots(
        1, 4, figsize=(13, 0.7 * len(pairs) + 1.9), sharey=True, layout="constrained"
    )
    columns = (
        ("coverage", "standard_error", "sets with the\ntarget's best, %"),
        ("size", None, "concepts in the set,\nmean"),
        ("holds_similarity", "similarity_error", "limits with the\ntarget's similarity, %"),
    )
    for i, (method, colour) in enumerate(COLOURS.items()):
        mine = [x for x in found["coverage"] if x["method"] == method]
        y = [pairs.index(x["pair"]) + 0.15 * (i - 2) for x in mine]
        for ax, (name, error, _) in zip(axes, columns, strict=False):
            scale = 100 if error else 1
            width = [3 * scale * x[error] for x in mine] if error else None
            values = [scale * x[name] for x in mine]
            ax.errorbar(values, y, xerr=width, fmt="o", color=colour, ms=5, label=method)
    for ax, (_, error, label) in zip(axes, columns, strict=False):
        ax.set(xlabel=label)
        if error:
            ax.axvline(100 * (1 - ALPHA), color="#444444", lw=1)
    for i, (name, mark) in enumerate(zip(PREDICTORS, "o^D", strict=True)):
        mine = [x for x in found["radius"] if x["predictor"] == name and not math.isnan(x["auroc"])]
        value = np.array([x["auroc"] for x in mine])
        ends = np.array([x["interval"] for x in mine]).reshape(-1, 2).T
        y = [pairs.index(x["pair"]) + 0.2 * (i - 1) for x in mine]
        axes[3].errorbar(
            value, y, xerr=np.abs(ends - value), fmt=mark, ms=5, label=name,
            color=("#444444", "#CC79A7", "#999999")[i],
        )  # fmt: skip
    axes[3].axvline(0.5, color="#444444", lw=1)
    axes[3].set(xlabel="labels that break\ntold from others, AUROC")
    for ax, place in ((axes[0], "outside upper left"), (axes[3], "outside upper right")):
        figure.legend(*ax.get_legend_handles_labels(), frameon=False, ncols=5, loc=place)
    axes[0].set_yticks(range(len(pairs)), pairs)
    axes[0].invert_yaxis()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#EEEEEE")
        ax.set_axisbelow(True)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def failures(found):
    """What contradicts the claims, which are made for known shifts alone."""
    for x in found["coverage"]:
        if x["pair"] != "resampled":
            continue
        if x["method"] in ("true weights", f"bounds, {KNOWN}"):
            for name, error in (
                ("coverage", "standard_error"), ("holds_similarity", "similarity_error"),
            ):  # fmt: skip
                if x[name] < 1 - ALPHA - 3 * x[error]:
                    yield f"{name} too low: {x}"
    for x in found["radius"]:
        if x["predictor"] == "population" and x["overturned"]:
            yield f"{x['overturned']} labels overturned within their radius: {x['pair']}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few draws from the small digits")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument("--metric", default="iou", choices=("iou", "f1", "accuracy"))
    arguments = parser.parse_args()
    size = {"draws": 20, "replicates": 200, "penalty": 30.0, "images": 2000, "tokens": 8000}
    if arguments.quick:
        size |= {"draws": 4, "replicates": 60, "images": 300}

    def pairs():
        if arguments.quick:
            yield from image_pairs("digits-cnn", 16, False)
            return
        yield from image_pairs("glyphs-cnn", 128, True)
        yield from source_pairs("python-transformer", 64, ("numpy", "jax"))

    warnings.simplefilter("ignore", nt.shift.ShiftWarning)
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=150)
    found = {
        "device": jax.devices()[0].device_kind, "jax": jax.__version__,
        "python": platform.python_version(), "date": datetime.date.today().isoformat(),
        "metric": arguments.metric, "alpha": ALPHA, "sizes": size, "coverage": [], "radius": [],
    }  # fmt: skip
    for pair in pairs():
        n = size["tokens" if "Python" in pair.name else "images"]
        found["coverage"] += coverage_part(pair, n, size, arguments.metric)
        found["radius"] += radius_part(pair, n, size, arguments.metric)
        # what is done is kept
        content = json.dumps(found, indent=1, default=float)
        (arguments.out / "shift.json").write_text(content + "\n")
        jax.clear_caches()
    matplotlib.use("Agg")
    draw_figure(found, arguments.out / "shift.png")
    console.print(*tables(found), sep="\n")
    bad = list(failures(found))
    for line in bad:
        console.print(line, style="bold red")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
