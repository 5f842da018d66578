"""The sums from which the similarity of a neuron and a formula follows.

A formula is a column like a concept: its similarity with a neuron is the metric of six weighted
sums, of which only two depend on both the formula and the data in a way that a search must follow:
the hits FC (the neuron's view summed where the formula holds) and the size C of the formula. With
the overlap of a formula and one more concept c, all three ways to join c follow from it:

    f and c: FC(f c)    f or c: FC(f) + FC(c) - FC(f c)    f and not c: FC(f) - FC(f c)

and so for C. The overlaps of many formulas with all concepts are one matrix product. The size does
not depend on the neuron. For a neuron of active and inactive samples hits are summed over the
active samples alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import round_up_shape
from .._numerics.sums import Sums, about_own_means, weighted_total
from ..metrics.metric import Metric
from ..metrics.table import METRICS
from ..metrics.transforms import VIEWS, varies
from ..probing.active_rows import list_active
from ..probing.probe import Probe
from .formulas import Formulas, evaluate

__all__ = [
    "ROUNDING",
    "VALUES",
    "Columns",
    "FormulaSums",
    "Neurons",
    "OwnSums",
    "check_metric",
    "columns_of",
    "neurons_of",
    "overlaps",
    "score",
]

NEURON_VIEWS = ("binary", "rank", "centred", "standard", "raw")
CENTRED = ("standard", "rank")  # views of a concept; ranks of 0 and 1 are 0 and 1, scaled and moved
VALUES = ("raw", "standard")  # views of a concept that joined values have too
PRESENCE = ("binary", *VALUES)
ROUNDING = 1e-5  # of scores whose sums are not whole
TOGETHER = (32, 256)  # formulas whose overlaps are taken in one product; few sizes


class Columns(NamedTuple):
    """The concepts of a search.

    Attributes
    ----------
    values : Array [N, C]
        0 and 1, or probabilities; the rows after the n samples are 0, for lists that are filled up.
    weights : Array [N]
    size, squares : Array [C]
        Weighted sums of the columns and of their squares.
    total : Array []
        Total weight.
    least : Array []
        Least total weight of the samples on which a formula holds, and on which it does not.
    rounding : Array []
        How far scores of active neurons may be off: 0 where all sums are whole and exact.
    """

    values: Array
    weights: Array
    size: Array
    squares: Array
    total: Array
    least: Array
    rounding: Array


class OwnSums(NamedTuple):
    """What a score takes of neurons alone; arrays that broadcast with those of formulas.

    Attributes
    ----------
    F, FF : Array
        Weighted sums of the view and of its square.
    varies : Array of bool
        Whether the neuron takes two values.
    """

    F: Array
    FF: Array
    varies: Array

    def take(self, *index: Any) -> OwnSums:
        """Those of some neurons, or with more axes."""
        return OwnSums(*(x[index] for x in self))


class Neurons(NamedTuple):
    """Some neurons of a search.

    Attributes
    ----------
    rows : Array [U, A] of int32
        The samples that are summed; the last row, which is 0, fills up.
    values : Array [U, A]
        The neuron's view on them, times the weight.
    own : OwnSums of Array [U]
    hits : Array [U, C]
        Sums of the view where each concept is present.
    """

    rows: Array
    values: Array
    own: OwnSums
    hits: Array


class FormulaSums(NamedTuple):
    """Sums of formulas: their sizes C, those of their squares CC, and their hits FC."""

    C: Array
    CC: Array
    FC: Array


def check_metric(metric: Metric, soft: bool) -> None:
    """Refuse a metric that is not a function of the sums of a neuron and of a formula's truth."""

    def fits(x: Metric) -> bool:
        if x.finalise is None or x.joint or x.neuron_view not in NEURON_VIEWS:
            return False
        if soft:
            return x.concept_view in VALUES
        # a metric of a binary neuron reads the ranks of concepts, not their deviations
        return x.concept_view in PRESENCE or (x.concept_view, x.neuron_view) == ("rank", "rank")

    if not fits(metric):
        known = ", ".join(x.name for x in METRICS.values() if fits(x))
        why = "values of soft formulas" if soft else "formulas of present and absent concepts"
        raise ValueError(f"metric={metric.name!r} can not score {why}; give one of {known}")


def columns_of(probe: Probe, soft: bool, min_positives: float) -> Columns:
    """The concepts of a probe as columns of 0 and 1, or, if ``soft``, their values."""
    weights = probe.weights
    values = probe.concepts if soft else probe.present
    each = np.asarray(weights)
    exact = (each == np.round(each)).all() and each.sum() <= 2 / np.finfo(each.dtype).eps
    heaviest = float(each.max())
    # in rounded shapes, so that two halves of the samples have one
    return _columns(
        values, weights, min_positives * heaviest, 0.0 if exact else ROUNDING,
        size=round_up_shape(len(weights) + 1),
    )  # fmt: skip


@partial(jax.jit, static_argnames="size")
def _columns(values: Array, weights: Array, least: float, rounding: float, *, size: int) -> Columns:
    values, fill = values.astype(weights.dtype), size - len(weights)
    totals = weighted_total(values, weights), weighted_total(values**2, weights)
    values, padded = jnp.pad(values, ((0, fill), (0, 0))), jnp.pad(weights, (0, fill))
    limits = (jnp.asarray(x, weights.dtype) for x in (least, rounding))
    return Columns(values, padded, *totals, weights.sum(), *limits)


def neurons_of(probe: Probe, metric: Metric, columns: Columns) -> Neurons:
    """Some neurons of a probe as a metric reads them."""
    if metric.neuron_view == "binary":
        listed = list_active(probe)
        # a power of two, so that blocks and halves have one shape
        number = 1 << int(max(listed.lengths.max(initial=0), 8) - 1).bit_length()
        rows = np.full((probe.num_neurons, number), len(columns.weights) - 1, np.int32)
        rows[np.arange(number)[None, :] < listed.lengths[:, None]] = listed.rows
        return _active_neurons(rows, columns)
    side = probe.neurons
    prepared = metric.prepare_neurons(side)
    return _all_rows(prepared, probe.weights, columns, view=metric.neuron_view)


@jax.jit
def _active_neurons(rows: Array, columns: Columns) -> Neurons:
    values = columns.weights[rows]
    total = values.sum(axis=1)
    own = OwnSums(total, total, (total > 0) & (total < columns.total))
    return Neurons(rows, values, own, _hits(rows, values, columns))


@partial(jax.jit, static_argnames="view")
def _all_rows(prepared: Any, weights: Array, columns: Columns, *, view: str) -> Neurons:
    f = VIEWS[view].evaluate(prepared, weights)
    rows = jnp.broadcast_to(jnp.arange(len(f), dtype=jnp.int32), f.T.shape)
    values = (weights[:, None] * f).T
    product = jnp.matmul(values, columns.values[: len(f)], precision=lax.Precision.HIGHEST)
    two_values = varies(VIEWS[view].distinct(prepared), weights)
    own = OwnSums(weighted_total(f, weights), weighted_total(f * f, weights), two_values)
    return Neurons(rows, values, own, product)


def _hits(rows: Array, values: Array, columns: Columns) -> Array:
    def neuron(own: tuple[Array, Array]) -> Array:
        rows, values = own
        return jnp.matmul(values, columns.values[rows], precision=lax.Precision.HIGHEST)

    return lax.map(neuron, (rows, values))


def overlaps(columns: Columns, formulas: Formulas, powers: tuple[int, int] = (1, 1)) -> np.ndarray:
    """Weighted sums of V formulas times each concept, or of powers of both, [V, C]."""
    found = []
    for start in range(0, len(formulas.concept), TOGETHER[-1]):
        some = formulas.take(slice(start, start + TOGETHER[-1]))
        number = len(some.concept)
        size = next(x for x in TOGETHER if number <= x)
        padded = (np.pad(x, ((0, size - number), (0, 0)), mode="edge") for x in some)
        found.append(np.asarray(_overlaps(columns, *padded, powers=powers))[:number])
    return np.concatenate(found)


@partial(jax.jit, static_argnames="powers")
def _overlaps(
    columns: Columns, concept: Array, operator: Array, *, powers: tuple[int, int]
) -> Array:
    truth = evaluate(columns.values, (concept, operator)).astype(columns.values.dtype)
    a, b = powers
    weighted = columns.weights[:, None] * truth**a
    return jnp.matmul(weighted.T, columns.values**b, precision=lax.Precision.HIGHEST)


def score(metric: Metric, columns: Columns, own: OwnSums, formulas: FormulaSums) -> Array:
    """The metric from sums of neurons and formulas that broadcast; -inf where undefined.

    It is undefined too where a formula holds, or does not hold, on too little weight.
    """
    C, CC, FC = formulas
    sums = Sums(columns.total, own.F, C, own.FF, CC, FC)
    sums = about_own_means(sums, neurons=False, concepts=metric.concept_view in CENTRED)
    ample = (columns.least <= C) & (columns.total - columns.least >= C)
    inside = (C > 0) & (columns.total > C)
    value = metric.value(sums, own.varies & ample & inside)
    return jnp.where(jnp.isnan(value), -jnp.inf, value)
