"""Options that every benchmark has, and how it ends."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

RESULTS = Path(__file__).parents[1] / "results"


def parser(
    description: str, quick: str, parts: Sequence[str] = (), tasks: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A parser with ``--quick`` and ``--out``.

    Parameters
    ----------
    description : str
        The docstring of the benchmark, which ``--help`` prints as it is.
    quick : str
        What ``--quick`` runs.
    parts : sequence of str, optional
        Parts of the benchmark; ``--parts`` chooses some.
    tasks : sequence of str, optional
        Networks that the benchmark looks at; ``--tasks`` chooses some.
    """
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--quick", action="store_true", help=quick)
    found.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER")
    if parts:
        found.add_argument("--parts", nargs="+", choices=tuple(parts), default=list(parts))
    if tasks:
        found.add_argument(
            "--tasks", nargs="+", choices=tuple(tasks), metavar="TASK",
            help="run these only; earlier results of the others stay",
        )  # fmt: skip
    return found


def finish(console: Console, failures: Iterable[str]) -> None:
    """Print the failures in red and exit with status 1, or with 0 if there are none."""
    failed = list(failures)
    for line in failed:
        console.print(line, style="bold red")
    sys.exit(1 if failed else 0)
