"""What the commands print: the console, progress bars, cells of tables, one JSON object."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from ..auditing.result import Audit

__all__ = [
    "answer",
    "console",
    "errors",
    "layer_facts",
    "log_line",
    "number",
    "output_mode",
    "progress_bars",
    "run_facts",
]

SECONDS = 10.0  # between two lines of the log

console = Console()
errors = Console(stderr=True)


@dataclass
class _Mode:
    """How the present command prints, and what it has to say as JSON."""

    quiet: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


_mode = _Mode()


@contextmanager
def output_mode(command: str, *, quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """Run a command quietly, or so that it prints one JSON object: what it gave :func:`answer`.

    Nothing is printed as JSON if the command fails.
    """
    _mode.quiet, _mode.facts = quiet, {}
    console.quiet = quiet or as_json
    start = time.perf_counter()
    try:
        yield
        if as_json:
            seconds = round(time.perf_counter() - start, 3)
            content = {"command": command, **_plain(_mode.facts), "seconds": seconds}
            sys.stdout.write(json.dumps(content, indent=1, allow_nan=False) + "\n")
    finally:
        _mode.quiet, _mode.facts = False, {}
        console.quiet = False


def answer(**facts: Any) -> None:
    """State what ``--json`` prints: numbers, texts, paths, and lists and dicts of them."""
    _mode.facts.update(facts)


def layer_facts(audit: Audit) -> dict[str, Any]:
    """What ``--json`` says of a layer."""
    return {
        "layer": audit.layer,
        "metric": audit.metric,
        "neurons": len(audit.label),
        "concepts": audit.num_judged,
        "samples": audit.num_samples,
        "verdicts": {verdict.text: count for verdict, count in audit.verdict_counts.items()},
    }


def run_facts(out: Path, audits: list[Audit]) -> dict[str, Any]:
    """What ``--json`` says of a folder with the audits of some layers."""
    from ..runs import saved_audits

    return {
        "out": out,
        "layers": [layer_facts(x) for x in audits],
        "page": out / "report.html",
        "descriptions": out / "descriptions.csv",
        "audits": saved_audits(out),
    }


def _plain(value: Any) -> Any:
    """A value as JSON can write it: NaN and infinity as null, NumPy's numbers as Python's."""
    if isinstance(value, dict):
        return {str(k): _plain(x) for k, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress_bars() -> Iterator[StageProgress]:
    """Show the progress of each stage: as bars on a terminal, else as lines on standard error.

    A quiet command shows none.
    """
    if _mode.quiet:
        yield lambda stage, done, total: None
        return
    # not is_terminal, which notebooks and CI force for the colours: bars would fill their output
    with _bars() if console.file.isatty() and not console.quiet else _log() as progress:
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
