"""Features of a sparse autoencoder, against a loop of SciPy's sparse products."""

from functools import partial

import numpy as np
import scipy.sparse

from .formulas import FORMULAS
from .plan import PATIENCE, RANKED
from .rows import agreement, baseline, ours, run_replicates
from .timing import memory_since, peak_memory, timed
from .worlds import SparseWorld


def sparse(size, metric, budget):
    """As `compare_loops`, for sparse features; the loop runs for metrics of counts only."""
    world = SparseWorld(size)
    before = peak_memory()
    times, boot = timed(partial(world.bootstrap, metric), PATIENCE)
    about = {"density": world.features.nnz / (size.n * size.U), "dense_bytes": 4 * size.n * size.U}
    rows = [ours(metric, size, times | memory_since(before) | about)]
    if metric in RANKED:
        return rows
    drawn = world.counts()
    active = scipy.sparse.csr_array((world.features > 0).astype(np.float32).T)
    concepts = world.concepts.astype(np.float32)

    def score(w):
        both = active @ (w[:, None] * concepts)
        return FORMULAS[metric](w.sum(), (active @ w)[:, None], (w @ concepts)[None, :], both)

    each, found = run_replicates(lambda w: np.nan_to_num(score(w), nan=-1), drawn, budget)
    checked = agreement(np.asarray(boot.winners), found)
    return [*rows, baseline(metric, "scipy_sparse", size, each, times["best_seconds"], **checked)]
