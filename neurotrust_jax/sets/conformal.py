"""Conformal concept sets: how far behind the label must a concept be to leave the set?

The distance is calibrated on halves of the probing set. The sampling units are split into halves
many times. On one half a concept c of a neuron has the score

    T(c) = (s_label - s_c) / sigma_c,

the lead of the half's label over it in standard errors, with similarities on the stable scale. The
other half plays the fresh probing set: its label has some score T, recorded for every neuron, every
split and both directions. The quantile of these scores is the cut on all data.

The standard errors come from the halves too. With d the difference of the two halves' values of
s_label - s_c, over 2, the variance on all data is the mean of d^2 over the splits (half-sample
replication: McCarthy, 1969), and that on a half is twice as much. This takes no formula of the
metric, holds for groups and weights, and includes the correlation of label and concept. A split is
left out of the standard errors of its scores, since a surprising split would otherwise inflate the
standard error that its score is divided by.

One quantile for a whole layer would cover neurons with a clear label more often than those with
close rivals. Where there are enough neurons each quantile is that of a class of neurons: those
whose lead over the runner-up has a similar rank within the layer. Leads grow with the number of
samples, ranks do not, so the halves have the same classes as all data.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import stable_scale
from .._runtime.validation import check_count, check_key, check_share
from ..faithfulness.bounds import CoverageWarning
from ..metrics.metric import Metric
from ..metrics.scores import check_joint, winner
from ..metrics.table import get_metric
from ..probing.probe import Probe
from ..probing.sample_weights import effective_size
from ..resampling.halves import Differences, OnHalves, read_halves
from .rule import ConceptSets, threshold_note

__all__ = ["conformal_of", "conformal_sets", "scores_reader"]

FEWEST = 20  # neurons; the average over fewer is no statement on a layer
FEWEST_UNITS = 30  # sampling units of equal weight; sets of 90% held 82% with 12, 88% with 20
CLASS = 100  # fewest neurons of a class by lead
LARGEST = 1e3  # standard errors; it makes a lead without any spread finite
TOGETHER = 64  # neurons scored side by side


def conformal_sets(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_splits: int = 40,
    classes: Any = "lead",
) -> ConceptSets:
    """Sets that hold the label of a fresh probing set, on average over the layer's neurons.

    The sampling units (groups where given, else samples) are split into halves ``num_splits``
    times. On each half a concept's score T is the lead of the half's label over it in standard
    errors, 0 for the label (see the head of this module). Of the m scores of the labels that the
    *other* halves give, pooled over the neurons of a class, splits and both directions, q is the
    ``ceil((1 - alpha) (1 + 1 / U) m)``-th smallest, with U the number of neurons in the class that
    have any. The set is ``{c : T(c) <= q}`` with T from all data. Where q does not exist, as for
    few neurons and a small alpha, every set is full.

    On the halves this covers by construction, whatever the score. The step from halves to all data
    is a calibration: it supposes that leads in standard errors behave alike at both sizes. The
    promise is for the average neuron of a class. Within a class, neurons with close rivals are
    covered less often than those with one clear label.

    A similarity that is undefined is no label. A concept that a half lacks has an infinite score
    there, which counts in the pool; for the standard errors it has the neuron's mean similarity.
    Where either half gives a neuron no label there is nothing to compare, and the split is left out
    for that neuron. So neurons that are seldom active have less weight in q, and the promise is for
    fresh probing sets that give a label. A neuron without a label, or with fewer than two splits in
    which both halves give one, has the full set.

    Concepts in very few sampling units are the weak point, since a fresh probing set that happens
    to have more of them may give one of these as label. Leave them out with ``min_positives`` of
    :func:`make_probe`, as an audit does.

    The cost is that of 2 ``num_splits`` similarities from prepared data. It is less for AUROC,
    whose ranks on all halves follow from one sorted order, and on a CPU for metrics of 0 and 1
    under equal weights, where rows are counted.

    Parameters
    ----------
    key : JAX PRNG key
        For the splits.
    probe : Probe
    metric : str or Metric
    alpha : float in (0, 1)
        The fresh label may be outside the sets of this share of the neurons.
    num_splits : int
        Splits into halves, at least 2.
    classes : "lead", None, or array [U] of int
        Neurons that share one q. By default those with similar leads of the label over the
        runner-up, by rank within the layer, in as many classes of equal size as can have 100
        neurons each: a single one for a layer of fewer than 200. On a half a neuron is in the class
        of its rank there. None takes the whole layer as one class. An array gives the class of each
        neuron (by activity, say), chosen without a look at its labels.

    Returns
    -------
    ConceptSets
        With ``method="conformal"`` and ``target="replication"``; the label is always in, and
        ``score`` has T.

    Raises
    ------
    ValueError
        If alpha, num_splits or classes is out of range, or the metric is unknown.

    Warns
    -----
    CoverageWarning
        With fewer than 30 sampling units, or unequal ones worth fewer, whose halves are too small.
        With scores of fewer than 20 neurons in the layer or in a class: then the average is over a
        few neurons, which depend on each other, and q is large or does not exist. Calibrated
        :func:`concept_sets` with ``target="replication"`` speak of each neuron.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((500, 5)) < 0.2
    >>> activations = rng.normal(size=(500, 30)) + 3 * concepts[:, np.arange(30) % 5]
    >>> probe = nt.make_probe(activations, concepts, thresholds=1.5)
    >>> sets = nt.conformal_sets(jax.random.key(0), probe, "iou", alpha=0.1)
    >>> float(sets.size.mean())
    1.0
    """
    check_share(alpha, "alpha")
    num_splits = check_count(num_splits, "num_splits", least=2)
    _given_classes(classes, probe.num_neurons)  # validate early
    metric = get_metric(metric)
    check_key(key)
    check_joint(probe, metric)

    (scores,) = read_halves(key, probe, metric, num_splits, [scores_reader(metric)])
    sets, shortage = conformal_of(scores, probe, metric, alpha, classes)
    if shortage:
        warnings.warn(
            f"{shortage}: conformal sets may hold the label less often than {1 - alpha:g}; for "
            'each neuron use concept_sets(bootstrap(...), target="replication")',
            CoverageWarning,
            stacklevel=2,
        )
    return sets


def scores_reader(metric: Metric) -> Callable[[OnHalves], Any]:
    """Reader of halves for :func:`conformal_of`."""
    return lambda x: _scores(x.similarity, x.label, x.differences, x.whole, metric=metric)


def conformal_of(
    scores: Any, probe: Probe, metric: Metric, alpha: float, classes: Any = "lead"
) -> tuple[ConceptSets, str]:
    """Conformal sets from scores of halves, and what is too small for them, in words or empty."""
    given = _given_classes(classes, probe.num_neurons)
    recorded, lead, score, lead_on_all, label = scores
    known = ~np.isnan(recorded)
    usable = known.any(axis=(1, 2))
    full = (label < 0) | ~usable
    if given is None:
        number = max(int((~full).sum()) // CLASS, 1) if classes is not None else 1
        own = _classes_by_lead(np.where(full, np.nan, lead_on_all), number)
        drawn = _classes_by_lead(lead, number)
    else:
        own = given
        drawn = np.broadcast_to(given[:, None, None], recorded.shape)
    cut = np.full(len(label), np.inf)
    few = []
    for name in np.unique(own):
        inside = own == name
        size = int((inside & usable).sum())
        cut[inside] = _quantile(recorded[known & (drawn == name)], alpha, size)
        if size < FEWEST:
            few.append("the layer" if given is None else f"class {name}")
    mask = (score <= cut[:, None]) | full[:, None]
    mask |= np.arange(probe.num_concepts)[None, :] == label[:, None]
    if given is not None:
        among = "each class"
    else:
        among = "the layer" if number == 1 else f"each of {number} classes of similar lead"
    shortage = []
    if few:
        shortage.append(
            f"fewer than {FEWEST} neurons with labels on both halves in {', '.join(few)}"
        )
    worth = effective_size(probe.weights, probe.groups)
    if worth < FEWEST_UNITS:
        even = f", worth {worth:.0f} of equal size" if round(worth) < probe.num_units else ""
        shortage.append(
            f"only {probe.num_units} {probe.unit_name}{even}, of {FEWEST_UNITS} that are needed"
        )
    lacking = " and ".join(shortage)
    promise = _promise(probe, metric, alpha, among, lacking)
    on_device = map(jax.device_put, (mask, np.zeros_like(mask), score))
    mask, untested, score = on_device
    sets = ConceptSets(mask, untested, alpha, "conformal", "replication", promise, score)
    return sets, lacking


def _given_classes(classes: Any, num_neurons: int) -> np.ndarray | None:
    """The class of each neuron that the caller gives, [U], or None."""
    if classes is None or (isinstance(classes, str) and classes == "lead"):
        return None
    member = np.asarray(classes)
    if member.shape != (num_neurons,) or not np.issubdtype(member.dtype, np.integer):
        given = f"{member.dtype} of shape {member.shape}"
        what = repr(classes) if isinstance(classes, str) else given
        raise ValueError(
            f'classes must be "lead", None, or one whole number for each of the {num_neurons} '
            f"neurons, got {what}"
        )
    return member


def _classes_by_lead(lead: np.ndarray, number: int) -> np.ndarray:
    """Class of each neuron by the rank of its lead among those that have one, [U, ...] of int."""
    count = (~np.isnan(lead)).sum(axis=0)
    rank = lead.argsort(axis=0, kind="stable").argsort(axis=0)  # NaN is last
    return np.minimum(rank * number // np.maximum(count, 1), number - 1)


def _quantile(pool: np.ndarray, alpha: float, num_neurons: int) -> float:
    """The score at which to cut, infinite where there are too few."""
    if num_neurons == 0:
        return math.inf
    rank = math.ceil((1 - alpha) * (1 + 1 / num_neurons) * len(pool) - 1e-9)
    return float(np.sort(pool)[rank - 1]) if rank <= len(pool) else math.inf


def _promise(probe: Probe, metric: Metric, alpha: float, among: str, lacking: str) -> str:
    text = (
        f"sets hold the label of a fresh probing set of the same size for {100 * (1 - alpha):g}% "
        f"of the neurons of {among}, on average and not for each neuron alone; calibrated on "
        f"halves of the {probe.unit_name}"
    )
    if lacking:
        text += f", from {lacking}, which says little"
    return text + threshold_note(probe, metric)


@partial(jax.jit, static_argnames="metric")
def _scores(
    halves: Array, labels: Array, differences: Differences, whole: Array, *, metric: Metric
) -> tuple[Array, Array, Array, Array, Array]:
    """Scores on halves and on all data, with the label's lead over the runner-up.

    On the halves: scores of the labels that the other halves give, and leads, both
    [U, splits, 2] and NaN where there is nothing to compare. On all data: scores of all concepts
    [U, C], leads [U], and labels [U].
    """
    num_splits = halves.shape[1]
    others = ~jnp.eye(num_splits, dtype=bool)[:, :, None]

    def neuron(own: tuple[Any, ...]) -> tuple[Array, Array, Array, Array, Array]:
        similarity, label, (used, scaled, apart), on_all = own
        at = jnp.maximum(label, 0)
        number = used.sum().astype(scaled.dtype)

        def lead_over(concept: Array) -> Array:
            square = (apart[:, at] - apart[:, concept]) ** 2  # [splits, splits, 2]
            variance = jnp.where(others, square, 0).sum(axis=0) / jnp.maximum(number - 1, 1)
            of_label, of_concept = (
                jnp.take_along_axis(scaled, x[:, :, None], axis=2)[:, :, 0] for x in (at, concept)
            )
            # 0 for the label itself, which compiled code may compute twice and round differently
            behind = jnp.where(concept == at.astype(concept.dtype), 0, of_label - of_concept)
            lead = _in_errors(behind, 2 * variance)
            return jnp.where(used[:, None] & (number > 1), lead, jnp.nan)

        label_on_all = winner(on_all[None])[0]
        best = jnp.maximum(label_on_all, 0)
        scaled_all = stable_scale(metric, on_all)
        square = (apart[:, best][:, None] - apart) ** 2
        variance = square.sum(axis=0) / jnp.maximum(number, 1)
        # two computations of one value on the scale may be rounded differently
        lead = jnp.where(on_all == on_all[best], 0, scaled_all[best] - scaled_all)
        score = _in_errors(lead, variance)
        return (
            lead_over(at[:, ::-1]), lead_over(_runner_up(similarity, at)),
            score, score[_runner_up(on_all, best)], label_on_all,
        )  # fmt: skip

    batch = min(TOGETHER, halves.shape[0])
    return lax.map(neuron, (halves, labels, differences, whole), batch_size=batch)


def _runner_up(similarity: Array, label: Array) -> Array:
    """The most similar concept but the label, [..., C] to [...]."""
    rival = ~jax.nn.one_hot(label, similarity.shape[-1], dtype=bool)
    return jnp.where(rival & ~jnp.isnan(similarity), similarity, -jnp.inf).argmax(axis=-1)


def _in_errors(lead: Array, variance: Array) -> Array:
    """A lead in standard errors, at most :data:`LARGEST`; infinite where it is undefined."""
    error = jnp.sqrt(variance)
    score = jnp.where(error > 0, lead / jnp.where(error > 0, error, 1), jnp.inf)
    score = jnp.where(lead > 0, jnp.minimum(score, LARGEST), 0)
    return jnp.where(jnp.isnan(lead), jnp.inf, score)
