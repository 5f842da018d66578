"""Tables of Parquet: columns of numbers are one matrix with names, columns of lists one each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.memory import free_memory
from .._runtime.text import FileError
from .formats import FileFormat

__all__ = ["PARQUET"]

GROUPS = "groups"  # a column of this name is the group of each row, not a neuron or concept


class _Layout(NamedTuple):
    """The names of columns, by what they hold."""

    numbers: list[str]
    lists: list[str]
    texts: list[str]

    @property
    def matrix(self) -> list[str]:
        """The columns of the array ""; beside lists, single numbers are notes about the rows."""
        return [] if self.lists else [name for name in self.numbers if name != GROUPS]


def _read_parquet(path: Path) -> dict[str, Any]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        layout = _layout(file.schema_arrow, path)
        wanted = [*layout.numbers, *layout.lists, *layout.texts]
        stated = 8 * file.metadata.num_rows * len(wanted)
        if stated > free_memory():
            raise FileError(f"{path}: unpacks to {stated:,} bytes, more than there is memory")
        table = file.read(columns=wanted)
    found: dict[str, Any] = {}
    if layout.matrix:
        found[""] = np.stack([_numbers(table[name]) for name in layout.matrix], axis=1)
    for name in layout.lists:
        matrix = _rows_of_lists(table[name])
        if matrix is not None:
            found[name] = matrix
    found |= {name: _numbers(table[name]) for name in layout.numbers if name not in layout.matrix}
    found |= {name: _strings(table[name], name, path) for name in layout.texts}
    if not found:
        raise FileError(f"{path}: has no columns of numbers, of lists of one length, or of strings")
    return found


def _column_names(path: Path) -> tuple[str, ...]:
    from pyarrow.parquet import read_schema

    return tuple(_layout(read_schema(path), path).matrix)


def _layout(schema: Any, path: Path) -> _Layout:
    from pyarrow import types

    # pandas stores its index as a column, and says so
    index = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    found = _Layout([], [], [])
    for field in schema:
        kind = field.type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if field.name in index:
            continue
        if len(schema.get_all_field_indices(field.name)) > 1:
            raise FileError(f"{path}: has the column {field.name!r} twice; rename one of them")
        if _is_number(kind):
            found.numbers.append(field.name)
        elif types.is_string(kind) or types.is_large_string(kind):
            found.texts.append(field.name)
        elif _is_list(kind) and _is_number(kind.value_type):
            found.lists.append(field.name)
    return found


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _numbers(column: Any) -> np.ndarray:
    """A column of numbers; a missing one is NaN, which is refused where it is used."""
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return np.asarray(column.to_numpy())


def _rows_of_lists(column: Any) -> np.ndarray | None:
    """A matrix of lists of one length; None if they differ."""
    import pyarrow.compute as pc

    lengths = np.unique(np.asarray(pc.list_value_length(column).to_numpy()))
    if len(lengths) != 1 or not lengths[0] > 0:
        return None
    return _numbers(pc.list_flatten(column)).reshape(len(column), int(lengths[0]))


def _strings(column: Any, name: str, path: Path) -> np.ndarray:
    if column.null_count:
        raise FileError(
            f"{path}: column {name!r} lacks {column.null_count} of its {len(column)} values; fill "
            "them, or leave the column out"
        )
    return np.asarray(column.to_pylist(), dtype=str)


PARQUET = FileFormat((".parquet",), _read_parquet, package="pyarrow", column_names=_column_names)
