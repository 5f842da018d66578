"""Compute replicates or permutations in chunks; each is reported and saved when it is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from .checkpoint import Checkpoint

__all__ = ["Progress", "StageProgress", "in_chunks"]

Progress = Callable[[int, int], None]
StageProgress = Callable[[str, int, int], None]

ALIGNED = 64  # bytes, at whose multiples JAX takes an array of NumPy as it is


def in_chunks(
    run: Callable[[Array], tuple[Any, ...]],
    total: int,
    chunk_size: int,
    checkpoint: Checkpoint,
    progress: Progress | None,
    axis: int = 0,
) -> tuple[Any, ...]:
    """``run`` on the ids 0 to total - 1, some at a time, and its results joined along an axis.

    All calls have the same shape: the last one may run more ids, which are cut off. Chunks that an
    earlier call saved are not run again.
    """
    whole: tuple[Any, ...] = ()
    for start in range(0, total, chunk_size):
        ids = jax.device_put(np.arange(start, start + chunk_size))  # compiles nothing
        chunk = checkpoint.piece(f"{start}-{start + chunk_size}", partial(run, ids))
        stop = min(start + chunk_size, total)
        if stop - start == total == chunk_size:  # the only chunk stays where it is
            whole = chunk
        else:
            # each chunk goes where it will stay: to join them at the end would take as much again
            whole = whole or tuple(_room_for(x, total, axis) for x in chunk)
            for result, part in zip(whole, chunk, strict=True):
                np.moveaxis(result, axis, 0)[start:stop] = np.moveaxis(np.asarray(part), axis, 0)[
                    : stop - start
                ]
        if progress is not None:
            progress(stop, total)
    return whole


def _room_for(part: Any, total: int, axis: int) -> np.ndarray:
    """An array as ``part``, of another length, which JAX takes without a copy on a CPU."""
    shape = list(part.shape)
    shape[axis] = total
    dtype = np.dtype(part.dtype)
    size = math.prod(shape) * dtype.itemsize
    spare = np.empty(size + ALIGNED, np.uint8)
    first = -spare.ctypes.data % ALIGNED
    return spare[first : first + size].view(dtype).reshape(shape)
