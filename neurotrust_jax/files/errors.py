"""Errors of damaged files, as one line that names the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._runtime.text import FileError

__all__ = ["PICKLED", "file_errors"]

PICKLED = "it holds pickled objects, which could run code; save plain arrays instead"


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into a :class:`FileError`.

    An ``ImportError`` passes: the package that the file needs is missing.
    """
    try:
        # Libraries warn of old headers and of checks that they skip. The file is still readable.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (FileError, ImportError):
        raise
    except MemoryError:
        raise FileError(f"{path}: there is not enough memory for what it holds") from None
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "allow_pickle" in reason or "Weights only load failed" in reason:
            reason = PICKLED
        raise FileError(f"{path}: can not be read: {reason}") from None
