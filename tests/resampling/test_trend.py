"""Forecasts for larger probing sets against plain formulas, and against what happened there."""

import math

import jax
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit

import neurotrust_jax as nt
from neurotrust_jax.resampling import Trend, replication_trend

SPLITS = 20


def a_trend(**changes):
    fields = {
        "num_units": 500, "lead": np.array([0.2, np.nan, 1.5, 3.0, 6.0]),
        "rivals": np.array([1.2, np.nan, 0.4, 0.1, 0.0]),
        "missing": np.array([0.5, 1.0, 0.0, 0.0, 0.1]),
        "coefficients": np.array([0.9, -0.6, 0.1]), "agreement": np.array([0.4, 0.5, 0.62]),
    }  # fmt: skip
    return Trend(**fields | changes)


@pytest.mark.parametrize("times", [1, 1.5, 2, 4, 8])
def test_equals_the_formula(times):
    trend = a_trend()
    doublings, log_odds = math.log2(times), logit(0.62)
    whole, part = divmod(doublings, 1)
    for i in range(int(whole)):  # one doubling after the other
        log_odds += 0.9 ** (i + 1) * (logit(0.62) - logit(0.5))
    # between two doublings: nine tenths to the power of the part done
    log_odds += 9 * (1 - 0.9**part) * 0.9**whole * (logit(0.62) - logit(0.5))
    known = [0, 2, 3, 4]
    lead = [min(math.sqrt(times) * trend.lead[u], 6) for u in known]
    score = np.array([
        (0.9 + 0.1 * doublings) * x - 0.6 * rivals
        for x, rivals in zip(lead, trend.rivals[known], strict=True)
    ])  # fmt: skip
    shift = brentq(lambda a: expit(a + score).mean() - expit(log_odds), -60, 60)
    found = trend.probability(round(500 * times))
    assert found.shape == (5,)
    assert np.isnan(found[1])
    expected = expit(shift + score) * (1 - trend.missing[known] ** (2 * times))
    np.testing.assert_allclose(found[known], expected, atol=1e-9)


def test_shapes_and_what_is_unknown():
    trend = a_trend()
    table = trend.probability([[500, 600], [1000, 4000]])
    assert table.shape == (2, 2, 5)
    np.testing.assert_array_equal(table[1, 0], trend.probability(1000))
    assert (np.diff(table.reshape(4, 5)[:, [2, 3]], axis=0) > 0).all()
    unknown = a_trend(agreement=np.array([np.nan, np.nan, np.nan]))
    assert np.isnan(unknown.probability(1000)).all()
    for wrong in (499, 4001, [600, -1], np.nan):
        with pytest.raises(ValueError, match=r"num_units must lie between 500.*and 4,000, 8 times"):
            trend.probability(wrong)


@pytest.mark.parametrize("metric", ["iou", "auroc"])
def test_starts_from_the_probability_of_replication(metric):
    rng = np.random.default_rng(2)
    c = rng.random((400, 12)) < 0.2
    f = rng.normal(size=(400, 30)) + c @ (1.5 * rng.random((12, 30)) ** 3)
    probe = nt.make_probe(f, c, thresholds=1.0)
    key = jax.random.key(3)
    now = replication_trend(key, probe, metric, num_splits=SPLITS).probability(probe.num_units)
    assert np.nanstd(now) > 0.05
    expected = nt.replication_probability(key, probe, metric, num_splits=SPLITS)
    np.testing.assert_allclose(now, expected, atol=2e-6)


def planted(seed, n, strength, rate):
    rng = np.random.default_rng(seed)
    c = rng.random((n, len(rate))) < rate
    f = (rng.normal(size=(n, strength.shape[1])) + c @ strength).astype(np.float32)
    return nt.make_probe(f, c, thresholds=1.0)


@pytest.mark.slow
def test_forecasts_come_true():
    """From n to 4 n, by what pairs of probing sets of 4 n agree on; no growth is the control."""
    n, num_sets, num_neurons, times = 400, 8, 120, 4
    world = np.random.default_rng(6)
    strength = 1.5 * world.random((20, num_neurons)) * (world.random((20, num_neurons)) < 0.3)
    rate = np.where(np.arange(20) % 3 == 0, 0.05, 0.2)
    forecast, now, labels, reliable, later = [], [], [], [], []
    for seed in range(num_sets):
        key = jax.random.key(seed)
        trend = replication_trend(key, planted(seed, n, strength, rate), num_splits=SPLITS)
        before, ahead = trend.probability([n, times * n])
        now.append(np.nanmean(before))
        forecast.append(np.nanmean(ahead))
        reliable.append((ahead >= 0.9).mean())
        large = planted(100 + seed, times * n, strength, rate)
        labels.append(np.asarray(nt.identify(large).concept[:, 0]))
        again = nt.replication_probability(key, large, num_splits=SPLITS)
        later.append((np.asarray(again) >= 0.9).mean())
    same = (np.array(labels)[:, None] == np.array(labels)).mean(axis=2)
    agreement = (same.sum(axis=1) - 1) / (num_sets - 1)  # of each large set with the others

    def error(values):
        return np.std(values, ddof=1) / math.sqrt(num_sets)

    # three standard errors over the independent sets, to which pairs contribute twice, beside the
    # accuracy that forecasts have on average
    chance = 3 * math.hypot(error(forecast), 2 * error(agreement))
    assert abs(np.mean(forecast) - agreement.mean()) < 0.03 + chance
    assert agreement.mean() - np.mean(now) > 0.03 + chance
    assert abs(np.mean(reliable) - np.mean(later)) < 0.05 + 3 * math.hypot(
        error(reliable), error(later)
    )


@pytest.mark.slow
def test_nothing_is_promised_where_neurons_mean_nothing():
    rng = np.random.default_rng(0)
    probability = []
    for seed in range(4):
        probe = planted(seed, 400, np.zeros((20, 120)), rng.uniform(0.1, 0.3, 20))
        trend = replication_trend(jax.random.key(seed), probe, num_splits=SPLITS)
        probability.append(trend.probability(3200))
    assert np.mean(np.array(probability) >= 0.9) < 0.01
    assert np.mean(probability) < 0.3
