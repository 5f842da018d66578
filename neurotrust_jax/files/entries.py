"""``FILE:ENTRY``: one entry of a file that holds several arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._runtime.text import FileError

__all__ = ["choose_entries", "same_input", "split_entry"]

SHOWN = 12  # names of entries in a message


def split_entry(path: str | Path) -> tuple[Path, str]:
    """The file that ``FILE:ENTRY`` names, and the entry: "" for the whole file.

    A file whose own name holds a colon is found first.
    """
    text = str(path)
    if not Path(text).exists():
        cut = text.rfind(":")
        while cut > 0:
            if Path(text[:cut]).exists():
                return Path(text[:cut]), text[cut + 1 :]
            cut = text.rfind(":", 0, cut)
    return Path(text), ""


def same_input(one: Path, other: Path) -> bool:
    """Whether two paths name one entry of one file."""
    (file, entry), (other_file, other_entry) = split_entry(one), split_entry(other)
    return entry == other_entry and file.samefile(other_file)


def choose_entries(
    arrays: dict[str, Any], entry: str, columns: Sequence[str], file: Path
) -> dict[str, Any]:
    """The array that an entry names, or all arrays below it.

    Parameters
    ----------
    arrays : dict of arrays
    entry : str
        The name of an array, such as "layers/3/mlp"; the beginning of several names, "layers/3";
        or a column of a table.
    columns : sequence of str
        Names of the columns of the array "", if it is a table.
    file : Path

    Raises
    ------
    FileError
        If there is no such entry.
    """
    if entry in arrays:
        return {entry: arrays[entry]}
    if entry in columns:
        return {entry: arrays[""][:, list(columns).index(entry)]}
    below = {name: x for name, x in arrays.items() if name.startswith(f"{entry}/")}
    if below:
        return below
    names = [*filter(None, arrays), *columns]
    there = ", ".join(map(repr, names[:SHOWN])) or "one array without a name"
    more = f" and {len(names) - SHOWN} others" if len(names) > SHOWN else ""
    raise FileError(f"{file}: has no entry {entry!r}; there are: {there}{more}")
