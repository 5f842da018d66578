"""Similarities on halves and quarters, by every route, against a loop over pairs in float64."""

import jax
import numpy as np
import oracles
import pytest

import neurotrust_jax as nt
from neurotrust_jax._numerics.sums import Sums
from neurotrust_jax.resampling import part_scores
from neurotrust_jax.resampling.halves import draw_parts, read_block, read_halves

KEY = jax.random.key(5)
SPLITS, DEALS = 4, 2


def tied_layer(n=150):
    """Neurons without ties, of four values, mostly 0, all 0, and active once; a concept is rare."""
    rng = np.random.default_rng(1)
    c = rng.random((n, 5)) < [0.3, 0.6, 0.1, 0.3, 0.3]
    c[:, 3] = np.arange(n) == 7
    f = rng.normal(size=(n, 6)) + c[:, [0, 1, 2, 0, 1, 2]]
    f[:, 1] = np.round(f[:, 1]).clip(-1, 2)
    f[:, 2] = np.maximum(f[:, 2] - 1.5, 0)
    f[:, 3] = 0
    f[:, 4] = np.arange(n) == 20
    return f, c


def probes():
    """Independent samples; groups of 1 to 40; unequal weights, some of them 0; both."""
    f, c = tied_layer()
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(12), [40, 30, 20, 20, 10, 10, 5, 5, 4, 3, 2, 1])
    weights = rng.integers(0, 4, len(f)) / 3
    given = {
        "samples": {}, "groups": {"groups": groups}, "weights": {"sample_weight": weights},
        "both": {"groups": groups, "sample_weight": weights},
    }  # fmt: skip
    return {
        name: nt.make_probe(f, c, thresholds=[0.5, 0.5, 0, 0, 0, 0.5], **options)
        for name, options in given.items()
    }


def best(scores):
    return -1 if np.isnan(scores).all() else int(np.nanargmax(scores))


@pytest.mark.quick("at once", "in steps-auroc-both")
@pytest.mark.double
@pytest.mark.parametrize("kind", ["samples", "groups", "weights", "both"])
@pytest.mark.parametrize(
    ("metric", "route"),
    [("auroc", "_by_ranks"), ("spearman", "_by_ranks"), ("iou", ""), ("correlation", "_by_scores")],
)
@pytest.mark.parametrize("together", [2**22, 700], ids=["at once", "in steps"])
def test_equals_a_loop_over_pairs(metric, route, kind, together, monkeypatch):
    """Similarities and labels on every part, and what a half's label has on the other half."""
    if together < 2**22 and route != "_by_ranks":
        pytest.skip("only ranks are taken in steps")
    monkeypatch.setattr(part_scores, "TOGETHER", together)
    taken = []

    def watched(name):
        compute = getattr(part_scores, name)
        if hasattr(compute, "clear_cache"):
            compute.clear_cache()  # TOGETHER is read while tracing

        def call(*arguments, **options):
            taken.append(name)
            return compute(*arguments, **options)

        return call

    for name in ("score_unit_parts", "_by_counts", "_by_ranks", "_by_scores"):
        monkeypatch.setattr(part_scores, name, watched(name))
    probe = probes()[kind]
    parts = draw_parts(KEY, probe, SPLITS, DEALS)
    found = part_scores.score_parts(probe, nt.METRICS[metric], parts.rows, SPLITS)
    if metric == "iou":
        of_kind = dict.fromkeys(("groups", "both"), "score_unit_parts") | {"samples": "_by_counts"}
        route = of_kind.get(kind, "_by_scores")
    assert taken == [route]

    f, c, active = (np.asarray(x) for x in (probe.activations, probe.concepts, probe.active))
    weights, rows = np.rint(3 * np.asarray(probe.weights)), np.asarray(parts.rows)
    expected = np.stack(
        [oracles.similarity_of_pairs(metric, f, c, active, weights * x) for x in rows], axis=1
    )
    np.testing.assert_allclose(found.similarity, expected, atol=1e-12)
    whole = oracles.similarity_of_pairs(metric, f, c, active, weights)
    np.testing.assert_allclose(found.whole, whole, atol=1e-12)
    label = np.apply_along_axis(best, 2, np.asarray(found.similarity))
    np.testing.assert_array_equal(found.label, label)
    assert (label[3] == -1).all()
    assert (label[4] == -1).any()

    assert isinstance(found.crossed, Sums)
    assert found.crossed.FC.shape == (6, 2 * SPLITS)
    value = np.asarray(nt.METRICS[metric].finalise(found.crossed))
    for u in range(6):
        for p in range(2 * SPLITS):
            there = expected[u, p ^ 1, label[u, p]]
            if label[u, p] >= 0 and not np.isnan(there):
                assert value[u, p] == pytest.approx(there, abs=1e-12)


def test_single_precision_is_as_exact_as_counting():
    """Whole numbers of ranks: an AUROC on a half errs by the rounding of its last division."""
    probe = probes()["groups"]
    parts = draw_parts(KEY, probe, SPLITS)
    found = part_scores.score_parts(probe, nt.METRICS["auroc"], parts.rows, SPLITS).similarity
    f, c, active = (np.asarray(x) for x in (probe.activations, probe.concepts, probe.active))
    for p, inside in enumerate(np.asarray(parts.rows, float)):
        expected = oracles.similarity_of_pairs("auroc", f, c, active, inside)
        np.testing.assert_allclose(found[:, p], expected, atol=4 * np.finfo(np.float32).eps)


@pytest.mark.quick("iou", "auroc")
@pytest.mark.parametrize("metric", ["iou", "auroc", "correlation"])
def test_blocks_of_neurons_read_the_same_halves(metric):
    probe, metric = probes()["samples"], nt.METRICS[metric]
    readers = [lambda x: (x.similarity, x.label), lambda x: x.differences._asdict()]
    every = read_halves(KEY, probe, metric, SPLITS, readers, num_deals=DEALS)
    parts = draw_parts(KEY, probe, SPLITS, DEALS)
    blocks = [
        read_block(parts, probe.of_neurons(slice(u, u + 2)), metric, readers) for u in (0, 2, 4)
    ]
    for one, *others in zip(every, *blocks, strict=True):
        joined = jax.tree.map(lambda *x: np.concatenate(x), *others)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), joined, one)


@pytest.mark.double
def test_what_does_not_vary_on_a_part_is_undefined_by_ranks_too(monkeypatch):
    """A formula that has a value for any concept: samples of weight 0 make none of them vary."""
    f, c = tied_layer()
    weights = np.arange(len(f)) % 3 / 2
    c[:, 1] = weights > 0
    c[:, 2] = weights == 0
    probe = nt.make_probe(f, c, thresholds=0.5, sample_weight=weights)
    metric = nt.six_sum_metric("own", "rank", "binary", lambda s: s.FC / s.S, (-1.0, 1.0), "")
    rows = draw_parts(KEY, probe, SPLITS, DEALS).rows
    found = part_scores.score_parts(probe, metric, rows, SPLITS).similarity
    monkeypatch.setattr(part_scores, "rows_fit", lambda *_: False)
    expected = part_scores.score_parts(probe, metric, rows, SPLITS).similarity
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(found[:, :, [1, 2]]).all()
    assert not np.isnan(found[0, :, 0]).any()
