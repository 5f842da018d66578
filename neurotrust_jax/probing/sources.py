"""Sources of chunks: data that do not fit into memory, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from .._runtime.host_arrays import is_sparse
from .._runtime.validation import check_count
from .sparse_columns import dense_rows

__all__ = ["Chunks", "array_chunks"]

Chunks = Iterable[tuple[Any, ...]] | Callable[[], Iterable[tuple[Any, ...]]]


def array_chunks(
    activations: Any, concepts: Any, groups: Any = None, *, size: int = 8192
) -> Callable[[], Iterator[tuple[Any, ...]]]:
    """Cut arrays into chunks of rows, as :func:`bootstrap_stream` takes them.

    Parameters
    ----------
    activations, concepts : array [n, U] and [n, C]
        Anything that gives rows by slicing: ``np.load(path, mmap_mode="r")``, an HDF5 dataset; or
        a sparse matrix of SciPy or JAX, of which one chunk at a time is written out.
    groups : array or sequence [n], optional
        See :func:`make_probe`; rows of one group must follow one another.
    size : int
        Rows of a chunk.

    Returns
    -------
    callable
        Starts at the first row whenever it is called.

    Raises
    ------
    ValueError
        If the numbers of rows differ.

    Examples
    --------
    >>> chunks = nt.array_chunks(np.zeros((500, 2)), np.zeros((500, 3)), size=200)
    >>> [len(activations) for activations, concepts in chunks()]
    [200, 200, 100]
    """
    size = check_count(size, "size")
    arrays = [x for x in (activations, concepts, groups) if x is not None]
    rows = [x.shape[0] if hasattr(x, "shape") else len(x) for x in arrays]
    if len(set(rows)) > 1:
        raise ValueError(
            f"activations, concepts and groups must have equally many rows, got {rows}"
        )

    parts = [
        dense_rows(x, name) if is_sparse(x) else partial(_sliced, x)
        for x, name in zip(arrays, ("activations", "concepts", "groups"), strict=False)
    ]

    def chunks() -> Iterator[tuple[Any, ...]]:
        for start in range(0, rows[0], size):
            yield tuple(part(start, start + size) for part in parts)

    return chunks


def _sliced(x: Any, start: int, stop: int) -> Any:
    return x[start:stop]
