"""The tests of one neuron, whose bounds save work, against all pairs and replicates in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurotrust_jax._engine import LabellingMethod
from neurotrust_jax.sets import calibrated, common_bar, max_test
from neurotrust_jax.sets.pairs import Followed, fold_rows, pairs_of, true_places

METHOD = LabellingMethod("scores of unknown range")
B, RANK, FIRST = 150, 137, 149
WORLDS = ("independent", "near ties", "groups", "undefined", "little evidence", "leaders", "biased")


def student(z, units):
    k = np.maximum(units - 1, 1)
    z = np.where(np.isfinite(z), z, 0)
    ratio = 1 + (z**2 + 1) / (4 * k) + (5 * z**4 + 16 * z**2 + 3) / (96 * k**2)
    ratio += (3 * z**6 + 19 * z**4 + 17 * z**2 - 15) / (384 * k**3)
    return ratio * np.sqrt((k + 1) / k)


def neurons(world, size, number=12, seed=0):
    """Candidates of some neurons, the most similar first, with lists of unequal length."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.3, 2, (number, size, 1))
    z = rng.normal(size=(number, size, B))
    if world == "groups":  # replicates of concepts that occur together move together
        shared = rng.normal(size=(number, 5, B))
        z = shared[:, rng.integers(0, 5, size)] + 0.2 * z
    if world == "near ties":
        z = z[:, [*range(size // 2)] * 2] + 1e-4 * z
    similarity = rng.normal(size=(number, size)) * rng.uniform(0.3, 3, (number, 1))
    if world == "leaders":
        similarity[:, :3] += 5
    similarity = -np.sort(-similarity, axis=1)
    evidence = rng.uniform(25, 500, (number, size))
    if world == "little evidence":
        evidence = rng.uniform(3, 40, (number, size))
    replicates = similarity[:, :, None] + spread * z
    if world == "biased":  # most replicates are far from the data
        replicates += rng.normal(size=(number, size, 1)) * 3 * spread
    if world == "undefined":
        rare = rng.random((number, size, 1)) ** 8
        replicates[rng.random(z.shape) < rare] = np.nan
    present = np.arange(size) < rng.integers(1, size + 1, (number, 1))
    present[: number // 2] = True
    return replicates, similarity, evidence, present


def plain_rule(replicates, similarity, evidence, present, rank, first, replication):
    """All K x K x B deviations of one neuron."""
    d = np.where(present[:, None], replicates - similarity[:, None], 0)
    undefined = np.isnan(d)
    d = np.where(undefined, 0, d)
    variance = d.var(axis=1)
    both = variance[:, None] + variance
    square = np.maximum(both - 2 * np.cov(d, bias=True), np.finfo(float).eps * both)
    sigma = np.sqrt(np.where(square > 0, square, 1))
    strong = (evidence >= 20) | (evidence[0] < 20)
    rival = (present & strong)[:, None] & ~np.eye(len(d), dtype=bool)
    valid = rival[:, :, None] & ~undefined[:, None]
    z = (d[:, None] - d[None]) / sigma[:, :, None]
    ahead = (similarity[:, None] - similarity) / sigma
    if replication:
        most = np.where(valid & present[:, None], z, -np.inf).max(axis=(0, 1))
        bar = np.full(len(d), np.sqrt(2) * np.sort(most)[rank - 1])
    else:
        move = np.zeros_like(ahead)
        if first:
            slack = -np.sort(np.where(valid, z, np.inf).min(axis=0), axis=1)[:, B - first]
            move = np.minimum(ahead + slack * student(slack, evidence), 0)
        highest = np.where(valid, z + move[:, :, None], -np.inf).max(axis=0)
        bar = np.sort(np.where(undefined, np.inf, highest), axis=1)[:, rank - 1]
    bar = np.maximum(bar, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        wider = student(bar, evidence[:, None]) ** 2 - 1
        own = student(bar, evidence) ** 2 - 1
        inflated = square + wider * variance[:, None] + own * variance
        distance = ahead * sigma / np.sqrt(np.where(inflated > 0, inflated, 1))
    return present & ~(np.where(rival, distance, -np.inf).max(axis=0) > bar)


@pytest.mark.double
@pytest.mark.parametrize("size", [5, 40])
@pytest.mark.parametrize("world", WORLDS)
def test_bounds_change_no_answer(world, size):
    for rank, first, replication in (
        (RANK, FIRST, False), (RANK, 0, False), (90, 120, False), (RANK, 0, True), (90, 0, True),
    ):  # fmt: skip
        arrays = neurons(world, size - size % 2)
        followed = Followed(*map(jnp.asarray, arrays))
        ranks = calibrated.Ranks(rank, first, rank)
        found, _ = calibrated._calibrated(followed, ranks, metric=METHOD, replication=replication)
        expected = [plain_rule(*x, rank, first, replication) for x in zip(*arrays, strict=True)]
        np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.double
def test_every_way_to_settle_a_concept_is_taken():
    """Else the comparison with all pairs would say nothing on some of them."""

    def ways(neuron):
        pairs = pairs_of(neuron)
        stays, unsettled = max_test.settled_by_bounds(pairs, RANK, FIRST)
        settled = (stays, ~stays & ~unsettled, unsettled)
        return jnp.stack([(x & neuron.present).sum() for x in settled])

    found = jax.vmap(ways)(Followed(*map(jnp.asarray, neurons("independent", 40, 48))))
    assert (np.asarray(found).sum(axis=0) > [500, 300, 2]).all()


@pytest.mark.slow
@pytest.mark.double
def test_bounds_of_the_largest_deviation_hold():
    for world in WORLDS:
        arrays = neurons(world, 40)
        bounds = jax.vmap(lambda x: common_bar.deviation_bounds(pairs_of(x), x.present))
        lower, upper = bounds(Followed(*map(jnp.asarray, arrays)))
        every = jax.vmap(
            lambda x: common_bar._largest_deviations(pairs_of(x), x.present, jnp.ones(B, bool))
        )
        largest = every(Followed(*map(jnp.asarray, arrays)))
        assert (np.asarray(lower) <= np.asarray(largest) + 1e-12).all()
        assert (np.asarray(largest) <= np.asarray(upper)).all()


@pytest.mark.double
def test_slacks_are_at_least_their_floor():
    floors = set()
    for world in WORLDS:
        followed = Followed(*map(jnp.asarray, neurons(world, 4, 48)))
        pairs = jax.vmap(pairs_of)(followed)
        d, rival = np.asarray(pairs.deviation), np.asarray(pairs.rival)
        z = (d[:, :, None] - d[:, None]) / np.asarray(pairs.sigma)[..., None]
        valid = rival[..., None] & ~np.asarray(pairs.undefined)[:, :, None]
        least = np.sort(np.where(valid, z, np.inf).min(axis=1), axis=-1)
        for first in (FIRST, 120):
            found = np.asarray(jax.vmap(max_test._slack_floor, (0, None))(pairs, first))
            assert (found <= -least[..., B - first]).all()
            floors |= set(np.unique(found))
    assert floors == {-np.inf, 0.0, max_test.SLACK}
    assert (max_test._slack_floor(jax.tree.map(lambda x: x[0], pairs), 0) == np.inf).all()


@pytest.mark.quick("x32")
@pytest.mark.both_precisions
def test_rows_are_folded_whatever_their_number(precision):
    for number in (1, 15, 16, 17, 32, 45):
        x = jnp.arange(number * 3.0).reshape(number, 3)
        found = fold_rows(lambda total, row, y: total + y * row, jnp.zeros(3), x, x[:, 0])
        np.testing.assert_allclose(found, (x[:, :1] * x).sum(axis=0), rtol=1e-6)


@pytest.mark.double
def test_places_of_a_mask_are_listed_in_order():
    for mask in ([True, False, True, True], [False, False], [True]):
        found = true_places(jnp.asarray(mask), 6)
        (places,) = np.nonzero(mask)
        np.testing.assert_array_equal(found, [*places, *[len(mask)] * (6 - len(places))])


def test_a_short_list_of_candidates_is_compiled_where_it_saves_time():
    few, many = np.full(64, 6), np.full(20_000, 6)
    assert calibrated._list_lengths(few, 20, 1000) == [20]
    assert calibrated._list_lengths(many, 20, 1000) == [8, 20]
    assert calibrated._list_lengths(many, 5, 1000) == [5]
    # many short lists, of which the middle length takes care
    assert calibrated._list_lengths(few, 256, 1000) == [64, 256]
    assert calibrated._list_lengths(np.full(20_000, 200), 256, 1000) == [256]
