"""Two metrics, probing sets, layers or explainers compared, on shared resamples if they can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._engine.replicates import dense_replicates, draw_weights
from .._runtime.checkpoint import Checkpoint
from .._runtime.chunks import Progress, in_chunks
from .._runtime.validation import check_count, check_share
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, prepare, score_prepared, similarity, winner
from ..metrics.table import get_metric
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..resampling.crossfit import cross_fit, deal_folds, jackknife_variance
from ..schemes import check_scheme

__all__ = ["Comparison", "Difference", "Labelling", "compare"]

CHUNK = 32  # replicates of a call, after which progress is told


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


class Difference(NamedTuple):
    """A value of the first less that of the second, with limits; arrays [] or [U]."""

    first: np.ndarray
    second: np.ndarray
    difference: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True, eq=False)
class Comparison:
    """See :func:`compare`.

    Attributes
    ----------
    shared : bool
        Whether both were resampled alike.
    similarity : Difference []
        The labels' similarity, in the mean over the neurons that have one. Of labels chosen on the
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
        own most similar concepts, or by the labels given. They tell how much the share varies with
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
    scheme: str = "multinomial",
    progress: Progress | None = None,
) -> Comparison:
    """Which of two gives labels of higher similarity, or stabler ones, and by how much?

    Compared is the *true* similarity of the labels that the two have: those given, or those that
    are the most similar on all the data. Where both have as many samples and the same groups, each
    replicate resamples them alike: of the same samples, what both gain or lose by a resample
    cancels in the difference, whose interval is then narrower than those of the two would suggest;
    of different ones nothing cancels, and the interval is none the worse for it. Else they are
    resampled independently. A similarity is of the same kind only if the metric is.

    *Labels given for both.* Limits are the difference and a multiple of its bootstrap standard
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
    all the data, the value speaks of labels chosen in this way, and of that one only on average. A
    label given for one of the two takes part in the jackknife with its similarity on all the data.

    ``stability`` always is about the most similar concepts, also where labels are given. Its
    limits describe only how far the number of replicates leaves the two shares open: replicate b
    gives the two shares of neurons that keep their label; their difference has the standard error
    of a mean over independent replicates, its standard deviation over sqrt(num_replicates).

    Parameters
    ----------
    key : JAX PRNG key
    first, second : Labelling
    alpha : float in (0, 1)
    num_replicates : int
        At least 2.
    scheme : str
        A key of :data:`SCHEMES`.
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
    """
    check_share(alpha, "alpha")
    check_scheme(scheme)
    if check_count(num_replicates, "num_replicates") < 2:
        raise ValueError(f"num_replicates must be at least 2, got {num_replicates}")
    shared = _same_samples(first.probe, second.probe)
    keys = [key, key if shared else jax.random.fold_in(key, 1)]
    given = first.label is not None and second.label is not None
    folds = [
        None if given else deal_folds(jax.random.split(k, 1)[0], x.probe)
        for k, x in zip(keys, (first, second), strict=True)
    ]
    sides = [_Side(x, dealt) for x, dealt in zip((first, second), folds, strict=True)]
    paired = first.probe.neuron_names == second.probe.neuron_names

    def run(ids: Array) -> tuple[np.ndarray, ...]:
        return sum((side.run(k, ids, scheme) for side, k in zip(sides, keys, strict=True)), ())

    size = min(CHUNK, num_replicates)
    results = in_chunks(run, num_replicates, size, Checkpoint(None), progress)
    winners, replicates = results[::2], results[1::2]
    quantile = NormalDist().inv_cdf(1 - alpha / 2)

    def difference(values: list[np.ndarray], error: np.ndarray) -> Difference:
        first, second = values
        gap, half = first - second, quantile * error
        return Difference(first, second, gap, gap - half, gap + half)

    def similarity(of: Callable[[_Side, np.ndarray], np.ndarray]) -> Difference:
        values = [of(side, side.value) for side in sides]
        if given:
            error = _spread(of(sides[0], replicates[0]) - of(sides[1], replicates[1]))
        else:
            left = [of(side, side.without) for side in sides]
            moved = [left[0] - left[1]] if shared else left
            error = np.sqrt(sum(map(jackknife_variance, moved)))
        return difference(values, error)

    shares = [side.stable(won) for side, won in zip(sides, winners, strict=True)]
    labels = [
        won if x.label is None else np.broadcast_to(side.label, won.shape)
        for x, side, won in zip((first, second), sides, winners, strict=True)
    ]
    limits = np.full(2, np.nan)
    if paired:
        alike = [_share_alike(sides, x) for x in zip(*labels, strict=True)]
        limits = np.quantile(alike, (alpha / 2, 1 - alpha / 2))
    return Comparison(
        shared=shared,
        similarity=similarity(_Side.mean),
        stability=difference(
            [x.mean() for x in shares], _spread(shares[0] - shares[1]) / np.sqrt(num_replicates)
        ),
        neurons=similarity(lambda _, values: values) if paired else None,
        same_label=_share_alike(sides, tuple(x.label for x in sides)) if paired else float("nan"),
        same_label_lower=float(limits[0]),
        same_label_upper=float(limits[1]),
        alpha=alpha,
        num_replicates=num_replicates,
    )


class _Side:
    """A labelling, its similarity, and what its replicates say.

    With ``folds`` the similarity is cross-fitted, and ``without`` [R, K, U] tells what it is
    without each fold.
    """

    def __init__(self, given: Labelling, folds: Array | None) -> None:
        self.probe, self.metric = given.probe, get_metric(given.metric)
        self.prepared = None  # of sparse activations it would be dense
        if isinstance(self.probe.activations, SparseColumns):
            observed = similarity(self.probe, self.metric)
        else:
            self.prepared = prepare(self.probe, self.metric)
            observed = score_prepared(self.prepared, self.probe.weights, metric=self.metric)
        self.best = np.asarray(winner(observed))
        self.label = self.best if given.label is None else np.asarray(given.label)
        if self.label.shape != self.best.shape or not (
            self.label.min() >= -1 and self.label.max() < self.probe.num_concepts
        ):
            raise ValueError(
                f"label must hold a column below {self.probe.num_concepts}, or -1, for each of the "
                f"{self.probe.num_neurons} neurons, got shape {list(self.label.shape)} from "
                f"{self.label.min()} to {self.label.max()}"
            )
        self.value = np.asarray(at_concept(observed, jnp.asarray(self.label)))
        if folds is not None:
            label = None if given.label is None else self.label
            fit = cross_fit(self.probe, self.metric, folds, label)
            self.value = np.where(np.isnan(self.value), np.nan, fit.value)
            self.without = np.where(np.isnan(self.value), np.nan, fit.without)

    def run(self, key: Array, ids: Array, scheme: str) -> tuple[np.ndarray, ...]:
        """Of some replicates the most similar concepts, and the labels' similarity: [b, U] each."""
        probe = self.probe
        drawn = draw_weights(
            key, ids, probe.weights, probe.groups, scheme=scheme, num_units=probe.num_units
        )
        results = []
        for some, part in probe.in_neurons():
            label = np.maximum(self.label[some], 0).astype(np.int32)
            prepared = prepare(part, self.metric) if self.prepared is None else self.prepared
            pairs = np.arange(len(label), dtype=np.int32), label
            won, _, values = dense_replicates(drawn, prepared, pairs, metric=self.metric)
            results.append((won, values))
        won, values = (np.concatenate(x).T for x in zip(*results, strict=True))
        return won, np.where(self.label < 0, np.nan, values)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of ``values`` [..., U] over the neurons whose label has a similarity.

        Where a replicate, or what is left without a fold, does not define that of a neuron, it
        takes no part; of folds it stays as it is on all of them.
        """
        known = ~np.isnan(self.value)
        values = values[..., known]
        if values.ndim == 3:
            values = np.where(np.isnan(values), self.value[known], values)
        return _mean_of_known(values)

    def stable(self, won: np.ndarray) -> np.ndarray:
        """Share of the neurons with a label whose winner it is, in each replicate, [B]."""
        return _mean_of_known(np.where(self.best >= 0, won == self.best, np.nan))


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
