"""The one-against-all test on replicates: which concepts of a neuron can not be ruled out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import MAX_CANDIDATES, LabellingMethod, at_top, stable_scale
from .._numerics.packing import round_up_shape
from ..faithfulness.bounds import Level, intervals_at
from ..faithfulness.certificates import LOWER_SHARE
from ..faithfulness.evidence import student_ratio
from ..metrics.table import Metric
from ..probing.probe import Probe
from ..resampling.bootstrapping import Bootstrap

__all__ = ["BoundOptions", "calibrated_sets", "chosen", "replicate_rank"]

LIST_LENGTHS = (8, 32, 128, MAX_CANDIDATES)  # to which lists of candidates are filled up
RIVAL_UNITS = 20.0  # effective units of a rival, where the most similar candidate has as many
FIRST_STEP = 0.1  # share of alpha that bounds how far rivals may truly be ahead


class BoundOptions(NamedTuple):
    """How bounds are made, see :func:`neurotrust_jax.intervals`."""

    method: str = "auto"
    activation_range: tuple[Any, Any] | None = None
    largest_unit: float | None = None


def replicate_rank(level: float, num_replicates: int) -> int:
    """Which of the replicates in ascending order is at least the quantile of the level."""
    return max(1, math.ceil(level * (num_replicates + 1) * (1 - 1e-9)))


@partial(jax.jit, static_argnames="num_concepts")
def chosen(label: Array, num_concepts: int) -> Array:
    """The observed label, [U, C] of bool."""
    return jnp.arange(num_concepts, dtype=jnp.int32)[None, :] == label[:, None]


class Followed(NamedTuple):
    """The candidates of every neuron, on the stable scale.

    Attributes
    ----------
    replicates : Array [U, K, B]
        NaN where undefined.
    similarity, evidence : Array [U, K]
    present : Array [U, K] of bool
        Whether there is a candidate.
    """

    replicates: Array
    similarity: Array
    evidence: Array
    present: Array


def calibrated_sets(
    boot: Bootstrap, alpha: float, target: str, options: BoundOptions
) -> tuple[Array, Array]:
    """The sets, and which of their members no test has looked at, [U, C] of bool each."""
    num_replicates = boot.num_replicates
    beta = FIRST_STEP * alpha
    first = replicate_rank(1 - beta, num_replicates)
    if first > num_replicates or target == "replication":  # one step, with all of alpha
        beta, first = 0.0, 0
    rank = replicate_rank(1 - alpha + beta, num_replicates)
    full = rank > num_replicates
    level = min(rank, num_replicates)
    settle = partial(_calibrated, rank=level, first=first, replication=target == "replication")
    tested = _over_lists(boot, settle, False)
    kept, untested = _by_replicates(boot.candidates, tested, boot.thin, boot.excluded)
    if target == "best" and isinstance(boot.definition, Metric) and isinstance(boot.probe, Probe):
        kept, untested = _by_bounds(boot, kept, untested, alpha, options)
    return _joined(kept, untested, boot.label, full)


def _by_bounds(
    boot: Bootstrap, kept: Array, untested: Array, alpha: float, options: BoundOptions
) -> tuple[Array, Array]:
    """The sets after bounds for every sample size have spoken on the untested concepts.

    Where replicates of the label tell something, an untested concept is ruled out if its upper
    bound is below the largest of the lower bounds that replicates give the others. Where they do
    not, the test has no leader to compare with, and the set is that of the certificate. Its members
    count as tested if they are the label alone, or if the label is at the top of the metric's range
    and not merely on too little evidence.
    """
    assert isinstance(boot.probe, Probe)
    assert isinstance(boot.definition, Metric)
    thin_label = at_label(boot.thin, boot.label)
    if not bool(untested.any() | thin_label.any()):
        return kept, untested
    scarce = thin_label & ~at_label(at_top(boot.definition, boot.similarity), boot.label)
    levels = [
        Level(LOWER_SHARE * alpha, "concepts", "lower"),
        Level((1 - LOWER_SHARE) * alpha, "none", "upper"),
    ]
    low, high = intervals_at(boot.probe, boot.definition, levels, *options)
    if high.asymptotic:  # such bounds say nothing on few positives
        return kept, untested
    rank = replicate_rank(1 - LOWER_SHARE * alpha, boot.num_replicates)
    floor = np.full(len(boot.label), -np.inf)
    if rank <= boot.num_replicates:
        floor = _over_lists(boot, partial(_limits, rank=rank), -np.inf).max(axis=1)
    reaching = stable_scale(boot.definition, high.upper) >= floor[:, None]
    ends = low.lower, high.upper
    return _with_bounds(kept, untested, reaching, *ends, thin_label[:, None], scarce[:, None])


@jax.jit
def _with_bounds(
    kept: Array,
    untested: Array,
    reaching: Array,
    lower: Array,
    upper: Array,
    thin_label: Array,
    scarce: Array,
) -> tuple[Array, Array]:
    certified = upper >= lower.max(axis=1, keepdims=True)
    several = certified.sum(axis=1, keepdims=True) > 1
    untested = jnp.where(thin_label, certified & several & scarce, untested & reaching)
    return jnp.where(thin_label, certified, kept), untested


@jax.jit
def at_label(values: Array, label: Array) -> Array:
    """Of booleans [U, C] the one of each neuron's label, False without one: [U]."""
    found = jnp.take_along_axis(values, jnp.maximum(label, 0)[:, None], axis=1)[:, 0]
    return found & (label >= 0)


def _over_lists(boot: Bootstrap, fn: Callable[[Followed], Array], empty: Any) -> np.ndarray:
    """``fn(followed) -> [u, k]`` of all neurons, as [U, K]; ``empty`` where there is no candidate.

    Neurons with lists of about one length go together: a single neuron that has many candidates
    would else make all lists as long as its own.
    """
    candidates = np.asarray(boot.candidates)
    length = (candidates >= 0).sum(axis=1)
    begin = np.cumsum(length) - length
    result = np.full(candidates.shape, empty)
    similarity = np.asarray(stable_scale(boot.definition, boot.similarity))
    evidence = np.asarray(boot.evidence)
    lists = sorted({min(width, candidates.shape[1]) for width in LIST_LENGTHS})
    for shorter, width in itertools.pairwise([0, *lists]):
        (own,) = np.nonzero((length > shorter) & (length <= width))
        if len(own) == 0:
            continue
        some = np.resize(own, round_up_shape(len(own)))
        place = np.arange(width)[None, :]
        present = place < length[some][:, None]
        column = np.where(present, candidates[some][:, :width], 0)
        row = np.where(present, begin[some][:, None] + place, 0)
        followed = Followed(
            _scaled_rows(boot.replicates, row, metric=boot.definition),
            jax.device_put(np.take_along_axis(similarity[some], column, axis=1)),
            jax.device_put(np.take_along_axis(evidence[some], column, axis=1)),
            jax.device_put(present),
        )
        values = np.asarray(fn(followed))[: len(own)]
        result[own, :width] = np.where(present[: len(own)], values, empty)
    return result


@partial(jax.jit, static_argnames="metric")
def _scaled_rows(replicates: Array, rows: Array, *, metric: Metric | LabellingMethod) -> Array:
    return stable_scale(metric, replicates[rows])


@jax.jit
def _by_replicates(
    candidates: Array, tested: Array, thin: Array, excluded: Array
) -> tuple[Array, Array]:
    """Which concepts the test keeps, and which it could not look at, [U, C] of bool each.

    Concepts on ample evidence that are near the lead, but beyond the candidates, are kept.
    """
    num_concepts = excluded.shape[1]
    followed = _scatter(candidates, candidates >= 0, num_concepts)
    beyond = ~thin & ~excluded & ~followed
    return _scatter(candidates, tested, num_concepts) | beyond, thin & ~excluded & ~followed


@jax.jit
def _joined(kept: Array, untested: Array, label: Array, full: Array) -> tuple[Array, Array]:
    """The sets, and what of them is untested."""
    untested = untested | (label < 0)[:, None]
    return kept | untested | chosen(label, kept.shape[1]) | full, untested


def _scatter(candidates: Array, values: Array, num_concepts: int) -> Array:
    """Booleans [U, K] of the candidates put at their concepts, [U, C]."""
    neuron = jnp.arange(candidates.shape[0], dtype=jnp.int32)[:, None]
    column = jnp.where(candidates >= 0, candidates, num_concepts)
    wide = jnp.zeros((candidates.shape[0], num_concepts + 1), bool)
    return wide.at[neuron, column].max(values)[:, :-1]


@partial(jax.jit, static_argnames="replication")
def _calibrated(followed: Followed, rank: Array, first: Array, *, replication: bool) -> Array:
    """Candidates that the test keeps, [U, K]. A ``first`` of 0 leaves the first step out."""
    return lax.map(lambda x: _keep(x, rank, first, replication=replication), followed)


@jax.jit
def _limits(followed: Followed, rank: Array) -> Array:
    """Lower limits of the strong candidates' true similarities that all hold at once, [U, K]."""
    replicates, similarity, evidence, present = followed
    deviation = replicates - similarity[:, :, None]
    undefined = jnp.isnan(deviation)
    spread = jnp.where(undefined, 0, deviation).std(axis=2)
    scale = jnp.where(spread > 0, spread, 1)
    most = jnp.where(undefined, jnp.inf, deviation / scale[:, :, None])
    strong = present & _strong(evidence)
    most = jnp.where(strong[:, :, None], most, -jnp.inf).max(axis=1)
    quantile = lax.map(lambda x: _order_statistic(x, rank), most)[:, None]
    limit = similarity - quantile * _student(quantile, evidence) * spread
    return jnp.where(strong, limit, -jnp.inf)


def _strong(evidence: Array) -> Array:
    """Which candidates the others are compared with, [..., K].

    Where the most similar one is on ample evidence, those that are not are no rivals: fewer rivals
    rule out no more, and replicates of what was seen a few times are far from normal.
    """
    ample = evidence >= RIVAL_UNITS
    return ample | ~ample[..., :1]


def _keep(followed: Followed, rank: Array, first: Array, *, replication: bool) -> Array:
    """The test of one neuron: replicates [K, B], the rest [K]."""
    replicates, similarity, evidence, present = followed
    deviation = replicates - similarity[:, None]
    undefined = jnp.isnan(deviation)
    known = jnp.where(undefined | ~present[:, None], 0, deviation)
    centred = known - known.mean(axis=1, keepdims=True)
    covariance = jnp.matmul(centred, centred.T, precision=lax.Precision.HIGHEST)
    num_replicates = replicates.shape[1]
    covariance = covariance / num_replicates
    variance = jnp.diag(covariance)
    # rows are rivals, columns the concept under test
    both = variance[:, None] + variance[None, :]
    square = jnp.maximum(both - 2 * covariance, jnp.finfo(both.dtype).eps * both)
    sigma = jnp.sqrt(jnp.where(square > 0, square, 1))
    ahead = (similarity[:, None] - similarity[None, :]) / sigma
    itself = jnp.eye(similarity.shape[0], dtype=bool)
    rival = (present & _strong(evidence))[:, None] & ~itself

    def deviations(c: Array, otherwise: float) -> Array:
        """How far each rival got ahead of concept c in each replicate by chance alone, [K, B]."""
        z = (known - known[c][None, :]) / sigma[:, c][:, None]
        return jnp.where(rival[:, c][:, None] & ~undefined, z, otherwise)

    def critical(c: Array) -> Array:
        slack = -_order_statistic(deviations(c, jnp.inf).min(axis=0), num_replicates + 1 - first)
        most = jnp.minimum(ahead[:, c] + slack * _student(slack, evidence[c]), 0)
        move = jnp.where(first > 0, most, jnp.zeros_like(most))
        highest = (deviations(c, -jnp.inf) + move[:, None]).max(axis=0)
        return _order_statistic(jnp.where(undefined[c], jnp.inf, highest), rank)

    def largest(c: Array) -> Array:
        return jnp.where(present[c], deviations(c, -jnp.inf).max(axis=0), -jnp.inf)

    every = jnp.arange(similarity.shape[0], dtype=jnp.int32)
    if replication:
        bar = _order_statistic(lax.map(largest, every).max(axis=0), rank)
        bar = jnp.full_like(similarity, bar * math.sqrt(2))
    else:
        bar = lax.map(critical, every)
    bar = jnp.maximum(bar, 0)
    wider = _student(bar[None, :], evidence[:, None]) ** 2 - 1
    own = _student(bar, evidence) ** 2 - 1
    inflated = square + wider * variance[:, None] + (own * variance)[None, :]
    distance = ahead * sigma / jnp.sqrt(jnp.where(inflated > 0, inflated, 1))
    worst = jnp.where(rival, distance, -jnp.inf).max(axis=0)
    return present & ~(worst > bar)


def _order_statistic(x: Array, rank: Array | int) -> Array:
    """The rank-th smallest of x [B], found bit by bit: XLA sorts slowly on CPUs."""
    signed, unsigned = (jnp.dtype(f"{kind}{8 * x.dtype.itemsize}") for kind in ("int", "uint"))
    last = jnp.iinfo(unsigned).bits - 1
    bits = lax.bitcast_convert_type(x, signed)
    # order as floats do: flip the sign bit of the positive, all bits of the negative
    flips = lax.bitcast_convert_type(bits >> last, unsigned) | jnp.asarray(1 << last, unsigned)
    code = lax.bitcast_convert_type(bits, unsigned) ^ flips

    def settle(i: Array, found: Array) -> Array:
        higher = found | (jnp.asarray(1, unsigned) << (last - i).astype(unsigned))
        return jnp.where((code < higher).sum(dtype=jnp.int32) < rank, higher, found)

    found = lax.fori_loop(0, last + 1, settle, jnp.asarray(0, unsigned))
    sign = jnp.asarray(1 << last, unsigned)
    return lax.bitcast_convert_type(jnp.where(found >= sign, found ^ sign, ~found), x.dtype)


def _student(quantile: Array, units: Array) -> Array:
    """Student's t quantile over the normal one, for a spread estimated from some units.

    Times the root of units / (units - 1), as replicates have the variance that divides by the
    number of units.
    """
    freedom = jnp.maximum(units - 1, 1)
    ratio = student_ratio(jnp.where(jnp.isfinite(quantile), quantile, 0), freedom)
    return ratio * jnp.sqrt((freedom + 1) / freedom)
