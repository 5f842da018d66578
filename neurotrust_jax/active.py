"""Replicates of count metrics from the rows on which a neuron is active.

A neuron that is active on one sample in twenty meets a concept on those samples only: the one large
matrix product of a replicate, neurons by concepts, needs no other rows. All replicates of a neuron
then go through one product, and nothing of the size of replicates x neurons x concepts is kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .metrics import Metric
from .probe import Probe
from .sums import Sums

__all__ = ["ActiveRows", "active_rows", "fits", "neuron_scores"]

MOST_ACTIVE = 0.5  # of the rows; above it the product over all rows is as good


class ActiveRows(NamedTuple):
    """Where each neuron is active, and the concepts there.

    Attributes
    ----------
    rows : Array [U, k] of int32
        Rows on which the neuron is active; n fills up.
    concepts : Array [n + 1, C]
        0/1, with a last row of zeros.
    """

    rows: Array
    concepts: Array


def fits(probe: Probe, metric: Metric, scheme: str) -> bool:
    """Whether sums are whole numbers, which come out the same in whatever order they are taken."""
    weights = np.asarray(probe.weights)
    return (
        metric.finalise is not None
        and metric.neuron_view == metric.concept_view == "binary"
        and scheme != "bayesian"
        and bool((weights == np.round(weights)).all())
    )


def active_rows(probe: Probe) -> ActiveRows:
    """List each neuron's active rows, as many places for all as the most active one needs."""
    present = np.ascontiguousarray(np.asarray(probe.neurons.present).T)
    count = present.sum(axis=1)
    most = max(int(count.max()), 1)
    # few distinct shapes, so that few are compiled
    step = max(1 << max(most.bit_length() - 3, 0), 8)
    rows = np.full((len(present), -(-most // step) * step), probe.num_samples, np.int32)
    neuron, row = np.nonzero(present)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    rows[neuron, place] = row
    concepts = probe.labels.present.astype(probe.weights.dtype)
    return ActiveRows(jnp.asarray(rows), jnp.pad(concepts, ((0, 1), (0, 0))))


def neuron_scores(active: ActiveRows, weights: Array, metric: Metric) -> Any:
    """A function that gives the scores [C, b] of the neuron with given rows [k].

    ``weights`` [n, b] are those of b replicates.
    """
    padded = jnp.pad(weights, ((0, 1), (0, 0)))
    total = padded.sum(axis=0, keepdims=True)
    concepts = jnp.matmul(active.concepts.T, padded, precision=lax.Precision.HIGHEST)
    concept_varies = (concepts > 0) & (concepts < total)

    def scores(rows: Array) -> Array:
        w = padded[rows]
        both = jnp.matmul(active.concepts[rows].T, w, precision=lax.Precision.HIGHEST)
        neuron = w.sum(axis=0, keepdims=True)
        sums = Sums(S=total, F=neuron, C=concepts, FF=neuron, CC=concepts, FC=both)
        defined = concept_varies & (neuron > 0) & (neuron < total)
        return jnp.where(defined, jnp.clip(metric.finalise(sums), *metric.range), jnp.nan)  # type: ignore[misc]

    return scores
