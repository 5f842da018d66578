"""Do conformal sets hold the label of a fresh probing set, on average over a layer's neurons?

In the planted and hostile worlds of `worlds.py`, with layers of 32 neurons. Concepts in fewer than
ten sampling units of the probing set are left out, of the fresh one too. Where the sets themselves
warn that there are too few units nothing is promised. The control is the vote rule.
`coverage.py --parts conformal` runs it.
"""

import math
from itertools import product

import jax
import numpy as np
from rich.table import Table
from worlds import draw, hostile_laws, laws

import neurotrust_jax as nt

NEURONS = 32
KINDS = ("conformal", "vote")
MIN_POSITIVES = 10


def one(cell, seed, alphas, num_replicates):
    """Coverage, and mean size and share of single sets, by level and kind: of one probing set."""
    probe, fresh = (draw(cell, s, NEURONS) for s in (seed, 10**6 + seed))
    judged = np.flatnonzero(np.asarray(probe.positive_units) >= MIN_POSITIVES)
    if len(judged) > 1:
        probe, fresh = probe.of_concepts(judged), fresh.of_concepts(judged)
    label = np.asarray(nt.identify(fresh, cell.metric).concept)[:, 0]
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
        # neurons of a probing set are dependent, probing sets are not; where no set misses at all,
        # the spread says nothing
        error = held.std() / math.sqrt(len(held))
        slack = 3 * max(error, math.sqrt(alpha * (1 - alpha) / len(held) / NEURONS))
        rows.append(
            cell._asdict() | {
                "datasets": datasets, "neurons": NEURONS, "alpha": alpha, "kind": kind,
                "coverage": held.mean(), "standard_error": error, "size": size.mean(),
                "single": single.mean(), "promised": bool(promised.all()),
                "covers": bool(held.mean() >= 1 - alpha - slack),
            }
        )  # fmt: skip
    return rows


def cells_of(quick):
    """The worlds: planted ties, gaps, structures and copies, and all hostile ones."""
    if quick:
        return list(laws(("iou",), (10,), (300,), (0.2,)))[:1]
    metrics = ("iou", "auroc", "correlation", "accuracy")
    return [*laws(metrics, (10, 40), (200, 1000), (0.2,)), *hostile_laws()]


def summary(rows):
    """Coverage and size by level, kind and sort of world."""
    table = Table(title="fresh label in the set, on average over neurons", title_justify="left")
    names = ("worlds", "set", "nominal", "cells", "mean coverage", "lowest", "too low", "size",
             "single")  # fmt: skip
    for name in names:
        table.add_column(name, justify="right")
    sorts = {
        "independent samples": lambda x: not x["groups"],
        "copies of each sample": lambda x: x["groups"] == "copies",
        "60 groups, unequal": lambda x: x["groups"] == "zipf",
        "20 groups": lambda x: x["groups"] == "20",
        "12 groups": lambda x: x["groups"] == "12",
    }
    alphas = sorted({x["alpha"] for x in rows}, reverse=True)
    for (name, belongs), kind, alpha in product(sorts.items(), KINDS, alphas):
        mine = [x for x in rows if belongs(x) and (x["kind"], x["alpha"]) == (kind, alpha)]
        if mine:
            coverage = [x["coverage"] for x in mine]
            table.add_row(
                name, kind, f"{1 - alpha:.0%}", str(len(mine)), f"{np.mean(coverage):.3f}",
                f"{min(coverage):.3f}", str(sum(x["promised"] and not x["covers"] for x in mine)),
                f"{np.mean([x['size'] for x in mine]):.1f}",
                f"{np.mean([x['single'] for x in mine]):.0%}",
            )  # fmt: skip
    return table
