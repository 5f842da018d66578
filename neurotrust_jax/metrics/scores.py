"""Similarity of every neuron with every concept, the labels it gives, and why some are missing."""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.sums import Sums
from .._runtime.kept import kept
from .._runtime.short_repr import short_repr
from .._runtime.validation import check_count
from ..probing.active_rows import list_active
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from .metric import Metric
from .table import get_metric
from .transforms import VIEWS, varies
from .unit_sums import sums_over_active

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


@short_repr
class Identification(NamedTuple):
    """The most similar concepts of each neuron.

    Attributes
    ----------
    concept : Array [U, k] of int32
        Column of the concept, best first; -1 where fewer than k similarities are defined.
    similarity : Array [U, k]
        Its similarity; NaN where ``concept`` is -1.
    tied : Array [U] of int32
        Number of concepts that share the highest similarity to the last bit: above 1 the label is
        arbitrary (the lowest column is taken). Sums of ranks and of real values are rounded, on
        some devices differently for two equal columns; and a GPU rounds quotients by up to two
        units in the last place, so that shares of 1/3 and 2/6 need not tie there.
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

    Examples
    --------
    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> activations = np.array([[0.0], [1.0], [1.0], [1.0]])
    >>> concepts = np.array([[0, 1], [1, 0], [1, 0], [0, 0]])
    >>> probe = nt.make_probe(activations, concepts, thresholds=0.5)
    >>> nt.similarity(probe, "recall").tolist()
    [[1.0, 0.0]]
    """
    metric = get_metric(metric)
    check_joint(probe, metric)
    if reads_active_rows(probe, metric):
        return _score_active_rows(probe, metric)
    return probe.map_neurons(lambda part: score(part, metric.prepare_neurons(part.neurons), metric))


def reads_active_rows(probe: Probe, metric: Metric) -> bool:
    """Whether a metric's sums can be taken over the stored values of sparse activations."""
    return (
        isinstance(probe.activations, SparseColumns)
        and metric.neuron_view == "binary"
        and metric.finalise is not None
        and not isinstance(probe.sample_weight, jax.core.Tracer)
    )


def _score_active_rows(probe: Probe, metric: Metric) -> Array:
    """Similarity [U, C] of binary neurons from the rows on which they are active."""
    active = list_active(probe)
    weights = probe.weights
    varied = jax.device_put(_active_sometimes(probe, active.lengths))
    values = []
    for _, part in probe.in_columns():
        if metric.concept_view == "binary":
            c = distinct = part.present
        else:
            read = VIEWS[metric.concept_view]
            prepared = metric.prepare_concepts(part.labels)
            c, distinct = read.evaluate(prepared, weights), read.distinct(prepared)
        both = varied, varies(distinct, weights)
        sums = sums_over_active(active, c, weights)
        values.append(_value(sums, *both, metric=metric))
    return values[0] if len(values) == 1 else jnp.concatenate(values, axis=1)


@partial(jax.jit, static_argnames="metric")
def _value(sums: Sums, neuron_varies: Array, concept_varies: Array, *, metric: Metric) -> Array:
    return metric.value(sums, neuron_varies[:, None] & concept_varies[None, :])


def _active_sometimes(probe: Probe, count: np.ndarray) -> np.ndarray:
    """Whether each neuron is active on some samples that count, and not on all, [U] of bool."""
    return (count > 0) & (count < np.count_nonzero(np.asarray(probe.sample_weight)))


def check_joint(probe: Probe, metric: Metric, *, divided: bool = False) -> None:
    """Refuse a joint metric of activations that are read some neurons at a time."""
    if metric.joint and (divided or isinstance(probe.activations, SparseColumns)):
        raise ValueError(
            f"{metric.name!r} scores all neurons jointly, which sparse activations, and a mesh "
            "that divides the neurons, do not allow; give dense ones on one mesh axis, or another "
            "metric"
        )


def check_ranges(ranges: int, metric: Metric, activation_range: tuple[Any, Any] | None) -> None:
    """Refuse ranges for a metric that does not read where they are active.

    Raises
    ------
    ValueError
        If there are fewer than two ranges, the metric reads the values or the order of the
        activations, or the range of the activations is given, which such a metric does not read.
    """
    check_count(ranges, "ranges", 2)
    if metric.neuron_view != "binary":
        raise ValueError(
            f"ranges={ranges} needs a metric of active samples, such as iou, but {metric.name} "
            "reads all activations; choose another metric, or leave ranges out"
        )
    if activation_range is not None:
        raise ValueError(
            f"activation_range={activation_range} has no effect on ranges={ranges}, whose "
            "activations are 0 and 1; leave one of them out"
        )


def check_scores(scores: Array, probe: Probe) -> Array:
    """The similarities that a caller has at hand, refused where their shape does not fit."""
    expected = (probe.num_neurons, probe.num_concepts)
    if scores.shape != expected:
        raise ValueError(
            f"scores must have shape {list(expected)}, one row for each neuron and one column for "
            f"each concept, got {list(scores.shape)}; give similarity(probe, metric)"
        )
    return scores


def prepare(probe: Probe, metric: Metric) -> tuple[Any, Any]:
    """Do a metric's work that no weights touch (sorting, say), once for many weight vectors."""
    check_joint(probe, metric)
    return metric.prepare(probe.neurons, probe.labels)


def score(probe: Probe, neurons: Any, metric: Metric) -> Array:
    """Similarity [U, C] from prepared neurons, some concepts at a time."""
    values = [
        score_prepared(
            (neurons, metric.prepare_concepts(part.labels)), probe.weights, metric=metric
        )
        for _, part in probe.in_columns()
    ]
    return values[0] if len(values) == 1 else jnp.concatenate(values, axis=1)


# Compiled on the arrays alone, so that another layer's names or thresholds do not recompile it.
@partial(jax.jit, static_argnames="metric")
def score_prepared(prepared: tuple[Any, Any], weights: Array, *, metric: Metric) -> Array:
    """Similarity [U, C] from both sides as :func:`prepare` gives them."""
    return metric.score(prepared, weights)


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

    Examples
    --------
    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((400, 3)) < 0.2
    >>> activations = rng.normal(size=(400, 2))
    >>> activations[:, 0] += 4 * concepts[:, 1]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> found = nt.identify(probe, "iou")
    >>> int(found.concept[0, 0]), int(found.tied[0])
    (1, 1)
    """
    metric = get_metric(metric)
    if not 1 <= k <= probe.num_concepts:
        raise ValueError(f"k must lie between 1 and the {probe.num_concepts} concepts, got {k}")
    scores = similarity(probe, metric)
    return identified(scores, undefined_reason(probe, metric, scores=scores), k)


@partial(jax.jit, static_argnames="k")
def identified(scores: Array, reasons: Array, k: int) -> Identification:
    """The k most similar concepts, from similarities and reasons [U, C] that are at hand."""
    concept, best = leading_concepts(scores, k)
    missing = concept[:, 0] < 0
    return Identification(
        concept=concept,
        similarity=best,
        tied=(scores == best[:, :1]).sum(axis=1, dtype=jnp.int32),
        reason=jnp.where(missing, reasons[:, 0], int(Reason.DEFINED)),
    )


@partial(jax.jit, static_argnames="k")
def leading_concepts(scores: Array, k: int) -> tuple[Array, Array]:
    """The k highest scores of each row; a NaN never wins, and of equals the lowest column does."""
    concept = ordered_concepts(scores, k)
    best = jnp.take_along_axis(scores, concept, axis=1)
    return jnp.where(jnp.isnan(best), -1, concept), best


@partial(jax.jit, static_argnames="k")
def ordered_concepts(scores: Array, k: int) -> Array:
    """Columns of the k highest scores of each row, [U, k] of int32; NaNs come last."""
    return jax.lax.top_k(jnp.where(jnp.isnan(scores), -jnp.inf, scores), k)[1].astype(jnp.int32)


@jax.jit
def winner(scores: Array) -> Array:
    """Column of the highest score of each row, -1 where none is defined, [U] of int32."""
    best = jnp.argmax(jnp.where(jnp.isnan(scores), -jnp.inf, scores), axis=1).astype(jnp.int32)
    return jnp.where(jnp.isnan(scores).all(axis=1), -1, best)


@jax.jit
def at_concept(values: Array, concept: Array) -> Array:
    """Value [U] of one concept per neuron from ``values`` [U, C], NaN where the concept is -1."""
    value = jnp.take_along_axis(values, jnp.maximum(concept, 0)[:, None], axis=1)[:, 0]
    return jnp.where(concept < 0, jnp.nan, value)


def undefined_reason(
    probe: Probe, metric: str | Metric = "iou", *, scores: Array | None = None
) -> Array:
    """Why each similarity is undefined, as :class:`Reason` codes [U, C] (0 where it is defined).

    A fault of the neuron comes before one of the concept. ``scores`` [U, C] are the similarities,
    where they are at hand already.
    """
    metric = get_metric(metric)
    neuron = _constant_neurons(probe, view=metric.neuron_view)
    of_concept = Reason.NO_POSITIVES, Reason.NO_NEGATIVES, Reason.CONSTANT_CONCEPT
    side = probe.present if metric.concept_view == "binary" else probe.labels.values
    concept = _constant_side(side, probe.weights, reasons=of_concept)
    return _reasons(neuron, concept, similarity(probe, metric) if scores is None else scores)


@kept
def _constant_neurons(probe: Probe, *, view: str) -> Array:
    """As :func:`_constant_side`, of the neurons in a view of them: [U] of int32."""
    w = probe.weights
    if isinstance(probe.activations, SparseColumns) and not isinstance(w, jax.core.Tracer):
        return jax.device_put(_constant_columns(probe, view))
    reasons = Reason.NEVER_ACTIVE, Reason.ALWAYS_ACTIVE, Reason.CONSTANT_ACTIVATION
    side = probe.active if view == "binary" else probe.neurons.values
    return _constant_side(side, w, reasons=reasons)


def _constant_columns(probe: Probe, view: str) -> np.ndarray:
    """As :func:`_constant_side`, of sparse activations: [U] of int32."""
    used = np.asarray(probe.sample_weight) > 0
    if view == "binary":
        count = list_active(probe).lengths
        fault = np.where(count > 0, Reason.ALWAYS_ACTIVE, Reason.NEVER_ACTIVE)
        return np.where(_active_sometimes(probe, count), 0, fault).astype(np.int32)
    f = probe.activations
    assert isinstance(f, SparseColumns)
    neuron = np.repeat(np.arange(probe.num_neurons), np.diff(f.starts))[used[f.rows]]
    values = f.values[used[f.rows]]
    stored = np.bincount(neuron, minlength=probe.num_neurons)
    differs = np.zeros(probe.num_neurons, bool)
    differs[neuron[1:][(values[1:] != values[:-1]) & (neuron[1:] == neuron[:-1])]] = True
    # what is not stored is 0, and what is stored is not
    varied = differs | ((stored > 0) & (stored < used.sum()))
    return np.where(varied, 0, Reason.CONSTANT_ACTIVATION).astype(np.int32)


@jax.jit
def _reasons(neuron: Array, concept: Array, scores: Array) -> Array:
    fault = jnp.where(neuron[:, None] > 0, neuron[:, None], concept[None, :])
    return jnp.where(jnp.isnan(scores) & (fault == 0), int(Reason.UNDEFINED), fault)


@kept
@partial(jax.jit, static_argnames="reasons")
def _constant_side(side: Array, weights: Array, *, reasons: tuple[Reason, ...]) -> Array:
    """Reason of each column that does not vary, else 0, [d] of int32.

    ``reasons`` are those of a column that is never true, always true, or any other constant.
    """
    never, always, constant = map(int, reasons)
    if side.dtype == jnp.bool_:
        present = (side & (weights > 0)[:, None]).any(axis=0)
        code = jnp.where(present, always, never)
    else:
        code = jnp.full(side.shape[1], constant)
    return jnp.where(varies(side, weights), int(Reason.DEFINED), code).astype(jnp.int32)
