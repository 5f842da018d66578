"""The verdict on each neuron: the rules by which it is reached, and how it is shown."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["STYLES", "Evidence", "Judgement", "Verdict", "VerdictStyle", "judge"]


class Verdict(IntEnum):
    """How far a neuron's label can be trusted, best first.

    Attributes
    ----------
    CERTIFIED
        Proved at every sample size: no other concept is better.
    STABLE
        The concept set holds one answer, and a fresh probing set gives it with a probability of at
        least 1 - alpha.
    AMBIGUOUS
        The set holds several answers, or one that a fresh probing set gives less often.
    UNDECIDED
        There is no label, or too little evidence on it to judge it.
    UNEXPLAINED
        Chance among as many concepts finds as similar a label.
    """

    CERTIFIED = 0
    STABLE = 1
    AMBIGUOUS = 2
    UNDECIDED = 3
    UNEXPLAINED = 4

    @property
    def style(self) -> VerdictStyle:
        """How the verdict is shown."""
        return STYLES[self]

    @property
    def text(self) -> str:
        """The verdict in a word."""
        return self.style.text

    @property
    def rule(self) -> str:
        """What the verdict says of a label, in a sentence."""
        return self.style.rule


class VerdictStyle(NamedTuple):
    """How a verdict is shown in the table, on the page and in the figures.

    Attributes
    ----------
    text : str
        The verdict in a word.
    rule : str
        What it says of a label, in a sentence.
    colour : str
        Fill colour on the page and in figures, from the palette of Okabe and Ito, which
        colour-blind readers can tell apart.
    ink : str
        Colour of text on that fill.
    glyph : str
        Marker in scatter plots, as Matplotlib names it.
    terminal : str
        Style in the terminal, as Rich names it.
    """

    text: str
    rule: str
    colour: str
    ink: str
    glyph: str
    terminal: str


STYLES = {
    Verdict.CERTIFIED: VerdictStyle(
        "certified", "Proved at every sample size: no other concept is better.",
        "#0072B2", "white", "o", "bold green",
    ),
    Verdict.STABLE: VerdictStyle(
        "stable",
        "The concept set holds one answer, and a fresh probing set is likely to give it again.",
        "#56B4E9", "black", "s", "green",
    ),
    Verdict.AMBIGUOUS: VerdictStyle(
        "ambiguous", "The set holds several answers, or a fresh probing set may well give another.",
        "#E69F00", "black", "D", "yellow",
    ),
    Verdict.UNDECIDED: VerdictStyle(
        "undecided", "There is no label, or too little evidence on it to judge it.",
        "#CCCCCC", "black", "v", "dim",
    ),
    Verdict.UNEXPLAINED: VerdictStyle(
        "unexplained", "Chance among as many concepts finds as similar a label.",
        "#D55E00", "white", "^", "red",
    ),
}  # fmt: skip
"""How each verdict is shown, best first."""


class Evidence(NamedTuple):
    """The evidence on one neuron.

    Attributes
    ----------
    label : str
        Its label; empty without one.
    missing : str
        Why there is no label.
    q_value : float
        q-value of the permutation test over the layer; NaN where the test was left out.
    proved : tuple (int, str)
        Number of answers that the certificate leaves (0 if it holds in the limit only), and their
        common name if there is one.
    answers : tuple (int, str)
        The same for the concept set.
    probability : float
        Probability that a fresh probing set gives the label, or another of the same answer.
    label_judged : bool
        Whether the label itself is on enough evidence.
    positives : str
        On how many sampling units the label is present, in words.
    """

    label: str
    missing: str
    q_value: float
    proved: tuple[int, str]
    answers: tuple[int, str]
    probability: float
    label_judged: bool
    positives: str


class Judgement(NamedTuple):
    """A verdict and its reason in a clause."""

    verdict: Verdict
    reason: str


def judge(x: Evidence, alpha: float) -> Judgement:
    """Judge a neuron by the first rule that applies.

    A label that chance may find is no explanation, even if it is certainly the most similar
    concept: with accuracy, the rarest concept is the best for every rarely active neuron. Proofs
    come before probabilities. A set of one answer makes a label stable only if a fresh probing set
    is likely to give that answer, since the set covers on average over the layer while the
    probability is that of the neuron.
    """
    if not x.label:
        return Judgement(Verdict.UNDECIDED, f"no label: {x.missing}")
    if x.q_value > alpha:
        return Judgement(
            Verdict.UNEXPLAINED,
            f"chance among the concepts finds as similar a label (q = {x.q_value:.2g})",
        )
    if x.proved[0] == 1:
        return Judgement(Verdict.CERTIFIED, f"proved best{_under(x.proved[1], x.label)}")
    if not x.label_judged:
        return Judgement(
            Verdict.UNDECIDED, f"too little evidence on the label itself ({x.positives})"
        )
    if x.answers[0] > 1:
        return Judgement(Verdict.AMBIGUOUS, f"among {x.answers[0]}")
    if not x.probability >= 1 - alpha:
        return Judgement(
            Verdict.AMBIGUOUS,
            f"no close rival{_under(x.answers[1], x.label)}, but a fresh probing set may give "
            "another label",
        )
    often = "" if x.answers[1] == x.label else f", in {x.probability:.0%} of fresh probing sets"
    return Judgement(Verdict.STABLE, f"the only answer{_under(x.answers[1], x.label)}{often}")


def _under(answer: str, label: str) -> str:
    return "" if answer == label else f", as {answer}"
