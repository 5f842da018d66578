"""Every metric against a naive loop, an outside implementation, and its contract."""

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.stats
import sklearn.metrics
from builders import EVERY, KINDS, TOLERANCE, assert_close, tied_data

import neurotrust_jax as nt
from neurotrust_jax._numerics.ranks import ascending, ranking
from neurotrust_jax.metrics.metric import six_sum_metric
from neurotrust_jax.metrics.sanity import label_tests
from neurotrust_jax.metrics.transforms import VIEWS
from neurotrust_jax.probing.probe import Side

DATA = Path(__file__).parent / "data"


def both(probe, metric):
    """Our value and the naive one, rows repeated by their integer weight."""
    rows = np.repeat(np.arange(probe.num_samples), np.asarray(probe.sample_weight).astype(int))
    naive = oracles.similarity(
        metric,
        np.asarray(probe.activations, float)[rows],
        np.asarray(probe.concepts, float)[rows],
        np.asarray(probe.neurons.present)[rows],
        np.asarray(probe.labels.present)[rows],
    )
    return np.asarray(nt.similarity(probe, metric)), naive


@pytest.mark.both_precisions
@pytest.mark.optimised
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("metric", EVERY)
def test_equals_naive_loop_on_ties(metric, binary, precision):
    ours, naive = both(nt.make_probe(*tied_data(binary=binary), top_fraction=0.2), metric)
    assert_close(ours, naive, metric, precision)


@pytest.mark.double
@pytest.mark.parametrize("metric", [m for m in EVERY if m != "rank_reorder"])
def test_integer_weights_equal_repeated_rows(metric, precision):
    f, c = tied_data(seed=1)
    w = np.random.default_rng(2).integers(0, 4, len(f))
    probe = nt.make_probe(f, c, sample_weight=w, thresholds=0.6)
    ours, naive = both(probe, metric)
    assert_close(ours, naive, metric, precision)
    rows = np.repeat(np.arange(len(f)), w)
    repeated = nt.similarity(nt.make_probe(f[rows], c[rows], thresholds=0.6), metric)
    assert_close(ours, np.asarray(repeated), metric, precision)


@pytest.mark.both_precisions
def test_rank_reorder_weights_equal_repeated_rows(precision):
    # the naive loop can not share a tie at the boundary of the top; repeated rows can
    f, c = tied_data(seed=1)
    w = np.random.default_rng(2).integers(0, 4, len(f))
    rows = np.repeat(np.arange(len(f)), w)
    weighted = nt.similarity(nt.make_probe(f, c, sample_weight=w), "rank_reorder")
    repeated = nt.similarity(nt.make_probe(f[rows], c[rows]), "rank_reorder")
    np.testing.assert_allclose(
        np.asarray(weighted), np.asarray(repeated), rtol=10 * TOLERANCE[precision]
    )


@pytest.mark.optimised
@pytest.mark.parametrize("metric", ["soft_wpmi", "wpmi_topk"])
def test_fractional_weights_fill_the_top_to_the_brim(metric):
    """At weight 0.9 a row, the last row of the top k is taken in part."""
    rng = np.random.default_rng(12)
    f, c = rng.normal(size=(160, 2)), rng.random((160, 3))
    k, strength = (100, 1.0) if metric == "soft_wpmi" else (28, 0.6)
    place = 0.9 * np.arange(160)[:, None]
    taken = np.clip(k - place, 0, 0.9)
    middle = place + taken / 2 - 0.5
    belongs = 0.998 - middle / k * 0.028 if metric == "soft_wpmi" else 1.0
    likelihood = np.stack([
        (taken * np.log(1 + belongs * (c[np.argsort(-f[:, u])] - 1) + 1e-7)).sum(axis=0)
        for u in range(2)
    ])  # fmt: skip
    # as resampling may give them; make_probe would make ones of them
    weight = jnp.full(160, 0.9, jnp.float32)
    got = nt.similarity(replace(nt.make_probe(f, c), sample_weight=weight), metric)
    expected = oracles.mutual_information(likelihood, strength)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=2e-4, atol=2e-4)


@pytest.mark.optimised
def test_rows_of_weight_zero_are_not_there():
    f, c = np.zeros((160, 3)), np.zeros((160, 4), bool)
    f[:20], c[:20] = 1.0, True
    w = np.arange(160) >= 20  # every positive row has weight 0
    probe = nt.make_probe(f, c, thresholds=0.5, sample_weight=w)
    for metric in EVERY:
        assert bool(jnp.isnan(nt.similarity(probe, metric)).all()), metric
    assert set(np.unique(nt.metrics.undefined_reason(probe, "iou"))) == {
        int(nt.metrics.Reason.NEVER_ACTIVE)
    }


def outside(metric, f, c, a, y):
    """The same value from scikit-learn or SciPy, for one pair."""
    m = sklearn.metrics
    return {
        "accuracy": lambda: m.accuracy_score(y, a),
        "balanced_accuracy": lambda: m.balanced_accuracy_score(y, a),
        "simulation_balanced_accuracy": lambda: m.balanced_accuracy_score(a, y),
        "precision": lambda: m.precision_score(y, a),
        "recall": lambda: m.recall_score(y, a),
        "f1": lambda: m.f1_score(y, a),
        "iou": lambda: m.jaccard_score(y, a),
        "auroc": lambda: m.roc_auc_score(y, f),
        "simulation_auroc": lambda: m.roc_auc_score(a, c),
        "auprc": lambda: m.average_precision_score(y, f),
        "simulation_auprc": lambda: m.average_precision_score(a, c),
        "correlation": lambda: scipy.stats.pearsonr(f, c).statistic,
        "spearman": lambda: scipy.stats.spearmanr(f, c).statistic,
        "cosine": lambda: m.pairwise.cosine_similarity(f[None], c[None])[0, 0],
        "cos_similarity_cubed": lambda: m.pairwise.cosine_similarity(
            ((f - f.mean()) ** 3)[None], ((c - c.mean()) ** 3)[None]
        )[0, 0],
        "mad": lambda: -np.diff([f[y].mean(), f[~y].mean()])[0],
        "standardised_mad": lambda: (f[y].mean() - f[~y].mean()) / scipy.stats.tstd(f)
        * np.sqrt(len(f) / (len(f) - 1)),
        "correlation_top_and_random": lambda: weighted_corrcoef(
            f, c, 0.5 * a / a.sum() + 0.5 / len(a)
        ),
    }[metric]()  # fmt: skip


def weighted_corrcoef(f, c, weights):
    covariance = np.cov(f, c, aweights=weights)
    return covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])


NO_OUTSIDE = {"wpmi", "soft_wpmi", "wpmi_topk", "rank_reorder"}  # wpmi: the reference values below


@pytest.mark.double
@pytest.mark.parametrize("metric", [m for m in EVERY if m not in NO_OUTSIDE])
def test_equals_outside_implementation_on_ties(metric, precision):
    f, c = tied_data(seed=3)
    probe = nt.make_probe(f, c, top_fraction=0.1, ties="inclusive")
    a, y = np.asarray(probe.neurons.present), np.asarray(probe.labels.present)
    expected = [
        [outside(metric, f[:, u], c[:, k], a[:, u], y[:, k]) for k in range(c.shape[1])]
        for u in range(f.shape[1])
    ]
    got = np.asarray(nt.similarity(probe, metric))
    assert_close(got, expected, metric, precision)


def published_values():
    """Pairs of metric and file; the published code has no value where ranks meet tied data."""
    for kind in ("binary", "soft"):
        with np.load(DATA / f"metric_values_{kind}.npz") as file:
            for metric, theirs in nt.metrics.NEURON_EVAL_NAMES.items():
                name = "spearman" if metric == "spearman" else theirs
                if name in file:
                    yield pytest.param(metric, kind, name, id=f"{metric}-{kind}")


@pytest.mark.optimised
@pytest.mark.parametrize(("metric", "kind", "theirs"), list(published_values()))
def test_equals_published_code(metric, kind, theirs):
    """Values of the Neuron Eval code (float32 inside; its tied ranks carry noise)."""
    with np.load(DATA / f"metric_values_{kind}.npz") as file:
        reference = dict(file)
    n = len(reference["activations"])
    value = reference[theirs] * (n / (n - 1) if metric in ("correlation", "spearman") else 1)
    probe = nt.make_probe(
        reference["activations"], reference["concepts"],
        top_fraction=float(reference["top_fraction"]), ties="inclusive",
    )  # fmt: skip
    tolerance = 2e-5 if metric in ("simulation_auroc", "spearman") else 1e-6
    got = np.asarray(nt.similarity(probe, metric), float)
    np.testing.assert_allclose(got, value, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "published"),
    [
        (m, p)
        for m, p in nt.metrics.NEURON_EVAL_NAMES.items()
        if m not in ("correlation_top_and_random", "spearman", "simulation_auroc")
    ],
)
def test_label_tests_come_out_as_published(metric, published):
    """Within five standard errors of our seeds plus the rounding of the published fourth decimal.

    Spearman and simulation_auroc are left out here: published ranks of tied data are noise, ours
    are exact mid-ranks.
    """
    table = json.loads((DATA / "published_sanity.json").read_text())[published]
    ours = label_tests(jax.random.key(0), metric, num_seeds=3)
    for frequency, expected in table.items():
        at = [0.499, 0.1, 0.01, 0.001, 0.0001].index(float(frequency))
        for test in ("missing", "extra"):
            slack = 5 * float(getattr(ours, f"{test}_error")[at]) + 1.5e-4
            assert abs(float(getattr(ours, test)[at]) - expected[test]) < slack, (test, frequency)


@pytest.mark.parametrize(
    ("metric", "frequency", "missing", "extra"),
    [
        # half the positives of an exact neuron become negatives that tie with them
        ("simulation_auroc", 0.1, -0.25, -0.5 * 0.1 / 0.9),
        # on 0/1 columns mid-ranks give the phi coefficient
        ("spearman", 0.1, (np.sqrt(9 / 19) - 1) / 2, (np.sqrt(4 / 9) - 1) / 2),
    ],
)
def test_label_tests_of_tied_ranks_follow_the_closed_form(metric, frequency, missing, extra):
    ours = label_tests(
        jax.random.key(0), metric, frequencies=(frequency,), num_samples=100_000, num_seeds=4
    )
    assert abs(float(ours.missing[0]) - missing) < 5 * float(ours.missing_error[0])
    assert abs(float(ours.extra[0]) - extra) < 5 * float(ours.extra_error[0])


def test_label_tests_expose_blind_metrics():
    blind = label_tests(jax.random.key(0), "recall", num_samples=20_000, num_seeds=3)
    assert float(blind.extra[1]) < -0.4  # recall = P(active | present) sees extra labels...
    assert abs(float(blind.missing[1])) < 1e-6  # ...and is blind to missing ones
    with pytest.raises(ValueError, match="use at least 10000"):
        label_tests(jax.random.key(0), "iou", num_samples=100)


@pytest.mark.quick("iou", "auroc")  # the others are made of the same sums and ranks
@pytest.mark.double
@pytest.mark.parametrize("metric", EVERY)
def test_pure_under_jit_vmap_and_grad(metric):
    f, c = tied_data(seed=4)
    probe = nt.make_probe(f, c, thresholds=0.6)

    @jax.jit  # where weights stay as they are
    def weighted(w):
        return nt.similarity(nt.make_probe(f, c, thresholds=0.6, sample_weight=w), metric)

    n = len(f)
    w = jnp.stack([jnp.ones(n), jnp.asarray(np.arange(n) % 3.0)])
    mapped = np.asarray(jax.jit(jax.vmap(weighted))(w))
    np.testing.assert_allclose(mapped[0], np.asarray(nt.similarity(probe, metric)), atol=1e-9)
    np.testing.assert_allclose(mapped[1], np.asarray(weighted(w[1])), atol=1e-9)

    gradient = jax.grad(lambda w: weighted(w).sum())(w[0])
    assert bool(jnp.isfinite(gradient).all())
    if metric == "rank_reorder":
        return  # its top 5% jumps by whole samples, so a finite difference tells nothing
    direction, h = jnp.asarray(np.random.default_rng(5).normal(size=n)), 1e-6
    ahead, behind = weighted(w[0] + h * direction).sum(), weighted(w[0] - h * direction).sum()
    slope = float(ahead - behind) / (2 * h)
    np.testing.assert_allclose(float(gradient @ direction), slope, rtol=1e-4, atol=1e-6)


@pytest.mark.optimised
@pytest.mark.parametrize("metric", EVERY)
def test_degenerate_columns_are_undefined_with_a_reason_and_never_win(metric, precision):
    rng = np.random.default_rng(6)
    n = 160
    f = np.column_stack([rng.normal(size=n), np.zeros(n), np.full(n, 3.0)])
    c = np.column_stack([rng.random(n) < 0.4, np.zeros(n), np.ones(n), rng.random(n) < 0.5])
    probe = nt.make_probe(f, c.astype(bool), thresholds=0.5)
    scores = np.asarray(nt.similarity(probe, metric))
    reason = np.asarray(nt.metrics.undefined_reason(probe, metric))
    assert np.isnan(scores[[1, 2]]).all()
    assert np.isnan(scores[:, [1, 2]]).all()
    assert np.isfinite(scores[0, [0, 3]]).all()
    assert ((reason == 0) == np.isfinite(scores)).all()
    views = nt.METRICS[metric]
    names = [
        nt.metrics.Reason(int(r)).name
        for r in (reason[1, 0], reason[2, 0], reason[0, 1], reason[0, 2])
    ]
    dead, always = ("NEVER_ACTIVE", "ALWAYS_ACTIVE") if views.neuron_view == "binary" else (
        "CONSTANT_ACTIVATION",) * 2  # fmt: skip
    absent, present = ("NO_POSITIVES", "NO_NEGATIVES") if views.concept_view == "binary" else (
        "CONSTANT_CONCEPT",) * 2  # fmt: skip
    assert names == [dead, always, absent, present]
    found = nt.identify(probe, metric)
    assert np.asarray(found.concept)[:, 0].tolist()[1:3] == [-1, -1]
    assert int(found.concept[0, 0]) in (0, 3)
    assert np.asarray(found.reason).tolist()[1:3] == reason[1:3, 0].tolist()
    low, high = views.range
    defined = scores[np.isfinite(scores)]
    assert (defined >= low).all()
    assert (defined <= high).all()


@pytest.mark.parametrize("metric", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 1)])
def test_smallest_shapes(metric, shape):
    n, num_neurons, num_concepts = shape
    rng = np.random.default_rng(7)
    f, c = rng.normal(size=(n, num_neurons)), rng.random((n, num_concepts)) < 0.5
    probe = nt.make_probe(f, c, thresholds=0.0)
    scores = nt.similarity(probe, metric)
    assert scores.shape == (num_neurons, num_concepts)
    assert bool(((nt.metrics.undefined_reason(probe, metric) == 0) == ~jnp.isnan(scores)).all())
    if n == 1:  # a single sample can not vary
        assert bool(jnp.isnan(scores).all())


@pytest.mark.optimised
@pytest.mark.parametrize(("metric", "neuron_alike"), [("recall", True), ("precision", False)])
def test_equal_shares_tie_whatever_they_are_shares_of(metric, neuron_alike):
    """1/3, 3/9, 7/21, ... are one number, which a product with the reciprocal would not give."""
    hits = np.array([1, 3, 7, 11, 13, 19])
    whole = np.zeros((200, 1))
    whole[:100] = 1
    parts = np.zeros((200, len(hits)))
    for k, m in enumerate(hits):
        parts[:m, k] = parts[100 : 100 + 2 * m, k] = 1
    f, c = (whole, parts) if neuron_alike else (parts, whole)
    value = np.asarray(nt.similarity(nt.make_probe(f, c, thresholds=0.5), metric)).ravel()
    assert (value == value[0]).all()


@pytest.mark.optimised
def test_only_ties_are_undefined():
    probe = nt.make_probe(np.ones((160, 3)), np.tile([[True, False] * 2], (160, 1)))
    for metric in EVERY:
        assert bool(jnp.isnan(nt.similarity(probe, metric)).all()), metric


@pytest.mark.optimised
def test_absent_concept_never_wins_by_wpmi():
    rng = np.random.default_rng(8)
    c = rng.random((200, 3)) * 0.3
    c[:, 1] = 0.0  # the published formula gives it +inf
    found = nt.identify(nt.make_probe(rng.normal(size=(200, 5)), c), "wpmi")
    assert 1 not in np.asarray(found.concept)


@pytest.mark.double
@pytest.mark.parametrize("name", list(VIEWS))
def test_rows_are_distinct_where_their_views_are(name):
    values = np.random.default_rng(9).integers(1, 6, (40, 5)) / 6
    values[:, 1] = 0.5  # of which XLA may say that it varies, when it rounds two copies differently
    values[:, 2] *= 1e-10  # all below the least probability that has a logarithm of its own
    side = Side(jnp.asarray(values), jnp.asarray(values > 0.4))
    view = VIEWS[name]
    prepared = view.prepare(side)
    shown = np.asarray(view.evaluate(prepared, jnp.ones(40)))
    for distinct, column in zip(np.asarray(view.distinct(prepared)).T, shown.T, strict=True):
        same = np.isclose(column[:, None], column[None, :], rtol=1e-12, atol=1e-12 * np.ptp(column))
        np.testing.assert_array_equal(distinct[:, None] == distinct[None, :], same)


@pytest.mark.optimised
def test_the_two_ways_to_rank_agree():
    values = np.random.default_rng(2).integers(-4, 5, (50, 70)).astype(np.float32)
    values[:, :3] = np.random.default_rng(3).normal(size=(50, 3))
    compiled, by_numpy = jax.jit(ranking)(values), ranking(jnp.asarray(values))
    np.testing.assert_array_equal(ascending(jnp.asarray(values)), by_numpy.order)
    for x, y in zip(compiled[1:], by_numpy[1:], strict=True):
        np.testing.assert_array_equal(x, y)
    for found in (compiled, by_numpy):
        in_order = np.take_along_axis(values, np.asarray(found.order), axis=0)
        np.testing.assert_array_equal(in_order, np.sort(values, axis=0))
    for dtype in (jnp.int8, jnp.float16, jnp.bfloat16):
        np.testing.assert_array_equal(
            jax.jit(ranking)(values[:, 3:].astype(dtype)).first, by_numpy.first[:, 3:]
        )


@pytest.mark.optimised
@pytest.mark.parametrize("metric", ["iou", "spearman", "auprc", "soft_wpmi"])
def test_concepts_come_some_at_a_time(metric, monkeypatch):
    probe = nt.make_probe(*tied_data(seed=1), top_fraction=0.2)
    whole = nt.similarity(probe, metric)
    monkeypatch.setattr("neurotrust_jax.probing.probe.COLUMNS", 3)
    assert [part.num_concepts for _, part in probe.in_columns()] == [3, 1]
    np.testing.assert_allclose(nt.similarity(probe, metric), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.optimised
@pytest.mark.parametrize("metric", ["correlation", "spearman", "cosine", "cos_similarity_cubed"])
def test_rounding_leads_out_of_no_range(metric):
    """Of 200 perfect pairs some come out above 1 as they are divided, and are cut off there."""
    c = np.random.default_rng(14).random((160, 200))
    probe = nt.make_probe(c, c)
    rule = nt.METRICS[metric]
    uncut = nt.six_sum_metric(
        metric, rule.neuron_view, rule.concept_view, rule.finalise, (-np.inf, np.inf), "the same"
    )
    assert float(nt.similarity(probe, uncut).max()) > 1
    assert float(nt.similarity(probe, metric).max()) == 1


@pytest.mark.optimised
def test_row_order_never_decides():
    f, c = tied_data(seed=9)
    shuffled = np.random.default_rng(10).permutation(len(f))
    for metric in EVERY:
        a = nt.similarity(nt.make_probe(f, c), metric)
        b = nt.similarity(nt.make_probe(f[shuffled], c[shuffled]), metric)
        np.testing.assert_allclose(
            np.asarray(a), np.asarray(b), rtol=2e-4, atol=1e-5, err_msg=metric
        )


@pytest.mark.optimised
def test_huge_activations_stay_finite():
    f, c = tied_data(seed=11)
    f = f * 1e30
    for metric in set(EVERY) - {"mad", "standardised_mad"}:
        plain = nt.similarity(nt.make_probe(f / 1e30, c), metric)
        huge = nt.similarity(nt.make_probe(f, c), metric)
        np.testing.assert_allclose(np.asarray(huge), np.asarray(plain), rtol=1e-4, err_msg=metric)


@pytest.mark.optimised
def test_ties_between_concepts_are_reported_and_the_lowest_column_taken():
    f = np.array([[1.0], [1.0], [0.0], [0.0]])
    c = np.array([[0, 1, 1], [1, 1, 1], [0, 0, 0], [1, 0, 0]], bool)
    found = nt.identify(nt.make_probe(f, c, thresholds=0.5), "iou", k=3)
    assert np.asarray(found.concept).tolist() == [[1, 2, 0]]
    assert np.asarray(found.tied).tolist() == [2]
    with pytest.raises(ValueError, match="k must lie between 1 and the 3 concepts, got 4"):
        nt.identify(nt.make_probe(f, c), k=4)


def test_a_metric_of_your_own_is_a_row():
    lift = nt.six_sum_metric(
        "lift", "binary", "binary", lambda s: s.FC * s.S / (s.F * s.C), (0.0, float("inf")), "lift"
    )
    probe = nt.make_probe(*tied_data(binary=True), top_fraction=0.2)
    expected = nt.similarity(probe, "precision") / probe.concept_rate[None, :]
    np.testing.assert_allclose(
        np.asarray(nt.similarity(probe, lift)), np.asarray(expected), rtol=1e-5
    )


def test_unknown_metrics_name_the_remedy():
    with pytest.raises(ValueError, match="did you mean 'auroc'"):
        nt.similarity(nt.make_probe(*tied_data()), "aurocc")
    with pytest.raises(ValueError, match="what Neuron Eval calls so is 'auroc' here"):
        nt.similarity(nt.make_probe(*tied_data()), "inverse_auc")


def test_import_is_light():
    code = (
        "import sys, neurotrust_jax, neurotrust_jax.datasets\n"
        "loaded = {'flax', 'optax', 'matplotlib', 'sklearn', 'rich', 'typer'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def hits(s):
    return s.FC / s.S


def test_metrics_stay_themselves_when_pickled_and_copied():
    """What is known of a built-in metric is known because it is that very object."""
    for metric in nt.METRICS.values():
        assert pickle.loads(pickle.dumps(metric)) is metric
        assert copy.deepcopy(metric) is metric
    own = six_sum_metric("iou", "binary", "binary", hits, (0.0, 1.0), "hits among all")
    again = pickle.loads(pickle.dumps(own))
    assert again == own  # and not the built-in one of its name
    assert hash(again) == hash(own)
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        pickle.dumps(six_sum_metric("x", "binary", "binary", lambda s: s.FC, (0.0, 1.0), ""))
