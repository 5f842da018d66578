"""Bring the evidence on each neuron before the rules, and settle its sets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..chance.null import PermutationTest
from ..faithfulness.certificates import Certificate
from ..metrics.scores import Reason
from ..sets.rule import ConceptSets
from .hierarchy import merge_answers
from .prepared import PreparedLayer
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
    layer: PreparedLayer,
    null: PermutationTest | None,
    proof: Certificate,
    headline: ConceptSets,
    calibrated: ConceptSets,
    probability: np.ndarray,
    alpha: float,
) -> JudgedLayer:
    """Judge every neuron of a layer.

    Parameters
    ----------
    layer : PreparedLayer
    null : PermutationTest or None
    proof : Certificate
        With NumPy arrays.
    headline, calibrated : ConceptSets
        The sets to read, and those for each neuron alone.
    probability : numpy.ndarray [U]
        Probability that a fresh probing set gives the label, or another of the same answer.
    alpha : float in (0, 1)
    """
    mask, untested = np.asarray(headline.mask), np.asarray(calibrated.untested)
    q_value = np.full(len(mask), np.nan) if null is None else np.asarray(null.q_value)
    judgements = _judgements(layer, q_value, proof, mask, untested, probability, alpha)
    verdict = np.array([x.verdict for x in judgements])
    certified = (verdict == Verdict.CERTIFIED)[:, None]
    concept_set = np.where(certified, proof.mask, mask)
    return JudgedLayer(
        verdict=verdict,
        verdict_reason=tuple(x.reason for x in judgements),
        concept_set=concept_set,
        calibrated_set=np.where(certified, proof.mask, np.asarray(calibrated.mask)),
        untested=untested & ~certified,
        answers=merge_answers(concept_set, layer.probe.concept_names, layer.hierarchy).size,
    )


def _judgements(
    layer: PreparedLayer,
    q_value: np.ndarray,
    proof: Certificate,
    mask: Any,
    untested: np.ndarray,
    probability: np.ndarray,
    alpha: float,
) -> list[Judgement]:
    """The first rule that applies to each neuron."""
    probe, found = layer.probe, layer.found
    names = probe.concept_names
    answers, proved = (merge_answers(x, names, layer.hierarchy) for x in (mask, proof.mask))
    judgements = []
    for u, label in enumerate(layer.label):
        evidence = Evidence(
            label=names[label] if label >= 0 else "",
            missing=Reason(int(found.reason[u])).text,
            q_value=float(q_value[u]),
            proved=(int(proved.size[u]) * proof.finite_sample, proved.name[u]),
            answers=(int(answers.size[u]), answers.name[u]),
            probability=float(probability[u]),
            label_judged=not untested[u, label],
            positives=f"present in {proof.positives[label]:,} {probe.unit_name}",
        )
        judgements.append(judge(evidence, alpha))
    return judgements
