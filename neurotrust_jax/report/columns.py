"""An audit as a table, one row per neuron: columns for data frames and for descriptions.csv."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..auditing.changes import AuditChanges
from ..auditing.result import Audit
from ..auditing.verdicts import Verdict
from ..composition.result import Compositions

__all__ = ["audit_columns", "to_pandas"]

ALL = slice(None)


def audit_columns(audit: Audit, block: slice = ALL) -> dict[str, Any]:
    """Columns of some neurons by name; ``layer, unit, description, similarity`` come first.

    Parameters
    ----------
    audit : Audit
    block : slice
        The neurons, all by default.

    Returns
    -------
    dict
        Numbers as arrays, NaN where undefined; texts as lists of str, None without a label; the set
        of each neuron as a list of names, None without a label since it then holds every concept.
    """
    neurons = range(len(audit.label))[block]
    label, bounds, curse = audit.label[block], audit.intervals, audit.winners_curse
    tested = (audit.null.p_value, audit.null.q_value) if audit.null else ()
    p, q = (np.asarray(x)[block] for x in tested) if tested else [np.full(len(neurons), np.nan)] * 2
    return {
        "layer": [audit.layer] * len(neurons),
        "unit": list(audit.neuron_names[block]),
        "description": _names(audit, label),
        "similarity": audit.similarity[block],
        "replication_probability": audit.replication_probability[block],
        "set_size": audit.concept_set[block].sum(axis=1),
        "set_answers": audit.answers[block],
        "set": [audit.set_names(u) if audit.label[u] >= 0 else None for u in neurons],
        "verdict": [Verdict(v).text for v in audit.verdict[block].tolist()],
        "reason": list(audit.verdict_reason[block]),
        "fit": [audit.fit_text(u) for u in neurons],
        "similarity_corrected": np.asarray(curse.corrected)[block],
        "similarity_split": np.asarray(curse.split)[block],
        "lower": audit.lower[block],
        "upper": audit.upper[block],
        "asymptotic_lower": bounds.asymptotic_lower[block],
        "asymptotic_upper": bounds.asymptotic_upper[block],
        "why_wide": list(bounds.why_wide[block]),
        "regret": audit.regret[block],
        "certified_size": audit.certified_set[block].sum(axis=1),
        "agreement": audit.agreement[block],
        "calibrated_size": audit.calibrated_set[block].sum(axis=1),
        "calibrated_untested": audit.untested[block].sum(axis=1),
        "p_value": p,
        "q_value": q,
        **{
            f"label_top_{share:.0%}": _names(audit, above)
            for share, above in zip(audit.fit.shares, audit.fit.label_above[block].T, strict=True)
        },
        "tied": audit.tied[block],
        "active_rate": audit.active_rate[block],
        "positives": np.where(label >= 0, audit.positives[label], np.nan),
        **_formulas(audit, block),
    }


def to_pandas(result: Audit | AuditChanges | Compositions) -> Any:
    """Make a ``pandas.DataFrame`` of the columns of an audit, of a comparison or of formulas.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ImportError(
            "to_pandas needs pandas, which is not installed: pip install pandas, or use columns()"
        ) from error
    return DataFrame(result.columns())


def _formulas(audit: Audit, block: slice) -> dict[str, Any]:
    """The formula and what it is worth only where it is better; the q-value wherever tested."""
    neurons = range(len(audit.label))[block]
    found = audit.compositions
    if found is None:
        nothing = np.full(len(neurons), np.nan)
        names = "formula_similarity", "formula_gain", "formula_q_value"
        return {"formula": [None] * len(neurons), **dict.fromkeys(names, nothing)}
    better = found.better[block]
    return {
        "formula": [
            found.description(u) if x else None for u, x in zip(neurons, better, strict=True)
        ],
        "formula_similarity": np.where(better, found.similarity[-1, block], np.nan),
        "formula_gain": np.where(better, found.gain[block], np.nan),
        "formula_q_value": found.q_value[block],
    }


def _names(audit: Audit, label: np.ndarray) -> list[str | None]:
    return [audit.concept_names[c] if c >= 0 else None for c in label.tolist()]
