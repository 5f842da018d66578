"""Resampling by weights: how often a replicate draws each sample.

A replicate is a vector of sample weights, never a gather of rows. Replicate b draws from
``fold_in(key, b)``, so it is the same whatever the number of replicates or the chunk size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = [
    "SCHEMES",
    "UNITS_A_BLOCK",
    "Scheme",
    "check_scheme",
    "draw",
    "draw_all",
    "poisson_blocks",
]

TOP_UP = 6  # standard deviations that a Poisson total is held below n before it is topped up
UNITS_A_BLOCK = 1024  # whose Poisson counts follow from the replicate and the block alone
TOGETHER = 2**20  # counts drawn side by side: those of one replicate are too few to fill a CPU
MOST = 12  # P(Poisson(1) > 12) is below the resolution of 32 random bits


def _poisson_counts(bits: Array, mean: float, dtype: Any) -> Array:
    """Poisson counts by inversion of 32 random bits each."""
    mass = math.exp(-mean)
    law = np.cumsum([mass * mean**k / math.factorial(k) for k in range(MOST)])
    steps = np.minimum(law * 2.0**32, 2.0**32 - 1).astype(np.uint32)
    return sum(((bits >= step).astype(dtype) for step in steps), jnp.zeros(bits.shape, dtype))


def _multinomial(key: Array, n: int, dtype: Any) -> Array:
    """Poisson counts with a mean a little below 1, topped up to n by single draws.

    Given their total, independent Poisson counts of one mean are multinomial, and so is their sum
    with as many uniform draws as are missing: the law is that of n draws, and few are scattered.
    The total is n but for a probability of 1e-9, when it is off by a few.
    """
    short = min(n, math.ceil(TOP_UP * math.sqrt(n)))
    bits = jax.random.bits(key, (n + min(2 * short, n),), jnp.uint32)
    counts = _poisson_counts(bits[:n], 1 - short / n, dtype)
    missing = n - counts.sum(dtype=jnp.int32)
    drawn = (bits[n:] % np.uint32(n)).astype(jnp.int32)
    wanted = jnp.arange(drawn.shape[0], dtype=jnp.int32) < missing
    return counts.at[drawn].add(wanted.astype(dtype))


def _poisson(key: Array, n: int, dtype: Any) -> Array:
    return poisson_blocks(key, jnp.asarray(0, jnp.int32), -(-n // UNITS_A_BLOCK), dtype)[:n]


def poisson_blocks(key: Array, first: Array, number: int, dtype: Any) -> Array:
    """Counts of a replicate for the units of some blocks, whichever other blocks are drawn."""
    keys = jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(number, dtype=jnp.int32))
    bits = jax.vmap(lambda k: jax.random.bits(k, (UNITS_A_BLOCK,), jnp.uint32))(keys)
    return _poisson_counts(bits.reshape(-1), 1.0, dtype)


def _bayesian(key: Array, n: int, dtype: Any) -> Array:
    draw = jax.random.exponential(key, (n,), dtype)
    return draw * (n / draw.sum())


def _subsample(key: Array, n: int, dtype: Any) -> Array:
    # twice, so that half of the units weigh as much as all of them
    return jnp.zeros(n, dtype).at[jax.random.permutation(key, n)[: n // 2]].set(2)


class Scheme(NamedTuple):
    """How a replicate is drawn.

    Attributes
    ----------
    draw : callable
        ``draw(key, n, dtype) -> Array [n]``, weights of n independent units whose mean is about 1,
        so that metrics of a fixed number of samples look as far down as they do on the data.
    whole : bool
        Whether the weights are whole numbers.
    """

    draw: Callable[[Array, int, Any], Array]
    whole: bool = True


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "multinomial": Scheme(_multinomial),
        "poisson": Scheme(_poisson),
        "bayesian": Scheme(_bayesian, whole=False),
        "subsample": Scheme(_subsample),
    }
)
"""Schemes by name.

``multinomial``: n draws with replacement (Efron, 1979). ``poisson``: independent Poisson(1)
counts. ``bayesian``: n times a flat Dirichlet vector (Rubin, 1981). ``subsample``: half of the
units without replacement, each counted twice; its spread about the full sample matches the
bootstrap's.
"""


def check_scheme(scheme: str) -> None:
    """Refuse an unknown scheme."""
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r}; known: {', '.join(SCHEMES)}")


@partial(jax.jit, static_argnames=("scheme", "num_units", "dtype"))
def draw(
    key: Array, replicate: Array, groups: Array | None, scheme: str, num_units: int, dtype: Any
) -> Array:
    """Weights [n] of one replicate, sample weights excluded."""
    unit = SCHEMES[scheme].draw(jax.random.fold_in(key, replicate), num_units, dtype)
    return unit if groups is None else unit[groups]


@partial(jax.jit, static_argnames=("scheme", "num_units", "dtype"))
def draw_all(
    key: Array, ids: Array, groups: Array | None, scheme: str, num_units: int, dtype: Any
) -> Array:
    """Weights [b, n] of the replicates ``ids``, sample weights excluded."""
    one = partial(draw, key, groups=groups, scheme=scheme, num_units=num_units, dtype=dtype)
    size = max(1, min(64, TOGETHER // num_units, ids.shape[0]))
    if not SCHEMES[scheme].whole:
        size = 1  # how a sum of reals is rounded depends on what is summed beside it
    # filled up to whole batches: what is left over would be compiled by itself
    whole = jnp.pad(ids, (0, -ids.shape[0] % size))
    return jax.lax.map(one, whole, batch_size=size)[: ids.shape[0]]
