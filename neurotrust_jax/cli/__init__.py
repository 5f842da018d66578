"""The command ``neurotrust``; each of its commands is one module."""

from __future__ import annotations

import gc
import io
import re
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from .._runtime.text import visible
from .audit import audit_command
from .check import check_command
from .command import add_command
from .compare import compare_command
from .demo import demo_command
from .merge import merge_command
from .output import console
from .plan import plan_command
from .show import show_command

__all__ = ["app", "main"]

OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)  # as XLA says it
OUT_OF_MEMORY_STATUS = 3

app = typer.Typer(
    help="How far can a neuron's label be trusted?",
    epilog="Example: neurotrust demo --task digits-mlp",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for _name, _function, _example in (
    ("demo", demo_command, "neurotrust demo --task digits-mlp"),
    (
        "audit",
        audit_command,
        "neurotrust audit --activations layers.safetensors --concepts concepts.npy "
        "--names concepts.txt --out audit",
    ),
    ("show", show_command, "neurotrust show audit --neuron 417"),
    ("merge", merge_command, "neurotrust merge audit-1 audit-2 --out audit"),
    (
        "check",
        check_command,
        "neurotrust check descriptions.csv --activations layer4.npy --concepts concepts.npy "
        "--names concepts.txt",
    ),
    (
        "compare",
        compare_command,
        "neurotrust compare --activations sae_a.npz --other-activations sae_b.npz "
        "--concepts concepts.npy",
    ),
    (
        "plan",
        plan_command,
        "neurotrust plan --metric iou --error 0.05 --num-concepts 1000 --concept-frequency 0.01",
    ),
):
    add_command(app, _name, _function, _example)


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


def main() -> None:
    """Run the command; an error that the user can correct ends in one line.

    The exit status is 0 if all went well, 2 if the input or an option can not be used, 3 if there
    is not enough memory, 130 if the user interrupted it, and 1 if there is an error in the package.
    """
    # JAX makes many objects that last; looking for unused ones takes a sixth of a short command
    gc.set_threshold(30_000, 50, 1000)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the terminal may lack characters of a name
    try:
        app(prog_name="neurotrust")
    except (ValueError, ImportError, OSError) as error:
        _refuse(str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        _refuse(
            "there is not enough memory; take fewer neurons at a time, or lower --memory-limit",
            status=OUT_OF_MEMORY_STATUS,
        )
    finally:
        gc.freeze()  # the process ends, and its memory need not be looked through again


def _refuse(why: str, status: int = 2) -> NoReturn:
    Console(stderr=True).print(
        f"neurotrust: {visible(why)}", style="red", highlight=False, markup=False
    )
    sys.exit(status)
