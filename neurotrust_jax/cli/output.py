"""What the commands print: the console, progress bars, cells of tables."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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

__all__ = ["console", "errors", "log_line", "number", "progress_bars"]

SECONDS = 10.0  # between two lines of the log

console = Console()
errors = Console(stderr=True)


@contextmanager
def progress_bars() -> Iterator[StageProgress]:
    """Show the progress of each stage: as bars on a terminal, else as lines on standard error."""
    with _bars() if console.is_terminal else _log() as progress:
        yield progress


@contextmanager
def _bars() -> Iterator[StageProgress]:
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


@dataclass
class _Stage:
    """A stage since its first report, which an earlier run may have brought some way."""

    name: str
    first: int
    done: int
    total: int
    start: float = field(default_factory=time.monotonic)


@contextmanager
def _log() -> Iterator[StageProgress]:
    """Write a line about the present stage every few seconds, also where no report comes in.

    Stages take turns where a layer is read in blocks of neurons; each counts on.
    """
    stages: dict[str, _Stage] = {}
    present: list[_Stage] = []
    ended = threading.Event()

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in stages or done < stages[stage].done:
            stages[stage] = _Stage(stage, done, done, total)
        present[:] = [stages[stage]]
        stages[stage].done, stages[stage].total = done, total

    def write() -> None:
        while not ended.wait(SECONDS):
            for x in present[:]:
                gone = time.monotonic() - x.start
                errors.print(
                    log_line(x.name, x.first, x.done, x.total, gone),
                    highlight=False, markup=False, soft_wrap=True,
                )  # fmt: skip

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield progress
    finally:
        ended.set()
        writer.join()


def log_line(stage: str, first: int, done: int, total: int, seconds: float) -> str:
    """How far a stage is that stood at ``first`` some seconds ago, and how long it will take."""
    text = f"{stage}: {done:,} of {total:,}, {_duration(seconds)} so far"
    if first < done < total:
        text += f", about {_duration(seconds * (total - done) / (done - first))} left"
    return text


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def number(value: float, form: str) -> str:
    """A number as a cell of a table, "-" where it is not finite."""
    return format(value, form) if math.isfinite(value) else "-"
