"""Audit the layers of files, and write everything into a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.experimental.multihost_utils import sync_global_devices
from jax.sharding import Mesh

from .._runtime.checkpoint import check_folder, file_hash, write_whole
from .._runtime.chunks import StageProgress
from .._runtime.devices import is_first
from .._runtime.text import FileError
from ..auditing.compositions import check_compose
from ..auditing.hierarchy import lineages
from ..auditing.layer_audit import audit
from ..auditing.result import Audit
from ..auditing.vocabulary import judged_concepts
from ..files.names import read_hierarchy
from ..metrics.table import get_metric
from ..probing.probe import Probe
from ..report import (
    Examples,
    read_audit,
    save_figures,
    write_audit,
    write_descriptions,
    write_page,
)
from .activations import join
from .examples import load_examples, save_examples
from .folder import CHUNKS, lock_folder, remove_unfinished
from .inputs import Files, LayerData, load_layers
from .manifest import (
    folder_name,
    make_manifest,
    manifest_table,
    read_earlier,
    write_manifest,
)
from .options import Options

__all__ = ["audit_files", "write_layer", "write_reports"]


def audit_files(
    files: Files,
    out: Path,
    options: Options | None = None,
    *,
    layers: tuple[str, ...] = (),
    memory_limit: float | None = None,
    mesh: Mesh | None = None,
    force: bool = False,
    progress: StageProgress | None = None,
) -> list[Audit]:
    """Audit the layers of some files, and write everything into a folder.

    ``manifest.json`` lists what went in (a hash of every file, options, seed, versions) and which
    layers are done. An interrupted run, started again, goes on with the first chunk of replicates
    that is not done, and gives the same results. A run on other files or options is refused, and so
    is a run while another one writes into the folder, so that two audits never mix.
    ``descriptions.csv`` and ``report.html`` cover all layers. ``audit.json`` and the figures lie in
    one folder per layer if there are several. All layers are resampled with the same draws.

    Parameters
    ----------
    files : Files
    out : Path
        The folder; it is made if it does not exist.
    options : Options, optional
    layers : tuple of str
        Names of the layers to audit; all unless given.
    memory_limit : float, optional
        Bytes that an audit may take, see :func:`neurotrust_jax.audit`.
    mesh : jax.sharding.Mesh, optional
        Devices that share the neurons, also those of several processes, which must see one folder.
        The first process writes it.
    force : bool
        Start over, whatever the folder holds.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    list of Audit
        One per layer.

    Raises
    ------
    FileError
        If a file can not be used, the folder holds another audit, or another run is writing into
        it.
    ValueError
        If the data or an option can not be used.
    """
    options = options or Options()
    check_folder(out)
    report_progress = progress or (lambda stage, done, total: None)
    hierarchy = read_hierarchy(files.hierarchy) if files.hierarchy else None
    found = load_layers(files, options, layers)
    thresholds, examples_of = _check_layers(found, files, hierarchy, report_progress)
    manifest = make_manifest(files, options, sorted(found), report_progress)
    manifest |= {
        "thresholds": thresholds,
        "chosen_layers": list(layers),
        "num_samples": len(next(iter(found.values())).concepts),
    }
    manifest["done"] = read_earlier(out / "manifest.json", manifest, force).get("done", {})
    first = is_first(mesh)
    out.mkdir(parents=True, exist_ok=True)
    with lock_folder(out) if first else nullcontext():
        if first:
            manifest["done"] = read_earlier(out / "manifest.json", manifest, force).get("done", {})
            for folder in (*(out / folder_name(layer) for layer in found), out):
                remove_unfinished(folder, force)
            write_manifest(manifest, out)
        if mesh is not None:  # the others begin when the folder is ready
            sync_global_devices("folder")
        audits, examples = [], []
        for name, layer in found.items():
            folder = out / folder_name(name) if len(found) > 1 else out
            probe = layer.probe()
            result = _finished(folder, manifest["done"].get(name))
            if result is None:
                result = _audit_layer(
                    probe, options, folder, layer=name, largest_unit=layer.largest_unit,
                    hierarchy=hierarchy,
                    memory_limit=memory_limit, mesh=mesh,
                    progress=report_progress,
                )  # fmt: skip
                if first:
                    write_layer(result, folder)
                    manifest["done"][name] = file_hash(folder / "audit.json")
                    write_manifest(manifest, out)
            audits.append(result)
            if first:
                shutil.rmtree(folder / CHUNKS, ignore_errors=True)
                examples.append(examples_of(probe) if examples_of else None)
                save_examples(examples[-1], folder)
        if first:
            write_reports(audits, examples, manifest, out)
        return audits


def _check_layers(
    found: Mapping[str, LayerData],
    files: Files,
    hierarchy: Mapping[str, str] | None,
    report_progress: StageProgress,
) -> tuple[str, Callable[[Probe], Examples] | None]:
    """Find what would fail before any work; say where thresholds come from, and read examples."""
    examples_of = None
    for i, layer in enumerate(found.values()):
        report_progress("checking", i, len(found))
        probe = layer.probe()
        lineages(probe.concept_names, hierarchy)
        options = layer.options
        metric = get_metric(options.metric)
        judged_concepts(probe, metric, options.min_positives)
        if options.compose is not None:
            check_compose(options.compose, metric, probe, options.min_positives)
        if examples_of is None and files.examples:
            examples_of = load_examples(files.examples, layer)
    report_progress("checking", len(found), len(found))
    thresholds = probe.threshold_source
    if share := layer.split_share:
        thresholds += f", {share:.0%} of all, so that bounds for fixed thresholds hold"
    return thresholds, examples_of


def _finished(folder: Path, expected_hash: str | None) -> Audit | None:
    """The audit of a layer that an earlier run finished, if its two files are unchanged."""
    path = folder / "audit.json"
    if expected_hash is None or not path.is_file() or file_hash(path) != expected_hash:
        return None
    try:
        return read_audit(path)
    except FileError:  # its arrays are missing or changed
        return None


def _audit_layer(
    probe: Probe,
    options: Options,
    folder: Path,
    *,
    largest_unit: float | None,
    layer: str,
    hierarchy: Mapping[str, str] | None,
    memory_limit: float | None,
    mesh: Mesh | None,
    progress: StageProgress,
) -> Audit:
    """Audit one layer, with a folder for what is finished of it."""
    folder.mkdir(exist_ok=True)
    return audit(
        jax.random.key(options.seed), probe, options.metric, alpha=options.alpha,
        num_replicates=options.num_replicates, num_permutations=options.num_permutations,
        scheme=options.scheme, method=options.method, activation_range=options.activation_range,
        largest_unit=largest_unit, hierarchy=hierarchy,
        min_positives=options.min_positives, compose=options.compose, layer=layer,
        memory_limit=memory_limit, mesh=mesh, checkpoint=folder / CHUNKS,
        progress=lambda stage, done, total: progress(join(layer, stage), done, total),
    )  # fmt: skip


def write_layer(audit: Audit, folder: Path) -> None:
    """Write what is of one layer alone: everything about it, and its figures."""
    folder.mkdir(exist_ok=True)
    write_audit(audit, folder / "audit.json")
    save_figures(audit, folder)


def write_reports(
    audits: list[Audit], examples: list[Examples | None], manifest: dict[str, Any], out: Path
) -> None:
    """Write what covers all layers, and mark the manifest as complete."""
    write_whole(out / "descriptions.csv", partial(write_descriptions, audits))
    manifest["complete"] = True
    table = manifest_table(manifest)
    write_whole(
        out / "report.html",
        lambda part: write_page(audits, part, examples=examples, manifest=table),
    )
    write_manifest(manifest, out)
