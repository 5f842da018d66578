"""``neurotrust audit``: audit the layers of files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._runtime.defaults import DEFAULT_MIN_POSITIVES
from .compilation import keep_compiled_functions
from .options import (
    ActivationRange,
    Alpha,
    ChannelAxis,
    LargestUnit,
    MemoryLimit,
    Metric,
    MinPositives,
    NeuronNames,
    Neurons,
    NumPermutations,
    NumReplicates,
    OutFolder,
    Pool,
    Rows,
    Seed,
    Split,
    TopFraction,
    check_share,
    existing_file,
)
from .output import answer, console, errors, progress_bars, run_facts

if TYPE_CHECKING:
    from jax.sharding import Mesh

__all__ = ["audit_command"]

Activations = Annotated[
    list[Path],
    existing_file(
        "Activations [n, U]: .npy, .npz (also a SciPy sparse matrix), .pt, .safetensors, .h5, "
        ".parquet; FILE:ENTRY is one array of a file. Several files, or several arrays in a file, "
        "are several layers; row shards (acts-00000-of-00004.npy) are one. Feature maps "
        "[n, c, h, w] and token vectors [n, t, d] need --pool."
    ),
]
Concepts = Annotated[
    Path,
    existing_file(
        "Concepts [n, C]: 0/1 or probabilities; with --pool none also [n, h, w, C] of positions."
    ),
]
Names = Annotated[
    Path | None, existing_file("Names of the concepts: one per line, .json, or strings in .npy.")
]
Layers = Annotated[
    list[str] | None, typer.Option(help="Audit this layer only; may be given several times.")
]
Groups = Annotated[
    Path | None,
    existing_file(
        "Group of each sample [n], numbers or strings, also lines of .txt or FILE:COLUMN of .csv; "
        "samples of one group are not independent."
    ),
]
ExampleFile = Annotated[
    Path | None,
    existing_file("The samples to show: images [n, H, W(, 3)] in .npy; texts or tokens in .jsonl."),
]
Hierarchy = Annotated[
    Path | None, existing_file("Parents of the concepts: .json, or lines child,parent.")
]
Thresholds = Annotated[Path | None, existing_file("Threshold of each neuron [U].")]
TopOfActive = Annotated[
    float | None,
    typer.Option(
        callback=check_share,
        help="Label the top of the activation: of the samples on which a neuron is active, only "
        "this most active share counts.",
    ),
]
Ranges = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Label this number of ranges of each neuron's activation, from the top to just above "
        "the threshold, instead of the neuron.",
    ),
]
Compose = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Also find the best formula of at most this number of concepts for each neuron, such "
        "as water AND NOT river, and show it where it is better than one concept beyond chance.",
    ),
]
Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Share the neurons among the processes of a cluster that JAX recognises, such as "
        "those of srun or mpirun, and among all their devices. All must see the folder OUT.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Start over, whatever OUT holds.")]


def audit_command(
    activations: Activations,
    concepts: Concepts,
    out: OutFolder,
    names: Names = None,
    layer: Layers = None,
    neurons: Neurons = None,
    neuron_names: NeuronNames = None,
    groups: Groups = None,
    pool: Pool = None,
    channel_axis: ChannelAxis = None,
    examples: ExampleFile = None,
    hierarchy: Hierarchy = None,
    thresholds: Thresholds = None,
    top_fraction: TopFraction = None,
    top_of_active: TopOfActive = None,
    ranges: Ranges = None,
    compose: Compose = None,
    split: Split = None,
    metric: Metric = "iou",
    activation_range: ActivationRange = None,
    largest_unit: LargestUnit = None,
    num_replicates: NumReplicates = 1000,
    num_permutations: NumPermutations = None,
    min_positives: MinPositives = DEFAULT_MIN_POSITIVES,
    alpha: Alpha = 0.1,
    seed: Seed = 0,
    memory_limit: MemoryLimit = None,
    rows: Rows = 10,
    distributed: Distributed = False,
    force: Force = False,
) -> None:
    """Say how far the labels of your neurons can be trusted, from arrays on disk.

    Writes report.html, descriptions.csv, audit.json with its arrays, manifest.json and figures into
    OUT. An interrupted run, started again, goes on where it stopped.
    """
    from .._runtime.devices import is_first
    from ..report import neuron_table, summary
    from ..runs import Files, Options, audit_files

    start = time.perf_counter()
    keep_compiled_functions()
    mesh = _mesh_of_cluster() if distributed else None
    first = is_first(mesh)
    files = Files(
        tuple(activations), concepts, names=names, groups=groups, thresholds=thresholds,
        hierarchy=hierarchy, examples=examples, neuron_names=neuron_names, neurons=neurons,
    )  # fmt: skip
    options = Options(
        metric=metric, alpha=alpha, num_replicates=num_replicates,
        num_permutations=num_permutations, activation_range=activation_range,
        largest_unit=largest_unit, min_positives=min_positives, top_fraction=top_fraction,
        top_of_active=top_of_active, ranges=ranges, compose=compose, split=split, pool=pool,
        channel_axis=channel_axis, seed=seed,
    )  # fmt: skip
    try:
        with progress_bars() as progress:
            found = audit_files(
                files, out, options, layers=tuple(layer or ()), memory_limit=memory_limit,
                mesh=mesh, force=force, progress=progress if first else None,
            )  # fmt: skip
    except KeyboardInterrupt:
        errors.print("Interrupted. The same command goes on where this one stopped.")
        raise
    if not first:
        return
    for result in found:
        if rows:
            console.print(neuron_table(result, rows=rows))
        console.print(f"\n{summary(result)}\n", highlight=False, markup=False)
    _print_end(out, time.perf_counter() - start)
    answer(**run_facts(out, found))


def _mesh_of_cluster() -> Mesh:
    """All devices of all processes of a cluster, which this process joins."""
    import jax

    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"--distributed finds no cluster ({error}); start the command in every process by srun "
            "or mpirun, or leave the option out"
        ) from None
    return jax.make_mesh((jax.device_count(),), ("blocks",))


def _print_end(out: Path, seconds: float) -> None:
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    if manifest["options"]["split"]:
        console.print(
            f"Thresholds: {manifest['thresholds']}; --split 0 sets none aside.", highlight=False
        )
    console.print(
        f"Wrote {out} in {seconds:.0f} s. Open {out / 'report.html'} in a browser.",
        highlight=False,
        markup=False,
    )
