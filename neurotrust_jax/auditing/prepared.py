"""What the statistics of an audit share, computed once: the judged concepts and the similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from ..faithfulness.bounds import Intervals, Level, intervals_at
from ..faithfulness.certificates import Certificate, certificate_from, certificate_levels
from ..metrics.scores import Identification, identified, similarity, undefined_reason
from ..metrics.table import Metric
from ..probing.probe import Probe
from ..sets.rule import BoundOptions
from .hierarchy import lineages, parents_in
from .result import LEADING
from .vocabulary import judged_concepts

__all__ = ["Bounds", "JudgedConcepts", "PreparedLayer", "bound_layer", "judge_concepts", "prepare"]


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
class PreparedLayer:
    """A layer's similarity and labels, from which all statistics start.

    Attributes
    ----------
    probe : Probe
        With the judged concepts alone.
    metric : Metric
    hierarchy : mapping of str to str, int array, or None
    similarity : Array [U, C]
        Similarity of all neurons with all judged concepts.
    found : Identification
        The leading concepts of each neuron with their similarity, ties and the reason of a missing
        label, as NumPy arrays [U, K] and [U].
    """

    probe: Probe
    metric: Metric
    hierarchy: Any
    similarity: Array
    found: Identification

    @property
    def label(self) -> np.ndarray:
        """Column of each neuron's label, -1 for none, [U] of int32."""
        return np.asarray(self.found.concept)[:, 0]


@dataclass(frozen=True, eq=False)
class Bounds:
    """All bounds of a layer's similarities.

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


def prepare(concepts: JudgedConcepts, metric: Metric) -> PreparedLayer:
    """Compute the similarity of the judged concepts, and the labels that follow from it."""
    probe = concepts.probe
    scores = similarity(probe, metric)
    reasons = undefined_reason(probe, metric, scores=scores)
    found = identified(scores, reasons, min(LEADING, probe.num_concepts))
    return PreparedLayer(probe, metric, concepts.hierarchy, scores, jax.device_get(found))


def bound_layer(layer: PreparedLayer, alpha: float, options: BoundOptions) -> Bounds:
    """Bound the similarities at the levels of intervals and certificate, one call a method."""
    both = Level(alpha, "concepts")
    levels = [both, *certificate_levels(alpha)]
    given, low, high = intervals_at(
        layer.probe, layer.metric, levels, *options, scores=layer.similarity
    )
    asymptotic = given
    if not given.asymptotic:
        (asymptotic,) = intervals_at(
            layer.probe, layer.metric, [both], "asymptotic", None, None, scores=layer.similarity
        )
    proof = certificate_from(layer.probe, low, high, alpha)
    return Bounds(given, asymptotic, (low, high), proof)
