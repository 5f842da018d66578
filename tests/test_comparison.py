"""Differences are those of the two, and their intervals cover; pairing makes them narrower."""

import jax
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax.datasets import planted

KEY = jax.random.key(0)


def probe(seed=1, n=800, effect=0.7, groups=None):
    p = planted(jax.random.key(seed), n, num_neurons=6, num_concepts=9, effect=effect)
    return nt.make_probe(p.activations, p.concepts, thresholds=0.0, groups=groups)


@pytest.mark.x32
def test_values_are_those_of_the_data():
    a, b = probe(), probe(2)
    found = nt.compare(KEY, nt.Labelling(a, "iou"), nt.Labelling(b, "f1"), num_replicates=20)
    assert found.shared  # as many samples, without groups: taken to be the same ones
    for ours, side, metric in ((found.neurons.first, a, "iou"), (found.neurons.second, b, "f1")):
        np.testing.assert_allclose(ours, nt.identify(side, metric).similarity[:, 0], rtol=1e-6)
    assert float(found.similarity.first) == pytest.approx(float(found.neurons.first.mean()))
    np.testing.assert_allclose(
        found.neurons.difference, found.neurons.first - found.neurons.second, atol=1e-7
    )
    boot = nt.bootstrap(KEY, a, "iou", num_replicates=20)
    expected = float(nt.stability(boot).top1_agreement.mean())
    assert float(found.stability.first) == pytest.approx(expected, abs=1e-6)
    assert found.same_label == 1


@pytest.mark.x32
def test_standard_errors_are_those_of_the_bootstrap():
    side = probe()
    given = nt.Labelling(side, "iou", np.arange(6)[::-1])
    found = nt.compare(KEY, nt.Labelling(side, "iou"), given, num_replicates=50, alpha=0.3173105)
    weights = nt.bootstrap_weights(KEY, side, num_replicates=50)
    f = (np.asarray(side.activations) > 0)[None] * np.asarray(weights)[:, :, None]
    c = np.asarray(side.concepts)
    both = np.einsum("bnu,nc->buc", f, c)
    either = f.sum(1)[:, :, None] + np.einsum("bn,nc->bc", weights, c)[:, None, :] - both
    iou = both / either
    gap = iou[:, range(6), range(6)] - iou[:, range(6), range(5, -1, -1)]
    ours = (found.neurons.upper - found.neurons.lower) / 2
    np.testing.assert_allclose(ours, gap.std(axis=0, ddof=1), rtol=1e-4)
    assert found.same_label == 0
    mean_error = (found.similarity.upper - found.similarity.lower) / 2
    assert mean_error == pytest.approx(gap.mean(axis=1).std(ddof=1), rel=1e-4)


@pytest.mark.x32
def test_shares_are_of_the_neurons_that_have_a_label():
    """Two noisy views of one set of samples, each with a dead neuron; winners by the bootstrap."""
    p = planted(jax.random.key(1), 500, num_neurons=6, num_concepts=9, effect=0.3)
    rng = np.random.default_rng(0)
    noisy = (np.asarray(p.activations) + rng.normal(size=(500, 6)) for _ in range(2))
    sides = [
        nt.make_probe(np.pad(f, ((0, 0), (0, 1)), constant_values=-1), p.concepts, thresholds=0.0)
        for f in noisy
    ]
    found = nt.compare(KEY, *map(nt.Labelling, sides), num_replicates=40, alpha=0.6)
    boots = [nt.bootstrap(KEY, side, "iou", num_replicates=40) for side in sides]
    won, label = zip(
        *((np.asarray(x.winners)[:, :6], np.asarray(x.label)[:6]) for x in boots), strict=True
    )
    alike = (won[0] == won[1]).mean(axis=1)
    limits = found.same_label_lower, found.same_label_upper
    np.testing.assert_allclose(limits, np.quantile(alike, (0.3, 0.7)), atol=1e-6)
    assert limits[0] < limits[1]
    assert found.same_label == pytest.approx((label[0] == label[1]).mean())
    for ours, w, own in zip(found.stability[:2], won, label, strict=True):
        assert float(ours) == pytest.approx((w == own).mean(), abs=1e-6)
    assert np.isnan(found.neurons.difference[6])


@pytest.mark.x32
def test_the_same_twice_differs_by_nothing_and_other_samples_do():
    side = probe()
    same = nt.compare(KEY, nt.Labelling(side), nt.Labelling(side), num_replicates=20)
    assert same.similarity[2:] == (0, 0, 0)
    assert (same.neurons.upper == 0).all()
    groups = np.arange(800) // 4
    apart = nt.compare(
        KEY, nt.Labelling(side), nt.Labelling(probe(groups=groups)), num_replicates=20
    )
    assert not apart.shared
    assert apart.similarity.lower < 0 < apart.similarity.upper


@pytest.mark.x32
def test_sparse_activations_give_the_same():
    rng = np.random.default_rng(0)
    c = rng.random((500, 7)) < 0.3
    f = np.maximum(rng.normal(size=(500, 9)) + 2 * c[:, np.arange(9) % 7] - 1.5, 0)
    label = np.r_[-1, np.arange(1, 9) % 7]
    dense, sparse = (
        nt.compare(
            KEY, nt.Labelling(side, "auroc", label), nt.Labelling(side, "f1"), num_replicates=40
        )
        for side in (nt.make_probe(x, c, thresholds=0.0) for x in (f, scipy.sparse.csc_array(f)))
    )
    for name in ("similarity", "stability", "neurons"):
        for x, y in zip(getattr(sparse, name), getattr(dense, name), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    assert np.isnan(dense.neurons.first).tolist() == [True] + [False] * 8


@pytest.mark.x32
@pytest.mark.slow
def test_intervals_cover_the_true_difference_and_not_nothing():
    """80 pairs of metrics on fresh data: misses within 4.5 standard errors of 10%."""
    truth = probe(99, 400_000)
    true = [float(nt.identify(truth, m).similarity[:, 0].mean()) for m in ("recall", "f1")]
    hits, alone = [], []
    for seed in range(80):
        side, label = probe(seed, 400), np.arange(6)
        found = nt.compare(
            jax.random.key(seed), nt.Labelling(side, "recall", label),
            nt.Labelling(side, "f1", label), num_replicates=30,
        )  # fmt: skip
        d = found.similarity
        hits.append(d.lower <= true[0] - true[1] <= d.upper)
        # control: as far from nothing as the difference is
        alone.append(d.lower <= 0 <= d.upper)
    # 30 replicates tell a standard error to 13%, which costs about two percent of coverage
    assert abs(np.mean(hits) - 0.88) < 4.5 * np.sqrt(0.1 * 0.9 / 80)
    assert np.mean(alone) < 0.5


@pytest.mark.x32
def test_wrong_arguments():
    side = nt.Labelling(probe())
    with pytest.raises(ValueError, match="num_replicates must be at least 2"):
        nt.compare(KEY, side, side, num_replicates=1)
    with pytest.raises(ValueError, match="label must hold a column below 9"):
        nt.compare(KEY, side, nt.Labelling(probe(), "iou", np.full(6, 9)))
