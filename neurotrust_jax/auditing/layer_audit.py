"""The main job in one call: label a layer's neurons and say how far each label can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._runtime.chunks import StageProgress
from .._runtime.defaults import DEFAULT_MIN_POSITIVES
from .._runtime.validation import check_count, check_share
from ..chance.layer_null import LayerNull
from ..chance.null import ByChance, PermutationPlan, PermutationTest, plan_permutations
from ..faithfulness.methods import check_bounds
from ..faithfulness.wide_intervals import LabelIntervals
from ..metrics.metric import Metric
from ..metrics.scores import check_ranges
from ..metrics.table import get_metric
from ..probing.construction import rare_concepts
from ..probing.probe import Probe
from ..probing.ranges import activation_ranges
from ..resampling.halves import draw_parts
from ..resampling.replication import deals_for, probability_of
from ..resampling.selection import WinnersCurse
from ..resampling.stability_measures import stability_of_votes
from ..schemes import Scheme, check_scheme
from ..sets.conformal import conformal_of
from ..sets.rule import BoundOptions
from .block import Record, Task, part_of
from .blocks import divide, read_blocks
from .fit import LabelFit
from .given_columns import on_given_columns
from .hierarchy import lineages
from .judging import judge_layer
from .prepared import judge_concepts
from .result import Audit, Leading

__all__ = ["audit"]

OF_RECORD = (
    "label", "similarity", "tied", "reason", "regret", "certified_set", "excludes_nothing",
    "finite_sample", "scheme", "calibrated_guarantee", "vote_share", "active_rate",
)  # fmt: skip


def audit(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_replicates: int = 1000,
    num_permutations: int | None = None,
    num_splits: int = 40,
    scheme: str | Scheme = "multinomial",
    method: str = "auto",
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
    strata: Any = None,
    hierarchy: Any = None,
    min_positives: int = DEFAULT_MIN_POSITIVES,
    ranges: int | None = None,
    layer: str = "",
    memory_limit: float | None = None,
    mesh: Mesh | None = None,
    checkpoint: Path | str | None = None,
    progress: StageProgress | None = None,
) -> Audit:
    """Label every neuron of a layer and say how far each label can be trusted.

    The layer is read in blocks of neurons that fit into memory; all blocks have the same draws, so
    that the division has no effect on the numbers but for rounding.

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
    num_permutations : int, optional
        Permutations of :func:`permutation_test`, which chooses their number unless it is given. 0
        leaves the test out, and then no neuron is called unexplained.
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
    ranges : int, optional
        Audit this number of ranges of each neuron's activation instead of the neuron, at least 2,
        to tell apart what it means at its top and what just above its threshold, see
        :func:`neurotrust_jax.probing.activation_ranges`. Only for metrics of active samples, such
        as ``iou``. Cuts of the same samples have asymptotic intervals, and no label is certified;
        :func:`split_thresholds` with ``ranges`` takes them from a part set aside, and its probe is
        audited as it is.
    layer : str
        Name of the layer.
    memory_limit : float, optional
        Bytes that the audit may take, the probe included. Default: half of what the device (or, on
        a CPU, the machine) has free.
    mesh : jax.sharding.Mesh, optional
        Devices among which the blocks of neurons are divided. With ``jax.distributed`` they may
        belong to several processes: all call with the same arguments, and all get the whole result.
        Default: JAX's default device.
    checkpoint : path, optional
        A folder in which each block is stored as soon as it is done (and the chunks of permutations
        and replicates of a layer that is one block). The same call goes on from there. Several
        processes must see one folder.
    progress : callable, optional
        Called as ``progress(stage, done, total)``, where the total is that of all blocks.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        If an option is out of its range, ``min_positives`` leaves no concept, or the metric does
        not fit ``ranges``, before any work starts.

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
    if ranges is not None:
        check_ranges(ranges, metric, activation_range)
        probe = activation_ranges(probe, ranges)
    concepts = judge_concepts(probe, metric, min_positives, hierarchy)
    judged = concepts.probe
    roots = None if concepts.hierarchy is None else _roots(judged, concepts.hierarchy)
    options = BoundOptions(method, activation_range, largest_unit)
    check_bounds(judged, metric, *options)
    boot_key, null_key, split_key = _three_keys(key)
    plan = None
    if num_permutations != 0:
        plan = plan_permutations(judged, metric, num_permutations, strata, alpha)
    task = Task(
        metric, roots, alpha, num_replicates,
        draw_parts(split_key, judged, num_splits, deals_for(num_splits)), scheme, options, plan,
        (boot_key, null_key), memory_limit, checkpoint,
    )  # fmt: skip
    layer_blocks = divide(task, judged, mesh)
    shared = _shared_null(task, judged, progress)
    record = read_blocks(task, judged, layer_blocks, mesh, progress)
    sets, unfit = conformal_of(tuple(part_of(record, "scores").values()), judged, metric, alpha)
    guarantee, headline = record["calibrated_guarantee"], record["calibrated_set"]
    if not unfit:
        guarantee, headline = sets.guarantee, np.asarray(sets.mask)
    replication = _replication(record, judged)
    null = None if plan is None else _test(plan, record, shared)
    q_value = np.full(len(headline), np.nan) if null is None else np.asarray(null.q_value)
    probability = replication["answer_probability"]
    verdicts = judge_layer(concepts, record, headline, q_value, probability, alpha)
    result = Audit(
        layer=layer,
        metric=metric.name,
        thresholds=f"{judged.threshold_source}, {'>=' if judged.inclusive else '>'} threshold",
        alpha=alpha,
        num_replicates=num_replicates,
        num_splits=num_splits,
        num_samples=judged.num_samples,
        num_units=judged.num_units,
        concept_names=judged.concept_names,
        neuron_names=judged.neuron_names,
        intervals=LabelIntervals(**_intervals(record)),
        leading=Leading(**part_of(record, "leading")),
        stability=stability_of_votes(record["label"], record["vote_share"], num_replicates),
        set_guarantee=guarantee,
        winners_curse=WinnersCurse(
            record["similarity"], record["corrected"], record["split"], num_splits
        ),
        fit=LabelFit(**part_of(record, "fit")),
        null=null,
        positives=np.asarray(judged.positive_units),
        judged=concepts.mask,
        min_positives=int(min_positives),
        left_out=rare_concepts(concepts.given, concepts.mask),
        num_ranges=judged.num_ranges,
        **{name: record[name] for name in OF_RECORD},
        **replication,
        **verdicts._asdict(),
    )
    return on_given_columns(result, concepts.given, concepts.mask)


@jax.jit
def _three_keys(key: Array) -> tuple[Array, ...]:
    return tuple(jax.random.split(key, 3))


def _check_options(
    alpha: float,
    num_replicates: int,
    num_permutations: int | None,
    num_splits: int,
    scheme: str | Scheme,
    min_positives: int,
) -> None:
    check_share(alpha, "alpha")
    if num_permutations not in (None, 0):
        check_count(num_permutations, "num_permutations")
    check_count(num_replicates, "num_replicates")
    if check_count(num_splits, "num_splits") < 2:
        raise ValueError(f"num_splits must be at least 2, got {num_splits}")
    check_scheme(scheme)
    if min_positives != 0:
        check_count(min_positives, "min_positives")


def _roots(probe: Probe, hierarchy: Any) -> np.ndarray:
    """Number of the tree that each concept is in, [C]."""
    roots = [path[0] for path in lineages(probe.concept_names, hierarchy)]
    return np.unique(roots, return_inverse=True)[1]


def _intervals(record: Record) -> dict[str, Any]:
    """The fields of the labels' intervals; their reasons are texts."""
    found = part_of(record, "intervals")
    return found | {"why_wide": tuple(map(str, found["why_wide"]))}


def _replication(record: Record, probe: Probe) -> dict[str, Any]:
    """The fields of an audit on the probability of replication."""
    parts = [part_of(record, name) for name in ("parts", "answer_parts")]
    of_label, of_answer = (probability_of(tuple(x.values()), probe) if x else None for x in parts)
    assert of_label is not None
    guarantee = of_label.shortage or (
        "probability that a fresh probing set of the same size gives the label, calibrated on "
        f"halves and quarters of the {probe.unit_name}, on average over the layer's neurons"
    )
    return {
        "replication_probability": of_label.probability,
        "answer_probability": (of_answer or of_label).probability,
        "replication_guarantee": guarantee,
        "trend": (of_answer or of_label).trend,
    }


def _shared_null(task: Task, probe: Probe, progress: StageProgress | None) -> LayerNull | None:
    """The null that the neurons of a layer share, drawn once; None where each has its own."""
    if task.plan is None or task.plan.shared is None:
        return None
    stage = progress or (lambda stage, done, total: None)
    return task.plan.draw(
        task.keys[1], probe, checkpoint=task.checkpoint,
        progress=lambda done, total: stage("permuting", done, total),
    )  # fmt: skip


def _test(plan: PermutationPlan, record: Record, shared: LayerNull | None) -> PermutationTest:
    """The permutation test of all neurons."""
    if shared is None:
        found = ByChance(**part_of(record, "null"))
    else:
        found = plan.judge(record["similarity"], shared)
    return jax.device_get(plan.test(record["similarity"], found))
