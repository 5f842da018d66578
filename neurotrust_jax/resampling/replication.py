"""Probability of replication: would a fresh probing set of the same size give the same label?

The share of bootstrap replicates that agree with the label overstates it, since replicates repeat
the data's own luck. Here the layer's own data answer: one half of the sampling units plays the
probing set and the other half the fresh one, and likewise for quarters.

**Features.** On a part of the data, whether a half, a quarter or all, T(c) is the lead of the
part's label over concept c in standard errors, on the stable scale. Two numbers describe a neuron:

    lead = min over c of T(c), at most 6,      rivals = log(1 + sum over c of exp(-T(c)^2 / 4)).

A fresh lead is spread about the measured one with variance 1 + 1, so exp(-T^2 / 4) is the
likelihood of a fresh tie relative to that of the lead seen: the sum counts rivals. The variances
come from the differences between halves, as in :mod:`.conformal`, and are doubled
for halves and taken four times for quarters; a split has no part in those of its own halves.

**Fit.** Where both parts give a label, P(they agree) is the logistic function of
``a_m + (b1 + b3 log2(m/n)) lead + b2 rivals``, with an intercept a_m for each size m. A lead tells
more on more data, above all for metrics of ranks. The coefficients of real layers are alike
(:data:`TYPICAL`), so the fit is a penalised one that starts from there: a small layer leans on
them, a large one on its own data.

**From halves and quarters to all data.** Two rules extrapolate from n/4 and n/2 to n. The first
continues the intercepts by nine tenths of their last step,

    a_n = a_{n/2} + 0.9 (a_{n/2} - a_{n/4}).

The second continues the log-odds of the layer's mean agreement in the same way and takes the
intercept that gives this mean. The first errs where the features of parts differ from those of all
data, the second where the steps of the log-odds differ; the mean of the two is better than either.
Steps are damped because they shrink as agreement rises: rare agreement is in proportion to n, a
step of log 2, and rare disagreement to n^(-1/2), a step of half of that.

Last, a fresh probing set may give no label. A share r of halves without one makes it a share r^2
of sets twice as large (absence is geometric in the size), and the probability is multiplied by
1 - r^2.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import stable_scale
from .._runtime.validation import check_count, check_key
from ..faithfulness.bounds import CoverageWarning
from ..metrics.metric import Metric
from ..metrics.scores import check_joint, winner
from ..metrics.table import get_metric
from ..probing.probe import Probe
from .halves import Differences, OnHalves, read_halves
from .logistic import Observations, fit, intercept, log_odds, logistic
from .trend import DAMPING, FARTHEST, Trend

__all__ = [
    "Replication",
    "answer_numbers",
    "deals_for",
    "parts_reader",
    "probability_of",
    "replication_probability",
    "replication_trend",
]

FEWEST_NEURONS = 20
FEWEST_UNITS = 8  # so that a quarter has two
SPLITS_A_DEAL = 10  # four quarters cost as much as two splits
TYPICAL = (0.8, 0.8, -0.7, 0.0)  # a_m, b1, b2, b3 in layers of all kinds
PENALTY = (1.0, 0.3, 0.3, 5.0)  # of (difference from typical)^2 / 2, where a neuron weighs 1
TOGETHER = 64  # neurons side by side
NEURONS = 4096  # whose parts are written out at a time for the regression


class Replication(NamedTuple):
    """The probability of replication of a layer's labels.

    Attributes
    ----------
    probability : numpy.ndarray [U]
        NaN where the neuron has no label.
    trend : Trend
        How it grows with the probing set.
    shortage : str
        What is too small for a calibration; empty where nothing is.
    """

    probability: np.ndarray
    trend: Trend
    shortage: str


class _Parts(NamedTuple):
    """Features of the parts of one size, [U, parts, 2], and agreement with the others, [U, parts].

    The agreement is NaN where the part, or all others of its split, give no label.
    """

    feature: Array
    agreement: Array


def replication_probability(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    num_splits: int = 40,
    answers: Any = None,
) -> Array:
    """Probability that a fresh probing set of the same size gives each neuron the same label.

    It is calibrated on the layer's own halves and quarters (see the head of this module): of the
    labels with probability 0.9, about nine in ten come out again on fresh data. This holds on
    average over the layer's neurons, and is a calibration and not a theorem. A fresh set in which
    the neuron has no label does not replicate it. Concepts with one and the same column are no
    rivals of each other, since the first of them is always the label.

    The cost is that of about ``2.4 num_splits`` similarities from prepared data, 96 by default. It
    is less for AUROC, whose ranks on all parts follow from one sorted order, and on a CPU for
    metrics of 0 and 1 under equal weights, where rows are counted.

    Parameters
    ----------
    key : JAX PRNG key
        For the splits. Its halves are those of :func:`conformal_sets` with the same key.
    probe : Probe
        Halves and quarters are of its groups where it has them, else of its samples.
    metric : str or Metric
    num_splits : int
        Splits into halves, at least 2; a tenth as many deals into quarters.
    answers : array [C] of int, optional
        Concepts of one number are one answer: the probability is then that a fresh probing set
        gives the label or another of its answer. Default: each concept is its own.

    Returns
    -------
    Array [U]
        In [0, 1]; NaN where the neuron has no label.

    Raises
    ------
    ValueError
        If num_splits is below 2, answers does not have one number for each concept, the key is not
        one JAX key, or the metric is unknown.

    Warns
    -----
    CoverageWarning
        With fewer than 20 neurons that have labels on halves, or fewer than 8 sampling units. The
        probability then follows from what is typical of other layers more than from this one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((500, 5)) < 0.2
    >>> strength = np.repeat([3.0, 0.0], 15)  # half of the neurons mean nothing
    >>> activations = rng.normal(size=(500, 30)) + strength * concepts[:, np.arange(30) % 5]
    >>> probe = nt.make_probe(activations, concepts, thresholds=1.5)
    >>> probability = nt.replication_probability(jax.random.key(0), probe, "iou")
    >>> bool(probability[:15].min() > 0.95), bool(probability[15:].mean() < 0.5)
    (True, True)
    """
    found = _replication(key, probe, metric, num_splits, answers)
    return jax.device_put(found.probability)


def replication_trend(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    num_splits: int = 40,
    answers: Any = None,
) -> Trend:
    """How the probability of replication grows with the probing set: a forecast for larger ones.

    Arguments, errors and warnings are those of :func:`replication_probability`, and so is the cost.

    Returns
    -------
    Trend
        Its method ``probability(num_units)`` gives the probabilities for larger probing sets.
    """
    return _replication(key, probe, metric, num_splits, answers).trend


def _replication(
    key: Array, probe: Probe, metric: str | Metric, num_splits: int, answers: Any
) -> Replication:
    num_splits = check_count(num_splits, "num_splits", least=2)
    metric = get_metric(metric)
    check_key(key)
    check_joint(probe, metric)
    reader = parts_reader(metric, answer_numbers(answers, probe.num_concepts))
    (observed,) = read_halves(
        key, probe, metric, num_splits, [reader], num_deals=deals_for(num_splits)
    )
    found = probability_of(observed, probe)
    if found.shortage:
        warnings.warn(found.shortage, CoverageWarning, stacklevel=3)
    return found


def deals_for(num_splits: int) -> int:
    """How many deals into quarters go with a number of splits into halves."""
    return -(-num_splits // SPLITS_A_DEAL)


def parts_reader(metric: Metric, answers: np.ndarray) -> Callable[[OnHalves], Any]:
    """Reader of halves and quarters for :func:`probability_of`; ``answers`` [C] of int32."""

    def read(x: OnHalves) -> Any:
        on_all, on_quarters = x.whole, (x.quarters, x.quarter_label)
        return _observe(x.differences, x.label, on_all, on_quarters, answers, metric=metric)

    return read


def probability_of(observed: Any, probe: Probe) -> Replication:
    """The probability of replication, where parts were read before."""
    observed = jax.tree.leaves(observed)  # in the order of :func:`_observe`
    on_halves, on_quarters = _Parts(*observed[:2]), _Parts(*observed[2:4])
    feature, label, missing = observed[4:]
    labelled = label >= 0
    found, weights, means, number = _calibrated(on_halves, on_quarters, feature[labelled])
    probability = np.full(label.shape, np.nan, probe.weights.dtype)
    probability[labelled] = found * (1 - missing[labelled] ** 2)
    lead, rivals = np.where(labelled[:, None], feature, np.nan).T
    trend = Trend(
        num_units=probe.num_units, lead=lead, rivals=rivals, missing=np.asarray(missing),
        coefficients=weights, agreement=means,
    )  # fmt: skip
    units, shortage = probe.unit_name, ""
    if number < FEWEST_NEURONS or probe.num_units < FEWEST_UNITS:
        shortage = (
            f"labels on halves of {probe.num_units} {units} for {number} neurons; a calibration "
            f"needs {FEWEST_UNITS} {units} and {FEWEST_NEURONS} neurons: the probability of "
            "replication leans on what is typical of other layers"
        )
    return Replication(probability, trend, shortage)


def answer_numbers(answers: Any, num_concepts: int) -> np.ndarray:
    """Number of the answer that each concept is, [C] of int32."""
    if answers is None:
        return np.arange(num_concepts, dtype=np.int32)
    found = np.asarray(answers)
    if found.shape != (num_concepts,) or not np.issubdtype(found.dtype, np.integer):
        raise ValueError(
            f"answers must be one whole number for each of the {num_concepts} concepts, got "
            f"{found.dtype} of shape {list(found.shape)}"
        )
    return np.unique(found, return_inverse=True)[1].astype(np.int32)


class _Spread(NamedTuple):
    """Differences of the halves of a neuron, which give the standard errors of leads.

    Attributes
    ----------
    apart : Array [splits, C]
    square : Array [C]
        Their squares, summed over the splits.
    used : Array [splits] of bool
    answers : Array [C] of int32
        Number of the answer that each concept is.
    """

    apart: Array
    square: Array
    used: Array
    answers: Array

    def features(self, scaled: Array, label: Array, share: np.ndarray, split: np.ndarray) -> Array:
        """Lead and rivals of the labels [P] of parts with similarities [P, C].

        ``share`` [P] is how many such parts make up the data, and ``split`` [P] the split that a
        part is a half of, which tells nothing about it; -1 for none.
        """
        apart, square, used, answers = self
        dtype = scaled.dtype
        tiny = 64 * float(jnp.finfo(dtype).eps)
        at = jnp.maximum(label, 0)
        of_label = apart[:, at]  # [splits, P]
        together = jnp.matmul(of_label.T, apart, precision=lax.Precision.HIGHEST)
        size = square[at][:, None] + square[None, :]
        own = of_label[split, np.arange(len(split), dtype=np.int32)]
        own_square = jnp.where(split[:, None] >= 0, (own[:, None] - apart[split]) ** 2, 0)
        total = size - 2 * together - own_square
        number = used.sum().astype(dtype) - jnp.where(split >= 0, used[split].astype(dtype), 0)
        varies = total > tiny * size
        times = jnp.asarray(share[:, None], dtype)
        error = jnp.sqrt(jnp.where(varies, times * total, 1) / jnp.maximum(number, 1)[:, None])
        lead = jnp.take_along_axis(scaled, at[:, None], axis=1) - scaled
        # without any spread, equal columns are no rivals, but what is never seen to vary may be
        clear = jnp.where((size > 0) | (lead > 0), jnp.inf, 0)
        score = jnp.where(varies, lead / error, clear)
        score = jnp.where((number > 0)[:, None], score, 0)
        same = answers[None, :] == answers[at][:, None]
        score = jnp.where(jnp.isnan(lead) | same, jnp.inf, score)
        near = jnp.exp(-(score**2) / 4).sum(axis=1)
        return jnp.stack([jnp.clip(score.min(axis=1), 0, FARTHEST), jnp.log1p(near)], axis=1)


@partial(jax.jit, static_argnames="metric")
def _observe(
    differences: Differences,
    labels: Array,
    whole: Array,
    quarters: tuple[Array, Array],
    answers: Array,
    *,
    metric: Metric,
) -> tuple[_Parts, _Parts, Array, Array, Array]:
    """Parts on halves and quarters, features of all data [U, 2], labels [U], unlabelled halves.

    The last is the share of the halves that give no label, [U].
    """
    num_neurons, num_splits, _ = labels.shape
    num_concepts = whole.shape[1]
    numbers = num_halves, num_quarters, _ = 2 * num_splits, quarters[1][0].size, 1
    share = np.repeat((2, 4, 1), numbers)
    split = np.concatenate([np.arange(num_halves) // 2, np.full(num_quarters + 1, -1)])
    split = split.astype(np.int32)

    def answer(label: Array) -> Array:
        return jnp.where(label >= 0, answers[jnp.maximum(label, 0)], -1)

    def neuron(own: tuple[Any, ...]) -> tuple[_Parts, _Parts, Array, Array, Array]:
        (used, scaled, apart), label, on_all, (on_quarters, dealt) = own
        best = winner(on_all[None])
        measured = _Spread(apart, (apart**2).sum(axis=0), used, answers)
        others = jnp.concatenate([on_quarters.reshape(-1, num_concepts), on_all[None]])
        features = measured.features(
            jnp.concatenate([scaled.reshape(-1, num_concepts), stable_scale(metric, others)]),
            jnp.concatenate([label.reshape(-1), dealt.reshape(-1), best]), share, split,
        )  # fmt: skip
        given = answer(label)
        agree = (given[:, 0] == given[:, 1]).astype(whole.dtype)
        agree = jnp.repeat(jnp.where(used, agree, jnp.nan), 2)

        given = answer(dealt)
        same = (given[:, :, None] == given[:, None, :]).sum(axis=2) - 1
        others = (dealt >= 0).sum(axis=1, keepdims=True) - 1
        shares = same.astype(whole.dtype) / jnp.maximum(others, 1).astype(whole.dtype)
        shares = jnp.where((dealt >= 0) & (others > 0), shares, jnp.nan)
        return (
            _Parts(features[:num_halves], agree),
            _Parts(features[num_halves:-1], shares.reshape(-1)),
            features[-1],
            best[0],
            (label < 0).mean(dtype=whole.dtype),
        )

    batch = min(TOGETHER, num_neurons)
    return lax.map(neuron, (differences, labels, whole, quarters), batch_size=batch)


def _calibrated(
    halves: _Parts, quarters: _Parts, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """P(the label is the same, if there is one) from features of all data, [labelled neurons].

    The others are b1 to b3, the means of such probabilities on quarters, halves and all data, which
    are NaN where halves or quarters give no labels, and the number of neurons with labels on both
    halves of some split.
    """
    both = halves, quarters
    known = [int((~np.isnan(x.agreement)).sum()) for x in both]
    # each size weighs as much as it has neurons
    number = [int((~np.isnan(x.agreement)).any(axis=1).sum()) for x in both]

    def observed(size: int) -> Iterator[Observations]:
        every = both[size]
        for start in range(0, len(every.agreement), NEURONS):
            feature, agreement = (np.asarray(x[start : start + NEURONS]) for x in every)
            told = ~np.isnan(agreement)
            rows = np.zeros((int(told.sum()), 5))  # two intercepts, and b1 to b3
            rows[:, size] = 1
            rows[:, 2:4] = feature[told]
            rows[:, 4] = -(size + 1) * rows[:, 2]
            weight = number[size] / max(known[size], 1)
            yield Observations(rows, agreement[told], np.full(len(rows), weight))

    typical, penalty = (np.array([x[0], *x]) for x in (TYPICAL, PENALTY))
    found = fit(lambda: itertools.chain(observed(0), observed(1)), typical, penalty)
    score = whole.astype(float) @ found[2:4]
    if min(number) == 0 or len(score) == 0:
        return logistic(found[0] + score), found[2:], np.full(3, np.nan), number[0]
    on_halves, on_quarters = (
        sum(float(logistic(x.design @ found).sum()) for x in observed(size)) / known[size]
        for size in (0, 1)
    )
    first, second = log_odds(on_halves), log_odds(on_quarters)
    continued = found[0] + DAMPING * (found[0] - found[1])
    matching = intercept(score, logistic(first + DAMPING * (first - second)))
    probability = logistic((continued + matching) / 2 + score)
    means = np.array([on_quarters, on_halves, probability.mean()])
    return probability, found[2:], means, number[0]
