"""What the strategies take: the data as they are prepared, and what replicates are computed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from .._numerics.packing import Pairs
from .._runtime.checkpoint import Checkpoint
from ..metrics.table import Metric
from ..probing.probe import Probe
from .candidates import Candidates, choose
from .draws import Draw
from .room import Room
from .row_index import RowIndex

__all__ = ["ReplicateInputs", "choose_followed"]


class ReplicateInputs(NamedTuple):
    """The data of a bootstrap and what is known of its replicates beforehand.

    Attributes
    ----------
    probe : Probe
    metric : Metric
    draw : Draw
    num_replicates : int
    prepared : Any
        What the metric prepared of the neurons; None for sparse activations.
    row_index : RowIndex or None
        The rows of each neuron; None where the strategy is dense.
    observed : numpy.ndarray [U, C]
        The similarity on the data.
    label : numpy.ndarray [U]
        The concept whose similarity is followed, -1 where there is none.
    has_evidence : numpy.ndarray [U, C] of bool, or None
        Pairs on enough evidence for a bootstrap; None where only labels are followed.
    upper_bound : numpy.ndarray [U, C], or None
        What no replicate of a pair exceeds; None where that is not known.
    errors : numpy.ndarray [U, C], or None
        Standard errors on the stable scale; None where they follow from the first replicates.
    room : Room
        What fits into memory.
    mesh : Mesh or None
        The devices.
    checkpoint : Checkpoint
        The chunks that are done already.
    """

    probe: Probe
    metric: Metric
    draw: Draw
    num_replicates: int
    prepared: Any
    row_index: RowIndex | None
    observed: np.ndarray
    label: np.ndarray
    has_evidence: np.ndarray | None
    upper_bound: np.ndarray | None
    errors: np.ndarray | None
    room: Room
    mesh: Mesh | None
    checkpoint: Checkpoint

    def labels(self) -> Pairs:
        """Every neuron that has a label, and that label."""
        (labelled,) = np.nonzero(self.label >= 0)
        return labelled, self.label[labelled]

    def choose(self, pairs: Pairs, spread: np.ndarray) -> tuple[Candidates, Pairs]:
        """The candidates, and the pairs to follow."""
        assert self.has_evidence is not None
        return choose_followed(
            self.metric, self.observed, self.label, self.has_evidence, pairs, spread,
            self.room.followed,
        )  # fmt: skip


def choose_followed(
    metric: Metric,
    observed: np.ndarray,
    label: np.ndarray,
    has_evidence: np.ndarray,
    pairs: Pairs,
    spread: np.ndarray,
    room: int,
) -> tuple[Candidates, Pairs]:
    """The candidates, and the pairs to follow: theirs, then every neuron's label."""
    found = choose(metric, observed, has_evidence, pairs, spread, room)
    neuron, place = np.nonzero(found.concept >= 0)
    (labelled,) = np.nonzero(label >= 0)
    return found, (
        np.concatenate([neuron, labelled]),
        np.concatenate([found.concept[neuron, place], label[labelled]]),
    )
