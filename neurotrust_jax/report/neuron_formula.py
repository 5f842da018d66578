"""The formula of one neuron: what it is worth, and a few sentences on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..composition.formulas import written
from ..composition.result import Compositions

__all__ = ["NeuronFormula", "neuron_formula"]


@dataclass(frozen=True)
class NeuronFormula:
    """What :class:`Compositions` say of one neuron, as plain numbers and texts.

    Formulas are found on the search half of the probing set and measured on the other half.

    Attributes
    ----------
    formula : str
        The best formula; it may be a single concept.
    better : bool
        Whether it is better than the best single concept beyond chance.
    metric : str
    similarity : float
        On the other half.
    interval : tuple of float
        Of the formula's true similarity.
    gain, gain_error : float
        How much more similar it is than the single concept, on the other half, and the standard
        error of that.
    search_gain : float
        How much more similar it seems on the half that chose it.
    q_value : float
    single : str
        The best single concept on the search half.
    proved : bool
        Whether no other formula is better on the search half.
    other_formula : str
        What the same search finds on the other half, empty where it finds nothing.
    overlap : float
        Share of the samples on which either of the two formulas holds on which both do.
    """

    formula: str
    better: bool
    metric: str
    similarity: float
    interval: tuple[float, float]
    gain: float
    gain_error: float
    search_gain: float
    q_value: float
    single: str
    proved: bool
    other_formula: str
    overlap: float

    def sentences(self) -> Iterator[str]:
        """The formula and what it is worth, or why none is shown, the most important first."""
        if not self.better:
            yield self._not_better()
            return
        low, high = self.interval
        yield self.formula
        yield (
            f"its {self.metric} is {self.similarity:.3f} ({low:.2f} to {high:.2f}) on the half "
            "that did not choose it"
        )
        yield (
            f'it gains {self.gain:.3f} ± {self.gain_error:.3f} over "{self.single}" there '
            f"(q = {self.q_value:.2g}); on the half that chose it the gain seemed "
            f"{self.search_gain:.3f}"
        )
        if self.other_formula == self.formula:
            yield "the other half gives the same formula"
        elif self.other_formula:
            yield (
                f'the other half gives "{self.other_formula}"; the samples on which the two hold '
                f"overlap by {self.overlap:.0%}"
            )

    def _not_better(self) -> str:
        if self.formula == self.single:
            return f'no formula of several concepts is more similar than "{self.single}"'
        return (
            f'none is better than "{self.single}" beyond chance; the best one, "{self.formula}", '
            f"gains {self.gain:.3f} ± {self.gain_error:.3f} on other samples "
            f"(q = {self.q_value:.2g})"
        )


def neuron_formula(found: Compositions | None, neuron: int) -> NeuronFormula | None:
    """The formula of one neuron; None where no formulas were asked for or none was found."""
    if found is None or np.isnan(found.p_value[neuron]):
        return None
    return NeuronFormula(
        formula=found.description(neuron),
        better=bool(found.better[neuron]),
        metric=found.metric,
        similarity=float(found.similarity[-1, neuron]),
        interval=(float(found.lower[neuron]), float(found.upper[neuron])),
        gain=float(found.gain[neuron]),
        gain_error=float(found.gain_error[neuron]),
        search_gain=float(found.search_gain[neuron]),
        q_value=float(found.q_value[neuron]),
        single=found.concept_names[found.single[neuron]],
        proved=bool(found.proved[neuron]),
        other_formula=written(*found.other_formula.take(neuron), found.concept_names),
        overlap=float(found.overlap[neuron]),
    )
