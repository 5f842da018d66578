"""Two metrics, probing sets, layers or explainers compared, on shared resamples if they can be."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .checks import check_count, check_share
from .chunks import Progress, in_chunks
from .folders import Kept
from .metrics import Metric, get_metric
from .probe import Probe
from .replicates import dense_replicates, draw_weights
from .similarity import at_concept, prepare, score_prepared, similarity, winner
from .sparse import SparseColumns
from .weights import check_scheme

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
        Of the labels' similarity, in the mean over the neurons that have one.
    stability : Difference []
        Of the share of replicates in which the most similar concept is the one on the data.
    neurons : Difference [U] or None
        Of the similarity of each neuron's label; None where the two have different neurons.
    same_label : float
        Share of the neurons that have the same label, by its name; NaN without shared neurons.
    same_label_lower, same_label_upper : float
        Limits of that share in the replicates, where the most similar concepts are compared.
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

    Where both have as many samples and the same groups, each replicate resamples them alike: of the
    same samples, what both gain or lose by a resample cancels in the difference, whose interval is
    then narrower than those of the two would suggest; of different ones nothing cancels, and the
    interval is none the worse for it. Else they are resampled independently. Limits are the
    difference and a multiple of its bootstrap standard error, at level 1 - alpha, in the limit of
    many units; the labels stay those of the data, but for ``stability`` and ``same_label``. A
    similarity is of the same kind only if the metric is.

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
        If an option is out of range, or a label is none of the concepts.
    """
    check_share(alpha, "alpha")
    check_scheme(scheme)
    if check_count(num_replicates, "num_replicates") < 2:
        raise ValueError(f"num_replicates must be at least 2, got {num_replicates}")
    sides = [_Side(x) for x in (first, second)]
    shared = _same_samples(first.probe, second.probe)
    keys = [key, key if shared else jax.random.fold_in(key, 1)]
    paired = first.probe.neuron_names == second.probe.neuron_names

    def run(ids: Array) -> tuple[np.ndarray, ...]:
        return sum((side.run(k, ids, scheme) for side, k in zip(sides, keys, strict=True)), ())

    size = min(CHUNK, num_replicates)
    results = in_chunks(run, num_replicates, size, Kept(None), progress)
    winners = results[::2]
    for side, won, value in zip(sides, winners, results[1::2], strict=True):
        side.keep(won, value)
    z = NormalDist().inv_cdf(1 - alpha / 2)

    def difference(name: str) -> Difference:
        values = [getattr(side, name) for side in sides]
        replicates = [getattr(side, f"{name}_replicates") for side in sides]
        gaps = replicates[0] - replicates[1]
        some = (~np.isnan(gaps)).sum(axis=0) > 1  # else NumPy warns
        error = np.where(some, np.nanstd(np.where(some, gaps, 0), axis=0, ddof=1), np.nan)
        gap = values[0] - values[1]
        return Difference(values[0], values[1], gap, gap - z * error, gap + z * error)

    limits = np.full(2, np.nan)
    if paired:
        alike = [_share_alike(sides, x) for x in zip(*winners, strict=True)]
        limits = np.quantile(alike, (alpha / 2, 1 - alpha / 2))
    return Comparison(
        shared=shared,
        similarity=difference("mean"),
        stability=difference("stable"),
        neurons=difference("value") if paired else None,
        same_label=_share_alike(sides, tuple(x.label for x in sides)) if paired else float("nan"),
        same_label_lower=float(limits[0]),
        same_label_upper=float(limits[1]),
        alpha=alpha,
        num_replicates=num_replicates,
    )


class _Side:
    """A labelling, and what its replicates say."""

    def __init__(self, given: Labelling) -> None:
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
        self.mean = np.nanmean(self.value)

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

    def keep(self, won: np.ndarray, value: np.ndarray) -> None:
        """Keep what all replicates gave, [B, U] each."""
        self.value_replicates = value
        # of the neurons that have a label on the data
        self.mean_replicates = np.nanmean(value[:, ~np.isnan(self.value)], axis=1)
        known = self.best >= 0
        self.stable_replicates = (won == self.best)[:, known].mean(axis=1)

    @property
    def stable(self) -> np.ndarray:
        return np.mean(self.stable_replicates)


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
