"""What an interval of a metric is made of, and how it follows from the intervals of its parts.

A metric carries an :class:`IntervalRule`: its parts, each a ratio of means (:class:`Share`) or a
probability that two samples are ordered rightly (:class:`Pairs`), and a formula that turns bounds
on the parts into bounds on the metric. :mod:`neurotrust_jax.faithfulness` reads the parts from a
probe and bounds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..probing.probe import Side
from .parts import (
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
    Coefficients,
)
from .transforms import LOG_FLOOR

__all__ = [
    "BINARY_COLUMN",
    "Column",
    "IntervalRule",
    "Pairs",
    "Share",
    "binary_share",
    "every_threshold",
    "same",
]

Known = tuple[Array, Array]  # smallest and largest possible activation of each neuron


class Column(NamedTuple):
    """A column in [0, 1] that a part of a metric reads from one side of a probe.

    Attributes
    ----------
    read : callable
        ``read(side, (low [d], high [d])) -> Array [n, d]`` within [0, 1]. The pair is the range of
        activations that is known beforehand, zeros where it is not known or the side is that of
        the concepts.
    needs_range : bool
        Whether it is in [0, 1] only where the range of activations is known.
    """

    read: Callable[[Side, Known], Array]
    needs_range: bool = False

    @property
    def binary(self) -> bool:
        """Whether it says where the neuron is active, or the concept present."""
        return self == BINARY_COLUMN


def _activation(side: Side, known: Known) -> Array:
    low, high = known
    width = (high - low)[None, :]
    return (side.values - low[None, :]) / jnp.where(width > 0, width, 1)


def _square(side: Side, known: Known) -> Array:
    largest = jnp.maximum(*map(jnp.abs, known))[None, :]
    return (side.values / jnp.where(largest > 0, largest, 1)) ** 2


def _log(side: Side, _: Known) -> Array:
    floor = jnp.log(jnp.asarray(LOG_FLOOR, side.values.dtype))
    return 1 - jnp.log(jnp.maximum(side.values, LOG_FLOOR)) / floor


BINARY_COLUMN = Column(lambda side, _: side.present.astype(side.values.dtype))
"""1 where the neuron is active, or the concept present."""
ACTIVATION = Column(_activation, needs_range=True)
ACTIVATION_SQUARED = Column(lambda *x: _activation(*x) ** 2, needs_range=True)
SCALED_SQUARE = Column(_square, needs_range=True)
SCORE_COLUMN = Column(lambda side, _: side.values)
SCORE_COLUMN_SQUARED = Column(lambda side, _: side.values**2)
LOG_SCORE = Column(_log)


class Share(NamedTuple):
    """A ratio of the means of two combinations of 1, f, c and f c, the second a condition.

    Attributes
    ----------
    neuron, concept : Column
        Which columns f and c are.
    hits, trials : tuple of 4 int
        Coefficients of 1, f, c and f c; trials are 0 or 1 on every sample.
    """

    neuron: Column
    concept: Column
    hits: Coefficients
    trials: Coefficients

    @property
    def binomial(self) -> bool:
        """Whether each sample's hit is 0 or 1."""
        return self.neuron.binary and self.concept.binary

    @property
    def needs_range(self) -> bool:
        """Whether it reads activations, whose range must then be known."""
        return self.neuron.needs_range

    @property
    def has_threshold(self) -> bool:
        """Whether it changes with the neuron's threshold."""
        return any(self.hits[i] or self.trials[i] for i in (1, 3))


class Pairs(NamedTuple):
    """The probability that of two samples, the one that is labelled ranks higher (AUROC).

    A metric's interval rule may have one of these only if it is an AUROC itself, as bounds start
    from the similarity.

    Attributes
    ----------
    ranked : {"neuron", "concept"}
        Whose values rank the samples; the other side labels them.
    """

    ranked: str

    @property
    def binomial(self) -> bool:
        """Never: a sample is part of many pairs."""
        return False

    @property
    def needs_range(self) -> bool:
        """Never: only the order of activations counts."""
        return False


class IntervalRule(NamedTuple):
    """How a metric's interval follows from those of its parts.

    Attributes
    ----------
    parts : tuple of Share or Pairs
    directions : tuple of int
        For each part 1 where the metric increases in it, -1 where it decreases, 0 where neither is
        known beforehand. ``carry`` makes the metric's lower bound of the lower bounds of the first,
        the upper bounds of the second, and both bounds of the third; its upper bound of the others.
    carry : callable
        ``carry(lower, upper, range) -> lower, upper`` from the parts' bounds and the known ranges
        (low, high) of the activations as [U, 1].
    """

    parts: tuple[Share | Pairs, ...]
    directions: tuple[int, ...]
    carry: Callable[[list[Array], list[Array], tuple[Array, Array]], tuple[Array, Array]]

    def num_tails(self, bound: str) -> int:
        """Number of the parts' bounds that may fail, for one bound of the metric or for both.

        By the union bound each gets this share of the error. ``bound`` is ``"lower"`` or
        ``"upper"``, or ``"both"`` for the two at once, which rely on both bounds of every part.
        """
        return sum(1 if bound != "both" and direction else 2 for direction in self.directions)

    @property
    def needs_range(self) -> bool:
        """Whether a part reads activations, whose range must then be known."""
        return any(part.needs_range for part in self.parts)

    @property
    def shares(self) -> tuple[Share, ...]:
        """The parts that are ratios of means."""
        return tuple(part for part in self.parts if isinstance(part, Share))

    @property
    def paired(self) -> bool:
        """Whether a part is a probability of pairs of samples."""
        return len(self.shares) < len(self.parts)

    @property
    def countable(self) -> bool:
        """Whether every part is a probability, of single samples (0 or 1) or of pairs."""
        return all(part.binomial for part in self.shares)


def same(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    """Take the bounds of the one part as those of the metric."""
    return lower[0], upper[0]


def f1_of_iou(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    """F1 = 2J / (1 + J) increases in the IoU J."""
    return 2 * lower[0] / (1 + lower[0]), 2 * upper[0] / (1 + upper[0])


def mean(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    return (lower[0] + lower[1]) / 2, (upper[0] + upper[1]) / 2


def mad(lower: list[Array], upper: list[Array], known: tuple[Array, Array]) -> tuple[Array, Array]:
    width = known[1] - known[0]
    return width * (lower[0] - upper[1]), width * (upper[0] - lower[1])


def wpmi(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    floor = math.log(LOG_FLOOR)

    def value(log_share: Array, mean: Array) -> Array:
        return floor * (1 - log_share) - jnp.log(jnp.maximum(mean, LOG_FLOOR))

    return value(lower[0], upper[1]), value(upper[0], lower[1])


def _variance(mean: tuple[Array, Array], square: tuple[Array, Array]) -> tuple[Array, Array]:
    """Bounds on the variance of a variable in [0, 1] from those on its mean and mean square."""
    low = jnp.maximum(square[0] - mean[1] ** 2, 0)
    return low, jnp.clip(square[1] - mean[0] ** 2, low, 0.25)


def _quotient(top: tuple[Array, Array], below: tuple[Array, Array]) -> tuple[Array, Array]:
    """Bounds on a quotient whose denominator is positive; infinite where it may be 0."""

    def over(x: Array, outwards: Array) -> Array:
        # the smaller denominator moves a bound away from 0, the larger one towards it
        d = jnp.where(outwards, below[0], below[1])
        at_zero = jnp.where(outwards, jnp.sign(x) * jnp.inf, 0)
        return jnp.where(d > 0, x / jnp.where(d > 0, d, 1), at_zero)

    return over(top[0], top[0] < 0), over(top[1], top[1] > 0)


def correlation(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    fc, f, ff, c, cc = zip(lower, upper, strict=True)
    covariance = fc[0] - f[1] * c[1], fc[1] - f[0] * c[0]
    vf, vc = _variance(f, ff), _variance(c, cc)
    return _quotient(covariance, (jnp.sqrt(vf[0] * vc[0]), jnp.sqrt(vf[1] * vc[1])))


def standardised_mad(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    present, absent, f, ff = zip(lower, upper, strict=True)
    difference = present[0] - absent[1], present[1] - absent[0]
    low, high = _variance(f, ff)
    return _quotient(difference, (jnp.sqrt(low), jnp.sqrt(high)))


def cosine(
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


def lead_of_ranks(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
    """(2 A - 1) sqrt(p (1 - p)) from the bounds of the AUROC A and of the concept's share p."""
    lead = 2 * lower[0] - 1, 2 * upper[0] - 1
    least, most = (jnp.sqrt(jnp.clip(p * (1 - p), 0, 0.25)) for p in (lower[1], upper[1]))
    least, most = jnp.minimum(least, most), jnp.maximum(least, most)
    most = jnp.where((lower[1] <= 0.5) & (upper[1] >= 0.5), 0.5, most)
    return (
        lead[0] * jnp.where(lead[0] > 0, least, most),
        lead[1] * jnp.where(lead[1] > 0, most, least),
    )


binary_share = partial(Share, BINARY_COLUMN, BINARY_COLUMN)
"""``binary_share(hits, trials)``, a share of samples by the neuron's activity and the concept."""

ACCURACY, IOU = binary_share(AGREE, ALWAYS), binary_share(BOTH, EITHER)
PRECISION, RECALL = binary_share(BOTH, ACTIVE), binary_share(BOTH, PRESENT)
SPECIFICITY = binary_share(NEITHER, ABSENT)
NEGATIVE_PREDICTIVE_VALUE = binary_share(NEITHER, INACTIVE)
FALLOUT = binary_share(ACTIVE_ABSENT, ABSENT)
PREVALENCE = binary_share(PRESENT, ALWAYS)  # no threshold in it
MEAN_IF_PRESENT = Share(ACTIVATION, BINARY_COLUMN, BOTH, PRESENT)
MEAN_IF_ABSENT = Share(ACTIVATION, BINARY_COLUMN, ACTIVE_ABSENT, ABSENT)
MEAN, MEAN_SQUARE = (
    Share(column, SCORE_COLUMN, ACTIVE, ALWAYS) for column in (ACTIVATION, ACTIVATION_SQUARED)
)
SCALED_MEAN_SQUARE = Share(SCALED_SQUARE, SCORE_COLUMN, ACTIVE, ALWAYS)
PRODUCT = Share(ACTIVATION, SCORE_COLUMN, BOTH, ALWAYS)
SCORE, SCORE_SQUARE = (
    Share(BINARY_COLUMN, column, PRESENT, ALWAYS) for column in (SCORE_COLUMN, SCORE_COLUMN_SQUARED)
)
LOG_IF_ACTIVE = Share(BINARY_COLUMN, LOG_SCORE, BOTH, ACTIVE)

AREA_OF_NEURON = IntervalRule((Pairs("neuron"),), (1,), same)
"""The AUROC of the activations."""


def every_threshold(
    formula: Callable[..., tuple[Array, ...]], directions: tuple[int, ...]
) -> IntervalRule:
    """Rule for every threshold at once of a metric that is the mean of a formula's terms.

    ``formula(p, r, q)`` takes p = P(present), which no threshold changes, and r = P(active |
    present) and q = P(active | absent) as functions of the threshold. Each term is monotone in
    every argument, so its extremes lie at corners; where a direction is known, at the bounds that
    it names.
    """

    def carry(lower: list[Array], upper: list[Array], _: Any) -> tuple[Array, Array]:
        both = list(zip(lower, upper, strict=True))
        bounds = []
        for least, sign in ((jnp.min, 1), (jnp.max, -1)):
            reached = [
                {1: x[:1], -1: x[1:], 0: x}[sign * k] for x, k in zip(both, directions, strict=True)
            ]
            corners = [formula(*x) for x in product(*reached)]
            terms = [jnp.stack(values) for values in zip(*corners, strict=True)]
            bounds.append(jnp.stack([least(t, axis=0) for t in terms]).mean(axis=0))
        return bounds[0], bounds[1]

    return IntervalRule((PREVALENCE, RECALL, FALLOUT), directions, carry)


def over_positive(x: Array, y: Array) -> Array:
    """Quotient of shares, 0 over 0."""
    return x / jnp.where(y > 0, y, 1)
