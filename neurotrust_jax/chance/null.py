"""Permutation test: does chance among many concepts reach such a label too?

Every concept is a further chance to look similar. The test permutes the concepts' rows against the
activations, all concepts together, and takes the best similarity again: this is the similarity of
the label that chance finds.

Neurons whose values tie in the same way share one null where samples are independent and of equal
weight, see :mod:`.tie_patterns`. The number of permutations then costs little, however wide the
layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.chunks import Progress
from .._runtime.short_repr import short_repr
from .._runtime.validation import check_count, check_share
from ..metrics.metric import Metric
from ..metrics.scores import check_scores, similarity
from ..metrics.table import get_metric
from ..probing.probe import Probe
from .layer_null import LayerNull, draw_null, enough_permutations, shared_null
from .p_values import adjusted, compare, holm
from .permutations import Layout, PowerWarning, layout_of
from .shared_null import SharedNull

__all__ = [
    "ByChance",
    "PermutationPlan",
    "PermutationTest",
    "PowerWarning",
    "permutation_test",
    "plan_permutations",
]


@short_repr
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
        independent of each other or positively dependent, see :func:`benjamini_hochberg`. A null
        that neurons share keeps them so (Bates et al., 2023, on conformal p-values).
    p_familywise : Array [U]
        Adjusted so that with probability 1 - alpha no neuron that is independent of the concepts is
        at most alpha (Holm, 1979), however the neurons depend on each other. No value is below
        1/(R+1), and the smallest of m labelled neurons is m times its p-value: at least m / alpha
        permutations are needed to find it.
    explained : Array [U] of bool
        Whether the q-value is at most alpha.
    statistic : Array [U]
        Similarity of the label: the largest over the concepts.
    null_quantile : Array [U]
        Chance alone reaches this: a statistic above it, by more than ties and rounding can change,
        has a p-value of at most alpha. -inf if the null has too few defined statistics.
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

    def _in_short(self) -> str:
        explained = int(self.explained.sum())
        return (
            f"of {len(self.p_value):,} neurons by {self.metric}: {explained:,} have to do with "
            f"some concept ({self.num_permutations:,} permutations, false discovery rate "
            f"{self.alpha:g})"
        )


def permutation_test(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    num_permutations: int | None = None,
    strata: Any = None,
    alpha: float = 0.05,
    scores: Array | None = None,
    chunk_size: int | None = None,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> PermutationTest:
    """Test each neuron against the null that it is independent of all concepts (in each stratum).

    Replicate r permutes the rows of the concepts, the same for all concepts; it depends on the key
    and r alone. The statistic is the largest similarity over the concepts. With T_r its replicates,
    ``p = (1 + #{T_r >= T}) / (1 + R)``, which is valid for every R (Phipson and Smyth, 2010).
    Thresholds may come from the same activations: no permutation changes them. Only exchangeable
    units may trade places. With ``groups``, whole groups trade with others of their size, rows in
    their order; a group without a partner stays. The values are inspected, so this does not run
    inside ``jit``.

    Without groups, strata or unequal weights the null depends on a neuron only through its number
    of active samples, or through the ties of its activations, for every metric of six sums that
    reads it as active or not, or by ranks (``iou`` or ``auroc``, say). It is then drawn once for
    all neurons that agree in these. Chance ties of a few floats are not told apart for ``auroc``
    and ``spearman``: a replicate that falls short of T by no more than these can change also
    counts, at most a hundredth of the statistic's standard deviation, so that p is never too small.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
        Units that trade places must have equal sample weights.
    metric : str or Metric
    num_permutations : int, optional
        Number of permutations R, at least 1 / alpha - 1. A neuron that stands alone among U needs
        R + 1 >= U / alpha to be explained by its q-value, as no p-value is below 1 / (R + 1).
        Unless given, it is this number where neurons share the null, but at least 1,000 and at most
        100,000, or fewer (never below 1,000) where that would take long: 10^9 / n, and 4 10^6 over
        the number of tie patterns. It is 1,000 where each neuron needs its own null; raise it
        there if few neurons of a wide layer can be expected to be explained. An alpha below 0.001
        raises the 1,000 to 1 / alpha - 1.
    strata : array [n], optional
        Anything hashable per sample, constant within a group. Only units of one stratum trade
        places: dependence that the strata bring about alone is then no effect.
    alpha : float in (0, 1)
        Expected share of false discoveries.
    scores : array [U, C], optional
        What :func:`similarity` gives, where it is at hand already.
    chunk_size : int, optional
        Permutations per compiled call, after which ``progress`` is called; no effect on the
        numbers. Default: as many as are quick.
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

    Examples
    --------
    A neuron that follows the first of three concepts, and one that follows none:

    >>> import jax
    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((200, 3)) < 0.2
    >>> activations = rng.normal(size=(200, 2))
    >>> activations[:, 0] += 3 * concepts[:, 0]
    >>> probe = nt.make_probe(activations, concepts, thresholds=1.5)
    >>> test = nt.permutation_test(jax.random.key(0), probe, num_permutations=199)
    >>> round(float(test.p_value[0]), 4)  # the least that 199 permutations can give
    0.005
    >>> bool(test.explained[0])
    True
    """
    metric = get_metric(metric)
    plan = plan_permutations(probe, metric, num_permutations, strata, alpha)
    if chunk_size is not None:
        chunk_size = check_count(chunk_size, "chunk_size")
    scores = similarity(probe, metric) if scores is None else check_scores(scores, probe)
    null = plan.draw(key, probe, chunk_size, checkpoint, progress)
    statistic = np.asarray(jnp.nanmax(scores, axis=1))
    return plan.test(statistic, plan.judge(statistic, null))


class ByChance(NamedTuple):
    """What chance alone gives some neurons, as NumPy arrays [U]: fields of a permutation test."""

    p_value: np.ndarray
    null_quantile: np.ndarray
    null_mean: np.ndarray


@dataclass(frozen=True, eq=False)
class PermutationPlan:
    """A permutation test after all checks.

    Attributes
    ----------
    metric : Metric
    layout : Layout
    num_units, num_movable : int
    shared : SharedNull or None
        What the null of the whole layer is drawn from; None where each neuron has its own.
    num_permutations : int
    alpha : float
    """

    metric: Metric
    layout: Layout
    num_units: int
    num_movable: int
    shared: SharedNull | None
    num_permutations: int
    alpha: float

    def draw(
        self,
        key: Array,
        probe: Probe,
        chunk_size: int | None = None,
        checkpoint: Path | str | None = None,
        progress: Progress | None = None,
    ) -> LayerNull:
        """Draw the null of the neurons of a probe: the whole layer, where it is shared."""
        return draw_null(
            key, probe, self.metric, self.layout, self.num_units, self.num_permutations,
            shared=self.shared, chunk_size=chunk_size, checkpoint=checkpoint, progress=progress,
        )  # fmt: skip

    def judge(self, statistic: np.ndarray, null: LayerNull) -> ByChance:
        """Compare the statistics [U] of some neurons with their null."""
        rank = _rank_of(self.alpha, self.num_permutations)
        found = compare(statistic, null, rank=rank)
        return ByChance(*(x.astype(statistic.dtype) for x in found))

    def test(self, statistic: np.ndarray, found: ByChance) -> PermutationTest:
        """Adjust the p-values of all neurons of a layer for their number."""
        q_value = np.asarray(adjusted(jax.device_put(found.p_value)))
        # a q-value is a rounded multiple of 1 / (R + 1), which may be alpha itself
        explained = q_value <= self.alpha * (1 + 8 * float(np.finfo(q_value.dtype).eps))
        results = statistic, holm(found.p_value), *found, q_value, explained
        measured, p_familywise, p_value, null_quantile, null_mean, q_value, explained = map(
            jax.device_put, results
        )
        return PermutationTest(
            p_value=p_value,
            q_value=q_value,
            p_familywise=p_familywise,
            explained=explained,
            statistic=measured,
            null_quantile=null_quantile,
            null_mean=null_mean,
            num_permutations=self.num_permutations,
            num_movable=self.num_movable,
            alpha=float(self.alpha),
            metric=self.metric.name,
        )


def plan_permutations(
    probe: Probe, metric: Metric, num_permutations: int | None, strata: Any, alpha: float
) -> PermutationPlan:
    """Check the arguments of a test, and decide how it is made, see :func:`permutation_test`."""
    check_share(alpha, "alpha")
    if num_permutations is not None:
        num_permutations = check_count(num_permutations, "num_permutations")
        _rank_of(alpha, num_permutations)
    layout, num_units, num_movable = layout_of(probe, strata, alpha)
    shared = shared_null(probe, metric, layout)
    if num_permutations is None:
        num_permutations = enough_permutations(probe.num_neurons, alpha, shared)
    return PermutationPlan(metric, layout, num_units, num_movable, shared, num_permutations, alpha)


def _rank_of(alpha: float, num_permutations: int) -> int:
    """Which of the highest statistics of the null has a p-value of alpha."""
    # the factor keeps 0.1 * 10 at 1 in floating point
    rank = math.floor(alpha * (num_permutations + 1) * (1 + 1e-9))
    if rank < 1:
        raise ValueError(
            f"num_permutations={num_permutations} gives no p-value below "
            f"{1 / (num_permutations + 1):.3g}, so none reaches alpha={alpha}; use at least "
            f"{math.ceil((1 - 1e-9) / alpha) - 1}"
        )
    return rank
