"""Tables and figures of `real_layers.py`."""

import math

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from rich.table import Table

METRIC_COLOURS = {
    "iou": "#0072B2", "auroc": "#E69F00", "correlation": "#009E73", "accuracy": "#CC79A7",
    "soft_wpmi": "#56B4E9",
}  # fmt: skip
KIND_COLOURS = {"conformal": "#0072B2", "calibrated": "#E69F00", "vote": "#D55E00"}
MEASURE_COLOURS = {"probability": "#0072B2", "agreement": "#D55E00"}
MARKERS = "osD"  # by size of the probing set
ALPHA = 0.1
BEFORE = {  # verdicts of version 0.1.0 on all groups, a fifth of them set aside for thresholds
    "magika conv": {"ambiguous": 85, "undecided": 107},
    "ocr svtr": {"ambiguous": 91, "undecided": 27, "unexplained": 2},
}


def percent(x, digits=1):
    return "" if x is None or not math.isfinite(x) else f"{100 * x:.{digits}f}"


def with_error(x, error):
    return f"{percent(x)} +- {percent(error)}" if x is not None else ""


def _table(title, names):
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="right")
    return table


def tables(found):
    sets = _table(
        "sets, shares in %",
        ("layer", "metric", "n", "set", "nominal", "fresh label in", "lowest class", "best in",
         "size", "median", "single"),
    )  # fmt: skip
    for x in found["sets"]:
        on_all = x["data"] == "all"
        lowest = None if on_all else min((y for y in x["by_lead"] if y is not None), default=None)
        sets.add_row(
            x["layer"], x["metric"], "all groups" if on_all else f"{x['n']:,}", x["kind"],
            percent(1 - x["alpha"], 0),
            "" if on_all else with_error(x["coverage"], x["standard_error"]), percent(lowest),
            percent(x.get("best_coverage")), f"{x['size']:.1f}", f"{x['median_size']:.1f}",
            percent(x["single"], 0),
            style="" if x.get("covers", True) and x.get("classes_cover", True) else "red",
        )  # fmt: skip
    probability = _table(
        "does a label come out again as often as it says? shares in %",
        ("layer", "metric", "n", "measure", "calibration error", "bias", "at least 90",
         "of these, came again"),
    )  # fmt: skip
    for x in found["probability"]:
        probability.add_row(
            x["layer"], x["metric"], f"{x['n']:,}", x["measure"],
            f"{x['calibration_error']:.3f}", f"{x['bias']:+.3f}", percent(x["high"]),
            with_error(x["high_replicated"], x["high_error"]),
        )  # fmt: skip
    verdicts = _table(
        "verdicts by iou, shares in %",
        ("layer", "n", "verdict", "neurons", "in 0.1.0", "label came again",
         "best concept or of its tree"),
    )  # fmt: skip
    for x in found["verdicts"]:
        on_all = x["data"] == "all"
        before = BEFORE.get(x["layer"], {}) if on_all else None
        verdicts.add_row(
            x["layer"], "all groups" if on_all else f"{x['n']:,}", x["verdict"],
            f"{x['neurons']:.1f}", str(before.get(x["verdict"], 0)) if before else "",
            "" if on_all else with_error(x["again"], x["again_error"]), percent(x.get("right")),
        )  # fmt: skip
    return sets, probability, verdicts


def markdown(found):
    """The table of the README: 90% sets by iou, and the probability of replication."""
    lines = [
        "| layer | probing set | conformal: fresh label in, % | best in | size: mean, median, "
        "single | calibrated: mean | vote: fresh label in, % | calibration error | agreement's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows = [x for x in found["sets"] if (x["metric"], x["alpha"]) == ("iou", ALPHA)]
    for x in (x for x in rows if x["kind"] == "conformal"):
        where = x["layer"], x["n"], x["data"]
        other = {y["kind"]: y for y in rows if (y["layer"], y["n"], y["data"]) == where}
        stated = {
            y["measure"]: f"{y['calibration_error']:.3f}" for y in found["probability"]
            if (y["layer"], y["n"], y["metric"], x["data"]) == (*where[:2], "iou", "probing sets")
        }  # fmt: skip
        on_all = x["data"] == "all"
        cells = (
            x["layer"], "all groups" if on_all else f"{x['n']:,}",
            "" if on_all else with_error(x["coverage"], x["standard_error"]),
            percent(x.get("best_coverage")),
            f"{x['size']:.1f}, {x['median_size']:.1f}, {percent(x['single'], 0)}%",
            "" if on_all else f"{other['calibrated']['size']:.1f}",
            "" if on_all else percent(other["vote"]["coverage"]),
            stated.get("probability", ""), stated.get("agreement", ""),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |".replace("+-", "±"))
    return "\n".join(lines)


def _panels(layers, **options):
    """A panel for each layer, four in a line."""
    lines = math.ceil(len(layers) / 4)
    columns = min(len(layers), 4)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3 * columns + 0.6, 3 * lines + 0.7), squeeze=False,
        layout="constrained", **options,
    )  # fmt: skip
    for ax in axes.ravel()[len(layers) :]:
        ax.remove()
    for ax, layer in zip(axes.ravel(), layers, strict=False):
        ax.set_title(layer)
        ax.spines[["top", "right"]].set_visible(False)
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
        (f"n = {n:,}", marker, "#444444") for n, marker in zip(sizes, MARKERS, strict=False)
        if len(sizes) > 1
    ]  # fmt: skip


def _legend(figure, ax, labels):
    handles = [ax.plot([], [], style, color=c, label=text)[0] for text, style, c in labels]
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
                color=METRIC_COLOURS[x["metric"]] if ours else "#BBBBBB", zorder=2 if ours else 1,
            )  # fmt: skip
        levels = sorted({100 * (1 - x["alpha"]) for x in rows})
        ends = [levels[0] - 2, levels[-1] + 2]
        ax.plot(ends, ends, color="#444444", lw=1)
        ax.set_xticks(levels)
    axes[0].set_ylim(top=101)
    for ax in grid[:, 0]:
        ax.set_ylabel("fresh label in the set, %")
    for ax in axes[-grid.shape[1] :]:
        ax.set_xlabel("nominal, %")
    _legend(
        figure, axes[0],
        [
            *((m, "o", METRIC_COLOURS[m]) for m in metrics), ("vote rule", "o", "#BBBBBB"),
            *_marker_labels(rows),
        ],
    )  # fmt: skip
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw_sizes(rows, path):
    """Mean and median size of 90% sets by iou: those of an audit before, and conformal ones."""
    rows = [
        x for x in rows
        if (x["metric"], x["alpha"]) == ("iou", ALPHA) and x["kind"] in KIND_COLOURS
    ]  # fmt: skip
    names = list(dict.fromkeys(_probing_set(x) for x in rows))
    figure, ax = plt.subplots(figsize=(7, 0.4 * len(names) + 1.4), layout="constrained")
    kinds = list(KIND_COLOURS)
    for x in rows:
        y = names.index(_probing_set(x)) + 0.2 * (kinds.index(x["kind"]) - 1)
        for name, style in (("size", "o"), ("median_size", "|")):
            ax.plot(x[name], y, style, color=KIND_COLOURS[x["kind"]], ms=5 if style == "o" else 9)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set(xscale="log", xlabel="concepts in the 90% set: mean (dot) and median (line), by iou")
    ticks = [1, 2, 5, 10, 20, 50, 100]
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
    ax.grid(axis="x", color="#EEEEEE")
    ax.spines[["top", "right"]].set_visible(False)
    _legend(figure, ax, [(kind, "o", colour) for kind, colour in KIND_COLOURS.items()])
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _probing_set(row):
    return f"{row['layer']}, {'all groups' if row['data'] == 'all' else format(row['n'], ',')}"


def draw_reliability(rows, path):
    rows = [x for x in rows if x["metric"] == "iou"]
    layers = list(dict.fromkeys(x["layer"] for x in rows))
    figure, axes, grid = _panels(layers, sharex=True, sharey=True)
    for ax, layer in zip(axes, layers, strict=True):
        ax.plot([0, 100], [0, 100], color="#444444", lw=1)
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
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw(found, folder):
    """Every figure of which there is something to draw."""
    matplotlib.use("Agg")
    kinds = (
        ("coverage", draw_coverage, "sets"), ("sizes", draw_sizes, "sets"),
        ("reliability", draw_reliability, "probability"),
    )  # fmt: skip
    for name, figure, part in kinds:
        if any(x["metric"] == "iou" for x in found[part]):
            figure(found[part], folder / f"real_layers_{name}.png")
