"""Compare two metrics, probing sets, layers or explainers, on shared replicates if possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._engine import Draw, Replicates, compute_replicates
from .._runtime.chunks import Progress
from .._runtime.short_repr import short_repr
from .._runtime.validation import check_count, check_share
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, check_joint
from ..metrics.table import get_metric
from ..probing.probe import Probe
from ..resampling.crossfit import cross_fit, deal_folds, jackknife_variance
from ..schemes import Scheme, check_scheme

__all__ = ["Comparison", "Difference", "Labelling", "compare"]


@short_repr
class Labelling(NamedTuple):
    """One of the two that are compared.

    Attributes
    ----------
    probe : Probe
    metric : str or Metric
    label : array [U] of int, optional
        Columns of the concepts that an explainer gives the neurons, -1 for none; those of highest
        similarity unless given.
    """

    probe: Probe
    metric: str | Metric = "iou"
    label: np.ndarray | None = None


@short_repr
class Difference(NamedTuple):
    """A value of the first, of the second, their difference and its bounds; arrays [] or [U]."""

    first: np.ndarray
    second: np.ndarray
    difference: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@short_repr
@dataclass(frozen=True, eq=False)
class Comparison:
    """See :func:`compare`.

    Attributes
    ----------
    shared : bool
        Whether both have the same replicates.
    similarity : Difference []
        The labels' similarity, in the mean over the neurons that have one. For labels chosen on the
        data it is cross-fitted, and then below the naive similarity.
    stability : Difference []
        Share of replicates in which the most similar concept is the one on the data, in the mean
        over the neurons that have one. The interval is for the difference that endless replicates
        of the same data would give (Monte Carlo error), not for other data: see :func:`compare`.
    neurons : Difference [U] or None
        Similarity of each neuron's label, cross-fitted as above: its noise may take it a little out
        of the metric's range. None where the two have different neurons.
    same_label : float
        Share of the neurons that have the same label, by its name; NaN without shared neurons.
    same_label_lower, same_label_upper : float
        Quantiles alpha/2 and 1 - alpha/2 of that share over the replicates, each labelled by its
        own most similar concepts, or by the labels given. They show how much the share varies with
        the probing set and are no confidence interval: labels of replicates err more often than
        those of the data, so that the share itself may lie outside.
    alpha : float
    num_replicates : int
    """

    shared: bool
    similarity: Difference
    stability: Difference
    neurons: Difference | None
    same_label: float
    same_label_lower: float
    same_label_upper: float
    alpha: float
    num_replicates: int


def compare(
    key: Array,
    first: Labelling,
    second: Labelling,
    *,
    alpha: float = 0.1,
    num_replicates: int = 200,
    scheme: str | Scheme = "multinomial",
    strategy: str = "auto",
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Which of two gives labels of higher similarity, or stabler ones, and by how much?

    The comparison is of the *true* similarity of the labels that the two have: those given, or
    those that are the most similar on all the data. Where both have as many samples and the same
    groups, each replicate resamples them alike. If the samples are the same, what both gain or lose
    by a replicate cancels in the difference, whose interval is then narrower than those of the two
    would suggest; if they differ nothing cancels, which does the interval no harm. Otherwise they
    are resampled independently. Two similarities are comparable only if the metric is the same.

    *Labels given for both.* The bounds are the difference and a multiple of its bootstrap standard
    error, at level 1 - alpha, in the limit of many units.

    *Labels chosen on the data, for one or both.* On these data their similarity is too high, since
    they were chosen for it, and an interval around it may never hold the truth. It is therefore
    cross-fitted (:func:`cross_fit`): the sampling units are dealt at random
    into five folds, each label is chosen on four and measured on the fifth, in the mean over eight
    partitions. The standard error is the jackknife over folds of the whole procedure, choice of the
    labels included, which is on average no smaller than the true one (Efron & Stein, 1981): the
    interval covers at least as often as it says, in the limit of many units, and is up to twice as
    wide as it had to be where concepts nearly tie. Labels of four fifths of the data err more often
    than those of all; the loss is extrapolated from that of labels of three fifths, which leaves a
    bias that is small beside the standard error. Where the labels of folds differ from the one on
    all the data, the value is about labels chosen in this way, and about that one only on average.
    A label given for one of the two takes part in the jackknife with its similarity on all the
    data.

    ``stability`` always is about the most similar concepts, also where labels are given. Its
    bounds describe only how far the number of replicates leaves the two shares open: replicate b
    gives the two shares of neurons that keep their label; their difference has the standard error
    of a mean over independent replicates, its standard deviation over sqrt(num_replicates).

    Parameters
    ----------
    key : JAX PRNG key
    first, second : Labelling
    alpha : float in (0, 1)
    num_replicates : int
        At least 2.
    scheme : str or Scheme
        A key of :data:`SCHEMES`, or a scheme of your own.
    strategy : {"auto", "screened", "rows", "dense"}
        How replicates are computed, see :func:`bootstrap`.
    checkpoint : path, optional
        A folder for finished chunks of replicates, so that the same call goes on from there, see
        :func:`bootstrap`.
    progress : callable, optional
        Called as ``progress(done, num_replicates)``.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If an option is out of range, a label is none of the concepts, or labels are to be chosen
        on fewer than three sampling units.

    Examples
    --------
    >>> import jax, numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((200, 3)) < 0.4
    >>> activations = rng.normal(size=(200, 2)) + 4 * concepts[:, :2]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> right, wrong = nt.Labelling(probe, label=[0, 1]), nt.Labelling(probe, label=[2, 2])
    >>> found = nt.compare(jax.random.key(0), right, wrong, num_replicates=20)
    >>> found.shared, bool((found.neurons.lower > 0).all()), found.same_label
    (True, True, 0.0)
    """
    check_share(alpha, "alpha")
    scheme = check_scheme(scheme)
    if check_count(num_replicates, "num_replicates") < 2:
        raise ValueError(f"num_replicates must be at least 2, got {num_replicates}")
    shared = _same_samples(first.probe, second.probe)
    keys = [key, key if shared else jax.random.fold_in(key, 1)]
    both = first, second
    given = first.label is not None and second.label is not None
    for labelling in both:
        _check(labelling)
    folds = [
        None if given else deal_folds(jax.random.split(k, 1)[0], x.probe)
        for k, x in zip(keys, both, strict=True)
    ]

    def resampled(i: int) -> Replicates:
        def report(done: int, total: int) -> None:
            if progress is not None:
                progress((i * total + done) // 2, total)

        label = both[i].label
        return compute_replicates(
            both[i].probe, get_metric(both[i].metric), Draw(keys[i], scheme), num_replicates,
            strategy=strategy, checkpoint=checkpoint, progress=report,
            label=None if label is None else np.asarray(label), candidates=False,
        )  # fmt: skip

    sides = [
        _Side(x, dealt, resampled(i)) for i, (x, dealt) in enumerate(zip(both, folds, strict=True))
    ]
    return _compared(sides, given, shared, alpha, num_replicates)


def _check(labelling: Labelling) -> None:
    """Refuse labels that are no concepts, before any work."""
    probe = labelling.probe
    check_joint(probe, get_metric(labelling.metric))
    if labelling.label is None:
        return
    label = np.asarray(labelling.label)
    if label.shape != (probe.num_neurons,) or not (
        label.min() >= -1 and label.max() < probe.num_concepts
    ):
        raise ValueError(
            f"label must hold a column below {probe.num_concepts}, or -1, for each of the "
            f"{probe.num_neurons} neurons, got shape {list(label.shape)} from "
            f"{label.min()} to {label.max()}"
        )


def _compared(
    sides: list[_Side], given: bool, shared: bool, alpha: float, num_replicates: int
) -> Comparison:
    """The differences of two sides, with their bounds."""
    paired = sides[0].probe.neuron_names == sides[1].probe.neuron_names
    quantile = NormalDist().inv_cdf(1 - alpha / 2)

    def difference(values: list[np.ndarray], error: np.ndarray) -> Difference:
        first, second = values
        gap, half = first - second, quantile * error
        return Difference(first, second, gap, gap - half, gap + half)

    def similarity(of: Callable[[_Side, np.ndarray], np.ndarray]) -> Difference:
        values = [of(side, side.value) for side in sides]
        if given:
            error = _spread(of(sides[0], sides[0].replicates) - of(sides[1], sides[1].replicates))
        else:
            left = [of(side, side.without) for side in sides]
            moved = [left[0] - left[1]] if shared else left
            error = np.sqrt(sum(map(jackknife_variance, moved)))
        return difference(values, error)

    shares = [side.stable() for side in sides]
    bounds = np.full(2, np.nan)
    if paired:
        labels = [side.labels_of_replicates() for side in sides]
        alike = [_share_alike(sides, x) for x in zip(*labels, strict=True)]
        bounds = np.quantile(alike, (alpha / 2, 1 - alpha / 2))
    return Comparison(
        shared=shared,
        similarity=similarity(_Side.mean),
        stability=difference(
            [x.mean() for x in shares], _spread(shares[0] - shares[1]) / np.sqrt(num_replicates)
        ),
        neurons=similarity(lambda _, values: values) if paired else None,
        same_label=_share_alike(sides, tuple(x.label for x in sides)) if paired else float("nan"),
        same_label_lower=float(bounds[0]),
        same_label_upper=float(bounds[1]),
        alpha=alpha,
        num_replicates=num_replicates,
    )


class _Side:
    """A labelling, its similarity, and its replicates.

    With ``folds`` the similarity is cross-fitted, and ``without`` [R, K, U] is what it is without
    each fold.
    """

    def __init__(self, labelling: Labelling, folds: Array | None, found: Replicates) -> None:
        self.probe, metric = labelling.probe, get_metric(labelling.metric)
        self.winners, self.replicates = map(np.asarray, (found.winners, found.label_similarity))
        self.best = np.asarray(found.label)
        self.given = labelling.label is not None
        self.label = self.best if labelling.label is None else np.asarray(labelling.label)
        self.value = np.asarray(at_concept(found.similarity, self.label))
        if folds is not None:
            fit = cross_fit(self.probe, metric, folds, self.label if self.given else None)
            self.value = np.where(np.isnan(self.value), np.nan, fit.value)
            self.without = np.where(np.isnan(self.value), np.nan, fit.without)

    def labels_of_replicates(self) -> np.ndarray:
        """The labels in each replicate, [B, U]: its winners, unless labels were given."""
        return np.broadcast_to(self.label, self.winners.shape) if self.given else self.winners

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of ``values`` [..., U] over the neurons whose label has a similarity.

        A neuron whose similarity a replicate does not define takes no part in that replicate. If
        the data without a fold do not define it, it stays as it is on all folds.
        """
        known = ~np.isnan(self.value)
        values = values[..., known]
        if values.ndim == 3:
            values = np.where(np.isnan(values), self.value[known], values)
        return _mean_of_known(values)

    def stable(self) -> np.ndarray:
        """Share of the neurons with a label whose winner it is, in each replicate, [B]."""
        return _mean_of_known(np.where(self.best >= 0, self.winners == self.best, np.nan))


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean of the last axis, NaN left out; NaN where nothing is left."""
    number = (~np.isnan(values)).sum(axis=-1)
    return np.where(number > 0, np.nansum(values, axis=-1) / np.maximum(number, 1), np.nan)


def _spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis, NaN left out; NaN where fewer than two are left."""
    some = (~np.isnan(values)).sum(axis=0) > 1  # else NumPy warns
    return np.where(some, np.nanstd(np.where(some, values, 0), axis=0, ddof=1), np.nan)


def _share_alike(sides: list[_Side], labels: tuple[np.ndarray, ...]) -> float:
    """Share of the neurons labelled by both whose labels have the same name."""
    names = [
        np.array([*side.probe.concept_names, ""])[label]
        for side, label in zip(sides, labels, strict=True)
    ]
    both = (labels[0] >= 0) & (labels[1] >= 0)
    return float((names[0] == names[1])[both].mean()) if both.any() else float("nan")


def _same_samples(a: Probe, b: Probe) -> bool:
    if a.num_samples != b.num_samples or (a.groups is None) != (b.groups is None):
        return False
    if a.groups is None or b.groups is None:
        return True
    return bool(jnp.array_equal(a.groups, b.groups))
