"""The figure of `speed.py`."""

import math

from _common import figures as style

from .plan import PAIR, Size
from .scaling import curves

COLOURS = {
    "numpy_rows": style.GREY, "numpy_weights": style.BLACK, "torch_rows": style.SKY,
    "torch_weights": style.BLUE,
    "published": style.VERMILION, "torchmetrics": style.PURPLE, "scipy": style.ORANGE,
    "arch": style.GREEN,
    "n": style.BLUE, "U": style.VERMILION, "C": style.GREEN, "B": style.PURPLE,
}  # fmt: skip


def draw_speed_ups(ax, rows):
    rows = baselines_of(rows)
    groups = {}
    for x in rows:
        groups.setdefault((name_of(x), *(x[k] for k in Size._fields)), []).append(x)
    base = max(groups, key=lambda g: math.prod(g[1:]))[1:]
    ticks = draw_bars(ax, groups, base)
    ax.set_yticks(list(ticks), ticks.values())
    ax.invert_yaxis()
    ax.axvline(1, color=style.REFERENCE, lw=1, zorder=0)
    speed_ups = [x["speed_up"] for x in rows]
    limits = min(0.5, *speed_ups) / 2, 5 * max(speed_ups)
    ax.set(xscale="log", xlabel="time of the other / time of ours", xlim=limits)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.figure.legend(
        handles.values(), handles, frameon=False, fontsize=8, ncols=4, loc="outside lower left"
    )
    n, num_neurons, num_concepts, num_replicates = base
    ax.set_title(
        f"n = {n:,}, {num_neurons} neurons, {num_concepts} concepts, {num_replicates:,} replicates",
        fontsize=9,
    )


def baselines_of(rows):
    return [x for x in rows if "speed_up" in x and not x["method"].startswith("ours")]


def name_of(x):
    return x["metric"] + ("" if x["world"] == "strong" else f", {x['world']}")


def draw_bars(ax, groups, base):
    """A group of bars for each metric, world and size; the labels by their place."""
    place, ticks = 0.0, {}
    for (name, *size), mine in groups.items():
        for i, x in enumerate(mine):
            colour = COLOURS[x["method"].split(",")[0]]
            hatch = "//" if "cuda" in x["method"] else None
            ax.barh(place + i, x["speed_up"], color=colour, hatch=hatch, label=x["method"])
            ax.text(1.1 * x["speed_up"], place + i, f"{x['speed_up']:,.3g}", va="center", size=7)
        n, num_neurons, num_concepts, _ = size
        small = "" if tuple(size) == base else f"\nn = {n:,}, {num_neurons} x {num_concepts}"
        ticks[place + (len(mine) - 1) / 2] = name + small
        place += len(mine) + 0.8
    return ticks


def draw_scaling(ax, rows):
    for metric, world, variable, factors, seconds, exponent in curves(rows):
        if world != "strong":
            continue
        style = {"marker": "o"} if metric == PAIR[0] else {"marker": "s", "ls": "--"}
        ax.plot(
            factors, seconds, color=COLOURS[variable], ms=4, **style,
            label=f"{metric}, {variable}: {exponent:.2f}",
        )  # fmt: skip
    ticks = sorted({x["factor"] for x in rows})
    ax.set(xscale="log", yscale="log", xlabel="size / base size", ylabel="time, s")
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.set_xticks([], minor=True)
    ax.legend(frameon=False, fontsize=8, title="exponent of the time in", title_fontsize=8)
    ax.set_title("one size at a time, strong labels", fontsize=9)


PANELS = {"compare": draw_speed_ups, "scaling": draw_scaling}


def draw(found, path):
    """Write the figure of the parts that have something to compare."""
    rows = {part: found.get(part, {"rows": ()})["rows"] for part in PANELS}
    shown = {"compare": baselines_of(rows["compare"]), "scaling": rows["scaling"]}
    drawn = [part for part in PANELS if shown[part]]
    if not drawn:
        return
    size = 2 + 4.5 * len(drawn), max(2 + 0.19 * len(rows["compare"]), 4.5)
    figure, axes = style.panels(1, len(drawn), size)
    for ax, part in zip(axes[0], drawn, strict=True):
        PANELS[part](ax, rows[part])
    style.save(figure, path)
