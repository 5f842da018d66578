"""Do the concept sets hold what they should, as often as they say?

Counts how often each method's set holds the best concept, and the label of a fresh probing set, and
how large the sets are, in worlds of known truth (`worlds.py`): planted ties, gaps and structures,
and hostile ones (rare best concepts, groups of unequal sizes or few of them, thresholds from the
same data, metrics of a fixed number of samples under subsampling). Then asks the same of the
intervals of `compare`, and of conformal sets on average over a layer's neurons. Writes
``coverage.json`` and two figures, and exits with status 1 if a calibrated, certified or conformal
set, or a comparison, misses more often than it may, or a control does not.
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

import coverage_compare
import coverage_conformal
import jax
import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track
from rich.table import Table
from worlds import NEURONS, best, draw, hostile_laws, laws

import neurotrust_jax as nt

HERE = Path(__file__).parent
KINDS = ("vote", "calibrated", "certified", "vote, replication", "calibrated, replication")
PARTS = ("planted", "hostile", "compare", "conformal")


def one(cell, seed, alphas, num_replicates):
    """Of one dataset: for each alpha and kind whether the target is held, and the size."""
    probe = draw(cell, seed)
    boot = nt.bootstrap(
        jax.random.key(seed), probe, cell.metric, num_replicates=num_replicates, chunk_size=100,
        scheme=cell.scheme,
    )  # fmt: skip
    again = nt.similarity(draw(cell, 10**6 + seed), cell.metric)
    fresh = np.asarray(np.where(np.isnan(again), -np.inf, again).argmax(axis=1))
    target = best(cell)
    held, size, untested = {}, {}, {}
    for alpha, kind in product(alphas, KINDS):
        method, *to = kind.split(", ")
        found = nt.concept_sets(boot, alpha=alpha, method=method, target=(*to, "best")[0])
        mask = np.asarray(found.mask)
        # any of tied best concepts is a best concept: the mean is over which one is meant
        hit = mask[:, target].mean(axis=1) if not to else mask[np.arange(len(fresh)), fresh]
        held[alpha, kind] = hit.mean()
        size[alpha, kind] = mask.sum(axis=1).mean()
        untested[alpha, kind] = np.asarray(found.undecided).sum(axis=1).mean()
    return held, size, untested, float(np.asarray(boot.thin).mean())


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
                "datasets": datasets, "alpha": alpha, "kind": kind,
                "coverage": held.mean(), "standard_error": error,
                "size": float(np.mean([x[1][alpha, kind] for x in found])),
                "untested": float(np.mean([x[2][alpha, kind] for x in found])),
                "thin": float(np.mean([x[3] for x in found])),
                "covers": bool(held.mean() >= 1 - alpha - slack),
            }
        )  # fmt: skip
    return rows


def _name(row):
    """What tells a cell from the others, in a few words."""
    text = f"{row['metric']} M={row['num_concepts']} n={row['n']} p={row['frequency']}"
    text += f" gap={row['gap']} {row['structure']}"
    if row["groups"]:
        text += f", groups: {row['groups']}"
    if row["scheme"] != "multinomial":
        text += f", {row['scheme']}"
    return text + (", quantile" if row["quantile"] else "")


def hostile(rows, alpha):
    """Coverage and size in every hostile world."""
    table = Table(title=f"hostile worlds, calibrated {1 - alpha:.0%} sets", title_justify="left")
    for name in ("world", "holds the best", "error", "size", "untested", "vote rule"):
        table.add_column(name, justify="left" if name == "world" else "right")
    for x in rows:
        if (x["kind"], x["alpha"]) != ("calibrated", alpha):
            continue
        (vote,) = (
            y["coverage"] for y in rows if y["kind"] == "vote" and y["alpha"] == alpha
            and _name(y) == _name(x)
        )  # fmt: skip
        table.add_row(
            _name(x), f"{x['coverage']:.3f}", f"{x['standard_error']:.3f}", f"{x['size']:.2f}",
            f"{x['untested']:.2f}", f"{vote:.3f}",
        )  # fmt: skip
    return table


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
            _name(low),
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
            "; ".join(map(_name, larger[:4])),
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
        law = (metric, "independent", "", common, 0.1)
        names = ("metric", "structure", "groups", "frequency", "alpha")
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
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument("--datasets", type=int, metavar="N")
    arguments = parser.parse_args()
    cells = {"conformal": list(coverage_conformal.cells_of(arguments.quick))}
    if arguments.quick:
        cells["planted"], alphas = list(laws(("iou",), (2, 10), (300,), (0.2,))), (0.1,)
        cells["hostile"] = [x for x in hostile_laws(300) if x.metric == "iou" and x.gap == 0][:2]
        datasets, replicates = arguments.datasets or 20, 200
    else:
        metrics = ("iou", "auroc", "correlation", "accuracy")
        cells["planted"] = list(laws(metrics, (2, 10, 40, 200), (200, 1000, 5000), (0.2, 0.01)))
        cells["hostile"] = list(hostile_laws())
        alphas, datasets, replicates = (0.2, 0.1, 0.05), arguments.datasets or 100, 500

    warnings.simplefilter(
        "ignore", nt.faithfulness.CoverageWarning
    )  # the vote rule is here on purpose
    console = Console(width=130)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "coverage.json"
    earlier = json.loads(path.read_text()) if path.exists() and not arguments.quick else {}
    rows = {part: earlier.get(part, []) for part in PARTS}
    made = {
        "device": jax.devices()[0].device_kind, "jax": jax.__version__,
        "python": platform.python_version(), "date": datetime.date.today().isoformat(),
        "neurons": NEURONS, "replicates": replicates,
    }  # fmt: skip

    def keep():
        path.write_text(json.dumps(made | rows, indent=1) + "\n")

    for part in arguments.parts:
        if part == "compare":
            rows[part] = coverage_compare.run(console, arguments.quick)
            keep()
            continue
        rows[part] = []
        measure = coverage_conformal.rows_of if part == "conformal" else run
        # one shape after another, and few compiled functions at a time
        cells[part].sort(key=lambda x: (x.n, x.groups, x.num_concepts))
        for i, cell in enumerate(track(cells[part], part, console=Console(stderr=True))):
            rows[part] += measure(cell, datasets, alphas, replicates)
            keep()  # what is done
            if i % 8 == 7:
                jax.clear_caches()
    bad, blind = [], False
    if "planted" in arguments.parts:
        matplotlib.use("Agg")
        draw_coverage(rows["planted"], arguments.out / "coverage.png")
        draw_size(rows["planted"], arguments.out / "coverage_size.png")
        console.print(summary(rows["planted"]), sizes(rows["planted"]), sep="\n")
        ties = [
            x for x in rows["planted"]
            if x["kind"] == "vote" and x["gap"] == 0 and x["num_concepts"] >= 10
        ]  # fmt: skip
        blind = bool(ties) and all(x["covers"] for x in ties)
    if rows["hostile"]:
        console.print(hostile(rows["hostile"], alphas[-2] if len(alphas) > 1 else alphas[0]))
    if rows["conformal"]:
        console.print(coverage_conformal.summary(rows["conformal"]))
    for part in ("planted", "hostile", "conformal"):
        bad += [
            x for x in rows[part]
            if x.get("promised", True) and not x["covers"] and not x["kind"].startswith("vote")
        ]  # fmt: skip
    bad += [x for x in rows["compare"] if not (x["covers"] and x["neurons_cover"])]
    chosen = [x for x in rows["compare"] if x["case"] == "chosen, given"]
    blind |= bool(chosen) and all(x["control_coverage"] > 0.5 for x in chosen)
    votes = [x for x in rows["conformal"] if x["kind"] == "vote" and x["gap"] == 0]
    blind |= bool(votes) and all(x["covers"] for x in votes)
    for x in bad:
        console.print(f"too low: {x}", style="bold red")
    if blind:
        console.print("a control covers too: this test sees nothing", style="bold red")
    sys.exit(1 if bad or blind else 0)


if __name__ == "__main__":
    main()
