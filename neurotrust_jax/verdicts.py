"""One word for each neuron: what its label is worth, and why. The rules are here, and only here."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["Evidence", "Judgement", "Verdict", "judge"]


class Verdict(IntEnum):
    """What a neuron's label is worth, best first.

    Attributes
    ----------
    CERTIFIED
        Proved at every sample size: no other concept is better.
    STABLE
        The calibrated set holds one answer.
    AMBIGUOUS
        It holds several that were tested, and none of these can be ruled out.
    UNDECIDED
        No label, or concepts that may be as good are on too little evidence to test.
    UNEXPLAINED
        Chance among as many concepts finds as similar a label.
    """

    CERTIFIED = 0
    STABLE = 1
    AMBIGUOUS = 2
    UNDECIDED = 3
    UNEXPLAINED = 4

    @property
    def text(self) -> str:
        """The verdict in a word."""
        return self.name.lower()


class Evidence(NamedTuple):
    """What is known of one neuron.

    Attributes
    ----------
    label : str
        Its label; empty without one.
    missing : str
        Why there is none.
    q_value : float
        Of the permutation test, adjusted over the layer; NaN where it was not done.
    proved, tested : tuple (int, str)
        Answers left by the certificate (0 if it holds in the limit only), and of the tested members
        of the calibrated set: their number, and their name if there is one.
    untested : int
        Answers that only untested members of the set add.
    label_tested : bool
        Whether the label itself is on enough evidence.
    positives : str
        What the label was seen on.
    """

    label: str
    missing: str
    q_value: float
    proved: tuple[int, str]
    tested: tuple[int, str]
    untested: int
    label_tested: bool
    positives: str


class Judgement(NamedTuple):
    """A verdict and its reason in a clause."""

    verdict: Verdict
    reason: str


def judge(x: Evidence, alpha: float) -> Judgement:
    """The first rule that applies.

    A label that chance may find is no explanation, though it were surely the best of all: with
    accuracy, the rarest concept is best for every rarely active neuron. Then what is proved comes
    before what is tested, and a set is an answer only if nothing in it is untested.
    """
    untested = f", {x.untested} untested" if x.untested else ""
    if not x.label:
        return Judgement(Verdict.UNDECIDED, f"no label: {x.missing}")
    if x.q_value > alpha:
        return Judgement(
            Verdict.UNEXPLAINED,
            f"chance among the concepts finds as similar a label (q = {x.q_value:.2g})",
        )
    if x.proved[0] == 1:
        return Judgement(Verdict.CERTIFIED, f"proved best{_under(x.proved[1], x.label)}")
    if not x.label_tested:
        return Judgement(
            Verdict.UNDECIDED, f"too little evidence on the label itself ({x.positives})"
        )
    if x.tested[0] > 1:
        return Judgement(Verdict.AMBIGUOUS, f"one of {x.tested[0]}{untested}")
    if untested:
        return Judgement(Verdict.UNDECIDED, f"best of those tested{untested}")
    return Judgement(Verdict.STABLE, f"all others are ruled out{_under(x.tested[1], x.label)}")


def _under(answer: str, label: str) -> str:
    return "" if answer == label else f", as {answer}"
