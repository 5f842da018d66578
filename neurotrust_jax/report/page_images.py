"""Examples on the page: distinct texts, and images as tiles of a few sheets."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .._runtime.text import visible
from ..auditing.result import Audit

__all__ = ["Examples", "Pool", "image_sheets", "placed_examples"]

MOST_EXAMPLES = 12  # of a neuron
CONTEXT, TOKEN = 160, 80  # characters of a text
ACROSS = 16  # tiles in a row of a sheet, and rows in a sheet
BUDGET = 6_000_000  # characters of all sheets
# how tiles are made, until all sheets are within the budget: largest side, and JPEG's quality
TILES = ((64, None), (64, 75), (48, 65), (32, 65), (24, 60), (16, 60))


class Examples(NamedTuple):
    """What activates the neurons of a layer most.

    Attributes
    ----------
    top : array [U, k] of int
        Samples of each neuron, the most active first; -1 fills up. At most 12 are shown.
    show : callable
        ``show(sample)`` gives an image or a text. An image is [H, W] or [H, W, 1 or 3], of uint8 or
        of floats in [0, 1]; floats of one channel are ink, where 1 is black. A text is what comes
        before the token, the token, and what follows.
    """

    top: np.ndarray
    show: Callable[[int], np.ndarray | tuple[str, str, str]]


class Pool:
    """Distinct images and texts, and the place of each sample among them."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.texts: list[list[str]] = []
        self._places: dict[Any, int] = {}

    def place(self, sample: np.ndarray | tuple[str, str, str]) -> int:
        """Number of an image, or -1, -2, ... for a text."""
        if isinstance(sample, tuple):
            before, token, after = map(visible, sample)
            text = [before[-CONTEXT:], token[:TOKEN], after[:CONTEXT]]
            if tuple(text) not in self._places:
                self.texts.append(text)
                self._places[tuple(text)] = -len(self.texts)
            return self._places[tuple(text)]
        image = _image(sample)
        key = image.shape, image.tobytes()
        if key not in self._places:
            self.images.append(image)
            self._places[key] = len(self.images) - 1
        return self._places[key]


def placed_examples(examples: Examples | None, audit: Audit, pool: Pool) -> dict[str, Any] | None:
    """Where the examples of each neuron are, after checking that they fit the audit."""
    if examples is None:
        return None
    top = np.asarray(examples.top)
    if top.ndim != 2 or len(top) != len(audit.label):
        raise ValueError(
            f"examples.top must have one row for each of {len(audit.label)} neurons, got shape "
            f"{top.shape}"
        )
    rows = [[int(i) for i in row if i >= 0][:MOST_EXAMPLES] for row in top]
    # in the order of the neurons, so that the images of one are on one sheet
    samples = dict.fromkeys(i for row in rows for i in row)
    return {
        "top": rows,
        "samples": list(samples),
        "places": [pool.place(examples.show(i)) for i in samples],
    }


def _image(values: np.ndarray) -> np.ndarray:
    """As uint8 [H, W], white on which there is no ink, or [H, W, 3]."""
    image = np.asarray(values)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or not image.size:
        raise ValueError(
            f"an image must have shape [H, W], [H, W, 1] or [H, W, 3], got {np.shape(values)}"
        )
    if image.dtype == np.uint8:
        return image
    share = np.clip(np.nan_to_num(image.astype(np.float32)), 0, 1)
    return np.round(255 * (share if image.ndim == 3 else 1 - share)).astype(np.uint8)


def image_sheets(images: list[np.ndarray]) -> dict[str, Any] | None:
    """The images as tiles of a few sheets, small enough for all of them to fit."""
    if not images:
        return None
    native = max(max(image.shape[:2]) for image in images)
    content: dict[str, Any] = {}
    for largest, quality in TILES:
        size = min(largest, native)
        step = size if quality is None else -(-size // 8) * 8  # whole blocks of JPEG
        content = {"size": size, "step": step, "native": native, "across": ACROSS, "sheets": []}
        for start in range(0, len(images), ACROSS * ACROSS):
            content["sheets"].append(
                _sheet(images[start : start + ACROSS * ACROSS], size, step, quality)
            )
            if sum(map(len, content["sheets"])) > BUDGET:
                break
        else:
            return content
    raise ValueError(f"{len(images):,} images are too many for a page; show fewer examples")


def _sheet(images: list[np.ndarray], size: int, step: int, quality: int | None) -> str:
    """Tiles side by side, as a data URI."""
    mode = "L" if all(image.ndim == 2 for image in images) else "RGB"
    across = min(ACROSS, len(images))
    sheet = Image.new(mode, (across * step, -(-len(images) // ACROSS) * step), "white")
    for i, image in enumerate(images):
        tile = Image.fromarray(image)
        if max(tile.size) > size:
            scale = size / max(tile.size)
            shape = max(round(tile.width * scale), 1), max(round(tile.height * scale), 1)
            tile = tile.resize(shape, Image.Resampling.LANCZOS)
        left, top = (size - tile.width) // 2, (size - tile.height) // 2
        sheet.paste(tile, (i % ACROSS * step + left, i // ACROSS * step + top))
    file = io.BytesIO()
    if quality is None:
        sheet.save(file, "PNG", compress_level=9)
    else:
        sheet.save(file, "JPEG", quality=quality, subsampling=0, optimize=True)
    kind = "png" if quality is None else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
