"""``neurotrust show``: read an audit in the terminal, the whole of it or some neurons."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .inputs import read_layers
from .options import Rows
from .output import answer, console, layer_facts

if TYPE_CHECKING:
    from ..auditing.result import Audit
    from ..report import NeuronAudit

__all__ = ["show_command"]

Out = Annotated[
    Path,
    typer.Argument(exists=True, help="Folder of neurotrust audit, merge or demo; or audit.json."),
]
Neurons = Annotated[
    list[str] | None,
    typer.Option(
        "--neuron",
        help="Show all about this neuron, by name or number; may be given several times.",
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", help="Show this layer only; may be given several times."),
]


def show_command(out: Out, neuron: Neurons = None, layer: Layers = None, rows: Rows = 10) -> None:
    """Show an audit: its summary and first neurons, or all about the neurons that are named."""
    from ..report import neuron_table, summary

    audits = read_layers(out, layer or [])
    if neuron:
        found = [x for name in neuron for x in find_neurons(audits, name)]
        answer(neurons=[asdict(x) | {"verdict": x.verdict.text} for x in found])
        for i, one in enumerate(found):
            console.print(
                f"{'' if i == 0 else chr(10)}{one}", highlight=False, markup=False, soft_wrap=True
            )
        return
    answer(out=out, layers=[layer_facts(x) for x in audits])
    for audit in audits:
        if rows:
            console.print(neuron_table(audit, rows=rows))
        console.print(f"\n{summary(audit)}\n", highlight=False, markup=False)


def find_neurons(audits: list[Audit], neuron: str) -> list[NeuronAudit]:
    """What each layer says of a neuron: the one of exactly that name, else of that number.

    Raises
    ------
    ValueError
        If no layer has such a neuron, or several of one layer have that name.
    """
    having = [audit for audit in audits if neuron in audit.neuron_names]
    if having:
        return [audit.neuron(neuron) for audit in having]
    if neuron.isdecimal():
        number = int(neuron)
        having = [audit for audit in audits if number < len(audit.neuron_names)]
        return [audit.neuron(number) for audit in having or audits[:1]]
    return [audits[0].neuron(neuron)]  # which says what names there are
