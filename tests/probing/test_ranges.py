"""Ranges of activation against naive loops: cuts, ties, weights, sparse columns, names, errors."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import awkward_probe, tied_data
from scipy.sparse import csr_array

import neurotrust_jax as nt
from neurotrust_jax.metrics.scores import Reason, undefined_reason
from neurotrust_jax.probing import activation_ranges, range_edges
from neurotrust_jax.probing.checkpoints import checkpoint_for
from neurotrust_jax.probing.construction import rows_aside
from neurotrust_jax.probing.sparse_columns import SparseColumns


def naive_ranges(probe, num_ranges):
    """Range of each activation from 0, that of the middle of its value's weight; -1 if inactive."""
    f, w = np.asarray(probe.neurons.values, np.float64), np.asarray(probe.weights, np.float64)
    active = np.asarray(probe.active)
    found = np.full(f.shape, -1)
    for u in range(f.shape[1]):
        on = active[:, u] & (w > 0)
        total = w[on].sum()
        for value in np.unique(f[on, u]):
            same = w[on & (f[:, u] == value)].sum()
            middle = w[on & (f[:, u] > value)].sum() + same / 2
            (rows,) = np.nonzero(active[:, u] & (f[:, u] == value))
            found[rows, u] = int(np.floor(num_ranges * middle / total))
    return found


def found_ranges(cut, num_ranges):
    """The same of the cut probe, after checking that no sample lies in two ranges."""
    inside = np.asarray(cut.active).reshape(cut.num_samples, -1, num_ranges)
    assert inside.sum(axis=2).max() <= 1
    return np.where(inside.any(axis=2), inside.argmax(axis=2), -1)


def tied_probe(sparse=False, **options):
    f, c = tied_data(seed=3, num_neurons=6, binary=True)
    f[:, 4] = -1  # below every threshold
    f[:, 5] = np.where(f[:, 5] > 0, 2.5, 0)  # one active value
    return nt.make_probe(csr_array(f) if sparse else f, c, **options)


WEIGHTS = {"even": None, "whole": np.arange(160) % 4, "others": np.geomspace(0.3, 1.7, 160)}


@pytest.mark.both_precisions
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("ties", ["strict", "inclusive"])
@pytest.mark.parametrize("num_ranges", [2, 3, 7])
def test_ranges_are_those_of_a_naive_loop(num_ranges, ties, weights, precision):
    for options in ({"thresholds": 0.25}, {"top_fraction": 0.3}, {"thresholds": -1.0}):
        p = tied_probe(ties=ties, sample_weight=WEIGHTS[weights], **options)
        cut = activation_ranges(p, num_ranges)
        used = np.asarray(p.weights) > 0  # the others may lie on either side of a cut
        ours, naive = found_ranges(cut, num_ranges), naive_ranges(p, num_ranges)
        np.testing.assert_array_equal(ours[used], naive[used])
        np.testing.assert_array_equal(ours >= 0, p.active)
        assert cut.activations.dtype == np.float16
        edges = np.asarray(range_edges(p, num_ranges))
        assert edges.shape == (p.num_neurons, num_ranges - 1)
        assert edges.dtype == p.activations.dtype
        assert np.isfinite(edges).all()
        assert (np.diff(edges, axis=1) <= 0).all()


def test_distinct_values_of_equal_weight_are_cut_into_equal_parts():
    f = np.random.default_rng(0).permuted(np.tile(np.arange(48.0), (5, 1)), axis=1).T
    p = nt.make_probe(f, np.ones((48, 1)), thresholds=11.5)
    for num_ranges in (2, 3, 4, 12, 36):
        cut = activation_ranges(p, num_ranges)
        assert set(np.asarray(cut.active.sum(axis=0)).tolist()) == {36 // num_ranges}
        # the first range of a neuron is its highest
        top = f[np.asarray(cut.active)[:, 0], 0]
        assert sorted(top) == list(range(48 - 36 // num_ranges, 48))


def test_awkward_neurons_get_empty_ranges_and_finite_edges():
    p = awkward_probe()  # one never active, one always
    cut = activation_ranges(p, 3)
    counts = np.asarray(cut.active.sum(axis=0)).reshape(-1, 3)
    never = p.num_neurons - 3
    assert counts[never].tolist() == [0, 0, 0]
    assert counts[never + 1].tolist() == [0, p.num_samples, 0]  # one value, in the middle
    reasons = np.asarray(undefined_reason(cut, "iou")).reshape(-1, 3, p.num_concepts)
    assert (reasons[never + 1, [0, 2]] == Reason.NEVER_ACTIVE).all()
    for thresholds in (-np.inf, np.inf):
        odd = replace(p, thresholds=jnp.full_like(p.thresholds, thresholds))
        assert np.isfinite(np.asarray(range_edges(odd, 3))).all()
        np.testing.assert_array_equal(found_ranges(activation_ranges(odd, 3), 3) >= 0, odd.active)


@pytest.mark.parametrize("ties", ["strict", "inclusive"])
@pytest.mark.parametrize("thresholds", [0.25, 0.0, -0.5])
def test_sparse_ranges_are_the_dense_ones_and_stay_sparse(thresholds, ties):
    dense, sparse = (tied_probe(sparse=x, thresholds=thresholds, ties=ties) for x in (False, True))
    np.testing.assert_array_equal(range_edges(sparse, 3), range_edges(dense, 3))
    theirs, ours = activation_ranges(dense, 3), activation_ranges(sparse, 3)
    assert isinstance(ours.activations, SparseColumns)
    assert ours.activations.dtype == np.float16
    np.testing.assert_array_equal(ours.activations.dense(), theirs.activations)
    np.testing.assert_array_equal(nt.similarity(ours, "iou"), nt.similarity(theirs, "iou"))
    assert (ours.neuron_names, ours.thresholds_fixed) == (theirs.neuron_names, False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_are_cut_as_long_ones_of_the_same_values(dtype):
    f, c = tied_data(seed=1, binary=True)
    short, long = (nt.make_probe(jnp.asarray(f, x), c, thresholds=0.25) for x in (dtype, "float32"))
    for p in (short, long):
        assert range_edges(p, 3).dtype == p.activations.dtype
    np.testing.assert_array_equal(
        activation_ranges(short, 3).activations, activation_ranges(long, 3).activations
    )


def test_edges_of_other_samples_cut_these():
    p = tied_probe(thresholds=0.25)
    half = p.take(np.arange(0, 160, 2))
    other = p.take(np.arange(1, 160, 2))
    edges = np.asarray(range_edges(half, 2))
    cut = activation_ranges(other, 2, edges=edges)
    f = np.asarray(other.activations)
    np.testing.assert_array_equal(cut.active[:, ::2], (f > np.maximum(edges.T, 0.25)))
    np.testing.assert_array_equal(cut.active[:, 1::2], (f > 0.25) & ~(f > edges.T))
    assert cut.thresholds_fixed
    # a cut below the threshold counts as the threshold
    low = activation_ranges(other, 2, edges=np.full((6, 1), -5.0))
    np.testing.assert_array_equal(low.active[:, ::2], other.active)
    assert not np.asarray(low.active[:, 1::2]).any()


def test_what_a_cut_probe_says_of_itself():
    p = nt.make_probe(np.eye(24), np.eye(24), neuron_names=[f"n{i}" for i in range(24)])
    cut = activation_ranges(p.of_neurons(slice(0, 2)), 2)
    assert cut.neuron_names == ("n0 range 1/2", "n0 range 2/2", "n1 range 1/2", "n1 range 2/2")
    assert activation_ranges(p, 12).neuron_names[:2] == ("n0 range 01/12", "n0 range 02/12")
    names = list(activation_ranges(p, 12).neuron_names[:12])
    assert names == sorted(names)
    assert cut.threshold_source == "2 ranges, cut on these samples, above: top_fraction=0.05"
    assert (cut.num_ranges, cut.top_fraction, cut.thresholds_fixed) == (2, None, False)
    assert cut.of_neurons(np.array([1])).num_ranges == 2
    assert "4 ranges of neurons" in repr(cut)
    edges = np.zeros((24, 1))
    for fixed, given, expected in (
        (p, None, False), (p, edges, False),
        (replace(p, thresholds_fixed=True), None, False),
        (replace(p, thresholds_fixed=True), edges, True),
    ):  # fmt: skip
        assert activation_ranges(fixed, 2, edges=given).thresholds_fixed == expected


@pytest.mark.parametrize(("wrong", "message"), [
    ({"num_ranges": 1}, "num_ranges must be a whole number of at least 2, got 1"),
    ({"num_ranges": 2.5}, "num_ranges must be a whole number of at least 2, got 2.5"),
    ({"edges": np.zeros(6)}, r"edges must have shape \[6, 2\] .* got \[6\]; take"),
    ({"edges": np.full((6, 2), np.nan)}, "edges must be finite, got NaN"),
    ({"edges": np.tile([1.0, 2.0], (6, 1))}, r"those of neuron '0' are \[1.0, 2.0\]; give the"),
])  # fmt: skip
def test_wrong_ranges_are_refused(wrong, message):
    p = tied_probe(thresholds=0.25)
    with pytest.raises(ValueError, match=message):
        activation_ranges(p, **{"num_ranges": 3} | wrong)


def test_ranges_of_ranges_and_ranges_under_jit_are_refused():
    p = tied_probe(thresholds=0.25)
    for function in (activation_ranges, range_edges):
        with pytest.raises(ValueError, match="neurons are 2 ranges each already; take the probe"):
            function(activation_ranges(p, 2), 2)
        with pytest.raises(ValueError, match=r"num_ranges=2 looks at .* under jit"):
            jax.jit(lambda p, function=function: function(p, 2))(p)


def test_what_is_done_for_fixed_cuts_is_not_taken_for_cuts_of_the_same_samples(tmp_path):
    """Both have the same arrays, but other methods of intervals fit them."""
    p = tied_probe(thresholds=0.25)
    same = activation_ranges(p, 2)
    fixed = activation_ranges(p, 2, edges=range_edges(p, 2))
    np.testing.assert_array_equal(same.activations, fixed.activations)
    key = jax.random.key(0)
    others = [
        fixed, replace(same, thresholds_fixed=True), replace(same, num_ranges=1),
        replace(same, threshold_source="given"),
    ]  # fmt: skip
    folders = [checkpoint_for(tmp_path, key, x, "iou").folder for x in (same, same, *others)]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 5


@pytest.mark.parametrize("top_of_active", [None, 0.5])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_split_takes_thresholds_and_cuts_from_the_same_part(sparse, top_of_active):
    p = tied_probe(sparse=sparse, groups=np.arange(160) // 2)
    options = {"top_fraction": 0.3, "top_of_active": top_of_active, "split": 0.4}
    whole = nt.split_thresholds(jax.random.key(0), p, **options)
    cut = nt.split_thresholds(jax.random.key(0), p, ranges=2, **options)
    in_part, _ = rows_aside(jax.random.key(0), p, 0.4)
    part = replace(p.take(np.flatnonzero(in_part)), thresholds=whole.thresholds)
    expected = activation_ranges(whole, 2, edges=range_edges(part, 2))
    np.testing.assert_array_equal(cut.active, expected.active)
    assert (
        cut.threshold_source == f"2 ranges, cut on other samples, above: {whole.threshold_source}"
    )
    assert cut.thresholds_fixed
    with pytest.raises(ValueError, match="neurons are 2 ranges each already; take the probe"):
        nt.split_thresholds(jax.random.key(0), cut)
    with pytest.raises(ValueError, match="ranges must be a whole number of at least 2, got 1"):
        nt.split_thresholds(jax.random.key(0), p, ranges=1)
