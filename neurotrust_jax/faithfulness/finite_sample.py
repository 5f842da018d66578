"""Bounds of a metric for every sample size, from those of its parts."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import round_up_shape
from ..metrics.interval_rules import IntervalRule, Pairs, Share
from ..metrics.scores import ordered_concepts
from . import betting
from .concentration import Interval, RatioData
from .estimands import Data, Units, ratio_data, terms_of_neurons
from .methods import PartBound

__all__ = ["LEADING", "MOST_BLOCKS", "finite_sample_bounds"]

LEADING = 8  # most similar concepts of a neuron, whose bounds betting takes from the blocks
MOST_BLOCKS = 2048  # blocks of a pair; with more the moments are nearly as good


def finite_sample_bounds(
    d: Data,
    value: Array,
    errors: list[tuple[float, str]],
    rule: IntervalRule,
    part_bounds: list[PartBound],
    range: tuple[float, float],
    units: Units,
    per_pair: bool = False,
    concept: Array | None = None,
) -> list[Interval]:
    """Lower and upper bounds of all pairs at each error, two [U, C].

    Parameters
    ----------
    d : Data
    value : Array [U, C]
        The similarity.
    errors : list of (float, str)
        The error, and the bound that it is for: ``"lower"``, ``"upper"`` or ``"both"``. What is
        returned for the other bound means nothing.
    rule : IntervalRule
    part_bounds : list of PartBound
        How the interval of each part of the rule is made.
    range : tuple of float
        Smallest and largest value of the metric.
    units : Units
    per_pair : bool
        Bound the trials of a group by the most seen of each pair.
    concept : Array [U] of int32, optional
        The one concept of each neuron whose bounds are wanted, two [U, 1]. Default: all concepts.
    """
    tails = [
        jax.device_put(np.asarray(x / rule.num_tails(bound), value.dtype)) for x, bound in errors
    ]
    if concept is None:
        leading = place = ordered_concepts(value, min(LEADING, value.shape[1]))
    else:
        leading = concept[:, None]
        place = jnp.zeros_like(leading)
    by_part = []
    for part, by, direction in zip(rule.parts, part_bounds, rule.directions, strict=True):
        data = _ratio_data(d, value, part, units=units, squares=by.squares, mcdiarmid=by.mcdiarmid)
        if per_pair:
            data = _bounded_by_seen(data)
        if concept is not None:
            data = _of_pairs(data, leading)
        asked = [
            Asked(tail, jax.device_put(_sides(bound, direction)))
            for tail, (_, bound) in zip(tails, errors, strict=True)
        ]
        found = [_bounds(data, x, by) for x in asked]
        if by.from_terms and isinstance(part, Share):
            found = _sharpened(d, part, data, found, asked, units, leading, place)
        by_part.append(found)
    return [
        _carried(list(found), d.low, d.high, rule, range) for found in zip(*by_part, strict=True)
    ]


class Asked(NamedTuple):
    """A bound that is asked for.

    Attributes
    ----------
    tail : Array []
        Its error.
    sides : Array [2] of bool
        Whether the lower, and the upper bound of the part is needed.
    """

    tail: Array
    sides: Array


def _sides(bound: str, direction: int) -> np.ndarray:
    """Which bounds of a part a bound of the metric needs, [2] of bool: the lower, the upper."""
    if bound == "both" or direction == 0:
        return np.array([True, True])
    lower = (bound == "lower") == (direction > 0)
    return np.array([lower, not lower])


@partial(jax.jit, static_argnames=("part", "units", "squares", "mcdiarmid"))
def _ratio_data(
    d: Data,
    value: Array,
    part: Share | Pairs,
    *,
    units: Units,
    squares: bool,
    mcdiarmid: bool,
) -> RatioData:
    return ratio_data(part, d, value, units=units, squares=squares, mcdiarmid=mcdiarmid)


@jax.jit
def _bounded_by_seen(data: RatioData) -> RatioData:
    assert data.most_trials is not None
    some = data.most_trials > 0
    return data._replace(bound=jnp.where(some, data.most_trials, data.bound))


# apart from the data, as one compilation then serves the parts of all metrics
@partial(jax.jit, static_argnames="by")
def _bounds(data: RatioData, asked: Asked, by: PartBound) -> Interval:
    if by.bound is betting.from_moments:
        return betting.from_moments(data, asked.tail, asked.sides)
    return by.bound(data, asked.tail)


def _sharpened(
    d: Data,
    part: Share,
    data: RatioData,
    found: list[Interval],
    asked: list[Asked],
    units: Units,
    leading: Array,
    place: Array,
) -> list[Interval]:
    """The bounds from moments, with those from the blocks in place for the leading pairs.

    ``leading`` [U, K] are concepts, and ``place`` the columns in which ``found`` has them.
    """
    some = _of_pairs(data, place)
    few = np.asarray(some.blocks)
    longest = int(few[few <= MOST_BLOCKS].max(initial=0))
    if longest == 0:
        return found
    return _with_blocks(
        d,
        leading,
        place,
        some,
        found,
        asked,
        part=part,
        units=units,
        length=min(round_up_shape(longest), -(-units.number // 4) * 4),
    )


@jax.jit
def _of_pairs(data: RatioData, chosen: Array) -> RatioData:
    """The data of some concepts of each neuron, [U, K]."""
    shape = data.blocks.shape
    return jax.tree.map(
        lambda x: jnp.take_along_axis(jnp.broadcast_to(x, shape), chosen, axis=1), data
    )


@partial(jax.jit, static_argnames=("part", "units", "length"))
def _with_blocks(
    d: Data,
    leading: Array,
    place: Array,
    pairs: RatioData,
    found: list[Interval],
    asked: list[Asked],
    *,
    part: Share,
    units: Units,
    length: int,
) -> list[Interval]:
    """One neuron after the other, so that memory stays at [blocks, K]."""
    neurons, terms = terms_of_neurons(part, d, units)

    def one(of: tuple[Any, Array, Array, Array, list[Interval]]) -> list[Interval]:
        neuron, own, n, most, within = of
        x, y = _packed(*terms(neuron, own), length)
        narrower = [
            betting.from_blocks(x, y, bounds, n, most, tail, sides)
            for bounds, (tail, sides) in zip(within, asked, strict=True)
        ]
        # those of more blocks stay as they are
        few = n <= MOST_BLOCKS
        return jax.tree.map(lambda new, old: jnp.where(few, new, old), narrower, within)

    within = jax.tree.map(lambda x: jnp.take_along_axis(x, place, axis=1), found)
    narrower = lax.map(one, (neurons, leading, pairs.blocks, pairs.bound, within))
    neuron = jnp.arange(place.shape[0], dtype=jnp.int32)[:, None]
    return jax.tree.map(lambda old, new: old.at[neuron, place].set(new), found, narrower)


def _packed(x: Array, y: Array, length: int) -> tuple[Array, Array]:
    """Blocks [N, K] with trials, in ``length`` rows; blocks without any, and zeros, fill up."""
    if y.shape[0] <= length:
        x, y = (jnp.pad(z, ((0, length - y.shape[0]), (0, 0))) for z in (x, y))
        return x, y
    some = y > 0
    row = jnp.where(some, jnp.cumsum(some, axis=0) - 1, length)
    column = jnp.arange(y.shape[1], dtype=row.dtype)[None, :]
    empty = jnp.zeros((length, y.shape[1]), y.dtype)
    x, y = (empty.at[row, column].set(z, mode="drop") for z in (x, y))
    return x, y


@partial(jax.jit, static_argnames=("rule", "range"))
def _carried(
    parts: list[Interval], low: Array, high: Array, rule: IntervalRule, range: tuple[float, float]
) -> Interval:
    lower, upper = (list(x) for x in zip(*parts, strict=True))
    found = rule.carry(lower, upper, (low[:, None], high[:, None]))
    lowest, highest = (jnp.clip(x, *range) for x in found)
    return lowest, highest
