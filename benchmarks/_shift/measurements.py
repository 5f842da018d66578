"""What each part of `shift.py` measures: functions of a pair and sizes that give rows."""

import math

import jax
import numpy as np
from _common.terminal import track
from _common.truth import best_concepts, labels, share_held
from scipy import stats

import neurotrust_jax as nt

from .pairs import KNOWN

ALPHA = 0.1
GAMMAS = (1.5, 2.0)
PREDICTORS = ("radius", "agreement", "lead")


def coverage_part(pair, n, size, metric):
    """One row for each way to make sets and limits."""
    truth = pair.truth(metric)
    best = best_concepts(truth)
    known = best.any(axis=1)  # neurons that are active on the target
    everyone = np.arange(len(best))
    found = {}
    for seed in track(range(size["draws"]), f"coverage, {pair.name}"):
        rows = pair.rows(seed, n)
        probe = pair.probe(rows)
        weights = nt.importance_weights(
            jax.random.key(seed), probe.activations, pair.target_sample(seed, n),
            penalty=size["penalty"], largest=20,
        )  # fmt: skip
        weighted = {"no correction": probe, "weights": nt.reweight(probe, weights.weight)}
        if pair.ratio is not None:
            weighted["true weights"] = nt.reweight(probe, pair.ratio[rows])
        made = {
            name: weighted_sets(jax.random.key(seed), there, metric, size["replicates"])
            for name, there in weighted.items()
        }
        made |= {f"bounds, {gamma}": bounded_sets(probe, metric, gamma) for gamma in GAMMAS}
        for name, (mask, label, lower, upper) in made.items():
            true = truth[everyone, label]
            inside = (lower <= true + 1e-7) & (true <= upper + 1e-7)
            by_neuron = (
                share_held(mask, best), mask.sum(axis=1), inside, upper - lower,
                best[everyone, label],
            )  # fmt: skip
            found.setdefault(name, []).append([x[known].mean() for x in by_neuron])
    rows = []
    for name, values in found.items():
        mean = np.mean(values, axis=0)
        # neurons of a draw are dependent, draws are not
        error = np.std(values, axis=0) / math.sqrt(len(values))
        rows.append({
            "pair": pair.name, "n": n, "method": name, "coverage": mean[0],
            "standard_error": error[0], "size": mean[1], "holds_similarity": mean[2],
            "similarity_error": error[2], "width": mean[3], "label_is_best": mean[4],
            "effective_size": weights.effective_size, "told_apart": weights.auroc,
            "neurons": int(known.sum()),
        })  # fmt: skip
    return rows


def weighted_sets(key, probe, metric, num_replicates):
    """Sets [U, C], labels [U], and lower and upper limits of the labels' similarity [U]."""
    boot = nt.bootstrap(key, probe, metric, num_replicates=num_replicates)
    sets = nt.concept_sets(boot, alpha=ALPHA)
    limits = nt.intervals(probe, metric, alpha=ALPHA, simultaneous="concepts")
    label = np.asarray(boot.label)
    ends = (np.asarray(x)[np.arange(len(label)), label] for x in (limits.lower, limits.upper))
    return np.asarray(sets.mask), label, *ends


def bounded_sets(probe, metric, gamma):
    """As `weighted_sets`, under bounds for every density ratio in [1/gamma, gamma]."""
    label = labels(probe, metric)
    # limits for all concepts of a neuron at once, then all that may be the best
    moved = nt.shift_bounds(probe, metric, gamma=gamma, alpha=ALPHA / probe.num_concepts)
    lower, upper = np.asarray(moved.lower), np.asarray(moved.upper)
    mask = upper >= np.nanmax(lower, axis=1, keepdims=True)
    mask |= np.isnan(upper)  # nothing is known of concepts that do not occur
    everyone = np.arange(len(label))
    return mask, label, lower[everyone, label], upper[everyone, label]


def predictor_values(probe, metric, boot):
    """What is known of each label from one probing set."""
    ordered = np.sort(np.nan_to_num(np.asarray(boot.similarity), nan=-np.inf), axis=1)
    return {
        "radius": np.asarray(nt.robustness_radius(probe, metric).radius),
        "agreement": np.asarray(nt.stability(boot).top1_agreement),
        "lead": ordered[:, -1] - ordered[:, -2],
    }


def radius_part(pair, n, size, metric):
    """One row for each predictor of a label's breaking, and one for the population itself."""
    best = best_concepts(pair.truth(metric))
    known = best.any(axis=1)  # neurons that are active on the target
    everyone = np.arange(len(best))
    whole = nt.robustness_radius(pair.probe(), metric)
    label, radius = np.asarray(whole.label), np.asarray(whole.radius)[known]
    broken = ~best[everyone, label][known]
    rows = [{
        "pair": pair.name, "predictor": "population", "n": len(pair.f), "broken": broken.mean(),
        "radius": radius.tolist(), "broke": broken.tolist(),
        "overturned": int((broken & (radius > KNOWN)).sum()) if pair.ratio is not None else None,
    }]  # fmt: skip
    values, broke = {name: [] for name in PREDICTORS}, []
    for seed in track(range(size["draws"]), f"radius, {pair.name}"):
        probe = pair.probe(pair.rows(seed, n))
        boot = nt.bootstrap(jax.random.key(seed), probe, metric, num_replicates=size["replicates"])
        for name, x in predictor_values(probe, metric, boot).items():
            values[name].append(x[known])
        broke.append(~best[everyone, np.asarray(boot.label)][known])
    broke = np.array(broke)
    rng = np.random.default_rng(0)
    resampled = [rng.integers(0, len(broke), len(broke)) for _ in range(200)]
    for name, x in values.items():
        x = np.array(x)
        spread = [auroc(-x[i], broke[i]) for i in resampled]
        edges = np.quantile(x, (0.25, 0.5, 0.75))
        quarter = np.searchsorted(edges, x)
        rows.append({
            "pair": pair.name, "predictor": name, "n": n, "broken": broke.mean(),
            "auroc": auroc(-x, broke), "interval": np.nanquantile(spread, (0.025, 0.975)).tolist(),
            "quartiles": edges.tolist(),
            "broken_by_quarter": [
                broke[quarter == q].mean() if (quarter == q).any() else None for q in range(4)
            ],
        })  # fmt: skip
    return rows


def auroc(score, positive):
    """How well a score tells what breaks from what does not."""
    score, positive = score.ravel(), positive.ravel()
    if positive.all() or not positive.any():
        return math.nan
    u = stats.mannwhitneyu(score[positive], score[~positive]).statistic
    return u / (positive.sum() * (~positive).sum())
