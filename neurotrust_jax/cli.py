"""The command ``neurotrust``."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import numpy as np
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from ._runtime.validation import check_seed
from .auditing.vocabulary import DEFAULT_MIN_POSITIVES, left_out_text
from .io import FileError, as_cell, visible

if TYPE_CHECKING:
    from ._runtime.chunks import StageProgress
    from .auditing.result import Audit
    from .probing.probe import Probe
    from .published import Claim
    from .runs import Files, Options
    from .tasks import TrainedLayer

__all__ = ["main"]

app = typer.Typer(
    help="How far can a neuron's label be trusted?",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
console = Console()
OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)  # as XLA says it


class Task(StrEnum):
    """Built-in data and the network trained on them."""

    digits_mlp = "digits-mlp"
    digits_cnn = "digits-cnn"
    glyphs_mlp = "glyphs-mlp"
    glyphs_cnn = "glyphs-cnn"
    python_transformer = "python-transformer"
    python_sae = "python-sae"


def _show_version(wanted: bool) -> None:
    if wanted:
        console.print(f"neurotrust_jax {version('neurotrust-jax')}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def _known_metric(name: str | None) -> str | None:
    from .metrics.table import get_metric

    try:
        return None if name is None else get_metric(name).name
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _seed(value: int) -> int:
    try:
        return check_seed(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _folder(path: Path) -> Path:
    from ._runtime.checkpoint import check_folder

    try:
        return check_folder(path)
    except FileError as error:
        raise typer.BadParameter(str(error)) from None


def _file(path: Path | None) -> Path | None:
    from ._runtime.checkpoint import check_file

    try:
        return None if path is None else check_file(path)
    except FileError as error:
        raise typer.BadParameter(str(error)) from None


def _given(ctx: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_idle(ctx: typer.Context, names: Iterable[str], needed: str) -> None:
    """Refuse options that would have no effect without what is needed."""
    for name in names:
        if _given(ctx, name):
            raise typer.BadParameter(
                f"has no effect without {needed}; leave it out",
                param_hint=f"--{name.replace('_', '-')}",
            )


def _share(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"must lie strictly between 0 and 1, got {value}")
    return value


def _positive(value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"must be finite and above 0, got {value}")
    return value


MetricOption = Annotated[
    str, typer.Option(callback=_known_metric, help="Similarity metric, see the README.")
]
Replicates = Annotated[int, typer.Option(min=1, help="Bootstrap replicates.")]
Permutations = Annotated[
    int, typer.Option(min=0, help="Permutations of the test against chance; 0 for none.")
]
Alpha = Annotated[float, typer.Option(callback=_share, help="Error level of sets and intervals.")]
Seed = Annotated[
    int, typer.Option(callback=_seed, help="Seed of everything random, from 0 to 2**32 - 1.")
]
OutFolder = Annotated[Path, typer.Option(callback=_folder, help="Folder for the results.")]
TopFraction = Annotated[
    float | None,
    typer.Option(
        callback=_share, help="Share of samples on which a neuron is active; default 0.05."
    ),
]
FirstUnit = Annotated[
    int,
    typer.Option(min=0, help="Number of the first unit in files of labels: 1 in NetDissect's own."),
]
Rows = Annotated[int, typer.Option(min=0, help="Neurons to print of each layer.")]
LargestUnit = Annotated[
    float | None,
    typer.Option(
        help="Most samples that a group can have (or largest total weight), known beforehand: "
        "without it no label is certified where there are groups or unequal weights."
    ),
]
MinPositives = Annotated[
    int,
    typer.Option(
        min=0,
        help="Concepts present in fewer samples (or groups) are not judged, but named; 0 for none.",
    ),
]
ActivationRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="LOW HIGH",
        help="Smallest and largest activation that the network can give: without it no label by "
        "mad, correlation or cosine is certified.",
    ),
]


@contextmanager
def _bars() -> Iterator[StageProgress]:
    """A progress bar for each stage."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        stages: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield progress


@app.command()
def demo(
    task: Annotated[Task, typer.Option(help="Built-in data, and the network to train.")] = (
        Task.glyphs_cnn
    ),
    metric: MetricOption = "iou",
    replicates: Replicates = 1000,
    permutations: Permutations = 1000,
    min_positives: MinPositives = DEFAULT_MIN_POSITIVES,
    alpha: Alpha = 0.1,
    seed: Seed = 0,
    rows: Rows = 25,
    out: OutFolder = Path("neurotrust-demo"),
) -> None:
    """Train a network on built-in data, label its neurons, and say how far to trust each label.

    Writes report.html, descriptions.csv, audit.json and figures into the folder OUT.
    """
    import jax

    from .auditing.layer_audit import audit
    from .report import (
        Examples,
        most_active,
        neuron_table,
        save_figures,
        summary,
        write_audit,
        write_descriptions,
        write_page,
    )
    from .tasks import train_layer

    start = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    key = jax.random.key(seed)
    with _bars() as progress:
        layer = train_layer(key, task.value, progress=progress)
        result = audit(
            jax.random.fold_in(key, 2), layer.probe(), metric, alpha=alpha,
            num_replicates=replicates, num_permutations=permutations,
            largest_unit=layer.largest_unit, hierarchy=layer.data.concept_parent,
            min_positives=min_positives, layer=layer.name, progress=progress,
        )  # fmt: skip

    console.print(f"\nTask: {layer.achieved}.\n", highlight=False)
    console.print(neuron_table(result, rows=rows))
    console.print("\n" + summary(result), highlight=False)
    show, groups = _samples(layer)
    top = np.array([most_active(column, groups, 6) for column in _columns(layer)])
    written = [
        write_descriptions(result, out / "descriptions.csv"),
        write_audit(result, out / "audit.json"),
        write_page(result, out / "report.html", examples=Examples(top, show)),
        _draw_examples(layer, result, out / "examples.png"),
        *save_figures(result, out),
    ]
    console.print(
        f"\nWrote {', '.join(path.name for path in written)} to {out} "
        f"in {time.perf_counter() - start:.0f} s. Open {out / 'report.html'} in a browser.",
        highlight=False,
    )


def _columns(layer: TrainedLayer) -> Iterator[np.ndarray]:
    """Activations [n] of one neuron after the other."""
    f = layer.activations
    for u in range(f.shape[1]):
        column = f[:, [u]]
        yield (column if isinstance(column, np.ndarray) else column.toarray())[:, 0]


def _samples(layer: TrainedLayer) -> tuple[Callable[[int], Any], np.ndarray]:
    """How to show a sample of a task, and the samples of which one is enough."""
    from .datasets import LabelledImages
    from .io import snippet

    if isinstance(layer.data, LabelledImages):
        images = layer.data.images[layer.rows]
        return (lambda row: images[row]), layer.groups
    pieces = layer.data.pieces(layer.rows)
    return (lambda row: snippet(pieces, layer.groups, row, 60)), layer.groups


def _draw_examples(layer: TrainedLayer, result: Audit, path: Path) -> Path:
    """What activates some neurons most, from the best to the worst verdict, evenly spaced."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .datasets import LabelledImages
    from .report import plot_examples, plot_snippets

    ranked = result.ranked
    pictures = isinstance(layer.data, LabelledImages)
    count = 14 if pictures else 8
    shown = ranked[np.unique(np.linspace(0, len(ranked) - 1, count).round().astype(int))]
    height = 0.85 if pictures else 1.2
    figure = Figure(figsize=(8, height * len(shown) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    columns = list(_columns(layer))
    for neuron, ax in zip(shown, figure.subplots(len(shown), squeeze=False)[:, 0], strict=True):
        f, groups = columns[neuron], layer.groups
        if isinstance(layer.data, LabelledImages):
            plot_examples(result, neuron, f, layer.data.images[layer.rows], ax, groups=groups)
        else:
            plot_snippets(result, neuron, f, layer.data.pieces(layer.rows), groups, ax)
    figure.suptitle(
        f"{result.layer}: what activates a neuron most, best verdicts first", fontsize=11
    )
    figure.savefig(path, dpi=150)
    return path


@app.command("audit")
def audit_command(
    activations: Annotated[
        list[Path],
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Activations [n, U]: .npy, .npz (also a SciPy sparse matrix), .pt, .safetensors. "
            "Several files, or arrays in a file, are several layers.",
        ),
    ],
    concepts: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Concepts [n, C]: 0/1 or probabilities."),
    ],
    out: OutFolder,
    names: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Concept names: one a line, .json, or an array of strings.",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="Audit these layers only; may be repeated.")
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Group of each sample [n]: samples of one group are not independent.",
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The samples themselves: images .npy [n, H, W(, 3)], or .jsonl: texts, tokens.",
        ),
    ] = None,
    hierarchy: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Parents of concepts: .json, or lines child,parent."
        ),
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Threshold of each neuron [U]."),
    ] = None,
    top_fraction: TopFraction = None,
    top_of_active: Annotated[
        float | None,
        typer.Option(
            callback=_share,
            help="Label the top of the activation: of the samples on which a neuron is active, "
            "only the most active share counts.",
        ),
    ] = None,
    split: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of samples (or groups) set aside for the thresholds, so that bounds for "
            "fixed thresholds hold; default 0.2 where thresholds come from the data, 0 for none.",
        ),
    ] = None,
    metric: MetricOption = "iou",
    activation_range: ActivationRange = None,
    largest_unit: LargestUnit = None,
    replicates: Replicates = 1000,
    permutations: Permutations = 1000,
    min_positives: MinPositives = DEFAULT_MIN_POSITIVES,
    alpha: Alpha = 0.1,
    seed: Seed = 0,
    memory: Annotated[
        float | None,
        typer.Option(min=0, help="GiB that resampling may take; default half of what is free."),
    ] = None,
    rows: Rows = 10,
    force: Annotated[bool, typer.Option("--force", help="Do it anew whatever OUT holds.")] = False,
) -> None:
    """Say how far the labels of your neurons can be trusted, from arrays on disk.

    Writes report.html, descriptions.csv, audit.json, manifest.json and figures into the folder
    OUT. An interrupted run, started again, goes on where it stopped.
    """
    from .report import neuron_table, summary
    from .runs import Files, Options, audit_files

    start = time.perf_counter()
    files = Files(
        tuple(activations), concepts, names=names, groups=groups, thresholds=thresholds,
        hierarchy=hierarchy, examples=examples,
    )  # fmt: skip
    options = Options(
        metric=metric, alpha=alpha, num_replicates=replicates, num_permutations=permutations,
        activation_range=activation_range, largest_unit=largest_unit,
        min_positives=min_positives, top_fraction=top_fraction,
        top_of_active=top_of_active, split=split, seed=seed,
    )  # fmt: skip
    try:
        with _bars() as progress:
            found = audit_files(
                files, out, options, layers=tuple(layer or ()),
                memory_limit=None if memory is None else memory * 2**30, force=force,
                progress=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on where this one stopped.")
        raise
    for result in found:
        if rows:
            console.print(neuron_table(result, rows=rows))
        console.print(f"\n{summary(result)}\n", highlight=False, markup=False)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    if manifest["options"]["split"]:
        console.print(
            f"Thresholds: {manifest['thresholds']}; --split 0 sets none aside.", highlight=False
        )
    console.print(
        f"Wrote {out} in {time.perf_counter() - start:.0f} s. Open {out / 'report.html'} in a "
        "browser.",
        highlight=False,
        markup=False,
    )


def _labels_and_probe(
    labels: Path | None,
    first_unit: int,
    layer: str | None,
    files: Files,
    options: Options,
    *,
    any_name: bool = False,
) -> tuple[list[Claim], Probe]:
    """The labels of a layer, none without a file of them, and the layer; see :func:`load_layer`."""
    from .published import of_layer, read_labels
    from .runs import load_layer

    claims = of_layer(read_labels(labels, first_unit=first_unit), layer, labels) if labels else []
    # the layer may be that of the labels alone, where there is no other in the activations
    any_name |= any(x.layer for x in claims)
    probe_of = load_layer(files, options, layer, any_name=any_name)
    return claims, probe_of()


@app.command()
def check(
    ctx: typer.Context,
    descriptions: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Labels as .csv or .tsv: layer, unit, description, ... as other tools write them.",
        ),
    ],
    activations: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Activations [n, U] of the layer."),
    ] = None,
    concepts: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Concepts [n, C].")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Names of the concepts.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer of the labels, and of the activations if several.")
    ] = None,
    first_unit: FirstUnit = 0,
    groups: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Group of each sample [n].")
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Threshold of each neuron [U]."),
    ] = None,
    metric: MetricOption = "iou",
    activation_range: ActivationRange = None,
    largest_unit: LargestUnit = None,
    replicates: Replicates = 1000,
    min_positives: MinPositives = DEFAULT_MIN_POSITIVES,
    alpha: Alpha = 0.1,
    seed: Seed = 0,
    rows: Rows = 25,
    out: Annotated[
        Path | None, typer.Option(callback=_file, help="File for the findings, .csv.")
    ] = None,
) -> None:
    """Judge labels that exist already, against the arrays behind them.

    Without --activations and --concepts it says what the file tells, and what it can not.
    """
    import csv

    from .published import (
        SAYS,
        Finding,
        judge_labels,
        match_labels,
        match_units,
        of_layer,
        read_labels,
    )

    if (activations is None) != (concepts is None):
        raise typer.BadParameter("--activations and --concepts go together")
    if activations is None or concepts is None:
        idle = set(ctx.params) - {"descriptions", "layer", "first_unit"}
        _refuse_idle(ctx, sorted(idle), "--activations and --concepts")
        claims = read_labels(descriptions, first_unit=first_unit)
        if layer is not None:
            claims = of_layer(claims, layer, descriptions)
        layers = {x.layer for x in claims}
        scored = sum(np.isfinite(x.similarity) for x in claims)
        most = Counter(x.description for x in claims).most_common(3)
        shared = ", ".join(f"{name!r} {count} times" for name, count in most)
        console.print(
            f"{len(claims):,} labels of {len(layers)} layer(s), {scored:,} with a similarity; "
            f"{len({x.description for x in claims}):,} different ones, the commonest {shared}.\n"
            "Not to be known from this file: how far each similarity is off (that depends on the "
            "number of samples and on how often concept and neuron occur: see neurotrust plan), "
            "by how much each label leads, whether another probing set gives the same, and "
            "whether chance does as well. Give --activations and --concepts to find out.",
            highlight=False,
            markup=False,
        )
        return

    import jax

    from .runs import Files, Options

    files = Files((activations,), concepts, names=names, groups=groups, thresholds=thresholds)
    inputs = (descriptions, *files.all().values())
    if out is not None and out.exists() and any(out.samefile(path) for path in inputs):
        raise typer.BadParameter(f"{out} would overwrite what is read", param_hint="--out")
    chosen, probe = _labels_and_probe(
        descriptions, first_unit, layer, files, Options(metric=metric, split=0, seed=seed)
    )
    label = match_labels(chosen, probe)
    with _bars() as progress:
        found = judge_labels(
            jax.random.key(seed), probe, label, metric, alpha=alpha, num_replicates=replicates,
            min_positives=min_positives, activation_range=activation_range,
            largest_unit=largest_unit,
            progress=lambda done, total: progress("resampling", done, total),
        )  # fmt: skip
    claimed = dict(zip(match_units(chosen, probe), chosen, strict=True))
    lines = [
        {
            "layer": claimed[u].layer,
            "unit": name,
            "description": claimed[u].description,
            "finding": found.finding[u],
            "similarity": found.similarity[u],
            "lower": found.lower[u],
            "upper": found.upper[u],
            "rank": found.rank[u],
            "best": probe.concept_names[found.best[u]] if found.best[u] >= 0 else "",
            "best_similarity": found.best_similarity[u],
            "shortfall": found.shortfall[u],
            "rivals": found.rivals[u],
            "stated_similarity": claimed[u].similarity,
            "positives": int(found.positives[u]) if found.positives[u] >= 0 else "",
        }
        for u, name in enumerate(probe.neuron_names)
        if u in claimed
    ]
    counts = Counter(x["finding"] for x in lines)
    table = Table(title=f"{len(lines):,} labels, {min(rows, len(lines))} shown, worst first")
    for name in ("unit", "label", metric, "interval", "rank", "finding", "best as measured"):
        table.add_column(name, justify="left" if "l" in name else "right")
    order = [Finding.REFUTED, Finding.UNKNOWN, Finding.UNDEFINED, Finding.UNTESTED, Finding.OPEN]
    worst = sorted(lines, key=lambda x: order.index(x["finding"]) if x["finding"] in order else 9)
    for x in worst[:rows]:
        known = np.isfinite(x["similarity"])
        table.add_row(
            Text(visible(x["unit"])),
            Text(visible(x["description"])),
            f"{x['similarity']:.3f}" if known else "-",
            f"{x['lower']:.2f} to {x['upper']:.2f}" if np.isfinite(x["lower"]) else "-",
            str(x["rank"]) if known else "-",
            x["finding"],
            Text(f"{visible(x['best'])} ({x['best_similarity']:.3f})" if x["best"] else "-"),
        )
    if rows:
        console.print(table)
    for finding in Finding:
        if counts[finding]:
            console.print(f"{counts[finding]:>6,} {finding}: {SAYS[finding]}", highlight=False)
    rare = left_out_text(
        found.left_out, probe.concept_names, min_positives,
        unit=probe.unit_name, limit=10,
    )  # fmt: skip
    if rare:
        console.print(visible(rare), highlight=False, markup=False)
    if out is not None:
        with out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            for x in lines:
                empty = {k for k, v in x.items() if isinstance(v, float) and not np.isfinite(v)}
                cells = {k: as_cell(v) if isinstance(v, str) else v for k, v in x.items()}
                writer.writerow(cells | dict.fromkeys(empty, ""))
        console.print(f"Wrote {out}.", highlight=False, markup=False)


@app.command()
def compare(
    ctx: typer.Context,
    activations: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Activations [n, U].")
    ],
    concepts: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Concepts [n, C].")],
    other_activations: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Another layer, or on another probing set."),
    ] = None,
    other_concepts: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Other concepts, or of the other set."),
    ] = None,
    other_metric: Annotated[
        str | None, typer.Option(callback=_known_metric, help="Another metric.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Labels of an explainer, .csv; see check."),
    ] = None,
    other_labels: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Labels of another.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer of the activations, or labels, if several.")
    ] = None,
    other_layer: Annotated[str | None, typer.Option(help="Layer of the other.")] = None,
    first_unit: FirstUnit = 0,
    names: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Names of the concepts.")
    ] = None,
    other_names: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Names of other concepts.")
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Group of each sample [n].")
    ] = None,
    other_groups: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Group of each sample of the other concepts."
        ),
    ] = None,
    top_fraction: TopFraction = None,
    metric: MetricOption = "iou",
    replicates: Annotated[int, typer.Option(min=2, help="Bootstrap replicates.")] = 200,
    alpha: Alpha = 0.1,
    seed: Seed = 0,
    rows: Rows = 10,
) -> None:
    """Compare two metrics, probing sets, layers or explainers: differences with intervals.

    What is not given of the other is that of the first, but for the groups of other concepts. On
    the same samples both are resampled alike.
    """
    import jax

    from .auditing.comparison import Labelling
    from .auditing.comparison import compare as compare_labellings
    from .published import match_labels
    from .runs import Files, Options

    others = other_activations, other_concepts, other_metric, labels, other_labels, other_layer
    if all(x is None for x in others):
        raise typer.BadParameter("give --other-activations, --other-metric or another of the other")
    if labels is None and other_labels is None:
        _refuse_idle(ctx, ["first_unit"], "--labels or --other-labels")
    if other_concepts is None or other_concepts.samefile(concepts):
        _refuse_idle(ctx, ["other_names", "other_groups"], "--other-concepts")
        other_groups = groups
    elif groups is not None and other_groups is None:
        raise typer.BadParameter(
            "are of the samples of --concepts; give --other-groups for those of --other-concepts "
            "(the same file if they are the same samples)",
            param_hint="--groups",
        )
    first = Files((activations,), concepts, names=names, groups=groups)
    second = Files(
        (other_activations or activations,), other_concepts or concepts,
        names=other_names or names, groups=other_groups,
    )  # fmt: skip
    sides = []
    for files, which, by, claimed in (
        (first, layer, metric, labels),
        (second, other_layer or layer, other_metric or metric, other_labels),
    ):
        options = Options(metric=by, split=0, seed=seed, top_fraction=top_fraction)
        claims, probe = _labels_and_probe(
            claimed, first_unit, which, files, options, any_name=files is second and not other_layer
        )
        label = match_labels(claims, probe) if claimed else None
        sides.append(Labelling(probe, by, label))
    with _bars() as progress:
        found = compare_labellings(
            jax.random.key(seed), *sides, alpha=alpha, num_replicates=replicates,
            progress=lambda done, total: progress("resampling", done, total),
        )  # fmt: skip
    how = "resampled alike" if found.shared else "resampled independently"
    if not (labels and other_labels):
        how += "; similarities cross-fitted"
    table = Table(title=f"first and second, {how}", title_justify="left")
    for name in ("", "first", "second", "difference", f"{1 - alpha:.0%} interval"):
        table.add_column(name, justify="right" if name else "left")
    lines = [
        ("similarity of the labels, mean", found.similarity),
        ("replicates that give the label", found.stability),
    ]
    if found.neurons is not None:
        far = -np.nan_to_num(np.abs(found.neurons.difference), nan=-1)
        lines += [
            (
                f"unit {sides[0].probe.neuron_names[u]}",
                type(found.neurons)(*(x[u] for x in found.neurons)),
            )
            for u in np.argsort(far, kind="stable")[:rows]
        ]
    for text, x in lines:
        known = np.isfinite(x.difference)
        table.add_row(
            text, *(f"{v:.3f}" if np.isfinite(v) else "-" for v in x[:2]),
            f"{x.difference:+.3f}" if known else "-",
            f"{x.lower:+.3f} to {x.upper:+.3f}" if known else "-",
        )  # fmt: skip
    console.print(table)
    if found.neurons is not None:
        apart = (found.neurons.lower > 0) | (found.neurons.upper < 0)
        console.print(
            f"{found.same_label:.1%} of the neurons have the same label "
            f"({found.same_label_lower:.1%} to {found.same_label_upper:.1%} in resamples); the "
            f"similarities of {apart.sum()} of {len(apart)} labels differ.",
            highlight=False,
        )


@app.command()
def plan(
    metric: MetricOption = "iou",
    error: Annotated[
        float | None,
        typer.Option(
            callback=_positive,
            help="Largest error of a similarity that you accept; default 0.1.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            callback=_positive,
            help="Or: by how much the best concept leads, to certify its label.",
        ),
    ] = None,
    frequency: Annotated[
        list[float] | None,
        typer.Option(help="How often a concept occurs; may be repeated. Default 0.5, 0.1, 0.01."),
    ] = None,
    concepts: Annotated[int, typer.Option(min=1, help="Number of concepts.")] = 256,
    active_rate: Annotated[
        float, typer.Option(callback=_share, help="Share of samples on which a neuron is active.")
    ] = 0.05,
    kurtosis: Annotated[
        float,
        typer.Option(
            min=1,
            help="Kurtosis of the activations on samples without the concept (3: normal), for "
            "correlation.",
        ),
    ] = 3.0,
    alpha: Annotated[
        float, typer.Option(callback=_share, help="Probability that it fails.")
    ] = 0.05,
    samples: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Instead: the error to expect of so many samples; may be repeated."
        ),
    ] = None,
) -> None:
    """How large must a probing set be, or how large is the error of one?"""
    from .faithfulness.sample_size import generalization_gap, required_samples

    if error is not None and margin is not None:
        raise typer.BadParameter("excludes --margin; leave one of them out", param_hint="--error")
    rates = frequency or [0.5, 0.1, 0.01]
    design: dict[str, Any] = {
        "num_concepts": concepts, "alpha": alpha, "active_rate": active_rate, "kurtosis": kurtosis
    }  # fmt: skip
    caution = {
        "correlation": "Asymptotic, for concepts that shift the activation and leave its spread as "
        f"it is (kurtosis {kurtosis:g}; 3 is normal); see the help of --kurtosis.",
        "spearman": "Asymptotic, for concepts that have nothing to do with the neuron or shift its "
        "activation; those that change its spread need up to three times the samples.",
    }.get(metric, "")
    if samples:
        if error is not None or margin is not None:
            raise typer.BadParameter("excludes --error and --margin", param_hint="--samples")
        table = Table(
            title=f"largest error of {metric} ({1 - alpha:.0%}, {concepts:,} concepts)",
            title_justify="left",
        )
        table.add_column("samples", justify="right")
        for rate in rates:
            table.add_column(f"concept in {rate:.2%}", justify="right")
        for n in samples:
            gaps = generalization_gap(metric, n, concept_frequency=np.array(rates), **design)
            table.add_row(f"{n:,}", *(f"{x:.3f}" for x in np.atleast_1d(gaps)))
        console.print(table)
        if caution:
            console.print(caution, highlight=False)
        return
    if error is None and margin is None:
        error = 0.1
    goal = f"an error of at most {error:g}" if margin is None else f"a lead of {margin:g} certified"
    table = Table(
        title=f"samples for {goal} ({metric}, {1 - alpha:.0%}, {concepts:,} concepts)",
        title_justify="left",
    )
    for name in ("concept in", "samples", "of these with it"):
        table.add_column(name, justify="right")
    for rate in rates:
        found = required_samples(metric, error, margin=margin, concept_frequency=rate, **design)
        table.add_row(f"{rate:.2%}", f"{int(found.samples):,}", f"{int(found.positives):,}")
    console.print(table)
    if caution:
        console.print(caution, highlight=False)


def main() -> None:
    """Run the command; what the user can mend ends in one line and exit status 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may hold what the terminal can not show
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except (ValueError, ImportError, OSError) as error:
        _refuse(str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        _refuse("there is not enough memory; take fewer neurons at a time, or lower --memory")


def _refuse(why: str) -> NoReturn:
    Console(stderr=True).print(
        f"neurotrust: {visible(why)}", style="red", highlight=False, markup=False
    )
    sys.exit(2)
