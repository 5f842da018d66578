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
from .compare import compare_command
from .demo import demo_command
from .output import console
from .plan import plan_command

__all__ = ["app", "main"]

OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)  # as XLA says it

app = typer.Typer(
    help="How far can a neuron's label be trusted?",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command("demo")(demo_command)
app.command("audit")(audit_command)
app.command("check")(check_command)
app.command("compare")(compare_command)
app.command("plan")(plan_command)


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
    """Run the command; an error that the user can correct ends in one line and exit status 2."""
    # JAX makes many objects that last; looking for unused ones takes a sixth of a short command
    gc.set_threshold(30_000, 50, 1000)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the terminal may lack characters of a name
    try:
        app()
    except (ValueError, ImportError, OSError) as error:
        _refuse(str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        _refuse("there is not enough memory; take fewer neurons at a time, or lower --memory-limit")
    finally:
        gc.freeze()  # the process ends, and its memory need not be looked through again


def _refuse(why: str) -> NoReturn:
    Console(stderr=True).print(
        f"neurotrust: {visible(why)}", style="red", highlight=False, markup=False
    )
    sys.exit(2)
