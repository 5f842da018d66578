"""Bring the evidence on each neuron before the rules, and settle its sets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..metrics.scores import Reason
from .block import Record
from .hierarchy import merge_answers
from .prepared import JudgedConcepts
from .verdicts import Evidence, Judgement, Verdict, judge

__all__ = ["JudgedLayer", "judge_layer"]


class JudgedLayer(NamedTuple):
    """The verdicts on a layer's neurons, with the sets that go with them.

    Attributes
    ----------
    verdict : numpy.ndarray [U] of int
    verdict_reason : tuple of str
    concept_set, calibrated_set, untested : numpy.ndarray [U, C] of bool
        A certified neuron has the set of its certificate.
    answers : numpy.ndarray [U] of int
        Number of answers in ``concept_set``.
    """

    verdict: np.ndarray
    verdict_reason: tuple[str, ...]
    concept_set: np.ndarray
    calibrated_set: np.ndarray
    untested: np.ndarray
    answers: np.ndarray


def judge_layer(
    concepts: JudgedConcepts,
    record: Record,
    headline: np.ndarray,
    q_value: np.ndarray,
    probability: np.ndarray,
    alpha: float,
) -> JudgedLayer:
    """Judge every neuron of a layer.

    Parameters
    ----------
    concepts : JudgedConcepts
    record : Record
        What was read from all neurons.
    headline : numpy.ndarray [U, C] of bool
        The sets to read.
    q_value : numpy.ndarray [U]
        Of the permutation test, NaN where it was left out.
    probability : numpy.ndarray [U]
        Probability that a fresh probing set gives the label, or another of the same answer.
    alpha : float in (0, 1)
    """
    judgements = _judgements(concepts, record, headline, q_value, probability, alpha)
    verdict = np.array([x.verdict for x in judgements])
    certified = (verdict == Verdict.CERTIFIED)[:, None]
    proved: np.ndarray = record["certified_set"]
    concept_set = np.where(certified, proved, headline)
    names = concepts.probe.concept_names
    return JudgedLayer(
        verdict=verdict,
        verdict_reason=tuple(x.reason for x in judgements),
        concept_set=concept_set,
        calibrated_set=np.where(certified, proved, record["calibrated_set"]),
        untested=record["untested"] & ~certified,
        answers=merge_answers(concept_set, names, concepts.hierarchy).size,
    )


def _judgements(
    concepts: JudgedConcepts,
    record: Record,
    headline: np.ndarray,
    q_value: np.ndarray,
    probability: np.ndarray,
    alpha: float,
) -> list[Judgement]:
    """The first rule that applies to each neuron."""
    names, positives = concepts.probe.concept_names, np.asarray(concepts.probe.positive_units)
    answers, proved = (
        merge_answers(x, names, concepts.hierarchy) for x in (headline, record["certified_set"])
    )
    judgements = []
    for u, label in enumerate(record["label"]):
        evidence = Evidence(
            label=names[label] if label >= 0 else "",
            missing=Reason(int(record["reason"][u])).text,
            q_value=float(q_value[u]),
            proved=(int(proved.size[u]) * record["finite_sample"], proved.name[u]),
            answers=(int(answers.size[u]), answers.name[u]),
            probability=float(probability[u]),
            label_judged=not record["untested"][u, label],
            positives=f"present in {positives[label]:,} {concepts.probe.unit_name}",
        )
        judgements.append(judge(evidence, alpha))
    return judgements
