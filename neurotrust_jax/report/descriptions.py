"""An audit as descriptions.csv, for people and other tools: one row per neuron."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.text import as_cell
from ..auditing.result import Audit
from .columns import audit_columns

__all__ = ["write_descriptions"]

BLOCK = 1024  # neurons whose cells are in memory at once


def write_descriptions(audits: Audit | Sequence[Audit], path: str | Path) -> Path:
    """Write one row for each neuron; ``layer, unit, description, similarity`` come first.

    An undefined number is an empty cell, and ``reason`` says why. A neuron without a label has
    every judged concept in its set, whose names are left out. A text that a spreadsheet would take
    for a formula gets an apostrophe in front, see :func:`as_cell`.

    Parameters
    ----------
    audits : Audit or sequence of Audit
        One for each layer.
    path : str or Path

    Returns
    -------
    Path
    """
    path = Path(path)
    layers = [audits] if isinstance(audits, Audit) else list(audits)
    cell = cache(as_cell)  # the same names come again and again
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file)
        for i, layer in enumerate(layers):
            for start in range(0, max(len(layer.label), 1), BLOCK):
                columns = audit_columns(layer, slice(start, start + BLOCK))
                if i == start == 0:
                    rows.writerow(columns)
                texts = (_cells(values, cell) for values in columns.values())
                rows.writerows(zip(*texts, strict=True))
    return path


def _cells(values: Any, cell: Callable[[str], str]) -> list[str]:
    """One column in text: numbers in six digits, a list of names with semicolons."""
    if isinstance(values, np.ndarray):
        return [_number(x) for x in values.tolist()]
    return ["" if x is None else cell(x) if isinstance(x, str) else _list(x, cell) for x in values]


def _number(x: float) -> str:
    if not math.isfinite(x):
        return ""
    return f"{x:.0f}" if x == int(x) else f"{x:.6g}"


def _list(names: list[str], cell: Callable[[str], str]) -> str:
    return as_cell("; ".join(map(cell, names)))
