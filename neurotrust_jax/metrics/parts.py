"""The means that a metric is made of: on how many sampling units a similarity rests.

A part is a ratio such as P(active | present): hits over trials, both sums over the samples of a
combination of 1, f, c and f c, where f is a neuron's column and c a concept's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

__all__ = ["GIVEN_CONCEPT", "GIVEN_NEURON", "Coefficients", "Part", "combine", "default_parts"]

Coefficients = tuple[int, int, int, int]  # of 1, f, c and f c

ALWAYS: Coefficients = (1, 0, 0, 0)
ACTIVE: Coefficients = (0, 1, 0, 0)
PRESENT: Coefficients = (0, 0, 1, 0)
BOTH: Coefficients = (0, 0, 0, 1)
INACTIVE: Coefficients = (1, -1, 0, 0)
ABSENT: Coefficients = (1, 0, -1, 0)
NEITHER: Coefficients = (1, -1, -1, 1)
EITHER: Coefficients = (0, 1, 1, -1)
AGREE: Coefficients = (1, -1, -1, 2)
ACTIVE_ABSENT: Coefficients = (0, 1, 0, -1)
PRESENT_INACTIVE: Coefficients = (0, 0, 1, -1)


class Part(NamedTuple):
    """A ratio of two sums over the samples.

    Attributes
    ----------
    hits, trials : tuple of 4 int
        Coefficients of 1, f, c and f c. Every sample's trials lie in [0, 1].
    sign : int
        Whether the metric rises (1) or falls (-1) with this part.
    """

    hits: Coefficients
    trials: Coefficients
    sign: int = 1

    @property
    def given_neuron(self) -> bool:
        """Whether the neuron decides what is a trial."""
        return self.trials[1] != 0

    @property
    def given_concept(self) -> bool:
        """Whether the concept decides what is a trial."""
        return self.trials[2] != 0


GIVEN_CONCEPT = Part(BOTH, PRESENT), Part(ACTIVE_ABSENT, ABSENT, -1)
"""The neuron's mean where the concept is present, and where it is absent."""

GIVEN_NEURON = Part(BOTH, ACTIVE), Part(PRESENT_INACTIVE, INACTIVE, -1)
"""The concept's mean where the neuron is active, and where it is not."""


def default_parts(neuron_view: str, concept_view: str) -> tuple[Part, ...]:
    """The parts of a metric of these views that names none of its own."""
    given_neuron = neuron_view == "binary" and concept_view != "binary"
    return GIVEN_NEURON if given_neuron else GIVEN_CONCEPT


def combine(coefficients: Coefficients, s: Any) -> Array:
    """The combination of 1, f, c and f c from their sums S, F, C and FC, [U, C]."""
    # what does not count is not computed
    terms = zip(coefficients, (s.S, s.F, s.C, s.FC), strict=True)
    return sum(k * x for k, x in terms if k) + jnp.zeros_like(s.FC)
