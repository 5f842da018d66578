"""Options from a file: TOML, or the manifest of an earlier run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

import typer

from .._runtime.text import FileError, visible

__all__ = ["config_option", "value_type"]


def value_type(annotation: Any) -> tuple[type, bool]:
    """The type of an option's value, and whether the option takes several of them."""
    if hasattr(annotation, "__metadata__"):  # Annotated
        annotation = get_args(annotation)[0]
    if isinstance(annotation, UnionType):  # or None
        annotation = next(x for x in get_args(annotation) if x is not NoneType)
    several = get_origin(annotation) in (list, tuple)
    return get_args(annotation)[0] if several else annotation, several


def config_option(annotations: Mapping[str, Any]) -> Any:
    """The annotation of ``--config`` for a command.

    Parameters
    ----------
    annotations : mapping
        Those of the command's own options, by name.
    """
    types = {name: value_type(x) for name, x in annotations.items()}
    types |= {"quiet": (bool, False), "as_json": (bool, False)}

    def use_config(ctx: typer.Context, path: Path | None) -> Path | None:
        if path is not None and not ctx.resilient_parsing:
            names = {
                flag.lstrip("-").replace("-", "_"): str(option.name)
                for option in ctx.command.params
                for flag in option.opts
                if option.name in types
            }
            ctx.default_map = _read(path, names, types, ctx.command_path)
        return path

    return Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            is_eager=True,
            callback=use_config,
            help="Options from a .toml file, or (audit) from the manifest.json of a run; those "
            "on the command line win.",
        ),
    ]


def _read(
    path: Path, names: Mapping[str, str], types: Mapping[str, tuple[type, bool]], command: str
) -> dict[str, Any]:
    """Values of options, by the names of the parameters.

    Raises
    ------
    FileError
        If the file can not be read, or holds what is no option of the command.
    """
    given = _from_manifest(path) if path.suffix.lower() == ".json" else _from_toml(path)
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            raise FileError(f"{path}: {_unknown(key, names, command)}")
        found[name] = _value(path, key, value, *types[name])
    return found


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(
            f"{path}: is not TOML ({error}); write lines such as metric = 'iou'"
        ) from None


def _from_manifest(path: Path) -> dict[str, Any]:
    """The options of a run; its folder is OUT, so that the same command goes on with it."""
    from ..runs import options_given

    return {**options_given(path), "out": path.absolute().parent}


def _unknown(key: str, names: Mapping[str, str], command: str) -> str:
    known = [name.replace("_", "-") for name in names]
    near = get_close_matches(key.replace("_", "-"), known, n=1, cutoff=0.7)
    remedy = f"did you mean {near[0]!r}?" if near else f"{command} --help lists them"
    return f"{visible(key)[:80]!r} is no option of {command}; {remedy}"


def _value(path: Path, key: str, value: Any, kind: type, several: bool) -> Any:
    """A value as the command line would give it; paths are relative to the file."""
    if isinstance(value, list | tuple) and not several:
        raise FileError(f"{path}: {key} takes one value, got {value!r}; give one")
    values = value if isinstance(value, list | tuple) else [value]
    for x in values:
        plain = isinstance(x, str | int | float | Path)
        if not plain or isinstance(x, bool) != (kind is bool):
            needed = "true or false" if kind is bool else "a number or a text"
            raise FileError(f"{path}: {key} must be {needed}, got {x!r}")
    if kind is not bool:
        values = [str(path.parent / str(x) if kind is Path else x) for x in values]
    return values if several else values[0]
