"""A metric and an interval method from outside the package get the guarantees of built-in ones."""

import math
import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import neurotrust_jax as nt
from neurotrust_jax.faithfulness import IntervalMethod, PartBound
from neurotrust_jax.metrics import IntervalRule, Pairs, Part, ShiftRule
from neurotrust_jax.metrics.interval_rules import binary_share, same
from neurotrust_jax.metrics.parts import ABSENT, NEITHER

KEY = jax.random.key(0)
ALPHA = 0.1
RULE = IntervalRule((binary_share(NEITHER, ABSENT),), (1,), same)


def specificity(s):
    return (s.S - s.F - s.C + s.FC) / (s.S - s.C)


def gap(design):
    return design.rate(design.n * (1 - design.present))


def bare():
    """P(inactive | absent), of which nothing is known."""
    return nt.six_sum_metric(
        "specificity", "binary", "binary", specificity, (0.0, 1.0), "P(inactive | absent)",
        (Part(NEITHER, ABSENT),),
    )  # fmt: skip


def informed():
    """The same with all that is known of it."""
    return replace(
        bare(), interval_rule=RULE, uniform_rule=RULE, planning_gap=gap, shift_rule=ShiftRule(2)
    )


def neurons(num=3000, n=60, seed=0, **options):
    """Independent neurons, and one concept that is absent 35 times."""
    rng = np.random.default_rng(seed)
    c = (np.arange(n) < n - 35)[:, None]
    return nt.make_probe(rng.normal(size=(n, num)) + c, c, **options)


def misses(found, truth):
    low, high = np.asarray(found.lower)[:, 0], np.asarray(found.upper)[:, 0]
    return np.mean((low > truth) | (truth > high))


def at_most_alpha(share, count):
    return share <= ALPHA + 4 * math.sqrt(ALPHA * (1 - ALPHA) / count)


@pytest.mark.slow
def test_intervals_and_certificates_of_an_own_metric_hold_at_small_samples():
    probe, truth = neurons(thresholds=0.5), scipy.stats.norm.cdf(0.5)
    found = nt.intervals(probe, informed(), alpha=ALPHA)
    assert found.method == "exact"
    assert found.finite_sample
    assert at_most_alpha(misses(found, truth), 3000)
    assert float((found.upper - found.lower).max()) < 0.4
    # the range is not all that is said: at another truth the intervals miss
    assert misses(found, truth - 0.25) > 0.5
    lower = np.asarray(nt.certify(probe, informed(), alpha=ALPHA).lower)
    assert 0.01 < np.mean(lower > truth - 0.05) < 1
    assert at_most_alpha(np.mean(lower > truth), 3000)
    assert nt.intervals(probe, bare()).asymptotic


def test_intervals_of_an_own_metric_hold_for_thresholds_from_the_same_data():
    probe = neurons(thresholds=None, top_fraction=0.2)
    found = nt.intervals(probe, informed(), alpha=ALPHA)
    assert found.method == "dkw"
    truth = scipy.stats.norm.cdf(np.asarray(probe.thresholds))
    assert at_most_alpha(misses(found, truth), 3000)
    assert misses(found, truth - 0.4) > 0.5


def test_an_own_metric_is_planned_for():
    absent = 35 / 60
    half = nt.generalization_gap(informed(), 60, concept_frequency=1 - absent, alpha=ALPHA)
    probe = neurons(thresholds=0.5)
    off = np.abs(np.asarray(nt.similarity(probe, informed()))[:, 0] - scipy.stats.norm.cdf(0.5))
    assert at_most_alpha(np.mean(off > half), 3000)
    assert np.mean(off > half / 3) > 0.1
    size = nt.required_samples(informed(), 0.1, concept_frequency=1 - absent, alpha=ALPHA).samples
    assert size * absent == pytest.approx(math.log(2 / ALPHA) / 2 / 0.1**2, rel=0.01)
    with pytest.raises(ValueError, match="not known beforehand"):
        nt.generalization_gap(bare(), 60, concept_frequency=0.4)


@pytest.mark.slow
def test_replicates_of_an_own_metric_are_screened():
    rng = np.random.default_rng(3)
    c = rng.random((3000, 30)) < np.linspace(0.3, 0.95, 30)
    f = rng.normal(size=(3000, 4)) + 2.0 * c[:, -4:]
    probe = nt.make_probe(f, c, top_fraction=0.3)
    dense, screened = (
        nt.bootstrap(KEY, probe, informed(), num_replicates=100, strategy=strategy)
        for strategy in ("dense", "screened")
    )
    np.testing.assert_array_equal(screened.winners, dense.winners)
    with pytest.raises(ValueError, match="needs a metric made of shares"):
        nt.bootstrap(KEY, probe, bare(), num_replicates=100, strategy="screened")


@pytest.mark.double
def test_shift_bounds_of_an_own_metric_hold_on_every_target_and_are_reached():
    rng = np.random.default_rng(1)
    c = rng.random((200, 3)) < [0.3, 0.5, 0.6]
    probe = nt.make_probe(rng.normal(size=(200, 2)) + c[:, :2], c, thresholds=0.5)
    gamma, metric = 1.2, informed()
    found = nt.shift_bounds(probe, metric, gamma=gamma)
    assert found.sharp
    reached = [np.inf, -np.inf]
    active, present = np.asarray(probe.active), np.asarray(probe.present)
    for hits, misses_ in ((1 / gamma, gamma), (gamma, 1 / gamma)):
        # hits and misses at the bounds of the density ratio, the other samples take the rest
        hit, trial = ~active[:, 0] & ~present[:, 1], ~present[:, 1]
        w = np.where(hit, hits, np.where(trial, misses_, 1.0))
        w[~trial] = (200 - w[trial].sum()) / (~trial).sum()
        assert (w >= 1 / gamma - 1e-9).all()
        assert (w <= gamma + 1e-9).all()
        value = float(nt.similarity(nt.reweight(probe, w), metric)[0, 1])
        reached = [min(reached[0], value), max(reached[1], value)]
    np.testing.assert_allclose(reached, [found.lower[0, 1], found.upper[0, 1]], rtol=1e-9)
    radius = nt.robustness_radius(probe, metric)
    assert (np.asarray(radius.radius) >= 1).all()
    assert not np.asarray(radius.exact).any()  # it brings no comparison of rivals
    with pytest.raises(ValueError, match="has no bounds under shift"):
        nt.shift_bounds(probe, bare(), gamma=gamma)


def test_facts_survive_pickling():
    assert pickle.loads(pickle.dumps(bare())) == bare()
    own = nt.six_sum_metric(
        "specificity", "binary", "binary", specificity, (0.0, 1.0), "P(inactive | absent)",
        planning_gap=gap, shift_rule=ShiftRule(2),
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(own))
    assert again == own
    assert again.planning_gap is gap


def test_a_function_of_an_auroc_is_refused_a_rule_that_starts_from_its_own_value():
    def gini(lower, upper, _):
        return 2 * lower[0] - 1, 2 * upper[0] - 1

    with pytest.raises(ValueError, match="'auroc' makes another value of an AUROC"):
        replace(nt.METRICS["auroc"], interval_rule=IntervalRule((Pairs("neuron"),), (1,), gini))


def cantelli(data, tail):
    """Cantelli's bounds of a coin: (mean - r)^2 is at most r (1 - r) (1 / tail - 1) / N."""
    low, _ = data.ratio
    k = jnp.where(data.blocks > 0, (1 / tail - 1) / jnp.where(data.blocks > 0, data.blocks, 1), 1e9)
    centre, half = low + k / 2, jnp.sqrt(k * low * (1 - low) + k**2 / 4)
    return (centre - half) / (1 + k), (centre + half) / (1 + k)


CANTELLI = IntervalMethod(
    "cantelli",
    "Cantelli's one-sided inequality for the variance of a coin",
    lambda part, independent: PartBound(cantelli) if independent and part.binomial else None,
)


@pytest.mark.parametrize("metric", ["recall", "balanced_accuracy", "own"])
def test_an_own_interval_method_serves_every_metric_that_it_fits(metric):
    probe = neurons(thresholds=0.5)
    metric = informed() if metric == "own" else metric
    truth = scipy.stats.norm.cdf(0.5)  # of activation above 0.5 about 1, and below it about 0
    found = nt.intervals(probe, metric, method=CANTELLI, alpha=ALPHA)
    assert found.method == "cantelli"
    assert found.finite_sample
    assert "for every sample size (cantelli)" in found.guarantee
    assert at_most_alpha(misses(found, truth), 3000)
    exact = nt.intervals(probe, metric, method="exact", alpha=ALPHA)
    assert float((found.upper - found.lower).mean()) < 2.5 * float(
        (exact.upper - exact.lower).mean()
    )
    proof = nt.certify(probe, metric, method=CANTELLI, alpha=ALPHA)
    assert at_most_alpha(np.mean(np.asarray(proof.lower) > truth), 3000)


def test_an_own_interval_method_is_refused_where_it_does_not_fit():
    groups = neurons(num=2, thresholds=0.5, groups=np.repeat(np.arange(20), 3))
    for probe, metric in ((groups, "iou"), (neurons(num=2, thresholds=0.5), "auroc")):
        assert not CANTELLI.applies(nt.METRICS[metric], probe)
        with pytest.raises(ValueError, match=r"'cantelli' does not fit .* these do: .*chernoff"):
            nt.intervals(probe, metric, method=CANTELLI)
