"""Formulas of a layer, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from .._runtime.short_repr import short_repr
from .._runtime.static import STATIC
from .._runtime.text import neuron_noun
from .formulas import Formulas, written

__all__ = ["Compositions"]


@short_repr
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Compositions:
    """The best formula of each neuron, judged on samples that had no part in finding it.

    NumPy arrays. The sampling units are divided into two halves: formulas are found on the *search
    half* and measured on the *other half*.

    Attributes
    ----------
    metric, search : str
        The similarity, and ``"optimal"`` or ``"beam"``.
    operators : tuple of str
    max_length, beam_width : int
    soft : bool
        Whether the values of concepts were joined, not their presence.
    alpha : float
        Error of intervals and certificates, and the false discovery rate of ``better``.
    num_formulas : int
        Number of different formulas that were searched.
    num_samples, num_units : int
        Samples and sampling units (groups where given) of both halves together.
    thresholds : str
        How the neurons' thresholds came about; empty for a metric that reads none.
    concept_names, neuron_names : tuple of str
    num_ranges : int
        Ranges of activation of each neuron, each with a formula of its own; 1 without.
    by_length : Formulas [L, U]
        The best formula of at most 1, 2, ... L = ``max_length`` concepts, as columns of the probe's
        concepts; without concepts where none has a similarity.
    search_similarity : [L, U]
        Their similarity on the search half: the number that a search reports.
    similarity : [L, U]
        Their similarity on the other half.
    lower, upper : [U]
        Interval of the true similarity of the longest, of each neuron alone, from the other half.
    guarantee : str
        What the interval promises.
    gain, gain_error : [U]
        How much more similar the longest is than the best single concept, on the other half, and
        the standard error of that. 0 where the best formula is a single concept.
    p_value : [U]
        Of the hypothesis that the formula is no more similar than the single concept, or that,
        given this concept, the neuron does not depend on the formula: it is valid for both. 1 where
        the best formula is a single concept, NaN where there is none.
    q_value : [U]
        The p-values, adjusted for the false discovery rate over the layer.
    certified_lower : [U]
        Lower bound of the formula's true similarity from all data, for all formulas of all kinds at
        once. NaN where the metric has no such bound.
    bound : [U]
        No formula of at most L concepts is more similar on the search half; NaN after a beam
        search. Where it exceeds the similarity found, the search has stopped early.
    other_formula : Formulas [U]
        What the same search finds on the other half.
    overlap : [U]
        Share of the samples on which either of the two formulas holds on which both do.
    """

    metric: str = field(metadata=STATIC)
    search: str = field(metadata=STATIC)
    operators: tuple[str, ...] = field(metadata=STATIC)
    max_length: int = field(metadata=STATIC)
    beam_width: int = field(metadata=STATIC)
    soft: bool = field(metadata=STATIC)
    alpha: float = field(metadata=STATIC)
    num_formulas: int = field(metadata=STATIC)
    num_samples: int = field(metadata=STATIC)
    num_units: int = field(metadata=STATIC)
    thresholds: str = field(metadata=STATIC)
    concept_names: tuple[str, ...] = field(metadata=STATIC)
    neuron_names: tuple[str, ...] = field(metadata=STATIC)
    num_ranges: int = field(metadata=STATIC)
    by_length: Formulas
    search_similarity: np.ndarray
    similarity: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    guarantee: str = field(metadata=STATIC)
    gain: np.ndarray
    gain_error: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    certified_lower: np.ndarray
    bound: np.ndarray
    other_formula: Formulas
    overlap: np.ndarray

    @property
    def formula(self) -> Formulas:
        """The best formula of each neuron, [U]."""
        return self.by_length.take(-1)

    @property
    def single(self) -> np.ndarray:
        """Column of the best single concept of each neuron on the search half, -1 for none, [U]."""
        return self.by_length.concept[0, :, 0]

    @property
    def single_names(self) -> list[str]:
        """Name of the best single concept of each neuron, empty for none, [U]."""
        return [self.concept_names[c] if c >= 0 else "" for c in self.single]

    @property
    def better(self) -> np.ndarray:
        """Whether the formula is better than the single concept beyond chance, [U] of bool.

        Of the neurons for which this is said, a share alpha is expected to be false.
        """
        return np.nan_to_num(self.q_value, nan=1.0) <= self.alpha

    @property
    def search_gain(self) -> np.ndarray:
        """How much more similar than the single concept the formula seems on the search half."""
        return self.search_similarity[-1] - self.search_similarity[0]

    @property
    def optimism(self) -> np.ndarray:
        """Similarity of the formula on the search half less that on the other half, [U]."""
        return self.search_similarity[-1] - self.similarity[-1]

    @property
    def proved(self) -> np.ndarray:
        """Whether no formula is better on the search half, [U] of bool."""
        return self.bound <= self.search_similarity[-1]

    @property
    def replicated(self) -> np.ndarray:
        """Whether the other half gives a formula of the same meaning, [U] of bool."""
        return (self.formula.length > 0) & self.formula.same(self.other_formula)

    @property
    def descriptions(self) -> list[str]:
        """The best formula of each neuron as a text, "(water OR lake) AND NOT river", [U]."""
        return [self.description(u) for u in range(len(self.lower))]

    @property
    def labels(self) -> list[str]:
        """The formula where it is better beyond chance, else the single concept, [U]."""
        pairs = zip(self.better, self.descriptions, self.single_names, strict=True)
        return [formula if better else single for better, formula, single in pairs]

    def description(self, neuron: int) -> str:
        """The best formula of one neuron as a text, empty where there is none."""
        return written(*self.by_length.take(-1, neuron), self.concept_names)

    def _in_short(self) -> str:
        return (
            f"of {len(self.lower):,} neurons x {len(self.concept_names):,} concepts by "
            f"{self.metric}: {int(self.better.sum()):,} better than a single concept"
        )

    def _repr_html_(self) -> str:
        from ..report.notebook import compositions_html

        return compositions_html(self)

    def to_pandas(self) -> Any:
        """Return :meth:`columns` as a ``pandas.DataFrame``, which needs pandas to be installed.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        from ..report.columns import to_pandas

        return to_pandas(self)

    def columns(self) -> dict[str, Any]:
        """A table with one entry for each neuron, by name of the column.

        ``pandas.DataFrame``, ``polars.DataFrame`` and ``pyarrow.table`` take the dict as it is.
        """
        return {
            "neuron": list(self.neuron_names),
            "label": self.labels,
            "formula": self.descriptions,
            "better": self.better,
            "similarity": self.similarity[-1],
            "lower": self.lower,
            "upper": self.upper,
            "single": self.single_names,
            "single_similarity": self.similarity[0],
            "gain": self.gain,
            "q_value": self.q_value,
            "optimism": self.optimism,
            "certified_lower": self.certified_lower,
            "replicated": self.replicated,
            "overlap": self.overlap,
        }

    def headline(self) -> str:
        """For how many neurons the formula is better than a single concept, in a sentence."""
        noun = neuron_noun(self.num_ranges)
        return (
            f"{int(self.better.sum()):,} of {int((~np.isnan(self.p_value)).sum()):,} {noun} have a "
            f"formula of at most {self.max_length} concepts that is better than their best single "
            f"concept beyond chance (false discovery rate {self.alpha:g})."
        )

    def summary(self) -> str:
        """A few sentences on the layer, the most important first, one on each line."""
        judged = ~np.isnan(self.p_value)
        noun = neuron_noun(self.num_ranges)
        longer = judged & (self.formula.length > 1)
        number = int(longer.sum())
        lines = [self.headline()]
        if not number:
            return lines[0] + "\nNo formula of several concepts was found."
        seemed, true = (float(np.nanmean(x[longer])) for x in (self.search_gain, self.gain))
        lines += [
            f"On the samples that chose them formulas gain {seemed:.3f} of {self.metric} in the "
            f"mean over a single concept, on other samples {true:.3f}.",
            f"The other half of the probing set gives the same formula for "
            f"{int(self.replicated[longer].sum()):,} of {number:,} {noun}; the samples on which "
            f"both formulas hold overlap by {np.nanmean(self.overlap[longer]):.0%} in the mean.",
        ]
        if self.search == "optimal":
            lines.append(
                f"No other formula is better on the search half for "
                f"{int(self.proved[judged].sum()):,} of {int(judged.sum()):,} {noun}: that is "
                f"proved for all {self.num_formulas:,} formulas."
            )
        return "\n".join(lines)
