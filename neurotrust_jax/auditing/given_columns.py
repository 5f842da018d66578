"""Put an audit of the judged concepts into the columns of all concepts of the probe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..probing.probe import Probe
from .result import LEADING, Audit

__all__ = ["on_given_columns"]

INTERVALS = ("similarity", "lower", "upper", "asymptotic_lower", "asymptotic_upper")
MATRICES = ("certified_set", "concept_set", "calibrated_set", "untested", "vote_share")  # [U, C]


def on_given_columns(result: Audit, probe: Probe, judged: np.ndarray) -> Audit:
    """Give an audit of the judged concepts the columns of all concepts of the probe.

    Concepts that were not judged are in no set and win no replicate.
    """
    if judged.all():
        return result
    column = np.flatnonzero(judged)

    def spread(values: Any) -> Any:
        wide = np.zeros((len(values), len(judged)), values.dtype)
        wide[:, column] = values
        return wide

    def given(label: np.ndarray) -> np.ndarray:
        return np.where(label >= 0, column[label], -1).astype(label.dtype)

    def padded(values: np.ndarray, fill: float) -> np.ndarray:
        missing = min(LEADING, len(judged)) - values.shape[1]
        return np.pad(values, ((0, 0), (0, missing)), constant_values=fill)

    listed, fit = result.leading, result.fit
    matrices: dict[str, Any] = {name: spread(getattr(result, name)) for name in MATRICES}
    return replace(
        result,
        concept_names=probe.concept_names,
        label=given(result.label),
        leading=replace(
            listed,
            concept=padded(given(listed.concept), -1),
            **{name: padded(getattr(listed, name), np.nan) for name in INTERVALS},
        ),
        intervals=replace(result.intervals, label=given(result.intervals.label)),
        fit=replace(
            fit,
            label=given(fit.label),
            top_concept=given(fit.top_concept),
            label_above=given(fit.label_above),
        ),
        stability=replace(result.stability, inflated_set=spread(result.stability.inflated_set)),
        positives=np.asarray(probe.positive_units),
        **matrices,
    )
