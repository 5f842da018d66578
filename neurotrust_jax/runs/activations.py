"""The layers that files of activations hold, and the neurons to take of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.text import FileError
from ..files.arrays import read_any, read_column_names
from ..files.entries import split_entry
from ..files.shards import row_shards, stem

__all__ = ["Matrix", "choose_neurons", "join", "read_activations"]

TO_SHOW = 5


class Matrix(NamedTuple):
    """Activations as a file holds them.

    Attributes
    ----------
    path : Path
    name : str
        Name of the array in the file.
    values : array or sparse matrix
    columns : tuple of str
        Names of the neurons in a table, else empty.
    """

    path: Path
    name: str
    values: Any
    columns: tuple[str, ...] = ()


def join(*parts: str) -> str:
    """The parts of a layer's name that are not empty, with a slash between them."""
    return "/".join(part for part in parts if part)


def read_activations(given: tuple[Path, ...], groups: Path | None) -> dict[str, Matrix]:
    """All arrays in the files of activations, of any kind, by the name of the layer.

    Parameters
    ----------
    given : tuple of Path
    groups : Path, optional
        Where the groups come from: a column of a table that holds the groups is no neuron.
    """
    found: dict[str, Matrix] = {}
    paths = _one_of_shards(given)
    for path in paths:
        arrays, columns = read_any(path), read_column_names(path)
        if columns:  # the other columns of a table are notes about its rows
            arrays = {"": arrays[""]} | {k: x for k, x in arrays.items() if x.ndim > 1}
        for name, values in arrays.items():
            layer = name if name and len(paths) == 1 else join(stem(split_entry(path)[0]), name)
            if layer in found:
                raise FileError(f"{path}: there is another layer {layer!r}; rename the file")
            found[layer] = _without_groups(Matrix(path, name, values, columns), groups)
    return found


def _one_of_shards(paths: tuple[Path, ...]) -> list[Path]:
    """The paths, but of those that name shards of one array the first only."""
    found: dict[Any, Path] = {}
    for i, path in enumerate(paths):
        file, entry = split_entry(path)
        shards = row_shards(file)
        found.setdefault((shards[0], entry) if len(shards) > 1 else i, path)
    return list(found.values())


def _without_groups(matrix: Matrix, groups: Path | None) -> Matrix:
    """A table without the column that gives the groups."""
    if groups is None or not matrix.columns:
        return matrix
    file, entry = split_entry(groups)
    if entry not in matrix.columns or not file.samefile(matrix.path):
        return matrix
    kept = [i for i, name in enumerate(matrix.columns) if name != entry]
    columns = tuple(matrix.columns[i] for i in kept)
    return matrix._replace(values=np.asarray(matrix.values)[:, kept], columns=columns)


def choose_neurons(
    names: tuple[str, ...], wanted: list[str], num_neurons: int, path: Path
) -> list[int]:
    """The columns of the wanted neurons, by their names; without names, by their numbers.

    Raises
    ------
    FileError
        If a neuron is not there, or wanted twice.
    """
    place = {name: i for i, name in enumerate(names or map(str, range(num_neurons)))}
    lacking = [name for name in wanted if name not in place]
    if lacking:
        there = f"are numbered from 0 to {num_neurons - 1}"
        if names:
            there = f"are named {', '.join(map(repr, names[:TO_SHOW]))}"
            there += " and so on" if len(names) > TO_SHOW else ""
        raise FileError(
            f"{path}: {len(lacking)} of its {len(wanted)} neurons are not in the layer, such as "
            f"{lacking[0]!r}; its neurons {there}"
        )
    if len(set(wanted)) < len(wanted):
        twice = max(wanted, key=wanted.count)
        raise FileError(f"{path}: names the neuron {twice!r} twice; leave one of the lines out")
    if not wanted:
        raise FileError(f"{path}: names no neurons; give one name or number per line")
    return [place[name] for name in wanted]
