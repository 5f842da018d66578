"""Limits on a ratio of means by betting against it (Waudby-Smith and Ramdas, 2024).

Independent blocks carry hits X in [0, Y] out of trials Y in [0, M], and r = E[X] / E[Y]. Someone
who doubts that the ratio is as large as some r bets a share b of the present wealth on each block,
and each block multiplies the wealth by 1 + b z, where z = (X / r - Y) / M. This z is at least -1,
so the wealth never becomes negative; and if the ratio is at most r, its expectation is at most 0,
so the wealth is not expected to grow. By Markov's inequality it then reaches 1 / tail with
probability at most ``tail``. This holds for bets that are fixed beforehand, and for the mean wealth
of several who bet different shares, at every number of blocks. The lower bound is the largest r at
which the wealth is 1 / tail; the upper bound is 1 less the lower bound of the misses Y - X.

The shares are NUM_BETS between sqrt(2 ln(1/tail) r / N), the best where residuals vary as much as
they can, and MOST, the best where they hardly vary, in a geometric progression. They depend on the
data through the number N of blocks with trials alone, which says nothing on what these hold. Each
share b rises with r, and b / r falls, so that every factor 1 + (b / r) X / M - b Y / M falls, and
bisection finds the bound.

Two ways to find it, for all pairs of a layer and for a few:

- from moments. Of all laws of w = 1 + z >= 0 with given mean and mean square, the mean of
  ln(1 + b z) is least for a law of two points, 0 and E[w²] / E[w] (Bennett's argument: the third
  derivative of the logarithm is positive). The wealth that N such blocks would give is no more than
  the real one, so where it reaches 1 / tail, the real one does.
- from the blocks themselves, between the bound from moments and the measured ratio.

The first bounds contain the second, whatever the data. Which pairs get the second may therefore
depend on the data, at no cost in error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from .concentration import Interval, RatioData, boundary, each

__all__ = ["from_blocks", "from_moments"]

NUM_BETS = 8
MOST = 0.98  # share of the wealth; 1 would lose all of it to a single block of misses
LARGEST = 1e9  # gain counted of one block, so that a product of four stays in single precision
FEW_STEPS = 20  # steps of bisection from the moments in single precision: right to 1e-6
STEPS = (
    16  # steps of bisection between the two bounds: rounded outwards by 2^-16 of the way at most
)


def from_moments(data: RatioData, tail: Array, sides: Array | None = None) -> Interval:
    """Limits from means and mean squares, for all pairs [U, C].

    ``sides`` [2] of bool says whether the lower, and the upper bound is needed; in place of one
    that is not stands 0, or 1.
    """
    xx, xy, yy = data.hits_squared, data.cross, data.trials_squared
    if xx is None or xy is None or yy is None:
        raise ValueError("the variance of this data is not known")
    m, n, y = data.bound, data.blocks, data.trials
    measured, _ = data.ratio

    def lower(of: tuple[Array, Array, Array, Array]) -> Array:
        ratio, mean, square, cross = of

        def accepted(r: Array) -> Array:
            z = (mean / r - y) / m
            zz = (square / r - 2 * cross) / r / m**2 + yy / m**2
            w, ww = 1 + z, 1 + 2 * z + zz
            lost = jnp.maximum(zz - z**2, 0) / ww  # probability of the point 0
            won = (z + zz) / jnp.where(w > 0, w, 1)  # z at the other point
            logs = [
                n * (lost * jnp.log1p(-b) + (1 - lost) * jnp.log1p(b * won))
                for b in _bets(r, n, tail)
            ]
            return _log_mean(jnp.stack(logs), axis=0) < -jnp.log(tail)

        # without hits there is nothing to win; without trials nothing at all
        steps = FEW_STEPS if ratio.dtype == jnp.float32 else None
        return jnp.where(ratio > 0, boundary(accepted, ratio, jnp.zeros_like(ratio), steps), 0)

    hits = measured, data.hits_low, xx, xy
    misses = 1 - measured, y - data.hits_low, yy - 2 * xy + xx, yy - xy
    low, other = _each_side(lower, hits, misses, sides)
    some = (n > 0) & (y > 0)
    return jnp.where(some, low, 0), jnp.where(some, 1 - other, 1)


def from_blocks(
    x: Array,
    y: Array,
    within: Interval,
    n: Array,
    bound: Array,
    tail: Array,
    sides: Array | None = None,
) -> Interval:
    """Limits from the blocks themselves, for some pairs [K].

    Parameters
    ----------
    x, y : Array [N, K]
        Hits and trials of each block; N is a multiple of four, and rows beyond a pair's blocks hold
        zeros.
    within : two Array [K]
        Limits from moments at the same tail.
    n, bound : Array [K]
        Number of blocks with trials, and the largest value that Y can take.
    tail : Array []
    sides : Array [2] of bool, optional
        Which bounds are needed, as of :func:`from_moments`.
    """
    total = y.sum(axis=0)
    some = total > 0
    ratio = jnp.clip(jnp.where(some, x.sum(axis=0) / jnp.where(some, total, 1), 0), 0, 1)
    x, y = x / bound[None, :], y / bound[None, :]

    def lower(of: tuple[Array, Array, Array]) -> Array:
        hits, inside, outside = of

        def accepted(r: Array) -> Array:
            z = jnp.minimum(hits / r[None, :] - y, LARGEST)
            logs = [_log_product(1 + b[None, :] * z) for b in _bets(r, n, tail)]
            return _log_mean(jnp.stack(logs), axis=0) < -jnp.log(tail)

        return boundary(accepted, jnp.maximum(inside, outside), outside, STEPS)

    hits, misses = (x, ratio, within[0]), (y - x, 1 - ratio, 1 - within[1])
    low, other = _each_side(lower, hits, misses, sides)
    return jnp.where(some, low, 0), jnp.where(some, 1 - other, 1)


def _each_side(
    lower: Callable[[Any], Array], hits: Any, misses: Any, sides: Array | None
) -> Interval:
    """Lower bounds of the hits and of the misses, 0 for a side that is not needed."""
    if sides is None:
        return each(lower, hits, misses)

    def where_needed(of: tuple[Array, Any]) -> Array:
        needed, data = of
        shape = jax.eval_shape(lower, data)
        return lax.cond(needed, lower, lambda _: jnp.zeros(shape.shape, shape.dtype), data)

    return each(where_needed, (sides[0], hits), (sides[1], misses))


def _bets(r: Array, n: Array, tail: Array) -> list[Array]:
    """Shares of the wealth, from the least to the largest."""
    least = jnp.minimum(jnp.sqrt(-2 * jnp.log(tail) * r / jnp.maximum(n, 1)), MOST)
    ratio = (MOST / jnp.where(least > 0, least, MOST)) ** (1 / (NUM_BETS - 1))
    bets = [least]
    while len(bets) < NUM_BETS:
        bets.append(bets[-1] * ratio)
    return bets


def _log_product(factors: Array) -> Array:
    """Sum of the logarithms of factors [N, K], four at a time; N is a multiple of four."""
    return jnp.log(factors.reshape(4, -1, factors.shape[1]).prod(axis=0)).sum(axis=0)


def _log_mean(logs: Array, axis: int) -> Array:
    """Logarithm of the mean of exponentials."""
    largest = logs.max(axis=axis, keepdims=True)
    total = jnp.exp(logs - largest).sum(axis=axis)
    return jnp.squeeze(largest, axis) + jnp.log(total / logs.shape[axis])
