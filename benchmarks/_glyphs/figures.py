"""Figures of `glyphs.py`."""

import numpy as np
from _common import figures as style
from matplotlib import pyplot as plt

import neurotrust_jax as nt
from neurotrust_jax import report


def draw_verdicts(rows, path):
    """Mean number of neurons with each verdict, by size of the probing set."""
    counts = {}
    for n in dict.fromkeys(x["n"] for x in rows):
        counts[f"n = {n:,}"] = {
            v: np.mean([x["neurons"] for x in rows if (x["n"], x["verdict"]) == (n, v.text)])
            for v in nt.Verdict
        }
    figure, ax = plt.subplots(figsize=(8, 0.6 * len(counts) + 1.1), layout="constrained")
    report.plot_verdicts(counts, ax)
    style.save(figure, path)


def draw_coverage(rows, path):
    """Coverage and size of sets of the middle level, by metric."""
    metrics = list(dict.fromkeys(x["metric"] for x in rows))
    alphas = sorted({x["alpha"] for x in rows}, reverse=True)
    alpha = alphas[len(alphas) // 2]
    size = 3 * len(metrics), 5.5
    figure, axes = style.panels(2, len(metrics), size, sharex=True, sharey="row")
    for (above, below), metric in zip(axes.T, metrics, strict=True):
        for method, colour in style.SETS.items():
            key = (metric, method, alpha)
            mine = [x for x in rows if (x["metric"], x["kind"], x["alpha"]) == key]
            n = [x["n"] for x in mine]
            above.errorbar(
                n, [100 * x["coverage"] for x in mine],
                [300 * x["standard_error"] for x in mine], fmt="o-", color=colour, label=method,
            )  # fmt: skip
            below.plot(n, [x["size"] for x in mine], "o-", color=colour)
        style.level(above, 100 * (1 - alpha))
        above.set(title=metric, xscale="log")
        below.set(xlabel="samples", yscale="log", xticks=n, xticklabels=[f"{x:,}" for x in n])
        below.minorticks_off()
    axes[0][0].set_ylabel("holds the best concept, %")
    axes[1][0].set_ylabel("concepts in the set, mean")
    axes[0][-1].legend(frameon=False)
    style.save(figure, path)


def draw_power(rows, path):
    """Share of probing sets with a small p-value against the true similarity."""
    sizes = list(dict.fromkeys(x["n"] for x in rows))
    figure, axes = style.panels(1, len(sizes), (4.2 * len(sizes), 3.4), sharey=True)
    for ax, n in zip(axes[0], sizes, strict=True):
        mine = [x for x in rows if x["n"] == n]
        colours = plt.get_cmap("viridis")
        for i, x in enumerate(mine):
            ax.plot(
                x["iou"], 100 * np.array(x["power"]), "o", ms=3, alpha=0.7,
                color=colours(i / len(mine)), label=f"{x['kept']:.0%}",
            )  # fmt: skip
        style.level(ax, 5)
        ticks = [0.02, 0.05, 0.1, 0.2, 0.5]
        ax.set(xlabel="true iou of the best concept", xscale="log", title=f"n = {n:,}")
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
        ax.minorticks_off()
    axes[0][0].set_ylabel("probing sets with p <= 0.05, %")
    axes[0][-1].legend(frameon=False, title="activations kept", fontsize=8)
    style.save(figure, path)
