"""Memory of large arrays that later arrays take over: to get it from the system takes long.

A system hands out memory page by page as it is first written, which on some virtual machines takes
longer than what is computed there.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np

__all__ = ["empty", "memory_taken_over"]

ALIGNED = 64  # bytes, at whose multiples JAX takes an array of NumPy as it is
LARGE = 1 << 20  # bytes from which on it is worth it


class _Spare:
    """Memory that no array uses any more.

    Where none of it fits it is given back first, so that it never adds to the peak of memory.
    """

    def __init__(self) -> None:
        self.users = 0
        self.lock = RLock()  # taking memory may end a lease in the same thread
        self.pieces: list[np.ndarray] = []

    def take(self, size: int) -> np.ndarray:
        with self.lock:
            fit = [x for x in self.pieces if size <= len(x) <= 2 * size]
            if fit:
                least = min(fit, key=len)
                self.pieces = [x for x in self.pieces if x is not least]
                return least
            self.pieces = []
        return np.empty(size, np.uint8)

    def put(self, memory: np.ndarray) -> None:
        with self.lock:
            if self.users > 0:
                self.pieces.append(memory)


_SPARE = _Spare()


@contextmanager
def memory_taken_over() -> Iterator[None]:
    """While it lasts, the memory of an array from :func:`empty` goes to a later one that fits."""
    with _SPARE.lock:
        _SPARE.users += 1
    try:
        yield
    finally:
        with _SPARE.lock:
            _SPARE.users -= 1
            if _SPARE.users == 0:
                _SPARE.pieces = []


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """As :func:`numpy.empty`, where JAX takes the array without a copy on a CPU."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    large = size >= LARGE
    memory = _SPARE.take(size + ALIGNED) if large else np.empty(size + ALIGNED, np.uint8)
    lease = (ctypes.c_char * size).from_buffer(memory, -memory.ctypes.data % ALIGNED)
    if large:
        # the array and all that is made of it hold the lease, at whose end the memory is free again
        weakref.finalize(lease, _SPARE.put, memory).atexit = False
    return np.frombuffer(lease, dtype).reshape(shape)
