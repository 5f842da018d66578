"""What goes into an audit: the files, and the layers that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._runtime.host_arrays import remedy as matrix_remedy
from .._runtime.short_repr import short_repr
from .._runtime.text import FileError
from ..files.arrays import check_numbers, read_column_names, read_named
from ..files.entries import split_entry
from ..files.names import is_text_file, read_names, read_texts
from ..probing.construction import make_probe, rows_aside, split_thresholds
from ..probing.probe import Probe
from ..probing.ranges import activation_ranges
from ..probing.thresholds import DEFAULT_TOP_FRACTION
from .activations import Matrix, choose_neurons, read_activations
from .options import Options
from .positions import Positions, pool_layer, positions_as_samples, spread

__all__ = ["Files", "LayerData", "load_layer", "load_layers"]


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
    neuron_names, neurons : Path, optional
        Names of the neurons [U]; the neurons to take, by name, or by number if they have no names.

    Each may be ``FILE:ENTRY``, see :func:`neurotrust_jax.files.read_arrays`.
    """

    activations: tuple[Path, ...]
    concepts: Path
    names: Path | None = None
    groups: Path | None = None
    thresholds: Path | None = None
    hierarchy: Path | None = None
    examples: Path | None = None
    neuron_names: Path | None = None
    neurons: Path | None = None

    def all(self) -> dict[str, Path]:
        """Every file, without its entry, by what it holds."""
        return {name: split_entry(path)[0] for name, path in self.entries().items()}

    def entries(self) -> dict[str, Path]:
        """Every file, with the entry that is read of it, by what it holds."""
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
    neuron_names : list [U] of str, or None
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
    neuron_names: list[str] | None = None
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
        """The probe of the samples that are not set aside for thresholds, cut into ranges if asked.

        Raises
        ------
        ValueError
            If the data can not be used, or too few samples would be set aside.
        """
        share, options = self.split_share, self.options
        if not share:
            probe = self._make_probe(options.top_of_active, self.thresholds, options.top_fraction)
            return probe if options.ranges is None else activation_ranges(probe, options.ranges)
        top_fraction = options.top_fraction or DEFAULT_TOP_FRACTION
        # thresholds of all samples would not be used
        probe = self._make_probe(None, np.zeros(self.activations.shape[1]), None)
        number = 0
        if 0 < round(share * probe.num_units) < probe.num_units:
            number = int(rows_aside(options.split_key, probe, share)[0].sum())
        least = options.ranges or 1
        if number * top_fraction < least:
            what = "the threshold" if least == 1 else f"{least} ranges"
            raise ValueError(
                f"split={share:g} of {probe.num_units:,} {probe.unit_name} sets {number:,} samples "
                f"aside, too few for {what} of the top {top_fraction:g}; give "
                "--split 0 to set none aside, a larger --split or --top-fraction, or more samples"
            )
        return split_thresholds(
            options.split_key, probe, top_fraction=top_fraction, split=share,
            top_of_active=options.top_of_active, ranges=options.ranges,
        )  # fmt: skip

    def _make_probe(
        self, top_of_active: float | None, thresholds: Any, top_fraction: float | None
    ) -> Probe:
        return make_probe(
            self.activations, self.concepts, concept_names=self.concept_names,
            neuron_names=self.neuron_names, groups=self.groups,
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
    found = read_activations(files.activations, files.groups)
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
    found = read_activations(files.activations, files.groups)
    if layer not in found:
        if len(found) > 1 or not (layer is None or any_name):
            paths = ", ".join(map(str, files.activations))
            missing = "" if layer is None else f"there is no layer {layer!r}; "
            raise FileError(
                f"{paths}: {missing}holds the layers {', '.join(found)}; choose one (--layer)"
            )
        (layer,) = found
    return _layers(files, options, {layer: found[layer]})[layer]


def _check_thresholds(files: Files, options: Options) -> None:
    """Refuse options for thresholds from the samples beside thresholds from a file."""
    for name, given in (("split", options.split), ("top_fraction", options.top_fraction)):
        if files.thresholds and given:
            raise FileError(
                f"{files.thresholds}: thresholds from a file exclude {name}={given:g} "
                f"(--{name.replace('_', '-')}); leave one of them out"
            )


def _layers(files: Files, options: Options, found: dict[str, Matrix]) -> dict[str, LayerData]:
    positions = positions_as_samples({k: (x.path, x.values) for k, x in found.items()}, options)
    concepts = _read_concepts(files, positions)
    names = _read_concept_names(files, concepts.shape[1])
    groups = _read_groups(files, len(concepts), positions)
    if files.thresholds and len(found) > 1:
        raise FileError(f"{files.thresholds}: thresholds belong to one layer; choose it by --layer")
    each, largest = 1, options.largest_unit
    if positions is not None:
        each = positions.num_positions
        if files.groups is None and largest is None:
            largest = float(each)
    others = "; choose those that are layers (--layer)" if len(found) > 1 else ""
    layers = {}
    for layer, matrix in found.items():
        _check_matrix(matrix, layer, positions, concepts, files, options, others)
        values = pool_layer(matrix.path, layer, matrix.values, options)
        thresholds = read_vector(files.thresholds, values.shape[1], "thresholds")
        values, thresholds, neuron_names = _take_neurons(matrix, values, thresholds, files)
        layers[layer] = LayerData(
            values, concepts, names, groups, thresholds, options, neuron_names, each, largest
        )
    return layers


def _take_neurons(
    matrix: Matrix, values: Any, thresholds: np.ndarray | None, files: Files
) -> tuple[Any, np.ndarray | None, list[str] | None]:
    """Activations, thresholds and names of the neurons that are wanted."""
    names = list(matrix.columns)
    if files.neuron_names:
        names = read_names(files.neuron_names)
        if len(names) != values.shape[1]:
            raise FileError(
                f"{files.neuron_names}: holds {len(names)} names for the {values.shape[1]} neurons "
                f"of {matrix.path}; give one per neuron, in the order of the columns"
            )
    if files.neurons is None:
        return values, thresholds, names or None
    wanted = read_names(files.neurons)
    columns = choose_neurons(tuple(names), wanted, values.shape[1], files.neurons)
    sparse = hasattr(values, "tocsc")
    values = values.tocsc()[:, columns] if sparse else np.asarray(values)[:, columns]
    return values, None if thresholds is None else thresholds[columns], wanted


def _read_concept_names(files: Files, num_concepts: int) -> list[str] | None:
    """Names of the concepts: from their own file, or the columns of a table."""
    if files.names is None:
        return list(read_column_names(files.concepts)) or None
    names = read_names(files.names)
    if len(names) != num_concepts:
        raise FileError(
            f"{files.names}: holds {len(names)} names for the {num_concepts} concepts of "
            f"{files.concepts}; give the names of these"
        )
    return names


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
    groups = _vector(files.groups, "groups", strings=True)
    return spread(groups, positions, (), f"{files.groups}: groups")


def _check_matrix(
    matrix: Matrix,
    layer: str,
    positions: Positions | None,
    concepts: np.ndarray,
    files: Files,
    options: Options,
    others: str,
) -> None:
    """Refuse activations that are no matrix, and not to be pooled, or of other samples."""
    path, shape, n = matrix.path, tuple(matrix.values.shape), len(concepts)
    # With pool "none" the concepts were fitted to the positions of the layers already.
    is_matrix = len(shape) == 2 or (options.pool is not None and len(shape) > 2)
    if not is_matrix or 0 in shape or (positions is None and shape[0] != n):
        raise FileError(
            f"{path}: layer {layer!r} must be [n, U] with the n = {n} samples of "
            f"{files.concepts}, got {shape}{matrix_remedy(shape, 'x')}{others}"
        )
    check_numbers(matrix.values, matrix.name, path)


def read_vector(
    path: Path | None, length: int, name: str, *, strings: bool = False
) -> np.ndarray | None:
    """Read an array of one axis from a file, or texts from a text file; None without a file.

    Raises
    ------
    FileError
        If the file can not be used, or the array has another shape than [length].
    """
    if path is None:
        return None
    values = _vector(path, name, strings)
    if values.shape != (length,):
        remedy = "; choose a column by FILE:COLUMN" if values.ndim == 2 else ""
        raise FileError(
            f"{path}: {name} must have shape [{length}], got {list(values.shape)}{remedy}"
        )
    return values


def _vector(path: Path, name: str, strings: bool) -> np.ndarray:
    if strings and is_text_file(path):
        return np.asarray(read_texts(path), dtype=str)
    return np.asarray(read_named(path, name, strings=strings))
