"""``neurotrust demo``: train a network on built-in data and audit one of its layers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from .._runtime.defaults import DEFAULT_MIN_POSITIVES
from .compilation import keep_compiled_functions
from .completion import BUILT_IN_TASKS, complete_task
from .options import (
    Alpha,
    Metric,
    MinPositives,
    NumPermutations,
    NumReplicates,
    OutFolder,
    Rows,
    Seed,
)
from .output import answer, console, layer_facts, progress_bars

if TYPE_CHECKING:
    from ..auditing.result import Audit
    from ..tasks import TrainedLayer

__all__ = ["demo_command"]


def _known_task(ctx: typer.Context, name: str) -> str:
    if ctx.resilient_parsing:
        return name
    from ..tasks import get_task

    try:
        return get_task(name).name
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Task = Annotated[
    str,
    typer.Option(
        callback=_known_task,
        autocompletion=complete_task,
        help=f"Built-in data and the network to train on it: {', '.join(BUILT_IN_TASKS)}.",
    ),
]


def demo_command(
    task: Task = "glyphs-cnn",
    metric: Metric = "iou",
    num_replicates: NumReplicates = 1000,
    num_permutations: NumPermutations = None,
    min_positives: MinPositives = DEFAULT_MIN_POSITIVES,
    alpha: Alpha = 0.1,
    seed: Seed = 0,
    rows: Rows = 25,
    out: OutFolder = Path("neurotrust-demo"),
) -> None:
    """Train a network on built-in data, label its neurons, and say how far to trust each label.

    Writes report.html, descriptions.csv, audit.json with its arrays, and figures into OUT.
    """
    import jax

    from ..auditing.layer_audit import audit
    from ..report import neuron_table, summary
    from ..tasks import train_layer

    start = time.perf_counter()
    keep_compiled_functions()
    out.mkdir(parents=True, exist_ok=True)
    key = jax.random.key(seed)
    with progress_bars() as progress:
        layer = train_layer(key, task, progress=progress)
        result = audit(
            jax.random.fold_in(key, 2), layer.probe(), metric, alpha=alpha,
            num_replicates=num_replicates, num_permutations=num_permutations,
            largest_unit=layer.largest_unit, hierarchy=layer.data.concept_parent,
            min_positives=min_positives, layer=layer.name, progress=progress,
        )  # fmt: skip
    console.print(f"\nTask: {layer.achieved}.\n", highlight=False)
    console.print(neuron_table(result, rows=rows))
    console.print("\n" + summary(result), highlight=False)
    written = _write(layer, result, out)
    answer(
        out=out, layers=[layer_facts(result)], task=layer.achieved,
        page=out / "report.html", audits=[out / "audit.json"],
    )  # fmt: skip
    console.print(
        f"\nWrote {', '.join(path.name for path in written)} to {out} "
        f"in {time.perf_counter() - start:.0f} s. Open {out / 'report.html'} in a browser.",
        highlight=False,
    )


def _write(layer: TrainedLayer, result: Audit, out: Path) -> list[Path]:
    """Write the results into a folder, and return the paths of the files."""
    from ..report import (
        Examples,
        most_active,
        save_figures,
        write_audit,
        write_descriptions,
        write_page,
    )

    top = np.array([most_active(column, layer.groups, 6) for column in _columns(layer)])
    return [
        write_descriptions(result, out / "descriptions.csv"),
        write_audit(result, out / "audit.json"),
        out / "audit.arrays.npz",
        write_page(result, out / "report.html", examples=Examples(top, _show(layer))),
        _draw_examples(layer, result, out / "examples.png"),
        *save_figures(result, out),
    ]


def _columns(layer: TrainedLayer) -> Iterator[np.ndarray]:
    """Activations [n] of one neuron after the other."""
    f = layer.activations
    for u in range(f.shape[1]):
        column = f[:, [u]]
        yield (column if isinstance(column, np.ndarray) else column.toarray())[:, 0]


def _show(layer: TrainedLayer) -> Callable[[int], Any]:
    """A function that gives the picture of a sample, or a token with the text around it."""
    from ..datasets import LabelledImages
    from ..files.examples import WIDTH, snippet

    if isinstance(layer.data, LabelledImages):
        images = layer.data.images[layer.rows]
        return lambda row: images[row]
    pieces = layer.data.pieces(layer.rows)
    return lambda row: snippet(pieces, layer.groups, row, WIDTH)


def _draw_examples(layer: TrainedLayer, result: Audit, path: Path) -> Path:
    """Draw the top examples of some neurons, spread evenly from the best verdict to the worst."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ..datasets import LabelledImages
    from ..report import plot_examples, plot_snippets

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
