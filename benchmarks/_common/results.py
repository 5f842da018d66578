"""Write and read the JSON files of results, and say where the numbers come from."""

import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
from collections.abc import Container
from pathlib import Path

import jax
import numpy as np

PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "torch", "torchmetrics", "arch")


def stamp(**more) -> dict:
    """Device, versions and date of a run, followed by what else describes it."""
    return {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
        **more,
    }


def time_stamp() -> str:
    """Date and time in ISO format, to the second."""
    return datetime.datetime.now().isoformat(timespec="seconds")


def machine() -> dict:
    """What times depend on: the model of the device, cores, load and versions of packages."""
    device = jax.devices()[0]
    model = device.device_kind
    cpu_info = Path("/proc/cpuinfo")
    if device.platform == "cpu" and cpu_info.exists():
        found = re.search(r"model name\s*: (.*)", cpu_info.read_text())
        model = found[1] if found else model
    return {
        "device": model, "backend": device.platform, "cores": os.cpu_count(),
        "load": os.getloadavg()[0], "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }  # fmt: skip


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def read(path: Path) -> dict:
    """Results that an earlier run wrote; an empty dictionary if there are none."""
    return json.loads(path.read_text()) if path.exists() else {}


def other_tasks(path: Path, part: str, tasks: Container[str]) -> list[dict]:
    """Rows of a part that an earlier run wrote for other tasks than these."""
    return [x for x in read(path).get(part, []) if x["task"] not in tasks]


def write(path: Path, content: dict) -> None:
    """Write JSON with one line for each row; the folder is made where it is missing.

    A benchmark writes after each measurement, so that what is done is not lost.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_dumped(content) + "\n")


def _dumped(x, depth=0):
    inner = x.values() if isinstance(x, dict) else x if isinstance(x, list | tuple) else ()
    if not any(isinstance(v, dict | list | tuple) for v in inner):
        return json.dumps(x, default=float)
    pad, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(x, dict):
        body = [f"{json.dumps(str(k))}: {_dumped(v, depth + 1)}" for k, v in x.items()]
        return "{" + pad + ("," + pad).join(body) + end + "}"
    return "[" + pad + ("," + pad).join(_dumped(v, depth + 1) for v in x) + end + "]"


def finite(x):
    """Replace NaN and infinities by None at any depth: JSON has neither."""
    return _map_floats(x, lambda v: v)


def rounded(x):
    """Round to five significant digits at any depth, and replace NaN and infinities by None."""
    return _map_floats(x, lambda v: float(f"{v:.5g}"))


def _map_floats(x, function):
    if isinstance(x, dict):
        return {k: _map_floats(v, function) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_map_floats(v, function) for v in x]
    if isinstance(x, bool | np.bool_):
        return bool(x)
    if isinstance(x, float | np.floating):
        return function(float(x)) if math.isfinite(x) else None
    return x
