"""Label fit: whether the label is present on the samples that activate a neuron most.

The most similar concept of a vocabulary may still fit poorly. Two signs need no statistics. The
label is missing from most of the samples that activate the neuron most; or another concept becomes
the most similar one when the threshold is raised to the top of the activation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import jax
import numpy as np
from jax import Array

from .._runtime.short_repr import short_repr
from ..metrics.metric import Metric
from ..metrics.scores import identify, similarity, winner
from ..metrics.table import get_metric
from ..probing.probe import Probe
from ..probing.thresholds import from_the_top, last_kept, threshold_at

__all__ = ["LabelFit", "label_fit"]

TOP = 20  # sampling units that activate a neuron most
SHARES = (0.5, 0.25, 0.1)  # of the samples on which a neuron is active
FEWEST = 10  # active sampling units that a label needs


@short_repr
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("label", "top_units", "label_hits", "top_concept", "top_hits", "label_above"),
    meta_fields=("shares",),
)
@dataclass(frozen=True, eq=False)
class LabelFit:
    """How well each label fits the samples that activate its neuron most, see :func:`label_fit`.

    Attributes
    ----------
    label : numpy.ndarray [U] of int
        The labels that are checked, -1 for none.
    top_units : numpy.ndarray [U] of int
        Number of most active sampling units that were checked, each by its most active sample. It
        is 20, or the number of units on which the neuron is active if that is smaller.
    label_hits : numpy.ndarray [U] of int
        Number of these samples on which the label is present; 0 without a label.
    top_concept : numpy.ndarray [U] of int
        The concept whose number of presences on them exceeds the number expected of random samples
        by the most; -1 where no concept is present.
    top_hits : numpy.ndarray [U] of int
        Number of these samples on which that concept is present.
    label_above : numpy.ndarray [U, K] of int
        Label when the threshold is raised so that only a share of the active samples stays active,
        for each of ``shares``; -1 where these come from fewer than 10 sampling units, and for
        metrics that read no threshold.
    shares : tuple of float
    """

    label: np.ndarray
    top_units: np.ndarray
    label_hits: np.ndarray
    top_concept: np.ndarray
    top_hits: np.ndarray
    label_above: np.ndarray
    shares: tuple[float, ...]

    @cached_property
    def poor(self) -> np.ndarray:
        """Whether the label is missing from most of the neuron's most active units, [U] of bool.

        False without a label, or where the neuron is active on fewer than 10 units.
        """
        return (
            (self.label >= 0) & (self.top_units >= FEWEST) & (2 * self.label_hits < self.top_units)
        )


def label_fit(
    probe: Probe, metric: str | Metric = "iou", *, label: np.ndarray | Array | None = None
) -> LabelFit:
    """Check labels on the samples that activate each neuron most.

    Parameters
    ----------
    probe : Probe
        Where concepts are probabilities, their presence says little about the fit of a label. Then
        no sampling unit is checked, and only ``label_above`` is given. Where neurons are ranges of
        activation, no sample of a range activates it more than another, and nothing is checked.
    metric : str or Metric
    label : array [U] of int, optional
        Labels to check, -1 for none. Default: the most similar concepts.

    Returns
    -------
    LabelFit

    Raises
    ------
    ValueError
        If the metric is unknown, or label does not have one column for each neuron.

    Examples
    --------
    >>> concepts = np.eye(4, dtype=bool).repeat(25, axis=0)
    >>> activations = concepts + np.linspace(0, 0.5, 100)[:, None]
    >>> probe = nt.make_probe(activations, concepts, thresholds=0.9)
    >>> fit = nt.label_fit(probe, "iou")
    >>> fit.label_hits.tolist(), fit.top_units.tolist(), fit.poor.tolist()
    ([20, 20, 20, 20], [20, 20, 20, 20], [False, False, False, False])
    """
    metric = get_metric(metric)
    if label is None:
        label = identify(probe, metric).concept[:, 0]
    label = np.asarray(label)
    if label.shape != (probe.num_neurons,) or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(
            f"label must be one column for each of the {probe.num_neurons} neurons, got "
            f"{label.dtype} of shape {list(label.shape)}"
        )
    hits, top_units, enough, raised = _tops(probe)
    if not probe.binary_concepts:
        hits, top_units = np.zeros_like(hits), np.zeros_like(top_units)
    excess = hits - top_units[:, None] * np.asarray(probe.concept_rate, np.float64)[None, :]
    top_concept = excess.argmax(axis=1)
    top_hits = np.take_along_axis(hits, top_concept[:, None], axis=1)[:, 0]
    own = np.take_along_axis(hits, np.maximum(label, 0)[:, None], axis=1)[:, 0]
    above = np.full((probe.num_neurons, len(SHARES)), -1)
    if metric.neuron_view == "binary" and enough.any():
        for k, thresholds in enumerate(raised):
            above_them = replace(probe, thresholds=jax.device_put(thresholds))
            found = np.asarray(winner(similarity(above_them, metric)))
            above[:, k] = np.where(enough[:, k], found, -1)
    return LabelFit(
        label=label,
        top_units=top_units,
        label_hits=np.where(label >= 0, own, 0),
        top_concept=np.where(top_hits > 0, top_concept, -1),
        top_hits=top_hits,
        label_above=above,
        shares=SHARES,
    )


def _tops(probe: Probe) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Count the concepts on the most active sampling units, and raise the thresholds.

    Returns
    -------
    hits : numpy.ndarray [U, C] of int32
        Number of the most active units on which each concept is present.
    units : numpy.ndarray [U] of int
        Number of these units.
    enough : numpy.ndarray [U, K] of bool
        Whether at least :data:`FEWEST` units stay active at each of :data:`SHARES`.
    raised : numpy.ndarray [K, U]
        Thresholds that leave these shares active.
    """
    groups = None if probe.groups is None else np.asarray(probe.groups)
    present = np.asarray(probe.present)
    weights = np.asarray(probe.weights, np.float64)
    hits = np.zeros((probe.num_neurons, probe.num_concepts), np.int32)
    units = np.zeros(probe.num_neurons, int)
    enough = np.zeros((probe.num_neurons, len(SHARES)), bool)
    raised = np.tile(np.asarray(probe.thresholds), (len(SHARES), 1))
    # no sample of a range of activation is more active than another
    ordered = from_the_top(probe) if probe.num_ranges == 1 else ()
    for u, (values, rows) in enumerate(ordered):
        # the most active sample of each unit, as its place in the order of activation
        first = np.arange(len(rows))
        if groups is not None:
            first = np.sort(np.unique(groups[rows], return_index=True)[1])
        top = rows[first[:TOP]]
        units[u], hits[u] = len(top), present[top].sum(axis=0)
        for k, place in enumerate(last_kept(weights[rows], SHARES)):
            enough[u, k] = (first <= place).sum() >= FEWEST
            raised[k, u] = threshold_at(values, int(place), raised[k, u], probe.inclusive)
    return hits, units, enough, raised
