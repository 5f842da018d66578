"""Agreement of sets, ratings and rankings, less chance where chance agrees too.

Plain arrays with the replicates first, from any method that gives them. All are pure and jittable,
and NaN where the data do not define them.
"""

from __future__ import annotations

from functools import partial
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from .._runtime.validation import check_share

__all__ = ["fleiss_kappa", "jaccard", "kendalls_w", "nogueira", "rank_biased_overlap"]


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
    votes = floating(votes)
    if votes.ndim != 2:
        raise ValueError(f"votes must have shape [U, C], got {votes.shape}")
    if num_raters < 1:
        raise ValueError(f"num_raters must be at least 1, got {num_raters}")
    used = jnp.ones(votes.shape[0], bool) if where is None else jnp.asarray(where, bool)
    return kappa_of_votes(votes, num_raters, used)


def kappa_of_votes(votes: Any, num_raters: int, used: Any) -> Any:
    """:func:`fleiss_kappa` of the subjects that are ``used`` [U], by NumPy or JAX as the arrays."""
    xp = votes.__array_namespace__()
    num_subjects = used.sum(dtype=xp.int32)
    pairs = xp.where(used, agreeing_pairs(votes, num_raters), 0).sum()
    # whole numbers: rounding would leave 1 - chance just off 0 where all ratings are the same
    whole = xp.where(used[:, None], xp.round(votes).astype(xp.int32), 0)
    ratings = whole.sum(axis=0, dtype=xp.int32)
    constant = (ratings == num_subjects * num_raters).any()
    subjects = num_subjects.astype(votes.dtype)
    chance = ((ratings.astype(votes.dtype) / subjects / num_raters) ** 2).sum()
    kappa = (pairs / subjects - chance) / xp.where(constant, 1, 1 - chance)
    return xp.where(constant, xp.nan, kappa)


@partial(jax.jit, static_argnames="alpha")
def nogueira(selected: ArrayLike, *, alpha: float = 0.05) -> tuple[Array, Array, Array]:
    """Stability of selected sets, less chance (Nogueira, Sechidis & Brown, 2018).

    With p_c the share of replicates that select c, and k the mean size of a set,
    1 - mean_c [B / (B - 1) p_c (1 - p_c)] / (k / C (1 - k / C)) (their definition 4). The interval
    is asymptotic in B (corollary 9), and on the replicates' law given the data: it is an interval
    on what more replicates would give. The law's value lies in [0, 1], so the limits do too.

    Parameters
    ----------
    selected : array [B, C] or [B, U, C] of 0/1
        Whether each replicate selects each concept; sets may differ in size.
    alpha : float in (0, 1)
        The interval holds with probability about 1 - alpha.

    Returns
    -------
    value, lower, upper : Array [] or [U]
        The value lies in [-1/(B - 1), 1]: 1 if all sets are the same, about 0 if drawn at random.
        NaN with one replicate, or when every set is empty or full.

    Raises
    ------
    ValueError
        If the shape or alpha is wrong.
    """
    check_share(alpha, "alpha")
    z = _selections(selected)
    num_replicates = z.shape[0]
    frequency = jnp.minimum(z.mean(axis=0), 1)
    size = z.mean(axis=-1)
    overlap = (z * frequency[None]).mean(axis=-1)
    weight = jnp.full(size.shape, 1 / num_replicates, z.dtype)
    constant = (z == 0).all(axis=(0, -1)) | (z == 1).all(axis=(0, -1))
    return _nogueira(frequency, size, overlap, weight, constant, num_replicates, alpha)


def nogueira_of_votes(share: Any, n: int, alpha: float) -> tuple[Any, Any, Any]:
    """:func:`nogueira` of the sets that hold the winner alone, from vote shares [U, C].

    Replicates with the same winner count alike, so that no array [B, U, C] is needed.
    """
    xp = share.__array_namespace__()
    num_neurons, num_concepts = share.shape
    none = xp.zeros((1, num_neurons), share.dtype)  # replicates without a winner: an empty set
    size = xp.concatenate([xp.full_like(share.T, 1 / num_concepts), none])
    overlap = xp.concatenate([share.T / num_concepts, none])
    weight = xp.concatenate([share.T, xp.maximum(1 - share.sum(axis=1), 0)[None]])
    constant = (share == 0).all(axis=1) | (num_concepts == 1)
    return _nogueira(share, size, overlap, weight, constant, n, alpha)


def _nogueira(
    frequency: Any,
    size: Any,
    overlap: Any,
    weight: Any,
    constant: Any,
    n: int,
    alpha: float,
) -> tuple[Any, Any, Any]:
    """Value and interval from distinct sets r on the first axis, each a share ``weight`` of n.

    ``frequency`` [..., C] is p_c, ``size`` [r, ...] the size of a set over C, and ``overlap``
    [r, ...] the mean over concepts of p_c where the set has c, else 0. ``constant`` [...] tells
    where every set is empty or every set is full.
    """
    xp = frequency.__array_namespace__()
    mean_size = frequency.mean(axis=-1)
    spread = mean_size * (1 - mean_size)
    if n < 2:
        undefined = xp.full_like(spread, xp.nan)
        return undefined, undefined, undefined
    spread = xp.where(constant, xp.nan, spread)
    value = 1 - n / (n - 1) * (frequency * (1 - frequency)).mean(axis=-1) / spread
    # a set's influence on the value; its variance gives that of the value
    a, b = mean_size[None], size
    phi = (overlap - a * b + value[None] / 2 * (2 * a * b - a - b + 1)) / spread[None]
    centred = phi - (weight * phi).sum(axis=0)[None]
    error = 2 * xp.sqrt((weight * centred**2).sum(axis=0) / n)
    half = -NormalDist().inv_cdf(alpha / 2) * error
    return value, xp.clip(value - half, 0, 1), xp.clip(value + half, 0, 1)


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
    check_share(p, "p")
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
    x = floating(scores)
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


def agreeing_pairs(votes: Any, num_raters: int) -> Any:
    """Share [U] of the pairs of distinct raters that agree, from votes [U, C]; NaN with one."""
    xp = votes.__array_namespace__()
    if num_raters < 2:
        return xp.full(votes.shape[0], xp.nan, votes.dtype)
    pairs = (votes / num_raters * ((votes - 1) / (num_raters - 1))).sum(axis=1)
    return xp.where((votes == num_raters).any(axis=1), 1, pairs)


def floating(values: ArrayLike) -> Array:
    """The values as floats; integers and booleans in the default precision."""
    x = jnp.asarray(values)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)


def _selections(selected: ArrayLike) -> Array:
    z = floating(selected)
    if z.ndim not in (2, 3) or 0 in z.shape:
        raise ValueError(f"selected must have shape [B, C] or [B, U, C], got {z.shape}")
    return z
