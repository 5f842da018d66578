"""Labels as other tools write them, read from a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .._runtime.text import FileError, from_cell
from .names import read_rows

__all__ = ["COLUMNS", "Claim", "claims_of_layer", "read_labels", "whole_number"]

# Names of columns in the files of CLIP-Dissect, MILAN, Network Dissection, INVERT, CoSy and others.
# Linear-Explanations lists concepts by weight: the label is the first one. The correlation in its
# files belongs to all of them together and is no similarity of the label.
COLUMNS = {
    "neuron": ("unit", "neuron", "neuron_id", "unit_id", "feature", "feature_id", "index"),
    "description": (
        "description",
        "label",
        "explanation",
        "concept",
        "formula",
        "caption",
        "concept0",
    ),
    "layer": ("layer", "layer_name", "module"),
    "similarity": ("similarity", "score", "iou", "auc", "auroc", "correlation", "simulation_score"),
}
WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?", re.ASCII)


class Claim(NamedTuple):
    """A label of one neuron, as a file states it.

    Attributes
    ----------
    layer : str
        Empty where the file names none.
    neuron : str
        Name or number.
    description : str
    similarity : float
        NaN where the file states none.
    """

    layer: str
    neuron: str
    description: str
    similarity: float


def read_labels(path: str | Path, *, first_neuron: int = 0) -> list[Claim]:
    """Read labels from a .csv or .tsv file with a header line.

    The table needs a column of neurons and one of descriptions, under any of the names that
    CLIP-Dissect (layer, unit, description, similarity), MILAN (layer, unit, description), Network
    Dissection (unit, category, label, score), INVERT, CoSy and Linear-Explanations (layer, unit,
    concept0) use. Two columns of one meaning, such as "unit" and "neuron", must agree; "index"
    counts as the neuron only if no other column does. An apostrophe that keeps a spreadsheet from
    reading a cell as a formula is removed.

    Parameters
    ----------
    path : path
    first_neuron : int
        Number of the first neuron in the file: 1 in Network Dissection's own files. Claims count
        from 0.

    Returns
    -------
    list of Claim

    Raises
    ------
    FileError
        If the file is missing or is no such table: a row has more or fewer cells than the header,
        a column occurs twice, or two columns of one meaning differ; if it names a neuron of a
        layer twice, or one below the first.
    """
    path = Path(path)
    names, body = _read_table(path)
    column = {meaning: _find_column(meaning, names, body, path) for meaning in COLUMNS}

    def cell(row: list[str], meaning: str) -> str:
        i = column[meaning]
        return "" if i is None else _plain(row[i])

    claims, seen = [], set()
    for line, row in body:
        claim = Claim(
            cell(row, "layer"), cell(row, "neuron"), cell(row, "description"),
            _number(cell(row, "similarity")),
        )  # fmt: skip
        if (claim.layer, claim.neuron) in seen:
            where = f" of layer {claim.layer}" if claim.layer else ""
            raise FileError(
                f"{path}: line {line} names neuron {claim.neuron}{where} a second time; leave one "
                "of the two lines out"
            )
        seen.add((claim.layer, claim.neuron))
        claims.append(_count_from_zero(claim, first_neuron, f"{path}: line {line}"))
    return claims


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns in lower case, and the rows below, each with its line."""
    rows = read_rows(path)
    if len(rows) < 2:
        raise FileError(f"{path}: holds no labels below its header line")
    (_, header), *body = rows
    names = [name.strip().lower() for name in header]
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise FileError(f"{path}: has the column {twice[0]!r} twice; leave one of them out")
    for line, row in body:
        if len(row) != len(names):
            raise FileError(
                f"{path}: line {line} has {len(row)} cells for {len(names)} columns; quote a cell "
                "that holds a comma or a tab"
            )
    return names, body


def _find_column(
    meaning: str, names: list[str], body: list[tuple[int, list[str]]], path: Path
) -> int | None:
    """Index of the column with this meaning: the first of several that agree."""
    found = [names.index(name) for name in COLUMNS[meaning] if name in names]
    if not found and meaning in ("neuron", "description"):
        raise FileError(
            f"{path}: has no column for the {meaning} (known: {', '.join(COLUMNS[meaning])}); it "
            f"has {', '.join(filter(None, names))}"
        )
    if len(found) > 1 and names[found[-1]] == "index":  # pandas numbers its rows in this column
        found.pop()
    for line, row in body:
        for i in found[1:]:
            if _plain(row[i]) != _plain(row[found[0]]):
                raise FileError(
                    f"{path}: line {line} differs in its columns {names[found[0]]!r} and "
                    f"{names[i]!r}, each of which may be the {meaning}; leave one of them out"
                )
    return found[0] if found else None


def _count_from_zero(claim: Claim, first_neuron: int, where: str) -> Claim:
    """The claim with the number of its neuron counted from 0."""
    if not first_neuron:
        return claim
    number = whole_number(claim.neuron)
    if number is None:
        raise FileError(
            f"{where} names the neuron {claim.neuron!r}, which is no number to count from "
            f"{first_neuron}"
        )
    if number < first_neuron:
        raise FileError(f"{where} names neuron {number}, below the first one, {first_neuron}")
    return claim._replace(neuron=str(number - first_neuron))


def _plain(cell: str) -> str:
    return from_cell(cell.strip())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def whole_number(text: str) -> int | None:
    """The whole number that a text states, also as "7.0" (pandas) or "007"; else None."""
    return int(text.partition(".")[0]) if WHOLE.fullmatch(text) else None


def claims_of_layer(claims: Sequence[Claim], layer: str | None, path: Path) -> list[Claim]:
    """The labels of one layer, and those that name no layer.

    Raises
    ------
    FileError
        If there are several layers and none is chosen, or the chosen one has no labels.
    """
    layers = sorted({x.layer for x in claims if x.layer})
    there = ", ".join(map(repr, layers))
    if layer is None and len(layers) > 1:
        raise FileError(f"{path}: has labels of the layers {there}; choose one (--layer)")
    if layer is not None and layers and layer not in layers:
        raise FileError(f"{path}: has no labels of layer {layer!r}; there are {there}")
    return [x for x in claims if layer is None or x.layer in ("", layer)]
