"""A file format is one object: its suffixes, its reader and the package that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["FileFormat"]


@dataclass(frozen=True)
class FileFormat:
    """A format of files that hold arrays; :func:`register_format` makes it known.

    Attributes
    ----------
    suffixes : tuple of str
        Endings of the file names, in lower case and with the dot, such as ``(".npy",)``.
    read_file : callable
        ``read_file(path)`` gives a dict of the arrays in a file by name; an array without a name
        has the name "", and one in a folder of the file a name with slashes, "layers/3/mlp". An
        array is a NumPy array, a sparse matrix of SciPy, or an object with ``shape``, ``dtype`` and
        ``ndim`` that gives rows by slicing and all of them to ``numpy.asarray``. The reader must
        not run code from the file. It may raise anything: callers see one line that names the
        file.
    package : str, optional
        The package that the reader imports, if it is not among the package's own requirements.
    column_names : callable, optional
        ``column_names(path)`` gives the names of the columns of the array "", if the files are
        tables.
    other_files : callable, optional
        ``other_files(path)`` lists the files that are read beside the one that is named.
    """

    suffixes: tuple[str, ...]
    read_file: Callable[[Path], dict[str, Any]]
    package: str | None = None
    column_names: Callable[[Path], tuple[str, ...]] | None = None
    other_files: Callable[[Path], list[Path]] | None = None

    def read(self, path: Path) -> dict[str, Any]:
        """Read all arrays of a file.

        Raises
        ------
        ImportError
            If the package that the format needs is not installed.
        """
        if self.package is not None:
            try:
                import_module(self.package)
            except ImportError as error:
                raise ImportError(
                    f"{path} needs the package {self.package}: pip install {self.package}"
                ) from error
        return self.read_file(path)
