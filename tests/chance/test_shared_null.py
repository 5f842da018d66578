"""The null that neurons of one tie pattern share: exact, valid, and enough of it by default."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax._numerics import ranks as ranks_of_columns
from neurotrust_jax.chance import layer_null, p_values, permutations, shared_null, tie_patterns
from neurotrust_jax.chance.null import permutation_test

KEY = jax.random.key(0)
SHARING = [
    name
    for name, m in nt.METRICS.items()
    if m.finalise is not None and m.neuron_view in ("rank", "binary")
]


def layer(n=60, seed=0):
    """Neurons without ties, with one, two and many, and two constant ones."""
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(n, 14))
    f[:, 1:6] = np.maximum(f[:, 1:6], [-1, -0.5, 0, 0.5, 1])  # a tie at the bottom
    f[:, 6] = np.minimum(f[:, 6], 0.3)
    f[:, 7] = np.clip(f[:, 7], -0.5, 0.5)
    f[:, 8:10] = np.round(2 * f[:, 8:10])
    f[:, 10] = 1
    f[:, 11] = 0
    f[1, 12], f[3, 13] = f[0, 12], f[2, 13]  # pairs
    return f


def concepts(n=60, seed=1, binary=True):
    c = np.random.default_rng(seed).random((n, 6))
    return c < 0.3 if binary else np.round(c, 1)


def naive_replicate(metric, f, c, rank):
    """Statistics of one permutation, in which the sample of rank j meets the values of rank j."""
    best = []
    for column in f.T:
        moved = -np.sort(-column)[rank]
        probe = nt.make_probe(moved[:, None], c, thresholds=0.1)
        best.append(np.fmax.reduce(np.asarray(nt.similarity(probe, metric))[0]))
    return np.array(best)


@pytest.mark.quick("iou", "auroc", "wpmi")
@pytest.mark.double
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("few", [0, 99])
@pytest.mark.parametrize("metric", SHARING)
def test_a_replicate_is_the_metric_of_permuted_concepts(metric, few, whole, monkeypatch):
    """By running sums, of whole numbers or of floats, or by products: the same, and the metric."""
    monkeypatch.setattr(shared_null, "FEW", few)
    monkeypatch.setattr(shared_null, "MOST_WHOLE", 10**5 * whole)
    monkeypatch.setattr(shared_null, "TOGETHER", 2)
    monkeypatch.setattr(tie_patterns, "TIE_SHARE", 0.0)
    f = layer()
    c = concepts(binary=nt.METRICS[metric].concept_view == "binary")
    probe = nt.make_probe(f, c, thresholds=0.1)
    shared = shared_null.prepare_shared_null(probe, nt.METRICS[metric])
    assert shared.summed.any() == (few == 0)
    (found,) = shared.replicates(KEY)(np.arange(3))
    own = shared.patterns.of_neuron
    np.testing.assert_array_equal(own < 0, np.isnan(naive_replicate(metric, f, c, np.arange(60))))
    for r, rank in enumerate(permutations.draw_ranks(KEY, np.arange(3), 60).astype(int)):
        expected = naive_replicate(metric, f, c, rank)[own >= 0]
        np.testing.assert_allclose(found[r, own[own >= 0]], expected, rtol=1e-9, atol=1e-12)


def test_sums_are_whole_numbers_in_single_precision():
    """Both ways give the same float32 from sums of ranks, as no sum is rounded."""
    f, c = layer(3000).astype(np.float32), concepts(3000)
    shared = shared_null.prepare_shared_null(nt.make_probe(f, c), nt.METRICS["auroc"])
    by_sums = shared.summed
    assert by_sums.sum() >= 7
    (ways,) = shared.replicates(KEY)(np.arange(8))
    few, shared_null.FEW = shared_null.FEW, 99
    try:
        (product,) = shared.replicates(KEY)(np.arange(8))
    finally:
        shared_null.FEW = few
    np.testing.assert_allclose(ways, product, rtol=2e-7)


@pytest.mark.parametrize("metric", ["iou", "auroc"])
def test_a_replicate_depends_on_the_key_and_its_number_alone(metric):
    """Not on the chunk size, on how many there are, or on the other neurons."""
    f, c = layer(200), concepts(200)
    probe = nt.make_probe(f, c, top_fraction=0.2)
    shared = shared_null.prepare_shared_null(probe, nt.METRICS[metric])
    (whole,) = shared.replicates(KEY)(np.arange(40))
    for ids in (np.arange(7), np.arange(20, 33)):
        np.testing.assert_allclose(shared.replicates(KEY)(ids)[0], whole[ids], rtol=1e-6)
    for u in range(3):
        alone = shared_null.prepare_shared_null(
            probe.of_neurons(slice(u, u + 1)), nt.METRICS[metric]
        )
        (found,) = alone.replicates(KEY)(np.arange(40))
        expected = whole[:, shared.patterns.of_neuron[u]]
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)
    options = {"num_permutations": 50, "alpha": 0.1}
    one = permutation_test(KEY, probe, metric, **options)
    told = []
    other = permutation_test(
        KEY, probe, metric, chunk_size=7, progress=lambda *x: told.append(x), **options
    )
    for x, y in zip(*map(jax.tree.leaves, (one, other)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)
    assert told == [(min(7 * i, 50), 50) for i in range(1, 9)]


@pytest.mark.quick("iou", "auroc")
@pytest.mark.double
@pytest.mark.parametrize("metric", ["iou", "auroc", "spearman"])
def test_agrees_with_all_permutations(metric):
    """All 720 orders of 6 samples: p-value, mean and quantile within Monte Carlo error."""
    rng = np.random.default_rng(3)
    c = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [1, 1]], bool)
    f = np.stack([c[:, 0] + 0.1 * rng.normal(size=6), np.round(rng.normal(size=6), 1)], axis=1)
    f[:, 1] = np.maximum(f[:, 1], np.sort(f[:, 1])[2])
    probe = nt.make_probe(f, c, thresholds=0.4)
    orders = [np.array(x) for x in itertools.permutations(range(6))]

    def best(order):
        moved = replace(probe, concepts=jnp.asarray(c[order]))
        return np.nanmax(np.asarray(nt.similarity(moved, metric)), axis=1)

    null, observed = np.array([best(x) for x in orders]), best(np.arange(6))
    size = 4000
    test = permutation_test(KEY, probe, metric, num_permutations=size)
    exact = (null >= observed - 1e-9).mean(axis=0)
    noise = np.sqrt(exact * (1 - exact) / size)
    assert (np.abs(np.asarray(test.p_value) - exact) <= 4 * noise + 1 / size).all()
    error = 4 * null.std(axis=0) / np.sqrt(size)
    np.testing.assert_array_less(np.abs(test.null_mean - null.mean(axis=0)), error + 1e-12)


@pytest.mark.quick("iou", "wpmi")
@pytest.mark.parametrize("metric", ["iou", "auroc", "wpmi"])
def test_agrees_with_a_null_of_each_neuron(metric, monkeypatch):
    """Two independent estimates of each p-value: within five standard errors of each other."""
    f, c = layer(300), concepts(300)
    f[:, 1] += 0.5 * c[:, 1]
    probe = nt.make_probe(f, c, top_fraction=0.1)
    size = 2000
    ours = permutation_test(KEY, probe, metric, num_permutations=size)
    monkeypatch.setattr("neurotrust_jax.chance.null.shared_null", lambda *x: None)
    each = permutation_test(jax.random.key(1), probe, metric, num_permutations=size)
    p, q = np.asarray(ours.p_value), np.asarray(each.p_value)
    np.testing.assert_array_equal(np.isnan(p), np.isnan(q))
    middle = (p + q) / 2
    near = np.abs(p - q) <= 5 * np.sqrt(2 * middle * (1 - middle) / size) + 2 / size
    assert near[~np.isnan(p)].all()
    np.testing.assert_allclose(ours.null_mean, each.null_mean, rtol=0.02)


@pytest.mark.double
@pytest.mark.parametrize("metric", ["auroc", "spearman"])
def test_ties_left_out_are_within_their_bound(metric, monkeypatch):
    """The same permutations with and without chance ties: never further apart than allowed for."""
    rng = np.random.default_rng(5)
    n = 4000
    f, c = rng.normal(size=(n, 12)), rng.random((n, 8)) < rng.uniform(0.01, 0.3, 8)
    f[:, 6:] = np.maximum(f[:, 6:], 0)
    for u in range(12):  # up to eleven pairs, or a tie of three
        at = rng.choice(np.flatnonzero(f[:, u] != 0), 2 * u + 1, replace=False)
        f[at[:u], u] = f[at[u : 2 * u], u]
        f[at[-1], u] = f[at[0], u]
    probe = nt.make_probe(f, c)
    left = shared_null.prepare_shared_null(probe, nt.METRICS[metric])
    assert len(left.patterns.blocks) == 7
    monkeypatch.setattr(tie_patterns, "TIE_SHARE", 0.0)
    exact = shared_null.prepare_shared_null(probe, nt.METRICS[metric])
    assert len(exact.patterns.blocks) == 12
    assert not exact.slack.any()
    ids = np.arange(60)
    (near,), (true,) = (x.replicates(KEY)(ids) for x in (left, exact))
    near, true = near[:, left.patterns.of_neuron], true[:, exact.patterns.of_neuron]
    allowed = left.slack + left.patterns.excess * np.abs(near).max(axis=0)
    apart = np.abs(near - true).max(axis=0)
    assert (apart <= allowed + 1e-12).all()
    assert np.count_nonzero(apart) >= 11  # the first neuron has no ties
    assert (allowed <= 0.02 * near.std(axis=0)).all()


def test_ties_left_out_make_no_p_value_smaller(monkeypatch):
    rng = np.random.default_rng(6)
    f, c = np.round(rng.normal(size=(2000, 40)), 4), rng.random((2000, 10)) < 0.3
    probe = nt.make_probe(f, c)
    ours = permutation_test(KEY, probe, "auroc", num_permutations=999)
    monkeypatch.setattr(tie_patterns, "TIE_SHARE", 0.0)
    exact = permutation_test(KEY, probe, "auroc", num_permutations=999)
    extra = np.asarray(ours.p_value) - np.asarray(exact.p_value)
    assert (extra >= 0).all()
    assert extra.max() <= 0.02
    # the bound is used: without it some p-values would be too small
    assert (extra > 0).any()


def test_patterns_of_a_layer():
    """The neurons that share one, by hand; a metric of unknown slope leaves no tie out."""
    n = 1000
    f = np.arange(n, dtype=float)[:, None] * np.ones(5)
    f[:100, 1] = 0
    f[:100, 2] = 50
    f[-1, 3] = f[-2, 3]
    f[:, 4] = f[::-1, 0]
    probe = nt.make_probe(f, concepts(n))
    found = tie_patterns.tie_patterns(probe, nt.METRICS["auroc"], 10.0)
    assert found.blocks == ((), (900, 1000))
    np.testing.assert_array_equal(found.of_neuron, [0, 1, 1, 0, 0])
    np.testing.assert_array_equal(found.left_out, [0, 0, 0, 1, 0])
    unknown = replace(nt.METRICS["auroc"], linear_in_products=False)
    found = tie_patterns.tie_patterns(probe, unknown, 10.0)
    assert found.blocks == ((), (900, 1000), (0, 2))
    for blocks in found.blocks:
        level = tie_patterns.levels(found, blocks)
        assert level.sum() == 0
        assert (level**2).sum() == tie_patterns.square_sum(found, blocks)
    found = tie_patterns.tie_patterns(replace(probe, thresholds=jnp.full(5, 49.5)),
                                      nt.METRICS["iou"], 10.0)  # fmt: skip
    assert found.blocks == ((950,), (900,), (1000,))[:1] + found.blocks[1:]
    np.testing.assert_array_equal(found.of_neuron, [0, 1, -1, 0, 0])


def test_ties_by_xla_are_those_of_numpy(monkeypatch):
    values = jnp.asarray(np.concatenate([layer(150), -0.0 * layer(150)[:, :1]], axis=1), "float32")
    by_numpy = ranks_of_columns.tied_with_next(values)
    monkeypatch.setattr(ranks_of_columns, "_by_numpy", lambda values: False)
    np.testing.assert_array_equal(ranks_of_columns.tied_with_next(values), by_numpy)


def test_every_order_of_samples_is_as_likely():
    """All 24 of four samples by chi-square, at five standard deviations."""
    ranks = permutations.draw_ranks(KEY, np.arange(2400), 4)
    seen = np.unique(ranks, axis=0, return_counts=True)[1]
    assert len(seen) == 24
    assert ((seen - 100) ** 2 / 100).sum() < 23 + 5 * np.sqrt(2 * 23)
    other = permutations.draw_ranks(jax.random.key(1), np.arange(2400), 4)
    assert (ranks == other).all(axis=1).mean() < 0.1
    for n in (65_535, 65_536):
        (one,) = permutations.draw_ranks(KEY, np.array([3]), n)
        np.testing.assert_array_equal(np.sort(one), np.arange(n))


def test_neurons_without_a_label_have_no_null():
    f, c = np.ones((50, 3)), concepts(50)
    test = permutation_test(KEY, nt.make_probe(f, c), "auroc", num_permutations=19)
    for x in (test.p_value, test.q_value, test.p_familywise, test.null_mean, test.null_quantile):
        assert np.isnan(x).all()
    assert not np.asarray(test.explained).any()


def test_holm_by_hand():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(p_values.holm(p), [0.04, np.nan, 0.09, 0.09, 0.5])
    assert np.isnan(p_values.holm(np.full(2, np.nan))).all()


def test_a_neuron_that_stands_alone_is_found_by_default():
    """1 / (R + 1) <= alpha / U, in a layer of noise; groups have 1,000."""
    rng = np.random.default_rng(0)
    f, c = rng.normal(size=(300, 64)), concepts(300)
    f[:, 5] += 3 * c[:, 2]
    probe = nt.make_probe(f, c)
    test = permutation_test(KEY, probe, "auroc", alpha=0.01)
    assert test.num_permutations == 6399
    assert float(test.q_value[5]) <= 0.01
    assert float(test.p_familywise[5]) <= 0.01
    few = permutation_test(KEY, probe, "auroc", alpha=0.01, num_permutations=1000)
    assert not np.asarray(few.explained).any()
    grouped = nt.make_probe(f[:, :2], c, groups=np.arange(300) // 2)
    assert permutation_test(KEY, grouped, "auroc", alpha=0.01).num_permutations == 1000


def test_the_default_number_is_limited():
    probe = nt.make_probe(layer(), concepts())
    shared = shared_null.prepare_shared_null(probe, nt.METRICS["auroc"])
    number = layer_null.enough_permutations

    def of(n, blocks):
        return shared._replace(patterns=shared.patterns._replace(num_samples=n, blocks=blocks))

    assert number(10, 0.05, of(100, ((),))) == 1000
    assert number(4096, 0.1, of(10_000, ((),))) == 40_959
    assert number(10**6, 0.1, of(10_000, ((),))) == 100_000
    assert number(10**6, 0.1, of(50_000, ((),))) == 20_000
    assert number(10**6, 0.1, of(10_000, tuple((0, i) for i in range(400)))) == 10_000
    assert number(10**6, 0.1, of(10_000, ((*range(20),),) * 5)) == 20_000
    assert number(10**6, 0.1, of(10**7, ((),))) == 1000
    assert number(10**6, 0.1, None) == 1000
    assert number(4, 0.0001, None) == 9999
