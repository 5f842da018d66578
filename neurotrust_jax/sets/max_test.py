"""The one-against-all test of one neuron, without the critical values that decide nothing.

A concept c stays where its worst distance to a rival is at most its critical value, the rank-th
smallest over replicates of the largest deviation ``z_rc + move_rc``. Computed for all of K concepts
this costs K^2 B. Two facts make most of it unnecessary:

* The worst distance falls as the critical value rises. So each concept has a threshold, found
  without replicates, and stays where its critical value reaches it.
* The critical value reaches t in case of at least B - rank + 1 *hits*: replicates in which
  ``d_r - need_rc`` of some rival reaches ``d_c``, with ``need_rc = (t - move_rc) sigma_rc``. Bounds
  of the threshold and of the moves give a smallest and a largest need, and so *sure* and *possible*
  hits. The maxima of classes of rivals, each with the largest need of its class, have fewer hits
  than all rivals, and with the smallest need more.

Concepts are compared with classes of rivals of similar spread; where these leave the answer open,
with all rivals, and at last the critical value is computed.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from .pairs import (
    ROWS,
    Pairs,
    classes_by_spread,
    fold_rows,
    order_statistic,
    student_factor,
    true_places,
    worst_distance,
)

__all__ = ["retained"]

ROUNDING = 64  # units in the last place by which bounds are widened
SLACK = 2.0  # most slacks are larger


def retained(pairs: Pairs, present: Array, rank: Array, first: Array) -> Array:
    """Candidates of one neuron that are not ruled out, [K] of bool.

    Parameters
    ----------
    pairs : Pairs
    present : Array [K] of bool
        Whether there is a candidate.
    rank : int in 1 .. B
        Of the critical value among the replicates, in ascending order.
    first : int in 0 .. B
        Rank of the bound of how far rivals are truly ahead; 0 leaves this first step out.
    """
    stays, unsettled = settled_by_bounds(pairs, rank, first)
    bar = _critical_values(pairs, unsettled & present, rank, first)
    tested = ~(worst_distance(pairs, bar) > bar)
    return present & jnp.where(unsettled, tested, stays)


def settled_by_bounds(pairs: Pairs, rank: Array, first: Array) -> tuple[Array, Array]:
    """Which concepts stay by bounds of their critical values, and which are unsettled, [K] each."""
    low, high = _thresholds(pairs)
    least, most = _needs(pairs, low, high, _slack_floor(pairs, first))
    enough = pairs.deviation.shape[1] + 1 - rank
    rows = jnp.where(pairs.undefined, -jnp.inf, pairs.deviation)
    hits = _hits_by_classes(pairs, rows, least, most)
    sure, possible = (_number(x) >= enough for x in hits)
    stays = (high <= 0) | sure
    return _settled_by_all(rows, least, most, hits.sure, enough, stays, possible & ~stays)


def _thresholds(pairs: Pairs) -> tuple[Array, Array]:
    """Critical values below which a concept is ruled out, and from which on it stays, [K] each.

    With w the worst distance, which falls in the critical value q: q >= w(p) for some p <= q gives
    w(q) <= w(p) <= q, and q < w(p) for some p >= q gives w(q) >= w(p) > q.
    """

    def closer(_: int, found: tuple[Array, Array]) -> tuple[Array, Array]:
        return worst_distance(pairs, jnp.maximum(found[0], 0)), found[0]

    start = jnp.zeros_like(pairs.variance)
    return lax.fori_loop(0, 4, closer, (start, start))


def _slack_floor(pairs: Pairs, first: Array) -> Array:
    """What the first step's slack is at least, [K]: 2, 0, or no bound.

    It is as large as the foremost rival alone makes it.
    """
    d, sigma = pairs.deviation, pairs.sigma[0][:, None]
    enough = d.shape[1] + 1 - first
    floor = jnp.full_like(pairs.variance, -jnp.inf)
    for slack in (0.0, SLACK):
        # a little more than the slack, for what rounding may do
        behind = (d[:1] + 1.001 * slack * sigma <= d) & ~pairs.undefined[:1]
        often = behind.sum(axis=1, dtype=jnp.int32) >= enough
        floor = jnp.where(pairs.rival[0] & often, slack, floor)
    return jnp.where(first == 0, jnp.inf, floor)


def _needs(pairs: Pairs, low: Array, high: Array, slack: Array) -> tuple[Array, Array]:
    """What a rival's deviation must exceed the concept's by for a hit, [K, K]: at least, at most.

    Moves are at most 0, and at least what the smallest slack gives. Needs are infinite where there
    is no rival.
    """
    spread = jnp.sqrt(pairs.variance)
    rounding = ROUNDING * jnp.finfo(spread.dtype).eps * (spread[:, None] + spread[None, :])
    least = low[None, :] * pairs.sigma - rounding * (1 + low)[None, :]
    move = jnp.minimum(pairs.lead + slack[None, :] * pairs.sigma, 0)
    most = high[None, :] * pairs.sigma - move + rounding * (1 + high)[None, :]
    return jnp.where(pairs.rival, least, jnp.inf), jnp.where(pairs.rival, most, jnp.inf)


class _Hits(NamedTuple):
    """In which replicates a rival surely hits a concept, and in which it may, [Q, B] of bool."""

    sure: Array
    possible: Array


def _hit(before: _Hits, rows: Array, least: Array, most: Array, own: Array) -> _Hits:
    """Add the hits of some rivals: rows [R, B], needs [R, Q] and the concepts' values [Q, B]."""
    start = jnp.full(own.shape, -jnp.inf, own.dtype)

    def further(reach: Array, row: Array, need: Array) -> Array:
        beyond = row[None, :] - need[:, None]
        # jnp.maximum takes twice as long, as it must pass on NaN
        return lax.select(beyond > reach, beyond, reach)

    reach = (fold_rows(further, start, rows, need) for need in (most, least))
    return _Hits(*(x | (y >= own) for x, y in zip(before, reach, strict=True)))


def _number(hit: Array) -> Array:
    return hit.sum(axis=1, dtype=jnp.int32)


def _hits_by_classes(pairs: Pairs, rows: Array, least: Array, most: Array) -> _Hits:
    """Too few sure hits and too many possible ones, from the maxima of classes of rivals."""
    classes = classes_by_spread(jnp.where(pairs.strong, pairs.variance, jnp.inf))
    top = jnp.where(pairs.strong[:, None], rows, -jnp.inf)[classes].max(axis=1)
    none = jnp.zeros(rows.shape, bool)
    smallest, largest = least[classes].min(axis=1), most[classes].max(axis=1)
    return _hit(_Hits(none, none), top, smallest, largest, rows)


def _settled_by_all(
    rows: Array,
    least: Array,
    most: Array,
    sure: Array,
    enough: Array,
    stays: Array,
    unsettled: Array,
) -> tuple[Array, Array]:
    """Compare the unsettled concepts with all rivals, some at a time."""
    size = len(rows)
    order = true_places(unsettled, size + ROWS)

    def some(i: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        stays, unsettled = found
        at = lax.dynamic_slice_in_dim(order, i * ROWS, ROWS)
        own, before = (x.at[at].get(mode="clip") for x in (rows, sure))
        smallest, largest = (x.at[:, at].get(mode="clip") for x in (least, most))
        wanted = jnp.where(at < size, enough, 0)
        hits = _hits_by_all(_Hits(before, before), rows, smallest, largest, own, wanted)
        surely, possible = (_number(x) >= enough for x in hits)
        stays = stays.at[at].set(surely, mode="drop")
        return stays, unsettled.at[at].set(possible & ~surely, mode="drop")

    number = (unsettled.sum(dtype=jnp.int32) + ROWS - 1) // ROWS
    return lax.fori_loop(0, number, some, (stays, unsettled))


def _hits_by_all(
    before: _Hits, rows: Array, least: Array, most: Array, own: Array, enough: Array
) -> _Hits:
    """Add the hits of rivals until all concepts have enough sure ones."""
    step = min(ROWS, len(rows))

    def short(state: tuple[Array, _Hits]) -> Array:
        i, hits = state
        return (i * step < len(rows)) & (_number(hits.sure) < enough).any()

    def more(state: tuple[Array, _Hits]) -> tuple[Array, _Hits]:
        i, hits = state
        # the last slice is moved to the end, so that some rows may be compared twice
        x, y, z = (lax.dynamic_slice_in_dim(a, i * step, step) for a in (rows, least, most))
        return i + 1, _hit(hits, x, y, z, own)

    return lax.while_loop(short, more, (jnp.asarray(0, jnp.int32), before))[1]


def _critical_values(pairs: Pairs, wanted: Array, rank: Array, first: Array) -> Array:
    """The critical values of the concepts wanted, 0 elsewhere, [K]."""
    d, undefined, _, evidence, _, lead, _, sigma, rival = pairs
    size, num_replicates = d.shape
    inf = jnp.asarray(jnp.inf, d.dtype)
    start = jnp.full(num_replicates, inf)
    lowest, highest = (jnp.where(undefined, x, d) for x in (-inf, inf))

    def one(i: Array, bars: Array) -> Array:
        c = order[i]
        own, scale = d[c], 1 / sigma[:, c]

        def of_rival(row: Array, scale: Array, move: Array) -> Array:
            return (row - own) * scale + move

        stand = jnp.where(rival[:, c], 0, inf)
        least = fold_rows(
            lambda z, *of: jnp.minimum(z, of_rival(*of)), start, highest, scale, stand
        )
        slack = -order_statistic(least, num_replicates + 1 - first)
        slack = slack * student_factor(slack, evidence[c])
        move = jnp.minimum(lead[:, c] * scale + slack, 0)
        move = jnp.where(first > 0, move, jnp.zeros_like(move)) - stand
        most = fold_rows(lambda z, *of: jnp.maximum(z, of_rival(*of)), -start, lowest, scale, move)
        bar = order_statistic(jnp.where(undefined[c], jnp.inf, most), rank)
        return bars.at[c].set(jnp.maximum(bar, 0))

    order = true_places(wanted, size)
    return lax.fori_loop(0, wanted.sum(dtype=jnp.int32), one, jnp.zeros_like(evidence))
