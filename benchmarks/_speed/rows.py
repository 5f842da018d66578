"""Rows of results, and loops over replicates with a check of their winners."""

import statistics
import time

import numpy as np
from _common.results import rounded

from .plan import TIE


def row(metric, method, size, **values):
    """A row of results; its numbers have five significant digits."""
    return {"metric": metric, "method": method, **size._asdict(), **rounded(values)}


def ours(metric, size, times):
    """The row of one batched call."""
    return row(
        metric, "ours", size, **times, replicates_timed=size.B, speed_up=1.0, equal_winners=1.0
    )


def baseline(metric, name, size, each, best_seconds, **checked):
    """The row of a loop: B times what each replicate took, against our best time."""
    least = min(each) * size.B
    return row(
        metric, name, size, seconds=statistics.median(each) * size.B, best_seconds=least,
        replicates_timed=len(each), extrapolated=len(each) < size.B, speed_up=least / best_seconds,
        **checked,
    )  # fmt: skip


def on_host(x):
    """An array in NumPy, from NumPy or PyTorch."""
    return x.cpu().numpy() if hasattr(x, "cpu") else x


def with_seconds(step, items, budget, keep=None):
    """Seconds of each step, and what the first ``keep`` gave, until a budget is spent."""
    seconds, found = [], []
    for item in items:
        start = time.perf_counter()
        given = step(item)
        seconds.append(time.perf_counter() - start)
        if keep is None or len(found) < keep:
            found.append(given)
        if sum(seconds) > budget:
            break
    return seconds, found


def run_replicates(score, counts, budget):
    """Seconds, and similarities and winners, of each replicate."""

    def step(w):
        scores = score(w)
        winners = on_host(scores.argmax(1))
        return on_host(scores), winners

    score(counts[0])
    return with_seconds(step, counts, budget)


def agreement(ours, found):
    """Share of equal winners, and the number of unequal ones whose similarities do not tie.

    A neuron that is never active has no winner, where the loops find similarities of 0.
    """
    different, real = 0, 0
    for mine, (scores, theirs) in zip(ours, found, strict=False):
        u = np.flatnonzero(mine != theirs)
        best, other = scores[u, theirs[u]], scores[u, mine[u]]
        different += len(u)
        tied = np.where(mine[u] < 0, best <= 0, best - other <= TIE * np.abs(best))
        real += int((~tied).sum())
    return {
        "equal_winners": 1 - different / (len(found) * ours.shape[1]),
        "disagreements": real,
    }
