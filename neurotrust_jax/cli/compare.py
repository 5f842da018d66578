"""``neurotrust compare``: differences of two metrics, probing sets, layers or explainers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from .compilation import keep_compiled_functions
from .inputs import load_labelled_layer, read_claims
from .options import (
    Alpha,
    ChannelAxis,
    FirstNeuron,
    Metric,
    OptionalMetric,
    Pool,
    Rows,
    Seed,
    TopFraction,
    existing_file,
    refuse_idle,
)
from .output import answer, console, number, progress_bars

if TYPE_CHECKING:
    from ..auditing.comparison import Comparison

__all__ = ["compare_command"]

Activations = Annotated[Path, existing_file("Activations [n, U].")]
Concepts = Annotated[Path, existing_file("Concepts [n, C].")]
OtherActivations = Annotated[
    Path | None, existing_file("Activations of another layer, or on another probing set.")
]
OtherConcepts = Annotated[
    Path | None, existing_file("Other concepts, or the concepts of the other probing set.")
]
Labels = Annotated[
    Path | None, existing_file("Labels of an explainer, in a format that neurotrust check reads.")
]
OtherLabels = Annotated[Path | None, existing_file("Labels of another explainer.")]
Layer = Annotated[
    str | None, typer.Option(help="Layer of the activations, or labels, if they hold several.")
]
OtherLayer = Annotated[str | None, typer.Option(help="Layer of the second side.")]
Names = Annotated[Path | None, existing_file("Names of the concepts.")]
OtherNames = Annotated[Path | None, existing_file("Names of the other concepts.")]
Groups = Annotated[Path | None, existing_file("Group of each sample [n].")]
OtherGroups = Annotated[Path | None, existing_file("Group of each sample of the other concepts.")]
NumReplicates = Annotated[int, typer.Option(min=2, help="Number of bootstrap replicates.")]


def compare_command(
    ctx: typer.Context,
    activations: Activations,
    concepts: Concepts,
    other_activations: OtherActivations = None,
    other_concepts: OtherConcepts = None,
    other_metric: OptionalMetric = None,
    labels: Labels = None,
    other_labels: OtherLabels = None,
    layer: Layer = None,
    other_layer: OtherLayer = None,
    first_neuron: FirstNeuron = 0,
    names: Names = None,
    other_names: OtherNames = None,
    groups: Groups = None,
    other_groups: OtherGroups = None,
    pool: Pool = None,
    channel_axis: ChannelAxis = None,
    top_fraction: TopFraction = None,
    metric: Metric = "iou",
    num_replicates: NumReplicates = 200,
    alpha: Alpha = 0.1,
    seed: Seed = 0,
    rows: Rows = 10,
) -> None:
    """Compare two metrics, probing sets, layers or explainers: differences with intervals.

    The second side takes from the first what is not given for it, except groups if it has other
    concepts. Two sides on the same samples are resampled together.
    """
    import jax

    from ..auditing.comparison import Labelling, compare
    from ..auditing.label_checks import match_labels
    from ..files.entries import same_input
    from ..runs import Files, Options

    others = other_activations, other_concepts, other_metric, labels, other_labels, other_layer
    if all(x is None for x in others):
        raise typer.BadParameter(
            "give --other-activations, --other-metric or another option of the second side"
        )
    if labels is None and other_labels is None:
        refuse_idle(ctx, ["first_neuron"], "without --labels or --other-labels")
    if other_concepts is None or same_input(other_concepts, concepts):
        refuse_idle(ctx, ["other_names", "other_groups"], "without --other-concepts")
        other_groups = groups
    elif other_groups is None:
        _refuse_groups_of_others(groups)
    keep_compiled_functions()
    first = Files((activations,), concepts, names=names, groups=groups)
    second = Files(
        (other_activations or activations,), other_concepts or concepts,
        names=other_names or names, groups=other_groups,
    )  # fmt: skip
    sides = []
    for files, chosen, by, path in (
        (first, layer, metric, labels),
        (second, other_layer or layer, other_metric or metric, other_labels),
    ):
        options = Options(
            metric=by, split=0, seed=seed, top_fraction=top_fraction, pool=pool,
            channel_axis=channel_axis,
        )  # fmt: skip
        any_name = files is second and not other_layer
        claims = read_claims(path, first_neuron, chosen) if path else []
        probe = load_labelled_layer(claims, files, options, chosen, any_name=any_name).probe()
        sides.append(Labelling(probe, by, match_labels(claims, probe) if path else None))
    with progress_bars() as progress:
        found = compare(
            jax.random.key(seed), *sides, alpha=alpha, num_replicates=num_replicates,
            progress=lambda done, total: progress("resampling", done, total),
        )  # fmt: skip
    given = labels is not None and other_labels is not None
    _print(found, sides[0].probe.neuron_names, alpha, rows, cross_fitted=not given)


def _refuse_groups_of_others(groups: Path | None) -> None:
    """Refuse groups for the first side alone: other concepts may have other samples."""
    if groups is not None:
        raise typer.BadParameter(
            "belong to the samples of --concepts; give --other-groups for those of "
            "--other-concepts (the same file if they are the same samples)",
            param_hint="--groups",
        )


def _print(
    found: Comparison, neuron_names: tuple[str, ...], alpha: float, rows: int, *, cross_fitted: bool
) -> None:
    """Print the differences, and those of the neurons that differ most."""
    how = "with the same resamples" if found.shared else "with independent resamples"
    if cross_fitted:
        how += "; similarities are cross-fitted"
    table = Table(title=f"first and second, {how}", title_justify="left")
    for name in ("", "first", "second", "difference", f"{1 - alpha:.0%} interval"):
        table.add_column(name, justify="right" if name else "left")
    lines: list[tuple[str, Any]] = [
        ("mean similarity of the labels", found.similarity),
        ("replicates that give the label", found.stability),
    ]
    if found.neurons is not None:
        far = -np.nan_to_num(np.abs(found.neurons.difference), nan=-1)
        lines += [
            (f"neuron {neuron_names[u]}", type(found.neurons)(*(x[u] for x in found.neurons)))
            for u in np.argsort(far, kind="stable")[:rows]
        ]
    for text, x in lines:
        known = np.isfinite(x.difference)
        table.add_row(
            text, *(number(v, ".3f") for v in x[:2]), number(x.difference, "+.3f"),
            f"{x.lower:+.3f} to {x.upper:+.3f}" if known else "-",
        )  # fmt: skip
    console.print(table)
    answer(
        similarity=found.similarity._asdict(), stability=found.stability._asdict(),
        shared_resamples=found.shared, cross_fitted=cross_fitted, same_label=found.same_label,
    )  # fmt: skip
    if found.neurons is not None:
        apart = (found.neurons.lower > 0) | (found.neurons.upper < 0)
        console.print(
            f"{found.same_label:.1%} of the neurons have the same label "
            f"({found.same_label_lower:.1%} to {found.same_label_upper:.1%} in resamples); the "
            f"similarities of {apart.sum()} of {len(apart)} labels differ.",
            highlight=False,
        )
