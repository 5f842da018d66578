"""The winner's curse: a label is chosen for its high similarity, so that similarity is too high."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .._runtime.short_repr import short_repr
from .._runtime.validation import check_count
from ..metrics.metric import Metric
from ..metrics.scores import at_concept
from ..probing.probe import Probe
from .bootstrapping import Bootstrap
from .crossfit import pooled_similarity
from .halves import OnHalves, read_halves

__all__ = ["WinnersCurse", "corrected_similarity", "split_reader", "winners_curse"]


@short_repr
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("naive", "corrected", "split"),
    meta_fields=("num_splits",),
)
@dataclass(frozen=True, eq=False)
class WinnersCurse:
    """Three estimates of the true similarity of a neuron's label.

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
        over the splits, both ways round. No label is measured on the data that chose it, so this
        estimates the true similarity of the label of a probing set of half the size, which is lower
        than that of the label of all data where halves often err. All halves that judge the same
        label of a neuron are pooled, so that one without the concept, or on which the neuron is
        never active, counts as what it is. For a metric that is no function of six sums the values
        are averaged instead, where defined. NaN where none is.
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
        A bootstrap by a metric, not by a labelling method.
    num_splits : int
        Splits of the units (groups where given) into halves, at least 1.

    Returns
    -------
    WinnersCurse

    Raises
    ------
    ValueError
        If num_splits is below 1, or the bootstrap is of a labelling method.

    Examples
    --------
    >>> import jax, numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((200, 3)) < 0.4
    >>> activations = rng.normal(size=(200, 2)) + 4 * concepts[:, :2]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> boot = nt.bootstrap(jax.random.key(0), probe, "iou", num_replicates=20)
    >>> curse = nt.winners_curse(jax.random.key(1), boot, num_splits=4)
    >>> bool((curse.naive == boot.similarity[[0, 1], [0, 1]]).all())
    True
    """
    num_splits = check_count(num_splits, "num_splits")
    if not isinstance(boot.definition, Metric):
        raise ValueError(
            f"{boot.metric} is a labelling method, which can not be split by weights; label two "
            "halves of the probe (probe.take) yourself"
        )
    if not isinstance(boot.probe, Probe):
        raise ValueError(
            "a streamed bootstrap does not hold its data, which the halves are drawn from; label "
            "the halves of a probe"
        )
    metric = boot.definition
    readers = [split_reader(metric)]
    (split,) = read_halves(key, boot.probe, metric, num_splits, readers)
    return WinnersCurse(
        naive=at_concept(boot.similarity, boot.label),
        corrected=corrected_similarity(boot),
        split=jax.device_put(split),
        num_splits=num_splits,
    )


def split_reader(metric: Metric) -> Callable[[OnHalves], Array]:
    """Reader of halves: the similarity [U] of their labels on the other halves, pooled."""
    return lambda found: _pooled(found.label, found.crossed, metric=metric)


def corrected_similarity(boot: Bootstrap) -> Array:
    """The label's similarity less the bootstrap's optimism, [U]."""
    assert isinstance(boot.definition, Metric)
    return _corrected(
        at_concept(boot.similarity, boot.label), boot.similarity, boot.winners,
        boot.winning_similarity, metric=boot.definition,
    )  # fmt: skip


@partial(jax.jit, static_argnames="metric")
def _corrected(
    naive: Array, similarity: Array, winners: Array, winning: Array, *, metric: Metric
) -> Array:
    """Less the mean excess of a replicate's winner there over the same concept on the data, [U]."""
    on_data = jnp.take_along_axis(similarity, jnp.maximum(winners, 0).T, axis=1).T
    optimism = jnp.nanmean(jnp.where(winners >= 0, winning - on_data, jnp.nan), axis=0)
    return jnp.clip(naive - optimism, *metric.range)


@partial(jax.jit, static_argnames="metric")
def _pooled(label: Array, crossed: Any, *, metric: Metric) -> Array:
    """Similarity on all halves [U, splits, 2] of the labels that their other halves give, [U]."""
    label, crossed = jax.tree.map(lambda x: x.reshape(len(x), -1).T, (label, crossed))
    dtype = jax.tree.leaves(crossed)[0].dtype
    return pooled_similarity(metric, label, crossed, jnp.ones(len(label), dtype))
