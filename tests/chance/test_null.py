"""The permutation test against loops over the same permutations, and its level by Monte Carlo."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.sparse
import scipy.stats

import neurotrust_jax as nt
from neurotrust_jax._engine import counts
from neurotrust_jax.chance import permutations, permuted_statistics
from neurotrust_jax.chance.null import PowerWarning, permutation_test
from neurotrust_jax.chance.p_values import benjamini_hochberg
from neurotrust_jax.chance.permutations import draw_ranks
from neurotrust_jax.probing.active_rows import list_active

KEY = jax.random.key(0)
LAYOUTS = {
    "samples": {},
    "strata": {"strata": np.arange(36) % 3},
    # a group of its own size stays in place
    "groups": {"groups": np.repeat(np.arange(13), [3, 2] * 6 + [6])},
    "both": {
        "groups": np.repeat(np.arange(18), 2)[::-1],
        "strata": np.repeat(np.array(list("abc")), [12, 10, 14]),
    },
}


def data(seed=0, n=36, num_neurons=3, num_concepts=4):
    """Columns with ties; the first neuron follows a concept, the last one is dead."""
    rng = np.random.default_rng(seed)
    f = np.maximum(np.round(4 * rng.normal(size=(n, num_neurons))) / 4, 0)
    f[:, -1] = 0
    c = np.round(rng.uniform(size=(n, num_concepts)), 1)
    f[:, 0] += 2 * c[:, 1]
    return f, c


def build(layout, seed=0, **options):
    """A probe with the rows of its groups scattered, its groups and its strata."""
    f, c = data(seed)
    shuffled = np.random.default_rng(seed).permutation(len(f))
    told = {name: np.asarray(x)[shuffled] for name, x in LAYOUTS[layout].items()}
    probe = nt.make_probe(f, c, top_fraction=0.2, groups=told.get("groups"), **options)
    return probe, told.get("groups"), told.get("strata")


def permuted_rows(r, groups, strata, n):
    """Replicate r by loops: units of one size and stratum take each other's rows, as drawn."""
    groups = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    strata = np.zeros(n) if strata is None else strata
    members = [[i for i in range(n) if groups[i] == g] for g in range(groups.max() + 1)]
    high, low = np.asarray(
        jax.random.bits(jax.random.fold_in(KEY, r), (2, len(members)), jnp.uint32)
    )
    drawn = sorted(range(len(members)), key=lambda g: (high[g], low[g]))
    kinds = [(len(m), strata[m[0]]) for m in members]
    rows = np.arange(n)
    for kind in set(kinds):
        old = [g for g in range(len(members)) if kinds[g] == kind]
        new = [g for g in drawn if kinds[g] == kind]
        for g, h in zip(old, new, strict=True):
            for i, j in zip(members[g], members[h], strict=True):
                rows[i] = j
    return rows


SHARED = ("iou", "auroc", "spearman", "simulation_auroc")


def shared_rows(r, activations):
    """Replicate r of a null that neurons share: a row of concepts for each row of a neuron.

    The sample of rank j, from the largest activation, gets the concepts of the one drawn for it.
    """
    n = len(activations)
    (ranks,) = draw_ranks(KEY, np.array([r]), n).astype(int)
    rows = np.empty(n, int)
    rows[np.argsort(-activations, kind="stable")[ranks]] = np.arange(n)
    return rows


def naive_shared_best(metric, probe, r):
    """As :func:`naive_best`, each neuron by itself."""
    f = np.asarray(probe.activations)
    each = [naive_best(metric, probe, shared_rows(r, column)) for column in f.T[:-1]]
    return np.append(np.diagonal(each), np.nan)


def naive_best(metric, probe, rows):
    """Largest similarity over the concepts, NaN for the last, dead neuron."""
    # which only a joint metric can score at all
    scored = probe.num_neurons - (metric not in oracles.JOINT)
    scores = oracles.similarity(
        metric,
        np.asarray(probe.activations, float)[:, :scored],
        np.asarray(probe.concepts, float)[rows],
        np.asarray(probe.neurons.present)[:, :scored],
        np.asarray(probe.labels.present)[rows],
    )
    return np.append(scores.max(axis=1)[: probe.num_neurons - 1], np.nan)


def naive_test(observed, null, alpha):
    """Everything that the test reports, from its statistics: by loops, in float64."""
    count = len(null) + 1
    every = np.vstack([observed, null])
    p, familywise, quantile = (np.full(len(observed), np.nan) for _ in range(3))
    for u in range(len(observed) - 1):
        p[u] = sum(t >= observed[u] - 1e-6 for t in every[:, u]) / count
    labelled = range(len(observed) - 1)
    for u in labelled:
        smaller = [v for v in labelled if (p[v], v) <= (p[u], u)]
        familywise[u] = min(
            max(p[v] * sum((p[w], w) >= (p[v], v) for w in labelled) for v in smaller), 1
        )
        reached = [t for t in null[:, u] if (1 + sum(null[:, u] >= t)) / count > alpha]
        quantile[u] = max(reached)
    return p, familywise, quantile


@pytest.mark.quick("iou", "auroc", "soft_wpmi-samples")
@pytest.mark.double
@pytest.mark.parametrize(
    ("metric", "layout"),
    [("iou", layout) for layout in LAYOUTS]
    + [
        (metric, layout)
        for metric in ("auroc", "spearman", "simulation_auroc", "auprc", "soft_wpmi")
        for layout in ("samples", "both")
    ],
)
def test_equals_a_loop_over_the_same_permutations(metric, layout):
    probe, groups, strata = build(layout)
    test = permutation_test(KEY, probe, metric, num_permutations=9, strata=strata, alpha=0.3)
    n = probe.num_samples
    if layout == "samples" and metric in SHARED:
        null = np.array([naive_shared_best(metric, probe, r) for r in range(9)])
    else:
        null = np.array(
            [naive_best(metric, probe, permuted_rows(r, groups, strata, n)) for r in range(9)]
        )
    observed = naive_best(metric, probe, np.arange(n))
    p, familywise, quantile = naive_test(observed, null, 0.3)
    for ours, expected in (
        (test.statistic, observed), (test.null_mean, null.mean(axis=0)),
        (test.null_quantile, quantile), (test.p_value, p), (test.p_familywise, familywise),
    ):  # fmt: skip
        np.testing.assert_allclose(np.asarray(ours), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(
        np.asarray(test.explained), np.nan_to_num(np.asarray(test.q_value), nan=1) <= 0.3
    )


@pytest.mark.optimised
@pytest.mark.parametrize("together", [2**17, 5 * 8])
@pytest.mark.parametrize("listed", [False, True])
def test_counts_are_the_product(listed, together, monkeypatch):
    """Lists of unequal length, of many more rows than 8 bits count, and of rows not active."""
    rng = np.random.default_rng(2)
    n, rate = 1200, np.linspace(0, 1, 13)
    active, present = rng.random((n, 13)) < rate, rng.random((n, 5)) < [0, 0.1, 0.5, 0.95, 1]
    moved = rng.permutation(n).astype(np.int32)
    monkeypatch.setattr(counts, "COUNTS", together)  # so that there are several blocks
    probe = nt.make_probe(scipy.sparse.csr_array(active.astype(np.float32)), present, thresholds=0)
    table = counts.list_rows(list_active(probe) if listed else active, present)
    assert (len(table.rows) > 1) == (together < 2**17)
    assert np.asarray(table.others).any() != listed
    expected = active.T.astype(int) @ present[moved]
    assert expected.max() > 255
    found = counts.count_rows(table, lambda i: jnp.append(jnp.asarray(moved), n)[i])
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(table.length, active.sum(axis=0))


@pytest.mark.optimised
def test_counts_of_some_rows():
    """Rows without a place in the table count for nothing."""
    rng = np.random.default_rng(3)
    active, values = rng.random((300, 7)) < 0.6, rng.integers(-299, 300, (300, 20))
    moved = np.where(rng.random(300) < 0.4, 300, np.arange(300)).astype(np.int32)
    total = jnp.asarray(values[moved < 300].sum(axis=0), jnp.int32)
    table = counts.list_rows(active, values.astype(np.int16))
    moved_to = jnp.append(jnp.asarray(moved), 300)
    found = counts.count_rows(table, lambda i: moved_to[i], total=total)
    expected = (active & (moved < 300)[:, None]).T.astype(int) @ values
    np.testing.assert_array_equal(found, expected)


@pytest.mark.quick("auroc")
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("metric", ["auroc", "spearman"])
def test_a_product_gives_the_sums_of_ranks(metric, share, monkeypatch):
    """Of some concepts, of all, or of one that is never there, with ties and a dead neuron."""
    rng = np.random.default_rng(4)
    c = rng.random((500, 9)) < [0, 0.01, 0.02, 0.05, 0.1, 0.3, 0.5, 0.9, 1]
    f = rng.normal(size=(500, 7)) + c[:, 1:8]
    f[:, 1] = np.round(f[:, 1])
    f[:, 2] = np.maximum(f[:, 2], 0.5)
    f[:, 3] = 0
    probe = nt.make_probe(f, c, groups=np.arange(500) // 2)
    monkeypatch.setattr(permuted_statistics, "RARE", share)
    rare = permuted_statistics.rare_concepts(probe, nt.METRICS[metric])
    np.testing.assert_array_equal(rare, c.mean(axis=0) <= share)
    counted = permutation_test(KEY, probe, metric, num_permutations=40, alpha=0.1)
    monkeypatch.setattr(permuted_statistics, "RARE", -1.0)
    expected = permutation_test(KEY, probe, metric, num_permutations=40, alpha=0.1)
    assert np.isnan(expected.null_mean[3])
    for x, y in zip(*map(jax.tree.leaves, (counted, expected)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", ["iou", "accuracy"])
def test_a_product_gives_what_is_counted(metric, monkeypatch):
    probe, _, strata = build("strata")
    options = {"num_permutations": 30, "strata": strata, "alpha": 0.1}
    counted = permutation_test(KEY, probe, metric, **options)
    monkeypatch.setattr(permuted_statistics, "countable", lambda *x: False)
    for ours, expected in zip(*map(jax.tree.leaves, (
        counted, permutation_test(KEY, probe, metric, **options)
    )), strict=True):  # fmt: skip
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("grouped", [False, True])
def test_every_order_of_units_is_as_likely(grouped):
    """All 24 of four units by chi-square at five standard deviations, whichever way they sort."""
    groups = np.repeat(np.arange(4), 2) if grouped else None
    f, c = np.ones((8 if grouped else 4, 1)), np.ones((8 if grouped else 4, 1), bool)
    probe = nt.make_probe(f, c, thresholds=0.5, groups=groups)
    layout, num_units, _ = permutations.layout_of(probe, None, 0.1)
    ids = np.arange(2400)
    begin = permutations.draw_units(KEY, ids, layout, num_units=num_units)
    rows = np.asarray(jax.vmap(lambda x: permutations.rows_of(x, layout))(begin))
    assert (np.sort(rows, axis=1) == np.arange(len(f))).all()
    seen = np.unique(rows, axis=0, return_counts=True)[1]
    assert len(seen) == 24
    assert ((seen - 100) ** 2 / 100).sum() < 23 + 5 * np.sqrt(2 * 23)
    bits = permutations._bits(KEY, ids, num_units=num_units)
    by_xla = permutations._ascending(bits)
    units = rows[:, ::2] // 2 if grouped else rows
    np.testing.assert_array_equal(by_xla, units)


def largest(probe, metric, concepts):
    scores = nt.similarity(replace(probe, concepts=jnp.asarray(concepts)), metric)
    return np.fmax.reduce(np.asarray(scores), axis=1)


# metrics of six sums that read the same views differ pointwise only
READ_ALIKE = {
    (m.neuron_view, m.concept_view, m.finalise is not None or name): name
    for name, m in nt.METRICS.items()
}


@pytest.mark.quick("iou", "correlation", "auprc", "wpmi_topk")
@pytest.mark.double
@pytest.mark.parametrize("metric", list(READ_ALIKE.values()))
def test_every_metric_sees_the_permuted_rows(metric):
    """One replicate is its own null mean: the similarity of a probe with permuted concepts."""
    probe, groups, strata = build("both")
    test = permutation_test(KEY, probe, metric, num_permutations=1, strata=strata, alpha=0.5)
    rows = permuted_rows(0, groups, strata, probe.num_samples)
    expected = largest(probe, metric, np.asarray(probe.concepts)[rows])
    observed = largest(probe, metric, probe.concepts)
    np.testing.assert_allclose(np.asarray(test.statistic), observed, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.asarray(test.null_mean), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(np.isnan(np.asarray(test.p_value)), np.isnan(observed))


@pytest.mark.double
def test_metrics_of_ones_own():
    """One that has the table's name, one that prepares row numbers, and one of six sums."""
    probe, *_ = build("samples")
    rows = permuted_rows(0, None, None, probe.num_samples)

    def values(side):
        return side.values

    def with_order(side):
        return side.values, jnp.argsort(side.values[:, 0])

    def score(prepared, weights):
        f, c = prepared
        return (weights[:, None] * f * c[:, :1]).T @ c

    def sorted_score(prepared, weights):
        f, (c, order) = prepared
        return (weights[:, None] * f)[order].T @ c[order]

    real = -np.inf, np.inf
    for metric in (
        nt.Metric("iou", "raw", "raw", values, values, score, real, "not the table's iou"),
        nt.Metric("sorted", "raw", "raw", values, with_order, sorted_score, real, "row numbers"),
        nt.six_sum_metric("hits", "raw", "rank", lambda s: s.FC + 0 * s.S, (0, 1e9), "product"),
    ):
        test = permutation_test(KEY, probe, metric, num_permutations=1, alpha=0.5)
        expected = largest(probe, metric, np.asarray(probe.concepts)[rows])
        np.testing.assert_allclose(
            np.asarray(test.null_mean)[:-1], expected[:-1], rtol=1e-9, atol=1e-9
        )


def test_a_permutation_depends_on_its_number_alone():
    probe, _, strata = build("both")
    told = []
    whole = permutation_test(
        KEY, probe, "auroc", num_permutations=50, strata=strata, alpha=0.1, chunk_size=64
    )
    for chunk_size in (7, 50):
        parts = permutation_test(
            KEY, probe, "auroc", num_permutations=50, strata=strata, alpha=0.1,
            chunk_size=chunk_size, progress=lambda done, total: told.append((done, total)),
        )  # fmt: skip
        for ours, expected in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(expected))
    assert told == [*((done, 50) for done in range(7, 50, 7)), (50, 50), (50, 50)]


@pytest.mark.both_precisions
def test_perfect_and_constant_neurons():
    """Perfect: the smallest p-value. Dead and always active: none, and no part in the q-values."""
    c = np.arange(200)[:, None] % 10 == np.arange(3)[None, :]
    f = np.stack([c[:, 1], np.zeros(200), np.ones(200)], axis=1) * 1.0
    test = permutation_test(KEY, nt.make_probe(f, c, thresholds=0.5), num_permutations=99)
    for values in (test.p_value, test.q_value, test.p_familywise):
        np.testing.assert_allclose(np.asarray(values), [0.01, np.nan, np.nan], rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(test.explained), [True, False, False])
    assert float(test.statistic[0]) == 1
    assert 0 < float(test.null_mean[0]) < float(test.null_quantile[0]) < 0.5
    assert test.num_movable == 200
    assert test.num_permutations == 99


def test_ties_do_not_turn_on_rounding():
    """No permutation within the strata changes anything but the order of the sums."""
    f = np.tile([[0.1, 0.8], [0.7, 0.3]], (500, 1))
    c = np.tile([[0.3], [0.9]], (500, 1))
    stratum = f[:, 0]
    f[:, 1] = np.random.default_rng(0).normal(size=1000)
    test = permutation_test(
        KEY, nt.make_probe(f, c), "correlation", num_permutations=99, strata=stratum
    )
    np.testing.assert_allclose(np.asarray(test.p_value), [1, 1], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(test.p_familywise), [1, 1], rtol=1e-6)


def test_weights_stay_with_their_activations():
    """Weights equal within strata: the similarity under weights, of permuted concepts."""
    weights = np.arange(36) % 3 + 1.0
    f, c = data()
    probe = nt.make_probe(f, c, top_fraction=0.2, sample_weight=weights)
    rows = permuted_rows(0, None, weights, 36)
    for metric in ("iou", "spearman", "auprc"):
        test = permutation_test(KEY, probe, metric, num_permutations=1, strata=weights, alpha=0.5)
        expected = largest(probe, metric, c[rows])
        np.testing.assert_allclose(np.asarray(test.null_mean), expected, rtol=1e-5)
        observed = np.asarray(nt.identify(probe, metric).similarity)[:, 0]
        np.testing.assert_allclose(np.asarray(test.statistic), observed, rtol=1e-5)


@pytest.mark.double
def test_agrees_with_scipy():
    """The 720 permutations of 6 rows by SciPy; 2,000 of ours are within 4 binomial errors."""
    rng = np.random.default_rng(3)
    c = rng.uniform(size=(6, 2))
    f = rng.normal(size=(6, 3)) + c @ np.array([[1, 4, 0], [0, 0, 1]])
    probe = nt.make_probe(f, c)
    test = permutation_test(KEY, probe, "correlation", num_permutations=2000)
    for u in range(3):

        def statistic(order, u=u):
            moved = f[order.astype(int), u]
            return max(np.corrcoef(moved, c[:, k])[0, 1] for k in range(2))

        exact = scipy.stats.permutation_test(
            (np.arange(6),), statistic, permutation_type="pairings", vectorized=False,
            alternative="greater", n_resamples=1000,
        )  # fmt: skip
        assert len(exact.null_distribution) == 720
        noise = np.sqrt(exact.pvalue * (1 - exact.pvalue) / 2000)
        assert abs(float(test.p_value[u]) - exact.pvalue) <= 4 * noise + 1 / 2001
        assert float(test.null_mean[u]) == pytest.approx(
            exact.null_distribution.mean(), abs=4 * exact.null_distribution.std() / np.sqrt(2000)
        )


@pytest.mark.both_precisions
def test_benjamini_hochberg_equals_scipy(precision):
    rng = np.random.default_rng(0)
    for m in (1, 2, 7, 40):
        p = np.round(rng.uniform(size=m) ** 2, 2)  # with ties
        q = benjamini_hochberg(jnp.asarray(p))
        expected = scipy.stats.false_discovery_control(p)
        np.testing.assert_allclose(np.asarray(q), expected, rtol=1e-6)
        assert q.dtype == (jnp.float32 if precision == "x32" else jnp.float64)
        gaps = np.insert(p, np.arange(m), np.nan)
        q = np.asarray(jax.jit(benjamini_hochberg)(jnp.asarray(gaps)))
        np.testing.assert_allclose(q[1::2], expected, rtol=1e-6)
        assert np.isnan(q[::2]).all()
    assert np.isnan(np.asarray(benjamini_hochberg([np.nan, np.nan]))).all()
    with pytest.raises(ValueError, match=r"1\.2 at 1"):
        benjamini_hochberg([0.1, 1.2])
    with pytest.raises(ValueError, match=r"shape \[m\], got \[1, 2\]"):
        benjamini_hochberg([[0.1, 0.2]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "iuo"}, "did you mean 'iou'"),
        ({"alpha": 0.0}, "alpha must lie strictly between 0 and 1, got 0.0"),
        ({"num_permutations": 0}, "num_permutations must be a whole number of at least 1, got 0"),
        ({"num_permutations": 18}, "below 0.0526, so none reaches alpha=0.05; use at least 19"),
        ({"chunk_size": 2.5}, "chunk_size must be a whole number of at least 1, got 2.5"),
        ({"strata": np.zeros(3)}, r"strata must have shape \[36\], one per sample, got \[3\]"),
        ({"strata": np.full(36, np.nan)}, "strata holds NaN"),
        ({"strata": np.arange(36)}, "none of the 12 groups has another of its size and stratum"),
        ({"strata": np.arange(36) // 4}, "rows 3 and 4 of one group have 0 and 1"),
        ({"sample_weight": 1 + np.arange(36) % 2}, "samples 0 and 3 would .* is 1 and 2"),
    ],
)
def test_errors_name_value_and_remedy(options, message, monkeypatch):
    """Before any work: nothing is prepared."""
    options = dict(options)
    groups = np.arange(36) // 3
    if "none of" in message:
        groups, options["strata"] = np.repeat(np.arange(12), 3), np.repeat(np.arange(12), 3)
    weights = options.pop("sample_weight", None)
    probe = nt.make_probe(*data(), groups=groups, sample_weight=weights)
    monkeypatch.setattr("neurotrust_jax.chance.layer_null.permuted_statistic", None)
    with pytest.raises(ValueError, match=message):
        permutation_test(KEY, probe, **options)


def test_smallest_number_of_permutations_for_a_level():
    probe = nt.make_probe(*data())
    for alpha, enough in ((0.05, 19), (0.1, 9), (1 / 3, 2)):
        test = permutation_test(KEY, probe, num_permutations=enough, alpha=alpha)
        assert test.num_permutations == enough
        with pytest.raises(ValueError, match=f"at least {enough}"):
            permutation_test(KEY, probe, num_permutations=enough - 1, alpha=alpha)


@pytest.mark.parametrize(("alpha", "enough"), [(0.05, 19), (0.1, 9), (1 / 3, 2)])
def test_a_q_value_of_alpha_itself_is_explained(alpha, enough):
    """One neuron that is the concept: no permutation is as similar, so its p-value is alpha."""
    c = np.arange(200)[:, None] % 2 == 0
    probe = nt.make_probe(c.astype(float), c, thresholds=0.5)
    test = permutation_test(KEY, probe, num_permutations=enough, alpha=alpha)
    assert float(test.q_value[0]) == pytest.approx(alpha)
    assert bool(test.explained[0])
    more = permutation_test(KEY, probe, num_permutations=enough, alpha=alpha * 1.0001)
    assert bool(more.explained[0])


def test_few_movable_units_warn():
    f, c = data()
    sizes = [1, 2, 3, 4, 5, 6, 7, 4, 4]
    probe = nt.make_probe(f, c, groups=np.repeat(np.arange(9), sizes))
    with pytest.warns(PowerWarning, match=r"3 of 9 units .* in 6 ways"):
        test = permutation_test(KEY, probe, num_permutations=19)
    assert test.num_movable == 3
    # three groups have six orders: at alpha 0.2 all is well, at 0.1 no p-value gets there
    probe = nt.make_probe(f, c, groups=np.arange(36) // 12)
    permutation_test(KEY, probe, num_permutations=19, alpha=0.2)
    with pytest.warns(PowerWarning, match=r"3 of 3 units .* in 6 ways"):
        permutation_test(KEY, probe, num_permutations=19, alpha=0.1)


def test_rows_taken_from_a_probe_may_leave_groups_out():
    f, c = data()
    probe = nt.make_probe(f, c, groups=np.arange(36) // 3).take(np.arange(9, 36))
    fresh = nt.make_probe(f[9:], c[9:], groups=np.arange(27) // 3, thresholds=probe.thresholds)
    for ours, expected in zip(
        jax.tree.leaves(permutation_test(KEY, probe, num_permutations=19)),
        jax.tree.leaves(permutation_test(KEY, fresh, num_permutations=19)),
        strict=True,
    ):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(expected))


# Monte Carlo. A sound test fails a check by chance less than once in 10,000 runs (4 standard
# errors), and here the seeds are fixed besides.

DATASETS, NEURONS, REPLICATES, LEVEL = 125, 8, 199, 0.05
# The neurons of a dataset share their permutations, of which the realised level depends with
# variance LEVEL (1 - LEVEL) / (R + 1); hence the second factor.
NOISE = 4 * np.sqrt(LEVEL * (1 - LEVEL) / (DATASETS * NEURONS) * (1 + (NEURONS - 1) / REPLICATES))
LAYER_NOISE = 4 * np.sqrt(LEVEL * (1 - LEVEL) / DATASETS)


def simulate(draw, metric="auroc", **told):
    """p-values [DATASETS, U] and family-wise ones; draw(rng) -> (f, c), told what the test is."""
    tests = []
    for seed in range(DATASETS):
        f, c = draw(np.random.default_rng(seed))
        probe = nt.make_probe(f, c, top_fraction=0.1, groups=told.get("groups"))
        tests.append(
            permutation_test(
                jax.random.key(seed), probe, metric, num_permutations=REPLICATES,
                strata=told.get("strata"), chunk_size=REPLICATES,
            )
        )  # fmt: skip
    return np.array([t.p_value for t in tests]), np.array([t.p_familywise for t in tests]), tests


def independent(rng, n=100):
    # concepts come in an order and overlap: only the neurons are independent of all else
    c = np.cumsum(rng.normal(size=(n, 6)), axis=0)
    return rng.normal(size=(n, NEURONS)), c > np.quantile(c, 0.7, axis=0)


def share(p):
    return np.mean(p <= LEVEL + 1e-6)


@pytest.mark.slow
def test_false_alarms_come_at_their_level():
    """Without ties p is uniform on 1/100, ..., 1; with them it errs on the large side."""
    p, familywise, tests = simulate(independent)
    assert abs(share(p) - LEVEL) <= NOISE
    assert abs(np.mean(p) - 0.505) <= 4 * np.sqrt(1 / 12 / p.size * (1 + (NEURONS - 1) / 100))
    assert share(familywise.min(axis=1)) <= LEVEL + LAYER_NOISE
    # under the full null every discovery is false: their expected share is that of any at all
    assert np.mean([bool(t.explained.any()) for t in tests]) <= LEVEL + LAYER_NOISE
    # without adjustment some neuron of a layer looks explained far too often
    assert share(p.min(axis=1)) > LEVEL + LAYER_NOISE + 0.1
    p, familywise, _ = simulate(independent, "iou")
    assert share(p) <= LEVEL + NOISE
    assert share(familywise.min(axis=1)) <= LEVEL + LAYER_NOISE


@pytest.mark.slow
def test_groups_and_strata_must_be_told():
    """Dependence within groups, or by strata alone: valid if told, and far off if not."""
    groups = np.arange(100) // 4

    def copies(rng):
        f, c = independent(rng, 25)
        return f[groups], c[groups]

    assert share(simulate(copies, groups=groups)[0]) <= LEVEL + NOISE
    assert share(simulate(copies)[0]) > LEVEL + NOISE + 0.1

    strata = np.arange(100) % 2

    def confounded(rng):
        f, _ = independent(rng)
        c = rng.random((100, 6)) < 0.2 + 0.4 * strata[:, None]
        return f + 1.5 * strata[:, None], c

    assert share(simulate(confounded, strata=strata)[0]) <= LEVEL + NOISE
    assert share(simulate(confounded)[0]) > LEVEL + NOISE + 0.1


@pytest.mark.slow
def test_planted_effects_are_found():
    """Half of the neurons follow a concept: those are found, and few of the others."""

    def planted(rng):
        f, c = independent(rng)
        f[:, : NEURONS // 2] += 2 * c[:, : NEURONS // 2]
        return f, c

    _, familywise, tests = simulate(planted)
    explained = np.array([t.explained for t in tests])
    real, false = explained[:, : NEURONS // 2], explained[:, NEURONS // 2 :]
    assert real.mean() > 0.95
    shares = false.sum(axis=1) / np.maximum(explained.sum(axis=1), 1)
    assert shares.mean() <= LEVEL + 4 * shares.std() / np.sqrt(DATASETS)
    assert share(familywise[:, NEURONS // 2 :].min(axis=1)) <= LEVEL + LAYER_NOISE
    assert share(familywise[:, : NEURONS // 2]) > 0.9
