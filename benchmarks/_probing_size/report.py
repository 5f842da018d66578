"""Tables and figures of `probing_size.py`, and what makes it fail."""

import math

from _common import figures as style
from _common.terminal import number, table, with_error

from .measurements import ALPHA, BINS

COLOURS = (style.VERMILION, style.ORANGE, style.SKY, style.BLUE)  # of the bins


def tables(found):
    """One table for each part, and one of exponents."""
    yield table(
        "by number of samples",
        ("task", "metric", "n", "best concept in", "neurons", "gap", "label is best", "agreement",
         "fresh", "set holds the best", "tested", "untested"),
        (
            (
                x["task"], x["metric"], f"{x['n']:,}", x["bin"], x["neurons"],
                number(x["gap"], 4), f"{x['label_is_best']:.2f}", f"{x['agreement']:.2f}",
                f"{x['fresh_agreement']:.2f}", with_error(x["coverage"], x["standard_error"]),
                f"{x['tested']:.1f}", f"{x['untested']:.1f}",
            )
            for x in found["size"] if x["neurons"]
        ),
    )  # fmt: skip
    yield table(
        "gap as a power of n",
        ("task", "metric", "concept in", "exponent"),
        (
            (x["task"], x["metric"], x["bin"], with_error(x["exponent"], x["standard_error"]))
            for x in found["slopes"]
        ),
    )
    yield table(
        "forecasts for larger probing sets, % of the neurons",
        ("task", "metric", "n", "times", "same label now", "forecast", "happened", "off by at most",
         "reliable now", "forecast", "happened", "off by at most"),
        (
            (
                x["task"], x["metric"], f"{x['n']:,}", x["times"],
                *(
                    f"{100 * x[f'{kind}_{what}']:.0f}"
                    for kind in ("same", "reliable")
                    for what in ("now", "forecast", "happened", "worst")
                ),
            )
            for x in found["forecast"]
        ),
    )  # fmt: skip
    yield table(
        "whole files",
        ("task", "files", "taken as", "set holds the best", "interval holds", "tested",
         "untested", "agreement"),
        (
            (
                x["task"], x["files"], x["unit"], with_error(x["coverage"], x["standard_error"]),
                with_error(x["interval_coverage"], x["interval_error"]), f"{x['tested']:.1f}",
                f"{x['untested']:.1f}", f"{x['agreement']:.2f}",
            )
            for x in found["files"]
        ),
    )  # fmt: skip


def draw_size(rows, metric, path):
    """Gap, right labels, agreement and coverage by number of samples and frequency."""
    tasks = list(dict.fromkeys(x["task"] for x in rows))
    kinds = (
        ("gap", "gap, mean"), ("label_is_best", "labels that are the best, %"),
        ("agreement", "agreement of resamplings, %"), ("coverage", "sets with the best, %"),
    )  # fmt: skip
    size = 3 * len(tasks), 2.3 * len(kinds)
    figure, axes = style.panels(len(kinds), len(tasks), size, sharex="col", sharey="row")
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
                style.level(ax, 100 * (1 - ALPHA))
            ax.label_outer()
        column[-1].set(xlabel="samples")
    for ax, (_, label) in zip(axes[:, 0], kinds, strict=True):
        ax.set_ylabel(label)
    title = f"frequency of the concept ({metric})"
    style.legend(figure, axes[0][0], title=title, ncols=len(BINS))
    style.save(figure, path)


def draw_files(rows, path):
    """Coverage of sets and intervals by number of whole files."""
    tasks = list(dict.fromkeys(x["task"] for x in rows))
    figure, axes = style.panels(1, len(tasks), (4.2 * len(tasks), 3.4), sharey=True)
    for ax, task in zip(axes[0], tasks, strict=True):
        for unit, colour in (("files", style.BLUE), ("tokens", style.VERMILION)):
            for kind, error, line in (
                ("coverage", "standard_error", "o-"),
                ("interval_coverage", "interval_error", "s--"),
            ):
                mine = [x for x in rows if (x["task"], x["unit"]) == (task, unit)]
                what = "set" if kind == "coverage" else "interval"
                ax.errorbar(
                    [x["files"] for x in mine], [100 * x[kind] for x in mine],
                    [300 * x[error] for x in mine], fmt=line, color=colour,
                    label=f"{what}, {unit} independent",
                )  # fmt: skip
        style.level(ax, 100 * (1 - ALPHA))
        ax.set(xscale="log", xlabel="files in the probing set", title=task)
        ticks = [x["files"] for x in mine]
        ax.set_xticks(ticks, [f"{x:,}" for x in ticks])
        ax.minorticks_off()
    axes[0][0].set_ylabel(f"holds the truth, % (nominal {1 - ALPHA:.0%})")
    axes[0][0].legend(frameon=False, fontsize=8)
    style.save(figure, path)


def failures(found):
    """One line for every set that misses more often than it may."""
    for x in found["size"]:
        if x["bin"] == "all" and x["coverage"] < 1 - ALPHA - 3 * x["standard_error"]:
            yield f"too low: {x}"
    for x in found["files"]:
        if x["unit"] == "files" and x["coverage"] < 1 - ALPHA - 3 * x["standard_error"]:
            yield f"too low: {x}"
