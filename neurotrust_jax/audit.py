"""The main job in one call: label a layer's neurons and say how far each label can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jax import Array

from .bounds import certify, intervals
from .metrics import Metric, get_metric
from .probe import Probe
from .resampling import Progress, bootstrap
from .sets import concept_sets
from .similarity import Reason, at_concept, identify
from .stability import stability

__all__ = ["Audit", "audit"]


@dataclass(frozen=True, eq=False)
class Audit:
    """What is known about the labels of one layer, as NumPy arrays.

    Attributes
    ----------
    layer, metric, scheme, thresholds : str
        Where the activations come from and how they were judged.
    alpha : float
        Nominal error of sets and intervals.
    num_replicates, num_samples, num_units : int
        Bootstrap replicates, samples n, and independent units (groups where given).
    concept_names, neuron_names : tuple of str
    label : [U] of int
        Column of the most similar concept, -1 where no similarity is defined.
    similarity : [U]
        Its similarity.
    tied : [U] of int
        Number of concepts sharing that similarity.
    reason : [U] of int
        :class:`Reason` code of a missing label, else 0.
    guarantee : str
        What the interval, the regret and the certified set promise, see :class:`Intervals`.
    lower, upper : [U]
        Interval of the label's true similarity, of level 1 - alpha for all concepts of the neuron
        at once: that the label was chosen for its high similarity is accounted for. NaN without a
        label.
    regret : [U]
        No concept's true similarity exceeds the label's by more, see :func:`certify`.
    certified_set : [U, C] of bool
        Concepts that may truly be the most similar, see :func:`certify`.
    vacuous : [U] of bool
        Whether that set rules out no concept.
    agreement : [U]
        Share of replicates that give the same label.
    concept_set : [U, C] of bool
        The calibrated set: it holds the population's best concept with probability 1 - alpha in
        the limit of many units, see :func:`concept_sets`.
    undecided : [U, C] of bool
        Members of that set on which there is too little evidence to test them.
    vote_share : [U, C]
        Share of replicates each concept wins.
    active_rate : [U]
        Share of samples on which the neuron is active.
    positives : [C] of int
        Independent units (groups where given) on which the concept is present.
    """

    layer: str
    metric: str
    scheme: str
    thresholds: str
    alpha: float
    num_replicates: int
    num_samples: int
    num_units: int
    concept_names: tuple[str, ...]
    neuron_names: tuple[str, ...]
    label: np.ndarray
    similarity: np.ndarray
    tied: np.ndarray
    reason: np.ndarray
    guarantee: str
    lower: np.ndarray
    upper: np.ndarray
    regret: np.ndarray
    certified_set: np.ndarray
    vacuous: np.ndarray
    agreement: np.ndarray
    concept_set: np.ndarray
    undecided: np.ndarray
    vote_share: np.ndarray
    active_rate: np.ndarray
    positives: np.ndarray

    @property
    def set_size(self) -> np.ndarray:
        """Number of concepts in each neuron's set, [U]."""
        return self.concept_set.sum(axis=1)

    def description(self, neuron: int) -> str:
        """The label in words, empty where there is none."""
        label = self.label[neuron]
        return self.concept_names[label] if label >= 0 else ""

    def set_names(self, neuron: int) -> list[str]:
        """Names of the concepts in a neuron's set, those that win most replicates first."""
        order = np.argsort(-self.vote_share[neuron], kind="stable")
        return [self.concept_names[c] for c in order if self.concept_set[neuron, c]]

    def reason_text(self, neuron: int) -> str:
        """Why a neuron has no label, empty where it has one."""
        reason = Reason(int(self.reason[neuron]))
        return "" if reason is Reason.DEFINED else reason.text


def audit(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_replicates: int = 1000,
    scheme: str = "multinomial",
    method: str = "auto",
    layer: str = "",
    progress: Progress | None = None,
) -> Audit:
    """Label every neuron of a layer and say how stable each label is.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    metric : str or Metric
    alpha : float in (0, 1)
        Sets, intervals and certificates are made at level 1 - alpha.
    num_replicates : int
        Bootstrap replicates.
    scheme : str
        Resampling scheme, see :data:`neurotrust_jax.resampling.SCHEMES`.
    method : str
        Method of the intervals, see :func:`intervals`.
    layer : str
        Name of the layer, for the record.
    progress : callable, optional
        Called as ``progress(done, num_replicates)``.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        If an option is out of its range, before any work starts.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    metric = get_metric(metric)
    bounds = intervals(probe, metric, delta=alpha, method=method, simultaneous="concepts")
    proof = certify(probe, metric, delta=alpha, method=method)
    found = identify(probe, metric)
    boot = bootstrap(
        key, probe, metric, num_replicates=num_replicates, scheme=scheme, progress=progress
    )
    sets = concept_sets(boot, alpha=alpha)
    host = jax.device_get
    return Audit(
        layer=layer,
        metric=metric.name,
        scheme=scheme,
        thresholds=f"{probe.threshold_source}, {'>=' if probe.inclusive else '>'} threshold",
        alpha=alpha,
        num_replicates=boot.num_replicates,
        num_samples=probe.num_samples,
        num_units=probe.num_units,
        concept_names=probe.concept_names,
        neuron_names=probe.neuron_names,
        label=host(boot.label),
        similarity=host(found.similarity[:, 0]),
        tied=host(found.tied),
        reason=host(found.reason),
        guarantee=bounds.guarantee,
        lower=host(at_concept(bounds.lower, boot.label)),
        upper=host(at_concept(bounds.upper, boot.label)),
        regret=host(proof.regret),
        certified_set=host(proof.mask),
        vacuous=host(proof.vacuous),
        agreement=host(stability(boot).top1_agreement),
        concept_set=host(sets.mask),
        undecided=host(sets.undecided),
        vote_share=host(boot.vote_share),
        active_rate=host(probe.active_rate),
        positives=host(proof.positives),
    )
