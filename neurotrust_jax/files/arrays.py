"""Arrays from files of whatever program wrote them; nothing in a file is executed.

A file that is not what it says is refused by a :class:`FileError`, one line that names the file,
before memory is allocated for what it claims to hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._runtime.text import FileError
from .errors import file_errors
from .formats import FileFormat
from .numpy_files import NPY, NPZ, NUMBERS, STRINGS
from .safetensors_files import SAFETENSORS
from .torch_files import TORCH

__all__ = [
    "FORMATS",
    "check_numbers",
    "choose_array",
    "read_any",
    "read_array",
    "read_arrays",
    "read_named",
    "register_format",
]

FORMATS: list[FileFormat] = [NPY, NPZ, TORCH, SAFETENSORS]


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

    ==============  ================================================================
    .npy            one array, named "", which stays on disk until it is used
    .npz            arrays by name; or one SciPy sparse matrix of any format, named ""
    .pt, .pth       a tensor (dense or sparse), or a dict of them; by safe loading only
    .safetensors    tensors by name
    ==============  ================================================================

    :func:`register_format` adds others.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        NumPy arrays or sparse matrices of SciPy, of real numbers.

    Raises
    ------
    FileError
        If the file is missing, damaged, holds pickled objects, states more than it holds or than
        fits into memory, holds no real numbers, or has an unknown format.
    ImportError
        If its format needs a package that is not installed.
    """
    path = Path(path)
    found = read_any(path)
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
    found = _suffixes().get(path.suffix.lower())
    if found is None:
        raise FileError(f"{path}: unknown kind of file; known: {', '.join(_suffixes())}")
    if not path.is_file():
        raise FileError(f"{path}: there is no such file")
    with file_errors(path):
        return found.read(path)


def choose_array(arrays: dict[str, Any], name: str, path: Path) -> tuple[str, Any]:
    """Name and values of the array that has the given name or is the only one."""
    if name in arrays:
        return name, arrays[name]
    if len(arrays) != 1:
        found = ", ".join(f"{name!r} {list(x.shape)}" for name, x in arrays.items())
        raise FileError(f"{path}: holds {found}; call the one to read {name!r}, or save it alone")
    return next(iter(arrays.items()))


def check_numbers(array: Any, name: str, path: Path) -> None:
    """Refuse an array of a file that does not hold real numbers."""
    # NumPy knows bfloat16 by its name alone
    if array.dtype.kind not in NUMBERS and array.dtype.name != "bfloat16":
        what = f"{name!r} is" if name else "it is"
        raise FileError(f"{path}: {what} of {array.dtype}; save real numbers")


def _suffixes() -> dict[str, FileFormat]:
    return {suffix: x for x in FORMATS for suffix in x.suffixes}
