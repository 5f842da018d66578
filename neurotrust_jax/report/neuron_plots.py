"""Figures of one neuron: its leading concepts, and what activates it most.

Each function draws on the Axes it is given and returns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax import Array

from .._runtime.text import visible
from ..auditing.result import Audit
from ..auditing.verdicts import Verdict
from ..files.examples import snippet
from .drawing import BLUE, ORANGE, counted, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["most_active", "plot_examples", "plot_leading", "plot_snippets"]


def plot_leading(audit: Audit, neuron: int, ax: Axes) -> Axes:
    """The leading concepts of one neuron: similarity, interval, votes, and place in its set.

    One row for each concept of ``audit.leading``, the label on top. To the right stand the share of
    replicates that the concept wins, and whether it is in the set. A neuron without a label has the
    reason as its title.

    Parameters
    ----------
    audit : Audit
    neuron : int
    ax : Axes
        About a quarter of an inch of height for each row suffices.
    """
    if audit.label[neuron] < 0:
        return _titled(audit, neuron, ax)
    shown = audit.leading.concept[neuron] >= 0
    concepts = audit.leading.concept[neuron][shown]
    measured, lower, upper = (
        getattr(audit.leading, part)[neuron][shown]
        for part in ("similarity", "asymptotic_lower", "asymptotic_upper")
    )
    inside = audit.concept_set[neuron, concepts]
    rows = np.arange(len(concepts))
    place = ax.get_yaxis_transform()  # along the axes' width, at the row
    for member, word, colour, marker in (
        (inside, "yes", BLUE, "o"),
        (~inside, "no", ORANGE, "X"),
    ):
        ax.hlines(rows[member], lower[member], upper[member], color=colour, lw=2.5, alpha=0.8)
        ax.scatter(measured[member], rows[member], color=colour, marker=marker, s=36, zorder=3)
        for row in rows[member].tolist():
            ax.text(1.14, row, word, va="center", transform=place)
    for row, share in enumerate(audit.vote_share[neuron, concepts]):
        ax.text(1.08, row, f"{share:.0%}", ha="right", va="center", transform=place)
    ax.text(1.08, -0.9, "votes", ha="right", va="center", color="#666666", transform=place)
    ax.text(1.14, -0.9, "in set", va="center", color="#666666", transform=place)
    size, answers = audit.set_size[neuron], audit.answers[neuron]
    ax.set_title(
        f"neuron {drawable(audit.neuron_names[neuron])}, "
        f"{Verdict(int(audit.verdict[neuron])).text}: "
        + counted(size, "concept") + " in the set"
        + (f", {counted(answers, 'answer')}" if answers < size else ""),
        loc="left", fontsize="medium", pad=16, parse_math=False,
    )  # fmt: skip
    ax.set_yticks(rows, [drawable(audit.concept_names[c]) for c in concepts], parse_math=False)
    ax.set(
        xlabel=f"true similarity ({audit.metric}): measured, and {1 - audit.alpha:.0%} interval",
        ylim=(len(rows) - 0.4, -0.6),
    )
    ax.grid(axis="x", color="#DDDDDD", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def plot_examples(
    audit: Audit,
    neuron: int,
    activations: np.ndarray | Array,
    images: np.ndarray,
    ax: Axes,
    *,
    groups: np.ndarray | None = None,
    count: int = 12,
) -> Axes:
    """The images that activate a neuron most, in one row, under its label.

    Parameters
    ----------
    audit : Audit
    neuron : int
    activations : array [n]
        The neuron's activations that were audited.
    images : array [n, H, W, 1] or [n, H, W]
        The samples; values in [0, 1], dark on white.
    ax : Axes
    groups : array [n], optional
        Show at most one image of each group.
    count : int
        How many images.
    """
    top = most_active(activations, groups, count)
    pictures = np.asarray(images)[top].reshape(len(top), *np.shape(images)[1:3])
    framed = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), constant_values=0.25)
    ax.imshow(np.hstack(list(framed)), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    return _titled(audit, neuron, ax)


def plot_snippets(
    audit: Audit,
    neuron: int,
    activations: np.ndarray | Array,
    pieces: Sequence[str] | np.ndarray,
    groups: np.ndarray,
    ax: Axes,
    *,
    count: int = 4,
    width: int = 44,
) -> Axes:
    """The tokens that activate a neuron most, one below the other in their context.

    Parameters
    ----------
    audit : Audit
    neuron : int
    activations : array [n]
        The neuron's activations that were audited.
    pieces : sequence of n str
        The text of each sample; those of one group follow each other.
    groups : array [n]
        Text of each sample. At most one token of each is shown.
    ax : Axes
    count : int
        How many tokens.
    width : int
        Characters of context on either side.
    """
    groups = np.asarray(groups)
    for line, row in enumerate(most_active(activations, groups, count)):
        before, token, after = snippet(pieces, groups, int(row), width)
        style: dict[str, Any] = {
            "family": "monospace",
            "fontsize": 7,
            "va": "center",
            "parse_math": False,
        }
        place = 0.5, 1 - (line + 0.5) / count
        middle = ax.text(
            *place, token, ha="center", weight="bold", transform=ax.transAxes,
            bbox={"boxstyle": "square,pad=0.15", "facecolor": "#FFE08A", "edgecolor": "none"},
            **style,
        )  # fmt: skip
        for text, x, side in ((before, -0.05, "right"), (after, 1.05, "left")):
            ax.annotate(
                text, (x, 0.5), xycoords=middle, ha=side, color="#444444", annotation_clip=False,
                **style,
            )  # fmt: skip
    return _titled(audit, neuron, ax)


def most_active(
    activations: np.ndarray | Array, groups: np.ndarray | None, count: int
) -> np.ndarray:
    """The rows [n] of highest activation, at most one of each group."""
    order = np.argsort(-np.asarray(activations), kind="stable")
    if groups is not None:
        first = np.unique(np.asarray(groups)[order], return_index=True)[1]
        order = order[np.sort(first)]
    return order[:count]


def _titled(audit: Audit, neuron: int, ax: Axes) -> Axes:
    """Put label and verdict above, and hide the axes."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    name = drawable(audit.neuron_names[neuron])
    title = f"neuron {name}: {audit.reason_text(neuron)}"
    if audit.label[neuron] >= 0:
        verdict = Verdict(int(audit.verdict[neuron])).text
        title = (
            f"neuron {name}: {drawable(audit.description(neuron))}   "
            f"({audit.metric} {audit.similarity[neuron]:.2f}, "
            f"again with probability {audit.replication_probability[neuron]:.2f})   "
            f"{verdict}: {visible(audit.verdict_reason[neuron])}"
        )
    ax.set_title(title, loc="left", fontsize=9, parse_math=False)
    return ax
