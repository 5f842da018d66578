"""Ranks among some of the samples, from the order of all of them."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import rankdata

from neurotrust_jax._numerics import ranks
from neurotrust_jax._numerics.sums import SLABS, Tiling


@pytest.mark.parametrize("slabs", [False, True], ids=["as on a CPU", "as on a GPU"])
@pytest.mark.parametrize("size", [1, 1000, 70_000])  # sums of the largest need more than 16 bits
def test_ranks_among_members(size, slabs, monkeypatch):
    if slabs:
        monkeypatch.setattr(ranks, "tiling", lambda size: Tiling(size, SLABS, True))
    rng = np.random.default_rng(4)
    values = rng.normal(size=size).round(2)
    members = rng.random((size, 3)) < [0.5, 0.99, 0.01]
    order = jax.tree.map(lambda x: x[:, 0], ranks.ranking(values[:, None]))
    found = np.asarray(ranks.twice_below(jax.device_put(members.astype(np.uint8)), order))
    for j, inside in enumerate(members.T):
        assert_array_equal(found[inside, j], 2 * rankdata(values[inside]) - 1)
    below = (members[:, 0] & (values < values[0])).sum()
    tied = (members[:, 0] & (values == values[0])).sum()
    assert found[0, 0] == 2 * below + tied  # of a sample that may be no member
