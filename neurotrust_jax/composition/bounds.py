"""How good a formula can be, from what is known of pairs of its concepts alone.

The truth of a formula of three different concepts is a polynomial of their truths, for example

    (a or b) and not c  =  a + b - ab - ac - bc + abc,

so each of its sums follows from sums of concepts, of pairs and of the triple. Those of all pairs
are one matrix product a neuron. That of the triple is not known, but its range is,

    max(0, ab + ac - a, ab + bc - b, ac + bc - c)  <=  abc  <=  min(ab, ac, bc),

sample by sample, and so for sums of any weights that are not negative (also for probabilities, as
(1 - b)(1 - c) >= 0). The neuron gives two such weights: P to what a formula should hold, Q to what
it should not. Of a neuron that is active or not they are the hits and the false alarms; of ranks
they are the parts above and below the mean rank. The metric never falls with P and never grows
with Q, so the largest P and the least Q that the ranges allow bound it from above, whatever the
triple turns out to be. (Decompositions of this kind are in La Rosa and Gilpin, arXiv 2511.20934.)
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ..metrics.interval_rules import AREA_OF_NEURON
from ..metrics.metric import Metric
from .formulas import AND, AND_NOT, OR
from .sums import ROUNDING, Columns, FormulaSums, OwnSums, score

__all__ = ["KINDS", "Kind", "Measures", "can_bound", "kinds_of", "triple_range", "upper_bound"]

TERMS = ("a", "b", "c", "ab", "ac", "bc", "abc")

Polynomial = dict[str, int]


class Kind(NamedTuple):
    """A way to join three concepts a, b and c, of which a and b are a node.

    Attributes
    ----------
    first, second : int
        Operators of the chain.
    order : tuple of int
        Which of a, b and c stands first, second and third in it.
    terms : tuple [7] of int
        The coefficients of its polynomial in a, b and c, in the order of ``TERMS``.
    """

    first: int
    second: int
    order: tuple[int, int, int]
    terms: tuple[int, ...]

    @property
    def ordered(self) -> bool:
        """Whether a and b may not change places."""
        return self.first == AND_NOT or self.order != (0, 1, 2)


def _kind(first: int, second: int) -> Kind:
    """The polynomial of a chain, multiplied out.

    In "(x or y) and z" the node is z with x: what lies outside of z does not count.
    """
    order = (1, 2, 0) if (first, second) == (OR, AND) else (0, 1, 2)
    x, y, z = ({"abc"[i]: 1} for i in order)
    return Kind(first, second, order, _coefficients(_join(second, _join(first, x, y), z)))


def _join(operator: int, x: Polynomial, y: Polynomial) -> Polynomial:
    both: Polynomial = {}
    for (u, i), (v, j) in itertools.product(x.items(), y.items()):
        term = "".join(sorted({*u, *v}))
        both[term] = both.get(term, 0) + i * j
    parts = {AND: ((1, both),), OR: ((1, x), (1, y), (-1, both)), AND_NOT: ((1, x), (-1, both))}
    total: Polynomial = {}
    for sign, part in parts[operator]:
        for term, i in part.items():
            total[term] = total.get(term, 0) + sign * i
    return total


def _coefficients(x: Polynomial) -> tuple[int, ...]:
    return tuple(x.get(term, 0) for term in TERMS)


# "(a and not b) and c" is "(a and c) and not b"
KINDS = tuple(
    _kind(first, second)
    for first in (AND, OR, AND_NOT)
    for second in (AND, OR, AND_NOT)
    if (first, second) != (AND_NOT, AND)
)


def kinds_of(operators: tuple[int, ...]) -> tuple[Kind, ...]:
    """The kinds of formulas of three concepts by these operators."""
    return tuple(x for x in KINDS if x.first in operators and x.second in operators)


class Measures(NamedTuple):
    """What is known of formulas: their sums, or how large (P) or small (Q) these can be.

    Attributes
    ----------
    P, Q : Array
        Weight that a formula should hold, and should not.
    least, most : Array
        The least and the largest size.
    """

    P: Array
    Q: Array
    least: Array
    most: Array


def can_bound(metric: Metric) -> bool:
    """Whether a metric never falls with the hits of a formula nor grows with its false alarms."""
    return metric.rewards_overlap or metric.interval_rule == AREA_OF_NEURON


def triple_range(
    a: Array, b: Array, c: Array, ab: Array, ac: Array, bc: Array
) -> tuple[Array, Array]:
    """The least and the largest sum of a triple, from those of concepts and pairs."""
    least = jnp.maximum(jnp.maximum(ab + ac - a, ab + bc - b), jnp.maximum(ac + bc - c, 0))
    return least, jnp.minimum(jnp.minimum(ab, ac), bc)


def upper_bound(metric: Metric, columns: Columns, own: OwnSums, known: Measures) -> Array:
    """The largest value of the metric for formulas of which this much is known."""
    if metric.rewards_overlap:
        # a formula must hold on some samples: those that are no hits are false alarms
        P = jnp.minimum(known.P, own.F)
        C = jnp.maximum(P + jnp.maximum(known.Q, 0), columns.least)
        C = jnp.minimum(C, columns.total - columns.least)
        return score(metric, columns, own, FormulaSums(C, C, jnp.minimum(P, C))) + columns.rounding
    lead = jnp.maximum(known.P - jnp.maximum(known.Q, 0), 0)
    least = jnp.maximum(known.least, columns.least)
    most = jnp.minimum(known.most, columns.total - columns.least)
    pairs = jnp.minimum(least * (columns.total - least), most * (columns.total - most))
    area = 0.5 + columns.total * lead / jnp.where(pairs > 0, pairs, 1)
    value = jnp.where(pairs > 0, jnp.minimum(area, metric.range[1]), metric.range[1])
    return jnp.where(own.varies, value, -jnp.inf) + ROUNDING
