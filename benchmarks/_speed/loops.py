"""What a user could run instead of one call: loops over replicates in NumPy and PyTorch.

Each loop takes a world and a metric, prepares what no replicate changes, and returns a function of
a replicate's counts [n] that gives the similarities [U, C].
"""

from functools import partial

import numpy as np

from .formulas import FORMULAS, numpy_view, rows_of
from .torch_loops import torch_rows, torch_weights


def numpy_rows(world, metric):
    """Resample rows, one matrix product."""
    f, n = world.neurons(metric), world.size.n

    def score(counts):
        rows = rows_of(counts)
        x, c = numpy_view(f[rows], metric), world.concepts[rows].astype(np.float32)
        total = (x * x if metric == "spearman" else x).sum(0)
        return FORMULAS[metric](n, total[:, None], c.sum(0), x.T @ c)

    return score


def baselines(metric, names):
    """The loops of these names, on each device: functions of a world and a metric."""
    try:
        import torch

        devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    except ModuleNotFoundError:
        devices = ("cpu",)
    found = {"numpy_rows": numpy_rows}
    if metric == "auroc":
        found["published"] = partial(torch_rows, device="cpu", block=1)
    for build in (torch_rows, torch_weights):
        for device in devices:
            name = build.__name__ + ("" if device == "cpu" else f", {device}")
            found[name] = partial(build, device=device)
    # "torch_rows" names the loops of both devices, "torch_rows, cuda" one of them
    return {k: build for k, build in found.items() if {k, k.split(",")[0]} & set(names)}
