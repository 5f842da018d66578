"""The loops that one would write for the results of an audit.

They make what an audit is mostly made of: similarities and labels, permutation p-values, winners
and vote shares of replicates, their standard errors and intervals, labels on halves and quarters
and the similarity of the one half's label on the other. Concept sets, certificates and
probabilities of replication are left out, which favours the loops.

Each step is one product of all neurons with all concepts in float32, on all cores. What no step
changes is prepared once: ranks follow from one sort. Draws are given, and cost nothing.
"""

import statistics
from typing import NamedTuple

import numpy as np

from .formulas import FORMULAS, numpy_view
from .loops import numpy_weights
from .plan import RANKED
from .rows import on_host, with_seconds
from .torch_loops import torch_weights

WIDTH = 1.6448536  # standard errors to each side of an interval of 90%
KEPT = 20  # steps whose similarities are kept, to be checked


class Draws(NamedTuple):
    """What the loops go through: the draws of an audit.

    Attributes
    ----------
    weights : numpy.ndarray [b, n]
        Of replicates.
    rows : numpy.ndarray [r, n] of int
        Which row's concepts each row gets in a permutation.
    sorted : bool
        Whether the rows are those of a neuron in the order of its activations, from the largest.
    parts : list of numpy.ndarray [2 or 4, n] of bool
        The two halves of each split and the four quarters of each deal.
    """

    weights: np.ndarray
    rows: np.ndarray
    sorted: bool
    parts: list


class Scores(NamedTuple):
    """Functions that give similarities [U, C], of weights [n] and of permuted rows [n]."""

    weighted: object
    permuted: object


class Loop(NamedTuple):
    """Seconds of each step of a loop, what was found in the first of them, and a summary."""

    seconds: list
    found: list
    summary: object


def numpy_scores(layer, metric, in_order):
    x = np.ascontiguousarray(numpy_view(layer.neurons(metric), metric).T)
    x = -np.sort(-x, axis=1) if in_order else x
    c = layer.concepts.astype(np.float32)
    total, of_concept = x.sum(1, keepdims=True), c.sum(0)

    def permuted(rows):
        return FORMULAS[metric](len(c), total, of_concept, x @ c[rows])

    return Scores(numpy_weights(layer, metric), permuted)


def torch_scores(layer, metric, in_order, device):
    import torch

    weighted = torch_weights(layer, metric, device)
    x = numpy_view(layer.neurons(metric), metric).T
    x = torch.tensor(-np.sort(-x, axis=1) if in_order else x, device=device).contiguous()
    c = torch.tensor(layer.concepts, dtype=torch.float32, device=device)
    total, of_concept = x.sum(1, keepdim=True), c.sum(0)

    @torch.no_grad()
    def permuted(rows):
        rows = torch.as_tensor(rows, device=device)
        return FORMULAS[metric](len(c), total, of_concept, x @ c[rows])

    return Scores(weighted, permuted)


def scipy_scores(layer, metric, in_order):
    """For sparse features, read as active or not."""
    if in_order or metric in RANKED:
        raise ValueError(f"sparse loops are for metrics of counts and groups, not {metric}")
    import scipy.sparse

    x = scipy.sparse.csr_array((layer.activations > 0).astype(np.float32).T)
    c = layer.concepts.astype(np.float32)
    total, of_concept = x.sum(axis=1)[:, None], c.sum(0)

    def weighted(w):
        w = w.astype(np.float32)
        return FORMULAS[metric](w.sum(), (x @ w)[:, None], w @ c, x @ (w[:, None] * c))

    def permuted(rows):
        return FORMULAS[metric](len(c), total, of_concept, x @ c[rows])

    return Scores(weighted, permuted)


def _defined(scores):
    """An undefined similarity never wins."""
    scores[scores != scores] = -1  # where they are NaN
    return scores


def _largest(scores):
    return scores.amax(1) if hasattr(scores, "amax") else scores.max(1)


def over_replicates(weighted, weights, budget):
    """Winners of replicates; vote shares [U, C] and half widths of intervals [U, C]."""
    total = squares = 0
    winners = []

    def step(w):
        nonlocal total, squares
        scores = _defined(weighted(w))
        total, squares = total + scores, squares + scores * scores
        winners.append(on_host(scores.argmax(1)))
        return scores

    weighted(weights[0])
    seconds, scores = with_seconds(step, weights, budget, KEPT)
    votes = np.zeros(total.shape, np.float32)
    for x in winners:
        votes[np.arange(len(x)), x] += 1
    mean = total / len(winners)
    spread = np.maximum(on_host(squares / len(winners) - mean * mean), 0)
    found = [(on_host(x), winner) for x, winner in zip(scores, winners, strict=False)]
    return Loop(seconds, found, (votes / len(winners), WIDTH * np.sqrt(spread)))


def over_permutations(permuted, rows, similarity, budget):
    """p-values [U] of the labels, from the largest similarity in each permutation."""
    permuted(rows[0])
    seconds, found = with_seconds(lambda x: _largest(_defined(permuted(x))), rows, budget)
    null = np.stack([on_host(x) for x in found])
    statistic = np.nan_to_num(similarity, nan=-1).max(axis=1)
    reached = (null >= statistic - 1e-6 * np.abs(statistic)).sum(axis=0)
    return Loop(seconds, null, (1 + reached) / (1 + len(null)))


def over_parts(weighted, parts, budget):
    """Labels on halves and quarters, and the similarity of each on the next part."""

    def step(rows):
        scores = [_defined(weighted(x.astype(np.float32))) for x in rows]
        labels = [on_host(x.argmax(1)) for x in scores]
        crossed = [
            np.take_along_axis(on_host(x), label[:, None], 1)
            for x, label in zip(scores, labels[1:] + labels[:1], strict=True)
        ]
        return scores, labels, crossed

    step(parts[0])
    seconds, found = with_seconds(step, parts, budget, KEPT)
    split = np.mean([x for _, _, crossed in found for x in crossed], axis=0)[:, 0]
    return Loop([s / len(x) for s, x in zip(seconds, parts, strict=False)], found, split)


def audit_by_loops(build, layer, metric, draws, budget):
    """All results, by name, of the loops that ``build(layer, metric, in_order)`` gives."""
    scores = build(layer, metric, draws.sorted)
    similarity = on_host(scores.weighted(np.ones(draws.rows.shape[1], np.float32)))
    return {
        "similarity": similarity,
        "replicates": over_replicates(scores.weighted, draws.weights, budget),
        "permutations": over_permutations(scores.permuted, draws.rows, similarity, budget),
        "parts": over_parts(scores.weighted, draws.parts, budget),
    }


def total_seconds(found, numbers):
    """Seconds of all steps of the loops, from those that were timed, in the median and at best."""
    return {
        name: sum(numbers[x] * pick(found[x].seconds) for x in numbers)
        for name, pick in (("seconds", statistics.median), ("best_seconds", min))
    }
