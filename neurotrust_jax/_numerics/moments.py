"""Mean and spread of arrays that come one after the other."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

__all__ = ["accumulate", "standard_deviation"]


def accumulate(moments: tuple[Array, Array, Array], x: Array) -> tuple[Array, Array, Array]:
    """Add values to their number, sum and sum of squares; NaN is left out."""
    count, total, square = moments
    defined = ~jnp.isnan(x)
    x = jnp.where(defined, x, 0)
    return count + defined.astype(x.dtype), total + x, square + x * x


def standard_deviation(moments: tuple[Array, Array, Array]) -> Array:
    """The standard deviation of the values that were accumulated; 0 where there were none."""
    count, total, square = moments
    some = jnp.maximum(count, 1)
    return jnp.sqrt(jnp.maximum(square / some - (total / some) ** 2, 0))
