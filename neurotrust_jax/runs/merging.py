"""Merge audits of the same probing set into one folder, as one run of all layers writes it.

One run audits each layer by itself: with the same seed all layers are resampled by the same draws,
and q-values, sets and probabilities are calibrated within a layer. So the audits of several runs
are, unchanged, the audits that one run of all their layers gives, and only what covers all layers
is written again. The neurons of one layer that were audited in parts stay several layers: sets and
q-values of the parts together would need the halves of every part, which no file holds.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from .._runtime.checkpoint import check_folder, file_hash
from .._runtime.text import FileError
from ..auditing.result import Audit
from ..report import Examples, read_audit
from .activations import join
from .audit_run import write_layer, write_reports
from .examples import read_saved_examples, save_examples
from .folder import lock_folder, remove_unfinished
from .manifest import (
    PACKAGE,
    comparable,
    folder_name,
    read_earlier,
    read_manifest,
)
from .saved_runs import saved_audits

__all__ = ["merge_runs"]

OF_A_LAYER = ("activations", "thresholds")  # inputs that may differ between the runs
CALIBRATION = (
    "sets, probabilities and false discovery rates are those of each of these layers by itself, "
    "also where several of them are parts of one"
)


class _Run(NamedTuple):
    """What one folder holds."""

    folder: Path
    manifest: dict[str, Any]
    audits: list[Audit]
    folders: list[Path]


def merge_runs(
    runs: Sequence[Path | tuple[str, Path]],
    out: Path,
    *,
    examples: Path | None = None,
    force: bool = False,
) -> list[Audit]:
    """Merge runs of :func:`audit_files` into one folder, as one run of all layers would write it.

    Parameters
    ----------
    runs : sequence of Path, or of a name and a Path
        The folders, in the order of the report. A name comes before the names of the run's layers.
    out : Path
        The folder for the merged report.
    examples : Path, optional
        The file of samples, if it is no longer where the runs read it.
    force : bool
        Write into ``out``, whatever it holds.

    Returns
    -------
    list of Audit
        One for each layer.

    Raises
    ------
    FileError
        If a folder is no complete run; if the runs have other data, options or versions; if two
        layers have the same name; if the samples are missing; or if ``out`` holds something else.
    """
    check_folder(out)
    named = [x if isinstance(x, tuple) else ("", x) for x in runs]
    if len(named) < 2:
        raise FileError(f"merging takes at least two runs, got {len(named)}; give more folders")
    found = [_read_run(name, folder) for name, folder in named]
    for run in found:
        if out.exists() and out.samefile(run.folder):
            raise FileError(f"{out}: is one of the runs; give another --out")
        _check_same(found[0], run)
    audits = _distinct(found)
    manifest = _merged(found, audits)
    before = any("calibration" in run.manifest for run in found)
    if before or any(name for name, _ in named):  # layers may be parts of one
        manifest["calibration"] = CALIBRATION
    shown = _examples(found, examples)
    read_earlier(out / "manifest.json", manifest, force)
    out.mkdir(parents=True, exist_ok=True)
    with lock_folder(out):
        remove_unfinished(out, force)
        for audit, own in zip(audits, shown, strict=True):
            folder = out / folder_name(audit.layer)
            write_layer(audit, folder)
            save_examples(own, folder)
            manifest["done"][audit.layer] = file_hash(folder / "audit.json")
        write_reports(audits, shown, manifest, out)
    return audits


def _read_run(name: str, folder: Path) -> _Run:
    manifest = read_manifest(folder / "manifest.json")
    if not manifest.get("complete"):
        raise FileError(f"{folder}: this run is not complete; start the same audit again first")
    paths = saved_audits(folder)
    audits = [read_audit(path) for path in paths]
    if name:
        audits = [replace(x, layer=join(name, x.layer)) for x in audits]
    return _Run(folder, manifest, audits, [path.parent for path in paths])


def _check_same(first: _Run, run: _Run) -> None:
    """Refuse a run on other data, by other options or by another version."""
    differ = [
        name
        for part, own in (("inputs", OF_A_LAYER), ("options", ()))
        for name in {**first.manifest[part], **run.manifest[part]}
        if not name.startswith(own)
        and comparable(first.manifest[part].get(name)) != comparable(run.manifest[part].get(name))
    ]
    if first.manifest["versions"].get(PACKAGE) != run.manifest["versions"].get(PACKAGE):
        differ.append(f"the version of {PACKAGE}")
    if differ:
        raise FileError(
            f"{run.folder}: is not an audit like {first.folder} ({', '.join(differ)} differ); "
            "merge runs of the same data, options and version"
        )


def _distinct(runs: list[_Run]) -> list[Audit]:
    """All audits, if their layers have different names."""
    home: dict[str, Path] = {}
    for run in runs:
        for audit in run.audits:
            if audit.layer in home:
                raise FileError(
                    f"{run.folder}: layer {audit.layer!r} is in {home[audit.layer]} too; give the "
                    f"runs names, as in first={home[audit.layer]} second={run.folder}"
                )
            home[audit.layer] = run.folder
    return [audit for run in runs for audit in run.audits]


def _merged(runs: list[_Run], audits: list[Audit]) -> dict[str, Any]:
    """The manifest of one run of all layers."""
    manifests = [run.manifest for run in runs]
    first = manifests[0]
    chosen = [m["chosen_layers"] for m in manifests]
    return {
        **first,
        "inputs": _merged_inputs(runs),
        "layers": sorted(audit.layer for audit in audits),
        "chosen_layers": sorted({x for own in chosen for x in own}) if all(chosen) else [],
        "thresholds": _each({m["thresholds"]: None for m in manifests}),
        "command": " ".join(sys.argv[1:]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            name: _each({m["versions"].get(name, "unknown"): None for m in manifests})
            for name in first["versions"]
        },
        "device": _each({m["device"]: None for m in manifests}),
        "done": {},
        "complete": False,
    }


def _merged_inputs(runs: list[_Run]) -> dict[str, Any]:
    """The files of all runs, each once; those of thresholds belong to a run each."""
    activations: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for run in runs:
        for name, entry in run.manifest["inputs"].items():
            if name.startswith("activations "):
                activations.setdefault(entry["sha256"], entry)
            elif name == "thresholds":
                others[f"thresholds of {run.audits[0].layer}"] = entry
            else:
                others[name] = entry
    numbered = {f"activations {i}": entry for i, entry in enumerate(activations.values())}
    return numbered | others


def _each(texts: Mapping[str, None]) -> str:
    return "; ".join(texts)


def _examples(runs: list[_Run], path: Path | None) -> list[Examples | None]:
    """The examples of all layers, from the file that the runs read."""
    entry = runs[0].manifest["inputs"].get("examples")
    folders = [folder for run in runs for folder in run.folders]
    if entry is None:
        if path is not None:
            raise FileError(f"{path}: the runs have no examples; leave --examples out")
        return [None] * len(folders)
    file = path or Path(entry["path"])
    if not file.is_file():
        raise FileError(f"{file}: the samples that the runs show are missing; give --examples")
    if file_hash(file) != entry["sha256"]:
        raise FileError(f"{file}: is not the file of samples of the runs; give it by --examples")
    return list(read_saved_examples(file, runs[0].manifest["num_samples"], folders))
