"""What the commands print: the console, progress bars, cells of tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from .._runtime.chunks import StageProgress

__all__ = ["console", "number", "progress_bars"]

console = Console()


@contextmanager
def progress_bars() -> Iterator[StageProgress]:
    """Show a progress bar for each stage."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        stages: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield progress


def number(value: float, form: str) -> str:
    """A number as a cell of a table, "-" where it is not finite."""
    return format(value, form) if math.isfinite(value) else "-"
