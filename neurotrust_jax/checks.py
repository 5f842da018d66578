"""What several functions ask of their options: a clear error before any work."""

from __future__ import annotations

__all__ = ["check_count", "check_share"]


def check_count(count: int, name: str) -> int:
    """A whole number of at least 1, as an int."""
    if int(count) != count or count < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {count}")
    return int(count)


def check_share(share: float, name: str) -> None:
    """A number strictly between 0 and 1: an error level, a share of the samples."""
    if not 0 < share < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {share}")
