"""The samples that activate each neuron most, from a file of samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .._runtime.checkpoint import write_whole
from .._runtime.text import FileError
from ..files.arrays import read_array
from ..files.examples import read_examples
from ..probing.construction import rows_aside
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..report import Examples, most_active
from .inputs import LayerData

__all__ = ["load_examples", "read_saved_examples", "save_examples"]

SHOWN = 6  # examples of each neuron
FILE = "examples.npy"  # their rows in the file of samples, for pages that are made later


def load_examples(path: Path, layer: LayerData) -> Callable[[Probe], Examples]:
    """Read the samples, and return a function that finds the top examples of a probe's neurons.

    Parameters
    ----------
    path : Path
        See :func:`neurotrust_jax.files.read_examples`.
    layer : LayerData
        Any layer of the audit: it tells which samples are set aside for thresholds.

    Returns
    -------
    callable
        ``examples(probe)`` for a probe of the samples that are not set aside.

    Raises
    ------
    FileError
        If the file can not be used.
    """
    whole = layer.whole_probe()
    show, groups = read_examples(path, whole.num_samples, layer.positions_each)
    if groups is None and whole.groups is not None:
        groups = np.asarray(whole.groups)
    row = np.arange(whole.num_samples)
    if layer.split_share:
        aside, _ = rows_aside(layer.options.split_key, whole, layer.split_share)
        row = np.flatnonzero(~aside)
        groups = None if groups is None else groups[row]

    def examples(probe: Probe) -> Examples:
        f = probe.activations
        columns = (
            (f.dense(u, u + 1)[:, 0] for u in range(probe.num_neurons))
            if isinstance(f, SparseColumns)
            else np.asarray(f).T
        )
        top = np.full((probe.num_neurons, SHOWN), -1)
        for u, column in enumerate(columns):
            if probe.num_ranges > 1:
                found = _spread(column, groups)
            else:
                found = most_active(column, groups, SHOWN)
            top[u, : len(found)] = row[found]
        return Examples(top, show)

    return examples


def _spread(column: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Rows in a range, none of which is more active than others: from the first to the last."""
    (rows,) = np.nonzero(column)
    if groups is not None:
        rows = rows[np.sort(np.unique(groups[rows], return_index=True)[1])]
    return rows[np.unique(np.linspace(0, len(rows) - 1, SHOWN).astype(int))] if len(rows) else rows


def save_examples(examples: Examples | None, folder: Path) -> None:
    """Save which samples activate each neuron of a layer most, [U, 6] rows of the file; or none."""
    path = folder / FILE
    if examples is None:
        path.unlink(missing_ok=True)
    else:
        write_whole(path, lambda part: _save(part, examples.top))


def _save(path: Path, rows: np.ndarray) -> None:
    with path.open("wb") as file:  # numpy.save would add an ending to the name
        np.save(file, rows)


def read_saved_examples(path: Path, num_samples: int, folders: list[Path]) -> list[Examples]:
    """The examples of several layers, from the file of samples and the rows that were saved.

    Raises
    ------
    FileError
        If the file can not be used, or the rows of a layer are missing or do not fit it.
    """
    show, _ = read_examples(path, num_samples)
    found = []
    for folder in folders:
        top = np.asarray(read_array(folder / FILE))
        if top.ndim != 2 or top.dtype.kind not in "iu" or not (top < num_samples).all():
            raise FileError(f"{folder / FILE}: does not fit {path.name}; start the audit again")
        found.append(Examples(top, show))
    return found
