"""What a probe says on the ratios that an interval rule is made of.

:func:`ratio_data` turns the probe's arrays into :class:`RatioData`, for a :class:`Share` (a ratio
of means such as P(present | active)) and for a :class:`Pairs` (a probability that two samples are
ordered rightly). Its independent terms are samples or groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._numerics.sums import Sums, power_sum, weighted_sums, weighted_total
from ..metrics.interval_rules import Pairs, Share
from ..metrics.parts import Coefficients, combine
from ..metrics.unit_sums import UnitSums
from ..probing.probe import Side
from .concentration import RatioData

__all__ = [
    "Data",
    "Units",
    "columns_of",
    "counted_share",
    "ratio_data",
    "terms_of_neurons",
]


class Data(NamedTuple):
    """The arrays of a probe that parts are read from.

    Attributes
    ----------
    neurons, labels : Side, or None
        None where the sums of binary sides per group take their place.
    weights : Array [n]
        Sample weights over the largest one.
    groups : Array [n] of int32, or None
    bound : Array []
        Largest total weight that a unit can have.
    low, high : Array [U]
        Range of each neuron's activation, known beforehand (zeros where it is not).
    sums : UnitSums or None
        Sums per group of neurons and concepts that are 0 or 1.
    """

    neurons: Side | None
    labels: Side | None
    weights: Array
    groups: Array | None
    bound: Array
    low: Array
    high: Array
    sums: UnitSums | None = None


class Units(NamedTuple):
    """What is drawn independently.

    Attributes
    ----------
    number : int
        Number of units: groups, or samples.
    single : bool
        Whether they are single samples of one weight.
    """

    number: int
    single: bool


class Basis(NamedTuple):
    """Sums of 1, f, c and f c, as :func:`combine` takes them; of one neuron [N, 1] or [N, K]."""

    S: Array
    F: Array
    C: Array
    FC: Array


def ratio_data(
    part: Share | Pairs,
    d: Data,
    value: Array,
    *,
    units: Units,
    squares: bool = False,
    mcdiarmid: bool = False,
) -> RatioData:
    """Means over the independent terms of a part.

    Parameters
    ----------
    part : Share or Pairs
    d : Data
    value : Array [U, C]
        The similarity, which is that of a :class:`Pairs`; a :class:`Share` does not read it.
    units : Units
    squares : bool
        Whether the means of squares of a :class:`Share` are needed too.
    mcdiarmid : bool
        Count the terms of a :class:`Pairs` as Agarwal et al. (2005, theorem 5) do, by McDiarmid's
        inequality.
    """
    if isinstance(part, Pairs):
        return _pairs(part, d, value, units, mcdiarmid)
    if d.sums is not None:
        return _of_unit_sums(part, d.sums, d.bound)
    f, c = columns_of(part, d)
    if d.groups is not None:
        return _grouped(part, f, c, d, d.groups, units.number)
    counts = weighted_sums(f, c, (d.weights > 0).astype(f.dtype))
    blocks = combine(part.trials, counts)
    per_block = 1 / jnp.where(blocks > 0, blocks, 1)
    sums = weighted_sums(f, c, d.weights)
    hits = combine(part.hits, sums) * per_block
    result = RatioData(hits, hits, combine(part.trials, sums) * per_block, blocks, d.bound)
    if not squares:
        return result
    squares_of = partial(_product_sum, part, f, c, d.weights**2)
    return result._replace(
        hits_squared=squares_of(part.hits, part.hits) * per_block,
        cross=squares_of(part.hits, part.trials) * per_block,
        trials_squared=squares_of(part.trials, part.trials) * per_block,
    )


def counted_share(part: Share, sums: Sums) -> RatioData:
    """A share from sums over independent samples of weight 1."""
    blocks = combine(part.trials, sums)
    per_block = 1 / jnp.where(blocks > 0, blocks, 1)
    hits = combine(part.hits, sums) * per_block
    return RatioData(hits, hits, blocks * per_block, blocks, jnp.ones((), hits.dtype))


def columns_of(part: Share, d: Data) -> tuple[Array, Array]:
    """The columns f [n, U] and c [n, C] of a share."""
    assert d.neurons is not None
    assert d.labels is not None
    unknown = jnp.zeros((1,), d.weights.dtype)
    return (
        part.neuron.read(d.neurons, (d.low, d.high)),
        part.concept.read(d.labels, (unknown, unknown)),
    )


def terms_of_neurons(
    part: Share, d: Data, units: Units
) -> tuple[Any, Callable[[Any, Array], tuple[Array, Array]]]:
    """A row for each neuron, and the function ``(row, concepts [K])`` that gives its terms.

    These are the hits X and the trials Y of every sample or group, [N, K] each.
    """
    if d.sums is not None:
        sums = d.sums
        return sums.place, lambda row, own: _of_groups(part, _basis_of(sums.of_neuron(row, own)))
    f, c = columns_of(part, d)
    c = c.T
    return f.T, lambda column, own: _terms_of_share(part, column, c[own].T, d, units)


def _terms_of_share(
    part: Share, column: Array, c: Array, d: Data, units: Units
) -> tuple[Array, Array]:
    """Hits X and trials Y of every term [N, K], from a neuron's column [n] and concepts [n, K]."""
    w = d.weights
    weighted, scores = w * column, w[:, None] * c
    basis = Basis(w[:, None], weighted[:, None], scores, weighted[:, None] * c)
    if d.groups is None:
        return combine(part.hits, basis), combine(part.trials, basis)
    sums = (jax.ops.segment_sum(x, d.groups, units.number) for x in basis)
    return _of_groups(part, Basis(*sums))


def _product_sum(
    part: Share, f: Array, c: Array, weights: Array, left: Coefficients, right: Coefficients
) -> Array:
    """Weighted sum of the product of two combinations of 1, f, c and f c, [U, C]."""
    # the powers of a column of 0 and 1 are the column
    top = (1 if part.neuron.binary else 2, 1 if part.concept.binary else 2)
    powers = ((0, 0), (1, 0), (0, 1), (1, 1))
    coefficients: Counter[tuple[int, int]] = Counter()
    for (k, i), (m, j) in product(zip(left, powers, strict=True), zip(right, powers, strict=True)):
        coefficients[min(i[0] + j[0], top[0]), min(i[1] + j[1], top[1])] += k * m
    total = jnp.zeros((f.shape[1], c.shape[1]), f.dtype)
    for power, k in coefficients.items():
        if k:
            total = total + k * power_sum(f, c, weights, *power)
    return total


def _of_groups(part: Share, basis: Basis) -> tuple[Array, Array]:
    """Hits and trials of groups, without what floating point leaves of sums that cancel."""
    x, y = combine(part.hits, basis), combine(part.trials, basis)
    y = jnp.where(y > 1e-6 * basis.S.max(), y, 0)
    return jnp.clip(x, 0, y), y


def _grouped(part: Share, f: Array, c: Array, d: Data, groups: Array, num_groups: int) -> RatioData:
    """One neuron after the other, so that memory stays at [n, C]."""

    def total(x: Array) -> Array:
        return jax.ops.segment_sum(x, groups, num_groups)

    w = d.weights
    s, cs = total(w)[:, None], total(w[:, None] * c)

    def one(column: Array) -> tuple[Array, ...]:
        weighted = w * column
        fs, fc = total(weighted)[:, None], total(weighted[:, None] * c)
        return _moments_of_groups(part, Basis(s, fs, cs, fc))

    return _from_moments(lax.map(one, f.T), d.bound)


def _moments_of_groups(part: Share, basis: Basis) -> tuple[Array, ...]:
    """Of one neuron: groups with trials, the most trials, and means of X, Y, X², XY, Y²; [C]."""
    x, y = _of_groups(part, basis)
    blocks = (y > 0).sum(axis=0, dtype=y.dtype)
    means = (x, y, x * x, x * y, y * y)
    return (
        blocks,
        y.max(axis=0),
        *(m.sum(axis=0) / jnp.where(blocks > 0, blocks, 1) for m in means),
    )


def _from_moments(moments: tuple[Array, ...], bound: Array) -> RatioData:
    blocks, most, x, y, xx, xy, yy = moments
    return RatioData(x, x, y, blocks, bound, xx, xy, yy, most)


def _of_unit_sums(part: Share, sums: UnitSums, bound: Array) -> RatioData:
    """One neuron after the other, so that memory stays at [groups, C]."""

    def one(place: Array) -> tuple[Array, ...]:
        return _moments_of_groups(part, _basis_of(sums.of_neuron(place)))

    return _from_moments(lax.map(one, sums.place), bound)


def _basis_of(sums: Sums) -> Basis:
    return Basis(sums.S, sums.F, sums.C, sums.FC)


def _pairs(part: Pairs, d: Data, value: Array, units: Units, mcdiarmid: bool) -> RatioData:
    """Two-sample U-statistic given the labels; with groups, a U-statistic of pairs of groups.

    Independent samples of one weight: the statistic is a mean, over orderings, of means of k
    independent pairs, k the size of the smaller class (Hoeffding, 1963, section 5b). Groups: the
    kernel, made symmetric in two groups, counts at most M² / 2 pairs of samples, and ⌊G / 2⌋ pairs
    of groups are independent (section 5a). A pair within one group says nothing on independent
    samples: its outcome is left unknown. ``value`` [U, C] is the similarity.
    """
    assert d.neurons is not None
    assert d.labels is not None
    defined = ~jnp.isnan(value)
    value = jnp.where(defined, value, 0)
    if part.ranked == "neuron":
        labels, shape = d.labels.present, (1, -1)
    else:
        labels, shape = d.neurons.present, (-1, 1)
    y = labels.astype(d.weights.dtype)
    positive, negative = weighted_total(y, d.weights), weighted_total(1 - y, d.weights)

    if units.single:
        k = jnp.minimum(positive, negative)
        if mcdiarmid:
            k = positive * negative / d.weights.sum()
        blocks = jnp.where(defined, k.reshape(shape), 0)
        return RatioData(value, value, jnp.ones_like(value), blocks, jnp.ones_like(d.bound))

    groups = jnp.arange(units.number, dtype=jnp.int32) if d.groups is None else d.groups
    total = jax.ops.segment_sum(d.weights, groups, units.number)
    own = jax.ops.segment_sum(d.weights[:, None] * y, groups, units.number)
    inside = (own * (total[:, None] - own)).sum(axis=0).reshape(shape)
    pairs = (positive * negative).reshape(shape)
    between = jnp.maximum(pairs - inside, 0)
    number = (total > 0).sum(dtype=value.dtype)
    ordered = jnp.maximum(number * (number - 1), 1)
    return RatioData(
        hits_low=jnp.maximum(value * pairs - inside, 0) / ordered,
        hits_high=jnp.minimum(value * pairs, between) / ordered,
        trials=between / ordered + jnp.zeros_like(value),
        blocks=jnp.where(defined & (between > 0), jnp.floor(number / 2), 0),
        bound=d.bound**2 / 2,
    )
