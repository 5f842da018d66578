"""Text from files: names and parents of concepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._runtime.text import FileError
from .arrays import choose_array, read_any
from .errors import file_errors
from .numpy_files import STRINGS
from .tables import read_rows

__all__ = ["is_text", "read_hierarchy", "read_names"]


def read_names(path: str | Path) -> list[str]:
    """Read names: one per line, a list of strings in a .json file, or an array of strings.

    An array comes from a .npy file, or from a .npz file in which it is the only one or is called
    "names". It may hold strings or bytes.

    Raises
    ------
    FileError
        If the file is missing, is not UTF-8 text, or holds something else.
    """
    path = Path(path)
    if path.suffix.lower() in (".npy", ".npz"):
        return _strings(choose_array(read_any(path), "names", path)[1], path)
    with file_errors(path):
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".json":
            names = text.split("\n")  # Unicode knows other line ends, which may be part of a name
            while names and not names[-1].strip():
                names.pop()
            return names
        found = json.loads(text)
    if not isinstance(found, list) or not all(is_text(x) for x in found):
        raise FileError(f"{path}: must be a list of strings")
    return found


def _strings(array: Any, path: Path) -> list[str]:
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
