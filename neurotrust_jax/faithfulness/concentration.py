"""Confidence bounds of one ratio of means, valid at every sample size, for many pairs at once.

Everything reduces to independent blocks that carry hits X in [0, Y] out of trials Y in [0, M], and
to the ratio r = E[X] / E[Y]. A block is a sample (then Y is 1 and X a coin, a binomial) or a group
of samples that are not independent. At the true r the residuals X - r Y have mean zero and lie in
[-r M, (1 - r) M]: any inequality for the mean of bounded variables gives a bound on r. Blocks
without trials are dropped first; the rest are again independent and identically distributed.

Every inequality takes ``tail``, the error of *each bound*: the lower bound exceeds the true ratio
with probability at most ``tail``, and so the upper bound falls below it. Both hold but for a
probability of twice that; whoever reads one bound alone spends the whole error on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

__all__ = [
    "Interval",
    "RatioData",
    "bernstein",
    "boundary",
    "chernoff",
    "dkw",
    "each",
    "excess",
    "hoeffding",
    "replicate_bounds",
]

Interval = tuple[Array, Array]


class RatioData(NamedTuple):
    """Means over independent terms that bound a ratio r = E[X] / E[Y], per neuron and concept.

    Attributes
    ----------
    hits_low, hits_high : Array [U, C]
        Mean of X over the blocks; the two differ only where part of it is unknown.
    trials : Array [U, C]
        Mean of Y.
    blocks : Array [U, C]
        Number N of independent blocks, those without trials left out.
    bound : Array [] or [U, C]
        The largest value M that Y can take.
    hits_squared, cross, trials_squared : Array [U, C] or None
        Means of X², XY and Y², where the variance is known.
    most_trials : Array [U, C] or None
        The largest Y seen, where blocks are groups.
    """

    hits_low: Array
    hits_high: Array
    trials: Array
    blocks: Array
    bound: Array
    hits_squared: Array | None = None
    cross: Array | None = None
    trials_squared: Array | None = None
    most_trials: Array | None = None

    @property
    def ratio(self) -> Interval:
        """The measured ratio, within [0, 1]; 0 and 1 where there are no trials."""
        some = (self.blocks > 0) & (self.trials > 0)
        trials = jnp.where(some, self.trials, 1)
        low = jnp.where(some, self.hits_low / trials, 0)
        high = jnp.where(some, self.hits_high / trials, 1)
        return jnp.clip(low, 0, 1), jnp.clip(high, 0, 1)


def hoeffding(data: RatioData, tail: Array) -> Interval:
    """Half-width M sqrt(ln(1/tail) / 2N) over the mean of Y (Hoeffding, 1963, theorem 2)."""
    return _symmetric(data, jnp.sqrt(jnp.log(1 / tail) / 2))


def dkw(data: RatioData, tail: Array, *, grouped: bool) -> Interval:
    """Limits that hold for all thresholds of an activation at once.

    X counts the trials above the threshold. For single samples this is the inequality of
    Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990): one side of the largest
    deviation exceeds y / sqrt(N) with probability at most exp(-2y²), Hoeffding's rate, provided
    that this is at most 1/2, that is y >= h = sqrt(ln(2) / 2). For groups: draw one of a group's M
    places at random; by Jensen's inequality the moment generating function of the largest deviation
    is at most that of N single samples. The probability that these exceed t is at most exp(-2t²),
    and 1/2 more where t < h, so the function at 4y is at most (1 + exp(4yh)) / 2 +
    4 sqrt(pi/2) y exp(2y²), and Chernoff's method turns it back into P(sup mean(X - r Y) >=
    M y / sqrt(N)) <= (exp(-4y²) + exp(4yh - 4y²)) / 2 + 4 sqrt(pi/2) y exp(-2y²).
    """
    if not grouped:
        return hoeffding(data, jnp.minimum(tail, 0.5))

    def accepted(y: Array) -> Array:
        first = (jnp.exp(-4 * y**2) + jnp.exp(4 * y * (MASSART - y))) / 2
        return first + 4 * jnp.sqrt(jnp.pi / 2) * y * jnp.exp(-2 * y**2) > tail

    return _symmetric(data, boundary(accepted, jnp.ones_like(tail), 9 * jnp.ones_like(tail)))


MASSART = math.sqrt(math.log(2) / 2)  # least deviation, times sqrt(N), of the one-sided inequality


def _symmetric(data: RatioData, scale: Array) -> Interval:
    low, high = data.ratio
    room = jnp.sqrt(data.blocks) * data.trials
    half = jnp.where(room > 0, data.bound * scale / jnp.where(room > 0, room, 1), 1)
    return jnp.clip(low - half, 0, 1), jnp.clip(high + half, 0, 1)


def chernoff(data: RatioData, tail: Array) -> Interval:
    """Limits where N kl(mean, r) reaches ln(1/tail) (Hoeffding, 1963, theorem 1).

    The mean is that of r + (X - r Y) / M, a variable in [0, 1] with expectation r.
    """
    threshold = jnp.log(1 / tail)

    def accepts(hits: Array) -> Callable[[Array], Array]:
        def accepted(r: Array) -> Array:
            mean = jnp.clip(r + (hits - r * data.trials) / data.bound, 0, 1)
            return data.blocks * _relative_entropy(mean, r) <= threshold

        return accepted

    return _outermost(data, accepts)


def bernstein(data: RatioData, tail: Array) -> Interval:
    """Empirical Bernstein bounds (Maurer and Pontil, 2009, theorem 4).

    The residual's mean exceeds its expectation, 0, by more than sqrt(2 V ln(2/tail) / N) +
    7 M ln(2/tail) / (3 (N - 1)) with probability at most ``tail``, V their sample variance.
    """
    xx, xy, yy = data.hits_squared, data.cross, data.trials_squared
    if xx is None or xy is None or yy is None:
        raise ValueError("the variance of this data is not known")
    log = jnp.log(2 / tail)
    n = data.blocks
    fewer = jnp.where(n > 1, n - 1, 1)

    def accepts(hits: Array) -> Callable[[Array], Array]:
        def accepted(r: Array) -> Array:
            mean = hits - r * data.trials
            variance = jnp.maximum(xx - 2 * r * xy + r**2 * yy - mean**2, 0) * n / fewer
            allowed = jnp.sqrt(2 * variance * log / jnp.where(n > 1, n, 1))
            return (jnp.abs(mean) <= allowed + 7 * data.bound * log / (3 * fewer)) | (n <= 1)

        return accepted

    return _outermost(data, accepts)


COARSE_STEPS = 12  # steps of bisection, so that bounds are too wide by 1 in 4,096 of the way


def replicate_bounds(data: RatioData, log_error: Array) -> Interval:
    """Bounds that a bootstrap replicate of the ratio passes with probability exp(-log_error) each.

    Single samples of equal weight. Of the n samples N have a trial, and a share r of these is a
    hit. Draw n of them with replacement, or each as often as a Poisson(1) count tells: by
    Chernoff's method the replicate's hits exceed t times its trials, t >= r, with probability at
    most the n-th power of 1 - (N/n) (1 - exp(-kl(t, r))), which is at most
    exp(-N (1 - exp(-kl(t, r)))). For a statistic of pairs N is the size of the smaller class: given
    the sizes of a replicate's two classes, of which k is the smaller, the bound is exp(-k kl(t, r))
    (Hoeffding, 1963, section 5b), whose expectation is at most the sum of the above over the two
    classes: count both among the events.
    """
    middle = data.ratio[0]

    def accepted(t: Array) -> Array:
        entropy = _relative_entropy(t, middle)
        # what the data never show, a replicate does not either
        return (data.blocks * -jnp.expm1(-entropy) <= log_error) & jnp.isfinite(entropy)

    zero, one = jnp.zeros_like(middle), jnp.ones_like(middle)
    return each(lambda outside: boundary(accepted, middle, outside, COARSE_STEPS), zero, one)


def _outermost(data: RatioData, accepts: Callable[[Array], Callable[[Array], Array]]) -> Interval:
    """Outermost ratios that are accepted, on either side of the measured one."""
    low, high = data.ratio
    return each(
        lambda x: boundary(accepts(x[0]), *x[1:]),
        (data.hits_low, low, jnp.zeros_like(low)),
        (data.hits_high, high, jnp.ones_like(high)),
    )


def each(function: Callable[[Any], Array], one: Any, other: Any) -> Interval:
    """A function of one and of the other, which is compiled once."""
    first, second = lax.map(function, jax.tree.map(lambda *x: jnp.stack(x), one, other))
    return first, second


def boundary(
    accepted: Callable[[Array], Array], inside: Array, outside: Array, steps: int | None = None
) -> Array:
    """The last accepted value on the way from ``inside`` to ``outside``, rounded outwards.

    Bisection finds the outermost one because each rule stops accepting once, or accepts all the
    way: then it is ``outside``. Chernoff's N kl is convex in r and 0 at ``inside``; the bound of a
    replicate increases with such a kl; the tail of :func:`dkw` decreases. Bernstein accepts, at a
    distance s from the measured ratio, where T s <= a σ(s) + b, with T the mean of Y, σ the
    standard deviation of the residuals, a = sqrt(2 ln(2/tail) / N) and b > 0. σ is convex (the norm
    of a vector that is linear in s), so T s - a σ(s) - b is concave, and negative at s = 0. If it
    still rises as s grows to infinity, it rises everywhere and passes 0 once. Else T is at most a
    times the standard deviation of Y, itself at most sqrt(M T N / (N - 1)): then
    T <= 2 M ln(2/tail) / (N - 1) < b, and every ratio in [0, 1] is accepted.
    """
    if steps is None:
        steps = 26 if inside.dtype == jnp.float32 else 50

    def halve(_: int, between: tuple[Array, Array]) -> tuple[Array, Array]:
        yes, no = between
        middle = (yes + no) / 2
        keep = accepted(middle)
        return jnp.where(keep, middle, yes), jnp.where(keep, no, middle)

    return lax.fori_loop(0, steps, halve, (inside, outside))[1]


def _relative_entropy(p: Array, q: Array) -> Array:
    """Relative entropy of the coin p to the coin q, accurate for p near q and at 0 and 1."""
    return q * excess((p - q) / jnp.where(q > 0, q, 1), p, q) + (1 - q) * excess(
        (q - p) / jnp.where(q < 1, 1 - q, 1), 1 - p, 1 - q
    )


def excess(d: Array, p: Array, q: Array) -> Array:
    """(1 + d) ln(1 + d) - d for 1 + d = p / q; infinite where q is 0 and p is not."""
    inner = jnp.where(d > -1, d, 0)
    value = jnp.where(d > -1, (1 + inner) * jnp.log1p(inner) - inner, 1)
    return jnp.where((q <= 0) & (p > 0), jnp.inf, jnp.maximum(value, 0))
