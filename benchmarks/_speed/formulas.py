"""Similarities from weighted sums, and what the loops sum of neurons.

A neuron's view x and a binary concept c under weights w give s = sum w, c = sum w c, fc = sum w x c
and f = sum w x (for Spearman's correlation f = sum w x x). The view is 0 or 1; for metrics of ranks
it is the mid-rank over s, less one half, so that sum w x = 0. Mid-ranks of a binary concept are
linear in it, so Spearman's correlation is Pearson's of ranks with the concept itself.
"""

import numpy as np

from .plan import RANKED

FORMULAS = {
    "iou": lambda s, f, c, fc: fc / (f + c - fc),
    "accuracy": lambda s, f, c, fc: (s - f - c + 2 * fc) / s,
    "f1": lambda s, f, c, fc: 2 * fc / (f + c),
    "precision": lambda s, f, c, fc: fc / f,
    "recall": lambda s, f, c, fc: fc / c,
    "auroc": lambda s, f, c, fc: 0.5 + s * fc / (c * (s - c)),
    "spearman": lambda s, f, c, fc: fc / (f * (c * (s - c) / s)) ** 0.5,
}


def rows_of(counts):
    """The rows that a replicate drew; in order, which a gather reads faster than a random one."""
    return np.repeat(np.arange(len(counts)), counts.astype(int))


def numpy_view(x, metric):
    """What a metric sums of the neurons [n, U]."""
    if metric in RANKED:
        from scipy.stats import rankdata

        x = (rankdata(x, axis=0) - 0.5) / len(x) - 0.5
    return x.astype(np.float32)
