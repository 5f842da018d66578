"""An audit, one of its neurons, or a comparison of two, as the HTML that a notebook shows.

Text from outside is escaped and cut. There is no style sheet and no script: all styles are inline,
and colours of text and lines follow the notebook, so that they read on light and dark backgrounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np

from ..auditing.changes import AuditChanges
from ..auditing.result import Audit
from ..auditing.verdicts import Verdict
from ..composition.result import Compositions
from .one_neuron import LONGEST_FACT, NeuronAudit, cut
from .table import FORMULAS, range_text, summary, table_row

__all__ = ["audit_html", "changes_html", "compositions_html", "neuron_html"]

ROWS = 10  # neurons that are shown
LONGEST_REASON = 160

LINE = "1px solid rgba(128,128,128,.35)"
CELL = "padding:3px 10px 3px 0;text-align:left;vertical-align:top;background:none"
# MathJax would take names between dollar signs for formulas
OPEN = (
    '<div class="mathjax_ignore tex2jax_ignore" '
    'style="font-family:system-ui,sans-serif;font-size:13px;line-height:1.45;max-width:1000px">'
)


def audit_html(audit: Audit) -> str:
    """Verdicts as a bar, the summary, and the neurons of the best verdicts; below 20 kB."""
    total = len(audit.label)
    first, *rest = summary(audit).split("\n")
    shown = audit.ranked[:ROWS]
    level = f"{1 - audit.alpha:.0%}"
    head = "neuron", "concept", "same label", audit.metric, f"{level} interval", "verdict"
    rows = []
    for u in shown:
        row = table_row(audit, u)
        judged = _chip(Verdict(int(audit.verdict[u]))) + _text(
            row.between.lstrip(":") + "".join(cut(x, LONGEST_REASON) for x in row.reasons),
            2 * LONGEST_REASON,
        )
        concept = _text(row.concept)
        if row.formula:
            concept += f"<br><i>{_text(row.formula, LONGEST_REASON)}</i>"
        cells = map(_text, row[2:4])
        rows.append([_text(row.neuron), concept, *cells, _whole(row.interval), judged])
    return "".join(
        [
            OPEN,
            f"<div><b>Audit of {_text(audit.title, LONGEST_FACT)}</b></div>",
            _bar(audit, total),
            f"<div>{_text(first, LONGEST_FACT)}</div>",
            _table(head, rows),
            f'<div style="opacity:.75">{len(shown):,} of {total:,} {audit.neuron_noun}, best '
            "first. audit.neuron(number or name) shows one, audit.to_pandas() gives all.</div>",
            _details(
                "Summary and guarantees",
                [
                    *rest,
                    f"Same label: {audit.replication_guarantee}.",
                    f"Set: {audit.set_guarantee}.",
                    f"Interval: {audit.intervals.asymptotic_guarantee}.",
                    *([] if audit.compositions is None else [FORMULAS]),
                ],
            ),
            "</div>",
        ]
    )


def neuron_html(neuron: NeuronAudit) -> str:
    """Verdict, facts and leading concepts of one neuron."""
    facts = [[_whole(name), _text(value, LONGEST_FACT)] for name, value in neuron.facts()]
    head = "leading concept", neuron.metric, f"{neuron.level} interval", "votes", "in set"
    rows = [
        [
            _text(x.concept),
            f"{x.similarity:.3f}",
            _whole(range_text(*x.interval)),
            f"{x.vote_share:.0%}",
            "yes" if x.in_set else "no",
        ]
        for x in neuron.contenders
    ]
    return "".join(
        [
            OPEN,
            f"<div><b>{_text(neuron.title(), LONGEST_FACT)}</b></div>",
            f'<div style="margin:4px 0">{_chip(neuron.verdict)} '
            f"{_text(neuron.reason, LONGEST_FACT)}</div>",
            _table((), facts),
            _table(head, rows) if rows else "",
            "</div>",
        ]
    )


def compositions_html(found: Compositions) -> str:
    """The summary, and the neurons whose formulas gain most beyond chance."""
    better = np.flatnonzero(found.better)
    order = better[np.argsort(-found.gain[better], kind="stable")][:ROWS]
    level = f"{1 - found.alpha:.0%}"
    head = "neuron", "formula", found.metric, f"{level} interval", "gain", "q-value", "single"
    rows = [
        [
            _text(found.neuron_names[u]),
            _text(found.description(u), LONGEST_REASON),
            f"{found.similarity[-1, u]:.3f}",
            _whole(range_text(found.lower[u], found.upper[u])),
            _whole(f"{found.gain[u]:.3f} ± {found.gain_error[u]:.3f}"),
            f"{found.q_value[u]:.2g}",
            _text(found.concept_names[found.single[u]]),
        ]
        for u in order
    ]
    shown = (
        f'<div style="opacity:.75">{len(rows):,} of {len(better):,} formulas that are better than '
        "the best single concept beyond chance, the largest gain first, all as measured on samples "
        "that had no part in finding them. to_pandas() gives all neurons.</div>"
    )
    size = f"{len(found.lower):,} neurons x {len(found.concept_names):,} concepts"
    return "".join(
        [
            OPEN,
            f"<div><b>Formulas of {size} by {_text(found.metric)}</b></div>",
            *(f"<div>{_text(x, LONGEST_FACT)}</div>" for x in found.summary().split("\n")),
            _table(head, rows) + shown if rows else "",
            _details("Guarantee", [f"Interval: {found.guarantee}."]),
            "</div>",
        ]
    )


def changes_html(changes: AuditChanges) -> str:
    """How many labels changed, which ones by more than noise, and the verdicts of both audits."""
    total, changed = len(changes.changed), np.flatnonzero(changes.changed)
    first, second = (x or name for x, name in zip(changes.layers, ("first", "second"), strict=True))
    names = changes.concept_names
    rows = [
        [
            _text(changes.neuron_names[u]),
            *(_text(names[c]) for c in changes.label[:, u]),
            *(f"{x:.3f}" for x in changes.similarity[:, u]),
            *(_chip(Verdict(int(v))) for v in changes.verdict[:, u]),
        ]
        for u in changed[:ROWS]
    ]
    pair = "before", "after"
    head = "neuron", *(f"{x} {y}" for x in ("label", "similarity", "verdict") for y in pair)
    cells = [
        [_chip(v), *(f"{n:,}" for n in row)]
        for v, row in zip(Verdict, changes.verdict_table.tolist(), strict=True)
    ]
    count, beyond = changes.sentences()
    shown = (
        f'<div style="opacity:.75">{len(rows):,} of {len(changed):,} changed neurons, in the order '
        "of the first audit. changes.to_pandas() gives all neurons.</div>"
    )
    return "".join(
        [
            OPEN,
            f"<div><b>{total:,} neurons, {_text(first)} and {_text(second)}</b></div>",
            *(f"<div>{_text(x, LONGEST_FACT)}</div>" for x in (count, beyond)),
            _table(head, rows) + shown if rows else "",
            "<div>Verdicts before (rows) and after:</div>",
            _table(("", *(v.text for v in Verdict)), cells),
            "</div>",
        ]
    )


def _text(text: str, longest: int = 60) -> str:
    return escape(cut(text, longest))


def _whole(text: str) -> str:
    """Text that stays on one line."""
    return f'<span style="white-space:nowrap">{_text(text)}</span>'


def _chip(verdict: Verdict) -> str:
    """The verdict in a word, on its colour."""
    style = verdict.style
    return (
        f'<span style="background:{style.colour};color:{style.ink};border-radius:3px;'
        f'padding:0 6px;white-space:nowrap">{style.text}</span>'
    )


def _bar(audit: Audit, total: int) -> str:
    """The verdicts as parts of one bar, as wide as they are frequent, and a legend."""
    counts = {v: n for v, n in audit.verdict_counts.items() if n}
    words = ", ".join(f"{n:,} {v.text}" for v, n in counts.items())
    parts = (
        f'<span title="{n:,} {v.text}" style="flex:{n} 0 0;min-width:3px;'
        f'background:{v.style.colour}"></span>'
        for v, n in counts.items()
    )
    legend = (f"{_chip(v)}&nbsp;{n:,} ({n / total:.0%})" for v, n in counts.items())
    return (
        f'<div role="img" aria-label="{words}" style="display:flex;gap:1px;height:16px;'
        f'border-radius:3px;overflow:hidden;margin:6px 0">{"".join(parts)}</div>'
        f'<div style="margin-bottom:6px">{" &nbsp; ".join(legend)}</div>'
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already, under a head that is text."""
    named = "".join(f'<th style="{CELL};border-bottom:{LINE}">{_text(x)}</th>' for x in head)
    lines = (
        "<tr>" + "".join(f'<td style="{CELL};border-bottom:{LINE}">{x}</td>' for x in row) + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{named}</tr></thead>" if named else ""
    style = "border-collapse:collapse;margin:6px 0;font-size:13px;border:0"
    return f'<table style="{style}">{top}<tbody>{"".join(lines)}</tbody></table>'


def _details(title: str, sentences: list[str]) -> str:
    lines = "".join(f"<div>{_text(x, LONGEST_FACT)}</div>" for x in sentences)
    return f"<details><summary>{title}</summary>{lines}</details>"
