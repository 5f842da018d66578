"""Text from files: names and parents of concepts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.text import FileError
from .arrays import choose_array, is_array_file, read_any
from .entries import split_entry
from .errors import file_errors
from .numpy_files import STRINGS
from .tables import read_rows

__all__ = ["is_text", "is_text_file", "read_hierarchy", "read_names", "read_texts"]

TABLES = (".csv", ".tsv", ".tab")
NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def read_names(path: str | Path) -> list[str]:
    """Read names: one per line, a list or ``{id: name}`` in a .json file, or an array.

    An array comes from a file of arrays in which it is the only one, is called "names", or is
    chosen by ``FILE:ENTRY``. It may hold strings or bytes, or the whole numbers of neurons.

    Raises
    ------
    FileError
        If the file is missing, is not UTF-8 text, holds something else, or lacks an id from 0 to
        the last.
    """
    path = Path(path)
    if is_array_file(path):
        return _strings(choose_array(read_any(path), "names", path)[1], path)
    with file_errors(path):
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".json":
            return _lines(text)
        found = json.loads(text)
    if isinstance(found, dict):
        found = _by_number(found, path)
    if not isinstance(found, list) or not all(is_text(x) for x in found):
        raise FileError(f"{path}: must be a list of strings, or strings by their number")
    return found


def _lines(text: str) -> list[str]:
    """The lines of a text, without empty ones at its end."""
    lines = text.split("\n")  # Unicode knows other line ends, which may be part of a name
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _by_number(found: dict[str, Any], path: Path) -> list[Any]:
    """The values of ``{"0": name, "1": name}``, in the order of the numbers."""
    if not all(NUMBER.fullmatch(key) for key in found):
        key = next(key for key in found if not NUMBER.fullmatch(key))
        raise FileError(
            f"{path}: must be a list of strings, or strings by their number, got the key {key!r}"
        )
    numbered = {int(key): name for key, name in found.items()}
    if sorted(numbered) != list(range(len(found))):
        lost = next(i for i in range(len(found)) if i not in numbered)
        raise FileError(f"{path}: must number its names from 0 without a gap; {lost} is missing")
    return [numbered[i] for i in range(len(found))]


def is_text_file(path: Path) -> bool:
    """Whether :func:`read_texts` reads a file."""
    return split_entry(path)[0].suffix.lower() in (".txt", *TABLES)


def read_texts(path: str | Path) -> list[str]:
    """Read one text per sample: the lines of a .txt file, or a column of a .csv or .tsv table.

    The first line of a table names its columns. Of several, ``FILE:COLUMN`` chooses one.

    Raises
    ------
    FileError
        If the file is missing, is not UTF-8 text, or has no such column.
    """
    file, entry = split_entry(path)
    if file.suffix.lower() not in TABLES:
        with file_errors(file):
            return _lines(file.read_text(encoding="utf-8-sig"))
    (_, header), *body = read_rows(file) or [(1, [])]
    if not (entry in header if entry else len(header) == 1):
        columns = ", ".join(map(repr, header))
        raise FileError(f"{file}: has the columns {columns}; choose one by {file}:COLUMN")
    place = header.index(entry) if entry else 0
    for line, row in body:
        if len(row) != len(header):
            raise FileError(f"{file}: line {line} has {len(row)} cells for {len(header)} columns")
    return [row[place] for _, row in body]


def _strings(array: Any, path: Path) -> list[str]:
    if array.ndim == 1 and array.dtype.kind in "iu":
        return [str(x) for x in np.asarray(array).tolist()]
    if array.ndim != 1 or array.dtype.kind not in STRINGS:
        raise FileError(
            f"{path}: names must be strings of shape [C], got {array.dtype} {list(array.shape)}"
        )
    with file_errors(path):
        names = [x.decode() if isinstance(x, bytes) else x for x in array.tolist()]
    if not all(is_text(x) for x in names):
        raise FileError(f"{path}: must hold whole characters")
    return names


def is_text(x: Any) -> bool:
    r"""Whether it is a string that can be written; JSON can state half of a character, "\ud800"."""
    return isinstance(x, str) and not any("\ud800" <= c <= "\udfff" for c in x)


def read_hierarchy(path: str | Path) -> dict[str, str]:
    """Read the parents of concepts: a .json object, or lines "child<tab>parent" or "child,parent".

    Raises
    ------
    FileError
        If the file is missing or holds something else, such as a line of three columns.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        with file_errors(path):
            text = path.read_text(encoding="utf-8-sig")
            found = json.loads(text, object_pairs_hook=_one_parent_each)
    else:
        rows = read_rows(path)
        for line, row in rows:
            if len(row) != 2:
                raise FileError(
                    f"{path}: line {line} has {len(row)} columns; give two, a child and its "
                    "parent, and quote a name that holds a comma"
                )
        with file_errors(path):
            found = _one_parent_each(row for _, row in rows)
    if not isinstance(found, dict) or not all(is_text(x) for x in (*found, *found.values())):
        raise FileError(f"{path}: must state the parent, a string, of each concept")
    return found


def _one_parent_each(pairs: Any) -> dict[Any, Any]:
    """Pairs as a dict; raise if a child has two parents."""
    found: dict[Any, Any] = {}
    for child, parent in pairs:
        if found.setdefault(child, parent) != parent:
            raise ValueError(f"{child!r} has two parents, {found[child]!r} and {parent!r}")
    return found
