"""Concept prediction sets: the concepts that can not be ruled out."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .blocks import few_shapes
from .bounds import CoverageWarning, intervals
from .candidates import MAX_CANDIDATES, stable_scale
from .certificate import LOWER_SHARE, certify
from .checks import check_share
from .metrics import Metric
from .resampling import Bootstrap

__all__ = ["ConceptSets", "concept_sets"]

METHODS = ("calibrated", "certified", "vote")
TARGETS = ("best", "replication")
LIST_LENGTHS = (8, 32, 128, MAX_CANDIDATES)  # to which lists of candidates are filled up
FIRST_STEP = 0.1  # share of alpha that bounds how far rivals may truly be ahead


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("mask", "undecided"),
    meta_fields=("alpha", "method", "target"),
)
@dataclass(frozen=True, eq=False)
class ConceptSets:
    """One set of concepts per neuron.

    Attributes
    ----------
    mask : Array [U, C] of bool
        Whether the concept is in the neuron's set; no row is empty, and the label is always in.
    undecided : Array [U, C] of bool
        Members of a calibrated set that no test has looked at: too little evidence for a bootstrap
        (see :attr:`Bootstrap.thin`), and no limits for every sample size rule them out either.
    alpha : float
        Nominal error: the set should contain its target with probability 1 - alpha.
    method : str
        How the set was made.
    target : str
        What it should contain: ``"best"``, the population's most similar concept, or
        ``"replication"``, the label a fresh probing set of the same size would give.
    """

    mask: Array
    undecided: Array
    alpha: float
    method: str
    target: str

    @property
    def size(self) -> Array:
        """Number of concepts in each set, [U] of int32."""
        return self.mask.sum(axis=1, dtype=jnp.int32)


def concept_sets(
    boot: Bootstrap, *, alpha: float = 0.1, method: str = "calibrated", target: str = "best"
) -> ConceptSets:
    """Concept sets from a bootstrap.

    ``"calibrated"`` tests each concept against all its rivals at once: it stays unless some rival
    leads by more than the largest deviation that replicates show. Similarities are put on a scale
    of steady spread (arcsine, logit or Fisher's z, by the metric). With T_c the largest
    ``(s_c' - s_c) / sigma_cc'``, the critical value q_c is the 1 - alpha quantile over replicates
    of the largest deviation from these measured values, where rivals that are surely worse than c
    are moved back by as much as a first step at level alpha / 10 allows (Romano, Shaikh & Wolf,
    2014), and is widened for spreads estimated from few units as Student's t is (Fisher's
    expansion). Concepts on which there is too little evidence are rivals to none, and stay unless
    their upper limit for every sample size (:func:`intervals`, at three quarters of alpha) is below
    the largest of simultaneous lower limits of the others (at a quarter); see ``undecided``. These
    lower limits are the bootstrap's, so that this exclusion too, and with it all coverage, holds in
    the limit of many units.

    For ``target="replication"`` the bar is sqrt(2) times the quantile of the maximum over all
    pairs: the fresh probing set adds a deviation of the same law. Undecided concepts then all stay.

    ``"certified"`` is the certificate of :func:`certify` at level alpha: no approximation where its
    intervals hold for every sample size, and wide.

    ``"vote"`` is the bootstrap ensemble's set as we reconstruct it: the fewest concepts whose joint
    share of bootstrap wins reaches 1 - alpha. It carries no guarantee and under-covers when several
    concepts nearly tie, hence the warning. A neuron whose replicates were undefined more often than
    alpha gets every concept, since the votes that are left can not reach 1 - alpha.

    A neuron without a label gets every concept.

    Parameters
    ----------
    boot : Bootstrap
    alpha : float in (0, 1)
    method : {"calibrated", "certified", "vote"}
    target : {"best", "replication"}
        What the set shall contain. The vote rule is the same for both; a certificate speaks of
        true similarities, so it has the first only.

    Returns
    -------
    ConceptSets

    Raises
    ------
    ValueError
        If alpha, method or target is not one of these, or they do not go together.

    Warns
    -----
    CoverageWarning
        With ``method="vote"``; or with too few replicates for alpha, when every set is full.
    """
    check_share(alpha, "alpha")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")
    if method == "vote":
        warnings.warn(
            "the vote rule contains the best concept less often than 1 - alpha when several "
            "concepts nearly tie; read its sets as a description of the replicates",
            CoverageWarning,
            stacklevel=2,
        )
        return vote_sets(boot, alpha, target)
    if method == "certified":
        if target != "best":
            raise ValueError(
                "a certificate bounds true similarities, so it says nothing on the label of a "
                'fresh probing set; use method="calibrated" with target="replication"'
            )
        if boot.definition is None:
            raise ValueError(
                f"there are no intervals for the scores of {boot.metric}, which is no metric; use "
                'method="calibrated"'
            )
        if boot.probe is None:
            raise ValueError(
                "a certificate is read from the data, which a bootstrap in passes does not keep; "
                'use method="calibrated", or certify() on a probe'
            )
        proof = certify(boot.probe, boot.definition, delta=alpha)
        mask = proof.mask | _chosen(boot.label, proof.mask.shape[1])
        return ConceptSets(mask, jnp.zeros_like(mask), alpha, method, target)
    needed = _rank(1 - alpha, boot.num_replicates)
    if needed > boot.num_replicates:
        warnings.warn(
            f"{boot.num_replicates} replicates can not reach level {1 - alpha:g}, so every set is "
            f"full; use at least {math.ceil(1 / alpha - 1e-9) - 1}",
            CoverageWarning,
            stacklevel=2,
        )
    return _calibrated_sets(boot, alpha, target)


def _rank(level: float, num_replicates: int) -> int:
    """Which of the replicates in ascending order is at least the quantile of the level."""
    return max(1, math.ceil(level * (num_replicates + 1) * (1 - 1e-9)))


@partial(jax.jit, static_argnames="num_concepts")
def _chosen(label: Array, num_concepts: int) -> Array:
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


def _calibrated_sets(boot: Bootstrap, alpha: float, target: str) -> ConceptSets:
    num_replicates = boot.num_replicates
    beta = FIRST_STEP * alpha
    first = _rank(1 - beta, num_replicates)
    if first > num_replicates or target == "replication":  # one step, with all of alpha
        beta, first = 0.0, 0
    rank = _rank(1 - alpha + beta, num_replicates)
    full = rank > num_replicates
    level = min(rank, num_replicates)
    settle = partial(_calibrated, rank=level, first=first, replication=target == "replication")
    kept, undecided = _told(boot.candidates, _over_lists(boot, settle, False), boot.excluded)
    known = boot.definition is not None and boot.probe is not None
    if target == "best" and known and bool(undecided.any()):
        assert boot.probe is not None
        assert boot.definition is not None
        high = intervals(boot.probe, boot.definition, delta=(1 - LOWER_SHARE) * alpha)
        lowest = _rank(1 - LOWER_SHARE * alpha, num_replicates)
        if not high.asymptotic and lowest <= num_replicates:
            # other limits say nothing on few positives
            floor = _over_lists(boot, partial(_limits, rank=lowest), -np.inf).max(axis=1)
            undecided &= stable_scale(boot.definition, high.upper) >= floor[:, None]
    mask, undecided = _joined(kept, undecided, boot.label, full)
    return ConceptSets(mask, undecided, alpha, "calibrated", target)


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
        some = np.resize(own, few_shapes(len(own)))
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
def _scaled_rows(replicates: Array, rows: Array, *, metric: Metric | None) -> Array:
    return stable_scale(metric, replicates[rows])


@jax.jit
def _told(candidates: Array, tested: Array, excluded: Array) -> tuple[Array, Array]:
    """Which concepts the test keeps, and which it did not look at, [U, C] of bool each."""
    num_concepts = excluded.shape[1]
    followed = _scatter(candidates, candidates >= 0, num_concepts)
    return _scatter(candidates, tested, num_concepts), ~excluded & ~followed


@jax.jit
def _joined(kept: Array, undecided: Array, label: Array, full: Array) -> tuple[Array, Array]:
    """The sets, and what of them is undecided."""
    undecided = undecided | (label < 0)[:, None]
    return kept | undecided | _chosen(label, kept.shape[1]) | full, undecided


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
    """Lower limits of the candidates' true similarities that all hold at once, [U, K]."""
    replicates, similarity, evidence, present = followed
    deviation = replicates - similarity[:, :, None]
    undefined = jnp.isnan(deviation)
    spread = jnp.where(undefined, 0, deviation).std(axis=2)
    scale = jnp.where(spread > 0, spread, 1)
    most = jnp.where(undefined, jnp.inf, deviation / scale[:, :, None])
    most = jnp.where(present[:, :, None], most, -jnp.inf).max(axis=1)
    quantile = lax.map(lambda x: _order_statistic(x, rank), most)[:, None]
    return similarity - quantile * _student(quantile, evidence) * spread


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
    rival = present[:, None] & ~itself

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

    Three terms of Fisher's expansion in 1 / (units - 1) (Abramowitz 26.7.5), and the root of units
    / (units - 1), as replicates have the variance that divides by the number of units.
    """
    z2 = jnp.where(jnp.isfinite(quantile), quantile, 0) ** 2
    k = jnp.maximum(units - 1, 1)
    first = (z2 + 1) / 4
    second = (5 * z2**2 + 16 * z2 + 3) / 96
    third = (3 * z2**3 + 19 * z2**2 + 17 * z2 - 15) / 384
    return (1 + first / k + second / k**2 + third / k**3) * jnp.sqrt((k + 1) / k)


def vote_sets(boot: Bootstrap, alpha: float, target: str) -> ConceptSets:
    """The vote rule itself, for callers that state its limits in their own words."""
    counts = jnp.round(boot.vote_share * boot.num_replicates)
    needed = jnp.ceil((1 - alpha) * boot.num_replicates * (1 - 1e-6))
    order = jnp.argsort(counts, axis=1, descending=True)
    ranked = jnp.take_along_axis(counts, order, axis=1)
    before = jnp.cumsum(ranked, axis=1) - ranked
    rank = jnp.argsort(order, axis=1)
    mask = jnp.take_along_axis(before < needed, rank, axis=1)
    short = (counts.sum(axis=1) < needed)[:, None]
    mask = mask | _chosen(boot.label, mask.shape[1]) | short
    return ConceptSets(mask, jnp.zeros_like(mask), alpha, "vote", target)
