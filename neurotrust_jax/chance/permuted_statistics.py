"""The statistic of permutations: the largest similarity over the concepts, as quick as can be.

Units of equal weights trade places, so most of what a metric computes is the same under every
permutation. Each type here holds that part and the arrays whose rows move.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import CountTable, count_rows, countable, list_rows, rows_fit
from .._numerics.sums import Sums, weighted_sums
from ..metrics.table import Metric
from ..metrics.transforms import VIEWS, both_vary
from ..probing.probe import Probe, Side
from ..schemes import MULTINOMIAL
from .permutations import Layout, rows_of
from .permuted_counts import ByCounts, permuted_counts

__all__ = [
    "CHUNK",
    "Statistic",
    "best_of_each",
    "permutations_at_once",
    "permuted_statistic",
    "rare_concepts",
]

CHUNK = 64  # permutations of a compiled call, where they are computed one by one
RARE = 0.12  # of the samples; a product is as quick for a concept that is present on more
MOST_RANKED = 2**15  # samples, whose ranks doubled and centred fit into 16 bits


class ByScores(NamedTuple):
    """A metric that is no function of six sums: every permutation scores its moved concepts."""

    neurons: Any
    labels: Side
    weights: Array

    def best(self, begin: Array, layout: Layout, metric: Metric) -> Array:
        """Largest similarity over the concepts, NaN if none is defined, [U].

        ``begin`` [G] is one permutation from :func:`draw_units`.
        """
        rows = rows_of(begin, layout)
        moved = jax.tree.map(lambda x: x[rows], self.labels)
        # what is prepared of the labels may hold row numbers (a sorted order)
        scores = metric.score((self.neurons, metric.prepare_concepts(moved)), self.weights)
        return jnp.nanmax(scores, axis=1)


class Fixed(NamedTuple):
    """What no permutation changes of six sums: only FC is left to compute.

    Attributes
    ----------
    sums : Sums
    weighted : Array [n, U]
        The neurons' view times the weights.
    defined : Array [U, C] of bool
    """

    sums: Sums
    weighted: Array
    defined: Array

    def of_concepts(self, some: np.ndarray) -> Fixed:
        """The same for some concepts."""
        sums = self.sums._replace(C=self.sums.C[:, some], CC=self.sums.CC[:, some])
        return Fixed(sums, self.weighted, self.defined[:, some])


class ByProduct(NamedTuple):
    """Six sums, by a product of the neurons and the moved concepts [n, C]."""

    fixed: Fixed
    concepts: Array

    def best(self, begin: Array, layout: Layout, metric: Metric) -> Array:
        """As :meth:`ByScores.best`."""
        sums, weighted, defined = self.fixed
        moved = self.concepts[rows_of(begin, layout)]
        product = jnp.matmul(weighted.T, moved, precision=lax.Precision.HIGHEST)
        return jnp.nanmax(metric.value(sums._replace(FC=product), defined), axis=1)


class ByRanks(NamedTuple):
    """Six sums of ranked neurons and rare concepts, whose ranks are added up where present.

    The ranks in the table are doubled and centred.
    """

    fixed: Fixed
    table: CountTable

    def best(self, begin: Array, layout: Layout, metric: Metric) -> Array:
        """As :meth:`ByScores.best`."""
        sums, _, defined = self.fixed
        rows = rows_of(begin, layout)
        num_samples = len(rows)
        # the row of ranks that each row of a concept meets
        met = jnp.zeros_like(rows).at[rows].set(jnp.arange(num_samples, dtype=rows.dtype))
        scale = sums.S / (2 * num_samples**2)
        if metric.concept_view == "rank":
            scale = scale / 2  # the rank of 0 and 1, centred, is half of them

        met = jnp.append(met, jnp.asarray(num_samples, met.dtype))
        both = count_rows(self.table, lambda x: met[x]).T.astype(sums.S.dtype) * scale
        return jnp.nanmax(metric.value(sums._replace(FC=both), defined), axis=1)


class ByRanksAndProduct(NamedTuple):
    """Rare concepts by their ranks, the others by a product."""

    rare: ByRanks
    common: ByProduct

    def best(self, begin: Array, layout: Layout, metric: Metric) -> Array:
        """As :meth:`ByScores.best`."""
        of_rare = self.rare.best(begin, layout, metric)
        return jnp.fmax(self.common.best(begin, layout, metric), of_rare)


Single = ByScores | ByProduct | ByRanks | ByRanksAndProduct
Statistic = Single | ByCounts


def permuted_statistic(probe: Probe, metric: Metric, layout: Layout) -> Statistic:
    """How the statistic of a permutation is computed quickest."""
    if countable(probe, metric):
        return permuted_counts(probe, layout)
    neurons, labels = metric.prepare_neurons(probe.neurons), probe.labels
    if metric.finalise is None:
        return ByScores(neurons, labels, probe.weights)
    fixed, concepts = _six_sums(
        (neurons, metric.prepare_concepts(labels)), probe.weights, metric=metric
    )
    rare = rare_concepts(probe, metric)
    if not rare.any():
        return ByProduct(fixed, concepts)
    ranks = (neurons.first + neurons.last - probe.num_samples).astype(jnp.int16)
    table = list_rows(np.asarray(labels.present)[:, rare], ranks)
    (common,), (own,) = np.nonzero(~rare), np.nonzero(rare)
    by_ranks = ByRanks(fixed.of_concepts(own), table)
    if len(common) == 0:
        return by_ranks
    by_product = ByProduct(fixed.of_concepts(common), concepts[:, common])
    return ByRanksAndProduct(by_ranks, by_product)


def best_of_each(statistic: Statistic, begin: Array, layout: Layout, metric: Metric) -> Array:
    """The statistic in permutations ``begin`` [b, G] from :func:`draw_units`, [b, U]."""
    if isinstance(statistic, ByCounts):
        return statistic.best(begin, layout, metric)
    return lax.map(lambda x: statistic.best(x, layout, metric), begin)


def permutations_at_once(statistic: Statistic, num_permutations: int, num_units: int) -> int:
    """How many permutations a compiled call should have, of so many in all."""
    if isinstance(statistic, ByCounts):
        return statistic.at_once(num_permutations, num_units)
    return min(CHUNK, num_permutations)


def rare_concepts(probe: Probe, metric: Metric) -> np.ndarray:
    """Concepts [C] whose sums of a neuron's ranks are quicker to add up than to multiply."""
    none = np.zeros(probe.num_concepts, bool)
    if jax.default_backend() != "cpu" or metric.neuron_view != "rank":
        return none
    few = probe.num_samples < MOST_RANKED
    if not (few and probe.equal_weights and rows_fit(probe, metric, MULTINOMIAL)):
        return none
    return np.asarray(probe.present).mean(axis=0) <= RARE


@partial(jax.jit, static_argnames="metric")
def _six_sums(prepared: tuple[Any, Any], weights: Array, *, metric: Metric) -> tuple[Fixed, Array]:
    """The sums that no permutation changes, and the view of the concepts [n, C].

    Units of equal weights trade places, so the views of the concepts, their sums and whether they
    vary are the same under every permutation.
    """
    neuron, concept = VIEWS[metric.neuron_view], VIEWS[metric.concept_view]
    f, c = neuron.evaluate(prepared[0], weights), concept.evaluate(prepared[1], weights)
    defined = both_vary(neuron.distinct(prepared[0]), concept.distinct(prepared[1]), weights)
    sums = weighted_sums(f, c, weights)
    return Fixed(sums, weights[:, None] * f, defined), c
