"""What a user could run instead of one call: loops over replicates in NumPy and PyTorch.

Each loop takes a layer and a metric, prepares what no replicate changes, and returns a function of
a replicate's counts [n] that gives the similarities [U, C].
"""

from functools import partial

import numpy as np

from .formulas import FORMULAS, numpy_view, rows_of
from .plan import RANKED
from .torch_loops import torch_rows, torch_weights

BLOCK = 64  # neurons whose ranks fit into a cache


def numpy_rows(layer, metric):
    """Resample rows, one matrix product."""
    f = layer.neurons(metric)

    def score(counts):
        rows = rows_of(counts)
        x, c = numpy_view(f[rows], metric), layer.concepts[rows].astype(np.float32)
        total = (x * x if metric == "spearman" else x).sum(0)
        return FORMULAS[metric](len(rows), total[:, None], c.sum(0), x.T @ c)

    return score


class _SortedBlock:
    """Neurons [u, n] sorted once, whose mid-ranks follow from any weights."""

    def __init__(self, x):
        order = np.argsort(x, axis=1)
        values = np.take_along_axis(x, order, 1)
        start = np.diff(values, axis=1, prepend=-np.inf) != 0
        end = np.append(start[:, 1:], np.ones((len(x), 1), bool), axis=1)
        # the few places that tie with a neighbour, and where their tie starts and ends
        self._tied = np.flatnonzero(~(start & end))
        starts, ends = np.flatnonzero(start), np.flatnonzero(end)
        tie = np.searchsorted(starts, self._tied, side="right") - 1
        self._first, self._last = starts[tie], ends[tie]
        self._order = order
        place = np.argsort(order, axis=1)
        self._place = place + x.shape[1] * np.arange(len(x))[:, None]

    def mid_ranks(self, w):
        """Mid-ranks [u, n] over the sum of the weights [n], less one half."""
        own = w.take(self._order)
        up_to = own.cumsum(axis=1)
        rank = up_to - own / 2
        low = up_to.ravel()[self._first] - own.ravel()[self._first]
        rank.ravel()[self._tied] = (low + up_to.ravel()[self._last]) / 2
        rank /= w.sum()
        rank -= 0.5
        return rank.take(self._place)


def numpy_weights(layer, metric):
    """Weight samples instead of gathering them, sort once, one matrix product.

    Ranks are made for some neurons at a time, which stay in the cache until they are multiplied.
    """
    x = np.ascontiguousarray(layer.neurons(metric).T).astype(np.float32)
    c = layer.concepts.astype(np.float32)
    if metric in RANKED:
        blocks = [_SortedBlock(x[i : i + BLOCK]) for i in range(0, len(x), BLOCK)]

    def score(w):
        w = w.astype(np.float32)
        of_concept, weighted = w @ c, w[:, None] * c
        if metric not in RANKED:
            return FORMULAS[metric](w.sum(), (x @ w)[:, None], of_concept, x @ weighted)
        found = []
        for block in blocks:
            y = block.mid_ranks(w)
            total = (y * y if metric == "spearman" else y) @ w
            found.append(FORMULAS[metric](w.sum(), total[:, None], of_concept, y @ weighted))
        return np.concatenate(found)

    return score


def devices():
    """Where PyTorch can run, nowhere if it is not installed."""
    try:
        import torch
    except ModuleNotFoundError:
        return ()
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def baselines(metric, names):
    """The loops of these names, on each device: functions of a layer and a metric."""
    found = {"numpy_rows": numpy_rows, "numpy_weights": numpy_weights}
    if metric == "auroc":
        found["published"] = partial(torch_rows, device="cpu", block=1)
    for build in (torch_rows, torch_weights):
        for device in devices() or ("cpu",):
            name = build.__name__ + ("" if device == "cpu" else f", {device}")
            found[name] = partial(build, device=device)
    # "torch_rows" names the loops of both devices, "torch_rows, cuda" one of them
    return {k: build for k, build in found.items() if {k, k.split(",")[0]} & set(names)}
