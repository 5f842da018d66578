"""Sums of pairs and triples of concepts for many neurons, and what they say of formulas."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..metrics.metric import Metric
from .bounds import Kind, Measures, triple_range, upper_bound
from .formulas import AND, AND_NOT, NONE, OR, Formulas, canonical
from .sums import Columns, FormulaSums, Neurons, OwnSums, overlaps, score

__all__ = [
    "Pairs",
    "TripleSizes",
    "best_pair",
    "node_bounds",
    "sum_pairs",
    "sum_triples",
    "triple_scores",
]


class Pairs(NamedTuple):
    """Sums of all pairs of concepts; a concept with itself on the diagonal.

    Attributes
    ----------
    P, Q : Array [U, C, C]
        See :class:`Measures`.
    size : Array [C, C]
    """

    P: Array
    Q: Array
    size: Array


@partial(jax.jit, static_argnames="ranks")
def sum_pairs(columns: Columns, neurons: Neurons, *, ranks: bool) -> Pairs:
    """Sum all pairs of concepts for each neuron."""
    product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    size = product((columns.weights[:, None] * columns.values).T, columns.values)

    def neuron(own: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, values = own
        here = columns.values[rows]
        P = product((jnp.maximum(values, 0)[:, None] * here).T, here)
        if not ranks:
            return P, size - P
        return P, product((jnp.maximum(-values, 0)[:, None] * here).T, here)

    P, Q = lax.map(neuron, (neurons.rows, neurons.values))
    return Pairs(P, Q, size)


def best_pair(
    columns: Columns, neurons: Neurons, metric: Metric, pairs: Pairs, operators: tuple[int, ...]
) -> tuple[Formulas, np.ndarray]:
    """The best formula of two concepts of each neuron (of equal ones the first), and its score."""
    value, place = (
        np.asarray(x)
        for x in _pair_scores(columns, neurons, pairs, metric=metric, operators=operators)
    )
    place, operator = np.divmod(place, len(operators))
    concept = np.stack(np.divmod(place, len(columns.size)), axis=-1).astype(np.int32)
    joins = np.asarray(operators, np.int8)[operator]
    return canonical(Formulas(concept, np.stack([np.full_like(joins, NONE), joins], -1))), value


@partial(jax.jit, static_argnames=("metric", "operators"))
def _pair_scores(
    columns: Columns, neurons: Neurons, pairs: Pairs, *, metric: Metric, operators: tuple[int, ...]
) -> tuple[Array, Array]:
    """Score and place (a, b, operator) of the best pair of each neuron, of equal ones the first."""

    def neuron(one: tuple[OwnSums, Array, Array]) -> tuple[Array, Array]:
        own, P, Q = one
        value = []
        for x in operators:
            sums = _joined_pair(x, (P, Q, pairs.size))
            scores = _exact(metric, columns, own, *sums)
            value.append(jnp.where(_allowed(len(P), x == AND_NOT), scores, -jnp.inf))
        flat = jnp.stack(value, axis=-1).reshape(-1)
        place = jnp.argmax(flat)
        return flat[place], place

    return lax.map(neuron, (neurons.own, pairs.P, pairs.Q))


def _allowed(number: int, ordered: bool) -> Array:
    """Pairs of different concepts, in one order only unless ``ordered``, [C, C] of bool."""
    one = jnp.ones((number, number), bool)
    return ~jnp.eye(number, dtype=bool) if ordered else jnp.triu(one, 1)


def _joined_pair(first: int, measures: tuple[Array, ...]) -> list[Array]:
    """Sums of all pairs joined by an operator, from those of both [C, C]."""
    joined = []
    for both in measures:
        own = jnp.diag(both)
        joined.append(
            {AND: both, OR: own[:, None] + own[None, :] - both, AND_NOT: own[:, None] - both}[first]
        )
    return joined


def _exact(
    metric: Metric, columns: Columns, own: OwnSums, P: Array, Q: Array, size: Array
) -> Array:
    """The metric of formulas whose sums are known."""
    hits = P if metric.rewards_overlap else P - Q
    return score(metric, columns, own, FormulaSums(size, size, hits))


class TripleSizes:
    """Sums of the weights of triples of concepts, taken once for all neurons of a layer.

    Parameters
    ----------
    columns : Columns
    """

    def __init__(self, columns: Columns) -> None:
        number = len(columns.size)
        self._columns = columns
        self._row = np.full((number, number), -1)
        self._sums = np.zeros((0, number), columns.size.dtype)

    def of(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Weights of (a, b, c) for all c, [N, C]."""
        a, b = np.minimum(a, b), np.maximum(a, b)
        missing = np.unique(np.stack([a, b], axis=1)[self._row[a, b] < 0], axis=0)
        if len(missing):
            join = np.tile(np.asarray([NONE, AND], np.int8), (len(missing), 1))
            sums = overlaps(self._columns, Formulas(missing.astype(np.int32), join))
            self._row[missing[:, 0], missing[:, 1]] = len(self._sums) + np.arange(len(missing))
            self._sums = np.concatenate([self._sums, sums])
        return self._sums[self._row[a, b]]


@partial(jax.jit, static_argnames=("metric", "kind"))
def node_bounds(
    columns: Columns, neurons: Neurons, pairs: Pairs, *, metric: Metric, kind: Kind
) -> Array:
    """Bounds [U, C, C] of all formulas (a first b) second c; -inf where (a, b) is no node."""
    number = len(columns.size)
    nodes, off = _allowed(number, kind.ordered), ~jnp.eye(number, dtype=bool)
    own_size = jnp.diag(pairs.size)

    def neuron(one: tuple[OwnSums, Array, Array]) -> Array:
        own, P, Q = one
        bound = partial(upper_bound, metric, columns, own)
        p, q, nothing = jnp.diag(P), jnp.diag(Q), jnp.zeros_like(P)
        hit, alarm, size = _joined_pair(kind.first, (P, Q, pairs.size))
        if kind.second == OR:
            shared = jnp.where(off, Q, 0).max(axis=1)
            most = _of_both(kind.first, shared[:, None], shared[None, :])
            highest = _with_one_more(bound, (hit, alarm, size), p, q, own_size, most)
        elif kind.second == AND_NOT:
            shared = jnp.where(off, Q, 0).max(axis=1)
            taken = _of_both(kind.first, shared[:, None], shared[None, :])
            if kind.first == AND_NOT:
                taken = Q  # of two concepts that are taken off, b takes off the larger part
            highest = bound(Measures(hit, alarm - taken, nothing, size))
        elif kind.first == AND:
            highest = bound(Measures(P, nothing, nothing, size))
        else:
            # a and (b or c), where b has the larger part of what should hold
            others = jnp.where(off, P, 0).max(axis=1)[:, None]
            hit = jnp.minimum(P + jnp.minimum(P, others), p[:, None])
            most = jnp.broadcast_to(own_size[:, None], P.shape)
            highest = bound(Measures(hit, Q, pairs.size, most))
        return jnp.where(nodes, highest, -jnp.inf)

    return lax.map(neuron, (neurons.own, *pairs[:2]))


def _of_both(first: int, a: Array, b: Array) -> Array:
    """What a pair shares with a third concept at most, from what a and b share with it."""
    return {AND: jnp.minimum(a, b), OR: a + b, AND_NOT: a + 0 * b}[first]


def _with_one_more(
    bound: Callable[[Measures], Array],
    joined: tuple[Array, ...],
    p: Array,
    q: Array,
    size: Array,
    most_shared: Array,
) -> Array:
    """Bounds of all formulas "pair or c", from the sums of pairs [C, C] and of concepts c [C].

    Both lie within the formula, and they share at most so much of Q. A concept is passed over if
    another has more of P and less of Q.
    """  # fmt: skip
    number = len(p)
    place = jnp.arange(number, dtype=jnp.int32)
    no_worse = (p[None, :] >= p[:, None]) & (q[None, :] <= q[:, None])
    equal = (p[None, :] == p[:, None]) & (q[None, :] == q[:, None])
    passed = (no_worse & ~(equal & (place[None, :] >= place[:, None]))).any(axis=1)
    best_first = jnp.argsort(passed, stable=True)
    hit, alarm, pair_size = joined

    def step(i: Array, highest: Array) -> Array:
        c = best_first[i]
        least, most = jnp.maximum(pair_size, size[c]), pair_size + size[c]
        alarms = alarm + q[c] - jnp.minimum(jnp.minimum(alarm, q[c]), most_shared)
        own = bound(Measures(hit + p[c], alarms, least, most))
        return jnp.maximum(highest, own)

    none = jnp.full((number, number), -jnp.inf, p.dtype)
    return lax.fori_loop(0, (~passed).sum(), step, none)


@jax.jit
def sum_triples(columns: Columns, neurons: Neurons, neuron: Array, a: Array, b: Array) -> Array:
    """Hits of (a, b, c) for all c, [G k, C], of k pairs [G, k] of a neuron."""

    def group(one: tuple[Array, Array, Array]) -> Array:
        u, a, b = one
        here = columns.values[neurons.rows[u]]
        both = (here[:, a] * here[:, b] * neurons.values[u][:, None]).T
        return jnp.matmul(both, here, precision=lax.Precision.HIGHEST)

    found = lax.map(group, (neuron, a, b))
    return found.reshape(-1, found.shape[-1])


@partial(jax.jit, static_argnames=("metric", "kinds"))
def triple_scores(
    columns: Columns,
    neurons: Neurons,
    pairs: Pairs,
    nodes: tuple[Array, Array, Array, Array],
    exact: tuple[Array, Array, Array] | None,
    *,
    metric: Metric,
    kinds: tuple[Kind, ...],
) -> tuple[Array, Array]:
    """The best value of the formulas of each node, and the c that has it, [N].

    The value is the score where the sums of triples are given (``exact``), else a bound.
    """
    u, a, b, kind = nodes
    number = len(columns.size)
    terms = jnp.asarray([x.terms for x in kinds], columns.size.dtype)[kind].T[:, :, None]
    c = jnp.arange(number, dtype=jnp.int32)

    def of(table: Array, index: tuple = ()) -> tuple[Array, ...]:
        """Sums of a, b, c, ab, ac and bc, that broadcast to [N, C]."""
        diagonal = jnp.diagonal(table, axis1=-2, axis2=-1)
        one = diagonal[(*index, a)][:, None], diagonal[(*index, b)][:, None]
        all_c = diagonal[index[0]] if index else diagonal[None, :]
        return (*one, all_c, table[(*index, a, b)][:, None], table[(*index, a)], table[(*index, b)])

    def total(known: tuple[Array, ...], triple: Array) -> Array:
        return sum((x * y for x, y in zip(terms, (*known, triple), strict=True)), jnp.zeros(()))

    def end(known: tuple[Array, ...], highest: bool) -> Array:
        low, high = triple_range(*known)
        return total(known, jnp.where((terms[6] > 0) == highest, high, low))

    # written once: XLA would gather them again, one by one, for each use
    P, Q, size = lax.optimization_barrier((of(pairs.P, (u,)), of(pairs.Q, (u,)), of(pairs.size)))
    own = neurons.own.take(u, None)
    if exact is None:
        known = Measures(end(P, True), end(Q, False), end(size, False), end(size, True))
        value = upper_bound(metric, columns, own, known)
    else:
        hits, weight, place = exact
        signed = P if metric.rewards_overlap else tuple(x - y for x, y in zip(P, Q, strict=True))
        C = total(size, weight)
        value = score(metric, columns, own, FormulaSums(C, C, total(signed, hits[place])))
    wanted = (c[None, :] != a[:, None]) & (c[None, :] != b[:, None])
    # one order of concepts that may change places is enough; see the bounds of nodes
    rules = (
        (lambda x: x.first == x.second != AND_NOT, c[None, :] > b[:, None]),
        (lambda x: x.first == x.second == AND_NOT, Q[4] <= Q[3]),
        (lambda x: x.first == OR and x.second == AND, P[4] <= P[3]),
    )
    for applies, rule in rules:
        wanted &= rule | ~jnp.asarray([applies(x) for x in kinds])[kind][:, None]
    value = jnp.where(wanted, value, -jnp.inf)
    place = jnp.argmax(value, axis=1)
    return jnp.take_along_axis(value, place[:, None], axis=1)[:, 0], place
