"""Files of safetensors, also those that an index file lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.text import FileError
from .formats import FileFormat

__all__ = ["SAFETENSORS", "SAFETENSORS_INDEX"]


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    found = {}
    with safe_open(path, framework="numpy") as file, safe_open(path, framework="flax") as by_jax:
        for name in file.keys():  # noqa: SIM118
            # JAX without x64 would cut integers of 64 bits; NumPy alone lacks the short floats.
            short = file.get_slice(name).get_dtype().startswith(("BF", "F8"))
            found[name] = np.asarray((by_jax if short else file).get_tensor(name))
    return found


def _read_index(path: Path) -> dict[str, Any]:
    """All tensors of the files that an index lists, each from the file that it names."""
    place = _weight_map(path)
    read = {file: _read_safetensors(path.parent / file) for file in dict.fromkeys(place.values())}
    for name, file in place.items():
        if name not in read[file]:
            raise FileError(f"{path}: {file} lacks {name!r}, which the index places there")
    return {name: read[file][name] for name, file in place.items()}


def _files_of_index(path: Path) -> list[Path]:
    return [path.parent / file for file in sorted(set(_weight_map(path).values()))]


def _weight_map(path: Path) -> dict[str, str]:
    """The file, in the folder of the index, that holds each tensor."""
    content = json.loads(path.read_text(encoding="utf-8"))
    place = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(place, dict) or not place:
        raise FileError(f"{path}: has no weight_map, which names the file of each tensor")
    for file in place.values():
        if not isinstance(file, str) or Path(file).name != file:
            raise FileError(f"{path}: names {file!r}, which is no file of its own folder")
        if not (path.parent / file).is_file():
            raise FileError(f"{path}: {file} is missing beside it")
    return place


SAFETENSORS = FileFormat((".safetensors",), _read_safetensors, package="safetensors")
SAFETENSORS_INDEX = FileFormat(
    (".safetensors.index.json",), _read_index, package="safetensors", other_files=_files_of_index
)
