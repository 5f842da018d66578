"""Conformal concept sets: how far behind a label must a concept be to leave the set?

The layer's own halves answer. The sampling units are split into halves many times. On one half a
concept c of a neuron has the score

    T(c) = (s_label - s_c) / sigma_c,

the lead of the half's label over it in standard errors, with similarities on the stable scale. The
other half plays the fresh probing set: its label has some score T, recorded for every neuron, every
split and both ways round. The quantile of these scores is what to cut at on all data.

The standard errors come from the halves too. With d the difference of the two halves' values of
s_label - s_c, over 2, the variance on all data is the mean of d^2 over the splits (half-sample
replication: McCarthy, 1969), and that on a half is twice as much. This takes no formula of the
metric, holds for groups and weights, and counts what label and concept have in common. A split has
no part in the standard error of its own scores: the surprise that they record would hide itself.
"""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .bounds import CoverageWarning
from .calibrated import chosen
from .candidates import stable_scale
from .checks import check_key, check_share
from .halves import read_halves
from .metrics import Metric, get_metric
from .probe import Probe
from .sets import ConceptSets, threshold_note
from .similarity import check_joint, winner

__all__ = ["conformal_sets"]

FEWEST = 20  # neurons, below which their average is no statement on a layer
LARGEST = 1e3  # standard errors: a lead without any spread is finite too
TOGETHER = 64  # neurons scored side by side


def conformal_sets(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_splits: int = 40,
    classes: Any = None,
) -> ConceptSets:
    """Sets that hold the label of a fresh probing set, on average over the layer's neurons.

    The sampling units (groups where given, else samples) are split into halves ``num_splits``
    times. On each half a concept's score T is the lead of the half's label over it in standard
    errors, 0 for the label (see the head of this module). Of the m scores of the labels that the
    *other* halves give, pooled over neurons, splits and both directions, q is the
    ``ceil((1 - alpha) (1 + 1 / U) m)``-th smallest, with U the number of neurons that have any. The
    set is ``{c : T(c) <= q}`` with T from all data. Where q does not exist, as for few neurons and
    a small alpha, every set is full.

    On the halves themselves this covers by construction, whatever the score. From there to all data
    and a fresh probing set of that size is a calibration: it supposes that leads in standard errors
    behave alike at both sizes. It speaks of the layer's neurons on average; neurons with close
    rivals are covered less often than those with one clear label. ``classes`` evens this out.

    A similarity that is undefined is no label. A concept that a half lacks has an infinite score
    there, which counts in the pool; for the standard errors it has the neuron's mean similarity.
    Where either half gives a neuron no label there is nothing to compare, and the split is left out
    for that neuron: neurons that are seldom active have less say in q, and the promise is for fresh
    probing sets that give a label. A neuron without a label, or with fewer than two splits in which
    both halves give one, has the full set.

    The cost is that of 2 ``num_splits`` similarities from prepared data. For metrics of 0 and 1
    under equal weights it is much less on a CPU, where rows are counted.

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
    classes : array [U] of int, optional
        Class of each neuron (by activity, say), chosen without a look at its labels; q is then that
        of the neuron's class, U the number of neurons in it, and the average that over the class.

    Returns
    -------
    ConceptSets
        With ``method="conformal"`` and ``target="replication"``; the label is always in.

    Raises
    ------
    ValueError
        If alpha, num_splits or the shape of classes is wrong, or the metric is unknown.

    Warns
    -----
    CoverageWarning
        With scores of fewer than 20 neurons, or of a class: the average is then over few, which
        depend on each other; :func:`concept_sets` speaks of each neuron.

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
    if int(num_splits) != num_splits or num_splits < 2:
        raise ValueError(f"num_splits must be a whole number of at least 2, got {num_splits}")
    num_splits = int(num_splits)
    member = _members(classes, probe.num_neurons)
    metric = get_metric(metric)
    check_key(key)
    check_joint(probe, metric)

    readers = [lambda x: _scores(x.similarity, x.whole, metric=metric)]
    ((recorded, score, label),) = read_halves(key, probe, metric, num_splits, readers)

    recorded = recorded.reshape(len(label), -1)
    cut = np.full(len(label), np.inf)
    few = []
    for name in np.unique(member):
        own = member == name
        pool = recorded[own]
        known = ~np.isnan(pool)
        number = int(known.any(axis=1).sum())
        cut[own] = _quantile(pool[known], alpha, number)
        if number < FEWEST:
            few.append("the layer" if classes is None else f"class {name}")
    if few:
        warnings.warn(
            f"fewer than {FEWEST} neurons with labels on both halves in {', '.join(few)}: "
            "coverage on average over so few says little; use concept_sets for each neuron",
            CoverageWarning,
            stacklevel=2,
        )
    full = (label < 0) | np.isnan(recorded).all(axis=1)
    mask = jnp.asarray((score <= cut[:, None]) | full[:, None])
    mask = mask | chosen(jnp.asarray(label), probe.num_concepts)
    promise = _promise(probe, metric, alpha, classes is not None, few)
    return ConceptSets(mask, jnp.zeros_like(mask), alpha, "conformal", "replication", promise)


def _members(classes: Any, num_neurons: int) -> np.ndarray:
    """Class of each neuron, [U]."""
    if classes is None:
        return np.zeros(num_neurons, int)
    member = np.asarray(classes)
    if member.shape != (num_neurons,) or not np.issubdtype(member.dtype, np.integer):
        raise ValueError(
            f"classes must be one whole number for each of the {num_neurons} neurons, got "
            f"{member.dtype} of shape {member.shape}"
        )
    return member


def _quantile(pool: np.ndarray, alpha: float, num_neurons: int) -> float:
    """The score at which to cut, infinite where there are too few."""
    if num_neurons == 0:
        return math.inf
    rank = math.ceil((1 - alpha) * (1 + 1 / num_neurons) * len(pool) - 1e-9)
    return float(np.sort(pool)[rank - 1]) if rank <= len(pool) else math.inf


def _promise(probe: Probe, metric: Metric, alpha: float, classed: bool, few: list[str]) -> str:
    units = "samples" if probe.groups is None else "groups"
    text = (
        f"sets hold the label of a fresh probing set of the same size for {100 * (1 - alpha):g}% "
        f"of the {'neurons of each class' if classed else 'neurons of the layer'}, on average and "
        f"not for each neuron alone; calibrated on halves of the {units}"
    )
    if few:
        text += f", with fewer than {FEWEST} neurons in {', '.join(few)}, which says little"
    return text + threshold_note(probe, metric)


@partial(jax.jit, static_argnames="metric")
def _scores(halves: Array, whole: Array, *, metric: Metric) -> tuple[Array, Array, Array]:
    """Scores of the other halves' labels, [U, splits, 2], of all concepts, [U, C], and labels, [U].

    Recorded scores are NaN where there is nothing to compare.
    """
    num_splits = halves.shape[1]
    others = ~jnp.eye(num_splits, dtype=bool)[:, :, None]

    def neuron(own: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        similarity, on_all = own
        label = winner(similarity.reshape(2 * num_splits, -1)).reshape(num_splits, 2)
        used = (label >= 0).all(axis=1)
        at, there = jnp.maximum(label, 0), jnp.maximum(label[:, ::-1], 0)
        scaled = stable_scale(metric, similarity)
        typical = jnp.nanmean(scaled, axis=2, keepdims=True)
        known = jnp.where(jnp.isnan(scaled), typical, scaled)
        apart = jnp.where(used[:, None], known[:, 0] - known[:, 1], 0) / 2  # [splits, C]

        def at_concept(concept: Array) -> Array:
            return jnp.take_along_axis(scaled, concept[:, :, None], axis=2)[:, :, 0]

        square = (apart[:, at] - apart[:, there]) ** 2  # [splits, splits, 2]
        number = used.sum().astype(scaled.dtype)
        variance = jnp.where(others, square, 0).sum(axis=0) / jnp.maximum(number - 1, 1)
        recorded = _in_errors(at_concept(at) - at_concept(there), 2 * variance)
        recorded = jnp.where(used[:, None] & (number > 1), recorded, jnp.nan)

        on_all_data = winner(on_all[None])[0]
        best = jnp.maximum(on_all_data, 0)
        scaled_all = stable_scale(metric, on_all)
        square = (apart[:, best][:, None] - apart) ** 2
        variance = square.sum(axis=0) / jnp.maximum(number, 1)
        return recorded, _in_errors(scaled_all[best] - scaled_all, variance), on_all_data

    batch = min(TOGETHER, halves.shape[0])
    return lax.map(neuron, (halves, whole), batch_size=batch)


def _in_errors(lead: Array, variance: Array) -> Array:
    """A lead in standard errors, at most :data:`LARGEST`; infinite where it is undefined."""
    error = jnp.sqrt(variance)
    score = jnp.where(error > 0, lead / jnp.where(error > 0, error, 1), jnp.inf)
    score = jnp.where(lead > 0, jnp.minimum(score, LARGEST), 0)
    return jnp.where(jnp.isnan(lead), jnp.inf, score)
