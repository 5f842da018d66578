"""Tables and progress bars in the terminal."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import track as rich_track
from rich.table import Table


def table(
    title: str, columns: Sequence, rows: Iterable[Sequence], failed: Sequence[bool] = ()
) -> Table:
    """A table whose first column is aligned left and the others right.

    Parameters
    ----------
    title : str
    columns : sequence
        Headers.
    rows : iterable of sequences
        Cells, which are turned into text.
    failed : sequence of bool, optional
        Rows to print in red.
    """
    result = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        result.add_column(str(column), justify="right" if i else "left")
    for i, row in enumerate(rows):
        red = i < len(failed) and failed[i]
        result.add_row(*map(str, row), style="red" if red else "")
    return result


def number(x: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals; nothing for None."""
    return "" if x is None else f"{x:.{digits}f}"


def with_error(x: float, error: float, digits: int = 3) -> str:
    """A number and its standard error."""
    return f"{x:.{digits}f} +- {error:.{digits}f}"


def track(items: Iterable, description: str) -> Iterable:
    """Iterate with a progress bar on standard error."""
    return rich_track(items, description, console=Console(stderr=True))


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int], Callable]]:
    """Several progress bars on standard error.

    Yields a function of a description and a total, which adds a bar and returns the function that
    advances it, by 1 unless it is given a number.
    """
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def add(description, total):
            task = progress.add_task(description, total=total)
            return lambda count=1: progress.advance(task, count)

        yield add
