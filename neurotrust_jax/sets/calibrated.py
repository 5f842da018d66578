"""The one-against-all test on replicates: which concepts of a layer can not be ruled out."""

from __future__ import annotations

import itertools
import math
import warnings
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import MAX_CANDIDATES, LabellingMethod, at_top, stable_scale
from .._numerics.packing import round_up_shape
from ..faithfulness.bounds import CoverageWarning
from ..faithfulness.certificates import LOWER_SHARE
from ..metrics.metric import Metric
from ..probing.probe import Probe
from ..resampling.bootstrapping import Bootstrap
from .common_bar import retained_for_fresh_label
from .max_test import retained
from .pairs import (
    Followed,
    Pairs,
    fold_rows,
    order_statistic,
    pairs_of,
    student_factor,
)
from .rule import ConceptSets, SetInputs, SetRule, at_label, threshold_note

__all__ = ["CALIBRATED", "replicate_rank"]

LIST_LENGTHS = (8, 64, MAX_CANDIDATES)  # lists of candidates are padded to these lengths
WORTH_COMPILING = 1 << 23  # values of padding, a tenth of a second; compiling takes longer
VALUES = 1 << 22  # replicates of candidates on the device at once; more memory takes long to get
FIRST_STEP = 0.1  # share of alpha spent on a bound of how far rivals are truly ahead


class Ranks(NamedTuple):
    """Ranks among the replicates in ascending order, scalars of int in 1 .. B.

    Attributes
    ----------
    test : Array
        Of the critical value.
    first : Array
        Of the bound of how far rivals are truly ahead; 0 leaves this first step out.
    lower : Array
        Of the deviation that lower bounds allow for.
    """

    test: Array
    first: Array
    lower: Array


def replicate_rank(level: float, num_replicates: int) -> int:
    """Rank of the replicate, in ascending order, that is at least the quantile of the level."""
    return max(1, math.ceil(level * (num_replicates + 1) * (1 - 1e-9)))


def calibrated_sets(inputs: SetInputs) -> ConceptSets:
    """The sets of the one-against-all test, and which of their members no test could look at."""
    boot, alpha, target = inputs[:3]
    num_replicates = boot.num_replicates
    if replicate_rank(1 - alpha, num_replicates) > num_replicates:
        warnings.warn(
            f"{num_replicates} replicates can not reach level {1 - alpha:g}, so every set is "
            f"full; use at least {math.ceil(1 / alpha - 1e-9) - 1}",
            CoverageWarning,
            stacklevel=4,
        )
    beta = FIRST_STEP * alpha
    first = replicate_rank(1 - beta, num_replicates)
    if first > num_replicates or target == "replication":  # one step, with all of alpha
        beta, first = 0.0, 0
    rank = replicate_rank(1 - alpha + beta, num_replicates)
    full = rank > num_replicates
    lower = replicate_rank(1 - LOWER_SHARE * alpha, num_replicates)
    ranks = Ranks(*jax.device_put((min(rank, num_replicates), first, min(lower, num_replicates))))
    tested, floor = _tested(boot, ranks, target == "replication")
    stays, untested = _by_replicates(boot.candidates, tested, boot.thin, boot.excluded)
    if target == "best" and isinstance(boot.definition, Metric) and isinstance(boot.probe, Probe):
        floor = floor if lower <= num_replicates else np.full_like(floor, -np.inf)
        stays, untested = _by_bounds(inputs, stays, untested, floor)
    mask, untested = _joined(stays, untested, boot.label, full)
    return ConceptSets(mask, untested, alpha, CALIBRATED.name, target, _promise(inputs))


CALIBRATED = SetRule("calibrated", ("best", "replication"), "neuron", (), calibrated_sets)


def _promise(inputs: SetInputs) -> str:
    boot, alpha, target = inputs[:3]
    what = {
        "best": "hold the population's most similar concept",
        "replication": "hold the label of a fresh probing set of the same size",
    }[target]
    text = f"sets of each neuron alone {what} with {100 * (1 - alpha):g}% probability, in the limit"
    probe, metric = boot.probe, boot.definition
    text += f" of many {probe.unit_name}"
    if isinstance(probe, Probe) and isinstance(metric, Metric):
        text += threshold_note(probe, metric)
    return text


def _by_bounds(
    inputs: SetInputs, stays: Array, untested: Array, floor: np.ndarray
) -> tuple[Array, Array]:
    """Rule out untested concepts by bounds that hold for every sample size.

    The floor [U] is the largest of the lower bounds that replicates give. Where the label is on
    enough evidence for replicates, an untested concept is ruled out if its upper bound is below the
    floor. Where it is not, the test has no leader to compare with, and the set is that of the
    certificate. Its members count as tested if they are the label alone, or if the label is at the
    top of the metric's range and not merely on too little evidence.
    """
    boot = inputs.boot
    label = np.asarray(boot.label)
    thin_label = _of_label(np.asarray(boot.thin), label)
    if not (np.asarray(untested).any() or thin_label.any()):
        return stays, untested
    low, high = inputs.certificate_bounds()
    if high.asymptotic:  # such bounds are not valid on few positives
        return stays, untested
    return _with_bounds(
        stays, untested, boot.similarity, low.lower, high.upper,
        floor.astype(high.upper.dtype)[:, None], label[:, None], thin_label[:, None],
        metric=boot.definition,
    )  # fmt: skip


@partial(jax.jit, static_argnames="metric")
def _with_bounds(
    stays: Array,
    untested: Array,
    similarity: Array,
    lower: Array,
    upper: Array,
    floor: Array,
    label: Array,
    thin_label: Array,
    *,
    metric: Metric,
) -> tuple[Array, Array]:
    top = jnp.take_along_axis(at_top(metric, similarity), jnp.maximum(label, 0), axis=1)
    scarce = thin_label & ~top
    reaching = stable_scale(metric, upper) >= floor
    certified = upper >= lower.max(axis=1, keepdims=True)
    several = certified.sum(axis=1, keepdims=True) > 1
    untested = jnp.where(thin_label, certified & several & scarce, untested & reaching)
    return jnp.where(thin_label, certified, stays), untested


def _of_label(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The value of each neuron's label among booleans [U, C], False without a label: [U]."""
    found = np.take_along_axis(values, np.maximum(label, 0)[:, None], axis=1)[:, 0]
    return found & (label >= 0)


def _tested(boot: Bootstrap, ranks: Ranks, replication: bool) -> tuple[np.ndarray, np.ndarray]:
    """Candidates that are not ruled out [U, K], and the largest of their lower bounds [U].

    Neurons whose lists of candidates have similar lengths are computed together, since a single
    neuron with many candidates would otherwise make all lists as long as its list.
    """
    candidates = np.asarray(boot.candidates)
    length = (candidates >= 0).sum(axis=1)
    begin = np.cumsum(length) - length
    stays = np.zeros(candidates.shape, bool)
    similarity = np.asarray(stable_scale(boot.definition, boot.similarity))
    evidence = np.asarray(boot.evidence)
    floor = np.full(len(length), -np.inf, similarity.dtype)
    lists = _list_lengths(length, candidates.shape[1], boot.num_replicates)
    for shorter, width in itertools.pairwise([0, *lists]):
        (own,) = np.nonzero((length > shorter) & (length <= width))
        if len(own) == 0:
            continue
        room = max(VALUES // (width * boot.num_replicates), 1)
        size = min(round_up_shape(len(own)), room)
        place = np.arange(width)[None, :]
        for at in range(0, len(own), size):
            some = np.resize(own[at : at + size], size)
            present = place < length[some][:, None]
            column = np.where(present, candidates[some][:, :width], 0)
            row = np.where(present, begin[some][:, None] + place, 0)
            followed = Followed(
                _rows(boot.replicates, row),
                jax.device_put(np.take_along_axis(similarity[some], column, axis=1)),
                jax.device_put(np.take_along_axis(evidence[some], column, axis=1)),
                jax.device_put(present),
            )
            found = _calibrated(followed, ranks, metric=boot.definition, replication=replication)
            stays[some, :width], floor[some] = map(np.asarray, found)
    return stays, floor


def _list_lengths(length: np.ndarray, longest: int, num_replicates: int) -> list[int]:
    """To which lengths lists of candidates are padded, in ascending order.

    Each length is compiled by itself, so a short one must save many values of padding.
    """
    widths = sorted({min(width, longest) for width in LIST_LENGTHS})
    chosen = widths[-1:]
    for width in widths[-2::-1]:
        saved = np.count_nonzero(length <= width) * (chosen[0] - width) * num_replicates
        if saved >= WORTH_COMPILING:
            chosen.insert(0, width)
    return chosen


@jax.jit
def _rows(replicates: Array, rows: Array) -> Array:
    return replicates[rows]


@jax.jit
def _by_replicates(
    candidates: Array, tested: Array, thin: Array, excluded: Array
) -> tuple[Array, Array]:
    """Which concepts stay in the set, and which no test could look at, [U, C] of bool each.

    Concepts on ample evidence that are close to the lead but no candidates stay, too.
    """
    num_concepts = excluded.shape[1]
    followed = _scatter(candidates, candidates >= 0, num_concepts)
    beyond = ~thin & ~excluded & ~followed
    return _scatter(candidates, tested, num_concepts) | beyond, thin & ~excluded & ~followed


@jax.jit
def _joined(stays: Array, untested: Array, label: Array, full: Array) -> tuple[Array, Array]:
    """The sets, and which of their members are untested, [U, C] of bool each."""
    untested = untested | (label < 0)[:, None]
    return stays | untested | at_label(label, stays.shape[1]) | full, untested


def _scatter(candidates: Array, values: Array, num_concepts: int) -> Array:
    """Put booleans [U, K] of the candidates into the columns of their concepts, [U, C]."""
    neuron = jnp.arange(candidates.shape[0], dtype=jnp.int32)[:, None]
    column = jnp.where(candidates >= 0, candidates, num_concepts)
    wide = jnp.zeros((candidates.shape[0], num_concepts + 1), bool)
    return wide.at[neuron, column].max(values)[:, :-1]


@partial(jax.jit, static_argnames=("metric", "replication"))
def _calibrated(
    followed: Followed, ranks: Ranks, *, metric: Metric | LabellingMethod, replication: bool
) -> tuple[Array, Array]:
    """Candidates that are not ruled out [U, K], and the largest of their lower bounds [U].

    Replicates [U, K, B] are as the metric has them.
    """

    def one(neuron: Followed) -> tuple[Array, Array]:
        pairs = pairs_of(neuron._replace(replicates=stable_scale(metric, neuron.replicates)))
        if replication:
            stays = retained_for_fresh_label(pairs, neuron.present, ranks.test)
        else:
            stays = retained(pairs, neuron.present, ranks.test, ranks.first)
        return stays, _lower_bounds(neuron, pairs, ranks.lower).max()

    return lax.map(one, followed)


def _lower_bounds(neuron: Followed, pairs: Pairs, rank: Array) -> Array:
    """Simultaneous lower bounds of the true similarities of the strong candidates, [K]."""
    spread = jnp.sqrt(pairs.variance)
    scaled = pairs.deviation / jnp.where(spread > 0, spread, 1)[:, None]
    scaled = jnp.where(pairs.undefined, jnp.inf, scaled)
    scaled = jnp.where(pairs.strong[:, None], scaled, -jnp.inf)
    most = fold_rows(jnp.maximum, jnp.full(scaled.shape[1], -jnp.inf, scaled.dtype), scaled)
    quantile = order_statistic(most, rank)
    bound = neuron.similarity - quantile * student_factor(quantile, neuron.evidence) * spread
    return jnp.where(pairs.strong, bound, -jnp.inf)
