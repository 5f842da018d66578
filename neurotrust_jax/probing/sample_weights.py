"""Sample weights on a scale of their own, so that no result depends on the unit they came in."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._runtime.host_arrays import as_host_array
from .groups import number_groups

__all__ = ["as_weight", "canonical_weights", "effective_size"]

MOST = 2**20  # a whole weight, in multiples of the common unit


def effective_size(weight: Any, groups: Any = None) -> float:
    """``(sum w)^2 / sum w^2`` (Kish, 1965); with ``groups`` [n] of the groups' total weights.

    Raises
    ------
    ValueError
        If weights are negative, not finite or all zero, or the groups do not fit them.

    Examples
    --------
    >>> import neurotrust_jax as nt
    >>> nt.probing.effective_size([1.0, 1.0, 0.0, 0.0])
    2.0
    """
    w = as_weight(weight, None)
    w = w / w.max()
    if groups is not None:
        w = np.bincount(number_groups(groups, len(w))[0], w)
    return float(w.sum() ** 2 / (w**2).sum())


def as_weight(weight: Any, n: int | None) -> np.ndarray:
    """Weights [n] in double precision, of which one at least is positive."""
    w = as_host_array(weight, "weight").astype(np.float64)
    if w.ndim != 1 or len(w) != (n or len(w)):
        raise ValueError(f"weight must be numbers of shape [{n or 'n'}], got {w.shape}")
    if not ((w >= 0) & (w < np.inf)).all():
        raise ValueError("weight holds negative or non-finite values; weights must be at least 0")
    if not w.any():
        raise ValueError("weight leaves no sample with a positive weight")
    return w


def canonical_weights(weights: np.ndarray, dtype: Any, precision: Any = np.float64) -> np.ndarray:
    """Scale weights [n] so that the scale in which they came makes no difference.

    If all weights are multiples of one number, the largest at most 2^20 times it, they become
    these multiples (counts of rows): [0.1, 0.1] gives [1, 1], [0.2, 0.4] gives [1, 2], and [2, 3]
    stays. All others are scaled so that they sum to the number of samples of positive weight. A
    weight too small for the type beside the largest one becomes 0.

    Parameters
    ----------
    weights : numpy.ndarray [n] of float64
        Finite, non-negative, not all zero.
    dtype : float dtype
        Type of the result.
    precision : dtype
        Type in which the weights came: it says how far from multiples rounding may leave them.
    """
    share = weights / weights.max()
    share[share < jnp.finfo(dtype).tiny] = 0
    found = _multiples(share, float(np.finfo(np.float64).eps))
    if found is None and jnp.issubdtype(precision, jnp.floating):
        found = _multiples(share, float(jnp.finfo(precision).eps))
    if found is None:
        found = share * ((share > 0).sum() / share.sum())
    return found.astype(dtype)


def _multiples(share: np.ndarray, eps: float) -> np.ndarray | None:
    """The least whole numbers in these proportions (the largest share is 1), if there are any.

    With random weights a fraction with a denominator up to q lies within rounding of a share with
    a probability of about ``q**2 * eps``, which limits what is taken for a multiple.
    """
    most = int(min(MOST, 1 / (12 * eps**0.5)))
    scale = 1
    while scale <= most:
        scaled = share * scale
        off = np.abs(scaled - np.rint(scaled)) > 4 * eps * scaled
        if not off.any():
            return np.rint(scaled)
        value = float(scaled[off.argmax()])
        near = Fraction(value).limit_denominator(max(most // scale, 1))
        if near.denominator == 1 or abs(float(near) - value) > 4 * eps * value:
            return None
        scale *= near.denominator
    return None
