"""Random halves and quarters of the sampling units, and what they say of all neurons at once.

Conformal sets, the probability of replication and the winner's curse read the same halves: one
pass serves all of them. The parts are drawn once (:func:`draw_parts`), and neurons are read block
by block (:func:`read_block`), so that memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import stable_scale
from ..metrics.metric import Metric
from ..probing.probe import Probe
from ..schemes import SUBSAMPLE, draw_all
from .crossfit import blocks_of_neurons
from .part_scores import score_parts

__all__ = [
    "Differences",
    "OnHalves",
    "Parts",
    "draw_parts",
    "read_block",
    "read_halves",
    "read_parts",
]

COPIES = 16  # arrays of all similarities of the parts for which blocks of neurons leave room
NEURONS = 16  # whose halves are compared at a time
QUARTERS = 2**32 - 1  # folded into the key of the quarters; splits fold in 0, 1, ...


class Parts(NamedTuple):
    """Halves and quarters of the samples, drawn once for all neurons.

    Attributes
    ----------
    rows : Array [2S + 4D, n] of bool
        The samples of each part: the two halves of each of S splits, one after the other, then the
        four quarters of each of D deals.
    num_splits : int
        S.
    """

    rows: Array
    num_splits: int


def draw_parts(key: Array, probe: Probe, num_splits: int, num_deals: int = 0) -> Parts:
    """Draw halves of the sampling units in several splits, and quarters in several deals."""
    rows = _draw(
        key, probe.groups,
        num_units=probe.num_units, num_splits=num_splits, num_deals=num_deals,
    )  # fmt: skip
    return Parts(rows, num_splits)


@partial(jax.jit, static_argnames=("num_units", "num_splits", "num_deals"))
def _draw(
    key: Array, groups: Array | None, *, num_units: int, num_splits: int, num_deals: int
) -> Array:
    """The rows of :class:`Parts`."""
    halves = _halves(key, groups, num_units, num_splits)
    rows = jnp.stack([halves, ~halves], axis=1).reshape(2 * num_splits, -1)
    if not num_deals:
        return rows
    quarters = _quarters(key, groups, num_units, num_deals)
    return jnp.concatenate([rows, quarters.reshape(4 * num_deals, -1)])


def _halves(key: Array, groups: Array | None, num_units: int, num_splits: int) -> Array:
    """Samples of a random half of the sampling units in each of several splits, [S, n] of bool."""
    splits = jnp.arange(num_splits, dtype=jnp.int32)
    return draw_all(key, splits, groups, SUBSAMPLE, num_units, jnp.float32) > 0


def _quarters(key: Array, groups: Array | None, num_units: int, num_deals: int) -> Array:
    """Samples of each of four parts in several deals of the sampling units, [D, 4, n] of bool."""
    part = jnp.arange(num_units, dtype=jnp.int32) % 4
    keys = jax.random.split(jax.random.fold_in(key, QUARTERS), num_deals)
    dealt = jax.vmap(lambda k: jax.random.permutation(k, part))(keys)
    dealt = dealt if groups is None else dealt[:, groups]
    return dealt[:, None, :] == jnp.arange(4, dtype=jnp.int32)[None, :, None]


class Differences(NamedTuple):
    """How far the halves of some neurons differ.

    Attributes
    ----------
    used : Array [U, S] of bool
        Whether both halves give a label.
    scaled : Array [U, S, 2, C]
        The similarities on the stable scale.
    apart : Array [U, S, C]
        Half of the difference of the two halves, 0 where not used. A similarity that is undefined
        on a half counts as the mean of those that are defined.
    """

    used: Array
    scaled: Array
    apart: Array


@dataclass(frozen=True, eq=False)
class OnHalves:
    """Similarities of some neurons on halves, quarters and all data.

    Attributes
    ----------
    metric : Metric
    similarity : Array [U, S, 2, C]
        Similarities on both halves of each split.
    label : Array [U, S, 2] of int32
        Label that each half gives, -1 for none.
    crossed : Sums of Array [U, S, 2], or Array [U, S, 2]
        The six sums of that label on the other half; of a metric that is no function of them its
        similarity there.
    quarters : Array [U, D, 4, C]
        Similarities on quarters.
    quarter_label : Array [U, D, 4] of int32
        Label that each quarter gives, -1 for none.
    whole : Array [U, C]
        Similarities on all data.
    """

    metric: Metric
    similarity: Array
    label: Array
    crossed: Any
    quarters: Array
    quarter_label: Array
    whole: Array

    @cached_property
    def differences(self) -> Differences:
        """How far the halves differ, computed once for all readers."""
        return _compare(self.similarity, self.label, metric=self.metric)


def read_halves(
    key: Array,
    probe: Probe,
    metric: Metric,
    num_splits: int,
    readers: Sequence[Callable[[OnHalves], Any]],
    *,
    num_deals: int = 0,
    scores: Array | None = None,
) -> list[Any]:
    """Pass the same halves to several readers, in one pass over the neurons.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    metric : Metric
    num_splits : int
        Splits into halves.
    readers : sequence of callable
        ``reader(OnHalves)`` gives arrays [U, ...], or a pytree of them, of some neurons.
    num_deals : int
        Deals into quarters, none unless given.
    scores : array [U, C], optional
        Similarities on all data, where they are at hand already.

    Returns
    -------
    list
        The arrays of each reader, as NumPy arrays of all neurons.
    """
    return read_parts(
        draw_parts(key, probe, num_splits, num_deals), probe, metric, readers, scores=scores
    )


def read_parts(
    parts: Parts,
    probe: Probe,
    metric: Metric,
    readers: Sequence[Callable[[OnHalves], Any]],
    *,
    scores: Array | None = None,
) -> list[Any]:
    """As :func:`read_halves`, of parts that were drawn for a probe with the same samples."""
    found = []
    for some, block in blocks_of_neurons(probe, metric, COPIES * len(parts.rows), dense=False):
        whole = None if scores is None else scores[some]
        found.append(read_block(parts, block, metric, readers, whole))
    return [jax.tree.map(lambda *x: np.concatenate(x), *each) for each in zip(*found, strict=True)]


def read_block(
    parts: Parts,
    block: Probe,
    metric: Metric,
    readers: Sequence[Callable[[OnHalves], Any]],
    whole: Array | None = None,
) -> list[Any]:
    """What each reader finds in a block of neurons, as NumPy arrays.

    ``parts`` are drawn once for the probe that all blocks belong to.
    """
    rows, num_splits = parts
    *on_parts, whole = score_parts(block, metric, rows, num_splits, whole)
    halves, labels, crossed, quarters, quarter_labels = _divide(*on_parts, num_splits=num_splits)
    on_halves = OnHalves(metric, halves, labels, crossed, quarters, quarter_labels, whole)
    return [jax.device_get(read(on_halves)) for read in readers]


@partial(jax.jit, static_argnames="num_splits")
def _divide(similarity: Array, label: Array, crossed: Any, *, num_splits: int) -> tuple[Any, ...]:
    """Halves and quarters [U, ...] from parts [U, P, ...], in the order of :class:`OnHalves`."""

    def halves(x: Array) -> Array:
        return x[:, : 2 * num_splits].reshape(len(x), num_splits, 2, *x.shape[2:])

    def quarters(x: Array) -> Array:
        num_quarters = x.shape[1] - 2 * num_splits
        return x[:, 2 * num_splits :].reshape(len(x), num_quarters // 4, 4, *x.shape[2:])

    crossed = jax.tree.map(halves, crossed)
    return halves(similarity), halves(label), crossed, quarters(similarity), quarters(label)


@partial(jax.jit, static_argnames="metric")
def _compare(similarity: Array, label: Array, *, metric: Metric) -> Differences:
    """Differences from similarities [U, S, 2, C] and labels [U, S, 2]."""

    def neuron(own: tuple[Array, Array]) -> Differences:
        similarity, label = own
        used = (label >= 0).all(axis=1)
        # written once, since XLA would compute it again for each of its uses
        scaled = lax.optimization_barrier(stable_scale(metric, similarity))
        typical = jnp.nanmean(scaled, axis=2, keepdims=True)
        known = jnp.where(jnp.isnan(scaled), typical, scaled)
        apart = jnp.where(used[:, None], known[:, 0] - known[:, 1], 0) / 2
        return Differences(used, scaled, apart)

    batch = min(NEURONS, len(label))
    return lax.map(neuron, (similarity, label), batch_size=batch)
