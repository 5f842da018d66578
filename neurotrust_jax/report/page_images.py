"""Examples on the page: texts, and images as tiles of a few sheets."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .._runtime.short_repr import short_repr
from .._runtime.text import visible
from ..auditing.result import Audit
from .one_neuron import cut

__all__ = ["Examples", "page_examples"]

MOST_EXAMPLES = 12  # of a neuron
MOST = 65_536  # of all neurons
# characters of a text before and after its token: the most at which all texts take no more than
# the most examples with the fewest characters
CONTEXTS, TOKEN = (2000, 1000, 500, 250, 160, 80), 80
ACROSS = 16  # tiles in a row of a sheet, and rows in a sheet
BUDGET = 6_000_000  # characters of all sheets
# how tiles are made, until all sheets are within the budget: largest side, and JPEG's quality
TILES = ((64, None), (64, 75), (48, 65), (32, 65), (24, 60), (16, 60))


@short_repr
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


def page_examples(
    examples: Sequence[Examples | None], audits: Sequence[Audit]
) -> tuple[list[list[list[Any]] | None], dict[str, Any] | None]:
    """The examples of each layer's neurons that a page has room for.

    The first example of every neuron goes before the second of any, and those of the surest labels
    before others.

    Parameters
    ----------
    examples : sequence of Examples or None
    audits : sequence of Audit

    Returns
    -------
    list of list of list
        For each layer, None or one entry for each neuron: a list of texts, each as three parts, and
        of the numbers of images.
    dict or None
        The images, see :func:`image_sheets`.

    Raises
    ------
    ValueError
        If the examples do not fit the audits, or there is an image of another shape.
    """
    most = MOST // len(audits)
    while True:
        images = _Images()
        shown = [
            _chosen(x, audit, most, images) if x else None
            for x, audit in zip(examples, audits, strict=True)
        ]
        sheets = image_sheets(images.distinct)
        if sheets or not images.distinct:
            return shown, sheets
        most //= 2


class _Images:
    """Distinct images, and the number of each."""

    def __init__(self) -> None:
        self.distinct: list[np.ndarray] = []
        self._numbers: dict[Any, int] = {}

    def number(self, sample: np.ndarray) -> int:
        image = _image(sample)
        key = image.shape, image.tobytes()
        if key not in self._numbers:
            self._numbers[key] = len(self.distinct)
            self.distinct.append(image)
        return self._numbers[key]


def _chosen(examples: Examples, audit: Audit, most: int, images: _Images) -> list[list[Any]]:
    """At most so many examples of a layer, by neuron."""
    top = np.asarray(examples.top)
    if top.ndim != 2 or len(top) != len(audit.label):
        raise ValueError(
            f"examples.top must have one row for each of {len(audit.label)} neurons, got shape "
            f"{top.shape}"
        )
    top = top[:, :MOST_EXAMPLES]
    ranked = audit.ranked
    there = (top[ranked] >= 0).T.ravel()
    kept = np.zeros(top.shape, bool)
    kept[ranked] = (there & (np.cumsum(there) <= most)).reshape(top.shape[::-1]).T
    fewest = CONTEXTS[-1]
    context = next((x for x in CONTEXTS if x * kept.sum() <= fewest * most), fewest)
    shown: dict[int, Any] = {}  # by sample; in the order of the neurons, whose images lie together
    for i in map(int, top[kept]):
        if i not in shown:
            sample = examples.show(i)
            if isinstance(sample, tuple):
                shown[i] = _text(sample, context)
            else:
                shown[i] = images.number(sample)
    return [[shown[int(i)] for i in row[own]] for row, own in zip(top, kept, strict=True)]


def _text(sample: tuple[str, str, str], context: int) -> list[str]:
    """The text before the token, the token and the text after it, with "…" where it is cut.

    A sample without context is a text of its own, as long as a token with the text around it.
    """
    before, token, after = map(str, sample)
    longest = TOKEN if before or after else 2 * context
    start = before if len(before) <= context else f"…{before[-context:]}"
    return [visible(start), visible(cut(token, longest)), visible(cut(after, context))]


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
    """The images as tiles of a few sheets; None if even the smallest tiles take too much."""
    if not images:
        return None
    native = max(max(image.shape[:2]) for image in images)
    whole = ACROSS * ACROSS
    groups = [images[start : start + whole] for start in range(0, len(images), whole)]
    for largest, quality in TILES:
        size = min(largest, native)
        step = size if quality is None else -(-size // 8) * 8  # whole blocks of JPEG
        sheets: list[str] = []
        for group in groups:
            sheets.append(_sheet(group, size, step, quality))
            # expect the others to be as large, but for the last
            if sum(map(len, sheets)) * (len(groups) - 1) > BUDGET * len(sheets):
                break
        if len(sheets) == len(groups) and sum(map(len, sheets)) <= BUDGET:
            return {
                "size": size, "step": step, "across": ACROSS, "number": len(images),
                "sheets": sheets,
            }  # fmt: skip
    return None


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
