"""Limits by betting: their promise in hostile worlds, and what the data can choose at no cost."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.stats
from builders import GROUPS, small_probe

import neurotrust_jax as nt
from neurotrust_jax.faithfulness import betting, finite_sample
from neurotrust_jax.faithfulness.concentration import RatioData, bernstein, chernoff
from neurotrust_jax.faithfulness.methods import METHODS

TAIL = 0.05
DATASETS = 4000
NOISE = 4 * np.sqrt(TAIL * (1 - TAIL) / DATASETS)  # of a share of misses, four standard errors


def evidence(x, y, bound):
    """Of datasets side by side, blocks [N, K] each, as [1, K]."""
    n = np.maximum((y > 0).sum(axis=0), 1)
    means = ((v.sum(axis=0) / n)[None, :] for v in (x, x, y, x * x, x * y, y * y))
    low, high, trials, *squares = (jnp.asarray(v) for v in means)
    n = jnp.asarray((y > 0).sum(axis=0)[None, :], trials.dtype)
    return RatioData(low, high, trials, n, jnp.asarray(bound, trials.dtype), *squares)


def both(x, y, bound, tail, sides=None):
    """Limits from moments, and from blocks: four [K]."""
    known, tail = evidence(x, y, bound), jnp.asarray(tail)
    rough = tuple(v[0] for v in jax.jit(betting.from_moments)(known, tail, sides))
    rows = jnp.asarray(x), jnp.asarray(y)
    bounds = jnp.full(x.shape[1], bound)
    fine = jax.jit(betting.from_blocks)(*rows, rough, known.blocks[0], bounds, tail, sides)
    return (*map(np.asarray, rough), *map(np.asarray, fine))


def worlds(rng, shape):
    """Groups of up to 16, and the ratio of expectations of hits and trials."""
    size = np.arange(1, 17)
    weights = {
        "all or nothing": (size == 16) * 1.0,
        "sizes as 1 / k": 1.0 / size,
        "many of 1, few of 16": (size == 1) * 0.9 + (size == 16) * 0.1,
    }
    for name, weight in weights.items():
        p = weight / weight.sum()
        y = rng.choice(size, shape, p=p) * 1.0
        large = y > 4
        if name == "many of 1, few of 16":
            x = np.where(large, y, y * (rng.random(shape) < 0.5))
            truth = (0.9 * 0.5 + 0.1 * 16) / (0.9 + 1.6)
        else:
            x = y * (rng.random(shape) < 0.15)  # a whole group, or none of it
            truth = 0.15
        yield name, x, y, truth


@pytest.mark.double
def test_limits_miss_no_more_than_their_error_in_hostile_worlds():
    """Below the truth and above it; with groups bounded by the largest seen they fail."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for name, x, y, truth in worlds(rng, (40, DATASETS)):
        rough_low, rough_high, low, high = both(x, y, 16.0, TAIL)
        for missed in ((low > truth).mean(), (high < truth).mean()):
            assert missed <= TAIL + NOISE, name
            worst = max(worst, missed)
        assert (rough_low <= low).all()
        assert (rough_high >= high).all()
    assert worst > TAIL / 40  # the promise is not kept by saying nothing
    # most draws of 40 groups hold none of the large ones: the largest seen is not the largest
    y = np.where(rng.random((40, DATASETS)) < 0.01, 64.0, 1)
    x = np.where(y > 1, y, rng.random(y.shape) < 0.5)
    truth = (0.99 * 0.5 + 0.64) / (0.99 + 0.64)
    assert (both(x, y, 64.0, TAIL)[3] < truth).mean() <= TAIL + NOISE
    seen = y.max(axis=0) == 1
    assert seen.mean() > 0.5
    assert (both(x[:, seen], y[:, seen], 1.0, TAIL)[3] < truth).mean() > 3 * TAIL


@pytest.mark.double
def test_limits_from_moments_are_those_of_two_points():
    """Of coins they are those from the blocks; else they contain them."""
    rng = np.random.default_rng(1)
    shape, rate = (40, 20), np.linspace(0.05, 0.95, 20)
    coins, ones = (rng.random(shape) < rate) * 1.0, np.ones(shape)
    low, high, *fine = both(coins, ones, 1.0, 0.02)
    np.testing.assert_allclose([low, high], fine, atol=1e-5)
    expected = [oracles.limits_of_ratio("betting", x, ones[:, 0], 1, 0.04) for x in coins.T]
    np.testing.assert_allclose(np.transpose([low, high]), expected, atol=1e-6)
    y = rng.integers(1, 9, shape) * 1.0
    x = rng.binomial(y.astype(int), rate) * 1.0
    low, high, fine_low, fine_high = both(x, y, 8.0, 0.02)
    assert (low <= fine_low).all()
    assert (fine_low <= fine_high).all()
    assert (fine_high <= high).all()
    assert (high - low > 1.05 * (fine_high - fine_low)).mean() > 0.9
    # the definition: points 0 and E[w²] / E[w] of the same moments
    for k in (3, 15):
        w = 1 + (x[:, k] / low[k] - y[:, k]) / 8
        far = (w**2).mean() / w.mean()
        share = w.mean() / far
        least = min(np.sqrt(2 * np.log(50) * low[k] / 40), 0.98)
        bets = least ** (1 - np.arange(8) / 7) * 0.98 ** (np.arange(8) / 7)
        logs = 40 * ((1 - share) * np.log1p(-bets) + share * np.log1p(bets * (far - 1)))
        assert np.log(np.exp(logs).mean()) == pytest.approx(np.log(50), abs=1e-6)
    # the misses are the hits of the other side
    swapped = both(y - x, y, 8.0, 0.02)
    np.testing.assert_allclose([1 - swapped[1], 1 - swapped[0]], [low, high], atol=1e-9)


@pytest.mark.double
def test_wealth_falls_with_the_ratio_doubted():
    """So that the limit is the only place at which it is 1 / tail."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        y = rng.choice([0.1, 1, 5], 24)
        x = y * rng.random(24)
        r = np.linspace(0.001, 0.999, 400)
        n, tail = jnp.full(400, 24.0), jnp.asarray(0.01)
        bets = np.stack(betting._bets(jnp.asarray(r), n, tail))
        factors = 1 + bets[:, :, None] * (x / r[:, None] - y) / 5
        assert (factors > 0).all()
        assert (np.diff(factors, axis=1) <= 1e-12).all()


@pytest.mark.double
def test_limits_of_nothing_of_all_and_of_one_group():
    y = np.zeros((4, 4))
    y[:, :2], y[0, 2] = 1, 1
    x = np.where(np.arange(4) == 0, 0, y)
    rough_low, rough_high, low, high = both(x, y, 1.0, 0.1)
    for lower, upper in ((rough_low, rough_high), (low, high)):
        assert lower[0] == 0
        assert upper[0] < 1  # no hits
        assert lower[1] > 0
        assert upper[1] == 1  # nothing but hits
        assert lower[2] >= 0
        assert upper[2] == 1  # of one group
        assert (lower[3], upper[3]) == (0, 1)  # of none
    assert high[0] == pytest.approx(
        1 - oracles.betting_limit(np.ones(4), np.ones(4), 1, 0.1), abs=1e-4
    )


@pytest.mark.double
def test_a_bound_alone_is_that_of_both():
    """A side that is not needed costs nothing, and changes nothing on the other."""
    rng = np.random.default_rng(4)
    y = rng.integers(1, 5, (40, 6)) * 1.0
    x = rng.binomial(y.astype(int), 0.3) * 1.0
    lower, upper, fine_lower, fine_upper = both(x, y, 4.0, 0.05)
    for sides in ([True, False], [False, True]):
        low, high, fine_low, fine_high = both(x, y, 4.0, 0.05, jnp.array(sides))
        np.testing.assert_array_equal(low, lower if sides[0] else 0)
        np.testing.assert_array_equal(high, upper if sides[1] else 1)
        np.testing.assert_array_equal((fine_low, fine_high)[sides[1]],
                                      (fine_lower, fine_upper)[sides[1]])  # fmt: skip


def test_certificate_of_groups_follows_from_the_bounds_by_betting():
    p = small_probe(groups=GROUPS)
    found = nt.certify(p, "iou", alpha=0.1)
    active, present = np.asarray(p.active), np.asarray(p.present)
    largest = np.bincount(GROUPS).max()

    def bound(u, k, tail):
        f, c = active[:, u], present[:, k]
        x, y = np.bincount(GROUPS, f & c), np.bincount(GROUPS, f | c)
        return oracles.limits_of_ratio("betting", x, y, largest, 2 * tail)

    for u in range(3):
        lower, _ = np.transpose([bound(u, k, 0.025 / 5) for k in range(5)])
        _, upper = np.transpose([bound(u, k, 0.075) for k in range(5)])
        label = int(found.label[u])
        assert found.lower[u] == pytest.approx(lower[label], abs=1e-4)
        regret = np.delete(upper, label).max() - lower[label]
        assert found.regret[u] == pytest.approx(regret, abs=2e-4)
        np.testing.assert_array_equal(found.mask[u], upper >= lower.max())


@pytest.mark.double
def test_limits_of_coins_contain_the_exact_ones_and_are_not_much_wider():
    for n in (40, 400):
        hits = np.arange(n)[:, None] < np.linspace(0, n, 11).astype(int)
        low, high = both(hits * 1.0, np.ones(hits.shape), 1.0, 0.025)[2:]
        exact = [scipy.stats.binomtest(int(k), n).proportion_ci(0.95) for k in hits.sum(axis=0)]
        below, above = np.array(exact).T
        assert (low <= below + 1e-9).all()
        assert (high >= above - 1e-9).all()
        assert ((high - low) / (above - below)).max() < 1.7


@pytest.mark.double
def test_groups_that_hold_little_of_what_they_might_have_narrower_limits_than_before_betting():
    rng = np.random.default_rng(3)
    y = rng.integers(1, 13, (200, 50)) * 1.0
    x = rng.binomial(y.astype(int), 0.3) * 1.0
    low, high, fine_low, fine_high = both(x, y, 12.0, 0.01)
    known = evidence(x, y, 12.0)
    for other in (chernoff, bernstein):
        lower, upper = other(known, jnp.asarray(0.01))
        assert ((high - low) < 0.7 * (upper - lower)[0]).all()
    assert (fine_high - fine_low).mean() < 0.95 * (high - low).mean()


@pytest.mark.double
def test_pairs_with_trials_in_few_groups_keep_every_one_of_them():
    """Sixteen groups fill the rows of the blocks that count, with none to spare."""
    p = small_probe(groups=np.arange(120) // 3)
    active = np.asarray(p.active)
    rng = np.random.default_rng(6)
    groups = [rng.choice(40, k, replace=False) for k in (16, 7)]
    c = np.stack([np.isin(np.asarray(p.groups), g) for g in groups], axis=1)
    few = nt.make_probe(np.asarray(p.activations), c, groups=p.groups, thresholds=0.8)
    found = nt.intervals(few, "recall", method="betting", alpha=0.1)
    for u, k in np.ndindex(3, 2):
        x, y = (np.bincount(np.asarray(p.groups), v) for v in (active[:, u] & c[:, k], c[:, k]))
        expected = oracles.limits_of_ratio("betting", x, y, 3, 0.1)
        np.testing.assert_allclose([found.lower[u, k], found.upper[u, k]], expected, atol=1e-5)


@pytest.mark.slow
def test_leading_concepts_get_the_narrower_limits(monkeypatch):
    p = small_probe(groups=GROUPS)
    every = nt.intervals(p, "balanced_accuracy", alpha=0.1)
    monkeypatch.setattr(finite_sample, "LEADING", 1)
    leading = nt.intervals(p, "balanced_accuracy", alpha=0.1)
    monkeypatch.setattr(finite_sample, "MOST_BLOCKS", 3)
    jax.clear_caches()
    none = nt.intervals(p, "balanced_accuracy", alpha=0.1)
    width = [np.asarray(i.upper - i.lower) for i in (every, leading, none)]
    assert (width[0] <= width[1] + 1e-5).all()
    assert (width[1] <= width[2] + 1e-5).all()
    label = np.nanargmax(np.asarray(every.similarity)[:3], axis=1)
    own = np.arange(3), label
    np.testing.assert_allclose(width[1][own], width[0][own], atol=1e-5)
    assert (width[1][own] < width[2][own] - 1e-3).all()
    jax.clear_caches()


def test_a_bound_for_each_pair_is_that_of_its_own_groups():
    """One group of 40 in which nothing counts: the others hold three samples each."""
    small = small_probe(groups=GROUPS)
    f = np.concatenate([np.asarray(small.activations), np.zeros((40, 4))])
    c = np.concatenate([np.asarray(small.concepts)[:, :4], np.zeros((40, 4), bool)])
    p = nt.make_probe(f, c, groups=np.r_[GROUPS, np.full(40, 40)], thresholds=0.8)
    seen, pair = (nt.intervals(p, "recall", largest_unit=x) for x in (None, "pair"))
    assert pair.assumes == "no group has more samples that count for a pair than the most seen"
    assert not pair.finite_sample
    active, present = np.asarray(p.active), np.asarray(p.present)
    for u, k in ((0, 0), (1, 2)):
        x, y = (np.bincount(np.asarray(p.groups), v) for v in (active[:, u] & present[:, k],
                                                               present[:, k]))  # fmt: skip
        expected = oracles.limits_of_ratio("betting", x, y, y.max(), 0.05)
        np.testing.assert_allclose([pair.lower[u, k], pair.upper[u, k]], expected, atol=1e-4)
    assert (np.asarray(pair.upper - pair.lower) <= np.asarray(seen.upper - seen.lower) + 1e-5).all()
    assert nt.certify(p, "recall", largest_unit="pair").assumes == pair.assumes
    with pytest.raises(ValueError, match="largest_unit='pair' is for groups"):
        nt.intervals(small_probe(), "iou", largest_unit="pair")
    with pytest.raises(ValueError, match="'pair' does not fit 'auroc'"):
        nt.intervals(p, "auroc", largest_unit="pair")


@pytest.mark.slow
def test_a_wide_interval_says_why():
    """One large group beside small ones, a rare concept, and thresholds from the same data."""
    rng = np.random.default_rng(0)
    groups = np.r_[np.arange(300) // 2, np.full(100, 150)]
    c = rng.random((400, 3)) < [0.4, 0.4, 0.0]
    c[[0, 50, 100], 2] = True
    weights = np.ones(400)
    weights[100] = 0  # not there, nor are its neuron and concept
    c[200, 2] = True
    f = np.where(rng.random((400, 3)) < 0.9, c, ~c) * 1.0
    f[:, 2] = c[:, 2]
    f[300:], c[300:] = 0, False  # the large group holds nothing of either
    given = {"groups": groups, "thresholds": 0.5, "sample_weight": weights}

    def told(p, metric="iou", **options):
        found = nt.intervals(p, metric, alpha=0.1, simultaneous="concepts", **options)
        return found, nt.label_intervals(p, metric, found, **options)

    found, seen = told(nt.make_probe(f, c, **given))
    assert list(seen.label) == [0, 1, 2]
    own = np.arange(3), seen.label
    np.testing.assert_array_equal(seen.lower, np.asarray(found.lower)[own])
    assert "the largest group holds 100 of 399 samples" in seen.why_wide[0]
    assert "largest_unit='pair', or the asymptotic one" in seen.why_wide[0]
    assert seen.why_wide[2].startswith(
        "the concept occurs together with the neuron in 3 groups, too few"
    )
    width = [x - y for x, y in ((seen.upper, seen.lower), (seen.pair_upper, seen.pair_lower),
                                (seen.asymptotic_upper, seen.asymptotic_lower))]  # fmt: skip
    assert (width[1][:2] < 0.7 * width[0][:2]).all()
    assert (width[2][:2] < width[1][:2]).all()
    assert "most seen" in seen.pair_guarantee
    assert "asymptotically" in seen.asymptotic_guarantee
    _, known = told(nt.make_probe(f, c, **given), largest_unit=200)
    assert "must allow for groups of 200 samples" in known.why_wide[0]
    _, even = told(nt.make_probe(f[:300], c[:300], groups=groups[:300], thresholds=0.5))
    assert even.why_wide[:2] == ("", "")
    # even groups are not too large, however wide the interval is
    few = nt.make_probe(f[:300], c[:300], groups=np.arange(300) // 25, thresholds=0.5)
    assert (
        "in 12 groups, too few for a bound at this level"
        in told(few, largest_unit=75)[1].why_wide[0]
    )
    _, alone = told(nt.make_probe(f, c, top_fraction=0.3))
    assert "thresholds come from the same data" in alone.why_wide[2]
    assert np.isnan(alone.pair_lower).all()
    assert not alone.pair_guarantee
    with pytest.raises(ValueError, match="found must hold the intervals of 'accuracy'"):
        nt.label_intervals(nt.make_probe(f, c, **given), "accuracy", found)


@pytest.mark.quick("iou-False", "iou-True")
@pytest.mark.parametrize(
    ("metric", "grouped", "why"),
    [("iou", False, "the concept occurs together with the neuron in 3 samples, too few"),
     ("iou", True, "the concept occurs together with the neuron in 2 groups, too few"),
     ("auroc", False, "the concept is present in 4 samples, too few")],
)  # fmt: skip
def test_a_wide_interval_counts_the_units_of_neuron_and_concept(metric, grouped, why):
    c = np.arange(30)[:, None] < 4
    f = np.isin(np.arange(30), [0, 1, 3, 10, 11])[:, None]
    groups = np.arange(30) // 2 if grouped else None
    p = nt.make_probe(f * 1.0, c, thresholds=0.5, groups=groups)
    found = nt.intervals(p, metric, alpha=1e-9)
    (seen,) = nt.label_intervals(p, metric, found).why_wide
    assert seen.startswith(why)


def test_the_interval_per_pair_is_by_the_method_at_hand():
    p = small_probe(groups=GROUPS)
    seen = nt.label_intervals(p, "iou", nt.intervals(p, "iou", method="chernoff"))
    pair = nt.intervals(p, "iou", method="chernoff", largest_unit="pair")
    own = np.arange(3), seen.label[:3]
    np.testing.assert_allclose(seen.pair_lower[:3], pair.lower[own], atol=1e-6)
    np.testing.assert_allclose(seen.pair_upper[:3], pair.upper[own], atol=1e-6)
    assert seen.pair_guarantee == pair.guarantee
    assert np.isnan([seen.pair_lower[3], seen.pair_upper[3]]).all()  # a dead neuron


@pytest.mark.parametrize(
    ("method", "metric", "grouped", "fits"),
    [("betting", "iou", True, True), ("betting", "iou", False, False),
     ("chernoff", "auroc", True, False), ("dkw", "iou", True, False),
     ("asymptotic", "iou", True, False)],
)  # fmt: skip
def test_which_methods_have_an_interval_per_pair(method, metric, grouped, fits):
    p = small_probe(groups=GROUPS if grouped else None)
    assert METHODS[method].fits_per_pair(nt.METRICS[metric], p) == fits


def test_a_method_for_every_threshold_is_not_needed_where_thresholds_are_fixed():
    p = small_probe(groups=GROUPS)
    seen = nt.label_intervals(p, "iou", nt.intervals(p, "iou", alpha=1e-6, method="dkw"))
    assert "every threshold, but these are fixed: leave method= out" in seen.why_wide[0]
    assert np.isnan(seen.pair_lower).all()
    assert not seen.pair_guarantee
