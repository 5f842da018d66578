"""Do the intervals of ``compare`` hold the true difference as often as they say?

Samples are drawn from a law whose similarities are known in closed form. The target is the true
similarity of the labels that each side has on all the data: given ones, or those that are the most
similar there. The control is an interval around the similarity on the same data that chose the
labels, as if these had been given. `coverage.py --parts compare` runs it.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import jax
import numpy as np
from _common.terminal import table
from _common.truth import labels, slack

import neurotrust_jax as nt
from neurotrust_jax.datasets import planted, planted_similarity

BASE = 0.05  # share of samples on which a neuron is active without its concepts
EFFECTS = {  # what a neuron's leading concepts add to it
    "clear": (0.5, 0.1, 0.1),
    "close": (0.2, 0.17, 0.14, 0.1),
    "tied": (0.06,) * 5,
    "none": (),
}
SAME = 0.3  # share of a group's samples that repeat its first one


class Side(NamedTuple):
    layer: str  # a key of EFFECTS
    metric: str = "iou"
    given: bool = False  # whether the truly best concepts are its labels, or the most similar ones


class Case(NamedTuple):
    name: str
    first: Side
    second: Side
    shared: bool = True  # whether both are measured on the same samples
    n: int = 1000
    neurons: int = 64
    concepts: int = 100
    frequency: float = 0.1
    groups: int = 0


GIVEN, CHOSEN = Side("close", given=True), Side("close")
QUICK = (
    Case("given, given", Side("clear", given=True), GIVEN),
    Case("chosen, given", CHOSEN, GIVEN),
    Case("chosen, chosen: two layers", Side("clear"), CHOSEN),
    Case("chosen, chosen: two probing sets", CHOSEN, Side("tied"), shared=False),
)
CASES = (
    *QUICK,
    Case("chosen, given: nothing to find", Side("none"), Side("none", given=True)),
    Case("chosen, given: clear labels", Side("clear"), Side("clear", given=True)),
    Case("chosen, given: small", CHOSEN, GIVEN, n=300),
    Case("chosen, given: many neurons", CHOSEN, GIVEN, neurons=512),
    Case("chosen, given: groups", CHOSEN, GIVEN, groups=250),
    Case("chosen, given: 20 groups", CHOSEN, GIVEN, groups=20),
    Case("chosen, given: rare", Side("close", "recall"), Side("close", "recall", True),
         frequency=0.02),
    Case("chosen, given: auroc", Side("close", "auroc"), Side("close", "auroc", True)),
    Case("chosen, given: correlation", Side("close", "correlation"),
         Side("close", "correlation", True)),
    Case("chosen, chosen: two metrics", Side("close", "f1"), CHOSEN),
    Case("chosen, chosen: two layers, groups", Side("clear"), CHOSEN, groups=250),
    Case("chosen, chosen: rare", Side("clear", "precision"), Side("close", "precision"),
         frequency=0.02),
)  # fmt: skip
ALPHAS = (0.2, 0.1, 0.05)


def effects(case, side, seed):
    """What each concept adds to each neuron's activity, [U, C]."""
    rng = np.random.default_rng(seed)
    found = np.zeros((case.neurons, case.concepts))
    for row in found:
        added = EFFECTS[side.layer]
        row[rng.permutation(case.concepts)[: len(added)]] = added
    return found


def draw(case, effect, seed):
    """Activations and concepts of ``case.n`` samples, and their law."""
    law = planted(
        jax.random.key(seed), case.n, num_neurons=len(effect), num_concepts=case.concepts,
        frequency=case.frequency, base_rate=BASE, effect=effect,
    )  # fmt: skip
    f, c = np.asarray(law.activations), np.asarray(law.concepts)
    if case.groups:
        size = case.n // case.groups
        rows = np.arange(case.n)
        rng = np.random.default_rng(seed)
        rows = np.where(rng.random(case.n) < SAME, rows // size * size, rows)
        f, c = f[rows], c[rows]
    return f, c, law


def measured(case, seed):
    """Activations and concepts that each side is measured on, and their laws."""
    effect = [effects(case, side, i) for i, side in enumerate((case.first, case.second))]
    if case.shared and case.first.layer == case.second.layer:
        f, c, law = draw(case, effect[0], seed)
        return [(f, c)] * 2, [law] * 2
    if case.shared:
        f, c, law = draw(case, np.concatenate(effect), seed)
        halves = slice(0, case.neurons), slice(case.neurons, None)
        laws = [
            law._replace(
                active_probability=law.active_probability[some],
                joint_probability=law.joint_probability[some],
            )
            for some in halves
        ]
        return [(f[:, some], c) for some in halves], laws
    drawn = [draw(case, x, 2 * seed + i) for i, x in enumerate(effect)]
    return [x[:2] for x in drawn], [x[2] for x in drawn]


def one(case, seed):
    """Differences, their standard errors and their truth on one dataset, and the control's."""
    sides = case.first, case.second
    data, laws = measured(case, seed)
    groups = np.arange(case.n) // (case.n // case.groups) if case.groups else None
    probes = [nt.make_probe(f, c, thresholds=0.0, groups=groups) for f, c in data]
    truth = [np.asarray(planted_similarity(x, s.metric)) for x, s in zip(laws, sides, strict=True)]
    label = [
        value.argmax(axis=1) if side.given else labels(probe, side.metric)
        for value, side, probe in zip(truth, sides, probes, strict=True)
    ]
    value = [
        np.take_along_axis(x, y[:, None], axis=1)[:, 0] for x, y in zip(truth, label, strict=True)
    ]
    target = value[0] - value[1]

    def compare(known, replicates):
        return nt.compare(
            jax.random.key(seed),
            *(
                nt.Labelling(probe, side.metric, y if side.given or known else None)
                for probe, side, y in zip(probes, sides, label, strict=True)
            ),
            num_replicates=replicates,
        )

    control = compare(True, 100)
    given = case.first.given and case.second.given
    found = control if given else compare(False, 2)
    quantile = NormalDist().inv_cdf(0.95)
    return [
        (x.difference, (x.upper - x.difference) / quantile, t)
        for result in (found, control)
        for x, t in ((result.similarity, target.mean()), (result.neurons, target))
    ]


def rows_of(case, datasets):
    """One row for each level."""
    results = [one(case, seed) for seed in range(datasets)]
    found = [tuple(map(np.array, zip(*x, strict=True))) for x in zip(*results, strict=True)]
    (mean, error, truth), neurons, control, control_neurons = found

    def held(found, quantile):
        difference, error, truth = found
        return np.abs(difference - truth) <= quantile * error

    rows = []
    for alpha in ALPHAS:
        quantile = NormalDist().inv_cdf(1 - alpha / 2)
        hit, hit_neurons = held(found[0], quantile), held(neurons, quantile).mean(axis=1)
        allowed, error_of_mean = slack(hit, alpha, 1)
        nominal = math.sqrt(alpha * (1 - alpha) / datasets)
        allowed_neurons = 3 * hit_neurons.std() / math.sqrt(datasets)
        rows.append({
            "case": case.name, "metric": case.first.metric, "n": case.n, "neurons": case.neurons,
            "concepts": case.concepts, "frequency": case.frequency, "groups": case.groups,
            "alpha": alpha, "datasets": datasets,
            "coverage": float(hit.mean()),
            "standard_error": float(max(error_of_mean, nominal)),
            "neuron_coverage": float(hit_neurons.mean()),
            "truth": float(truth.mean()), "bias": float((mean - truth).mean()),
            "width": float(2 * quantile * error.mean()),
            "control_coverage": float(held(control, quantile).mean()),
            "control_neuron_coverage": float(held(control_neurons, quantile).mean()),
            "control_bias": float((control[0] - control[2]).mean()),
            "control_width": float(2 * quantile * control[1].mean()),
            "covers": bool(hit.mean() >= 1 - alpha - allowed),
            "neurons_cover": bool(hit_neurons.mean() >= 1 - alpha - allowed_neurons),
        })  # fmt: skip
    return rows


def summary(rows):
    """The true differences, and how often intervals and controls hold them at 90%."""
    return table(
        "intervals of differences, nominal 90%",
        ("labels", "truth", "bias", "width", "mean held", "neurons held", "control's bias",
         "width", "mean held", "neurons held"),
        (
            (
                x["case"], f"{x['truth']:+.4f}", f"{x['bias']:+.4f}", f"{x['width']:.4f}",
                f"{x['coverage']:.3f}", f"{x['neuron_coverage']:.3f}",
                f"{x['control_bias']:+.4f}", f"{x['control_width']:.4f}",
                f"{x['control_coverage']:.3f}", f"{x['control_neuron_coverage']:.3f}",
            )
            for x in rows if x["alpha"] == 0.1
        ),
    )  # fmt: skip
