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
from ..chance.null import permutation_test
from ..faithfulness.wide_intervals import label_intervals
from ..metrics.metric import Metric
from ..metrics.table import get_metric
from ..probing.construction import rare_concepts
from ..probing.probe import Probe
from ..resampling.bootstrapping import Bootstrap, bootstrap
from ..resampling.halves import read_halves
from ..resampling.replication import answer_numbers, deals_for, parts_reader, probability_of
from ..resampling.selection import curse_of, split_reader
from ..resampling.stability_measures import stability
from ..schemes import Scheme, check_scheme
from ..sets.conformal import conformal_of, scores_reader
from ..sets.rule import BoundOptions, ConceptSets, SetInputs
from ..sets.set_rules import SET_RULES, sets_by
from .fit import label_fit
from .hierarchy import lineages
from .judging import judge_layer
from .prepared import Bounds, PreparedLayer, bound_layer, judge_concepts, prepare
from .result import Audit, Leading, on_given_columns
from .vocabulary import DEFAULT_MIN_POSITIVES

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
        Error level. Sets, intervals and certificates have level 1 - alpha, and a share alpha of
        the neurons that are called explained is expected to be noise.
    num_replicates : int
        Bootstrap replicates.
    num_permutations : int
        Permutations of :func:`permutation_test`. 0 leaves the test out, and then no neuron is
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
        Smallest and largest possible activation, see :func:`intervals`. Without it no label by
        ``mad``, ``standardised_mad``, ``correlation`` or ``cosine`` can be certified.
    largest_unit : float, optional
        Largest total sample weight that a sampling unit can have, see :func:`intervals`. Without it
        no label can be certified where there are groups or unequal weights.
    strata : array [n], optional
        See :func:`permutation_test`.
    hierarchy : mapping of str to str, or int array [C], optional
        Parents of concepts. Concepts under one root count as one answer, see
        :func:`merge_answers`.
    min_positives : int
        Concepts present in fewer sampling units (groups where given, else samples) are not judged:
        they are no label and in no set, and :meth:`Audit.left_out_text` names them. The choice
        depends on the concepts alone, and bounds for all concepts at once are for the judged ones.
        0 judges all. Where concepts are probabilities and the metric reads their values, as
        ``correlation`` does, all concepts are judged, since a probability may never reach the
        threshold of presence.
    layer : str
        Name of the layer.
    memory_limit : float, optional
        Bytes that the bootstrap may take, see :func:`bootstrap`.
    checkpoint : path, optional
        A folder in which finished permutations and replicates are stored, see :func:`bootstrap`.
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

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((600, 4)) < 0.3
    >>> activations = rng.normal(size=(600, 4)) + 4 * concepts
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> found = nt.audit(jax.random.key(0), probe, "iou", num_replicates=99, num_permutations=99)
    >>> found.label.tolist()
    [0, 1, 2, 3]
    >>> [nt.Verdict(v).text for v in found.verdict]
    ['certified', 'certified', 'certified', 'certified']
    """
    metric = get_metric(metric)
    _check_options(alpha, num_replicates, num_permutations, num_splits, scheme, min_positives)
    concepts = judge_concepts(probe, metric, min_positives, hierarchy)
    room_for(concepts.probe, num_replicates, memory_limit, None)  # refuses too low a limit early
    data = prepare(concepts, metric)
    options = BoundOptions(method, activation_range, largest_unit)
    bounds = bound_layer(data, alpha, options)  # refuses a method that does not fit early
    stage = progress or (lambda stage, done, total: None)
    boot_key, null_key, split_key = jax.random.split(key, 3)
    null = None
    if num_permutations:
        null = permutation_test(
            null_key, data.probe, metric, num_permutations=num_permutations, strata=strata,
            alpha=alpha, scores=data.similarity, checkpoint=checkpoint,
            progress=lambda done, total: stage("permuting", done, total),
        )  # fmt: skip
    boot = bootstrap(
        boot_key, data.probe, metric, num_replicates=num_replicates, scheme=scheme,
        scores=data.similarity, memory_limit=memory_limit, checkpoint=checkpoint,
        progress=lambda done, total: stage("resampling", done, total),
    )  # fmt: skip
    stage("judging", 0, 4)
    inputs = SetInputs(boot, alpha, "best", options, bounds.one_sided)
    calibrated = sets_by(SET_RULES["calibrated"], inputs)
    stage("judging", 1, 4)
    halves = _read_halves(split_key, data, num_splits, alpha)
    stage("judging", 2, 4)
    headline = halves.sets or calibrated
    proof = jax.device_get(bounds.certificate)
    judged = judge_layer(data, null, proof, headline, calibrated, halves.answer_probability, alpha)
    stage("judging", 3, 4)
    fit = label_fit(data.probe, metric, label=data.label)
    of_label = label_intervals(
        data.probe, metric, bounds.given, in_the_limit=bounds.asymptotic,
        activation_range=activation_range, largest_unit=largest_unit,
    )  # fmt: skip
    stage("judging", 4, 4)
    result = Audit(
        layer=layer,
        alpha=alpha,
        num_splits=num_splits,
        intervals=of_label,
        set_guarantee=headline.guarantee,
        calibrated_guarantee=calibrated.guarantee,
        replication_probability=halves.probability,
        answer_probability=halves.answer_probability,
        replication_guarantee=halves.guarantee,
        winners_curse=jax.device_get(curse_of(boot, halves.split, num_splits)),
        fit=fit,
        null=jax.device_get(null),
        judged=concepts.mask,
        min_positives=int(min_positives),
        left_out=rare_concepts(concepts.given, concepts.mask),
        **judged._asdict(),
        **_of_layer(data, bounds),
        **_of_replicates(boot),
    )
    return on_given_columns(result, concepts.given, concepts.mask)


def _check_options(
    alpha: float,
    num_replicates: int,
    num_permutations: int,
    num_splits: int,
    scheme: str | Scheme,
    min_positives: int,
) -> None:
    check_share(alpha, "alpha")
    if num_permutations != 0:
        check_count(num_permutations, "num_permutations")
    check_count(num_replicates, "num_replicates")
    if check_count(num_splits, "num_splits") < 2:
        raise ValueError(f"num_splits must be at least 2, got {num_splits}")
    check_scheme(scheme)
    if min_positives != 0:
        check_count(min_positives, "min_positives")


class _Halves(NamedTuple):
    """The statistics of a layer that halves and quarters of the sampling units give.

    Attributes
    ----------
    split : numpy.ndarray [U]
        Similarity of a half's label on the other half.
    sets : ConceptSets or None
        Conformal sets; None where the layer or the probing set is too small for them.
    probability, answer_probability : numpy.ndarray [U]
        Probability that a fresh probing set gives the label, and that it gives the label or another
        concept of the same answer.
    guarantee : str
        What these probabilities are.
    """

    split: np.ndarray
    sets: ConceptSets | None
    probability: np.ndarray
    answer_probability: np.ndarray
    guarantee: str


def _read_halves(key: Array, data: PreparedLayer, num_splits: int, alpha: float) -> _Halves:
    probe, metric = data.probe, data.metric
    readers = [split_reader(metric), scores_reader(metric)]
    answers = [None] if data.hierarchy is None else [None, _roots(probe, data.hierarchy)]
    readers += [parts_reader(metric, answer_numbers(x, probe.num_concepts)) for x in answers]
    split, scores, *parts = read_halves(
        key, probe, metric, num_splits, readers, num_deals=deals_for(num_splits),
        scores=data.similarity,
    )  # fmt: skip
    sets, too_few = conformal_of(scores, probe, metric, alpha)
    replicated = [probability_of(x, probe) for x in parts]
    (probability, shortage), (answer_probability, _) = replicated[0], replicated[-1]
    guarantee = shortage or (
        "probability that a fresh probing set of the same size gives the label, calibrated on "
        f"halves and quarters of the {probe.unit_name}, on average over the layer's neurons"
    )
    return _Halves(split, None if too_few else sets, probability, answer_probability, guarantee)


def _roots(probe: Probe, hierarchy: Any) -> np.ndarray:
    """Number of the tree that each concept is in, [C]."""
    roots = [path[0] for path in lineages(probe.concept_names, hierarchy)]
    return np.unique(roots, return_inverse=True)[1]


def _of_layer(data: PreparedLayer, bounds: Bounds) -> dict[str, Any]:
    """The fields of an audit that describe the layer, its labels and their certificate."""
    probe, found = data.probe, data.found
    proof = jax.device_get(bounds.certificate)
    return {
        "metric": data.metric.name,
        "thresholds": f"{probe.threshold_source}, {'>=' if probe.inclusive else '>'} threshold",
        "num_samples": probe.num_samples,
        "num_units": probe.num_units,
        "concept_names": probe.concept_names,
        "neuron_names": probe.neuron_names,
        "label": data.label,
        "similarity": found.similarity[:, 0],
        "tied": found.tied,
        "reason": found.reason,
        "leading": _leading(data, bounds),
        "regret": proof.regret,
        "certified_set": proof.mask,
        "excludes_nothing": proof.excludes_nothing,
        "finite_sample": bounds.given.finite_sample,
        "active_rate": jax.device_get(probe.active_rate),
        "positives": proof.positives,
    }


def _of_replicates(boot: Bootstrap) -> dict[str, Any]:
    """The fields of an audit that describe the replicates."""
    return {
        "scheme": boot.scheme,
        "num_replicates": boot.num_replicates,
        "stability": jax.device_get(stability(boot)),
        "vote_share": jax.device_get(boot.vote_share),
    }


def _leading(data: PreparedLayer, bounds: Bounds) -> Leading:
    """The leading concepts, with their bounds of both kinds."""
    concept = np.asarray(data.found.concept)

    def at_leading(values: Array) -> np.ndarray:
        there = np.take_along_axis(np.asarray(values), concept, axis=1)
        return np.where(concept < 0, np.nan, there)

    given, asymptotic = bounds.given, bounds.asymptotic
    sides = given.lower, given.upper, asymptotic.lower, asymptotic.upper
    return Leading(concept, np.asarray(data.found.similarity), *map(at_leading, sides))
