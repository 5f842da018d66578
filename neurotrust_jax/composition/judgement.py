"""Judge formulas on samples that had no part in finding them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..chance.p_values import adjusted
from ..faithfulness.bounds import Level, intervals_at
from ..faithfulness.evidence import MIN_UNITS
from ..faithfulness.jackknife import standard_error_of_lead
from ..faithfulness.known_beforehand import LargestUnit
from ..faithfulness.methods import resolve
from ..metrics.metric import Metric
from ..metrics.scores import similarity
from ..metrics.transforms import VIEWS
from ..probing.probe import Probe
from .conditional import by_counts, by_units, upper_tail
from .formulas import Formulas, evaluate, written

__all__ = [
    "Comparison",
    "Known",
    "certified_lower",
    "compare_with_single",
    "overlap",
    "with_formulas",
]

TOGETHER = 2**24  # truth values of formulas at a time
SAMPLES = 2**26  # values of neurons, or truth values, at a time


class Known(NamedTuple):
    """What is known of the data for intervals, see :func:`neurotrust_jax.intervals`."""

    activation_range: tuple[Any, Any] | None = None
    largest_unit: LargestUnit = None

    def of_neurons(self, some: np.ndarray) -> Known:
        """What is known of some neurons."""
        if self.activation_range is None:
            return self
        low, high = (x if np.ndim(x) == 0 else np.asarray(x)[some] for x in self.activation_range)
        return self._replace(activation_range=(low, high))


class Comparison(NamedTuple):
    """Formulas against the best single concept, on data that chose neither; arrays [U].

    Attributes
    ----------
    similarity : numpy.ndarray [L, U]
        Of the best formulas of at most 1, 2, ... L concepts.
    lower, upper : numpy.ndarray
        Interval of the last one's true similarity.
    guarantee : str
        What it promises.
    gain, gain_error : numpy.ndarray
        Similarity of the last one less that of the single concept, and its standard error.
    p_value, q_value : numpy.ndarray
        Of the hypothesis that the formula is no better, or no better than by chance.
    """

    similarity: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    guarantee: str
    gain: np.ndarray
    gain_error: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray


class _Block(NamedTuple):
    """Some neurons, with a probe whose concepts are their formulas.

    Attributes
    ----------
    neurons : numpy.ndarray [V] of int
        The last one may be repeated.
    probe : Probe
        Concepts are the different formulas of these neurons.
    column : numpy.ndarray [K, V] of int
        Column of each of K formulas of V neurons; -1 without one.
    """

    neurons: np.ndarray
    probe: Probe
    column: np.ndarray


def with_formulas(probe: Probe, formulas: Formulas, soft: bool) -> Probe:
    """The probe with formulas [V] for concepts, as columns of bool, or of values if ``soft``."""
    values = np.asarray(probe.concepts if soft else probe.present).astype(
        np.asarray(probe.weights).dtype
    )
    truth = evaluate(values, formulas)
    names = tuple(written(*x, probe.concept_names) for x in zip(*formulas, strict=True))
    concepts = np.clip(truth, 0, 1) if soft else truth > 0.5
    return replace(probe, concepts=jax.device_put(concepts), concept_names=names, left_out=())


def compare_with_single(
    probe: Probe, metric: Metric, formulas: Formulas, *, alpha: float, soft: bool, known: Known
) -> Comparison:
    """Measure formulas [L, U], of at most 1, 2, ... L concepts, and compare the last and first.

    A formula is better than the concept only if it is so twice over, so that the larger of two
    p-values is valid for both hypotheses: its similarity is higher on other samples (by the
    standard error of the difference, which is that of the same units), and it says more of the
    neuron than the concept does (see :mod:`.conditional`).
    """
    parts, guarantee = [], ""
    for block in _blocks(probe, formulas, soft):
        found, guarantee = _compare_block(block, metric, alpha, known.of_neurons(block.neurons))
        parts.append(found)
    joined = (np.concatenate(x, axis=-1) for x in zip(*parts, strict=True))
    value, *rest = (x[..., : probe.num_neurons] for x in joined)
    lower, upper, gain, error, p_value = rest
    q_value = np.asarray(adjusted(jax.device_put(p_value)))
    return Comparison(value, lower, upper, guarantee, gain, error, p_value, q_value)


def _compare_block(
    block: _Block, metric: Metric, alpha: float, known: Known
) -> tuple[tuple[np.ndarray, ...], str]:
    probe, column = block.probe, block.column
    scores = similarity(probe, metric)
    value = _at(np.asarray(scores), column)
    first, last = np.maximum(column[0], 0), np.maximum(column[-1], 0)
    (found,) = intervals_at(
        probe, metric, [Level(alpha, "none")], "auto", *known, scores=scores,
        concept=jax.device_put(last.astype(np.int32)),
    )  # fmt: skip
    lower, upper = (_of_concept(x, column[-1]) for x in (found.lower, found.upper))
    gain, error, units = standard_error_of_lead(probe, metric, last, first)
    tested = (column[0] >= 0) & (column[-1] != column[0])
    missing = np.isnan(value[-1]) | np.isnan(value[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, gain / error, 0)
    of_lead = np.where(units >= MIN_UNITS, upper_tail(ratio, units - 1), 1)
    p_value = np.maximum(of_lead, _conditional(probe, metric, last, first))
    p_value = np.where(tested & ~missing, p_value, 1)
    p_value = np.where(column[0] < 0, np.nan, p_value)
    gain = np.where(tested, gain, np.where(column[0] < 0, np.nan, 0))
    error = np.where(tested, error, np.where(column[0] < 0, np.nan, 0))
    return (value, lower, upper, gain, error, p_value), found.guarantee


def _conditional(probe: Probe, metric: Metric, formula: np.ndarray, concept: np.ndarray) -> Any:
    """p-values [V] of independence of neuron and formula, given the concept."""
    exact = (
        metric.neuron_view == "binary"
        and probe.groups is None
        and probe.equal_weights
        and probe.concepts.dtype == jnp.bool_
    )
    truth = np.asarray(probe.concepts)
    groups = None if probe.groups is None else np.asarray(probe.groups)
    found = []
    for some, part in _few_neurons(probe):
        holds, single = truth[:, formula[some]], truth[:, concept[some]]
        if exact:
            found.append(by_counts(np.asarray(part.active), holds, single))
            continue
        view = VIEWS[metric.neuron_view]
        values = view.evaluate(metric.prepare_neurons(part.neurons), part.weights)
        found.append(by_units(np.asarray(values), holds, single, np.asarray(part.weights), groups))
    return np.concatenate(found)


def certified_lower(
    probe: Probe,
    metric: Metric,
    formulas: Formulas,
    *,
    alpha: float,
    num_formulas: int,
    soft: bool,
    known: Known,
) -> np.ndarray:
    """Lower bounds [U] of the formulas [U], for all formulas that could have been found at once.

    The error is divided by their number, so the bounds hold for one that was chosen on the data
    that measure it. NaN where the metric has no bounds for every sample size here.
    """  # fmt: skip
    if resolve(probe, metric, "auto", known.activation_range is not None).asymptotic:
        return np.full(probe.num_neurons, np.nan)
    found = []
    level = Level(alpha / num_formulas, "none", "lower")
    every = Formulas(*(x[None] for x in formulas))
    for block in _blocks(probe, every, soft):
        concept = jax.device_put(np.maximum(block.column[0], 0).astype(np.int32))
        own = known.of_neurons(block.neurons)
        (bounds,) = intervals_at(block.probe, metric, [level], "auto", *own, concept=concept)
        found.append(_of_concept(bounds.lower, block.column[0]))
    return np.concatenate(found)[: probe.num_neurons]


def overlap(probe: Probe, first: Formulas, second: Formulas, soft: bool) -> np.ndarray:
    """Jaccard index [U] of the samples on which two formulas [U] hold; NaN if one is missing."""
    weights = np.asarray(probe.weights, np.float64)[:, None]
    values = np.asarray(probe.concepts if soft else probe.present).astype(np.float32)
    found = []
    width = max(1, SAMPLES // len(values))
    for start in range(0, len(first.concept), width):
        a, b = (evaluate(values, x.take(slice(start, start + width))) for x in (first, second))
        both, either = ((weights * f(a, b)).sum(axis=0) for f in (np.minimum, np.maximum))
        found.append(np.where(either > 0, both / np.where(either > 0, either, 1), np.nan))
    missing = (first.length == 0) | (second.length == 0)
    return np.where(missing, np.nan, np.concatenate(found))


def _blocks(probe: Probe, formulas: Formulas, soft: bool) -> Iterator[_Block]:
    """Some neurons at a time, with their formulas [K, U] for concepts."""
    number = len(formulas.concept)
    most = min(max(1, TOGETHER // (probe.num_samples * number)), 64)
    width = -(-probe.num_neurons // -(-probe.num_neurons // most))
    for start in range(0, probe.num_neurons, width):
        # the last neuron fills up, so that one shape is compiled
        some = np.minimum(np.arange(start, start + width), probe.num_neurons - 1)
        own = formulas.take(slice(None), some)
        code = np.concatenate(own, axis=-1)
        flat = code.reshape(-1, code.shape[-1])
        distinct, index = np.unique(flat, axis=0, return_inverse=True)
        # as many columns in every block, so that one shape is compiled
        fill = np.repeat(distinct[-1:], number * width - len(distinct), axis=0)
        distinct = np.concatenate([distinct, fill])
        length = own.concept.shape[-1]
        as_formulas = Formulas(
            distinct[:, :length].astype(np.int32), distinct[:, length:].astype(np.int8)
        )
        column = np.where(own.length > 0, index.reshape(own.length.shape), -1)
        block = with_formulas(probe.of_neurons(some), _without_none(as_formulas), soft)
        names = tuple(f"{i} {name}" for i, name in enumerate(block.concept_names))
        yield _Block(some, replace(block, concept_names=names), column)


def _without_none(formulas: Formulas) -> Formulas:
    """Formulas with the first concept in place of none; what follows from it is not read."""
    concept = formulas.concept.copy()
    concept[formulas.length == 0, 0] = 0
    return Formulas(concept, formulas.operator)


def _few_neurons(probe: Probe) -> Iterator[tuple[slice, Probe]]:
    width = max(1, SAMPLES // (8 * probe.num_samples))
    for some, part in probe.in_neurons():
        for start in range(some.start, some.stop, width):
            stop = min(start + width, some.stop)
            inner = slice(start - some.start, stop - some.start)
            yield slice(start, stop), part.of_neurons(inner)


def _at(scores: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Scores [V, F] at columns [K, V], NaN where there is none."""
    return np.where(column < 0, np.nan, scores[np.arange(column.shape[1]), np.maximum(column, 0)])


def _of_concept(bounds: Any, column: np.ndarray) -> np.ndarray:
    """Bounds [V, 1] of a concept, or those [V, F] of all at it; NaN where there is none."""
    bounds = np.asarray(bounds)
    if bounds.shape[1] > 1:
        return _at(bounds, column[None])[0]
    return np.where(column < 0, np.nan, bounds[:, 0])
