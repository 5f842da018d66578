"""Do the concept sets hold what they should, as often as they say?

Neurons and concepts are thresholds of correlated normal variables, so every true similarity is an
integral. Counts how often each method's set holds the best concept, and the label of a fresh
probing set, and how large the sets are. Writes ``coverage.json`` and two figures, and exits with
status 1 if a calibrated or certified set misses more often than it may, or the vote rule does not
where concepts tie.
"""

import argparse
import datetime
import json
import math
import platform
import sys
import warnings
from itertools import product
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import jax
import matplotlib
import numpy as np
from jax.scipy.stats import norm
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track
from rich.table import Table

import neurotrust_jax as nt

HERE = Path(__file__).parent
NEURONS, SHARED = 4, 0.9  # neurons of a layer, and their correlation with the concepts' cause
STRENGTH, TOP = 0.7, 0.1  # correlation of cause and concepts; share of samples a neuron is active
KINDS = ("vote", "calibrated", "certified", "vote, replication", "calibrated, replication")


class Cell(NamedTuple):
    """A law of probing sets."""

    metric: str
    n: int
    num_concepts: int
    frequency: float
    gap: float  # how much less the other concepts depend on the cause
    structure: str  # "independent", "correlated" or "nested" given the cause
    copies: int  # of each sample, told as groups


def laws(metrics, sizes, samples, frequencies):
    """Ties in every size; then gaps, structures and groups at one size."""
    for metric in metrics:
        for m, n, frequency in product(sizes, samples, frequencies):
            yield Cell(metric, n, m, frequency, 0.0, "independent", 1)
        n, m = samples[min(1, len(samples) - 1)], sizes[min(1, len(sizes) - 1)]
        for frequency in frequencies:
            for gap in (0.02, 0.1, 0.4):
                yield Cell(metric, n, m, frequency, gap, "independent", 1)
            for structure in ("correlated", "nested"):
                yield Cell(metric, n, m, frequency, 0.0, structure, 1)
            yield Cell(metric, n, m, frequency, 0.0, "independent", 3)


def law(cell):
    """Correlation of each concept with the cause, and its threshold."""
    rho = np.full(cell.num_concepts, STRENGTH - cell.gap)
    rho[0] = STRENGTH
    frequency = np.full(cell.num_concepts, cell.frequency)
    if cell.structure == "nested":  # every second concept is a part of the one before it
        frequency[1::2] *= 0.6
    return rho, np.array([NormalDist().inv_cdf(1 - p) for p in frequency])


def draw(cell, seed):
    rng = np.random.default_rng(seed)
    rho, threshold = law(cell)
    n = cell.n
    cause = rng.standard_normal((n, 1))
    f = SHARED * cause + math.sqrt(1 - SHARED**2) * rng.standard_normal((n, NEURONS))
    noise = rng.standard_normal((n, cell.num_concepts))
    if cell.structure == "correlated":
        noise = math.sqrt(0.5) * (noise + rng.standard_normal((n, 1)))
    if cell.structure == "nested":
        noise = noise[:, np.arange(cell.num_concepts) // 2 * 2]
    c = rho * cause + np.sqrt(1 - rho**2) * noise > threshold
    rows = np.repeat(np.arange(n), cell.copies)
    return nt.make_probe(
        f[rows].astype(np.float32), c[rows],
        thresholds=NormalDist().inv_cdf(1 - TOP), groups=rows if cell.copies > 1 else None,
    )  # fmt: skip


def truth(cell):
    """True similarity of each concept, [C], by quadrature on a fine grid."""
    rho, threshold = law(cell)
    x = np.linspace(-9, 9, 20_001)
    weight = np.exp(-x * x / 2)
    weight /= weight.sum()
    active = x > NormalDist().inv_cdf(1 - TOP)
    found = []
    for r, t in zip(SHARED * rho, threshold, strict=True):
        given = np.asarray(norm.cdf((r * x - t) / math.sqrt(1 - r * r)), np.float64)
        p, a, both = (weight * given).sum(), weight[active].sum(), (weight * given)[active].sum()
        if cell.metric == "iou":
            value = both / (p + a - both)
        elif cell.metric == "accuracy":
            value = 1 - p - a + 2 * both
        elif cell.metric == "correlation":
            value = (weight * x * given).sum() / math.sqrt(p * (1 - p))
        else:  # auroc
            with_, without = weight * given / p, weight * (1 - given) / (1 - p)
            value = (with_ * (np.cumsum(without) - without / 2)).sum()
        found.append(value)
    return np.array(found)


def best(cell):
    """Whether each concept is truly the most similar; ties have one and the same law, [C]."""
    value = truth(cell)
    return value > value.max() - 1e-9


def one(cell, seed, alphas, num_replicates):
    """Of one dataset: for each alpha and kind whether the target is held, and the size."""
    probe = draw(cell, seed)
    boot = nt.bootstrap(
        jax.random.key(seed), probe, cell.metric, num_replicates=num_replicates, chunk_size=100
    )
    again = nt.similarity(draw(cell, 10**6 + seed), cell.metric)
    fresh = np.asarray(np.where(np.isnan(again), -np.inf, again).argmax(axis=1))
    target = best(cell)
    held, size = {}, {}
    for alpha, kind in product(alphas, KINDS):
        method, *to = kind.split(", ")
        found = nt.concept_sets(boot, alpha=alpha, method=method, target=(*to, "best")[0])
        mask = np.asarray(found.mask)
        # any of tied best concepts is a best concept: the mean is over which one is meant
        hit = mask[:, target].mean(axis=1) if not to else mask[np.arange(len(fresh)), fresh]
        held[alpha, kind] = hit.mean()
        size[alpha, kind] = mask.sum(axis=1).mean()
    return held, size, float(np.asarray(boot.thin).mean())


def run(cell, datasets, alphas, num_replicates):
    """One row for each alpha and kind."""
    found = [one(cell, seed, alphas, num_replicates) for seed in range(datasets)]
    rows = []
    for alpha, kind in product(alphas, KINDS):
        held = np.array([x[0][alpha, kind] for x in found])
        # neurons of a dataset are dependent, and so are tied concepts: datasets are not
        error = held.std() / math.sqrt(datasets)
        slack = 3 * max(error, math.sqrt(alpha * (1 - alpha) / datasets / NEURONS))
        rows.append(
            cell._asdict() | {
                "alpha": alpha, "kind": kind, "coverage": held.mean(), "standard_error": error,
                "size": float(np.mean([x[1][alpha, kind] for x in found])),
                "thin": float(np.mean([x[2] for x in found])),
                "covers": bool(held.mean() >= 1 - alpha - slack),
            }
        )  # fmt: skip
    return rows


def summary(rows):
    """Cells, lowest and mean coverage and failures by kind and level."""
    table = Table(title="coverage of concept sets", title_justify="left")
    for name in ("set", "nominal", "cells", "mean coverage", "lowest", "where", "too low"):
        table.add_column(name, justify="right")
    for kind, alpha in product(KINDS, sorted({x["alpha"] for x in rows}, reverse=True)):
        mine = [x for x in rows if (x["kind"], x["alpha"]) == (kind, alpha)]
        low = min(mine, key=lambda x: x["coverage"])
        table.add_row(
            kind, f"{1 - alpha:.0%}", str(len(mine)),
            f"{np.mean([x['coverage'] for x in mine]):.3f}", f"{low['coverage']:.3f}",
            f"{low['metric']} M={low['num_concepts']} n={low['n']} p={low['frequency']} "
            f"gap={low['gap']} {low['structure']} x{low['copies']}",
            str(sum(not x["covers"] for x in mine)),
        )  # fmt: skip
    return table


def sizes(rows):
    """In how many cells the calibrated set is smaller than the certified one, and where not."""
    table = Table(title="mean size, calibrated against certified", title_justify="left")
    for name in ("nominal", "cells", "smaller", "same", "larger", "ratio, median", "larger where"):
        table.add_column(name, justify="right")
    for alpha in sorted({x["alpha"] for x in rows}, reverse=True):
        mine, sure = (
            [x for x in rows if (x["kind"], x["alpha"]) == (kind, alpha)]
            for kind in ("calibrated", "certified")
        )
        pairs = list(zip(mine, sure, strict=True))
        larger = [a for a, b in pairs if a["size"] > b["size"]]
        smaller = sum(a["size"] < b["size"] for a, b in pairs)
        table.add_row(
            f"{1 - alpha:.0%}", str(len(pairs)), str(smaller),
            str(len(pairs) - smaller - len(larger)), str(len(larger)),
            f"{np.median([a['size'] / b['size'] for a, b in pairs]):.2f}",
            "; ".join(f"{x['metric']} M={x['num_concepts']} n={x['n']} p={x['frequency']} "
                      f"gap={x['gap']}" for x in larger[:4]),
        )  # fmt: skip
    return table


COLOURS = {"vote": "#D55E00", "calibrated": "#0072B2", "certified": "#009E73"}


def draw_coverage(rows, path):
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
    for ax, suffix in zip(axes, ("", ", replication"), strict=True):
        for method, colour in COLOURS.items():
            mine = [x for x in rows if x["kind"] == method + suffix]
            if mine:
                shift = {"vote": -0.6, "calibrated": 0, "certified": 0.6}[method]
                at = [100 * (1 - x["alpha"]) + shift for x in mine]
                y = [100 * x["coverage"] for x in mine]
                ax.plot(at, y, "o", color=colour, alpha=0.4, ms=4, label=method)
        levels = sorted({100 * (1 - x["alpha"]) for x in rows})
        ax.plot(levels, levels, color="#444444", lw=1)
        ax.set(xlabel="nominal coverage, %", xticks=levels)
        ax.set_title("fresh probing set's label" if suffix else "population's best concept")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("empirical coverage, %")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3,
                  frameon=False)  # fmt: skip
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw_size(rows, path):
    metrics = list(dict.fromkeys(x["metric"] for x in rows))
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(3 * len(metrics), 3.2), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    common = max(x["frequency"] for x in rows)
    for ax, metric in zip(axes[0], metrics, strict=True):
        law = (metric, "independent", 1, common, 0.1)
        names = ("metric", "structure", "copies", "frequency", "alpha")
        plain = [x for x in rows if tuple(x[name] for name in names) == law]
        m, n = next((x["num_concepts"], x["n"]) for x in plain if x["gap"] > 0)
        for method, colour in COLOURS.items():
            cell = (method, m, n)
            mine = [x for x in plain if (x["kind"], x["num_concepts"], x["n"]) == cell]
            mine.sort(key=lambda x: x["gap"])
            ax.plot([x["gap"] for x in mine], [x["size"] for x in mine], "o-", color=colour,
                    label=method)  # fmt: skip
        ax.set(xlabel="gap", title=metric)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("mean size of the 90% set")
    axes[0][0].legend(frameon=False)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few cells")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument("--datasets", type=int, metavar="N")
    arguments = parser.parse_args()
    if arguments.quick:
        cells, alphas = list(laws(("iou",), (2, 10), (300,), (0.2,))), (0.1,)
        datasets, replicates = arguments.datasets or 20, 200
    else:
        metrics = ("iou", "auroc", "correlation", "accuracy")
        cells = list(laws(metrics, (2, 10, 40, 200), (200, 1000, 5000), (0.2, 0.01)))
        alphas, datasets, replicates = (0.2, 0.1, 0.05), arguments.datasets or 100, 500

    warnings.simplefilter("ignore", nt.CoverageWarning)  # the vote rule is here on purpose
    console, rows = Console(width=130), []
    arguments.out.mkdir(parents=True, exist_ok=True)
    # one shape after another, and few compiled functions at a time
    cells.sort(key=lambda x: (x.n, x.copies, x.num_concepts))
    result = {
        "device": jax.devices()[0].device_kind, "jax": jax.__version__,
        "python": platform.python_version(), "date": datetime.date.today().isoformat(),
        "datasets": datasets, "neurons": NEURONS, "replicates": replicates, "rows": rows,
    }  # fmt: skip
    for i, cell in enumerate(track(cells, "cells", console=Console(stderr=True))):
        rows += run(cell, datasets, alphas, replicates)
        # what is done is kept
        (arguments.out / "coverage.json").write_text(json.dumps(result, indent=1) + "\n")
        if i % 8 == 7:
            jax.clear_caches()
    matplotlib.use("Agg")
    draw_coverage(rows, arguments.out / "coverage.png")
    draw_size(rows, arguments.out / "coverage_size.png")
    console.print(summary(rows), sizes(rows), sep="\n")
    bad = [x for x in rows if not x["covers"] and not x["kind"].startswith("vote")]
    for x in bad:
        console.print(f"too low: {x}", style="bold red")
    ties = [x for x in rows if x["kind"] == "vote" and x["gap"] == 0 and x["num_concepts"] >= 10]
    blind = bool(ties) and all(x["covers"] for x in ties)
    if blind:
        console.print("the vote rule covers among ties: this test sees nothing", style="bold red")
    sys.exit(1 if bad or blind else 0)


if __name__ == "__main__":
    main()
