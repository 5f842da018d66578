"""The main job in one call: label a layer's neurons and say how far each label can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from .._engine import room_for
from .._runtime.chunks import StageProgress
from .._runtime.validation import check_count, check_share
from ..chance.null import PermutationTest, permutation_test
from ..faithfulness.bounds import Intervals, intervals
from ..faithfulness.certificates import Certificate, certify
from ..faithfulness.wide_intervals import label_intervals
from ..metrics.scores import Identification, Reason, identify
from ..metrics.table import Metric, get_metric
from ..probing.construction import rare_concepts
from ..probing.probe import Probe
from ..resampling.bootstrapping import bootstrap
from ..resampling.halves import read_halves
from ..resampling.replication import answer_numbers, deals_for, parts_reader, probability_of
from ..resampling.selection import curse_of, split_reader
from ..resampling.stability_measures import stability
from ..schemes import Scheme, check_scheme
from ..sets.conformal import conformal_of, scores_reader
from ..sets.set_rules import concept_sets
from .fit import label_fit
from .hierarchy import lineages, merge_answers, parents_in
from .result import LEADING, Audit, Leading, on_given_columns
from .verdicts import Evidence, Judgement, Verdict, judge
from .vocabulary import DEFAULT_MIN_POSITIVES, judged_concepts

__all__ = ["audit"]


def audit(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_replicates: int = 1000,
    num_permutations: int = 1000,
    num_splits: int = 40,
    scheme: str | Scheme = "multinomial",
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
    num_splits : int
        Splits of the sampling units into halves, by which :func:`conformal_sets` and
        :func:`replication_probability` are calibrated and the winner's curse is measured; at
        least 2.
    scheme : str or Scheme
        Resampling scheme, see :data:`SCHEMES`.
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
        looks at the concepts alone, and bounds for all concepts at once are for those judged. 0
        judges all. Where scores are probabilities and the metric
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
    if check_count(num_splits, "num_splits") < 2:
        raise ValueError(f"num_splits must be at least 2, got {num_splits}")
    scheme = check_scheme(scheme)
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
    bounds = intervals(probe, metric, alpha=alpha, simultaneous="concepts", **known)
    proof = certify(probe, metric, alpha=alpha, **known)
    in_the_limit = intervals(
        probe, metric, alpha=alpha, simultaneous="concepts", method="asymptotic"
    )
    stage = progress or (lambda stage, done, total: None)
    boot_key, null_key, split_key = jax.random.split(key, 3)
    null = None
    if num_permutations:
        null = permutation_test(
            null_key, probe, metric, num_permutations=num_permutations, strata=strata, alpha=alpha,
            checkpoint=checkpoint, progress=lambda done, total: stage("permuting", done, total),
        )  # fmt: skip
    boot = bootstrap(
        boot_key, probe, metric, num_replicates=num_replicates, scheme=scheme,
        memory_limit=memory_limit, checkpoint=checkpoint,
        progress=lambda done, total: stage("resampling", done, total),
    )  # fmt: skip
    stage("judging", 0, 4)
    host = jax.device_get
    label = host(boot.label)
    found = host(identify(probe, metric, min(LEADING, probe.num_concepts)))
    calibrated = concept_sets(
        boot, alpha=alpha, interval_method=method, activation_range=activation_range,
        largest_unit=largest_unit,
    )  # fmt: skip
    stage("judging", 1, 4)
    readers = [split_reader(metric), scores_reader(metric)]
    answers = [None] if hierarchy is None else [None, _roots(probe, hierarchy)]
    readers += [parts_reader(metric, answer_numbers(x, probe.num_concepts)) for x in answers]
    split, scores, *parts = read_halves(
        split_key, probe, metric, num_splits, readers, num_deals=deals_for(num_splits),
        crossed=True,
    )  # fmt: skip
    stage("judging", 2, 4)
    conformal, too_few = conformal_of(scores, probe, metric, alpha)
    headline = calibrated if too_few else conformal
    replicated = [probability_of(x, probe) for x in parts]
    (probability, shortage), (answer_probability, _) = replicated[0], replicated[-1]
    mask, untested = np.asarray(headline.mask), np.asarray(calibrated.untested)
    known_facts = _Known(found, null, host(proof), mask, untested, answer_probability)
    judgements = _judge(probe, hierarchy, known_facts, alpha)
    verdict = np.array([x.verdict for x in judgements])
    certified = (verdict == Verdict.CERTIFIED)[:, None]
    mask = np.where(certified, host(proof.mask), mask)
    stage("judging", 3, 4)
    fit = label_fit(probe, metric, label=label)
    of_label = label_intervals(
        probe, metric, bounds, in_the_limit=in_the_limit, activation_range=activation_range,
        largest_unit=largest_unit,
    )  # fmt: skip
    stage("judging", 4, 4)
    result = Audit(
        layer=layer,
        metric=metric.name,
        scheme=scheme.name,
        thresholds=f"{probe.threshold_source}, {'>=' if probe.inclusive else '>'} threshold",
        alpha=alpha,
        num_replicates=boot.num_replicates,
        num_splits=num_splits,
        num_samples=probe.num_samples,
        num_units=probe.num_units,
        concept_names=probe.concept_names,
        neuron_names=probe.neuron_names,
        label=label,
        similarity=found.similarity[:, 0],
        tied=found.tied,
        reason=found.reason,
        replication_probability=probability,
        answer_probability=answer_probability,
        replication_guarantee=_replication_promise(probe, shortage),
        guarantee=of_label.guarantee,
        lower=of_label.lower,
        upper=of_label.upper,
        pair_guarantee=of_label.pair_guarantee,
        pair_lower=of_label.pair_lower,
        pair_upper=of_label.pair_upper,
        asymptotic_guarantee=of_label.asymptotic_guarantee,
        asymptotic_lower=of_label.asymptotic_lower,
        asymptotic_upper=of_label.asymptotic_upper,
        why_wide=of_label.why_wide,
        leading=_leading(found, bounds, in_the_limit),
        regret=host(proof.regret),
        certified_set=host(proof.mask),
        excludes_nothing=host(proof.excludes_nothing),
        finite_sample=bounds.finite_sample,
        stability=host(stability(boot)),
        concept_set=mask,
        set_guarantee=headline.guarantee,
        answers=merge_answers(mask, probe.concept_names, hierarchy).size,
        calibrated_set=np.where(certified, host(proof.mask), np.asarray(calibrated.mask)),
        calibrated_guarantee=calibrated.guarantee,
        untested=untested & ~certified,
        vote_share=host(boot.vote_share),
        winners_curse=host(curse_of(boot, split, num_splits)),
        fit=fit,
        null=host(null),
        verdict=verdict,
        verdict_reason=tuple(x.reason for x in judgements),
        active_rate=host(probe.active_rate),
        positives=host(proof.positives),
        judged=judged,
        min_positives=int(min_positives),
        left_out=rare_concepts(given, judged),
    )
    return on_given_columns(result, given, judged)


def _replication_promise(probe: Probe, shortage: str) -> str:
    return shortage or (
        "probability that a fresh probing set of the same size gives the label, calibrated on "
        f"halves and quarters of the {probe.unit_name}, on average over the layer's neurons"
    )


def _roots(probe: Probe, hierarchy: Any) -> np.ndarray:
    """Number of the tree that each concept is in, [C]."""
    roots = [path[0] for path in lineages(probe.concept_names, hierarchy)]
    return np.unique(roots, return_inverse=True)[1]


def _leading(found: Identification, bounds: Intervals, in_the_limit: Intervals) -> Leading:
    """The leading concepts, with their bounds of both kinds."""
    concept = np.asarray(found.concept)

    def at_leading(values: Array) -> np.ndarray:
        there = np.take_along_axis(np.asarray(values), concept, axis=1)
        return np.where(concept < 0, np.nan, there)

    sides = bounds.lower, bounds.upper, in_the_limit.lower, in_the_limit.upper
    return Leading(concept, np.asarray(found.similarity), *map(at_leading, sides))


class _Known(NamedTuple):
    """What is known of a layer's neurons, before it is judged."""

    found: Identification
    null: PermutationTest | None
    proof: Certificate
    mask: np.ndarray
    untested: np.ndarray
    probability: np.ndarray


def _judge(probe: Probe, hierarchy: Any, known: _Known, alpha: float) -> list[Judgement]:
    """The evidence on each neuron brought before the rules."""
    names, found, proof = probe.concept_names, known.found, known.proof
    answers, proved = (merge_answers(x, names, hierarchy) for x in (known.mask, proof.mask))
    q_value = np.full(len(known.mask), np.nan)
    if known.null is not None:
        q_value = np.asarray(known.null.q_value)
    judgements = []
    for u, label in enumerate(found.concept[:, 0]):
        evidence = Evidence(
            label=names[label] if label >= 0 else "",
            missing=Reason(int(found.reason[u])).text,
            q_value=float(q_value[u]),
            proved=(int(proved.size[u]) * proof.finite_sample, proved.name[u]),
            answers=(int(answers.size[u]), answers.name[u]),
            probability=float(known.probability[u]),
            label_judged=not known.untested[u, label],
            positives=f"present in {proof.positives[label]:,} {probe.unit_name}",
        )
        judgements.append(judge(evidence, alpha))
    return judgements
