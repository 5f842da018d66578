"""Deviations of one neuron's candidates over replicates, and distances between two of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
from jax import Array, lax

from ..faithfulness.evidence import student_ratio

__all__ = [
    "ROWS",
    "Followed",
    "Pairs",
    "classes_by_spread",
    "fold_rows",
    "order_statistic",
    "pairs_of",
    "student_factor",
    "true_places",
    "worst_distance",
]

RIVAL_UNITS = 20.0  # effective units that a rival needs, if the most similar candidate has them
ROWS = 16  # rows that are folded in one vectorised loop

T = TypeVar("T")


class Followed(NamedTuple):
    """The candidates of one neuron, on the stable scale.

    Attributes
    ----------
    replicates : Array [K, B]
        NaN where undefined.
    similarity, evidence : Array [K]
    present : Array [K] of bool
        Whether there is a candidate.
    """

    replicates: Array
    similarity: Array
    evidence: Array
    present: Array


class Pairs(NamedTuple):
    """Deviations of the candidates, and what is known of each pair: rows are rivals [K, K].

    Attributes
    ----------
    deviation : Array [K, B]
        Of the replicates from the data, 0 where undefined.
    undefined : Array [K, B] of bool
    variance, evidence : Array [K]
    strong : Array [K] of bool
        Which candidates are on enough evidence to be rivals.
    lead : Array [K, K]
        Of the rival over the concept under test.
    square, sigma : Array [K, K]
        Variance of the lead over replicates, and its root (1 where there is none).
    rival : Array [K, K] of bool
    """

    deviation: Array
    undefined: Array
    variance: Array
    evidence: Array
    strong: Array
    lead: Array
    square: Array
    sigma: Array
    rival: Array


def pairs_of(followed: Followed) -> Pairs:
    """Deviations of one neuron's candidates, and the spread of each pair's lead."""
    replicates, similarity, evidence, present = followed
    deviation = replicates - similarity[:, None]
    undefined = jnp.isnan(deviation)
    known = jnp.where(undefined | ~present[:, None], 0, deviation)
    centred = known - known.mean(axis=1, keepdims=True)
    covariance = jnp.matmul(centred, centred.T, precision=lax.Precision.HIGHEST)
    covariance = covariance / replicates.shape[1]
    variance = jnp.diag(covariance)
    both = variance[:, None] + variance[None, :]
    square = jnp.maximum(both - 2 * covariance, jnp.finfo(both.dtype).eps * both)
    itself = jnp.eye(len(similarity), dtype=bool)
    strong = present & _strong_rivals(evidence)
    return Pairs(
        known,
        undefined,
        variance,
        evidence,
        strong,
        similarity[:, None] - similarity[None, :],
        square,
        jnp.sqrt(jnp.where(square > 0, square, 1)),
        strong[:, None] & ~itself,
    )


def _strong_rivals(evidence: Array) -> Array:
    """Which candidates are rivals that the others are compared with, [K].

    Where the most similar candidate is on ample evidence, candidates on less evidence are no
    rivals. Fewer rivals never rule out more, and replicates of a concept that is present a few
    times are far from normal.
    """
    ample = evidence >= RIVAL_UNITS
    return ample | ~ample[0]


def worst_distance(pairs: Pairs, bar: Array) -> Array:
    """The largest distance of each concept to a rival, for critical values [K]: [K].

    Spreads are widened as far as the evidence on both asks for at the critical value.
    """
    wider = (student_factor(bar[None, :], pairs.evidence[:, None]) ** 2 - 1) * pairs.variance[
        :, None
    ]
    own = (student_factor(bar, pairs.evidence) ** 2 - 1) * pairs.variance
    inflated = pairs.square + wider + own[None, :]
    distance = pairs.lead / jnp.sqrt(jnp.where(inflated > 0, inflated, 1))
    distance = jnp.where(pairs.rival, distance, -jnp.inf)
    return fold_rows(jnp.maximum, jnp.full_like(bar, -jnp.inf), distance)


def classes_by_spread(variance: Array) -> Array:
    """Classes of candidates with similar variance: their places [R, k], the last one repeated.

    There are at most sixteen classes.
    """
    number = len(variance)
    size = -(-number // ROWS)
    place = jnp.minimum(jnp.arange(-(-number // size) * size), number - 1)
    return jnp.argsort(variance)[place].reshape(-1, size)


def fold_rows(step: Callable[..., T], start: T, *arrays: Array) -> T:
    """Fold ``step(value, *rows)`` over the rows of arrays.

    XLA makes one vectorised loop of sixteen rows at a time; it computes a maximum over the first
    axis of an expression item by item on CPUs.
    """

    def some(i: Array, value: T) -> T:
        parts = [lax.dynamic_slice_in_dim(x, i * ROWS, ROWS) for x in arrays]
        return one_by_one(value, parts, ROWS)

    def one_by_one(value: T, parts: list[Array], number: int) -> T:
        for j in range(number):
            value = step(value, *(x[j] for x in parts))
        return value

    whole, rest = divmod(len(arrays[0]), ROWS)
    value = lax.fori_loop(0, whole, some, start) if whole > 0 else start
    return one_by_one(value, [x[whole * ROWS :] for x in arrays], rest)


def true_places(mask: Array, size: int) -> Array:
    """Places of the true items of a mask [K] in ascending order, filled up to ``size`` with K.

    It sorts the places, which compiles ten times as fast as ``jnp.nonzero``.
    """
    number = len(mask)
    place = jnp.where(mask, jnp.arange(number, dtype=jnp.int32), number)
    return jnp.pad(jnp.sort(place), (0, size - number), constant_values=number)


def order_statistic(x: Array, rank: Array | int) -> Array:
    """The rank-th smallest of x [B], found bit by bit because XLA sorts slowly on CPUs."""
    signed, unsigned = (jnp.dtype(f"{kind}{8 * x.dtype.itemsize}") for kind in ("int", "uint"))
    last = jnp.iinfo(unsigned).bits - 1
    bits = lax.bitcast_convert_type(x, signed)
    # order as floats do: flip the sign bit of the positive, all bits of the negative
    flips = lax.bitcast_convert_type(bits >> last, unsigned) | jnp.asarray(1 << last, unsigned)
    code = lax.bitcast_convert_type(bits, unsigned) ^ flips

    def settle(i: Array, found: Array) -> Array:
        higher = found | (jnp.asarray(1, unsigned) << (last - i).astype(unsigned))
        return jnp.where((code < higher).sum(dtype=jnp.int32) < rank, higher, found)

    found = lax.fori_loop(0, last + 1, settle, jnp.asarray(0, unsigned))
    sign = jnp.asarray(1 << last, unsigned)
    return lax.bitcast_convert_type(jnp.where(found >= sign, found ^ sign, ~found), x.dtype)


def student_factor(quantile: Array, units: Array) -> Array:
    """Ratio of Student's t quantile to the normal one, for a spread estimated from some units.

    It includes the root of units / (units - 1), as the variance of replicates divides by the number
    of units.
    """
    freedom = jnp.maximum(units - 1, 1)
    ratio = student_ratio(jnp.where(jnp.isfinite(quantile), quantile, 0), freedom)
    return ratio * jnp.sqrt((freedom + 1) / freedom)
