"""The probability of replication against a loop in float64, and against fresh probing sets."""

import math

import jax
import numpy as np
import oracles
import pytest
from builders import layer_of_near_ties, routes_by_halves, three_probes
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit

import neurotrust_jax as nt
from neurotrust_jax.resampling.halves import draw_parts

KEY = jax.random.key(11)
SPLITS = 11  # two deals of quarters


def best(s):
    return -1 if np.isnan(s).all() else int(np.nanargmax(s))


def naive_features(phi, label, apart, share):
    """Lead and rivals of one part, from its similarities on the stable scale and halves' gaps."""
    lead, total = 6.0, 0.0
    for c in range(len(phi)):
        if c == label or np.isnan(phi[c]):
            continue
        gaps = [(d[label] - d[c]) / 2 for d in apart]
        variance = share * np.mean(np.square(gaps)) if gaps else math.nan
        size = sum(d[label] ** 2 + d[c] ** 2 for d in apart)
        ahead = phi[label] - phi[c]
        if not gaps:
            score = 0.0
        elif variance > 1e-13 * size:
            score = ahead / math.sqrt(variance)
        else:
            score = math.inf if size > 0 or ahead > 0 else 0.0
        lead = min(lead, score)
        total += math.exp(-(score**2) / 4)
    return [lead, math.log(1 + total)]


def naive_probability(probe, metric, key, num_splits):
    f, c, active = (np.asarray(x) for x in (probe.activations, probe.concepts, probe.active))
    f, weights = f.astype(float), np.asarray(probe.weights)
    rows = np.asarray(draw_parts(key, probe, num_splits, -(-num_splits // 10)).rows)
    halves, quarters = rows[: 2 * num_splits : 2], rows[2 * num_splits :].reshape(-1, 4, len(f))

    def similarity(rows):
        return oracles.similarity_of_pairs(metric, f, c, active, weights * rows)

    on_halves = [[similarity(x) for x in (half, ~half)] for half in halves]
    on_quarters = [[similarity(x) for x in deal] for deal in quarters]
    whole = similarity(np.ones(len(f)))

    features, labels, missing = [], [], []
    rows, outcome, size, neuron = [], [], [], []
    for u in range(f.shape[1]):
        phi = [[oracles.STABLE_SCALES[metric](x[u]) for x in both] for both in on_halves]
        label = [[best(x[u]) for x in both] for both in on_halves]
        used = [s for s in range(num_splits) if min(label[s]) >= 0]
        filled = {s: [np.where(np.isnan(x), np.nanmean(x), x) for x in phi[s]] for s in used}
        apart = {s: filled[s][0] - filled[s][1] for s in used}
        for s in used:
            others = [apart[t] for t in used if t != s]
            for w in (0, 1):
                rows.append(naive_features(phi[s][w], label[s][w], others, 2))
                outcome.append(float(label[s][0] == label[s][1]))
                size.append(0)
                neuron.append(u)
        for deal in on_quarters:
            own = [best(x[u]) for x in deal]
            for w in range(4):
                others = [own[v] for v in range(4) if v != w and own[v] >= 0]
                if own[w] >= 0 and others:
                    at = oracles.STABLE_SCALES[metric](deal[w][u])
                    rows.append(naive_features(at, own[w], list(apart.values()), 4))
                    outcome.append(np.mean([x == own[w] for x in others]))
                    size.append(1)
                    neuron.append(u)
        labels.append(best(whole[u]))
        missing.append(np.mean([x < 0 for both in label for x in both]))
        at = oracles.STABLE_SCALES[metric](whole[u])
        features.append(naive_features(at, labels[-1], list(apart.values()), 1))

    rows, outcome, size, neuron = map(np.array, (rows, outcome, size, neuron))
    rows = np.column_stack([rows, -(size + 1) * rows[:, 0]])
    weight = np.zeros(len(rows))
    for m in (0, 1):
        weight[size == m] = len(set(neuron[size == m])) / (size == m).sum()
    typical, penalty = np.array([0.8, 0.8, 0.8, -0.7, 0]), np.array([1, 1, 0.3, 0.3, 5])

    def loss(b):
        x = b[size] + rows @ b[2:]
        p = outcome * np.logaddexp(0, -x) + (1 - outcome) * np.logaddexp(0, x)
        return (weight * p).sum() + (penalty * (b - typical) ** 2).sum() / 2

    b = minimize(loss, typical, method="BFGS", options={"gtol": 1e-8}).x
    fitted = expit(b[size] + rows @ b[2:])
    first, second = (logit(fitted[size == m].mean()) for m in (0, 1))
    score = np.array(features) @ b[2:4]
    known = np.array(labels) >= 0
    aim = expit(first + 0.9 * (first - second))
    shift = brentq(lambda a: expit(a + score[known]).mean() - aim, -60, 60)
    found = expit((shift + b[0] + 0.9 * (b[0] - b[1])) / 2 + score) * (1 - np.square(missing))
    return np.where(known, found, np.nan)


@pytest.mark.quick("iou")
@pytest.mark.double
@pytest.mark.parametrize("metric", oracles.STABLE_SCALES)
def test_equals_a_loop(metric):
    f, c = layer_of_near_ties()
    if metric == "iou":  # equal columns are no rivals; sums of others are rounded differently
        c = np.concatenate([c, c[:, :1]], axis=1)
    for probe in three_probes(f, c):
        expected = naive_probability(probe, metric, KEY, SPLITS)
        found = nt.replication_probability(KEY, probe, metric, num_splits=SPLITS)
        assert found.shape == (f.shape[1],)
        np.testing.assert_allclose(found, expected, atol=2e-5)
        assert np.nanstd(expected) > 0.05


def test_the_regression_reads_neurons_some_at_a_time(monkeypatch):
    f, c = layer_of_near_ties(seed=2)
    probe = next(three_probes(f, c))
    whole = nt.replication_probability(KEY, probe, num_splits=6)
    monkeypatch.setattr("neurotrust_jax.resampling.replication.NEURONS", 5)
    found = nt.replication_probability(KEY, probe, num_splits=6)
    np.testing.assert_allclose(found, whole, rtol=1e-6)


def test_what_every_result_satisfies():
    f, c = layer_of_near_ties(seed=1)
    probe = next(three_probes(f, c))
    found = np.asarray(nt.replication_probability(KEY, probe, num_splits=6))
    label = np.asarray(nt.identify(probe, "iou").concept[:, 0])
    np.testing.assert_array_equal(np.isnan(found), label < 0)
    assert label[0] == -1
    assert ((found >= 0) & (found <= 1))[label >= 0].all()
    # active once: one half of every split has no label
    assert found[1] < 0.5
    again = nt.replication_probability(KEY, probe, num_splits=6)
    np.testing.assert_array_equal(again, found)
    other = nt.replication_probability(jax.random.key(12), probe, num_splits=6)
    assert not np.allclose(other, found, equal_nan=True, atol=1e-3)
    weighed = nt.make_probe(f, c, thresholds=0.8, sample_weight=np.full(len(f), 8.0))
    scaled = nt.replication_probability(KEY, weighed, num_splits=6)
    np.testing.assert_allclose(scaled, found, atol=1e-5)


@pytest.mark.slow
def test_routes_agree():
    """Counted rows, matrix products, and sparse activations, some neurons at a time."""

    def compute(probe, metric):
        return nt.replication_probability(KEY, probe, metric, num_splits=5)

    for found, expected in routes_by_halves(compute):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.quick("soft_wpmi")
@pytest.mark.parametrize("metric", ["soft_wpmi", "auprc", "correlation_top_and_random"])
def test_other_metrics(metric):
    """A label that nothing comes near is near 1; labels of noise are not."""
    rng = np.random.default_rng(0)
    c = rng.random((300, 4)) < 0.3
    strength = np.repeat([4.0, 0.0], 20)
    f = rng.normal(size=(300, 40)) + strength * c[:, np.arange(40) % 4]
    probe = nt.make_probe(f, c, top_fraction=0.1)
    found = np.asarray(nt.replication_probability(KEY, probe, metric, num_splits=4))
    assert found[:20].mean() > 0.97
    assert found[:20].min() > 0.9
    assert found[20:].mean() < 0.6


def test_small_layers_lean_on_others_and_say_so():
    f, c = layer_of_near_ties()
    probe = nt.make_probe(f[:, 2:10], c, thresholds=0.8)
    with pytest.warns(
        nt.faithfulness.CoverageWarning, match="131 samples for . neurons.*and 20 neurons"
    ):
        found = np.asarray(nt.replication_probability(KEY, probe, num_splits=4))
    assert np.isfinite(found).all()
    few = nt.make_probe(f[:7], c[:7], thresholds=0.0)
    with pytest.warns(nt.faithfulness.CoverageWarning, match="halves of 7 samples"):
        found = np.asarray(nt.replication_probability(KEY, few, num_splits=4))
    label = np.asarray(nt.identify(few, "iou").concept[:, 0])
    np.testing.assert_array_equal(np.isnan(found), label < 0)
    silent = nt.make_probe(f - 100, c, thresholds=0.0)
    with pytest.warns(nt.faithfulness.CoverageWarning, match="for 0 neurons"):
        found = np.asarray(nt.replication_probability(KEY, silent, num_splits=4))
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_splits": 1}, "num_splits must be a whole number of at least 2, got 1"),
        ({"num_splits": 0}, "num_splits .* got 0"),
        ({"num_splits": 2.5}, "num_splits .* got 2.5"),
        ({"key": 0}, "key must be one JAX key, such as .* got int"),
        ({"metric": "nonesuch"}, "unknown metric"),
    ],
)
def test_refusals(options, message):
    f, c = layer_of_near_ties()
    given = {"key": KEY, "probe": nt.make_probe(f, c), "num_splits": 2} | options
    with pytest.raises(ValueError, match=message) as caught:
        nt.replication_probability(given.pop("key"), given.pop("probe"), **given)
    assert "\n" not in str(caught.value)


@pytest.mark.double
def test_equal_parts_of_the_sampling_units():
    """Four disjoint quarters of all units, whole groups; none of them is a half of the splits."""
    f, c = layer_of_near_ties()
    probe = list(three_probes(f, c))[1]
    rows = np.asarray(draw_parts(KEY, probe, 3, 3).rows)
    halves, quarters = rows[:6:2], rows[6:].reshape(3, 4, -1)
    for one in halves:
        assert not any((part == one).all() for part in quarters.reshape(-1, probe.num_samples))
    assert (quarters.sum(axis=1) == 1).all()
    groups = np.asarray(probe.groups)
    for deal in quarters:
        units = [len(set(groups[part])) for part in deal]
        assert sum(units) == probe.num_units
        assert max(units) - min(units) <= 1
    assert len({deal.tobytes() for deal in quarters}) == 3


def error_of_calibration(probability, replicated):
    """Expected calibration error over ten bins of equal width."""
    place = np.minimum((probability * 10).astype(int), 9)
    gap = np.bincount(place, probability - replicated, minlength=10)
    return np.abs(gap).sum() / len(probability)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["iou", "auroc"])
def test_probabilities_come_true(metric):
    """Of the labels with probability p a share p comes out again, where bootstraps overstate.

    Each of several probing sets is judged by the labels of all the others. The noise of a bin's
    mean is at most that of so many probing sets of neurons that move together.
    """
    n, num_sets, num_neurons = 800, 12, 80
    world = np.random.default_rng(5)
    # few strong concepts each: some neurons have one clear label, others near ties
    strength = 1.5 * world.random((20, num_neurons)) * (world.random((20, num_neurons)) < 0.3)
    rate = np.where(np.arange(20) % 3 == 0, 0.05, 0.2)
    found, votes, labels = [], [], []
    for seed in range(num_sets):
        rng = np.random.default_rng(seed)
        c = rng.random((n, 20)) < rate
        f = (rng.normal(size=(n, num_neurons)) + c @ strength).astype(np.float32)
        probe = nt.make_probe(f, c, thresholds=1.0)
        key = jax.random.key(seed)
        found.append(np.asarray(nt.replication_probability(key, probe, metric, num_splits=20)))
        boot = nt.bootstrap(key, probe, metric, num_replicates=50)
        label = np.asarray(boot.label)
        labels.append(label)
        votes.append(np.asarray(boot.vote_share)[range(num_neurons), label])
    labels = np.array(labels)
    again = np.array([(np.delete(labels, i, 0) == x).mean(axis=0) for i, x in enumerate(labels)])
    found, votes, again = (np.ravel(x) for x in (found, votes, again))
    assert 0.3 < again.mean() < 0.9
    # a probability's error has standard deviation below 1/2 in each neuron and set; a bin of a
    # tenth of them has so many that its mean errs by 1/2 / sqrt(m / 10), and mean |error| is 0.8 of
    # that; the factor 2 allows for neurons that share the samples
    noise = 2 * 0.8 * 0.5 / math.sqrt(num_sets * num_neurons / 10)
    assert error_of_calibration(found, again) < 0.03 + noise / 2
    assert error_of_calibration(votes, again) > 0.03 + noise / 2
    sure = found > 0.9
    assert again[sure].mean() > 0.9 - noise / 2


def test_concepts_of_one_answer_count_as_one():
    """As if they were one label: rivals are those of other answers, and it agrees with itself."""
    rng = np.random.default_rng(3)
    c = rng.random((600, 6)) < 0.25
    f = rng.normal(size=(600, 30)) + 0.8 * c[:, np.arange(30) % 2] + 0.8 * c[:, 2:3]
    probe = nt.make_probe(f, c, thresholds=1.0)
    alone = np.asarray(nt.replication_probability(KEY, probe, num_splits=8))
    own = np.asarray(
        nt.replication_probability(KEY, probe, num_splits=8, answers=[5, 3, 9, 1, 0, 2])
    )
    np.testing.assert_array_equal(own, alone)
    tree = np.asarray(
        nt.replication_probability(KEY, probe, num_splits=8, answers=[0, 0, 0, 1, 2, 3])
    )
    assert tree.mean() > alone.mean() + 0.1
    every = np.asarray(
        nt.replication_probability(KEY, probe, num_splits=8, answers=np.zeros(6, int))
    )
    assert every.min() > 0.95
    for wrong in ([0, 1], np.zeros(6)):
        with pytest.raises(ValueError, match="answers must be one whole number for each of the 6"):
            nt.replication_probability(KEY, probe, answers=wrong)
