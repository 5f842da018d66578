"""Atomic writes, checkpoints, and the folder of caches."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .text import FileError

__all__ = [
    "Checkpoint",
    "cache_folder",
    "check_file",
    "check_folder",
    "file_hash",
    "fingerprint",
    "save_arrays",
    "whole_files",
    "write_whole",
]

UNFINISHED = ".unfinished-"  # what a process that was killed may leave behind
LEVEL = 1  # of deflate: sets are mostly zeros, and the numbers hardly shrink at any level

_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder that ``NEUROTRUST_CACHE`` names, else ``~/.cache/neurotrust_jax``."""
    return Path(os.environ.get("NEUROTRUST_CACHE", "~/.cache/neurotrust_jax")).expanduser()


def write_whole(path: Path, write: Callable[[Path], Any]) -> Path:
    """Write a file atomically: under another name first, which is then replaced."""
    with whole_files(path) as (part,):
        write(part)
    return path


@contextmanager
def whole_files(*paths: Path) -> Iterator[list[Path]]:
    """Give names to write files under; when all are written, the files get their own, in order."""
    parts = [path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}") for path in paths]
    try:
        yield parts
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> None:
    """Write an ``.npz`` file; the same arrays give the same bytes."""
    # as np.savez, whose older versions leave the archive open when the disk is full
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, compresslevel=LEVEL) as archive:
        for name, x in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, x, allow_pickle=False)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_folder(path: Path) -> Path:
    """The folder, if files can be written into it, or if it is not there but can be made.

    Raises
    ------
    FileError
        Else.
    """
    there = next(x for x in (path, *path.absolute().parents) if x.exists())
    if not there.is_dir():
        raise FileError(f"{path}: can not be a folder, since {there} is a file; give another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise FileError(f"{path}: there is no permission to write into {there}; give another")
    return path


def check_file(path: Path) -> Path:
    """The path, if a file can be written there.

    Raises
    ------
    FileError
        Else.
    """
    if path.is_dir():
        raise FileError(f"{path}: is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.parent}; make it, or give another file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FileError(f"{path}: there is no permission to write it; give another file")
    return path


def fingerprint(*parts: Any) -> str:
    """Hash, 32 hexadecimal digits, of all that a result depends on.

    Parameters
    ----------
    *parts
        Arrays, also random keys, and what JSON can write: numbers, strings, lists and dicts of
        them, None.

    Raises
    ------
    TypeError
        If a part is anything else.
    """
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, jax.Array) and jax.dtypes.issubdtype(part.dtype, jax.dtypes.prng_key):
            part = jax.random.key_data(part)
        if isinstance(part, np.ndarray | jax.Array):
            total.update(f"{part.dtype} {part.shape} ".encode())
            # as bytes, since not every dtype (bfloat16, say) has a buffer
            total.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        else:
            total.update(json.dumps(part, sort_keys=True).encode() + b"\n")
    return total.hexdigest()[:32]


class Checkpoint:
    """The finished pieces of a computation, so that it can go on where it was interrupted.

    They lie in a folder of their own, whose name is the fingerprint of all that they depend on:
    another computation never meets them, whatever else shares the folder around.

    Parameters
    ----------
    folder : Path, str or None
        Where these folders lie; None saves nothing.
    *content
        See :func:`fingerprint`.

    Raises
    ------
    ValueError
        If ``folder`` is a file.
    """

    def __init__(self, folder: Path | str | None, *content: Any) -> None:
        self.folder = None
        if folder is not None:
            if Path(folder).is_file():
                raise ValueError(f"checkpoint={str(folder)!r} is a file; give a folder")
            self.folder = Path(folder) / fingerprint(*content)
            self.folder.mkdir(parents=True, exist_ok=True)

    def piece(self, name: str, make: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        """The arrays saved under a name; made, and saved, if they are missing or damaged.

        Without a folder, the result of ``make``.
        """
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.npz"
        try:
            with path.open("rb") as file, np.load(file) as pieces:
                return tuple(pieces[f"arr_{i}"] for i in range(len(pieces.files)))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            _logger.warning("%s can not be used, working it out again: %s", path, error)
        arrays = tuple(np.asarray(x) for x in make())
        named = {f"arr_{i}": x for i, x in enumerate(arrays)}
        write_whole(path, partial(save_arrays, arrays=named))
        return arrays
