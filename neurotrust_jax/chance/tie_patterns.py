"""Find the neurons of a layer that share one null, because their values tie in the same way.

Samples of equal weight that trade places one by one leave nothing of a neuron but how often each of
its values occurs. A metric that asks only whether a neuron is active depends on the number of
active samples alone; one that reads ranks, on the sizes of the ties from the largest activation to
the smallest. Neurons that agree in these have the same null.

A layer of floats has a few chance ties of two or three samples almost everywhere, which would give
each neuron a pattern of its own. Where their effect on the statistic is known to be tiny they are
left out of the pattern, and the test counts a replicate that comes as close as this effect to the
observed statistic as one that reaches it. The p-value then errs on the safe side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._numerics.ranks import tied_with_next
from ..metrics.metric import Metric
from ..probing.probe import Probe

__all__ = ["MOST_BLOCKS", "TIE_SHARE", "TiePatterns", "levels", "square_sum", "tie_patterns"]

MOST_BLOCKS = 4  # ties of a pattern that running sums correct for
TIE_SHARE = 0.01  # of the statistic's standard deviation, which ties left out may change

Blocks = tuple[int, ...]


class TiePatterns(NamedTuple):
    """The tie patterns of a layer.

    Samples are numbered from the largest activation (0) to the smallest (n - 1).

    Attributes
    ----------
    ranked : bool
        Whether neurons are read by ranks, else by whether they are active.
    num_samples : int
    blocks : tuple of tuple of int
        Of each of the P patterns: the number of active samples, or where each tie begins and ends
        (begin, end, begin, end, ...; the end excluded).
    of_neuron : numpy.ndarray [U] of int
        Pattern of each neuron, -1 for a constant one.
    left_out : numpy.ndarray [U]
        The most that ties left out can change a sum of doubled ranks over any set of samples.
    excess : numpy.ndarray [U]
        By which share the sum of squared ranks is too large without these ties.
    """

    ranked: bool
    num_samples: int
    blocks: tuple[Blocks, ...]
    of_neuron: np.ndarray
    left_out: np.ndarray
    excess: np.ndarray


def tie_patterns(probe: Probe, metric: Metric, spread: float) -> TiePatterns:
    """Find the tie patterns of a layer.

    Parameters
    ----------
    probe : Probe
    metric : Metric
        It reads neurons as ``"rank"`` or ``"binary"``.
    spread : float
        The smallest root of the sum of squares of a concept about its mean, over its range. It
        decides which ties are small enough to leave out.
    """
    ranked = metric.neuron_view == "rank"
    small = spread if ranked and metric.linear_in_products else 0.0
    n = probe.num_samples
    numbers: dict[Blocks, int] = {}
    of_neuron, left_out, excess = [], [], []
    for _, part in probe.in_neurons():
        if ranked:
            found = (_ties(tied, small) for tied in tied_with_next(part.neurons.values))
        else:
            active = np.asarray(part.active.sum(axis=0))
            found = (((int(a),), 0.0, 0.0) for a in active)
        for blocks, change, share in found:
            constant = blocks in ((0, n), (0,), (n,))
            number = -1 if constant else numbers.setdefault(blocks, len(numbers))
            of_neuron.append(number)
            left_out.append(change)
            excess.append(share)
    arrays = np.array(of_neuron, np.int64), np.array(left_out), np.array(excess)
    return TiePatterns(ranked, n, tuple(numbers), *arrays)


def _ties(tied: np.ndarray, spread: float) -> tuple[Blocks, float, float]:
    """The ties of a neuron that matter, and the effect of the others on sums and on squares.

    The doubled ranks within a tie of t samples lie t - 1, t - 3, ... from their mean, so that the
    tie changes a sum over any of its samples by at most t^2 / 4, and the sum of squares by
    t (t^2 - 1) / 3.
    """
    if not tied.any():
        return (), 0.0, 0.0
    n = len(tied) + 1
    edges = np.concatenate([[0], np.flatnonzero(~tied) + 1, [n]])
    width = np.diff(edges)
    (several,) = np.nonzero(width > 1)
    several = several[np.argsort(-width[several], kind="stable")]
    size = width[several].astype(float)
    change, squares = size**2 // 4, size * (size**2 - 1) / 3
    rest = np.append(change.sum() - np.append(0, np.cumsum(change))[:-1], 0.0)
    in_all = n * (n**2 - 1) / 3 - squares.sum()
    allowed = TIE_SHARE * spread * np.sqrt(in_all / (n - 1))
    number = int(np.argmax(rest <= allowed))
    kept = np.sort(several[:number])[::-1]
    blocks = np.stack([n - edges[kept + 1], n - edges[kept]], axis=1).reshape(-1)
    omitted = squares[number:].sum()
    # nothing is omitted of a constant neuron, whose squares are 0
    share = float(omitted / in_all) if omitted else 0.0
    return tuple(blocks.tolist()), float(rest[number]), share


def levels(patterns: TiePatterns, blocks: Blocks) -> np.ndarray:
    """Value of each sample from the largest activation to the smallest, [n] of int.

    1 and 0 for active and not; else the mid-rank, doubled and centred.
    """
    n = patterns.num_samples
    if not patterns.ranked:
        return (np.arange(n) < blocks[0]).astype(np.int64)
    level = n - 1 - 2 * np.arange(n)
    for begin, end in zip(blocks[::2], blocks[1::2], strict=True):
        level[begin:end] = n - begin - end
    return level


def square_sum(patterns: TiePatterns, blocks: Blocks) -> float:
    """Sum of the squares of :func:`levels`."""
    if not patterns.ranked:
        return float(blocks[0])
    n = patterns.num_samples
    width = np.subtract(blocks[1::2], blocks[::2]).astype(float)
    return n * (float(n) ** 2 - 1) / 3 - float((width * (width**2 - 1) / 3).sum())
