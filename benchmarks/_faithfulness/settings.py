"""Metrics, methods and sizes of `faithfulness.py`, and the miss rate that it allows."""

import math
from typing import NamedTuple

ALPHA = 0.05
FIXED = ("exact", "betting", "chernoff", "bernstein", "hoeffding")
BINARY = (*FIXED, "dkw", "asymptotic")
METHODS = {
    "accuracy": BINARY,
    "iou": BINARY,
    "precision": BINARY,
    "recall": BINARY,
    "f1": BINARY,
    "auroc": ("chernoff", "hoeffding", "agarwal", "asymptotic"),
    "correlation": ("betting", "chernoff", "bernstein", "hoeffding", "asymptotic"),
}
ALL_METHODS = ("exact", "betting", "chernoff", "bernstein", "hoeffding", "agarwal", "dkw",
               "asymptotic")  # fmt: skip
PARTS = ("gap", "coverage", "width", "auroc", "controls", "cost", "planning")


class Size(NamedTuple):
    """How much is simulated."""

    samples: tuple[int, ...]
    more_samples: tuple[int, ...]  # for the gap of the rarest planted concepts only
    frequencies: tuple[float, ...]
    metrics: tuple[str, ...]
    datasets: int
    control_datasets: int
    glyphs: bool
    cost: tuple[int, int, int]  # n, U, C


FULL = Size(
    samples=(100, 300, 1000, 3000, 10_000),
    more_samples=(30_000, 100_000),
    frequencies=(0.5, 0.1, 0.01),
    metrics=tuple(METHODS),
    datasets=200,
    control_datasets=2000,
    glyphs=True,
    cost=(10_000, 512, 256),
)
QUICK = Size(
    samples=(100, 300, 900),
    more_samples=(),
    frequencies=(0.5,),
    metrics=("iou", "auroc"),
    datasets=30,
    control_datasets=800,
    glyphs=False,
    cost=(500, 16, 16),
)


def allowance(num_datasets):
    """Miss rate that a sound interval exceeds by chance less than once in 700 cells.

    Pairs of one dataset are dependent; taken as one, the allowance errs on the wide side.
    """
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / num_datasets)
