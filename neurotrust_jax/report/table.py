"""An audit in the terminal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from .._runtime.text import visible
from ..auditing.result import Audit
from ..auditing.verdicts import Verdict

__all__ = ["FORMULAS", "Row", "chance_text", "neuron_table", "range_text", "summary", "table_row"]

LONGEST = 200  # characters of a name or a reason
NAMED = 3  # concepts of a set
FORMULAS = (
    "Better: a formula of concepts that is more similar than a single concept beyond chance, with "
    "its gain on samples that did not choose it."
)


def summary(audit: Audit) -> str:
    """A few sentences on the whole layer, the most important first.

    Parameters
    ----------
    audit : Audit

    Returns
    -------
    str
        One sentence or paragraph on each line.
    """
    labelled = audit.label >= 0
    total, noun = len(audit.label), audit.neuron_noun
    data = f"{audit.num_samples:,} samples"
    if audit.unit_name != "samples":
        data += f" in {audit.num_units:,} {audit.unit_name}"
    if not labelled.any():
        return f"None of {total:,} {noun} has a label ({data})."
    level = f"{1 - audit.alpha:.0%}"
    firm, answered = (
        int((labelled & (x >= 1 - audit.alpha)).sum())
        for x in (audit.replication_probability, audit.answer_probability)
    )
    answers = audit.answers[labelled]
    verdicts = ", ".join(f"{n:,} {v.text}" for v, n in audit.verdict_counts.items() if n)
    naive, fair = (
        np.nanmedian(x[labelled]) for x in (audit.similarity, audit.winners_curse.corrected)
    )
    bounds = audit.intervals
    width, sure_width = (
        np.median((high - low)[labelled])
        for low, high in (
            (bounds.asymptotic_lower, bounds.asymptotic_upper), (bounds.lower, bounds.upper),
        )
    )  # fmt: skip
    assumed = bounds.guarantee.partition("this assumes that ")[2]
    assumed = f", if {assumed}" if assumed else ""
    lines = [
        f"For {firm:,} of {total:,} {noun} a fresh probing set would give the same label "
        f"with at least {level} probability"
        + (f", for {answered:,} the same answer." if answered > firm else "."),
        f"Sets: the median {level} set has {_counted(np.median(answers), 'answer')}, and "
        f"{np.mean(answers == 1):.0%} of the sets have one.",
        f"Verdicts: {verdicts}.",
        f"Data: {data} and {audit.num_judged:,} concepts by {audit.metric} ({audit.thresholds}); "
        f"{labelled.sum():,} {noun} have a label.",
    ]
    if not np.isnan(audit.trend.agreement).any():
        twice, fourfold = audit.forecast(audit.trend.num_units * np.array([2, 4])).reliable
        same = "answer" if answered > firm else "label"
        lines.append(
            f"Forecast: with twice as many {audit.unit_name} {twice:,} {noun} would get the "
            f"same {same} with that probability, with four times as many {fourfold:,}."
        )
    if audit.fit.poor.any():
        lines.append(
            f"Fit: the label of {audit.fit.poor.sum():,} {noun} is missing from most of the "
            f"{audit.unit_name} that activate them most."
        )
    sure = f"{sure_width:.2f} with the guarantee for every sample size{assumed}"
    if bounds.asymptotic:
        sure = "and no interval holds for every sample size"
        if audit.num_ranges > 1:
            sure += ", unless the cuts of the ranges come from samples set aside"
    lines.append(
        f"Faithfulness: the median label's {audit.metric} is {naive:.2f} as measured, {fair:.2f} "
        f"corrected for its having been chosen. Its {level} interval is {width:.2f} wide "
        f"(asymptotic), {sure}."
    )
    if audit.compositions is not None:
        lines.append(f"Formulas: {audit.compositions.headline()}")
    if audit.left_out:
        lines.append(f"Vocabulary: {audit.left_out_text()}")
    if audit.null is not None:
        lines.append(
            f"Chance: {int(np.sum(audit.null.explained)):,} {noun} have to do with some "
            f"concept (permutation test, {audit.null.num_permutations:,} permutations, false "
            f"discovery rate {audit.null.alpha:g})."
        )
    return "\n".join(lines)


def neuron_table(audit: Audit, *, rows: int | None = 25) -> Table:
    """The neurons of the best verdicts, one row each, the surest label of each verdict first.

    Parameters
    ----------
    audit : Audit
    rows : int or None
        How many neurons to show; None for all.
    """
    shown = audit.ranked if rows is None else audit.ranked[:rows]
    table = Table(
        title=_plain(
            f"{audit.layer or 'layer'}: {len(shown):,} of {len(audit.label):,} "
            f"{audit.neuron_noun}, best first"
        ),
        caption=Text(
            f"same label: {visible(audit.replication_guarantee)}. Set: "
            f"{visible(audit.set_guarantee)}. "
            f"Interval: {visible(audit.intervals.asymptotic_guarantee)}."
            + ("" if audit.compositions is None else f" {FORMULAS}")
        ),
    )
    table.add_column("neuron", justify="right")
    table.add_column("concept")
    table.add_column("same label", justify="right")
    table.add_column(_plain(audit.metric), justify="right")
    table.add_column("interval", justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for u in shown:
        row, verdict = table_row(audit, u), Verdict(int(audit.verdict[u]))
        judged = Text.assemble(
            (verdict.text, verdict.style.terminal), *map(_plain, (row.between, *row.reasons))
        )
        concept = _plain(row.concept)
        if row.formula:
            concept.append(f"\n{_plain(row.formula)}", "italic")
        table.add_row(_plain(row.neuron), concept, *row[2:5], judged)
    return table


class Row(NamedTuple):
    """What a row of the table says of one neuron; a name or a reason may be of any length.

    The verdict itself comes before ``between`` and ``reasons``. The formula is empty where it is
    not better than a concept.
    """

    neuron: str
    concept: str
    same_label: str
    similarity: str
    interval: str
    between: str
    reasons: list[str]
    formula: str


def table_row(audit: Audit, neuron: int) -> Row:
    """The words of one row, for the terminal and for notebooks."""
    ambiguous = audit.verdict[neuron] == Verdict.AMBIGUOUS
    name, reasons = audit.neuron_names[neuron], [audit.verdict_reason[neuron]]
    between = " " if ambiguous else ": "
    if audit.label[neuron] < 0:
        return Row(name, "-", "-", "-", "-", between, reasons, "")
    if ambiguous and audit.set_size[neuron] > 1:
        reasons.append(f" (or {_rivals(audit, neuron)})")
    if audit.fit.poor[neuron]:
        reasons.append(_fit(audit, neuron))
    bounds = audit.intervals
    return Row(
        name,
        audit.description(neuron),
        chance_text(audit.replication_probability[neuron]),
        f"{audit.similarity[neuron]:.3f}",
        range_text(bounds.asymptotic_lower[neuron], bounds.asymptotic_upper[neuron]),
        between,
        reasons,
        better_text(audit, neuron),
    )


def better_text(audit: Audit, neuron: int) -> str:
    """The formula and its gain, "better: a AND NOT b, +0.08"; empty where it is not better."""
    found, formula = audit.compositions, audit.formula(neuron)
    return f"better: {formula}, {found.gain[neuron]:+.3f}" if found and formula else ""


def range_text(low: float, high: float) -> str:
    """An interval; a dash where it is undefined."""
    return "-" if np.isnan(low) else f"{low:.2f} to {high:.2f}"


def chance_text(value: float) -> str:
    """A probability in percent; 0 and 1 are shown as below 1% and above 99%."""
    if np.isnan(value):
        return "-"
    return "> 99%" if value > 0.99 else "< 1%" if value < 0.01 else f"{value:.0%}"


def _counted(count: float, noun: str) -> str:
    return f"{count:g} {noun}" + ("s" if count != 1 else "")


def _plain(text: str) -> Text:
    """Text without terminal commands and markup; a long one is cut."""
    shown = visible(text)
    return Text(shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…")


def _fit(audit: Audit, neuron: int) -> str:
    """A short form of :meth:`Audit.fit_text`."""
    fit = audit.fit
    text = f"; on {fit.label_hits[neuron]} of its top {fit.top_units[neuron]}"
    if 2 * fit.top_hits[neuron] < fit.top_units[neuron]:
        return text
    return f"{text} ({audit.concept_names[fit.top_concept[neuron]]} on {fit.top_hits[neuron]})"


def _rivals(audit: Audit, neuron: int) -> str:
    names = [name for name in audit.set_names(neuron) if name != audit.description(neuron)]
    return ", ".join(names[: NAMED - 1]) + (", ..." if len(names) >= NAMED else "")
