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
from threading import Lock
from typing import Any

import numpy as np

__all__ = ["empty", "memory_taken_over"]

ALIGNED = 64  # bytes, at whose multiples JAX takes an array of NumPy as it is
LARGE = 1 << 20  # bytes from which on it is worth it


class _Spare:
    """Memory that no array uses any more, by its size. One item is put or taken in one step."""

    def __init__(self) -> None:
        self.users = 0
        self.lock = Lock()
        self.by_size: dict[int, list[np.ndarray]] = {}

    def take(self, size: int) -> np.ndarray:
        try:
            return self.by_size[size].pop()
        except (KeyError, IndexError):
            return np.empty(size, np.uint8)

    def put(self, memory: np.ndarray) -> None:
        if self.users > 0:
            self.by_size.setdefault(len(memory), []).append(memory)


_SPARE = _Spare()


@contextmanager
def memory_taken_over() -> Iterator[None]:
    """While it lasts, the memory of an array from :func:`empty` goes to a later one of its size."""
    with _SPARE.lock:
        _SPARE.users += 1
    try:
        yield
    finally:
        with _SPARE.lock:
            _SPARE.users -= 1
            if _SPARE.users == 0:
                _SPARE.by_size.clear()


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """As :func:`numpy.empty`, where JAX takes the array without a copy on a CPU."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if _SPARE.users == 0 or size < LARGE:
        memory = np.empty(size + ALIGNED, np.uint8)
        first = -memory.ctypes.data % ALIGNED
        return memory[first : first + size].view(dtype).reshape(shape)
    # arrays of about the same size take over each other's
    step = 1 << (size.bit_length() - 3)
    memory = _SPARE.take(-(-size // step) * step + ALIGNED)
    # the array and all that is made of it hold the lease, at whose end the memory is free again
    lease = (ctypes.c_char * size).from_buffer(memory, -memory.ctypes.data % ALIGNED)
    weakref.finalize(lease, _SPARE.put, memory).atexit = False
    return np.frombuffer(lease, dtype).reshape(shape)
