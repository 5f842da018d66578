"""Find the concepts that can win a replicate at all.

Given the data, a replicate of the bootstrap is a sample from a known law, so the bounds that hold
for a probing set about its population hold for a replicate about the probing set: what certifies a
label also shows, before any replicate is drawn, which concepts will never overtake it.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.ranks import Ranking
from .._numerics.sums import Sums
from ..faithfulness.concentration import replicate_bounds
from ..faithfulness.estimands import Data, Units, counted_share, ratio_data
from ..metrics.interval_rules import AREA_OF_NEURON, IntervalRule
from ..metrics.metric import Metric
from ..probing.probe import Probe, Side
from ..schemes import Scheme
from .candidates import EDGE

__all__ = [
    "FAILURE",
    "has_bounds",
    "has_share_bounds",
    "range_of_shares",
    "replicate_errors",
    "replicate_range",
]

FAILURE = 1e-6  # probability that any replicate of any pair leaves its range


def _rule_of(metric: Metric) -> IntervalRule:
    assert metric.ordering_rule is not None
    return metric.ordering_rule


def replicate_range(
    probe: Probe, metric: Metric, scheme: Scheme, num_replicates: int, observed: Array
) -> tuple[Array | np.ndarray, Array | np.ndarray]:
    """Lower and upper bounds [U, C] between which the similarity of every replicate lies.

    All of them hold at once but for a probability of 1e-6: a share r of N samples exceeds t in one
    replicate with probability at most exp(-N (1 - exp(-kl(t, r)))), see :func:`replicate_bounds`,
    and the union is taken over replicates, neurons, concepts, the shares a metric is made of, and
    the two bounds. Where a replicate may lack the concept or its absence, and so leave the
    similarity undefined, the lower bound is -inf.

    The replicates of ``spearman`` have no bounds by themselves; a factor that orders a neuron's
    concepts in the same way takes their place. ``observed`` [U, C] are the similarities by
    :attr:`Metric.ordering_statistic`. Only where :func:`has_bounds`.
    """
    log_error = _log_error(metric, observed, num_replicates)
    taken = scheme.num_drawn(probe.num_units) / probe.num_units
    allowed = jnp.asarray(log_error / taken, probe.weights.dtype)
    lower, upper = (np.empty(observed.shape, allowed.dtype) for _ in range(2))
    for neurons, part in probe.in_neurons():
        for some, concepts in probe.in_columns():
            own = neurons, some
            bounds = _bounds(part.neurons, concepts.labels, observed[own], allowed, metric=metric)
            if bounds[0].shape == observed.shape:  # all at once: they may stay where they are
                return bounds
            lower[own], upper[own] = bounds
    return lower, upper


def replicate_errors(
    probe: Probe, metric: Metric, ranking: Ranking | None, observed: Array
) -> np.ndarray | None:
    """Upper bounds [U, C], on the stable scale, of the standard errors of replicates.

    To first order the variance of an AUROC A is var F / N+ + var G / N- (DeLong et al., 1988), F
    the share of the N- absent samples below a present one and G that of the N+ present ones above
    an absent one. The ranks r of present samples, as shares of all n, and r+ among themselves obey
    N- F = n r - N+ r+. Twice their covariance is half of Gini's mean difference of r, and so at
    least var r, as r lies in [0, 1]: var F <= (n / N-) var r + (N+ / N-)^2 / 12; also, var F is at
    most A (1 - A). So for G, with both kinds of samples exchanged. The error is then a tenth too
    large for rare concepts, up to 1.8 times for those present on half of the samples, and more
    where A is near 1.

    The result is None for other metrics, and where activations are not ranked (``ranking``). It
    holds only where :func:`has_bounds`.
    """
    if metric.interval_rule != AREA_OF_NEURON or ranking is None:
        return None
    errors = np.empty(observed.shape, observed.dtype)
    for some, part in probe.in_columns():
        errors[:, some] = _errors_of_ranks(ranking, part.present, observed[:, some])
    return errors


def has_bounds(probe: Probe, metric: Metric, scheme: Scheme) -> bool:
    """Whether replicates have bounds.

    The metric is made of shares of single samples or of pairs, or ordered by such; samples are
    independent, of one weight, and drawn by a scheme of whole counts. Ranked concepts must be of 0
    and 1.
    """
    rule = metric.ordering_rule
    # Hoeffding's theorem 4 carries the bound to draws without replacement, but of single samples
    paired = rule is not None and rule.paired
    return (
        rule is not None
        and rule.countable
        and probe.groups is None
        and probe.equal_weights
        and (scheme.bounds_pairs if paired else scheme.bounds_shares)
    )


def has_share_bounds(metric: Metric, scheme: Scheme) -> bool:
    """Whether replicates of independent samples have bounds that follow from sums alone."""
    rule = metric.ordering_rule
    return rule is not None and rule.countable and not rule.paired and scheme.bounds_shares


def range_of_shares(
    sums: Sums, metric: Metric, num_replicates: int, observed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`replicate_range`, from the sums of independent samples of weight 1."""
    log_error = _log_error(metric, observed, num_replicates)
    # in single precision the counts of a large number of samples are rounded
    num_samples = float(sums.S)
    allowed = log_error + 8 * float(np.finfo(np.float32).eps) * num_samples
    single = Sums(*(jnp.asarray(x, jnp.float32) for x in sums))
    found = _bounds_of_sums(single, jnp.asarray(allowed, jnp.float32), metric=metric)
    lower, upper = (np.array(x) for x in found)
    rarer = np.minimum(sums.C, num_samples - sums.C)
    return np.where(rarer >= log_error, lower, -np.inf), upper


@partial(jax.jit, static_argnames="metric")
def _bounds_of_sums(sums: Sums, log_error: Array, *, metric: Metric) -> tuple[Array, Array]:
    rule = _rule_of(metric)
    evidence = [counted_share(part, sums) for part in rule.shares]
    lowest, highest = zip(*(replicate_bounds(x, log_error) for x in evidence), strict=True)
    none = jnp.zeros((1, 1), log_error.dtype)
    return rule.carry(list(lowest), list(highest), (none, none))


def _log_error(metric: Metric, observed: Array | np.ndarray, num_replicates: int) -> float:
    """Logarithm of the number of events over the probability that one of them happens."""
    # for each pair: two bounds of each part, and two events that leave its similarity undefined; a
    # statistic of pairs of samples takes two classes, each of which may fall short
    events = 4 * len(_rule_of(metric).parts) + 2
    return math.log(events * observed.size * num_replicates / FAILURE)


@partial(jax.jit, static_argnames="metric")
def _bounds(
    neurons: Side, labels: Side, observed: Array, log_error: Array, *, metric: Metric
) -> tuple[Array, Array]:
    num_samples, num_neurons = neurons.values.shape
    one, zeros = jnp.ones_like(log_error), jnp.zeros(num_neurons, log_error.dtype)
    weights = jnp.ones(num_samples, log_error.dtype)
    data = Data(neurons, labels, weights, None, one, zeros, zeros)
    rule, single = _rule_of(metric), Units(num_samples, single=True)
    evidence = [ratio_data(part, data, observed, units=single) for part in rule.parts]
    lowest, highest = zip(*(replicate_bounds(x, log_error) for x in evidence), strict=True)
    no_range = zeros[:, None], zeros[:, None]
    lower, upper = rule.carry(list(lowest), list(highest), no_range)
    present = labels.present.sum(axis=0, dtype=jnp.int32)
    rarer = jnp.minimum(present, num_samples - present).astype(one.dtype)
    return jnp.where((rarer >= log_error)[None, :], lower, -jnp.inf), upper


@jax.jit
def _errors_of_ranks(ranking: Ranking, present: Array, auroc: Array) -> Array:
    dtype, num_samples = auroc.dtype, present.shape[0]
    rank = (ranking.first + ranking.last).astype(dtype) / (2 * num_samples) - 0.5
    square = jnp.matmul((rank**2).T, present.astype(dtype), precision=lax.Precision.HIGHEST)
    number = present.sum(axis=0, dtype=jnp.int32)[None, :].astype(dtype)
    inside = jnp.clip(auroc, EDGE, 1 - EDGE)
    most = inside * (1 - inside)

    def part(square: Array, own: Array, others: Array) -> Array:
        """What samples add to the variance whose squares of ranks sum to ``square``."""
        variance = square / own - (others / num_samples * (auroc - 0.5)) ** 2
        limit = num_samples / others * variance + (own / others) ** 2 / 12
        return jnp.minimum(limit, most) / own

    absent = num_samples - number
    rest = (rank**2).sum(axis=0)[:, None] - square
    # the slope of the logit is the reciprocal of A (1 - A)
    return jnp.sqrt(part(square, number, absent) + part(rest, absent, number)) / most
