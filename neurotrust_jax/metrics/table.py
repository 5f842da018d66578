"""The table of similarity metrics: to add one, add a row with all that is known of it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from types import MappingProxyType

import jax.numpy as jnp
from jax import Array

from .._numerics.sums import Sums
from . import interval_rules as rules
from . import ranked, shift_rules
from .interval_rules import IntervalRule, every_threshold, over_positive
from .metric import Metric, Ordering, ranked_metric, six_sum_metric
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
)
from .transforms import VIEWS

__all__ = ["METRICS", "NEURON_EVAL_NAMES", "get_metric"]

UNIT = (0.0, 1.0)
SIGNED = (-1.0, 1.0)
REAL = (-math.inf, math.inf)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, NaN over 0, with gradients that stay finite next to a zero denominator."""
    # at full size, as XLA turns a division by a row or column into a product with its reciprocal:
    # equal shares such as 3/10 and 6/20 would then come out unequal
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


_AUROC = six_sum_metric(
    "auroc", "rank", "binary", lambda s: 0.5 + _ratio(s.S * s.FC, s.C * (s.S - s.C)),
    UNIT, "P(activation higher where present than where absent), ties half",
    interval_rule=rules.AREA_OF_NEURON,
    planning_gap=lambda d: d.pairs(d.present),
    shift_rule=shift_rules.AREA,
    neuron_eval_name="inverse_auc",
    linear_in_products=True,
)  # fmt: skip

# Uniform rules: r = P(active | present) and q = P(active | absent) as functions of the threshold,
# p = P(present) beside them. What the neuron does on samples with the concept helps each metric and
# what it does without harms it; more of them help precision, f1 and iou. A planning gap must not
# increase with n even in the last bit, which is why F1's 2g / (1 + g) is written with one g.
_TABLE = (
    six_sum_metric(
        "accuracy", "binary", "binary", lambda s: (s.S - s.F - s.C + 2 * s.FC) / s.S,
        UNIT, "P(active = present)", (Part(AGREE, ALWAYS),),
        interval_rule=IntervalRule((rules.ACCURACY,), (1,), rules.same),
        uniform_rule=every_threshold(lambda p, r, q: (p * r + (1 - p) * (1 - q),), (0, 1, -1)),
        planning_gap=lambda d: d.rate(d.n),
        shift_rule=shift_rules.EVENT,
        neuron_eval_name="accuracy",
        rewards_overlap=True,
    ),
    six_sum_metric(
        "balanced_accuracy", "binary", "binary", lambda s: _rate(s) / 2,
        UNIT, "(P(active | present) + P(inactive | absent)) / 2",
        (Part(BOTH, PRESENT), Part(NEITHER, ABSENT)),
        interval_rule=IntervalRule((rules.RECALL, rules.SPECIFICITY), (1, 1), rules.mean),
        uniform_rule=IntervalRule((rules.RECALL, rules.SPECIFICITY), (1, 1), rules.mean),
        planning_gap=lambda d: d.two_classes(d.present),
        shift_rule=shift_rules.CONDITIONALS,
        neuron_eval_name="inverse_balanced_accuracy",
        rewards_overlap=True,
    ),
    six_sum_metric(
        "simulation_balanced_accuracy", "binary", "binary", lambda s: _simulation_rate(s) / 2,
        UNIT, "(P(present | active) + P(absent | inactive)) / 2",
        (Part(BOTH, ACTIVE), Part(NEITHER, INACTIVE)),
        interval_rule=IntervalRule(
            (rules.PRECISION, rules.NEGATIVE_PREDICTIVE_VALUE), (1, 1), rules.mean
        ),
        uniform_rule=every_threshold(
            lambda p, r, q: (
                over_positive(p * r, p * r + (1 - p) * q),
                over_positive((1 - p) * (1 - q), (1 - p) * (1 - q) + p * (1 - r)),
            ),
            (0, 1, -1),
        ),
        planning_gap=lambda d: d.two_classes(d.active),
        shift_rule=shift_rules.CONDITIONALS,
        neuron_eval_name="balanced_accuracy",
        rewards_overlap=True,
    ),
    six_sum_metric(
        "precision", "binary", "binary", lambda s: _ratio(s.FC, s.F),
        UNIT, "P(present | active)", (Part(BOTH, ACTIVE),),
        interval_rule=IntervalRule((rules.PRECISION,), (1,), rules.same),
        uniform_rule=every_threshold(
            lambda p, r, q: (over_positive(p * r, p * r + (1 - p) * q),), (1, 1, -1)
        ),
        planning_gap=lambda d: d.rate(d.n * d.active),
        shift_rule=shift_rules.GIVEN_ACTIVE,
        neuron_eval_name="recall",
        rewards_overlap=True,
    ),
    six_sum_metric(
        "recall", "binary", "binary", lambda s: _ratio(s.FC, s.C),
        UNIT, "P(active | present)", (Part(BOTH, PRESENT),),
        interval_rule=IntervalRule((rules.RECALL,), (1,), rules.same),
        uniform_rule=IntervalRule((rules.RECALL,), (1,), rules.same),
        planning_gap=lambda d: d.rate(d.n * d.present),
        shift_rule=shift_rules.GIVEN_PRESENT,
        neuron_eval_name="precision",
        rewards_overlap=True,
    ),
    six_sum_metric(
        "f1", "binary", "binary", lambda s: _ratio(2 * s.FC, s.F + s.C),
        UNIT, "harmonic mean of precision and recall", (Part(BOTH, EITHER),),
        interval_rule=IntervalRule((rules.IOU,), (1,), rules.f1_of_iou),
        uniform_rule=every_threshold(
            lambda p, r, q: (over_positive(2 * p * r, p * (1 + r) + (1 - p) * q),), (1, 1, -1)
        ),
        planning_gap=lambda d: 2 / (1 + 1 / d.union()),
        shift_rule=shift_rules.THROUGH_IOU,
        neuron_eval_name="f1_score",
        rewards_overlap=True,
    ),
    six_sum_metric(
        "iou", "binary", "binary", lambda s: _ratio(s.FC, s.F + s.C - s.FC),
        UNIT, "P(active and present | active or present)", (Part(BOTH, EITHER),),
        interval_rule=IntervalRule((rules.IOU,), (1,), rules.same),
        uniform_rule=every_threshold(
            lambda p, r, q: (over_positive(p * r, p + (1 - p) * q),), (1, 1, -1)
        ),
        planning_gap=lambda d: d.union(),
        shift_rule=shift_rules.GIVEN_EITHER,
        neuron_eval_name="iou",
        rewards_overlap=True,
    ),
    _AUROC,
    six_sum_metric(
        "simulation_auroc", "binary", "rank",
        lambda s: 0.5 + _ratio(s.S * s.FC, s.F * (s.S - s.F)),
        UNIT, "P(concept score higher where active than where inactive), ties half",
        interval_rule=IntervalRule((rules.Pairs("concept"),), (1,), rules.same),
        planning_gap=lambda d: d.pairs(d.active),
        shift_rule=shift_rules.AREA,
        neuron_eval_name="auc",
    ),
    ranked_metric(
        "auprc", "rank", "binary", ranked.rank_side, VIEWS["binary"].prepare,
        ranked.average_precision,
        UNIT, "average precision of the activation for the concept",
        parts=GIVEN_CONCEPT, columns=ranked.ranks_and_labels,
        neuron_eval_name="inverse_auprc",
    ),
    ranked_metric(
        "simulation_auprc", "binary", "rank", VIEWS["binary"].prepare, ranked.rank_side,
        ranked.simulation_average_precision,
        UNIT, "average precision of the concept score for the active neuron",
        parts=GIVEN_NEURON, columns=ranked.active_and_ranks,
        neuron_eval_name="auprc",
    ),
    six_sum_metric(
        "correlation", "standard", "standard", _cosine,
        SIGNED, "Pearson correlation",
        interval_rule=IntervalRule(
            (rules.PRODUCT, rules.MEAN, rules.MEAN_SQUARE, rules.SCORE, rules.SCORE_SQUARE),
            (1, 0, 0, 0, 0),
            rules.correlation,
        ),
        planning_gap=lambda d: d.shifted(),
        neuron_eval_name="correlation",
    ),
    six_sum_metric(
        "spearman", "rank", "rank", _cosine,
        SIGNED, "Pearson correlation of mid-ranks",
        planning_gap=lambda d: d.independent(),
        # with a concept of 0 and 1 it is (A - 1/2) sqrt(p (1 - p)) over the standard deviation of
        # the neuron's ranks, which all its concepts share in a replicate
        ordering=Ordering(
            _AUROC, IntervalRule((rules.Pairs("neuron"), rules.PREVALENCE), (1, 0),
                                 rules.lead_of_ranks)
        ),
        neuron_eval_name="spearman_correlation",
        linear_in_products=True,
    ),
    six_sum_metric(
        "cosine", "raw", "raw", _cosine,
        SIGNED, "cosine of the angle between the raw columns",
        interval_rule=IntervalRule(
            (rules.PRODUCT, rules.SCALED_MEAN_SQUARE, rules.SCORE, rules.SCORE_SQUARE),
            (1, 0, 0, 0),
            rules.cosine,
        ),
        neuron_eval_name="cos_sim",
    ),
    six_sum_metric(
        "cos_similarity_cubed", "cubed", "cubed", _cosine,
        SIGNED, "cosine of the cubes of the centred columns (CLIP-Dissect)",
    ),
    six_sum_metric(
        "mad", "centred", "binary", _mean_difference,
        REAL, "mean activation where present minus where absent",
        interval_rule=IntervalRule(
            (rules.MEAN_IF_PRESENT, rules.MEAN_IF_ABSENT), (1, -1), rules.mad
        ),
        neuron_eval_name="mad",
    ),
    six_sum_metric(
        "standardised_mad", "standard", "binary", _standardised_mean_difference,
        REAL, "mad over the neuron's standard deviation",
        interval_rule=IntervalRule(
            (rules.MEAN_IF_PRESENT, rules.MEAN_IF_ABSENT, rules.MEAN, rules.MEAN_SQUARE),
            (1, -1, 0, 0),
            rules.standardised_mad,
        ),
    ),
    six_sum_metric(
        "wpmi", "binary", "log", lambda s: _ratio(s.FC, s.F),
        REAL, "mean of log p(concept) where active, minus log mean p(concept)",
        interval_rule=IntervalRule((rules.LOG_IF_ACTIVE, rules.SCORE), (1, -1), rules.wpmi),
        neuron_eval_name="wpmi",
    ),
    ranked_metric(
        "soft_wpmi", "rank", "raw", ranked.rank_side, ranked.own_values, ranked.soft_wpmi,
        REAL, "CLIP-Dissect's SoftWPMI on the top 100", joint=True,
        parts=GIVEN_NEURON[:1], columns=ranked.soft_wpmi_columns,
    ),
    ranked_metric(
        "wpmi_topk", "rank", "raw", ranked.rank_side, ranked.own_values, ranked.wpmi_topk,
        REAL, "CLIP-Dissect's WPMI on the top 28", joint=True,
        parts=GIVEN_NEURON[:1], columns=ranked.wpmi_topk_columns,
    ),
    ranked_metric(
        "rank_reorder", "rank", "raw", ranked.rank_side, ranked.own_values, ranked.rank_reorder,
        (-math.inf, 0.0), "CLIP-Dissect's rank reorder on the top 5%",
        parts=GIVEN_NEURON[:1], columns=ranked.rank_reorder_columns,
    ),
    ranked_metric(
        "correlation_top_and_random", "binary", "raw", ranked.scaled_and_active,
        VIEWS["standard"].prepare, ranked.correlation_top_and_random,
        SIGNED, "Pearson correlation on an even mix of active and of all samples",
        parts=GIVEN_NEURON, columns=lambda neurons, labels, _: (neurons[1], labels.values),
        neuron_eval_name="correlation_top_and_random",
    ),
)  # fmt: skip

METRICS: Mapping[str, Metric] = MappingProxyType({m.name: m for m in _TABLE})
"""Every built-in metric by its name."""

NEURON_EVAL_NAMES: Mapping[str, str] = MappingProxyType(
    {m.name: m.neuron_eval_name for m in _TABLE if m.neuron_eval_name is not None}
)
"""The names of Oikarinen, Yan & Weng (ICML 2025) by ours; they take the neuron as the label, so
that several swap meaning."""


def get_metric(metric: str | Metric) -> Metric:
    """Look a metric up by name; a :class:`Metric` of your own passes through.

    Parameters
    ----------
    metric : str or Metric

    Returns
    -------
    Metric

    Raises
    ------
    ValueError
        If the name is unknown; the message lists close names.

    Examples
    --------
    >>> import neurotrust_jax as nt
    >>> nt.metrics.get_metric("recall").summary
    'P(active | present)'
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
