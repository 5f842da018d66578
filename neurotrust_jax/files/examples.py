"""The samples themselves, to be shown beside a neuron: pictures, texts, or tokens of texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.text import ON_ONE_LINE, FileError
from .arrays import read_named
from .errors import file_errors
from .names import is_text

__all__ = ["read_examples", "snippet"]

CONTROL = {c: None for c in range(32)} | {127: None} | str.maketrans(ON_ONE_LINE)
WIDTH = 2001  # characters before and after a token: one more than a page shows, which marks the cut


def read_examples(
    path: str | Path, num_samples: int, positions: int = 1
) -> tuple[Callable[[int], Any], np.ndarray | None]:
    """Read the samples: images, texts, or the tokens of texts.

    ``.npy``: images [n, H, W], [n, H, W, 1] or [n, H, W, 3]. ``.jsonl``: one JSON value per line,
    either n strings or objects with a "text"; or lists of tokens (or objects with "tokens"), with
    n tokens in all, in the order of the samples.

    Parameters
    ----------
    path : path
    num_samples : int
        Number n of samples that the file must hold.
    positions : int
        Number of samples that are positions of one image or text: the file may hold n / positions
        images or texts instead, each of which is shown for all of its positions.

    Returns
    -------
    show : callable
        ``show(i)`` gives the picture of sample i as an array; or three strings: the text before
        it, the text of the sample, and the text after it.
    groups : array [n] of int, or None
        The text that each token belongs to; None if samples are no tokens.

    Raises
    ------
    FileError
        If the file is missing, or does not hold n samples.
    """
    path = Path(path)
    if path.suffix.lower() != ".jsonl":
        return _images(path, num_samples, positions), None
    with file_errors(path):
        text = path.read_text(encoding="utf-8-sig")
        lines = [_parse_line(x, i) for i, x in enumerate(text.split("\n"), 1) if x.strip()]
    values: list[Any] = [
        x.get("tokens", x.get("text")) if isinstance(x, dict) else x for x in lines
    ]
    if all(is_text(x) for x in values):
        each = _samples_each(path, len(values), "texts", num_samples, positions)
        return lambda row: ("", values[row // each], ""), None
    if not all(isinstance(x, list) and all(is_text(t) for t in x) for x in values):
        raise FileError(f"{path}: each line must be a text, or a list of tokens")
    lengths = [len(x) for x in values]
    if sum(lengths) != num_samples:
        raise FileError(f"{path}: holds {sum(lengths)} tokens for {num_samples} samples")
    groups = np.repeat(np.arange(len(values)), lengths)
    pieces = [token for tokens in values for token in tokens]
    return lambda row: snippet(pieces, groups, row, WIDTH), groups


def _samples_each(path: Path, count: int, what: str, num_samples: int, positions: int) -> int:
    """Number of samples that each image or text of a file stands for."""
    if count == num_samples:
        return 1
    if count * positions != num_samples:
        images = f" ({num_samples // positions} times {positions})" if positions > 1 else ""
        raise FileError(f"{path}: holds {count} {what} for {num_samples} samples{images}")
    return positions


def _images(path: Path, num_samples: int, positions: int) -> Callable[[int], np.ndarray]:
    images = read_named(path, "images")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise FileError(f"{path}: images must be [n, H, W] or [n, H, W, 1|3], got {images.shape}")
    each = _samples_each(path, len(images), "images", num_samples, positions)
    return lambda row: np.asarray(images[row // each])


def _parse_line(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"line {line} is no JSON: {error.msg}, character {error.pos + 1}"
        ) from None


def snippet(pieces: Any, groups: np.ndarray, row: int, width: int) -> tuple[str, str, str]:
    """A token with the text before and after it, on one line.

    Parameters
    ----------
    pieces : sequence [n] of str
        The tokens of all texts.
    groups : array [n] of int
        The text of each token, ascending.
    row : int
        The token to show.
    width : int
        The largest number of characters before it and after it, from the same text.

    Returns
    -------
    tuple of three str
        The text before, the token, and the text after.
    """
    low, high = (int(np.searchsorted(groups, groups[row], side)) for side in ("left", "right"))
    parts = (
        "".join(pieces[max(low, row - width) : row])[-width:],
        pieces[row],
        "".join(pieces[row + 1 : min(high, row + 1 + width)])[:width],
    )
    before, token, after = (x.translate(CONTROL) for x in parts)
    return before, token.strip() or token, after
