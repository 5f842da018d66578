"""Effective sampling units of every pair in one more pass over rows that are not held."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.sums import Sums
from ..faithfulness.evidence import moments_of_changes, units_of_moments, units_of_shares
from ..metrics.metric import Metric
from ..metrics.parts import Part
from .stream_reader import Block, Reader, Survey, add_on_host

__all__ = ["streamed_units"]

ROUNDING = 1e-6


class UnfinishedUnit(NamedTuple):
    """The unit whose rows may continue in the next block.

    Attributes
    ----------
    unit : int
    sums : tuple of numpy.ndarray
        Sums over its rows up to here: S [], F [U], C [C], FC [U, C].
    """

    unit: int
    sums: tuple[np.ndarray, ...]


def streamed_units(reader: Reader, survey: Survey, metric: Metric) -> np.ndarray:
    """As :func:`effective_units`, from a reader's rows, [U, C].

    Counts of single rows follow from the sums of the survey; else the rows are read once more.
    """
    sums = survey.sums()
    if survey.single and all(reader.counts):
        return np.asarray(_of_counts(sums, parts=metric.parts))
    columns = _Columns(reader, sums, metric)
    num_neurons, num_concepts = sums.FC.shape
    zeros = np.zeros(()), np.zeros(num_neurons), np.zeros(num_concepts), np.zeros(sums.FC.shape)
    begun = UnfinishedUnit(0, tuple(x.astype(np.float32) for x in zeros))
    totals = None
    for block in reader.blocks():
        found, begun = _added(columns, block, begun, metric)
        totals = add_on_host(totals, found)
    reader.check_again(survey.num_rows)
    found, _ = _added(columns, None, begun, metric)
    square, fourth, count = add_on_host(totals, found)
    units = units_of_moments(*(jnp.asarray(x, np.float32) for x in (square, fourth, count)))
    return np.asarray(units).min(axis=1)


@partial(jax.jit, static_argnames="parts")
def _of_counts(sums: Sums, *, parts: tuple[Part, ...]) -> Array:
    return units_of_shares(sums, parts)


class _Columns:
    """What the parts of a metric take means of, from what a reader gives."""

    def __init__(self, reader: Reader, sums: Any, metric: Metric) -> None:
        s, f, ff, fc = sums.S, sums.F[:, 0], sums.FF[:, 0], sums.FC
        # a real neuron about its mean, in standard deviations
        self.mean, self.size = np.zeros(len(f)), np.ones(len(f))
        if not reader.counts[0]:
            self.mean = f / s
            spread = np.sqrt(np.maximum(ff / s - self.mean**2, 0))
            self.size = np.where(spread > 0, spread, 1)
        # a real concept as the score in [0, 1] that it was, where it decides what is a trial
        self.low, self.width = np.zeros(fc.shape[1]), np.ones(fc.shape[1])
        if not reader.counts[1] and any(part.given_concept for part in metric.parts):
            self.low, self.width = reader.off[1]
        c = self.width * sums.C[0] + self.low * s
        fc = self.width * fc + self.low * f[:, None]
        self.total = (
            np.asarray(s), (f - self.mean * s) / self.size, c,
            (fc - self.mean[:, None] * c) / self.size[:, None],
        )  # fmt: skip

    def of(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        f = (block.activations - self.mean) / self.size
        c = self.width * block.concepts + self.low
        whole = np.round(c)
        # a score of 0 or 1 has passed through single precision
        c = np.where(np.abs(c - whole) < ROUNDING, whole, c)
        return f.astype(np.float32), c.astype(np.float32)


def _added(
    columns: _Columns, block: Block | None, begun: UnfinishedUnit, metric: Metric
) -> tuple[list[np.ndarray], UnfinishedUnit]:
    """The moments of the units that a block completes, and the last one, which may go on.

    Without a block the unit that was begun is complete.
    """
    num_neurons, num_concepts = (len(x) for x in begun.sums[1:3])
    if block is None:
        f, c = np.zeros((1, num_neurons), np.float32), np.zeros((1, num_concepts), np.float32)
        used, local, last = np.zeros(1, bool), np.zeros(1, np.int64), 1
    else:
        f, c = columns.of(block)
        used = block.unit >= 0
        local = np.where(used, block.unit - begun.unit, 0)
        last = int(local.max())
    total = tuple(jnp.asarray(x, np.float32) for x in columns.total)
    moments, sums = _of_block(
        f, c, used.astype(np.float32), local.astype(np.int32), np.int32(last), begun.sums, total,
        parts=metric.parts,
    )  # fmt: skip
    goes_on = UnfinishedUnit(begun.unit + last, tuple(np.asarray(x) for x in sums))
    return [np.asarray(x) for x in moments], goes_on


@partial(jax.jit, static_argnames="parts")
def _of_block(
    f: Array,
    c: Array,
    used: Array,
    unit: Array,
    last: Array,
    begun: tuple[Array, ...],
    total: tuple[Array, ...],
    *,
    parts: tuple[Part, ...],
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Moments [U, parts, C] of the units 0 to last - 1, and the sums of the last."""
    num_units = f.shape[0] + 1
    complete = jnp.arange(num_units, dtype=jnp.int32) < last

    def summed(x: Array, first: Array) -> Array:
        return jax.ops.segment_sum(x, unit, num_units).at[0].add(first)

    weighted = used[:, None] * c
    s, cs = summed(used, begun[0]), summed(weighted, begun[2])

    def one(neuron: tuple[Array, ...]) -> tuple[Array, ...]:
        column, own, own_product, in_all, product_in_all = neuron
        fs, fc = summed(used * column, own), summed(column[:, None] * weighted, own_product)
        each = (s[:, None], fs[:, None], cs, fc)
        a, b, d, e = (jnp.where(complete[:, None], x, 0) for x in each)
        units = Sums(S=a, F=b, C=d, FF=a, CC=a, FC=e)
        size = total[0].reshape(1, 1)
        product_in_all = product_in_all[None, :]
        known = Sums(size, in_all.reshape(1, 1), total[2][None, :], size, size, product_in_all)
        moments = moments_of_changes(units, known, parts=parts)
        stacked = (jnp.stack(x) for x in zip(*moments, strict=True))
        at_last = (x.at[last].get(mode="fill", fill_value=0) for x in (fs, fc))
        return *stacked, *at_last

    neurons = (f.T, begun[1], begun[3], total[1], total[3])
    square, fourth, count, fs, fc = lax.map(one, neurons)
    s, cs = (x.at[last].get(mode="fill", fill_value=0) for x in (s, cs))
    return (square, fourth, count), (s, fs, cs, fc)
