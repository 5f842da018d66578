"""Faithfulness: how far the true similarity can be from the measured one, and what follows."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .checks import check_share
from .concentration import LIMITS, Evidence, dkw
from .evidence import Data, Pairs, Share
from .influence import standard_error
from .metrics import METRICS, Metric, get_metric
from .probe import Probe
from .rules import PREVALENCE, RULES, UNIFORM_RULES
from .similarity import at_concept, similarity, undefined_reason, winner
from .sums import per_unit

__all__ = ["Certificate", "CoverageWarning", "Intervals", "certify", "intervals"]

METHODS = ("auto", *LIMITS, "agarwal", "dkw", "asymptotic")
SIMULTANEOUS = ("none", "concepts", "all")
LOWER_SHARE = 0.25  # of a certificate's delta


class CoverageWarning(UserWarning):
    """A statement may hold less often than it says."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("lower", "upper", "similarity", "reason"),
    meta_fields=("metric", "method", "delta", "simultaneous", "units", "thresholds"),
)
@dataclass(frozen=True, eq=False)
class Intervals:
    """Two-sided intervals for the true similarity of every neuron and concept.

    Attributes
    ----------
    lower, upper : Array [U, C]
        Within the metric's range. NaN only for ``method="asymptotic"``, where ``reason`` says why;
        elsewhere a pair on which the data say nothing gets the whole range (infinite for a metric
        without one).
    similarity : Array [U, C]
        The measured value; NaN where undefined.
    reason : Array [U, C] of int32
        :class:`Reason` codes of undefined similarities, else 0.
    metric, method : str
        The method that was used; never ``"auto"``.
    delta : float
        Probability of a miss.
    simultaneous : {"none", "concepts", "all"}
        Whether delta is for each pair alone, for all concepts of a neuron, or for all pairs.
    units : str
        What is taken as independent.
    thresholds : str
        How the neurons' thresholds enter; empty where the metric has none.
    """

    lower: Array
    upper: Array
    similarity: Array
    reason: Array
    metric: str
    method: str
    delta: float
    simultaneous: str
    units: str
    thresholds: str

    @property
    def finite_sample(self) -> bool:
        """Whether the guarantee holds for every n, not just in the limit."""
        return self.method != "asymptotic"

    @property
    def guarantee(self) -> str:
        """What the intervals promise, in one sentence."""
        scope = {
            "none": "each pair alone",
            "concepts": "all concepts of a neuron at once",
            "all": "all neurons and concepts at once",
        }[self.simultaneous]
        return _promise(self, self.delta, scope)


def intervals(
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    delta: float = 0.05,
    method: str = "auto",
    simultaneous: str = "none",
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
) -> Intervals:
    """Intervals that hold the true similarity with probability 1 - delta.

    The true similarity is that of the law from which the units (samples, or groups) are drawn
    independently. With groups or unequal sample weights it is a ratio of expectations per unit.

    Parameters
    ----------
    probe : Probe
    metric : str or Metric
    delta : float in (0, 1)
        Probability of a miss.
    method : str
        For every sample size: ``"exact"`` (Clopper and Pearson, 1934, given the number of samples
        that meet the condition: active, present, either), ``"chernoff"`` and ``"hoeffding"``
        (Hoeffding, 1963; for AUROC as a two-sample U-statistic), ``"bernstein"`` (Maurer and
        Pontil, 2009), ``"tightest"`` (Chernoff and Bernstein, at half of delta each), ``"agarwal"``
        (Agarwal et al., 2005, AUROC only), all for thresholds fixed beforehand; ``"dkw"`` (Massart,
        1990) for all thresholds at once. In the limit: ``"asymptotic"`` (infinitesimal jackknife;
        of no width where the estimate sits at the end of its range). ``"auto"``: dkw where a metric
        of active samples meets thresholds from the same data, else exact, else tightest, else, for
        metrics without limits, asymptotic.
    simultaneous : {"none", "concepts", "all"}
        Divide delta by the number of concepts, or of pairs (Bonferroni).
    activation_range : pair of float or array [U], optional
        Smallest and largest activation possible, known beforehand. With it ``mad``,
        ``standardised_mad``, ``correlation`` and ``cosine`` have limits for every sample size.
    largest_unit : float, optional
        Largest total weight that a unit can have, in units of the heaviest sample's weight (of
        equal weights: the most samples in a group); the largest seen unless given. Matters with
        groups and unequal weights only.

    Returns
    -------
    Intervals

    Raises
    ------
    ValueError
        If an option is unknown or out of range, the method does not fit metric and data (the
        message lists those that do), or an activation lies outside ``activation_range``.

    Warns
    -----
    CoverageWarning
        If a method for fixed thresholds is asked for thresholds that come from the same data.
    """
    if simultaneous not in SIMULTANEOUS:
        raise ValueError(
            f"simultaneous must be one of {', '.join(SIMULTANEOUS)}, got {simultaneous!r}"
        )
    level = delta, simultaneous
    return _intervals(probe, metric, [level], method, activation_range, largest_unit)[0]


def _intervals(
    probe: Probe,
    metric: str | Metric,
    levels: list[tuple[float, str]],
    method: str,
    activation_range: tuple[Any, Any] | None,
    largest_unit: float | None,
) -> list[Intervals]:
    """Intervals for each pair of delta and simultaneous, all by one method."""
    metric = get_metric(metric)
    for delta, _ in levels:
        check_share(delta, "delta")
    w = probe.weights
    each = np.asarray(w)
    independent = probe.groups is None and bool(((each == 0) | (each == each.max())).all())
    bound = _largest_unit(probe, largest_unit)
    low, high = _known_range(probe, activation_range)
    method = _resolve(probe, metric, method, independent, activation_range is not None)
    counts = {
        "none": 1, "concepts": probe.num_concepts, "all": probe.num_neurons * probe.num_concepts
    }  # fmt: skip
    shares = [delta / counts[simultaneous] for delta, simultaneous in levels]

    def of_neurons(some: slice, part: Probe) -> tuple[Array, list[tuple[Array, Array]]]:
        value = similarity(part, metric)
        if method == "asymptotic":
            error, freedom = standard_error(part, metric)
            halves = [_quantile(1 - share / 2, freedom) * error for share in shares]
            ends = [[jnp.clip(value + x, *metric.range) for x in (-h, h)] for h in halves]
            return value, [(lower, upper) for lower, upper in ends]
        data = _data(part, bound, low[some], high[some])
        units = None if independent else probe.num_units
        return value, _finite_sample(data, value, shares, metric, method, units)

    parts = [of_neurons(some, part) for some, part in probe.in_neurons()]
    value, limits = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    reason = undefined_reason(probe, metric, scores=value)
    return [
        Intervals(
            lower=lower,
            upper=upper,
            similarity=value,
            reason=reason,
            metric=metric.name,
            method=method,
            delta=float(delta),
            simultaneous=simultaneous,
            units=_units(probe, independent, bound / float(w.max())),
            thresholds=_thresholds(probe, metric, method),
        )
        for (delta, simultaneous), (lower, upper) in zip(levels, limits, strict=True)
    ]


def _data(probe: Probe, bound: float, low: Array, high: Array) -> Data:
    w = np.asarray(probe.weights)
    share, largest = (jax.device_put(np.asarray(x, w.dtype) / w.max()) for x in (w, bound))
    return Data(probe.neurons, probe.labels, share, probe.groups, largest, low, high)


def _largest_unit(probe: Probe, largest_unit: float | None) -> float:
    """Largest total weight that a unit can have."""
    heaviest = float(probe.weights.max())
    bound = float(np.max(per_unit(probe.weights, probe.groups, probe.num_units))) / heaviest
    if largest_unit is None:
        return bound * heaviest
    if not (math.isfinite(largest_unit) and largest_unit >= bound * (1 - 1e-6)):
        raise ValueError(
            f"largest_unit must be at least {bound:g}, the largest total weight of a unit seen in "
            f"units of the heaviest sample's, got {largest_unit}"
        )
    return float(largest_unit) * heaviest


def _known_range(probe: Probe, known: tuple[Any, Any] | None) -> tuple[Array, Array]:
    """Smallest and largest activation possible, [U] each; zeros where they are not known."""
    low = high = jax.device_put(np.zeros(probe.num_neurons, probe.weights.dtype))
    if known is None:
        return low, high
    low, high = (jnp.broadcast_to(jnp.asarray(x, low.dtype), low.shape) for x in known)
    for some, part in probe.in_neurons():
        values = part.neurons.values
        inside = (values >= low[some][None, :]) & (values <= high[some][None, :])
        if not bool(inside.all()):
            row, own = (int(i) for i in np.argwhere(~np.asarray(inside))[0])
            column = some.start + own
            raise ValueError(
                f"activation_range must hold every activation, but sample {row} of neuron {column} "
                f"has {float(values[row, own]):g}, outside [{float(low[column]):g}, "
                f"{float(high[column]):g}]; give the range the network can reach"
            )
    return low, high


def _resolve(probe: Probe, metric: Metric, method: str, independent: bool, ranged: bool) -> str:
    """The method to use, after checking that it fits."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    rules = RULES if METRICS.get(metric.name) is metric else {}
    rule = rules.get(metric.name)
    needs_range = rule is not None and any(part.needs_range for part in rule.parts) and not ranged
    fit = ["asymptotic"]
    if rule is not None and not needs_range:
        fit += ["hoeffding", "chernoff", "tightest"]
        if independent and all(part.binomial for part in rule.parts):
            fit.append("exact")
        if not any(isinstance(part, Pairs) for part in rule.parts):
            fit.append("bernstein")
        elif independent:
            fit.append("agarwal")
    if rules and metric.name in UNIFORM_RULES:
        fit.append("dkw")
    data_driven = metric.neuron_view == "binary" and not probe.thresholds_fixed
    if method == "auto":
        if data_driven:
            return "dkw" if "dkw" in fit else "asymptotic"
        return next(m for m in ("exact", "tightest", "asymptotic") if m in fit)
    if method not in fit:
        why = "groups or unequal weights are not binomial; " if method == "exact" else ""
        if needs_range:
            why = "limits for every sample size need activation_range=(low, high); "
        raise ValueError(
            f"method {method!r} does not fit {metric.name!r} on this probe: {why}"
            f"these do: {', '.join(fit)}"
        )
    if data_driven and method not in ("dkw", "asymptotic"):
        warnings.warn(
            f"method {method!r} takes the thresholds as fixed, but they come from the same data "
            f"({probe.threshold_source}): misses may be more frequent than delta; use "
            "split_thresholds, or method='dkw'",
            CoverageWarning,
            stacklevel=4,
        )
    return method


def _units(probe: Probe, independent: bool, bound: float) -> str:
    if probe.groups is not None:
        return f"{probe.num_units:,} groups, weight of each at most {bound:g} times a sample's"
    return f"{probe.num_samples:,} samples" + ("" if independent else " of unequal weight")


def _thresholds(probe: Probe, metric: Metric, method: str) -> str:
    if metric.neuron_view != "binary":
        return ""
    if method == "dkw":
        return "any (all at once)"
    if method == "asymptotic":
        return f"those in use ({probe.threshold_source})"
    flaw = "" if probe.thresholds_fixed else ", NOT VALID: they come from the same data"
    return f"taken as fixed beforehand ({probe.threshold_source}{flaw})"


def _finite_sample(
    d: Data, value: Array, shares: list[float], metric: Metric, method: str, num_units: int | None
) -> list[tuple[Array, Array]]:
    """Limits of all pairs at each error, two [U, C]; units None: samples of one weight."""
    uniform, grouped = method == "dkw", num_units is not None
    parts = (UNIFORM_RULES if uniform else RULES)[metric.name].parts
    evidence = []
    for part in parts:
        law = method
        if isinstance(part, Pairs) and method == "agarwal":
            part, law = part._replace(mcdiarmid=True), "hoeffding"
        elif uniform and part is PREVALENCE:
            law = "tightest" if grouped else "exact"
        squares = law in ("tightest", "bernstein")
        evidence.append((law, _evidence(d, value, part, num_units=num_units, squares=squares)))
    found = []
    for share in shares:
        error = jnp.asarray(share / len(parts), value.dtype)
        ends = [_limits(x, error, law, grouped and law == "dkw") for law, x in evidence]
        found.append(_carried(ends, d.low, d.high, metric, uniform))
    return found


@partial(jax.jit, static_argnames=("part", "num_units", "squares"))
def _evidence(
    d: Data, value: Array, part: Share | Pairs, *, num_units: int | None, squares: bool
) -> Evidence:
    return part.evidence(d, value, num_units=num_units, squares=squares)


# apart from the evidence, as one compilation then serves the parts of all metrics
@partial(jax.jit, static_argnames=("law", "grouped"))
def _limits(evidence: Evidence, delta: Array, law: str, grouped: bool) -> tuple[Array, Array]:
    if law == "dkw":
        return dkw(evidence, delta, grouped=grouped)
    return LIMITS[law](evidence, delta)


@partial(jax.jit, static_argnames=("metric", "uniform"))
def _carried(
    ends: list[tuple[Array, Array]], low: Array, high: Array, metric: Metric, uniform: bool
) -> tuple[Array, Array]:
    rule = (UNIFORM_RULES if uniform else RULES)[metric.name]
    lower, upper = (list(x) for x in zip(*ends, strict=True))
    ends_of = rule.carry(lower, upper, (low[:, None], high[:, None]))
    lowest, highest = (jnp.clip(x, *metric.range) for x in ends_of)
    return lowest, highest


def _quantile(level: float, freedom: float) -> float:
    """Student's t quantile by its expansion about the normal one (DLMF; Abramowitz 26.7.5)."""
    z = NormalDist().inv_cdf(level)
    if math.isinf(freedom):
        return z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _promise(found: Intervals, delta: float, scope: str) -> str:
    kind = "for every sample size" if found.finite_sample else "asymptotically"
    text = (
        f"{100 * (1 - delta):g}% coverage {kind} ({found.method}), {scope}; "
        f"independent units: {found.units}"
    )
    return f"{text}; thresholds: {found.thresholds}" if found.thresholds else text


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("label", "lower", "regret", "mask", "vacuous", "positives"),
    meta_fields=("guarantee", "finite_sample"),
)
@dataclass(frozen=True, eq=False)
class Certificate:
    """What holds for a neuron's label with probability 1 - delta, see :func:`certify`.

    Attributes
    ----------
    label : Array [U] of int32
        The most similar concept on the data, -1 where there is none.
    lower : Array [U]
        The label's true similarity is at least this; NaN without a label.
    regret : Array [U]
        No concept's true similarity exceeds the label's by more than this, at least 0; 0 means that
        the label is the best. NaN without a label.
    mask : Array [U, C] of bool
        The certified set, which holds the truly best concept: those whose upper limit reaches the
        largest lower limit. All concepts without a label.
    vacuous : Array [U] of bool
        Whether the set rules out no concept at all: the probing set is too small to say anything.
    positives : Array [C] of int32
        Independent units (groups where given) on which each concept is present: what most limits
        are made of.
    guarantee : str
        What is promised, see :class:`Intervals`.
    finite_sample : bool
        Whether it holds for every n.
    """

    label: Array
    lower: Array
    regret: Array
    mask: Array
    vacuous: Array
    positives: Array
    guarantee: str
    finite_sample: bool

    @property
    def certified(self) -> Array:
        """Whether the set is the label alone, [U] of bool."""
        return (self.mask.sum(axis=1) == 1) & (self.label >= 0)


def certify(
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    delta: float = 0.05,
    method: str = "auto",
    simultaneous: str = "concepts",
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
) -> Certificate:
    """Certify each neuron's label: how good it is at least, and which concepts could be better.

    The label is chosen by the data, so lower limits hold for all concepts at once, with a quarter
    of delta. The truly best concept is the same whatever the data, so it needs no correction for
    many concepts: its upper limit holds at three quarters of delta, whichever concept it is. With
    probability 1 - delta the best similarity is thus at most the largest upper limit, and the best
    concept is one of those whose upper limit reaches the largest lower limit.

    Parameters
    ----------
    probe, metric, delta, method, activation_range, largest_unit
        As in :func:`intervals`.
    simultaneous : {"concepts", "all"}
        Whether delta is for each neuron, or for the whole layer.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        As :func:`intervals`; intervals for single pairs can not certify.
    """
    if simultaneous not in SIMULTANEOUS[1:]:
        raise ValueError(
            f"simultaneous must be 'concepts' or 'all' to certify a label, got {simultaneous!r}"
        )
    check_share(delta, "delta")
    neurons = probe.num_neurons if simultaneous == "all" else 1
    levels = [
        (LOWER_SHARE * delta, simultaneous),
        ((1 - LOWER_SHARE) * delta / neurons, "none"),
    ]
    low, high = _intervals(probe, metric, levels, method, activation_range, largest_unit)
    scope = "each neuron alone" if simultaneous == "concepts" else "all neurons at once"
    promise = _promise(low, delta, scope)
    return _certificate(low, high, probe.positive_units, promise)


def _certificate(low: Intervals, high: Intervals, positives: Array, promise: str) -> Certificate:
    label, lower, regret, mask, vacuous = _certified(low.similarity, low.lower, high.upper)
    return Certificate(
        label=label,
        lower=lower,
        regret=regret,
        mask=mask,
        vacuous=vacuous,
        positives=positives,
        guarantee=promise,
        finite_sample=low.finite_sample,
    )


@jax.jit
def _certified(similarity: Array, lower: Array, upper: Array) -> tuple[Array, ...]:
    """Label, its lower limit, regret, mask, and whether this is full."""
    label = winner(similarity)
    # an undefined limit excludes nothing
    lower = jnp.where(jnp.isnan(lower), -jnp.inf, lower)
    upper = jnp.where(jnp.isnan(upper), jnp.inf, upper)
    at_label = jnp.arange(lower.shape[1], dtype=jnp.int32)[None, :] == label[:, None]
    label_lower = at_concept(lower, label)
    rival_upper = jnp.where(at_label, -jnp.inf, upper).max(axis=1)
    mask = (upper >= lower.max(axis=1, keepdims=True)) | (label < 0)[:, None]
    return label, label_lower, jnp.maximum(rival_upper - label_lower, 0), mask, mask.all(axis=1)
