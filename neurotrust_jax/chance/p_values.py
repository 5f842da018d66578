"""p-values of a permutation test, and their adjustment for many neurons."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

__all__ = ["adjusted", "benjamini_hochberg", "compare"]

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


@jax.jit
def compare(observed: Array, null: Array, *, rank: Array) -> tuple[Array, Array, Array, Array]:
    """p-values, family-wise p-values, the rank-th highest of the null and its mean: four [U]."""
    every = jnp.concatenate([observed[None, :], null])
    one_more = every.shape[0]
    labelled = ~jnp.isnan(observed)
    # sums in another order round differently: a tie must not turn on that
    size = jnp.where(jnp.isfinite(every), jnp.abs(every), 0).max(axis=0)
    slack = ROUNDING * jnp.finfo(every.dtype).eps * size

    def share(reached: Array) -> Array:
        p = (1 + reached.sum(axis=0, dtype=jnp.int32)).astype(every.dtype) / one_more
        return jnp.where(labelled, p, jnp.nan)

    # Statistics of rare and common neurons differ in scale. Mean and spread include the observed
    # data, one permutation of all, so that standardising keeps the ranks among them exact.
    spread = jnp.nanstd(every, axis=0)
    fine = spread > slack
    scale = jnp.where(fine, spread, 1)
    z = (every - jnp.nanmean(every, axis=0)[None, :]) / scale[None, :]
    z = jnp.where(fine[None, :], z, 0)
    z = jnp.where(labelled[None, :] & ~jnp.isnan(every), z, -jnp.inf)
    highest = z[1:].max(axis=1, keepdims=True)

    ordered = jnp.sort(jnp.where(jnp.isnan(null), -jnp.inf, null), axis=0)
    return (
        share(null >= (observed - slack)[None, :]),
        share(highest >= (z[0] - slack / scale)[None, :]),
        jnp.where(labelled, ordered[ordered.shape[0] - rank], jnp.nan),
        jnp.where(labelled, jnp.nanmean(null, axis=0), jnp.nan),
    )
