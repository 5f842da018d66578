"""Row shards: one array that was saved as several files, ``acts-00000-of-00004.npy`` and so on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.text import FileError

__all__ = ["RowShards", "row_shards", "stack_shards", "stem"]

SHARD = re.compile(r"(?P<head>.+)-(?P<number>\d+)-of-(?P<total>\d+)(?P<suffix>\..*)?")


def row_shards(file: Path) -> list[Path]:
    """All shards of the array that a file belongs to, in order; else the file alone.

    Raises
    ------
    FileError
        If a shard is missing.
    """
    name = SHARD.fullmatch(file.name)
    if name is None:
        return [file]
    head, total, suffix = name["head"], int(name["total"]), name["suffix"] or ""
    digits = len(name["number"])
    shards = {}
    for path in file.parent.iterdir():
        other = SHARD.fullmatch(path.name)
        if (
            other
            and (other["head"], other["total"], other["suffix"] or "")
            == (head, name["total"], suffix)
            and len(other["number"]) == digits
        ):
            shards[int(other["number"])] = path
    start = 0 if 0 in shards else 1
    missing = [i for i in range(start, start + total) if i not in shards]
    if missing:
        lost = f"{head}-{missing[0]:0{digits}d}-of-{name['total']}{suffix}"
        if missing[0] == total:  # they may be counted from 0 or from 1
            lost = f"number 0 or {lost}"
        raise FileError(
            f"{file}: of its {total} shards {len(missing)} missing from its folder, such as {lost}"
        )
    if len(shards) > total:
        raise FileError(f"{file}: has {len(shards)} shards beside it, numbered beyond its {total}")
    return [shards[i] for i in sorted(shards)]


def stem(file: Path) -> str:
    """The name of a file without its suffix, and without its number if it is a shard."""
    plain = file.name.removesuffix(".safetensors.index.json")
    plain = plain if plain != file.name else file.stem
    name = SHARD.fullmatch(plain)
    return name["head"] if name else plain


class RowShards:
    """Arrays below one another, which stay on the disk until they are read.

    Parameters
    ----------
    parts : list of arrays
        Of equal shape but for their first axis.
    """

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts
        self.ends = np.cumsum([x.shape[0] for x in parts])
        self.shape = (int(self.ends[-1]), *parts[0].shape[1:])
        self.ndim = len(self.shape)
        self.dtype = np.result_type(*(x.dtype for x in parts))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Read the rows of a slice of step 1."""
        start, stop, _ = rows.indices(len(self))
        found = [np.empty((0, *self.shape[1:]), self.dtype)]
        for end, part in zip(self.ends, self.parts, strict=True):
            first = int(end) - part.shape[0]
            if start < end and first < stop:
                found.append(np.asarray(part[max(start - first, 0) : stop - first]))
        return np.concatenate(found).astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows, in memory."""
        return self[0 : len(self)].astype(dtype or self.dtype, copy=False)


def stack_shards(parts: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """Put the arrays of one name in all shards below one another.

    Raises
    ------
    FileError
        If an array is missing in a shard, or its rows differ in shape.
    """
    first, found = next(iter(parts)), {}
    for path, arrays in parts.items():
        for name in {**parts[first], **arrays}:
            holder, other = (first, path) if name in parts[first] else (path, first)
            if name not in parts[other]:
                raise FileError(
                    f"{other}: lacks {name!r}, which {holder.name} holds; shards must hold the "
                    "same arrays, some rows each (tensors shared out by their names need their "
                    ".safetensors.index.json)"
                )
            one, rows = parts[first][name].shape, arrays[name].shape
            if not rows or rows[1:] != one[1:]:
                raise FileError(
                    f"{path}: {name or 'its array'} has the shape {list(rows)}, which does not fit "
                    f"below {list(one)} of {first.name}"
                )
    for name in parts[first]:
        found[name] = _stack([arrays[name] for arrays in parts.values()])
    return found


def _stack(arrays: list[Any]) -> Any:
    if any(hasattr(x, "tocoo") for x in arrays):
        from scipy.sparse import vstack

        return vstack(arrays, format="csr")
    if arrays[0].ndim == 1:
        return np.concatenate([np.asarray(x) for x in arrays])
    return RowShards(arrays)
