"""The numbers of an audit as the page's script reads them: by column, one entry a neuron."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._runtime.text import visible
from ..auditing.result import Audit

__all__ = ["layer_data"]

DIGITS = 4  # significant ones of every number
LEAST_SHARE, MOST_VOTES = 0.005, 12  # vote shares of a neuron that are shown
MOST_IN_SET = 60  # concepts of a set that are named


def layer_data(audit: Audit, examples: Any) -> dict[str, Any]:
    """All that the page shows of a layer; ``examples`` as :func:`placed_examples` gives them."""
    return {
        "name": visible(audit.layer) or "layer",
        "metric": visible(audit.metric),
        "level": f"{1 - audit.alpha:.0%}",
        "alpha": audit.alpha,
        "replicates": audit.num_replicates,
        "unitName": audit.unit_name,
        "guarantee": visible(audit.intervals.guarantee),
        "concepts": [visible(x) for x in audit.concept_names],
        "positives": _numbers(audit.positives),
        "neurons": [visible(x) for x in audit.neuron_names],
        "active": _numbers(audit.active_rate),
        "examples": examples,
        **_verdicts(audit),
        **_labels(audit),
        **_bounds(audit),
        **_sets(audit),
        **_votes(audit),
        **_chance(audit),
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


def _labels(audit: Audit) -> dict[str, Any]:
    return {
        "label": _numbers(audit.label),
        "missing": _numbers(audit.reason),
        "tied": _numbers(audit.tied),
        "similarity": _numbers(audit.similarity),
        "probability": _numbers(audit.replication_probability),
        "answered": _numbers(audit.answer_probability),
        "corrected": _numbers(audit.winners_curse.corrected),
        "split": _numbers(audit.winners_curse.split),
        "shares": list(audit.fit.shares),
        "above": [_numbers(row) for row in audit.fit.label_above],
    }


def _bounds(audit: Audit) -> dict[str, Any]:
    bounds, lead = audit.intervals, audit.leading
    return {
        "lower": _numbers(bounds.asymptotic_lower),
        "upper": _numbers(bounds.asymptotic_upper),
        "sureLower": _numbers(bounds.lower),
        "sureUpper": _numbers(bounds.upper),
        "pairLower": _numbers(bounds.pair_lower),
        "pairUpper": _numbers(bounds.pair_upper),
        "regret": _numbers(audit.regret),
        "certified": _numbers(audit.certified_set.sum(axis=1)),
        "width": lead.concept.shape[1],
        "leading": {
            "concept": _numbers(lead.concept),
            "similarity": _numbers(lead.similarity),
            "lower": _numbers(lead.asymptotic_lower),
            "upper": _numbers(lead.asymptotic_upper),
        },
    }


def _sets(audit: Audit) -> dict[str, Any]:
    num_neurons = len(audit.label)
    return {
        "answers": _numbers(audit.answers),
        "set": [[int(c) for c in audit.set_members(u)[:MOST_IN_SET]] for u in range(num_neurons)],
        "setSize": _numbers(audit.set_size),
        "calibratedSize": _numbers(audit.calibrated_set.sum(axis=1)),
        "numUntested": _numbers(audit.untested.sum(axis=1)),
    }


def _votes(audit: Audit) -> dict[str, Any]:
    """Agreement, and the concepts of each neuron that win most replicates with their shares."""
    share, stability = audit.vote_share, audit.stability
    order = np.argsort(-share, axis=1, kind="stable")[:, :MOST_VOTES]
    voted = [
        [int(c) for c in row if own[c] > LEAST_SHARE] for row, own in zip(order, share, strict=True)
    ]
    return {
        "agreement": _numbers(audit.agreement),
        "agreementLower": _numbers(stability.top1_lower),
        "agreementUpper": _numbers(stability.top1_upper),
        "voted": voted,
        "votes": [_numbers(own[row]) for row, own in zip(voted, share, strict=True)],
    }


def _chance(audit: Audit) -> dict[str, Any]:
    null = audit.null
    return {
        "p": _numbers(null.p_value) if null else None,
        "q": _numbers(null.q_value) if null else None,
        "chance": _numbers(null.null_quantile) if null else None,
    }


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
