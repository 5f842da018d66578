"""Numbers at the edge: large counts, the largest and smallest floats, short floats, least data.

Every metric is held against the naive loops in double precision; what a float can not hold is NaN
with a reason, never a wrong number.
"""

from dataclasses import replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.sparse
from builders import KINDS, LONG_SUMS, tied_data

import neurotrust_jax as nt
from neurotrust_jax._engine.streamed_replicates import _value
from neurotrust_jax._numerics.sums import Sums

EVERY = list(nt.METRICS)
TOP_ROWS = ("soft_wpmi", "wpmi_topk")  # their top is a weight, not a share of it
COUNTS = [m.name for m in nt.METRICS.values() if m.neuron_view == m.concept_view == "binary"]
KEY = jax.random.key(0)


def naive(metric, probe, rows=slice(None)):
    """By the loops on some rows, the values as they are after conversion."""
    return oracles.similarity(
        metric,
        np.asarray(probe.neurons.values, float)[rows],
        np.asarray(probe.labels.values, float)[rows],
        np.asarray(probe.active)[rows],
        np.asarray(probe.present)[rows],
    )


def assert_close(ours, expected, metric, tolerance=2e-5):
    tolerance = tolerance * (10 if metric in LONG_SUMS else 1)
    np.testing.assert_allclose(np.asarray(ours, float), expected, rtol=tolerance, atol=tolerance)


def weighted_data():
    f, c = tied_data(seed=1)
    w = np.random.default_rng(2).integers(0, 4, len(f))
    w[: -w.sum() % 20] += 1  # a top of 5% is a whole number
    return f, c, w


@pytest.mark.optimised
@pytest.mark.parametrize("factor", [2.0**24, 2.0**31, 123_456_789.0])
@pytest.mark.parametrize("metric", [m for m in EVERY if m not in TOP_ROWS])
def test_counts_beyond_single_precision(metric, factor):
    """A weight of 2^31 a row: totals of 5e11, of which float32 holds the first seven digits.

    Equal weights times a constant leave every score as it is: exactly where the constant is a power
    of two and only counts are divided.
    """
    f, c, w = weighted_data()
    light = nt.make_probe(f, c, thresholds=0.6, sample_weight=w)
    # past make_probe, which would scale them
    heavy = replace(light, sample_weight=jnp.asarray(w * factor, jnp.float32))
    found = np.asarray(nt.similarity(heavy, metric))
    if metric in COUNTS and factor != 123_456_789:
        np.testing.assert_array_equal(found, nt.similarity(light, metric))
    if metric == "rank_reorder":  # whose loop can not share a tie at the end of the top
        expected = np.asarray(nt.similarity(light, metric), float)
    else:
        expected = naive(metric, light, np.repeat(np.arange(len(f)), w))
    assert_close(found, expected, metric)


@pytest.mark.optimised
@pytest.mark.parametrize("metric", TOP_ROWS)
def test_the_top_of_heavy_rows_is_the_first(metric):
    """The total of the weights is so large that its rounding exceeds the top's whole weight."""
    f, c, w = weighted_data()
    heavy = jnp.asarray(w * 123_456_789.0 + 200, jnp.float32)
    probe = replace(nt.make_probe(f, c), sample_weight=heavy)
    likelihood = []
    for u in range(f.shape[1]):
        first = np.argmax(f[:, u])  # the highest are distinct
        belongs = 0.998 - 49.5 / 100 * 0.028 if metric == "soft_wpmi" else 1.0
        k = 100 if metric == "soft_wpmi" else 28
        likelihood.append(k * np.log(1 + belongs * (c[first] - 1) + 1e-7))
    strength = 1.0 if metric == "soft_wpmi" else 0.6
    expected = oracles.mutual_information(np.stack(likelihood), strength)
    assert_close(nt.similarity(probe, metric), expected, metric)


@pytest.mark.optimised
@pytest.mark.parametrize("metric", COUNTS)
def test_few_absent_among_many_are_right_to_the_rounding_of_the_total(metric):
    """A concept absent on 8 of 160 samples that weigh little: S - C keeps what eps S leaves."""
    f, c, _ = weighted_data()
    c = np.ones(c.shape, bool)
    c[100:108] = False
    w = np.where(c[:, 0], 2.0**12, 1.0) + np.arange(160) / 256
    probe = nt.make_probe(f, c, thresholds=0.6, sample_weight=w)
    with jax.enable_x64(True):
        exact = nt.make_probe(f, c, thresholds=0.6, sample_weight=w)
        expected = np.asarray(nt.similarity(exact, metric))
    tolerance = 4 * np.finfo(np.float32).eps * w.sum() / w[100:108].sum()
    assert tolerance < 0.05
    np.testing.assert_allclose(nt.similarity(probe, metric), expected, rtol=0, atol=tolerance)


@pytest.mark.optimised
@pytest.mark.parametrize("size", [2**24, 2**31, 2**52])
def test_streamed_counts_are_divided_in_full(size):
    """Sums of a pass are whole numbers in double precision: a concept absent on 3 of 2^52 rows."""
    cells = {"both": size // 2 - 1, "active": 2, "present": size // 4 + 1, "neither": 1}
    s = Fraction(sum(cells.values()))
    f = Fraction(cells["both"] + cells["active"])
    c = Fraction(cells["both"] + cells["present"])
    both, neither = Fraction(cells["both"]), Fraction(cells["neither"])
    expected = {
        "accuracy": (both + neither) / s, "precision": both / f, "recall": both / c,
        "f1": 2 * both / (f + c), "iou": both / (f + c - both),
        "balanced_accuracy": (both / c + neither / (s - c)) / 2,
        "simulation_balanced_accuracy": (both / f + neither / (s - f)) / 2,
    }  # fmt: skip
    assert set(expected) == set(COUNTS)
    sums = Sums(*(np.array([[float(x)]]) for x in (s, f, c, f, c, both)))
    for metric, value in expected.items():
        found = _value(sums, nt.METRICS[metric])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.item(), float(value), rtol=6e-8, err_msg=metric)


# up to 11.75 times 2^124, nearly the largest float32, and down to a quarter of 2^-120
SCALES = {"x32": [100, 124, -100, -120], "x64": [1000, 1020, -1000, -1015]}


@pytest.mark.both_precisions
@pytest.mark.optimised
@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("metric", EVERY)
def test_activations_near_the_largest_and_smallest_floats(metric, which, precision):
    """Powers of two, so that the scaled activations are exact: from 10^-36 to the largest float."""
    f, c = tied_data(seed=11)
    power = SCALES[precision][which]
    scaled = f * 2.0**power if precision == "x64" else np.ldexp(f.astype(np.float32), power)
    assert np.isfinite(scaled).all()
    plain = nt.make_probe(f, c, top_fraction=0.2)
    probe = nt.make_probe(scaled, c, top_fraction=0.2)
    np.testing.assert_array_equal(probe.active, plain.active)
    expected = naive(metric, plain)
    found = np.asarray(nt.similarity(probe, metric))
    if metric == "mad":
        if which == 1:  # sums of the largest floats have no float
            assert np.isnan(found).all()
            assert (
                np.asarray(nt.metrics.undefined_reason(probe, metric))
                == nt.metrics.Reason.UNDEFINED
            ).all()
            return
        smallest = np.finfo(found.dtype).tiny
        # what is smaller is 0: either mean
        np.testing.assert_allclose(
            found, np.ldexp(expected, power), rtol=1e-4, atol=np.ldexp(1e-5, power) + 2 * smallest
        )
        return
    assert_close(found, expected, metric, {"x32": 2e-5, "x64": 1e-10}[precision])


@pytest.mark.optimised
@pytest.mark.parametrize("metric", EVERY)
def test_the_largest_floats_of_both_signs(metric):
    """Right, or NaN with a reason: their differences are out of range."""
    f, c = tied_data(seed=11)
    f = np.where(np.arange(len(f))[:, None] % 3, f, -f)
    probe = nt.make_probe(np.ldexp(f.astype(np.float32), 124), c, top_fraction=0.2)
    found = np.asarray(nt.similarity(probe, metric))
    undefined = np.isnan(found)
    assert (
        np.asarray(nt.metrics.undefined_reason(probe, metric))[undefined]
        == nt.metrics.Reason.UNDEFINED
    ).all()
    assert not undefined.any() or metric == "mad"
    assert not np.isinf(found).any()
    moderate = nt.make_probe(f, c, top_fraction=0.2)
    expected = naive(metric, moderate)
    if metric == "rank_reorder":
        # the loop does not share ties at the boundary of the top, which the first neuron has not
        assert_close(found[:1], expected[:1], metric)
        expected = np.asarray(nt.similarity(moderate, metric))
    assert_close(found[~undefined], expected[~undefined], metric)


@pytest.mark.optimised
def test_no_score_is_infinite():
    f = np.array([[3e38], [3e38], [-3e38], [-3e38]], np.float32)
    probe = nt.make_probe(f, np.array([[1], [1], [0], [0]], bool), thresholds=0.0)
    assert np.isnan(nt.similarity(probe, "mad")).all()
    assert np.asarray(nt.metrics.undefined_reason(probe, "mad")).tolist() == [
        [nt.metrics.Reason.UNDEFINED]
    ]
    assert np.asarray(nt.similarity(probe, "standardised_mad")).tolist() == [[2.0]]


@pytest.mark.optimised
@pytest.mark.parametrize("metric", KINDS)
def test_denormals_are_zeros(metric):
    """As XLA's arithmetic takes them; also where the host sorts what a sparse matrix stores."""
    f, c = tied_data(seed=11)
    rng = np.random.default_rng(3)
    tiny = np.where(f == 0, rng.choice([-1e-40, 1e-42, 1e-39], f.shape), f).astype(np.float32)
    assert ((tiny != 0) & (np.abs(tiny) < np.finfo(np.float32).tiny)).any()
    expected = nt.similarity(nt.make_probe(f, c, thresholds=0.0), metric)
    probe = nt.make_probe(tiny, c, thresholds=0.0)
    np.testing.assert_array_equal(nt.similarity(probe, metric), expected)
    alone = nt.make_probe(np.where(f == 0, tiny, 0), c, thresholds=0.0)
    assert np.isnan(nt.similarity(alone, metric)).all()
    view = nt.METRICS[metric].neuron_view
    reason = (
        nt.metrics.Reason.NEVER_ACTIVE
        if view == "binary"
        else nt.metrics.Reason.CONSTANT_ACTIVATION
    )
    assert (np.asarray(nt.metrics.undefined_reason(alone, metric)) == reason).all()


@pytest.mark.optimised
def test_denormals_are_not_stored():
    tiny = np.array([[1e-40, 2.0], [0.0, -1e-45], [6e-8, 0.0]])
    for dtype in (np.float32, np.float64):
        probe = nt.make_probe(scipy.sparse.csc_array(tiny.astype(dtype)), np.eye(3, dtype=bool))
        np.testing.assert_array_equal(probe.activations.values, np.float32([6e-8, 2.0]))


@pytest.mark.optimised
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("metric", KINDS)
def test_short_floats_are_summed_in_single_precision(metric, dtype):
    """On the values that the short float holds, up to the largest of float16."""
    f, c = tied_data(seed=12)
    f, c = jnp.asarray(f * 3000, dtype), jnp.asarray(c, dtype)
    assert float(f.max()) > 30_000
    probe = nt.make_probe(f, c, top_fraction=0.2)
    found = nt.similarity(probe, metric)
    assert found.dtype == jnp.float32
    expected = naive(metric, probe)
    scale = np.abs(np.asarray(f, float)).max() if metric == "mad" else 1.0
    assert_close(np.asarray(found, float) / scale, expected / scale, metric)


@pytest.mark.optimised
@pytest.mark.parametrize("metric", KINDS)
def test_one_positive(metric):
    f, c = tied_data(seed=13, binary=True)
    c = np.zeros_like(c)
    c[[3, 40, 41, 159], [0, 1, 2, 3]] = True
    probe = nt.make_probe(f, c, top_fraction=0.2)
    assert_close(nt.similarity(probe, metric), naive(metric, probe), metric)


@pytest.mark.parametrize("metric", KINDS)
def test_two_samples_one_neuron_and_one_concept(metric):
    probe = nt.make_probe(np.array([[0.0], [2.0]]), np.array([[0.25], [0.75]]), thresholds=1.0)
    found = np.asarray(nt.similarity(probe, metric))
    if metric == "rank_reorder":  # of a top of one sample no order is to be told
        assert np.isnan(found).all()
        assert np.asarray(nt.metrics.undefined_reason(probe, metric)) == nt.metrics.Reason.UNDEFINED
        return
    assert_close(found, naive(metric, probe), metric)
    assert np.asarray(nt.metrics.undefined_reason(probe, metric)).tolist() == [[0]]


@pytest.mark.quick("iou", "auprc")
@pytest.mark.parametrize("metric", ["iou", "auroc", "correlation", "auprc"])
def test_a_single_replicate(metric):
    f, c = tied_data(seed=14)
    probe = nt.make_probe(f, c, top_fraction=0.2)
    boot = nt.bootstrap(KEY, probe, metric, num_replicates=1)
    drawn = np.asarray(nt.resampling.bootstrap_weights(KEY, probe, num_replicates=1))[0].astype(int)
    rows = np.repeat(np.arange(len(f)), drawn)
    if metric == "rank_reorder":
        expected = np.asarray(nt.similarity(probe.take(rows), metric))
    else:
        expected = naive(metric, probe, rows)
    assert_close(boot.winning_similarity[0], expected.max(axis=1), metric)
    assert boot.winners.shape == (1, 3)
    assert set(np.unique(boot.vote_share)) == {0.0, 1.0}
    with pytest.warns(nt.faithfulness.CoverageWarning, match="every set is full"):
        assert nt.concept_sets(boot).mask.all()


@pytest.fixture
def strict():
    """NaN in any result of a compiled function raises, and so does a tracer that gets out."""
    with jax.debug_nans(True), jax.checking_leaks():
        yield


def well_defined(binary):
    """Rows on which every score, its standard error and its replicates are defined."""
    rng = np.random.default_rng(15)
    c = rng.random((120, 4)) < 0.4
    f = rng.normal(size=(120, 3)) + c[:, :3]
    soft = np.clip(0.2 + 0.6 * c + 0.2 * rng.random(c.shape), 0.01, 1)
    return nt.make_probe(f, c if binary else soft, thresholds=0.5)


@pytest.mark.quick("iou", "auroc", "correlation")
@pytest.mark.parametrize("metric", KINDS)
def test_scores_make_no_nan_and_leak_no_tracer(metric, strict):
    probe = well_defined(binary=False)
    found = nt.identify(probe, metric, 2)
    data = probe.activations, probe.concepts
    jax.jit(lambda f, c: nt.similarity(nt.make_probe(f, c, thresholds=0.5), metric))(*data)
    assert (np.asarray(found.reason) == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["iou", "correlation", "auroc"])
def test_statistics_make_no_nan_and_leak_no_tracer(metric, strict):
    probe = well_defined(binary=metric != "correlation")
    nt.intervals(probe, metric, method="asymptotic")
    nt.certify(probe, metric)
    nt.permutation_test(KEY, probe, metric, num_permutations=20)
    boot = nt.bootstrap(KEY, probe, metric, num_replicates=64)
    nt.concept_sets(boot)
    nt.stability(boot)
    nt.winners_curse(KEY, boot, num_splits=3)


@pytest.mark.slow
def test_lists_passes_and_shifts_make_no_nan_and_leak_no_tracer(strict):
    probe = well_defined(binary=True)
    for metric, strategy in (("iou", "screened"), ("auroc", "rows")):
        boot = nt.bootstrap(KEY, probe, metric, num_replicates=64, strategy=strategy)
        nt.concept_sets(boot, target="replication")
    f, c = np.asarray(probe.activations), np.asarray(probe.concepts)
    nt.bootstrap_stream(KEY, [(f, c)], thresholds=0.5, num_replicates=64)
    nt.shift_bounds(probe, "iou", gamma=1.5)
    nt.robustness_radius(probe, "iou")
    nt.importance_weights(KEY, f, f[:50] + 0.1, penalty=10.0)


def test_the_strict_context_sees_nan_and_leaks(strict):
    """The control: without it the tests above could not fail."""
    probe = well_defined(binary=True)
    dead = nt.make_probe(np.zeros((120, 1)), probe.concepts, thresholds=0.5)
    with pytest.raises(FloatingPointError, match="nan"):
        nt.similarity(dead, "iou")
    kept = []
    with pytest.raises(Exception, match="Leaked"):
        jax.jit(lambda x: kept.append(x) or x)(jnp.ones(3))
