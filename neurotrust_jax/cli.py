"""The command ``neurotrust``."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from .audit import Audit
    from .tasks import TrainedLayer

__all__ = ["main"]

app = typer.Typer(
    help="How far can a neuron's label be trusted?",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
console = Console()


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


def _known_metric(name: str) -> str:
    from .metrics import get_metric

    try:
        return get_metric(name).name
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def demo(
    task: Annotated[Task, typer.Option(help="Built-in data, and the network to train.")] = (
        Task.glyphs_cnn
    ),
    metric: Annotated[
        str, typer.Option(callback=_known_metric, help="Similarity metric, see the README.")
    ] = "iou",
    replicates: Annotated[int, typer.Option(min=1, help="Bootstrap replicates.")] = 1000,
    permutations: Annotated[
        int, typer.Option(min=0, help="Permutations of the test against chance; 0 for none.")
    ] = 1000,
    alpha: Annotated[float, typer.Option(help="Error level of sets and intervals.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    rows: Annotated[int, typer.Option(min=1, help="Neurons to print.")] = 25,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("neurotrust-demo"),
) -> None:
    """Train a network on built-in data, label its neurons, and say how far to trust each label.

    Writes descriptions.csv, audit.json and five figures into the folder OUT.
    """
    if not 0 < alpha < 1:
        raise typer.BadParameter(
            f"must lie strictly between 0 and 1, got {alpha}", param_hint="--alpha"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"can not create the folder: {error}", param_hint="--out"
        ) from None

    import jax

    from .audit import audit
    from .report import neuron_table, summary, write_audit, write_descriptions
    from .tasks import train_layer

    start = time.perf_counter()
    key = jax.random.key(seed)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        stages: dict[str, int] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)  # type: ignore[arg-type]

        layer = train_layer(key, task.value, progress=progress)
        result = audit(
            jax.random.fold_in(key, 2), layer.probe(), metric, alpha=alpha,
            num_replicates=replicates, num_permutations=permutations,
            hierarchy=layer.data.concept_parent, layer=layer.name, progress=progress,
        )  # fmt: skip

    console.print(f"\nTask: {layer.achieved}.\n", highlight=False)
    console.print(neuron_table(result, rows=rows))
    console.print("\n" + summary(result), highlight=False)
    written = [
        write_descriptions(result, out / "descriptions.csv"),
        write_audit(result, out / "audit.json"),
        *_figures(layer, result, out),
    ]
    console.print(
        f"\nWrote {', '.join(path.name for path in written)} to {out} "
        f"in {time.perf_counter() - start:.0f} s.",
        highlight=False,
    )


def _figures(layer: TrainedLayer, result: Audit, out: Path) -> list[Path]:
    """Draw the examples, the verdicts, the intervals, the agreements and the set sizes."""
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from .datasets import LabelledImages
    from .report import (
        plot_agreement,
        plot_examples,
        plot_intervals,
        plot_set_sizes,
        plot_snippets,
        plot_verdicts,
    )

    labelled = np.flatnonzero(result.label >= 0)
    written = []

    def save(figure: plt.Figure, name: str) -> None:
        path = out / name
        figure.savefig(path, dpi=150)
        plt.close(figure)
        written.append(path)

    if len(labelled):
        # from the best to the worst verdict, evenly spaced
        ranked = labelled[
            np.lexsort(
                (
                    -result.similarity[labelled],
                    -result.agreement[labelled],
                    result.verdict[labelled],
                )
            )
        ]
        pictures = isinstance(layer.data, LabelledImages)
        count = 14 if pictures else 8
        shown = ranked[np.unique(np.linspace(0, len(ranked) - 1, count).round().astype(int))]
        figure, axes = plt.subplots(
            len(shown), figsize=(8, (0.85 if pictures else 1.2) * len(shown) + 0.5),
            layout="constrained", squeeze=False,
        )  # fmt: skip
        for neuron, ax in zip(shown, axes[:, 0], strict=True):
            column = layer.activations[:, [neuron]]
            if isinstance(layer.data, LabelledImages):
                images = layer.data.images[layer.rows]
                plot_examples(
                    result, neuron, np.asarray(column)[:, 0], images, ax, groups=layer.groups
                )
            else:
                values = column[:, 0] if isinstance(column, np.ndarray) else column.toarray()[:, 0]
                plot_snippets(
                    result, neuron, values, layer.data.pieces(layer.rows), layer.groups, ax
                )
        figure.suptitle(
            f"{result.layer}: what activates a neuron most, best verdicts first", fontsize=11
        )
        save(figure, "examples.png")
    figure, ax = plt.subplots(figsize=(8, 1.6), layout="constrained")
    plot_verdicts({result.layer: result.verdict_counts}, ax)
    save(figure, "verdicts.png")
    for plot, name in (
        (plot_intervals, "intervals.png"),
        (plot_agreement, "agreement.png"),
        (plot_set_sizes, "set_sizes.png"),
    ):
        figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
        plot(result, ax)
        save(figure, name)
    return written


def main() -> None:
    """Run the command; what the user can mend ends in one line and exit status 2."""
    try:
        app()
    except (ValueError, ImportError, OSError) as error:
        Console(stderr=True).print(
            f"neurotrust: {error}", style="red", highlight=False, markup=False
        )
        sys.exit(2)
