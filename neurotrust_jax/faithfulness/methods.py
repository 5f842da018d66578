"""Methods of intervals: which there are, which fit a metric and a probe, and what each assumes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

from jax import Array

from ..metrics.table import METRICS, Metric
from ..probing.probe import Probe
from . import betting
from .binomial import exact
from .concentration import Evidence, Interval, bernstein, chernoff, hoeffding
from .estimands import Pairs
from .interval_rules import RULES, UNIFORM_RULES

__all__ = [
    "LIMITS",
    "CoverageWarning",
    "assumptions",
    "independent_units",
    "resolve",
    "threshold_source",
]

LIMITS: Mapping[str, Callable[[Evidence, Array], Interval]] = MappingProxyType(
    {
        "exact": exact,
        "betting": betting.from_moments,
        "chernoff": chernoff,
        "bernstein": bernstein,
        "hoeffding": hoeffding,
    }
)
"""Lower and upper limits, each at error ``tail``, by name of the method."""

METHODS = ("auto", *LIMITS, "agarwal", "dkw", "asymptotic")


class CoverageWarning(UserWarning):
    """A statement may hold less often than it says."""


def resolve(probe: Probe, metric: Metric, method: str, independent: bool, ranged: bool) -> str:
    """The method to use, after checking that it fits."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    rules = RULES if METRICS.get(metric.name) is metric else {}
    rule = rules.get(metric.name)
    needs_range = rule is not None and any(part.needs_range for part in rule.parts) and not ranged
    fit = ["asymptotic"]
    if rule is not None and not needs_range:
        fit += ["hoeffding", "chernoff"]
        if independent and all(part.binomial for part in rule.parts):
            fit.append("exact")
        if not any(isinstance(part, Pairs) for part in rule.parts):
            fit += ["bernstein", "betting"]
        elif independent:
            fit.append("agarwal")
    if rules and metric.name in UNIFORM_RULES:
        fit.append("dkw")
    data_driven = _thresholds_from_data(probe, metric)
    if method == "auto":
        if data_driven:
            return "dkw" if "dkw" in fit else "asymptotic"
        return next(m for m in ("exact", "betting", "chernoff", "asymptotic") if m in fit)
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
            f"({probe.threshold_source}): misses may be more frequent than alpha; use "
            "split_thresholds, or method='dkw'",
            CoverageWarning,
            stacklevel=4,
        )
    return method


def independent_units(probe: Probe, even: bool, largest: str) -> str:
    """What is taken as independent, in words; ``largest`` is what a unit can weigh, if known."""
    if probe.groups is None:
        units = f"{probe.num_samples:,} samples" + ("" if even else " of unequal weight")
    else:
        units = f"{probe.num_units:,} groups"
    return units + (f", none heavier than {largest}" if largest else "")


def assumptions(
    probe: Probe, metric: Metric, method: str, largest: str, per_pair: bool = False
) -> str:
    """What limits for every sample size take for granted, in a clause.

    ``largest`` is the weight of the heaviest unit seen, where that of others is not known;
    ``per_pair`` tells that this is counted on the samples of a pair alone.
    """
    if method == "asymptotic":
        return ""
    clauses = []
    if per_pair:
        clauses.append("no group has more samples that count for a pair than the most seen")
    elif largest and probe.groups is None:
        clauses.append("no sample is heavier than the heaviest seen")
    elif largest:
        clauses.append(f"no group is heavier than the heaviest seen ({largest})")
    if method != "dkw" and _thresholds_from_data(probe, metric):
        clauses.append("the thresholds are as good as fixed beforehand")
    return " and ".join(clauses)


def _thresholds_from_data(probe: Probe, metric: Metric) -> bool:
    return metric.neuron_view == "binary" and not probe.thresholds_fixed


def threshold_source(probe: Probe, metric: Metric, method: str) -> str:
    """How the neurons' thresholds enter, in words; empty where the metric has none."""
    if metric.neuron_view != "binary":
        return ""
    if method == "dkw":
        return "any (all at once)"
    if method == "asymptotic":
        return f"those in use ({probe.threshold_source})"
    flaw = "" if probe.thresholds_fixed else ", NOT VALID: they come from the same data"
    return f"taken as fixed beforehand ({probe.threshold_source}{flaw})"
