"""Sparse matrices as ``scipy.sparse.save_npz`` writes them, of any format; nothing is believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._runtime.host_arrays import native
from ._runtime.memory import free_memory

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array

__all__ = ["PARTS", "read_scipy"]

PARTS = {"format", "shape", "data"}  # of every format, beside its index
COMPRESSED = "indices", "indptr"
INDEX = {
    "csr": COMPRESSED, "csc": COMPRESSED, "bsr": COMPRESSED, "dia": ("offsets",),
    "coo": ("row", "col"),
}  # fmt: skip


def read_scipy(found: Mapping[str, np.ndarray], name: str) -> csr_array | csc_array:
    """A SciPy matrix made of the arrays of a file, after looking whether its indices lie in it.

    Raises
    ------
    ValueError
        If they do not, if the format is not known, or if there is no memory for such a shape.
    ImportError
        Without SciPy.
    """
    try:
        from scipy import sparse
    except ImportError as error:
        raise ImportError(f"{name} is a SciPy matrix: pip install scipy") from error
    kind = found["format"].item()
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    index = ("coords",) if kind == "coo" and "coords" in found else INDEX.get(kind)
    if index is None or not set(index) <= set(found):
        raise ValueError(f"a sparse matrix in the format {kind!r}; save it as CSR")
    shape, data = tuple(int(x) for x in found["shape"]), native(found["data"])
    parts = list(found["coords"]) if index == ("coords",) else [native(found[x]) for x in index]
    if data.dtype == np.float16:  # which SciPy can not convert
        data = data.astype(np.float32)
    if not (len(shape) == 2 and min(shape) >= 0 and SOUND[kind](data, parts, shape)):
        raise ValueError(f"its indices do not fit a {kind.upper()} matrix of shape {shape}")
    if 8 * sum(shape) > free_memory():
        raise ValueError(f"there is not enough memory for a matrix of shape {shape}")
    if kind == "coo":
        return sparse.coo_array((data, tuple(parts)), shape=shape).tocsr()
    matrix = getattr(sparse, f"{kind}_array")((data, *parts), shape=shape)
    return matrix if kind == "csc" else matrix.tocsr()


def _within(index: np.ndarray, size: int) -> bool:
    return index.dtype.kind in "iu" and bool(((index >= 0) & (index < size)).all())


def _compressed(data: np.ndarray, parts: Any, lines: int, width: int) -> bool:
    """Whether the lines (rows, columns or rows of blocks) are those of a sound matrix."""
    indices, pointer = parts
    return (
        indices.ndim == pointer.ndim == 1
        and len(data) == len(indices)
        and len(pointer) == lines + 1
        and pointer[0] == 0
        and pointer[-1] == len(data)
        and bool((pointer[1:] >= pointer[:-1]).all())
        and _within(indices, width)
    )


def _blocks(data: np.ndarray, parts: Any, shape: tuple[int, ...]) -> bool:
    if data.ndim != 3 or 0 in data.shape[1:] or shape[0] % data.shape[1]:
        return False
    lines, width = shape[0] // data.shape[1], shape[1] // data.shape[2]
    return shape[1] % data.shape[2] == 0 and _compressed(data, parts, lines, width)


def _listed(data: np.ndarray, parts: Any, shape: tuple[int, ...]) -> bool:
    return (
        len(parts) == 2
        and all(x.shape == data.shape == (len(data),) for x in parts)
        and all(map(_within, parts, shape))
    )


def _diagonals(data: np.ndarray, parts: Any, shape: tuple[int, ...]) -> bool:
    (offsets,) = parts
    return (
        data.ndim == 2
        and offsets.dtype.kind in "iu"
        and offsets.shape == data.shape[:1]
        and len(np.unique(offsets)) == len(offsets)
    )


SOUND: dict[str, Callable[[np.ndarray, Any, tuple[int, ...]], bool]] = {
    "csr": lambda data, parts, shape: data.ndim == 1 and _compressed(data, parts, *shape),
    "csc": lambda data, parts, shape: data.ndim == 1 and _compressed(data, parts, *shape[::-1]),
    "bsr": _blocks,
    "coo": _listed,
    "dia": _diagonals,
}
