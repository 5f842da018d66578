"""``neurotrust check``: judge labels that exist already."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from .._runtime.defaults import DEFAULT_MIN_POSITIVES
from .._runtime.text import as_cell, visible
from .compilation import keep_compiled_functions
from .inputs import load_labelled_layer, read_claims
from .options import (
    ActivationRange,
    Alpha,
    ChannelAxis,
    FirstNeuron,
    LargestUnit,
    Metric,
    MinPositives,
    NeuronNames,
    Neurons,
    NumReplicates,
    OutFile,
    Pool,
    Rows,
    Seed,
    Split,
    TopFraction,
    existing_file,
    refuse_idle,
)
from .output import answer, console, errors, number, progress_bars

if TYPE_CHECKING:
    from ..auditing.label_checks import Judged
    from ..files.label_formats import Claim
    from ..probing.probe import Probe
    from ..runs import Files, Options

__all__ = ["check_command"]

Descriptions = Annotated[
    Path,
    typer.Argument(
        exists=True,
        help="Labels as other tools write them: a table (layer, unit, description, ...), .json, "
        ".jsonl or a folder.",
    ),
]
Activations = Annotated[Path | None, existing_file("Activations [n, U] of the layer.")]
Concepts = Annotated[Path | None, existing_file("Concepts [n, C].")]
Names = Annotated[Path | None, existing_file("Names of the concepts.")]
Layer = Annotated[
    str | None,
    typer.Option(help="Layer of the labels, and of the activations if they hold several."),
]
Groups = Annotated[Path | None, existing_file("Group of each sample [n].")]
Thresholds = Annotated[Path | None, existing_file("Threshold of each neuron [U].")]


def check_command(
    ctx: typer.Context,
    descriptions: Descriptions,
    activations: Activations = None,
    concepts: Concepts = None,
    names: Names = None,
    layer: Layer = None,
    neurons: Neurons = None,
    neuron_names: NeuronNames = None,
    first_neuron: FirstNeuron = 0,
    groups: Groups = None,
    pool: Pool = None,
    channel_axis: ChannelAxis = None,
    thresholds: Thresholds = None,
    top_fraction: TopFraction = None,
    split: Split = None,
    metric: Metric = "iou",
    activation_range: ActivationRange = None,
    largest_unit: LargestUnit = None,
    num_replicates: NumReplicates = 1000,
    min_positives: MinPositives = DEFAULT_MIN_POSITIVES,
    alpha: Alpha = 0.1,
    seed: Seed = 0,
    rows: Rows = 25,
    out: OutFile = None,
) -> None:
    """Judge labels that exist already, against the arrays behind them.

    Without --activations and --concepts it says what the file alone tells, and what it can not.
    """
    if (activations is None) != (concepts is None):
        raise typer.BadParameter("--activations and --concepts go together")
    if activations is None or concepts is None:
        idle = set(ctx.params) - {"descriptions", "layer", "first_neuron"}
        refuse_idle(ctx, sorted(idle), "without --activations and --concepts")
        text = _about_file(descriptions, layer, first_neuron)
        console.print(text, highlight=False, markup=False)
        return

    import jax

    from ..auditing.label_checks import judge_labels, match_labels
    from ..runs import Files, Options

    keep_compiled_functions()
    files = Files(
        (activations,), concepts, names=names, groups=groups, thresholds=thresholds,
        neuron_names=neuron_names, neurons=neurons,
    )  # fmt: skip
    inputs = (descriptions, *files.all().values())
    if out is not None and out.exists() and any(out.samefile(path) for path in inputs):
        raise typer.BadParameter(f"{out} would overwrite what is read", param_hint="--out")
    options = Options(
        metric=metric, top_fraction=top_fraction, split=split, pool=pool,
        channel_axis=channel_axis, seed=seed,
    )  # fmt: skip
    claims, probe = _load(descriptions, first_neuron, layer, files, options)
    label = match_labels(claims, probe)
    _warn_of_shift(probe, metric, label, first_neuron)
    with progress_bars() as progress:
        judged = judge_labels(
            jax.random.key(seed), probe, label, metric, alpha=alpha,
            num_replicates=num_replicates, min_positives=min_positives,
            activation_range=activation_range, largest_unit=largest_unit,
            progress=lambda done, total: progress("resampling", done, total),
        )  # fmt: skip
    lines = _lines(claims, probe, judged)
    if rows:
        console.print(_table(lines, metric, rows))
    _print_summary(lines, judged, probe, min_positives, sum(bool(x.weights) for x in claims))
    if out is not None:
        _write_findings(lines, out)
        answer(out=out)
        console.print(f"Wrote {out}.", highlight=False, markup=False)


def _load(
    path: Path, first_neuron: int, layer: str | None, files: Files, options: Options
) -> tuple[list[Claim], Probe]:
    """The labels of a layer and a probe that has a column for each of them.

    Groups of features take the place of the neurons; weighted sums are added to the concepts.
    """
    from ..auditing.composite_labels import (
        check_weighted,
        feature_groups,
        join_features,
        with_weighted_sums,
    )

    claims = read_claims(path, first_neuron, layer)
    check_weighted(claims, options.metric)
    data = load_labelled_layer(claims, files, options, layer)
    numbers = [str(u) for u in range(data.activations.shape[1])]
    groups = feature_groups(claims, data.neuron_names or numbers)
    if not groups:
        return claims, with_weighted_sums(data.probe(), claims)
    if files.thresholds is not None:
        raise typer.BadParameter(
            f"are of single features, and {path} labels groups of them; leave it out",
            param_hint="--thresholds",
        )
    joined = replace(
        data, activations=join_features(data.activations, groups), neuron_names=list(groups)
    )
    return claims, joined.probe()


def _warn_of_shift(probe: Probe, metric: str, label: np.ndarray, first_neuron: int) -> None:
    """Ask whether the file counts from another number, if most labels fit a neighbour better."""
    from ..auditing.label_checks import find_shift
    from ..metrics.scores import similarity

    if probe.neuron_names != tuple(map(str, range(probe.num_neurons))):
        return
    step = find_shift(similarity(probe, metric), label)
    if step:
        start = first_neuron - step
        remedy = f"give --first-neuron {start}" if start >= 0 else "raise the numbers in it by 1"
        errors.print(
            f"Warning: most labels fit the neuron {'before' if step < 0 else 'after'} theirs "
            f"better than their own; if the file does not count from {first_neuron}, {remedy}.",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def _about_file(path: Path, layer: str | None, first_neuron: int) -> str:
    """What the file alone tells about its labels."""
    from ..files.labels import claims_of_layer, read_with_format

    label_format, claims = read_with_format(path, first_neuron=first_neuron)
    if layer is not None:
        claims = claims_of_layer(claims, layer, path)
    layers = {x.layer for x in claims}
    scored = sum(np.isfinite(x.similarity) for x in claims)
    answer(labels=len(claims), layers=len(layers), with_similarity=int(scored))
    most = Counter(x.description for x in claims).most_common(3)
    shared = ", ".join(f"{name!r} {count} times" for name, count in most)
    return (
        f"{label_format.name}: {len(claims):,} labels of {len(layers)} layer(s), "
        f"{scored:,} with a similarity; "
        f"{len({x.description for x in claims}):,} different ones, the most common {shared}.\n"
        "This file can not tell how far each similarity is off (that depends on the number of "
        "samples and on how often concept and neuron occur: see neurotrust plan), by how much each "
        "label leads, whether another probing set gives the same label, or whether chance does as "
        "well. Give --activations and --concepts to find out."
    )


def _lines(claims: Sequence[Claim], probe: Probe, judged: Judged) -> list[dict[str, Any]]:
    """One line per label, by the columns of the file of findings."""
    from ..auditing.label_checks import match_neurons

    claim_of = dict(zip(match_neurons(claims, probe), claims, strict=True))
    return [
        {
            "layer": claim_of[u].layer,
            "unit": name,
            "description": claim_of[u].description,
            "finding": judged.finding[u],
            "similarity": judged.similarity[u],
            "lower": judged.lower[u],
            "upper": judged.upper[u],
            "rank": judged.rank[u],
            "best": probe.concept_names[judged.best[u]] if judged.best[u] >= 0 else "",
            "best_similarity": judged.best_similarity[u],
            "shortfall": judged.shortfall[u],
            "rivals": judged.rivals[u],
            "stated_similarity": claim_of[u].similarity,
            "alternatives": "; ".join(claim_of[u].alternatives),
            "positives": int(judged.positives[u]) if judged.positives[u] >= 0 else "",
        }
        for u, name in enumerate(probe.neuron_names)
        if u in claim_of
    ]


def _table(lines: list[dict[str, Any]], metric: str, rows: int) -> Table:
    """The labels with the worst findings."""
    from ..auditing.label_checks import Finding

    table = Table(title=f"{len(lines):,} labels, {min(rows, len(lines))} shown, worst first")
    stated = any(np.isfinite(x["stated_similarity"]) for x in lines)
    for name in ("neuron", "label", *["stated"] * stated, metric, "interval", "rank", "finding",
                 "best as measured"):  # fmt: skip
        table.add_column(name, justify="left" if name in ("label", "interval") else "right")
    order = list(Finding)[::-1]
    for x in sorted(lines, key=lambda x: order.index(x["finding"]))[:rows]:
        known = np.isfinite(x["similarity"])
        table.add_row(
            Text(visible(x["unit"])),
            Text(visible(x["description"])),
            *[number(x["stated_similarity"], ".3f")] * stated,
            number(x["similarity"], ".3f"),
            f"{x['lower']:.2f} to {x['upper']:.2f}" if np.isfinite(x["lower"]) else "-",
            str(x["rank"]) if known else "-",
            x["finding"],
            Text(f"{visible(x['best'])} ({x['best_similarity']:.3f})" if x["best"] else "-"),
        )
    return table


def _print_summary(
    lines: list[dict[str, Any]], judged: Judged, probe: Probe, min_positives: int, num_sums: int
) -> None:
    """Print how many labels have each finding, and what limits the findings."""
    from ..auditing.label_checks import Finding
    from ..auditing.vocabulary import left_out_text

    counts = Counter(x["finding"] for x in lines)
    answer(labels=len(lines), findings={str(x): counts[x] for x in Finding})
    for finding in Finding:
        if counts[finding]:
            console.print(f"{counts[finding]:>6,} {finding}: {finding.text}", highlight=False)
    if num_sums:
        console.print(
            f"{num_sums:,} labels are weighted sums of concepts. If their weights were fitted to "
            "these samples, their similarities are too high.",
            highlight=False,
        )
    rare = left_out_text(
        judged.left_out, probe.concept_names, min_positives, unit=probe.unit_name, limit=10
    )
    if rare:
        console.print(visible(rare), highlight=False, markup=False)


def _write_findings(lines: list[dict[str, Any]], out: Path) -> None:
    """Write a .csv file, with empty cells for numbers that are not defined."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        for x in lines:
            empty = {k for k, v in x.items() if isinstance(v, float) and not np.isfinite(v)}
            cells = {k: as_cell(v) if isinstance(v, str) else v for k, v in x.items()}
            writer.writerow(cells | dict.fromkeys(empty, ""))
