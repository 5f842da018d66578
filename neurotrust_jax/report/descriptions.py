"""An audit as descriptions.csv, for people and other tools: one row per neuron."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.text import as_cell
from ..auditing.result import Audit
from ..auditing.verdicts import Verdict

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
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file)
        for i, layer in enumerate(layers):
            for start in range(0, max(len(layer.label), 1), BLOCK):
                columns = _columns(layer, slice(start, start + BLOCK))
                if i == start == 0:
                    rows.writerow(columns)
                rows.writerows(zip(*columns.values(), strict=True))
    return path


def _columns(audit: Audit, block: slice) -> dict[str, Sequence[Any]]:
    """The cells of some neurons by column."""
    neurons = range(len(audit.label))[block]
    label, null, bounds = audit.label[block].tolist(), audit.null, audit.intervals
    names = [as_cell(x) for x in audit.concept_names]
    empty = [""] * len(neurons)
    return {
        "layer": [as_cell(audit.layer)] * len(neurons),
        "unit": _texts(audit.neuron_names[block]),
        "description": [names[c] if c >= 0 else "" for c in label],
        "similarity": _numbers(audit.similarity[block]),
        "replication_probability": _numbers(audit.replication_probability[block]),
        "set_size": _sizes(audit.concept_set[block]),
        "set_answers": audit.answers[block].tolist(),
        "set": _texts(
            "; ".join(names[m] for m in audit.set_members(u)) if c >= 0 else ""
            for u, c in zip(neurons, label, strict=True)
        ),
        "verdict": [Verdict(v).text for v in audit.verdict[block].tolist()],
        "reason": _texts(audit.verdict_reason[block]),
        "fit": _texts(audit.fit_text(u) for u in neurons),
        "similarity_corrected": _numbers(audit.winners_curse.corrected[block]),
        "similarity_split": _numbers(audit.winners_curse.split[block]),
        "lower": _numbers(audit.lower[block]),
        "upper": _numbers(audit.upper[block]),
        "asymptotic_lower": _numbers(bounds.asymptotic_lower[block]),
        "asymptotic_upper": _numbers(bounds.asymptotic_upper[block]),
        "why_wide": _texts(bounds.why_wide[block]),
        "regret": _numbers(audit.regret[block]),
        "certified_size": _sizes(audit.certified_set[block]),
        "agreement": _numbers(audit.agreement[block]),
        "calibrated_size": _sizes(audit.calibrated_set[block]),
        "calibrated_untested": _sizes(audit.untested[block]),
        "p_value": _numbers(null.p_value[block]) if null else empty,
        "q_value": _numbers(null.q_value[block]) if null else empty,
        **{
            f"label_top_{share:.0%}": [names[c] if c >= 0 else "" for c in above.tolist()]
            for share, above in zip(audit.fit.shares, audit.fit.label_above[block].T, strict=True)
        },
        "tied": audit.tied[block].tolist(),
        "active_rate": _numbers(audit.active_rate[block]),
        "positives": [audit.positives[c] if c >= 0 else "" for c in label],
    }


def _texts(texts: Iterable[str]) -> list[str]:
    return [as_cell(x) for x in texts]


def _numbers(values: Any) -> list[str]:
    return [f"{x:.6g}" if math.isfinite(x) else "" for x in np.asarray(values).tolist()]


def _sizes(sets: np.ndarray) -> list[int]:
    return np.asarray(sets).sum(axis=1).tolist()
