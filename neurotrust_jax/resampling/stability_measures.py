"""How stable labels are over bootstrap replicates, and the arg-max that resampling keeps stable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from .._runtime.short_repr import short_repr
from .._runtime.validation import check_share
from ..schemes import SCHEMES, Scheme, check_scheme
from .agreement import agreeing_pairs, floating, kappa_of_votes, nogueira_of_votes
from .bootstrapping import Bootstrap

__all__ = ["Stability", "bagging_epsilon", "inflated_argmax", "stability", "stability_of_votes"]


@short_repr
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
    meta_fields=("alpha", "epsilon"),
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
    alpha : float
        The intervals hold with probability about 1 - alpha.
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
    alpha: float
    epsilon: float


def stability(boot: Bootstrap, *, alpha: float = 0.05, epsilon: float = 0.1) -> Stability:
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
    alpha : float in (0, 1)
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
        If alpha or epsilon is out of its range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((500, 3)) < 0.3
    >>> activations = rng.normal(size=(500, 2)) + 4 * concepts[:, :2]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> boot = nt.bootstrap(jax.random.key(0), probe, "iou", num_replicates=100)
    >>> found = nt.stability(boot)
    >>> found.top1_agreement.tolist()
    [1.0, 1.0]
    >>> found.inflated_set.tolist()
    [[True, False, False], [False, True, False]]
    """
    return _compiled(boot.label, boot.vote_share, boot.num_replicates, alpha=alpha, epsilon=epsilon)


@np.errstate(divide="ignore", invalid="ignore")
def stability_of_votes(
    label: Any, share: Any, num_replicates: int, *, alpha: float = 0.05, epsilon: float = 0.1
) -> Stability:
    """As :func:`stability`, from labels [U] and vote shares [U, C] of some replicates.

    NumPy arrays give NumPy arrays, which need no compilation.
    """
    check_share(alpha, "alpha")
    xp = share.__array_namespace__()
    num_concepts = share.shape[1]
    labelled = label >= 0

    def of_labelled(values: Any) -> Any:
        return xp.where(labelled, values, xp.nan)

    def mean(values: Any) -> Any:
        known = ~xp.isnan(values)
        return xp.asarray(xp.where(known, values, 0).sum() / known.sum(dtype=values.dtype))

    votes = xp.round(share * num_replicates)
    agreeing = xp.take_along_axis(votes, xp.maximum(label, 0)[:, None], axis=1)[:, 0]
    # 1 exactly where all agree: compiled division by a constant may round
    same = xp.where(agreeing == num_replicates, 1, agreeing / num_replicates).astype(share.dtype)
    lower, upper = _wilson(same, num_replicates, alpha)
    value, value_lower, value_upper = (
        of_labelled(x) for x in nogueira_of_votes(share, num_replicates, alpha)
    )
    same = of_labelled(same)
    pairwise = of_labelled(agreeing_pairs(votes, num_replicates))
    few = min(num_replicates, num_concepts) < 2  # one vote, or one choice, shows nothing
    entropy = xp.full_like(same, xp.nan) if few else of_labelled(_normalised_entropy(share))
    return Stability(
        top1_agreement=same,
        top1_lower=of_labelled(lower),
        top1_upper=of_labelled(upper),
        pairwise_agreement=pairwise,
        normalised_entropy=entropy,
        nogueira=value,
        nogueira_lower=value_lower,
        nogueira_upper=value_upper,
        inflated_set=_inflated(share, epsilon),
        top1_agreement_layer=mean(same),
        pairwise_agreement_layer=mean(pairwise),
        normalised_entropy_layer=mean(entropy),
        nogueira_layer=mean(value),
        fleiss_kappa=kappa_of_votes(votes, num_replicates, labelled),
        alpha=alpha,
        epsilon=epsilon,
    )


def _wilson(share: Any, n: int, alpha: float) -> tuple[Any, Any]:
    """Interval of a binomial proportion (Wilson, 1927)."""
    xp = share.__array_namespace__()
    z2 = NormalDist().inv_cdf(alpha / 2) ** 2
    centre = share + z2 / (2 * n)
    half = xp.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    # the ends are 0 and 1 exactly where all replicates agree; rounding would miss them
    low = xp.where(share == 0, 0, (centre - half) / (1 + z2 / n))
    high = xp.where(share == 1, 1, (centre + half) / (1 + z2 / n))
    return low, high


def _normalised_entropy(share: Any) -> Any:
    """Entropy [U] of the votes cast over the log of the number of concepts, in [0, 1]."""
    xp = share.__array_namespace__()
    p = share / share.sum(axis=1, keepdims=True)  # NaN where no replicate has a winner
    entropy = -xp.where(p == 0, 0, p * xp.log(xp.where(p == 0, 1, p))).sum(axis=1)
    return xp.clip(entropy / math.log(share.shape[1]), 0, 1)


# Compiled on the arrays alone, so that another metric or scheme compiles nothing.
_compiled = jax.jit(stability_of_votes, static_argnames=("num_replicates", "alpha", "epsilon"))


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

    Examples
    --------
    A clear leader stands alone; two that nearly tie are both in the set:

    >>> nt.inflated_argmax([[0.9, 0.1, 0.0], [0.5, 0.45, 0.05]], 0.1).tolist()
    [[True, False, False], [True, True, False]]
    """
    w = floating(weights)
    if w.ndim < 1 or w.shape[-1] < 1:
        raise ValueError(f"weights must have shape [..., C], got {w.shape}")
    return _inflated(w, epsilon)


def _inflated(w: Any, epsilon: float) -> Any:
    """:func:`inflated_argmax`, by NumPy or JAX as the array."""
    if not epsilon > 0:
        raise ValueError(f"epsilon must be above 0, got {epsilon}")
    xp = w.__array_namespace__()
    num_labels, gap = w.shape[-1], epsilon / math.sqrt(2)
    # distances do not change with a shift, and from the top only small numbers are squared
    top = w.max(axis=-1, keepdims=True)
    ordered = -xp.sort(top - w, axis=-1)
    place = xp.broadcast_to(xp.arange(num_labels, dtype=xp.int32), w.shape)
    start = xp.zeros_like(ordered[..., :1])
    sums = xp.concatenate([start, xp.cumsum(ordered, axis=-1)], axis=-1)
    squares = xp.concatenate([start, xp.cumsum(ordered**2, axis=-1)], axis=-1)

    def largest(m: Any, prefix: Any, own: Any) -> Any:
        """Sum over the m largest but label j, from sums over all."""
        with_own = xp.take_along_axis(prefix, xp.minimum(m + 1, num_labels), axis=-1) - own
        return xp.where(m <= place, xp.take_along_axis(prefix, m, axis=-1), with_own)

    def mean(m: Any) -> Any:
        """Where w_j and the m largest meet."""
        k = m.astype(w.dtype)
        return (ordered + largest(m, sums, ordered) + k * gap) / (k + 1)

    def halve(_: int, bounds: tuple[Any, Any]) -> tuple[Any, Any]:
        low, high = bounds
        m = xp.maximum((low + high + 1) // 2, 1)
        next_one = xp.take_along_axis(ordered, xp.where(m - 1 < place, m - 1, m), axis=-1)
        capped = next_one + gap > mean(m - 1)
        return xp.where(capped, m, low), xp.where(capped, high, m - 1)

    bounds = xp.zeros_like(place), xp.full_like(place, num_labels - 1)
    steps = (num_labels - 1).bit_length()
    if xp is jnp:
        bounds = lax.fori_loop(0, steps, halve, bounds)
    else:
        for step in range(steps):
            bounds = halve(step, bounds)
    m, _ = bounds
    k, t = m.astype(w.dtype), mean(m)
    others = largest(m, squares, ordered**2) + 2 * gap * largest(m, sums, ordered) + k * gap**2
    inside = ordered**2 + others - (k + 1) * t**2 < epsilon**2
    # the larger of two weights is nearer to leading, so the set is all weights above its least
    least = xp.where(inside, ordered, xp.inf).min(axis=-1, keepdims=True)
    return w - top >= least


def bagging_epsilon(
    num_units: int,
    num_concepts: int,
    *,
    delta: float = 0.05,
    scheme: str | Scheme = "multinomial",
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
    scheme : {"multinomial", "poisson", "subsample"} or Scheme
        A scheme that knows the probability of a unit's presence. In a Bayesian replicate no unit is
        absent, and nothing is guaranteed.
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
    check_share(delta, "delta")
    n, c = num_units, num_concepts
    if n < 2 or c < 1 or (num_replicates is not None and num_replicates < 1):
        raise ValueError(
            "num_units must be at least 2, num_concepts and num_replicates at least 1, "
            f"got {n}, {c} and {num_replicates}"
        )
    scheme = check_scheme(scheme)
    if scheme.presence is None:
        guaranteed = ", ".join(repr(x.name) for x in SCHEMES.values() if x.presence is not None)
        raise ValueError(
            f"a guarantee needs a scheme whose presence of units is known, such as {guaranteed}, "
            f"got {scheme.name!r}"
        )
    p, q = scheme.presence(n)
    moved = (p / (1 - p) + q / (1 - p) ** 2) / n
    if num_replicates is not None:
        moved += 2 / num_replicates
    return math.sqrt((1 - 1 / c) * moved / delta)
