"""An audit as files: descriptions.csv for people and other tools, audit.json with everything."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.text import FileError, as_cell
from ..auditing.fit import SHARES, LabelFit
from ..auditing.result import LEADING, Audit, Leading
from ..auditing.verdicts import Verdict
from ..chance.null import PermutationTest
from ..faithfulness.wide_intervals import LabelIntervals
from ..files.numpy_files import NUMBERS
from ..metrics.scores import Reason
from ..probing.probe import LeftOut
from ..resampling.selection import WinnersCurse
from ..resampling.stability_measures import Stability

__all__ = ["read_audit", "write_audit", "write_descriptions"]

FORMAT = "neurotrust-audit-8"
PARTS = {
    "intervals": LabelIntervals,
    "leading": Leading,
    "stability": Stability,
    "winners_curse": WinnersCurse,
    "fit": LabelFit,
    "null": PermutationTest,
}
# the kind of each array, floats unless listed here; its shape is [U] unless listed below
KINDS = {
    **dict.fromkeys(
        (
            "label", "tied", "reason", "answers", "verdict", "positives", "concept", "top_units",
            "label_hits", "top_concept", "top_hits", "label_above",
        ),
        "iu",
    ),
    **dict.fromkeys(("excludes_nothing", "explained", "certified_set", "concept_set"), "b"),
    **dict.fromkeys(("calibrated_set", "untested", "inflated_set", "judged"), "b"),
}  # fmt: skip
MATRICES = (
    "certified_set", "concept_set", "calibrated_set", "untested", "vote_share", "inflated_set",
)  # fmt: skip
COLUMNS = ("label", "concept", "top_concept", "label_above")  # of concepts, -1 for none
PLAIN: dict[Any, Any] = {"str": str, "bool": bool, "int": int, "float": (int, float)}


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
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.DictWriter(file, list(_row(layers[0], 0)))
        rows.writeheader()
        for layer in layers:
            for u in range(len(layer.label)):
                cells = _row(layer, u).items()
                rows.writerow({k: as_cell(x) if isinstance(x, str) else x for k, x in cells})
    return path


def _row(audit: Audit, u: int) -> dict[str, Any]:
    label = audit.label[u]
    known = label >= 0
    null = audit.null
    return {
        "layer": audit.layer,
        "unit": audit.neuron_names[u],
        "description": audit.description(u),
        "similarity": _cell(audit.similarity[u]),
        "replication_probability": _cell(audit.replication_probability[u]),
        "set_size": audit.set_size[u],
        "set_answers": audit.answers[u],
        "set": "; ".join(map(as_cell, audit.set_names(u))) if known else "",
        "verdict": Verdict(int(audit.verdict[u])).text,
        "reason": audit.verdict_reason[u],
        "fit": audit.fit_text(u),
        "similarity_corrected": _cell(audit.winners_curse.corrected[u]),
        "similarity_split": _cell(audit.winners_curse.split[u]),
        "lower": _cell(audit.lower[u]),
        "upper": _cell(audit.upper[u]),
        "asymptotic_lower": _cell(audit.intervals.asymptotic_lower[u]),
        "asymptotic_upper": _cell(audit.intervals.asymptotic_upper[u]),
        "why_wide": audit.intervals.why_wide[u],
        "regret": _cell(audit.regret[u]),
        "certified_size": audit.certified_set[u].sum(),
        "agreement": _cell(audit.agreement[u]),
        "calibrated_size": audit.calibrated_set[u].sum(),
        "calibrated_untested": audit.untested[u].sum(),
        "p_value": _cell(null.p_value[u]) if null else "",
        "q_value": _cell(null.q_value[u]) if null else "",
        **{
            f"label_top_{share:.0%}": audit.concept_names[c] if c >= 0 else ""
            for share, c in zip(audit.fit.shares, audit.fit.label_above[u], strict=True)
        },
        "tied": audit.tied[u],
        "active_rate": _cell(audit.active_rate[u]),
        "positives": audit.positives[label] if known else "",
    }


def write_audit(audit: Audit, path: str | Path) -> Path:
    """Write every number of the audit as JSON; :func:`read_audit` gives the same audit back.

    Arrays [U, C] are written as the non-zero entries of each row, NaN as null, infinity as a
    string.

    Parameters
    ----------
    audit : Audit
    path : str or Path

    Returns
    -------
    Path
    """
    path = Path(path)
    content = {"format": FORMAT, **_fields(audit)}
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    return path


def _fields(part: Any) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            value = _fields(value)
        elif isinstance(value, np.ndarray):
            values = _rows(value) if value.ndim == 2 else [_plain(x) for x in value.ravel()]
            value = {"dtype": str(value.dtype), "shape": value.shape, "values": values}
        content[field.name] = value
    return content


def read_audit(path: str | Path) -> Audit:
    """Read an audit that :func:`write_audit` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Audit

    Raises
    ------
    FileError
        If the file is no audit in this format.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        if content.get("format") != FORMAT:
            raise ValueError(f"its format is {content.get('format')!r}")
        sizes = len(content["neuron_names"]), len(content["concept_names"])
        return _built(Audit, content, sizes)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise FileError(f"{path} is not an audit in the format {FORMAT!r}: {why}") from None


def _built(kind: type, content: dict[str, Any], sizes: tuple[int, int]) -> Any:
    arguments: dict[str, Any] = {}
    for field in fields(kind):
        name, value = field.name, content[field.name]
        if name in PARTS and not (name == "null" and value is None):
            value = _built(PARTS[name], value, sizes)
        elif field.type == "tuple[str, ...]":
            if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
                raise ValueError(f"{name} must be a list of texts")
            value = tuple(value)
        elif name == "shares":
            if value != list(SHARES):
                raise ValueError(f"shares must be {list(SHARES)}")
            value = SHARES
        elif name == "left_out":
            value = tuple(_left_out(*entry) for entry in value)
        elif field.type in PLAIN:
            # to Python True is an integer
            if not isinstance(value, PLAIN[field.type]) or (
                isinstance(value, bool) and field.type != "bool"
            ):
                raise ValueError(f"{name} must be of type {field.type}")
        elif name != "null":
            value = _array(value, name, sizes, wide=kind is Leading)
        arguments[name] = value
    for name in ("verdict_reason", "why_wide"):
        if name in arguments and len(arguments[name]) != sizes[0]:
            raise ValueError(f"{name} must hold a text for each neuron")
    return kind(**arguments)


def _left_out(name: Any, positives: Any) -> LeftOut:
    whole = isinstance(positives, int) and not isinstance(positives, bool)
    if not isinstance(name, str) or not whole or positives < 0:
        raise ValueError(f"left_out holds [{name!r}, {positives!r}], not a name and a count")
    return LeftOut(name, positives)


def _rows(matrix: np.ndarray) -> list[dict[str, Any]]:
    return [{str(c): _plain(row[c]) for c in np.flatnonzero(row)} for row in matrix]


def _array(content: Any, name: str, sizes: tuple[int, int], *, wide: bool) -> np.ndarray:
    """The array, after checking its shape against the numbers of neurons and concepts."""
    values, dtype, shape = content["values"], np.dtype(content["dtype"]), tuple(content["shape"])
    num_neurons, num_concepts = sizes
    expected: tuple[int, ...] = (num_neurons,)
    if wide:
        expected = num_neurons, min(LEADING, num_concepts)
    elif name in MATRICES:
        expected = sizes
    elif name == "label_above":
        expected = num_neurons, len(SHARES)
    elif name in ("positives", "judged"):
        expected = (num_concepts,)
    elif name == "fleiss_kappa" or name.endswith("_layer"):
        expected = ()
    kinds = KINDS.get(name, "f")
    if dtype.kind not in kinds or dtype.kind not in NUMBERS:
        raise ValueError(f"{name} must not be of {dtype}")
    if shape != expected or len(values) != (shape[0] if shape else 1):
        raise ValueError(f"{name} must have shape {list(expected)}, got {list(shape)}")
    # columns of concepts, where -1 stands for none, and codes
    least = -1 if name in COLUMNS else 0
    below = {
        **dict.fromkeys(COLUMNS, num_concepts), "verdict": len(Verdict), "reason": len(Reason),
    }.get(name)  # fmt: skip

    def number(value: Any) -> Any:
        if kinds == "f":
            return math.nan if value is None else float(value)
        if isinstance(value, bool) is not (kinds == "b") or not isinstance(value, int):
            raise ValueError(f"{name} holds {value!r}")
        if below is not None and not least <= value < below:
            raise ValueError(f"{name} holds {value}, outside {least} to {below - 1}")
        return value

    if len(shape) < 2:
        return np.array([number(x) for x in values], dtype).reshape(shape)
    matrix = np.zeros(shape, dtype)
    for row, entries in zip(matrix, values, strict=True):
        for column, value in dict(entries).items():
            if not 0 <= int(column) < len(row):
                raise ValueError(f"{name} has no column {column}")
            row[int(column)] = number(value)
    return matrix


def _plain(x: Any) -> Any:
    value = x.item()
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _cell(x: Any) -> str:
    return f"{x:.6g}" if math.isfinite(x) else ""
