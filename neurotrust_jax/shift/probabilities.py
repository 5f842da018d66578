"""Probabilities under a shift: how far they, their ratios and their odds can move.

The density ratio w of the target over the probed data lies in [1/G, G], with E[w] = 1.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

__all__ = ["at_least", "at_most", "event_radius", "most_conditional", "odds_times"]


def at_most(p: Array, gamma: Array) -> Array:
    """Largest target probability of an event of probability p.

    E[w 1_A] <= G p, and 1 - E[w 1_A] = E[w 1_not A] >= (1 - p) / G; w of two values attains it.
    """
    return jnp.minimum(gamma * p, 1 - (1 - p) / gamma)


def at_least(p: Array, gamma: Array) -> Array:
    """Smallest target probability: one less the largest of the complement."""
    return jnp.maximum(p / gamma, 1 - gamma * (1 - p))


def most_conditional(hit: Array, miss: Array, gamma: Array) -> Array:
    """Largest target value of hit / (hit + miss), from the probabilities of the two events.

    It rises in the target's hit and falls in its miss, so it is at most that of the largest hit and
    the smallest miss. Both are reached together: the first is at 1 - (1 - hit) / G only where hit >
    1 / (G + 1), the second at 1 - G (1 - miss) only where miss > G / (G + 1), which is not both
    true of disjoint events; in the first case w = 1 / G off the hits, in the second G off the
    misses, in neither the rest takes what is left. Its odds move by a factor of at most G^2.
    """
    top, bottom = at_most(hit, gamma), at_least(miss, gamma)
    some = top + bottom
    return jnp.where(some > 0, top / jnp.where(some > 0, some, 1), jnp.nan)


def odds_times(p: Array, factor: Array) -> Array:
    """A probability whose odds are multiplied."""
    return factor * p / (1 - p + factor * p)


def event_radius(p: Array, q: Array) -> Array:
    """Where the least target probability of one event meets the largest of another.

    Both are the larger, and the smaller, of two functions of G, so they meet at the largest of the
    four roots; the shift that attains both is that of :func:`most_conditional`.
    """
    roots = [
        jnp.sqrt(p / jnp.where(q > 0, q, 1)),
        1 + p - q,
        1 / jnp.where(1 - p + q > 0, 1 - p + q, 1),
        jnp.sqrt((1 - q) / jnp.where(p < 1, 1 - p, 1)),
    ]
    never = ((q <= 0) & (p > 0)) | ((p >= 1) & (q < 1))
    radius = jnp.where(never, jnp.inf, jnp.stack(roots).max(axis=0))
    return jnp.where(p > q, radius, 1)
