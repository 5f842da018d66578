"""Measures of how stable labels, concept sets and rankings are over bootstrap replicates.

:func:`stability` takes a bootstrap, which holds the winner of each replicate. The measures of sets
and rankings work on plain arrays with the replicates first, for any method that gives them.
All are pure and jittable, and NaN where the data do not define them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import ndtri
from jax.typing import ArrayLike

from .resampling import Bootstrap

__all__ = [
    "Stability",
    "bagging_epsilon",
    "fleiss_kappa",
    "inflated_argmax",
    "jaccard",
    "kendalls_w",
    "nogueira",
    "rank_biased_overlap",
    "stability",
]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=(
        "top1_agreement",
        "top1_lower",
        "top1_upper",
        "pairwise_agreement",
        "normalised_entropy",
        "nogueira",
        "nogueira_lower",
        "nogueira_upper",
        "inflated_set",
        "top1_agreement_layer",
        "pairwise_agreement_layer",
        "normalised_entropy_layer",
        "nogueira_layer",
        "fleiss_kappa",
    ),
    meta_fields=("delta", "epsilon"),
)
@dataclass(frozen=True, eq=False)
class Stability:
    """Stability of the labels of a layer.

    A replicate without a winner counts, and agrees with nothing, not even with another such. All
    values of a neuron without a label are NaN, but for its inflated set. Intervals tell what more
    replicates of the same data would give (Monte Carlo error), not what other data would, and hold
    for one neuron at a time. A layer's value is the mean over its labelled neurons where defined,
    NaN without any.

    Attributes
    ----------
    top1_agreement : Array [U]
        Share of replicates, in [0, 1], that give the observed label.
    top1_lower, top1_upper : Array [U]
        Its interval (Wilson, 1927), within [0, 1].
    pairwise_agreement : Array [U]
        Probability, in [0, 1], that two distinct replicates agree, from the votes n_c:
        sum_c n_c (n_c - 1) / (B (B - 1)). It is also the mean Jaccard index of sets that hold the
        winner alone. NaN with one replicate.
    normalised_entropy : Array [U]
        Entropy of the winners over log C, in [0, 1]: 0 if all are the same, 1 if every concept wins
        as often. Among replicates with a winner; biased down where votes are few (Miller, 1955).
        NaN with one replicate or one concept.
    nogueira : Array [U]
        Pairwise agreement less chance, in [-1/(B - 1), 1]: :func:`nogueira` of the sets that hold
        the winner alone. 0 is a label drawn at random. NaN with one replicate or one concept.
    nogueira_lower, nogueira_upper : Array [U]
        Its interval, within [0, 1].
    inflated_set : Array [U, C] of bool
        :func:`inflated_argmax` of the vote shares. It always holds the concept with most votes,
        which need not be the observed label; all concepts where none has a vote.
    top1_agreement_layer, pairwise_agreement_layer, normalised_entropy_layer : Array []
    nogueira_layer : Array []
        Means over labelled neurons.
    fleiss_kappa : Array []
        :func:`fleiss_kappa` with the labelled neurons as subjects and the replicates as raters, at
        most 1. A layer's value only: chance agreement is that of the layer's label frequencies.
    delta : float
        The intervals hold with probability about 1 - delta.
    epsilon : float
        Inflation of ``inflated_set``.
    """

    top1_agreement: Array
    top1_lower: Array
    top1_upper: Array
    pairwise_agreement: Array
    normalised_entropy: Array
    nogueira: Array
    nogueira_lower: Array
    nogueira_upper: Array
    inflated_set: Array
    top1_agreement_layer: Array
    pairwise_agreement_layer: Array
    normalised_entropy_layer: Array
    nogueira_layer: Array
    fleiss_kappa: Array
    delta: float
    epsilon: float


def stability(boot: Bootstrap, *, delta: float = 0.05, epsilon: float = 0.1) -> Stability:
    """Measure how stable the labels are over the bootstrap replicates, all neurons at once.

    The inflated sets can carry a guarantee that assumes nothing on data, model or metric (Soloff,
    Barber & Willett, 2024). Leave one sampling unit out and bag again: with the epsilon that
    :func:`bagging_epsilon` gives for a share of units, at most that share can turn a neuron's set
    into one that has no concept in common with it. This is about removing a unit, not about a fresh
    sample, and says nothing on which concept is true. The default epsilon is a plain number, with a
    guarantee only where it is no smaller than that.

    Parameters
    ----------
    boot : Bootstrap
    delta : float in (0, 1)
        Error of each interval.
    epsilon : float
        Inflation of the arg-max of the vote shares, above 0: a concept stays in the set only if it
        trails the leader by less than epsilon/sqrt(2). :func:`bagging_epsilon` gives the value that
        a guarantee needs.

    Returns
    -------
    Stability

    Raises
    ------
    ValueError
        If delta or epsilon is out of its range.
    """
    return _stability(boot.winners, boot.label, boot.vote_share, delta=delta, epsilon=epsilon)


# Compiled on the arrays alone, so that another metric or scheme compiles nothing anew.
@partial(jax.jit, static_argnames=("delta", "epsilon"))
def _stability(
    winners: Array, label: Array, share: Array, *, delta: float, epsilon: float
) -> Stability:
    _check_delta(delta)
    num_replicates, num_concepts = winners.shape[0], share.shape[1]
    labelled = label >= 0

    def of_labelled(values: Array) -> Array:
        return jnp.where(labelled, values, jnp.nan)

    agreeing = (winners == label[None, :]).sum(axis=0, dtype=jnp.int32)
    # 1 exactly where all agree: compiled division by a constant may round
    same = jnp.where(
        agreeing == num_replicates, 1, agreeing.astype(share.dtype) / num_replicates
    ).astype(share.dtype)
    lower, upper = _wilson(same, num_replicates, delta)
    votes = jnp.round(share * num_replicates)
    value, value_lower, value_upper = (
        of_labelled(x) for x in _nogueira_of_votes(share, num_replicates, delta)
    )
    same = of_labelled(same)
    pairwise = of_labelled(_agreeing_pairs(votes, num_replicates))
    few = min(num_replicates, num_concepts) < 2  # one vote, or one choice, tells nothing
    entropy = jnp.full_like(same, jnp.nan) if few else of_labelled(_normalised_entropy(share))
    return Stability(
        top1_agreement=same,
        top1_lower=of_labelled(lower),
        top1_upper=of_labelled(upper),
        pairwise_agreement=pairwise,
        normalised_entropy=entropy,
        nogueira=value,
        nogueira_lower=value_lower,
        nogueira_upper=value_upper,
        inflated_set=inflated_argmax(share, epsilon),
        top1_agreement_layer=jnp.nanmean(same),
        pairwise_agreement_layer=jnp.nanmean(pairwise),
        normalised_entropy_layer=jnp.nanmean(entropy),
        nogueira_layer=jnp.nanmean(value),
        fleiss_kappa=fleiss_kappa(votes, num_replicates, where=labelled),
        delta=delta,
        epsilon=epsilon,
    )


def _wilson(share: Array, n: int, delta: float) -> tuple[Array, Array]:
    """Interval of a binomial proportion (Wilson, 1927)."""
    z2 = ndtri(jnp.asarray(delta / 2, share.dtype)) ** 2
    centre = share + z2 / (2 * n)
    half = jnp.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    # the ends are 0 and 1 exactly where all replicates agree; rounding would miss them
    low = jnp.where(share == 0, 0, (centre - half) / (1 + z2 / n))
    high = jnp.where(share == 1, 1, (centre + half) / (1 + z2 / n))
    return low, high


def _agreeing_pairs(votes: Array, num_raters: int) -> Array:
    """Share [U] of the pairs of distinct raters that agree, from votes [U, C]; NaN with one."""
    if num_raters < 2:
        return jnp.full(votes.shape[0], jnp.nan, votes.dtype)
    pairs = (votes / num_raters * ((votes - 1) / (num_raters - 1))).sum(axis=1)
    return jnp.where((votes == num_raters).any(axis=1), 1, pairs)


def _normalised_entropy(share: Array) -> Array:
    """Entropy [U] of the votes cast over the log of the number of concepts, in [0, 1]."""
    p = share / share.sum(axis=1, keepdims=True)  # NaN where no replicate has a winner
    entropy = -jnp.where(p == 0, 0, p * jnp.log(jnp.where(p == 0, 1, p))).sum(axis=1)
    return jnp.clip(entropy / math.log(share.shape[1]), 0, 1)


@partial(jax.jit, static_argnames="num_raters")
def fleiss_kappa(votes: ArrayLike, num_raters: int, *, where: ArrayLike | None = None) -> Array:
    """Agreement of raters on many subjects less chance (Fleiss, 1971).

    With P the share of agreeing pairs of raters, averaged over the subjects, and p_c the share of
    all ratings that are c, it is (P - sum_c p_c^2) / (1 - sum_c p_c^2). When most ratings are of
    one category it is low however well the raters agree: chance would agree too.

    Parameters
    ----------
    votes : array [U, C]
        How many raters put the subject in each category. A row may sum to less than
        ``num_raters``: the missing ratings agree with nothing.
    num_raters : int
        Number of raters of each subject.
    where : array [U] of bool, optional
        The subjects to use; all by default.

    Returns
    -------
    Array []
        At most 1, all raters agreeing; 0 at chance. NaN with one rater, no subject, or when all
        ratings are of one category.

    Raises
    ------
    ValueError
        If the votes are not a matrix or the number of raters is below 1.
    """
    votes = _floating(votes)
    if votes.ndim != 2:
        raise ValueError(f"votes must have shape [U, C], got {votes.shape}")
    if num_raters < 1:
        raise ValueError(f"num_raters must be at least 1, got {num_raters}")
    used = jnp.ones(votes.shape[0], bool) if where is None else jnp.asarray(where, bool)
    num_subjects = used.sum(dtype=jnp.int32)
    pairs = jnp.where(used, _agreeing_pairs(votes, num_raters), 0).sum()
    # whole numbers: rounding would leave 1 - chance just off 0 where all ratings are the same
    whole = jnp.where(used[:, None], jnp.round(votes).astype(jnp.int32), 0)
    ratings = whole.sum(axis=0, dtype=jnp.int32)
    constant = (ratings == num_subjects * num_raters).any()
    subjects = num_subjects.astype(votes.dtype)
    chance = ((ratings.astype(votes.dtype) / subjects / num_raters) ** 2).sum()
    kappa = (pairs / subjects - chance) / jnp.where(constant, 1, 1 - chance)
    return jnp.where(constant, jnp.nan, kappa)


@partial(jax.jit, static_argnames="delta")
def nogueira(selected: ArrayLike, *, delta: float = 0.05) -> tuple[Array, Array, Array]:
    """Stability of selected sets, less chance (Nogueira, Sechidis & Brown, 2018).

    With p_c the share of replicates that select c, and k the mean size of a set,
    1 - mean_c [B / (B - 1) p_c (1 - p_c)] / (k / C (1 - k / C)) (their definition 4). The interval
    is asymptotic in B (corollary 9), and on the replicates' law given the data: it is an interval
    on what more replicates would give. The law's value lies in [0, 1], so the limits do too.

    Parameters
    ----------
    selected : array [B, C] or [B, U, C] of 0/1
        Whether each replicate selects each concept; sets may differ in size.
    delta : float in (0, 1)
        The interval holds with probability about 1 - delta.

    Returns
    -------
    value, lower, upper : Array [] or [U]
        The value lies in [-1/(B - 1), 1]: 1 if all sets are the same, about 0 if drawn at random.
        NaN with one replicate, or when every set is empty or full.

    Raises
    ------
    ValueError
        If the shape or delta is wrong.
    """
    _check_delta(delta)
    z = _selections(selected)
    num_replicates = z.shape[0]
    frequency = jnp.minimum(z.mean(axis=0), 1)
    size = z.mean(axis=-1)
    overlap = (z * frequency[None]).mean(axis=-1)
    weight = jnp.full(size.shape, 1 / num_replicates, z.dtype)
    constant = (z == 0).all(axis=(0, -1)) | (z == 1).all(axis=(0, -1))
    return _nogueira(frequency, size, overlap, weight, constant, num_replicates, delta)


def _nogueira_of_votes(share: Array, n: int, delta: float) -> tuple[Array, Array, Array]:
    """:func:`nogueira` of the sets that hold the winner alone, from vote shares [U, C].

    Replicates with the same winner count alike, so that no array [B, U, C] is needed.
    """
    num_neurons, num_concepts = share.shape
    none = jnp.zeros((1, num_neurons), share.dtype)  # replicates without a winner: an empty set
    size = jnp.concatenate([jnp.full_like(share.T, 1 / num_concepts), none])
    overlap = jnp.concatenate([share.T / num_concepts, none])
    weight = jnp.concatenate([share.T, jnp.maximum(1 - share.sum(axis=1), 0)[None]])
    constant = (share == 0).all(axis=1) | (num_concepts == 1)
    return _nogueira(share, size, overlap, weight, constant, n, delta)


def _nogueira(
    frequency: Array,
    size: Array,
    overlap: Array,
    weight: Array,
    constant: Array,
    n: int,
    delta: float,
) -> tuple[Array, Array, Array]:
    """Value and interval from distinct sets r on the first axis, each a share ``weight`` of n.

    ``frequency`` [..., C] is p_c, ``size`` [r, ...] the size of a set over C, and ``overlap``
    [r, ...] the mean over concepts of p_c where the set has c, else 0. ``constant`` [...] tells
    where every set is empty or every set is full.
    """
    mean_size = frequency.mean(axis=-1)
    spread = mean_size * (1 - mean_size)
    if n < 2:
        undefined = jnp.full_like(spread, jnp.nan)
        return undefined, undefined, undefined
    spread = jnp.where(constant, jnp.nan, spread)
    value = 1 - n / (n - 1) * (frequency * (1 - frequency)).mean(axis=-1) / spread
    # a set's influence on the value; its variance gives that of the value
    a, b = mean_size[None], size
    phi = (overlap - a * b + value[None] / 2 * (2 * a * b - a - b + 1)) / spread[None]
    centred = phi - (weight * phi).sum(axis=0)[None]
    error = 2 * jnp.sqrt((weight * centred**2).sum(axis=0) / n)
    half = -ndtri(jnp.asarray(delta / 2, value.dtype)) * error
    return value, jnp.clip(value - half, 0, 1), jnp.clip(value + half, 0, 1)


@jax.jit
def jaccard(selected: ArrayLike) -> Array:
    """Mean Jaccard index of all pairs of distinct replicates' sets (Jaccard, 1901).

    Parameters
    ----------
    selected : array [B, C] or [B, U, C] of 0/1
        Whether each replicate selects each concept.

    Returns
    -------
    Array [] or [U]
        In [0, 1]; two empty sets are the same set, 1. Not corrected for chance: large sets overlap
        anyhow, which :func:`nogueira` takes into account. NaN with one replicate.

    Raises
    ------
    ValueError
        If the shape is wrong.
    """
    z = _selections(selected)
    # one neuron after the other: its pairs are a matrix [B, B]
    return _jaccard(z) if z.ndim == 2 else lax.map(_jaccard, jnp.moveaxis(z, 1, 0))


def _jaccard(z: Array) -> Array:
    n = z.shape[0]
    if n < 2:
        return jnp.asarray(jnp.nan, z.dtype)
    both = jnp.matmul(z, z.T, precision=lax.Precision.HIGHEST)
    size = z.sum(axis=1)
    either = size[:, None] + size[None, :] - both
    index = jnp.where(either > 0, both / jnp.where(either > 0, either, 1), 1)
    return jnp.minimum(jnp.where(jnp.eye(n, dtype=bool), 0, index).sum() / (n * (n - 1)), 1)


@partial(jax.jit, static_argnames="p")
def rank_biased_overlap(ranking_a: ArrayLike, ranking_b: ArrayLike, p: float = 0.9) -> Array:
    """Similarity of two top-weighted rankings, extrapolated (Webber, Moffat & Zobel, 2010, eq. 30).

    With X_d the number of concepts that the first d places of both share, and k places:
    p^k X_k / k + (1 - p) / p sum_{d <= k} p^d X_d / d. The agreement seen at the last place is
    taken to go on below it. The first 10 places carry 86% of the weight at p = 0.9.

    Parameters
    ----------
    ranking_a, ranking_b : int arrays [..., k]
        Concepts, best first, without repeats; the two need not rank the same ones. -1, no concept,
        matches nothing.
    p : float in (0, 1)
        How far down the ranking matters.

    Returns
    -------
    Array [...]
        In [0, 1]: 1 if the rankings are the same, 0 if they share nothing.

    Raises
    ------
    ValueError
        If the shapes differ or are empty, or p is out of its range.
    """
    a, b = jnp.asarray(ranking_a), jnp.asarray(ranking_b)
    if a.shape != b.shape or a.ndim < 1 or a.shape[-1] < 1:
        raise ValueError(f"rankings must have one shape [..., k], got {a.shape} and {b.shape}")
    if not 0 < p < 1:
        raise ValueError(f"p must lie strictly between 0 and 1, got {p}")
    k = a.shape[-1]
    depth = np.arange(1, k + 1)
    weight = (1 - p) * p ** (depth - 1.0) / depth
    weight[-1] += p**k / k
    match = (a[..., :, None] == b[..., None, :]) & (a >= 0)[..., :, None]
    # matches that place d adds: its concept of a is among b's first d, or the other way round
    new = jnp.tril(match).sum(axis=-1) + jnp.triu(match, 1).sum(axis=-2)
    shared = jnp.cumsum(new, axis=-1).astype(float)
    weights = jnp.asarray(weight, shared.dtype)
    overlap = jnp.matmul(shared, weights, precision=lax.Precision.HIGHEST)
    return jnp.minimum(overlap, 1)  # the weights add up to 1 but for rounding


@jax.jit
def kendalls_w(scores: ArrayLike) -> Array:
    """Concordance of the replicates' full rankings (Kendall & Smith, 1939; ties: Kendall, 1945).

    With R_c the sum of a concept's mid-ranks over B replicates, and t the sizes of the groups of
    ties, W = 12 sum_c (R_c - mean R)^2 / (B^2 (C^3 - C) - B sum (t^3 - t)). Friedman's statistic is
    B (C - 1) W, and without ties (B W - 1) / (B - 1) is the mean Spearman correlation of two
    replicates.

    Parameters
    ----------
    scores : array [B, C] or [B, U, C]
        Scores in each replicate.

    Returns
    -------
    Array [] or [U]
        In [0, 1]: 1 if all replicates rank alike. NaN with one replicate or one concept, where
        every replicate ties all concepts, and where a score is NaN (leave such concepts out).

    Raises
    ------
    ValueError
        If the shape is wrong.
    """
    x = _floating(scores)
    if x.ndim not in (2, 3):
        raise ValueError(f"scores must have shape [B, C] or [B, U, C], got {x.shape}")
    m, n = x.shape[0], x.shape[-1]
    if m < 2 or n < 2:
        return jnp.full(x.shape[1:-1], jnp.nan, x.dtype)
    rank, tied = jnp.vectorize(_mid_ranks, signature="(n)->(n),(n)")(x)
    total = (rank / m).sum(axis=0)
    spread = 12 * ((total - (n + 1) / 2) ** 2).sum(axis=-1)
    # a group of t ties is t columns, each with t^2 - 1
    most = (n**3 - n) - ((tied**2 - 1).sum(axis=-1) / m).sum(axis=0)
    undefined = jnp.isnan(x).any(axis=(0, -1)) | (most <= 0)
    return jnp.where(undefined, jnp.nan, jnp.clip(spread / jnp.where(undefined, 1, most), 0, 1))


def _mid_ranks(x: Array) -> tuple[Array, Array]:
    """Rank [n] of each value, 1 to n with ties at their mean, and how many share it."""
    ordered = jnp.sort(x)
    below = jnp.searchsorted(ordered, x, side="left").astype(x.dtype)
    upto = jnp.searchsorted(ordered, x, side="right").astype(x.dtype)
    return (below + upto + 1) / 2, upto - below


@partial(jax.jit, static_argnames="epsilon")
def inflated_argmax(weights: ArrayLike, epsilon: float) -> Array:
    """Every label that leads clearly after a move of less than epsilon (Soloff et al., 2024).

    Label j is in the set of w if and only if dist(w, R_j) < epsilon, where R_j holds the vectors
    whose entry j exceeds all others by at least epsilon/sqrt(2). Two weight vectors less than
    epsilon apart (Euclidean) then have a label in common, which no arg-max achieves. The set always
    holds the arg-max, and only labels that trail it by less than epsilon/sqrt(2).

    Parameters
    ----------
    weights : array [..., C]
        Real weights, such as vote shares.
    epsilon : float
        Above 0.

    Returns
    -------
    Array [..., C] of bool
        No row is empty, but for rows with a NaN.

    Raises
    ------
    ValueError
        If epsilon is not above 0, or there are no weights.

    Notes
    -----
    With gap g = epsilon/sqrt(2) and u_l = w_l + g for the others l, the projection on R_j raises
    w_j to t and caps the u_l at t, where t - w_j = sum_l (u_l - t)_+. The m capped ones are the
    largest, t is the mean of w_j and them, and the squared distance their sum of squares about t.
    One more is capped as long as it exceeds that mean, which a bisection on m finds.
    """
    w = _floating(weights)
    if w.ndim < 1 or w.shape[-1] < 1:
        raise ValueError(f"weights must have shape [..., C], got {w.shape}")
    if not epsilon > 0:
        raise ValueError(f"epsilon must be above 0, got {epsilon}")
    num_labels, gap = w.shape[-1], epsilon / math.sqrt(2)
    # distances do not change with a shift, and from the top only small numbers are squared
    top = w.max(axis=-1, keepdims=True)
    ordered = jnp.sort(w - top, axis=-1, descending=True)
    place = jnp.broadcast_to(jnp.arange(num_labels), w.shape)
    start = jnp.zeros_like(ordered[..., :1])
    sums = jnp.concatenate([start, jnp.cumsum(ordered, axis=-1)], axis=-1)
    squares = jnp.concatenate([start, jnp.cumsum(ordered**2, axis=-1)], axis=-1)

    def largest(m: Array, prefix: Array, own: Array) -> Array:
        """Sum over the m largest but label j, from sums over all."""
        with_own = jnp.take_along_axis(prefix, jnp.minimum(m + 1, num_labels), axis=-1) - own
        return jnp.where(m <= place, jnp.take_along_axis(prefix, m, axis=-1), with_own)

    def mean(m: Array) -> Array:
        """Where w_j and the m largest meet."""
        k = m.astype(w.dtype)
        return (ordered + largest(m, sums, ordered) + k * gap) / (k + 1)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        m = jnp.maximum((low + high + 1) // 2, 1)
        next_one = jnp.take_along_axis(ordered, jnp.where(m - 1 < place, m - 1, m), axis=-1)
        capped = next_one + gap > mean(m - 1)
        return jnp.where(capped, m, low), jnp.where(capped, high, m - 1)

    bounds = jnp.zeros_like(place), jnp.full_like(place, num_labels - 1)
    m, _ = lax.fori_loop(0, (num_labels - 1).bit_length(), halve, bounds)
    k, t = m.astype(w.dtype), mean(m)
    others = largest(m, squares, ordered**2) + 2 * gap * largest(m, sums, ordered) + k * gap**2
    inside = ordered**2 + others - (k + 1) * t**2 < epsilon**2
    # the larger of two weights is nearer to leading, so the set is all weights above its least
    least = jnp.where(inside, ordered, jnp.inf).min(axis=-1, keepdims=True)
    return w - top >= least


def bagging_epsilon(
    num_units: int,
    num_concepts: int,
    *,
    delta: float = 0.05,
    scheme: str = "multinomial",
    num_replicates: int | None = None,
) -> float:
    """The epsilon at which the inflated sets of bagged votes are stable, whatever the data.

    Leave out one of n sampling units and bag again, with as many draws per replicate as before and
    thresholds kept. Then, for each neuron, at most a share delta of the n units can leave it with
    an inflated set that has no concept in common with the one from all units.

    Parameters
    ----------
    num_units : int
        Sampling units n (samples, or groups where the probe has them), at least 2.
    num_concepts : int
        Number of concepts C.
    delta : float in (0, 1)
        Share of the units that may break the stability.
    scheme : {"multinomial", "poisson", "subsample"}
        Resampling scheme. In a Bayesian replicate no unit is absent, and nothing is guaranteed.
    num_replicates : int, optional
        Replicates B of each run; none for the limit of many, where the sets are not random. With
        it, delta bounds the mean probability over both runs' draws.

    Returns
    -------
    float
        Epsilon for :func:`inflated_argmax`; above sqrt(2) every set holds every concept.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    After Soloff, Barber & Willett (2024, "Stability via resampling"). Write p for the probability
    that a unit is in a replicate, -q <= 0 for the covariance of the presence of two, and r^2 =
    1 - 1/C for the squared radius of the simplex. The mean vote without unit i is that of the
    replicates that happen to lack it, so it moves by D_i = Cov(vote, presence of i) / (p - 1), and
    by Cauchy and Schwarz the mean of |D_i|^2 over the units is at most
    r^2 (p / (1 - p) + q / (1 - p)^2) / n. Two runs of B replicates, with keys of their own, add a
    variance of at most 2 r^2 / B. Epsilon is then Markov's inequality on the squared distance.
    """
    _check_delta(delta)
    n, c = num_units, num_concepts
    if n < 2 or c < 1 or (num_replicates is not None and num_replicates < 1):
        raise ValueError(
            "num_units must be at least 2, num_concepts and num_replicates at least 1, "
            f"got {n}, {c} and {num_replicates}"
        )
    if scheme == "multinomial":
        p = 1 - (1 - 1 / n) ** n
        q = (1 - 1 / n) ** (2 * n) - (1 - 2 / n) ** n
    elif scheme == "poisson":
        p, q = 1 - math.exp(-1), 0.0
    elif scheme == "subsample":
        p = (n // 2) / n
        q = p * (1 - p) / (n - 1)
    else:
        raise ValueError(
            f'a guarantee needs "multinomial", "poisson" or "subsample" as scheme, got {scheme!r}'
        )
    moved = (p / (1 - p) + q / (1 - p) ** 2) / n
    if num_replicates is not None:
        moved += 2 / num_replicates
    return math.sqrt((1 - 1 / c) * moved / delta)


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie strictly between 0 and 1, got {delta}")


def _floating(values: ArrayLike) -> Array:
    """The values as floats; integers and booleans in the default precision."""
    x = jnp.asarray(values)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)


def _selections(selected: ArrayLike) -> Array:
    z = _floating(selected)
    if z.ndim not in (2, 3) or 0 in z.shape:
        raise ValueError(f"selected must have shape [B, C] or [B, U, C], got {z.shape}")
    return z
