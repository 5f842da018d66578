"""How a metric's interval follows from those of its parts: one row a metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..metrics.parts import (
    ABSENT,
    ACTIVE,
    ACTIVE_ABSENT,
    AGREE,
    ALWAYS,
    BOTH,
    EITHER,
    INACTIVE,
    NEITHER,
    PRESENT,
)
from ..metrics.transforms import LOG_FLOOR
from .estimands import Pairs, Share

__all__ = ["RULES", "UNIFORM_RULES", "Rule"]


class Rule(NamedTuple):
    """How a metric's interval follows from those of its parts.

    Attributes
    ----------
    parts : tuple of Share or Pairs
    directions : tuple of int
        For each part 1 where the metric increases in it, -1 where it decreases, 0 where neither is
        known beforehand. ``carry`` makes the metric's lower limit of the lower limits of the first,
        the upper limits of the second, and both limits of the third; its upper limit of the others.
    carry : callable
        ``carry(lower, upper, range) -> lower, upper`` from the parts' limits and the known ranges
        (low, high) of the activations as [U, 1].
    """

    parts: tuple[Share | Pairs, ...]
    directions: tuple[int, ...]
    carry: Callable[[list[Array], list[Array], tuple[Array, Array]], tuple[Array, Array]]

    def num_tails(self, side: str) -> int:
        """How many limits of parts may fail (each has one tail), for a side of the metric's.

        By the union bound each gets this share of the error. ``side`` is ``"lower"`` or
        ``"upper"``, or ``"both"`` for the two at once, which rely on both limits of every part.
        """
        return sum(1 if side != "both" and direction else 2 for direction in self.directions)


def _same(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    return lower[0], upper[0]


def _f1(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    """F1 = 2J / (1 + J) increases in the IoU J."""
    return 2 * lower[0] / (1 + lower[0]), 2 * upper[0] / (1 + upper[0])


def _mean(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    return (lower[0] + lower[1]) / 2, (upper[0] + upper[1]) / 2


def _mad(lower: list[Array], upper: list[Array], known: tuple[Array, Array]) -> tuple[Array, Array]:
    width = known[1] - known[0]
    return width * (lower[0] - upper[1]), width * (upper[0] - lower[1])


def _wpmi(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    floor = math.log(LOG_FLOOR)

    def value(log_share: Array, mean: Array) -> Array:
        return floor * (1 - log_share) - jnp.log(jnp.maximum(mean, LOG_FLOOR))

    return value(lower[0], upper[1]), value(upper[0], lower[1])


def _variance(mean: tuple[Array, Array], square: tuple[Array, Array]) -> tuple[Array, Array]:
    """Limits on the variance of a variable in [0, 1] from those on its mean and mean square."""
    low = jnp.maximum(square[0] - mean[1] ** 2, 0)
    return low, jnp.clip(square[1] - mean[0] ** 2, low, 0.25)


def _quotient(top: tuple[Array, Array], below: tuple[Array, Array]) -> tuple[Array, Array]:
    """Limits on a quotient whose denominator is positive; infinite where it may be 0."""

    def over(x: Array, outwards: Array) -> Array:
        # the smaller denominator takes a limit further from 0, the larger one nearer
        d = jnp.where(outwards, below[0], below[1])
        at_zero = jnp.where(outwards, jnp.sign(x) * jnp.inf, 0)
        return jnp.where(d > 0, x / jnp.where(d > 0, d, 1), at_zero)

    return over(top[0], top[0] < 0), over(top[1], top[1] > 0)


def _correlation(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    fc, f, ff, c, cc = zip(lower, upper, strict=True)
    covariance = fc[0] - f[1] * c[1], fc[1] - f[0] * c[0]
    vf, vc = _variance(f, ff), _variance(c, cc)
    return _quotient(covariance, (jnp.sqrt(vf[0] * vc[0]), jnp.sqrt(vf[1] * vc[1])))


def _standardised_mad(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    present, absent, f, ff = zip(lower, upper, strict=True)
    difference = present[0] - absent[1], present[1] - absent[0]
    low, high = _variance(f, ff)
    return _quotient(difference, (jnp.sqrt(low), jnp.sqrt(high)))


def _cosine(
    lower: list[Array], upper: list[Array], known: tuple[Array, Array]
) -> tuple[Array, Array]:
    fc, ff, c, cc = zip(lower, upper, strict=True)
    low, high = known
    largest = jnp.maximum(jnp.abs(low), jnp.abs(high))
    shift = low * c[0], low * c[1]
    top = (
        (high - low) * fc[0] + jnp.minimum(*shift),
        (high - low) * fc[1] + jnp.maximum(*shift),
    )
    return _quotient(top, (largest * jnp.sqrt(ff[0] * cc[0]), largest * jnp.sqrt(ff[1] * cc[1])))


_binary = partial(Share, "active", "present")
ACCURACY, IOU = _binary(AGREE, ALWAYS), _binary(BOTH, EITHER)
PRECISION, RECALL = _binary(BOTH, ACTIVE), _binary(BOTH, PRESENT)
SPECIFICITY = _binary(NEITHER, ABSENT)
NEGATIVE_PREDICTIVE_VALUE = _binary(NEITHER, INACTIVE)
FALLOUT = _binary(ACTIVE_ABSENT, ABSENT)
PREVALENCE = _binary(PRESENT, ALWAYS)  # no threshold in it
MEAN_IF_PRESENT = Share("activation", "present", BOTH, PRESENT)
MEAN_IF_ABSENT = Share("activation", "present", ACTIVE_ABSENT, ABSENT)
MEAN, MEAN_SQUARE = (
    Share(column, "score", ACTIVE, ALWAYS) for column in ("activation", "activation_squared")
)
PRODUCT = Share("activation", "score", BOTH, ALWAYS)
SCORE, SCORE_SQUARE = (
    Share("active", column, PRESENT, ALWAYS) for column in ("score", "score_squared")
)

# For a threshold fixed beforehand; what is not here has no limits for finite samples.
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "accuracy": Rule((ACCURACY,), (1,), _same),
        "precision": Rule((PRECISION,), (1,), _same),
        "recall": Rule((RECALL,), (1,), _same),
        "iou": Rule((IOU,), (1,), _same),
        "f1": Rule((IOU,), (1,), _f1),
        "balanced_accuracy": Rule((RECALL, SPECIFICITY), (1, 1), _mean),
        "simulation_balanced_accuracy": Rule((PRECISION, NEGATIVE_PREDICTIVE_VALUE), (1, 1), _mean),
        "auroc": Rule((Pairs("auroc"),), (1,), _same),
        "simulation_auroc": Rule((Pairs("simulation_auroc"),), (1,), _same),
        "mad": Rule((MEAN_IF_PRESENT, MEAN_IF_ABSENT), (1, -1), _mad),
        "standardised_mad": Rule(
            (MEAN_IF_PRESENT, MEAN_IF_ABSENT, MEAN, MEAN_SQUARE),
            (1, -1, 0, 0),
            _standardised_mad,
        ),
        "correlation": Rule(
            (PRODUCT, MEAN, MEAN_SQUARE, SCORE, SCORE_SQUARE), (1, 0, 0, 0, 0), _correlation
        ),
        "cosine": Rule(
            (PRODUCT, Share("square", "score", ACTIVE, ALWAYS), SCORE, SCORE_SQUARE),
            (1, 0, 0, 0),
            _cosine,
        ),
        "wpmi": Rule((Share("active", "log", BOTH, ACTIVE), SCORE), (1, -1), _wpmi),
    }
)


def _corners(formula: Callable[..., tuple[Array, ...]], directions: tuple[int, ...]) -> Rule:
    """Limits for every threshold from those of p, r and q: the extremes of the formula's terms.

    Each term is monotone in every argument, so its extremes lie at corners; where the direction is
    known, at the limits on that side.
    """

    def carry(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
        sides = list(zip(lower, upper, strict=True))
        limits = []
        for least, sign in ((jnp.min, 1), (jnp.max, -1)):
            ends = [
                {1: x[:1], -1: x[1:], 0: x}[sign * k]
                for x, k in zip(sides, directions, strict=True)
            ]
            corners = [formula(*x) for x in product(*ends)]
            terms = [jnp.stack(values) for values in zip(*corners, strict=True)]
            limits.append(jnp.stack([least(t, axis=0) for t in terms]).mean(axis=0))
        return limits[0], limits[1]

    return Rule((PREVALENCE, RECALL, FALLOUT), directions, carry)


def _over(x: Array, y: Array) -> Array:
    return x / jnp.where(y > 0, y, 1)


# Limits for every threshold at once: r = P(active | present) and q = P(active | absent) as
# functions of the threshold, p = P(present) beside them. What the neuron does on samples with the
# concept helps each metric and what it does without harms it; more of them help precision, f1 and
# iou.
UNIFORM_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "recall": Rule((RECALL,), (1,), _same),
        "balanced_accuracy": Rule((RECALL, SPECIFICITY), (1, 1), _mean),
        "accuracy": _corners(lambda p, r, q: (p * r + (1 - p) * (1 - q),), (0, 1, -1)),
        "precision": _corners(lambda p, r, q: (_over(p * r, p * r + (1 - p) * q),), (1, 1, -1)),
        "f1": _corners(lambda p, r, q: (_over(2 * p * r, p * (1 + r) + (1 - p) * q),), (1, 1, -1)),
        "iou": _corners(lambda p, r, q: (_over(p * r, p + (1 - p) * q),), (1, 1, -1)),
        "simulation_balanced_accuracy": _corners(
            lambda p, r, q: (
                _over(p * r, p * r + (1 - p) * q),
                _over((1 - p) * (1 - q), (1 - p) * (1 - q) + p * (1 - r)),
            ),
            (0, 1, -1),
        ),
    }
)
