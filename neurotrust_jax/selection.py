"""The winner's curse: a label is chosen for its high similarity, so that similarity is too high."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .checks import check_count
from .counts import Listed, countable, list_rows, over_counts, similarity_of_counts
from .metrics import Metric
from .probe import Probe
from .resampling import Bootstrap
from .similarity import at_concept, prepare, winner
from .weights import draw_all

__all__ = ["WinnersCurse", "winners_curse"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("naive", "corrected", "split"),
    meta_fields=("num_splits",),
)
@dataclass(frozen=True, eq=False)
class WinnersCurse:
    """Three estimates of the true similarity of a neuron's label, side by side.

    Attributes
    ----------
    naive : Array [U]
        The measured similarity of the label: the maximum of many, hence too high on average, most
        so where several concepts nearly tie. NaN without a label.
    corrected : Array [U]
        Less the bootstrap's optimism: how much higher the winner of a replicate scores there than
        on the data, on average (Efron, 1983). Kept within the metric's range. What bias is left has
        no general sign.
    split : Array [U]
        Mean similarity on one half of the units of the label that the other half gives. No label
        meets the data that chose it, so the mean is unbiased for the label of a probing set of half
        the size: a lower aim than the naive one's where halves often err. NaN if no split defines
        it.
    num_splits : int
        Splits, each used in both directions.
    """

    naive: Array
    corrected: Array
    split: Array
    num_splits: int


def winners_curse(key: Array, boot: Bootstrap, *, num_splits: int = 50) -> WinnersCurse:
    """Measure how much of a label's similarity is due to its having been chosen.

    Parameters
    ----------
    key : JAX PRNG key
        For the splits.
    boot : Bootstrap
        Of a metric, not of a labelling method.
    num_splits : int
        Splits of the units (groups where given) into halves, at least 1.

    Returns
    -------
    WinnersCurse

    Raises
    ------
    ValueError
        If num_splits is below 1, or the bootstrap is of a labelling method.
    """
    num_splits = check_count(num_splits, "num_splits")
    if boot.definition is None:
        raise ValueError(
            f"{boot.metric} is a labelling method, which can not be split by weights; label two "
            "halves of the probe (probe.take) yourself"
        )
    if boot.probe is None:
        raise ValueError(
            "a bootstrap in passes does not keep its data, which halves are made of; label the "
            "halves of a probe"
        )
    naive = at_concept(boot.similarity, boot.label)
    halves = draw_all(
        key, np.arange(num_splits), boot.probe.groups,
        scheme="subsample", num_units=boot.probe.num_units, dtype=boot.probe.weights.dtype,
    )  # fmt: skip
    metric = boot.definition

    def split(part: Probe) -> Array:
        if not countable(part, metric):
            return _split(prepare(part, metric), part.weights, halves, metric=metric)
        on = part.neurons.present
        listed = list_rows(on, part.labels.present)
        return _split_by_counts(listed, on, part.weights[0], halves, metric=metric)

    return WinnersCurse(
        naive=naive,
        corrected=_corrected(
            naive, boot.similarity, boot.winners, boot.winning_similarity, metric=metric
        ),
        split=boot.probe.each_neuron(split),
        num_splits=num_splits,
    )


@partial(jax.jit, static_argnames="metric")
def _corrected(
    naive: Array, similarity: Array, winners: Array, winning: Array, *, metric: Metric
) -> Array:
    """Less the mean excess of a replicate's winner there over the same concept on the data, [U]."""
    on_data = jnp.take_along_axis(similarity, jnp.maximum(winners, 0).T, axis=1).T
    optimism = jnp.nanmean(jnp.where(winners >= 0, winning - on_data, jnp.nan), axis=0)
    return jnp.clip(naive - optimism, *metric.range)


@partial(jax.jit, static_argnames="metric")
def _split(prepared: Any, weights: Array, halves: Array, *, metric: Metric) -> Array:
    def both_ways(half: Array) -> Array:
        a = metric.score(prepared, weights * half)
        b = metric.score(prepared, weights * (1 - half))
        return _crossed(a, b)

    return jnp.nanmean(jax.lax.map(both_ways, halves), axis=(0, 2))


def _crossed(a: Array, b: Array) -> Array:
    """What each of two halves says of the label that the other gives, [U, 2]."""
    return jnp.stack([at_concept(b, winner(a)), at_concept(a, winner(b))], axis=1)


@partial(jax.jit, static_argnames="metric")
def _split_by_counts(
    listed: Listed, on: Array, weight: Array, halves: Array, *, metric: Metric
) -> Array:
    """As :func:`_split`, of rows to count: what one half lacks, the other half has."""
    num_samples = halves.shape[1]
    rows = jnp.arange(num_samples, dtype=jnp.int32)
    together = over_counts(listed, rows, lambda _, count: count)
    similarity = partial(similarity_of_counts, metric, weight)

    def both_ways(half: Array) -> Array:
        inside = half > 0
        size = inside.sum(dtype=jnp.int32)
        active, positives = (
            (x & inside[:, None]).sum(axis=0, dtype=jnp.int32) for x in (on, listed.table[:-1] > 0)
        )

        def crossed(neurons: Array, count: Array) -> Array:
            own = active[neurons]
            a = similarity(size, own, positives, count)
            b = similarity(
                num_samples - size, listed.length[neurons] - own, listed.total - positives,
                together[neurons] - count,
            )  # fmt: skip
            return _crossed(a, b)

        return over_counts(listed, jnp.where(inside, rows, num_samples), crossed, positives)

    return jnp.nanmean(jax.lax.map(both_ways, halves), axis=(0, 2))
