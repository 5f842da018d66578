"""Files of NumPy, ``.npy`` and ``.npz``; an ``.npz`` file may hold a sparse matrix of SciPy."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.text import FileError
from .archives import check_archive
from .errors import PICKLED
from .formats import FileFormat
from .sparse_files import FIELDS, read_scipy

__all__ = ["NPY", "NPZ", "NUMBERS", "STRINGS"]

LONGEST_HEADER = 2**16  # bytes; NumPy reads no more than 10,000
NUMBERS, STRINGS = "biuf", "SU"  # kinds of NumPy's types


def _read_npy(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        _check_header(file, path.stat().st_size, str(path))
    return {"": np.load(path, mmap_mode="r", allow_pickle=False)}


def _read_npz(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, path)
        entries = {
            x.filename.removesuffix(".npy"): x
            for x in archive.infolist()
            if x.filename.endswith(".npy")
        }
        if not entries:
            raise FileError(f"{path}: holds no arrays")
        for entry in entries.values():
            with archive.open(entry) as file:
                _check_header(file, entry.file_size, f"{path}, {entry.filename}")
        arrays = {}
        for name, entry in entries.items():
            with archive.open(entry) as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return {"": read_scipy(arrays, str(path))} if set(arrays) >= FIELDS else arrays


def _check_header(file: Any, size: int, name: str) -> None:
    """Refuse an array that does not take the number of bytes that its header states."""
    # Only the first bytes are read: NumPy would allocate whatever length a file on disk states.
    start = io.BytesIO(file.read(LONGEST_HEADER))
    version = np.lib.format.read_magic(start)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise FileError(f"{name}: version {version} of the format is not known")
    shape, _, dtype = read[version](start)
    if dtype.hasobject:
        raise FileError(f"{name}: {PICKLED}")
    if dtype.kind not in NUMBERS + STRINGS or dtype.itemsize == 0:
        raise FileError(f"{name}: has the type {dtype}; save real numbers")
    stated, follow = math.prod(shape) * dtype.itemsize, size - start.tell()
    if stated != follow:
        raise FileError(
            f"{name}: its header says {dtype} {shape}, {stated:,} bytes, but {follow:,} follow; it "
            "is damaged or not what it says"
        )


NPY = FileFormat((".npy",), _read_npy)
NPZ = FileFormat((".npz",), _read_npz)
