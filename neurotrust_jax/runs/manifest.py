"""The manifest of an audit: what went in, which layers are done, and whether a run may go on."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from .._runtime.checkpoint import file_hash, write_whole
from .._runtime.chunks import StageProgress
from .._runtime.text import FileError
from ..files.arrays import files_behind
from ..files.entries import split_entry
from ..probing.thresholds import DEFAULT_SPLIT, DEFAULT_TOP_FRACTION
from .inputs import Files
from .options import Options

__all__ = [
    "FORMAT",
    "folder_name",
    "make_manifest",
    "manifest_table",
    "options_given",
    "read_earlier",
    "read_manifest",
    "write_manifest",
]

FORMAT = "neurotrust-run-1"
PACKAGE = "neurotrust-jax"


def folder_name(layer: str) -> str:
    """The name of a layer's folder, which is harmless in every file system."""
    plain = re.sub(r"[^\w.-]+", "_", layer, flags=re.ASCII).strip("._-")[:80]
    code = hashlib.sha256(layer.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain or 'layer'}-{code[:12]}"


def make_manifest(
    files: Files, options: Options, layers: list[str], report_progress: StageProgress
) -> dict[str, Any]:
    """Describe a run: a hash of every file, options, layers, versions, device and command."""
    inputs, paths = {}, files.entries()
    for i, (name, path) in enumerate(paths.items()):
        report_progress("reading files", i, len(paths))
        inputs[name] = _describe_input(path)
    report_progress("reading files", len(paths), len(paths))
    top_fraction = options.top_fraction
    if top_fraction is None and files.thresholds is None:
        top_fraction = DEFAULT_TOP_FRACTION
    split = options.split_share(files.thresholds is not None)
    return {
        "format": FORMAT,
        "inputs": inputs,
        "layers": layers,
        "options": asdict(options) | {"top_fraction": top_fraction, "split": split},
        "command": " ".join(sys.argv[1:]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in (PACKAGE, "jax", "jaxlib", "numpy")},
        },
        "device": jax.devices()[0].device_kind,
        "done": {},
        "complete": False,
    }


def _describe_input(path: Path) -> dict[str, Any]:
    """The name, size and hash of a file; of shards, of all of them together."""
    (file, entry), parts = split_entry(path), files_behind(path)
    codes = [file_hash(part) for part in parts]
    code = codes[0]
    if len(parts) > 1:
        code = hashlib.sha256(" ".join(codes).encode()).hexdigest()
    found = {
        "file": file.name, "path": str(path.absolute()),
        "bytes": sum(x.stat().st_size for x in parts), "sha256": code,
    }  # fmt: skip
    return found | ({"entry": entry} if entry else {})


def write_manifest(manifest: Mapping[str, Any], out: Path) -> None:
    """Write ``manifest.json`` into a folder, completely or not at all."""
    text = json.dumps(manifest, indent=1) + "\n"
    write_whole(out / "manifest.json", lambda part: part.write_text(text, encoding="utf-8"))


def read_earlier(path: Path, manifest: Mapping[str, Any], force: bool) -> dict[str, Any]:
    """Read the manifest of an earlier run of the same audit.

    Parameters
    ----------
    path : Path
        The manifest in the folder.
    manifest : mapping
        The manifest of this run.
    force : bool
        Ignore what the folder holds.

    Returns
    -------
    dict
        Empty if there is none.

    Raises
    ------
    FileError
        If the folder holds another audit, or something else.
    """
    if force or not path.exists():
        return {}
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        differ = _differences(earlier, manifest)
        known = earlier["format"] == FORMAT and all(
            isinstance(x, str) for x in earlier.get("done", {}).values()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        known, differ = False, []
    if not known:
        raise FileError(f"{path}: is not the manifest of an audit; give another --out, or --force")
    if differ:
        what = ", ".join(differ)
        raise FileError(
            f"{path.parent}: holds another audit ({what} differ); give another --out, or --force "
            "to start over"
        )
    return dict(earlier)


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a run.

    Raises
    ------
    FileError
        If there is none, or it is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == FORMAT and _is_whole(content):
            return dict(content)
    except (FileNotFoundError, NotADirectoryError):
        raise FileError(
            f"{path.parent}: has no {path.name}; give a folder that neurotrust audit wrote"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise FileError(
        f"{path}: is not the manifest of an audit; give one that neurotrust audit wrote"
    )


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Whether a manifest has all entries that are read again, of the right kinds."""
    dicts = all(isinstance(content[k], dict) for k in ("inputs", "options", "versions", "done"))
    lists = all(isinstance(content[k], list) for k in ("layers", "chosen_layers"))
    texts = [content["thresholds"], content["device"], content["options"]["metric"]]
    texts += [x[k] for x in content["inputs"].values() for k in ("path", "sha256")]
    texts += [*content["layers"], *content["chosen_layers"], *content["versions"].values()]
    whole = all(isinstance(x, str) for x in texts) and isinstance(content["num_samples"], int)
    return dicts and lists and whole


def options_given(path: Path) -> dict[str, Any]:
    """The options of ``neurotrust audit`` that give the run of a manifest again.

    What was taken by default is left out, so that it follows from the other options again. Options
    that change no number, such as the memory limit, are no part of a manifest.

    Parameters
    ----------
    path : Path
        The manifest.

    Returns
    -------
    dict
        By the names of the options; files by their paths.

    Raises
    ------
    FileError
        If it is no manifest, or has an option that only Python can set.
    """
    manifest = read_manifest(path)
    found: dict[str, Any] = {"activations": []}
    for name, entry in manifest["inputs"].items():
        if name.startswith("activations "):
            found["activations"].append(entry["path"])
        else:
            found[name] = entry["path"]
    if manifest["chosen_layers"]:
        found["layer"] = manifest["chosen_layers"]
    defaults = asdict(Options()) | {"split": DEFAULT_SPLIT, "top_fraction": DEFAULT_TOP_FRACTION}
    given = {k: x for k, x in manifest["options"].items() if x is not None and x != defaults.get(k)}
    metric = Options(metric=manifest["options"]["metric"])
    if not given.get("split") and not metric.split_share("thresholds" in found):
        given.pop("split", None)
    for name in ("scheme", "method"):
        if name in given:
            raise FileError(
                f"{path}: {name}={given[name]!r} can be set in Python only; call "
                "neurotrust_jax.runs.audit_files"
            )
    return found | given


def _differences(earlier: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Names of inputs and options that differ, and the version of this package."""
    differ = [
        name
        for part in ("inputs", "options")
        for name in {**earlier[part], **manifest[part]}
        if comparable(earlier[part].get(name)) != comparable(manifest[part].get(name))
    ]
    if earlier["versions"][PACKAGE] != manifest["versions"][PACKAGE]:
        differ.append(f"the version of {PACKAGE}")
    if not differ and earlier["layers"] != manifest["layers"]:
        differ = ["the layers"]
    return differ


def comparable(entry: Any) -> Any:
    """An entry in the form in which two manifests compare: a file by its hash, not its name."""
    if isinstance(entry, dict):
        return [entry["sha256"], entry.get("entry", "")]
    return list(entry) if isinstance(entry, tuple) else entry  # JSON has no tuples


def manifest_table(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The manifest as a table of two columns."""
    rows = {}
    for name, x in manifest["inputs"].items():
        entry = f":{x['entry']}" if "entry" in x else ""
        rows[name] = f"{x['file']}{entry}, sha256 {x['sha256']}"
    rows |= {name: str(x) for name, x in manifest["options"].items()}
    rows |= {f"version of {name}": x for name, x in manifest["versions"].items()}
    others = ("calibration", "device", "command", "date")
    return rows | {name: manifest[name] for name in others if name in manifest}
