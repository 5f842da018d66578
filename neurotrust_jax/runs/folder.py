"""The folder of an audit: one run at a time writes into it, and leaves nothing half written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .._runtime.checkpoint import UNFINISHED
from .._runtime.text import FileError

__all__ = ["CHUNKS", "lock_folder", "remove_unfinished"]

CHUNKS = UNFINISHED + "chunks"  # the finished chunks of a layer, until all of it is done
# a file of an audit that was not written to its end
UNFINISHED_FILE = re.compile(
    re.escape(UNFINISHED)
    + r"\d+-(manifest\.json|audit\.(json|arrays\.npz)|examples\.npy|descriptions\.csv|report\.html"
    + r"|\w+\.(png|svg))"
)


@contextmanager
def lock_folder(out: Path) -> Iterator[None]:
    """Lock a folder against other processes.

    Raises
    ------
    FileError
        If another process has locked it.
    """
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FileError(
            f"{out}: another run is writing into it; wait for it to end, or give another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def remove_unfinished(folder: Path, force: bool) -> None:
    """Remove the unfinished files of this audit, but no file of another audit or program.

    The finished chunks of a layer stay, unless ``force`` starts it over.
    """
    chunks = folder / CHUNKS
    if force:
        shutil.rmtree(chunks, ignore_errors=True)
    for part in (*folder.glob(f"{UNFINISHED}*"), *chunks.rglob(f"{UNFINISHED}*")):
        if part.is_file() and (part.parent != folder or UNFINISHED_FILE.fullmatch(part.name)):
            part.unlink()
