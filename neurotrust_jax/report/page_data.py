"""The numbers of an audit as the page's script reads them: by column, one entry a neuron.

A wide layer has more numbers than a browser should read before it shows anything. So the columns of
the table come first, for all neurons, since they are sorted and searched. What is shown of one
neuron when it is opened lies in blocks of neurons, each of which is unpacked when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._runtime.text import visible
from ..auditing.result import Audit
from .neuron_formula import NeuronFormula, neuron_formula

__all__ = ["BLOCK", "detail_blocks", "layer_table"]

BLOCK = 512  # neurons
DIGITS = 4  # significant ones of every number
LEAST_SHARE, MOST_VOTES = 0.005, 12  # vote shares of a neuron that are shown
MOST_IN_SET = 60  # concepts of a set that are named


def layer_table(audit: Audit) -> dict[str, Any]:
    """What the page needs of a layer from the start."""
    return {
        "name": visible(audit.layer) or "layer",
        "metric": visible(audit.metric),
        "level": f"{1 - audit.alpha:.0%}",
        "replicates": audit.num_replicates,
        "unitName": audit.unit_name,
        "concepts": [visible(x) for x in audit.concept_names],
        "positives": _numbers(audit.positives),
        "shares": list(audit.fit.shares),
        "ranges": audit.num_ranges,
        "neurons": [visible(x) for x in audit.neuron_names],
        "label": _numbers(audit.label),
        "similarity": _numbers(audit.similarity),
        "lower": _numbers(audit.intervals.asymptotic_lower),
        "upper": _numbers(audit.intervals.asymptotic_upper),
        "probability": _numbers(audit.replication_probability),
        "agreement": _numbers(audit.agreement),
        "answers": _numbers(audit.answers),
        "q": _numbers(audit.null.q_value) if audit.null else None,
        "formula": _formulas(audit),
        **_verdicts(audit),
    }


def detail_blocks(audit: Audit, examples: list[list[Any]] | None) -> Iterator[dict[str, Any]]:
    """What is shown of the neurons of each block; ``examples`` [U] has the examples of each."""
    for start in range(0, len(audit.label), BLOCK):
        block = slice(start, start + BLOCK)
        yield {
            "examples": examples[block] if examples else None,
            **_labels(audit, block),
            **_bounds(audit, block),
            **_sets(audit, block),
            **_votes(audit, block),
            "formulas": _formula_details(audit, block),
        }


def _verdicts(audit: Audit) -> dict[str, Any]:
    """Verdicts with their reasons and the place of each neuron; texts are listed once."""
    reasons = {reason: i for i, reason in enumerate(dict.fromkeys(audit.verdict_reason))}
    place = np.empty(len(audit.label), int)
    place[audit.ranked] = np.arange(len(place))
    # how each label fits, and why its guaranteed interval is wide, or nothing
    notes = [(audit.fit_text(u), audit.intervals.why_wide[u]) for u in range(len(place))]
    texts = {text: i for i, text in enumerate(dict.fromkeys(x for pair in notes for x in pair))}
    return {
        "verdict": _numbers(audit.verdict),
        "reasons": [visible(x) for x in reasons],
        "reason": [reasons[x] for x in audit.verdict_reason],
        "place": _numbers(place),
        "texts": [visible(x) for x in texts],
        "notes": [[texts[x] for x in pair] for pair in notes],
    }


def _labels(audit: Audit, block: slice) -> dict[str, Any]:
    return {
        "missing": _numbers(audit.reason[block]),
        "answered": _numbers(audit.answer_probability[block]),
        "corrected": _numbers(audit.winners_curse.corrected[block]),
        "split": _numbers(audit.winners_curse.split[block]),
        "above": audit.fit.label_above[block].tolist(),
        "p": _numbers(audit.null.p_value[block]) if audit.null else None,
        "active": _numbers(audit.active_rate[block]),
    }


def _bounds(audit: Audit, block: slice) -> dict[str, Any]:
    bounds, lead = audit.intervals, audit.leading
    sure = np.nan if bounds.asymptotic else 1.0  # no number where none holds for every sample size
    return {
        "sureLower": _numbers(sure * bounds.lower[block]),
        "sureUpper": _numbers(sure * bounds.upper[block]),
        "pairLower": _numbers(bounds.pair_lower[block]),
        "pairUpper": _numbers(bounds.pair_upper[block]),
        "regret": _numbers(audit.regret[block]),
        "certified": _numbers(audit.certified_set[block].sum(axis=1)),
        "width": lead.concept.shape[1],
        "leading": {
            "concept": _numbers(lead.concept[block]),
            "similarity": _numbers(lead.similarity[block]),
            "lower": _numbers(lead.asymptotic_lower[block]),
            "upper": _numbers(lead.asymptotic_upper[block]),
        },
    }


def _sets(audit: Audit, block: slice) -> dict[str, Any]:
    neurons = range(len(audit.label))[block]
    return {
        "set": [audit.set_members(u)[:MOST_IN_SET].tolist() for u in neurons],
        "setSize": _numbers(audit.concept_set[block].sum(axis=1)),
        "calibratedSize": _numbers(audit.calibrated_set[block].sum(axis=1)),
        "numUntested": _numbers(audit.untested[block].sum(axis=1)),
    }


def _votes(audit: Audit, block: slice) -> dict[str, Any]:
    """The concepts of each neuron that win most replicates, with their shares."""
    share = audit.vote_share[block]
    order = np.argsort(-share, axis=1, kind="stable")[:, :MOST_VOTES]
    voted = [
        [int(c) for c in row if own[c] > LEAST_SHARE] for row, own in zip(order, share, strict=True)
    ]
    return {
        "voted": voted,
        "votes": [_numbers(own[row]) for row, own in zip(voted, share, strict=True)],
    }


def _formulas(audit: Audit) -> list[str] | None:
    """The formula of each neuron, empty where it is not better; None where none was asked for."""
    found = audit.compositions
    if found is None:
        return None
    better = found.better.tolist()
    return [visible(found.description(u)) if x else "" for u, x in enumerate(better)]


def _formula_details(audit: Audit, block: slice) -> list[list[str] | None] | None:
    """What is said of the formula of each neuron of a block, None without one."""
    if audit.compositions is None:
        return None
    neurons = range(len(audit.label))[block]
    found = (neuron_formula(audit.compositions, u) for u in neurons)
    return [None if x is None else _formula(x) for x in found]


def _formula(found: NeuronFormula) -> list[str]:
    """The formula where it is better, and sentences on it; else the sentence that says so alone."""
    first, *rest = map(visible, found.sentences())
    shown = [f"{x[:1].upper()}{x[1:]}." for x in (rest if found.better else [first])]
    return [first, *shown] if found.better else shown


def _numbers(values: Any) -> list[float | int | str | None]:
    """Rounded; None for NaN, and a string for infinity."""
    return [_number(x) for x in np.asarray(values).ravel().tolist()]


def _number(x: Any) -> float | int | str | None:
    if isinstance(x, int):
        return int(x)
    if not math.isfinite(x):
        return None if math.isnan(x) else str(x)
    rounded = float(f"{x:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
