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
from .crossfit import keep_rows, pooled_similarity, sums_at, sums_of
from .metrics import Metric
from .probe import Probe
from .resampling import Bootstrap
from .similarity import at_concept, prepare, winner
from .sums import Sums
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
        Similarity on one half of the units of the label that the other half gives, in the mean
        over the splits, both ways round. No label meets the data that chose it, so this estimates
        the true similarity of the label of a probing set of half the size: a lower aim than the
        naive one's where halves often err. All halves that judge the same label of a neuron are
        pooled, so that one without the concept, or on which the neuron is never active, counts as
        what it is. Of a metric that is no function of six sums the values are averaged instead,
        where defined. NaN where none is.
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
    def both_ways(half: Array) -> tuple[Array, Any]:
        parts = [keep_rows(metric, weights, rows) for rows in (half > 0, half <= 0)]
        scores = [metric.score(prepared, w) for w in parts]
        label = jnp.stack([winner(x) for x in scores])
        other = zip(parts[::-1], scores[::-1], label, strict=True)
        found = [
            at_concept(x, y)
            if metric.finalise is None
            else sums_at(sums_of(metric, prepared, w), y)
            for w, x, y in other
        ]
        return label, jax.tree.map(lambda *x: jnp.stack(x), *found)

    return _pooled(metric, *jax.lax.map(both_ways, halves))


def _pooled(metric: Metric, label: Array, found: Any) -> Array:
    """What all halves [splits, 2, U] say of the labels that their other halves give, [U]."""
    label, found = jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), (label, found))
    dtype = jax.tree.leaves(found)[0].dtype
    return pooled_similarity(metric, label, found, jnp.ones(len(label), dtype))


@partial(jax.jit, static_argnames="metric")
def _split_by_counts(
    listed: Listed, on: Array, weight: Array, halves: Array, *, metric: Metric
) -> Array:
    """As :func:`_split`, of rows to count: what one half lacks, the other half has."""
    num_samples = halves.shape[1]
    rows = jnp.arange(num_samples, dtype=jnp.int32)
    together = over_counts(listed, rows, lambda _, count: count)
    similarity = partial(similarity_of_counts, metric, weight)

    def both_ways(half: Array) -> tuple[Array, Sums]:
        inside = half > 0
        size = inside.sum(dtype=jnp.int32)
        active, positives = (
            (x & inside[:, None]).sum(axis=0, dtype=jnp.int32) for x in (on, listed.table[:-1] > 0)
        )
        sizes = jnp.stack([size, num_samples - size])
        has = jnp.stack([positives, listed.total - positives])

        def crossed(neurons: Array, count: Array) -> Array:
            """Labels of both halves, and the counts of the other half: [width, 4, 2]."""
            own = active[neurons]
            on_half = jnp.stack([own, listed.length[neurons] - own])
            both = jnp.stack([count, together[neurons] - count])
            label = jnp.stack(
                [winner(similarity(*x)) for x in zip(sizes, on_half, has, both, strict=True)]
            )
            at = jnp.maximum(label, 0)
            positive = jnp.take_along_axis(has[::-1], at, axis=1)
            hits = jnp.take_along_axis(both[::-1], at[:, :, None], axis=2)[:, :, 0]
            return jnp.stack([label, on_half[::-1], positive, hits]).transpose(2, 0, 1)

        found = over_counts(listed, jnp.where(inside, rows, num_samples), crossed, positives)
        label, f, c, fc = found.transpose(1, 2, 0)
        return label, Sums(jnp.broadcast_to(sizes[::-1, None], f.shape), f, c, f, c, fc)

    label, sums = jax.lax.map(both_ways, halves)
    return _pooled(metric, label, jax.tree.map(lambda x: weight * x.astype(weight.dtype), sums))
