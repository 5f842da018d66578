"""Intervals and certificates against naive loops, outside values, and their promises."""

import dataclasses
import math
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats
from builders import GROUPS, KINDS, RANGE, small_probe

import neurotrust_jax as nt
from neurotrust_jax.faithfulness import (
    bounds,
    certificates,
    concentration,
    finite_sample,
    known_beforehand,
    methods,
)
from neurotrust_jax.faithfulness.estimands import Units, ratio_data
from neurotrust_jax.faithfulness.evidence import effective_units, student_ratio
from neurotrust_jax.metrics import interval_rules

COUNTS = {
    "accuracy": lambda a, y: (a == y, np.ones_like(a)),
    "precision": lambda a, y: (a & y, a),
    "recall": lambda a, y: (a & y, y),
    "iou": lambda a, y: (a & y, a | y),
}
FINITE = ("exact", "betting", "chernoff", "bernstein", "hoeffding", "agarwal", "dkw")

TABLES = {
    "fixed": {m.name: m.interval_rule for m in nt.METRICS.values() if m.interval_rule},
    "uniform": {m.name: m.uniform_rule for m in nt.METRICS.values() if m.uniform_rule},
}


def data_of(p):
    heaviest = known_beforehand.largest_weight(p, None)
    return bounds._data(p, heaviest, *known_beforehand.known_range(p, None))


def close(precision):
    return {"rtol": 1e-7, "atol": 1e-7} if precision == "x64" else {"rtol": 3e-4, "atol": 3e-4}


UNEVEN = np.random.default_rng(2).integers(0, 25, 120)
WEIGHTS = np.random.default_rng(3).uniform(0.2, 2, 120)


def columns(p):
    return np.asarray(p.neurons.present), np.asarray(p.labels.present)


@pytest.mark.both_precisions
@pytest.mark.optimised
@pytest.mark.parametrize("metric", [*COUNTS, "f1", "balanced_accuracy"])
def test_exact_is_scipys_clopper_pearson(metric, precision):
    p = small_probe()
    found = nt.intervals(p, metric, method="exact", alpha=0.1)
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


@pytest.mark.double
@pytest.mark.parametrize("case", ["samples", "weights", "groups", "uneven"])
@pytest.mark.parametrize("method", ["hoeffding", "chernoff", "bernstein", "betting", "dkw"])
def test_limits_equal_the_naive_loop_over_blocks(method, case):
    p = {
        "samples": lambda: small_probe(),
        "weights": lambda: small_probe(weights=WEIGHTS),
        "groups": lambda: small_probe(groups=GROUPS),
        "uneven": lambda: small_probe(groups=UNEVEN, weights=WEIGHTS),
    }[case]()
    metric = "recall" if method == "dkw" else "iou"
    found = nt.intervals(p, metric, method=method, alpha=0.1)
    active, present = columns(p)
    w = np.asarray(p.sample_weight, float) / float(p.sample_weight.max())
    block = np.arange(120) if p.groups is None else np.asarray(p.groups)
    bound = np.bincount(block, w).max()
    for u, k in product(range(4), range(5)):
        hits, trials = COUNTS[metric](active[:, u], present[:, k])
        expected = oracles.limits_of_ratio(
            method, np.bincount(block, w * hits), np.bincount(block, w * trials), bound, 0.1
        )
        ours = float(found.lower[u, k]), float(found.upper[u, k])
        # limits by betting are rounded outwards
        rounding = 1e-5 if method == "betting" else 1e-7
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=rounding)
        assert ours[0] <= expected[0] + 1e-9
        assert ours[1] >= expected[1] - 1e-9


@pytest.mark.double
@pytest.mark.parametrize(
    ("metric", "method"), [("iou", "exact"), ("recall", "betting"), ("auroc", "chernoff")]
)
def test_rows_of_weight_zero_are_no_evidence(metric, method):
    """A row that is not there must not narrow a limit."""
    kept = WEIGHTS > 1
    all_rows = small_probe(weights=kept.astype(float))
    found, expected = (
        nt.intervals(p, metric, method=method)
        for p in (all_rows, all_rows.take(np.flatnonzero(kept)))
    )
    np.testing.assert_allclose(found.lower, expected.lower, **close("x64"))
    np.testing.assert_allclose(found.upper, expected.upper, **close("x64"))


@pytest.mark.double
def test_auroc_given_the_labels():
    p = small_probe()
    positives = columns(p)[1].sum(axis=0)
    smaller = np.minimum(positives, 120 - positives)
    hoeffding = nt.intervals(p, "auroc", method="hoeffding", alpha=0.1)
    agarwal = nt.intervals(p, "auroc", method="agarwal", alpha=0.1)
    chernoff = nt.intervals(p, "auroc", method="chernoff", alpha=0.1)
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
        expected = oracles.limits_of_ratio("chernoff", coins, np.ones_like(coins), 1, 0.1)
        ours = float(chernoff.lower[u, k]), float(chernoff.upper[u, k])
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.double
@pytest.mark.parametrize("metric", ["auroc", "simulation_auroc"])
def test_grouped_auroc_from_pairs_of_groups(metric):
    """The U-statistic spelled out: sums over ordered pairs of groups of hits and of trials."""
    p = small_probe(groups=UNEVEN)
    data = bounds._data(
        p, known_beforehand.largest_weight(p, None), *known_beforehand.known_range(p, None)
    )
    found = ratio_data(
        nt.METRICS[metric].interval_rule.parts[0], data, nt.similarity(p, metric),
        units=Units(p.num_units, False),
    )  # fmt: skip
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


@pytest.mark.double
def test_all_pairs_within_groups_leave_no_more_hits_than_trials():
    """Every pair rightly ordered: those inside groups must not push the ratio beyond 1."""
    y = np.tile([True, False], 20)
    p = nt.make_probe(y[:, None] * 1.0, y[:, None], groups=np.arange(40) // 2, thresholds=0.5)
    data = bounds._data(
        p, known_beforehand.largest_weight(p, None), *known_beforehand.known_range(p, None)
    )
    found = ratio_data(
        interval_rules.Pairs("neuron"), data, nt.similarity(p, "auroc"), units=Units(20, False)
    )
    assert found.hits_high[0, 0] == found.trials[0, 0] == 380 / 380
    low, high = found.ratio
    assert (low[0, 0], high[0, 0]) == (1, 1)


@pytest.mark.double
def test_variance_from_mean_and_mean_square():
    mean, square = (jnp.asarray(0.4), jnp.asarray(0.5)), (jnp.asarray(0.3), jnp.asarray(0.32))
    low, high = interval_rules._variance(mean, square)
    assert (float(low), float(high)) == pytest.approx((0.05, 0.16))
    assert float(interval_rules._variance(mean, (square[0], jnp.asarray(0.9)))[1]) == 0.25


@pytest.mark.quick("mad-uneven", "correlation-samples", "wpmi-samples")
@pytest.mark.double
@pytest.mark.parametrize("case", ["samples", "uneven"])
@pytest.mark.parametrize("metric", ["mad", "standardised_mad", "correlation", "cosine", "wpmi"])
def test_means_carried_through_the_formula(metric, case):
    p = small_probe(600, soft=True, groups=np.arange(600) // 4 if case == "uneven" else None)
    found = nt.intervals(p, metric, method="betting", alpha=0.1, activation_range=RANGE)
    active, present = columns(p)
    f, c = np.asarray(p.activations, float), np.asarray(p.concepts, float)
    block = np.arange(600) if p.groups is None else np.asarray(p.groups)
    bound = 1 if p.groups is None else 4

    def mean(x, trials, parts):
        values = np.bincount(block, x * trials), np.bincount(block, trials.astype(float))
        return np.array(oracles.limits_of_ratio("betting", *values, bound, 0.1 / parts))

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
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-4)


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
def test_single_precision_suffices():
    p = small_probe(groups=UNEVEN, weights=WEIGHTS)
    for metric, method in (("iou", "betting"), ("recall", "dkw"), ("auroc", "chernoff")):
        single = nt.intervals(p, metric, method=method)
        with jax.enable_x64(True):
            double = nt.intervals(
                small_probe(groups=UNEVEN, weights=WEIGHTS), metric, method=method
            )
        assert single.lower.dtype == jnp.float32
        np.testing.assert_allclose(single.lower, double.lower, rtol=3e-4, atol=3e-4)
        np.testing.assert_allclose(single.upper, double.upper, rtol=3e-4, atol=3e-4)


@pytest.mark.double
@pytest.mark.parametrize("metric", [*UNIFORM])
def test_limits_for_all_thresholds_hold_on_the_whole_box(metric):
    """The metric over a grid of (p, r, q) within their limits stays inside, and comes close."""
    p = small_probe(600)
    found = nt.intervals(p, metric, method="dkw", alpha=0.3)
    active, present = columns(p)
    for u, k in product(range(3), range(3)):
        a, y = active[:, u], present[:, k]
        prior = scipy.stats.binomtest(int(y.sum()), 600).proportion_ci(0.9, method="exact")
        r = oracles.limits_of_ratio("dkw", (a & y)[y] * 1.0, np.ones(y.sum()), 1, 0.1)
        q = oracles.limits_of_ratio("dkw", (a & ~y)[~y] * 1.0, np.ones((~y).sum()), 1, 0.1)
        assert min(r) > 0
        grid = np.meshgrid(*(np.linspace(*limits, 15) for limits in (prior, r, q)))
        values = UNIFORM[metric](*grid)
        ours = float(found.lower[u, k]), float(found.upper[u, k])
        assert ours[0] <= values.min() + 1e-9
        assert ours[1] >= values.max() - 1e-9
        # the two halves of the last are bounded apart
        slack = 0.1 if metric == "simulation_balanced_accuracy" else 1e-9
        np.testing.assert_allclose(ours, (values.min(), values.max()), atol=slack)


@pytest.mark.parametrize("metric", ["iou", "auprc"])
def test_simultaneous_divides_delta(metric):
    p = small_probe()
    for simultaneous, count in (("concepts", 5), ("all", 20)):
        found = nt.intervals(p, metric, alpha=0.1, simultaneous=simultaneous)
        alone = nt.intervals(p, metric, alpha=0.1 / count)
        np.testing.assert_allclose(found.lower, alone.lower, rtol=1e-6)
        np.testing.assert_allclose(found.upper, alone.upper, rtol=1e-6)


@pytest.mark.double
def test_asymptotic_interval_is_value_and_standard_error():
    p = small_probe()
    for metric in ("iou", "correlation", "soft_wpmi"):
        error, freedom = bounds.standard_error(p, nt.METRICS[metric])
        found = nt.intervals(p, metric, method="asymptotic", alpha=0.1, simultaneous="all")
        units = np.minimum(effective_units(p, nt.METRICS[metric]), freedom + 1)
        z = scipy.stats.norm.ppf(1 - 0.1 / 2 / 20)
        z = z * np.asarray(student_ratio(z, np.maximum(units - 1, 1)))
        value, low_high = np.asarray(found.similarity), nt.METRICS[metric].range
        expected = np.clip(value + z * np.asarray(error), *low_high)
        expected = np.where((units < 3) & ~np.isnan(value), low_high[1], expected)
        np.testing.assert_allclose(found.upper, expected, rtol=1e-4)
        undefined = np.isnan(value)
        np.testing.assert_array_equal(np.isnan(found.lower), undefined)
        np.testing.assert_array_equal(np.asarray(found.reason) > 0, undefined)
        assert not found.finite_sample


@pytest.mark.optimised
def test_student_quantiles():
    for freedom, level, within in (
        *product((40, 63, 1000), (0.6, 0.975, 1 - 1e-6), [2e-3]),
        *product((5, 10), (0.6, 0.9, 0.975), [0.02]), (2, 0.95, 0.03),
    ):  # fmt: skip
        z = scipy.stats.norm.ppf(level)
        found = z * float(student_ratio(jnp.asarray(z), jnp.asarray(float(freedom))))
        assert found == pytest.approx(scipy.stats.t.ppf(level, freedom), rel=within)


def test_asymptotic_limits_say_nothing_on_too_few_units():
    """A rectified neuron that never meets a rare concept: its mean there has no spread."""
    rng = np.random.default_rng(1)
    f = np.where(rng.random((1000, 1)) < 0.05, 1 + rng.random((1000, 1)), 0)
    c = np.zeros((1000, 2), bool)
    c[np.flatnonzero(f[:, 0] == 0)[:15], 0] = c[rng.permutation(1000)[:300], 1] = True
    p = nt.make_probe(f, c, thresholds=0.0)
    found = nt.intervals(p, "mad", method="asymptotic")
    assert (float(found.lower[0, 0]), float(found.upper[0, 0])) == (-np.inf, np.inf)
    assert np.isfinite([found.lower[0, 1], found.upper[0, 1]]).all()
    assert np.asarray(nt.certify(p, "mad", alpha=0.1).mask).all()


def fitting(p, metric):
    for method in FINITE:
        try:
            nt.intervals(p, metric, method=method, activation_range=RANGE)
        except ValueError:
            continue
        yield method


GROUPED_TOO = ("iou", "balanced_accuracy", "auroc", "mad")


@pytest.mark.quick("iou-True")
@pytest.mark.parametrize(
    ("metric", "grouped"),
    [
        *((m, True) for m in GROUPED_TOO),
        *((m.name, False) for m in nt.METRICS.values() if m.interval_rule),
    ],
)
def test_finite_sample_intervals_keep_their_contract(metric, grouped):
    """In range, never NaN, around the estimate, narrower with n and with a larger alpha."""
    groups = np.concatenate([GROUPS + 40 * i for i in range(4)]) if grouped else None
    large = small_probe(repeat=4)
    large = nt.make_probe(large.activations, large.concepts, thresholds=0.8, groups=groups)
    # the same data once: rows of weight 0 are absent, and nothing is compiled anew
    small = dataclasses.replace(large, sample_weight=(jnp.arange(480) < 120).astype(jnp.float32))
    options = {"activation_range": RANGE}
    low, high = nt.METRICS[metric].range
    methods = list(fitting(small, metric))
    assert "hoeffding" in methods
    for method in methods:
        found = nt.intervals(small, metric, method=method, **options)
        tight = nt.intervals(small, metric, method=method, alpha=0.3, **options)
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
        assert not found.asymptotic
        assert found.finite_sample == (not grouped)  # the largest group is not known
        assert method in found.guarantee


@pytest.mark.slow
@pytest.mark.double
def test_every_kind_of_metric_has_intervals():
    p = small_probe(soft=True)
    for metric in KINDS:
        found = nt.intervals(p, metric)
        lower, upper = np.asarray(found.lower), np.asarray(found.upper)
        low, high = nt.METRICS[metric].range
        undefined = np.isnan(lower)
        assert (np.asarray(found.reason)[undefined] > 0).all()
        assert (lower[~undefined] >= low).all()
        assert (upper[~undefined] <= high).all()
        assert found.method != "auto"


@pytest.mark.slow
def test_auto_takes_what_is_valid():
    found = nt.intervals(small_probe(), "iou")
    assert found.method == "exact"
    assert repr(found) == f"Intervals of 4 neurons x 5 concepts by iou: {found.guarantee}"
    assert nt.intervals(small_probe(groups=GROUPS), "iou").method == "betting"
    assert nt.intervals(small_probe(weights=WEIGHTS), "iou").method == "betting"
    quantile = small_probe(thresholds=None, top_fraction=0.1)
    assert nt.intervals(quantile, "iou").method == "dkw"
    assert nt.intervals(quantile, "wpmi").method == "asymptotic"
    assert nt.intervals(quantile, "auroc").method == "chernoff"  # no threshold in it
    split = nt.split_thresholds(jax.random.key(0), quantile, top_fraction=0.1, split=0.5)
    found = nt.intervals(split, "iou")
    assert found.method == "exact"
    assert "top_fraction=0.1 of 60 samples set aside for the thresholds" in found.guarantee
    with pytest.warns(nt.faithfulness.CoverageWarning, match="they come from the same data"):
        forced = nt.intervals(quantile, "iou", method="exact")
    assert "NOT VALID" in forced.guarantee
    assert nt.intervals(small_probe(), "mad").method == "asymptotic"
    assert nt.intervals(small_probe(), "mad", activation_range=RANGE).method == "betting"
    mine = nt.six_sum_metric("iou", "binary", "binary", lambda s: s.FC / s.S, (0, 1), "mine")
    assert nt.intervals(small_probe(), mine).method == "asymptotic"  # another formula of that name


def test_guarantee_says_all_that_matters():
    text = nt.intervals(
        small_probe(groups=GROUPS), "iou", alpha=0.1, simultaneous="concepts"
    ).guarantee
    assert text == (
        "90% coverage for every sample size (betting), all concepts of a neuron at once; "
        "independent units: 40 groups; thresholds: taken as fixed beforehand (given); "
        "this assumes that no group is heavier than the heaviest seen (3 samples)"
    )
    known = nt.intervals(small_probe(groups=GROUPS), "iou", alpha=0.1, largest_unit=4)
    assert known.finite_sample
    assert known.guarantee == (
        "90% coverage for every sample size (betting), each pair alone; independent units: "
        "40 groups, none heavier than 4 samples; thresholds: taken as fixed beforehand (given)"
    )
    assert "asymptotically" in nt.intervals(small_probe(), "auprc").guarantee


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha must lie strictly between 0 and 1, got 0"),
        ({"method": "wald"}, "unknown method 'wald'; known: auto"),
        ({"simultaneous": "yes"}, "simultaneous must be one of none, concepts, all, got 'yes'"),
        (
            {"metric": "auroc", "method": "exact"},
            "does not fit 'auroc'.*these do: chernoff, hoeffding, agarwal, asymptotic",
        ),
        ({"metric": "mad", "method": "chernoff"}, r"need activation_range=\(low, high\)"),
        ({"activation_range": (0, 1)}, "activation_range must hold every activation, but sample"),
        ({"largest_unit": 0.5}, "largest_unit must be at least 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    options = dict(options)
    with pytest.raises(ValueError, match=message):
        nt.intervals(small_probe(), options.pop("metric", "iou"), **options)


def test_a_larger_possible_unit_widens_grouped_intervals():
    seen = nt.intervals(small_probe(groups=GROUPS), "iou")
    wide = nt.intervals(small_probe(groups=GROUPS), "iou", largest_unit=6)
    assert (np.asarray(wide.upper - wide.lower) >= np.asarray(seen.upper - seen.lower)).all()


@pytest.mark.parametrize(("simultaneous", "neurons"), [("concepts", 1), ("all", 4)])
def test_certificate_follows_from_the_intervals(simultaneous, neurons):
    p = small_probe(2000)
    # a limit on one side may fail as often as both sides of an interval together
    found = nt.intervals(p, "iou", simultaneous=simultaneous, alpha=2 * 0.025)
    lower = np.asarray(found.lower)
    # the best concept is one concept, so its limit needs no correction for the number of concepts
    upper = np.asarray(nt.intervals(p, "iou", alpha=2 * 0.075 / neurons).upper)
    proof = nt.certify(p, "iou", alpha=0.1, simultaneous=simultaneous)
    assert proof.guarantee.startswith("90% coverage for every sample size (exact), ")
    value = np.asarray(found.similarity)
    for u in range(3):
        label = int(np.nanargmax(value[u]))
        assert int(proof.label[u]) == label
        assert proof.lower[u] == lower[u, label]
        rivals = [upper[u, k] for k in range(5) if k != label]
        assert float(proof.regret[u]) == pytest.approx(max(max(rivals) - lower[u, label], 0))
        np.testing.assert_array_equal(proof.mask[u], upper[u] >= lower[u].max())
    assert not np.asarray(proof.excludes_nothing)[:3].any()
    np.testing.assert_array_equal(proof.positives, columns(p)[1].sum(axis=0))
    # the dead neuron has no label: nothing is certified, nothing ruled out
    assert int(proof.label[3]) == -1
    assert np.isnan([proof.lower[3], proof.regret[3]]).all()
    assert proof.mask[3].all()
    assert proof.excludes_nothing[3]
    certified = np.asarray(proof.certified)
    np.testing.assert_array_equal(certified[:3], np.asarray(proof.regret)[:3] == 0)
    assert certified.any()
    assert not certified[3]


def test_a_common_concept_may_rule_out_what_the_label_can_not():
    """The label's own limits are wide; the second's lower limit excludes the third."""
    probe = nt.make_probe(np.arange(4.0)[:, None], np.eye(4)[:, :3])
    found = nt.intervals(probe, "iou")
    found = dataclasses.replace(
        found,
        similarity=jnp.asarray([[0.9, 0.7, 0.3]]),
        lower=jnp.asarray([[0.1, 0.6, 0.2]]),
        upper=jnp.asarray([[1.0, 0.8, 0.5]]),
    )
    proof = certificates.certificate_from(probe, found, found, 0.1)
    np.testing.assert_array_equal(proof.mask, [[True, True, False]])
    assert float(proof.regret[0]) == pytest.approx(0.7)
    assert not proof.excludes_nothing[0]


def test_equal_and_undefined_limits_rule_nothing_out():
    probe = nt.make_probe(np.arange(4.0)[:, None], np.eye(4)[:, :3])
    found = nt.intervals(probe, "iou")
    found = dataclasses.replace(
        found,
        similarity=jnp.asarray([[0.9, 0.7, 0.3]]),
        lower=jnp.asarray([[0.5, jnp.nan, 0.2]]),
        upper=jnp.asarray([[0.5, jnp.nan, 0.5]]),
    )
    proof = certificates.certificate_from(probe, found, found, 0.1)
    assert proof.mask.all()
    assert float(proof.regret[0]) == math.inf


@pytest.mark.double
@pytest.mark.parametrize("method", ["chernoff", "bernstein", "hoeffding"])
def test_each_side_takes_the_hits_that_widen_it(method):
    """Where a part of the hits is unknown, the lower limit supposes none and the upper one all."""
    one = jnp.ones((1, 1))

    def limits(low, high):
        squares = (one * 0.4, one * 0.4, one)
        return (
            methods.METHODS[method]
            .part_bound(interval_rules.IOU, True)
            .bound(
                concentration.RatioData(one * low, one * high, one, one * 100, one[0, 0], *squares),
                jnp.asarray(0.1),
            )
        )

    found, lower, upper = limits(0.4, 0.6), limits(0.4, 0.4), limits(0.6, 0.6)
    assert (found[0], found[1]) == (lower[0], upper[1])
    assert lower[1] < upper[1]


@pytest.mark.double
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.5, 0.97])
def test_ends_of_replicates_are_rounded_outwards_from_the_closed_form(share):
    """Where N (1 - exp(-kl(t, r))) is the logarithm of the error, and no more than 2^-12 beyond."""
    one = jnp.ones((1, 1))
    known = concentration.RatioData(share * one, share * one, one, 300 * one, one[0, 0])
    for log_error in (3.0, 25.0):
        low, high = (
            float(x[0, 0]) for x in concentration.replicate_bounds(known, jnp.asarray(log_error))
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


@pytest.mark.double
def test_uniform_limits_are_made_of_three_parts_at_a_third_of_delta():
    """P(present) by Clopper and Pearson, both rates by the DKW inequality, at their corners."""
    p, alpha = small_probe(), 0.1
    found = nt.intervals(p, "iou", method="dkw", alpha=alpha)
    active, present = columns(p)
    for u, k in product(range(3), range(3)):
        a, y = active[:, u], present[:, k]
        n, positives = len(y), int(y.sum())
        exact = scipy.stats.binomtest(positives, n).proportion_ci(1 - alpha / 3, method="exact")

        def rate(hits, trials):
            half = math.sqrt(math.log(6 / alpha) / (2 * trials))
            return max(hits / trials - half, 0), min(hits / trials + half, 1)

        r, q = rate((a & y).sum(), positives), rate((a & ~y).sum(), n - positives)
        values = [
            (x * hit / (x + (1 - x) * false))
            for x, hit, false in product((exact.low, exact.high), r, q)
        ]
        np.testing.assert_allclose(
            [found.lower[u, k], found.upper[u, k]], [min(values), max(values)], rtol=1e-6, atol=1e-9
        )


def test_certificate_of_little_data_is_vacuous():
    proof = nt.certify(small_probe(12), "iou")
    assert np.asarray(proof.excludes_nothing).all()
    assert not np.asarray(proof.certified).any()
    with pytest.raises(ValueError, match="simultaneous must be 'concepts' or 'all'"):
        nt.certify(small_probe(), simultaneous="none")


def test_changed_delta_compiles_nothing():
    p = small_probe()
    nt.intervals(p, "iou", alpha=0.1)
    before = finite_sample._bounds._cache_size()
    nt.intervals(p, "iou", alpha=0.2, simultaneous="all")
    assert finite_sample._bounds._cache_size() == before
    assert jnp.isfinite(nt.intervals(p, "iou", alpha=1e-30).lower).all()


@pytest.mark.double
@pytest.mark.parametrize(("table", "metric"), [(t, m) for t in TABLES for m in TABLES[t]])
def test_a_limit_reads_the_limits_of_its_parts_that_the_rule_names(table, metric):
    """Those on the other side may be anything, where a direction is named; and it is right."""
    rule = TABLES[table][metric]
    rng = np.random.default_rng(0)
    lower = list(jnp.asarray(rng.uniform(0.05, 0.9, (len(rule.parts), 1, 60))))
    upper = [jnp.minimum(x + jnp.asarray(rng.uniform(0, 0.3, x.shape)), 1) for x in lower]
    known = jnp.asarray([[-1.0]]), jnp.asarray([[3.0]])
    fair = rule.carry(lower, upper, known)
    at_a_point = rule.carry(lower, lower, known)[0]
    for i, direction in enumerate(rule.directions):
        nothing = [jnp.full_like(x, jnp.nan) if i == j else x for j, x in enumerate(lower)]
        spoilt = rule.carry(nothing, upper, known)
        other = [jnp.full_like(x, jnp.nan) if i == j else x for j, x in enumerate(upper)]
        spoilt += rule.carry(lower, other, known)
        reads = [not np.array_equal(x, y) for x, y in zip(spoilt, 2 * fair, strict=True)]
        # the lower limit by the parts' lower ones, the upper; then both by their upper ones
        named = {1: [True, False, False, True], -1: [False, True, True, False]}
        assert reads == named[direction] if direction else any(reads)
        larger = [upper[j] if i == j else x for j, x in enumerate(lower)]
        change = np.asarray(rule.carry(larger, larger, known)[0] - at_a_point)
        assert (direction * change[np.isfinite(change)] >= -1e-12).all()
        assert (change != 0).any()


def sided(p, metric, error, method, activation_range=None, **options):
    """Lower limits and upper limits, [U, C] each, that fail with the whole error on their side."""
    levels = [bounds.Level(error, "none", side) for side in ("lower", "upper")]
    low, high = bounds.intervals_at(p, metric, levels, method, activation_range, None, **options)
    end = nt.METRICS[metric].range
    assert (low.upper == end[1]).all()
    assert (high.lower == end[0]).all()
    return np.asarray(low.lower, float), np.asarray(high.upper, float)


def every_count(n):
    """A neuron for each number of hits among n samples with the concept."""
    hits = np.arange(n)[:, None] < np.arange(n + 1)[None, :]
    return nt.make_probe(hits * 1.0, np.ones((n, 1)), thresholds=0.5)


@pytest.mark.double
@pytest.mark.parametrize("error", [0.0375, 0.3, 0.7])
@pytest.mark.parametrize("method", ["exact", "betting", "chernoff", "bernstein", "hoeffding"])
def test_one_sided_limits_miss_no_more_than_their_error_at_any_proportion(method, error):
    """Summed over the binomial, just outside each limit, where misses are most frequent."""
    n = 40
    low, high = (x[:, 0] for x in sided(every_count(n), "accuracy", error, method))
    hits = np.arange(n + 1)

    def worst(limits, sign):
        at = np.unique(limits - sign * 1e-9)
        at = at[(at > 0) & (at < 1)]
        missed = sign * (limits[None, :] - at[:, None]) > 0
        return (scipy.stats.binom.pmf(hits[None, :], n, at[:, None]) * missed).sum(1).max(initial=0)

    for limits, sign in ((low, 1), (high, -1)):
        assert worst(limits, sign) <= error * (1 + 1e-6)
        if method == "exact":
            # Clopper and Pearson's spend all of it; half of the error on each side would not
            assert worst(limits, sign) >= error * (1 - 1e-6)


@pytest.mark.double
@pytest.mark.parametrize(
    ("metric", "method", "grouped", "tails"),
    [("iou", "chernoff", False, 1), ("recall", "dkw", True, 1), ("auroc", "agarwal", False, 1),
     ("balanced_accuracy", "exact", False, 2), ("iou", "dkw", False, 3),
     ("accuracy", "dkw", True, 4), ("mad", "betting", True, 2),
     ("auprc", "asymptotic", False, 1)],
)  # fmt: skip
def test_a_side_divides_its_error_among_the_tails_it_relies_on(metric, method, grouped, tails):
    p = small_probe(groups=GROUPS) if grouped else small_probe()
    known = RANGE if metric == "mad" else None
    low, high = sided(p, metric, 0.06, method, known)
    # both sides of an interval rely on two tails of each part
    rule = methods.METHODS[method].rule(nt.METRICS[metric])
    parts = len(rule.parts) if rule else 1
    found = nt.intervals(
        p, metric, alpha=0.06 * 2 * parts / tails, method=method, activation_range=known
    )
    np.testing.assert_allclose(low, found.lower, rtol=1e-9)
    np.testing.assert_allclose(high, found.upper, rtol=1e-9)


@pytest.mark.double
def test_the_one_sided_inequality_of_massart_stops_at_one_half():
    half = jnp.full((1, 1), 0.5)
    known = concentration.RatioData(half, half, 2 * half, 60 * half, jnp.ones(()))
    at_most = concentration.dkw(known, jnp.asarray(0.5), grouped=False)
    assert concentration.dkw(known, jnp.asarray(0.7), grouped=False) == at_most
    assert concentration.hoeffding(known, jnp.asarray(0.7))[1] < at_most[1]


@pytest.mark.slow
@pytest.mark.double
def test_bernsteins_limits_are_the_outermost_ratios_that_he_accepts():
    """Groups of very unequal size, on most of which nothing counts: no ratio beyond is accepted."""
    rng = np.random.default_rng(0)
    inner = 0
    for _ in range(300):
        n = int(rng.integers(2, 400))
        y = rng.choice([1e-3, 0.1, 1.0], n, p=rng.dirichlet([1, 1, 0.3]))
        x = y * (rng.random(n) < rng.random()) * rng.choice([1, rng.random()])
        tail = rng.choice([0.7, 0.05, 1e-3])
        values = (x, x, y, n, 1.0, x * x, x * y, y * y)
        known = concentration.RatioData(*(jnp.full((1, 1), np.mean(v)) for v in values))
        low, high = (float(v[0, 0]) for v in concentration.bernstein(known, jnp.asarray(tail)))
        r = np.linspace(0, 1, 401)[:, None]
        residual = x - r * y
        log = math.log(2 / tail)
        allowed = np.sqrt(2 * residual.var(axis=1, ddof=1) * log / n) + 7 * log / (3 * (n - 1))
        accepted = r[np.abs(residual.mean(axis=1)) < allowed - 1e-9]
        assert low <= accepted.min()
        assert high >= accepted.max()
        inner += low > 0 or high < 1
    assert inner > 100


@pytest.mark.slow
def test_limits_that_rest_on_the_largest_group_seen_say_so():
    """Groups of 1 and, 1 in 100, of 100: without one of these, limits know nothing of them."""
    groups, size, draws = 60, 100, 60
    half_right = np.tile(np.arange(groups) % 2, (size, 1)).T  # alone, every other sample is a hit
    truth = (0.99 * 0.5 + 0.01 * size) / (0.99 + 0.01 * size)  # among a hundred, all are
    rng = np.random.default_rng(0)
    missed = {None: 0, size: 0}
    for _ in range(draws):
        large = rng.random(groups) < 0.01
        weight = np.where(large[:, None], 1.0, np.arange(size) == 0)
        p = nt.make_probe(
            np.where(large[:, None], 1, half_right).reshape(-1, 1), np.ones((groups * size, 1)),
            thresholds=0.5, groups=np.repeat(np.arange(groups), size),
            sample_weight=weight.reshape(-1),
        )  # fmt: skip
        for known in missed:
            found = nt.intervals(p, "accuracy", largest_unit=known)
            missed[known] += not found.lower[0, 0] <= truth <= found.upper[0, 0]
            proof = nt.certify(p, "accuracy", largest_unit=known)
            assert found.finite_sample == proof.finite_sample == (known is not None)
            heaviest = "100 samples" if large.any() else "1 sample"
            assumed = f"no group is heavier than the heaviest seen ({heaviest})"
            assert found.assumes == proof.assumes == ("" if known else assumed)
            assert (assumed in found.guarantee) == (assumed in proof.guarantee) == (known is None)
    assert missed[None] > draws / 3
    assert missed[size] == 0


def test_what_is_assumed_of_weights_and_thresholds():
    weighted = nt.intervals(small_probe(weights=WEIGHTS), "iou")
    assert weighted.assumes == "no sample is heavier than the heaviest seen"
    both = nt.intervals(
        small_probe(groups=GROUPS, weights=WEIGHTS), "iou", largest_unit=9
    ).guarantee
    assert "40 groups, none heavier than 9 times the heaviest sample" in both
    assert nt.intervals(small_probe(weights=WEIGHTS), "iou", largest_unit=3).finite_sample
    assert nt.intervals(
        small_probe(weights=np.arange(120) % 2), "iou"
    ).finite_sample  # of one weight
    assert nt.intervals(small_probe(), "iou", largest_unit=3).finite_sample
    quantile = small_probe(thresholds=None, top_fraction=0.1)
    assert nt.intervals(quantile, "iou").finite_sample  # for all thresholds at once
    assert nt.intervals(quantile, "auroc").finite_sample  # without thresholds
    with pytest.warns(nt.faithfulness.CoverageWarning):
        forced = nt.certify(quantile, "iou", method="exact")
    assert not forced.finite_sample
    assert forced.assumes == "the thresholds are as good as fixed beforehand"
    limit = nt.intervals(small_probe(groups=GROUPS), "iou", method="asymptotic")
    assert limit.asymptotic
    assert not limit.assumes
