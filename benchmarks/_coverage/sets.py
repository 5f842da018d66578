"""How often concept sets hold the best concept, and the label of a fresh probing set."""

from itertools import product

import jax
import numpy as np
from _common.truth import KINDS, sets_of_kind, share_held, slack

import neurotrust_jax as nt

from .worlds import NEURONS, best, draw


def one(cell, seed, alphas, num_replicates):
    """Share of neurons whose set holds the target, and sizes, for one dataset.

    Returns three dictionaries by level and kind of set, and the share of thin neurons.
    """
    probe = draw(cell, seed)
    boot = nt.bootstrap(
        jax.random.key(seed), probe, cell.metric, num_replicates=num_replicates, chunk_size=100,
        scheme=cell.scheme,
    )  # fmt: skip
    again = nt.similarity(draw(cell, 10**6 + seed), cell.metric)
    fresh = np.asarray(np.where(np.isnan(again), -np.inf, again).argmax(axis=1))
    target = best(cell)[None]
    held, size, untested = {}, {}, {}
    for alpha, kind in product(alphas, KINDS):
        found = sets_of_kind(boot, kind, alpha)
        mask = np.asarray(found.mask)
        replicates = kind.endswith("replication")
        hit = mask[np.arange(len(fresh)), fresh] if replicates else share_held(mask, target)
        held[alpha, kind] = hit.mean()
        size[alpha, kind] = mask.sum(axis=1).mean()
        untested[alpha, kind] = np.asarray(found.untested).sum(axis=1).mean()
    return held, size, untested, float(np.asarray(boot.thin).mean())


def rows_of(cell, datasets, alphas, num_replicates):
    """One row for each level and kind of set."""
    found = [one(cell, seed, alphas, num_replicates) for seed in range(datasets)]
    rows = []
    for alpha, kind in product(alphas, KINDS):
        held = np.array([x[0][alpha, kind] for x in found])
        # neurons of a dataset are dependent, and so are tied concepts: datasets are not
        allowed, error = slack(held, alpha, NEURONS)
        rows.append(
            cell._asdict() | {
                "datasets": datasets, "alpha": alpha, "kind": kind,
                "coverage": held.mean(), "standard_error": error,
                "size": float(np.mean([x[1][alpha, kind] for x in found])),
                "untested": float(np.mean([x[2][alpha, kind] for x in found])),
                "thin": float(np.mean([x[3] for x in found])),
                "covers": bool(held.mean() >= 1 - alpha - allowed),
            }
        )  # fmt: skip
    return rows
