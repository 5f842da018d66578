"""Files of safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .formats import FileFormat

__all__ = ["SAFETENSORS"]


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    found = {}
    with safe_open(path, framework="numpy") as file, safe_open(path, framework="flax") as by_jax:
        for name in file.keys():  # noqa: SIM118
            # JAX without x64 would cut integers of 64 bits; NumPy alone lacks the short floats.
            short = file.get_slice(name).get_dtype().startswith(("BF", "F8"))
            found[name] = np.asarray((by_jax if short else file).get_tensor(name))
    return found


SAFETENSORS = FileFormat((".safetensors",), _read_safetensors, package="safetensors")
