"""The samples that activate each neuron most, from a file of samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..files.examples import read_examples
from ..probing.construction import rows_aside
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..report import Examples, most_active
from .inputs import LayerData

__all__ = ["load_examples"]

SHOWN = 6  # examples of each neuron


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
            rows = most_active(column, groups, SHOWN)
            top[u, : len(rows)] = rows
        return Examples(top, lambda sample: show(row[sample]))

    return examples
