"""Permutations of whole units, counted neuron by neuron."""

import jax
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax.chance import permuted_counts as counted
from neurotrust_jax.chance.permutations import draw_units, layout_of, rows_of

KEY = jax.random.key(0)


def loops(probe, begin, layout):
    """The largest IoU of each neuron in each permutation, by NumPy."""
    on, present = np.asarray(probe.active), np.asarray(probe.present)
    best = np.full((len(begin), probe.num_neurons), np.nan)
    for b, one in enumerate(begin):
        moved = present[np.asarray(rows_of(one, layout))]
        for u in range(probe.num_neurons):
            both = (on[:, u, None] & moved).sum(axis=0)
            either = (on[:, u, None] | moved).sum(axis=0)
            best[b, u] = (both / either).max()
    return best


def layer(seed):
    rng = np.random.default_rng(seed)
    return nt.make_probe(
        rng.normal(size=(400, 6)), rng.random((400, 20)) < 0.2, groups=np.arange(400) // 4,
        top_fraction=0.1,
    )  # fmt: skip


def check(probe, strata=None, number=5):
    layout, units, _ = layout_of(probe, strata, 0.1)
    begin = draw_units(KEY, np.arange(number), layout, num_units=units)
    statistic = counted.permuted_counts(probe, layout)
    found = jax.jit(lambda x: statistic.best(x, layout, nt.METRICS["iou"]))(begin)
    np.testing.assert_allclose(found, loops(probe, begin, layout), rtol=1e-6)
    return statistic


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("num_concepts", [3, 16, 21])
def test_counts_are_those_of_loops(sparse, num_concepts):
    """Neurons active on one row, on several bursts, and on more than half of all rows."""
    rng = np.random.default_rng(num_concepts)
    n = 300
    f = np.stack([rng.random(n) < p for p in (0.02, 0.1, 0.45, 0.55, 0.9)], axis=1).astype(float)
    f[:, 0], f[7, 0] = 0, 1
    c = rng.random((n, num_concepts)) < 0.3
    groups = np.repeat(np.arange(90), np.resize([1, 4, 5], 90))
    order = rng.permutation(n)
    probe = nt.make_probe(
        scipy.sparse.csr_array(f[order]) if sparse else f[order], c[order], groups=groups[order],
        thresholds=0.5,
    )  # fmt: skip
    check(probe)
    check(nt.make_probe(f, c, thresholds=0.5), strata=groups % 3)


def test_lists_may_be_longer_than_16_bits_count():
    rng = np.random.default_rng(0)
    n = 140_000
    f = (rng.random((n, 2)) < [0.49, 0.001]).astype(float)
    probe = nt.make_probe(f, rng.random((n, 2)) < 0.99, groups=np.arange(n) // 1000, thresholds=0.5)
    statistic = check(probe, number=2)
    assert int(statistic.most) > np.iinfo(np.uint16).max
    assert statistic.most.dtype == np.int32


def test_permutations_at_once_are_as_many_as_fit(monkeypatch):
    probe = layer(0)
    layout, units, _ = layout_of(probe, None, 0.1)
    statistic = counted.permuted_counts(probe, layout)
    assert statistic.at_once(999, units) == 999
    monkeypatch.setattr(counted, "COUNTS", 32 * 400)  # a table of 20 columns has 32
    assert statistic.at_once(1000, units) == 334
    monkeypatch.setattr(counted, "DRAWN", units * 100)
    assert statistic.at_once(1000, units) == 100
    monkeypatch.setattr(counted, "READ", 1)
    assert statistic.at_once(1000, units) == counted.FEWEST


@pytest.mark.parametrize("chunk_size", [None, 7, 64])
def test_the_number_at_a_time_has_no_effect(chunk_size):
    probe = layer(1)
    whole = nt.permutation_test(KEY, probe, num_permutations=200)
    found = nt.permutation_test(KEY, probe, num_permutations=200, chunk_size=chunk_size)
    np.testing.assert_array_equal(found.p_value, whole.p_value)
    np.testing.assert_array_equal(found.null_mean, whole.null_mean)
