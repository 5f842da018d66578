"""Products by digits are exact, and replicates of ranks by them are those of the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rankdata

import neurotrust_jax as nt
from neurotrust_jax._engine import draws, rank_digits, rows, run_rows
from neurotrust_jax._numerics import byte_products as digits
from neurotrust_jax._numerics.sums import tiled_total, tiling


def test_digits_hold_every_number_up_to_the_largest():
    # all digits 127 make the largest positive number, which is nearer to 0 than the smallest
    for number, largest in ((1, 127), (2, 32639), (3, 8355711)):
        assert digits.digits_needed(largest) == number
        assert digits.digits_needed(largest + 1) == number + 1
        values = np.array([-largest, -largest + 1, -256, -129, -1, 0, 1, 127, largest], np.int32)
        values = np.clip(values, -largest, largest)[:, None]
        parts = digits.digits_of(jnp.asarray(values), number)
        assert_array_equal(sum(np.asarray(x, int) * 256**k for k, x in enumerate(parts)), values)


def test_a_product_of_digits_is_the_product_of_whole_numbers():
    rng = np.random.default_rng(0)
    present = rng.random((9, 301)) < 0.3
    values = rng.integers(-300_000, 300_000, (301, 17)).astype(np.int32)
    found = digits.product_of_digits(present, digits.digits_of(values, 3), jnp.float32)
    # the sums have more than 24 bits: nothing but the last rounding may be lost
    true = present.astype(np.int64) @ values.astype(np.int64)
    assert_array_equal(found, true.astype(np.float32))


@pytest.mark.parametrize("size", [1, 15, 16, 17, 300, 5000])
def test_sums_of_counts_by_tiles_are_exact(size):
    counts = np.random.default_rng(size).poisson(1.0, (size, 3)).astype(np.uint8)
    found = tiled_total(jnp.asarray(counts), jnp.uint16, tiling(size)).whole(jnp.int32)
    stored = np.asarray(tiling(size).places())
    assert_array_equal(
        np.asarray(found)[stored < size], np.cumsum(counts, 0, int)[stored[stored < size]]
    )


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("largest", [100, 10_000, 32_639, 40_000])
def test_products_of_whole_numbers(fast, largest, monkeypatch):
    """Those of three digits are left to floating-point numbers, which round them."""
    monkeypatch.setattr(digits, "bytes_are_fast", lambda: fast)
    rng = np.random.default_rng(5)
    a = rng.random((7, 300)) < 0.4
    values = rng.integers(-largest, largest + 1, (300, 5)).astype(np.int32)
    found = digits.whole_product(jnp.asarray(a), jnp.asarray(values), largest, jnp.float32)
    assert digits.by_bytes(largest) == (fast and largest < 32_640)
    assert found.dtype == jnp.float32
    assert_allclose(found, a.astype(int) @ values, rtol=1e-6)


@pytest.mark.parametrize("fast", [False, True])
def test_products_of_small_counts_are_exact(fast, monkeypatch):
    monkeypatch.setattr(draws, "bytes_are_fast", lambda: fast)
    rng = np.random.default_rng(6)
    a, b = rng.random((6, 5000)) < 0.9, rng.integers(0, 128, (5000, 4)).astype(np.uint8)
    found = draws.exact_product(jnp.asarray(a), jnp.asarray(b), jnp.float32)
    assert found.dtype == jnp.float32
    assert_array_equal(found, a.astype(int) @ b)


@pytest.mark.quick("2")
@pytest.mark.parametrize("decimals", [6, 1, 2])  # no ties, many, and a few
def test_replicates_of_ranks_by_digits_are_those_of_the_plain_formula(decimals, monkeypatch):
    rng = np.random.default_rng(decimals)
    # of a shape that no other test has, since the way is chosen where it is compiled
    n, num_neurons, num_concepts, number = 397 - decimals, 5, 12, 40
    concepts = rng.random((n, num_concepts)) < rng.uniform(0.05, 0.4, num_concepts)
    activations = rng.standard_normal((n, num_neurons)).round(decimals)
    probe = nt.make_probe(activations.astype(np.float32), concepts)
    used = []

    def watched(values, number):
        used.append(values.shape)
        return digits.digits_of(values, number)

    monkeypatch.setattr(digits, "bytes_are_fast", lambda: True)
    monkeypatch.setattr(rank_digits, "digits_of", watched)
    monkeypatch.setattr(rank_digits, "ENTRIES", 128 * 64)
    for module in (rows, run_rows):
        monkeypatch.setattr(module, "MANY", 1)
    key = jax.random.key(0)
    boot = nt.bootstrap(key, probe, "auroc", num_replicates=number, strategy="screened")
    if jax.default_backend() == "cpu":
        assert set(used) == {(192, 64)}  # three pieces, of which the last is filled up
    weights = np.asarray(nt.resampling.bootstrap_weights(key, probe, num_replicates=number))
    for b, w in enumerate(np.asarray(weights, np.int64)):
        drawn = np.repeat(np.arange(n), w)
        c = concepts[drawn].astype(float)
        for u in range(num_neurons):
            rank = rankdata(np.asarray(probe.activations)[drawn, u])
            m = c.sum(0)
            true = (rank @ c - m * (m + 1) / 2) / (m * (n - m))
            assert_allclose(boot.winning_similarity[b, u], np.nanmax(true), rtol=0, atol=1e-6)
            assert true[boot.winners[b, u]] >= np.nanmax(true) - 1e-6
