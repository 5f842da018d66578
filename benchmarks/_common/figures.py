"""The style of all figures."""

import matplotlib
from matplotlib import pyplot as plt

matplotlib.use("Agg")

# Okabe & Ito's palette, which colour-blind readers can tell apart too
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#999999"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
MARKERS = "os^Dvp*X"
REFERENCE = "#444444"  # lines of nominal levels and expected slopes
GRID = "#EEEEEE"
SETS = {"vote": VERMILION, "calibrated": BLUE, "certified": GREEN}  # by method of concept sets


def panels(rows, columns, size, **options):
    """A figure of ``size`` inches, and its axes [rows, columns] without the upper right frame."""
    figure, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained", **options
    )
    for ax in axes.ravel():
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def level(ax, y, **options):
    """A horizontal line of a nominal level."""
    ax.axhline(y, color=REFERENCE, lw=1, **options)


def legend(figure, ax, place="upper center", **options):
    """A legend of the labels of one panel, outside of all panels."""
    figure.legend(*ax.get_legend_handles_labels(), loc=f"outside {place}", frameon=False, **options)


def save(figure, path):
    """Write the figure and free its memory."""
    figure.savefig(path, dpi=160)
    plt.close(figure)
