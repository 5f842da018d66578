"""List the samples on which each neuron is active, without a dense copy of sparse activations."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._numerics.packing import places_in_lists
from .._runtime.kept import kept
from .sparse_columns import SparseColumns

if TYPE_CHECKING:
    from .probe import Probe

__all__ = ["ActiveRows", "as_lists", "list_active"]


class ActiveRows(NamedTuple):
    """The samples of positive weight on which each neuron is active.

    Attributes
    ----------
    rows : numpy.ndarray [z] of int32
        Rows of one neuron after the other, ascending in each.
    starts : numpy.ndarray [U + 1] of int64
        Those of neuron u are ``rows[starts[u]:starts[u + 1]]``.
    """

    rows: np.ndarray
    starts: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Number of active samples of each neuron, [U]."""
        return np.diff(self.starts)

    @property
    def neuron(self) -> np.ndarray:
        """The neuron of each listed row, [z]."""
        return np.repeat(np.arange(len(self.starts) - 1), self.lengths)

    def of_neuron(self, neuron: int) -> np.ndarray:
        """The rows of one neuron."""
        return self.rows[self.starts[neuron] : self.starts[neuron + 1]]

    def take(self, neurons: np.ndarray) -> ActiveRows:
        """The lists of the given neurons, in their order."""
        lengths = self.lengths[neurons]
        starts = np.append(0, np.cumsum(lengths))
        place = np.repeat(self.starts[neurons], lengths) + places_in_lists(lengths)
        return ActiveRows(self.rows[place], starts)

    def in_groups(
        self, groups: np.ndarray, num_groups: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows by neuron and group.

        Returns
        -------
        rows : numpy.ndarray [z] of int32
            Rows of one pair of a neuron and a group after the other.
        first : numpy.ndarray [P] of int
            Where the rows of each pair begin.
        code : numpy.ndarray [P] of int64
            The pair's neuron times the number of groups, plus its group; ascending.
        """
        rows, code = self.rows, self.neuron * num_groups + groups[self.rows]
        if (code[1:] < code[:-1]).any():
            order = np.argsort(code, kind="stable")
            rows, code = rows[order], code[order]
        first = np.flatnonzero(np.append(True, code[1:] != code[:-1])[: len(code)])
        return rows, first, code[first]

    def in_blocks(self, most_rows: int, most_neurons: int) -> list[tuple[np.ndarray, ActiveRows]]:
        """Blocks of about so many listed rows and of at most so many neurons.

        Neurons are dealt to them by the length of their lists, so that all blocks are about equal
        in both. The neurons of a block are in ascending order.
        """
        num_neurons = len(self.starts) - 1
        by_rows, by_neurons = len(self.rows) / max(most_rows, 1), num_neurons / max(most_neurons, 1)
        number = math.ceil(max(by_rows, by_neurons))
        order = np.argsort(-self.lengths, kind="stable")
        dealt = [np.sort(order[first::number]) for first in range(min(number, num_neurons))]
        return [(neurons, self.take(neurons)) for neurons in dealt]


@kept
def list_active(probe: Probe) -> ActiveRows:
    """List the active rows of all neurons of a probe, those of weight 0 left out."""
    used = np.asarray(probe.sample_weight) > 0
    f = probe.activations
    if isinstance(f, SparseColumns):
        return _of_stored(probe, f, used)
    neuron, rows = np.nonzero((np.asarray(probe.active) & used[:, None]).T)
    return as_lists(neuron, rows, probe.num_neurons)


def _of_stored(probe: Probe, f: SparseColumns, used: np.ndarray) -> ActiveRows:
    thresholds = np.asarray(probe.thresholds)
    neuron = np.repeat(np.arange(len(thresholds)), np.diff(f.starts))
    if probe.inclusive:
        active, zero_active = f.values >= thresholds[neuron], thresholds <= 0
    else:
        active, zero_active = f.values > thresholds[neuron], thresholds < 0
    if not zero_active.any():
        kept = active & used[f.rows]
        return as_lists(neuron[kept], f.rows[kept], len(thresholds))
    # where the threshold lies below 0, what is not stored is active too
    lists = []
    for u, (first, last) in enumerate(itertools.pairwise(f.starts)):
        rows, on = f.rows[first:last], active[first:last]
        if zero_active[u]:
            mask = used.copy()
            mask[rows[~on]] = False
            lists.append(np.flatnonzero(mask))
        else:
            lists.append(rows[on & used[rows]])
    lengths = [len(x) for x in lists]
    return ActiveRows(np.concatenate(lists).astype(np.int32), np.r_[0, np.cumsum(lengths)])


def as_lists(neuron: np.ndarray, rows: np.ndarray, num_neurons: int) -> ActiveRows:
    """The lists of all neurons, from the neuron and the row of each entry in their order."""
    count = np.bincount(neuron, minlength=num_neurons)
    return ActiveRows(rows.astype(np.int32), np.r_[0, np.cumsum(count)])
