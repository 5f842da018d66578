"""Everything about one neuron of an audit: an object that reads well wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np

from .._runtime.text import visible
from ..auditing.result import Audit
from ..auditing.verdicts import Verdict
from .neuron_formula import NeuronFormula, neuron_formula
from .table import chance_text, range_text

__all__ = ["Contender", "NeuronAudit", "one_neuron"]

MOST_NAMED = 12  # concepts of a set that are named where a neuron is shown
LONGEST = 60  # characters of a name there
LONGEST_FACT = 500

Bounds = tuple[float, float]
NONE: Bounds = (float("nan"), float("nan"))


class Contender(NamedTuple):
    """One of the most similar concepts of a neuron.

    Attributes
    ----------
    concept : str
    similarity : float
        As measured.
    interval, sure_interval : tuple of float
        Of the true similarity: asymptotic, and for every sample size, NaN where there is none.
    vote_share : float
        Share of the replicates that it wins.
    in_set : bool
        Whether it is in the concept set.
    """

    concept: str
    similarity: float
    interval: Bounds
    sure_interval: Bounds
    vote_share: float
    in_set: bool


@dataclass(frozen=True)
class NeuronAudit:
    """What an audit says of one neuron, as plain numbers and texts; NaN where undefined.

    Attributes
    ----------
    name : str
    number : int
        Its place in the audit, from 0.
    layer, metric : str
    alpha : float
        Nominal error of sets and intervals.
    label : str
        Empty where there is none.
    verdict : Verdict
    reason : str
        The reason for the verdict, in a clause.
    similarity, similarity_corrected : float
        Of the label: as measured, and corrected for its having been chosen.
    interval, pair_interval, sure_interval : tuple of float
        Intervals of the label's true similarity: asymptotic, if no group counts for more than the
        most seen, and for every sample size, NaN where there is none. See :class:`LabelIntervals`.
    why_wide : str
        Why the last one is wide, empty where it is not.
    replication_probability, answer_probability : float
        Probability that a fresh probing set gives this label, or the same answer.
    concept_set : tuple of str
        Names of the concepts in the set, those that win most replicates first.
    answers : int
        Number of answers in it.
    regret : float
        No concept's true similarity exceeds the label's by more.
    contenders : tuple of Contender
        The most similar concepts, the label first.
    p_value, q_value : float
        Of the permutation test.
    fit : str
        Why the label fits the most active samples poorly, empty where it fits.
    label_hits, top_units : int
        On how many of the sampling units that activate it most the label is present.
    tied : int
        Number of concepts that share the label's similarity.
    active_rate : float
        Share of samples on which the neuron is active.
    positives : int
        Number of sampling units on which the label is present, 0 without a label.
    unit_name : str
        Name of the sampling units, in the plural.
    formula : NeuronFormula or None
        The best formula of concepts; None where the audit has no formulas, or none for the neuron.
    """

    name: str
    number: int
    layer: str
    metric: str
    alpha: float
    label: str
    verdict: Verdict
    reason: str
    similarity: float
    similarity_corrected: float
    interval: Bounds
    pair_interval: Bounds
    sure_interval: Bounds
    why_wide: str
    replication_probability: float
    answer_probability: float
    concept_set: tuple[str, ...]
    answers: int
    regret: float
    contenders: tuple[Contender, ...]
    p_value: float
    q_value: float
    fit: str
    label_hits: int
    top_units: int
    tied: int
    active_rate: float
    positives: int
    unit_name: str
    formula: NeuronFormula | None

    def __repr__(self) -> str:
        lines = [self.title(), f"  {self.verdict.text}: {cut(self.reason, LONGEST_FACT)}"]
        lines += [f"  {name:<22}{cut(value, LONGEST_FACT)}" for name, value in self.facts()]
        if self.contenders:
            lines.append(
                f"  {'leading concepts':<30}{self.metric:>10}  {self.level} interval  votes"
            )
        for x in self.contenders:
            lines.append(
                f"  {'*' if x.in_set else ' '} {cut(x.concept, 28):<28}{x.similarity:>10.3f}  "
                f"{range_text(*x.interval):<12}  {x.vote_share:>5.0%}"
            )
        if self.contenders:
            lines.append("  (*: in the set)")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from .notebook import neuron_html

        return neuron_html(self)

    @property
    def level(self) -> str:
        """Level of the set and the intervals, in percent."""
        return f"{1 - self.alpha:.0%}"

    def title(self) -> str:
        """The neuron and its label in a line."""
        layer = f" of layer {cut(self.layer)}" if self.layer else ""
        return f"Neuron {cut(self.name)}{layer}: {cut(self.label) or 'no label'}"

    def facts(self) -> Iterator[tuple[str, str]]:
        """Names and values of what is known, in the order in which it should be read."""
        if not self.label:
            yield "active on", f"{self.active_rate:.1%} of the samples"
            return
        again = f"{chance_text(self.replication_probability)} of fresh probing sets"
        if self.answer_probability > self.replication_probability:
            again += f", the same answer in {chance_text(self.answer_probability)}"
        yield "same label in", again
        yield (
            self.metric,
            f"{self.similarity:.3f} measured, {self.similarity_corrected:.3f} corrected for its "
            "having been chosen",
        )
        yield f"{self.level} interval", f"{range_text(*self.interval)}, asymptotic"
        if not np.isnan(self.pair_interval[0]):
            yield "", f"{range_text(*self.pair_interval)} if no group counts for more"
        if not np.isnan(self.sure_interval[0]):
            yield "", f"{range_text(*self.sure_interval)} for every sample size"
        if self.why_wide:
            yield "", self.why_wide
        yield "regret", f"no concept is better by more than {self.regret:.3f}"
        yield f"{self.level} set", self._set()
        if not np.isnan(self.p_value):
            yield "chance", f"p = {self.p_value:.2g}, q = {self.q_value:.2g} over the layer"
        if self.top_units:
            yield (
                "fit",
                self.fit
                or f"the label is on {self.label_hits} of the {self.top_units} {self.unit_name} "
                "that activate it most",
            )
        if self.formula is not None:
            yield from zip(chain(["formula"], repeat("")), self.formula.sentences(), strict=False)
        yield "label present on", f"{self.positives:,} {self.unit_name}"
        yield "active on", f"{self.active_rate:.1%} of the samples"

    def _set(self) -> str:
        size = len(self.concept_set)
        text = ", ".join(cut(x) for x in self.concept_set[:MOST_NAMED])
        if size > MOST_NAMED:
            text += f", ... {size:,} in all"
        return f"{text} ({self.answers:,} answers)" if self.answers < size else text


def one_neuron(audit: Audit, neuron: int | str) -> NeuronAudit:
    """Collect what an audit says of one neuron, see :meth:`Audit.neuron`."""
    u = _place(audit, neuron)
    label, bounds, null = int(audit.label[u]), audit.intervals, audit.null
    return NeuronAudit(
        name=audit.neuron_names[u],
        number=u,
        layer=audit.layer,
        metric=audit.metric,
        alpha=audit.alpha,
        label=audit.description(u),
        verdict=Verdict(int(audit.verdict[u])),
        reason=audit.verdict_reason[u],
        similarity=float(audit.similarity[u]),
        similarity_corrected=float(audit.winners_curse.corrected[u]),
        interval=(float(bounds.asymptotic_lower[u]), float(bounds.asymptotic_upper[u])),
        pair_interval=(float(bounds.pair_lower[u]), float(bounds.pair_upper[u])),
        sure_interval=NONE
        if bounds.asymptotic
        else (float(bounds.lower[u]), float(bounds.upper[u])),
        why_wide=bounds.why_wide[u],
        replication_probability=float(audit.replication_probability[u]),
        answer_probability=float(audit.answer_probability[u]),
        concept_set=tuple(audit.set_names(u)),
        answers=int(audit.answers[u]),
        regret=float(audit.regret[u]),
        contenders=tuple(_contenders(audit, u)),
        p_value=float(null.p_value[u]) if null else float("nan"),
        q_value=float(null.q_value[u]) if null else float("nan"),
        fit=audit.fit_text(u),
        label_hits=int(audit.fit.label_hits[u]),
        top_units=int(audit.fit.top_units[u]),
        tied=int(audit.tied[u]),
        active_rate=float(audit.active_rate[u]),
        positives=int(audit.positives[label]) if label >= 0 else 0,
        unit_name=audit.unit_name,
        formula=neuron_formula(audit.compositions, u),
    )


def cut(text: str, longest: int = LONGEST) -> str:
    """A name from outside as it can be shown; a long one is cut."""
    shown = visible(text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _contenders(audit: Audit, u: int) -> Iterator[Contender]:
    lead = audit.leading
    for k, c in enumerate(lead.concept[u].tolist()):
        if c >= 0:
            yield Contender(
                audit.concept_names[c],
                float(lead.similarity[u, k]),
                (float(lead.asymptotic_lower[u, k]), float(lead.asymptotic_upper[u, k])),
                NONE
                if audit.intervals.asymptotic
                else (float(lead.lower[u, k]), float(lead.upper[u, k])),
                float(audit.vote_share[u, c]),
                bool(audit.concept_set[u, c]),
            )


def _place(audit: Audit, neuron: int | str) -> int:
    """The number of a neuron that is given by number or by name."""
    names, total = audit.neuron_names, len(audit.neuron_names)
    if isinstance(neuron, str):
        places = [i for i, name in enumerate(names) if name == neuron]
        if len(places) == 1:
            return places[0]
        if places:
            raise ValueError(
                f"{len(places)} neurons are named {neuron!r}; give the number of one: {places[:5]}"
            )
        close = map(repr, map(cut, get_close_matches(neuron, names, n=3) or names[:3]))
        raise ValueError(f"no neuron is named {cut(neuron)!r}; names are like {', '.join(close)}")
    if isinstance(neuron, bool | np.bool) or not isinstance(neuron, int | np.integer):
        raise TypeError(f"neuron must be a number or a name, got {neuron!r}")
    if not 0 <= neuron < total:
        raise ValueError(
            f"neuron must be a number from 0 to {total - 1}, got {neuron}; give a name as text, as "
            f"in neuron({names[-1]!r})"
        )
    return int(neuron)
