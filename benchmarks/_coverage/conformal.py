"""Do conformal sets hold the label of a fresh probing set, on average over a layer's neurons?

The worlds are the planted and hostile ones of `worlds.py`, with layers of 32 neurons. Concepts in
fewer than ten sampling units of the probing set are left out of the fresh one too. Nothing is
promised where the sets themselves warn that there are too few units. The control is the vote rule.
`coverage.py --parts conformal` runs it.
"""

import math
from itertools import product

import jax
import numpy as np
from _common.terminal import table
from _common.truth import labels, slack

import neurotrust_jax as nt

from .worlds import draw, hostile_laws, laws

NEURONS = 32
KINDS = ("conformal", "vote")
MIN_POSITIVES = 10


def one(cell, seed, alphas, num_replicates):
    """Coverage, mean size and share of single sets on one probing set, by level and kind."""
    probe, fresh = (draw(cell, s, NEURONS) for s in (seed, 10**6 + seed))
    judged = np.flatnonzero(np.asarray(probe.positive_units) >= MIN_POSITIVES)
    if len(judged) > 1:
        probe, fresh = probe.of_concepts(judged), fresh.of_concepts(judged)
    label = labels(fresh, cell.metric)
    labelled = np.flatnonzero(label >= 0)
    key = jax.random.key(seed)
    boot = nt.bootstrap(
        key, probe, cell.metric, num_replicates=num_replicates, chunk_size=100, scheme=cell.scheme
    )
    found = {}
    for alpha in alphas:
        for kind, sets in (
            ("conformal", nt.conformal_sets(key, probe, cell.metric, alpha=alpha)),
            ("vote", nt.concept_sets(boot, alpha=alpha, method="vote", target="replication")),
        ):
            mask, promised = np.asarray(sets.mask), "which says little" not in sets.guarantee
            held = mask[labelled, label[labelled]].mean() if len(labelled) else math.nan
            size = mask.sum(axis=1)
            found[alpha, kind] = held, size.mean(), (size == 1).mean(), promised
    return found


def rows_of(cell, datasets, alphas, num_replicates):
    """One row for each level and kind."""
    results = [one(cell, seed, alphas, num_replicates) for seed in range(datasets)]
    rows = []
    for alpha, kind in product(alphas, KINDS):
        held, size, single, promised = np.array([x[alpha, kind] for x in results]).T
        held = held[~np.isnan(held)]
        # neurons of a probing set are dependent, probing sets are not
        allowed, error = slack(held, alpha, NEURONS)
        rows.append(
            cell._asdict() | {
                "datasets": datasets, "neurons": NEURONS, "alpha": alpha, "kind": kind,
                "coverage": held.mean(), "standard_error": error, "size": size.mean(),
                "single": single.mean(), "promised": bool(promised.all()),
                "covers": bool(held.mean() >= 1 - alpha - allowed),
            }
        )  # fmt: skip
    return rows


def cells_of(quick):
    """The worlds: planted ties, gaps, structures and copies, and all hostile ones."""
    if quick:
        return list(laws(("iou",), (10,), (300,), (0.2,)))[:1]
    metrics = ("iou", "auroc", "correlation", "accuracy")
    return [*laws(metrics, (10, 40), (200, 1000), (0.2,)), *hostile_laws()]


SORTS = {  # kinds of worlds, by the groups of their samples
    "independent samples": "", "copies of each sample": "copies", "60 groups, unequal": "zipf",
    "20 groups": "20", "12 groups": "12",
}  # fmt: skip


def summary(rows):
    """Coverage and size by level, kind and sort of world."""
    body = []
    alphas = sorted({x["alpha"] for x in rows}, reverse=True)
    for (name, groups), kind, alpha in product(SORTS.items(), KINDS, alphas):
        law = groups, kind, alpha
        mine = [x for x in rows if (x["groups"], x["kind"], x["alpha"]) == law]
        if mine:
            coverage = [x["coverage"] for x in mine]
            body.append((
                name, kind, f"{1 - alpha:.0%}", len(mine), f"{np.mean(coverage):.3f}",
                f"{min(coverage):.3f}", sum(x["promised"] and not x["covers"] for x in mine),
                f"{np.mean([x['size'] for x in mine]):.1f}",
                f"{np.mean([x['single'] for x in mine]):.0%}",
            ))  # fmt: skip
    return table(
        "fresh label in the set, on average over neurons",
        ("worlds", "set", "nominal", "cells", "mean coverage", "lowest", "too low", "size",
         "single"),
        body,
    )  # fmt: skip
