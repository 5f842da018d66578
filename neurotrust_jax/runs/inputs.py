"""What goes into an audit: the files, and the layers that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.host_arrays import remedy
from .._runtime.short_repr import short_repr
from .._runtime.text import FileError
from ..files.arrays import check_numbers, read_any, read_named
from ..files.names import read_names
from ..probing.construction import make_probe, rows_aside, split_thresholds
from ..probing.probe import Probe
from ..probing.thresholds import DEFAULT_TOP_FRACTION
from .options import Options
from .positions import Positions, pool_layer, positions_as_samples, spread

__all__ = ["Files", "LayerData", "join", "load_layer", "load_layers"]


@dataclass(frozen=True)
class Files:
    """Where the data of an audit lie.

    Attributes
    ----------
    activations : tuple of Path
        Matrices [n, U] of one layer or of several; with the option ``pool`` also feature maps
        [n, c, h, w] and token vectors [n, t, d].
    concepts : Path
        One matrix [n, C]; where positions are samples, also [n, h, w, C] or [n * h * w, C].
    names, groups, thresholds, hierarchy, examples : Path, optional
        Names of the concepts; group of each sample [n]; threshold of each neuron [U], for one
        layer; parents of concepts; the samples themselves.
    """

    activations: tuple[Path, ...]
    concepts: Path
    names: Path | None = None
    groups: Path | None = None
    thresholds: Path | None = None
    hierarchy: Path | None = None
    examples: Path | None = None

    def all(self) -> dict[str, Path]:
        """Every file, by what it holds."""
        found = {f"activations {i}": path for i, path in enumerate(self.activations)}
        others = {k: getattr(self, k) for k in vars(self) if k != "activations"}
        return found | {k: path for k, path in others.items() if path is not None}


@short_repr
@dataclass(frozen=True, eq=False)
class LayerData:
    """The data of one layer as they were read; nothing is converted before a probe is made.

    Attributes
    ----------
    activations : array or sparse matrix [n, U]
    concepts : array [n, C]
    concept_names : list [C] of str, or None
    groups : array [n], or None
    thresholds : array [U], or None
    options : Options
    positions_each : int
        Number of samples of each image or document: its positions where they are samples, else 1.
    largest_unit : float, or None
        The largest weight that a group can have: as the options say, or the number of positions
        where groups are images.
    """

    activations: Any
    concepts: np.ndarray
    concept_names: list[str] | None
    groups: np.ndarray | None
    thresholds: np.ndarray | None
    options: Options
    positions_each: int = 1
    largest_unit: float | None = None

    @property
    def split_share(self) -> float:
        """Share of the sampling units that is set aside for thresholds."""
        return self.options.split_share(self.thresholds is not None)

    def whole_probe(self) -> Probe:
        """The probe of all samples, without a split."""
        return self._make_probe(None, self.thresholds, self.options.top_fraction)

    def probe(self) -> Probe:
        """The probe of the samples that are not set aside for thresholds.

        Raises
        ------
        ValueError
            If the data can not be used, or too few samples would be set aside.
        """
        share, options = self.split_share, self.options
        if not share:
            return self._make_probe(options.top_of_active, self.thresholds, options.top_fraction)
        top_fraction = options.top_fraction or DEFAULT_TOP_FRACTION
        # thresholds of all samples would not be used
        probe = self._make_probe(None, np.zeros(self.activations.shape[1]), None)
        number = 0
        if 0 < round(share * probe.num_units) < probe.num_units:
            number = int(rows_aside(options.split_key, probe, share)[0].sum())
        if number * top_fraction < 1:
            raise ValueError(
                f"split={share:g} of {probe.num_units:,} {probe.unit_name} sets {number:,} samples "
                f"aside, too few for the threshold of the top {top_fraction:g}; give "
                "--split 0 to set none aside, a larger --split or --top-fraction, or more samples"
            )
        return split_thresholds(
            options.split_key, probe, top_fraction=top_fraction, split=share,
            top_of_active=options.top_of_active,
        )  # fmt: skip

    def _make_probe(
        self, top_of_active: float | None, thresholds: Any, top_fraction: float | None
    ) -> Probe:
        return make_probe(
            self.activations, self.concepts, concept_names=self.concept_names, groups=self.groups,
            thresholds=thresholds, top_fraction=top_fraction, top_of_active=top_of_active,
        )  # fmt: skip


def load_layers(
    files: Files, options: Options, layers: tuple[str, ...] = ()
) -> dict[str, LayerData]:
    """Read the files and check the shapes of all layers, but leave large activations on disk.

    Parameters
    ----------
    files : Files
    options : Options
    layers : tuple of str
        Names of the layers to take; all unless given. Other arrays in the files of activations may
        then be of any kind.

    Returns
    -------
    dict of LayerData
        By the name of the layer.

    Raises
    ------
    FileError
        If a file can not be used, sizes do not fit, or an option excludes thresholds from a file.
    """
    _check_thresholds(files, options)
    found = _read_activations(files)
    unknown = set(layers) - set(found)
    if unknown:
        raise FileError(
            f"there is no layer {', '.join(sorted(unknown))}; there are: {', '.join(found)}"
        )
    return _layers(files, options, {k: x for k, x in found.items() if not layers or k in layers})


def load_layer(
    files: Files, options: Options, layer: str | None = None, *, any_name: bool = False
) -> LayerData:
    """As :func:`load_layers`, for one layer: the named one, or the only one if none is named.

    Parameters
    ----------
    files : Files
    options : Options
    layer : str, optional
    any_name : bool
        Take the only layer although another one is named.

    Returns
    -------
    LayerData

    Raises
    ------
    FileError
        As there; also if there are several layers and none is chosen.
    """
    _check_thresholds(files, options)
    found = _read_activations(files)
    if layer not in found:
        if len(found) > 1 or not (layer is None or any_name):
            paths = ", ".join(map(str, files.activations))
            missing = "" if layer is None else f"there is no layer {layer!r}; "
            raise FileError(
                f"{paths}: {missing}holds the layers {', '.join(found)}; choose one (--layer)"
            )
        (layer,) = found
    return _layers(files, options, {layer: found[layer]})[layer]


def join(*parts: str) -> str:
    """The parts of a layer's name that are not empty, with a slash between them."""
    return "/".join(part for part in parts if part)


class _Matrix(NamedTuple):
    """Activations as a file holds them."""

    path: Path
    name: str
    values: Any


def _read_activations(files: Files) -> dict[str, _Matrix]:
    """All arrays in the files of activations, of any kind, by the name of the layer."""
    found: dict[str, _Matrix] = {}
    for path in files.activations:
        for name, values in read_any(path).items():
            layer = name if name and len(files.activations) == 1 else join(path.stem, name)
            if layer in found:
                raise FileError(f"{path}: there is another layer {layer!r}; rename the file")
            found[layer] = _Matrix(path, name, values)
    return found


def _check_thresholds(files: Files, options: Options) -> None:
    """Refuse options for thresholds from the samples beside thresholds from a file."""
    for name, given in (("split", options.split), ("top_fraction", options.top_fraction)):
        if files.thresholds and given:
            raise FileError(
                f"{files.thresholds}: thresholds from a file exclude {name}={given:g} "
                f"(--{name.replace('_', '-')}); leave one of them out"
            )


def _layers(files: Files, options: Options, found: dict[str, _Matrix]) -> dict[str, LayerData]:
    positions = positions_as_samples({k: (x.path, x.values) for k, x in found.items()}, options)
    concepts = _read_concepts(files, positions)
    names = read_names(files.names) if files.names else None
    if names is not None and len(names) != concepts.shape[1]:
        raise FileError(
            f"{files.names}: holds {len(names)} names for the {concepts.shape[1]} concepts of "
            f"{files.concepts}; give the names of these"
        )
    groups = _read_groups(files, len(concepts), positions)
    others = "; choose those that are layers (--layer)" if len(found) > 1 else ""
    matrices = {
        layer: _read_matrix(x, layer, positions, len(concepts), files.concepts, options, others)
        for layer, x in found.items()
    }
    thresholds = None
    if files.thresholds:
        if len(found) > 1:
            raise FileError(
                f"{files.thresholds}: thresholds belong to one layer; choose it by --layer"
            )
        (matrix,) = matrices.values()
        thresholds = read_vector(files.thresholds, matrix.shape[1], "thresholds")
    each, largest = 1, options.largest_unit
    if positions is not None:
        each = positions.num_positions
        if files.groups is None and largest is None:
            largest = float(each)
    return {
        layer: LayerData(x, concepts, names, groups, thresholds, options, each, largest)
        for layer, x in matrices.items()
    }


def _read_concepts(files: Files, positions: Positions | None) -> np.ndarray:
    concepts = read_named(files.concepts, "concepts")
    if hasattr(concepts, "todense"):
        concepts = np.asarray(concepts.todense())
    if positions is not None:
        return spread(concepts, positions, concepts.shape[-1:], f"{files.concepts}: concepts")
    if concepts.ndim != 2:
        raise FileError(
            f"{files.concepts}: concepts must be [n, C], got {list(concepts.shape)}"
            + ("; concepts of positions need --pool none" if concepts.ndim > 2 else "")
        )
    return concepts


def _read_groups(files: Files, n: int, positions: Positions | None) -> np.ndarray | None:
    """The group of each sample; by default the image or document where positions are samples."""
    if positions is None:
        return read_vector(files.groups, n, "groups", strings=True)
    if files.groups is None:
        return positions.groups
    groups = np.asarray(read_named(files.groups, "groups", strings=True))
    return spread(groups, positions, (), f"{files.groups}: groups")


def _read_matrix(
    matrix: _Matrix,
    layer: str,
    positions: Positions | None,
    num_samples: int,
    concepts: Path,
    options: Options,
    others: str,
) -> Any:
    """The activations of a layer, [n, U], of as many samples as there are rows of concepts."""
    path, shape = matrix.path, tuple(matrix.values.shape)
    # With pool "none" the concepts were fitted to the positions of the layers already.
    is_matrix = len(shape) == 2 or (options.pool is not None and len(shape) > 2)
    if not is_matrix or 0 in shape or (positions is None and shape[0] != num_samples):
        raise FileError(
            f"{path}: layer {layer!r} must be [n, U] with the n = {num_samples} samples "
            f"of {concepts}, got {shape}{remedy(shape, 'x')}{others}"
        )
    check_numbers(matrix.values, matrix.name, path)
    return pool_layer(path, layer, matrix.values, options)


def read_vector(
    path: Path | None, length: int, name: str, *, strings: bool = False
) -> np.ndarray | None:
    """Read an array of one axis from a file; None without a file.

    Raises
    ------
    FileError
        If the file can not be used, or the array has another shape than [length].
    """
    if path is None:
        return None
    values = np.asarray(read_named(path, name, strings=strings))
    if values.shape != (length,):
        raise FileError(f"{path}: {name} must have shape [{length}], got {list(values.shape)}")
    return values
