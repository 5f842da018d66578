"""Standard errors against finite differences, published variances, and their contract."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from builders import KINDS

import neurotrust_jax as nt
from neurotrust_jax.faithfulness import jackknife
from neurotrust_jax.faithfulness.jackknife import standard_error
from neurotrust_jax.metrics.metric import six_sum_metric
from neurotrust_jax.metrics.scores import prepare
from neurotrust_jax.metrics.transforms import VIEWS

EVERY = list(nt.METRICS)
POLYNOMIAL = [
    m.name
    for m in nt.METRICS.values()
    if m.finalise
    and all(VIEWS[v].weights_enter != "other" for v in (m.neuron_view, m.concept_view))
]
N = 44


def make(seed=0, n=N, grouped=False, weights="uneven", binary=False):
    """Ties among activations and scores; the top 5% are distinct, as rank_reorder needs."""
    rng = np.random.default_rng(seed)
    f = np.round(4 * rng.normal(size=(n, 2))) / 4
    f[:8] = 10 + rng.permuted(np.tile(np.arange(8)[:, None] / 4, 2), axis=0)
    c = np.round(rng.uniform(size=(n, 3)), 1)
    w = rng.uniform(1, 5, n)  # beyond 100 in all, so that soft_wpmi's top 100 leaves rows out
    if weights == "zeros":
        w[5:15] = 0
    return nt.make_probe(
        f,
        (c > 0.6) if binary else c,
        thresholds=0.3,
        sample_weight=np.ones(n) if weights == "ones" else w,
        groups=rng.permutation(np.arange(n) % 11) if grouped else None,
    )


@functools.cache
def compiled_score(metric):
    return jax.jit(nt.METRICS[metric].score)


def by_differences(probe, metric, units):
    """Central differences in the weight of each unit, one at a time; units [n] are 0..G - 1."""
    prepared = prepare(probe, nt.METRICS[metric])
    score = compiled_score(metric)
    w, h = np.asarray(probe.weights), 1e-6
    slopes = []
    for unit in range(units.max() + 1):
        step = w * h * (units == unit)
        if step.any():
            ahead, behind = (score(prepared, jnp.asarray(w + s * step)) for s in (1, -1))
            slopes.append((np.asarray(ahead) - np.asarray(behind)) / (2 * h))
    return math.sqrt(len(slopes)) * np.std(slopes, axis=0, ddof=1)


def per_unit(probe):
    return np.arange(probe.num_samples) if probe.groups is None else np.asarray(probe.groups)


@pytest.mark.quick("iou", "auroc", "correlation", "soft_wpmi")
@pytest.mark.double
@pytest.mark.parametrize(("grouped", "weights"), [(False, "zeros"), (True, "uneven")])
@pytest.mark.parametrize("metric", [*KINDS, "soft_wpmi", "wpmi_topk"])
def test_equals_finite_differences(metric, grouped, weights):
    probe = make(grouped=grouped, weights=weights)
    error, freedom = standard_error(probe, metric)
    expected = by_differences(probe, metric, per_unit(probe))
    np.testing.assert_allclose(np.asarray(error), expected, rtol=1e-5, atol=1e-12)
    units = 11 if grouped else np.count_nonzero(probe.weights)
    assert freedom == (units - 1 if nt.METRICS[metric].joint else math.inf)


@pytest.mark.quick("iou", "wpmi_topk")
@pytest.mark.double
@pytest.mark.parametrize("metric", ["iou", "auroc", "auprc", "wpmi_topk"])
def test_equal_weights_at_the_edge_of_the_top(metric):
    """A top k that ends exactly with a row has two slopes; both methods take their mean."""
    probe = make(seed=1, weights="ones", binary=True)
    error, _ = standard_error(probe, metric)
    expected = by_differences(probe, metric, per_unit(probe))
    np.testing.assert_allclose(np.asarray(error), expected, rtol=1e-5)


@pytest.mark.quick("iou", "correlation")
@pytest.mark.parametrize("metric", POLYNOMIAL)
def test_moments_equal_gradients(metric, precision):
    probe = make(seed=2)
    slow = jackknife._by_gradients(
        prepare(probe, nt.METRICS[metric]), probe.weights, None,
        metric=nt.METRICS[metric], num_units=probe.num_units,
    )  # fmt: skip
    tolerance = 1e-4 if precision == "x32" else 1e-10
    np.testing.assert_allclose(
        np.asarray(standard_error(probe, metric)[0]), np.asarray(slow), rtol=tolerance
    )


@pytest.mark.quick("auroc", "wpmi_topk")
@pytest.mark.parametrize("metric", [m for m in EVERY if m not in POLYNOMIAL])
def test_single_precision_suffices(metric):
    single = np.asarray(standard_error(make(), metric)[0])
    with jax.enable_x64(True):
        double = np.asarray(standard_error(make(), metric)[0])
    assert single.dtype == np.float32
    # of a pair that can not vary, rounding leaves 1e-48 in the doubles
    np.testing.assert_allclose(single, double, rtol=2e-4, atol=1e-30)


def column(probe, view):
    f = np.asarray(probe.activations, float)[:, 0]
    a, y = (np.asarray(x.present)[:, 0] for x in (probe.neurons, probe.labels))
    return {"f": f, "a": a, "y": y}[view]


def delong(f, y):
    """DeLong, DeLong & Clarke-Pearson (1988) from placement values, divided by m and n."""
    wins = (f[y][:, None] > f[~y]) + 0.5 * (f[y][:, None] == f[~y])
    return wins.mean(axis=1).var() / y.sum() + wins.mean(axis=0).var() / (~y).sum()


def outside(metric, f, a, y):
    """Published variance with each sum of squares over its count, not its count less one."""
    match metric:
        case "accuracy":
            return (a == y).var() / len(y)  # binomial
        case "precision":
            return y[a].var() / a.sum()
        case "recall":
            return a[y].var() / y.sum()
        case "mad":  # Welch
            return sum(scipy.stats.sem(part, ddof=0) ** 2 for part in (f[y], f[~y]))
        case "auroc":
            return delong(f, y)


@pytest.mark.quick("x64-recall", "x32-auroc", "x32-mad")
@pytest.mark.both_precisions
@pytest.mark.optimised
@pytest.mark.parametrize("metric", ["accuracy", "precision", "recall", "mad", "auroc"])
def test_equals_published_variance(metric, precision):
    probe = make(seed=3, weights="ones", binary=True)
    error = np.asarray(standard_error(probe, metric)[0])[0, 0]
    expected = math.sqrt(outside(metric, *(column(probe, v) for v in "fay")) * N / (N - 1))
    np.testing.assert_allclose(error, expected, rtol=1e-5 if precision == "x32" else 1e-10)


@pytest.mark.parametrize("r", [0.0, 0.9, 0.9999])
def test_correlation_of_normal_columns(r):
    """(1 - r^2) / sqrt(n) within its sampling error, also where the moments cancel in float32."""
    rng = np.random.default_rng(4)
    z, noise = rng.normal(size=(2, 20_000, 1))
    f = r * z + math.sqrt(1 - r**2) * noise
    probe = nt.make_probe(f, (z - z.min()) / np.ptp(z))
    error = float(standard_error(probe, "correlation")[0][0, 0])
    assert error == pytest.approx((1 - r**2) / math.sqrt(20_000), rel=0.04)


def test_a_perfect_pair_has_no_error():
    y = np.random.default_rng(5).random((N, 1)) < 0.3
    probe = nt.make_probe(y * 1.0, y, thresholds=0.5)
    for metric in ("iou", "accuracy", "auroc", "correlation"):
        assert float(standard_error(probe, metric)[0][0, 0]) == pytest.approx(0, abs=1e-6)


@pytest.mark.double
@pytest.mark.parametrize("grouped", [False, True])
def test_influences_that_do_not_add_up_to_nothing_are_centred(grouped):
    """A similarity of one's own that grows with the weights; those of the table do not."""
    rng = np.random.default_rng(5)
    f, c = (x / np.abs(x).max() for x in rng.normal(size=(2, 60, 1)))
    groups = np.arange(60) // 3
    metric = six_sum_metric("total", "raw", "raw", lambda s: s.FC, (-np.inf, np.inf), "a sum")
    probe = nt.make_probe(f, np.abs(c), thresholds=0.0, groups=groups if grouped else None)
    error, freedom = standard_error(probe, metric)
    jackknife = (f * np.abs(c))[:, 0]
    if grouped:
        jackknife = np.bincount(groups, jackknife)
    expected = np.sqrt(len(jackknife)) * jackknife.std(ddof=1)
    np.testing.assert_allclose(error, [[expected]], rtol=1e-9)
    assert freedom == np.inf


@pytest.mark.double
def test_blocks_of_a_joint_metric():
    rng = np.random.default_rng(6)
    probe = nt.make_probe(rng.normal(size=(320, 2)), rng.uniform(0.3, 1, (320, 3)))
    blocks, num_blocks = jackknife._blocks(probe)
    assert num_blocks == 64
    assert set(np.bincount(np.asarray(blocks))) == {5}
    error, freedom = standard_error(probe, "wpmi_topk")
    assert freedom == 63
    expected = by_differences(probe, "wpmi_topk", np.asarray(blocks))
    np.testing.assert_allclose(np.asarray(error), expected, rtol=1e-5)
    # of the 378 pairs of rows in the top 28 about 5 share a block: some 8% of the error
    every = by_differences(probe, "wpmi_topk", np.arange(320))
    np.testing.assert_allclose(np.asarray(error), every, rtol=0.4)


def test_blocks_keep_groups_whole():
    groups = np.repeat(np.arange(130), 2)
    probe = nt.make_probe(np.ones((260, 1)), np.ones((260, 1), bool), groups=groups)
    blocks, num_blocks = jackknife._blocks(probe)
    assert num_blocks == 64
    assert (np.asarray(blocks)[::2] == np.asarray(blocks)[1::2]).all()
    assert set(np.bincount(np.asarray(blocks))) == {4, 6}


@pytest.mark.quick("iou", "auroc", "correlation", "auprc")
@pytest.mark.parametrize("metric", KINDS)
def test_undefined_where_the_similarity_is(metric):
    rng = np.random.default_rng(7)
    f = np.column_stack([rng.normal(size=N), np.zeros(N)])
    c = np.column_stack([rng.random(N) < 0.5, np.zeros(N), np.ones(N)])
    probe = nt.make_probe(f, c.astype(bool), thresholds=0.3)
    error = np.asarray(standard_error(probe, metric)[0])
    assert np.isnan(error).tolist() == [[False, True, True], [True, True, True]]


@pytest.mark.parametrize("metric", ["iou", "wpmi_topk"])
def test_undefined_for_a_single_unit(metric):
    rng = np.random.default_rng(7)
    probe = nt.make_probe(rng.normal(size=(N, 2)), rng.random((N, 3)) < 0.5, groups=np.zeros(N))
    assert np.isfinite(np.asarray(nt.similarity(probe, metric))).all()
    assert np.isnan(np.asarray(standard_error(probe, metric)[0])).all()


@pytest.mark.optimised
@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_mean_difference_of_any_scale(scale):
    probe = make(seed=8, binary=True)
    scaled = nt.make_probe(
        probe.activations * scale, probe.concepts, sample_weight=probe.sample_weight
    )
    np.testing.assert_allclose(
        np.asarray(standard_error(scaled, "mad")[0]) / scale,
        np.asarray(standard_error(probe, "mad")[0]),
        rtol=1e-4,
    )


def test_concepts_in_chunks(monkeypatch):
    probe = make(seed=9)
    expected, _ = standard_error(probe, "wpmi")
    rows = np.arange(N + 1) % N  # another shape, so that it is compiled anew
    w = np.asarray(probe.sample_weight)[rows] * (np.arange(N + 1) < N)
    longer = nt.make_probe(
        probe.activations[rows], probe.concepts[rows], thresholds=0.3, sample_weight=w
    )
    monkeypatch.setattr(jackknife, "CHUNK", 2 * N + 2)
    np.testing.assert_allclose(
        np.asarray(standard_error(longer, "wpmi")[0]), np.asarray(expected), rtol=1e-5
    )


def test_names_compile_nothing_anew():
    probe = make(seed=10)
    standard_error(probe, "iou")
    compiled = jackknife._by_moments._cache_size()
    other = nt.make_probe(
        probe.activations, probe.concepts, sample_weight=probe.sample_weight,
        thresholds=0.1, neuron_names=("a", "b"),
    )  # fmt: skip
    standard_error(other, "iou")
    assert jackknife._by_moments._cache_size() == compiled
