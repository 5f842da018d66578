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
    from .demo import TrainedLayer

__all__ = ["main"]

app = typer.Typer(
    help="How far can a neuron's label be trusted?",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
console = Console()


class Dataset(StrEnum):
    """Built-in real data."""

    glyphs = "glyphs"
    digits = "digits"


class Model(StrEnum):
    """Networks of the demo."""

    cnn = "cnn"
    mlp = "mlp"


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
    dataset: Annotated[Dataset, typer.Option(help="Pictures to train and probe on.")] = (
        Dataset.glyphs
    ),
    model: Annotated[Model, typer.Option(help="Network to train.")] = Model.cnn,
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
    from .demo import train_layer
    from .report import neuron_table, summary, write_audit, write_descriptions

    start = time.perf_counter()
    data_key, audit_key = jax.random.split(jax.random.key(seed))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, int] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

        layer = train_layer(data_key, dataset=dataset.value, model=model.value, progress=progress)
        result = audit(
            audit_key, layer.probe, metric, alpha=alpha, num_replicates=replicates,
            num_permutations=permutations, hierarchy=layer.hierarchy, layer=layer.layer,
            progress=progress,
        )  # fmt: skip

    console.print(
        f"\nTask: {layer.task}. Accuracy on {result.num_samples:,} held-out images "
        f"{layer.test_accuracy:.1%}; always answering the commonest class gives "
        f"{layer.chance:.1%}.\n",
        highlight=False,
    )
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

    from .report import (
        plot_agreement,
        plot_examples,
        plot_intervals,
        plot_set_sizes,
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
        shown = ranked[np.unique(np.linspace(0, len(ranked) - 1, 14).round().astype(int))]
        figure, axes = plt.subplots(
            len(shown), figsize=(8, 0.85 * len(shown) + 0.5), layout="constrained", squeeze=False
        )
        for neuron, ax in zip(shown, axes[:, 0], strict=True):
            plot_examples(
                result, neuron, layer.probe.neurons.values, layer.images, ax, groups=layer.groups
            )
        figure.suptitle(
            f"{result.layer}: images that activate a neuron most, best verdicts first", fontsize=11
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
