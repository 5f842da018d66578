"""The best formulas are those of a search through all of them, whatever the metric and the data."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from builders import TOLERANCE, chains
from scipy.sparse import csr_array
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score

import neurotrust_jax as nt
from neurotrust_jax.composition.beam import beam_search, best_of
from neurotrust_jax.composition.bounds import (
    KINDS,
    Measures,
    can_bound,
    kinds_of,
    triple_range,
    upper_bound,
)
from neurotrust_jax.composition.formulas import AND, AND_NOT, NONE, OR, Formulas, evaluate
from neurotrust_jax.composition.optimal import optimal_search
from neurotrust_jax.composition.search import SearchOptions, search
from neurotrust_jax.composition.sums import FormulaSums, OwnSums, columns_of, neurons_of, score
from neurotrust_jax.composition.triples import TripleSizes, node_bounds, sum_pairs

EVERY = (AND, OR, AND_NOT)
CONCEPTS, LEAST = 7, 3
WIDE = 5000  # wider than all formulas


def world(seed=0, n=150, num_neurons=5, weights=False, num_concepts=CONCEPTS):
    """Neurons that mean formulas, some of them of rare or nested concepts."""
    rng = np.random.default_rng(seed)
    c = rng.random((n, num_concepts)) < rng.uniform(0.05, 0.4, num_concepts)
    c[:, 1] |= c[:, 0]  # nested
    a, b, d = rng.integers(0, num_concepts, (3, num_neurons))
    f = rng.normal(size=(n, num_neurons)) + 1.5 * ((c[:, a] | c[:, b]) & ~c[:, d])
    w = rng.integers(0, 4, n) if weights else None
    return nt.make_probe(f, c, top_fraction=0.15, sample_weight=w)


def options(optimal=True, width=3, max_length=3, operators=EVERY, max_nodes=10**6, soft=False,
            **more):  # fmt: skip
    return SearchOptions(max_length, operators, optimal, width, max_nodes, soft, LEAST, **more)


def exhaustive(probe, metric, max_length=3, operators=EVERY, soft=False):
    """Scores [F, U] of every chain by the metric itself, and the chains."""
    formulas = chains(probe.num_concepts, max_length, operators)
    values = np.asarray(probe.concepts if soft else probe.present).astype(float)
    truth = evaluate(values, formulas)
    w = np.asarray(probe.weights)[:, None]
    holds = (w * truth).sum(axis=0) >= LEAST * w.max()
    lacks = (w * (1 - truth)).sum(axis=0) >= LEAST * w.max()
    columns = truth if soft else truth > 0.5
    of_formulas = nt.make_probe(
        np.asarray(probe.activations), columns, thresholds=probe.thresholds,
        sample_weight=np.asarray(probe.sample_weight),
    )  # fmt: skip
    value = np.asarray(nt.similarity(of_formulas, metric))
    return np.where(holds & lacks, np.nan_to_num(value, nan=-np.inf), -np.inf).T, formulas


def check_best(probe, metric, found, tolerance, **of_all):
    """Each score is the highest of all formulas up to its length, and that of its formula."""
    value, formulas = exhaustive(probe, metric, **of_all)
    code = {tuple(map(tuple, x)): i for i, x in enumerate(zip(*formulas, strict=True))}
    for length, score_ in enumerate(found.score, start=1):
        best = value[formulas.length <= length].max(axis=0)
        np.testing.assert_allclose(score_, best, atol=tolerance)
        for u, one in enumerate(zip(*found.formulas.take(length - 1), strict=True)):
            place = code[tuple(map(tuple, one))]
            np.testing.assert_allclose(value[place, u], score_[u], atol=tolerance)


@pytest.mark.quick("iou-True")
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("metric", ["iou", "auroc", "balanced_accuracy"])
def test_both_searches_find_the_best_of_all_formulas(metric, weights):
    probe = world(1, weights=weights)
    tolerance = 1e-6
    check_best(probe, metric, search(probe, nt.METRICS[metric], options()), tolerance)
    wide = search(probe, nt.METRICS[metric], options(optimal=False, width=WIDE))
    check_best(probe, metric, wide, tolerance)


@pytest.mark.slow
@pytest.mark.both_precisions
@pytest.mark.parametrize("operators", [EVERY, (OR,), (AND, AND_NOT), (OR, AND_NOT)])
@pytest.mark.parametrize(
    "metric",
    ["iou", "auroc", "f1", "accuracy", "precision", "recall", "balanced_accuracy",
     "simulation_balanced_accuracy"],
)  # fmt: skip
def test_the_optimal_search_is_exhaustive(metric, operators, precision):
    probe = world(len(metric) + sum(operators))
    found = search(probe, nt.METRICS[metric], options(width=1, operators=operators))
    check_best(probe, metric, found, TOLERANCE[precision], operators=operators)
    assert (found.bound - found.score[-1] <= (1e-5 if metric == "auroc" else 0)).all()


@pytest.mark.quick("correlation")
@pytest.mark.parametrize("metric", ["correlation", "mad", "spearman", "cosine"])
def test_a_beam_takes_any_metric_of_six_sums(metric):
    probe = world(2)
    found = search(probe, nt.METRICS[metric], options(optimal=False, width=WIDE))
    check_best(probe, metric, found, 1e-5)


@pytest.mark.quick("correlation")
@pytest.mark.parametrize("metric", ["correlation", "cosine"])
def test_soft_concepts_are_joined_by_their_values(metric):
    rng = np.random.default_rng(3)
    concepts = rng.random((80, 5)) ** 3
    f = np.maximum(rng.normal(size=(80, 3)) + 3 * concepts[:, [0]] * (1 - concepts[:, [1]]), 0)
    probe = nt.make_probe(f, concepts, thresholds=0.5)
    wide = options(optimal=False, width=WIDE, max_length=3, soft=True)
    found = search(probe, nt.METRICS[metric], wide)
    check_best(probe, metric, found, 1e-5, soft=True)


@pytest.mark.slow
def test_scores_are_those_of_scikit_learn():
    probe = world(4)
    f = np.asarray(probe.activations)
    outside = {
        "iou": lambda y, u: jaccard_score(y, np.asarray(probe.active)[:, u]),
        "f1": lambda y, u: f1_score(y, np.asarray(probe.active)[:, u]),
        "auroc": lambda y, u: roc_auc_score(y, f[:, u]),
    }
    for metric, theirs in outside.items():
        found = search(probe, nt.METRICS[metric], options(optimal=False))
        truth = evaluate(np.asarray(probe.present).astype(int), found.formulas.take(-1))
        expected = [theirs(truth[:, u], u) for u in range(probe.num_neurons)]
        np.testing.assert_allclose(found.score[-1], expected, atol=1e-6)


@pytest.mark.slow
def test_blocks_sparsity_and_unused_samples_change_nothing():
    probe = world(5, num_neurons=9)
    # neurons of different activity, so that blocks are not in their order
    above = np.random.default_rng(5).permutation(9) / 5
    probe = replace(probe, thresholds=probe.thresholds + above.astype(np.float32) - 0.8)
    metric = nt.METRICS["iou"]
    whole = search(probe, metric, options())
    in_blocks = search(probe, metric, options(working_bytes=2.0**14))
    check_best(probe, metric, in_blocks, 1e-6)
    f = np.where(np.asarray(probe.active), np.asarray(probe.activations), 0)
    sparse = nt.make_probe(csr_array(f), np.asarray(probe.concepts), thresholds=probe.thresholds)
    more = nt.make_probe(
        np.concatenate([f, 9 * np.ones((20, 9))]),
        np.concatenate([np.asarray(probe.concepts), np.ones((20, CONCEPTS), bool)]),
        thresholds=probe.thresholds,
        sample_weight=np.repeat([2.5, 0], [150, 20]),
    )
    for found in (in_blocks, search(sparse, metric, options()), search(more, metric, options())):
        np.testing.assert_array_equal(found.score, whole.score)
        assert found.formulas.same(whole.formulas).all()


def test_a_search_that_stops_says_how_much_better_a_formula_can_be():
    probe = world(6, num_neurons=12)
    metric = nt.METRICS["auroc"]
    best = search(probe, metric, options())
    stopped = search(probe, metric, options(max_nodes=4, width=1))
    assert (stopped.score <= best.score).all()
    assert (stopped.bound >= best.score[-1]).all()
    assert (stopped.bound > stopped.score[-1]).any()


def test_a_neuron_that_is_never_active_has_no_formula():
    probe = world(7)
    silent = replace(probe, thresholds=probe.thresholds.at[1].set(1e3))
    for optimal in (True, False):
        found = search(silent, nt.METRICS["iou"], options(optimal=optimal))
        assert np.isnan(found.score[:, 1]).all()
        assert (found.formulas.concept[:, 1] == NONE).all()
        assert np.isfinite(found.score[:, [0, 2, 3, 4]]).all()


def test_formulas_that_hold_on_the_same_samples_do_not_fill_a_beam():
    # concepts 2 to 9 never meet concept 0, so that "0 and not c" is concept 0 for each of them;
    # the best formula joins concept 1, which is a poor start
    rng = np.random.default_rng(8)
    part = rng.integers(0, 20, 600)
    concepts = np.stack(
        [part < 4, (part % 2 == 0) & (part < 8), *(part == k for k in range(12, 20))]
    )
    active = (part < 4) & ((part % 2) == 1)
    probe = nt.make_probe(active[:, None].astype(float), concepts.T, thresholds=0.5)
    found = search(probe, nt.METRICS["iou"], options(optimal=False, width=2, max_length=2))
    assert found.score[-1, 0] == 1
    assert found.formulas.take(-1, 0).concept.tolist() == [0, 1]
    assert found.formulas.take(-1, 0).operator.tolist() == [NONE, AND_NOT]


def test_kinds_are_every_way_to_join_three_concepts():
    assert len(KINDS) == 8
    assert {(x.first, x.second) for x in kinds_of((OR, AND_NOT))} == {
        (OR, OR), (OR, AND_NOT), (AND_NOT, OR), (AND_NOT, AND_NOT)
    }  # fmt: skip
    table = np.array(list(itertools.product([0, 1], repeat=3)))
    a, b, c = table.T
    monomials = (a, b, c, a * b, a * c, b * c, a * b * c)
    for kind in KINDS:
        chain = np.array([kind.order], np.int32)
        truth = evaluate(
            table, Formulas(chain, np.array([[NONE, kind.first, kind.second]], np.int8))
        )
        by_terms = sum(x * y for x, y in zip(kind.terms, monomials, strict=True))
        np.testing.assert_array_equal(by_terms, truth[:, 0])


def test_the_sum_of_a_triple_lies_in_its_range():
    rng = np.random.default_rng(9)
    for soft in (False, True):
        x = rng.random((200, 30, 3))
        a, b, c = np.moveaxis(x if soft else (x < rng.random((200, 1, 3))).astype(float), -1, 0)
        sums = [y.sum(axis=1) for y in (a, b, c, a * b, a * c, b * c)]
        low, high = triple_range(*sums)
        triple = (a * b * c).sum(axis=1)
        assert (low <= triple + 1e-4).all()
        assert (triple <= high + 1e-4).all()
        assert (np.asarray(high) > np.asarray(low) + 0.01).any()


@pytest.mark.quick("iou", "accuracy")
@pytest.mark.parametrize(
    "metric", [x for x in nt.METRICS.values() if x.rewards_overlap], ids=lambda x: x.name
)
def test_a_metric_that_rewards_overlap_grows_with_hits_and_falls_with_false_alarms(metric):
    assert can_bound(metric)
    n, active = 12, 5
    probe = nt.make_probe(np.arange(n)[:, None] * 1.0, np.eye(n), thresholds=n - active - 0.5)
    columns = columns_of(probe, soft=False, min_positives=1)
    own = OwnSums(*(np.float32(x) for x in (active, active)), True)
    hits, alarms = np.meshgrid(np.arange(active + 1.0), np.arange(n - active + 1.0), indexing="ij")
    C = (hits + alarms).astype(np.float32)
    value = np.asarray(score(metric, columns, own, FormulaSums(C, C, hits.astype(np.float32))))
    for axis, sign in ((0, 1), (1, -1)):
        change = sign * np.diff(np.where(np.isfinite(value), value, np.nan), axis=axis)
        assert (change[~np.isnan(change)] >= -1e-6).all()
    known = Measures(hits.astype(np.float32), alarms.astype(np.float32), C * 0, C * 0 + n)
    assert (np.asarray(upper_bound(metric, columns, own, known)) >= value).all()


def test_a_user_s_metric_is_searched_by_what_it_says_of_itself():
    specificity = nt.six_sum_metric(
        "specificity", "binary", "binary", lambda s: (s.S - s.F - s.C + s.FC) / (s.S - s.C),
        (0.0, 1.0), "P(inactive | absent)", rewards_overlap=True,
    )  # fmt: skip
    probe = world(10)
    check_best(probe, specificity, search(probe, specificity, options(width=1)), 1e-6)
    own = replace(specificity, rewards_overlap=False)
    with pytest.raises(ValueError, match="has no bound for metric='specificity'"):
        nt.compose(jax.random.key(0), probe, own, search="optimal")


def test_a_beam_drops_what_holds_on_the_same_samples():
    # concepts 1 and 2 are equal: only one of "0 and 1" and "0 and 2" is of use
    rng = np.random.default_rng(11)
    c = rng.random((300, 5)) < 0.4
    c[:, 2] = c[:, 1]
    f = rng.normal(size=(300, 2)) + 2 * (c[:, [0]] & c[:, [1]])
    probe = nt.make_probe(f, c, top_fraction=0.15)
    metric = nt.METRICS["iou"]
    columns = columns_of(probe, soft=False, min_positives=LEAST)
    packed = np.packbits(c.T, axis=1)
    packed = np.ascontiguousarray(np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))).view(
        np.uint64
    )
    neurons = neurons_of(probe, metric, columns)
    beam = beam_search(
        columns, neurons, metric, max_length=3, operators=EVERY, width=12, packed=packed
    )[-1]
    truth = evaluate(c.astype(int), Formulas(*(x.reshape(-1, 3) for x in beam.formulas)))
    for of_neuron in truth.reshape(300, 2, 12).transpose(1, 2, 0):
        assert len(np.unique(of_neuron, axis=0)) == 12
    code = np.concatenate(beam.formulas, axis=-1)
    assert all(len(np.unique(x, axis=0)) == 12 for x in code)


def test_a_formula_holds_on_enough_samples():
    # "0 and 1" is perfect, but holds on two samples alone
    c = np.zeros((40, 2), bool)
    c[:10, 0] = c[8:20, 1] = True
    probe = nt.make_probe((c[:, :1] & c[:, 1:]).astype(float), c, thresholds=0.5)
    for least, value in ((2, 1.0), (3, 0.2)):
        for optimal in (True, False):
            found = search(
                probe, nt.METRICS["iou"], options(optimal, max_length=2)._replace(least=least)
            )
            assert found.score[-1, 0] == pytest.approx(value)


@pytest.mark.quick("iou")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", ["iou", "f1"])
def test_bounds_of_nodes_hold_and_a_search_from_nothing_is_exhaustive(metric, seed):
    probe = world(20 + seed, num_concepts=6, num_neurons=4)
    metric = nt.METRICS[metric]
    columns = columns_of(probe, soft=False, min_positives=LEAST)
    neurons = neurons_of(probe, metric, columns)
    value, formulas = exhaustive(probe, metric)
    none = Formulas(*(np.full((4, 3), NONE, x.dtype) for x in formulas))
    single = best_of(
        beam_search(columns, neurons, metric, max_length=3, operators=EVERY, width=1, packed=None)[
            0
        ]
    )
    found = optimal_search(
        columns, neurons, metric, single=single, start=(none, np.full(4, np.nan)), max_length=3,
        operators=EVERY, max_nodes=10**6, triples=TripleSizes(columns),
    )  # fmt: skip
    np.testing.assert_array_equal(found.score[-1], value.max(axis=0))
    pairs = sum_pairs(columns, neurons, ranks=False)
    for kind in KINDS:
        bound = np.asarray(node_bounds(columns, neurons, pairs, metric=metric, kind=kind))
        own = (formulas.operator == [NONE, kind.first, kind.second]).all(axis=1)
        for chain, of_chain in zip(formulas.concept[own], value[own], strict=True):
            a, b, c = (chain[kind.order.index(i)] for i in range(3))
            for u in range(4):
                x, y = a, b
                if kind.first == kind.second != AND_NOT:
                    x, y, _ = sorted((a, b, c))
                elif kind.ordered and kind.first != kind.second and kind.first == OR:
                    x, y = a, max((b, c), key=lambda i: pairs.P[u, a, i])
                elif kind.first == kind.second == AND_NOT:
                    x, y = a, max((b, c), key=lambda i: pairs.Q[u, a, i])
                elif not kind.ordered:
                    x, y = sorted((a, b))
                assert of_chain[u] <= bound[u, x, y]
