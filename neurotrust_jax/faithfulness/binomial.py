"""Clopper and Pearson's bounds of a proportion, from the tails of the binomial."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import ndtri

from .concentration import Interval, RatioData, each, excess

__all__ = ["exact"]


def exact(data: RatioData, tail: Array) -> Interval:
    """Clopper and Pearson's bounds (1934), by the tails of the binomial.

    Only where blocks are single samples of weight one, so that the hits are Binomial(N, r).
    """
    hits = jnp.round(data.hits_low * data.blocks)
    misses = data.blocks - hits
    logit, other = each(lambda x: _binomial_logit(x, data.blocks, tail), hits, misses)
    lower, upper = jax.nn.sigmoid(logit), jax.nn.sigmoid(-other)
    return jnp.where(hits > 0, lower, 0), jnp.where(misses > 0, upper, 1)


# ln n! - (n ln n - n) for n = 0..7; beyond, Stirling's series is right to 1e-9
_LOG_FACTORIAL_EXCESS = tuple(
    math.lgamma(n + 1) - (n * math.log(n) - n if n else 0) for n in range(8)
)
_TERMS = 64  # terms of the continued fraction; 40 give six digits at N = 1e6 and a tail of 0.025
_NEWTON_STEPS = 5


def _binomial_logit(hits: Array, trials: Array, tail: Array) -> Array:
    """Logit of the p at which P(Binomial(trials, p) >= hits) equals ``tail``, hits being positive.

    The logarithm of the tail is concave in logit p (the law is an exponential family with a
    log-concave tail), so Newton's method, once left of the root, approaches it from the left: every
    iterate is a valid, slightly low bound.
    """
    x = jnp.maximum(hits, 1)
    n = jnp.maximum(trials, x)
    target = jnp.log(tail)
    z = -ndtri(tail)
    start = (x + z**2 / 2 - z * jnp.sqrt(x * (n - x) / n + z**2 / 4)) / (n + z**2)  # Wilson
    start = jnp.clip(start, jnp.finfo(x.dtype).tiny * n, 1 - jnp.finfo(x.dtype).eps)

    def step(_: int, logit: Array) -> Array:
        p, q = jax.nn.sigmoid(logit), jax.nn.sigmoid(-logit)
        over = _tail_over_mass(x, n, p, q)
        log_tail = _log_mass(x, n, p, q) + jnp.log(over)
        return logit - (log_tail - target) * over / (q * x)

    return lax.fori_loop(0, _NEWTON_STEPS, step, jnp.log(start) - jnp.log1p(-start))


def _tail_over_mass(x: Array, n: Array, p: Array, q: Array) -> Array:
    """P(X >= x) / P(X = x) of a binomial: the incomplete beta function's continued fraction.

    Gauss (1812), DLMF 8.17.22 at a = x, b = n - x + 1, evaluated backwards.
    """
    b = n - x + 1

    def two_terms(i: Array, value: Array) -> Array:
        m = (_TERMS // 2 - i).astype(x.dtype)
        value = 1 + m * (b - m) * p / ((x + 2 * m - 1) * (x + 2 * m)) / value
        m = m - 1
        return 1 - (x + m) * (n + 1 + m) * p / ((x + 2 * m) * (x + 2 * m + 1)) / value

    value = lax.fori_loop(0, _TERMS // 2, two_terms, jnp.ones_like(x))
    return q / value


def _log_mass(x: Array, n: Array, p: Array, q: Array) -> Array:
    """Logarithm of P(Binomial(n, p) = x), without the cancellation of log-gammas (Loader, 2000)."""
    counts = _log_factorial_excess(n) - _log_factorial_excess(x) - _log_factorial_excess(n - x)
    away = n * p * excess((x - n * p) / (n * p), x, p)
    return counts - away - n * q * excess((n * p - x) / (n * q), n - x, q)


def _log_factorial_excess(n: Array) -> Array:
    table = jnp.asarray(_LOG_FACTORIAL_EXCESS, n.dtype)
    large = jnp.maximum(n, 8)
    series = (1 / 12 - (1 / 360 - 1 / (1260 * large**2)) / large**2) / large
    stirling = jnp.log(2 * jnp.pi * large) / 2 + series
    return jnp.where(n < 8, table[jnp.clip(n, 0, 7).astype(jnp.int32)], stirling)
