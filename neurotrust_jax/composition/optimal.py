"""Search for the best formula of at most three concepts, with a proof that none is better.

All formulas of one and two concepts are scored from the sums of all pairs, [C, C] for a neuron.
Those of three concepts are too many: 64 million for 256 concepts. They are divided into *nodes*, a
pair (a, b) with a kind of joining it to a third concept, and a bound on all formulas of a node
follows from pairs alone. A node is passed over if the best formula known is at least as good, which
at the start is that of a beam. The others are opened, those of the highest bound first: each of
their formulas has a bound of its own (:mod:`.bounds`), and where one is still better than the best
known, the sums of the triples are taken, by one product for all c of a pair. What is left when
no node has a bound above the best formula is proved to be optimal. Where too many nodes are left to
be opened, the highest bound says how much better a formula can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..metrics.metric import Metric
from .bounds import Kind, kinds_of
from .formulas import NONE, Formulas, canonical
from .sums import Columns, Neurons
from .triples import (
    Pairs,
    TripleSizes,
    best_pair,
    node_bounds,
    sum_pairs,
    sum_triples,
    triple_scores,
)

__all__ = ["Optimum", "optimal_search"]

OPENED = 512  # nodes of a neuron that are opened in a round
TAKEN = 32  # nodes of a neuron whose formulas are scored before the next bar is set
SIZES = (256, 4096)  # nodes that are looked at together; few sizes, so that little is compiled
TOGETHER = 8  # pairs of a neuron whose triples are summed at a time


class Optimum(NamedTuple):
    """The best formulas of some neurons.

    Attributes
    ----------
    formulas : tuple of Formulas [U]
        The best of at most one, two and three concepts (as many as were asked for).
    score : numpy.ndarray [lengths, U]
        -inf without a formula.
    bound : numpy.ndarray [U]
        No formula is better than this.
    opened : numpy.ndarray [U] of int
        Nodes that were opened.
    """

    formulas: tuple[Formulas, ...]
    score: np.ndarray
    bound: np.ndarray
    opened: np.ndarray


class Nodes(NamedTuple):
    """Nodes to be opened: of which neuron, pair and kind, [N] each, and their bound."""

    neuron: np.ndarray
    kind: np.ndarray
    a: np.ndarray
    b: np.ndarray
    bound: np.ndarray

    def take(self, index: np.ndarray | slice) -> Nodes:
        """Some of the nodes."""
        return Nodes(*(x[index] for x in self))

    def arguments(self) -> tuple[np.ndarray, ...]:
        """Neuron, a, b and kind, filled up to one of a few sizes."""
        short = _padded_size(len(self.a)) - len(self.a)
        own = self.neuron, self.a, self.b, self.kind
        return tuple(np.pad(x, (0, short)).astype(np.int32) for x in own)


def optimal_search(
    columns: Columns,
    neurons: Neurons,
    metric: Metric,
    *,
    single: tuple[Formulas, np.ndarray],
    start: tuple[Formulas, np.ndarray],
    max_length: int,
    operators: tuple[int, ...],
    max_nodes: int,
    triples: TripleSizes,
) -> Optimum:
    """The best formulas, from those that a beam has found: formulas [U] and their scores.

    ``single`` are the best of one concept, ``start`` the best of all lengths. A score is NaN where
    there is none.
    """
    formulas, scores = [single[0]], [np.nan_to_num(single[1], nan=-np.inf)]
    if max_length == 1:
        return Optimum(
            tuple(formulas), np.stack(scores), scores[-1], np.zeros(len(scores[-1]), int)
        )
    pairs = sum_pairs(columns, neurons, ranks=not metric.rewards_overlap)
    pair, pair_score = best_pair(columns, neurons, metric, pairs, operators)
    better = pair_score > scores[0]
    formulas.append(_choose(better, _filled(pair, max_length), formulas[0]))
    scores.append(np.where(better, pair_score, scores[0]))
    if max_length == 2:
        return Optimum(tuple(formulas), np.stack(scores), scores[-1], np.zeros(len(better), int))
    given, given_score = start
    better = np.nan_to_num(given_score, nan=-np.inf) > scores[-1]
    best = _choose(better, given, formulas[-1])
    value = np.where(better, given_score, scores[-1])
    search = _Search(columns, neurons, metric, pairs, kinds_of(operators), triples, best, value)
    bound, opened = search.run(max_nodes)
    return Optimum((*formulas, search.best), np.stack([*scores, search.value]), bound, opened)


def _filled(formulas: Formulas, length: int) -> Formulas:
    short = ((0, 0), (0, length - formulas.concept.shape[-1]))
    return Formulas(*(np.pad(x, short, constant_values=NONE) for x in formulas))


def _choose(first: np.ndarray, a: Formulas, b: Formulas) -> Formulas:
    return Formulas(*(np.where(first[:, None], x, y) for x, y in zip(a, b, strict=True)))


class _Search:
    """The state of a search: nodes that are left, and the best formulas known."""

    def __init__(
        self,
        columns: Columns,
        neurons: Neurons,
        metric: Metric,
        pairs: Pairs,
        kinds: tuple[Kind, ...],
        triples: TripleSizes,
        best: Formulas,
        value: np.ndarray,
    ) -> None:
        self.columns, self.neurons, self.metric, self.pairs = columns, neurons, metric, pairs
        self.kinds, self.triples, self.best, self.value = kinds, triples, best, value

    def run(self, max_nodes: int) -> tuple[np.ndarray, np.ndarray]:
        """Open nodes until none can be better: the bound and the number of nodes opened, [U]."""
        nodes = self._nodes()
        opened = np.zeros(len(self.value), int)
        while True:
            left = nodes.bound > self.value[nodes.neuron]
            nodes = nodes.take(np.flatnonzero(left))
            turn = _turns(nodes.neuron)
            now = (turn < OPENED) & (opened[nodes.neuron] + turn < max_nodes)
            if not now.any():
                break
            some = nodes.take(np.flatnonzero(now))
            opened += np.bincount(some.neuron, minlength=len(opened))
            self._open(some)
            nodes = nodes.take(np.flatnonzero(~now))
        bound = self.value.copy()
        np.maximum.at(bound, nodes.neuron, nodes.bound)
        return bound, opened

    def _nodes(self) -> Nodes:
        """All nodes whose bound is above the best known, of each neuron the highest bound first."""
        found = []
        for k, kind in enumerate(self.kinds):
            found_bounds = node_bounds(
                self.columns, self.neurons, self.pairs, metric=self.metric, kind=kind
            )
            bound = np.asarray(found_bounds)
            neuron, a, b = np.nonzero(bound > self.value[:, None, None])
            found.append(Nodes(neuron, np.full(len(a), k), a, b, bound[neuron, a, b]))
        joined = Nodes(*(np.concatenate(x) for x in zip(*found, strict=True)))
        return joined.take(np.lexsort((-joined.bound, joined.neuron)))

    def _open(self, nodes: Nodes) -> None:
        """Bound all formulas of some nodes, and score those that may be better."""
        highest = np.full(len(nodes.a), -np.inf)
        for some in _slices(len(nodes.a)):
            highest[some] = self._highest(nodes.take(some))
        keep = np.flatnonzero(highest > self.value[nodes.neuron])
        nodes = nodes.take(keep)._replace(bound=highest[keep])
        nodes = nodes.take(np.lexsort((-nodes.bound, nodes.neuron)))
        while len(nodes.a):
            now = _turns(nodes.neuron) < TAKEN
            self._score(nodes.take(np.flatnonzero(now)))
            nodes = nodes.take(np.flatnonzero(~now))
            nodes = nodes.take(np.flatnonzero(nodes.bound > self.value[nodes.neuron]))

    def _highest(self, nodes: Nodes) -> np.ndarray:
        """The highest bound of the formulas of each node, from pairs."""
        found = triple_scores(
            self.columns, self.neurons, self.pairs, nodes.arguments(), None,
            metric=self.metric, kinds=self.kinds,
        )  # fmt: skip
        return np.asarray(found[0])[: len(nodes.a)]

    def _score(self, nodes: Nodes) -> None:
        """Score the formulas of some nodes exactly, and take over those that are better."""
        value, concept = np.full(len(nodes.a), -np.inf), np.zeros(len(nodes.a), int)
        for some in _slices(len(nodes.a)):
            part = nodes.take(some)
            own = part.arguments()
            exact = self._sums(part, len(own[0]))
            found = triple_scores(
                self.columns, self.neurons, self.pairs, own, exact,
                metric=self.metric, kinds=self.kinds,
            )  # fmt: skip
            value[some], concept[some] = (np.asarray(x)[: len(part.a)] for x in found)
        self._take_over(nodes, value, concept)

    def _sums(self, nodes: Nodes, size: int) -> tuple[Any, ...]:
        """Hits of the triples of some nodes, their sizes, and which hits are each node's."""
        turn = _turns(nodes.neuron)
        group = np.cumsum(turn % TOGETHER == 0) - 1
        number = _padded_size(group[-1] + 1)
        neuron = np.zeros(number, np.int32)
        pair = np.zeros((2, number, TOGETHER), np.int32)
        neuron[group] = nodes.neuron
        pair[:, group, turn % TOGETHER] = nodes.a, nodes.b
        hits = sum_triples(self.columns, self.neurons, neuron, *pair)
        short = size - len(nodes.a)
        weight = np.pad(self.triples.of(nodes.a, nodes.b), ((0, short), (0, 0)))
        place = np.pad(group * TOGETHER + turn % TOGETHER, (0, short)).astype(np.int32)
        return hits, weight, place

    def _take_over(self, nodes: Nodes, value: np.ndarray, concept: np.ndarray) -> None:
        """Keep the best formula of each neuron; of equal ones the first by concepts."""
        three = np.stack([nodes.a, nodes.b, concept], axis=1).astype(np.int32)
        order = np.asarray([x.order for x in self.kinds])[nodes.kind]
        chain = np.take_along_axis(three, order, axis=1)
        kinds = np.asarray([(NONE, x.first, x.second) for x in self.kinds], np.int8)
        formulas = canonical(Formulas(chain, kinds[nodes.kind]))
        order = np.lexsort((*formulas.sort_keys(), -value, nodes.neuron))
        first = order[np.flatnonzero(np.diff(nodes.neuron[order], prepend=-1))]
        neuron = nodes.neuron[first]
        better = value[first] > self.value[neuron]
        first, neuron = first[better], neuron[better]
        self.value[neuron] = value[first]
        self.best.concept[neuron] = formulas.concept[first]
        self.best.operator[neuron] = formulas.operator[first]


def _padded_size(number: int) -> int:
    return next((x for x in SIZES if number <= x), SIZES[-1])


def _slices(number: int) -> Iterator[slice]:
    """Slices of at most the largest size, the last of which may be small."""
    for start in range(0, number, SIZES[-1]):
        yield slice(start, start + SIZES[-1])


def _turns(neuron: np.ndarray) -> np.ndarray:
    """Place of each entry among those of its neuron; entries of a neuron stand side by side."""
    first = np.flatnonzero(np.diff(neuron, prepend=-1))
    return np.arange(len(neuron)) - np.repeat(first, np.diff(np.append(first, len(neuron))))
