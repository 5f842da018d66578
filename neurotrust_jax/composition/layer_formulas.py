"""Formulas of concepts for all neurons of a layer, found on one half and judged on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from jax import Array

from .._runtime.chunks import StageProgress
from .._runtime.defaults import DEFAULT_MIN_POSITIVES
from .._runtime.validation import check_count, check_key, check_share
from ..faithfulness.known_beforehand import LargestUnit
from ..metrics.metric import Metric
from ..metrics.scores import check_ranges
from ..metrics.table import METRICS, get_metric
from ..probing.construction import enough_units, part_of_samples
from ..probing.probe import Probe
from ..probing.ranges import activation_ranges, range_edges
from ..probing.thresholds import top_thresholds
from ..resampling.halves import draw_parts
from .bounds import can_bound
from .formulas import NONE, OPERATORS, Formulas, check_operators, count_formulas
from .judgement import Known, certified_lower, compare_with_single, overlap
from .result import Compositions
from .search import PROVED, WORKING_BYTES, Searched, SearchOptions
from .search import search as search_formulas
from .sums import check_metric

__all__ = ["compose", "search_halves"]

MAX_NODES = 20_000


def compose(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    max_length: int = 3,
    operators: Sequence[str] = OPERATORS,
    search: Literal["auto", "optimal", "beam"] = "auto",
    beam_width: int = 10,
    soft: bool = False,
    ranges: int | None = None,
    alpha: float = 0.1,
    min_positives: int = DEFAULT_MIN_POSITIVES,
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: LargestUnit = None,
    max_nodes: int = MAX_NODES,
    memory_limit: float | None = None,
    progress: StageProgress | None = None,
) -> Compositions:
    """Find the best formula of concepts for each neuron, and say what it is worth.

    A formula joins at most ``max_length`` different concepts one after the other, as in "(water OR
    lake) AND NOT river"; see :mod:`neurotrust_jax.composition.formulas`. The best of millions of
    formulas is similar to a neuron by chance, so the sampling units are divided into two halves at
    random: formulas are found on one and judged on the other. Where thresholds are a share of the
    samples, they come from the search half too.

    Parameters
    ----------
    key : JAX PRNG key
        Decides the halves.
    probe : Probe
        Sparse activations stay sparse where the metric reads active samples.
    metric : str or Metric
        One of six sums that reads concepts as present or absent, such as ``iou`` or ``auroc``; or,
        of present and absent concepts, ``correlation``, ``cosine`` or ``spearman``.
    max_length : int
        Most concepts of a formula.
    operators : sequence of {"and", "or", "and not"}
    search : {"auto", "optimal", "beam"}
        ``"beam"`` keeps the ``beam_width`` best formulas and extends them by one more concept, as
        compositional explanations (Mu and Andreas, NeurIPS 2020) and INVERT (Bykov et al., NeurIPS
        2023) do. ``"optimal"`` goes on from there until it is proved that none is better, for at
        most three concepts and metrics that reward overlap, or AUROC, for which it takes long.
        ``"auto"`` is the optimal search for metrics that reward overlap, such as ``iou``, and at
        most three concepts, and else the beam search.
    beam_width : int
    soft : bool
        Join the values of concepts, by the product and the probabilistic sum a + b - ab, in place
        of their presence: for ``correlation`` and ``cosine``, by beam search.
    ranges : int, optional
        Cut the activation of each neuron above its threshold into so many ranges, at least 2, and
        find a formula for each: what a neuron means at its top and what it means just above its
        threshold are told apart, see :func:`neurotrust_jax.probing.activation_ranges`. The cuts
        come from the search half.
    alpha : float in (0, 1)
        Error of intervals and certificates, and false discovery rate of formulas that are called
        better.
    min_positives : int
        A concept must be present in at least so many sampling units, and a formula must hold, and
        not hold, on at least half as many samples of a half.
    activation_range, largest_unit
        What is known of the data for the intervals, see :func:`intervals`.
    max_nodes : int
        Most pairs of concepts that the optimal search opens for a neuron. Where more would be
        needed, :attr:`Compositions.bound` says how much better a formula can be.
    memory_limit : float, optional
        Bytes that a search may take beside the probe and its concepts as floats, by which neurons
        are divided into blocks. Default: 256 MiB. The division has no effect on the numbers.
    progress : callable, optional
        Called as ``progress(stage, done, total)`` with neurons done.

    Returns
    -------
    Compositions

    Raises
    ------
    ValueError
        If an option is out of range or unknown, the metric can not score formulas, the search can
        not prove anything of them, or a half has no sampling units.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((2000, 6)) < 0.3
    >>> concepts[:, 2] |= concepts[:, 1]
    >>> water, river = concepts[:, 0], concepts[:, 3]
    >>> activations = rng.normal(size=(2000, 1)) + 4 * (water & ~river)[:, None]
    >>> names = ["water", "dog", "animal", "river", "sky", "car"]
    >>> probe = nt.make_probe(activations, concepts, concept_names=names, thresholds=2.0)
    >>> found = nt.compose(jax.random.key(0), probe, max_length=2)
    >>> found.descriptions, found.better.tolist()
    (['water AND NOT river'], [True])
    >>> bool(found.lower[0] <= found.similarity[-1, 0] <= found.upper[0])
    True
    """
    metric = get_metric(metric)
    check_key(key)
    check_share(alpha, "alpha")
    joins = check_operators(operators)
    _check_search(metric, search, max_length, soft)
    if search == "auto":
        quick = metric.rewards_overlap and not soft and max_length <= PROVED
        search = "optimal" if quick else "beam"
    for number, name in ((beam_width, "beam_width"), (max_nodes, "max_nodes")):
        check_count(number, name)
    if min_positives != 0:
        check_count(min_positives, "min_positives")
    if memory_limit is not None and not memory_limit > 0:
        raise ValueError(f"memory_limit must be a positive number of bytes, got {memory_limit}")
    known = Known(activation_range, largest_unit)
    if ranges is not None:
        check_ranges(ranges, metric, activation_range)
    judged = np.flatnonzero(enough_units(probe, min_positives))
    own = probe.of_concepts(judged)
    first, second = search_halves(key, own)
    whole = replace(own, thresholds=second.thresholds)
    if ranges is not None:
        first, second, whole = _in_ranges(first, second, whole, ranges)
    options = SearchOptions(
        max_length, joins, search == "optimal", int(beam_width), int(max_nodes), soft,
        max(1, -(-min_positives // 2)), WORKING_BYTES if memory_limit is None else memory_limit,
    )  # fmt: skip
    stage = progress or (lambda stage, done, total: None)
    found = search_formulas(first, metric, options, partial(stage, "searching"))
    again = search_formulas(second, metric, options, partial(stage, "searching the other half"))
    stage("judging", 0, whole.num_neurons)
    comparison = compare_with_single(
        second, metric, found.formulas, alpha=alpha, soft=soft, known=known
    )
    number = count_formulas(len(judged), max_length, joins)
    best, other = found.formulas.take(-1), again.formulas.take(-1)
    certified = certified_lower(
        whole, metric, best, alpha=alpha, num_formulas=number, soft=soft, known=known
    )
    stage("judging", whole.num_neurons, whole.num_neurons)
    return Compositions(
        metric=metric.name,
        search=search,
        operators=tuple(OPERATORS[x] for x in joins),
        max_length=int(max_length),
        beam_width=int(beam_width),
        soft=soft,
        alpha=float(alpha),
        num_formulas=number,
        num_samples=probe.num_samples,
        num_units=probe.num_units,
        thresholds=second.threshold_source if metric.neuron_view == "binary" else "",
        concept_names=probe.concept_names,
        neuron_names=whole.neuron_names,
        num_ranges=whole.num_ranges,
        by_length=_of_columns(found, judged),
        search_similarity=found.score,
        certified_lower=certified,
        bound=found.bound,
        other_formula=_of_columns(again, judged).take(-1),
        overlap=overlap(own, best, other, soft),
        **comparison._asdict(),
    )


def _check_search(metric: Metric, search: str, max_length: int, soft: bool) -> None:
    check_count(max_length, "max_length")
    check_metric(metric, soft)
    if search not in ("auto", "optimal", "beam"):
        raise ValueError(f"search must be 'auto', 'optimal' or 'beam', got {search!r}")
    if search != "optimal":
        return
    if max_length > PROVED:
        raise ValueError(
            f"search='optimal' proves the best of formulas of at most {PROVED} concepts, got "
            f"max_length={max_length}; use search='beam' for longer ones"
        )
    if soft or not can_bound(metric):
        known = ", ".join(x.name for x in METRICS.values() if can_bound(x))
        what = "soft=True" if soft else f"metric={metric.name!r}"
        raise ValueError(
            f"search='optimal' has no bound for {what}; use search='beam', or present and absent "
            f"concepts with one of {known}"
        )


def search_halves(key: Array, probe: Probe) -> tuple[Probe, Probe]:
    """The search half and the other one, with thresholds that do not depend on the latter."""
    if probe.num_units < 2:
        raise ValueError(
            f"two halves need at least 2 sampling units, got {probe.num_units} {probe.unit_name}"
        )
    inside = np.asarray(draw_parts(key, probe, 1).rows[0])
    first, second = (part_of_samples(probe, rows, "a half") for rows in (inside, ~inside))
    if probe.thresholds_fixed or probe.top_fraction is None:
        return first, second
    thresholds = top_thresholds(first, probe.top_fraction)
    source = f"top_fraction={probe.top_fraction:g} of the half on which formulas are found"
    first = replace(first, thresholds=thresholds, threshold_source=source)
    second = replace(second, thresholds=thresholds, threshold_source=source, thresholds_fixed=True)
    return first, second


def _in_ranges(
    first: Probe, second: Probe, whole: Probe, ranges: int
) -> tuple[Probe, Probe, Probe]:
    """Both halves and all samples in ranges of activation that are cut on the first half."""
    edges = range_edges(first, ranges)
    # the first half is among all samples, so that their cuts are not fixed beforehand
    whole = replace(whole, thresholds_fixed=False)
    cut = partial(activation_ranges, num_ranges=ranges, edges=edges)
    return cut(first), cut(second), cut(whole)


def _of_columns(found: Searched, judged: np.ndarray) -> Formulas:
    """Formulas over the columns of all concepts, not of the judged ones."""
    concept, operator = found.formulas
    column = np.where(concept >= 0, judged[np.maximum(concept, 0)], NONE)
    return Formulas(column.astype(np.int32), operator)
