"""``neurotrust plan``: the size of a probing set for an error, or what a size gives."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from .forecast import Layers, Plot, Run, Units, print_forecast
from .options import Metric, check_positive, check_share, refuse_idle
from .output import answer, console

__all__ = ["plan_command"]

Error = Annotated[
    float | None,
    typer.Option(
        callback=check_positive,
        help="Largest error of a similarity that you accept. Default 0.1.",
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        callback=check_positive,
        help="Instead of --error: by how much the best concept leads, to certify its label.",
    ),
]
ConceptFrequency = Annotated[
    list[float] | None,
    typer.Option(
        help="How often a concept occurs; may be given several times. Default 0.5, 0.1, 0.01."
    ),
]
NumConcepts = Annotated[int, typer.Option(min=1, help="Number of concepts.")]
ActiveRate = Annotated[
    float,
    typer.Option(callback=check_share, help="Share of samples on which a neuron is active."),
]
Kurtosis = Annotated[
    float,
    typer.Option(
        min=1,
        help="Kurtosis of the activations on samples without the concept (3: normal), for "
        "correlation.",
    ),
]
Level = Annotated[
    float, typer.Option(callback=check_share, help="Probability that the statement fails.")
]
NumSamples = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        help="Instead of --error: give the error for this many samples; may be given several "
        "times.",
    ),
]


def plan_command(
    ctx: typer.Context,
    run: Run = None,
    layer: Layers = None,
    num_units: Units = None,
    plot: Plot = None,
    metric: Metric = "iou",
    error: Error = None,
    margin: Margin = None,
    concept_frequency: ConceptFrequency = None,
    num_concepts: NumConcepts = 256,
    active_rate: ActiveRate = 0.05,
    kurtosis: Kurtosis = 3.0,
    alpha: Level = 0.05,
    num_samples: NumSamples = None,
) -> None:
    """How large must a probing set be, how large is the error of one, or what would more give?

    With --from, what the labels of a finished audit would gain from more data.
    """
    of_run = {"layer", "num_units", "plot"}
    others = sorted(set(ctx.params) - of_run - {"run"})
    refuse_idle(ctx, *((others, "with --from") if run else (sorted(of_run), "without --from")))
    if run is not None:
        print_forecast(run, layer or [], num_units, plot)
        return
    if error is not None and margin is not None:
        raise typer.BadParameter("excludes --margin; leave one of them out", param_hint="--error")
    if num_samples and (error is not None or margin is not None):
        raise typer.BadParameter("excludes --error and --margin", param_hint="--num-samples")
    rates = concept_frequency or [0.5, 0.1, 0.01]
    design: dict[str, Any] = {
        "num_concepts": num_concepts, "alpha": alpha, "active_rate": active_rate,
        "kurtosis": kurtosis,
    }  # fmt: skip
    scope = f"{1 - alpha:.0%}, {num_concepts:,} concepts"
    if num_samples:
        console.print(_errors(metric, num_samples, rates, design, scope))
    else:
        if error is None and margin is None:
            error = 0.1
        console.print(_sizes(metric, error, margin, rates, design, scope))
    if caution := _caution(metric, kurtosis):
        console.print(caution, highlight=False)


def _errors(
    metric: str, num_samples: list[int], rates: list[float], design: dict[str, Any], scope: str
) -> Table:
    """The largest error, by number of samples and frequency of the concept."""
    from ..faithfulness.sample_size import generalization_gap

    table = Table(title=f"largest error of {metric} ({scope})", title_justify="left")
    table.add_column("samples", justify="right")
    for rate in rates:
        table.add_column(f"concept in {rate:.2%}", justify="right")
    lines = []
    for n in num_samples:
        gaps = generalization_gap(metric, n, concept_frequency=np.array(rates), **design)
        table.add_row(f"{n:,}", *(f"{x:.3f}" for x in np.atleast_1d(gaps)))
        lines += [
            {"samples": n, "concept_frequency": rate, "error": gap}
            for rate, gap in zip(rates, np.atleast_1d(gaps), strict=True)
        ]
    answer(metric=metric, plan=lines)
    return table


def _sizes(
    metric: str,
    error: float | None,
    margin: float | None,
    rates: list[float],
    design: dict[str, Any],
    scope: str,
) -> Table:
    """The number of samples that reaches the goal, by frequency of the concept."""
    from ..faithfulness.sample_size import required_samples

    goal = f"an error of at most {error:g}" if margin is None else f"a lead of {margin:g} certified"
    table = Table(title=f"samples for {goal} ({metric}, {scope})", title_justify="left")
    for name in ("concept in", "samples", "of these with it"):
        table.add_column(name, justify="right")
    lines = []
    for rate in rates:
        found = required_samples(metric, error, margin=margin, concept_frequency=rate, **design)
        counts = {"samples": int(found.samples), "positives": int(found.positives)}
        table.add_row(f"{rate:.2%}", *(f"{x:,}" for x in counts.values()))
        lines.append({"concept_frequency": rate, **counts})
    answer(metric=metric, plan=lines)
    return table


def _caution(metric: str, kurtosis: float) -> str:
    """What an asymptotic plan assumes; empty for the others."""
    return {
        "correlation": "Asymptotic, for concepts that shift the activation and leave its spread "
        f"unchanged (kurtosis {kurtosis:g}; 3 is normal); see the help of --kurtosis.",
        "spearman": "Asymptotic, for concepts that are unrelated to the neuron or shift its "
        "activation; those that change its spread need up to three times the samples.",
    }.get(metric, "")
