"""The main job in one call: label a layer's neurons and say how far each label can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from .bounds import intervals
from .certificate import Certificate, certify
from .checks import check_count, check_share
from .chunks import StageProgress
from .hierarchy import lineages, merge_answers, parents_in
from .memory import room_for
from .metrics import Metric, get_metric
from .null import PermutationTest, permutation_test
from .probe import LeftOut, Probe
from .probing import rare_concepts
from .resampling import bootstrap
from .selection import WinnersCurse, winners_curse
from .sets import concept_sets
from .similarity import Identification, Reason, at_concept, identify
from .stability import Stability, stability
from .verdicts import Evidence, Judgement, Verdict, judge
from .vocabulary import (
    DEFAULT_MIN_POSITIVES,
    judged_concepts,
    left_out_text,
    on_given_columns,
)
from .weights import check_scheme

__all__ = ["Audit", "Leading", "audit"]

LEADING = 8  # concepts of a neuron whose similarity an audit tells


@dataclass(frozen=True, eq=False)
class Leading:
    """The most similar concepts of each neuron, the label first.

    Attributes
    ----------
    concept : [U, K] of int
        Their columns, -1 where fewer similarities are defined; K is 8, or all concepts if fewer.
    similarity, lower, upper : [U, K]
        As measured, and limits of the true ones, for all concepts of the neuron at once.
    """

    concept: np.ndarray
    similarity: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


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
    leading : Leading
        The most similar concepts with their intervals.
    regret : [U]
        No concept's true similarity exceeds the label's by more, see :func:`certify`.
    certified_set : [U, C] of bool
        Concepts that may truly be the most similar, see :func:`certify`.
    vacuous : [U] of bool
        Whether that set rules out no concept.
    finite_sample : bool
        Whether interval, regret and that set hold for every sample size, with nothing assumed but
        independent units; only then a label can be certified.
    stability : Stability
        How much the labels of the replicates agree.
    concept_set : [U, C] of bool
        The calibrated set: it holds the population's best concept with probability 1 - alpha in
        the limit of many units, see :func:`concept_sets`. Of a certified neuron the certified set,
        whose one answer is what the verdict says.
    set_guarantee : str
        What the calibrated sets promise, see :attr:`ConceptSets.guarantee`.
    undecided : [U, C] of bool
        Members of that set on which there is too little evidence to test them.
    answers : [U] of int
        Number of answers in that set: concepts of one tree of the hierarchy are one.
    vote_share : [U, C]
        Share of replicates each concept wins.
    winners_curse : WinnersCurse
        The label's similarity, corrected for its having been chosen.
    null : PermutationTest or None
        Whether the neuron has to do with any concept at all.
    verdict : [U] of int
        :class:`Verdict` code.
    verdict_reason : tuple of str
        Why, in a clause.
    active_rate : [U]
        Share of samples on which the neuron is active.
    positives : [C] of int
        Independent units (groups where given) on which the concept is present.
    judged : [C] of bool
        Whether the concept is on enough of them to be judged; others are in no set, and are no
        label.
    min_positives : int
        How many are enough.
    left_out : tuple of LeftOut
        Names and units of the concepts that are not judged, the most common first; also of those
        that :func:`make_probe` left out, which have no column.
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
    leading: Leading
    regret: np.ndarray
    certified_set: np.ndarray
    vacuous: np.ndarray
    finite_sample: bool
    stability: Stability
    concept_set: np.ndarray
    set_guarantee: str
    undecided: np.ndarray
    answers: np.ndarray
    vote_share: np.ndarray
    winners_curse: WinnersCurse
    null: PermutationTest | None
    verdict: np.ndarray
    verdict_reason: tuple[str, ...]
    active_rate: np.ndarray
    positives: np.ndarray
    judged: np.ndarray
    min_positives: int
    left_out: tuple[LeftOut, ...]

    @property
    def agreement(self) -> np.ndarray:
        """Share of replicates that give the same label, [U]."""
        return np.asarray(self.stability.top1_agreement)

    @property
    def set_size(self) -> np.ndarray:
        """Number of concepts in each neuron's set, [U]."""
        return self.concept_set.sum(axis=1)

    @property
    def verdict_counts(self) -> dict[Verdict, int]:
        """How many neurons got each verdict."""
        return {v: int((self.verdict == v).sum()) for v in Verdict}

    def description(self, neuron: int) -> str:
        """The label in words, empty where there is none."""
        label = self.label[neuron]
        return self.concept_names[label] if label >= 0 else ""

    def set_names(self, neuron: int, *, tested: bool = False) -> list[str]:
        """Names of a set's (tested) concepts, those that win most replicates first."""
        order = np.argsort(-self.vote_share[neuron], kind="stable")
        member = self.concept_set[neuron] & ~(tested & self.undecided[neuron])
        return [self.concept_names[c] for c in order if member[c]]

    def left_out_text(self, *, limit: int = 10) -> str:
        """Which concepts are not judged, and what it would take; empty if all are.

        At most ``limit`` are named.
        """
        unit = "samples" if self.num_units == self.num_samples else "groups"
        return left_out_text(
            self.left_out, self.concept_names, self.min_positives, unit=unit, limit=limit
        )

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
    num_permutations: int = 1000,
    scheme: str = "multinomial",
    method: str = "auto",
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
    strata: Any = None,
    hierarchy: Any = None,
    min_positives: int = DEFAULT_MIN_POSITIVES,
    layer: str = "",
    memory_limit: float | None = None,
    checkpoint: Path | str | None = None,
    progress: StageProgress | None = None,
) -> Audit:
    """Label every neuron of a layer and say how far each label can be trusted.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    metric : str or Metric
    alpha : float in (0, 1)
        Sets, intervals and certificates are made at level 1 - alpha; of the neurons called
        explained, a share of alpha is expected not to be.
    num_replicates : int
        Bootstrap replicates.
    num_permutations : int
        Permutations of :func:`permutation_test`; 0 leaves the test out, and no neuron is then
        called unexplained.
    scheme : str
        Resampling scheme, see :data:`neurotrust_jax.weights.SCHEMES`.
    method : str
        Method of the intervals, see :func:`intervals`.
    activation_range : pair of float or array [U], optional
        Smallest and largest activation possible, see :func:`intervals`: without it no label by
        ``mad``, ``standardised_mad``, ``correlation`` or ``cosine`` can be certified.
    largest_unit : float, optional
        Largest total sample weight that a unit can have, see :func:`intervals`: without it no label
        can be certified where there are groups or unequal weights.
    strata : array [n], optional
        See :func:`permutation_test`.
    hierarchy : mapping of str to str, or int array [C], optional
        Parents of concepts; a set of concepts under one root is one answer, see
        :func:`merge_answers`.
    min_positives : int
        Concepts present in fewer sampling units (groups where given, else samples) are not judged:
        they are no label and in no set, and :meth:`Audit.left_out_text` names them. The choice
        looks at the concepts alone. 0 judges all. Where scores are probabilities and the metric
        reads their values, as ``correlation`` does, all concepts are judged, since a probability
        may never reach the threshold of presence.
    layer : str
        Name of the layer, for the record.
    memory_limit : float, optional
        Bytes that the bootstrap may take, see :func:`bootstrap`.
    checkpoint : path, optional
        A folder that keeps what is done of the permutations and replicates, see :func:`bootstrap`.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        If an option is out of its range, or ``min_positives`` leaves no concept, before any work
        starts.
    """
    check_share(alpha, "alpha")
    metric = get_metric(metric)
    if num_permutations != 0:
        check_count(num_permutations, "num_permutations")
    check_count(num_replicates, "num_replicates")
    check_scheme(scheme)
    if min_positives != 0:
        check_count(min_positives, "min_positives")
    # a wrong one ends here
    paths = lineages(probe.concept_names, hierarchy, left_out=[x.name for x in probe.left_out])
    given, judged = probe, judged_concepts(probe, metric, min_positives)
    if not judged.all():
        probe = probe.of_concepts(np.flatnonzero(judged))
        hierarchy = parents_in(paths[c] for c in np.flatnonzero(judged))
    room_for(probe, num_replicates, memory_limit, None)  # and so does too low a limit
    # a method that does not fit the metric ends here too, before the long work
    known: Any = {
        "method": method, "activation_range": activation_range, "largest_unit": largest_unit,
    }  # fmt: skip
    bounds = intervals(probe, metric, delta=alpha, simultaneous="concepts", **known)
    proof = certify(probe, metric, delta=alpha, **known)
    told = progress or (lambda stage, done, total: None)
    boot_key, null_key, split_key = jax.random.split(key, 3)
    null = None
    if num_permutations:
        null = permutation_test(
            null_key, probe, metric, num_permutations=num_permutations, strata=strata, alpha=alpha,
            checkpoint=checkpoint, progress=lambda done, total: told("permuting", done, total),
        )  # fmt: skip
    boot = bootstrap(
        boot_key, probe, metric, num_replicates=num_replicates, scheme=scheme,
        memory_limit=memory_limit, checkpoint=checkpoint,
        progress=lambda done, total: told("resampling", done, total),
    )  # fmt: skip
    told("judging", 0, 1)
    found = identify(probe, metric, min(LEADING, probe.num_concepts))
    sets = concept_sets(
        boot, alpha=alpha, interval_method=method, activation_range=activation_range,
        largest_unit=largest_unit,
    )  # fmt: skip
    host = jax.device_get
    mask, untested = np.asarray(sets.mask), np.asarray(sets.undecided)
    judgements = _judge(probe, hierarchy, host(found), null, host(proof), mask, untested, alpha)
    verdict = np.array([x.verdict for x in judgements])
    certified = (verdict == Verdict.CERTIFIED)[:, None]
    mask, untested = np.where(certified, host(proof.mask), mask), untested & ~certified
    told("judging", 1, 1)
    result = Audit(
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
        similarity=host(found.similarity)[:, 0],
        tied=host(found.tied),
        reason=host(found.reason),
        guarantee=bounds.guarantee,
        lower=host(at_concept(bounds.lower, boot.label)),
        upper=host(at_concept(bounds.upper, boot.label)),
        leading=Leading(
            host(found.concept),
            host(found.similarity),
            *(_at_concepts(x, found.concept) for x in (bounds.lower, bounds.upper)),
        ),
        regret=host(proof.regret),
        certified_set=host(proof.mask),
        vacuous=host(proof.vacuous),
        finite_sample=bounds.finite_sample,
        stability=host(stability(boot)),
        concept_set=mask,
        set_guarantee=sets.guarantee,
        undecided=untested,
        answers=merge_answers(mask, probe.concept_names, hierarchy).size,
        vote_share=host(boot.vote_share),
        winners_curse=host(winners_curse(split_key, boot)),
        null=host(null),
        verdict=verdict,
        verdict_reason=tuple(x.reason for x in judgements),
        active_rate=host(probe.active_rate),
        positives=host(proof.positives),
        judged=judged,
        min_positives=int(min_positives),
        left_out=rare_concepts(given, judged),
    )
    return on_given_columns(result, given, judged, leading=LEADING)


def _at_concepts(values: Array, concept: Array) -> np.ndarray:
    """Values [U, C] at concepts [U, K], NaN at -1."""
    chosen = np.asarray(concept)
    return np.where(chosen < 0, np.nan, np.take_along_axis(np.asarray(values), chosen, axis=1))


def _judge(
    probe: Probe,
    hierarchy: Any,
    found: Identification,
    null: PermutationTest | None,
    proof: Certificate,
    mask: np.ndarray,
    untested: np.ndarray,
    alpha: float,
) -> list[Judgement]:
    """The evidence on each neuron brought before the rules."""
    names = probe.concept_names
    unit = "samples" if probe.groups is None else "groups"
    every, tested, proved = (
        merge_answers(x, names, hierarchy) for x in (mask, mask & ~untested, proof.mask)
    )
    q_value = np.full(len(mask), np.nan) if null is None else np.asarray(null.q_value)
    judgements = []
    for u, label in enumerate(found.concept[:, 0]):
        evidence = Evidence(
            label=names[label] if label >= 0 else "",
            missing=Reason(int(found.reason[u])).text,
            q_value=float(q_value[u]),
            proved=(int(proved.size[u]) * proof.finite_sample, proved.name[u]),
            tested=(int(tested.size[u]), tested.name[u]),
            untested=int(every.size[u] - tested.size[u]),
            label_tested=not untested[u, label],
            positives=f"present in {proof.positives[label]:,} {unit}",
        )
        judgements.append(judge(evidence, alpha))
    return judgements
