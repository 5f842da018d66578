"""Arrays from files of whatever program wrote them; nothing in a file is executed.

A file that is not what it says is refused by a :class:`FileError`, one line that names the file,
before memory is allocated for what it claims to hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._runtime.text import FileError
from .entries import choose_entries, split_entry
from .errors import file_errors
from .formats import FileFormat
from .hdf5_files import HDF5
from .numpy_files import NPY, NPZ, NUMBERS, STRINGS
from .parquet_files import PARQUET
from .safetensors_files import SAFETENSORS, SAFETENSORS_INDEX
from .shards import row_shards, stack_shards
from .torch_files import TORCH

__all__ = [
    "FORMATS",
    "check_numbers",
    "choose_array",
    "files_behind",
    "is_array_file",
    "read_any",
    "read_array",
    "read_arrays",
    "read_column_names",
    "read_named",
    "register_format",
]

FORMATS: list[FileFormat] = [NPY, NPZ, TORCH, SAFETENSORS, SAFETENSORS_INDEX, HDF5, PARQUET]


def register_format(added: FileFormat) -> FileFormat:
    """Make a format known to everything that reads arrays.

    Parameters
    ----------
    added : FileFormat

    Returns
    -------
    FileFormat
        The same object.

    Raises
    ------
    ValueError
        If a suffix is not of the form ".x" in lower case, or belongs to another format.
    """
    known = _suffixes()
    for suffix in added.suffixes:
        if not suffix.startswith(".") or suffix != suffix.lower():
            raise ValueError(f"suffix {suffix!r} must begin with a dot and be in lower case")
        if suffix in known:
            raise ValueError(f"suffix {suffix!r} belongs to another format; choose another")
    FORMATS.append(added)
    return added


def read_arrays(path: str | Path) -> dict[str, Any]:
    """Read all arrays of a file, by name.

    ========================  ====================================================================
    .npy                      one array, named "", which stays on disk until it is used
    .npz                      arrays by name; or one SciPy sparse matrix of any format, named ""
    .pt, .pth                 a tensor (dense or sparse), or dicts and lists of them, named by
                              their path, such as "layers/3/mlp"; by safe loading only
    .safetensors              tensors by name
    .safetensors.index.json   the tensors of all files that the index lists
    .h5, .hdf5                datasets by their path, which stay on disk until they are used
    .parquet                  one matrix of all columns of numbers, named ""; or columns of lists
                              of one length by name
    ========================  ====================================================================

    :func:`register_format` adds others. What is no array of numbers, such as notes and texts
    beside it, is passed over.

    Parameters
    ----------
    path : path
        A file; or ``FILE:ENTRY`` for one of its arrays, for all arrays whose names begin with
        "ENTRY/", or for one column of a table. Of row shards, ``acts-00000-of-00004.npy`` and so
        on, any one stands for all of them, which are read as one array.

    Returns
    -------
    dict
        NumPy arrays or sparse matrices of SciPy, of real numbers.

    Raises
    ------
    FileError
        If the file, its entry or a shard is missing, or if it is damaged, holds pickled objects,
        states more than it holds or than fits into memory, holds no real numbers, or has an unknown
        format.
    ImportError
        If its format needs a package that is not installed.
    """
    path = Path(path)
    every = read_any(path)
    found = {name: x for name, x in every.items() if x.dtype.kind not in STRINGS} or every
    for name, array in found.items():
        check_numbers(array, name, path)
    return found


def read_array(path: str | Path, name: str | None = None) -> Any:
    """Read one array of a file: the named one, or the only one there is.

    Raises
    ------
    FileError
        As :func:`read_arrays`; also if there is no array of that name, or if there are several and
        none is named.
    """
    found = read_arrays(path)
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        remedy = "give one of its names" if name is None else f"there is no {name!r}"
        raise FileError(f"{path}: holds {', '.join(map(repr, found))}; {remedy}")
    return found[name]


def read_named(path: Path, name: str, *, strings: bool = False) -> Any:
    """Read the array of a file that is the only one or has the given name.

    It holds real numbers, or with ``strings`` also strings or bytes.

    Raises
    ------
    FileError
        As :func:`read_arrays`; also if there are several arrays and none has that name.
    """
    found, array = choose_array(read_any(path), name, path)
    if not (strings and array.dtype.kind in STRINGS):
        check_numbers(array, found, path)
    return array


def read_any(path: Path) -> dict[str, Any]:
    """As :func:`read_arrays`, but arrays may also hold strings."""
    file, entry = split_entry(path)
    if not file.is_file():
        raise FileError(f"{path}: there is no such file")
    kind = _format_of(file)
    shards = row_shards(file)
    parts = {}
    for shard in shards:
        with file_errors(shard):
            parts[shard] = kind.read(shard)
    found = parts[file] if len(shards) == 1 else stack_shards(parts)
    return choose_entries(found, entry, read_column_names(file), file) if entry else found


def read_column_names(path: Path) -> tuple[str, ...]:
    """Names of the columns of the array "" of a table, one after another; else none.

    Raises
    ------
    FileError
        If the shards of a table differ in theirs.
    """
    file, entry = split_entry(path)
    kind = _suffixes().get(_suffix_of(file))
    if entry or kind is None or kind.column_names is None:
        return ()
    names = {}
    for shard in row_shards(file):
        with file_errors(shard):
            names[shard] = kind.column_names(shard)
    for shard, found in names.items():
        if found != names[next(iter(names))]:
            raise FileError(f"{shard}: has other columns than {next(iter(names)).name}")
    return next(iter(names.values()))


def files_behind(path: Path) -> list[Path]:
    """All files that are read where this one is named."""
    file, _ = split_entry(path)
    kind = _suffixes().get(_suffix_of(file))
    others = kind.other_files if kind is not None else None
    found = []
    for shard in row_shards(file):
        with file_errors(shard):
            found += [shard, *(others(shard) if others else ())]
    return found


def is_array_file(path: Path) -> bool:
    """Whether the name of a file, or of an entry of one, is that of a file of arrays."""
    return bool(_suffix_of(split_entry(path)[0]))


def _format_of(file: Path) -> FileFormat:
    found = _suffixes().get(_suffix_of(file))
    if found is None:
        raise FileError(f"{file}: unknown kind of file; known: {', '.join(_suffixes())}")
    return found


def _suffix_of(file: Path) -> str:
    """The longest known suffix of the name of a file, or "" if none is known."""
    name = file.name.lower()
    return max((x for x in _suffixes() if name.endswith(x)), key=len, default="")


def choose_array(arrays: dict[str, Any], name: str, path: Path) -> tuple[str, Any]:
    """Name and values of the array that has the given name, has none, or is the only one."""
    name = "" if name not in arrays and "" in arrays else name  # the numbers of a table
    if name in arrays:
        return name, arrays[name]
    if len(arrays) != 1:
        found = ", ".join(f"{name!r} {list(x.shape)}" for name, x in arrays.items())
        raise FileError(
            f"{path}: holds {found}; call the one to read {name!r}, or choose it by FILE:ENTRY"
        )
    return next(iter(arrays.items()))


def check_numbers(array: Any, name: str, path: Path) -> None:
    """Refuse an array of a file that does not hold real numbers."""
    # NumPy knows bfloat16 by its name alone
    if array.dtype.kind not in NUMBERS and array.dtype.name != "bfloat16":
        what = f"{name!r} is" if name else "it is"
        raise FileError(f"{path}: {what} of {array.dtype}; save real numbers")


def _suffixes() -> dict[str, FileFormat]:
    return {suffix: x for x in FORMATS for suffix in x.suffixes}
