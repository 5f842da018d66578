"""What several functions ask of their options: a clear error before any work."""

from __future__ import annotations

__all__ = ["check_count", "check_seed", "check_share"]

LARGEST_SEED = 2**32 - 1  # JAX drops the higher bits of a seed where it runs in 32 bits


def check_count(count: int, name: str) -> int:
    """A whole number of at least 1, as an int."""
    if int(count) != count or count < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {count}")
    return int(count)


def check_seed(seed: int) -> int:
    """A whole number of which each gives another key, the same in 32 and in 64 bits, as an int."""
    if int(seed) != seed or not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed must be a whole number from 0 to {LARGEST_SEED}, got {seed}")
    return int(seed)


def check_share(share: float, name: str) -> None:
    """A number strictly between 0 and 1: an error level, a share of the samples."""
    if not 0 < share < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {share}")
