"""An audit as files: descriptions.csv for people and other tools, audit.json for everything."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..audit import Audit, Leading
from ..null import PermutationTest
from ..selection import WinnersCurse
from ..stability import Stability
from ..verdicts import Verdict

__all__ = ["read_audit", "write_audit", "write_descriptions"]

FORMAT = "neurotrust-audit-5"
PARTS = {
    "leading": Leading,
    "stability": Stability,
    "winners_curse": WinnersCurse,
    "null": PermutationTest,
}


def write_descriptions(audits: Audit | Sequence[Audit], path: str | Path) -> Path:
    """Write one row per neuron of some layers; ``layer, unit, description, similarity`` come first.

    An undefined number is an empty cell, and ``reason`` says why; a neuron without a label keeps
    every concept in its set, and the names are left out.
    """
    path = Path(path)
    layers = [audits] if isinstance(audits, Audit) else list(audits)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, list(_row(layers[0], 0)))
        rows.writeheader()
        rows.writerows(_row(layer, u) for layer in layers for u in range(len(layer.label)))
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
        "similarity_corrected": _cell(audit.winners_curse.corrected[u]),
        "similarity_split": _cell(audit.winners_curse.split[u]),
        "lower": _cell(audit.lower[u]),
        "upper": _cell(audit.upper[u]),
        "regret": _cell(audit.regret[u]),
        "certified_size": audit.certified_set[u].sum(),
        "agreement": _cell(audit.agreement[u]),
        "set_size": audit.set_size[u],
        "set_untested": audit.undecided[u].sum(),
        "set_answers": audit.answers[u],
        "set": "; ".join(audit.set_names(u)) if known else "",
        "p_value": _cell(null.p_value[u]) if null else "",
        "q_value": _cell(null.q_value[u]) if null else "",
        "verdict": Verdict(int(audit.verdict[u])).text,
        "reason": audit.verdict_reason[u],
        "tied": audit.tied[u],
        "active_rate": _cell(audit.active_rate[u]),
        "positives": audit.positives[label] if known else "",
    }


def write_audit(audit: Audit, path: str | Path) -> Path:
    """Write every number of the audit as JSON; :func:`read_audit` gives the same audit back.

    Arrays of [U, C] are written as the non-zero entries of each row, NaN as null, infinity as a
    string.
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
    """Read what :func:`write_audit` wrote.

    Raises
    ------
    ValueError
        If the file is not such an audit.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not an audit in the format {FORMAT!r}")
    return _built(Audit, content)


def _built(kind: type, content: dict[str, Any]) -> Any:
    arguments: dict[str, Any] = {}
    for field in fields(kind):
        value = content[field.name]
        if field.name in PARTS and value is not None:
            value = _built(PARTS[field.name], value)
        elif isinstance(value, dict):
            value = _array(value)
        elif isinstance(value, list):
            value = tuple(value)
        arguments[field.name] = value
    return kind(**arguments)


def _rows(matrix: np.ndarray) -> list[dict[str, Any]]:
    return [{str(c): _plain(row[c]) for c in np.flatnonzero(row)} for row in matrix]


def _array(content: dict[str, Any]) -> np.ndarray:
    values, dtype, shape = content["values"], content["dtype"], tuple(content["shape"])
    if len(shape) == 2:
        matrix = np.zeros(shape, dtype)
        for row, entries in zip(matrix, values, strict=True):
            for column, value in entries.items():
                row[int(column)] = math.nan if value is None else value
        return matrix
    return np.array([math.nan if v is None else v for v in values]).astype(dtype).reshape(shape)


def _plain(x: Any) -> Any:
    value = x.item()
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _cell(x: Any) -> str:
    return f"{x:.6g}" if math.isfinite(x) else ""
