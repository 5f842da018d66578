"""p-values of a permutation test, and their adjustment for many neurons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .layer_null import LayerNull

__all__ = ["adjusted", "benjamini_hochberg", "compare", "holm"]

ROUNDING = 64  # statistics that differ by this many units in the last place count as equal


def benjamini_hochberg(p: Any) -> Array:
    """Adjust p-values for the false discovery rate (Benjamini and Hochberg, 1995).

    With the m p-values in ascending order, the i-th becomes ``min_{j >= i} m p_(j) / j``. Rejecting
    those up to alpha, a share of at most alpha is expected to be false if the p-values are
    independent or positively dependent (on each that is truly null; Benjamini and Yekutieli, 2001).
    Neurons of one layer are judged on the same samples, so for them this is an assumption; under
    any dependence the share is at most alpha (1 + 1/2 + ... + 1/m).

    Parameters
    ----------
    p : array [m]
        p-values in [0, 1]. NaN is left out, and stays NaN.

    Returns
    -------
    Array [m]
        q-values in [0, 1].

    Raises
    ------
    ValueError
        On a wrong shape, or (outside ``jit``) p-values outside [0, 1].

    Examples
    --------
    >>> import neurotrust_jax as nt
    >>> [round(float(q), 3) for q in nt.benjamini_hochberg([0.01, 0.04, 0.03, 0.5])]
    [0.04, 0.053, 0.053, 0.5]
    """
    q = jnp.asarray(p)
    if not jnp.issubdtype(q.dtype, jnp.floating):
        q = q.astype(jnp.float32)
    if q.ndim != 1:
        raise ValueError(f"p must have shape [m], got {list(q.shape)}")
    if not isinstance(q, jax.core.Tracer):
        outside = np.asarray((q < 0) | (q > 1))
        if outside.any():
            first = int(outside.argmax())
            raise ValueError(
                f"p must lie in [0, 1], got {float(q[first]):g} at {first}; give p-values"
            )
    return adjusted(q)


@jax.jit
def adjusted(p: Array) -> Array:
    """The q-values [m] of checked p-values; NaN is left out, and stays NaN."""
    order = jnp.argsort(p)  # NaN comes last
    number = (~jnp.isnan(p)).sum(dtype=jnp.int32).astype(p.dtype)
    scaled = p[order] * (number / jnp.arange(1, p.shape[0] + 1, dtype=p.dtype))
    lowest = lax.cummin(jnp.where(jnp.isnan(scaled), 1, scaled), reverse=True)
    q = jnp.zeros_like(p).at[order].set(jnp.minimum(lowest, 1), unique_indices=True)
    return jnp.where(jnp.isnan(p), jnp.nan, q)


def holm(p: np.ndarray) -> np.ndarray:
    """Family-wise p-values [m] (Holm, 1979), for any dependence; NaN is left out, and stays NaN.

    With the m p-values in ascending order, the i-th becomes ``max_{j <= i} (m - j + 1) p_(j)``, at
    most 1.
    """
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]
    scaled = p[order] * np.arange(len(order), 0, -1)
    adjusted = np.full_like(p, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def compare(
    observed: np.ndarray, null: LayerNull, *, rank: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p-values, the rank-th highest statistic of the null and its mean, of some neurons: [V] each.

    Parameters
    ----------
    observed : numpy.ndarray [V]
        Statistics of the neurons; NaN without a label, and so are the results.
    null : LayerNull
        The null of these neurons.
    rank : int
        From 1 to R.
    """
    number = null.ascending.shape[1]
    p_value, quantile, mean = np.full((3, len(observed)), np.nan)
    judged = ~np.isnan(observed) & (null.of_neuron >= 0)
    # sums in another order round differently: a tie must not turn on that
    size = np.fmax(np.abs(observed), null.largest[null.of_neuron] if judged.any() else 0)
    slack = null.slack + (ROUNDING * np.finfo(observed.dtype).eps + null.excess) * size
    near = (observed - slack).astype(observed.dtype)
    for which, neurons in _by_null(null.of_neuron, judged):
        ascending = null.ascending[which]
        reached = number - np.searchsorted(ascending, near[neurons])
        p_value[neurons] = (1 + reached) / (number + 1)
        quantile[neurons] = ascending[number - rank]
        mean[neurons] = null.mean[which]
    return p_value, quantile, mean


def _by_null(of_neuron: np.ndarray, judged: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each null, and the judged neurons that have it."""
    (neurons,) = np.nonzero(judged)
    neurons = neurons[np.argsort(of_neuron[neurons], kind="stable")]
    starts = np.flatnonzero(np.diff(of_neuron[neurons], prepend=-1))
    for some in np.split(neurons, starts[1:]) if len(neurons) else []:
        yield int(of_neuron[some[0]]), some
