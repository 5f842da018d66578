"""Importance weights: estimated density ratios against known ones, and the warnings they need."""

import warnings

import jax
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from sklearn.linear_model import LogisticRegression

import neurotrust_jax as nt
from neurotrust_jax.shift import reweighting

KEY = jax.random.key(0)


def small_probe():
    rng = np.random.default_rng(0)
    return nt.make_probe(rng.normal(size=(300, 4)), rng.random((300, 5)) < 0.3)


def gaussians(seed, n=3000, move=(0.8, -0.5, 0.0)):
    rng = np.random.default_rng(seed)
    move = np.array(move)
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 3)) + move, move


@pytest.mark.slow
def test_weights_estimate_the_density_ratio():
    x, y, move = gaussians(0)
    found = nt.importance_weights(KEY, x, y)
    truth = np.exp(x @ move - move @ move / 2)
    assert np.corrcoef(np.log(found.weight), np.log(truth))[0, 1] > 0.99
    assert float(found.weight.mean()) == pytest.approx(1, abs=1e-5)
    assert found.effective_size == pytest.approx(nt.probing.effective_size(truth), rel=0.15)
    # the area under the curve of two normal laws at this distance
    expected = scipy.stats.norm.cdf(np.linalg.norm(move) / np.sqrt(2))
    assert found.auroc == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(3000))
    none = nt.importance_weights(KEY, x, gaussians(1, move=(0, 0, 0))[1])
    assert none.auroc == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(3000))
    cut = nt.importance_weights(KEY, x, y, largest=2.0)
    assert cut.largest < found.largest
    assert cut.effective_size > found.effective_size


def test_weights_are_cut_on_the_scale_of_the_density_ratio():
    """Four times as many target samples leave the odds four times as high, and the ratio as is."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(500, 1)), rng.normal(size=(2000, 1)) + 1
    w = np.asarray(nt.importance_weights(KEY, x, y, largest=2.0).weight)
    ratio = np.minimum(np.exp(x[:, 0] - 0.5), 2)
    assert np.corrcoef(np.log(w), np.log(ratio))[0, 1] > 0.95
    assert 0.1 < (w == w.max()).mean() < 0.3  # P(ratio > 2) is 0.12


def test_auroc_of_a_score_equals_sklearn():
    rng = np.random.default_rng(3)
    score, positive = rng.integers(0, 4, 25).astype(float), rng.random(25) < 0.4
    expected = sklearn.metrics.roc_auc_score(positive, score)
    assert reweighting._auroc(score, positive) == pytest.approx(expected, abs=1e-12)


@pytest.mark.double
def test_logistic_regression_is_that_of_scikit_learn():
    x, y, _ = gaussians(2, 200)
    both, label = np.concatenate([x, y]), np.arange(400) >= 200
    seen = np.arange(400) % 3 > 0
    ours = reweighting.logistic_regression(both, label, seen.astype(float), np.asarray(0.7))
    theirs = LogisticRegression(C=1 / 0.7, tol=1e-10).fit(both[seen], label[seen])
    np.testing.assert_allclose(ours, np.r_[theirs.coef_[0], theirs.intercept_], atol=1e-6)


@pytest.mark.slow
def test_weighted_estimates_reach_the_target_and_others_do_not():
    """Precision of a neuron for a concept whose relation moves along a feature."""
    target, plain, weighted = [], [], []
    for seed in range(20):
        x, y, _ = gaussians(seed)
        rng = np.random.default_rng(100 + seed)
        values = []
        for z in (x, y):
            c = rng.random(len(z)) < 1 / (1 + np.exp(-2 * z[:, 0]))
            f = (rng.random(len(z)) < 0.5) * 1.0
            probe = nt.make_probe(f[:, None], c[:, None], thresholds=0.5)
            values.append((probe, float(nt.similarity(probe, "precision")[0, 0])))
        found = nt.importance_weights(jax.random.key(seed), x, y)
        moved = nt.reweight(values[0][0], found.weight)
        target.append(values[1][1])
        plain.append(values[0][1])
        weighted.append(float(nt.similarity(moved, "precision")[0, 0]))
    # standard errors of a mean of 20 estimates from about 1,500 samples, fewer when weighted
    tolerance = 4 * 0.5 / np.sqrt(20 * 1500 / 3)
    assert abs(np.mean(weighted) - np.mean(target)) < tolerance
    assert abs(np.mean(plain) - np.mean(target)) > 2 * tolerance


def test_folds_keep_groups_whole_and_sizes_count_them():
    x, y, _ = gaussians(3, 400)
    groups = np.arange(400) // 4
    found = nt.importance_weights(KEY, x, y, groups=groups, target_groups=groups)
    assert found.effective_size <= 100
    fold = reweighting._folds(KEY, 400, groups, 5, "groups")
    assert all(len(set(fold[groups == g])) == 1 for g in range(100))
    assert nt.probing.effective_size([1, 1, 2]) == pytest.approx(16 / 6)
    assert nt.probing.effective_size([1, 1, 2], [0, 0, 1]) == pytest.approx(2)


def test_reweighting_warns_of_few_effective_units():
    probe = small_probe()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = nt.reweight(probe, np.ones(300))
    np.testing.assert_array_equal(same.sample_weight, probe.sample_weight)
    with pytest.warns(nt.shift.ShiftWarning, match="300 units tell as much as 3 would"):
        nt.reweight(probe, np.arange(300) < 3)


def test_bad_input_is_named():
    probe, (x, y, _) = small_probe(), gaussians(0, 20)
    for call, message in (
        (lambda: nt.reweight(probe, np.ones(3)), r"weight must be numbers of shape \[300\]"),
        (lambda: nt.reweight(probe, -np.ones(300)), "negative or non-finite"),
        (lambda: nt.reweight(probe, np.zeros(300)), "no sample with a positive weight"),
        (lambda: nt.importance_weights(KEY, x, y[:, 1:]), "3 columns and target 2"),
        (lambda: nt.importance_weights(KEY, x[0], y), "features must be numbers of shape"),
        (lambda: nt.importance_weights(KEY, x * np.nan, y), "features holds NaN"),
        (lambda: nt.importance_weights(KEY, x, y, penalty=0), "penalty must be positive"),
        (lambda: nt.importance_weights(KEY, x, y, largest=0), "largest must be positive"),
        (lambda: nt.importance_weights(KEY, x, y, num_folds=21), "num_folds must lie between 2"),
        (lambda: nt.importance_weights(KEY, x, y, groups=[0]), r"groups must have shape \[20\]"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
