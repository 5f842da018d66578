"""Files of HDF5; numbers stay on the disk until they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.memory import free_memory
from .._runtime.text import FileError
from .archives import MOST_PACKED
from .errors import file_errors
from .formats import FileFormat
from .numpy_files import NUMBERS

__all__ = ["HDF5"]


class HDF5Rows:
    """A dataset that is read when it is used; its errors name the file."""

    def __init__(self, item: Any, path: Path) -> None:
        self.item, self.path = item, path
        self.shape, self.ndim, self.dtype = item.shape, item.ndim, item.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> Any:
        with file_errors(self.path):
            return self.item[rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it, in memory."""
        return np.asarray(self[()], dtype)


def _read_hdf5(path: Path) -> dict[str, Any]:
    import h5py

    found: dict[str, Any] = {}

    def add(name: str, item: Any) -> None:
        # Single values and compound types are notes about the arrays.
        if not isinstance(item, h5py.Dataset) or not item.shape:
            return
        if h5py.check_string_dtype(item.dtype) is not None:
            _check_size(item, path)
            found[name] = np.asarray(item.asstr()[()], dtype=str)
        elif item.dtype.kind in NUMBERS:
            _check_size(item, path)
            found[name] = HDF5Rows(item, path)
            if item.size:  # fails if it is packed by a filter that is not installed
                found[name][(0,) * item.ndim]

    # The datasets hold the file open. Links that leave the file are not followed.
    file = h5py.File(path, "r")
    try:
        file.visititems(add)
    except RuntimeError:
        raise FileError(f"{path}: is damaged, so that HDF5 can not list what it holds") from None
    if not found:
        raise FileError(f"{path}: holds no arrays of numbers or strings")
    return found


def _check_size(item: Any, path: Path) -> None:
    """Refuse a dataset that states more than it stores and more than fits into memory."""
    stored = item.id.get_storage_size()
    if item.nbytes > free_memory() and item.nbytes > MOST_PACKED * (stored + 1):
        raise FileError(
            f"{path}: says that {item.name} holds {item.nbytes:,} bytes, more than it does"
        )


HDF5 = FileFormat((".h5", ".hdf5"), _read_hdf5, package="h5py")
