"""Labels that exist already, matched with a probe and judged against the arrays behind them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from jax import Array

from .._runtime.chunks import Progress
from .._runtime.defaults import DEFAULT_MIN_POSITIVES
from .._runtime.short_repr import short_repr
from .._runtime.validation import check_count, check_share
from ..faithfulness.bounds import intervals
from ..files.label_formats import Claim
from ..files.labels import whole_number
from ..metrics.table import Metric, get_metric
from ..probing.construction import rare_concepts
from ..probing.probe import LeftOut, Probe
from ..resampling.bootstrapping import bootstrap
from ..sets.set_rules import concept_sets
from .vocabulary import judged_concepts

__all__ = ["Finding", "Judged", "find_shift", "judge_labels", "match_labels", "match_neurons"]


class Finding(StrEnum):
    """What the data say about a label, from the best finding to the worst.

    Attributes
    ----------
    text : str
        The finding in a few words.
    """

    SUPPORTED = "supported", "no other tested concept can be the best"
    OPEN = "open", "it may be the best concept, and so may others"
    UNTESTED = "untested", "its concept is too rare to be judged, or the evidence is too thin"
    UNDEFINED = "undefined", "no similarity is defined, since the neuron or the concept is constant"
    UNKNOWN = "unknown", "its text is none of the concepts"
    REFUTED = "refuted", "another concept is better"

    text: str

    def __new__(cls, value: str, text: str) -> Finding:
        """Make a member that is equal to its value and carries a text."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member


@short_repr
@dataclass(frozen=True, eq=False)
class Judged:
    """What the data say about given labels of the neurons of a layer; NumPy arrays.

    Attributes
    ----------
    label : [U] of int
        Column of the concept that the label claims, -1 for none.
    similarity : [U]
        Similarity of the label.
    lower, upper : [U]
        Bounds of the similarity that hold for all concepts of the neuron at once.
    rank : [U] of int
        Rank of the label among the neuron's concepts, from 1; 0 where undefined.
    best : [U] of int
        The most similar concept as measured, -1 where none is defined.
    best_similarity : [U]
    shortfall : [U]
        The best concept's true similarity exceeds the label's by at most this.
    rivals : [U] of int
        Number of other tested concepts that may be the best.
    finding : list [U] of Finding
    alpha : float
    positives : [U] of int
        Number of sampling units (groups where given, else samples) in which the label is present,
        -1 for none. A label in fewer than ``min_positives`` is untested, and its numbers are NaN.
    left_out : tuple of LeftOut
        The concepts that were not judged, the most common first.
    """

    label: np.ndarray
    similarity: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    rank: np.ndarray
    best: np.ndarray
    best_similarity: np.ndarray
    shortfall: np.ndarray
    rivals: np.ndarray
    finding: list[Finding]
    alpha: float
    positives: np.ndarray
    left_out: tuple[LeftOut, ...]


def match_neurons(claims: Sequence[Claim], probe: Probe) -> list[int]:
    """Find the neuron of the probe that each claim is about: by its name, else by its number.

    Raises
    ------
    ValueError
        If a claim is about a neuron that the probe does not have, or two are about one neuron.
    """
    column = {name: i for i, name in enumerate(probe.neuron_names)}
    first: dict[int, Claim] = {}
    for claim in claims:
        u = column.get(claim.neuron)
        if u is None and (number := whole_number(claim.neuron)) is not None:
            u = column.get(str(number))
        if u is None:
            raise ValueError(
                f"there is a label of neuron {claim.neuron!r}, but the activations have "
                f"{probe.num_neurons} neurons, named {probe.neuron_names[0]!r} to "
                f"{probe.neuron_names[-1]!r}; {_remedy(claim, claims, probe)}"
            )
        if u in first:
            names = [f"{x.neuron!r}" + f" of layer {x.layer!r}" * bool(x.layer)
                     for x in (first[u], claim)]  # fmt: skip
            raise ValueError(
                f"the labels of {' and '.join(names)} both belong to neuron "
                f"{probe.neuron_names[u]!r}, which can have one label; leave one out, or choose a "
                "layer"
            )
        first[u] = claim
    return list(first)


def _remedy(claim: Claim, claims: Sequence[Claim], probe: Probe) -> str:
    if "," in claim.neuron:
        return "labels of groups of features are judged by neurotrust check only"
    numbers = [whole_number(x.neuron) or 0 for x in claims]
    counts = min(numbers) == 1 and max(numbers) == probe.num_neurons
    why = "if the file counts from 1"
    if counts:
        why = f"the file counts from 1 to {probe.num_neurons}"
    return f"{why}, set first_neuron=1 (--first-neuron 1)"


def match_labels(claims: Sequence[Claim], probe: Probe) -> np.ndarray:
    """Find the concept that is claimed for each neuron of a probe.

    A description matches the concept of exactly that name. If there is none, it matches the one
    concept of the same words, whatever their case, hyphens, underscores and spaces; else the
    concept whose name is the claim's ``concept_id``.

    Parameters
    ----------
    claims : sequence of Claim
        At most one for each neuron, see :func:`neurotrust_jax.files.read_labels`.
    probe : Probe

    Returns
    -------
    array [U] of int
        Column of the concept, -1 for a neuron without a claim or with an unknown description.

    Raises
    ------
    ValueError
        If a claim is about a neuron that the probe does not have, two are about one neuron, a
        description matches several concepts, or a label is a weighted sum without a column.
    """
    exact = {name: i for i, name in enumerate(probe.concept_names)}
    loose: dict[str, list[int]] = {}
    for name, i in exact.items():
        loose.setdefault(_words(name), []).append(i)
    label = np.full(probe.num_neurons, -1)
    for u, claim in zip(match_neurons(claims, probe), claims, strict=True):
        text = claim.description
        alike = [exact[text]] if text in exact else loose.get(_words(text), [])
        if len(alike) > 1:
            names = " or ".join(repr(probe.concept_names[i]) for i in alike)
            raise ValueError(
                f"the label {text!r} of neuron {claim.neuron!r} may be the concept {names}; write "
                "it as one of them"
            )
        if not alike and claim.weights and all(name in exact for name, _ in claim.weights):
            raise ValueError(
                f"the label of neuron {claim.neuron!r} is a weighted sum of concepts and needs a "
                "column; add it by with_weighted_sums (the command check does)"
            )
        label[u] = alike[0] if alike else exact.get(claim.concept_id, -1)
    return label


def _words(text: str) -> str:
    same = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.split(r"[\s_-]+", same.strip()))


def find_shift(similarity: np.ndarray | Array, label: np.ndarray) -> int:
    """Find out whether labels are about the neuron before or after the one that they name.

    Then the similarity of most labels is larger at that neighbour than at their neuron and at the
    other neighbour. If the order of the neurons means nothing, a label fits the one neighbour
    better than the other with probability 1/2 at most, so the number that do is compared with a
    binomial one, at a level of 0.001 for each side.

    Parameters
    ----------
    similarity : array [U, C]
        Of neurons in the order in which they are counted.
    label : array [U] of int
        Column of the concept claimed for each neuron, -1 for none.

    Returns
    -------
    int
        -1 for the neuron before (the labels count from 1, the neurons from 0), 1 for the one after,
        0 for neither. It takes at least ten labels to find a shift.

    Examples
    --------
    >>> from neurotrust_jax.auditing import find_shift
    >>> label = np.arange(12) - 1  # each neuron has the label of the one before
    >>> find_shift(np.eye(12), label)
    -1
    """
    from scipy.special import bdtrc  # slow to import, and few need it

    similarity = np.asarray(similarity)
    neurons = 1 + np.flatnonzero(label[1:-1] >= 0)  # those with two neighbours
    at = {step: similarity[neurons + step, label[neurons]] for step in (-1, 0, 1)}
    for step in (-1, 1):
        lead = at[step] - np.fmax(at[0], at[-step])
        better, compared = int((lead > 0).sum()), int((np.nan_to_num(lead) != 0).sum())
        if better and bdtrc(better - 1, compared, 0.5) <= 0.001:
            return step
    return 0


def judge_labels(
    key: Array,
    probe: Probe,
    label: np.ndarray,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_replicates: int = 1000,
    min_positives: int = DEFAULT_MIN_POSITIVES,
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
    progress: Progress | None = None,
) -> Judged:
    """Judge labels of any origin: can they be the best ones on these data?

    The judge is the set of :func:`concept_sets`. A label outside it is refuted at level alpha: the
    population's best concept is outside with a probability of at most alpha, asymptotically. A
    label that is its only tested member is supported.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    label : array [U] of int
        Column of the concept claimed for each neuron, -1 for none, see :func:`match_labels`.
    metric, alpha, num_replicates, progress
        As for :func:`bootstrap` and :func:`concept_sets`.
    min_positives : int
        Concepts present in fewer sampling units are not judged, see :func:`audit`: a label among
        them is untested, and they are no rivals of others.
    activation_range, largest_unit
        What is known of the data for the intervals, see :func:`intervals`.

    Returns
    -------
    Judged

    Raises
    ------
    ValueError
        If the labels do not fit the probe, an option is out of range, or ``min_positives`` leaves
        no concept.
    """
    check_share(alpha, "alpha")
    if min_positives != 0:
        check_count(min_positives, "min_positives")
    metric = get_metric(metric)
    claimed = _check_labels(label, probe)
    judged = judged_concepts(probe, metric, min_positives)
    left_out = rare_concepts(probe, judged)
    positives = np.where(claimed < 0, -1, np.asarray(probe.positive_units)[claimed])
    column = np.flatnonzero(judged)
    label = _among_judged(claimed, judged)
    if not judged.all():
        probe = probe.of_concepts(column)
    known: Any = {"activation_range": activation_range, "largest_unit": largest_unit}
    bounds = intervals(probe, metric, alpha=alpha, simultaneous="concepts", **known)
    boot = bootstrap(key, probe, metric, num_replicates=num_replicates, progress=progress)
    sets = concept_sets(boot, alpha=alpha, **known)
    mask, untested = np.asarray(sets.mask), np.asarray(sets.untested)
    tested = mask & ~untested
    lower, upper = np.asarray(bounds.lower), np.asarray(bounds.upper)
    value = _at_label(np.asarray(boot.similarity), label)
    defined = np.nan_to_num(np.asarray(boot.similarity), nan=-np.inf)
    best = np.asarray(boot.label)
    neurons = np.arange(len(label))
    others = np.where(np.isnan(upper), -np.inf, upper)
    others[neurons, label] = -np.inf
    return Judged(
        label=claimed,
        similarity=value,
        lower=_at_label(lower, label),
        upper=_at_label(upper, label),
        rank=np.where(np.isnan(value), 0, 1 + (defined > value[:, None]).sum(axis=1)),
        best=np.where(best < 0, -1, column[best]),
        best_similarity=np.where(best < 0, np.nan, defined[neurons, best]),
        shortfall=np.maximum(others.max(axis=1) - _at_label(lower, label), 0),
        rivals=tested.sum(axis=1) - np.where(label < 0, 0, tested[neurons, label]),
        finding=[_finding(claimed[u], label[u], value[u], mask[u], untested[u]) for u in neurons],
        alpha=alpha,
        positives=positives,
        left_out=left_out,
    )


def _check_labels(label: Any, probe: Probe) -> np.ndarray:
    label = np.asarray(label)
    if label.shape != (probe.num_neurons,) or label.dtype.kind not in "iu":
        raise ValueError(
            f"label must be integers of shape [{probe.num_neurons}], got {label.dtype} "
            f"{list(label.shape)}"
        )
    if label.min() < -1 or label.max() >= probe.num_concepts:
        raise ValueError(
            f"label must lie in [-1, {probe.num_concepts - 1}], the concepts, got {label.min()} to "
            f"{label.max()}"
        )
    return label


def _among_judged(label: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """The labels as columns of the judged concepts, -1 for none and for one that is too rare."""
    place = np.append(np.where(judged, np.cumsum(judged) - 1, -1), -1)  # the last one is for -1
    return place[label]


def _at_label(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Values [U, C] at the label of each neuron, NaN where it has none."""
    return np.where(label < 0, np.nan, values[np.arange(len(label)), label])


def _finding(
    claimed: int, label: int, similarity: float, mask: np.ndarray, untested: np.ndarray
) -> Finding:
    """The finding on one neuron: ``label`` is -1 where the claimed concept is not judged."""
    if label < 0:
        return Finding.UNKNOWN if claimed < 0 else Finding.UNTESTED
    if np.isnan(similarity):
        return Finding.UNDEFINED
    if not mask[label]:
        return Finding.REFUTED
    if untested[label]:
        return Finding.UNTESTED
    return Finding.SUPPORTED if (mask & ~untested).sum() == 1 else Finding.OPEN
