"""Feature maps and token vectors become matrices by the plain formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax.probing import pooling

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(5, 3, 2, 4)).astype(np.float32)
TOKENS = RNG.normal(size=(5, 6, 3)).astype(np.float32)


class OnDisk:
    """Rows that are read by slicing only, like a dataset of HDF5."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.most = values, values.shape, values.dtype, 0

    def __getitem__(self, rows):
        self.most = max(self.most, len(self.values[rows]))
        return self.values[rows]


@pytest.mark.parametrize("wrap", [np.asarray, jnp.asarray, OnDisk, np.ndarray.tolist])
def test_the_largest_and_the_mean_over_all_positions(wrap, monkeypatch):
    monkeypatch.setattr(pooling, "BLOCK", 50)  # two images at a time
    for x, axes, given in (
        (MAPS, (2, 3), None), (TOKENS, (1,), None), (np.moveaxis(MAPS, 1, -1), (1, 2), -1),
        (np.moveaxis(TOKENS, 1, -1), (2,), 1), (MAPS[:, :, None], (2, 3, 4), None),
    ):  # fmt: skip
        wrapped = wrap(x)
        exact = x.astype(np.float64)
        found = nt.pool_activations(wrapped, "max", channel_axis=given)
        np.testing.assert_array_equal(found.activations, exact.max(axis=axes))
        assert found.groups is None
        found = nt.pool_activations(wrapped, "mean", channel_axis=given)
        np.testing.assert_allclose(found.activations, exact.mean(axis=axes), rtol=1e-5, atol=1e-7)
        if wrap is OnDisk:
            assert wrapped.most == 2


@pytest.mark.parametrize("wrap", [np.asarray, jnp.asarray])
def test_positions_are_samples_of_the_group_of_their_image(wrap):
    found, groups = nt.pool_activations(wrap(MAPS), "none")
    assert groups.tolist() == np.repeat(np.arange(5), 8).tolist()
    for i, (image, h, w) in enumerate(np.ndindex(5, 2, 4)):
        np.testing.assert_array_equal(found[i], MAPS[image, :, h, w])
        assert groups[i] == image
    found, groups = nt.pool_activations(wrap(TOKENS), "none")
    np.testing.assert_array_equal(found, np.concatenate(list(TOKENS)))
    assert groups.tolist() == np.repeat(np.arange(5), 6).tolist()
    probe = nt.make_probe(found, (TOKENS[:, 0] > 0)[groups], groups=groups)
    assert (probe.num_units, probe.num_samples) == (5, 30)


def test_types_that_a_mean_would_lose():
    halves = np.full((1, 4096, 1), 1.0, np.float16)
    assert nt.pool_activations(halves * 20, "mean").activations == 20  # the sum is beyond halves
    large = np.concatenate([np.full((1, 2**13, 1), 2.0**20), np.ones((1, 2**13, 1))], axis=1)
    large = np.repeat(large, 2, axis=2)  # NumPy then adds one position after another
    found = nt.pool_activations(large.astype(np.float32), "mean").activations
    assert (found == np.float32(large.mean())).all()
    counts = np.array([[[1], [2]]])
    for x in (counts, jnp.asarray(counts)):
        assert nt.pool_activations(x, "mean").activations == 1.5
        assert nt.pool_activations(x, "mean").activations.dtype.itemsize == 4
    assert nt.pool_activations(counts, "max").activations.dtype == counts.dtype


def test_a_matrix_stays_and_jit_traces():
    for how in ("max", "mean", "none"):
        found = nt.pool_activations(MAPS[:, :, 0, 0], how)
        assert found.groups is None
        assert found.activations.shape == (5, 3)
    pooled = jax.jit(lambda x: nt.pool_activations(x, "max").activations)(MAPS)
    np.testing.assert_array_equal(pooled, MAPS.max(axis=(2, 3)))


@pytest.mark.parametrize(("x", "options", "message"), [
    (MAPS, {"how": "sum"}, "how must be \"max\", \"mean\" or \"none\", got 'sum'"),
    (MAPS[0, 0, 0], {"how": "max"}, r"must be \[n, c, h, w\], \[n, t, d\] or \[n, U\], got \[4\]"),
    (MAPS, {"how": "max", "channel_axis": 0}, r"channel_axis=0 is no axis .* from 1 to 3, or -1"),
    (MAPS, {"how": "none", "channel_axis": 4}, "channel_axis=4 is no axis"),
    (MAPS[:, :, :0], {"how": "max"}, r"no empty axis, got \[5, 3, 0, 4\]"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        nt.pool_activations(x, **options)
