"""``neurotrust merge``: several runs become one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import OutFolder, Rows, existing_file
from .output import answer, console, run_facts

__all__ = ["merge_command"]

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]FOLDER...",
        help="Folders of neurotrust audit. A name comes before the names of the run's layers.",
    ),
]
ExampleFile = Annotated[
    Path | None,
    existing_file("The samples to show, if the file is no longer where the runs read it."),
]
Force = Annotated[bool, typer.Option("--force", help="Write into OUT, whatever it holds.")]


def merge_command(
    runs: Runs,
    out: OutFolder,
    examples: ExampleFile = None,
    rows: Rows = 0,
    force: Force = False,
) -> None:
    """Merge several audits of the same probing set into one report.

    OUT then holds what one audit of all layers would have written. The runs must have the same
    concepts, groups, options and version. Sets, probabilities and false discovery rates are those
    of each layer by itself, as in one audit of all layers. Runs of parts of one layer get names, as
    in first=OUT1 second=OUT2, and stay layers of the report.
    """
    from ..report import neuron_table
    from ..runs import merge_runs

    found = merge_runs([_named(x) for x in runs], out, examples=examples, force=force)
    answer(**run_facts(out, found))
    for audit in found:
        if rows:
            console.print(neuron_table(audit, rows=rows))
        verdicts = ", ".join(f"{n:,} {v.text}" for v, n in audit.verdict_counts.items() if n)
        console.print(f"{audit.title}: {verdicts}.", highlight=False, markup=False)
    console.print(
        f"Wrote {out}. Open {out / 'report.html'} in a browser.", highlight=False, markup=False
    )


def _named(text: str) -> tuple[str, Path]:
    """A folder of exactly that name, else what stands before and after the first ``=``."""
    name, equals, folder = text.partition("=")
    if equals and name and not Path(text).exists():
        return name, Path(folder)
    return "", Path(text)
