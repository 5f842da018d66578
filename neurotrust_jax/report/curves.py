"""Figures of experiments: what was measured on several probing sets, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .._runtime.checkpoint import write_whole
from ..auditing.forecast import Forecast
from ..metrics.table import METRICS
from .drawing import BLUE, GREEN, GREY, ORANGE, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_coverage", "plot_forecast", "plot_probing_size", "save_forecasts"]

SERIES = ((BLUE, "o"), (ORANGE, "X"), (GREEN, "s"), ("#E69F00", "D"), (GREY, "^"))


def plot_probing_size(
    sizes: ArrayLike,
    similarity: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    ax: Axes,
    *,
    gap: ArrayLike | None = None,
    truth: float | None = None,
    metric: str = "",
) -> Axes:
    """Measured similarity of one neuron and concept, with its interval, by size of the probing set.

    Parameters
    ----------
    sizes : array [m]
        Numbers of independent samples n.
    similarity, lower, upper : array [m]
        The measured similarity and bounds of the true one, as :func:`neurotrust_jax.intervals`
        gives them.
    ax : Axes
    gap : array [m], optional
        The bound known beforehand, :func:`neurotrust_jax.generalization_gap` of ``sizes``. It is
        drawn around the true similarity, or around the measured ones where the truth is unknown.
    truth : float, optional
        The true similarity.
    metric : str
        Name on the axis. Bounds are clipped to the range of a known metric.
    """
    n, measured, low, high = (np.asarray(x, float) for x in (sizes, similarity, lower, upper))
    order = np.argsort(n)
    n, measured, low, high = n[order], measured[order], low[order], high[order]
    if gap is not None:
        bound = np.asarray(gap, float)[order]
        centre = measured if truth is None else np.full(len(n), truth)
        about = "measured" if truth is None else "true"
        valid = METRICS[metric].range if metric in METRICS else (-np.inf, np.inf)
        for sign, name in ((-1, f"{about} ± bound known beforehand"), (1, None)):
            ax.plot(
                n, np.clip(centre + sign * bound, *valid), color=ORANGE, ls="--", lw=1.2, label=name
            )
    if truth is not None:
        ax.axhline(truth, color="#444444", lw=1, label="true")
    ax.vlines(n, low, high, color=BLUE, lw=2.5, alpha=0.6, label="interval from the data")
    ax.scatter(n, measured, color=BLUE, s=28, zorder=3, label="measured")
    ax.set(
        xscale="log",
        xlabel="independent samples in the probing set, n",
        ylabel=f"similarity ({metric})" if metric else "similarity",
    )
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_forecast(forecast: Forecast, ax: Axes) -> Axes:
    """How many labels larger probing sets settle, by the number of sampling units.

    Parameters
    ----------
    forecast : Forecast
        Of an audit, by :meth:`neurotrust_jax.Audit.forecast`.
    ax : Axes
    """
    n, total = forecast.num_units, forecast.num_neurons
    level = f"with {1 - forecast.alpha:.0%} probability"
    for values, colour, marker, name in (
        (forecast.expected, GREY, "s", "the same label, expected"),
        (forecast.reliable, BLUE, "o", f"the same label {level}"),
    ):
        ax.plot(n, values, color=colour, marker=marker, ms=5, lw=1.5, label=name)
    ax.set(
        xscale="log", ylim=(0, 1.05 * total), ylabel=f"of {total:,} neurons",
        xlabel=f"{forecast.unit_name} in the probing set; the audit had {forecast.units_now:,}",
    )  # fmt: skip
    ax.set_xticks(n, [f"{x:,}" for x in n.tolist()])
    ax.minorticks_off()
    ax.legend(frameon=False, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def save_forecasts(forecasts: Mapping[str, Forecast], path: str | Path) -> Path:
    """Draw the forecasts of several layers side by side into a file.

    Parameters
    ----------
    forecasts : mapping of str to Forecast
        By the name of the layer.
    path : str or Path
        Its ending chooses the format, such as ``.png`` or ``.svg``.

    Raises
    ------
    ValueError
        If the ending is no format that matplotlib can write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    figure = Figure(figsize=(5 * len(forecasts), 3.8), layout="constrained")
    known = FigureCanvasAgg(figure).get_supported_filetypes()
    ending = path.suffix.lower().lstrip(".")
    if ending not in known:
        raise ValueError(f"{path}: can not be drawn; end its name in one of {', '.join(known)}")
    axes = figure.subplots(1, len(forecasts), squeeze=False)[0]
    for ax, (layer, forecast) in zip(axes, forecasts.items(), strict=True):
        plot_forecast(forecast, ax)
        ax.set_title(drawable(layer), parse_math=False)
    return write_whole(path, partial(figure.savefig, dpi=150, format=ending))


def plot_coverage(
    nominal: ArrayLike,
    empirical: Mapping[str, ArrayLike],
    ax: Axes,
    *,
    standard_error: Mapping[str, ArrayLike] | None = None,
) -> Axes:
    """How often sets (or intervals) hold the truth, against how often they should.

    Points below the line are methods that promise too much.

    Parameters
    ----------
    nominal : array [m] in [0, 1]
        Levels 1 - alpha.
    empirical : mapping of str to array [m] in [0, 1]
        Share of probing sets on which each method held the truth, by name; at most five.
    ax : Axes
    standard_error : mapping of str to array [m], optional
        Standard errors of these shares; error bars are two standard errors long.

    Raises
    ------
    ValueError
        If there are more methods than colours that readers can tell apart.
    """
    if len(empirical) > len(SERIES):
        raise ValueError(f"empirical must hold at most {len(SERIES)} methods, got {len(empirical)}")
    order = np.argsort(np.asarray(nominal, float))
    levels = 100 * np.asarray(nominal, float)[order]
    ax.plot(levels, levels, color="#444444", lw=1, label="as promised")
    for (name, held), (colour, marker) in zip(empirical.items(), SERIES, strict=False):
        errors = None
        if standard_error is not None:
            errors = 200 * np.asarray(standard_error[name], float)[order]
        ax.errorbar(
            levels, 100 * np.asarray(held, float)[order], errors, color=colour, marker=marker,
            capsize=3, lw=1.2, label=name,
        )  # fmt: skip
    ax.set_xticks(levels, [f"{x:g}" for x in levels])
    ax.set(xlabel="nominal coverage, %", ylabel="empirical coverage, %")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
