"""What the statistics of an audit share, found once: judged concepts, labels and their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from ..faithfulness.bounds import Level, intervals_at
from ..faithfulness.certificates import Certificate, certificate_from, certificate_levels
from ..faithfulness.result import Intervals
from ..metrics.scores import Identification, identified, undefined_reason
from ..metrics.table import Metric
from ..probing.probe import Probe
from ..sets.rule import BoundOptions
from .hierarchy import lineages, parents_in
from .result import LEADING
from .vocabulary import judged_concepts

__all__ = ["Bounds", "JudgedConcepts", "PreparedBlock", "bound_block", "judge_concepts", "prepare"]


@dataclass(frozen=True, eq=False)
class JudgedConcepts:
    """Which concepts of a probe are judged.

    Attributes
    ----------
    given : Probe
        The probe with all its concepts.
    mask : numpy.ndarray [C] of bool
        The concepts that are judged.
    probe : Probe
        The probe with the judged concepts alone.
    hierarchy : mapping of str to str, int array, or None
        Parents of the judged concepts.
    """

    given: Probe
    mask: np.ndarray
    probe: Probe
    hierarchy: Any


@dataclass(frozen=True, eq=False)
class PreparedBlock:
    """The similarity and the labels of some neurons, from which all statistics start.

    Attributes
    ----------
    probe : Probe
        With the judged concepts alone.
    metric : Metric
    similarity : Array [U, C]
        Similarity of all neurons with all judged concepts.
    found : Identification
        The leading concepts of each neuron with their similarity, ties and the reason of a missing
        label, as NumPy arrays [U, K] and [U].
    """

    probe: Probe
    metric: Metric
    similarity: Array
    found: Identification

    @property
    def label(self) -> np.ndarray:
        """Column of each neuron's label, -1 for none, [U] of int32."""
        return np.asarray(self.found.concept)[:, 0]


@dataclass(frozen=True, eq=False)
class Bounds:
    """All bounds of the similarities of some neurons.

    Attributes
    ----------
    given : Intervals
        By the method asked for, for all concepts of a neuron at once.
    asymptotic : Intervals
        The same in the limit of many sampling units.
    one_sided : tuple of Intervals
        The lower and the upper bounds that the certificate consists of.
    certificate : Certificate
    """

    given: Intervals
    asymptotic: Intervals
    one_sided: tuple[Intervals, Intervals]
    certificate: Certificate


def judge_concepts(
    probe: Probe, metric: Metric, min_positives: int, hierarchy: Any
) -> JudgedConcepts:
    """Leave out the concepts that are too rare to be judged, after checking the hierarchy."""
    paths = lineages(probe.concept_names, hierarchy, left_out=[x.name for x in probe.left_out])
    judged = judged_concepts(probe, metric, min_positives)
    if judged.all():
        return JudgedConcepts(probe, judged, probe, hierarchy)
    columns = np.flatnonzero(judged)
    return JudgedConcepts(
        probe, judged, probe.of_concepts(columns), parents_in(paths[c] for c in columns)
    )


def prepare(probe: Probe, metric: Metric, scores: Array) -> PreparedBlock:
    """Find the labels that follow from the similarities [U, C]."""
    reasons = undefined_reason(probe, metric, scores=scores)
    found = identified(scores, reasons, min(LEADING, probe.num_concepts))
    return PreparedBlock(probe, metric, scores, jax.device_get(found))


def bound_block(block: PreparedBlock, alpha: float, options: BoundOptions) -> Bounds:
    """Bound the similarities at the levels of intervals and certificate, one call a method."""
    both = Level(alpha, "concepts")
    levels = [both, *certificate_levels(alpha)]
    given, low, high = intervals_at(
        block.probe, block.metric, levels, *options, scores=block.similarity
    )
    asymptotic = given
    if not given.asymptotic:
        (asymptotic,) = intervals_at(
            block.probe, block.metric, [both], "asymptotic", None, None, scores=block.similarity
        )
    proof = certificate_from(block.probe, low, high, alpha)
    return Bounds(given, asymptotic, (low, high), proof)
