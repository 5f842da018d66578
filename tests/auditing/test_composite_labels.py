"""Weighted sums of concepts and groups of features are judged as what they are."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import binom, spearmanr

import neurotrust_jax as nt
from neurotrust_jax.auditing import find_shift, match_labels
from neurotrust_jax.auditing.composite_labels import (
    check_weighted,
    feature_groups,
    join_features,
    with_weighted_sums,
)
from neurotrust_jax.files import Claim

NAN = float("nan")


def weighted(neuron, **weights):
    """A label that is a weighted sum."""
    text = " ".join(f"{w:+g} {name}" for name, w in weights.items())
    return Claim("", neuron, text, NAN, weights=tuple(weights.items()))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    c = rng.random((200, 3)) < [0.2, 0.4, 0.5]
    f = rng.normal(size=(200, 2)) + 2 * c[:, :2] - c[:, 2:]
    return f.astype(np.float32), c


@pytest.fixture(scope="module")
def probe(data):
    return nt.make_probe(*data, concept_names=["dog", "cat", "sky"], thresholds=0.5)


CLAIMS = [weighted("0", dog=2.5, sky=-0.75), weighted("1", cat=-1.5)]


def test_a_weighted_sum_has_the_similarity_of_the_plain_sum(data, probe):
    f, c = (x.astype(np.float64) for x in data)
    added = with_weighted_sums(probe, CLAIMS)
    assert added.concept_names == ("dog", "cat", "sky", "+2.5 dog -0.75 sky", "-1.5 cat")
    column = np.asarray(added.concepts)[:, 3:]
    np.testing.assert_allclose([column.min(axis=0), column.max(axis=0)], [[0, 0], [1, 1]])
    sums = np.stack([2.5 * c[:, 0] - 0.75 * c[:, 2], -1.5 * c[:, 1]], axis=1)
    np.testing.assert_array_equal(match_labels(CLAIMS, added), [3, 4])
    for metric, plain in (
        ("correlation", lambda x, y: np.corrcoef(x, y)[0, 1]),
        ("spearman", lambda x, y: spearmanr(x, y).statistic),
    ):
        expected = [[plain(f[:, u], sums[:, k]) for k in range(2)] for u in range(2)]
        found = nt.similarity(added, metric)[:, 3:]
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_sums_without_a_column(probe):
    lacking = weighted("0", dog=1, boat=2)
    assert with_weighted_sums(probe, [lacking]) is probe
    assert match_labels([lacking], probe).tolist() == [-1, -1]
    with pytest.raises(
        ValueError, match=r"label of neuron '0' is a weighted sum .* needs a column"
    ):
        match_labels(CLAIMS, probe)
    twice = with_weighted_sums(probe, [CLAIMS[0], CLAIMS[0]._replace(neuron="1")])
    assert twice.num_concepts == 4
    assert with_weighted_sums(twice, CLAIMS[:1]) is twice


@pytest.mark.parametrize("metric", list(nt.METRICS))
def test_metrics_that_a_factor_or_a_constant_would_change_are_refused(metric):
    check_weighted([Claim("", "0", "dog", NAN)], metric)
    if metric in ("correlation", "spearman", "simulation_auroc", "simulation_auprc"):
        check_weighted(CLAIMS, metric)
    else:
        with pytest.raises(ValueError, match=rf"neuron '0' .* metric='{metric}' can not judge; gi"):
            check_weighted(CLAIMS, metric)


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_a_group_is_active_where_all_of_its_features_are(form):
    f = np.maximum(np.random.default_rng(1).normal(size=(50, 6)), 0)
    groups = feature_groups([Claim("", x, "a", NAN) for x in ("4", "0,5", "3,1,2")], "012345")
    assert groups == {"4": [4], "0,5": [0, 5], "3,1,2": [3, 1, 2]}
    joined = join_features(form(f), groups)
    for g, features in enumerate(groups.values()):
        np.testing.assert_array_equal(joined[:, g] > 0.3, (f[:, features] > 0.3).all(axis=1))


def test_groups_that_there_are_not(probe):
    assert feature_groups([Claim("", "7", "a", NAN), Claim("", "x", "a", NAN)], "01") == {}
    assert feature_groups([Claim("", "0,1", "a", NAN)], ["0,1", "2"]) == {}
    for name in ("1,2", "0,x", "-1,0"):
        with pytest.raises(ValueError, match=rf"'{name}', but the activations have 2 features"):
            feature_groups([Claim("", name, "a", NAN)], "01")
    with pytest.raises(ValueError, match="groups of features are judged by neurotrust check only"):
        match_labels([Claim("", "0,1", "dog", NAN)], probe)


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_labels_of_the_neuron_before_or_after_are_found(step):
    rng = np.random.default_rng(2)
    similarity = rng.random((40, 40)) + 0.8 * np.eye(40)
    label = (np.arange(40) + step).clip(0, 39)
    label[rng.permutation(40)[:8]] = -1
    assert find_shift(similarity, label) == step


def test_labels_that_are_merely_wrong_are_hardly_ever_taken_for_shifted():
    rng, count = np.random.default_rng(3), 3000
    plain = undercut = 0
    for _ in range(count):
        similarity, label = np.round(rng.random((30, 5)), 1), rng.integers(-1, 5, 30)
        plain += find_shift(similarity, label) != 0
        similarity[np.arange(30), label] = -1  # worse than at either neighbour
        undercut += find_shift(similarity, label) != 0
    assert max(plain, undercut) <= binom(count, 2 * 0.001).ppf(1 - 1e-4)


def test_few_or_undefined_labels_show_no_shift():
    label = np.arange(12) - 1
    assert find_shift(np.eye(12), label) == -1
    assert find_shift(np.eye(11), label[:11]) == 0
    own_best = np.eye(12) + 0.5 * np.eye(12, k=1)  # the neuron before comes second
    assert find_shift(own_best, np.arange(12)) == 0
    assert find_shift(np.full((12, 12), NAN), label) == 0
    assert find_shift(np.ones((12, 12)), label) == 0
