"""Bounds of ranges of activation: which methods hold where the two cuts come from which samples."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from builders import small_probe

import neurotrust_jax as nt
from neurotrust_jax.faithfulness.methods import METHODS
from neurotrust_jax.probing import activation_ranges, range_edges
from neurotrust_jax.sets.rule import threshold_note

UNIFORM = {m.name for m in nt.METRICS.values() if m.uniform_rule}
ALPHA = 0.1


def test_bounds_of_ranges_cut_on_the_same_samples_are_asymptotic_and_say_why():
    p = small_probe()  # thresholds given, cuts from these samples
    cut = activation_ranges(p, 2)
    for probe in (cut, activation_ranges(small_probe(thresholds=None, top_fraction=0.2), 2)):
        for metric in ("iou", "auroc"):
            found = nt.intervals(probe, metric)
            assert found.method == "asymptotic"
            assert not found.finite_sample
            assert "the two cuts of a range of these samples" in found.guarantee
            assert "2 ranges, cut on these samples, above: " in found.guarantee
    proof = nt.certify(cut, "iou")
    assert not proof.finite_sample
    for metric in ("iou", "auroc"):
        assert "they come from the same data" in threshold_note(cut, nt.METRICS[metric])


@pytest.mark.parametrize("metric", sorted(UNIFORM))
def test_dkw_is_refused_for_two_cuts_of_the_same_samples_alone(metric):
    p = small_probe()
    cut = activation_ranges(p, 2)
    refusal = (
        f"method 'dkw' does not fit '{metric}' on this probe: no bound for every threshold at once "
        "holds for the two cuts of a range of these samples, so take them from others by "
        r"split_thresholds\(..., ranges=...\); these do: .*asymptotic$"
    )
    with pytest.raises(ValueError, match=refusal) as error:
        nt.intervals(cut, metric, method="dkw")
    assert "dkw" not in str(error.value).partition("these do")[2]
    mine = replace(METHODS["dkw"], name="mine")
    with pytest.raises(ValueError, match="method 'mine' does not fit"):
        nt.intervals(cut, metric, method=mine)
    fixed = activation_ranges(p, 2, edges=range_edges(p, 2))
    found = nt.intervals(fixed, metric, method="dkw")  # of cuts that are taken as fixed
    assert "taken as fixed beforehand (2 ranges, cut on other samples" in found.guarantee


def test_a_method_for_fixed_thresholds_warns_of_cuts_from_the_same_samples():
    with pytest.warns(nt.faithfulness.CoverageWarning, match=r"use split_thresholds\(..., ranges"):
        found = nt.intervals(activation_ranges(small_probe(), 2), "iou", method="exact")
    assert not found.finite_sample
    assert "NOT VALID" in found.guarantee


def test_cuts_of_other_samples_give_exact_bounds():
    p = small_probe()
    part, rest = p.take(np.arange(40)), p.take(np.arange(40, 120))
    fixed = activation_ranges(rest, 2, edges=range_edges(part, 2))
    split = nt.split_thresholds(jax.random.key(1), p, ranges=2)
    for probe in (fixed, split):
        found = nt.intervals(probe, "iou")
        assert (found.method, found.finite_sample) == ("exact", True)
        assert "taken as fixed beforehand (2 ranges, cut on other samples" in found.guarantee
    assert not threshold_note(fixed, nt.METRICS["iou"])
    quantile = small_probe(thresholds=None, top_fraction=0.3)  # thresholds are not fixed
    found = nt.intervals(activation_ranges(quantile, 2, edges=range_edges(quantile, 2)), "iou")
    assert found.method == "asymptotic"


def uniform_world(seed, num_samples=300, num_neurons=100):
    """Activations that are uniform on [0, 1], each with a concept of its own that follows it."""
    rng = np.random.default_rng(seed)
    f = rng.random((num_samples, num_neurons))
    return f, rng.random(f.shape) < 0.2 + 0.6 * f


def truths(low, high):
    """The metrics of the range from low to high in that world, by its density."""
    both = 0.2 * (high - low) + 0.3 * (high**2 - low**2)
    return {"recall": both / 0.5, "iou": both / (high - low + 0.5 - both)}


def misses(found, own, truth):
    """On how many neurons the interval of its own concept does not hold the truth."""
    lower, upper = (np.diagonal(np.asarray(x)[own]) for x in (found.lower, found.upper))
    return int(((truth < lower) | (truth > upper)).sum())


def widest_excess(f, present):
    """The two cuts between which the present samples exceed their expected share by the most."""
    cuts = []
    for u in range(f.shape[1]):
        x = np.sort(f[present[:, u], u])
        excess = np.arange(1, len(x) + 1) / len(x) - (0.4 * x + 0.6 * x**2)  # of F_n over F
        b = (excess - np.minimum.accumulate(excess)).argmax()
        cuts.append((x[excess[: b + 1].argmin()], x[b]))
    return np.array(cuts).T


def test_exact_bounds_cover_ranges_cut_on_other_samples_and_dkw_fails_for_two_cuts_of_the_same():
    """Misses are binomial, since neurons and their concepts are independent of each other."""
    count = {"exact": 0, "dkw": 0}
    trials = 0
    for seed in range(3):
        f, c = uniform_world(seed)
        p = nt.make_probe(f, c, thresholds=0.4)
        half, rest = p.take(np.arange(150)), p.take(np.arange(150, 300))
        edges = np.asarray(range_edges(half, 2), float)[:, 0]
        cut = activation_ranges(rest, 2, edges=edges[:, None])
        trials += f.shape[1]
        for metric in ("recall", "iou"):
            found = nt.intervals(cut, metric, alpha=ALPHA)
            assert found.method == "exact"
            for r, ends in enumerate(((edges, 1.0), (0.4, edges))):
                missed = misses(found, slice(r, None, 2), truths(*ends)[metric])
                assert missed <= ALPHA * 100 + 4.5 * np.sqrt(100 * ALPHA * (1 - ALPHA))
                count["exact"] += missed
        # a range that was searched on the same samples, taken for a neuron of one threshold
        low, high = widest_excess(f, c)
        searched = activation_ranges(
            nt.make_probe(f, c, thresholds=low.astype(np.float32)), 2,
            edges=high[:, None].astype(np.float32),
        )  # fmt: skip
        naive = replace(searched, num_ranges=1, thresholds_fixed=False)
        found = nt.intervals(naive, "recall", alpha=ALPHA)
        assert found.method == "dkw"
        count["dkw"] += misses(found, slice(1, None, 2), truths(low, high)["recall"])
    error = 4 * np.sqrt(trials * ALPHA * (1 - ALPHA))
    assert count["exact"] / 4 <= trials * ALPHA + error
    assert count["dkw"] > trials * ALPHA + error
