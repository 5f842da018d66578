"""A whole audit, and its permutation test against a product by NumPy."""

import jax
import numpy as np

import neurotrust_jax as nt
from neurotrust_jax.chance.permutations import draw_ranks

from .formulas import FORMULAS, numpy_view
from .plan import KEY, PATIENCE, TOLERANCE
from .rows import baseline, row, run_replicates
from .timing import timed
from .worlds import World


def whole(size, metric, budget):
    """Rows of an audit, of its permutation test, and of the same permutations by NumPy."""
    world = World(size)

    def audit(key):
        numbers = {"num_replicates": size.B, "num_permutations": size.B}
        return nt.audit(jax.random.key(key), world.probe, metric, **numbers).label

    def test(key, number=size.B):
        return nt.permutation_test(
            jax.random.key(key), world.probe, metric, num_permutations=number, alpha=0.5
        )

    in_all, _ = timed(audit, PATIENCE)
    times, _ = timed(test, PATIENCE)
    # the sample of rank j, from the largest activation, meets the concepts drawn for it
    x = -np.sort(-np.ascontiguousarray(numpy_view(world.neurons(metric), metric).T), axis=1)
    total = x.sum(1, keepdims=True)
    ranks = draw_ranks(jax.random.key(KEY), np.arange(min(size.B, 200)), size.n)

    def score(permuted):
        c = world.concepts[permuted].astype(np.float32)
        return FORMULAS[metric](size.n, total, c.sum(0), x @ c)

    each, found = run_replicates(score, np.argsort(ranks, axis=1), budget)
    expected = np.mean([scores.max(1) for scores, _ in found], axis=0)
    difference = float(np.abs(test(KEY, len(found)).null_mean - expected).max())
    checked = {"tolerance": TOLERANCE, "difference": difference}
    return [
        row(metric, "audit", size, **in_all),
        row(metric, "ours", size, **times, speed_up=1.0),
        baseline(metric, "numpy_product", size, each, times["best_seconds"], **checked),
    ]
