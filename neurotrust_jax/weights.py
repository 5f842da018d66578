"""Resampling by weights: how often a replicate draws each sample.

A replicate is a vector of sample weights, never a gather of rows. Replicate b draws from
``fold_in(key, b)``, so it is the same whatever the number of replicates or the chunk size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ["SCHEMES", "check_scheme", "draw", "draw_all"]

# P(Poisson(1) <= k), k = 0..12, the rest below float32 resolution of the uniform draw
_POISSON_CDF = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 13)]))


def _multinomial(key: Array, n: int, dtype: Any) -> Array:
    drawn = jax.random.randint(key, (n,), 0, n)
    return jnp.zeros(n, dtype).at[drawn].add(1)


def _poisson(key: Array, n: int, dtype: Any) -> Array:
    table = jnp.asarray(_POISSON_CDF, jnp.float32)
    uniform = jax.random.uniform(key, (n,), jnp.float32)
    return jnp.searchsorted(table, uniform, side="right").astype(dtype)


def _bayesian(key: Array, n: int, dtype: Any) -> Array:
    draw = jax.random.exponential(key, (n,), dtype)
    return draw * (n / draw.sum())


def _subsample(key: Array, n: int, dtype: Any) -> Array:
    return jnp.zeros(n, dtype).at[jax.random.permutation(key, n)[: n // 2]].set(1)


SCHEMES: Mapping[str, Callable[[Array, int, Any], Array]] = MappingProxyType(
    {
        "multinomial": _multinomial,
        "poisson": _poisson,
        "bayesian": _bayesian,
        "subsample": _subsample,
    }
)
"""Weights [n] of n independent units, by name of the scheme.

``multinomial``: n draws with replacement (Efron, 1979). ``poisson``: independent Poisson(1)
counts. ``bayesian``: n times a flat Dirichlet vector (Rubin, 1981). ``subsample``: half of the
units without replacement, whose spread about the full sample matches the bootstrap's.
"""


def check_scheme(scheme: str) -> None:
    """Refuse an unknown scheme."""
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r}; known: {', '.join(SCHEMES)}")


def draw(
    key: Array, replicate: Array, groups: Array | None, scheme: str, num_units: int, dtype: Any
) -> Array:
    """Weights [n] of one replicate, sample weights excluded."""
    unit = SCHEMES[scheme](jax.random.fold_in(key, replicate), num_units, dtype)
    return unit if groups is None else unit[groups]


def draw_all(
    key: Array, ids: Array, weights: Array, groups: Array | None, scheme: str, num_units: int
) -> Array:
    """Weights [n, b] of some replicates."""
    one = partial(draw, key, groups=groups, scheme=scheme, num_units=num_units, dtype=weights.dtype)
    return jax.lax.map(one, ids).T * weights[:, None]
