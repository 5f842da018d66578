"""Tables and figure of `shift.py`, and what makes it fail."""

import math

import numpy as np
from _common import figures as style
from _common.terminal import table, with_error

from .measurements import ALPHA, PREDICTORS
from .pairs import KNOWN

COLOURS = {
    "no correction": style.VERMILION, "weights": style.BLUE, "true weights": style.SKY,
    "bounds, 1.5": style.ORANGE, "bounds, 2.0": style.GREEN,
}  # fmt: skip
COLUMNS = (  # value, error and label of three panels
    ("coverage", "standard_error", "sets with the\ntarget's best, %"),
    ("size", None, "concepts in the set,\nmean"),
    ("holds_similarity", "similarity_error", "limits with the\ntarget's similarity, %"),
)


def tables(found):
    """One table for each part."""
    yield table(
        f"nominal {1 - ALPHA:.0%}",
        ("pair", "n", "method", "holds the target's best", "size", "limits hold", "width",
         "label is best"),
        (
            (
                x["pair"], f"{x['n']:,}", x["method"],
                with_error(x["coverage"], x["standard_error"]), f"{x['size']:.1f}",
                f"{x['holds_similarity']:.3f}", f"{x['width']:.2f}", f"{x['label_is_best']:.2f}",
            )
            for x in found["coverage"]
        ),
    )  # fmt: skip
    yield table(
        "which labels break?",
        ("pair", "predictor", "broken", "AUROC", "broken by quarter, lowest first"),
        map(radius_cells, found["radius"]),
    )


def radius_cells(x):
    if x["predictor"] == "population":
        return x["pair"], "(population)", f"{x['broken']:.2f}", "", ""
    low, high = x["interval"]
    quarters = "  ".join("" if q is None else f"{q:.2f}" for q in x["broken_by_quarter"])
    auroc = f"{x['auroc']:.3f} ({low:.3f} to {high:.3f})"
    return x["pair"], x["predictor"], f"{x['broken']:.2f}", auroc, quarters


def draw_figure(found, path):
    """Coverage, size and predictors of breaking labels, by pair."""
    pairs = list(dict.fromkeys(x["pair"] for x in found["coverage"]))
    figure, (axes,) = style.panels(1, 4, (13, 0.7 * len(pairs) + 1.9), sharey=True)
    draw_sets(axes[:3], found["coverage"], pairs)
    draw_predictors(axes[3], found["radius"], pairs)
    for ax, place in ((axes[0], "upper left"), (axes[3], "upper right")):
        style.legend(figure, ax, place, ncols=5)
    axes[0].set_yticks(range(len(pairs)), pairs)
    axes[0].invert_yaxis()
    for ax in axes:
        ax.grid(axis="y", color=style.GRID)
        ax.set_axisbelow(True)
    style.save(figure, path)


def draw_sets(axes, rows, pairs):
    for i, (method, colour) in enumerate(COLOURS.items()):
        mine = [x for x in rows if x["method"] == method]
        y = [pairs.index(x["pair"]) + 0.15 * (i - 2) for x in mine]
        for ax, (name, error, _) in zip(axes, COLUMNS, strict=True):
            scale = 100 if error else 1
            width = [3 * scale * x[error] for x in mine] if error else None
            values = [scale * x[name] for x in mine]
            ax.errorbar(values, y, xerr=width, fmt="o", color=colour, ms=5, label=method)
    for ax, (_, error, label) in zip(axes, COLUMNS, strict=True):
        ax.set(xlabel=label)
        if error:
            ax.axvline(100 * (1 - ALPHA), color=style.REFERENCE, lw=1)


def draw_predictors(ax, rows, pairs):
    marks = zip(PREDICTORS, "o^D", (style.REFERENCE, style.PURPLE, style.GREY), strict=True)
    for i, (name, mark, colour) in enumerate(marks):
        mine = [x for x in rows if x["predictor"] == name and not math.isnan(x["auroc"])]
        value = np.array([x["auroc"] for x in mine])
        ends = np.array([x["interval"] for x in mine]).reshape(-1, 2).T
        y = [pairs.index(x["pair"]) + 0.2 * (i - 1) for x in mine]
        error = np.abs(ends - value)
        ax.errorbar(value, y, xerr=error, fmt=mark, ms=5, label=name, color=colour)
    ax.axvline(0.5, color=style.REFERENCE, lw=1)
    ax.set(xlabel="labels that break\ntold from others, AUROC")


def failures(found):
    """What contradicts the claims, which are made for known shifts alone."""
    for x in found["coverage"]:
        if x["pair"] != "resampled":
            continue
        if x["method"] in ("true weights", f"bounds, {KNOWN}"):
            for name, error in (
                ("coverage", "standard_error"), ("holds_similarity", "similarity_error"),
            ):  # fmt: skip
                if x[name] < 1 - ALPHA - 3 * x[error]:
                    yield f"{name} too low: {x}"
    for x in found["radius"]:
        if x["predictor"] == "population" and x["overturned"]:
            yield f"{x['overturned']} labels overturned within their radius: {x['pair']}"
