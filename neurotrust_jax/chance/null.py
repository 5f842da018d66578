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

from .._runtime.chunks import Progress, in_chunks
from .._runtime.validation import check_count, check_share
from ..metrics.scores import similarity
from ..metrics.table import Metric, get_metric
from ..probing.checkpoints import checkpoint_for
from ..probing.probe import Probe
from .permutations import PowerWarning, draw_rows, layout_of
from .permuted_statistics import Statistic, permuted_statistic

__all__ = ["PermutationTest", "PowerWarning", "benjamini_hochberg", "permutation_test"]

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
        statistic = permuted_statistic(part, metric)

        def run(ids: Array, statistic: Statistic = statistic) -> tuple[Array]:
            rows = draw_rows(key, ids, layout, num_units=num_units)
            return _replicates(rows, statistic, metric=metric)

        def report(done: int, total: int, before: int = i) -> None:
            if progress is not None:
                progress((before * total + done) // len(parts), total)

        null += in_chunks(run, num_permutations, chunk_size, kept, report)
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


@partial(jax.jit, static_argnames="metric")
def _replicates(rows: Array, statistic: Statistic, *, metric: Metric) -> tuple[Array]:
    """Statistics of the permutations that give each row those concepts, one by one, [b, U]."""
    return (lax.map(lambda x: statistic.best(x, metric), rows),)


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
