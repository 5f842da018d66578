"""An audit of files, kept in a folder: what went in, what came out, and how far it got."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from filelock import FileLock, Timeout
from jax import Array

from ._runtime.checkpoint import UNFINISHED, check_folder, write_whole
from ._runtime.chunks import StageProgress
from ._runtime.host_arrays import remedy
from ._runtime.validation import check_count, check_seed, check_share
from .auditing.hierarchy import lineages
from .auditing.layer_audit import audit
from .auditing.result import Audit
from .auditing.vocabulary import DEFAULT_MIN_POSITIVES, judged_concepts
from .io import (
    FileError,
    check_numbers,
    read_any,
    read_examples,
    read_hierarchy,
    read_names,
    read_wanted,
)
from .metrics.table import get_metric
from .probing.construction import make_probe, rows_aside, split_thresholds
from .probing.probe import Probe
from .probing.sparse_columns import SparseColumns
from .probing.thresholds import DEFAULT_TOP_FRACTION, check_top
from .report import (
    Examples,
    most_active,
    read_audit,
    save_figures,
    write_audit,
    write_descriptions,
    write_page,
)
from .schemes import check_scheme

__all__ = ["Files", "Options", "audit_files", "load_layer", "load_layers"]

FORMAT = "neurotrust-run-1"
SHOWN = 6  # examples of a neuron
DEFAULT_SPLIT = 0.2
CHUNKS = UNFINISHED + "chunks"  # what is done of a layer, until all of it is
# a file of an audit of which not all was written
PART = re.compile(
    re.escape(UNFINISHED)
    + r"\d+-(manifest\.json|audit\.json|descriptions\.csv|report\.html|\w+\.(png|svg))"
)


@dataclass(frozen=True)
class Files:
    """Where the data of an audit lie.

    Attributes
    ----------
    activations : tuple of Path
        Matrices [n, U] of one layer or of several.
    concepts : Path
        One matrix [n, C].
    names, groups, thresholds, hierarchy, examples : Path, optional
        Names of the concepts; group of each sample [n]; threshold of each neuron [U], for one
        layer; parents of concepts; what the samples are.
    """

    activations: tuple[Path, ...]
    concepts: Path
    names: Path | None = None
    groups: Path | None = None
    thresholds: Path | None = None
    hierarchy: Path | None = None
    examples: Path | None = None

    def all(self) -> dict[str, Path]:
        """Every file, by what it is."""
        found = {f"activations {i}": path for i, path in enumerate(self.activations)}
        others = {k: getattr(self, k) for k in vars(self) if k != "activations"}
        return found | {k: path for k, path in others.items() if path is not None}


@dataclass(frozen=True)
class Options:
    """How to audit; see :func:`neurotrust_jax.audit`.

    ``top_fraction`` and ``top_of_active`` are those of :func:`make_probe`; the latter also raises
    thresholds from a file.

    ``split`` above 0 sets that share of the sampling units (groups where given, else samples)
    aside, on which thresholds are found: bounds for fixed thresholds then hold on the others. None
    is 0.2 where the metric reads thresholds and no file gives them, else 0. Neither ``split`` nor
    ``top_fraction`` goes with thresholds from a file. ``seed`` is below 2**32.

    Raises
    ------
    ValueError
        If one of them is out of range.
    """

    metric: str = "iou"
    alpha: float = 0.1
    num_replicates: int = 1000
    num_permutations: int = 1000
    scheme: str = "multinomial"
    method: str = "auto"
    activation_range: tuple[float, float] | None = None
    largest_unit: float | None = None
    min_positives: int = DEFAULT_MIN_POSITIVES
    top_fraction: float | None = None
    top_of_active: float | None = None
    split: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate them before any file is read."""
        metric = get_metric(self.metric)
        check_share(self.alpha, "alpha")
        check_count(self.num_replicates, "num_replicates")
        if self.num_permutations != 0:
            check_count(self.num_permutations, "num_permutations")
        if self.min_positives != 0:
            check_count(self.min_positives, "min_positives")
        check_scheme(self.scheme)
        if self.split is not None and not 0 <= self.split < 1:
            raise ValueError(f"split must be 0, or a share below 1, got {self.split}")
        if self.split and metric.neuron_view != "binary":
            raise ValueError(
                f"split={self.split:g} sets samples aside for thresholds, which {metric.name} does "
                "not read; leave it out"
            )
        for name in ("top_fraction", "top_of_active"):
            if (share := getattr(self, name)) is not None:
                check_top(share, name)
        if self.top_of_active is not None and metric.neuron_view != "binary":
            raise ValueError(
                f"top_of_active={self.top_of_active:g} raises thresholds, which {metric.name} does "
                "not read; leave it out"
            )
        check_seed(self.seed)


def load_layers(
    files: Files, options: Options, layers: tuple[str, ...] = ()
) -> dict[str, Callable[..., Probe]]:
    """Read all files but activations, and look at the shapes of these; a probe of each when called.

    Called with ``whole=True`` it has all samples, none of them set aside for thresholds. Other
    arrays in the files of activations may be of any kind if ``layers`` names those to take.

    Raises
    ------
    FileError
        If a file can not be used, sizes do not fit, or an option is given beside thresholds from a
        file, which exclude it.
    """
    _check_thresholds(files, options)
    found = _arrays(files)
    unknown = set(layers) - set(found)
    if unknown:
        raise FileError(
            f"there is no layer {', '.join(sorted(unknown))}; there are: {', '.join(found)}"
        )
    return _probes(files, options, {k: x for k, x in found.items() if not layers or k in layers})


def load_layer(
    files: Files, options: Options, layer: str | None = None, *, any_name: bool = False
) -> Callable[..., Probe]:
    """As :func:`load_layers`, of one layer: the named one, or the only one unless one is named.

    With ``any_name`` the only one is taken although another is named.

    Raises
    ------
    FileError
        As there, or if there are several layers and none is chosen.
    """
    _check_thresholds(files, options)
    found = _arrays(files)
    if layer not in found:
        if len(found) > 1 or not (layer is None or any_name):
            paths = ", ".join(map(str, files.activations))
            missing = "" if layer is None else f"there is no layer {layer!r}; "
            raise FileError(
                f"{paths}: {missing}holds the layers {', '.join(found)}; choose one (--layer)"
            )
        (layer,) = found
    return _probes(files, options, {layer: found[layer]})[layer]


class _Matrix(NamedTuple):
    """Activations as they lie in a file."""

    path: Path
    name: str
    values: Any


def _arrays(files: Files) -> dict[str, _Matrix]:
    """All arrays in the files of activations, of whatever kind, by the name of the layer."""
    found: dict[str, _Matrix] = {}
    for path in files.activations:
        for name, values in read_any(path).items():
            layer = name if name and len(files.activations) == 1 else _joined(path.stem, name)
            if layer in found:
                raise FileError(f"{path}: there is another layer {layer!r}; rename the file")
            found[layer] = _Matrix(path, name, values)
    return found


def _check_thresholds(files: Files, options: Options) -> None:
    """That thresholds come from a file or from the samples, but not from both."""
    for name, given in (("split", options.split), ("top_fraction", options.top_fraction)):
        if files.thresholds and given:
            raise FileError(
                f"{files.thresholds}: thresholds from a file exclude {name}={given:g} "
                f"(--{name.replace('_', '-')}); leave one of them out"
            )


def _probes(
    files: Files, options: Options, found: dict[str, _Matrix]
) -> dict[str, Callable[..., Probe]]:
    concepts = read_wanted(files.concepts, "concepts")
    if getattr(concepts, "ndim", 0) != 2:
        raise FileError(f"{files.concepts}: concepts must be [n, C], got {np.shape(concepts)}")
    concepts = np.asarray(concepts.todense()) if hasattr(concepts, "todense") else concepts
    names = read_names(files.names) if files.names else None
    if names is not None and len(names) != concepts.shape[1]:
        raise FileError(
            f"{files.names}: holds {len(names)} names for the {concepts.shape[1]} concepts of "
            f"{files.concepts}; give the names of these"
        )
    groups = _vector(files.groups, len(concepts), "groups", texts=True)
    for layer, (path, name, matrix) in found.items():
        others = "; choose those that are layers (--layer)" if len(found) > 1 else ""
        if len(matrix.shape) != 2 or matrix.shape[0] != len(concepts) or 0 in matrix.shape:
            raise FileError(
                f"{path}: layer {layer!r} must be [n, U] with the n = {len(concepts)} samples "
                f"of {files.concepts}, got {tuple(matrix.shape)}"
                f"{remedy(tuple(matrix.shape), 'x')}{others}"
            )
        check_numbers(matrix, name, path)
    thresholds = None
    if files.thresholds:
        if len(found) > 1:
            raise FileError(
                f"{files.thresholds}: thresholds are of one layer; choose it by --layer"
            )
        ((_, _, matrix),) = found.values()
        thresholds = _vector(files.thresholds, matrix.shape[1], "thresholds")

    def probe_of(matrix: Any, *, whole: bool = False) -> Probe:
        share = _split(files, options)
        probe = make_probe(
            matrix, concepts, concept_names=names, groups=groups, thresholds=thresholds,
            top_fraction=options.top_fraction,
            top_of_active=None if whole or share else options.top_of_active,
        )  # fmt: skip
        return probe if whole else _after_split(probe, options, share)

    return {layer: partial(probe_of, x.values) for layer, x in found.items()}


def _split(files: Files, options: Options) -> float:
    """Share of the sampling units that is set aside for the thresholds."""
    if options.split is not None:
        return options.split
    reads = get_metric(options.metric).neuron_view == "binary"
    return DEFAULT_SPLIT if reads and files.thresholds is None else 0.0


def _after_split(probe: Probe, options: Options, share: float) -> Probe:
    """The probe without what is set aside for its thresholds."""
    if not share:
        return probe
    assert probe.top_fraction is not None
    number = 0
    if 0 < round(share * probe.num_units) < probe.num_units:
        number = int(rows_aside(_split_key(options), probe, share)[0].sum())
    if number * probe.top_fraction < 1:
        unit = probe.unit_name
        raise ValueError(
            f"split={share:g} of {probe.num_units:,} {unit} sets {number:,} samples aside, too few "
            f"for the threshold of the top {probe.top_fraction:g}; give --split 0 to set none "
            "aside, a larger --split or --top-fraction, or more samples"
        )
    return split_thresholds(
        _split_key(options), probe, fraction=share, top_of_active=options.top_of_active
    )


def _split_key(options: Options) -> Array:
    return jax.random.fold_in(jax.random.key(options.seed), 1)


def _of_layer(told: StageProgress, layer: str, stage: str, done: int, total: int) -> None:
    told(_joined(layer, stage), done, total)


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _vector(path: Path | None, length: int, name: str, *, texts: bool = False) -> np.ndarray | None:
    if path is None:
        return None
    values = np.asarray(read_wanted(path, name, texts=texts))
    if values.shape != (length,):
        raise FileError(f"{path}: {name} must have shape [{length}], got {list(values.shape)}")
    return values


def audit_files(
    files: Files,
    out: Path,
    options: Options | None = None,
    *,
    layers: tuple[str, ...] = (),
    memory_limit: float | None = None,
    force: bool = False,
    progress: StageProgress | None = None,
) -> list[Audit]:
    """Audit the layers of some files, and write everything into a folder.

    ``manifest.json`` says what went in (a hash of every file, options, seed, versions) and which
    layers are done. A run that was interrupted goes on with the first chunk of replicates that is
    not done, and gives what it would have given; one on other files or options is refused, and so
    is one while another writes into the folder, so that two never mix. ``descriptions.csv`` and
    ``report.html`` are of all layers; ``audit.json`` and the figures lie in a folder of each layer
    where there are several. Layers are resampled alike.

    Parameters
    ----------
    files : Files
    out : Path
        The folder; made if need be.
    options : Options, optional
    layers : tuple of str
        Names of the layers to audit; all unless given.
    memory_limit : float, optional
        Bytes that the bootstrap may take, see :func:`neurotrust_jax.bootstrap`.
    force : bool
        Do it anew whatever the folder holds.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    list of Audit

    Raises
    ------
    FileError
        If a file can not be used, or the folder holds another audit, or another run is writing
        into it.
    ValueError
        If the data or an option can not be used.
    """
    options = options or Options()
    check_folder(out)
    told = progress or (lambda stage, done, total: None)
    hierarchy = read_hierarchy(files.hierarchy) if files.hierarchy else None
    probes = load_layers(files, options, layers)
    show = None
    for i, probe_of in enumerate(probes.values()):
        told("checking", i, len(probes))
        probe = probe_of()
        lineages(probe.concept_names, hierarchy)
        judged_concepts(probe, get_metric(options.metric), options.min_positives)
        if show is None and files.examples:
            share = _split(files, options)
            show = _examples(files.examples, probe_of(whole=True), probe, options, share)
    told("checking", len(probes), len(probes))
    manifest = _manifest(files, options, sorted(probes), told)
    manifest["thresholds"] = _thresholds(probe, _split(files, options))
    _earlier(out / "manifest.json", manifest, force)
    out.mkdir(parents=True, exist_ok=True)
    with _alone_in(out):
        done: dict[str, str] = _earlier(out / "manifest.json", manifest, force).get("done", {})
        manifest["done"] = done
        for layer in probes:
            _clear(out / folder_name(layer), force)
        _clear(out, force)
        _keep(manifest, out)
        audits, examples = [], []
        for layer, probe_of in probes.items():
            folder = out / folder_name(layer) if len(probes) > 1 else out
            path = folder / "audit.json"
            probe = probe_of()
            if layer in done and path.is_file() and _sha256(path) == done[layer]:
                result = read_audit(path)
            else:
                folder.mkdir(exist_ok=True)
                result = audit(
                    jax.random.key(options.seed), probe, options.metric, alpha=options.alpha,
                    num_replicates=options.num_replicates,
                    num_permutations=options.num_permutations, scheme=options.scheme,
                    method=options.method, activation_range=options.activation_range,
                    largest_unit=options.largest_unit, hierarchy=hierarchy,
                    min_positives=options.min_positives, layer=layer,
                    memory_limit=memory_limit, checkpoint=folder / CHUNKS,
                    progress=partial(_of_layer, told, layer),
                )  # fmt: skip
                write_whole(path, partial(write_audit, result))
                save_figures(result, folder)
                done[layer] = _sha256(path)
                _keep(manifest, out)
            shutil.rmtree(folder / CHUNKS, ignore_errors=True)
            audits.append(result)
            examples.append(show(probe) if show else None)
        write_whole(out / "descriptions.csv", partial(write_descriptions, audits))
        manifest["complete"] = True
        write_whole(
            out / "report.html",
            lambda part: write_page(audits, part, examples=examples, manifest=_told_of(manifest)),
        )
        _keep(manifest, out)
        return audits


def _clear(folder: Path, force: bool) -> None:
    """Remove what was not written to its end into a folder of this audit, no other's below it.

    The finished chunks of a layer stay, unless it is to be done anew.
    """
    chunks = folder / CHUNKS
    if force:
        shutil.rmtree(chunks, ignore_errors=True)
    for part in (*folder.glob(f"{UNFINISHED}*"), *chunks.rglob(f"{UNFINISHED}*")):
        if part.is_file() and (part.parent != folder or PART.fullmatch(part.name)):
            part.unlink()


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Hold the folder for this process, as long as it lives."""
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FileError(
            f"{out}: another run is writing into it; wait for it to end, or give another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _examples(
    path: Path, whole: Probe, used: Probe, options: Options, share: float
) -> Callable[[Probe], Examples]:
    """Of a probe, what activates its neurons most; ``used`` may lack samples that are set aside."""
    show, groups = read_examples(path, whole.num_samples)
    if groups is None and whole.groups is not None:
        groups = np.asarray(whole.groups)
    if used.num_samples < whole.num_samples:
        aside, _ = rows_aside(_split_key(options), whole, share)
        row = np.flatnonzero(~aside)
        groups = None if groups is None else groups[row]
    else:
        row = np.arange(whole.num_samples)

    def of(probe: Probe) -> Examples:
        f = probe.activations
        columns = (
            (f.dense(u, u + 1)[:, 0] for u in range(probe.num_neurons))
            if isinstance(f, SparseColumns)
            else np.asarray(f).T
        )
        top = np.full((probe.num_neurons, SHOWN), -1)
        for u, column in enumerate(columns):
            rows = most_active(column, groups, SHOWN)
            top[u, : len(rows)] = rows
        return Examples(top, lambda sample: show(row[sample]))

    return of


def _thresholds(probe: Probe, share: float) -> str:
    """Where the thresholds come from, and why something was set aside."""
    if not share:
        return probe.threshold_source
    return f"{probe.threshold_source}, {share:.0%} of all, so that bounds for fixed thresholds hold"


def folder_name(layer: str) -> str:
    """A name that is inert in every file system."""
    plain = re.sub(r"[^\w.-]+", "_", layer, flags=re.ASCII).strip("._-")[:80]
    code = hashlib.sha256(layer.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain or 'layer'}-{code[:12]}"


def _keep(manifest: Mapping[str, Any], out: Path) -> None:
    text = json.dumps(manifest, indent=1) + "\n"
    write_whole(out / "manifest.json", lambda part: part.write_text(text, encoding="utf-8"))


def _manifest(
    files: Files, options: Options, layers: list[str], told: StageProgress
) -> dict[str, Any]:
    inputs, paths = {}, files.all()
    for i, (name, path) in enumerate(paths.items()):
        told("reading files", i, len(paths))
        inputs[name] = {
            "file": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path),
        }  # fmt: skip
    told("reading files", len(paths), len(paths))
    top_fraction = options.top_fraction
    if top_fraction is None and files.thresholds is None:
        top_fraction = DEFAULT_TOP_FRACTION
    return {
        "format": FORMAT,
        "inputs": inputs,
        "layers": layers,
        "options": asdict(options)
        | {"top_fraction": top_fraction, "split": _split(files, options)},
        "command": " ".join(sys.argv[1:]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("neurotrust-jax", "jax", "jaxlib", "numpy")},
        },
        "device": jax.devices()[0].device_kind,
        "done": {},
        "complete": False,
    }


def _earlier(path: Path, manifest: Mapping[str, Any], force: bool) -> dict[str, Any]:
    """What is kept of the same audit; raise if the folder holds another."""
    if force or not path.exists():
        return {}
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        differ = [
            name
            for part in ("inputs", "options")
            for name in {**earlier[part], **manifest[part]}
            if _content(earlier[part].get(name)) != _content(manifest[part].get(name))
        ]
        known = earlier["format"] == FORMAT
        package = "neurotrust-jax"
        if earlier["versions"][package] != manifest["versions"][package]:
            differ.append(f"the version of {package}")
        if not differ and earlier["layers"] != manifest["layers"]:
            differ = ["the layers"]
        known &= all(isinstance(x, str) for x in earlier.get("done", {}).values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        known, differ = False, []
    if not known:
        raise FileError(f"{path}: is not the manifest of an audit; give another --out, or --force")
    if differ:
        what = ", ".join(differ)
        raise FileError(
            f"{path.parent}: holds another audit ({what} differ); give another --out, or --force "
            "to do it anew"
        )
    return dict(earlier)


def _content(entry: Any) -> Any:
    """Of a file its hash, whatever its name."""
    entry = list(entry) if isinstance(entry, tuple) else entry  # as JSON keeps it
    return entry["sha256"] if isinstance(entry, dict) else entry


def _told_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The manifest as a table of two columns."""
    rows = {name: f"{x['file']}, sha256 {x['sha256']}" for name, x in manifest["inputs"].items()}
    rows |= {name: str(x) for name, x in manifest["options"].items()}
    rows |= {f"version of {name}": x for name, x in manifest["versions"].items()}
    return rows | {name: manifest[name] for name in ("device", "command", "date")}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
