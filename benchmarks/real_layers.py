"""Do sets, probabilities and verdicts say something on real layers, and is it so?

Each probing set has a fresh one beside it (see ``probing_sets.py``): the other half of a real
layer's groups, or other draws from a population whose best concepts are known. Writes
``real_layers.json`` and three figures, and exits with status 1 if something that is promised does
not hold, or the control, the vote rule, holds too. Parts:

sets         how often a set holds the fresh label and the best concept, and how large it is
probability  whether labels come out again as often as their probability of replication says
verdicts     whether labels called stable come out again, and those called certified are the best

    python benchmarks/real_layers.py                                  # all there is
    python benchmarks/real_layers.py --layers glyphs-cnn --parts sets --metrics iou
    python benchmarks/real_layers.py --report                         # figures and tables again

A run of some layers, parts or metrics leaves what is there of the others, and several processes
may run side by side. Real layers are looked for in the folder that the environment variable
``NEUROTRUST_REAL`` names, or else in ``shared/real`` beside the repository.
"""

import argparse
import datetime
import json
import math
import platform
import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import real_layers_report as report
from _common.populations import Population
from probing_sets import LAYERS, REAL, Draws, Halves
from rich.console import Console

import neurotrust_jax as nt

HERE = Path(__file__).parent
POPULATIONS = ("digits-mlp", "glyphs-cnn", "python-transformer", "python-sae")
CONTROLLED = ("iou", "auroc")  # metrics for which replicates are drawn too
ALPHA = 0.1
BINS = 10
BELOW = 0.05  # how far below its level a class of neurons may be
FULL = {
    "layers": (*LAYERS, *POPULATIONS),
    "metrics": ("iou", "auroc", "correlation", "accuracy", "soft_wpmi"),
    "alphas": (0.2, 0.1, 0.05), "samples": (500, 2000, 8000), "neurons": 192, "draws": 6,
    "probability_draws": 30,
    "fresh": 5, "replicates": 200, "audits": 4, "permutations": 200, "calibration_error": 0.03,
}  # fmt: skip
QUICK = FULL | {
    "layers": ("magika conv", "digits-mlp"), "metrics": ("iou",), "alphas": (0.1,),
    "samples": (500,), "neurons": 32, "draws": 5, "probability_draws": 5,
    "replicates": 100, "audits": 2,
    "calibration_error": 0.2,
}  # fmt: skip


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


def mean_of(x):
    return float(np.nanmean(x)) if np.isfinite(x).any() else math.nan


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
    """A row for each level and kind of set; of a real layer also of the sets on all groups."""
    best = world.best(metric)
    held, held_best, sizes = {}, {}, {}
    for seed in range(size["draws"]):
        probe, _ = world.draw(seed)
        fresh = world.fresh_labels(seed, metric)
        classes = classes_by_lead(probe, metric)
        for alpha in size["alphas"]:
            for kind, mask in found_sets(world, seed, metric, alpha, size).items():
                neurons = np.arange(len(mask))
                hits = np.where(fresh < 0, np.nan, mask[neurons, fresh])
                mean = [mean_of(hits)] + [mean_of(hits[:, own]) for own in classes]
                held.setdefault((alpha, kind), []).append(mean)
                sizes.setdefault((alpha, kind), []).append(sizes_of(mask))
                if best is not None:
                    known = best.any(axis=1)
                    share = (mask & best).sum(axis=1)[known] / best.sum(axis=1)[known]
                    held_best.setdefault((alpha, kind), []).append(mean_of(share))
    rows = []
    for (alpha, kind), mean in held.items():
        coverage, error = mean_and_error(np.array(mean)[:, 0])
        by_class = [mean_and_error(x) for x in np.array(mean)[:, 1:].T]
        row = {
            "data": "probing sets", "alpha": alpha, "kind": kind, "coverage": coverage,
            "standard_error": error, "by_lead": [x[0] for x in by_class],
            "by_lead_errors": [x[1] for x in by_class],
            **sizes_row(np.mean(sizes[alpha, kind], axis=0)),
            "covers": coverage >= 1 - alpha - 3 * error,
            "classes_cover": not any(x < 1 - alpha - BELOW - 3 * e for x, e in by_class),
        }  # fmt: skip
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
    """Reliability of stated probabilities, of one [stated, share that came true] a probing set."""
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
    """A row for each verdict, on probing sets and, of a real layer, on all groups."""
    if metric != "iou":
        return []

    def audited(seed, probe):
        return nt.audit(
            jax.random.key(seed), probe, metric, alpha=ALPHA, hierarchy=world.hierarchy,
            num_replicates=size["replicates"], num_permutations=size["permutations"],
        )  # fmt: skip

    best = world.best(metric)
    found = {v: {"neurons": [], "again": [], "exactly": [], "right": []} for v in nt.Verdict}
    for seed in range(size["audits"]):
        probe, _ = world.draw(seed)
        done, fresh = audited(seed, probe), world.fresh_labels(seed, metric)
        root = trees(world, done.concept_names)
        # an answer is a tree; without a label there is none
        same = (root[fresh] == root[done.label]) & (fresh >= 0) & (done.label >= 0)
        again, exactly = same.mean(axis=0), (fresh == done.label).mean(axis=0)
        right = np.full(len(again), np.nan)
        if best is not None:
            right = (best & (root == root[done.label][:, None])).any(axis=1)
        for verdict, values in found.items():
            own = (done.verdict == verdict) & (done.label >= 0)
            values["neurons"].append(int((done.verdict == verdict).sum()))
            values["again"].append(mean_of(again[own]))
            values["exactly"].append(mean_of(exactly[own]))
            values["right"].append(mean_of(right[own]))
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


DRAWS = {"sets": "draws", "probability": "probability_draws", "verdicts": "audits"}
PARTS = {"sets": sets_part, "probability": probability_part, "verdicts": verdicts_part}


def failures(found, size):
    """What contradicts the claims."""
    controls = []
    for x in found["sets"]:
        if x["data"] == "all":
            continue
        if x["kind"] == "vote":
            controls.append(not x["covers"])
            continue
        wanted = ("covers_best",) if x["kind"] == "calibrated" else ("covers", "covers_best")
        if x["kind"] == "conformal":
            wanted += ("classes_cover",)
        for name in wanted:
            if not x.get(name, True):
                yield f"not so, {name}: {x}"
    for x in found["probability"]:
        if x["measure"] == "agreement":
            controls.append(x["bias"] > 0)
        elif x["layer"] in POPULATIONS and x["calibration_error"] > size["calibration_error"]:
            yield f"calibration error: {x}"
    for x in found["verdicts"]:
        again, right = x.get("again"), x.get("right")
        # on small probing sets few labels are stable, and neurons too are then few
        nominal = math.sqrt(ALPHA * (1 - ALPHA) / max(x["neurons"] * x["draws"], 1))
        slack = 3 * max(x.get("again_error") or 0, nominal)
        if x["verdict"] == "stable" and again is not None and again < 1 - ALPHA - slack:
            yield f"stable labels do not come out again: {x}"
        if x["verdict"] == "certified" and right is not None and right < 1:
            yield f"certified labels are not of the best concept's tree: {x}"
    if controls and not any(controls):
        yield "the vote rule covers and agreement is not too high: this test sees nothing"


def finite(x):
    """What JSON holds: no NaN."""
    if isinstance(x, dict):
        return {k: finite(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [finite(v) for v in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x


def place(row):
    """Where a row stands among others."""
    return FULL["layers"].index(row["layer"]), FULL["metrics"].index(row["metric"])


def kept(path):
    """The rows of each part measured so far, and the seconds that they took."""
    found = json.loads(path.read_text()) if path.exists() else {}
    return {part: found.get(part, []) for part in PARTS} | {"seconds": found.get("seconds", {})}


def run(arguments, size, path, made, console):
    """Measure what was asked for, and keep it after each layer, metric and part."""
    for layer in arguments.layers or size["layers"]:
        if layer in LAYERS and not (REAL / LAYERS[layer][0]).exists():
            console.print(f"{layer}: skipped, no {LAYERS[layer][0]} in {REAL}")
            continue
        worlds = worlds_of(layer, size)
        for metric in arguments.metrics or size["metrics"]:
            for part in arguments.parts:
                start = time.perf_counter()
                rows = [
                    {
                        "layer": layer, "metric": metric, "n": world.n,
                        "draws": size[DRAWS[part]], **row,
                    }
                    for world in worlds
                    for row in PARTS[part](world, metric, size)
                ]  # fmt: skip
                if not rows:
                    continue
                found = kept(path)  # again each time: another process may measure other layers
                others = [x for x in found[part] if (x["layer"], x["metric"]) != (layer, metric)]
                found[part] = sorted(others + finite(rows), key=place)
                seconds = round(time.perf_counter() - start, 1)
                found["seconds"][f"{layer}, {metric}, {part}"] = seconds
                path.write_text(json.dumps(made | found, indent=1) + "\n")
                console.print(f"{layer}, {metric}, {part}: {seconds:.0f} s")
            jax.clear_caches()  # compiled functions take memory maps, of which there are few
            for world in worlds:
                world.bootstrap.cache_clear()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few draws of two small layers")
    parser.add_argument("--layers", nargs="+", choices=FULL["layers"])
    parser.add_argument("--metrics", nargs="+", choices=FULL["metrics"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--draws", type=int, metavar="N", help="probing sets of each kind")
    parser.add_argument(
        "--report", action="store_true",
        help="figures, tables and the README's table again, of what is kept",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    arguments = parser.parse_args()
    size = dict(QUICK if arguments.quick else FULL)
    if arguments.draws:
        size |= {name: min(arguments.draws, size[name]) for name in DRAWS.values()}

    warnings.simplefilter(
        "ignore", nt.faithfulness.CoverageWarning
    )  # the vote rule is here on purpose
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "real_layers.json"
    made = {
        "device": jax.devices()[0].device_kind, "jax": jax.__version__,
        "python": platform.python_version(), "date": datetime.date.today().isoformat(),
        "sizes": size,
    }  # fmt: skip
    console = Console(width=150)
    if not arguments.report:
        run(arguments, size, path, made, Console(stderr=True))
    found = kept(path)
    report.draw(found, arguments.out)
    console.print(*report.tables(found), sep="\n")
    if arguments.report:
        console.print(report.markdown(found), markup=False, highlight=False, soft_wrap=True)
    bad = list(failures(found, size))
    for line in bad:
        console.print(line, style="bold red")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
