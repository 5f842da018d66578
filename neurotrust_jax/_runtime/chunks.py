"""Compute replicates or permutations in chunks; each is reported and saved when it is done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from .buffers import empty
from .checkpoint import Checkpoint

__all__ = ["Progress", "Scattered", "StageProgress", "in_chunks"]

Progress = Callable[[int, int], None]
StageProgress = Callable[[str, int, int], None]


class Scattered:
    """An array [P, b] in parts, which are put together where the whole of it will stay.

    Parameters
    ----------
    parts : list of array [p, b]
        The first rows of each are rows of the array; others fill up.
    places : list of numpy.ndarray
        Which rows of the array these are.
    number : int
        Number of rows P.
    """

    def __init__(self, parts: list[Any], places: list[np.ndarray], number: int) -> None:
        self._parts, self._places = parts, places
        self.shape = number, parts[0].shape[1]
        self.dtype = np.dtype(parts[0].dtype)

    def fill(self, whole: np.ndarray) -> None:
        """Write the first columns into an array [P, c]."""
        for part, place in zip(self._parts, self._places, strict=True):
            values = np.asarray(part)[: len(place), : whole.shape[1]]
            if len(place) and place[-1] - place[0] + 1 == len(place):  # in ascending order
                whole[place[0] : place[-1] + 1] = values
            else:
                whole[place] = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The array itself."""
        whole = empty(self.shape, self.dtype)
        self.fill(whole)
        return whole if dtype is None else whole.astype(dtype)


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
            whole = tuple(np.asarray(x) if isinstance(x, Scattered) else x for x in chunk)
        else:
            # each chunk goes where it will stay: to join them at the end would take as much again
            whole = whole or tuple(_room_for(x, total, axis) for x in chunk)
            for result, part in zip(whole, chunk, strict=True):
                own = np.moveaxis(np.moveaxis(result, axis, 0)[start:stop], 0, axis)
                if isinstance(part, Scattered):
                    part.fill(own)
                else:
                    some = np.moveaxis(np.asarray(part), axis, 0)[: stop - start]
                    own[...] = np.moveaxis(some, 0, axis)
        if progress is not None:
            progress(stop, total)
    return whole


def _room_for(part: Any, total: int, axis: int) -> np.ndarray:
    """An array as ``part``, of another length."""
    shape = list(part.shape)
    shape[axis] = total
    return empty(tuple(shape), part.dtype)
