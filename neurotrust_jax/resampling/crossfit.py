"""Cross-fitting: the similarity of labels on samples that had no part in choosing them.

A label is chosen for its high similarity, so on the data that chose it the similarity is too high.
The sampling units are dealt into folds. The label is chosen without a fold and measured on it, and
the folds on which one and the same label is measured are pooled: a fold that lacks the concept, or
on which the neuron is never active, then counts as what it is and is not left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.sums import Sums, about_own_means, weighted_sums
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, prepare, winner
from ..metrics.transforms import VIEWS, both_vary
from ..probing.probe import Probe

__all__ = [
    "CrossFit",
    "blocks_of_neurons",
    "cross_fit",
    "deal_folds",
    "jackknife_variance",
    "keep_rows",
    "pooled_similarity",
    "scores_and_sums",
    "sums_at",
    "sums_of",
]

FOLDS, PARTITIONS = 5, 8
CENTRED = ("centred", "standard", "rank")  # views whose mean over all samples is 0
TOGETHER = 2**27  # sums at a time
NEURONS = 256  # neurons whose halves are pooled at a time


class CrossFit(NamedTuple):
    """Cross-fitted similarity of the labels of a layer.

    Attributes
    ----------
    value : numpy.ndarray [U]
        In the mean over the partitions into folds, extrapolated to labels of all the data; NaN
        without a label.
    without : numpy.ndarray [R, K, U]
        For each of R partitions, the value when one of its K folds is left out altogether.
    """

    value: np.ndarray
    without: np.ndarray


def deal_folds(key: Array, probe: Probe) -> Array:
    """Fold of each sample in each of several random partitions of the sampling units, [R, n].

    Raises
    ------
    ValueError
        If there are fewer than three units.
    """
    num_units = probe.num_units
    if num_units < 3:
        raise ValueError(
            "labels chosen on the data that measure them need at least 3 sampling units (samples, "
            f"or groups) to be judged, got {num_units}; give labels chosen on other data as label="
        )
    turn = jnp.arange(num_units, dtype=jnp.int32) % min(FOLDS, num_units)
    folds = jax.vmap(lambda k: jax.random.permutation(k, turn))(jax.random.split(key, PARTITIONS))
    return folds if probe.groups is None else folds[:, probe.groups]


def cross_fit(
    probe: Probe, metric: Metric, folds: Array, label: np.ndarray | None = None
) -> CrossFit:
    """Cross-fit the similarity of each neuron's label.

    On each of K folds the similarity is that of the label chosen without the fold. A label that is
    chosen without any of the folds has the similarity that it has on all data. The mean estimates
    the true similarity of labels chosen on a share (K - 1)/K of the data, which err more often than
    those of all of it. The loss is taken to be in proportion to 1/n: with one fold left out
    altogether labels are chosen on (K - 2)/K, the mean falls by another ``d``, and labels of all
    the data are above it by ``(1/(K - 1)) / (2/(K - 2) - 1/(K - 1)) d = (K - 2)/K d``.

    A metric of six sums is evaluated on the sums over the folds that have one label, with ranks and
    means taken on all data. Other metrics have no sums to pool: the fold's similarity follows from
    those with and without the fold, ``s_without + (s_all - s_without) / share``, which is the
    fold's own for a mean, and equal to it up to terms of the second order for a smooth function.

    Parameters
    ----------
    probe : Probe
    metric : Metric
    folds : Array [R, n] of int32
        From :func:`deal_folds`.
    label : array [U] of int, optional
        Labels given beforehand, -1 for none: their similarity is that on all data, or on all folds
        but one. It is extrapolated alike, which takes part of the bias of a ratio off, so that
        labels of both kinds that agree have the same value.

    Returns
    -------
    CrossFit
    """
    num_folds = int(folds.max()) + 1
    fit = partial(_fit_scores if metric.finalise is None else _fit_sums, metric, num_folds)
    values, without = [], []
    for some, part in blocks_of_neurons(probe, metric, num_folds):
        own = None if label is None else jnp.asarray(label[some], jnp.int32)
        value, each = fit(prepare(part, metric), part.weights, folds, own)
        values.append(np.asarray(value))
        without.append(np.asarray(each))
    value, each = np.concatenate(values), np.concatenate(without, axis=-1)
    fall = value - np.where(np.isnan(each), value, each).mean(axis=(0, 1))
    return CrossFit(value + (num_folds - 2) / num_folds * fall, each)


def jackknife_variance(without: np.ndarray) -> np.ndarray:
    """Variance of a cross-fitted value from what it is without each fold: [R, K, ...] to [...].

    With x_k the value without fold k it is ``(K - 1)/K sum_k (x_k - mean x)^2``, in the mean over
    the partitions. The folds are independent and alike, and the value does not depend on their
    order, so that the sum is on average at least the variance of x_k (Efron & Stein, 1981), however
    the labels depend on the data: each x_k has labels that it chose. The factor carries it from
    K - 1 folds to K.
    """
    num_folds = without.shape[1]
    deviation = without - without.mean(axis=1, keepdims=True)
    return (num_folds - 1) / num_folds * (deviation**2).sum(axis=1).mean(axis=0)


def keep_rows(metric: Metric, weights: Array, rows: Array) -> Array:
    """Weights of some rows only, the others 0.

    A metric that is no function of six sums may count samples (the 100 most active ones): the
    weights are scaled to the total of all, so that it looks at the same share of the samples.
    """
    kept = jnp.where(rows, weights, 0)
    if metric.finalise is not None:
        return kept  # unchanged by a factor, which would only round its whole numbers
    total = kept.sum()
    return kept * (weights.sum() / jnp.where(total > 0, total, 1))


def sums_of(metric: Metric, prepared: tuple[Any, Any], weights: Array) -> Sums:
    """Six sums of all pairs, with ranks and means under the same weights."""
    f = VIEWS[metric.neuron_view].evaluate(prepared[0], weights)
    c = VIEWS[metric.concept_view].evaluate(prepared[1], weights)
    return weighted_sums(f, c, weights)


def scores_and_sums(
    metric: Metric, prepared: tuple[Any, Any], weights: Array
) -> tuple[Array, Sums]:
    """Similarities [U, C] of a metric of six sums, as its ``score`` gives them, and the sums."""
    sums = sums_of(metric, prepared, weights)
    f, c = VIEWS[metric.neuron_view], VIEWS[metric.concept_view]
    defined = both_vary(f.distinct(prepared[0]), c.distinct(prepared[1]), weights)
    return metric.value(sums, defined), sums


def sums_at(sums: Sums, label: Array) -> Sums:
    """The six sums of each neuron with its label, [U] each."""
    shape = sums.FC.shape
    return Sums(*(at_concept(jnp.broadcast_to(x, shape), label) for x in sums))


def pooled_similarity(metric: Metric, label: Array, found: Sums | Array, weight: Array) -> Array:
    """Mean similarity of the labels of m folds, each measured on all folds that have the label.

    Parameters
    ----------
    metric : Metric
    label : Array [m, U] of int32
        Chosen without the fold, -1 for none.
    found : Sums of Array [m, U], or Array [m, U]
        The six sums of the label on the fold; of a metric that is no function of them its
        similarity, NaN where undefined.
    weight : Array [m]
        Weight of each fold in the mean; a fold of weight 0 is not pooled either.

    Returns
    -------
    Array [U]
        NaN where no label has a similarity.
    """
    if isinstance(found, Sums):
        terms = tuple(found)
    else:
        defined = ~jnp.isnan(found)
        terms = jnp.where(defined, found, 0), defined.astype(found.dtype)

    def neuron(own: tuple[Array, tuple[Array, ...]]) -> Array:
        label, terms = own
        used = (label >= 0) & (weight > 0)
        alike = (label[:, None] == label[None, :]) & used[None, :]
        each = jnp.where(used[:, None], jnp.stack(terms, axis=1), 0)
        pooled = jnp.matmul(alike.astype(each.dtype), each, precision=lax.Precision.HIGHEST).T
        if isinstance(found, Sums):
            value = metric.value(_centred(metric, Sums(*pooled)), used)
        else:
            total, number = pooled
            value = jnp.where(used & (number > 0), total / jnp.maximum(number, 1), jnp.nan)
        return _mean_of_known(value, weight)

    return lax.map(neuron, jax.tree.map(jnp.transpose, (label, terms)), batch_size=NEURONS)


def _mean_of_known(value: Array, weight: Array) -> Array:
    """Weighted mean over the first axis of what is not NaN, exact where all are equal.

    NaN where nothing is left.
    """
    weight = jnp.where(jnp.isnan(value), 0, weight.reshape(-1, *[1] * (value.ndim - 1)))
    total = weight.sum(axis=0)
    highest = jnp.where(weight > 0, value, -jnp.inf).max(axis=0)
    below = jnp.where(weight > 0, weight * (highest[None] - value), 0).sum(axis=0)
    return jnp.where(total > 0, highest - below / jnp.where(total > 0, total, 1), jnp.nan)


def blocks_of_neurons(
    probe: Probe, metric: Metric, num_arrays: int, *, dense: bool = True
) -> Iterator[tuple[slice, Probe]]:
    """Some neurons at a time, so that ``num_arrays`` [U, C] fit; all, if scored jointly.

    Sparse activations are written out where ``dense`` ones are needed.
    """
    width = max(1, TOGETHER // (num_arrays * probe.num_concepts))
    for some, part in probe.in_neurons() if dense else [(slice(0, probe.num_neurons), probe)]:
        if metric.joint or part.num_neurons <= width:
            yield some, part
            continue
        for start in range(0, part.num_neurons, width):
            stop = min(start + width, part.num_neurons)
            yield slice(some.start + start, some.start + stop), part.of_neurons(slice(start, stop))


def _pairs(num_folds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Folds k <= l of each pair, and the pair's place by k and l; k = l leaves one fold out."""
    k, l = (x.astype(np.int32) for x in np.triu_indices(num_folds))
    place = np.zeros((num_folds, num_folds), np.int32)
    place[k, l] = place[l, k] = np.arange(len(k))
    return k, l, place


@partial(jax.jit, static_argnums=(0, 1))
def _fit_sums(
    metric: Metric,
    num_folds: int,
    prepared: tuple[Any, Any],
    weights: Array,
    folds: Array,
    label: Array | None,
) -> tuple[Array, Array]:
    """Value [U] and values without a fold [R, K, U] of a metric of six sums."""
    views = VIEWS[metric.neuron_view], VIEWS[metric.concept_view]
    f, c = (view.evaluate(x, weights) for view, x in zip(views, prepared, strict=True))
    distinct = [view.distinct(x) for view, x in zip(views, prepared, strict=True)]
    first, second, place = _pairs(num_folds)
    every = jnp.arange(num_folds, dtype=jnp.int32)

    def similarity(sums: Sums, defined: Array) -> Array:
        return metric.value(_centred(metric, sums), defined)

    def partition(fold: Array) -> tuple[Array, Array]:
        rows = fold[None, :] == every[:, None]
        sums = lax.map(lambda r: weighted_sums(f, c, jnp.where(r, weights, 0)), rows)
        ends = [lax.map(lambda r, x=x: _ends(x, r & (weights > 0)), rows) for x in distinct]

        def total(keep: Array) -> Sums:
            return jax.tree.map(
                lambda x: jnp.where(keep.reshape(-1, *[1] * (x.ndim - 1)), x, 0).sum(axis=0), sums
            )

        if label is not None:
            varying = [_vary(x, every >= 0) for x in ends]
            defined = (label >= 0) & varying[0] & varying[1][label]

            def measure_given(keep: Array) -> Array:
                return similarity(sums_at(total(keep), label), defined)

            return measure_given(every >= 0), lax.map(lambda k: measure_given(every != k), every)

        def choose(pair: tuple[Array, Array]) -> Array:
            keep = (every != pair[0]) & (every != pair[1])
            varying = [_vary(x, keep) for x in ends]
            return winner(similarity(total(keep), varying[0][:, None] & varying[1][None, :]))

        chosen = lax.map(choose, (first, second))[place]  # [K, K, U]
        size = sums.S

        def measure(labels: Array, weight: Array) -> Array:
            return pooled_similarity(metric, labels, jax.vmap(sums_at)(sums, labels), weight)

        value = measure(jnp.diagonal(chosen, axis1=0, axis2=1).T, size)
        return value, lax.map(lambda k: measure(chosen[k], jnp.where(every == k, 0, size)), every)

    value, without = lax.map(partition, folds)
    return _mean_of_known(value, jnp.ones(len(value), value.dtype)), without


def _centred(metric: Metric, s: Sums) -> Sums:
    """The sums of views that are centred on all samples, about their means on some samples."""
    return about_own_means(s, metric.neuron_view in CENTRED, metric.concept_view in CENTRED)


def _ends(x: Array, rows: Array) -> tuple[Array, Array]:
    """Lowest and highest number of each column of ``x`` [n, d] on some rows."""
    kind = jnp.finfo if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo
    least, most = kind(x.dtype).min, kind(x.dtype).max
    used = rows[:, None]
    return jnp.where(used, x, most).min(axis=0), jnp.where(used, x, least).max(axis=0)


def _vary(ends: tuple[Array, Array], keep: Array) -> Array:
    """Whether each column varies on some folds, from its ends on each of them."""
    low, high = ends  # [K, d]
    kept = keep[:, None]
    return jnp.where(kept, low, low.max()).min(axis=0) < jnp.where(kept, high, high.min()).max(
        axis=0
    )


@partial(jax.jit, static_argnums=(0, 1))
def _fit_scores(
    metric: Metric,
    num_folds: int,
    prepared: tuple[Any, Any],
    weights: Array,
    folds: Array,
    label: Array | None,
) -> tuple[Array, Array]:
    """As :func:`_fit_sums` for any metric, from its scores with and without each fold."""
    first, second, place = _pairs(num_folds)
    every = jnp.arange(num_folds, dtype=jnp.int32)
    whole = metric.score(prepared, weights)

    def partition(fold: Array) -> tuple[Array, Array]:
        def score(k: Array, l: Array) -> Array:
            return metric.score(prepared, keep_rows(metric, weights, (fold != k) & (fold != l)))

        left = lax.map(lambda k: score(k, k), every)  # [K, U, C]
        if label is not None:
            return at_concept(whole, label), jax.vmap(at_concept, (0, None))(left, label)
        size = jax.ops.segment_sum(weights, fold, num_folds)

        def choose(pair: tuple[Array, Array]) -> tuple[Array, Array, Array, Array]:
            k, l = pair
            scores = lax.cond(k == l, lambda: left[k], lambda: score(k, l))
            won = winner(scores)
            return (at_concept(scores, won), at_concept(whole, won),
                    at_concept(left[k], won), at_concept(left[l], won))  # fmt: skip

        inner, outer, with_first, with_second = lax.map(choose, (first, second))

        def mean(small: Array, large: Array, size: Array) -> Array:
            share = jnp.where(size > 0, size / size.sum(), 1)[:, None]
            return _mean_of_known(small + (large - small) / share, size)

        def leave(k: Array) -> Array:
            own = jnp.asarray(place)[k]
            # of the two scores without one fold, the one without fold k
            is_first = (jnp.asarray(first)[own] == k)[:, None]
            large = jnp.where(is_first, with_first[own], with_second[own])
            return mean(inner[own], large, jnp.where(every == k, 0, size))

        own = np.diagonal(place)
        return mean(inner[own], outer[own], size), lax.map(leave, every)

    value, without = lax.map(partition, folds)
    return _mean_of_known(value, jnp.ones(len(value), value.dtype)), without
