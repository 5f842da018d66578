"""Which measure tells from one probing set whether a label would last, and whether it is right?

Every measure is computed on one probing set, drawn from a known population (see
``populations.py``), and judged by (a) the share of fresh probing sets that give the same label and
(b) whether the label is the population's best. Writes ``stability_measures.json`` and a figure.

    python benchmarks/stability_measures.py            # five networks
    python benchmarks/stability_measures.py --quick    # one, a few draws
"""

import argparse
import datetime
import json
import math
import platform
import warnings
from pathlib import Path
from typing import NamedTuple

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

HERE = Path(__file__).parent
ALPHA = 0.1
TOP = 5  # concepts of a ranking
BINS = np.linspace(0, 1, 11)  # of the calibration error
RESAMPLED = 300  # times the draws, for an interval
FULL = {
    "tasks": ("digits-mlp", "glyphs-mlp", "glyphs-cnn", "python-transformer", "python-sae"),
    "samples": (500, 2000, 8000), "neurons": 64, "draws": 10, "fresh": 50, "replicates": 200,
    "rankings": 20,
}  # fmt: skip
QUICK = FULL | {
    "tasks": ("digits-mlp",), "samples": (300,), "neurons": 24, "draws": 4, "fresh": 20,
    "replicates": 100, "rankings": 10,
}  # fmt: skip


class Measure(NamedTuple):
    """How a measure is read: larger (sign 1) or smaller (-1) is better; is it a probability?"""

    text: str
    sign: int = 1
    probability: bool = False


MEASURES = {
    "top1_agreement": Measure("top-1 agreement (vote share)", probability=True),
    "pairwise_agreement": Measure("pairwise agreement", probability=True),
    "normalised_entropy": Measure("normalised entropy", -1),
    "nogueira": Measure("Nogueira's measure, top 1"),
    "nogueira_top": Measure(f"Nogueira's measure, top {TOP}"),
    "jaccard": Measure(f"Jaccard, top {TOP}"),
    "rank_biased_overlap": Measure(f"rank-biased overlap, top {TOP}"),
    "kendalls_w": Measure("Kendall's W, all concepts"),
    "inflated_size": Measure("size of the inflated set", -1),
    "calibrated_size": Measure("tested concepts in the calibrated set", -1),
    "lead": Measure("lead over the second concept"),
    "scaled_lead": Measure("lead / its standard error"),
    "regret": Measure("certificate's regret", -1),
    "width": Measure("width of the label's interval", -1),
    "similarity": Measure("similarity itself"),
    "positives": Measure("positives of the label"),
}


def track(items, description):
    return rich_track(items, description, console=Console(stderr=True))


def rankings(key, probe, metric, count):
    """Similarities on a few resampled probing sets, [count, U, C], NaN as the lowest."""
    weights = nt.resampling.bootstrap_weights(key, probe, num_replicates=count)
    scores = [np.asarray(nt.similarity(nt.reweight(probe, w), metric)) for w in weights]
    return np.nan_to_num(np.stack(scores), nan=-np.inf)


def measured(key, probe, metric, size):
    """Every measure [U], and the label [U]."""
    boot = nt.bootstrap(key, probe, metric, num_replicates=size["replicates"])
    label = np.asarray(boot.label)
    everyone = np.arange(len(label))
    found = nt.stability(boot)
    names = ("top1_agreement", "pairwise_agreement", "normalised_entropy", "nogueira")
    values = {name: np.asarray(getattr(found, name)) for name in names}
    values["inflated_size"] = np.asarray(found.inflated_set).sum(axis=1)
    sets = nt.concept_sets(boot, alpha=ALPHA)
    values["calibrated_size"] = np.asarray(sets.mask & ~sets.undecided).sum(axis=1)

    scores = rankings(jax.random.fold_in(key, 1), probe, metric, size["rankings"])
    order = np.argsort(-scores, axis=2, kind="stable")[:, :, :TOP]
    selected = np.zeros(scores.shape, bool)
    np.put_along_axis(selected, order, True, axis=2)
    values["nogueira_top"] = np.asarray(nt.resampling.nogueira(jnp.asarray(selected))[0])
    values["jaccard"] = np.asarray(nt.resampling.jaccard(jnp.asarray(selected)))
    first, second = np.triu_indices(len(order), 1)
    values["rank_biased_overlap"] = np.asarray(
        nt.resampling.rank_biased_overlap(order[first], order[second])
    ).mean(axis=0)
    lowest = np.where(np.isinf(scores), -1, scores)
    values["kendalls_w"] = np.array([nt.resampling.kendalls_w(lowest[:, u]) for u in everyone])

    similarity = np.nan_to_num(np.asarray(boot.similarity), nan=-np.inf)
    rival = similarity.copy()
    rival[everyone, label] = -np.inf
    rival = rival.argmax(axis=1)
    values["lead"] = similarity[everyone, label] - similarity[everyone, rival]
    leads = scores[:, everyone, label] - scores[:, everyone, rival]
    error = np.where(np.isfinite(leads), leads, 0).std(axis=0)
    values["scaled_lead"] = values["lead"] / np.maximum(error, 1e-9)
    proof = nt.certify(probe, metric, delta=ALPHA)
    values["regret"] = np.asarray(proof.regret)
    limits = nt.intervals(probe, metric, delta=ALPHA, simultaneous="concepts")
    values["width"] = np.asarray(limits.upper - limits.lower)[everyone, label]
    values["similarity"] = similarity[everyone, label]
    values["positives"] = np.asarray(proof.positives)[label]
    return {name: np.asarray(values[name], np.float64) for name in MEASURES}, label


def collect(found, n, metric, size):
    """Measures by name, shares of fresh sets, and whether the label is best, each [draws, U]."""
    order = np.random.default_rng(0).permutation(found.live)
    columns = np.sort(order[: size["neurons"]])
    truth = np.nan_to_num(np.asarray(nt.similarity(found.probe(columns=columns), metric)), nan=-9)
    best = truth >= truth.max(axis=1, keepdims=True) - 1e-7
    fresh = np.stack([
        np.asarray(nt.identify(found.probe(found.samples(10**6 + i, n), columns), metric).concept)
        for i in range(size["fresh"])
    ])[:, :, 0]  # fmt: skip
    values, shares, right = {name: [] for name in MEASURES}, [], []
    for seed in track(range(size["draws"]), f"{found.layer.name}, n = {n:,}"):
        probe = found.probe(found.samples(seed, n), columns)
        ours, label = measured(jax.random.key(seed), probe, metric, size)
        for name, x in ours.items():
            values[name].append(np.where(label < 0, np.nan, x))
        shares.append((fresh == label).mean(axis=0))
        right.append(best[np.arange(len(label)), label])
    return {k: np.array(x) for k, x in values.items()}, np.array(shares), np.array(right)


def auroc(score, share):
    """P(a label that lasts scores higher than one that does not), each outcome by its weight."""
    order = np.argsort(score, kind="stable")
    _, place = np.unique(score[order], return_inverse=True)
    yes, no = share[order], 1 - share[order]
    by_place = [np.bincount(place, x) for x in (yes, no)]
    below = np.cumsum(by_place[1]) - by_place[1] / 2
    total = yes.sum() * no.sum()
    return float((by_place[0] * below).sum() / total) if total > 0 else math.nan


def calibration_error(probability, share):
    """Mean distance of the share from the probability, over ten bins of the probability."""
    which = np.clip(np.digitize(probability, BINS) - 1, 0, len(BINS) - 2)
    gaps = [abs((share - probability)[which == b].sum()) for b in range(len(BINS) - 1)]
    return sum(gaps) / len(share)


def judged(value, share, right, measure):
    """What a measure is worth, from any number of draws."""
    known = np.isfinite(value)
    score, share, right = measure.sign * value[known], share[known], right[known].astype(float)
    constant = len(score) < 3 or np.ptp(score) == 0 or np.ptp(share) == 0
    result = {
        "auroc_fresh": auroc(score, share),
        "rank_correlation": math.nan if constant else stats.spearmanr(score, share).statistic,
        "auroc_best": auroc(score, right),
    }
    if measure.probability:
        result["bias"] = (value[known] - share).mean()
        result["calibration_error"] = calibration_error(value[known], share)
    return result


def rows_of(task, n, values, share, right):
    """A row for each measure: its worth, and how far from that of top-1 agreement."""
    rng = np.random.default_rng(0)
    draws = [np.arange(len(share))]
    draws += [rng.integers(0, len(share), len(share)) for _ in range(RESAMPLED)]
    found = {
        name: [judged(values[name][i], share[i], right[i], measure) for i in draws]
        for name, measure in MEASURES.items()
    }
    rows = []
    for name, results in found.items():
        row = {"task": task, "n": n, "measure": name}
        for key, value in results[0].items():
            again = [x[key] for x in results[1:]]
            row[key] = value
            row[f"{key}_interval"] = interval(again)
            if key in ("auroc_fresh", "auroc_best", "rank_correlation"):
                gain = [
                    x[key] - y[key] for x, y in zip(results, found["top1_agreement"], strict=True)
                ]
                row[f"{key}_gain"], row[f"{key}_gain_interval"] = gain[0], interval(gain[1:])
        rows.append(row)
    return rows


def interval(values):
    values = np.array(values)
    if not np.isfinite(values).any():
        return [math.nan, math.nan]
    return np.nanquantile(values, (0.025, 0.975)).tolist()


def summary(rows):
    """By number of samples and measure: means over tasks, and in how many it beats agreement."""
    found = []
    for n, name in dict.fromkeys((x["n"], x["measure"]) for x in rows):
        mine = [x for x in rows if (x["n"], x["measure"]) == (n, name)]
        row = {"n": n, "measure": name}
        for key in ("auroc_fresh", "rank_correlation", "auroc_best"):
            row[key] = float(np.nanmean([x[key] for x in mine]))
            ends = np.array([x[f"{key}_gain_interval"] for x in mine])
            row[f"{key}_better"] = int((ends[:, 0] > 0).sum())
            row[f"{key}_worse"] = int((ends[:, 1] < 0).sum())
        for key in ("bias", "calibration_error"):
            if key in mine[0]:
                row[key] = float(np.mean([x[key] for x in mine]))
        found.append(row)
    return found


def table(found):
    shown = Table(title=f"{found['metric']}: means over tasks", title_justify="left")
    for name in (
        "n", "measure", "AUROC: lasts", "better, worse than top-1", "rank correlation",
        "AUROC: best", "better, worse", "calibration error", "bias",
    ):  # fmt: skip
        shown.add_column(name, justify="right")
    for x in found["summary"]:
        shown.add_row(
            f"{x['n']:,}", MEASURES[x["measure"]].text, f"{x['auroc_fresh']:.3f}",
            f"{x['auroc_fresh_better']}, {x['auroc_fresh_worse']}", f"{x['rank_correlation']:.2f}",
            f"{x['auroc_best']:.3f}", f"{x['auroc_best_better']}, {x['auroc_best_worse']}",
            *(f"{x[k]:.3f}" if k in x else "" for k in ("calibration_error", "bias")),
        )  # fmt: skip
    return shown


def draw_figure(found, path):
    rows = found["rows"]
    sizes = list(dict.fromkeys(x["n"] for x in rows))
    tasks = list(dict.fromkeys(x["task"] for x in rows))
    names = list(MEASURES)
    colours = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
    figure, axes = plt.subplots(
        2, len(sizes), figsize=(4 * len(sizes) + 1.5, 8.5), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    kinds = (
        ("auroc_fresh", "same label on a fresh probing set"),
        ("auroc_best", "label is the population's best"),
    )
    for line, (kind, title) in zip(axes, kinds, strict=True):
        for ax, n in zip(line, sizes, strict=True):
            for i, (task, colour) in enumerate(zip(tasks, colours, strict=False)):
                mine = [x for x in rows if (x["n"], x["task"]) == (n, task)]
                value = np.array([x[kind] for x in mine])
                ends = np.array([x[f"{kind}_interval"] for x in mine]).T
                y = np.arange(len(mine)) + 0.14 * (i - (len(tasks) - 1) / 2)
                ax.errorbar(
                    value, y, xerr=np.maximum([value - ends[0], ends[1] - value], 0), fmt="o",
                    ms=3, lw=1, color=colour, label=task,
                )  # fmt: skip
            ax.axvline(0.5, color="#444444", lw=1)
            ax.set(title=f"{title}, n = {n:,}", xlim=(0.2, 1.01))
            ax.title.set_fontsize(9)
            ax.set_yticks(range(len(names)), [MEASURES[x].text for x in names], fontsize=8)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(axis="y", color="#EEEEEE")
    axes[0][0].invert_yaxis()
    for ax in axes[-1]:
        ax.set(xlabel="AUROC")
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), ncols=len(tasks), frameon=False,
        loc="outside upper center",
    )  # fmt: skip
    figure.savefig(path, dpi=160)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few draws from the small digits")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument(
        "--tasks", nargs="+", choices=FULL["tasks"], help="only these; what is kept of others stays"
    )
    parser.add_argument("--metric", default="iou")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    warnings.simplefilter("ignore", nt.shift.ShiftWarning)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {
        "device": jax.devices()[0].device_kind, "jax": jax.__version__,
        "python": platform.python_version(), "date": datetime.date.today().isoformat(),
        "metric": arguments.metric, "sizes": size, "rows": [],
    }  # fmt: skip
    path, wanted = arguments.out / "stability_measures.json", arguments.tasks or size["tasks"]
    if arguments.tasks and path.exists():
        earlier = json.loads(path.read_text())["rows"]
        found["rows"] = [x for x in earlier if x["task"] not in wanted]
    for task in wanted:
        population = Population(task)
        for n in size["samples"]:
            found["rows"] += rows_of(task, n, *collect(population, n, arguments.metric, size))
            jax.clear_caches()  # compiled functions take memory maps, of which there are few
        found["summary"] = summary(found["rows"])
        # what is done is kept
        content = json.dumps(found, indent=1, default=float)
        path.write_text(content + "\n")
    matplotlib.use("Agg")
    draw_figure(found, arguments.out / "stability_measures.png")
    Console(width=150).print(table(found))


if __name__ == "__main__":
    main()
