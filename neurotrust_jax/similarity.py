"""Similarity of every neuron with every concept, the labels it gives, and why some are missing."""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .metrics import Metric, get_metric
from .probe import Probe
from .views import varies

__all__ = ["Identification", "Reason", "identify", "similarity", "undefined_reason"]


class Reason(IntEnum):
    """Why a similarity is undefined (NaN)."""

    DEFINED = 0
    NEVER_ACTIVE = 1
    ALWAYS_ACTIVE = 2
    CONSTANT_ACTIVATION = 3
    NO_POSITIVES = 4
    NO_NEGATIVES = 5
    CONSTANT_CONCEPT = 6
    UNDEFINED = 7

    @property
    def text(self) -> str:
        """The reason in words."""
        return self.name.lower().replace("_", " ")


class Identification(NamedTuple):
    """The most similar concepts of each neuron.

    Attributes
    ----------
    concept : Array [U, k] of int32
        Column of the concept, best first; -1 where fewer than k similarities are defined.
    similarity : Array [U, k]
        Its similarity; NaN where ``concept`` is -1.
    tied : Array [U] of int32
        Number of concepts that share the highest similarity: above 1 the label is arbitrary
        (the lowest column is taken).
    reason : Array [U] of int32
        A :class:`Reason`: 0 where the neuron has a label, else why it has none.
    """

    concept: Array
    similarity: Array
    tied: Array
    reason: Array


def similarity(probe: Probe, metric: str | Metric = "iou") -> Array:
    """Similarity of all neurons with all concepts under the probe's sample weights.

    Defined where both sides vary on the samples of positive weight, in the view that the metric
    takes (:attr:`Metric.neuron_view`); NaN elsewhere, and :func:`undefined_reason` tells why.
    Pure: usable under ``jit``, ``vmap`` and ``grad``.

    Parameters
    ----------
    probe : Probe
    metric : str or Metric
        A key of :data:`METRICS`, or a metric of your own.

    Returns
    -------
    Array [U, C]
        Within ``metric.range``.

    Raises
    ------
    ValueError
        If the metric is unknown.
    """
    return _similarity(probe, metric=get_metric(metric))


@partial(jax.jit, static_argnames="metric")
def _similarity(probe: Probe, metric: Metric) -> Array:
    return metric.score(metric.prepare(probe.neurons, probe.labels), probe.weights)


@partial(jax.jit, static_argnames="metric")
def prepare(probe: Probe, metric: Metric) -> Any:
    """Do a metric's work that no weights touch (sorting, say), once for many weight vectors."""
    return metric.prepare(probe.neurons, probe.labels)


def identify(probe: Probe, metric: str | Metric = "iou", k: int = 1) -> Identification:
    """Label each neuron with its most similar concepts.

    Parameters
    ----------
    probe : Probe
    metric : str or Metric
    k : int
        How many concepts per neuron, 1 to C.

    Returns
    -------
    Identification

    Raises
    ------
    ValueError
        If the metric is unknown or k is out of range.
    """
    metric = get_metric(metric)
    if not 1 <= k <= probe.num_concepts:
        raise ValueError(f"k must lie between 1 and the {probe.num_concepts} concepts, got {k}")
    scores = similarity(probe, metric)
    concept, best = leading_concepts(scores, k)
    reasons = undefined_reason(probe, metric)
    missing = concept[:, 0] < 0
    return Identification(
        concept=concept,
        similarity=best,
        tied=(scores == best[:, :1]).sum(axis=1, dtype=jnp.int32),
        reason=jnp.where(missing, reasons[:, 0], int(Reason.DEFINED)),
    )


def leading_concepts(scores: Array, k: int) -> tuple[Array, Array]:
    """The k highest scores of each row; a NaN never wins, and of equals the lowest column does."""
    ordered = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    concept = jax.lax.top_k(ordered, k)[1].astype(jnp.int32)
    best = jnp.take_along_axis(scores, concept, axis=1)
    return jnp.where(jnp.isnan(best), -1, concept), best


def winner(scores: Array) -> Array:
    """Column of the highest score of each row, -1 where none is defined, [U] of int32."""
    best = jnp.argmax(jnp.where(jnp.isnan(scores), -jnp.inf, scores), axis=1).astype(jnp.int32)
    return jnp.where(jnp.isnan(scores).all(axis=1), -1, best)


def undefined_reason(probe: Probe, metric: str | Metric = "iou") -> Array:
    """Why each similarity is undefined, as :class:`Reason` codes [U, C] (0 where it is defined).

    A fault of the neuron comes before one of the concept.
    """
    return _undefined_reason(probe, get_metric(metric))


@partial(jax.jit, static_argnames="metric")
def _undefined_reason(probe: Probe, metric: Metric) -> Array:
    w = probe.weights
    neurons, labels = probe.neurons, probe.labels
    if metric.neuron_view == "binary":
        share = probe.active_rate
        neuron = jnp.where(
            varies(neurons.present.astype(w.dtype), w),
            0,
            jnp.where(share > 0.5, Reason.ALWAYS_ACTIVE, Reason.NEVER_ACTIVE),
        )
    else:
        neuron = jnp.where(varies(neurons.values, w), 0, Reason.CONSTANT_ACTIVATION)
    if metric.concept_view == "binary":
        share = probe.concept_rate
        concept = jnp.where(
            varies(labels.present.astype(w.dtype), w),
            0,
            jnp.where(share > 0.5, Reason.NO_NEGATIVES, Reason.NO_POSITIVES),
        )
    else:
        concept = jnp.where(varies(labels.values, w), 0, Reason.CONSTANT_CONCEPT)
    either = jnp.where(neuron[:, None] != 0, neuron[:, None], concept[None, :])
    undefined = jnp.isnan(metric.score(metric.prepare(neurons, labels), w))
    other = jnp.where(undefined, Reason.UNDEFINED, Reason.DEFINED)
    return jnp.where(either != 0, either, other).astype(jnp.int32)
