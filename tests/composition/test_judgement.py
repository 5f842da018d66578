"""What is said of a formula on other data is valid, and says something."""

import jax
import numpy as np
import pytest
import scipy.stats

import neurotrust_jax as nt
from neurotrust_jax.composition.conditional import by_counts, by_units, upper_tail
from neurotrust_jax.composition.formulas import Formulas, evaluate
from neurotrust_jax.composition.judgement import (
    Known,
    certified_lower,
    compare_with_single,
    overlap,
)
from neurotrust_jax.faithfulness.jackknife import standard_error_of_lead


def columns(seed=0, n=60, num_neurons=6):
    rng = np.random.default_rng(seed)
    concept = rng.random((n, num_neurons)) < 0.4
    formula = concept & (rng.random((n, num_neurons)) < 0.7) | (rng.random((n, num_neurons)) < 0.1)
    active = formula & (rng.random((n, num_neurons)) < 0.5) | (rng.random((n, num_neurons)) < 0.2)
    return active, formula, concept


def test_exact_p_values_are_those_of_permutations_within_strata():
    active, formula, concept = columns()
    found = by_counts(active, formula, concept)
    rng = np.random.default_rng(1)
    number = 4000
    for u in range(active.shape[1]):
        seen = (active[:, u] & formula[:, u]).sum()
        reached = 0
        for _ in range(number):
            permuted = active[:, u].copy()
            for stratum in (concept[:, u], ~concept[:, u]):
                permuted[stratum] = rng.permutation(permuted[stratum])
            reached += (permuted & formula[:, u]).sum() >= seen
        error = 4 * np.sqrt(max(found[u] * (1 - found[u]), 1e-4) / number)
        assert abs(reached / number - found[u]) < error


def test_exact_p_values_with_one_stratum_are_fisher_s():
    active, formula, _ = columns(2)
    everywhere = np.ones_like(active)
    for concept in (everywhere, ~everywhere):
        found = by_counts(active, formula, concept)
        for u in range(active.shape[1]):
            table = [[(f & a).sum() for a in (active[:, u], ~active[:, u])]
                     for f in (formula[:, u], ~formula[:, u])]  # fmt: skip
            theirs = scipy.stats.fisher_exact(table, alternative="greater").pvalue
            np.testing.assert_allclose(found[u], theirs, rtol=1e-8)


@pytest.mark.parametrize("grouped", [False, True])
def test_asymptotic_p_values_equal_a_loop(grouped):
    rng = np.random.default_rng(3)
    active, formula, concept = columns(3)
    values, weights = rng.normal(size=active.shape) + active, rng.integers(0, 3, len(active))
    groups = np.arange(len(active)) // 4 if grouped else None
    found = by_units(values, formula, concept, weights, groups)
    for u in range(active.shape[1]):
        w = weights.astype(float)
        design = np.stack([np.ones(len(w)), concept[:, u]], axis=1)
        product = w.copy()
        for x in (values[:, u], formula[:, u].astype(float)):
            fit = np.linalg.lstsq(np.sqrt(w)[:, None] * design, np.sqrt(w) * x, rcond=None)[0]
            product = product * (x - design @ fit)
        unit = np.arange(len(w)) if groups is None else groups
        z = np.bincount(unit, product)
        used = (np.bincount(unit, w) > 0).sum()
        freedom = 2 / ((z**4).sum() / (z**2).sum() ** 2 - 1 / used)
        freedom = min(freedom, used - 1)
        theirs = scipy.stats.t.sf(z.sum() / np.sqrt((z**2).sum()), freedom)
        np.testing.assert_allclose(found[u], theirs, rtol=1e-6)
    np.testing.assert_allclose(upper_tail(1.5, 7.0), scipy.stats.t.sf(1.5, 7))


@pytest.mark.quick("iou-True")
@pytest.mark.parametrize("metric", ["iou", "auroc"])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_error_of_a_lead_equals_a_loop_over_units(metric, grouped):
    rng = np.random.default_rng(4)
    active, formula, concept = columns(4, num_neurons=3)
    f = rng.normal(size=active.shape) + active
    groups = np.arange(len(f)) // 3 if grouped else None
    weights = rng.integers(1, 4, len(f))
    probe = nt.make_probe(
        f, np.hstack([formula, concept]), thresholds=0.5, groups=groups, sample_weight=weights
    )
    first, second = np.arange(3), 3 + np.arange(3)
    lead, error, units = standard_error_of_lead(probe, nt.METRICS[metric], first, second)
    value = np.asarray(nt.similarity(probe, metric))
    np.testing.assert_allclose(lead, value[first, first] - value[first, second], atol=1e-6)
    unit = np.arange(len(f)) if groups is None else groups
    step = 1e-3
    influence = []
    for g in range(unit.max() + 1):
        moved = nt.make_probe(
            f, np.hstack([formula, concept]), thresholds=0.5, groups=groups,
            sample_weight=weights * (1 + step * (unit == g)),
        )  # fmt: skip
        s = np.asarray(nt.similarity(moved, metric), float)
        influence.append((s[first, first] - s[first, second] - lead) / step)
    influence = np.array(influence)
    number = len(influence)
    spread = np.sqrt(number / (number - 1) * (influence**2).sum(axis=0))
    np.testing.assert_allclose(error, spread, rtol=0.03)
    excess = (influence**4).sum(axis=0) / (influence**2).sum(axis=0) ** 2 - 1 / number
    np.testing.assert_allclose(units, np.minimum(2 / excess, number - 1) + 1, rtol=0.1)


def planted(seed, n, num_neurons, num_concepts, kind, groups=None):
    """Neurons of noise, of a single concept, or of "a and not b"."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.05, 0.3, num_concepts)
    shared = rng.normal(size=(n, num_concepts))
    own = rng.normal(size=(n, num_neurons))
    if groups is not None:
        shared = (shared + rng.normal(size=(groups.max() + 1, num_concepts))[groups]) / np.sqrt(2)
        own = (own + rng.normal(size=(groups.max() + 1, num_neurons))[groups]) / np.sqrt(2)
    concepts = scipy.stats.norm.cdf(shared) < rate
    a, b = rng.integers(0, num_concepts, (2, num_neurons))
    means = {"noise": 0, "single": concepts[:, a], "formula": concepts[:, a] & ~concepts[:, b]}[
        kind
    ]
    return nt.make_probe(own + 1.8 * means, concepts, top_fraction=0.08, groups=groups)


def binomial_bound(level, number):
    """Largest share of so many events of probability ``level``, but for 1 in 10,000."""
    return scipy.stats.binom.isf(1e-4, number, level) / number


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("metric", ["iou", "auroc"])
@pytest.mark.parametrize("kind", ["noise", "single"])
def test_formulas_that_say_nothing_more_are_seldom_called_better(kind, metric, grouped):
    groups = np.arange(1500) // 3 if grouped else None
    alpha, called, seemed, p_values = 0.1, [], [], []
    for seed in range(12):
        probe = planted(seed, 1500, 40, 12, kind, groups)
        found = nt.compose(
            jax.random.key(seed), probe, metric, search="beam", beam_width=5, alpha=alpha
        )
        called.append(found.better.any())
        seemed.append(found.search_gain > 0)
        p_values.append(found.p_value)
    # every rejection is false here: the rate of false discoveries is the chance of any
    assert np.mean(called) <= binomial_bound(alpha, len(called))
    # p-values of one layer share its concepts, hence the wider bound: 12 layers count
    assert np.mean(np.concatenate(p_values) <= alpha) <= binomial_bound(alpha, 12 * 10)
    # the negative control: without other data a formula of noise always seems to gain
    assert np.mean(seemed) > (0.99 if kind == "noise" else 0.6)


@pytest.mark.slow
def test_size_alone_makes_an_iou_higher_and_is_not_called_better():
    # the IoU of a neuron of noise grows with the size of the formula, truly and on other data too
    # so the first hypothesis alone would be rejected far too often
    rejected_by_lead, called = [], []
    for seed in range(6):
        probe = planted(100 + seed, 6000, 40, 12, "noise")
        found = nt.compose(jax.random.key(seed), probe, "iou", search="beam", beam_width=5)
        with np.errstate(invalid="ignore", divide="ignore"):
            z = found.gain / found.gain_error
        rejected_by_lead.append(z > scipy.stats.norm.isf(0.1))
        called.append(found.better)
    assert np.mean(rejected_by_lead) > 0.3
    assert np.mean(np.any(called, axis=1)) <= binomial_bound(0.1, 6)


@pytest.mark.slow
def test_formulas_that_say_more_are_found_and_called_better():
    probe = planted(0, 6000, 60, 12, "formula")
    found = nt.compose(jax.random.key(0), probe, "iou", max_length=2)
    assert found.better.mean() > 0.7
    assert (found.gain[found.better] > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_of_formulas_cover(grouped):
    # the population is a large sample; the neuron's truth there, of the formula that was found
    groups = np.arange(1200) // 3 if grouped else None
    alpha, inside, naive = 0.1, [], []
    for seed in range(8):
        size = 60_000
        every = np.arange(size) // 3 if grouped else None
        whole = planted(200 + seed, size, 40, 10, "formula", every)
        rows = np.arange(1200)
        part = nt.make_probe(
            np.asarray(whole.activations)[rows], np.asarray(whole.concepts)[rows],
            thresholds=whole.thresholds, groups=groups,
        )  # fmt: skip
        part = nt.probing.Probe(**{**vars(part), "thresholds_fixed": True})
        found = nt.compose(
            jax.random.key(seed), part, "iou", alpha=alpha, search="beam", largest_unit=3
        )
        truth = evaluate(np.asarray(whole.concepts).astype(np.int8), found.formula) > 0
        active = np.asarray(whole.active)
        true = (active & truth).sum(axis=0) / (active | truth).sum(axis=0)
        inside.append((found.lower <= true) & (true <= found.upper))
        half = (found.upper - found.lower) / 2
        naive.append(np.abs(found.search_similarity[-1] - true) <= half)
        assert (found.certified_lower <= true).all()
    assert np.mean(inside) >= 1 - alpha - 0.03
    if not grouped:  # the negative control: on the half that chose them, formulas look too good
        assert np.mean(naive) < 1 - alpha - 0.03


def test_the_certificate_holds_for_all_formulas_at_once():
    probe = planted(5, 800, 4, 6, "formula")
    fixed = nt.split_thresholds(jax.random.key(1), probe)
    formulas = Formulas(np.array([[0, 1]] * 4, np.int32), np.array([[-1, 1]] * 4, np.int8))
    truth = np.asarray(fixed.present)[:, 0] | np.asarray(fixed.present)[:, 1]
    active = np.asarray(fixed.active)
    both, either = (
        (f(active, truth[:, None])).sum(axis=0) for f in (np.logical_and, np.logical_or)
    )
    found = certified_lower(
        fixed, nt.METRICS["iou"], formulas, alpha=0.1, num_formulas=1000, soft=False, known=Known()
    )
    theirs = scipy.stats.beta.ppf(0.1 / 1000, both, either - both + 1)
    np.testing.assert_allclose(found, theirs, atol=2e-5)


def test_overlap_is_the_jaccard_index_of_what_two_formulas_select():
    probe = planted(6, 200, 2, 4, "noise")
    a = Formulas(np.array([[0, 1], [2, -1]], np.int32), np.array([[-1, 1], [-1, -1]], np.int8))
    b = Formulas(np.array([[0, -1], [-1, -1]], np.int32), np.array([[-1, -1], [-1, -1]], np.int8))
    c = np.asarray(probe.present)
    expected = c[:, 0].sum() / (c[:, 0] | c[:, 1]).sum()
    np.testing.assert_allclose(overlap(probe, a, b, soft=False), [expected, np.nan], rtol=1e-6)


def test_a_single_concept_is_not_better_than_itself():
    probe = planted(7, 400, 3, 5, "single")
    formulas = Formulas(
        np.array([[[0, -1], [1, -1], [-1, -1]], [[0, -1], [1, 2], [-1, -1]]], np.int32),
        np.array([[[-1, -1], [-1, -1], [-1, -1]], [[-1, -1], [-1, 1], [-1, -1]]], np.int8),
    )
    found = compare_with_single(
        probe, nt.METRICS["iou"], formulas, alpha=0.1, soft=False, known=Known()
    )
    assert found.p_value[0] == 1
    assert found.gain[0] == found.gain_error[0] == 0
    assert 0 < found.p_value[1] <= 1
    assert np.isnan([x[2] for x in (found.p_value, found.gain, found.lower, found.q_value)]).all()
    assert found.q_value[1] == pytest.approx(min(2 * found.p_value[1], 1))


def test_the_p_value_is_the_larger_of_two():
    # of noise: the union of many concepts has the higher IoU for its size alone
    rng = np.random.default_rng(9)
    c = rng.random((4000, 3)) < [0.03, 0.3, 0.3]
    active = rng.random((4000, 1)) < 0.3
    probe = nt.make_probe(active.astype(float), c, thresholds=0.5)
    formulas = Formulas(
        np.array([[[0, -1, -1]], [[0, 1, 2]]], np.int32),
        np.array([[[-1, -1, -1]], [[-1, 1, 1]]], np.int8),
    )
    found = compare_with_single(
        probe, nt.METRICS["iou"], formulas, alpha=0.1, soft=False, known=Known()
    )
    assert found.gain[0] / found.gain_error[0] > 10
    exact = by_counts(active, (c[:, :1] | c[:, 1:2] | c[:, 2:]), c[:, :1])
    np.testing.assert_allclose(found.p_value, exact, rtol=1e-5)
    assert found.p_value[0] > 0.01
