"""The test of one neuron with a single critical value, that of the largest deviation of all pairs.

The critical value is a quantile over replicates of a maximum over K^2 pairs. Most replicates need
no exact maximum: classes of candidates of similar spread bound it from above, one pair with a large
deviation bounds it from below, and only replicates whose upper bound reaches the quantile of the
lower bounds can be at the quantile. Where both bounds of the critical value give the same set, none
is needed.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array, lax

from .pairs import (
    Pairs,
    classes_by_spread,
    fold_rows,
    order_statistic,
    true_places,
    worst_distance,
)

__all__ = ["retained_for_fresh_label"]

COLUMNS = 64  # replicates whose maximum is computed at once
ROUNDING = 64  # units in the last place by which upper bounds are widened
FAR = 1e30  # in place of infinity


def retained_for_fresh_label(pairs: Pairs, present: Array, rank: Array) -> Array:
    """Candidates of one neuron that may be the label of a fresh probing set, [K] of bool.

    Parameters
    ----------
    pairs : Pairs
    present : Array [K] of bool
        Whether there is a candidate.
    rank : int in 1 .. B
        Of the largest deviation among the replicates, in ascending order.
    """
    lower, upper = deviation_bounds(pairs, present)
    least = order_statistic(lower, rank)
    kept, still_kept = (_stays(pairs, x) for x in (least, order_statistic(upper, rank)))
    decided = (kept == still_kept).all(where=present)
    wanted = (upper >= least) & ~decided
    bar = order_statistic(_largest_deviations(pairs, present, wanted), rank)
    return present & jnp.where(decided, kept, _stays(pairs, bar))


def _stays(pairs: Pairs, quantile: Array) -> Array:
    bar = jnp.maximum(quantile * math.sqrt(2), 0)
    return ~(worst_distance(pairs, jnp.full_like(pairs.variance, bar)) > bar)


def deviation_bounds(pairs: Pairs, present: Array) -> tuple[Array, Array]:
    """A lower and an upper bound of the largest deviation in each replicate, [B] each.

    The upper bound is 0 where it would be negative.
    """
    d = pairs.deviation
    above = jnp.where(pairs.strong[:, None] & ~pairs.undefined, d, -jnp.inf)
    below = jnp.where(present[:, None], d, jnp.inf)
    spread = jnp.sqrt(jnp.where(pairs.variance > 0, pairs.variance, 1))[:, None]
    highest, lowest = (above / spread).argmax(axis=0), (below / spread).argmin(axis=0)
    every = jnp.arange(d.shape[1])
    lower = (above[highest, every] - below[lowest, every]) / pairs.sigma[highest, lowest]
    lower = jnp.where(pairs.rival[highest, lowest], lower, -jnp.inf)

    def larger(most: Array, top: Array, scale: Array) -> Array:
        return jnp.maximum(most, (top[None, :] - bottom) * scale[:, None])

    classes = classes_by_spread(pairs.variance)
    top, bottom = above[classes].max(axis=1), below[classes].min(axis=1)
    sigma = jnp.where(pairs.rival, pairs.sigma, jnp.inf)[classes].min(axis=1)
    scale = 1 / sigma.T[classes].min(axis=1).T
    # finite, as no rival has scale 0
    top, bottom = (jnp.clip(x, -FAR, FAR) for x in (top, bottom))
    upper = fold_rows(larger, jnp.zeros_like(bottom), top, scale).max(axis=0)
    return lower, upper * (1 + ROUNDING * jnp.finfo(d.dtype).eps)


def _largest_deviations(pairs: Pairs, present: Array, wanted: Array) -> Array:
    """The largest deviation of all pairs in the replicates wanted, else minus infinity, [B]."""
    number = len(wanted)
    order = true_places(wanted, number + COLUMNS)
    scale = jnp.where(pairs.rival & present[None, :], 1 / pairs.sigma, 0)
    rows = jnp.where(pairs.undefined, -FAR, pairs.deviation).T
    own = pairs.deviation.T

    def some(i: Array, found: Array) -> Array:
        at = lax.dynamic_slice_in_dim(order, i * COLUMNS, COLUMNS)
        mine = own.at[at].get(mode="clip").T

        def larger(most: Array, row: Array, scale: Array) -> Array:
            z = (row[None, :] - mine) * scale[:, None]
            return jnp.where(scale[:, None] > 0, jnp.maximum(most, z), most)

        start = jnp.full(mine.shape, -jnp.inf, mine.dtype)
        most = fold_rows(larger, start, rows.at[at].get(mode="clip").T, scale).max(axis=0)
        return found.at[at].set(most, mode="drop")

    parts = (wanted.sum(dtype=jnp.int32) + COLUMNS - 1) // COLUMNS
    return lax.fori_loop(0, parts, some, jnp.full(number, -jnp.inf, rows.dtype))
