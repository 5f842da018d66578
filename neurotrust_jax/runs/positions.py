"""Feature maps and token sequences: pool their positions, or make each position a sample."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.text import FileError
from ..probing.pooling import channel_axis_of, pool_activations
from .options import Options

__all__ = ["Positions", "pool_layer", "positions_as_samples", "spread"]


class Positions(NamedTuple):
    """The positions of each image or document that became samples.

    Attributes
    ----------
    num_images : int
        Number n of images or documents.
    shape : tuple of int
        Positions along each axis, such as (h, w) or (t,).
    """

    num_images: int
    shape: tuple[int, ...]

    @property
    def num_positions(self) -> int:
        """Number p of positions of one image or document."""
        return math.prod(self.shape)

    @property
    def groups(self) -> np.ndarray:
        """The image or document of each position, [n * p]."""
        return np.repeat(np.arange(self.num_images), self.num_positions)


def positions_as_samples(arrays: dict[str, tuple[Path, Any]], options: Options) -> Positions | None:
    """The positions that become samples, the same in all layers; None unless pool is "none".

    Parameters
    ----------
    arrays : dict of (Path, array)
        The file and the activations of each layer, by its name.
    options : Options

    Raises
    ------
    FileError
        If a layer has no positions, or if layers differ in theirs.
    """
    if options.pool != "none":
        return None
    found: dict[str, Positions] = {}
    for layer, (path, x) in arrays.items():
        shape = tuple(x.shape)
        if len(shape) == 2:
            found[layer] = Positions(shape[0], ())
            continue
        try:
            axis = channel_axis_of(shape, options.channel_axis)
        except ValueError as error:
            raise FileError(f"{path}: layer {layer!r}: {error}") from None
        found[layer] = Positions(shape[0], shape[1:axis] + shape[axis + 1 :])
    first, *others = found
    for layer in others:
        if found[layer] != found[first]:
            raise FileError(
                f"layers {first!r} and {layer!r} have {_described(found[first])} and "
                f"{_described(found[layer])}; audit layers of unequal positions one at a time "
                "(--layer)"
            )
    return found[first]


def pool_layer(path: Path, layer: str, values: Any, options: Options) -> Any:
    """The activations of one layer as a matrix, where the options say how to pool them.

    Raises
    ------
    FileError
        If they are no feature maps, token vectors or matrix.
    """
    if options.pool is None:
        return values
    try:
        return pool_activations(
            values, options.pool, channel_axis=options.channel_axis if values.ndim > 2 else None
        ).activations
    except ValueError as error:
        raise FileError(f"{path}: layer {layer!r}: {error}") from None


def spread(values: Any, positions: Positions, columns: tuple[int, ...], what: str) -> Any:
    """One row for each position, of values given for each image or for each position.

    Parameters
    ----------
    values : array [n, ...], [n * p, ...] or [n, h, w, ...]
        Where rows stand for images, they are repeated.
    positions : Positions
    columns : tuple of int
        The shape that a row has: (C,) of concepts, () of groups.
    what : str
        The file and what it holds, for messages.

    Raises
    ------
    FileError
        If the shape is none of these.
    """
    n, total = positions.num_images, positions.num_images * positions.num_positions
    shape = tuple(values.shape)
    if shape == (total, *columns):
        return values
    if shape == (n, *columns):
        return np.repeat(np.asarray(values), positions.num_positions, axis=0)
    if shape == (n, *positions.shape, *columns):
        return np.asarray(values).reshape(total, *columns)
    rest = ", C" if columns else ""
    grid = ", ".join(map(str, positions.shape))
    raise FileError(
        f"{what} must be [{n}{rest}], one row for each image or document, or [{total}{rest}] or "
        f"[{n}, {grid}{rest}], one for each position, got {list(shape)}"
    )


def _described(positions: Positions) -> str:
    return f"{positions.num_images} x {list(positions.shape)} positions"
