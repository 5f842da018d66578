"""How a metric moves when the density ratio of a target over the probed data lies in [1/G, G].

A metric carries a :class:`ShiftRule`; :mod:`neurotrust_jax.shift` applies it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

__all__ = ["Cells", "Lead", "ShiftRule"]


class Cells(NamedTuple):
    """Probabilities [U, C] of the eight kinds of samples that a neuron and two concepts tell apart.

    The first letter is ``a`` where the neuron is active and ``n`` where it is not; the digits say
    whether the neuron's label and a rival concept are present.
    """

    a11: Array
    a10: Array
    a01: Array
    a00: Array
    n11: Array
    n10: Array
    n01: Array
    n00: Array


Lead = tuple[Array, Array, Array]
"""The label's least lead, the weight put on samples that decide it, the rest's weight before."""


class ShiftRule(NamedTuple):
    """What is known of a similarity under a shift of unknown direction.

    Attributes
    ----------
    odds_power : int or None
        The odds of the similarity (see ``to_probability``) move by at most the factor G to this
        power; None where it is the probability of an event, which moves less.
    to_probability, from_probability : callable or None
        An increasing function of the similarity that gives the probability of which
        ``odds_power`` speaks, and its inverse. None where the similarity is that probability.
    rival_events : callable or None
        ``rival_events(cells) -> p, q``: probabilities [U, C] of two disjoint events such that the
        label is ahead of a rival on every target on which the first is the likelier.
    least_lead : callable or None
        ``least_lead(cells, gamma) -> Lead``: a number that is positive only where the label is
        ahead of a rival on every target within gamma; where ``rival_events`` does not apply.
    """

    odds_power: int | None
    to_probability: Callable[[Array], Array] | None = None
    from_probability: Callable[[Array], Array] | None = None
    rival_events: Callable[[Cells], tuple[Array, Array]] | None = None
    least_lead: Callable[[Cells, Array], Lead] | None = None


def iou_lead(k: Cells, gamma: Array) -> Lead:
    """Least of tp (F + rival's fn) - rival's tp (F + fn), F active, over w in [1/G, G].

    It rises in a10 and n01, falls in a01 and n10, and is linear in the others.
    """
    x, y, z, v = k.a10 / gamma, k.n01 / gamma, k.a01 * gamma, k.n10 * gamma
    both = y - v + x - z
    a11 = k.a11 * jnp.where(both > 0, 1 / gamma, gamma)
    others = jnp.where(x > z, 1 / gamma, gamma) * (k.a00 + k.n11)
    lead = a11 * both + x * (x + y) - z * (z + v) + (x - z) * others
    return lead, x + y + z + v + a11 + others, k.n00


def recall_lead(k: Cells, gamma: Array) -> Lead:
    """Least of tp times the rival's fn less the rival's tp times fn, over w in [1/G, G]."""
    x, y, z, v = k.a10 / gamma, k.n01 / gamma, k.a01 * gamma, k.n10 * gamma
    a11 = k.a11 * jnp.where(y > v, 1 / gamma, gamma)
    n11 = k.n11 * jnp.where(x > z, 1 / gamma, gamma)
    lead = a11 * (y - v) + x * y - z * v + n11 * (x - z)
    return lead, x + y + z + v + a11 + n11, k.a00 + k.n00


EVENT = ShiftRule(None, rival_events=lambda k: (k.a10 + k.n01, k.a01 + k.n10))
"""The probability that neuron and concept agree."""
GIVEN_ACTIVE = ShiftRule(2, rival_events=lambda k: (k.a10, k.a01))
"""P(present | active)."""
GIVEN_PRESENT = ShiftRule(2, least_lead=recall_lead)
"""P(active | present)."""
GIVEN_EITHER = ShiftRule(2, least_lead=iou_lead)
"""P(both | either)."""
THROUGH_IOU = ShiftRule(2, lambda f1: f1 / (2 - f1), lambda j: 2 * j / (1 + j), least_lead=iou_lead)
"""F1 = 2J / (1 + J) of the IoU J."""
CONDITIONALS = ShiftRule(2)
"""A conditional probability, or the mean of some, whose odds move by no more."""
AREA = ShiftRule(4)
"""An AUROC: a pair of samples has a density ratio in [1/G^2, G^2]."""
