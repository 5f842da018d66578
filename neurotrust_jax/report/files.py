"""An audit as files: descriptions.csv for people and other tools, audit.json for everything."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..audit import Audit

__all__ = ["read_audit", "write_audit", "write_descriptions"]

FORMAT = "neurotrust-audit-3"


def write_descriptions(audit: Audit, path: str | Path) -> Path:
    """Write one row per neuron; ``layer, unit, description, similarity`` come first.

    An undefined number is an empty cell, and ``reason`` says why; a neuron without a label keeps
    every concept in its set, and the names are left out.
    """
    path = Path(path)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(
            [
                "layer",
                "unit",
                "description",
                "similarity",
                "lower",
                "upper",
                "regret",
                "certified_size",
                "agreement",
                "set_size",
                "set",
                "tied",
                "active_rate",
                "positives",
                "reason",
            ]
        )
        for u, unit in enumerate(audit.neuron_names):
            label = audit.label[u]
            measured = (audit.similarity, audit.lower, audit.upper, audit.regret)
            known = label >= 0
            rows.writerow(
                [
                    audit.layer,
                    unit,
                    audit.description(u),
                    *(_cell(x[u]) for x in measured),
                    audit.certified_set[u].sum(),
                    _cell(audit.agreement[u]),
                    audit.set_size[u],
                    "; ".join(audit.set_names(u)) if known else "",
                    audit.tied[u],
                    _cell(audit.active_rate[u]),
                    audit.positives[label] if known else "",
                    audit.reason_text(u),
                ]
            )
    return path


def write_audit(audit: Audit, path: str | Path) -> Path:
    """Write every number of the audit as JSON; :func:`read_audit` gives the same audit back.

    Arrays of [U, C] are written as the non-zero entries of each row, NaN as null.
    """
    path = Path(path)
    content: dict[str, Any] = {"format": FORMAT}
    for field in fields(audit):
        value = getattr(audit, field.name)
        if not isinstance(value, np.ndarray):
            content[field.name] = list(value) if isinstance(value, tuple) else value
            continue
        content[field.name] = {
            "dtype": str(value.dtype),
            "values": _rows(value) if value.ndim == 2 else [_plain(x) for x in value],
        }
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    return path


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
    num_concepts = len(content["concept_names"])
    arguments: dict[str, Any] = {}
    for field in fields(Audit):
        value = content[field.name]
        if isinstance(value, dict) and "dtype" in value:
            value = _array(value["values"], value["dtype"], num_concepts)
        elif isinstance(value, list):
            value = tuple(value)
        arguments[field.name] = value
    return Audit(**arguments)


def _rows(matrix: np.ndarray) -> list[dict[str, Any]]:
    return [{str(c): _plain(row[c]) for c in np.flatnonzero(row)} for row in matrix]


def _array(values: list[Any], dtype: str, num_concepts: int) -> np.ndarray:
    if values and isinstance(values[0], dict):
        matrix = np.zeros((len(values), num_concepts), dtype)
        for row, entries in zip(matrix, values, strict=True):
            for column, value in entries.items():
                row[int(column)] = value
        return matrix
    return np.asarray([math.nan if v is None else v for v in values], dtype)


def _plain(x: Any) -> Any:
    value = x.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(x: float) -> str:
    return f"{x:.6g}" if math.isfinite(x) else ""
