"""Figures of a layer. Each function draws on the Axes it is given and returns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._runtime.checkpoint import write_whole
from ..auditing.result import Audit
from ..auditing.verdicts import STYLES, Verdict
from .drawing import BLUE, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_intervals",
    "plot_layer",
    "plot_replication",
    "plot_set_sizes",
    "plot_verdicts",
    "plot_votes",
    "save_figures",
]

MOST_NAMED = 60  # rows or columns of a heat-map


def plot_verdicts(counts: Mapping[str, Mapping[Verdict, float]], ax: Axes) -> Axes:
    """One bar for each layer (or probing set): how many of its neurons got which verdict.

    Parameters
    ----------
    counts : mapping of str to mapping of Verdict to float
        Numbers of neurons by name of the bar, as ``{audit.layer: audit.verdict_counts}``.
    ax : Axes
    """
    names = list(counts)
    start = np.zeros(len(names))
    for verdict, style in STYLES.items():
        width = np.array([counts[name].get(verdict, 0) for name in names])
        bars = ax.barh(
            np.arange(len(names)), width, left=start, color=style.colour, label=style.text
        )
        total = np.array([sum(counts[name].values()) for name in names])
        # a number wider than its part of the bar would overlap the next
        shown = [f"{w:.3g}" if w > 0.03 * t else "" for w, t in zip(width, total, strict=True)]
        ax.bar_label(bars, shown, label_type="center", color=style.ink)
        start += width
    ax.set_yticks(range(len(names)), map(drawable, names), parse_math=False)
    ax.invert_yaxis()
    ax.set(xlabel="neurons", xlim=(0, max(start.max(), 1)))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(STYLES), frameon=False)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def plot_replication(audit: Audit, ax: Axes) -> Axes:
    """How likely a fresh probing set gives each label, against its similarity, by verdict."""
    ax.axhline(1 - audit.alpha, color="#666666", lw=0.8, ls="--", zorder=0)
    for verdict, style in STYLES.items():
        chosen = (audit.label >= 0) & (audit.verdict == verdict)
        if chosen.any():
            ax.scatter(
                audit.similarity[chosen],
                audit.replication_probability[chosen],
                color=style.colour,
                edgecolor="#444444",
                linewidth=0.4,
                marker=style.glyph,
                label=f"{style.text}: {chosen.sum()}",
                s=28,
            )
    ax.set(
        xlabel=f"similarity of the label ({audit.metric})",
        ylabel="probability that a fresh probing set gives the label",
        ylim=(-0.03, 1.03),
    )
    ax.set_title(f"{drawable(audit.layer)}: will the label come out again?", parse_math=False)
    ax.legend(loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_intervals(audit: Audit, ax: Axes) -> Axes:
    """Intervals of every label's true similarity, neurons in order of the measured one.

    Thin grey lines are the intervals that hold for every sample size, thick ones the asymptotic.
    """
    bounds = audit.intervals
    labelled = np.flatnonzero(audit.label >= 0)
    order = labelled[np.argsort(-audit.similarity[labelled], kind="stable")]
    rank = np.arange(1, len(order) + 1)
    ax.vlines(
        rank, bounds.lower[order], bounds.upper[order], color="#CCCCCC", lw=1,
        label="interval for every sample size" + ("" if audit.finite_sample else ", as it assumes"),
    )  # fmt: skip
    ax.vlines(
        rank, bounds.asymptotic_lower[order], bounds.asymptotic_upper[order], color=BLUE, lw=1.8,
        alpha=0.8, label="asymptotic interval",
    )  # fmt: skip
    ax.scatter(rank, audit.similarity[order], color="black", s=7, zorder=3, label="measured")
    ax.set(
        xlabel="neurons with a label, by measured similarity",
        ylabel=f"true similarity ({audit.metric})",
    )
    ax.set_title(
        f"{drawable(audit.layer)}: how good is the label? ({1 - audit.alpha:.0%} intervals)",
        parse_math=False,
    )
    ax.legend(loc="upper right")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_set_sizes(audit: Audit, ax: Axes) -> Axes:
    """Size of every labelled neuron's set, and of the wider one for that neuron alone."""
    labelled = audit.label >= 0
    ours = np.sort(audit.set_size[labelled])
    alone = np.sort(audit.calibrated_set[labelled].sum(axis=1))
    rank = np.arange(1, len(ours) + 1)
    edges = np.arange(len(ours) + 1) + 0.5
    ax.stairs(ours, edges, fill=True, color=BLUE, label="right on average over the layer")
    ax.step(rank, alone, where="mid", color="#888888", lw=1.5, label="right for each neuron alone")
    ax.set(
        xlabel="neurons with a label, by size of the set",
        ylabel=f"concepts in the {1 - audit.alpha:.0%} set",
        ylim=(0, 1.2 * max(ours.max(initial=1), alone.max(initial=1))),
    )
    ax.set_title(f"{drawable(audit.layer)}: how many concepts stay in play?", parse_math=False)
    ax.legend(loc="upper left", frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_votes(
    audit: Audit, ax: Axes, *, neurons: Sequence[int] | None = None, least: float = 0.05
) -> Axes:
    """Heat-map of the share of replicates that each concept wins, a row for each neuron.

    Neurons with one favourite stand together, the surest first, and favourites follow their
    neurons. Where labels are stable the map is a dark staircase; votes off the stairs show doubt.

    Parameters
    ----------
    audit : Audit
    ax : Axes
        A colour bar takes some of its width. Rows and columns are named where there are at most 60.
    neurons : sequence of int, optional
        Neurons to show; all with a label unless given.
    least : float in [0, 1]
        Concepts that win at least this share of some neuron's replicates get a column; the votes
        of the others are added up in a last one.

    Raises
    ------
    ValueError
        If no neuron to show has a label.
    """
    chosen = np.arange(len(audit.label)) if neurons is None else np.asarray(neurons, int)
    chosen = chosen[audit.label[chosen] >= 0]
    if not len(chosen):
        raise ValueError("no neuron to show has a label, so there are no votes")
    share = audit.vote_share[chosen]
    favourite, votes = share.argmax(axis=1), share.max(axis=1)
    surest = np.zeros(share.shape[1])  # of the neurons whose favourite the concept is
    np.maximum.at(surest, favourite, votes)
    row_order = np.lexsort((-votes, favourite, -surest[favourite]))
    columns = np.flatnonzero(share.max(axis=0) >= least)
    # favourites in the order of their rows, then the others by all their votes
    total = np.where(surest > 0, 0, share.sum(axis=0))
    columns = columns[np.lexsort((columns, -total[columns], -surest[columns]))]
    table = share[row_order][:, columns]
    names = [drawable(audit.concept_names[c]) for c in columns]
    rest = share[row_order].sum(axis=1) - table.sum(axis=1)
    if (rest > 1e-6).any():
        table, names = np.column_stack([table, rest]), [*names, "all others"]
    image = ax.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label=f"share of {audit.num_replicates:,} resamplings won")
    units = [drawable(audit.neuron_names[u]) for u in chosen[row_order]]
    # 45 degrees read better, and overlap sooner
    turned: dict[str, Any] = {"rotation": 90}
    if len(names) <= 20:
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    for axis, title, words, style in (
        (ax.xaxis, "winning concepts", names, turned),
        (ax.yaxis, "neurons, the surest of each concept first", units, {}),
    ):
        style = {"fontsize": "medium" if len(words) <= 20 else 7, "parse_math": False, **style}
        if len(words) <= MOST_NAMED:
            axis.set_ticks(range(len(words)), words, **style)
            axis.set_label_text(title)
        else:
            axis.set_ticks([])
            axis.set_label_text(f"{len(words):,} {title}")
    of_layer = f"{drawable(audit.layer)}: " if audit.layer else ""
    ax.set_title(f"{of_layer}which concepts win?", parse_math=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return ax


def _plot_verdicts_of(audit: Audit, ax: Axes) -> Axes:
    return plot_verdicts({audit.layer: audit.verdict_counts}, ax)


FIGURES: dict[str, tuple[tuple[float, float], Callable[[Audit, Axes], Axes]]] = {
    "verdicts": ((8, 1.6), _plot_verdicts_of),
    "intervals": ((7, 4.5), plot_intervals),
    "replication": ((7, 4.5), plot_replication),
    "set_sizes": ((7, 4.5), plot_set_sizes),
}
"""Figures of a layer: the size of each in inches, and the function that draws it."""


def plot_layer(audit: Audit) -> dict[str, Axes]:
    """Draw verdicts, intervals, probabilities and set sizes as one figure of ``pyplot``.

    Returns
    -------
    dict of str to Axes
        ``verdicts``, ``intervals``, ``replication`` and ``set_sizes``.
    """
    from matplotlib import pyplot as plt

    _, axes = plt.subplot_mosaic(
        [["verdicts", "verdicts", "verdicts"], ["intervals", "replication", "set_sizes"]],
        figsize=(15, 5.6), height_ratios=(1, 5), layout="constrained",
    )  # fmt: skip
    for name, (_, plot) in FIGURES.items():
        plot(audit, axes[name])
    return axes


def save_figures(audit: Audit, folder: str | Path) -> list[Path]:
    """Draw verdicts, intervals, agreements and set sizes, as PNG and SVG into a folder."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    paths = []
    for name, (size, plot) in FIGURES.items():
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        plot(audit, figure.subplots())
        if layout := figure.get_layout_engine():
            layout.execute(figure)  # once for both files
        figure.set_layout_engine(None)  # with one, each file would be drawn twice
        for ending in ("png", "svg"):
            path = Path(folder) / f"{name}.{ending}"
            # the same audit gives the same file
            plain = {"Date": None} if ending == "svg" else {}
            with rc_context({"svg.hashsalt": "neurotrust"}):
                paths.append(write_whole(path, partial(figure.savefig, dpi=150, metadata=plain)))
    return paths
