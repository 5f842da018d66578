"""Bounds of a metric for every sample size, from those of its parts."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import round_up_shape
from ..metrics.interval_rules import IntervalRule, Pairs, Share
from ..metrics.scores import ordered_concepts
from . import betting
from .concentration import Interval, RatioData
from .estimands import Data, Units, columns_of, ratio_data, terms_of_share
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
    """
    tails = [
        jax.device_put(np.asarray(x / rule.num_tails(bound), value.dtype)) for x, bound in errors
    ]
    by_part = []
    for part, by in zip(rule.parts, part_bounds, strict=True):
        data = _ratio_data(d, value, part, units=units, squares=by.squares, mcdiarmid=by.mcdiarmid)
        if per_pair:
            data = _bounded_by_seen(data)
        found = [_bounds(data, tail, by) for tail in tails]
        if by.from_terms and isinstance(part, Share):
            found = _sharpened(d, value, part, data, found, tails, units)
        by_part.append(found)
    return [
        _carried(list(found), d.low, d.high, rule, range) for found in zip(*by_part, strict=True)
    ]


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
def _bounds(data: RatioData, tail: Array, by: PartBound) -> Interval:
    return by.bound(data, tail)


def _sharpened(
    d: Data,
    value: Array,
    part: Share,
    data: RatioData,
    found: list[Interval],
    tails: list[Array],
    units: Units,
) -> list[Interval]:
    """The bounds from moments, with those from the blocks in place for the leading pairs."""
    leading = ordered_concepts(value, min(LEADING, value.shape[1]))
    some = _of_pairs(data, leading)
    few = np.asarray(some.blocks)
    longest = int(few[few <= MOST_BLOCKS].max(initial=0))
    if longest == 0:
        return found
    return _with_blocks(
        d,
        leading,
        some,
        found,
        tails,
        part=part,
        units=units,
        length=round_up_shape(longest),
    )


class _OfPairs(NamedTuple):
    """Number of blocks and bound on the trials of some pairs, [U, K] each."""

    blocks: Array
    bound: Array


@jax.jit
def _of_pairs(data: RatioData, chosen: Array) -> _OfPairs:
    bound = jnp.broadcast_to(data.bound, data.blocks.shape)
    return _OfPairs(*(jnp.take_along_axis(x, chosen, axis=1) for x in (data.blocks, bound)))


@partial(jax.jit, static_argnames=("part", "units", "length"))
def _with_blocks(
    d: Data,
    chosen: Array,
    pairs: _OfPairs,
    found: list[Interval],
    tails: list[Array],
    *,
    part: Share,
    units: Units,
    length: int,
) -> list[Interval]:
    """One neuron after the other, so that memory stays at [blocks, K]."""
    f, c = columns_of(part, d)
    c = c.T

    def one(of: tuple[Array, Array, _OfPairs, list[Interval]]) -> list[Interval]:
        column, own, (n, most), within = of
        x, y = _packed(*terms_of_share(part, column, c[own].T, d, units), length)
        narrower = [
            betting.from_blocks(x, y, bounds, n, most, tail)
            for bounds, tail in zip(within, tails, strict=True)
        ]
        # those of more blocks stay as they are
        few = n <= MOST_BLOCKS
        return jax.tree.map(lambda new, old: jnp.where(few, new, old), narrower, within)

    within = jax.tree.map(lambda x: jnp.take_along_axis(x, chosen, axis=1), found)
    narrower = lax.map(one, (f.T, chosen, pairs, within))
    neuron = jnp.arange(chosen.shape[0], dtype=jnp.int32)[:, None]
    return jax.tree.map(lambda old, new: old.at[neuron, chosen].set(new), found, narrower)


def _packed(x: Array, y: Array, length: int) -> tuple[Array, Array]:
    """Blocks [N, K] with trials, at the top of ``length`` rows; zeros fill up."""
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
