"""How far a metric can be off on a probing set that is yet to be drawn.

A metric carries a planning gap, a function of a :class:`ProbingDesign`. Plain float64 NumPy, as
planning needs no data, and its numbers must not depend on JAX's precision.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "ProbingDesign"]

Floats: TypeAlias = np.float64 | NDArray[np.float64]


class ProbingDesign(NamedTuple):
    """A probing set to come, and the error that is accepted on it.

    A planning gap is made of the half-widths below. It must not increase with ``n``, even in the
    last bit.

    Attributes
    ----------
    n : float64 array
        Number of independent samples.
    present, active : float64 array in (0, 1)
        P(present) and P(active).
    kurtosis : float64 array, at least 1
        Kurtosis of the activations on samples without the concept.
    num_concepts : int
        Number of concepts among which alpha is divided.
    alpha : float
        Probability of a miss.
    tails : int
        2 if a miss is an error either way, 1 if it is one in a known direction.
    """

    n: NDArray[np.float64]
    present: NDArray[np.float64]
    active: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    num_concepts: int
    alpha: float
    tails: int = 2

    def rate(self, count: Floats, proportions: int = 1) -> Floats:
        """Half-width for a mean in [0, 1] of ``count`` samples, one of ``proportions`` at once."""
        log = math.log(self.tails * proportions * self.num_concepts / self.alpha)
        return np.sqrt(log / (2 * count))

    def two_classes(self, share: Floats) -> Floats:
        """Half-width for the mean of two proportions, one given an event and one given not."""
        return (self.rate(self.n * share, 2) + self.rate(self.n * (1 - share), 2)) / 2

    def pairs(self, share: Floats) -> Floats:
        """Half-width for an AUROC: as many independent pairs as the smaller class has samples."""
        return self.rate(self.n * np.minimum(share, 1 - share))

    def union(self) -> Floats:
        """Half-width for a proportion given that the neuron is active or the concept present."""
        # active or present is at least as likely as either
        return self.rate(self.n * np.maximum(self.present, self.active))

    def independent(self) -> Floats:
        """Normal half-width for the correlation of independent columns, standard error n^-1/2."""
        # the lower tail, since 1 - alpha / 2m rounds; one tail of an error above 1/2 needs no width
        z = max(-NormalDist().inv_cdf(self.alpha / (self.tails * self.num_concepts)), 0)
        return z / np.sqrt(self.n)

    def shifted(self) -> Floats:
        """Normal half-width for the correlation with a concept that shifts the activation.

        Let x and y be concept and activation, standardised, r their correlation, and
        y = r x + (1 - r²)^½ e with e independent of x. The influence on r is x y - r (x² + y²) / 2
        = (1 - r²) (r (x² - e²) / 2 + (1 - r²)^½ x e), of variance (1 - r²)² (1 + r² (K - 1)) with
        K = (kurtosis of e + kurtosis of x - 2) / 4. Its largest value is 1, at r = 0, up to K = 3,
        and from there on 4 K³ / (27 (K - 1)²), at r² = (K - 3) / (3 (K - 1)).
        """
        k = (self.kurtosis + 1 / (self.present * (1 - self.present)) - 5) / 4
        k = np.maximum(k, 3)
        return np.sqrt(4 * k**3 / (27 * (k - 1) ** 2)) * self.independent()
