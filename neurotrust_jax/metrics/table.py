"""The table of similarity metrics: to add one, add a row.

Direction: the concept is the label, the neuron the score or prediction. ``precision`` is
P(concept | active), ``recall`` is P(active | concept). The reverse direction, an explanation that
predicts the neuron, has the prefix ``simulation_``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from .._numerics.sums import Sums, weighted_sums
from ..probing.probe import Side
from . import ranked
from .parts import (
    ABSENT,
    ACTIVE,
    AGREE,
    ALWAYS,
    BOTH,
    EITHER,
    GIVEN_CONCEPT,
    GIVEN_NEURON,
    INACTIVE,
    NEITHER,
    PRESENT,
    Part,
    default_parts,
)
from .transforms import VIEWS, both_vary, evaluate

__all__ = ["METRICS", "NEURON_EVAL_NAMES", "Metric", "get_metric", "six_sum_metric"]

UNIT = (0.0, 1.0)
SIGNED = (-1.0, 1.0)
REAL = (-math.inf, math.inf)


class Metric(NamedTuple):
    """A similarity of neurons and concepts; higher is more alike.

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

    def prepare(self, neurons: Side, labels: Side) -> tuple[Any, Any]:
        """Prepare both sides."""
        return self.prepare_neurons(neurons), self.prepare_concepts(labels)

    def value(self, sums: Sums, defined: Array) -> Array:
        """Of a six-sum metric the value, NaN where not ``defined`` or where the sums overflow."""
        assert self.finalise is not None
        return _within(self.finalise(sums), defined, self.range)

    def __reduce__(self) -> tuple[Callable[..., Metric], tuple[Any, ...]]:
        """How to pickle and copy it: a built-in metric by its name, so that it stays the same one.

        A metric of your own needs functions that pickle; of :func:`six_sum_metric` its
        ``finalise``.
        """
        if METRICS.get(self.name) is self:
            return get_metric, (self.name,)
        if isinstance(self.score, _SixSumScore):
            views, finalise = (self.neuron_view, self.concept_view), self.score.finalise
            formula = self.name, *views, finalise, self.range, self.summary, self.parts
            if six_sum_metric(*formula) == self:
                return six_sum_metric, formula
        return Metric, tuple(self)


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
) -> Metric:
    """Build a metric from two views and a pointwise function of the six sums.

    ``parts`` are the means that it is made of; unless given, the mean of the neuron's view where
    the concept is present and where it is absent (or, for a binary neuron and a concept that is
    not, the mean of the concept's view where the neuron is active and where it is not).
    """
    score = _SixSumScore(neuron_view, concept_view, finalise, range)
    prepare = VIEWS[neuron_view].prepare, VIEWS[concept_view].prepare
    parts = default_parts(neuron_view, concept_view) if parts is None else parts
    columns = _SixSumColumns(neuron_view, concept_view, parts)
    return Metric(
        name, neuron_view, concept_view, *prepare, score, range, summary, finalise,
        parts=parts, columns=columns,
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
        columns=lambda neurons, labels, weights: columns(neurons[0], labels, weights),
    )  # fmt: skip


def _defined(value: Array, f: Array, c: Array, weights: Array, range: tuple[float, float]) -> Array:
    """Keep ``value`` [U, C] in its range, and NaN where a side does not vary or sums overflow."""
    return _within(value, both_vary(f, c, weights), range)


def _within(value: Array, defined: Array, range: tuple[float, float]) -> Array:
    return jnp.where(defined & jnp.isfinite(value), jnp.clip(value, *range), jnp.nan)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, NaN over 0, with gradients that stay finite next to a zero denominator."""
    # of full size: XLA turns a division by a row or column into a product with its reciprocal, and
    # equal shares such as 3/10 and 6/20 then come out unequal
    denominator = denominator + 0 * numerator
    positive = denominator != 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1), jnp.nan)


def _rate(s: Sums) -> Array:
    """Share of hits among the concept's positives plus that of rejections among its negatives."""
    return _ratio(s.FC, s.C) + _ratio(s.S - s.F - s.C + s.FC, s.S - s.C)


def _simulation_rate(s: Sums) -> Array:
    return _ratio(s.FC, s.F) + _ratio(s.S - s.F - s.C + s.FC, s.S - s.F)


def _cosine(s: Sums) -> Array:
    return _ratio(s.FC, jnp.sqrt(jnp.where(s.FF > 0, s.FF, jnp.nan) * s.CC))


def _mean_difference(s: Sums) -> Array:
    return _ratio(s.FC, s.C) - _ratio(s.F - s.FC, s.S - s.C)


def _standardised_mean_difference(s: Sums) -> Array:
    variance = s.FF / s.S - (s.F / s.S) ** 2
    return _ratio(_mean_difference(s), jnp.sqrt(jnp.where(variance > 0, variance, jnp.nan)))


_TABLE = (
    six_sum_metric("accuracy", "binary", "binary", lambda s: (s.S - s.F - s.C + 2 * s.FC) / s.S,
                   UNIT, "P(active = present)", (Part(AGREE, ALWAYS),)),
    six_sum_metric("balanced_accuracy", "binary", "binary", lambda s: _rate(s) / 2,
                   UNIT, "(P(active | present) + P(inactive | absent)) / 2",
                   (Part(BOTH, PRESENT), Part(NEITHER, ABSENT))),
    six_sum_metric("simulation_balanced_accuracy", "binary", "binary",
                   lambda s: _simulation_rate(s) / 2,
                   UNIT, "(P(present | active) + P(absent | inactive)) / 2",
                   (Part(BOTH, ACTIVE), Part(NEITHER, INACTIVE))),
    six_sum_metric("precision", "binary", "binary", lambda s: _ratio(s.FC, s.F),
                   UNIT, "P(present | active)", (Part(BOTH, ACTIVE),)),
    six_sum_metric("recall", "binary", "binary", lambda s: _ratio(s.FC, s.C),
                   UNIT, "P(active | present)", (Part(BOTH, PRESENT),)),
    six_sum_metric("f1", "binary", "binary", lambda s: _ratio(2 * s.FC, s.F + s.C),
                   UNIT, "harmonic mean of precision and recall", (Part(BOTH, EITHER),)),
    six_sum_metric("iou", "binary", "binary", lambda s: _ratio(s.FC, s.F + s.C - s.FC),
                   UNIT, "P(active and present | active or present)", (Part(BOTH, EITHER),)),
    six_sum_metric("auroc", "rank", "binary",
                   lambda s: 0.5 + _ratio(s.S * s.FC, s.C * (s.S - s.C)),
                   UNIT, "P(activation higher where present than where absent), ties half"),
    six_sum_metric("simulation_auroc", "binary", "rank",
                   lambda s: 0.5 + _ratio(s.S * s.FC, s.F * (s.S - s.F)),
                   UNIT, "P(concept score higher where active than where inactive), ties half"),
    ranked_metric("auprc", "rank", "binary", ranked.rank_side, VIEWS["binary"].prepare,
                  ranked.average_precision,
                  UNIT, "average precision of the activation for the concept",
                  parts=GIVEN_CONCEPT, columns=ranked.ranks_and_labels),
    ranked_metric("simulation_auprc", "binary", "rank", VIEWS["binary"].prepare, ranked.rank_side,
                  ranked.simulation_average_precision,
                  UNIT, "average precision of the concept score for the active neuron",
                  parts=GIVEN_NEURON, columns=ranked.active_and_ranks),
    six_sum_metric("correlation", "standard", "standard", _cosine,
                   SIGNED, "Pearson correlation"),
    six_sum_metric("spearman", "rank", "rank", _cosine,
                   SIGNED, "Pearson correlation of mid-ranks"),
    six_sum_metric("cosine", "raw", "raw", _cosine,
                   SIGNED, "cosine of the angle between the raw columns"),
    six_sum_metric("cos_similarity_cubed", "cubed", "cubed", _cosine,
                   SIGNED, "cosine of the cubes of the centred columns (CLIP-Dissect)"),
    six_sum_metric("mad", "centred", "binary", _mean_difference,
                   REAL, "mean activation where present minus where absent"),
    six_sum_metric("standardised_mad", "standard", "binary", _standardised_mean_difference,
                   REAL, "mad over the neuron's standard deviation"),
    six_sum_metric("wpmi", "binary", "log", lambda s: _ratio(s.FC, s.F),
                   REAL, "mean of log p(concept) where active, minus log mean p(concept)"),
    ranked_metric("soft_wpmi", "rank", "raw", ranked.rank_side, ranked.own_values, ranked.soft_wpmi,
                  REAL, "CLIP-Dissect's SoftWPMI on the top 100", joint=True,
                  parts=GIVEN_NEURON[:1], columns=ranked.soft_wpmi_columns),
    ranked_metric("wpmi_topk", "rank", "raw", ranked.rank_side, ranked.own_values, ranked.wpmi_topk,
                  REAL, "CLIP-Dissect's WPMI on the top 28", joint=True,
                  parts=GIVEN_NEURON[:1], columns=ranked.wpmi_topk_columns),
    ranked_metric("rank_reorder", "rank", "raw", ranked.rank_side, ranked.own_values,
                  ranked.rank_reorder,
                  (-math.inf, 0.0), "CLIP-Dissect's rank reorder on the top 5%",
                  parts=GIVEN_NEURON[:1], columns=ranked.rank_reorder_columns),
    ranked_metric("correlation_top_and_random", "binary", "raw", ranked.scaled_and_active,
                  VIEWS["standard"].prepare,
                  ranked.correlation_top_and_random,
                  SIGNED, "Pearson correlation on an even mix of active and of all samples",
                  parts=GIVEN_NEURON,
                  columns=lambda neurons, labels, _: (neurons[1], labels.values)),
)  # fmt: skip

METRICS: Mapping[str, Metric] = MappingProxyType({m.name: m for m in _TABLE})

# Oikarinen, Yan & Weng (ICML 2025) take the neuron as the label, so several names swap meaning.
NEURON_EVAL_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "accuracy",
        "balanced_accuracy": "inverse_balanced_accuracy",
        "simulation_balanced_accuracy": "balanced_accuracy",
        "precision": "recall",
        "recall": "precision",
        "f1": "f1_score",
        "iou": "iou",
        "auroc": "inverse_auc",
        "simulation_auroc": "auc",
        "auprc": "inverse_auprc",
        "simulation_auprc": "auprc",
        "correlation": "correlation",
        "spearman": "spearman_correlation",
        "cosine": "cos_sim",
        "mad": "mad",
        "wpmi": "wpmi",
        "correlation_top_and_random": "correlation_top_and_random",
    }
)


def get_metric(metric: str | Metric) -> Metric:
    """Look a metric up by name; a :class:`Metric` of your own passes through.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists close names.
    """
    if isinstance(metric, Metric):
        return metric
    if metric in METRICS:
        return METRICS[metric]
    theirs = {t: ours for ours, t in NEURON_EVAL_NAMES.items()}
    if metric in theirs:
        raise ValueError(
            f"unknown metric {metric!r}; what Neuron Eval calls so is {theirs[metric]!r} here"
        )
    close = difflib.get_close_matches(str(metric), METRICS, n=3)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise ValueError(f"unknown metric {metric!r}; {hint}known: {', '.join(METRICS)}")
