"""The null: is there anything at all, or does chance among many concepts reach such a label too?

Every concept is a further chance to look similar. The test permutes the concepts' rows against the
activations, all concepts together, and takes the best of them anew: what is left is the similarity
of the label that chance finds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import (
    CountTable,
    countable,
    list_rows,
    over_counts,
    rows_fit,
    similarity_of_counts,
)
from .._numerics.sums import weighted_sums
from .._runtime.chunks import Progress, in_chunks
from .._runtime.validation import check_count, check_share
from ..metrics.scores import similarity
from ..metrics.table import Metric, get_metric
from ..metrics.transforms import VIEWS, both_vary
from ..probing.checkpoints import checkpoint_for
from ..probing.probe import Probe
from ..schemes import MULTINOMIAL
from .permutations import PowerWarning, draw_rows, layout_of

__all__ = ["PermutationTest", "PowerWarning", "benjamini_hochberg", "permutation_test"]

RARE = 0.12  # of the samples; of a concept that is present on more a product is as quick
MOST_RANKED = 2**15  # samples, whose ranks doubled and centred fit into 16 bits
ROUNDING = 64  # statistics that differ by this many units in the last place count as equal


@partial(
    jax.tree_util.register_dataclass,
    data_fields=(
        "p_value",
        "q_value",
        "p_familywise",
        "explained",
        "statistic",
        "null_quantile",
        "null_mean",
    ),
    meta_fields=("num_permutations", "num_movable", "alpha", "metric"),
)
@dataclass(frozen=True, eq=False)
class PermutationTest:
    """Whether each neuron has to do with any concept at all.

    A small p-value says that the neuron is not independent of the concepts; not that its label is
    the right one.

    Attributes
    ----------
    p_value : Array [U]
        Chance of a statistic as high if neuron and concepts are independent, in [1/(R+1), 1]; NaN
        without a label.
    q_value : Array [U]
        Adjusted over the layer's labelled neurons: calling those with a q-value of at most alpha
        explained, a share of alpha of them is expected to be false where the neurons are
        independent of each other or positively dependent, see :func:`benjamini_hochberg`.
    p_familywise : Array [U]
        Adjusted so that with probability 1 - alpha no independent neuron in the layer is at most
        alpha (Westfall and Young, 1993), where these neurons together are independent of the
        concepts, not just each by itself. It reaches 1/(R+1) however wide the layer.
    explained : Array [U] of bool
        Whether the q-value is at most alpha.
    statistic : Array [U]
        Similarity of the label: the largest over the concepts.
    null_quantile : Array [U]
        Chance alone reaches this: a statistic above it has a p-value of at most alpha. -inf if
        the null has too few defined statistics.
    null_mean : Array [U]
        Mean similarity of the label that chance finds.
    num_permutations : int
        Number of permutations R.
    num_movable : int
        Units (groups, or samples) that have another of their size and stratum to trade places with.
    alpha : float
        Level of ``explained`` and ``null_quantile``.
    metric : str
        The similarity.
    """

    p_value: Array
    q_value: Array
    p_familywise: Array
    explained: Array
    statistic: Array
    null_quantile: Array
    null_mean: Array
    num_permutations: int
    num_movable: int
    alpha: float
    metric: str


def permutation_test(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    num_permutations: int = 1000,
    strata: Any = None,
    alpha: float = 0.05,
    chunk_size: int = 64,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> PermutationTest:
    """Test each neuron against the null that it is independent of all concepts (in each stratum).

    Replicate r permutes the rows of the concepts by ``fold_in(key, r)``, the same for all concepts
    and neurons; the statistic is the largest similarity over the concepts. With T_r its replicates,
    ``p = (1 + #{T_r >= T}) / (1 + R)``, which is valid for every R (Phipson and Smyth, 2010).
    Thresholds may come from the same activations: no permutation changes them. Only exchangeable
    units may trade places. With ``groups``, whole groups trade with others of their size, rows in
    their order; a group without a partner stays. The values are inspected, so this does not run
    inside ``jit``.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
        Units that trade places must have equal sample weights.
    metric : str or Metric
    num_permutations : int
        Number of permutations R, at least 1 / alpha - 1. A neuron that stands alone among U needs
        U / alpha of them to be explained by its q-value, as no p-value is below 1 / (R + 1).
    strata : array [n], optional
        Anything hashable per sample, constant within a group. Only units of one stratum trade
        places: dependence that the strata bring about alone is then no effect.
    alpha : float in (0, 1)
        Expected share of false discoveries.
    chunk_size : int
        Permutations per compiled call, between which ``progress`` is told; no effect on the
        numbers.
    checkpoint : path, optional
        A folder that keeps each chunk, so that the same call goes on from there, see
        :func:`bootstrap`.
    progress : callable, optional
        Called as ``progress(done, num_permutations)`` after each chunk.

    Returns
    -------
    PermutationTest

    Raises
    ------
    ValueError
        If an option is out of range or the metric unknown, strata are malformed or split a group,
        units of unequal weights would trade places, or no unit can trade at all. Before any work.

    Warns
    -----
    PowerWarning
        If fewer than half of the units can trade places, or in too few ways to reach alpha.
    """
    metric = get_metric(metric)
    check_share(alpha, "alpha")
    num_permutations = check_count(num_permutations, "num_permutations")
    chunk_size = min(check_count(chunk_size, "chunk_size"), num_permutations)
    # the factor keeps 0.1 * 10 at 1 in floating point
    rank = math.floor(alpha * (num_permutations + 1) * (1 + 1e-9))
    if rank < 1:
        raise ValueError(
            f"num_permutations={num_permutations} gives no p-value below "
            f"{1 / (num_permutations + 1):.3g}, so none reaches alpha={alpha}; use at least "
            f"{math.ceil((1 - 1e-9) / alpha) - 1}"
        )
    layout, num_units, num_movable = layout_of(probe, strata, alpha)

    scores = similarity(probe, metric)
    observed = jnp.nanmax(scores, axis=1)
    parts = list(probe.in_neurons())
    null: list[np.ndarray] = []
    for i, (some, part) in enumerate(parts):
        kept = checkpoint_for(
            checkpoint, key, part, metric.name, np.asarray(scores[some]), *jax.tree.leaves(layout)
        )
        data = *_parted(part, metric), part.weights

        def run(ids: Array, data: Any = data) -> tuple[Array]:
            rows = draw_rows(key, ids, layout, num_units=num_units)
            return _replicates(rows, *data, metric=metric)

        def told(done: int, total: int, before: int = i) -> None:
            if progress is not None:
                progress((before * total + done) // len(parts), total)

        null += in_chunks(run, num_permutations, chunk_size, kept, told)
    p_value, p_familywise, null_quantile, null_mean = _compare(
        observed, jax.device_put(np.concatenate(null, axis=1)), rank=rank
    )
    q_value = _adjusted(p_value)
    return PermutationTest(
        p_value=p_value,
        q_value=q_value,
        p_familywise=p_familywise,
        # a q-value is a rounded multiple of 1 / (R + 1), which may be alpha itself
        explained=q_value <= alpha * (1 + 8 * float(jnp.finfo(q_value.dtype).eps)),
        statistic=observed,
        null_quantile=null_quantile,
        null_mean=null_mean,
        num_permutations=num_permutations,
        num_movable=num_movable,
        alpha=float(alpha),
        metric=metric.name,
    )


def benjamini_hochberg(p: Any) -> Array:
    """Adjust p-values for the false discovery rate (Benjamini and Hochberg, 1995).

    With the m p-values in ascending order, the i-th becomes ``min_{j >= i} m p_(j) / j``. Rejecting
    those up to alpha, a share of at most alpha is expected to be false if the p-values are
    independent or positively dependent (on each that is truly null; Benjamini and Yekutieli, 2001).
    Neurons of one layer are judged on the same samples, so for them this is an assumption; under
    any dependence the share is at most alpha (1 + 1/2 + ... + 1/m).

    Parameters
    ----------
    p : array [m]
        p-values in [0, 1]. NaN is left out, and stays NaN.

    Returns
    -------
    Array [m]
        q-values in [0, 1].

    Raises
    ------
    ValueError
        On a wrong shape, or (outside ``jit``) p-values outside [0, 1].
    """
    q = jnp.asarray(p)
    if not jnp.issubdtype(q.dtype, jnp.floating):
        q = q.astype(jnp.float32)
    if q.ndim != 1:
        raise ValueError(f"p must have shape [m], got {list(q.shape)}")
    if not isinstance(q, jax.core.Tracer):
        outside = np.asarray((q < 0) | (q > 1))
        if outside.any():
            first = int(outside.argmax())
            raise ValueError(
                f"p must lie in [0, 1], got {float(q[first]):g} at {first}; give p-values"
            )
    return _adjusted(q)


@jax.jit
def _adjusted(p: Array) -> Array:
    order = jnp.argsort(p)  # NaN comes last
    number = (~jnp.isnan(p)).sum(dtype=jnp.int32).astype(p.dtype)
    scaled = p[order] * (number / jnp.arange(1, p.shape[0] + 1, dtype=p.dtype))
    lowest = lax.cummin(jnp.where(jnp.isnan(scaled), 1, scaled), reverse=True)
    q = jnp.zeros_like(p).at[order].set(jnp.minimum(lowest, 1), unique_indices=True)
    return jnp.where(jnp.isnan(p), jnp.nan, q)


def _parted(probe: Probe, metric: Metric) -> tuple[Any, Any]:
    """What no permutation touches, and the arrays whose rows move."""
    neurons, labels = metric.prepare_neurons(probe.neurons), probe.labels
    if metric.finalise is None:
        # what is prepared of the labels may hold row numbers (a sorted order)
        return neurons, labels
    if countable(probe, metric):
        return probe.weights[0], list_rows(probe.neurons.present, labels.present)
    fixed, moving = _six_sums(
        (neurons, metric.prepare_concepts(labels)), probe.weights, metric=metric
    )
    rare = _rare_concepts(probe, metric)
    if not rare.any():
        return fixed, moving
    ranks = (neurons.first + neurons.last - probe.num_samples).astype(jnp.int16)
    listed = list_rows(np.asarray(labels.present)[:, rare], ranks)
    (common,), (own,) = np.nonzero(~rare), np.nonzero(rare)
    return (_of_concepts(fixed, common), _of_concepts(fixed, own)), (moving[:, common], listed)


def _rare_concepts(probe: Probe, metric: Metric) -> np.ndarray:
    """Concepts [C] whose sums of a neuron's ranks are quicker to add up than to multiply."""
    none = np.zeros(probe.num_concepts, bool)
    if jax.default_backend() != "cpu" or metric.neuron_view != "rank":
        return none
    few = probe.num_samples < MOST_RANKED
    if not (few and probe.equal_weights and rows_fit(probe, metric, MULTINOMIAL)):
        return none
    return np.asarray(probe.present).mean(axis=0) <= RARE


def _of_concepts(fixed: tuple[Any, ...], some: np.ndarray) -> tuple[Any, ...]:
    """What :func:`_six_sums` fixed, of some concepts."""
    sums, weighted, defined = fixed
    return sums._replace(C=sums.C[:, some], CC=sums.CC[:, some]), weighted, defined[:, some]


@partial(jax.jit, static_argnames="metric")
def _six_sums(prepared: tuple[Any, Any], weights: Array, *, metric: Metric) -> tuple[Any, Any]:
    """As :func:`_parted`, of a metric of which only FC is left to do.

    Units of equal weights trade places, so the views of the concepts, their sums and whether they
    vary are the same under every permutation.
    """
    neuron, concept = VIEWS[metric.neuron_view], VIEWS[metric.concept_view]
    f, c = neuron.evaluate(prepared[0], weights), concept.evaluate(prepared[1], weights)
    defined = both_vary(neuron.distinct(prepared[0]), concept.distinct(prepared[1]), weights)
    sums = weighted_sums(f, c, weights)
    return (sums, weights[:, None] * f, defined), c


def _statistic(fixed: Any, moving: Any, rows: Array, weights: Array, metric: Metric) -> Array:
    """Largest similarity over the concepts, NaN if none is defined, [U]."""
    if isinstance(moving, CountTable):

        def best(neurons: Array, count: Array) -> Array:
            margins = len(rows), moving.length[neurons], moving.total
            return jnp.nanmax(similarity_of_counts(metric, fixed, *margins, count), axis=1)

        return over_counts(moving, rows, best)
    if metric.finalise is None:
        moved = jax.tree.map(lambda x: x[rows], moving)
        scores = metric.score((fixed, metric.prepare_concepts(moved)), weights)
        return jnp.nanmax(scores, axis=1)
    if not isinstance(moving, tuple):
        return _best_product(fixed, moving[rows], metric)
    (of_common, of_rare), (common, listed) = fixed, moving
    best_rare = _best_of_ranks(of_rare, listed, rows, metric)
    if common.shape[1] == 0:
        return best_rare
    return jnp.fmax(_best_product(of_common, common[rows], metric), best_rare)


def _best_product(fixed: Any, moved: Array, metric: Metric) -> Array:
    sums, weighted, defined = fixed
    product = jnp.matmul(weighted.T, moved, precision=lax.Precision.HIGHEST)
    return jnp.nanmax(metric.value(sums._replace(FC=product), defined), axis=1)


def _best_of_ranks(fixed: Any, listed: CountTable, rows: Array, metric: Metric) -> Array:
    """As :func:`_best_product`, from ranks, doubled and centred, where concepts are present."""
    sums, _, defined = fixed
    num_samples = len(rows)
    # the row of ranks that each row of a concept meets
    met = jnp.zeros_like(rows).at[rows].set(jnp.arange(num_samples, dtype=rows.dtype))
    scale = sums.S / (2 * num_samples**2)
    if metric.concept_view == "rank":
        scale = scale / 2  # the rank of 0 and 1, centred, is half of them

    def scores(own: Array, total: Array) -> Array:
        of_neurons = {"F": sums.F.T, "FF": sums.FF.T}
        of_concepts = {"C": sums.C.T[own], "CC": sums.CC.T[own]}
        both = {"FC": total.astype(sums.S.dtype) * scale}
        return metric.value(sums._replace(**of_neurons, **of_concepts, **both), defined.T[own])

    return jnp.nanmax(over_counts(listed, met, scores), axis=0)


@partial(jax.jit, static_argnames="metric")
def _replicates(
    rows: Array, fixed: Any, moving: Any, weights: Array, *, metric: Metric
) -> tuple[Array]:
    """Statistics of the permutations that give each row those concepts, one by one, [b, U]."""
    return (lax.map(lambda x: _statistic(fixed, moving, x, weights, metric), rows),)


@jax.jit
def _compare(observed: Array, null: Array, *, rank: Array) -> tuple[Array, Array, Array, Array]:
    """p-values, family-wise p-values, the rank-th highest of the null and its mean: four [U]."""
    every = jnp.concatenate([observed[None, :], null])
    one_more = every.shape[0]
    labelled = ~jnp.isnan(observed)
    # sums in another order round differently: a tie must not turn on that
    size = jnp.where(jnp.isfinite(every), jnp.abs(every), 0).max(axis=0)
    slack = ROUNDING * jnp.finfo(every.dtype).eps * size

    def share(reached: Array) -> Array:
        p = (1 + reached.sum(axis=0, dtype=jnp.int32)).astype(every.dtype) / one_more
        return jnp.where(labelled, p, jnp.nan)

    # Statistics of rare and common neurons differ in scale. Mean and spread include the observed
    # data, one permutation of all, so that standardising keeps the ranks among them exact.
    spread = jnp.nanstd(every, axis=0)
    fine = spread > slack
    scale = jnp.where(fine, spread, 1)
    z = (every - jnp.nanmean(every, axis=0)[None, :]) / scale[None, :]
    z = jnp.where(fine[None, :], z, 0)
    z = jnp.where(labelled[None, :] & ~jnp.isnan(every), z, -jnp.inf)
    highest = z[1:].max(axis=1, keepdims=True)

    ordered = jnp.sort(jnp.where(jnp.isnan(null), -jnp.inf, null), axis=0)
    return (
        share(null >= (observed - slack)[None, :]),
        share(highest >= (z[0] - slack / scale)[None, :]),
        jnp.where(labelled, ordered[ordered.shape[0] - rank], jnp.nan),
        jnp.where(labelled, jnp.nanmean(null, axis=0), jnp.nan),
    )
