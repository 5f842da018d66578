"""The one-against-all test on replicates: which concepts of a neuron can not be ruled out."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._engine import MAX_CANDIDATES, LabellingMethod, at_top, stable_scale
from .._numerics.packing import round_up_shape
from ..faithfulness.bounds import CoverageWarning
from ..faithfulness.certificates import LOWER_SHARE
from ..faithfulness.evidence import student_ratio
from ..metrics.metric import Metric
from ..probing.probe import Probe
from ..resampling.bootstrapping import Bootstrap
from .rule import ConceptSets, SetInputs, SetRule, at_label, threshold_note

__all__ = ["CALIBRATED", "replicate_rank"]

LIST_LENGTHS = (8, 32, 128, MAX_CANDIDATES)  # lists of candidates are padded to these lengths
RIVAL_UNITS = 20.0  # effective units that a rival needs, if the most similar candidate has them
FIRST_STEP = 0.1  # share of alpha spent on a bound of how far rivals are truly ahead


def replicate_rank(level: float, num_replicates: int) -> int:
    """Rank of the replicate, in ascending order, that is at least the quantile of the level."""
    return max(1, math.ceil(level * (num_replicates + 1) * (1 - 1e-9)))


class Followed(NamedTuple):
    """Replicates of every neuron's candidates, on the stable scale.

    Attributes
    ----------
    replicates : Array [U, K, B]
        NaN where undefined.
    similarity, evidence : Array [U, K]
    present : Array [U, K] of bool
        Whether there is a candidate.
    """

    replicates: Array
    similarity: Array
    evidence: Array
    present: Array


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
    level = min(rank, num_replicates)
    settle = partial(_calibrated, rank=level, first=first, replication=target == "replication")
    tested = _over_lists(boot, settle, False)
    stays, untested = _by_replicates(boot.candidates, tested, boot.thin, boot.excluded)
    if target == "best" and isinstance(boot.definition, Metric) and isinstance(boot.probe, Probe):
        stays, untested = _by_bounds(inputs, stays, untested)
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


def _by_bounds(inputs: SetInputs, stays: Array, untested: Array) -> tuple[Array, Array]:
    """Rule out untested concepts by bounds that hold for every sample size.

    Where the label is on enough evidence for replicates, an untested concept is ruled out if its
    upper bound is below the largest of the lower bounds that replicates give the others. Where it
    is not, the test has no leader to compare with, and the set is that of the certificate. Its
    members count as tested if they are the label alone, or if the label is at the top of the
    metric's range and not merely on too little evidence.
    """
    boot = inputs.boot
    assert isinstance(boot.definition, Metric)
    thin_label = _of_label(boot.thin, boot.label)
    if not bool(untested.any() | thin_label.any()):
        return stays, untested
    scarce = thin_label & ~_of_label(at_top(boot.definition, boot.similarity), boot.label)
    low, high = inputs.certificate_bounds()
    if high.asymptotic:  # such bounds are not valid on few positives
        return stays, untested
    rank = replicate_rank(1 - LOWER_SHARE * inputs.alpha, boot.num_replicates)
    floor = np.full(len(boot.label), -np.inf)
    if rank <= boot.num_replicates:
        floor = _over_lists(boot, partial(_lower_bounds, rank=rank), -np.inf).max(axis=1)
    reaching = stable_scale(boot.definition, high.upper) >= floor[:, None]
    return _with_bounds(
        stays, untested, reaching, low.lower, high.upper, thin_label[:, None], scarce[:, None]
    )


@jax.jit
def _with_bounds(
    stays: Array,
    untested: Array,
    reaching: Array,
    lower: Array,
    upper: Array,
    thin_label: Array,
    scarce: Array,
) -> tuple[Array, Array]:
    certified = upper >= lower.max(axis=1, keepdims=True)
    several = certified.sum(axis=1, keepdims=True) > 1
    untested = jnp.where(thin_label, certified & several & scarce, untested & reaching)
    return jnp.where(thin_label, certified, stays), untested


@jax.jit
def _of_label(values: Array, label: Array) -> Array:
    """The value of each neuron's label among booleans [U, C], False without a label: [U]."""
    found = jnp.take_along_axis(values, jnp.maximum(label, 0)[:, None], axis=1)[:, 0]
    return found & (label >= 0)


def _over_lists(boot: Bootstrap, fn: Callable[[Followed], Array], empty: Any) -> np.ndarray:
    """Apply ``fn(followed) -> [u, k]`` to all neurons, [U, K]; ``empty`` fills up.

    Neurons whose lists of candidates have similar lengths are computed together, since a single
    neuron with many candidates would otherwise make all lists as long as its list.
    """
    candidates = np.asarray(boot.candidates)
    length = (candidates >= 0).sum(axis=1)
    begin = np.cumsum(length) - length
    result = np.full(candidates.shape, empty)
    similarity = np.asarray(stable_scale(boot.definition, boot.similarity))
    evidence = np.asarray(boot.evidence)
    lists = sorted({min(width, candidates.shape[1]) for width in LIST_LENGTHS})
    for shorter, width in itertools.pairwise([0, *lists]):
        (own,) = np.nonzero((length > shorter) & (length <= width))
        if len(own) == 0:
            continue
        some = np.resize(own, round_up_shape(len(own)))
        place = np.arange(width)[None, :]
        present = place < length[some][:, None]
        column = np.where(present, candidates[some][:, :width], 0)
        row = np.where(present, begin[some][:, None] + place, 0)
        followed = Followed(
            _scaled_rows(boot.replicates, row, metric=boot.definition),
            jax.device_put(np.take_along_axis(similarity[some], column, axis=1)),
            jax.device_put(np.take_along_axis(evidence[some], column, axis=1)),
            jax.device_put(present),
        )
        values = np.asarray(fn(followed))[: len(own)]
        result[own, :width] = np.where(present[: len(own)], values, empty)
    return result


@partial(jax.jit, static_argnames="metric")
def _scaled_rows(replicates: Array, rows: Array, *, metric: Metric | LabellingMethod) -> Array:
    return stable_scale(metric, replicates[rows])


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


@partial(jax.jit, static_argnames="replication")
def _calibrated(followed: Followed, rank: Array, first: Array, *, replication: bool) -> Array:
    """Candidates that are not ruled out, [U, K]. A ``first`` of 0 leaves the first step out."""
    return lax.map(lambda x: _keep(x, rank, first, replication=replication), followed)


@jax.jit
def _lower_bounds(followed: Followed, rank: Array) -> Array:
    """Simultaneous lower bounds of the true similarities of the strong candidates, [U, K]."""
    replicates, similarity, evidence, present = followed
    deviation = replicates - similarity[:, :, None]
    undefined = jnp.isnan(deviation)
    spread = jnp.where(undefined, 0, deviation).std(axis=2)
    scale = jnp.where(spread > 0, spread, 1)
    most = jnp.where(undefined, jnp.inf, deviation / scale[:, :, None])
    strong = present & _strong(evidence)
    most = jnp.where(strong[:, :, None], most, -jnp.inf).max(axis=1)
    quantile = lax.map(lambda x: _order_statistic(x, rank), most)[:, None]
    bound = similarity - quantile * _student(quantile, evidence) * spread
    return jnp.where(strong, bound, -jnp.inf)


def _strong(evidence: Array) -> Array:
    """Which candidates are rivals that the others are compared with, [..., K].

    Where the most similar candidate is on ample evidence, candidates on less evidence are no
    rivals. Fewer rivals never rule out more, and replicates of a concept that is present a few
    times are far from normal.
    """
    ample = evidence >= RIVAL_UNITS
    return ample | ~ample[..., :1]


def _keep(followed: Followed, rank: Array, first: Array, *, replication: bool) -> Array:
    """Test the candidates of one neuron: replicates [K, B], the other arrays [K]."""
    replicates, similarity, evidence, present = followed
    deviation = replicates - similarity[:, None]
    undefined = jnp.isnan(deviation)
    known = jnp.where(undefined | ~present[:, None], 0, deviation)
    centred = known - known.mean(axis=1, keepdims=True)
    covariance = jnp.matmul(centred, centred.T, precision=lax.Precision.HIGHEST)
    num_replicates = replicates.shape[1]
    covariance = covariance / num_replicates
    variance = jnp.diag(covariance)
    # rows are rivals, columns the concept under test
    both = variance[:, None] + variance[None, :]
    square = jnp.maximum(both - 2 * covariance, jnp.finfo(both.dtype).eps * both)
    sigma = jnp.sqrt(jnp.where(square > 0, square, 1))
    ahead = (similarity[:, None] - similarity[None, :]) / sigma
    itself = jnp.eye(similarity.shape[0], dtype=bool)
    rival = (present & _strong(evidence))[:, None] & ~itself

    def deviations(c: Array, otherwise: float) -> Array:
        """Deviation of each rival's lead over concept c in each replicate, [K, B]."""
        z = (known - known[c][None, :]) / sigma[:, c][:, None]
        return jnp.where(rival[:, c][:, None] & ~undefined, z, otherwise)

    def critical(c: Array) -> Array:
        slack = -_order_statistic(deviations(c, jnp.inf).min(axis=0), num_replicates + 1 - first)
        most = jnp.minimum(ahead[:, c] + slack * _student(slack, evidence[c]), 0)
        move = jnp.where(first > 0, most, jnp.zeros_like(most))
        highest = (deviations(c, -jnp.inf) + move[:, None]).max(axis=0)
        return _order_statistic(jnp.where(undefined[c], jnp.inf, highest), rank)

    def largest(c: Array) -> Array:
        return jnp.where(present[c], deviations(c, -jnp.inf).max(axis=0), -jnp.inf)

    every = jnp.arange(similarity.shape[0], dtype=jnp.int32)
    if replication:
        bar = _order_statistic(lax.map(largest, every).max(axis=0), rank)
        bar = jnp.full_like(similarity, bar * math.sqrt(2))
    else:
        bar = lax.map(critical, every)
    bar = jnp.maximum(bar, 0)
    wider = _student(bar[None, :], evidence[:, None]) ** 2 - 1
    own = _student(bar, evidence) ** 2 - 1
    inflated = square + wider * variance[:, None] + (own * variance)[None, :]
    distance = ahead * sigma / jnp.sqrt(jnp.where(inflated > 0, inflated, 1))
    worst = jnp.where(rival, distance, -jnp.inf).max(axis=0)
    return present & ~(worst > bar)


def _order_statistic(x: Array, rank: Array | int) -> Array:
    """The rank-th smallest of x [B], found bit by bit because XLA sorts slowly on CPUs."""
    signed, unsigned = (jnp.dtype(f"{kind}{8 * x.dtype.itemsize}") for kind in ("int", "uint"))
    last = jnp.iinfo(unsigned).bits - 1
    bits = lax.bitcast_convert_type(x, signed)
    # order as floats do: flip the sign bit of the positive, all bits of the negative
    flips = lax.bitcast_convert_type(bits >> last, unsigned) | jnp.asarray(1 << last, unsigned)
    code = lax.bitcast_convert_type(bits, unsigned) ^ flips

    def settle(i: Array, found: Array) -> Array:
        higher = found | (jnp.asarray(1, unsigned) << (last - i).astype(unsigned))
        return jnp.where((code < higher).sum(dtype=jnp.int32) < rank, higher, found)

    found = lax.fori_loop(0, last + 1, settle, jnp.asarray(0, unsigned))
    sign = jnp.asarray(1 << last, unsigned)
    return lax.bitcast_convert_type(jnp.where(found >= sign, found ^ sign, ~found), x.dtype)


def _student(quantile: Array, units: Array) -> Array:
    """Ratio of Student's t quantile to the normal one, for a spread estimated from some units.

    It includes the root of units / (units - 1), as the variance of replicates divides by the number
    of units.
    """
    freedom = jnp.maximum(units - 1, 1)
    ratio = student_ratio(jnp.where(jnp.isfinite(quantile), quantile, 0), freedom)
    return ratio * jnp.sqrt((freedom + 1) / freedom)
