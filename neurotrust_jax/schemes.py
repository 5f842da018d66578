"""Resampling by weights: how often a replicate draws each sample.

A replicate is a vector of sample weights, never a gather of rows. Replicate b draws from
``fold_in(key, b)``, so it is the same whatever the number of replicates or the chunk size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = [
    "BAYESIAN",
    "MULTINOMIAL",
    "POISSON",
    "SCHEMES",
    "SUBSAMPLE",
    "UNITS_A_BLOCK",
    "Scheme",
    "check_scheme",
    "draw",
    "draw_all",
    "poisson_blocks",
]

TOP_UP = 6  # standard deviations that a Poisson total is held below n before it is topped up
UNITS_A_BLOCK = 1024  # whose Poisson counts follow from the replicate and the block alone
TOGETHER = 2**20  # counts drawn side by side: those of one replicate are too few to fill a CPU
MOST = 12  # P(Poisson(1) > 12) is below the resolution of 32 random bits


def _poisson_counts(bits: Array, mean: float, dtype: Any) -> Array:
    """Poisson counts by inversion of 32 random bits each."""
    mass = math.exp(-mean)
    law = np.cumsum([mass * mean**k / math.factorial(k) for k in range(MOST)])
    steps = np.minimum(law * 2.0**32, 2.0**32 - 1).astype(np.uint32)
    return sum(((bits >= step).astype(dtype) for step in steps), jnp.zeros(bits.shape, dtype))


def _multinomial(key: Array, n: int, dtype: Any) -> Array:
    """Poisson counts with a mean a little below 1, topped up to n by single draws.

    Given their total, independent Poisson counts of one mean are multinomial, and so is their sum
    with as many uniform draws as are missing: the law is that of n draws, and few are scattered.
    The total is n but for a probability of 1e-9, when it is off by a few.
    """
    short = min(n, math.ceil(TOP_UP * math.sqrt(n)))
    bits = jax.random.bits(key, (n + min(2 * short, n),), jnp.uint32)
    counts = _poisson_counts(bits[:n], 1 - short / n, dtype)
    missing = n - counts.sum(dtype=jnp.int32)
    drawn = (bits[n:] % np.uint32(n)).astype(jnp.int32)
    wanted = jnp.arange(drawn.shape[0], dtype=jnp.int32) < missing
    return counts.at[drawn].add(wanted.astype(dtype))


def _poisson(key: Array, n: int, dtype: Any) -> Array:
    return poisson_blocks(key, jnp.asarray(0, jnp.int32), -(-n // UNITS_A_BLOCK), dtype)[:n]


def poisson_blocks(key: Array, first: Array, number: int, dtype: Any) -> Array:
    """Counts of a replicate for the units of some blocks, whichever other blocks are drawn."""
    keys = jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(number, dtype=jnp.int32))
    bits = jax.vmap(lambda k: jax.random.bits(k, (UNITS_A_BLOCK,), jnp.uint32))(keys)
    return _poisson_counts(bits.reshape(-1), 1.0, dtype)


def _bayesian(key: Array, n: int, dtype: Any) -> Array:
    draw = jax.random.exponential(key, (n,), dtype)
    return draw * (n / draw.sum())


def _subsample(key: Array, n: int, dtype: Any) -> Array:
    # twice, so that half of the units weigh as much as all of them
    return jnp.zeros(n, dtype).at[jax.random.permutation(key, n)[: n // 2]].set(2)


def _presence_in_multinomial(n: int) -> tuple[float, float]:
    return 1 - (1 - 1 / n) ** n, (1 - 1 / n) ** (2 * n) - (1 - 2 / n) ** n


def _presence_in_poisson(n: int) -> tuple[float, float]:
    return 1 - math.exp(-1), 0.0


def _presence_in_subsample(n: int) -> tuple[float, float]:
    share = (n // 2) / n
    return share, share * (1 - share) / (n - 1)


def _every_unit(n: int) -> int:
    return n


def _half_of_the_units(n: int) -> int:
    return n // 2


@dataclass(frozen=True)
class Scheme:
    """How a replicate is drawn, and what is known of its weights.

    A scheme of your own needs a name and a draw. Each further fact is a promise that allows
    something: the defaults promise nothing. The weights of a replicate must follow from the key
    alone. Functions are compiled for each scheme, so make it once and pass the same object again.

    Attributes
    ----------
    name : str
        The name in results and messages.
    draw : callable
        ``draw(key, n, dtype) -> Array [n]`` gives the weights of n independent units, whose mean
        is about 1, so that metrics of a fixed number of samples look as far down as they do on the
        data.
    whole_counts : bool
        Whether the weights are whole numbers. Rows can then be repeated as often as they are drawn,
        and sums of 0 and 1 are exact.
    small_counts : bool
        Whether the whole counts of any 64 units sum to less than 256, but for a negligible
        probability: they are then stored in 8 bits.
    scale : float
        Weight of a unit that is drawn once: n/m where m of n units are drawn.
    num_drawn : callable
        ``num_drawn(n)`` is the number of units that a replicate draws.
    bounds_shares, bounds_pairs : bool
        Whether a share of independent units, and one of pairs of units, obeys Hoeffding's bound in
        a replicate given the data, so that screening may leave out what can not win.
    presence : callable, or None
        ``presence(n) -> (p, q)`` are the probability that a unit is in a replicate and minus the
        covariance of the presence of two units. None where all units are in every replicate, or
        where this is unknown: the sets of bagged votes then have no guarantee.
    draw_blocks : callable, or None
        ``draw_blocks(key, first, number, dtype)`` are the weights of some blocks of
        :data:`UNITS_A_BLOCK` units, the same whichever other blocks are drawn. None where a unit's
        weight depends on those of all others: such a scheme can not be streamed.
    """

    name: str
    draw: Callable[[Array, int, Any], Array]
    whole_counts: bool = False
    small_counts: bool = False
    scale: float = 1.0
    num_drawn: Callable[[int], int] = _every_unit
    bounds_shares: bool = False
    bounds_pairs: bool = False
    presence: Callable[[int], tuple[float, float]] | None = None
    draw_blocks: Callable[[Array, Array, int, Any], Array] | None = None


MULTINOMIAL = Scheme(
    "multinomial", _multinomial, whole_counts=True, small_counts=True, bounds_shares=True,
    bounds_pairs=True, presence=_presence_in_multinomial,
)  # fmt: skip
POISSON = Scheme(
    "poisson", _poisson, whole_counts=True, small_counts=True, bounds_shares=True,
    bounds_pairs=True, presence=_presence_in_poisson, draw_blocks=poisson_blocks,
)  # fmt: skip
BAYESIAN = Scheme("bayesian", _bayesian)
SUBSAMPLE = Scheme(
    "subsample", _subsample, whole_counts=True, small_counts=True, scale=2.0,
    num_drawn=_half_of_the_units,
    # Hoeffding's theorem 4 carries the bound to draws without replacement, but of single units
    bounds_shares=True, presence=_presence_in_subsample,
)  # fmt: skip

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {scheme.name: scheme for scheme in (MULTINOMIAL, POISSON, BAYESIAN, SUBSAMPLE)}
)
"""Schemes by name.

``multinomial``: n draws with replacement (Efron, 1979). ``poisson``: independent Poisson(1)
counts. ``bayesian``: n times a flat Dirichlet vector (Rubin, 1981). ``subsample``: half of the
units without replacement, each counted twice; its spread about the full sample matches the
bootstrap's.
"""


def check_scheme(scheme: str | Scheme) -> Scheme:
    """The scheme of this name, or the scheme given.

    Raises
    ------
    ValueError
        If there is no scheme of this name.
    """
    if isinstance(scheme, Scheme):
        return scheme
    if scheme not in SCHEMES:
        raise ValueError(
            f"unknown scheme {scheme!r}; known: {', '.join(SCHEMES)}, or give a Scheme of your own"
        )
    return SCHEMES[scheme]


@partial(jax.jit, static_argnames=("scheme", "num_units", "dtype"))
def draw(
    key: Array, replicate: Array, groups: Array | None, scheme: Scheme, num_units: int, dtype: Any
) -> Array:
    """Weights [n] of one replicate, sample weights excluded."""
    unit = scheme.draw(jax.random.fold_in(key, replicate), num_units, dtype)
    return unit if groups is None else unit[groups]


@partial(jax.jit, static_argnames=("scheme", "num_units", "dtype"))
def draw_all(
    key: Array, ids: Array, groups: Array | None, scheme: Scheme, num_units: int, dtype: Any
) -> Array:
    """Weights [b, n] of the replicates ``ids``, sample weights excluded."""
    one = partial(draw, key, groups=groups, scheme=scheme, num_units=num_units, dtype=dtype)
    size = max(1, min(64, TOGETHER // num_units, ids.shape[0]))
    if not scheme.whole_counts:
        size = 1  # how a sum of reals is rounded depends on what is summed beside it
    # filled up to whole batches: what is left over would be compiled by itself
    whole = jnp.pad(ids, (0, -ids.shape[0] % size))
    return jax.lax.map(one, whole, batch_size=size)[: ids.shape[0]]
