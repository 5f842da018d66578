"""Zip archives of arrays: check what they say before anything is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

from .._runtime.memory import free_memory
from .._runtime.text import FileError

__all__ = ["check_archive"]

MOST_PACKED = 1032  # bytes that deflate can pack into one


def check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive that repeats a name, lies about its sizes, or does not fit the memory.

    Raises
    ------
    FileError
    """
    entries = archive.infolist()
    names = [x.filename for x in entries]
    if len(set(names)) < len(names):
        raise FileError(f"{path}: holds {max(names, key=names.count)!r} more than once")
    if any(x.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for x in entries):
        raise FileError(f"{path}: is not compressed by deflate; save it again with NumPy")
    total = sum(x.file_size for x in entries)
    packed = sum(x.compress_size for x in entries)
    if packed > path.stat().st_size or any(
        x.file_size > MOST_PACKED * (x.compress_size + 1) for x in entries
    ):
        raise FileError(f"{path}: says that it holds {total:,} bytes, more than it does")
    if total > free_memory():
        raise FileError(
            f"{path}: unpacks to {total / 2**30:.1f} GiB, more than there is memory; save its "
            "arrays as .npy files, which are read from the disk"
        )
