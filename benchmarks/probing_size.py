"""How large a probing set, how frequent a concept? Gap, labels, stability and sets.

Four known populations (see ``populations.py``), a layer of an MLP, of a CNN and of a transformer,
and features of a sparse autoencoder; probing sets are drawn from them. Writes
``probing_size.json`` and two figures, and exits with status 1 if a calibrated set misses more often
than it may. Parts:

size   by number of samples and frequency of the concept: the gap between measured and true
       similarity, labels that are truly the best, agreement, and size and coverage of sets
files  probing sets of whole files, taken as such and as if their tokens were independent
"""

import argparse
import datetime
import json
import math
import platform
import sys
from pathlib import Path

import jax
import matplotlib
import numpy as np
from _common.populations import Population
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track as rich_track
from rich.table import Table

import neurotrust_jax as nt

HERE = Path(__file__).parent
ALPHA = 0.1
EDGES = (0.0, 0.01, 0.03, 0.1, 1.0)  # of the frequency of concepts
BINS = ("below 1%", "1 to 3%", "3 to 10%", "above 10%")
COLOURS = ("#D55E00", "#E69F00", "#56B4E9", "#0072B2")
FULL = {
    "tasks": ("glyphs-mlp", "glyphs-cnn", "python-transformer", "python-sae"),
    "metrics": ("iou", "auroc"), "samples": (250, 1000, 4000, 16000), "neurons": 64, "draws": 20,
    "replicates": 200, "fresh": 20, "files": (32, 128, 512),
}  # fmt: skip
QUICK = FULL | {
    "tasks": ("digits-mlp",), "metrics": ("iou",), "samples": (150, 600), "neurons": 16,
    "draws": 8, "replicates": 60, "fresh": 10, "files": (),
}  # fmt: skip


def track(items, description):
    return rich_track(items, description, console=Console(stderr=True))


class Truth:
    """What is true of some neurons of a population."""

    def __init__(self, found, metric, columns):
        self.similarity = np.asarray(
            nt.similarity(found.probe(columns=columns), metric), np.float64
        )
        known = np.nan_to_num(self.similarity, nan=-np.inf)
        self.best = known >= known.max(axis=1, keepdims=True) - 1e-7
        self.first = known.argmax(axis=1)
        self.frequency = found.concepts.mean(axis=0)
        self.bin = np.digitize(self.frequency, EDGES[1:-1])


def chosen(found, size):
    """Some of the live neurons, the same ones every time."""
    order = np.random.default_rng(0).permutation(found.live)
    return np.sort(order[: size["neurons"]])


def mean_of(values):
    """The mean of those defined, if there are any."""
    return np.nanmean(values) if np.isfinite(values).any() else math.nan


def size_part(found, metric, size):
    """A row for each number of samples and bin of frequency."""
    columns = chosen(found, size)
    truth = Truth(found, metric, columns)
    everyone = np.arange(len(columns))
    rows = []
    for n in track(size["samples"], f"{found.layer.name}, {metric}"):
        gaps, values = [], []
        fresh = np.stack([
            np.asarray(
                nt.identify(found.probe(found.samples(10**6 + i, n), columns), metric).concept
            )[:, 0]
            for i in range(size["fresh"])
        ])  # fmt: skip
        for seed in range(size["draws"]):
            probe = found.probe(found.samples(seed, n), columns)
            boot = nt.bootstrap(
                jax.random.key(seed), probe, metric, num_replicates=size["replicates"]
            )
            gap = np.abs(np.asarray(boot.similarity, np.float64) - truth.similarity)
            gaps.append([mean_of(gap[:, truth.bin == b]) for b in range(len(BINS))])
            sets = nt.concept_sets(boot, alpha=ALPHA)
            mask, untested = np.asarray(sets.mask), np.asarray(sets.undecided)
            label = np.asarray(boot.label)
            values.append([
                truth.best[everyone, label] & (label >= 0),
                truth.similarity[everyone, truth.first] - truth.similarity[everyone, label],
                np.asarray(nt.stability(boot).top1_agreement),
                (fresh == label).mean(axis=0),
                (mask & truth.best).sum(axis=1) / truth.best.sum(axis=1),
                (mask & ~untested).sum(axis=1),
                (mask & untested).sum(axis=1),
            ])  # fmt: skip
        values = np.array(values, np.float64)  # [draws, kind, neurons]
        gap = np.mean(gaps, axis=0)
        groups = {"all": np.ones(len(columns), bool)}
        groups |= {name: truth.bin[truth.first] == b for b, name in enumerate(BINS)}
        for name, own in groups.items():
            mean = np.nanmean(values[:, :, own], axis=(0, 2)) if own.any() else [math.nan] * 7
            # neurons of a draw are dependent, draws are not
            by_draw = values[:, 4, own].mean(axis=1) if own.any() else np.array([math.nan])
            rows.append({
                "task": found.layer.name.split()[0], "metric": metric, "n": n, "bin": name,
                "gap": None if name == "all" else gap[BINS.index(name)],
                "neurons": int(own.sum()), "label_is_best": mean[0], "regret": mean[1],
                "agreement": mean[2], "fresh_agreement": mean[3], "coverage": mean[4],
                "standard_error": by_draw.std() / math.sqrt(len(by_draw)), "tested": mean[5],
                "untested": mean[6],
            })  # fmt: skip
        jax.clear_caches()  # compiled functions take memory maps, of which there are few
    return rows


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
    columns = chosen(found, size)
    truth = Truth(found, metric, columns)
    everyone = np.arange(len(columns))
    rows = []
    for count in track(size["files"], f"{found.layer.name}, files"):
        values = {"files": [], "tokens": []}
        for seed in range(size["draws"]):
            drawn, groups = found.units(seed, count)
            for unit, own in (("files", groups), ("tokens", None)):
                probe = found.probe(drawn, columns, groups=own)
                boot = nt.bootstrap(
                    jax.random.key(seed), probe, metric, num_replicates=size["replicates"]
                )
                sets = nt.concept_sets(boot, alpha=ALPHA)
                mask, untested = np.asarray(sets.mask), np.asarray(sets.undecided)
                limits = nt.intervals(probe, metric, delta=ALPHA, method="asymptotic")
                low, high = (
                    np.asarray(x, np.float64)[everyone, truth.first]
                    for x in (limits.lower, limits.upper)
                )
                true = truth.similarity[everyone, truth.first]
                values[unit].append([
                    (mask & truth.best).sum(axis=1) / truth.best.sum(axis=1),
                    (low <= true) & (true <= high),
                    (mask & ~untested).sum(axis=1),
                    (mask & untested).sum(axis=1),
                    np.asarray(nt.stability(boot).top1_agreement),
                ])  # fmt: skip
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


def tables(found):
    sizes = Table(title="by number of samples", title_justify="left")
    for name in (
        "task", "metric", "n", "best concept in", "neurons", "gap", "label is best", "agreement",
        "fresh", "set holds the best", "tested", "untested",
    ):  # fmt: skip
        sizes.add_column(name, justify="right")
    for x in found["size"]:
        if x["neurons"]:
            sizes.add_row(
                x["task"], x["metric"], f"{x['n']:,}", x["bin"], str(x["neurons"]),
                "" if x["gap"] is None else f"{x['gap']:.4f}", f"{x['label_is_best']:.2f}",
                f"{x['agreement']:.2f}", f"{x['fresh_agreement']:.2f}",
                f"{x['coverage']:.3f} +- {x['standard_error']:.3f}", f"{x['tested']:.1f}",
                f"{x['untested']:.1f}",
            )  # fmt: skip
    exponents = Table(title="gap as a power of n", title_justify="left")
    for name in ("task", "metric", "concept in", "exponent"):
        exponents.add_column(name, justify="right")
    for x in found["slopes"]:
        exponents.add_row(
            x["task"], x["metric"], x["bin"], f"{x['exponent']:.3f} +- {x['standard_error']:.3f}"
        )
    files = Table(title="whole files", title_justify="left")
    for name in ("task", "files", "taken as", "set holds the best", "interval holds", "tested",
                 "untested", "agreement"):  # fmt: skip
        files.add_column(name, justify="right")
    for x in found["files"]:
        files.add_row(
            x["task"], str(x["files"]), x["unit"],
            f"{x['coverage']:.3f} +- {x['standard_error']:.3f}",
            f"{x['interval_coverage']:.3f} +- {x['interval_error']:.3f}", f"{x['tested']:.1f}",
            f"{x['untested']:.1f}", f"{x['agreement']:.2f}",
        )  # fmt: skip
    return sizes, exponents, files


def draw_size(rows, metric, path):
    tasks = list(dict.fromkeys(x["task"] for x in rows))
    kinds = (
        ("gap", "gap, mean"), ("label_is_best", "labels that are the best, %"),
        ("agreement", "agreement of resamplings, %"), ("coverage", "sets with the best, %"),
    )  # fmt: skip
    figure, axes = plt.subplots(
        len(kinds), len(tasks), figsize=(3 * len(tasks), 2.3 * len(kinds)), sharex="col",
        sharey="row", squeeze=False, layout="constrained",
    )  # fmt: skip
    for column, task in zip(axes.T, tasks, strict=True):
        for ax, (kind, _) in zip(column, kinds, strict=True):
            for name, colour in zip(BINS, COLOURS, strict=True):
                mine = [
                    x for x in rows
                    if (x["task"], x["metric"], x["bin"]) == (task, metric, name)
                    and (kind == "gap" or x["neurons"] > 2)
                ]  # fmt: skip
                scale = 1 if kind == "gap" else 100
                values = [math.nan if x[kind] is None else scale * x[kind] for x in mine]
                ax.plot([x["n"] for x in mine], values, "o-", ms=4, color=colour, label=name)
            ax.set(xscale="log")
            if kind == "gap":
                ax.set(yscale="log", title=task)
            if kind == "coverage":
                ax.axhline(100 * (1 - ALPHA), color="#444444", lw=1)
            ax.spines[["top", "right"]].set_visible(False)
            ax.label_outer()
        column[-1].set(xlabel="samples")
    for ax, (_, label) in zip(axes[:, 0], kinds, strict=True):
        ax.set_ylabel(label)
    handles = axes[0][0].get_legend_handles_labels()
    figure.legend(
        *handles, title=f"frequency of the concept ({metric})", ncols=len(BINS), frameon=False,
        loc="outside upper center",
    )  # fmt: skip
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw_files(rows, path):
    tasks = list(dict.fromkeys(x["task"] for x in rows))
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(4.2 * len(tasks), 3.4), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, task in zip(axes[0], tasks, strict=True):
        for unit, colour in (("files", "#0072B2"), ("tokens", "#D55E00")):
            for kind, error, style in (
                ("coverage", "standard_error", "o-"),
                ("interval_coverage", "interval_error", "s--"),
            ):
                mine = [x for x in rows if (x["task"], x["unit"]) == (task, unit)]
                what = "set" if kind == "coverage" else "interval"
                ax.errorbar(
                    [x["files"] for x in mine], [100 * x[kind] for x in mine],
                    [300 * x[error] for x in mine], fmt=style, color=colour,
                    label=f"{what}, {unit} independent",
                )  # fmt: skip
        ax.axhline(100 * (1 - ALPHA), color="#444444", lw=1)
        ax.set(xscale="log", xlabel="files in the probing set", title=task)
        ticks = [x["files"] for x in mine]
        ax.set_xticks(ticks, [f"{x:,}" for x in ticks])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel(f"holds the truth, % (nominal {1 - ALPHA:.0%})")
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def failures(found):
    """What contradicts the claims."""
    for x in found["size"]:
        if x["bin"] == "all" and x["coverage"] < 1 - ALPHA - 3 * x["standard_error"]:
            yield f"too low: {x}"
    for x in found["files"]:
        if x["unit"] == "files" and x["coverage"] < 1 - ALPHA - 3 * x["standard_error"]:
            yield f"too low: {x}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few draws from the small digits")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument(
        "--tasks", nargs="+", choices=FULL["tasks"], help="only these; what is kept of others stays"
    )
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=150)
    found = {
        "device": jax.devices()[0].device_kind, "jax": jax.__version__,
        "python": platform.python_version(), "date": datetime.date.today().isoformat(),
        "alpha": ALPHA, "sizes": size, "size": [], "files": [],
    }  # fmt: skip
    path, wanted = arguments.out / "probing_size.json", arguments.tasks or size["tasks"]
    if arguments.tasks and path.exists():
        earlier = json.loads(path.read_text())
        for part in ("size", "files"):
            found[part] = [x for x in earlier[part] if x["task"] not in wanted]
    for task in wanted:
        population = Population(task)
        for metric in size["metrics"]:
            found["size"] += size_part(population, metric, size)
        if population.size > 1:
            found["files"] += files_part(population, size)
        found["slopes"] = slopes(found["size"])
        # what is done is kept
        content = json.dumps(found, indent=1, default=float)
        path.write_text(content + "\n")
    matplotlib.use("Agg")
    draw_size(found["size"], size["metrics"][0], arguments.out / "probing_size.png")
    if found["files"]:
        draw_files(found["files"], arguments.out / "probing_size_files.png")
    console.print(*tables(found), sep="\n")
    bad = list(failures(found))
    for line in bad:
        console.print(line, style="bold red")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
