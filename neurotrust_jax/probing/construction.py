"""Making a probe: what was measured is validated once, and thresholds are set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import jax
import numpy as np
from jax import Array

from .._runtime.validation import check_count, check_share
from .inputs import (
    as_activations,
    as_concepts,
    as_groups,
    as_names,
    as_thresholds,
    as_weights,
    column_names,
)
from .probe import LeftOut, Probe, compute_dtype
from .ranges import activation_ranges, check_whole, range_edges
from .sparse_columns import SparseColumns
from .thresholds import (
    DEFAULT_SPLIT,
    DEFAULT_TOP_FRACTION,
    check_top,
    raised_thresholds,
    top_thresholds,
)

__all__ = [
    "enough_units",
    "make_probe",
    "part_of_samples",
    "rare_concepts",
    "rows_aside",
    "split_thresholds",
]


def make_probe(
    activations: Any,
    concepts: Any,
    *,
    concept_names: Sequence[str] | None = None,
    neuron_names: Sequence[str] | None = None,
    groups: Any = None,
    sample_weight: Any = None,
    top_fraction: float | None = None,
    thresholds: Any = None,
    top_of_active: float | None = None,
    ties: Literal["strict", "inclusive"] = "strict",
    concept_threshold: float = 0.5,
    min_positives: int = 0,
) -> Probe:
    """Validate what was measured on a probing dataset.

    NumPy arrays, JAX arrays and anything that speaks DLPack (a CPU or CUDA torch tensor, say)
    come in without a copy where the device allows; do not write to them afterwards. A masked array
    is read if nothing in it is masked. Integers of 64 bits are rounded to floats, never cut to 32
    bits. Inside ``jit`` the values can not be inspected, so only shapes and dtypes are checked
    there.

    Parameters
    ----------
    activations : array [n, U], or sparse matrix of SciPy or JAX
        Real, finite activations of U neurons. A float dtype is kept (float64 becomes float32
        unless JAX runs with x64); bool and integers become float32. A sparse matrix stays sparse:
        what it does not store is 0. Denormal float32 numbers (below 1.2e-38) count as 0. A data
        frame names the neurons by its columns.
    concepts : array [n, C], or sparse matrix of SciPy or JAX
        bool, 0/1 integers, or probabilities in [0, 1]. A sparse matrix is written out. A data frame
        names the concepts by its columns.
    concept_names, neuron_names : sequence of str or bytes, optional
        Distinct names, bytes as UTF-8; default the columns of a data frame whose columns have
        names, else ``concept_0``... and ``0``, ``1``...
    groups : array or sequence [n], optional
        Anything hashable per sample (document, image, code point; strings, tuples, None): equal
        ones are one group. Samples of one group are not independent; every resampling then draws
        whole groups.
    sample_weight : array [n], optional
        Non-negative, finite, not all zero. Every result is unchanged when all weights are
        multiplied by a constant: weights that are multiples of one number (the largest up to 2^20
        times it) count as these multiples, others are scaled to sum to the number of samples of
        positive weight. Whole weights without a common factor are the same as repeated rows: [2,
        3], and so [0.2, 0.3] or [4, 6], are two and three rows. Under ``jit`` they stay as they
        are.
    top_fraction : float in (0, 1], optional
        A neuron is active on its ``ceil(top_fraction * n)`` highest activations (weighted: on
        that share of the weight). Default 0.05 where no thresholds are given. These thresholds
        depend on the probing data.
    thresholds : float or array [U], optional
        Thresholds fixed beforehand; excludes ``top_fraction``.
    top_of_active : float in (0, 1], optional
        Count a neuron as active on the most active share of these samples only, to label the top of
        its activation: 0.1 makes the top tenth of a sparse feature's positive activations active.
        Thresholds are raised for this, and then depend on the probing data.
    ties : {"strict", "inclusive"}
        ``"strict"``: active means above the threshold, and ties at the boundary of
        ``top_fraction`` are left out, so the realised rate is at most ``top_fraction``.
        ``"inclusive"``: at or above the threshold, and ties at the boundary are all taken in, so
        the realised rate is at least ``top_fraction`` (for a ReLU or SAE neuron with few positive
        activations that can mean every sample). Without ties both agree.
        ``probe.active_rate`` tells the realised rate.
    concept_threshold : float in [0, 1]
        A probability at or above this counts as present in the metrics that need labels.
    min_positives : int
        Concepts present in fewer sampling units (groups where given, else samples; those of weight
        0 do not count) are left out and named in ``probe.left_out``; 0 leaves out none. They are
        too rare to be judged by this probing set. Their columns are gone: :func:`audit` has an
        option of this name that keeps the columns as they were given. Not under ``jit``.

    Returns
    -------
    Probe

    Raises
    ------
    ValueError
        On wrong shapes, masked or non-finite values, concepts outside [0, 1], names off by one or
        repeated, bad weights, thresholds or options, or if ``min_positives`` leaves no concept. The
        message repeats the value and names the remedy.
    TypeError
        On complex or non-numeric arrays, and groups that are not hashable.

    Examples
    --------
    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> activations = np.array([[0.1, 2.0], [0.9, 0.0], [0.2, 1.5], [0.8, 0.0]])
    >>> concepts = np.array([[0], [1], [0], [1]])
    >>> probe = nt.make_probe(activations, concepts, concept_names=["cat"], thresholds=0.5)
    >>> probe.num_samples, probe.num_neurons, probe.concept_names
    (4, 2, ('cat',))
    >>> probe.active.tolist()
    [[False, True], [True, False], [False, True], [True, False]]
    """
    concept_names = column_names(concepts) if concept_names is None else concept_names
    neuron_names = column_names(activations) if neuron_names is None else neuron_names
    f, c = as_activations(activations), as_concepts(concepts)
    n = f.shape[0]
    if c.shape[0] != n:
        raise ValueError(
            f"activations has {n} rows and concepts has {c.shape[0]}; both need one row per "
            "sample ([n, U] and [n, C]), so transpose or align them"
        )
    _check_options(ties, concept_threshold, min_positives, top_of_active)
    w = as_weights(sample_weight, n, compute_dtype(f))
    group_index, num_groups = as_groups(groups, n)
    inclusive = ties == "inclusive"
    t, fraction, source = _thresholds(thresholds, top_fraction, f)
    probe = Probe(
        activations=f,
        concepts=c,
        sample_weight=w,
        thresholds=t,
        groups=group_index,
        inclusive=inclusive,
        concept_threshold=float(concept_threshold),
        num_groups=num_groups,
        top_fraction=fraction,
        threshold_source=source,
        thresholds_fixed=thresholds is not None,
        concept_names=as_names(concept_names, c.shape[1], "concept_names", "concept_"),
        neuron_names=as_names(neuron_names, f.shape[1], "neuron_names", ""),
    )
    if min_positives:
        enough = enough_units(probe, min_positives)
        left_out = rare_concepts(probe, enough)
        probe = replace(probe.of_concepts(np.flatnonzero(enough)), left_out=left_out)
    if fraction is not None:
        probe = replace(probe, thresholds=top_thresholds(probe, fraction))
    return probe if top_of_active is None else _raised(probe, probe, top_of_active)


def _check_options(
    ties: str, concept_threshold: float, min_positives: int, top_of_active: float | None
) -> None:
    if not 0 <= concept_threshold <= 1:
        raise ValueError(f"concept_threshold must lie in [0, 1], got {concept_threshold}")
    if ties not in ("strict", "inclusive"):
        raise ValueError(f'ties must be "strict" or "inclusive", got {ties!r}')
    if min_positives != 0:
        check_count(min_positives, "min_positives")
    if top_of_active is not None:
        check_top(top_of_active, "top_of_active")


def _thresholds(
    thresholds: Any, top_fraction: float | None, f: Array | SparseColumns
) -> tuple[Array, float | None, str]:
    """Thresholds, zeros where they are yet to be found; the top fraction; and their source."""
    if thresholds is not None:
        if top_fraction is not None:
            raise ValueError("give either thresholds or top_fraction, not both")
        return as_thresholds(thresholds, f), None, "given"
    fraction = DEFAULT_TOP_FRACTION if top_fraction is None else float(top_fraction)
    check_top(fraction, "top_fraction")
    zeros = jax.device_put(np.zeros(f.shape[1], f.dtype))
    return zeros, fraction, f"top_fraction={fraction:g}"


def _raised(probe: Probe, data: Probe, share: float) -> Probe:
    """With thresholds that leave the top of the active samples of some data active."""
    return replace(
        probe,
        thresholds=raised_thresholds(data, share),
        threshold_source=f"the top {share:g} of those above: {probe.threshold_source}",
        thresholds_fixed=data is not probe,
    )


def enough_units(probe: Probe, min_positives: int) -> np.ndarray:
    """Which concepts are present in at least ``min_positives`` sampling units, [C] of bool.

    Raises
    ------
    ValueError
        If none is.
    """
    if isinstance(probe.concepts, jax.core.Tracer):
        raise ValueError(
            f"min_positives={min_positives} looks at the concepts, which can not be done under "
            "jit; make the probe outside"
        )
    units = np.asarray(probe.positive_units)
    enough = units >= min_positives
    if not enough.any():
        raise ValueError(
            f"min_positives={min_positives} leaves no concept to judge: the most common one, "
            f"{probe.concept_names[units.argmax()]!r}, is present in {units.max():,} of "
            f"{probe.num_units:,} {probe.unit_name}; take more "
            "samples, or lower min_positives"
        )
    return enough


def rare_concepts(probe: Probe, enough: np.ndarray) -> tuple[LeftOut, ...]:
    """The concepts that a probe lacks already and those that lack units, the most common first."""
    units = np.asarray(probe.positive_units)
    now = tuple(LeftOut(probe.concept_names[c], int(units[c])) for c in np.flatnonzero(~enough))
    return tuple(sorted(probe.left_out + now, key=lambda x: -x.positives))


def split_thresholds(
    key: Array,
    probe: Probe,
    *,
    top_fraction: float | None = None,
    top_of_active: float | None = None,
    ranges: int | None = None,
    split: float = DEFAULT_SPLIT,
) -> Probe:
    """Set the thresholds on a random part of the probing set and keep the rest for probing.

    Bounds for fixed thresholds then hold on the rest, since it had no say in them.

    Parameters
    ----------
    key : JAX PRNG key
        Decides the split.
    probe : Probe
        Its own thresholds are replaced.
    top_fraction : float in (0, 1], optional
        See :func:`make_probe`; a quantile of the part set aside. Default that of the probe, or 0.05
        where its thresholds were given.
    top_of_active : float in (0, 1], optional
        See :func:`make_probe`; of the part set aside.
    ranges : int, optional
        Cut each neuron into this number of ranges of its activation, at least 2, see
        :func:`neurotrust_jax.probing.activation_ranges`; the cuts are quantiles of the part set
        aside, too.
    split : float in (0, 1)
        Share of the sampling units (groups where given, else samples) that is set aside.

    Returns
    -------
    Probe
        On the samples that were not set aside.

    Raises
    ------
    ValueError
        If a share or the number of ranges is out of range, either part is empty or of weight zero,
        or the probe holds ranges already.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((500, 3)) < 0.3
    >>> activations = rng.normal(size=(500, 2)) + 4 * concepts[:, :2]
    >>> probe = nt.make_probe(activations, concepts, top_fraction=0.1)
    >>> judged = nt.split_thresholds(jax.random.key(0), probe, split=0.2)
    >>> judged.num_samples, judged.threshold_source
    (400, 'top_fraction=0.1 of 100 samples set aside for the thresholds')
    """
    if top_fraction is None:
        top_fraction = probe.top_fraction or DEFAULT_TOP_FRACTION
    check_top(top_fraction, "top_fraction")
    if top_of_active is not None:
        check_top(top_of_active, "top_of_active")
    check_whole(probe)
    if ranges is not None:
        check_count(ranges, "ranges", 2)
    in_part, aside = rows_aside(key, probe, split)
    part = part_of_samples(probe, in_part, "the part set aside")
    rest = part_of_samples(probe, ~in_part, "the rest")
    size = f"{part.num_samples:,} samples"
    if probe.groups is not None:
        size = f"{aside:,} groups ({size})"
    part = replace(part, thresholds=top_thresholds(part, float(top_fraction)))
    found = replace(
        rest,
        thresholds=part.thresholds,
        top_fraction=float(top_fraction),
        threshold_source=f"top_fraction={top_fraction:g} of {size} set aside for the thresholds",
        thresholds_fixed=True,
    )
    if top_of_active is not None:
        found = _raised(found, part, top_of_active)
    if ranges is None:
        return found
    edges = range_edges(replace(part, thresholds=found.thresholds), ranges)
    return activation_ranges(found, ranges, edges=edges)


def part_of_samples(probe: Probe, rows: np.ndarray, name: str) -> Probe:
    """The probe on some samples, ``rows`` [n] of bool, with groups counted among them.

    Raises
    ------
    ValueError
        If none of them has weight; the message calls them by their name.
    """
    part = probe.take(np.flatnonzero(rows))
    if not (np.asarray(part.sample_weight) > 0).any():
        raise ValueError(f"every sample of {name} has weight 0; choose another key")
    groups, num_groups = as_groups(part.groups, part.num_samples)
    return replace(part, groups=groups, num_groups=num_groups)


def rows_aside(key: Array, probe: Probe, split: float) -> tuple[np.ndarray, int]:
    """Which rows :func:`split_thresholds` sets aside, [n] of bool, and how many units these are."""
    check_share(split, "split")
    aside = round(split * probe.num_units)
    if not 0 < aside < probe.num_units:
        raise ValueError(
            f"split={split} of {probe.num_units} units leaves one part without any; choose "
            "another split"
        )
    order = np.asarray(jax.random.permutation(key, np.arange(probe.num_units, dtype=np.int32)))
    chosen = np.zeros(probe.num_units, bool)
    chosen[order[:aside]] = True
    return chosen if probe.groups is None else chosen[np.asarray(probe.groups)], aside
