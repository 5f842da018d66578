"""Differences are those of the two, and their intervals cover, also where labels are chosen."""

import jax
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax.datasets import planted, planted_similarity
from neurotrust_jax.resampling.crossfit import cross_fit, deal_folds

KEY = jax.random.key(0)


def probe(seed=1, n=800, effect=0.7, groups=None):
    p = planted(jax.random.key(seed), n, num_neurons=6, num_concepts=9, effect=effect)
    return nt.make_probe(p.activations, p.concepts, thresholds=0.0, groups=groups)


def test_values_are_those_of_the_data():
    a, b = probe(), probe(2)
    label = np.asarray(nt.identify(a).concept[:, 0])
    sides = nt.Labelling(a, "iou", label), nt.Labelling(b, "f1", label)
    found = nt.compare(KEY, *sides, num_replicates=20)
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


def test_standard_errors_are_those_of_the_bootstrap():
    side = probe()
    given = nt.Labelling(side, "iou", np.arange(6)[::-1])
    best = nt.Labelling(side, "iou", np.asarray(nt.identify(side).concept[:, 0]))
    found = nt.compare(KEY, best, given, num_replicates=50, alpha=0.3173105)
    weights = nt.resampling.bootstrap_weights(KEY, side, num_replicates=50)
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


def test_the_same_twice_differs_by_nothing_and_other_samples_do():
    side = probe()
    same = nt.compare(KEY, nt.Labelling(side), nt.Labelling(side), num_replicates=20)
    assert same.similarity[2:] == (0, 0, 0)
    assert (same.neurons.upper == 0).all()
    groups = np.arange(800) // 4
    apart = nt.compare(
        KEY,
        nt.Labelling(side),
        nt.Labelling(probe(groups=groups)),
        num_replicates=20,
    )
    assert not apart.shared
    assert apart.similarity.lower < 0 < apart.similarity.upper


@pytest.mark.slow
def test_sparse_activations_give_the_same():
    rng = np.random.default_rng(0)
    c = rng.random((500, 7)) < 0.3
    f = np.maximum(rng.normal(size=(500, 9)) + 2 * c[:, np.arange(9) % 7] - 1.5, 0)
    label = np.r_[-1, np.arange(1, 9) % 7]
    dense, sparse = (
        nt.compare(
            KEY,
            nt.Labelling(side, "auroc", label),
            nt.Labelling(side, "f1"),
            num_replicates=40,
        )
        for side in (nt.make_probe(x, c, thresholds=0.0) for x in (f, scipy.sparse.csc_array(f)))
    )
    for name in ("similarity", "stability", "neurons"):
        for x, y in zip(getattr(sparse, name), getattr(dense, name), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    assert np.isnan(dense.neurons.first).tolist() == [True] + [False] * 8


def similarities(probe, metric, rows):
    """Of some rows alone; 0 where neuron and concept never meet."""
    return np.nan_to_num(np.asarray(nt.similarity(probe.take(np.flatnonzero(rows)), metric)))


@pytest.mark.quick("iou", "auprc")
@pytest.mark.double
@pytest.mark.parametrize("metric", ["iou", "correlation", "mad", "auprc"])
def test_cross_fitting_equals_a_loop_over_folds(metric):
    rng = np.random.default_rng(0)
    c = (rng.random((120, 6)) < 0.3).astype(float)
    f = rng.normal(size=(120, 4)) + 0.2 * c[:, :4]
    f[:, 3] = -1
    groups = np.arange(120) // 2
    weight = np.repeat(rng.integers(1, 4, 60), 2).astype(float)
    probe = nt.make_probe(f, c, thresholds=0.5, groups=groups, sample_weight=weight)
    metric = nt.METRICS[metric]
    folds = deal_folds(KEY, probe)
    assert (np.diff(folds.reshape(-1, 60, 2), axis=2) == 0).all()  # groups stay whole
    found = cross_fit(probe, metric, folds)
    whole = np.asarray(nt.similarity(probe, metric))

    def value(u, fold, dealt):
        """Of the folds ``dealt``, each with the label of the others."""
        scores = {
            k: similarities(probe, metric, np.isin(fold, list(dealt - {k})))[u] for k in dealt
        }
        label = {k: int(x.argmax()) for k, x in scores.items()}
        size = {k: weight[fold == k].sum() for k in dealt}
        total, every = 0, similarities(probe, metric, np.isin(fold, list(dealt)))[u]
        for k in dealt:
            if metric.finalise is None:
                share = size[k] / sum(size.values())
                each = scores[k][label[k]] + (every[label[k]] - scores[k][label[k]]) / share
            else:
                alike = [x for x in dealt if label[x] == label[k]]
                each = similarities(probe, metric, np.isin(fold, alike))[u, label[k]]
            total += size[k] * each
        return total / sum(size.values()), len(set(label.values()))

    every = frozenset(range(5))
    several = []
    for u in range(3):
        each = [value(u, np.asarray(fold), every) for fold in folds]
        several += [x[1] for x in each]
        mean = np.mean([x[0] for x in each])
        expected = mean + 3 / 5 * (mean - found.without[:, :, u].mean())
        assert found.value[u] == pytest.approx(expected, abs=1e-9)
        for k in range(5):
            left, _ = value(u, np.asarray(folds[1]), every - {k})
            assert found.without[1, k, u] == pytest.approx(left, abs=1e-9)
    assert max(several) > 1
    assert np.isnan(found.value[3])
    given = cross_fit(probe, metric, folds, np.array([1, 0, -1, 2]))
    fall = whole[[0, 1], [1, 0]] - given.without[:, :, :2].mean(axis=(0, 1))
    np.testing.assert_allclose(given.value[:2], whole[[0, 1], [1, 0]] + 3 / 5 * fall)
    rest = similarities(probe, metric, np.asarray(folds[0]) != 2)
    np.testing.assert_allclose(given.without[0, 2, :2], rest[[0, 1], [1, 0]])
    assert np.isnan(given.value[2:]).all()


def test_errors_are_those_of_the_jackknife_over_folds():
    side, other = probe(n=600, effect=0.1), probe(2, n=600, effect=0.1)
    chosen, given = nt.Labelling(side), nt.Labelling(side, "iou", np.arange(6))
    apart = nt.Labelling(nt.make_probe(*(x[:500] for x in (other.activations, other.concepts)),
                                       thresholds=0.0))  # fmt: skip
    key = jax.random.split(KEY, 1)[0]
    fits = [cross_fit(side, nt.METRICS["iou"], deal_folds(key, side), x)
            for x in (None, np.arange(6))]  # fmt: skip
    key = jax.random.split(jax.random.fold_in(KEY, 1), 1)[0]
    fits.append(cross_fit(apart.probe, nt.METRICS["iou"], deal_folds(key, apart.probe)))

    def variance(x):
        return np.mean([4 / 5 * ((y - y.mean(0)) ** 2).sum(0) for y in x], axis=0)

    a, b, c = (x.without for x in fits)
    for second, moved in ((given, [a - b]), (apart, [a, c])):
        found = nt.compare(KEY, chosen, second, num_replicates=2, alpha=0.3173105)
        np.testing.assert_allclose(
            found.neurons.upper - found.neurons.difference,
            np.sqrt(sum(map(variance, moved))), rtol=1e-4,
        )  # fmt: skip
        mean = np.sqrt(sum(variance(x.mean(axis=2)) for x in moved))
        assert found.similarity.upper - found.similarity.difference == pytest.approx(mean, rel=1e-4)
        np.testing.assert_allclose(found.neurons.first, fits[0].value, rtol=1e-6)


@pytest.mark.slow
def test_limits_of_stability_tell_what_other_replicates_give():
    """Spread over 60 keys against the mean standard error, within 4.5 of its own errors."""
    rng = np.random.default_rng(0)
    p = planted(jax.random.key(1), 300, num_neurons=6, num_concepts=9, effect=0.1)
    f = np.asarray(p.activations)
    sides = [
        nt.Labelling(nt.make_probe(x, p.concepts, thresholds=0.0))
        for x in (f, f + rng.normal(size=f.shape))
    ]
    found = [
        nt.compare(jax.random.key(i), *sides, num_replicates=32, alpha=0.3173105).stability
        for i in range(60)
    ]
    spread = np.std([x.difference for x in found], ddof=1)
    told = np.mean([x.upper - x.difference for x in found])
    assert spread == pytest.approx(told, rel=4.5 / np.sqrt(2 * 60))


def test_labels_given_are_those_of_all_replicates():
    side = probe(effect=0.1)
    label = np.arange(6)
    given = nt.Labelling(side, "iou", label)
    other = nt.Labelling(side, "iou", np.r_[label[:3], 8, 8, 8])
    found = nt.compare(KEY, given, other, num_replicates=20)
    assert found.same_label == found.same_label_lower == found.same_label_upper == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("case", ["given", "layers", "probing sets"])
def test_intervals_of_chosen_labels_cover(case):
    """Three near ties in 40 concepts: intervals at 80% hold, those of the same data do not.

    A label given is the truly best one, layers are a clear and this unclear one.
    """
    effect = np.zeros((32, 40))
    for u, row in enumerate(effect):
        row[[u, (u + 1) % 40, (u + 7) % 40]] = 0.16, 0.13, 0.1
    clear = np.zeros_like(effect)
    clear[np.arange(32), np.arange(32)] = 0.6
    hits, alone, neurons = [], [], []
    for seed in range(60):
        p = planted(jax.random.key(seed), 500, num_neurons=64, num_concepts=40,
                    effect=np.concatenate([effect, clear]))  # fmt: skip
        f, c = np.asarray(p.activations), np.asarray(p.concepts)
        truth = np.asarray(planted_similarity(p, "iou"))
        probes = [nt.make_probe(f[:, :32], c, thresholds=0.0)] * 2
        truths = [truth[:32]] * 2
        if case != "given":
            probes[1], truths[1] = nt.make_probe(f[:, 32:], c, thresholds=0.0), truth[32:]
        if case == "probing sets":
            q = planted(jax.random.key(1000 + seed), 500, num_neurons=32, num_concepts=40,
                        effect=clear)  # fmt: skip
            probes[1] = nt.make_probe(q.activations, q.concepts, thresholds=0.0)
        label = [np.asarray(nt.identify(x).concept[:, 0]) for x in probes]
        if case == "given":
            label[1] = truth[:32].argmax(axis=1)
        true = np.subtract(*(x[np.arange(32), y] for x, y in zip(truths, label, strict=True)))
        sides = [nt.Labelling(x) for x in probes]
        fixed = [nt.Labelling(x, "iou", y) for x, y in zip(probes, label, strict=True)]
        if case == "given":
            sides[1] = fixed[1]
        key = jax.random.key(seed)
        found = nt.compare(key, *sides, num_replicates=2, alpha=0.2)
        naive = nt.compare(key, *fixed, num_replicates=32, alpha=0.2).similarity
        d, each = found.similarity, found.neurons
        hits.append(d.lower <= true.mean() <= d.upper)
        neurons.append(np.mean((each.lower <= true) & (true <= each.upper)))
        alone.append(naive.lower <= true.mean() <= naive.upper)
    slack = 3 * np.sqrt(0.2 * 0.8 / 60)
    assert np.mean(hits) > 0.8 - slack
    assert np.mean(neurons) > 0.8 - 3 * np.std(neurons) / np.sqrt(60)
    assert np.mean(alone) < 0.5


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


def test_wrong_arguments():
    side = nt.Labelling(probe())
    with pytest.raises(ValueError, match="num_replicates must be at least 2"):
        nt.compare(KEY, side, side, num_replicates=1)
    with pytest.raises(ValueError, match="label must hold a column below 9"):
        nt.compare(KEY, side, nt.Labelling(probe(), "iou", np.full(6, 9)))
    with pytest.raises(ValueError, match=r"need at least 3 sampling units.* got 2; give labels"):
        nt.compare(KEY, nt.Labelling(probe(groups=np.arange(800) // 400)), side)
