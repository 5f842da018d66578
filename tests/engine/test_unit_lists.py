"""Replicates from sums per group are those of a product over all samples."""

import jax
import numpy as np
import oracles
import pytest
from scipy.sparse import csr_array

import neurotrust_jax as nt
from neurotrust_jax._engine import active_units, unit_lists
from neurotrust_jax.resampling.halves import draw_parts
from neurotrust_jax.resampling.part_scores import score_parts

KEY = jax.random.key(0)


def grouped(weighted, sparse, inclusive=False):
    """Neurons that are active in few groups, in many, never and always; groups of 1 to 40.

    The sixth concept is absent from one group alone, so that it is constant in many replicates.
    """
    rng = np.random.default_rng(3)
    sizes = [40, 30, 20, 20, 10, 10, 5, 5, 4, 3, 2, 1] * 2
    groups = rng.permutation(np.repeat(np.arange(24), sizes))
    n = len(groups)
    concepts = rng.random((n, 8)) < [0.3, 0.1, 0.5, 0.02, 0.2, 1, 0, 1]
    concepts[groups == 3, 5] = False
    share = np.array([0.02, 0.3, 0.6, 0, 1, 0.1])
    activations = rng.exponential(size=(n, 6)) * (rng.random((n, 6)) < share)
    activations[:, :3] *= 1 + concepts[:, :3]
    weights = rng.integers(0, 4, n) if weighted else None
    f = csr_array(activations) if sparse else activations
    return nt.make_probe(f, concepts, thresholds=0.1, groups=groups, sample_weight=weights)


@pytest.mark.quick(
    "x32-multinomial-dense-equal-iou",
    "x32-multinomial-sparse-weighted-iou",
    "x32-poisson-dense-weighted-balanced_accuracy",
)
@pytest.mark.both_precisions
@pytest.mark.parametrize("metric", ["iou", "f1", "balanced_accuracy"])
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("scheme", ["multinomial", "poisson", "subsample"])
def test_replicates_are_those_of_all_samples(metric, weighted, sparse, scheme):
    probe = grouped(weighted, sparse)
    listed = active_units(probe, metric=nt.METRICS[metric])
    assert listed is not None
    assert listed.unit_weight is not None
    assert listed.unit_weight.shape == (1, 25)
    options = {"num_replicates": 40, "chunk_size": 16, "scheme": scheme}
    ours = nt.bootstrap(KEY, probe, metric, strategy="rows", **options)
    dense = grouped(weighted, False)
    plain = nt.bootstrap(KEY, dense, metric, strategy="dense", **options)
    for name in ("winners", "candidates", "thin", "excluded", "label"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(plain, name), err_msg=name)
    for name in ("replicates", "winning_similarity", "label_similarity", "evidence"):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(plain, name), rtol=2e-6, atol=1e-7, err_msg=name
        )


def test_sums_per_group_equal_a_loop():
    probe = grouped(True, True)
    listed = active_units(probe, metric=nt.METRICS["iou"])
    active, present = (np.asarray(x) for x in (probe.active, probe.present))
    weights, groups = np.asarray(probe.weights), np.asarray(probe.groups)
    for u in range(6):
        lists, row = listed.lists[int(listed.kind[u])], int(listed.place[u])
        units = np.asarray(lists.rows[row])
        on = active[:, u] & (weights > 0)
        expected = np.unique(groups[on])
        np.testing.assert_array_equal(units[: len(expected)], expected)
        assert (units[len(expected) :] == probe.num_units).all()
        for k, g in enumerate(units):
            here = on & (groups == g)
            assert float(lists.weight[row, k]) == weights[here].sum()
            np.testing.assert_array_equal(lists.hits[row, k], weights[here] @ present[here])
    for g in range(probe.num_units):
        here = groups == g
        np.testing.assert_array_equal(listed.present[:, g], weights[here] @ present[here])
        assert float(listed.unit_weight[0, g]) == weights[here].sum()


@pytest.mark.double
def test_parts_from_lists_of_several_lengths_equal_a_loop(monkeypatch):
    """Neurons of few and of many groups; a concept that is always there is undefined."""
    monkeypatch.setattr(unit_lists, "ROOM_OF_ONE", 0)
    monkeypatch.setattr(unit_lists, "LEAST", 1)
    probe, metric = grouped(True, False), nt.METRICS["iou"]
    assert len(active_units(probe, metric=metric).lists) > 1
    parts = draw_parts(KEY, probe, 3, 1)
    found = score_parts(probe, metric, parts.rows, 3)
    f, c, active = (np.asarray(x) for x in (probe.activations, probe.concepts, probe.active))
    for p, inside in enumerate(np.asarray(parts.rows)):
        expected = oracles.similarity_of_pairs(
            "iou", f, c, active, np.asarray(probe.weights) * inside
        )
        assert np.isnan(expected[:, -2:]).all()
        np.testing.assert_allclose(found.similarity[:, p], expected, atol=1e-12)


def test_rows_are_listed_where_sums_per_group_save_nothing(monkeypatch):
    metric = nt.METRICS["iou"]
    probe = grouped(False, False)
    assert active_units(probe, metric=nt.METRICS["auroc"]) is None
    single = nt.make_probe(
        np.asarray(probe.activations), np.asarray(probe.concepts), thresholds=0.1,
        groups=np.arange(probe.num_samples),
    )  # fmt: skip
    assert active_units(single, metric=metric) is None
    monkeypatch.setattr(unit_lists, "ROOM", 100)
    assert active_units(probe, metric=metric) is None
