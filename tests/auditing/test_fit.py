"""How labels fit the top of the activation."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.sparse import csr_array

import neurotrust_jax as nt
from neurotrust_jax.probing.thresholds import raised_thresholds

SHARES = 0.5, 0.25, 0.1


def awkward(seed=0, *, weighted=False, sparse=False, **options):
    """Rectified activations with ties, groups of unequal sizes, perhaps weights."""
    rng = np.random.default_rng(seed)
    n, num_neurons = 600, 6
    c = rng.random((n, 5)) < np.array([0.1, 0.3, 0.05, 0.6, 0.02])
    f = rng.normal(size=(n, num_neurons)) + 1.5 * c[:, rng.integers(0, 5, num_neurons)]
    f = np.maximum(np.round(f, 1), 0).astype(np.float32)
    f[:, -1] = 0
    w = rng.integers(0, 3, n) if weighted else None
    groups = rng.zipf(1.7, n).clip(max=60)
    f = csr_array(f) if sparse else f
    return nt.make_probe(f, c, thresholds=0.3, groups=groups, sample_weight=w, **options)


def from_the_top(probe, u):
    """Rows of positive weight on which a neuron is active, the most active first."""
    f, on = np.asarray(probe.activations)[:, u], np.asarray(probe.active)[:, u]
    rows = [i for i in range(len(f)) if on[i] and probe.weights[i] > 0]
    return sorted(rows, key=lambda i: -f[i])


def needed(probe, rows, share):
    """How many of them have the share of the weight."""
    total, reached = sum(float(probe.weights[i]) for i in rows), 0.0
    for k, i in enumerate(rows):
        reached += float(probe.weights[i])
        if reached >= share * total - 1e-9:
            return k + 1
    return 0


@pytest.mark.quick("strict-False")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", ["strict", "inclusive"])
def test_raised_thresholds_leave_the_share_active(weighted, ties):
    probe = awkward(weighted=weighted, ties=ties)
    f = np.asarray(probe.activations)
    for share in (*SHARES, 1.0):
        found = np.asarray(raised_thresholds(probe, share))
        assert found.dtype == probe.thresholds.dtype
        for u in range(probe.num_neurons):
            rows = from_the_top(probe, u)
            last = needed(probe, rows, share)
            if not rows or (ties == "strict" and last == len(rows)):
                assert found[u] == probe.thresholds[u]
            else:
                assert found[u] == f[rows[last - 1 if ties == "inclusive" else last], u]
    np.testing.assert_array_equal(
        replace(probe, thresholds=raised_thresholds(probe, 1.0)).active, probe.active
    )


def test_the_top_of_the_activation_may_be_labelled():
    probe = awkward()
    options = {"thresholds": 0.3, "groups": np.asarray(probe.groups)}
    found = nt.make_probe(probe.activations, probe.concepts, top_of_active=0.25, **options)
    np.testing.assert_array_equal(found.thresholds, raised_thresholds(probe, 0.25))
    assert not found.thresholds_fixed
    assert found.threshold_source == "the top 0.25 of those above: given"
    key = jax.random.key(0)
    apart = nt.split_thresholds(key, probe, top_fraction=0.2, top_of_active=0.25, split=0.5)
    plain = nt.split_thresholds(key, probe, top_fraction=0.2, split=0.5)
    assert apart.thresholds_fixed
    assert (np.asarray(apart.thresholds) >= np.asarray(plain.thresholds)).all()
    rate = np.asarray(apart.active_rate / plain.active_rate)[:-1]
    assert ((rate > 0.05) & (rate < 0.5)).all()
    for make in (
        lambda: nt.make_probe(probe.activations, probe.concepts, top_of_active=0.0),
        lambda: nt.split_thresholds(key, probe, top_of_active=1.5),
    ):
        with pytest.raises(ValueError, match=r"top_of_active must lie in \(0, 1\], got"):
            make()


def test_two_shares_may_leave_the_same_samples_active():
    """The highest activation ties, so that a smaller share takes nothing off."""
    rng = np.random.default_rng(3)
    f = np.zeros((400, 1), np.float32)
    f[:200, 0], f[:80, 0] = 1, 2
    c = rng.random((400, 3)) < [0.1, 0.3, 0.2]
    c[:70, 2] = True
    dense, sparse = (
        nt.label_fit(nt.make_probe(x, c, thresholds=0.5, ties="inclusive"), "iou").label_above
        for x in (f, csr_array(f))
    )
    assert dense.tolist() == sparse.tolist()
    assert dense[0, 1] == dense[0, 2] == 2


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("ties", ["strict", "inclusive"])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_a_loop(weighted, ties, sparse):
    probe = awkward(weighted=weighted, ties=ties)
    found = nt.label_fit(awkward(weighted=weighted, ties=ties, sparse=sparse), "iou")
    groups, present = np.asarray(probe.groups), np.asarray(probe.present)
    rate = np.average(present, axis=0, weights=np.asarray(probe.weights))
    label = np.asarray(nt.identify(probe, "iou").concept)[:, 0]
    np.testing.assert_array_equal(found.label, label)
    for u in range(probe.num_neurons):
        rows, top, seen = from_the_top(probe, u), [], set()
        for i in rows:
            if groups[i] not in seen and len(top) < 20:
                seen.add(groups[i])
                top.append(i)
        hits = present[top].sum(axis=0) if top else np.zeros(5, int)
        assert found.top_units[u] == len(top)
        assert found.label_hits[u] == (hits[label[u]] if label[u] >= 0 else 0)
        best = int(np.argmax(hits - len(top) * rate))
        if top:
            assert (found.top_concept[u], found.top_hits[u]) == (best, hits[best])
        for k, share in enumerate(SHARES):
            raised = replace(probe, thresholds=raised_thresholds(probe, share))
            expected = int(nt.identify(raised, "iou").concept[u, 0])
            units = {groups[i] for i in rows[: needed(probe, rows, share)]}
            assert found.label_above[u, k] == (expected if len(units) >= 10 else -1)
    assert found.top_units[-1] == 0
    assert found.top_concept[-1] == -1
    assert (found.label_above >= 0).any()
    assert (found.label_above < 0).any()


def test_sparse_activations_are_seen_as_dense_ones():
    probe = awkward()
    sparse = nt.make_probe(
        csr_array(np.asarray(probe.activations)), probe.concepts, thresholds=0.3,
        groups=np.asarray(probe.groups),
    )  # fmt: skip
    ours, theirs = nt.label_fit(sparse), nt.label_fit(probe)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_label_that_misses_the_top_is_poor():
    """A keyword neuron whose every top example is an equals sign."""
    rng = np.random.default_rng(0)
    keyword, equals = rng.random(3000) < 0.1, rng.random(3000) < 0.01
    f = np.where(keyword, rng.uniform(1, 2, 3000), 0) + np.where(equals, 5, 0)
    good = np.where(keyword, rng.uniform(1, 2, 3000), 0)
    probe = nt.make_probe(
        np.stack([f, good], axis=1), np.stack([keyword & ~equals, equals], axis=1),
        thresholds=0.0, concept_names=["keyword", "equals"],
    )  # fmt: skip
    found = nt.label_fit(probe, "iou")
    assert found.label.tolist() == [0, 0]
    assert found.poor.tolist() == [True, False]
    assert (found.top_concept[0], found.top_hits[0], found.label_hits[0]) == (1, 20, 0)
    assert found.label_above[0].tolist() == [0, 1, 1]
    assert found.label_above[1].tolist() == [0, 0, 0]
    half = replace(found, label_hits=np.array([9, 10]), top_units=np.array([20, 20]))
    assert half.poor.tolist() == [True, False]
    few = replace(found, label_hits=np.array([0, 0]), top_units=np.array([9, 10]))
    assert few.poor.tolist() == [False, True]


def test_probabilities_say_nothing_on_presence_and_ranks_nothing_on_thresholds():
    rng = np.random.default_rng(0)
    soft = nt.make_probe(rng.normal(size=(200, 3)), rng.random((200, 4)) * 0.4)
    found = nt.label_fit(soft, "correlation")
    assert not found.poor.any()
    assert not found.top_units.any()
    assert (nt.label_fit(awkward(), "auroc").label_above == -1).all()


def test_other_labels_may_be_looked_at_and_must_fit():
    probe = awkward()
    found = nt.label_fit(probe, label=np.full(6, 3))
    assert (found.label == 3).all()
    for wrong in (np.zeros(5, int), np.zeros(6)):
        with pytest.raises(ValueError, match="label must be one column for each of the 6 neurons"):
            nt.label_fit(probe, label=wrong)
