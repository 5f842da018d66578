"""An audit in the terminal."""

from __future__ import annotations

import numpy as np
from rich.table import Table
from rich.text import Text

from ..audit import Audit

__all__ = ["neuron_table", "summary"]


def summary(audit: Audit) -> str:
    """A few sentences on the whole layer."""
    labelled = audit.label >= 0
    unit = "samples" if audit.num_units == audit.num_samples else "groups"
    data = f"{audit.num_samples:,} samples"
    if unit == "groups":
        data += f" in {audit.num_units:,} groups"
    if not labelled.any():
        return f"No neuron of {len(audit.label)} has a label ({data})."
    size = audit.set_size[labelled]
    known = labelled & ~audit.vacuous
    sure = int((audit.certified_set.sum(axis=1) == 1)[labelled].sum())
    return (
        f"{labelled.sum()} of {len(audit.label)} neurons have a label, from {data} and "
        f"{len(audit.concept_names)} concepts by {audit.metric} ({audit.thresholds}).\n"
        f"Faithfulness: {sure} labels are certified to be the best concept; the certificates of "
        f"{known.sum()} rule out some concept, those of {(labelled & audit.vacuous).sum()} are "
        f"vacuous. Half of the labels may fall short of the best by up to "
        f"{np.median(audit.regret[labelled]):.2f}.\n"
        f"Stability: resampling the {unit} {audit.num_replicates:,} times gives the same label "
        f"{np.mean(audit.agreement[labelled]):.0%} of the time; {np.sum(size == 1)} neurons keep "
        f"one concept at level {1 - audit.alpha:.0%}, the median neuron {np.median(size):g}."
    )


def neuron_table(audit: Audit, *, rows: int | None = 25) -> Table:
    """The neurons of highest similarity, one row each.

    Parameters
    ----------
    audit : Audit
    rows : int or None
        How many neurons to show; None for all.
    """
    level = f"{1 - audit.alpha:.0%}"
    order = np.argsort(
        -np.where(np.isnan(audit.similarity), -np.inf, audit.similarity), kind="stable"
    )
    shown = order if rows is None else order[:rows]
    table = Table(
        title=f"{audit.layer or 'layer'}: {len(shown)} of {len(order)} neurons",
        caption=f"interval and regret (how far another concept may be ahead): {audit.guarantee}; "
        f"set: holds the best concept with {level} coverage, asymptotically",
    )
    table.add_column("unit", justify="right")
    table.add_column("concept")
    table.add_column(audit.metric, justify="right")
    table.add_column("interval", justify="right")
    table.add_column("regret", justify="right")
    table.add_column("positives", justify="right")
    table.add_column("agreement", justify="right")
    table.add_column("set", overflow="fold")
    for u in shown:
        if audit.label[u] < 0:
            table.add_row(
                Text(audit.neuron_names[u]),
                Text(audit.reason_text(u), style="dim"),
                *["-"] * 6,
            )
            continue
        table.add_row(
            Text(audit.neuron_names[u]),
            Text(audit.description(u)),
            f"{audit.similarity[u]:.3f}",
            "-" if np.isnan(audit.lower[u]) else f"{audit.lower[u]:.3f} to {audit.upper[u]:.3f}",
            Text("vacuous", style="dim") if audit.vacuous[u] else f"{audit.regret[u]:.3f}",
            f"{audit.positives[audit.label[u]]:,}",
            Text(f"{audit.agreement[u]:.0%}", style=_style(audit.agreement[u])),
            Text(_set(audit, u)),
        )
    return table


def _set(audit: Audit, neuron: int) -> str:
    names = audit.set_names(neuron)
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _style(agreement: float) -> str:
    return "green" if agreement >= 0.9 else "yellow" if agreement >= 0.5 else "red"
