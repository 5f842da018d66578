"""Table and figure of `stability_measures.py`."""

import numpy as np
from _common import figures as style
from _common import terminal

from .measures import MEASURES

COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY)  # of the tasks


def table(found):
    """What each measure is worth, on average over tasks."""
    return terminal.table(
        f"{found['metric']}: means over tasks",
        ("n", "measure", "AUROC: lasts", "better, worse than top-1", "rank correlation",
         "AUROC: best", "better, worse", "calibration error", "bias"),
        (
            (
                f"{x['n']:,}", MEASURES[x["measure"]].text, f"{x['auroc_fresh']:.3f}",
                f"{x['auroc_fresh_better']}, {x['auroc_fresh_worse']}",
                f"{x['rank_correlation']:.2f}", f"{x['auroc_best']:.3f}",
                f"{x['auroc_best_better']}, {x['auroc_best_worse']}",
                *(f"{x[k]:.3f}" if k in x else "" for k in ("calibration_error", "bias")),
            )
            for x in found["summary"]
        ),
    )  # fmt: skip


def draw_figure(found, path):
    """AUROC of every measure, by task and number of samples."""
    rows = found["rows"]
    sizes = list(dict.fromkeys(x["n"] for x in rows))
    tasks = list(dict.fromkeys(x["task"] for x in rows))
    size = 4 * len(sizes) + 1.5, 8.5
    figure, axes = style.panels(2, len(sizes), size, sharex=True, sharey=True)
    kinds = (
        ("auroc_fresh", "same label on a fresh probing set"),
        ("auroc_best", "label is the population's best"),
    )
    for line, (kind, title) in zip(axes, kinds, strict=True):
        for ax, n in zip(line, sizes, strict=True):
            draw_points(ax, [x for x in rows if x["n"] == n], tasks, kind)
            ax.axvline(0.5, color=style.REFERENCE, lw=1)
            ax.set(title=f"{title}, n = {n:,}", xlim=(0.2, 1.01))
            ax.title.set_fontsize(9)
            ax.set_yticks(range(len(MEASURES)), [x.text for x in MEASURES.values()], fontsize=8)
            ax.grid(axis="y", color=style.GRID)
    axes[0][0].invert_yaxis()
    for ax in axes[-1]:
        ax.set(xlabel="AUROC")
    style.legend(figure, axes[0][0], ncols=len(tasks))
    style.save(figure, path)


def draw_points(ax, rows, tasks, kind):
    for i, (task, colour) in enumerate(zip(tasks, COLOURS, strict=False)):
        mine = [x for x in rows if x["task"] == task]
        value = np.array([x[kind] for x in mine])
        ends = np.array([x[f"{kind}_interval"] for x in mine]).T
        y = np.arange(len(mine)) + 0.14 * (i - (len(tasks) - 1) / 2)
        ax.errorbar(
            value, y, xerr=np.maximum([value - ends[0], ends[1] - value], 0), fmt="o", ms=3, lw=1,
            color=colour, label=task,
        )  # fmt: skip
