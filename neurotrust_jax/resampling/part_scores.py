"""Similarities of neurons on parts of the samples (halves and quarters), the quickest way.

There are P parts, 2 halves of each of S splits and then quarters. Four routes give the same
numbers.

**Groups** (metrics of 0 and 1). The sums of a part are those of its groups, see
:mod:`.unit_parts`; sparse activations are not written out.

**Counts** (metrics of 0 and 1 under equal weights, on a CPU). The rows on which a neuron is active
are listed once, and a part adds up the concepts of those that it has. A half lacks what the other
half has, so only one of the two is counted.

**Ranks** (AUROC and Spearman's correlation with concepts of 0 and 1). Every part needs a neuron's
ranks among the part's own samples. They follow from one walk along the neuron's sorted samples: the
number of members below a sample, for all parts side by side. So nothing is sorted again, and the
random access, which takes most of the time where one part is ranked after the other, is shared by
all parts. The sums over a concept's samples are one product [P, n] x [n, C] for each neuron, of
2 P n C operations. At n = 10,000, P = 96 and C = 256 that is 0.5 Gflop, or 5 ms on a core with
100 Gflop/s, and half of that by bytes, where these are quick; the ranks take 2 ms. (Lists of the
samples of each concept, which permutations add up instead, would save nothing: they are no quicker
than a product for concepts on a tenth of the samples.)

**Scores** (all others). The metric scores the parts one after the other, with weights of 0 on the
samples outside.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import (
    CountTable,
    active_units,
    count_rows,
    countable,
    list_rows,
    rows_fit,
    similarity_of_counts,
)
from .._numerics.byte_products import by_bytes, whole_product
from .._numerics.ranks import Ranking, cumulative_weight, twice_below
from .._numerics.sums import Sums, weighted_total
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, prepare, score_prepared, similarity, winner
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..schemes import SUBSAMPLE
from .crossfit import keep_rows, scores_and_sums, sums_at
from .unit_parts import score_unit_parts

__all__ = ["PartScores", "score_parts"]

EXACT = 2**24  # rows of 0 and 1 whose sum is exact in single precision
TOGETHER = 2**22  # ranks of one neuron, in as many parts as fit
NEURONS = 16  # ranked side by side on an accelerator; a CPU has the cache for one


class PartScores(NamedTuple):
    """Similarities of some neurons on parts, and the labels that follow.

    Attributes
    ----------
    similarity : Array [U, P, C]
    label : Array [U, P] of int32
        -1 where no similarity is defined.
    crossed : Sums of Array [U, 2S], or Array [U, 2S]
        The six sums, on the other half of the split, of the label that a half gives; of a metric
        that is no function of them its similarity there.
    whole : Array [U, C]
        Similarities on all samples.
    """

    similarity: Array
    label: Array
    crossed: Any
    whole: Array


def score_parts(
    probe: Probe, metric: Metric, rows: Array, num_splits: int, whole: Array | None = None
) -> PartScores:
    """Similarities on parts of the samples.

    Parameters
    ----------
    probe : Probe
    metric : Metric
    rows : Array [P, n] of bool
        The samples of each part: the two halves of each split, one after the other, then quarters.
        P is even.
    num_splits : int
        How many splits there are.
    whole : Array [U, C], optional
        Similarities on all samples, where they are at hand already.
    """
    listed = active_units(probe, metric=metric)
    if listed is not None and probe.groups is not None:
        whole = similarity(probe, metric) if whole is None else whole
        return PartScores(
            *score_unit_parts(listed, probe.groups, rows, metric=metric, num_splits=num_splits),
            whole,
        )
    if isinstance(probe.activations, SparseColumns):
        found = [
            score_parts(part, metric, rows, num_splits, None if whole is None else whole[some])
            for some, part in probe.in_neurons()
        ]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *found)
    if countable(probe, metric):
        on = probe.active
        table = list_rows(on, probe.present)
        weight = np.asarray(probe.weights)[0]
        scores, label, crossed = _by_counts(
            table, on, weight, rows, metric=metric, num_splits=num_splits
        )
        if whole is None:
            whole = _on_all(table, weight, metric=metric)
        return PartScores(scores, label, crossed, whole)
    prepared = prepare(probe, metric)
    if whole is None:
        whole = score_prepared(prepared, probe.weights, metric=metric)
    if metric.neuron_view == "rank" and rows_fit(probe, metric, SUBSAMPLE):
        share, unit = None, probe.weights[0]
        if not probe.equal_weights:
            unit = probe.weights.max()
            share = probe.weights / unit
        scores, label, crossed = _by_ranks(
            prepared[0], probe.present, share, unit, rows,
            metric=metric, num_splits=num_splits,
        )  # fmt: skip
    else:
        scores, label, crossed = _by_scores(
            prepared, probe.weights, rows, metric=metric, num_splits=num_splits
        )
    return PartScores(scores, label, crossed, whole)


def _count_rows(rows: Array, columns: Array) -> Array:
    """In how many rows of each part [P, n] each column [n, d] is true, [P, d] of int32."""
    total = jnp.zeros((rows.shape[0], columns.shape[1]), jnp.int32)
    for start in range(0, rows.shape[1], EXACT):
        some = slice(start, start + EXACT)
        number = jnp.matmul(
            rows[:, some].astype(jnp.float32),
            columns[some].astype(jnp.float32),
            precision=lax.Precision.HIGHEST,
        )
        total = total + number.astype(jnp.int32)
    return total


@partial(jax.jit, static_argnames=("metric", "num_splits"))
def _by_counts(
    listed: CountTable, on: Array, weight: Array, rows: Array, *, metric: Metric, num_splits: int
) -> tuple[Array, Array, Sums]:
    """Similarities, labels and crossed sums from listed rows."""
    num_samples = rows.shape[1]
    halves = 2 * num_splits
    size = rows.sum(axis=1, dtype=jnp.int32)
    active = _count_rows(rows, on)
    positives = _count_rows(rows, listed.table[:-1, : len(listed.total)])
    every = jnp.arange(num_samples, dtype=jnp.int32)

    def count(part: tuple[Array, Array]) -> Array:
        inside, total = part
        moved = jnp.where(inside, every, num_samples)
        moved = jnp.append(moved, jnp.asarray(num_samples, moved.dtype))
        return count_rows(listed, lambda i: moved[i], total=total)

    # all rows, one half of each split, and the quarters: in one loop, to compile it once
    chosen = [0, *range(1, 1 + halves, 2), *range(1 + halves, 1 + len(rows))]
    some = jnp.concatenate([jnp.ones_like(rows[:1]), rows])[np.array(chosen)]
    totals = jnp.concatenate([listed.total[None], positives])[np.array(chosen)]
    counted = lax.map(count, (some, totals))  # [1 + S + 4D, U, C]
    one = counted[1 : 1 + num_splits]
    both = jnp.stack([one, counted[:1] - one], axis=1).reshape(halves, *one.shape[1:])
    both = jnp.concatenate([both, counted[1 + num_splits :]])

    score = partial(similarity_of_counts, metric, weight)
    similarity = jax.vmap(score, out_axes=1)(size, active, positives, both)
    label = _label_of(similarity)
    given = jnp.maximum(label[:, :halves], 0)
    other = jnp.arange(halves, dtype=jnp.int32)[None, :] ^ 1
    neuron = jnp.arange(len(label), dtype=jnp.int32)[:, None]
    f, c = active[other, neuron], positives[other, given]
    sums = Sums(jnp.broadcast_to(size[other], f.shape), f, c, f, c, both[other, neuron, given])
    crossed = jax.tree.map(lambda x: weight * x.astype(weight.dtype), sums)
    return similarity, label, crossed


@partial(jax.jit, static_argnames="metric")
def _on_all(listed: CountTable, weight: Array, *, metric: Metric) -> Array:
    """Similarities on all samples from listed rows, [U, C]."""
    size = len(listed.table) - 1
    both = count_rows(listed, lambda i: i)
    return similarity_of_counts(metric, weight, size, listed.length, listed.total, both)


def _label_of(similarity: Array) -> Array:
    """Label of each neuron on each part, [U, P, C] to [U, P]."""
    return winner(similarity.reshape(-1, similarity.shape[-1])).reshape(similarity.shape[:-1])


class _Ranked(NamedTuple):
    """What parts need besides the ranks.

    Attributes
    ----------
    rows : Array [n, P] of bool
        The samples of positive weight of each part.
    columns : Array [n, P]
        Their weights; of uint8 where all are equal.
    size : Array [P, 1]
        Total weight of each part.
    positives : Array [P, C]
        Weight of the samples where each concept is present.
    defined : Array [P, C] of bool
        Whether each concept varies on the part.
    """

    rows: Array
    columns: Array
    size: Array
    positives: Array
    defined: Array


@partial(jax.jit, static_argnames=("metric", "num_splits"))
def _by_ranks(
    ranking: Ranking,
    present: Array,
    share: Array | None,
    unit: Array,
    rows: Array,
    *,
    metric: Metric,
    num_splits: int,
) -> tuple[Array, Array, Sums]:
    """Similarities, labels and crossed sums from the sorted order of each neuron.

    Samples have the weights ``share * unit``. The shares are None where all weights are equal, and
    else at most 1.
    """
    num_parts, num_samples = rows.shape
    if share is not None:
        rows = rows & (share > 0)[None, :]
    # in steps of an even number of parts, so that the halves of a split stay together
    steps = -(-num_parts * num_samples // TOGETHER)
    width = 2 * -(-num_parts // (2 * steps))
    steps = -(-num_parts // width)
    filled = jnp.pad(rows, ((0, steps * width - num_parts), (0, 0)))
    by_digits = by_bytes(num_samples) and share is None
    concepts = present.T.astype(jnp.int8 if by_digits else unit.dtype)
    batch = None if jax.default_backend() == "cpu" else min(NEURONS, ranking.order.shape[1])

    def step(rows: Array) -> tuple[Array, Array, Sums]:
        ranked = _ranked(rows, share, present)
        neuron = partial(_on_ranked_parts, ranked, concepts, share, unit, metric)
        return lax.map(neuron, jax.tree.map(jnp.transpose, ranking), batch_size=batch)

    def joined(x: Array) -> Array:
        x = x.swapaxes(0, 1)
        return x.reshape(x.shape[0], -1, *x.shape[3:])

    found = lax.map(step, filled.reshape(steps, width, num_samples))
    similarity, label, crossed = jax.tree.map(joined, found)
    crossed = jax.tree.map(lambda x: x[:, : 2 * num_splits], crossed)
    return similarity[:, :num_parts], label[:, :num_parts], crossed


def _ranked(rows: Array, share: Array | None, present: Array) -> _Ranked:
    positives, size = _count_rows(rows, present), rows.sum(axis=1, keepdims=True, dtype=jnp.int32)
    defined = (positives > 0) & (positives < size)
    columns = rows.astype(jnp.uint8)
    if share is not None:
        columns = jnp.where(rows, share[None, :], 0)
        positives = lax.map(lambda w: weighted_total(present.astype(w.dtype), w), columns)
        size = columns.sum(axis=1, keepdims=True)
    return _Ranked(rows.T, columns.T, size, positives, defined)


def _on_ranked_parts(
    ranked: _Ranked,
    concepts: Array,
    share: Array | None,
    unit: Array,
    metric: Metric,
    ranking: Ranking,
) -> tuple[Array, Array, Sums]:
    """Similarities [P, C], labels [P], and crossed sums [P], of one neuron."""
    rows, columns, size, positives, defined = ranked
    dtype = unit.dtype
    if share is None:
        centred = twice_below(columns, ranking) - size.T
    else:
        centred = _twice_centred(columns, ranking)
    centred = jnp.where(rows, centred, 0)
    # written once, since XLA would gather it again for each of its uses
    by_digits = concepts.dtype == jnp.int8
    whole = lax.optimization_barrier(centred.astype(jnp.int16) if by_digits else centred)
    own = whole.astype(dtype)
    weighted = own if share is None else share[:, None] * own
    total, positive = unit * size.astype(dtype), unit * positives.astype(dtype)
    step = 1 / jnp.where(size > 0, 2 * size, 1).astype(dtype)  # from these to the view of ranks
    # a CPU is slower with the ranks as the left factor, which it would turn first
    if share is None:
        product = whole_product(concepts, whole.astype(jnp.int32), len(rows), dtype).T
    else:
        product = jnp.matmul(concepts, weighted, precision=lax.Precision.HIGHEST).T
    fc = unit * step * product
    squares = (weighted * own).sum(axis=0)[:, None]  # 0 where all samples of a part tie
    ff = unit * step**2 * squares
    c, cc = positive, positive
    if metric.concept_view == "rank":
        # that of 0 and 1, centred, is half of their deviation from the mean
        c, fc = jnp.zeros_like(positive), fc / 2
        cc = (positive - positive**2 / jnp.where(total > 0, total, 1)) / 4
    sums = Sums(total, jnp.zeros_like(total), c, ff, cc, fc)
    similarity = metric.value(sums, defined & (squares > 0))
    label = winner(similarity)
    other = jnp.arange(len(label), dtype=jnp.int32) ^ 1
    given = jnp.maximum(label, 0)
    crossed = Sums(*(x[other, given if x.shape[1] > 1 else 0] for x in sums))
    return similarity, label, crossed


def _twice_centred(columns: Array, ranking: Ranking) -> Array:
    """Twice the rank of each sample under weights [n, P], less its weighted mean, [n, P]."""
    below = cumulative_weight(ranking, columns)
    return below[ranking.first] + below[ranking.last] - below[-1:]


@partial(jax.jit, static_argnames=("metric", "num_splits"))
def _by_scores(
    prepared: Any, weights: Array, rows: Array, *, metric: Metric, num_splits: int
) -> tuple[Array, Array, Any]:
    """Similarities, labels, and what the label of a half has on the other half."""

    def score(inside: Array) -> tuple[Array, Any]:
        kept = keep_rows(metric, weights, inside)
        if metric.finalise is None:
            scores = metric.score(prepared, kept)
            return scores, scores
        return scores_and_sums(metric, prepared, kept)

    def both(pair: Array) -> tuple[Array, Array, Any]:
        scores, found = lax.map(score, pair)  # [2, U, C], and sums of these
        label = jnp.stack([winner(scores[0]), winner(scores[1])])
        other = jax.tree.map(lambda x: x[::-1], found)
        return (
            scores,
            label,
            jax.vmap(at_concept if metric.finalise is None else sums_at)(other, label),
        )

    def by_neuron(x: Array) -> Array:
        return jnp.moveaxis(x.reshape(-1, *x.shape[2:]), 0, 1)

    found = lax.map(both, rows.reshape(-1, 2, rows.shape[1]))
    scores, label, crossed = jax.tree.map(by_neuron, found)
    return scores, label, jax.tree.map(lambda x: x[:, : 2 * num_splits], crossed)
