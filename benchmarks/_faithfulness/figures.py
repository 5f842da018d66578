"""Figures of `faithfulness.py`."""

import statistics

import numpy as np
from _common import figures as style

from .settings import ALL_METHODS, ALPHA, METHODS
from .tables import order

STYLES = tuple(zip(style.PALETTE, style.MARKERS, strict=True))
METRIC_STYLE = dict(zip(METHODS, STYLES, strict=False))
METHOD_STYLE = dict(zip(ALL_METHODS, STYLES, strict=True))


def panels(count, width=3.6, height=3.4):
    figure, axes = style.panels(1, count, (width * count, height), sharey=True)
    return figure, axes[0]


def finish(figure, ax, path):
    style.legend(figure, ax, "lower center", ncols=8, handlelength=1.6)
    style.save(figure, path)


def by_frequency(rows):
    """A figure, and an axis for each frequency of the concept, common ones first."""
    frequencies = sorted({x["frequency"] for x in rows}, reverse=True)
    figure, axes = panels(len(frequencies))
    for ax, frequency in zip(axes, frequencies, strict=True):
        ax.set(xlabel="samples n", title=f"concept frequency {frequency:g}")
    return figure, dict(zip(frequencies, axes, strict=True))


def by_method(ax, rows, value, summary):
    """A line for each method: the summary of a value by number of samples."""
    for method, (colour, marker) in METHOD_STYLE.items():
        mine = [x for x in rows if x["method"] == method and x[value] is not None]
        sizes = sorted({x["n"] for x in mine})
        y = [summary([x[value] for x in mine if x["n"] == n]) for n in sizes]
        ax.plot(sizes, y, color=colour, marker=marker, ms=4, lw=1.2, label=method)


def draw_gap(part, path):
    rows = [x for x in part["rows"] if x["world"] == "planted" and x["gap"]]
    figure, axes = by_frequency(rows)
    for frequency, ax in axes.items():
        for metric, (colour, marker) in METRIC_STYLE.items():
            mine = [x for x in rows if (x["metric"], x["frequency"]) == (metric, frequency)]
            if mine:
                n, gap = [x["n"] for x in mine], [x["gap"] for x in mine]
                ax.plot(n, gap, color=colour, marker=marker, ms=4, lw=1.2, label=metric)
        n = np.array(sorted({x["n"] for x in rows if x["frequency"] == frequency}))
        slope = 1.6 / np.sqrt(n)
        ax.plot(n, slope, color=style.REFERENCE, ls=":", lw=1.2, label="slope -1/2")
        ax.set(xscale="log", yscale="log")
    first = next(iter(axes.values()))
    first.set_ylabel("mean |measured - true similarity|")
    finish(figure, first, path)


def draw_coverage(part, path):
    figure, axes = by_frequency(part["rows"])
    for frequency, ax in axes.items():
        by_method(ax, [x for x in part["rows"] if x["frequency"] == frequency], "miss_rate", max)
        style.level(ax, ALPHA)
        style.level(ax, part["allowance"], ls=":")
        ax.set_xscale("log")
        ax.set_yscale("symlog", linthresh=0.1)
    first = next(iter(axes.values()))
    first.set_ylabel("highest miss rate of all metrics")
    finish(figure, first, path)


def draw_width(part, path):
    rows = part["rows"]
    metrics = order((x["metric"] for x in rows), ("accuracy", "iou", "auroc", "correlation"))
    figure, axes = panels(len(metrics), width=3.0)
    for ax, metric in zip(axes, metrics, strict=True):
        mine = [x for x in rows if x["metric"] == metric]
        by_method(ax, mine, "over_oracle", statistics.median)
        style.level(ax, 1)
        ax.set(xscale="log", yscale="log", xlabel="samples n", title=metric)
    axes[0].set_ylabel("interval width / oracle's width")
    finish(figure, axes[0], path)


def draw_planning(part, path):
    figure, axes = by_frequency(part["rows"])
    for frequency, ax in axes.items():
        for x in part["rows"]:
            if x["frequency"] == frequency:
                colour, _ = METRIC_STYLE[x["metric"]]
                ax.plot(part["n"], x["gap"], color=colour, lw=1.4, label=x["metric"])
        ax.set(xscale="log", yscale="log")
    first = next(iter(axes.values()))
    first.set_ylabel("gap known beforehand (95%)")
    finish(figure, first, path)


FIGURES = {"gap": draw_gap, "coverage": draw_coverage, "width": draw_width,
           "planning": draw_planning}  # fmt: skip
