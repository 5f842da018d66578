"""What several functions ask of their options: a clear error before any work."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["check_count", "check_key", "check_seed", "check_share"]

LARGEST_SEED = 2**32 - 1  # JAX drops the higher bits of a seed where it runs in 32 bits


def check_count(count: int, name: str, least: int = 1) -> int:
    """A whole number of at least ``least``, as an int."""
    if int(count) != count or count < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {count}")
    return int(count)


def check_key(key: Any) -> None:
    """A single JAX key, of either kind."""
    if isinstance(key, jax.Array):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if (typed and key.ndim == 0) or (key.dtype == jnp.uint32 and key.ndim == 1):
            return
        given = f"an array of {key.dtype} of shape {key.shape}"
    else:
        given = type(key).__name__
    raise ValueError(f"key must be one JAX key, such as jax.random.key(0), got {given}")


def check_seed(seed: int) -> int:
    """A whole number of which each gives another key, the same in 32 and in 64 bits, as an int."""
    if int(seed) != seed or not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed must be a whole number from 0 to {LARGEST_SEED}, got {seed}")
    return int(seed)


def check_share(share: float, name: str) -> None:
    """A number strictly between 0 and 1: an error level, a share of the samples."""
    if not 0 < share < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {share}")
