"""Sixteen measures of one probing set, and whether labels last and are right."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _common.terminal import track
from _common.truth import best_concepts, fresh_labels, some_neurons

import neurotrust_jax as nt

ALPHA = 0.1
TOP = 5  # concepts of a ranking


class Measure(NamedTuple):
    """How a measure is read: larger (sign 1) or smaller (-1) is better; is it a probability?"""

    text: str
    sign: int = 1
    probability: bool = False


MEASURES = {
    "top1_agreement": Measure("top-1 agreement (vote share)", probability=True),
    "pairwise_agreement": Measure("pairwise agreement", probability=True),
    "normalised_entropy": Measure("normalised entropy", -1),
    "nogueira": Measure("Nogueira's measure, top 1"),
    "nogueira_top": Measure(f"Nogueira's measure, top {TOP}"),
    "jaccard": Measure(f"Jaccard, top {TOP}"),
    "rank_biased_overlap": Measure(f"rank-biased overlap, top {TOP}"),
    "kendalls_w": Measure("Kendall's W, all concepts"),
    "inflated_size": Measure("size of the inflated set", -1),
    "calibrated_size": Measure("tested concepts in the calibrated set", -1),
    "lead": Measure("lead over the second concept"),
    "scaled_lead": Measure("lead / its standard error"),
    "regret": Measure("certificate's regret", -1),
    "width": Measure("width of the label's interval", -1),
    "similarity": Measure("similarity itself"),
    "positives": Measure("positives of the label"),
}


def rankings(key, probe, metric, count):
    """Similarities on a few resampled probing sets, [count, U, C], NaN as the lowest."""
    weights = nt.resampling.bootstrap_weights(key, probe, num_replicates=count)
    scores = [np.asarray(nt.similarity(nt.reweight(probe, w), metric)) for w in weights]
    return np.nan_to_num(np.stack(scores), nan=-np.inf)


def measured(key, probe, metric, size):
    """Every measure [U], and the label [U]."""
    boot = nt.bootstrap(key, probe, metric, num_replicates=size["replicates"])
    label = np.asarray(boot.label)
    everyone = np.arange(len(label))
    found = nt.stability(boot)
    names = ("top1_agreement", "pairwise_agreement", "normalised_entropy", "nogueira")
    values = {name: np.asarray(getattr(found, name)) for name in names}
    values["inflated_size"] = np.asarray(found.inflated_set).sum(axis=1)
    sets = nt.concept_sets(boot, alpha=ALPHA)
    values["calibrated_size"] = np.asarray(sets.mask & ~sets.untested).sum(axis=1)

    scores = rankings(jax.random.fold_in(key, 1), probe, metric, size["rankings"])
    values |= of_rankings(scores)
    similarity = np.nan_to_num(np.asarray(boot.similarity), nan=-np.inf)
    values |= of_leads(similarity, scores, label)
    proof = nt.certify(probe, metric, alpha=ALPHA)
    values["regret"] = np.asarray(proof.regret)
    limits = nt.intervals(probe, metric, alpha=ALPHA, simultaneous="concepts")
    values["width"] = np.asarray(limits.upper - limits.lower)[everyone, label]
    values["similarity"] = similarity[everyone, label]
    values["positives"] = np.asarray(proof.positives)[label]
    return {name: np.asarray(values[name], np.float64) for name in MEASURES}, label


def of_rankings(scores):
    """Measures of whole rankings, from similarities [count, U, C]."""
    order = np.argsort(-scores, axis=2, kind="stable")[:, :, :TOP]
    selected = np.zeros(scores.shape, bool)
    np.put_along_axis(selected, order, True, axis=2)
    first, second = np.triu_indices(len(order), 1)
    overlap = nt.resampling.rank_biased_overlap(order[first], order[second])
    lowest = np.where(np.isinf(scores), -1, scores)
    neurons = range(scores.shape[1])
    return {
        "nogueira_top": np.asarray(nt.resampling.nogueira(jnp.asarray(selected))[0]),
        "jaccard": np.asarray(nt.resampling.jaccard(jnp.asarray(selected))),
        "rank_biased_overlap": np.asarray(overlap).mean(axis=0),
        "kendalls_w": np.array([nt.resampling.kendalls_w(lowest[:, u]) for u in neurons]),
    }


def of_leads(similarity, scores, label):
    """The lead of the label over the second concept, as it is and over its standard error."""
    everyone = np.arange(len(label))
    others = similarity.copy()
    others[everyone, label] = -np.inf
    rival = others.argmax(axis=1)
    lead = similarity[everyone, label] - similarity[everyone, rival]
    leads = scores[:, everyone, label] - scores[:, everyone, rival]
    error = np.where(np.isfinite(leads), leads, 0).std(axis=0)
    return {"lead": lead, "scaled_lead": lead / np.maximum(error, 1e-9)}


def collect(found, n, metric, size):
    """Measures by name, shares of fresh sets, and whether the label is best, each [draws, U]."""
    columns = some_neurons(found, size["neurons"])
    best = best_concepts(nt.similarity(found.probe(columns=columns), metric))
    fresh = fresh_labels(found, n, columns, metric, size["fresh"])
    values, shares, right = {name: [] for name in MEASURES}, [], []
    for seed in track(range(size["draws"]), f"{found.layer.name}, n = {n:,}"):
        probe = found.probe(found.samples(seed, n), columns)
        ours, label = measured(jax.random.key(seed), probe, metric, size)
        for name, x in ours.items():
            values[name].append(np.where(label < 0, np.nan, x))
        shares.append((fresh == label).mean(axis=0))
        right.append(best[np.arange(len(label)), label])
    return {k: np.array(x) for k, x in values.items()}, np.array(shares), np.array(right)
