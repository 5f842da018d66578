"""What each part of `real_layers.py` measures: functions of probing sets that give rows."""

import math

import jax
import numpy as np
from _common.populations import Population
from _common.truth import mean_of, share_held

import neurotrust_jax as nt

from .probing_sets import LAYERS, Draws, Halves

POPULATIONS = ("digits-mlp", "glyphs-cnn", "python-transformer", "python-sae")
CONTROLLED = ("iou", "auroc")  # metrics for which replicates are drawn too
ALPHA = 0.1
BINS = 10
BELOW = 0.05  # how far below its level a class of neurons may be


def worlds_of(layer, size):
    """The kinds of probing sets that a layer has."""
    if layer in LAYERS:
        return [Halves(layer, size["neurons"])]
    population = Population(layer)
    return [Draws(population, n, size["neurons"], size["fresh"]) for n in size["samples"]]


def mean_and_error(by_draw):
    """Over probing sets: neurons of one are dependent, probing sets are not."""
    x = np.array([y for y in by_draw if np.isfinite(y)])
    if not len(x):
        return math.nan, math.nan
    return float(x.mean()), float(x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else math.nan


def classes_by_lead(probe, metric):
    """Neurons in classes of about 100, or in thirds, by the lead of the label over the next."""
    found = np.asarray(nt.identify(probe, metric, 2).similarity, np.float64)
    order = np.argsort(np.nan_to_num(found[:, 0] - found[:, 1]))
    return np.array_split(order, max(3, len(order) // 100))


def sizes_of(mask):
    size = mask.sum(axis=1)
    return size.mean(), np.median(size), (size == 1).mean()


def found_sets(world, seed, metric, alpha, size):
    """Masks of each kind of set, [U, C]."""
    probe, _ = world.draw(seed)
    sets = {"conformal": nt.conformal_sets(jax.random.key(seed), probe, metric, alpha=alpha)}
    if metric in CONTROLLED:
        boot = world.bootstrap(seed, metric, size["replicates"])
        sets["vote"] = nt.concept_sets(boot, alpha=alpha, method="vote", target="replication")
    if metric == "iou" and alpha == ALPHA:
        for target in ("best", "replication"):
            kind = "calibrated" + (", replication") * (target == "replication")
            sets[kind] = nt.concept_sets(boot, alpha=alpha, target=target)
    return {kind: np.asarray(x.mask) for kind, x in sets.items()}


def sets_part(world, metric, size):
    """A row for each level and kind of set; for a real layer also of the sets on all groups."""
    best = world.best(metric)
    held, held_best, sizes = {}, {}, {}
    for seed in range(size["draws"]):
        probe, _ = world.draw(seed)
        fresh = world.fresh_labels(seed, metric)
        classes = classes_by_lead(probe, metric)
        for alpha in size["alphas"]:
            for kind, mask in found_sets(world, seed, metric, alpha, size).items():
                hits = np.where(fresh < 0, np.nan, mask[np.arange(len(mask)), fresh])
                mean = [mean_of(hits)] + [mean_of(hits[:, neurons]) for neurons in classes]
                held.setdefault((alpha, kind), []).append(mean)
                sizes.setdefault((alpha, kind), []).append(sizes_of(mask))
                if best is not None:
                    share = mean_of(share_held(mask, best))
                    held_best.setdefault((alpha, kind), []).append(share)
    rows = []
    for (alpha, kind), mean in held.items():
        row = coverage_row(alpha, kind, np.array(mean), np.mean(sizes[alpha, kind], axis=0))
        if best is not None:
            row["best_coverage"], row["best_error"] = mean_and_error(held_best[alpha, kind])
            row["covers_best"] = row["best_coverage"] >= 1 - alpha - 3 * row["best_error"]
        rows.append(row)
    if isinstance(world, Halves):
        for alpha in size["alphas"]:
            sets = nt.conformal_sets(jax.random.key(0), world.whole, metric, alpha=alpha)
            on_all = sizes_row(sizes_of(np.asarray(sets.mask)))
            rows.append({"data": "all", "alpha": alpha, "kind": "conformal", **on_all})
    return rows


def coverage_row(alpha, kind, mean, sizes):
    """The row of one level and kind, from means over all neurons and each class, [draws, 1 + K]."""
    coverage, error = mean_and_error(mean[:, 0])
    by_class = [mean_and_error(x) for x in mean[:, 1:].T]
    return {
        "data": "probing sets", "alpha": alpha, "kind": kind, "coverage": coverage,
        "standard_error": error, "by_lead": [x[0] for x in by_class],
        "by_lead_errors": [x[1] for x in by_class], **sizes_row(sizes),
        "covers": coverage >= 1 - alpha - 3 * error,
        "classes_cover": not any(x < 1 - alpha - BELOW - 3 * e for x, e in by_class),
    }  # fmt: skip


def sizes_row(values):
    return dict(zip(("size", "median_size", "single"), map(float, values), strict=True))


def probability_part(world, metric, size):
    """A row for the probability of replication and one for raw agreement, as the control."""
    if metric not in CONTROLLED:
        return []
    found = {"probability": [], "agreement": []}
    # the mean over a layer differs from one probing set to the next
    for seed in range(size["probability_draws"]):
        probe, _ = world.draw(seed)
        boot = world.bootstrap(seed, metric, size["replicates"])
        label, fresh = np.asarray(boot.label), world.fresh_labels(seed, metric)
        again = (fresh == label).mean(axis=0)
        key = jax.random.key(seed)
        values = {
            "probability": nt.replication_probability(key, probe, metric),
            "agreement": nt.stability(boot).top1_agreement,
        }
        for name, x in values.items():
            found[name].append([np.asarray(x, np.float64)[label >= 0], again[label >= 0]])
    return [{"measure": name, **calibration(pairs)} for name, pairs in found.items()]


def calibration(pairs):
    """Reliability of probabilities; ``pairs`` holds [stated, share that came true] by draw."""
    stated, true = np.concatenate(pairs, axis=1)
    which = np.minimum((stated * BINS).astype(int), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    sums = [np.bincount(which, x, minlength=BINS) for x in (stated, true)]
    filled = np.maximum(count, 1)
    high = [mean_of(t[s >= 0.9]) for s, t in pairs if (s >= 0.9).any()]
    share, error = mean_and_error(high)
    return {
        "calibration_error": float(np.abs(sums[0] - sums[1]).sum() / len(stated)),
        "bias": float((stated - true).mean()), "neurons": count.tolist(),
        "stated": (sums[0] / filled).tolist(), "replicated": (sums[1] / filled).tolist(),
        "high": float((stated >= 0.9).mean()), "high_replicated": share, "high_error": error,
    }  # fmt: skip


def trees(world, names):
    """Name of the tree that each concept is in, [C]."""
    roots = []
    for name in names:
        while world.hierarchy and name in world.hierarchy:
            name = world.hierarchy[name]
        roots.append(name)
    return np.array(roots)


def verdicts_part(world, metric, size):
    """A row for each verdict, on probing sets and, for a real layer, on all groups."""
    if metric != "iou":
        return []

    def audited(seed, probe):
        return nt.audit(
            jax.random.key(seed), probe, metric, alpha=ALPHA, hierarchy=world.hierarchy,
            num_replicates=size["replicates"], num_permutations=size["permutations"],
        )  # fmt: skip

    found = {v: {"neurons": [], "again": [], "exactly": [], "right": []} for v in nt.Verdict}
    for seed in range(size["audits"]):
        probe, _ = world.draw(seed)
        done = audited(seed, probe)
        shares = shares_of_labels(world, done, world.fresh_labels(seed, metric), metric)
        for verdict, values in found.items():
            mine = done.verdict == verdict
            values["neurons"].append(int(mine.sum()))
            for name, share in shares.items():
                values[name].append(mean_of(share[mine & (done.label >= 0)]))
    rows = []
    for verdict, values in found.items():
        (again, error), (exactly, _), (right, _) = (
            mean_and_error(values[x]) for x in ("again", "exactly", "right")
        )
        rows.append({
            "data": "probing sets", "verdict": verdict.text,
            "neurons": float(np.mean(values["neurons"])), "again": again, "again_error": error,
            "same_label": exactly, "right": right,
        })  # fmt: skip
    if isinstance(world, Halves):
        counts = audited(0, world.whole).verdict_counts
        rows += [{"data": "all", "verdict": v.text, "neurons": n} for v, n in counts.items()]
    return rows


def shares_of_labels(world, done, fresh, metric):
    """How often each label comes out again, as a tree or exactly, and is of the best's tree."""
    root = trees(world, done.concept_names)
    # an answer is a tree; without a label there is none
    same = (root[fresh] == root[done.label]) & (fresh >= 0) & (done.label >= 0)
    right, best = np.full(len(done.label), np.nan), world.best(metric)
    if best is not None:
        right = (best & (root == root[done.label][:, None])).any(axis=1)
    return {
        "again": same.mean(axis=0), "exactly": (fresh == done.label).mean(axis=0), "right": right
    }  # fmt: skip


DRAWS = {"sets": "draws", "probability": "probability_draws", "verdicts": "audits"}
PARTS = {"sets": sets_part, "probability": probability_part, "verdicts": verdicts_part}
