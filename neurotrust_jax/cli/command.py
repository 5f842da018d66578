"""What all commands share: options in groups, an example, --config, --quiet and --json."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from copy import copy
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.markup import escape
from typer.models import OptionInfo, ParameterInfo

from .config import config_option, value_type
from .output import output_mode

__all__ = ["add_command"]

DATA, PLAN, STATISTICS, OUTPUT = ORDER = "Data", "Plan", "Statistics", "Output"
GROUPS = {
    **dict.fromkeys(
        (
            "activation_range", "alpha", "compose", "first_neuron", "largest_unit", "metric",
            "min_positives", "num_permutations", "num_replicates", "other_metric", "ranges", "seed",
            "split", "thresholds", "top_fraction", "top_of_active",
        ),
        STATISTICS,
    ),
    **dict.fromkeys(
        (
            "as_json", "config", "distributed", "force", "memory_limit", "out", "plot", "quiet",
            "rows",
        ),
        OUTPUT,
    ),
    **dict.fromkeys(
        (
            "active_rate", "concept_frequency", "error", "kurtosis", "margin", "num_concepts",
            "num_samples", "num_units", "run",
        ),
        PLAN,
    ),
}  # fmt: skip
# what stands for a value in the help, which is narrow
PLACEHOLDERS = {Path: "FILE", str: "NAME", bool: "", int: "N", float: "X"}

Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of tables and sentences.")
]


def add_command(
    app: typer.Typer, name: str, function: Callable[..., None], example: str
) -> Callable[..., None]:
    """Add a command to the app, with the options that all commands share.

    Parameters
    ----------
    app : typer.Typer
    name : str
    function : callable
        The command; its docstring is the help.
    example : str
        A command line that is shown below the help.

    Returns
    -------
    callable
        What typer runs: ``function`` within its mode of output.
    """

    @wraps(function)
    def run(**given: Any) -> None:
        del given["config"]  # its callback has set the defaults
        quiet, as_json = given.pop("quiet"), given.pop("as_json")
        with output_mode(name, quiet=quiet, as_json=as_json):
            function(**given)

    only = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.signature(function, eval_str=True)
    options = [x.replace(kind=only) for x in signature.parameters.values()]
    shared = {
        "config": (config_option({x.name: x.annotation for x in options}), None),
        "quiet": (Quiet, False),
        "as_json": (AsJson, False),
    }
    options += [
        inspect.Parameter(key, only, default=default, annotation=kind)
        for key, (kind, default) in shared.items()
    ]
    options.sort(key=lambda x: ORDER.index(GROUPS.get(x.name, DATA)))  # so the groups are shown
    options = [x.replace(annotation=_grouped(x)) for x in options]
    run.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    text = "\n\n".join(
        " ".join(x.split()) for x in re.split(r"\n\s*\n", inspect.getdoc(function) or "")
    )
    app.command(name, help=text, epilog=escape(f"Example: {example}"))(run)
    return run


def _grouped(parameter: inspect.Parameter) -> Any:
    """The annotation of an option, with its group and a short word for its value."""
    annotation = parameter.annotation
    info = next((x for x in get_args(annotation) if isinstance(x, ParameterInfo)), None)
    if info is None:
        return annotation
    info = copy(info)
    if isinstance(info, OptionInfo):
        info.rich_help_panel = GROUPS.get(parameter.name, DATA)
        if info.metavar is None and info.parser is None:
            info.metavar = PLACEHOLDERS.get(value_type(annotation)[0])
    return Annotated[get_args(annotation)[0], info]
