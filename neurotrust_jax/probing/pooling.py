"""Pool the positions of feature maps and token sequences, or make each position a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.host_arrays import as_array, is_sparse
from .._runtime.short_repr import short_repr

__all__ = ["Pooled", "channel_axis_of", "pool_activations"]

BLOCK = 2**24  # numbers that are read at a time
CHANNEL_AXIS = {3: -1, 4: 1, 5: 1}  # [n, t, d], [n, c, h, w], [n, c, t, h, w]


@short_repr
class Pooled(NamedTuple):
    """Activations with one row per sample.

    Attributes
    ----------
    activations : array [n, U] or [n * p, U]
    groups : numpy.ndarray [n * p] of int, or None
        The image or document of each position, 0 .. n - 1, where positions became samples.
    """

    activations: Any
    groups: np.ndarray | None


def pool_activations(
    activations: Any, how: Literal["max", "mean", "none"], *, channel_axis: int | None = None
) -> Pooled:
    """Make a matrix of feature maps or token sequences.

    Parameters
    ----------
    activations : array [n, c, h, w], [n, t, d], [n, c, t, h, w] or [n, U]
        Feature maps of n images, or vectors at the t positions of n documents. A matrix [n, U] has
        no positions and is returned as it is. What reads from the disk by slicing (a memory-mapped
        file, an HDF5 dataset) is pooled in blocks of rows.
    how : {"max", "mean", "none"}
        ``"max"`` and ``"mean"`` pool the p positions of each image or document: n samples.
        ``"none"`` makes each position a sample, n * p in all: those of the first image in the order
        in which they are stored, then those of the second. Positions of one image are not
        independent, so that the image is the group of its positions.
    channel_axis : int, optional
        The axis of the neurons: by default the last of three, and the second (1) of four or five.
        Feature maps of Flax and TensorFlow [n, h, w, c] need -1.

    Returns
    -------
    Pooled
        ``activations`` and ``groups``. A mean of integers or of halves is of float32; it is
        summed in double precision on the host.

    Raises
    ------
    ValueError
        On another ``how``, number of axes or ``channel_axis``, and on an axis of length 0.

    Examples
    --------
    >>> maps = np.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)  # 2 images, 3 channels
    >>> nt.pool_activations(maps, "max").activations.tolist()
    [[3.0, 7.0, 11.0], [15.0, 19.0, 23.0]]
    >>> activations, groups = nt.pool_activations(maps, "none")
    >>> activations.shape, groups.tolist()
    ((8, 3), [0, 0, 0, 0, 1, 1, 1, 1])
    >>> concepts = np.array([[1, 0], [0, 1]])  # of each image
    >>> probe = nt.make_probe(activations, concepts[groups], groups=groups, top_fraction=0.5)
    >>> probe.num_samples, probe.num_units
    (8, 2)
    """
    if how not in ("max", "mean", "none"):
        raise ValueError(f'how must be "max", "mean" or "none", got {how!r}')
    x = activations
    if not (is_sparse(x) or _reads_by_slices(x)):
        x = as_array(x, "activations")
    if len(x.shape) == 2:
        return Pooled(x, None)
    axis = channel_axis_of(tuple(x.shape), channel_axis)
    if how == "none":
        return _positions_as_samples(x if isinstance(x, Array) else np.asarray(x), axis)
    others = tuple(i for i in range(1, len(x.shape)) if i != axis)
    if isinstance(x, Array):
        return Pooled(_pool_on_device(x, how, others), None)
    blocks = [_pool_block(block, how, others) for block in _blocks(x)]
    return Pooled(np.concatenate(blocks), None)


def _reads_by_slices(x: Any) -> bool:
    """Whether it is an array of no library of arrays, such as an HDF5 dataset."""
    return hasattr(x, "shape") and hasattr(x, "dtype") and not hasattr(x, "__dlpack__")


def channel_axis_of(shape: tuple[int, ...], given: int | None) -> int:
    """The axis of the neurons, counted from the first; see :func:`pool_activations`."""
    if len(shape) not in CHANNEL_AXIS:
        raise ValueError(
            f"activations must be [n, c, h, w], [n, t, d] or [n, U], got {list(shape)}"
        )
    axis = CHANNEL_AXIS[len(shape)] if given is None else given
    if not (1 <= axis < len(shape) or -len(shape) < axis < 0):
        raise ValueError(
            f"channel_axis={given} is no axis of the neurons in {list(shape)}; give one from 1 to "
            f"{len(shape) - 1}, or -1 for the last"
        )
    if 0 in shape:
        raise ValueError(f"activations must have no empty axis, got {list(shape)}")
    return axis % len(shape)


def _positions_as_samples(x: Any, axis: int) -> Pooled:
    moved = (jnp if isinstance(x, Array) else np).moveaxis(x, axis, -1)
    positions = math.prod(moved.shape[1:-1])
    groups = np.repeat(np.arange(x.shape[0]), positions)
    return Pooled(moved.reshape(-1, moved.shape[-1]), groups)


def _blocks(x: Any) -> Iterator[np.ndarray]:
    rows = max(1, BLOCK // math.prod(x.shape[1:]))
    for start in range(0, x.shape[0], rows):
        yield np.asarray(as_array(x[start : start + rows], "activations"))


def _pool_block(block: np.ndarray, how: str, axes: tuple[int, ...]) -> np.ndarray:
    if how == "max":
        return np.asarray(block.max(axis=axes))
    mean = block.mean(axis=axes, dtype=np.float64)
    return mean if block.dtype == np.float64 else mean.astype(np.float32)


def _pool_on_device(x: Array, how: str, axes: tuple[int, ...]) -> Array:
    if how == "max":
        return x.max(axis=axes)
    dtype = x.dtype if x.dtype == jnp.float64 else jnp.float32
    return x.astype(dtype).mean(axis=axes)
