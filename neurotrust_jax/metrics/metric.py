"""A similarity metric: how it scores, and what is known of its error.

Direction: the concept is the label, the neuron the score or prediction. ``precision`` is
P(concept | active), ``recall`` is P(active | concept). The reverse direction, an explanation that
predicts the neuron, has the prefix ``simulation_``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple, TypedDict, Unpack

import jax.numpy as jnp
from jax import Array

from .._numerics.sums import Sums, weighted_sums
from .._runtime.short_repr import short_repr
from ..probing.probe import Side
from . import ranked
from .interval_rules import IntervalRule, same
from .parts import GIVEN_CONCEPT, Part, default_parts
from .planning import Floats, ProbingDesign
from .shift_rules import ShiftRule
from .transforms import VIEWS, both_vary, evaluate

__all__ = ["Facts", "Metric", "Ordering", "ranked_metric", "six_sum_metric"]


class Ordering(NamedTuple):
    """A statistic that orders the concepts of a neuron as a metric does, in every replicate.

    Attributes
    ----------
    statistic : Metric
        The metric from which bounds on replicates start.
    rule : IntervalRule
        The rule that gives the bounds of the ordering statistic.
    """

    statistic: Metric
    rule: IntervalRule


@short_repr
@dataclass(frozen=True)
class Metric:
    """A similarity of neurons and concepts; higher is more alike.

    The first fields say how it is computed. The others, from ``interval_rule`` on, are what is
    known of it, None where nothing is; a metric of your own that brings them gets the guarantees of
    a built-in one. They speak of the formula: whoever changes ``score`` by ``dataclasses.replace``
    must replace or remove them too.

    Attributes
    ----------
    name : str
        The name under which it stands in :data:`METRICS`.
    neuron_view, concept_view : str
        How each side is read: a key of :data:`VIEWS`.
    prepare_neurons, prepare_concepts : callable
        What each of the probe's two :class:`Side` is turned into, free of weights: a pytree of
        arrays whose last axis is the column (neuron, or concept), so that columns can be picked
        after the work that all share, such as sorting.
    score : callable
        ``score((neurons, concepts), weights [n]) -> Array [U, C]`` from what was prepared, NaN
        where undefined. Pure: it may be jitted, mapped and differentiated.
    range : tuple of float
        Smallest and largest possible value.
    summary : str
        The formula or the meaning in a line.
    finalise : callable or None
        For a six-sum metric, the pointwise function of :class:`Sums`; else None.
    joint : bool
        Whether the score of a neuron depends on the others scored with it.
    parts : tuple of Part
        The means that the score is made of, which tell on how many sampling units it rests.
    columns : callable or None
        ``columns(prepared_neurons, labels, weights) -> f [n, U], c [n, C]``, what the parts take
        the means of. None where nothing is known of the score but its concepts.
    interval_rule : IntervalRule or None
        How intervals for every sample size follow from parts, for thresholds fixed beforehand.
        Certificates, screening and shift rest on it too.
    uniform_rule : IntervalRule or None
        The same for every threshold at once.
    planning_gap : callable or None
        ``planning_gap(design) -> float64 array``, how far measured and true similarity can be
        apart; see :class:`ProbingDesign`.
    ordering : Ordering or None
        What bounds the replicates instead of ``interval_rule``.
    shift_rule : ShiftRule or None
        How the similarity moves under a shift of unknown direction.
    neuron_eval_name : str or None
        The name that Oikarinen, Yan & Weng (ICML 2025) give it.
    linear_in_products : bool
        Whether the value is a + b FC, where b does not depend on FF or falls as its square root. It
        is then known how much a few ties can change a value that reads ranks.
    rewards_overlap : bool
        Whether both sides are read as 0 and 1 and the value never falls when a sample on which the
        neuron is active gets the concept, nor when one on which it is not loses it. It is then
        known how good a formula of concepts can be from a part of its samples.
    """

    name: str
    neuron_view: str
    concept_view: str
    prepare_neurons: Callable[[Side], Any]
    prepare_concepts: Callable[[Side], Any]
    score: Callable[[tuple[Any, Any], Array], Array]
    range: tuple[float, float]
    summary: str
    finalise: Callable[[Sums], Array] | None = None
    joint: bool = False
    parts: tuple[Part, ...] = GIVEN_CONCEPT
    columns: Callable[[Any, Side, Array], tuple[Array, Array]] | None = None
    interval_rule: IntervalRule | None = None
    uniform_rule: IntervalRule | None = None
    planning_gap: Callable[[ProbingDesign], Floats] | None = None
    ordering: Ordering | None = None
    shift_rule: ShiftRule | None = None
    neuron_eval_name: str | None = None
    linear_in_products: bool = False
    rewards_overlap: bool = False

    def _in_short(self) -> str:
        return f"{self.name}: {self.summary}"

    def __post_init__(self) -> None:
        """Refuse pairs of samples in the rule of a metric that is no AUROC."""
        rule = self.interval_rule
        if rule is not None and rule.paired and (len(rule.parts) > 1 or rule.carry is not same):
            raise ValueError(
                f"the interval_rule of {self.name!r} makes another value of an AUROC, from which "
                "bounds can not start; use IntervalRule((Pairs(...),), (1,), same) for an AUROC, "
                "and none for a function of it"
            )

    @property
    def ordering_rule(self) -> IntervalRule | None:
        """The rule that bounds what orders the concepts of a neuron in a replicate."""
        return self.interval_rule if self.ordering is None else self.ordering.rule

    @property
    def ordering_statistic(self) -> Metric:
        """The metric from whose similarities bounds on replicates start."""
        return self if self.ordering is None else self.ordering.statistic

    def prepare(self, neurons: Side, labels: Side) -> tuple[Any, Any]:
        """Prepare both sides."""
        return self.prepare_neurons(neurons), self.prepare_concepts(labels)

    def value(self, sums: Sums, defined: Array) -> Array:
        """Value of a six-sum metric, NaN where not ``defined`` or where the sums overflow."""
        assert self.finalise is not None
        return _within(self.finalise(sums), defined, self.range)

    def __reduce__(self) -> tuple[Callable[..., Metric], tuple[Any, ...]]:
        """How to pickle and copy it: a built-in metric by its name, so that it stays the same one.

        A metric of your own needs functions that pickle; one of :func:`six_sum_metric` needs a
        ``finalise`` that does, and facts that do.
        """
        from .table import METRICS, get_metric  # which is built from this class

        if METRICS.get(self.name) is self:
            return get_metric, (self.name,)
        if isinstance(self.score, _SixSumScore):
            views, finalise = (self.neuron_view, self.concept_view), self.score.finalise
            formula = self.name, *views, finalise, self.range, self.summary, self.parts
            facts = {x: getattr(self, x) for x in Facts.__annotations__}
            build: Callable[..., Metric] = partial(six_sum_metric, **facts)
            if build(*formula) == self:
                return build, formula
        return Metric, tuple(getattr(self, x.name) for x in fields(self))


class Facts(TypedDict, total=False):
    """What is known of a metric, as keywords; see :class:`Metric`."""

    interval_rule: IntervalRule | None
    uniform_rule: IntervalRule | None
    planning_gap: Callable[[ProbingDesign], Floats] | None
    ordering: Ordering | None
    shift_rule: ShiftRule | None
    neuron_eval_name: str | None
    linear_in_products: bool
    rewards_overlap: bool


@dataclass(frozen=True)
class _SixSumScore:
    """The score of a six-sum metric; equal where views, formula and range are."""

    neuron_view: str
    concept_view: str
    finalise: Callable[[Sums], Array]
    range: tuple[float, float]

    def __call__(self, prepared: tuple[Any, Any], weights: Array) -> Array:
        read_neuron, read_concept = VIEWS[self.neuron_view], VIEWS[self.concept_view]
        f = read_neuron.evaluate(prepared[0], weights)
        c = read_concept.evaluate(prepared[1], weights)
        value = self.finalise(weighted_sums(f, c, weights))
        distinct = read_neuron.distinct(prepared[0]), read_concept.distinct(prepared[1])
        return _defined(value, *distinct, weights, self.range)


@dataclass(frozen=True)
class _SixSumColumns:
    """What the parts of a six-sum metric take means of; equal where views and parts are."""

    neuron_view: str
    concept_view: str
    parts: tuple[Part, ...]

    def __call__(self, neurons: Any, labels: Side, weights: Array) -> tuple[Array, Array]:
        f = evaluate(neurons, weights, view=self.neuron_view)
        if self.concept_view == "binary":
            return f, VIEWS["binary"].prepare(labels)
        if any(part.given_concept for part in self.parts):
            return f, labels.values
        prepared = VIEWS[self.concept_view].prepare(labels)
        return f, evaluate(prepared, weights, view=self.concept_view)


def six_sum_metric(
    name: str,
    neuron_view: str,
    concept_view: str,
    finalise: Callable[[Sums], Array],
    range: tuple[float, float],
    summary: str,
    parts: tuple[Part, ...] | None = None,
    **facts: Unpack[Facts],
) -> Metric:
    """Build a metric from two views and a pointwise function of the six sums.

    Parameters
    ----------
    name : str
    neuron_view, concept_view : str
        How each side is read: a key of :data:`VIEWS`.
    finalise : callable
        The value [U, C] from :class:`Sums` of the two views.
    range : tuple of float
        Smallest and largest possible value.
    summary : str
        The formula or the meaning in a line.
    parts : tuple of Part, optional
        The means that it is made of. Unless given, they are the mean of the neuron's view where the
        concept is present and where it is absent (or, for a binary neuron and a concept that is
        not, the mean of the concept's view where the neuron is active and where it is not).
    **facts
        What is known of the metric: the last eight fields of :class:`Metric`.

    Returns
    -------
    Metric

    Examples
    --------
    The share of samples without the concept on which the neuron is silent, with intervals for every
    sample size:

    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> from neurotrust_jax.metrics.interval_rules import IntervalRule, binary_share, same
    >>> from neurotrust_jax.metrics.parts import ABSENT, NEITHER, Part
    >>> specificity = nt.six_sum_metric(
    ...     "specificity", "binary", "binary",
    ...     lambda s: (s.S - s.F - s.C + s.FC) / (s.S - s.C), (0.0, 1.0), "P(inactive | absent)",
    ...     (Part(NEITHER, ABSENT),),
    ...     interval_rule=IntervalRule((binary_share(NEITHER, ABSENT),), (1,), same),
    ... )
    >>> present = np.arange(40)[:, None] < 10
    >>> probe = nt.make_probe(1.0 * present, present, thresholds=0.5)
    >>> float(nt.similarity(probe, specificity)[0, 0])
    1.0
    >>> nt.intervals(probe, specificity).method
    'exact'
    """
    score = _SixSumScore(neuron_view, concept_view, finalise, range)
    prepare = VIEWS[neuron_view].prepare, VIEWS[concept_view].prepare
    parts = default_parts(neuron_view, concept_view) if parts is None else parts
    columns = _SixSumColumns(neuron_view, concept_view, parts)
    return Metric(
        name, neuron_view, concept_view, *prepare, score, range, summary, finalise,
        parts=parts, columns=columns, **facts,
    )  # fmt: skip


def ranked_metric(
    name: str,
    neuron_view: str,
    concept_view: str,
    read_neurons: Callable[[Side], Any],
    read_concepts: Callable[[Side], Any],
    kernel: Callable[[Any, Any, Array], Array],
    range: tuple[float, float],
    summary: str,
    joint: bool = False,
    *,
    parts: tuple[Part, ...],
    columns: Callable[[Any, Side, Array], tuple[Array, Array]],
    **facts: Unpack[Facts],
) -> Metric:
    """Build a metric from a kernel of :mod:`.ranked`; undefined as the others are.

    The views tell whether a side varies; the kernel, and ``columns``, are given what is read of a
    side.
    """

    def reader(read: Callable[[Side], Any], view: str) -> Callable[[Side], Any]:
        # ranks vary where their values do
        varying = VIEWS[view].prepare if view == "binary" else ranked.own_values
        return lambda side: (read(side), varying(side))

    def score(prepared: tuple[Any, Any], weights: Array) -> Array:
        (neurons, f), (concepts, c) = prepared
        return _defined(kernel(neurons, concepts, weights), f, c, weights, range)

    prepare = reader(read_neurons, neuron_view), reader(read_concepts, concept_view)
    return Metric(
        name, neuron_view, concept_view, *prepare, score, range, summary, joint=joint, parts=parts,
        columns=lambda neurons, labels, weights: columns(neurons[0], labels, weights), **facts,
    )  # fmt: skip


def _defined(value: Array, f: Array, c: Array, weights: Array, range: tuple[float, float]) -> Array:
    """Keep ``value`` [U, C] in its range, and NaN where a side does not vary or sums overflow."""
    return _within(value, both_vary(f, c, weights), range)


def _within(value: Array, defined: Array, range: tuple[float, float]) -> Array:
    return jnp.where(defined & jnp.isfinite(value), jnp.clip(value, *range), jnp.nan)
