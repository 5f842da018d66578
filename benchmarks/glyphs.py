"""What is said of a real layer whose truth is known, and whether it is so.

The population is all 28,356 glyphs, read by a CNN: every neuron's best concept is known, and
probing sets are drawn from it with replacement. Writes ``glyphs.json`` and three figures, and exits
with status 1 if a calibrated or certified set misses more often than it may, the permutation test
raises more false alarms than it may, or it does not see what is there. Parts:

coverage     how often each kind of set holds the best concept, and a fresh probing set's label
verdicts     how many neurons get which verdict, and how many labels of each are truly the best
permutation  false alarms on neurons that have nothing to do with the concepts; power
measures     measures of stability on the replicates against the same on fresh probing sets
"""

import argparse
import dataclasses
import datetime
import json
import math
import platform
import sys
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from _common.populations import Population
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track as rich_track
from rich.table import Table
from scipy import stats

import neurotrust_jax as nt
from neurotrust_jax import report

HERE = Path(__file__).parent
KINDS = ("vote", "calibrated", "certified", "vote, replication", "calibrated, replication")
COLOURS = {"vote": "#D55E00", "calibrated": "#0072B2", "certified": "#009E73"}
MEASURES = ("top1_agreement", "pairwise_agreement", "normalised_entropy", "nogueira")
KEPT = (0.0, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)  # share of samples that keep their activation


def track(items, description):
    return rich_track(items, description, console=Console(stderr=True))


class World:
    """A population and what is true in it."""

    def __init__(self, task, num_neurons):
        found = Population(task)
        columns = found.live[:num_neurons]
        self.f, self.c = found.activations[:, columns], found.concepts
        self.thresholds = found.thresholds[columns]
        self.names, self.hierarchy = found.names, found.hierarchy
        self.whole = self.probe(self.f, self.c)
        self._best = {}

    def probe(self, f, c):
        return nt.make_probe(f, c, thresholds=self.thresholds, concept_names=self.names)

    def rows(self, seed, n):
        return np.random.default_rng(seed).integers(0, len(self.f), n)

    def draw(self, seed, n):
        rows = self.rows(seed, n)
        return self.probe(self.f[rows], self.c[rows])

    def diluted(self, seed, n, kept):
        """Activations of other samples but on a share of them."""
        rows, others = self.rows(seed, n), self.rows(10**7 + seed, n)
        keep = np.random.default_rng(2 * 10**7 + seed).random(n) < kept
        return self.probe(self.f[np.where(keep, rows, others)], self.c[rows])

    def best(self, metric):
        """Whether each concept is truly the most similar, [U, C]."""
        if metric not in self._best:
            truth = np.asarray(nt.similarity(self.whole, metric), np.float64)
            self._best[metric] = truth >= np.nanmax(truth, axis=1, keepdims=True) - 1e-7
        return self._best[metric]


def labels(world, seed, n, metric):
    return np.asarray(nt.identify(world.draw(seed, n), metric).concept[:, 0])


def coverage_part(world, size, alphas):
    """One row for each metric, number of samples, kind and level."""
    rows = []
    for metric, n in track(list(product(size["metrics"], size["samples"])), "coverage"):
        best = world.best(metric)
        held = {key: [] for key in product(alphas, KINDS)}
        sizes = {key: [] for key in held}
        for seed in range(size["draws"]):
            boot = nt.bootstrap(
                jax.random.key(seed), world.draw(seed, n), metric,
                num_replicates=size["replicates"],
            )  # fmt: skip
            fresh = labels(world, 10**6 + seed, n, metric)
            for alpha, kind in held:
                method, *to = kind.split(", ")
                found = nt.concept_sets(boot, alpha=alpha, method=method, target=(*to, "best")[0])
                mask = np.asarray(found.mask)
                if to:
                    hit = np.where(fresh < 0, True, mask[np.arange(len(fresh)), fresh])
                else:
                    hit = (mask & best).sum(axis=1) / best.sum(axis=1)
                held[alpha, kind].append(hit)
                sizes[alpha, kind].append([mask.sum(axis=1), np.asarray(found.undecided).sum(1)])
        for (alpha, kind), hits in held.items():
            by_draw = np.mean(hits, axis=1)  # neurons of a draw are dependent, draws are not
            error = by_draw.std() / math.sqrt(len(hits))
            allowed = stats.binom.ppf(1e-4, len(hits), 1 - alpha) / len(hits)
            low = np.mean(hits, axis=0)
            rows.append({
                "metric": metric, "n": n, "alpha": alpha, "kind": kind,
                "coverage": by_draw.mean(), "standard_error": error,
                "lowest_neuron": low.min(), "neurons_too_low": int((low < allowed).sum()),
                "size": float(np.mean(sizes[alpha, kind], axis=(0, 2))[0]),
                "median_size": float(np.median(np.array(sizes[alpha, kind])[:, 0])),
                "untested": float(np.mean(sizes[alpha, kind], axis=(0, 2))[1]),
                "covers": bool(by_draw.mean() >= 1 - alpha - 3 * error),
            })  # fmt: skip
        jax.clear_caches()
    return rows


def verdict_part(world, size):
    """For each number of samples, mean counts of verdicts, and how many labels are the best."""
    best, rows = world.best("iou"), []
    for n in size["samples"]:
        for seed in track(range(size["audits"]), f"verdicts, n = {n:,}"):
            done = nt.audit(
                jax.random.key(seed), world.draw(seed, n), "iou",
                num_replicates=size["replicates"], num_permutations=999,
                hierarchy=world.hierarchy,
            )  # fmt: skip
            labelled = done.label >= 0
            right = best[np.arange(len(best)), done.label] & labelled
            family = labelled & [
                nt.merge_answers(
                    [[c in (label, truth) for c in range(len(world.names))]],
                    world.names, world.hierarchy,
                ).size[0] == 1
                for label, truth in zip(done.label, best.argmax(axis=1), strict=True)
            ]  # fmt: skip
            for verdict, count in done.verdict_counts.items():
                mine = done.verdict == verdict
                rows.append({
                    "n": n, "draw": seed, "verdict": verdict.text, "neurons": count,
                    "label_is_best": int((mine & right).sum()),
                    "same_answer_as_best": int((mine & family).sum()),
                    "set_size": float(done.set_size[mine].mean()) if count else None,
                    "answers": float(done.answers[mine].mean()) if count else None,
                })  # fmt: skip
    return rows


def permutation_part(world, size):
    """Share of neurons with p at most 5%, and called explained, by what is left of them."""
    best, fc = world.best("iou").argmax(axis=1), np.asarray(world.whole.neurons.present, np.float64)
    c = world.c[:, best].astype(np.float64)
    active, present, both = fc.mean(axis=0), c.mean(axis=0), (fc * c).mean(axis=0)
    rows = []
    for n in size["samples"][:2]:
        for kept in track(KEPT, f"permutation, n = {n:,}"):
            joint = kept * both + (1 - kept) * active * present
            p, explained = [], []
            for seed in range(size["tests"]):
                found = nt.permutation_test(
                    jax.random.key(seed), world.diluted(seed, n, kept), num_permutations=199
                )
                p.append(np.asarray(found.p_value))
                explained.append(np.asarray(found.explained))
            alarm = (np.array(p) <= 0.05).mean(axis=1)
            rows.append({
                "n": n, "kept": kept, "iou": (joint / (active + present - joint)).tolist(),
                "power": (np.array(p) <= 0.05).mean(axis=0).tolist(),
                "rejected": alarm.mean(), "standard_error": alarm.std() / math.sqrt(len(alarm)),
                "explained": np.mean(explained), "any_explained": np.any(explained, axis=1).mean(),
            })  # fmt: skip
    return rows


def measures_part(world, size):
    """Each measure on replicates, on fresh probing sets, and as a sign that the label is best."""
    best, rows = world.best("iou"), []
    for n in size["samples"]:
        fresh = np.stack([
            labels(world, 2 * 10**6 + i, n, "iou")
            for i in track(range(size["fresh"]), f"fresh probing sets, n = {n:,}")
        ])  # fmt: skip
        share = np.stack([(fresh == c).mean(axis=0) for c in range(best.shape[1])], axis=1)
        found = {name: [] for name in MEASURES}
        right = []
        for seed in track(range(size["audits"]), f"measures, n = {n:,}"):
            boot = nt.bootstrap(
                jax.random.key(seed), world.draw(seed, n), "iou", num_replicates=size["fresh"]
            )
            ours = nt.stability(boot)
            truth = nt.stability(
                dataclasses.replace(
                    boot, winners=jnp.asarray(fresh),
                    vote_share=jnp.asarray(share, boot.vote_share.dtype),
                )
            )  # fmt: skip
            label = np.asarray(boot.label)
            right.append(best[np.arange(len(label)), label] & (label >= 0))
            for name in MEASURES:
                found[name].append([np.asarray(getattr(x, name)) for x in (ours, truth)])
        right = np.array(right).ravel()
        for name in MEASURES:
            measured, true = np.moveaxis(np.array(found[name]), 1, 0).reshape(2, -1)
            known = ~np.isnan(measured + true)
            measured, true, good = measured[known], true[known], right[known]
            sign = -1 if name == "normalised_entropy" else 1
            u = stats.mannwhitneyu(sign * measured[good], sign * measured[~good]).statistic
            rows.append({
                "n": n, "measure": name, "mean": measured.mean(), "mean_fresh": true.mean(),
                "rmse": math.sqrt(((measured - true) ** 2).mean()),
                "rank_correlation": stats.spearmanr(measured, true).statistic,
                "auroc_label_is_best": u / (good.sum() * (~good).sum()),
            })  # fmt: skip
    return rows


def tables(found):
    """One table a part."""
    sets = Table(title="coverage of concept sets, and their mean size", title_justify="left")
    for name in ("metric", "n", "set", "nominal", "coverage", "lowest neuron", "size", "untested"):
        sets.add_column(name, justify="right")
    for x in found["coverage"]:
        sets.add_row(
            x["metric"], f"{x['n']:,}", x["kind"], f"{1 - x['alpha']:.0%}",
            f"{x['coverage']:.3f} +- {x['standard_error']:.3f}", f"{x['lowest_neuron']:.2f}",
            f"{x['size']:.1f}", f"{x['untested']:.1f}",
            style="" if x["covers"] else "red",
        )  # fmt: skip
    verdicts = Table(title="verdicts", title_justify="left")
    for name in ("n", "verdict", "neurons", "label is the best", "or of its tree"):
        verdicts.add_column(name, justify="right")
    for n, v in dict.fromkeys((x["n"], x["verdict"]) for x in found["verdicts"]):
        mine = [x for x in found["verdicts"] if (x["n"], x["verdict"]) == (n, v)]
        total = sum(x["neurons"] for x in mine)
        shares = (sum(x[k] for x in mine) for k in ("label_is_best", "same_answer_as_best"))
        cells = [f"{s / total:.1%}" if total else "" for s in shares]
        verdicts.add_row(f"{n:,}", v, f"{total / len(mine):.1f}", *cells)
    tests = Table(title="permutation test at 5%", title_justify="left")
    for name in ("n", "activations kept", "median iou", "p <= 0.05", "explained (q)", "any"):
        tests.add_column(name, justify="right")
    for x in found["permutation"]:
        tests.add_row(
            f"{x['n']:,}", f"{x['kept']:.0%}", f"{np.median(x['iou']):.3f}",
            f"{x['rejected']:.3f} +- {x['standard_error']:.3f}", f"{x['explained']:.3f}",
            f"{x['any_explained']:.2f}",
        )  # fmt: skip
    measures = Table(title="measures of stability", title_justify="left")
    for name in (
        "n", "measure", "mean", "on fresh sets", "rmse", "rank correlation", "AUROC: label is best",
    ):  # fmt: skip
        measures.add_column(name, justify="right")
    for x in found["measures"]:
        measures.add_row(
            f"{x['n']:,}", x["measure"], f"{x['mean']:.3f}", f"{x['mean_fresh']:.3f}",
            f"{x['rmse']:.3f}", f"{x['rank_correlation']:.2f}", f"{x['auroc_label_is_best']:.3f}",
        )  # fmt: skip
    return sets, verdicts, tests, measures


def draw_verdicts(rows, path):
    counts = {}
    for n in dict.fromkeys(x["n"] for x in rows):
        counts[f"n = {n:,}"] = {
            v: np.mean([x["neurons"] for x in rows if (x["n"], x["verdict"]) == (n, v.text)])
            for v in nt.Verdict
        }
    figure, ax = plt.subplots(figsize=(8, 0.6 * len(counts) + 1.1), layout="constrained")
    report.plot_verdicts(counts, ax)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw_coverage(rows, path):
    metrics = list(dict.fromkeys(x["metric"] for x in rows))
    alphas = sorted({x["alpha"] for x in rows}, reverse=True)
    alpha = alphas[len(alphas) // 2]
    figure, axes = plt.subplots(
        2, len(metrics), figsize=(3 * len(metrics), 5.5), sharex=True, sharey="row", squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for (above, below), metric in zip(axes.T, metrics, strict=True):
        for method, colour in COLOURS.items():
            key = (metric, method, alpha)
            mine = [x for x in rows if (x["metric"], x["kind"], x["alpha"]) == key]
            n = [x["n"] for x in mine]
            above.errorbar(
                n, [100 * x["coverage"] for x in mine],
                [300 * x["standard_error"] for x in mine], fmt="o-", color=colour, label=method,
            )  # fmt: skip
            below.plot(n, [x["size"] for x in mine], "o-", color=colour)
        above.axhline(100 * (1 - alpha), color="#444444", lw=1)
        above.set(title=metric, xscale="log")
        below.set(xlabel="samples", yscale="log", xticks=n, xticklabels=[f"{x:,}" for x in n])
        below.minorticks_off()
        for ax in (above, below):
            ax.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("holds the best concept, %")
    axes[1][0].set_ylabel("concepts in the set, mean")
    axes[0][-1].legend(frameon=False)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw_power(rows, path):
    sizes = list(dict.fromkeys(x["n"] for x in rows))
    figure, axes = plt.subplots(
        1, len(sizes), figsize=(4.2 * len(sizes), 3.4), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, n in zip(axes[0], sizes, strict=True):
        mine = [x for x in rows if x["n"] == n]
        colours = plt.get_cmap("viridis")
        for i, x in enumerate(mine):
            ax.plot(
                x["iou"], 100 * np.array(x["power"]), "o", ms=3, alpha=0.7,
                color=colours(i / len(mine)), label=f"{x['kept']:.0%}",
            )  # fmt: skip
        ax.axhline(5, color="#444444", lw=1)
        ticks = [0.02, 0.05, 0.1, 0.2, 0.5]
        ax.set(xlabel="true iou of the best concept", xscale="log", title=f"n = {n:,}")
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("probing sets with p <= 0.05, %")
    axes[0][-1].legend(frameon=False, title="activations kept", fontsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def failures(found):
    """What contradicts the claims."""
    for x in found["coverage"]:
        if not x["covers"] and not x["kind"].startswith("vote"):
            yield f"too low: {x}"
    for x in found["permutation"]:
        if x["kept"] == 0 and x["rejected"] > 0.05 + 3 * x["standard_error"]:
            yield f"false alarms: {x['rejected']:.3f} at n = {x['n']:,}"
        if x["kept"] == 1 and x["rejected"] < 0.5:
            yield f"no power: {x['rejected']:.3f} at n = {x['n']:,}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few draws from the small digits")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.quick:
        world, alphas = World("digits-cnn", 24), (0.1,)
        size = {
            "metrics": ("iou",), "samples": (300,), "draws": 20, "replicates": 100, "audits": 2,
            "tests": 20, "fresh": 100,
        }  # fmt: skip
    else:
        world, alphas = World("glyphs-cnn", 128), (0.2, 0.1, 0.05)
        size = {
            "metrics": ("iou", "auroc", "correlation", "accuracy"), "samples": (500, 2000, 8000),
            "draws": 30, "replicates": 400, "audits": 10, "tests": 60, "fresh": 200,
        }  # fmt: skip

    warnings.simplefilter(
        "ignore", nt.faithfulness.CoverageWarning
    )  # the vote rule is here on purpose
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=130)
    found = {
        "device": jax.devices()[0].device_kind, "jax": jax.__version__,
        "python": platform.python_version(), "date": datetime.date.today().isoformat(),
        "population": len(world.f), "neurons": world.f.shape[1], "concepts": world.c.shape[1],
        "sizes": size,
    }  # fmt: skip
    parts = {
        "verdicts": verdict_part, "permutation": permutation_part, "measures": measures_part,
        "coverage": partial(coverage_part, alphas=alphas),
    }  # fmt: skip
    for name, part in parts.items():
        found[name] = part(world, size)
        # what is done is kept
        content = json.dumps(found, indent=1, default=float)
        (arguments.out / "glyphs.json").write_text(content + "\n")
    matplotlib.use("Agg")
    draw_verdicts(found["verdicts"], arguments.out / "glyphs_verdicts.png")
    draw_coverage(found["coverage"], arguments.out / "glyphs_coverage.png")
    draw_power(found["permutation"], arguments.out / "glyphs_power.png")
    console.print(*tables(found), sep="\n")
    bad = list(failures(found))
    for line in bad:
        console.print(line, style="bold red")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
