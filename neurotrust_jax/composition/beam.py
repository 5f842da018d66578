"""Beam search for formulas: of all neurons of a block at once.

A beam holds the best formulas found. Each step joins every concept, by every operator, to those
that the step before has added, and the best of old and new ones are the next beam. Formulas that
add nothing are passed over: those that hold on the samples of a shorter one (or on none), and those
that hold on the same samples as a better placed one, which would otherwise fill the beam.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..metrics.metric import Metric
from .formulas import AND, AND_NOT, NONE, OR, Formulas, canonical, evaluate
from .sums import VALUES, Columns, FormulaSums, Neurons, overlaps, score

__all__ = ["Found", "beam_search", "best_of"]


UNDEFINED = -1e30


class Found(NamedTuple):
    """Formulas of some neurons with their scores and sums.

    Attributes
    ----------
    formulas : Formulas [U, K]
    score : numpy.ndarray [U, K]
        -inf where there is no formula, and ``UNDEFINED`` where it has no similarity; a longer one
        may have one.
    size, squares, hits : numpy.ndarray [U, K]
        Sums C, CC and FC.
    """

    formulas: Formulas
    score: np.ndarray
    size: np.ndarray
    squares: np.ndarray
    hits: np.ndarray

    def take(self, rows: np.ndarray, places: np.ndarray) -> Found:
        """Formulas at places [U, K'] of their neurons' lists."""
        taken: Found = jax.tree.map(lambda x: x[rows, places], self)
        return taken


def beam_search(
    columns: Columns,
    neurons: Neurons,
    metric: Metric,
    *,
    max_length: int,
    operators: tuple[int, ...],
    width: int,
    packed: np.ndarray | None,
) -> list[Found]:
    """The beams after each step: of formulas of at most 1, 2, ... ``max_length`` concepts.

    Parameters
    ----------
    packed : numpy.ndarray [C, words] of uint64, or None
        The concepts, a bit for each sample, by which formulas of equal truth are found out; None
        for soft concepts, whose formulas are taken to differ unless they are equal in meaning.
    """
    beam = _first_beam(columns, neurons, metric, max_length, width)
    beams = [beam]
    for length in range(1, max_length):
        fresh = (beam.formulas.length == length) & (beam.score > -np.inf)
        if not fresh.any():
            beams.append(beam)
            continue
        longer = _extended(columns, neurons, metric, beam, fresh, operators, width)
        both = jax.tree.map(lambda *x: np.concatenate(x, axis=1), beam, longer)
        beam = _best(both, width, packed)
        beams.append(beam)
    return beams


def best_of(beam: Found) -> tuple[Formulas, np.ndarray]:
    """The best formula of each neuron, without concepts where there is none, and its score [U]."""
    first = beam.formulas.take(slice(None), 0)
    none = beam.score[:, 0] <= UNDEFINED
    concept, operator = (np.where(none[:, None], NONE, x) for x in first)
    return Formulas(concept, operator), np.where(none, np.nan, beam.score[:, 0])


def _first_beam(
    columns: Columns, neurons: Neurons, metric: Metric, max_length: int, width: int
) -> Found:
    """The best single concepts."""
    value = np.maximum(_single_scores(columns, neurons, metric=metric), UNDEFINED)
    place = np.argsort(-value, axis=1, kind="stable")[:, :width]
    rows = np.arange(len(value))[:, None]
    concept = np.full((*place.shape, max_length), NONE, np.int32)
    concept[..., 0] = place
    formulas = Formulas(concept, np.full(concept.shape, NONE, np.int8))
    size, squares = np.asarray(columns.size), np.asarray(columns.squares)
    hits = np.asarray(neurons.hits)[rows, place]
    return Found(formulas, value[rows, place], size[place], squares[place], hits)


@partial(jax.jit, static_argnames="metric")
def _single_scores(columns: Columns, neurons: Neurons, *, metric: Metric) -> Array:
    sums = FormulaSums(columns.size[None, :], columns.squares[None, :], neurons.hits)
    return score(metric, columns, neurons.own.take(slice(None), None), sums)


def _extended(
    columns: Columns,
    neurons: Neurons,
    metric: Metric,
    beam: Found,
    fresh: np.ndarray,
    operators: tuple[int, ...],
    width: int,
) -> Found:
    """The best formulas of one more concept than the fresh ones of a beam; some are repeated."""
    length = int(beam.formulas.length[fresh].max())
    num_neurons, num_concepts = neurons.hits.shape
    rows = np.arange(num_neurons)[:, None]
    short = Formulas(*(x[..., :length] for x in beam.formulas))
    code = np.where(fresh[..., None], np.concatenate(short, axis=-1), NONE)
    rows_of_code, index = np.unique(code.reshape(-1, 2 * length), axis=0, return_inverse=True)
    concept, operator = rows_of_code[:, :length], rows_of_code[:, length:]
    distinct = Formulas(concept.astype(np.int32), operator.astype(np.int8))
    powers = ((1, 1), (1, 2), (2, 1), (2, 2)) if metric.concept_view in VALUES else ((1, 1),)
    sizes = np.stack([overlaps(columns, distinct, x) for x in powers])
    # as many as there may be, so that one shape is compiled
    sizes = np.pad(sizes, ((0, 0), (0, fresh.size - sizes.shape[1]), (0, 0)))
    most = min((length + 1) * width, fresh.shape[1] * num_concepts * len(operators))
    value, place, *sums = (
        np.asarray(x)
        for x in _extend(
            columns, neurons, short, *beam[2:], fresh, index.reshape(fresh.shape), sizes,
            metric=metric, operators=operators, most=most,
        )
    )  # fmt: skip
    member, joined = np.divmod(place, num_concepts * len(operators))
    join, added = np.divmod(joined, num_concepts)
    grown = beam.formulas.take(rows, member)
    grown.concept[..., length] = added
    grown.operator[..., length] = np.asarray(operators, np.int8)[join]
    return Found(canonical(grown), value, *sums)


@partial(jax.jit, static_argnames=("metric", "operators", "most"))
def _extend(
    columns: Columns,
    neurons: Neurons,
    formulas: Formulas,
    size: Array,
    squares: Array,
    hits: Array,
    fresh: Array,
    index: Array,
    sizes: Array,
    *,
    metric: Metric,
    operators: tuple[int, ...],
    most: int,
) -> tuple[Array, ...]:
    """The ``most`` best extensions of each neuron's formulas: score, place, and sums [U, most].

    The place counts formulas [W], operators and concepts. ``sizes`` [1 or 4, V, C] are overlaps of
    distinct formulas, of which ``index`` [U, W] tells each neuron's.
    """  # fmt: skip

    def neuron(one: tuple[Neurons, Formulas, Array, Array, Array, Array, Array]) -> tuple:
        self, formulas, size, squares, hits, fresh, index = one
        here = columns.values[self.rows]
        truth = evaluate(here, formulas).astype(here.dtype)
        weighted = truth * self.values[:, None]
        both = jnp.matmul(weighted.T, here, precision=lax.Precision.HIGHEST)  # [W, C]
        overlap = sizes[:, index]
        C = _joined_sums(size[:, None], columns.size[None, :], overlap[0])
        CC = C
        if len(sizes) > 1:
            CC = _joined_squares(squares[:, None], columns.squares[None, :], overlap)
        FC = _joined_sums(hits[:, None], self.hits[None, :], both)
        sums = FormulaSums(*(jnp.stack([x[o] for o in operators], axis=1) for x in (C, CC, FC)))
        adds = _adds(formulas, fresh, size, columns.size, overlap[0], operators)
        value = jnp.maximum(score(metric, columns, self.own, sums), UNDEFINED)
        value = jnp.where(adds, value, -jnp.inf)
        best, place = lax.top_k(value.reshape(-1), most)
        return best, place, *(x.reshape(-1)[place] for x in sums)

    return lax.map(neuron, (neurons, formulas, size, squares, hits, fresh, index))


def _joined_sums(own: Array, other: Array, both: Array) -> tuple[Array, Array, Array]:
    """Sums of a formula joined to a concept by each operator, in the order of ``OPERATORS``."""
    return both, own + other - both, own - both


def _joined_squares(own: Array, other: Array, overlap: Array) -> tuple[Array, Array, Array]:
    """Sums of squares: of ab, a + b - ab, and a - ab."""
    ab, ab2, a2b, a2b2 = overlap
    either = own + other + a2b2 + 2 * (ab - a2b - ab2)
    return a2b2, either, own + a2b2 - 2 * a2b


def _adds(
    formulas: Formulas,
    fresh: Array,
    size: Array,
    other: Array,
    both: Array,
    operators: tuple[int, ...],
) -> Array:
    """Whether the concept is new and moves what the formula is about, [W, operators, C]."""
    concepts = jnp.arange(len(other), dtype=jnp.int32)
    own = (formulas.concept[:, :, None] == concepts[None, None, :]).any(axis=1)
    a, b = size[:, None], other[None, :]
    # by sums: formulas of equal truth have equal sums, and one lies within the other here
    meets, crosses = both > 0, (both < a) & (both < b)
    adds = {AND: crosses & meets, OR: crosses, AND_NOT: meets & (both < a)}
    joined = jnp.stack([adds[o] for o in operators], axis=1)
    return joined & (fresh[:, None] & ~own)[:, None, :]


def _best(found: Found, width: int, packed: np.ndarray | None) -> Found:
    """The best formulas of each neuron in order, without those of equal meaning or truth.

    Equal scores are in the order of length, then of concepts, then of operators.
    """
    rows = np.arange(len(found.score))[:, None]
    formulas = found.formulas
    keys = *formulas.sort_keys(), formulas.length, -found.score
    place = np.lexsort(keys, axis=1)
    found = found.take(rows, place)
    drop = _repeats(_meaning(found.formulas))
    if packed is not None:
        drop |= _repeats(_truth(found.formulas, packed))
    score = np.where(drop, -np.inf, found.score)
    order = np.argsort(-score, axis=1, kind="stable")[:, :width]
    return found._replace(score=score).take(rows, order)


def _meaning(formulas: Formulas) -> np.ndarray:
    """A number [U, K] of uint64 for each canonical formula, equal for equal ones."""
    return _hashed(np.concatenate([formulas.concept, formulas.operator], axis=-1))


def _truth(formulas: Formulas, packed: np.ndarray) -> np.ndarray:
    """A number [U, K] of uint64 for the samples on which each formula holds."""
    concept, operator = formulas
    value = packed[concept[..., 0]]
    for j in range(1, concept.shape[-1]):
        joins, other = operator[..., j, None], packed[concept[..., j]]
        joined = np.where(joins == OR, value | other, value & np.where(joins == AND, other, ~other))
        value = np.where(joins == NONE, value, joined)
    return _hashed(value)


def _hashed(words: np.ndarray) -> np.ndarray:
    """A random hash of words [..., k] modulo 2^64, the same each time."""
    factors = np.random.default_rng(0).integers(0, 2**64, words.shape[-1], np.uint64) | np.uint64(1)
    mixed = words.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(31))) * factors
    mixed ^= mixed >> np.uint64(29)
    return (mixed * np.uint64(0x9E3779B97F4A7C15)).sum(axis=-1, dtype=np.uint64)


def _repeats(code: np.ndarray) -> np.ndarray:
    """Which entries [U, K] repeat an earlier one of their row."""
    order = np.argsort(code, axis=1, kind="stable")
    ascending = np.take_along_axis(code, order, axis=1)
    equal = np.pad(ascending[:, 1:] == ascending[:, :-1], ((0, 0), (1, 0)))
    repeats = np.zeros_like(equal)
    np.put_along_axis(repeats, order, equal, axis=1)
    return repeats
