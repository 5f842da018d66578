"""Methods of intervals: which there are, which fit a metric and a probe, and what each assumes.

To add one, add an :class:`IntervalMethod` to ``METHODS``, or pass one of your own as ``method=``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from types import MappingProxyType
from typing import Any

from jax import Array

from ..metrics.interval_rules import IntervalRule, Pairs, Share
from ..metrics.metric import Metric
from ..probing.probe import Probe
from . import betting
from .binomial import exact
from .concentration import Interval, RatioData, bernstein, chernoff, dkw, hoeffding
from .known_beforehand import LargestUnit, check_per_pair, known_range, largest_weight

__all__ = [
    "METHODS",
    "Bound",
    "CoverageWarning",
    "IntervalMethod",
    "PartBound",
    "assumptions",
    "check_bounds",
    "cuts_from_data",
    "independent_units",
    "reads_thresholds",
    "resolve",
    "threshold_source",
]

Bound = Callable[[RatioData, Array], Interval]
"""``bound(data, tail) -> lower, upper`` [U, C] each, where each fails with probability ``tail``."""


class CoverageWarning(UserWarning):
    """A statement may hold less often than it says."""


@dataclass(frozen=True)
class PartBound:
    """How the interval of one part of a metric is made.

    Attributes
    ----------
    bound : callable
        ``bound(data, tail) -> lower, upper``, see :data:`Bound`.
    squares : bool
        Whether it reads the means of squares.
    mcdiarmid : bool
        Whether the terms of a :class:`Pairs` are counted by McDiarmid's inequality.
    from_terms : bool
        Whether the most similar concepts get the narrower bounds by betting on the terms one by
        one.
    """

    bound: Bound
    squares: bool = False
    mcdiarmid: bool = False
    from_terms: bool = False


@dataclass(frozen=True)
class IntervalMethod:
    """A rule that gives intervals.

    Attributes
    ----------
    name : str
    summary : str
        What it is, in one line.
    part_bound : callable or None
        ``part_bound(part, independent) -> PartBound or None``: how it bounds a part of a
        metric, None where it does not. ``independent`` says that samples are independent and of
        one weight. None for a method that holds in the limit only, by standard errors.
    every_threshold : bool
        Whether it holds for every threshold at once, by the metric's ``uniform_rule``.
    misfit : str
        The usual reason why it does not fit, for the message that refuses it.
    """

    name: str
    summary: str
    part_bound: Callable[[Share | Pairs, bool], PartBound | None] | None
    every_threshold: bool = False
    misfit: str = ""

    def __reduce__(self) -> tuple[Callable[..., IntervalMethod], tuple[Any, ...]]:
        """How to pickle and copy it: a built-in method by its name, so that it stays the same."""
        if METHODS.get(self.name) is self:
            return _method_named, (self.name,)
        return IntervalMethod, tuple(getattr(self, x.name) for x in fields(self))

    @property
    def asymptotic(self) -> bool:
        """Whether it holds in the limit of many units only."""
        return self.part_bound is None

    @property
    def takes_any_threshold(self) -> bool:
        """Whether thresholds may come from the same data."""
        return self.asymptotic or self.every_threshold

    def rule(self, metric: Metric) -> IntervalRule | None:
        """The rule of the metric that it follows; None where there is none, or none is needed."""
        if self.asymptotic:
            return None
        return metric.uniform_rule if self.every_threshold else metric.interval_rule

    def part_bounds(self, metric: Metric, independent: bool) -> list[PartBound] | None:
        """How it bounds each part of the metric; None where it does not fit the metric."""
        rule = self.rule(metric)
        if rule is None or self.part_bound is None:
            return None
        found = [self.part_bound(part, independent) for part in rule.parts]
        known = [x for x in found if x is not None]
        return known if len(known) == len(found) else None

    def fits_per_pair(self, metric: Metric, probe: Probe) -> bool:
        """Whether ``largest_unit="pair"`` has a meaning for it, on this metric and probe.

        The samples that count for a pair are those at the threshold in use, so a method for every
        threshold does not count them.
        """
        rule = None if self.every_threshold else self.rule(metric)
        return rule is not None and not rule.paired and probe.groups is not None

    def applies(self, metric: Metric, probe: Probe, range_known: bool = False) -> bool:
        """Whether it gives intervals of this metric on this probe.

        ``range_known`` says that the range of activations is known beforehand.
        """
        if self.asymptotic:
            return True
        if self.every_threshold and cuts_from_data(probe):
            return False  # the uniform bound is over one threshold, a range has two
        rule = self.rule(metric)
        if rule is None or (rule.needs_range and not range_known):
            return False
        return self.part_bounds(metric, _independent(probe)) is not None


def _independent(probe: Probe) -> bool:
    return probe.groups is None and probe.even_weights


def _every_part(part: Share | Pairs, independent: bool, *, by: PartBound) -> PartBound:
    return by


def _shares(part: Share | Pairs, independent: bool, *, by: PartBound) -> PartBound | None:
    return by if isinstance(part, Share) else None


def _exact(part: Share | Pairs, independent: bool) -> PartBound | None:
    return EXACT if independent and part.binomial else None


def _agarwal(part: Share | Pairs, independent: bool) -> PartBound | None:
    return AGARWAL if independent and isinstance(part, Pairs) else None


def _dkw(part: Share | Pairs, independent: bool) -> PartBound | None:
    if isinstance(part, Pairs):
        return None
    if not part.has_threshold:
        return EXACT if independent else BETTING
    return DKW_SAMPLES if independent else DKW_GROUPS


EXACT = PartBound(exact)
BETTING = PartBound(betting.from_moments, squares=True, from_terms=True)
AGARWAL = PartBound(hoeffding, mcdiarmid=True)
DKW_SAMPLES = PartBound(partial(dkw, grouped=False))
DKW_GROUPS = PartBound(partial(dkw, grouped=True))

# in the order in which "auto" prefers them
_TABLE = (
    IntervalMethod(
        "exact",
        "Clopper and Pearson (1934), by the tails of the binomial",
        _exact,
        misfit="groups or unequal weights are not binomial",
    ),
    IntervalMethod(
        "betting", "Waudby-Smith and Ramdas (2024), by betting", partial(_shares, by=BETTING)
    ),
    IntervalMethod(
        "chernoff",
        "Hoeffding (1963, theorem 1), by relative entropy",
        partial(_every_part, by=PartBound(chernoff)),
    ),
    IntervalMethod(
        "bernstein",
        "Maurer and Pontil (2009), by the sample variance",
        partial(_shares, by=PartBound(bernstein, squares=True)),
    ),
    IntervalMethod(
        "hoeffding", "Hoeffding (1963, theorem 2)", partial(_every_part, by=PartBound(hoeffding))
    ),
    IntervalMethod("agarwal", "Agarwal et al. (2005), for an AUROC", _agarwal),
    IntervalMethod(
        "dkw", "Massart (1990), for every threshold at once", _dkw, every_threshold=True
    ),
    IntervalMethod("asymptotic", "infinitesimal jackknife, in the limit of many units", None),
)

METHODS: Mapping[str, IntervalMethod] = MappingProxyType({x.name: x for x in _TABLE})
"""Every built-in method by its name."""

AUTO = "auto"
TWO_CUTS = "no bound for every threshold at once holds for the two cuts of a range of these samples"


def _method_named(name: str) -> IntervalMethod:
    return METHODS[name]


def resolve(
    probe: Probe, metric: Metric, method: str | IntervalMethod, range_known: bool
) -> IntervalMethod:
    """The method to use, after checking that it fits."""
    if isinstance(method, str) and method != AUTO and method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join((AUTO, *METHODS))}")
    fit = [x for x in METHODS.values() if x.applies(metric, probe, range_known)]
    data_driven = _thresholds_from_data(probe, metric)
    if method == AUTO:
        return next(x for x in fit if x.takes_any_threshold or not data_driven)
    chosen = METHODS[method] if isinstance(method, str) else method
    if not chosen.applies(metric, probe, range_known):
        _refuse(chosen, probe, metric, range_known, fit)
    if data_driven and not chosen.takes_any_threshold:
        remedy = (
            "split_thresholds(..., ranges=...)"
            if cuts_from_data(probe)
            else "split_thresholds, or method='dkw'"
        )
        warnings.warn(
            f"method {chosen.name!r} takes the thresholds as fixed, but they come from the same "
            f"data ({probe.threshold_source}): misses may be more frequent than alpha; use "
            + remedy,
            CoverageWarning,
            stacklevel=4,
        )
    return chosen


def _refuse(
    method: IntervalMethod,
    probe: Probe,
    metric: Metric,
    range_known: bool,
    fit: list[IntervalMethod],
) -> None:
    rule, why = metric.interval_rule, method.misfit
    if method.every_threshold and cuts_from_data(probe):
        why = f"{TWO_CUTS}, so take them from others by split_thresholds(..., ranges=...)"
    elif rule is not None and rule.needs_range and not range_known:
        why = "bounds for every sample size need activation_range=(low, high)"
    raise ValueError(
        f"method {method.name!r} does not fit {metric.name!r} on this probe: "
        f"{why + '; ' if why else ''}these do: {', '.join(x.name for x in fit)}"
    )


def independent_units(probe: Probe, even: bool, largest: str) -> str:
    """What is taken as independent, in words; ``largest`` is what a unit can weigh, if known."""
    if probe.groups is None:
        units = f"{probe.num_samples:,} samples" + ("" if even else " of unequal weight")
    else:
        units = f"{probe.num_units:,} groups"
    return units + (f", none heavier than {largest}" if largest else "")


def assumptions(
    probe: Probe, metric: Metric, method: IntervalMethod, largest: str, per_pair: bool = False
) -> str:
    """What bounds for every sample size take for granted, in a clause.

    ``largest`` is the weight of the heaviest unit seen, where that of others is not known;
    ``per_pair`` says that this is counted on the samples of a pair alone.
    """
    if method.asymptotic:
        return ""
    clauses = []
    if per_pair:
        clauses.append("no group has more samples that count for a pair than the most seen")
    elif largest and probe.groups is None:
        clauses.append("no sample is heavier than the heaviest seen")
    elif largest:
        clauses.append(f"no group is heavier than the heaviest seen ({largest})")
    if not method.every_threshold and _thresholds_from_data(probe, metric):
        clauses.append("the thresholds are as good as fixed beforehand")
    return " and ".join(clauses)


def cuts_from_data(probe: Probe) -> bool:
    """Whether neurons are ranges of activation whose cuts come from the same samples."""
    return probe.num_ranges > 1 and not probe.thresholds_fixed


def reads_thresholds(probe: Probe, metric: Metric) -> bool:
    """Whether thresholds decide on the similarity; those of ranges do for every metric."""
    return metric.neuron_view == "binary" or probe.num_ranges > 1


def _thresholds_from_data(probe: Probe, metric: Metric) -> bool:
    return reads_thresholds(probe, metric) and not probe.thresholds_fixed


def threshold_source(probe: Probe, metric: Metric, method: IntervalMethod) -> str:
    """How the neurons' thresholds enter, in words; empty where the metric has none."""
    if not reads_thresholds(probe, metric):
        return ""
    if method.every_threshold and probe.num_ranges == 1:
        return "any (all at once)"
    if method.asymptotic:
        why = f", where {TWO_CUTS}" if cuts_from_data(probe) else ""
        return f"those in use ({probe.threshold_source}{why})"
    flaw = "" if probe.thresholds_fixed else ", NOT VALID: they come from the same data"
    return f"taken as fixed beforehand ({probe.threshold_source}{flaw})"


def check_bounds(
    probe: Probe,
    metric: Metric,
    method: str | IntervalMethod,
    activation_range: tuple[Any, Any] | None,
    largest_unit: LargestUnit,
) -> None:
    """Refuse what :func:`neurotrust_jax.intervals` refuses, before any work."""
    if largest_unit == "pair":
        check_per_pair(probe, metric)
    largest_weight(probe, None if largest_unit == "pair" else largest_unit)
    known_range(probe, activation_range)
    resolve(probe, metric, method, activation_range is not None)
