"""Effective units against a loop over units in float64, and against known numbers."""

import jax
import numpy as np
import pytest
from scipy.sparse import csr_array

import neurotrust_jax as nt
from neurotrust_jax.faithfulness.evidence import effective_concept_units, effective_units
from neurotrust_jax.metrics.parts import ACTIVE, ALWAYS, BOTH, PRESENT, Part

N = 240


def data(seed=0):
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(N, 3))
    f[:, 1] = np.maximum(f[:, 1] - 1, 0)  # mostly 0, as after a rectifier
    binary = rng.random((N, 4)) < [0.5, 0.1, 0.03, 0.3]
    return f, binary, rng.random((N, 4)) ** 4


def naive(f, c, weights, unit, parts, samples):
    """Effective units of every pair, unit by unit, as the head of the module states them."""
    result = np.zeros((f.shape[1], c.shape[1]))
    for u in range(f.shape[1]):
        for k in range(c.shape[1]):
            terms = np.stack([np.ones(N), f[:, u], c[:, k], f[:, u] * c[:, k]]) * weights
            total = [np.bincount(unit, x) for x in terms]
            moved, some = [], []
            for part in parts:
                hits, trials = (
                    sum(a * x for a, x in zip(y, total, strict=True))
                    for y in (part.hits, part.trials)
                )
                rest = np.maximum(trials.sum() - (0 if samples else trials), 0)
                change = hits - hits.sum() / trials.sum() * trials
                change[np.abs(change) < 1e-5 * trials] = 0
                change = np.where(rest > 1e-9, change / np.where(rest > 1e-9, rest, 1), 0)
                moved.append(part.sign * change)
                some.append((trials > 1e-9).sum())
            if len(parts) > 1:
                moved.append(sum(moved))
                some.append(len(total[0]))
            found = []
            for change, number in zip(moved, some, strict=True):
                square, fourth = (change**2).sum(), (change**4).sum()
                if fourth == 0:
                    found.append(0)
                    continue
                excess = fourth / square**2 - 1 / number
                freedom = 2 / excess if excess > 1e-12 else np.inf
                found.append(min(freedom, number - 1) + 1)
            result[u, k] = min(found)
    return result


def compare(metric, probe):
    labels, weights = probe.labels, probe.weights
    columns = metric.columns(metric.prepare_neurons(probe.neurons), labels, weights)
    f, c = (np.asarray(x, float) for x in columns)
    w = np.asarray(weights, float)
    unit = np.arange(N) if probe.groups is None else np.asarray(probe.groups)
    binary = {*np.unique(c)} <= {0, 1} or not any(x.given_concept for x in metric.parts)
    samples = probe.groups is None and (w == 1).all() and binary
    expected = naive(f, c, w, unit, metric.parts, samples)
    np.testing.assert_allclose(effective_units(probe, metric), expected, rtol=2e-3, atol=1e-3)


@pytest.mark.quick("x32-iou", "x64-auroc", "x32-soft_wpmi")
@pytest.mark.both_precisions
@pytest.mark.parametrize("name", nt.METRICS)
def test_equals_a_loop_over_units(name, precision):
    if precision == "x32" and name in ("wpmi", "wpmi_topk", "simulation_auroc", "auprc"):
        pytest.skip("its columns are those of a metric that is tested")
    f, binary, soft = data()
    metric = nt.METRICS[name]
    compare(metric, nt.make_probe(f, binary, top_fraction=0.1))
    groups = np.sort(np.random.default_rng(1).integers(0, 30, N))
    compare(metric, nt.make_probe(f, soft, top_fraction=0.1, groups=groups))
    if name in ("iou", "correlation", "auroc"):
        compare(metric, nt.make_probe(f, soft, top_fraction=0.1))
        weights = np.random.default_rng(2).random(N)
        compare(metric, nt.make_probe(f, binary, top_fraction=0.1, sample_weight=weights))


def test_known_numbers_of_units():
    f = np.linspace(-1, 1, 1000)[:, None]
    c = np.zeros((1000, 4), bool)
    c[980:, 0] = c[900:999, 1] = True  # 20 of 50 active samples; and 49 of them
    c[:100, 2] = c[:, 3] = True  # never met; always there
    probe = nt.make_probe(f, c, thresholds=0.9)
    assert probe.active.sum() == 50
    iou = np.asarray(effective_units(probe, nt.METRICS["iou"])[0])
    # 20 hits of 50: 1 / e = (.6^3 + .4^3) / (50 .24)
    np.testing.assert_allclose(iou[0], 1 + min(49, 2 / (0.28 / 12 - 1 / 50)), rtol=1e-4)
    assert iou[2] == 0
    # present everywhere: hits of all trials, 50 of 1,000, which is twice 50 and a little more
    np.testing.assert_allclose(iou[3], 1 + 2 / (0.8575 / 47.5 - 1e-3), rtol=1e-3)
    # where normal groups all matter alike their number is found, on average
    f, c = np.random.default_rng(0).normal(size=(2, 2000, 20))
    probe = nt.make_probe(f, c > 0, thresholds=0.0, groups=np.repeat(np.arange(40), 50))
    units = np.asarray(effective_units(probe, nt.METRICS["iou"]))
    assert 33 < units.mean() <= 40


def test_a_group_without_neuron_and_concept_changes_nothing():
    """A group of 200 samples in which nothing happens leaves an IoU as certain as it was."""
    rng = np.random.default_rng(0)
    c = rng.random((2000, 5)) < 0.2
    f = c[:, [0, 1]] + 0.3 * rng.normal(size=(2000, 2))
    groups = np.repeat(np.arange(1000), 2)
    before = nt.make_probe(f, c, thresholds=0.5, groups=groups)
    empty = np.full((200, 2), -1.0), np.zeros((200, 5), bool), np.full(200, 1000)
    after = nt.make_probe(
        *(np.concatenate(x) for x in zip((f, c), empty[:2], strict=True)), thresholds=0.5,
        groups=np.r_[groups, empty[2]],
    )  # fmt: skip
    metric = nt.METRICS["iou"]
    np.testing.assert_allclose(
        effective_units(before, metric), effective_units(after, metric), rtol=1e-5
    )


@pytest.mark.parametrize(
    "name", ["balanced_accuracy", "mad", "standardised_mad", "correlation", "cosine", "spearman"]
)
def test_a_part_without_spread_is_no_evidence(name):
    """Where a rectified neuron never meets a concept, its mean there has no spread."""
    rng = np.random.default_rng(1)
    f = np.where(rng.random((1000, 1)) < 0.05, 1 + rng.random((1000, 1)), 0)
    c = np.zeros((1000, 2), bool)
    inactive = np.flatnonzero(f[:, 0] == 0)
    c[inactive[:15], 0] = c[rng.permutation(1000)[:300], 1] = True
    probe = nt.make_probe(f, c, thresholds=0.0)
    assert not (np.asarray(probe.active) & c[:, :1]).any()
    units = np.asarray(effective_units(probe, nt.METRICS[name]))
    assert units[0, 0] == 0
    assert units[0, 1] > 10


def test_a_constant_neuron_rests_on_nothing():
    """Rounding of its mean is no spread, whatever its value and the metric."""
    c = np.random.default_rng(0).random((5000, 6)) < np.linspace(0.01, 0.9, 6)
    f = np.broadcast_to([-9.0, 0.1, 1e6 / 3], (5000, 3))
    for name in ("cosine", "correlation", "mad", "auroc"):
        for groups in (None, np.arange(5000) // 7):
            probe = nt.make_probe(f, c, thresholds=0.0, groups=groups)
            assert not np.asarray(effective_units(probe, nt.METRICS[name])).any(), name


def test_ranks_of_a_rare_concept_and_of_one_large_group():
    rng = np.random.default_rng(2)
    f = rng.normal(size=(1000, 1))
    c = np.zeros((1000, 2), bool)
    c[[7, 77, 777], 0] = c[::3, 1] = True
    units = np.asarray(effective_units(nt.make_probe(f, c), nt.METRICS["spearman"]))
    assert units[0, 0] <= 3
    assert units[0, 1] > 300
    groups = np.maximum(np.arange(1000) - 899, 0)  # one holds 90% of the samples
    f = f + 3.0 * (groups == 0)[:, None]
    for name in ("spearman", "auroc", "iou", "correlation"):
        probe = nt.make_probe(f, c, groups=groups, top_fraction=0.5)
        assert effective_units(probe, nt.METRICS[name])[0, 1] < 12


def test_narrow_positives_keep_their_digits():
    """Ranks that all lie within a thousandth: expanded fourth powers are rounding alone."""
    f = np.arange(4000.0)[:, None]
    c = np.zeros((4000, 2), bool)
    rows = [3900, 3901, 3902, 3903, 3904, 3905, 3906, 3907, 3908, 3930]
    c[rows, 0] = c[::2, 1] = True
    units = np.asarray(effective_units(nt.make_probe(f, c), nt.METRICS["auroc"]))
    deviation = np.array(rows) - np.mean(rows)
    excess = (deviation**4).sum() / (deviation**2).sum() ** 2 - 1 / 10
    np.testing.assert_allclose(units[0, 0], 1 + 2 / excess, rtol=1e-3)
    assert units[0, 0] < 5


def test_own_parts_that_share_samples_are_counted_unit_by_unit():
    """Precision and recall share their hits, so that their signed sum is no sum of two."""
    f, c, _ = data()
    parts = Part(BOTH, PRESENT), Part(BOTH, ACTIVE)
    own = nt.six_sum_metric(
        "mean_of_two", "binary", "binary", lambda s: (s.FC / s.C + s.FC / s.F) / 2, (0.0, 1.0),
        "mean of precision and recall", parts,
    )  # fmt: skip
    probe = nt.make_probe(f, c, top_fraction=0.2)
    active, present = (np.asarray(x, float) for x in (probe.active, probe.present))
    expected = naive(active, present, np.ones(N), np.arange(N), parts, False)
    np.testing.assert_allclose(effective_units(probe, own), expected, rtol=2e-3)
    # the mean product of two columns is over all samples, which neither side decides
    product = nt.six_sum_metric(
        "product", "raw", "binary", lambda s: s.FC / s.S, (-1.0, 1.0), "mean product",
        (Part(BOTH, ALWAYS),),
    )  # fmt: skip
    raw = np.asarray(product.columns(product.prepare_neurons(probe.neurons), probe.labels, None)[0])
    expected = naive(raw, present, np.ones(N), np.arange(N), product.parts, False)
    np.testing.assert_allclose(effective_units(probe, product), expected, rtol=2e-3)


def test_sparse_activations_and_prepared_neurons_give_the_same():
    f, binary, _ = data()
    f = np.maximum(f, 0)
    for name in ("iou", "auroc"):
        metric = nt.METRICS[name]
        for groups in (None, np.arange(N) // 5):
            dense = nt.make_probe(f, binary, thresholds=0.5, groups=groups)
            found = np.asarray(effective_units(dense, metric))
            sparse = nt.make_probe(csr_array(f), binary, thresholds=0.5, groups=groups)
            np.testing.assert_allclose(effective_units(sparse, metric), found, rtol=1e-5)
            prepared = metric.prepare_neurons(dense.neurons)
            np.testing.assert_allclose(effective_units(dense, metric, prepared), found, rtol=1e-6)


def test_of_a_black_box_the_concepts_alone_count():
    c = np.zeros((1000, 4), bool)
    c[:10, 0] = c[:400, 1] = c[:990, 3] = True
    found = np.asarray(effective_concept_units(nt.make_probe(np.zeros((1000, 1)), c, thresholds=1)))
    np.testing.assert_allclose(found, [[10, 400, 0, 10]])
    grouped = nt.make_probe(np.zeros((1000, 1)), c, thresholds=1, groups=np.arange(1000) // 10)
    np.testing.assert_allclose(effective_concept_units(grouped), [[1, 40, 0, 1]])
    boot = nt.bootstrap_black_box(
        jax.random.key(0), lambda p: nt.similarity(p, "mad"),
        nt.make_probe(np.random.default_rng(0).normal(size=(1000, 2)), c), num_replicates=3,
    )  # fmt: skip
    np.testing.assert_allclose(boot.evidence, [[10, 400, 0, 10]] * 2)
