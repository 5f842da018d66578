"""What each part of `glyphs.py` measures: functions of a world and sizes that give rows."""

import dataclasses
import math
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from _common.terminal import track
from _common.truth import KINDS, sets_of_kind, share_held
from scipy import stats

import neurotrust_jax as nt

MEASURES = ("top1_agreement", "pairwise_agreement", "normalised_entropy", "nogueira")
KEPT = (0.0, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)  # share of samples that keep their activation


def coverage_part(world, size, alphas):
    """One row for each metric, number of samples, kind and level."""
    rows = []
    for metric, n in track(list(product(size["metrics"], size["samples"])), "coverage"):
        best = world.best(metric)
        held = {key: [] for key in product(alphas, KINDS)}
        sizes = {key: [] for key in held}
        for seed in range(size["draws"]):
            boot = nt.bootstrap(
                jax.random.key(seed), world.draw(seed, n), metric,
                num_replicates=size["replicates"],
            )  # fmt: skip
            fresh = world.labels(10**6 + seed, n, metric)
            for alpha, kind in held:
                found = sets_of_kind(boot, kind, alpha)
                mask = np.asarray(found.mask)
                if kind.endswith("replication"):
                    hit = np.where(fresh < 0, True, mask[np.arange(len(fresh)), fresh])
                else:
                    hit = share_held(mask, best)
                held[alpha, kind].append(hit)
                sizes[alpha, kind].append([mask.sum(axis=1), np.asarray(found.untested).sum(1)])
        for (alpha, kind), hits in held.items():
            by_draw = np.mean(hits, axis=1)  # neurons of a draw are dependent, draws are not
            error = by_draw.std() / math.sqrt(len(hits))
            allowed = stats.binom.ppf(1e-4, len(hits), 1 - alpha) / len(hits)
            low = np.mean(hits, axis=0)
            rows.append({
                "metric": metric, "n": n, "alpha": alpha, "kind": kind,
                "coverage": by_draw.mean(), "standard_error": error,
                "lowest_neuron": low.min(), "neurons_too_low": int((low < allowed).sum()),
                "size": float(np.mean(sizes[alpha, kind], axis=(0, 2))[0]),
                "median_size": float(np.median(np.array(sizes[alpha, kind])[:, 0])),
                "untested": float(np.mean(sizes[alpha, kind], axis=(0, 2))[1]),
                "covers": bool(by_draw.mean() >= 1 - alpha - 3 * error),
            })  # fmt: skip
        jax.clear_caches()
    return rows


def verdict_part(world, size):
    """For each number of samples, mean counts of verdicts, and how many labels are the best."""
    best, rows = world.best("iou"), []
    for n in size["samples"]:
        for seed in track(range(size["audits"]), f"verdicts, n = {n:,}"):
            done = nt.audit(
                jax.random.key(seed), world.draw(seed, n), "iou",
                num_replicates=size["replicates"], num_permutations=999,
                hierarchy=world.hierarchy,
            )  # fmt: skip
            labelled = done.label >= 0
            right = best[np.arange(len(best)), done.label] & labelled
            family = labelled & [
                nt.merge_answers(
                    [[c in (label, truth) for c in range(len(world.names))]],
                    world.names, world.hierarchy,
                ).size[0] == 1
                for label, truth in zip(done.label, best.argmax(axis=1), strict=True)
            ]  # fmt: skip
            for verdict, count in done.verdict_counts.items():
                mine = done.verdict == verdict
                rows.append({
                    "n": n, "draw": seed, "verdict": verdict.text, "neurons": count,
                    "label_is_best": int((mine & right).sum()),
                    "same_answer_as_best": int((mine & family).sum()),
                    "set_size": float(done.set_size[mine].mean()) if count else None,
                    "answers": float(done.answers[mine].mean()) if count else None,
                })  # fmt: skip
    return rows


def permutation_part(world, size):
    """Share of neurons with p at most 5%, and called explained, by what is left of them."""
    best, fc = world.best("iou").argmax(axis=1), np.asarray(world.whole.neurons.present, np.float64)
    c = world.c[:, best].astype(np.float64)
    active, present, both = fc.mean(axis=0), c.mean(axis=0), (fc * c).mean(axis=0)
    rows = []
    for n in size["samples"][:2]:
        for kept in track(KEPT, f"permutation, n = {n:,}"):
            joint = kept * both + (1 - kept) * active * present
            p, explained = [], []
            for seed in range(size["tests"]):
                found = nt.permutation_test(
                    jax.random.key(seed), world.diluted(seed, n, kept), num_permutations=199
                )
                p.append(np.asarray(found.p_value))
                explained.append(np.asarray(found.explained))
            alarm = (np.array(p) <= 0.05).mean(axis=1)
            rows.append({
                "n": n, "kept": kept, "iou": (joint / (active + present - joint)).tolist(),
                "power": (np.array(p) <= 0.05).mean(axis=0).tolist(),
                "rejected": alarm.mean(), "standard_error": alarm.std() / math.sqrt(len(alarm)),
                "explained": np.mean(explained), "any_explained": np.any(explained, axis=1).mean(),
            })  # fmt: skip
    return rows


def measures_part(world, size):
    """Each measure on replicates, on fresh probing sets, and as a sign that the label is best."""
    best, rows = world.best("iou"), []
    for n in size["samples"]:
        fresh = np.stack([
            world.labels(2 * 10**6 + i, n, "iou")
            for i in track(range(size["fresh"]), f"fresh probing sets, n = {n:,}")
        ])  # fmt: skip
        share = np.stack([(fresh == c).mean(axis=0) for c in range(best.shape[1])], axis=1)
        found = {name: [] for name in MEASURES}
        right = []
        for seed in track(range(size["audits"]), f"measures, n = {n:,}"):
            boot = nt.bootstrap(
                jax.random.key(seed), world.draw(seed, n), "iou", num_replicates=size["fresh"]
            )
            ours = nt.stability(boot)
            truth = nt.stability(
                dataclasses.replace(
                    boot, winners=jnp.asarray(fresh),
                    vote_share=jnp.asarray(share, boot.vote_share.dtype),
                )
            )  # fmt: skip
            label = np.asarray(boot.label)
            right.append(best[np.arange(len(label)), label] & (label >= 0))
            for name in MEASURES:
                found[name].append([np.asarray(getattr(x, name)) for x in (ours, truth)])
        right = np.array(right).ravel()
        for name in MEASURES:
            pairs = np.moveaxis(np.array(found[name]), 1, 0).reshape(2, -1)
            rows.append({"n": n, "measure": name, **worth(name, *pairs, right)})
    return rows


def worth(name, measured, true, right):
    """How near a measure on replicates is to that on fresh sets, and to labels being right."""
    known = ~np.isnan(measured + true)
    measured, true, good = measured[known], true[known], right[known]
    sign = -1 if name == "normalised_entropy" else 1
    u = stats.mannwhitneyu(sign * measured[good], sign * measured[~good]).statistic
    return {
        "mean": measured.mean(), "mean_fresh": true.mean(),
        "rmse": math.sqrt(((measured - true) ** 2).mean()),
        "rank_correlation": stats.spearmanr(measured, true).statistic,
        "auroc_label_is_best": u / (good.sum() * (~good).sum()),
    }  # fmt: skip
