"""An audit in the terminal."""

from __future__ import annotations

import numpy as np
from rich.table import Table
from rich.text import Text

from ..audit import Audit
from ..io import visible
from ..verdicts import Verdict

__all__ = ["neuron_table", "summary"]

STYLES = {
    Verdict.CERTIFIED: "bold green",
    Verdict.STABLE: "green",
    Verdict.AMBIGUOUS: "yellow",
    Verdict.UNDECIDED: "dim",
    Verdict.UNEXPLAINED: "red",
}
LONGEST = 200  # characters of a name or a reason


def summary(audit: Audit) -> str:
    """A few sentences on the whole layer."""
    labelled = audit.label >= 0
    unit = "samples" if audit.num_units == audit.num_samples else "groups"
    data = f"{audit.num_samples:,} samples"
    if unit == "groups":
        data += f" in {audit.num_units:,} groups"
    if not labelled.any():
        return f"No neuron of {len(audit.label)} has a label ({data})."
    known = labelled & ~audit.vacuous
    tested = (audit.concept_set & ~audit.undecided).sum(axis=1)[labelled]
    untested = audit.undecided.sum(axis=1)[labelled]
    verdicts = ", ".join(f"{n} {v.text}" for v, n in audit.verdict_counts.items() if n)
    naive, fair = (
        np.nanmedian(x[labelled]) for x in (audit.similarity, audit.winners_curse.corrected)
    )
    lines = [
        f"{labelled.sum()} of {len(audit.label)} neurons have a label, from {data} and "
        f"{len(audit.concept_names)} concepts by {audit.metric} ({audit.thresholds}).",
        f"Verdicts: {verdicts}.",
        f"Faithfulness: the certificates of {known.sum()} rule out some concept; half of the "
        f"labels may fall short of the best by up to {np.median(audit.regret[labelled]):.2f}. The "
        f"median label's similarity is {naive:.2f} as measured, {fair:.2f} corrected for its "
        "having been chosen.",
        f"Stability: resampling the {unit} {audit.num_replicates:,} times gives the same label "
        f"{np.mean(audit.agreement[labelled]):.0%} of the time. The median {1 - audit.alpha:.0%} "
        f"set has {np.median(tested):g} tested concepts and {np.median(untested):g} on too little "
        "evidence to test.",
    ]
    if audit.null is not None:
        lines.append(
            f"Chance: {int(np.sum(audit.null.explained))} neurons have to do with some concept "
            f"(permutation test, {audit.null.num_permutations:,} permutations, false discovery "
            f"rate {audit.null.alpha:g})."
        )
    return "\n".join(lines)


def neuron_table(audit: Audit, *, rows: int | None = 25) -> Table:
    """The neurons of highest similarity, one row each.

    Parameters
    ----------
    audit : Audit
    rows : int or None
        How many neurons to show; None for all.
    """
    order = np.argsort(
        -np.where(np.isnan(audit.similarity), -np.inf, audit.similarity), kind="stable"
    )
    shown = order if rows is None else order[:rows]
    table = Table(
        title=_plain(f"{audit.layer or 'layer'}: {len(shown)} of {len(order)} neurons"),
        caption=Text(
            f"interval: {visible(audit.guarantee)}. Set: {visible(audit.set_guarantee)}; untested: "
            "on too little evidence to test, and not ruled out."
        ),
    )
    table.add_column("unit", justify="right")
    table.add_column("concept")
    table.add_column(_plain(audit.metric), justify="right")
    table.add_column("interval", justify="right", no_wrap=True)
    table.add_column("positives", justify="right")
    table.add_column("agreement", justify="right")
    table.add_column("verdict", overflow="fold")
    for u in shown:
        verdict = Verdict(int(audit.verdict[u]))
        judged = Text.assemble(
            (verdict.text, STYLES[verdict]), ": ", _plain(audit.verdict_reason[u])
        )
        if audit.label[u] < 0:
            table.add_row(_plain(audit.neuron_names[u]), *["-"] * 5, judged)
            continue
        if verdict is Verdict.AMBIGUOUS:
            judged.append(_plain(f" (or {_rivals(audit, u)})"))
        table.add_row(
            _plain(audit.neuron_names[u]),
            _plain(audit.description(u)),
            f"{audit.similarity[u]:.3f}",
            "-" if np.isnan(audit.lower[u]) else f"{audit.lower[u]:.2f} to {audit.upper[u]:.2f}",
            f"{audit.positives[audit.label[u]]:,}",
            f"{audit.agreement[u]:.0%}",
            judged,
        )
    return table


def _plain(text: str) -> Text:
    """Text that no terminal takes for a command, and no table for markup; cut if long."""
    shown = visible(text)
    return Text(shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…")


def _rivals(audit: Audit, neuron: int) -> str:
    names = [
        name for name in audit.set_names(neuron, tested=True) if name != audit.description(neuron)
    ]
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
