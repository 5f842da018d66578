"""Shift: bounds and radii against optimisation over density ratios."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import neurotrust_jax as nt
from neurotrust_jax.shift.probabilities import event_radius

SHARP = ("accuracy", "precision", "recall", "iou", "f1")
OTHERS = ("balanced_accuracy", "simulation_balanced_accuracy", "auroc", "simulation_auroc")


def layer(seed=0, n=300, **options):
    """Concepts that overlap, so that rivals are near."""
    rng = np.random.default_rng(seed)
    c = rng.random((n, 5)) < [0.1, 0.2, 0.3, 0.5, 0.6]
    c[:, 1] |= c[:, 0] & (rng.random(n) < 0.5)
    f = rng.normal(size=(n, 4)) + c[:, :4] * [2.0, 1.5, 1.0, 1.0] + c[:, 1:] * 0.7
    return nt.make_probe(f, c, thresholds=[1.5, 1.0, 1.0, 0.0], **options)


def admissible(rng, n, gamma):
    """A density ratio in [1/gamma, gamma] of mean 1, most of it at the ends."""
    high = rng.random(n) < rng.random()
    low, top = 1 / gamma, gamma
    w = np.where(high, top, low)
    w = np.where(rng.random(n) < 0.1, rng.uniform(low, top, n), w)
    # move towards 1 from the side that is too heavy, within the box
    excess = w.mean() - 1
    room = (w - low) if excess > 0 else (w - top)
    return w - room * (excess / room.mean()) if excess else w


def conditional_extreme(hit, miss, gamma, sign):
    """Linear program of a ratio (Charnes and Cooper, 1962), on hits, misses and the rest."""
    mass = np.array([hit, miss, 1 - hit - miss])
    # v = w t with t > 0; hit v0 + miss v1 = 1; sum mass v = t; t / gamma <= v <= gamma t
    box = np.concatenate([np.eye(3), -np.eye(3)])
    bound = np.r_[-gamma * np.ones(3), np.ones(3) / gamma][:, None]
    found = scipy.optimize.linprog(
        np.r_[-sign * hit, 0, 0, 0], np.hstack([box, bound]), np.zeros(6),
        [[hit, miss, 0, 0], [*mass, -1]], [1, 0], bounds=[(0, None)] * 4,
    )  # fmt: skip
    return -sign * found.fun


@pytest.mark.double
@pytest.mark.parametrize("metric", SHARP)
def test_sharp_bounds_are_those_of_a_linear_program(metric):
    probe = layer()
    f, c = np.asarray(probe.neurons.present), np.asarray(probe.labels.present)
    for gamma in (1.0, 1.1, 1.5, 3.0, 20.0):
        found = nt.shift_bounds(probe, metric, gamma=gamma)
        assert found.sharp
        for u, k in itertools.product(range(4), range(5)):
            a, b = f[:, u], c[:, k]
            both = (a & b).mean()
            hit, miss = {
                "accuracy": ((a == b).mean(), (a != b).mean()),
                "precision": (both, a.mean() - both),
                "recall": (both, b.mean() - both),
            }.get(metric, (both, (a | b).mean() - both))
            ends = [conditional_extreme(hit, miss, gamma, sign) for sign in (-1, 1)]
            if metric == "f1":
                ends = [2 * x / (1 + x) for x in ends]
            np.testing.assert_allclose([found.lower[u, k], found.upper[u, k]], ends, atol=1e-7)


@pytest.mark.quick("iou", "auroc", "balanced_accuracy")
@pytest.mark.double
@pytest.mark.parametrize("metric", SHARP + OTHERS)
def test_no_admissible_shift_leaves_the_bounds(metric):
    """And some leaves those of a smaller shift, where they are said to be sharp."""
    probe, rng = layer(1), np.random.default_rng(0)
    np.testing.assert_allclose(
        nt.shift_bounds(probe, metric, gamma=1).lower, nt.similarity(probe, metric), atol=1e-12
    )
    found, smaller = (nt.shift_bounds(probe, metric, gamma=g) for g in (1.4, 1.25))
    outside = 0
    for _ in range(300):
        w = admissible(rng, probe.num_samples, 1.4)
        # in favour of what is active and present, or the reverse
        if rng.random() < 0.5:
            u, k = rng.integers(4), rng.integers(5)
            agrees = np.asarray(probe.neurons.present)[:, u] == np.asarray(probe.concepts)[:, k]
            w = np.sort(w)[np.argsort(np.argsort(agrees + 0.1 * rng.random(len(w))))]
        value = nt.similarity(dataclasses.replace(probe, sample_weight=w), metric)
        assert ((value >= found.lower - 1e-9) & (value <= found.upper + 1e-9)).all()
        outside += bool(((value < smaller.lower) | (value > smaller.upper)).any())
    if metric == "accuracy":
        assert outside > 0


def similarity_of(masses, weights, metric):
    """Label's and rival's similarity on eight cells (active, label, rival) under weights."""
    m = masses * weights
    active, label, rival = (np.array([x[i] for x in itertools.product((1, 0), repeat=3)]) == 1
                            for i in range(3))  # fmt: skip
    values = []
    for c in (label, rival):
        both, f, p = (m[x].sum() for x in (active & c, active, c))
        values.append({
            "accuracy": m[active == c].sum() / m.sum(), "precision": both / f, "recall": both / p,
            "iou": both / (f + p - both), "f1": 2 * both / (f + p),
        }[metric])  # fmt: skip
    return values


@pytest.mark.double
@pytest.mark.parametrize("metric", SHARP)
def test_radius_is_where_a_shift_overturns_the_label(metric):
    """By all corners of the box of weights on eight cells, one of them set by the mean of 1."""
    probe = layer(2)
    found = nt.robustness_radius(probe, metric)
    f, c = np.asarray(probe.neurons.present), np.asarray(probe.labels.present)
    checked = 0
    for u in range(4):
        label = int(found.label[u])
        assert label == int(nt.identify(probe, metric).concept[u, 0])

        def least_lead(gamma, u=u, label=label):
            lead = np.inf
            for rival in set(range(5)) - {label}:
                code = (~f[:, u]) * 4 + (~c[:, label]) * 2 + (~c[:, rival]) * 1
                masses = np.bincount(code, minlength=8) / len(f)
                corners = np.array(list(itertools.product((1 / gamma, gamma), repeat=8)))
                for free in range(8):
                    w = corners[corners[:, free] > 1].copy()
                    if masses[free] == 0:
                        continue
                    rest = 1 - (w * masses).sum(axis=1) + w[:, free] * masses[free]
                    w[:, free] = rest / masses[free]
                    w = w[(w[:, free] >= 1 / gamma - 1e-12) & (w[:, free] <= gamma + 1e-12)]
                    for x in w:
                        ours, theirs = similarity_of(masses, x, metric)
                        lead = min(lead, ours - theirs)
            return lead

        radius = float(found.radius[u])
        assert radius >= 1
        assert least_lead(radius * 0.995) > -1e-12
        if found.exact[u]:
            checked += 1
            assert least_lead(radius * 1.005) < 0
    assert checked >= 3


@pytest.mark.double
@pytest.mark.parametrize(
    ("p", "q"), [(0.55, 0.45), (0.6, 0.39), (0.5, 0.1), (0.02, 0.01), (0.9, 0.09), (0.9, 0.8)]
)
def test_two_disjoint_events_meet_at_the_radius(p, q):
    """Where the least of the one and the most of the other meet; each root is the largest once."""

    def apart(gamma):
        least = max(p / gamma, 1 - gamma * (1 - p))
        return least - min(gamma * q, 1 - (1 - q) / gamma)

    found = float(event_radius(jnp.asarray(p), jnp.asarray(q)))
    assert found == pytest.approx(scipy.optimize.brentq(apart, 1, 100, xtol=1e-12))


@pytest.mark.double
def test_the_odds_of_an_auroc_move_by_more_than_those_of_a_probability():
    """Few pairs are in order, and a shift makes either half of them more frequent."""
    values = np.repeat([3.0, 1.0, 2.0, 4.0], [5, 95, 5, 95])
    present = np.repeat([True, False], 100)
    probe = nt.make_probe(values[:, None], present[:, None], thresholds=2.5)
    gamma = 2.0
    w = np.where(np.isin(values, [3.0, 2.0]), gamma, (1 - gamma * 0.05) / 0.95)
    assert 1 / gamma <= w.min() <= w.max() <= gamma
    assert w.mean() == pytest.approx(1)
    moved = float(
        nt.similarity(dataclasses.replace(probe, sample_weight=jnp.asarray(w)), "auroc")[0, 0]
    )
    measured = float(nt.similarity(probe, "auroc")[0, 0])
    factor = moved / (1 - moved) / (measured / (1 - measured))
    assert gamma**2 < factor
    bounds = nt.shift_bounds(probe, "auroc", gamma=gamma)
    assert float(bounds.lower[0, 0]) < moved < float(bounds.upper[0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("metric", OTHERS[::2])
def test_a_radius_from_bounds_is_one_at_which_they_part(metric):
    probe = layer(3)
    found = nt.robustness_radius(probe, metric)
    for u in np.flatnonzero(np.isfinite(found.radius) & (np.asarray(found.radius) > 1)):
        bounds = nt.shift_bounds(probe, metric, gamma=float(found.radius[u]) * 0.999)
        others = np.delete(np.asarray(bounds.upper[u]), int(found.label[u]))
        if metric == "auroc":
            assert bounds.lower[u, found.label[u]] > np.nanmax(others)
    assert not np.asarray(found.exact).any()
    assert (np.asarray(nt.robustness_radius(probe, metric, alpha=0.05).radius)
            <= np.asarray(found.radius)).all()  # fmt: skip


def test_radius_of_ties_of_dead_neurons_and_without_rivals():
    c = np.array([[1, 1, 0]] * 30 + [[0, 0, 1]] * 70, bool)
    f = np.c_[c[:, 0], np.zeros(100)]
    found = nt.robustness_radius(nt.make_probe(f, c, thresholds=0.5))
    assert float(found.radius[0]) == 1
    assert int(found.rival[0]) == 1
    assert np.isnan(found.radius[1])
    assert int(found.label[1]) == -1
    alone = nt.robustness_radius(nt.make_probe(f, c[:, :1], thresholds=0.5))
    assert np.isinf(alone.radius[0])
    assert int(alone.rival[0]) == -1
    # a label that is the neuron itself is overtaken by no shift
    apart = nt.robustness_radius(nt.make_probe(f, c[:, [0, 2]], thresholds=0.5))
    assert np.isinf(apart.radius[0])
    with pytest.warns(
        nt.shift.ShiftWarning, match=r"1 of 2 labels have a robustness radius below 1.2"
    ):
        nt.robustness_radius(nt.make_probe(f, c, thresholds=0.5), warn_below=1.2)


def test_bounds_with_sampling_error_hold_for_the_target():
    """All shifts of one size at once, over repeated probing sets: misses are rarer than alpha."""
    rng = np.random.default_rng(4)
    masses = rng.dirichlet(np.ones(4))  # active and present, active only, present only, neither
    truth = masses[0] / masses[:3].sum()
    hit, miss = masses[0], masses[:3].sum() - masses[0]
    low, high = (conditional_extreme(hit, miss, 1.3, sign) for sign in (-1, 1))
    assert low < truth < high
    misses = 0
    for _ in range(200):
        cell = rng.choice(4, 500, p=masses)
        f, c = np.isin(cell, (0, 1)), np.isin(cell, (0, 2))
        probe = nt.make_probe(f[:, None] * 1.0, c[:, None], thresholds=0.5)
        found = nt.shift_bounds(probe, "iou", gamma=1.3, alpha=0.1)
        misses += not (found.lower[0, 0] <= low and found.upper[0, 0] >= high)
    assert misses <= 0.1 * 200 + 3 * np.sqrt(200 * 0.1 * 0.9)


@pytest.mark.double
def test_bounds_of_f1_with_sampling_error_are_those_of_iou():
    f1, iou = (nt.shift_bounds(layer(), name, gamma=1.5, alpha=0.1) for name in ("f1", "iou"))
    for ours, other in ((f1.lower, iou.lower), (f1.upper, iou.upper)):
        np.testing.assert_allclose(ours, 2 * other / (1 + other), rtol=1e-9)


def test_bad_input_is_named():
    probe = layer()
    for call, message in (
        (lambda: nt.shift_bounds(probe, gamma=0.9), "gamma must be finite and at least 1, got 0.9"),
        (lambda: nt.shift_bounds(probe, "mad", gamma=2), "'mad' has no bounds under shift; these"),
        (lambda: nt.robustness_radius(probe, "spearman"), "'spearman' has no bounds under shift"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
