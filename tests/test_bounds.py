"""Intervals and certificates against naive loops, outside values, and their promises."""

import dataclasses
import math
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from test_metrics import KINDS

import neurotrust_jax as nt
from neurotrust_jax import bounds, concentration, rules
from neurotrust_jax.evidence import Pairs

COUNTS = {
    "accuracy": lambda a, y: (a == y, np.ones_like(a)),
    "precision": lambda a, y: (a & y, a),
    "recall": lambda a, y: (a & y, y),
    "iou": lambda a, y: (a & y, a | y),
}
FINITE = ("exact", "tightest", "chernoff", "bernstein", "hoeffding", "agarwal", "dkw")
RANGE = (-4.0, 6.0)


def close(precision):
    return {"rtol": 1e-7, "atol": 1e-7} if precision == "x64" else {"rtol": 3e-4, "atol": 3e-4}


def probe(n=120, groups=None, weights=None, soft=False, repeat=1, **options):
    """Three neurons that follow concepts, a dead one; the last two concepts never, always there."""
    rng = np.random.default_rng(0)
    c = rng.uniform(size=(n, 5)) < [0.3, 0.1, 0.5, 0, 1]
    f = np.round(rng.normal(size=(n, 4)) + c[:, :4], 1).clip(*RANGE)
    f[:, 3] = 0
    scores = np.where(c, 0.9, 0.2) - 0.2 * rng.uniform(size=c.shape) if soft else c
    if groups is not None:
        options["groups"] = np.tile(groups, repeat)
    if weights is not None:
        options["sample_weight"] = np.tile(weights, repeat)
    options.setdefault("thresholds", 0.8)
    return nt.make_probe(np.tile(f, (repeat, 1)), np.tile(scores, (repeat, 1)), **options)


GROUPS = np.random.default_rng(1).permutation(np.repeat(np.arange(40), 3))
UNEVEN = np.random.default_rng(2).integers(0, 25, 120)
WEIGHTS = np.random.default_rng(3).uniform(0.2, 2, 120)


def columns(p):
    return np.asarray(p.neurons.present), np.asarray(p.labels.present)


@pytest.mark.optimised
@pytest.mark.parametrize("metric", [*COUNTS, "f1", "balanced_accuracy"])
def test_exact_is_scipys_clopper_pearson(metric, precision):
    p = probe()
    found = nt.intervals(p, metric, method="exact", delta=0.1)
    active, present = columns(p)

    def limits(hits, trials, confidence=0.9):
        hits, trials = int((hits & (trials > 0)).sum()), int(trials.sum())
        if not trials:
            return np.array([0.0, 1.0])
        test = scipy.stats.binomtest(hits, trials)
        return np.array(test.proportion_ci(confidence, method="exact"))

    for u, k in product(range(4), range(5)):
        a, y = active[:, u], present[:, k]
        if metric == "balanced_accuracy":
            expected = (limits(a & y, y, 0.95) + limits(~a & ~y, ~y, 0.95)) / 2
        else:
            expected = limits(*COUNTS["iou" if metric == "f1" else metric](a, y))
            expected = 2 * expected / (1 + expected) if metric == "f1" else expected
        ours = float(found.lower[u, k]), float(found.upper[u, k])
        np.testing.assert_allclose(ours, expected, **close(precision))


def naive(method, x, y, bound, delta, hits_high=None):
    """Limits on E[x] / E[y] from blocks, by root finding on the definition, in float64."""
    some = y > 1e-9
    x, y, n = x[some], y[some], int(some.sum())
    if n == 0:
        return 0.0, 1.0
    if method == "tightest":
        parts = [naive(m, x, y, bound, delta / 2) for m in ("chernoff", "bernstein")]
        return max(p[0] for p in parts), min(p[1] for p in parts)
    ratio = x.sum() / y.sum()
    if method in ("hoeffding", "dkw"):
        scale = math.sqrt(math.log(2 / delta) / 2)
        if method == "dkw" and (bound != 1 or (y != 1).any()):
            scale = scipy.optimize.brentq(
                lambda t: (
                    math.exp(-4 * t * t)
                    + 8 * math.sqrt(math.pi / 2) * t * math.exp(-2 * t * t)
                    - delta
                ),
                1, 9,
            )  # fmt: skip
        half = bound * scale / math.sqrt(n) / y.mean()
        return max(ratio - half, 0), min(ratio + half, 1)

    def excess(r):
        z = x - r * y
        if method == "chernoff":
            p = min(max(r + z.mean() / bound, 0), 1)
            with np.errstate(divide="ignore"):
                kl = scipy.stats.entropy([p, 1 - p], [r, 1 - r])
            return n * kl - math.log(2 / delta)
        if n == 1:
            return -1.0
        log = math.log(4 / delta)
        spread = math.sqrt(2 * np.var(z, ddof=1) * log / n)
        return abs(z.mean()) - spread - 7 * bound * log / (3 * (n - 1))

    def edge(end):
        if abs(ratio - end) < 1e-12 or excess(abs(end - 1e-12)) <= 0:
            return end
        return scipy.optimize.brentq(excess, *sorted([ratio, abs(end - 1e-12)]), xtol=1e-12)

    return edge(0.0), edge(1.0)


@pytest.mark.x64
@pytest.mark.parametrize("case", ["samples", "weights", "groups", "uneven"])
@pytest.mark.parametrize("method", ["hoeffding", "chernoff", "bernstein", "tightest", "dkw"])
def test_limits_equal_the_naive_loop_over_blocks(method, case):
    p = {
        "samples": lambda: probe(),
        "weights": lambda: probe(weights=WEIGHTS),
        "groups": lambda: probe(groups=GROUPS),
        "uneven": lambda: probe(groups=UNEVEN, weights=WEIGHTS),
    }[case]()
    metric = "recall" if method == "dkw" else "iou"
    found = nt.intervals(p, metric, method=method, delta=0.1)
    active, present = columns(p)
    w = np.asarray(p.sample_weight, float) / float(p.sample_weight.max())
    block = np.arange(120) if p.groups is None else np.asarray(p.groups)
    bound = np.bincount(block, w).max()
    for u, k in product(range(4), range(5)):
        hits, trials = COUNTS[metric](active[:, u], present[:, k])
        expected = naive(
            method, np.bincount(block, w * hits), np.bincount(block, w * trials), bound, 0.1
        )
        ours = float(found.lower[u, k]), float(found.upper[u, k])
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.x64
@pytest.mark.parametrize(
    ("metric", "method"), [("iou", "exact"), ("recall", "tightest"), ("auroc", "chernoff")]
)
def test_rows_of_weight_zero_are_no_evidence(metric, method):
    """A row that is not there must not narrow a limit."""
    kept = WEIGHTS > 1
    all_rows = probe(weights=kept.astype(float))
    found, expected = (
        nt.intervals(p, metric, method=method)
        for p in (all_rows, all_rows.take(np.flatnonzero(kept)))
    )
    np.testing.assert_allclose(found.lower, expected.lower, **close("x64"))
    np.testing.assert_allclose(found.upper, expected.upper, **close("x64"))


@pytest.mark.x64
def test_auroc_given_the_labels():
    p = probe()
    positives = columns(p)[1].sum(axis=0)
    smaller = np.minimum(positives, 120 - positives)
    hoeffding = nt.intervals(p, "auroc", method="hoeffding", delta=0.1)
    agarwal = nt.intervals(p, "auroc", method="agarwal", delta=0.1)
    chernoff = nt.intervals(p, "auroc", method="chernoff", delta=0.1)
    value = np.asarray(hoeffding.similarity, float)
    for u, k in product(range(3), range(3)):
        half = math.sqrt(math.log(20) / (2 * smaller[k]))
        expected = max(value[u, k] - half, 0), min(value[u, k] + half, 1)
        ours = float(hoeffding.lower[u, k]), float(hoeffding.upper[u, k])
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7)
        rho = positives[k] / 120
        half = math.sqrt(math.log(20) / (2 * rho * (1 - rho) * 120))
        expected = max(value[u, k] - half, 0), min(value[u, k] + half, 1)
        ours = float(agarwal.lower[u, k]), float(agarwal.upper[u, k])
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7)
        coins = np.full(smaller[k], value[u, k])
        expected = naive("chernoff", coins, np.ones_like(coins), 1, 0.1)
        ours = float(chernoff.lower[u, k]), float(chernoff.upper[u, k])
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.x64
@pytest.mark.parametrize("metric", ["auroc", "simulation_auroc"])
def test_grouped_auroc_from_pairs_of_groups(metric):
    """The U-statistic spelled out: sums over ordered pairs of groups of hits and of trials."""
    p = probe(groups=UNEVEN)
    data = bounds._data(p, bounds._largest_unit(p, None), *bounds._known_range(p, None))
    found = Pairs(metric).evidence(data, nt.similarity(p, metric), num_units=p.num_units)
    f, y = np.asarray(p.activations), columns(p)[1]
    score, label = (f, y) if metric == "auroc" else (np.asarray(p.concepts, float), columns(p)[0])
    members = [np.flatnonzero(np.asarray(p.groups) == g) for g in range(p.num_units)]
    ordered = len(members) * (len(members) - 1)
    for i, j in ((0, 0), (1, 2)):
        s, lab = score[:, i], label[:, j]

        def pairs(g, h, s=s, lab=lab):
            hits = trials = 0.0
            for a, b in product(g, h):
                if lab[a] and not lab[b]:
                    trials += 1
                    hits += 1.0 if s[a] > s[b] else 0.5 if s[a] == s[b] else 0.0
            return np.array([hits, trials])

        between = sum(pairs(g, h) + pairs(h, g) for g, h in combinations(members, 2))
        inside = sum(pairs(g, g) for g in members)
        assert 0 < inside[0] < inside[1]
        measured = between[0] + inside[0]  # what a rank statistic can tell
        at = (i, j) if metric == "auroc" else (j, i)
        assert found.hits_low[at] == pytest.approx((measured - inside[1]) / ordered)
        assert found.hits_high[at] == pytest.approx(min(measured, between[1]) / ordered)
        assert found.trials[at] == pytest.approx(between[1] / ordered)
        assert found.blocks[at] == len(members) // 2
        assert found.bound == max(map(len, members)) ** 2 / 2


@pytest.mark.x64
def test_all_pairs_within_groups_leave_no_more_hits_than_trials():
    """Every pair rightly ordered: those inside groups must not push the ratio beyond 1."""
    y = np.tile([True, False], 20)
    p = nt.make_probe(y[:, None] * 1.0, y[:, None], groups=np.arange(40) // 2, thresholds=0.5)
    data = bounds._data(p, bounds._largest_unit(p, None), *bounds._known_range(p, None))
    found = Pairs("auroc").evidence(data, nt.similarity(p, "auroc"), num_units=20)
    assert found.hits_high[0, 0] == found.trials[0, 0] == 380 / 380
    low, high = found.ratio
    assert (low[0, 0], high[0, 0]) == (1, 1)


@pytest.mark.x64
def test_variance_from_mean_and_mean_square():
    mean, square = (jnp.asarray(0.4), jnp.asarray(0.5)), (jnp.asarray(0.3), jnp.asarray(0.32))
    low, high = rules._variance(mean, square)
    assert (float(low), float(high)) == pytest.approx((0.05, 0.16))
    assert float(rules._variance(mean, (square[0], jnp.asarray(0.9)))[1]) == 0.25


@pytest.mark.x64
@pytest.mark.parametrize("case", ["samples", "uneven"])
@pytest.mark.parametrize("metric", ["mad", "standardised_mad", "correlation", "cosine", "wpmi"])
def test_means_carried_through_the_formula(metric, case):
    p = probe(600, soft=True, groups=np.arange(600) // 4 if case == "uneven" else None)
    found = nt.intervals(p, metric, method="tightest", delta=0.1, activation_range=RANGE)
    active, present = columns(p)
    f, c = np.asarray(p.activations, float), np.asarray(p.concepts, float)
    block = np.arange(600) if p.groups is None else np.asarray(p.groups)
    bound = 1 if p.groups is None else 4

    def mean(x, trials, parts):
        values = np.bincount(block, x * trials), np.bincount(block, trials.astype(float))
        return np.array(naive("tightest", *values, bound, 0.1 / parts))

    for u, k in product(range(2), range(2)):
        x, y, a, pos = f[:, u], c[:, k], active[:, u], present[:, k]
        unit, all_rows = (x + 4) / 10, np.ones(600)
        variance = lambda m, s: np.array(  # noqa: E731
            [max(s[0] - m[1] ** 2, 0), min(max(s[1] - m[0] ** 2, 0), 0.25)]
        )
        if metric == "mad":
            one, zero = mean(unit, pos, 2), mean(unit, ~pos, 2)
            expected = 10 * (one[0] - zero[1]), 10 * (one[1] - zero[0])
        elif metric == "wpmi":
            floor = math.log(1e-8)
            share, prior = mean(1 - np.log(y) / floor, a, 2), mean(y, all_rows, 2)
            expected = floor * (1 - share) - np.log(prior[::-1])
        elif metric == "cosine":
            xy, yy = mean(unit * y, all_rows, 4), mean(y * y, all_rows, 4)
            xx, yl = mean((x / 6) ** 2, all_rows, 4), mean(y, all_rows, 4)
            top = 10 * xy[0] - 4 * yl[1], 10 * xy[1] - 4 * yl[0]
            below = 6 * np.sqrt(xx * yy)
            expected = [t / below[int(i != (t < 0))] for i, t in enumerate(top)]
            expected = [
                top[0] / below[0 if top[0] < 0 else 1],
                top[1] / below[1 if top[1] < 0 else 0],
            ]
        else:
            parts = 5 if metric == "correlation" else 4
            vf = variance(mean(unit, all_rows, parts), mean(unit**2, all_rows, parts))
            if metric == "correlation":
                m, l = mean(unit, all_rows, 5), mean(y, all_rows, 5)
                xy = mean(unit * y, all_rows, 5)
                top = xy[0] - m[1] * l[1], xy[1] - m[0] * l[0]
                below = np.sqrt(vf * variance(l, mean(y * y, all_rows, 5)))
            else:
                one, zero = mean(unit, pos, 4), mean(unit, ~pos, 4)
                top = one[0] - zero[1], one[1] - zero[0]
                below = np.sqrt(vf)
            with np.errstate(divide="ignore"):
                expected = [
                    top[0] / below[0 if top[0] < 0 else 1], top[1] / below[1 if top[1] < 0 else 0]
                ]  # fmt: skip
        expected = np.clip(expected, *nt.METRICS[metric].range)
        ours = float(found.lower[u, k]), float(found.upper[u, k])
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9)


UNIFORM = {
    "accuracy": lambda p, r, q: p * r + (1 - p) * (1 - q),
    "precision": lambda p, r, q: p * r / (p * r + (1 - p) * q),
    "f1": lambda p, r, q: 2 * p * r / (p + p * r + (1 - p) * q),
    "iou": lambda p, r, q: p * r / (p + (1 - p) * q),
    "simulation_balanced_accuracy": lambda p, r, q: (
        (p * r / (p * r + (1 - p) * q) + (1 - p) * (1 - q) / ((1 - p) * (1 - q) + p * (1 - r))) / 2
    ),
}


@pytest.mark.optimised
@pytest.mark.x32
def test_single_precision_suffices():
    p = probe(groups=UNEVEN, weights=WEIGHTS)
    for metric, method in (("iou", "tightest"), ("recall", "dkw"), ("auroc", "chernoff")):
        single = nt.intervals(p, metric, method=method)
        with jax.enable_x64(True):
            double = nt.intervals(probe(groups=UNEVEN, weights=WEIGHTS), metric, method=method)
        assert single.lower.dtype == jnp.float32
        np.testing.assert_allclose(single.lower, double.lower, rtol=3e-4, atol=3e-4)
        np.testing.assert_allclose(single.upper, double.upper, rtol=3e-4, atol=3e-4)


@pytest.mark.x64
@pytest.mark.parametrize("metric", [*UNIFORM])
def test_limits_for_all_thresholds_hold_on_the_whole_box(metric):
    """The metric over a grid of (p, r, q) within their limits stays inside, and comes close."""
    p = probe(600)
    found = nt.intervals(p, metric, method="dkw", delta=0.3)
    active, present = columns(p)
    for u, k in product(range(3), range(3)):
        a, y = active[:, u], present[:, k]
        prior = scipy.stats.binomtest(int(y.sum()), 600).proportion_ci(0.9, method="exact")
        r = naive("dkw", (a & y)[y] * 1.0, np.ones(y.sum()), 1, 0.1)
        q = naive("dkw", (a & ~y)[~y] * 1.0, np.ones((~y).sum()), 1, 0.1)
        assert min(r) > 0
        grid = np.meshgrid(*(np.linspace(*limits, 15) for limits in (prior, r, q)))
        values = UNIFORM[metric](*grid)
        ours = float(found.lower[u, k]), float(found.upper[u, k])
        assert ours[0] <= values.min() + 1e-9
        assert ours[1] >= values.max() - 1e-9
        # the two halves of the last are bounded apart
        slack = 0.1 if metric == "simulation_balanced_accuracy" else 1e-9
        np.testing.assert_allclose(ours, (values.min(), values.max()), atol=slack)


@pytest.mark.x32
@pytest.mark.parametrize("metric", ["iou", "auprc"])
def test_simultaneous_divides_delta(metric):
    p = probe()
    for simultaneous, count in (("concepts", 5), ("all", 20)):
        found = nt.intervals(p, metric, delta=0.1, simultaneous=simultaneous)
        alone = nt.intervals(p, metric, delta=0.1 / count)
        np.testing.assert_allclose(found.lower, alone.lower, rtol=1e-6)
        np.testing.assert_allclose(found.upper, alone.upper, rtol=1e-6)


@pytest.mark.x64
def test_asymptotic_interval_is_value_and_standard_error():
    p = probe()
    for metric in ("iou", "correlation", "soft_wpmi"):
        error, freedom = bounds.standard_error(p, nt.METRICS[metric])
        found = nt.intervals(p, metric, method="asymptotic", delta=0.1, simultaneous="all")
        level = 1 - 0.1 / 2 / 20
        z = (
            scipy.stats.norm.ppf(level)
            if math.isinf(freedom)
            else scipy.stats.t.ppf(level, freedom)
        )
        value = np.asarray(found.similarity)
        expected = np.clip(value + z * np.asarray(error), *nt.METRICS[metric].range)
        np.testing.assert_allclose(found.upper, expected, rtol=1e-4)
        undefined = np.isnan(value)
        np.testing.assert_array_equal(np.isnan(found.lower), undefined)
        np.testing.assert_array_equal(np.asarray(found.reason) > 0, undefined)
        assert not found.finite_sample


@pytest.mark.optimised
@pytest.mark.x32
def test_student_quantiles():
    for freedom, level in product((40, 63, 1000), (0.6, 0.975, 1 - 1e-6)):
        assert bounds._quantile(level, freedom) == pytest.approx(
            scipy.stats.t.ppf(level, freedom), rel=2e-3
        )


def fitting(p, metric):
    for method in FINITE:
        try:
            nt.intervals(p, metric, method=method, activation_range=RANGE)
        except ValueError:
            continue
        yield method


GROUPED_TOO = ("iou", "balanced_accuracy", "auroc", "mad")


@pytest.mark.x32
@pytest.mark.parametrize(
    ("metric", "grouped"), [*((m, False) for m in bounds.RULES), *((m, True) for m in GROUPED_TOO)]
)
def test_finite_sample_intervals_keep_their_contract(metric, grouped):
    """In range, never NaN, around the estimate, narrower with n and with a larger delta."""
    groups = np.concatenate([GROUPS + 40 * i for i in range(4)]) if grouped else None
    large = probe(repeat=4)
    large = nt.make_probe(large.activations, large.concepts, thresholds=0.8, groups=groups)
    # the same data once: rows of weight 0 are absent, and nothing is compiled anew
    small = dataclasses.replace(large, sample_weight=(jnp.arange(480) < 120).astype(jnp.float32))
    options = {"activation_range": RANGE}
    low, high = nt.METRICS[metric].range
    methods = list(fitting(small, metric))
    assert "hoeffding" in methods
    for method in methods:
        found = nt.intervals(small, metric, method=method, **options)
        tight = nt.intervals(small, metric, method=method, delta=0.3, **options)
        every = nt.intervals(small, metric, method=method, simultaneous="all", **options)
        more = nt.intervals(large, metric, method=method, **options)
        value = np.asarray(found.similarity)
        defined = ~np.isnan(value)
        for i in (found, tight, every, more):
            lower, upper = np.asarray(i.lower), np.asarray(i.upper)
            assert not np.isnan(lower).any()
            assert not np.isnan(upper).any()
            assert ((lower >= low) & (upper <= high) & (lower <= upper)).all()
            assert (lower[defined] <= value[defined] + 1e-5).all()
            assert (upper[defined] >= value[defined] - 1e-5).all()
        for wide, narrow in ((every, found), (found, tight), (found, more)):
            assert (np.asarray(wide.lower) <= np.asarray(narrow.lower) + 1e-5).all()
            assert (np.asarray(wide.upper) >= np.asarray(narrow.upper) - 1e-5).all()
        assert found.finite_sample
        assert method in found.guarantee


@pytest.mark.x64
def test_every_kind_of_metric_has_intervals():
    p = probe(soft=True)
    for metric in KINDS:
        found = nt.intervals(p, metric)
        lower, upper = np.asarray(found.lower), np.asarray(found.upper)
        low, high = nt.METRICS[metric].range
        undefined = np.isnan(lower)
        assert (np.asarray(found.reason)[undefined] > 0).all()
        assert (lower[~undefined] >= low).all()
        assert (upper[~undefined] <= high).all()
        assert found.method != "auto"


@pytest.mark.x32
def test_auto_takes_what_is_valid():
    assert nt.intervals(probe(), "iou").method == "exact"
    assert nt.intervals(probe(groups=GROUPS), "iou").method == "tightest"
    assert nt.intervals(probe(weights=WEIGHTS), "iou").method == "tightest"
    quantile = probe(thresholds=None, top_fraction=0.1)
    assert nt.intervals(quantile, "iou").method == "dkw"
    assert nt.intervals(quantile, "wpmi").method == "asymptotic"
    assert nt.intervals(quantile, "auroc").method == "tightest"  # no threshold in it
    split = nt.split_thresholds(jax.random.key(0), quantile, top_fraction=0.1)
    found = nt.intervals(split, "iou")
    assert found.method == "exact"
    assert "top_fraction=0.1 of 60 other units" in found.guarantee
    with pytest.warns(nt.CoverageWarning, match="they come from the same data"):
        forced = nt.intervals(quantile, "iou", method="exact")
    assert "NOT VALID" in forced.guarantee
    assert nt.intervals(probe(), "mad").method == "asymptotic"
    assert nt.intervals(probe(), "mad", activation_range=RANGE).method == "tightest"
    mine = nt.six_sum_metric("iou", "binary", "binary", lambda s: s.FC / s.S, (0, 1), "mine")
    assert nt.intervals(probe(), mine).method == "asymptotic"  # another formula of that name


@pytest.mark.x32
def test_guarantee_says_all_that_matters():
    text = nt.intervals(probe(groups=GROUPS), "iou", delta=0.1, simultaneous="concepts").guarantee
    assert text == (
        "90% coverage for every sample size (tightest), all concepts of a neuron at once; "
        "independent units: 40 groups, weight of each at most 3 times a sample's; "
        "thresholds: taken as fixed beforehand (given)"
    )
    assert "asymptotically" in nt.intervals(probe(), "auprc").guarantee


@pytest.mark.x32
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 0}, "delta must lie strictly between 0 and 1, got 0"),
        ({"method": "wald"}, "unknown method 'wald'; known: auto"),
        ({"simultaneous": "yes"}, "simultaneous must be one of none, concepts, all, got 'yes'"),
        ({"metric": "auroc", "method": "exact"}, "does not fit 'auroc'.*these do: asymptotic"),
        ({"metric": "mad", "method": "chernoff"}, r"need activation_range=\(low, high\)"),
        ({"activation_range": (0, 1)}, "activation_range must hold every activation, but sample"),
        ({"largest_unit": 0.5}, "largest_unit must be at least 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    options = dict(options)
    with pytest.raises(ValueError, match=message):
        nt.intervals(probe(), options.pop("metric", "iou"), **options)


@pytest.mark.x32
def test_a_larger_possible_unit_widens_grouped_intervals():
    seen = nt.intervals(probe(groups=GROUPS), "iou")
    wide = nt.intervals(probe(groups=GROUPS), "iou", largest_unit=6)
    assert (np.asarray(wide.upper - wide.lower) >= np.asarray(seen.upper - seen.lower)).all()


@pytest.mark.x32
@pytest.mark.parametrize(("simultaneous", "neurons"), [("concepts", 1), ("all", 4)])
def test_certificate_follows_from_the_intervals(simultaneous, neurons):
    p = probe(2000)
    found = nt.intervals(p, "iou", simultaneous=simultaneous, delta=0.025)
    lower = np.asarray(found.lower)
    # the best concept is one concept, so its limit needs no correction for the number of concepts
    upper = np.asarray(nt.intervals(p, "iou", delta=0.075 / neurons).upper)
    proof = nt.certify(p, "iou", delta=0.1, simultaneous=simultaneous)
    assert proof.guarantee.startswith("90% coverage for every sample size (exact), ")
    value = np.asarray(found.similarity)
    for u in range(3):
        label = int(np.nanargmax(value[u]))
        assert int(proof.label[u]) == label
        assert proof.lower[u] == lower[u, label]
        rivals = [upper[u, k] for k in range(5) if k != label]
        assert float(proof.regret[u]) == pytest.approx(max(max(rivals) - lower[u, label], 0))
        np.testing.assert_array_equal(proof.mask[u], upper[u] >= lower[u].max())
    assert not np.asarray(proof.vacuous)[:3].any()
    np.testing.assert_array_equal(proof.positives, columns(p)[1].sum(axis=0))
    # the dead neuron has no label: nothing is certified, nothing ruled out
    assert int(proof.label[3]) == -1
    assert np.isnan([proof.lower[3], proof.regret[3]]).all()
    assert proof.mask[3].all()
    assert proof.vacuous[3]
    certified = np.asarray(proof.certified)
    np.testing.assert_array_equal(certified[:3], np.asarray(proof.regret)[:3] == 0)
    assert certified.any()
    assert not certified[3]


@pytest.mark.x32
def test_a_common_concept_may_rule_out_what_the_label_can_not():
    """The label's own limits are wide; the second's lower limit excludes the third."""
    found = nt.intervals(nt.make_probe(np.arange(4.0)[:, None], np.eye(4)[:, :3]), "iou")
    found = dataclasses.replace(
        found,
        similarity=jnp.asarray([[0.9, 0.7, 0.3]]),
        lower=jnp.asarray([[0.1, 0.6, 0.2]]),
        upper=jnp.asarray([[1.0, 0.8, 0.5]]),
    )
    proof = bounds._certificate(found, found, jnp.asarray([1, 1, 1]), "")
    np.testing.assert_array_equal(proof.mask, [[True, True, False]])
    assert float(proof.regret[0]) == pytest.approx(0.7)
    assert not proof.vacuous[0]


@pytest.mark.x32
def test_equal_and_undefined_limits_rule_nothing_out():
    found = nt.intervals(nt.make_probe(np.arange(4.0)[:, None], np.eye(4)[:, :3]), "iou")
    found = dataclasses.replace(
        found,
        similarity=jnp.asarray([[0.9, 0.7, 0.3]]),
        lower=jnp.asarray([[0.5, jnp.nan, 0.2]]),
        upper=jnp.asarray([[0.5, jnp.nan, 0.5]]),
    )
    proof = bounds._certificate(found, found, jnp.asarray([1, 1, 1]), "")
    assert proof.mask.all()
    assert float(proof.regret[0]) == math.inf


@pytest.mark.x64
def test_tightest_cuts_two_limits_at_half_of_delta_each():
    """Hits of 1/2 on each block have no variance, so that Bernstein's limits are the narrower."""
    half = jnp.full((1, 1), 0.5)
    known = concentration.Evidence(
        half, half, 2 * half, 4000 * half, jnp.ones(()), half / 2, half, 2 * half
    )
    delta = jnp.asarray(0.1)
    low, high = concentration.tightest(known, delta)
    narrow = concentration.bernstein(known, delta / 2)
    wide = concentration.chernoff(known, delta / 2)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]
    np.testing.assert_array_equal([low, high], narrow)
    # one hit in a hundred, of which the variance tells less than the mean
    rare = jnp.full((1, 1), 0.01)
    binary = concentration.Evidence(rare, rare, 2 * half, 200 * half, jnp.ones(()), rare, rare,
                                    2 * half)  # fmt: skip
    np.testing.assert_array_equal(
        concentration.tightest(binary, delta), concentration.chernoff(binary, delta / 2)
    )


@pytest.mark.x64
@pytest.mark.parametrize("method", ["chernoff", "bernstein", "hoeffding"])
def test_each_side_takes_the_hits_that_widen_it(method):
    """Where a part of the hits is unknown, the lower limit supposes none and the upper one all."""
    one = jnp.ones((1, 1))

    def limits(low, high):
        squares = (one * 0.4, one * 0.4, one)
        return concentration.LIMITS[method](
            concentration.Evidence(one * low, one * high, one, one * 100, one[0, 0], *squares),
            jnp.asarray(0.1),
        )

    found, lower, upper = limits(0.4, 0.6), limits(0.4, 0.4), limits(0.6, 0.6)
    assert (found[0], found[1]) == (lower[0], upper[1])
    assert lower[1] < upper[1]


@pytest.mark.x64
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.97])
def test_ends_of_replicates_are_rounded_outwards_from_the_closed_form(share):
    """Where N (1 - exp(-kl(t, r))) is the logarithm of the error, and no more than 2^-12 beyond."""
    one = jnp.ones((1, 1))
    known = concentration.Evidence(share * one, share * one, one, 300 * one, one[0, 0])
    for log_error in (3.0, 25.0):
        low, high = (
            float(x[0, 0]) for x in concentration.replicate_limits(known, jnp.asarray(log_error))
        )

        def excess(t, log_error=log_error):
            entropy = scipy.special.rel_entr(t, share) + scipy.special.rel_entr(1 - t, 1 - share)
            return 300 * -math.expm1(-entropy) - log_error

        for end, outside in ((low, 0.0), (high, 1.0)):
            if excess(outside) <= 0:
                assert end == outside
                continue
            root = scipy.optimize.brentq(excess, share, outside)
            way = abs(outside - share)
            assert 0 <= (end - root) * np.sign(outside - share) <= way * 2.0**-12


@pytest.mark.x64
def test_uniform_limits_are_made_of_three_parts_at_a_third_of_delta():
    """P(present) by Clopper and Pearson, both rates by the DKW inequality, at their corners."""
    p, delta = probe(), 0.1
    found = nt.intervals(p, "iou", method="dkw", delta=delta)
    active, present = columns(p)
    for u, k in product(range(3), range(3)):
        a, y = active[:, u], present[:, k]
        n, positives = len(y), int(y.sum())
        exact = scipy.stats.binomtest(positives, n).proportion_ci(1 - delta / 3, method="exact")

        def rate(hits, trials):
            half = math.sqrt(math.log(6 / delta) / (2 * trials))
            return max(hits / trials - half, 0), min(hits / trials + half, 1)

        r, q = rate((a & y).sum(), positives), rate((a & ~y).sum(), n - positives)
        values = [
            (x * hit / (x + (1 - x) * false))
            for x, hit, false in product((exact.low, exact.high), r, q)
        ]
        np.testing.assert_allclose(
            [found.lower[u, k], found.upper[u, k]], [min(values), max(values)], rtol=1e-6, atol=1e-9
        )


@pytest.mark.x32
def test_certificate_of_little_data_is_vacuous():
    proof = nt.certify(probe(12), "iou")
    assert np.asarray(proof.vacuous).all()
    assert not np.asarray(proof.certified).any()
    with pytest.raises(ValueError, match="simultaneous must be 'concepts' or 'all'"):
        nt.certify(probe(), simultaneous="none")


@pytest.mark.x32
def test_changed_delta_compiles_nothing():
    p = probe()
    nt.intervals(p, "iou", delta=0.1)
    before = bounds._limits._cache_size()
    nt.intervals(p, "iou", delta=0.2, simultaneous="all")
    assert bounds._limits._cache_size() == before
    assert jnp.isfinite(nt.intervals(p, "iou", delta=1e-30).lower).all()
