"""Formulas over concepts: how they are written down, told apart, counted and read out.

A formula is a chain. It starts with a concept, and each further literal joins one more concept to
what stands before it, by "and", "or" or "and not"::

    ((water or lake) and not river) or sea

The concepts of a chain are different. Literals that stand side by side and are of one kind, "or" on
the one hand and "and" or "and not" on the other, may change places without a change of meaning. The
canonical form sorts them: first by whether they are negated, then by their column. Two chains mean
the same (they agree for every truth value of their concepts) exactly if their canonical forms are
equal, since a formula in which each variable occurs once has one tree only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.short_repr import short_repr

__all__ = [
    "AND",
    "AND_NOT",
    "NONE",
    "OPERATORS",
    "OR",
    "Formulas",
    "canonical",
    "check_operators",
    "count_formulas",
    "evaluate",
    "written",
]

OPERATORS = ("and", "or", "and not")
AND, OR, AND_NOT = range(3)
NONE = -1  # fills a formula up


@short_repr
class Formulas(NamedTuple):
    """Formulas of at most L concepts, as NumPy arrays.

    Attributes
    ----------
    concept : [..., L] of int32
        Columns of the concepts in their order, -1 after the last. A formula without any is none.
    operator : [..., L] of int8
        How each is joined to those before: a place in ``OPERATORS``; -1 for the first concept and
        after the last.
    """

    concept: np.ndarray
    operator: np.ndarray

    @property
    def length(self) -> np.ndarray:
        """Number of concepts of each formula, [...] of int."""
        return (self.concept >= 0).sum(axis=-1)

    def take(self, *index: Any) -> Formulas:
        """The formulas at an index into the leading axes."""
        return Formulas(self.concept[index], self.operator[index])

    def sort_keys(self) -> list[np.ndarray]:
        """Keys [...] for ``np.lexsort`` that order formulas by concepts, then by operators."""
        return [y for x in self[::-1] for y in np.moveaxis(x, -1, 0)[::-1]]

    def same(self, other: Formulas) -> np.ndarray:
        """Which formulas are equal in meaning, [...] of bool; both in canonical form."""
        equal = (self.concept == other.concept) & (self.operator == other.operator)
        return np.asarray(equal.all(axis=-1))


def check_operators(operators: Sequence[str]) -> tuple[int, ...]:
    """Refuse unknown operators; their places in ``OPERATORS``, ascending."""
    given = (operators,) if isinstance(operators, str) else tuple(operators)
    unknown = [x for x in given if x not in OPERATORS]
    if unknown or not given:
        known = ", ".join(map(repr, OPERATORS))
        raise ValueError(f"operators must be some of {known}, got {operators!r}")
    return tuple(sorted({OPERATORS.index(x) for x in given}))


def canonical(formulas: Formulas) -> Formulas:
    """The canonical form of chains, see the head of this module."""
    concept, operator = (np.asarray(x) for x in formulas)
    if concept.shape[-1] == 1:
        return Formulas(concept, operator)
    is_or = operator == OR
    # the first concept belongs to the run of the second one
    kind = np.concatenate([is_or[..., 1:2], is_or[..., 1:]], axis=-1)
    run = np.cumsum(kind[..., 1:] != kind[..., :-1], axis=-1)
    run = np.concatenate([np.zeros_like(run[..., :1]), run], axis=-1)
    negated = operator == AND_NOT
    span = np.int64(concept.max(initial=0)) + 1
    place = (run * 2 + negated) * span + concept
    place = np.where(concept < 0, np.iinfo(np.int64).max, place)
    order = np.argsort(place, axis=-1, kind="stable")
    # the first run begins with a concept that is not negated, and its second place tells its kind
    operator = np.concatenate([np.where(kind, OR, AND)[..., :1], operator[..., 1:]], axis=-1)
    sorted_concept = np.take_along_axis(concept, order, axis=-1)
    sorted_operator = np.take_along_axis(operator, order, axis=-1)
    sorted_operator[..., 0] = NONE
    sorted_operator[sorted_concept < 0] = NONE
    return Formulas(sorted_concept.astype(np.int32), sorted_operator.astype(np.int8))


def evaluate(columns: Any, formulas: tuple[Any, Any]) -> Any:
    """Truth values [..., V] of V formulas on columns of concepts [..., C].

    "and" is the product, "or" the probabilistic sum a + b - ab, and "and not" a - ab: on values of
    0 and 1 the Boolean operators. NumPy and JAX arrays are taken alike.
    """
    concept, operator = formulas
    xp: Any = jnp if isinstance(columns, Array) else np
    value = columns[..., concept[:, 0]]
    for j in range(1, concept.shape[1]):
        other = columns[..., concept[:, j]]
        join = operator[:, j].reshape((1,) * (other.ndim - 1) + (-1,))
        both = value * other
        joined = xp.where(join == OR, value + other - both, value - both)
        joined = xp.where(join == AND, both, joined)
        value = xp.where(join == NONE, value, joined)
    return value


def written(concept: Iterable[int], operator: Iterable[int], names: Sequence[str]) -> str:
    """A formula as a text, "(water OR lake) AND NOT river"; empty for none.

    Examples
    --------
    >>> from neurotrust_jax.composition.formulas import written
    >>> written([0, 1, 2], [-1, 1, 2], ["water", "lake", "river"])
    '(water OR lake) AND NOT river'
    >>> written([0, 1, -1], [-1, 0, -1], ["water", "blue", "river"])
    'water AND blue'
    """
    text, last = "", NONE
    for column, join in zip(concept, operator, strict=True):
        if column < 0:
            break
        if not text:
            text = names[column]
            continue
        if last != NONE and (last == OR) != (join == OR):
            text = f"({text})"
        text += f" {OPERATORS[join].upper()} {names[column]}"
        last = join
    return text


def count_formulas(num_concepts: int, max_length: int, operators: Sequence[int]) -> int:
    """Number of formulas of different meaning with at most ``max_length`` different concepts.

    Runs of literals of one kind alternate. A run of "or" is a set of concepts; in one of "and" and
    "and not" each may also be negated, but for one at least in the first run.
    """
    signs = (AND in operators) + (AND_NOT in operators)

    def first_and(size: int, left: int) -> int:
        """First runs of this many literals by "and" and "and not"."""
        positives = range(1, size + 1)
        if AND not in operators:
            positives = range(1, 2)
        if AND_NOT not in operators:
            positives = range(size, size + 1)
        return sum(math.comb(left, j) * math.comb(left - j, size - j) for j in positives)

    @functools.cache
    def following(length: int, left: int, after_or: bool) -> int:
        """Ways to go on for ``length`` literals after a run of one kind."""
        if length == 0:
            return 1
        total = 0
        for size in range(1, length + 1):
            if after_or:
                ways = math.comb(left, size) * signs**size if signs else 0
            else:
                ways = math.comb(left, size) if OR in operators else 0
            if ways:
                total += ways * following(length - size, left - size, not after_or)
        return total

    total = num_concepts
    for length in range(2, max_length + 1):
        for size in range(2, length + 1):
            if OR in operators:
                ways = math.comb(num_concepts, size)
                total += ways * following(length - size, num_concepts - size, True)
            if signs:
                ways = first_and(size, num_concepts)
                total += ways * following(length - size, num_concepts - size, False)
    return total
