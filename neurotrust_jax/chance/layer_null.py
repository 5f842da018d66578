"""The null of a layer: which neurons share one, how many permutations, and their statistics."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from .._engine import countable
from .._runtime.chunks import Progress, in_chunks
from ..metrics.metric import Metric
from ..probing.checkpoints import checkpoint_for
from ..probing.probe import Probe
from .permutations import Layout, draw_units
from .permuted_statistics import (
    CHUNK,
    Statistic,
    best_of_each,
    permutations_at_once,
    permuted_statistic,
)
from .shared_null import SharedNull, prepare_shared_null
from .tie_patterns import MOST_BLOCKS

__all__ = ["LayerNull", "draw_null", "enough_permutations", "shared_null"]

FEWEST, MOST = 1000, 100_000  # permutations, unless their number is given
PASSES = 10**9  # samples that all permutations together may put in order
COMPARED = 4 * 10**6  # statistics that all permutations together may have
INVOLVED = 40  # statistics that a pattern counts as where only a product serves it


class LayerNull(NamedTuple):
    """Statistics of chance for every neuron of a layer.

    Attributes
    ----------
    ascending : numpy.ndarray [P, R]
        Statistics of each null in ascending order; an undefined one is -inf.
    mean : numpy.ndarray [P]
        Mean of those that are defined, NaN if none is.
    largest : numpy.ndarray [P]
        Largest finite magnitude.
    of_neuron : numpy.ndarray [U] of int
        Which null is that of each neuron, -1 for one that has none.
    slack, excess : numpy.ndarray [U]
        How far a statistic of the null may be from that of the neuron: in all, and as a share.
    """

    ascending: np.ndarray
    mean: np.ndarray
    largest: np.ndarray
    of_neuron: np.ndarray
    slack: np.ndarray
    excess: np.ndarray


def shared_null(probe: Probe, metric: Metric, layout: Layout) -> SharedNull | None:
    """What the null of each tie pattern is drawn from; None where each neuron needs its own.

    Neurons of one pattern share it where any sample can trade places with any other, for a function
    of six sums that reads ranks or whether neurons are active.
    """
    reads = metric.finalise is not None and metric.neuron_view in ("rank", "binary")
    if not reads or layout != Layout(None, None):
        return None
    return prepare_shared_null(probe, metric)


def enough_permutations(num_neurons: int, alpha: float, shared: SharedNull | None) -> int:
    """So many permutations that a neuron which stands alone can be found, if that takes not long.

    A p-value of 1 / (R + 1) becomes a q-value of at most alpha among U neurons if R + 1 is at least
    U / alpha.
    """
    least = max(FEWEST, math.ceil((1 - 1e-9) / alpha) - 1)
    if shared is None:
        return least
    patterns = shared.patterns
    involved = sum(len(x) > 2 * MOST_BLOCKS for x in patterns.blocks)
    weight = len(patterns.blocks) + (INVOLVED - 1) * involved
    most = min(MOST, PASSES // patterns.num_samples, COMPARED // max(weight, 1))
    alone = math.ceil(num_neurons / alpha * (1 - 1e-9)) - 1
    return max(least, min(alone, most))


def draw_null(
    key: Array,
    probe: Probe,
    metric: Metric,
    layout: Layout,
    num_units: int,
    num_permutations: int,
    *,
    shared: SharedNull | None,
    chunk_size: int | None,
    checkpoint: Path | str | None,
    progress: Progress | None,
) -> LayerNull:
    """Draw the null of every neuron of a layer; blocks of neurons can then be judged by it."""
    which: tuple[Any, ...] = metric.name, *jax.tree.leaves(layout)
    if shared is None:
        null = _null_of_each(
            key, probe, metric, layout, num_units, num_permutations, chunk_size, checkpoint,
            progress,
        )  # fmt: skip
        none = np.zeros(probe.num_neurons)
        return _sorted(null, np.arange(probe.num_neurons), none, none)
    if shared.patterns.blocks:
        (null,) = in_chunks(
            shared.replicates(key),
            num_permutations,
            min(chunk_size or CHUNK, num_permutations),
            checkpoint_for(checkpoint, key, probe, *which, np.__version__),
            progress,
        )
    else:
        null = np.empty((num_permutations, 0), shared.concepts.view.dtype)
    patterns = shared.patterns
    return _sorted(np.asarray(null), patterns.of_neuron, shared.slack, patterns.excess)


def _sorted(
    null: np.ndarray, of_neuron: np.ndarray, slack: np.ndarray, excess: np.ndarray
) -> LayerNull:
    """The null from statistics [R, P]."""
    null = np.ascontiguousarray(null.T)
    defined = ~np.isnan(null)
    number = defined.sum(axis=1)
    total = np.where(defined, null, 0).sum(axis=1, dtype=np.float64)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    largest = np.where(np.isfinite(null), np.abs(null), 0).max(axis=1, initial=0)
    ascending = np.sort(np.where(defined, null, -np.inf), axis=1)
    return LayerNull(ascending, mean, largest, of_neuron, slack, excess)


def _null_of_each(
    key: Array,
    probe: Probe,
    metric: Metric,
    layout: Layout,
    num_units: int,
    num_permutations: int,
    chunk_size: int | None,
    checkpoint: Path | str | None,
    progress: Progress | None,
) -> np.ndarray:
    """Statistics of all permutations, [R, U], some neurons at a time."""
    # what is counted needs no dense copy of sparse activations
    parts = [probe] if countable(probe, metric) else [part for _, part in probe.in_neurons()]
    null: list[Any] = []
    for i, part in enumerate(parts):
        done_before = checkpoint_for(checkpoint, key, part, metric.name, *jax.tree.leaves(layout))
        statistic = permuted_statistic(part, metric, layout)
        quick = permutations_at_once(statistic, num_permutations, num_units)
        size = min(chunk_size or quick, num_permutations)

        def run(ids: Array, statistic: Statistic = statistic) -> tuple[Array]:
            begin = draw_units(key, ids, layout, num_units=num_units)
            return _replicates(begin, layout, statistic, metric=metric)

        def report_progress(done: int, total: int, before: int = i) -> None:
            if progress is not None:
                progress((before * total + done) // len(parts), total)

        null += in_chunks(run, num_permutations, size, done_before, report_progress)
    return np.concatenate(null, axis=1)


@partial(jax.jit, static_argnames="metric")
def _replicates(
    begin: Array, layout: Layout, statistic: Statistic, *, metric: Metric
) -> tuple[Array]:
    """Statistics of the permutations that :func:`draw_units` gave, [b, U]."""
    return (best_of_each(statistic, begin, layout, metric),)
