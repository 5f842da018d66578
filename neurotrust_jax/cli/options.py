"""Options that several commands share, each with the check of its value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from .._runtime.text import FileError
from .completion import complete_metric

__all__ = [
    "ActivationRange",
    "Alpha",
    "ChannelAxis",
    "FirstNeuron",
    "LargestUnit",
    "MemoryLimit",
    "Metric",
    "MinPositives",
    "NeuronNames",
    "Neurons",
    "NumPermutations",
    "NumReplicates",
    "OptionalMetric",
    "OutFile",
    "OutFolder",
    "Pool",
    "Rows",
    "Seed",
    "Split",
    "TopFraction",
    "check_positive",
    "check_share",
    "existing_file",
    "parse_bytes",
    "refuse_idle",
]

SHARED = ("config", "quiet", "as_json")  # options that all commands have
BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)


def known_metric(ctx: typer.Context, name: str | None) -> str | None:
    """The name of a metric, also where an alias is given; the shell's completion asks nothing."""
    if ctx.resilient_parsing:
        return name
    from ..metrics.table import get_metric

    try:
        return None if name is None else get_metric(name).name
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def known_seed(ctx: typer.Context, value: int) -> int:
    """A seed in the range that gives a key of its own."""
    if ctx.resilient_parsing:
        return value
    from .._runtime.validation import check_seed

    try:
        return check_seed(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def writable_folder(ctx: typer.Context, path: Path) -> Path:
    """A folder that exists or can be made."""
    if ctx.resilient_parsing:
        return path
    from .._runtime.checkpoint import check_folder

    try:
        return check_folder(path)
    except FileError as error:
        raise typer.BadParameter(str(error)) from None


def writable_file(ctx: typer.Context, path: Path | None) -> Path | None:
    """A file that can be written."""
    if ctx.resilient_parsing:
        return path
    from .._runtime.checkpoint import check_file

    try:
        return None if path is None else check_file(path)
    except FileError as error:
        raise typer.BadParameter(str(error)) from None


def check_share(value: float | None) -> float | None:
    """A number strictly between 0 and 1."""
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"must lie strictly between 0 and 1, got {value}")
    return value


def check_positive(value: float | None) -> float | None:
    """A finite number above 0."""
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"must be finite and above 0, got {value}")
    return value


def parse_bytes(text: str) -> int:
    """A number of bytes, with a unit such as KB (1000 bytes) or KiB (1024 bytes) if wanted."""
    found = BYTES.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"must be a number of bytes, such as 8GiB or 500MB, got {text!r}")
    size, prefix, binary = found.groups()
    power = "kmgt".index(prefix.lower()) + 1 if prefix else 0
    return int(float(size) * (1024 if binary else 1000) ** power)


def refuse_idle(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options that have no effect, such as those "without --concepts"."""
    for name in names:
        source = ctx.get_parameter_source(name)
        given = source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")
        if given and name not in SHARED:
            flag = next(x.opts[0] for x in ctx.command.params if x.name == name)
            raise typer.BadParameter(f"has no effect {why}; leave it out", param_hint=flag)


def existing_path(text: str) -> Path:
    """A file that exists, or an entry of one: ``FILE:ENTRY``."""
    from ..files.entries import split_entry

    file, _ = split_entry(text)
    if not file.is_file():
        raise typer.BadParameter(
            f"{text} is a folder; give a file" if file.is_dir() else f"{text} does not exist"
        )
    return Path(text)


def existing_file(text: str) -> Any:
    """An option for a file that must exist; brackets in the text are no markup."""
    return typer.Option(parser=existing_path, metavar="FILE", help=escape(text))


Metric = Annotated[
    str,
    typer.Option(
        callback=known_metric,
        autocompletion=complete_metric,
        help="Similarity metric; neurotrust_jax.METRICS lists them.",
    ),
]
OptionalMetric = Annotated[
    str | None,
    typer.Option(
        callback=known_metric,
        autocompletion=complete_metric,
        help="Metric of the second side.",
    ),
]
NumReplicates = Annotated[int, typer.Option(min=1, help="Number of bootstrap replicates.")]
NumPermutations = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Number of permutations of the test against chance; 0 for none. Unless given, enough "
        "for a neuron that stands alone in its layer where that is quick, else 1,000.",
    ),
]
Alpha = Annotated[
    float, typer.Option(callback=check_share, help="Error level of sets and intervals.")
]
Seed = Annotated[
    int, typer.Option(callback=known_seed, help="Seed of all random draws, from 0 to 2**32 - 1.")
]
OutFolder = Annotated[
    Path,
    typer.Option(callback=writable_folder, metavar="FOLDER", help="Folder for the results."),
]
OutFile = Annotated[
    Path | None, typer.Option(callback=writable_file, help="File for the findings, .csv.")
]
Rows = Annotated[int, typer.Option(min=0, help="Number of neurons to print per layer.")]
TopFraction = Annotated[
    float | None,
    typer.Option(
        callback=check_share,
        help="Share of samples on which each neuron is active. Default 0.05.",
    ),
]
Split = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=0.9,
        help="Share of samples (or groups) set aside for the thresholds, so that bounds for fixed "
        "thresholds hold; 0 sets none aside. Default 0.2 if thresholds come from the data.",
    ),
]
FirstNeuron = Annotated[
    int,
    typer.Option(
        min=0,
        help="Number of the first neuron in files of labels: 1 in Network Dissection's own files.",
    ),
]
NeuronNames = Annotated[
    Path | None,
    existing_file(
        "Names of the neurons, such as the ids of SAE features: one per line, .json, or strings or "
        "whole numbers in .npy."
    ),
]
Neurons = Annotated[
    Path | None,
    existing_file("Take these neurons only: their names, or numbers from 0 if they have none."),
]
Pool = Annotated[
    Literal["max", "mean", "none"] | None,
    typer.Option(
        help=escape(
            "How to make a matrix of feature maps [n, c, h, w] or token vectors [n, t, d]: the "
            "largest or mean activation of each image or document, or none: positions are samples, "
            "and their image or document is the group unless --groups gives others."
        ),
    ),
]
ChannelAxis = Annotated[
    int | None,
    typer.Option(
        help=escape(
            "Axis of the neurons in what --pool pools: -1 for [n, h, w, c], as in Flax. Default 1 "
            "of [n, c, h, w] and -1 of [n, t, d]."
        ),
    ),
]
LargestUnit = Annotated[
    float | None,
    typer.Option(
        help="The largest number of samples (or total weight) that a group can have, known "
        "beforehand. Without it no label is certified if there are groups or unequal weights.",
    ),
]
MinPositives = Annotated[
    int,
    typer.Option(
        min=0,
        help="Concepts present in fewer samples (or groups) are listed, but not judged; 0 judges "
        "all.",
    ),
]
ActivationRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="LOW HIGH",
        help="Smallest and largest activation that the network can give. Without it no label by "
        "mad, correlation or cosine is certified.",
    ),
]
MemoryLimit = Annotated[
    int | None,
    typer.Option(
        parser=parse_bytes,
        metavar="BYTES",
        help="Memory that resampling may take, such as 8GiB. Default half of what is free.",
    ),
]
