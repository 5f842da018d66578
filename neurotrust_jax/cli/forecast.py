"""``neurotrust plan --from``: how many labels of an audit larger probing sets would settle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.bar import Bar
from rich.table import Table

from .._runtime.text import visible
from .inputs import read_layers
from .output import answer, console

if TYPE_CHECKING:
    from ..auditing.forecast import Forecast

__all__ = ["Layers", "Plot", "Run", "Units", "print_forecast"]

WIDTH = 20  # of the bars

Run = Annotated[
    Path | None,
    typer.Option(
        "--from",
        exists=True,
        help="Folder of neurotrust audit, merge or demo: forecast what more data would settle.",
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", help="Of --from: this layer only; may be given several times."),
]
Units = Annotated[
    list[int] | None,
    typer.Option(
        "--units",
        min=1,
        help="Of --from: for so many samples (groups where the audit had them); may be given "
        "several times. Default: once, twice, 4 and 8 times those of the audit.",
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(dir_okay=False, help="Of --from: draw the curve into a .png, .svg or .pdf file."),
]


def print_forecast(
    run: Path, layers: list[str], num_units: list[int] | None, plot: Path | None
) -> None:
    """Print a table for each layer of a run, and draw the curves into a file."""
    from ..report import save_forecasts

    found = {audit.layer: audit.forecast(num_units) for audit in read_layers(run, layers)}
    answer(
        layers=[
            {
                "layer": layer,
                "neurons": x.num_neurons,
                "units": x.num_units.tolist(),
                "expected": x.expected.tolist(),
                "reliable": x.reliable.tolist(),
            }
            for layer, x in found.items()
        ]
    )
    for layer, x in found.items():
        console.print(_table(layer, x))
    console.print(*_explained(list(found.values())), sep="\n", highlight=False, markup=False)
    if plot is not None:
        answer(plot=save_forecasts(found, plot))
        console.print(f"curve: {plot}", highlight=False, markup=False)


def _table(layer: str, forecast: Forecast) -> Table:
    of_layer = f" in layer {visible(layer)}" if layer else ""
    table = Table(title=f"{forecast.num_neurons:,} labels{of_layer}", title_justify="left")
    for name in (forecast.unit_name, "more than now", "expected", "reliable"):
        table.add_column(name, justify="right")
    table.add_column("", width=WIDTH)
    for size, expected, reliable in zip(
        forecast.num_units.tolist(), forecast.expected, forecast.reliable, strict=True
    ):
        table.add_row(
            f"{size:,}", f"{size - forecast.units_now:,}", f"{expected:,.0f}", f"{reliable:,}",
            Bar(forecast.num_neurons, 0, float(reliable), width=WIDTH),
        )  # fmt: skip
    return table


def _explained(forecasts: list[Forecast]) -> list[str]:
    """What the columns are, and what the forecast assumes."""
    one = forecasts[0]
    units = one.unit_name
    return [
        f"{units.capitalize()} are those judged, beside any that thresholds are taken from.",
        "Expected: neurons to which two such probing sets give the same label.",
        f"Reliable: neurons to which they do so with {1 - one.alpha:.0%} probability.",
        f"This is a forecast for more {units} of the same kind, with the same concepts and "
        "thresholds set in the same way.",
        *dict.fromkeys(f"It rests on the {x.guarantee}." for x in forecasts),
    ]
