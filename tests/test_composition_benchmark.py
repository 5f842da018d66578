"""The benchmark of formulas: its loops search as the library does, its worlds are as it says."""

import json

import numpy as np
import pytest
from test_benchmarks import BENCHMARKS, run_quick, write_stand_in

import neurotrust_jax as nt
from neurotrust_jax.composition.formulas import Formulas
from neurotrust_jax.composition.search import SearchOptions, search

PARTS = ("planted", "shuffled", "real", "coverage", "speed")
SMALL = {"population": 6000, "concepts": 64, "of_kind": 1}


@pytest.fixture(autouse=True)
def path_of_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture(scope="module")
def small():
    """A probe of 12 neurons and 10 concepts of which some lie within others."""
    rng = np.random.default_rng(0)
    concepts = rng.random((300, 10)) < 0.25
    concepts[:, 3] &= concepts[:, 2]
    concepts[:, 5] |= concepts[:, 4]
    concepts[:, 7] = concepts[:, 6]
    meant = (concepts[:, :6] | concepts[:, 4:]) & ~concepts[:, 1:7]
    active = np.concatenate([meant, concepts[:, :6]], axis=1) ^ (rng.random((300, 12)) < 0.1)
    return nt.make_probe(
        active.astype(np.float32), concepts, thresholds=np.full(12, 0.5, np.float32)
    )


@pytest.mark.quick("10")
@pytest.mark.parametrize("width", [3, 10])
def test_both_loops_find_what_the_beam_search_finds(small, width):
    from _composition.loops import Products, published

    options = SearchOptions(3, (0, 1, 2), False, width, 1000, False, 5)
    expected = search(small, nt.METRICS["iou"], options).score[-1]
    active, concepts = (np.asarray(x).astype(bool) for x in (small.neurons.present, small.present))
    rows = np.ascontiguousarray(concepts.T)
    products = Products(rows, width=width, least=5)
    for u in range(small.num_neurons):
        mine = np.ascontiguousarray(active[:, u])
        np.testing.assert_allclose(published(mine, rows, width=width, least=5), expected[u], 1e-6)
        np.testing.assert_allclose(products(mine), expected[u], 1e-6)


def test_every_concept_of_a_planted_formula_matters():
    from _composition.worlds import KINDS, NOISES, Planted, holds

    world = Planted(SMALL)
    assert len(world.noise) == len(NOISES) * (len(KINDS) + 2)
    truth = holds(world.concepts, world.meaning)
    assert truth[:5000].mean(axis=0).min() >= 0.02
    rate = world.concepts.mean(axis=0)
    assert 0.004 < rate.min() < rate.max() < 0.23
    # neurons fire as often as said: four standard errors of the rarest formula's samples
    for u, noise in enumerate(world.noise):
        hit, false = NOISES[noise]
        for here, expected in ((truth[:, u], hit), (~truth[:, u], false)):
            error = (expected * (1 - expected) / here.sum()) ** 0.5
            assert abs(world.active[here, u].mean() - expected) < 4.5 * error


def test_truth_values_of_formulas_are_those_of_the_operators():
    from _composition.worlds import holds

    concepts = np.random.default_rng(0).random((50, 4)) < 0.5
    a, b, c, _ = concepts.T
    formulas = Formulas(
        np.array([[0, 1, 2], [0, 1, 2], [1, -1, -1], [-1, -1, -1]], np.int32),
        np.array([[-1, 1, 2], [-1, 0, 1], [-1, -1, -1], [-1, -1, -1]], np.int8),
    )
    expected = np.stack([(a | b) & ~c, (a & b) | c, b, a], axis=1)
    np.testing.assert_array_equal(holds(concepts, formulas), expected)


def test_the_naive_gain_is_that_of_the_search_half_with_the_error_of_the_jackknife():
    from _composition.shuffled import naive_gain
    from _composition.worlds import Half

    rng = np.random.default_rng(0)
    active, formula, single = rng.random((3, 400, 2)) < 0.4
    groups = np.repeat(np.arange(200), 2)
    gain, error = naive_gain(Half(active, single, groups), formula, single)

    def difference(rows):
        return [
            (active[rows] & x[rows]).sum(axis=0) / (active[rows] | x[rows]).sum(axis=0)
            for x in (formula, single)
        ]

    whole = np.subtract(*difference(np.full(400, True)))
    left_out = np.stack([np.subtract(*difference(groups != g)) for g in range(200)])
    jackknife = np.sqrt(((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0) * 199 / 200)
    np.testing.assert_allclose(gain, whole, rtol=1e-12)
    np.testing.assert_allclose(error, jackknife, rtol=0.02)  # they differ by terms in 1 / units


def test_shuffles_trade_whole_units_of_one_size():
    from _composition.worlds import shuffler

    groups = np.repeat(np.arange(60), np.arange(60) % 3 + 1)
    concepts = np.arange(len(groups))[:, None] < len(groups) // 2
    probe = nt.make_probe(
        np.random.default_rng(0).normal(size=(len(groups), 2)), concepts, groups=groups
    )
    shuffled = np.asarray(shuffler(probe)(3).present)
    assert not (shuffled == concepts).all()
    size = np.bincount(groups)[groups]
    for k in (1, 2, 3):
        assert shuffled[size == k].sum() == concepts[size == k].sum()


def test_the_interval_of_the_control_is_that_of_the_library():
    from _composition.planted import clopper_pearson

    active = np.arange(100)[:, None] < 40
    concepts = (np.arange(100) >= 20)[:, None] & (np.arange(100) < 60)[:, None]
    probe = nt.make_probe(active.astype(np.float32), concepts, thresholds=np.float32(0.5))
    expected = nt.intervals(probe, "iou", alpha=0.1, method="exact")
    lower, upper = clopper_pearson(np.array([20]), np.array([60]), 0.1)
    np.testing.assert_allclose(lower, np.asarray(expected.lower)[0], rtol=1e-5)
    np.testing.assert_allclose(upper, np.asarray(expected.upper)[0], rtol=1e-5)


@pytest.mark.parametrize("title", ["planted", "shuffled", "real", "searches", "coverage", "speed"])
def test_the_tables_of_formulas_are_what_was_measured(title):
    from _composition.report import markdown

    found = json.loads((BENCHMARKS / "results" / "composition.json").read_text())
    assert markdown(found, title) in (BENCHMARKS / "README.md").read_text(encoding="utf-8")


def test_missed_claims_and_targets_are_named():
    from _composition.report import failures, missed_targets

    shuffled = {
        "better": 0.5, "better_error": 0.01, "any": 0.05, "any_error": 0.01, "naive": 0.9,
        "shuffles": 40,
    }  # fmt: skip
    shared = {"n": 1000, "standard_error": 0.01}
    halves = {"other half": 0.93, "search half": 0.92}
    covered = [{"interval": k, "coverage": x} | shared for k, x in halves.items()]
    found = {"shuffled": [shuffled], "coverage": covered, "speed": [{"equal": 0.5}]}
    assert len(list(failures(found))) == 3
    found["shuffled"][0] |= {"better": 0.01, "naive": 0.05}
    assert len(list(failures(found))) == 3  # now the control does not fail
    seconds = {"published": 900, "search, beam": 3, "compose, beam": 10, "compose, optimal": 60}
    rows = [
        {"world": "weak", "n": 10_000, "U": 512, "C": 256, "method": k, "seconds": x}
        for k, x in seconds.items()
    ]
    missed = list(missed_targets({"speed": rows}))
    assert [x.split(":")[0] for x in missed] == ["compose, optimal, weak", "compose, beam, weak"]


@pytest.mark.slow
def test_formulas_are_worth_what_is_said_of_them(tmp_path, request):
    write_stand_in(tmp_path)
    found = run_quick("composition", tmp_path, request, NEUROTRUST_REAL=str(tmp_path))
    assert all(found[part] for part in PARTS)
    assert {x["layer"] for x in found["shuffled"]} == {"planted, 500", "magika conv"}
    for x in found["real"]:
        assert x["proved_whole"] == 1
        assert x["optimism_3"] > 0
    assert min(x["equal"] for x in found["speed"] if "equal" in x) == 1
