"""Figures of `real_layers.py`."""

import math

import numpy as np
from _common import figures as style

from .measurements import ALPHA

METRIC_COLOURS = {
    "iou": style.BLUE, "auroc": style.ORANGE, "correlation": style.GREEN,
    "accuracy": style.PURPLE, "soft_wpmi": style.SKY,
}  # fmt: skip
KIND_COLOURS = {"conformal": style.BLUE, "calibrated": style.ORANGE, "vote": style.VERMILION}
MEASURE_COLOURS = {"probability": style.BLUE, "agreement": style.VERMILION}
PALE = "#BBBBBB"
MARKERS = "osD"  # by size of the probing set


def _panels(layers, **options):
    """A panel for each layer, four in a line."""
    lines = math.ceil(len(layers) / 4)
    columns = min(len(layers), 4)
    figure, axes = style.panels(lines, columns, (3 * columns + 0.6, 3 * lines + 0.7), **options)
    for ax in axes.ravel()[len(layers) :]:
        ax.remove()
    for ax, layer in zip(axes.ravel(), layers, strict=False):
        ax.set_title(layer)
    return figure, axes.ravel()[: len(layers)], axes


def _marker(rows, x):
    """By size of the probing set, among those of the layer; a real layer has one."""
    sizes = sorted({y["n"] for y in rows if y["layer"] == x["layer"]})
    return MARKERS[sizes.index(x["n"])]


def _marker_labels(rows):
    """What the markers say, where a layer has several sizes."""
    several = {layer: sorted({x["n"] for x in rows if x["layer"] == layer}) for layer in
               {x["layer"] for x in rows}}  # fmt: skip
    sizes = max(several.values(), key=len)
    return [
        (f"n = {n:,}", marker, style.REFERENCE) for n, marker in zip(sizes, MARKERS, strict=False)
        if len(sizes) > 1
    ]  # fmt: skip


def _legend(figure, ax, labels):
    handles = [ax.plot([], [], mark, color=c, label=text)[0] for text, mark, c in labels]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(labels), 5), frameon=False
    )


def draw_coverage(rows, path):
    rows = [x for x in rows if x["data"] != "all" and x["kind"] in ("conformal", "vote")]
    layers = list(dict.fromkeys(x["layer"] for x in rows))
    metrics = list(dict.fromkeys(x["metric"] for x in rows))
    figure, axes, grid = _panels(layers, sharex=True, sharey=True)
    for ax, layer in zip(axes, layers, strict=True):
        for x in (x for x in rows if x["layer"] == layer and x["coverage"] is not None):
            ours = x["kind"] == "conformal"
            at = metrics.index(x["metric"]) - (len(metrics) - 1) / 2
            ax.errorbar(
                100 * (1 - x["alpha"]) + 0.6 * at, 100 * x["coverage"],
                300 * (x["standard_error"] or 0), fmt=_marker(rows, x), ms=4, lw=1,
                color=METRIC_COLOURS[x["metric"]] if ours else PALE, zorder=2 if ours else 1,
            )  # fmt: skip
        levels = sorted({100 * (1 - x["alpha"]) for x in rows})
        ends = [levels[0] - 2, levels[-1] + 2]
        ax.plot(ends, ends, color=style.REFERENCE, lw=1)
        ax.set_xticks(levels)
    axes[0].set_ylim(top=101)
    for ax in grid[:, 0]:
        ax.set_ylabel("fresh label in the set, %")
    for ax in axes[-grid.shape[1] :]:
        ax.set_xlabel("nominal, %")
    _legend(
        figure, axes[0],
        [
            *((m, "o", METRIC_COLOURS[m]) for m in metrics), ("vote rule", "o", PALE),
            *_marker_labels(rows),
        ],
    )  # fmt: skip
    style.save(figure, path)


def draw_sizes(rows, path):
    """Mean and median size of 90% sets by iou: those of an audit before, and conformal ones."""
    rows = [
        x for x in rows
        if (x["metric"], x["alpha"]) == ("iou", ALPHA) and x["kind"] in KIND_COLOURS
    ]  # fmt: skip
    names = list(dict.fromkeys(_probing_set(x) for x in rows))
    figure, ((ax,),) = style.panels(1, 1, (7, 0.4 * len(names) + 1.4))
    kinds = list(KIND_COLOURS)
    for x in rows:
        y = names.index(_probing_set(x)) + 0.2 * (kinds.index(x["kind"]) - 1)
        for name, mark in (("size", "o"), ("median_size", "|")):
            ax.plot(x[name], y, mark, color=KIND_COLOURS[x["kind"]], ms=5 if mark == "o" else 9)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set(xscale="log", xlabel="concepts in the 90% set: mean (dot) and median (line), by iou")
    ticks = [1, 2, 5, 10, 20, 50, 100]
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
    ax.grid(axis="x", color=style.GRID)
    _legend(figure, ax, [(kind, "o", colour) for kind, colour in KIND_COLOURS.items()])
    style.save(figure, path)


def _probing_set(row):
    return f"{row['layer']}, {'all groups' if row['data'] == 'all' else format(row['n'], ',')}"


def draw_reliability(rows, path):
    rows = [x for x in rows if x["metric"] == "iou"]
    layers = list(dict.fromkeys(x["layer"] for x in rows))
    figure, axes, grid = _panels(layers, sharex=True, sharey=True)
    for ax, layer in zip(axes, layers, strict=True):
        ax.plot([0, 100], [0, 100], color=style.REFERENCE, lw=1)
        for x in (x for x in rows if x["layer"] == layer):
            full = np.array(x["neurons"]) >= 10
            stated, true = (100 * np.array(x[name])[full] for name in ("stated", "replicated"))
            ax.plot(
                stated, true, f"-{_marker(rows, x)}", ms=4, lw=1,
                color=MEASURE_COLOURS[x["measure"]],
            )  # fmt: skip
    for ax in grid[:, 0]:
        ax.set_ylabel("labels that came again, %")
    for ax in axes[-grid.shape[1] :]:
        ax.set_xlabel("stated, %")
    text = {"probability": "probability of replication", "agreement": "agreement of replicates"}
    labels = [(text[name], "o", c) for name, c in MEASURE_COLOURS.items()]
    _legend(figure, axes[0], labels + _marker_labels(rows))
    style.save(figure, path)


def draw(found, folder):
    """Write each figure that has something to show."""
    kinds = (
        ("coverage", draw_coverage, "sets"), ("sizes", draw_sizes, "sets"),
        ("reliability", draw_reliability, "probability"),
    )  # fmt: skip
    for name, figure, part in kinds:
        if any(x["metric"] == "iou" for x in found[part]):
            figure(found[part], folder / f"real_layers_{name}.png")
