"""Limits of a metric for every sample size, from those of its parts."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import round_up_shape
from ..metrics.table import Metric
from . import betting
from .concentration import Evidence, Interval, dkw
from .estimands import Data, Pairs, Share
from .interval_rules import PREVALENCE, RULES, UNIFORM_RULES
from .methods import LIMITS

__all__ = ["LEADING", "MOST_BLOCKS", "finite_sample_bounds"]

LEADING = 8  # most similar concepts of a neuron, whose limits betting takes from the blocks
MOST_BLOCKS = 2048  # of a pair; from more the moments tell nearly as much


def finite_sample_bounds(
    d: Data,
    value: Array,
    shares: list[tuple[float, str]],
    metric: Metric,
    method: str,
    num_units: int | None,
    per_pair: bool = False,
) -> list[Interval]:
    """Limits of all pairs on both sides at each error, two [U, C].

    Parameters
    ----------
    d : Data
    value : Array [U, C]
        The similarity.
    shares : list of (float, str)
        The error, and the side that it is for: ``"lower"``, ``"upper"`` or ``"both"``. What is
        returned for the other side means nothing.
    metric : Metric
    method : str
        One that fits.
    num_units : int or None
        None for independent samples of one weight.
    per_pair : bool
        Bound the trials of a group by the most seen of each pair.
    """
    uniform, grouped = method == "dkw", num_units is not None
    rule = (UNIFORM_RULES if uniform else RULES)[metric.name]
    tails = [jnp.asarray(x / rule.num_tails(side), value.dtype) for x, side in shares]
    by_part = []
    for part in rule.parts:
        law = method
        if isinstance(part, Pairs) and method == "agarwal":
            part, law = part._replace(mcdiarmid=True), "hoeffding"
        elif uniform and part is PREVALENCE:
            law = "betting" if grouped else "exact"
        squares = law in ("betting", "bernstein")
        evidence = _evidence(d, value, part, num_units=num_units, squares=squares)
        if per_pair:
            evidence = _bounded_by_seen(evidence)
        ends = [_limits(evidence, tail, law, grouped and law == "dkw") for tail in tails]
        if law == "betting" and isinstance(part, Share):
            ends = _sharpened(d, value, part, evidence, ends, tails, num_units)
        by_part.append(ends)
    return [
        _carried(list(ends), d.low, d.high, metric, uniform) for ends in zip(*by_part, strict=True)
    ]


@partial(jax.jit, static_argnames=("part", "num_units", "squares"))
def _evidence(
    d: Data, value: Array, part: Share | Pairs, *, num_units: int | None, squares: bool
) -> Evidence:
    return part.evidence(d, value, num_units=num_units, squares=squares)


@jax.jit
def _bounded_by_seen(evidence: Evidence) -> Evidence:
    assert evidence.most_trials is not None
    some = evidence.most_trials > 0
    return evidence._replace(bound=jnp.where(some, evidence.most_trials, evidence.bound))


# apart from the evidence, as one compilation then serves the parts of all metrics
@partial(jax.jit, static_argnames=("law", "grouped"))
def _limits(evidence: Evidence, tail: Array, law: str, grouped: bool) -> Interval:
    if law == "dkw":
        return dkw(evidence, tail, grouped=grouped)
    return LIMITS[law](evidence, tail)


def _sharpened(
    d: Data,
    value: Array,
    part: Share,
    evidence: Evidence,
    ends: list[Interval],
    tails: list[Array],
    num_units: int | None,
) -> list[Interval]:
    """The limits from moments, with those from the blocks in place for the leading pairs."""
    leading = _leading(value, min(LEADING, value.shape[1]))
    some = _of_pairs(evidence, leading)
    few = np.asarray(some.blocks)
    longest = int(few[few <= MOST_BLOCKS].max(initial=0))
    if longest == 0:
        return ends
    return _with_blocks(
        d,
        leading,
        some,
        ends,
        tails,
        part=part,
        num_units=num_units,
        length=round_up_shape(longest),
    )


class _OfPairs(NamedTuple):
    """Number of blocks and bound on the trials of some pairs, [U, K] each."""

    blocks: Array
    bound: Array


@partial(jax.jit, static_argnames="count")
def _leading(value: Array, count: int) -> Array:
    """The most similar concepts, [U, count] of int32."""
    return lax.top_k(jnp.where(jnp.isnan(value), -jnp.inf, value), count)[1]


@jax.jit
def _of_pairs(evidence: Evidence, chosen: Array) -> _OfPairs:
    bound = jnp.broadcast_to(evidence.bound, evidence.blocks.shape)
    return _OfPairs(*(jnp.take_along_axis(x, chosen, axis=1) for x in (evidence.blocks, bound)))


@partial(jax.jit, static_argnames=("part", "num_units", "length"))
def _with_blocks(
    d: Data,
    chosen: Array,
    pairs: _OfPairs,
    ends: list[Interval],
    tails: list[Array],
    *,
    part: Share,
    num_units: int | None,
    length: int,
) -> list[Interval]:
    """One neuron after the other, so that memory stays at [blocks, K]."""
    f, c = part.columns(d)
    c = c.T

    def one(of: tuple[Array, Array, _OfPairs, list[Interval]]) -> list[Interval]:
        column, own, (n, bound), within = of
        x, y = _packed(*part.blocks(column, c[own].T, d, num_units), length)
        found = [
            betting.from_blocks(x, y, limits, n, bound, tail)
            for limits, tail in zip(within, tails, strict=True)
        ]
        # those of more blocks stay as they are
        return jax.tree.map(lambda new, old: jnp.where(n <= MOST_BLOCKS, new, old), found, within)

    within = jax.tree.map(lambda x: jnp.take_along_axis(x, chosen, axis=1), ends)
    found = lax.map(one, (f.T, chosen, pairs, within))
    neuron = jnp.arange(chosen.shape[0], dtype=jnp.int32)[:, None]
    return jax.tree.map(lambda old, new: old.at[neuron, chosen].set(new), ends, found)


def _packed(x: Array, y: Array, length: int) -> tuple[Array, Array]:
    """Blocks [N, K] with trials, at the top of ``length`` rows; zeros fill up."""
    some = y > 0
    row = jnp.where(some, jnp.cumsum(some, axis=0) - 1, length)
    column = jnp.arange(y.shape[1], dtype=row.dtype)[None, :]
    empty = jnp.zeros((length, y.shape[1]), y.dtype)
    x, y = (empty.at[row, column].set(z, mode="drop") for z in (x, y))
    return x, y


@partial(jax.jit, static_argnames=("metric", "uniform"))
def _carried(
    ends: list[tuple[Array, Array]], low: Array, high: Array, metric: Metric, uniform: bool
) -> tuple[Array, Array]:
    rule = (UNIFORM_RULES if uniform else RULES)[metric.name]
    lower, upper = (list(x) for x in zip(*ends, strict=True))
    ends_of = rule.carry(lower, upper, (low[:, None], high[:, None]))
    lowest, highest = (jnp.clip(x, *metric.range) for x in ends_of)
    return lowest, highest
