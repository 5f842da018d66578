"""The benchmarks run, and what they claim holds."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run_quick(name, folder, request, *arguments, **environment):
    # exits with 1 where something misses too often or a negative control does not
    run = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", "--quick", "--out", folder, *arguments],
        capture_output=True,
        text=True,
        env=os.environ
        | {"NEUROTRUST_CACHE": str(request.config.cache.mkdir("neurotrust"))}
        | environment,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads((folder / f"{name}.json").read_text())


def test_concept_sets_cover_and_the_vote_rule_does_not(tmp_path, request):
    found = run_quick("coverage", tmp_path, request)
    assert {x["structure"] for x in found["hostile"]} >= {"independent"}
    assert {x["case"] for x in found["compare"]} >= {"given, given", "chosen, given"}
    covers = {x["kind"]: x["covers"] for x in found["conformal"]}
    assert covers == {"conformal": True, "vote": False}
    rows = found["planted"]
    for figure in ("coverage", "coverage_size"):
        assert (tmp_path / f"{figure}.png").stat().st_size > 10_000
    for law in {(x["gap"], x["structure"], x["num_concepts"]) for x in rows}:
        mine = [x for x in rows if (x["gap"], x["structure"], x["num_concepts"]) == law]
        size = {x["kind"]: x["size"] for x in mine}
        assert size["calibrated"] <= size["certified"]
        assert size["calibrated"] <= size["calibrated, replication"]


def test_real_labels_are_worth_what_is_said_of_them(tmp_path, request):
    found = run_quick("glyphs", tmp_path, request)
    for figure in ("verdicts", "coverage", "power"):
        assert (tmp_path / f"glyphs_{figure}.png").stat().st_size > 10_000
    judged = [x for x in found["verdicts"] if x["verdict"] in ("certified", "stable")]
    total = sum(x["neurons"] for x in judged)
    assert total > 0
    assert sum(x["label_is_best"] for x in judged) > 0.9 * total
    for x in found["measures"]:
        assert x["rank_correlation"] > 0.5


def test_faithfulness_covers_and_its_controls_fail(tmp_path, request):
    found = run_quick("faithfulness", tmp_path, request)
    for part in ("gap", "coverage", "width", "planning"):
        assert (tmp_path / f"faithfulness_{part}.png").stat().st_size > 10_000
    slopes = [row["slope"] for row in found["gap"]["slopes"]]
    assert slopes
    assert all(abs(slope + 0.5) < 0.1 for slope in slopes)
    for row in found["width"]["rows"]:
        # no valid interval is much narrower than the law of what was measured
        assert math.isfinite(row["over_oracle"])
        assert row["method"] == "asymptotic" or row["over_oracle"] > 0.9
    assert {row["must_fail"] for row in found["controls"]["rows"]} == {True, False}


def test_size_of_the_probing_set(tmp_path, request):
    found = run_quick("probing_size", tmp_path, request)
    assert (tmp_path / "probing_size.png").stat().st_size > 10_000
    for x in found["forecast"]:
        assert x["same_now"] < x["same_forecast"] <= 1
        assert abs(x["same_forecast"] - x["same_happened"]) < 0.25
    # twenty draws of two sizes tell the exponent to about 0.1
    assert found["slopes"]
    assert all(abs(x["exponent"] + 0.5) < 0.2 for x in found["slopes"])
    small, large = (x for x in found["size"] if x["bin"] == "all")
    assert large["label_is_best"] > small["label_is_best"]
    assert large["regret"] < small["regret"]


def test_shifts(tmp_path, request):
    found = run_quick("shift", tmp_path, request)
    assert (tmp_path / "shift.png").stat().st_size > 10_000
    # the control: sets that know of no shift miss the best of another distribution more often
    turned = {x["method"]: x["coverage"] for x in found["coverage"] if "turned" in x["pair"]}
    assert turned["no correction"] < turned["bounds, 2.0"]
    (whole,) = (x for x in found["radius"] if x.get("overturned") is not None)
    assert whole["overturned"] == 0 < whole["broken"]


def test_agreement_tells_labels_that_last(tmp_path, request):
    rows = run_quick("stability_measures", tmp_path, request)["rows"]
    assert (tmp_path / "stability_measures.png").stat().st_size > 10_000
    worth = {x["measure"]: x["auroc_fresh"] for x in rows}
    assert worth["top1_agreement"] > 0.75
    assert worth["positives"] < 0.65  # says nothing of the neuron


def test_the_table_of_real_layers_is_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from _real_layers.tables import markdown

    found = json.loads((BENCHMARKS / "results" / "real_layers.json").read_text())
    assert markdown(found) in (BENCHMARKS / "README.md").read_text(encoding="utf-8")


def test_results_are_written_one_row_a_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from _common import results

    path = tmp_path / "new" / "some.json"
    assert results.read(path) == {}
    rows = [{"task": "a", "x": 1 / 3, "some": (1, 2)}, {"task": "b", "x": np.float32(0.5)}]
    results.write(path, {"sizes": {"n": (10, 20)}, "rows": rows})
    assert results.read(path)["rows"][0] == {"task": "a", "x": 1 / 3, "some": [1, 2]}
    assert '  {"task": "b", "x": 0.5}\n' in path.read_text()
    assert results.other_tasks(path, "rows", ("a",)) == [{"task": "b", "x": 0.5}]
    values = {"x": [math.nan, math.inf, 1 / 3], "y": np.bool_(True), "n": 123_456_789}
    assert results.finite(values) == {"x": [None, None, 1 / 3], "y": True, "n": 123_456_789}
    assert results.rounded(values)["x"] == [None, None, 0.33333]


def test_best_concepts_and_the_share_that_sets_hold(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from _common.truth import best_concepts, share_held

    best = best_concepts([[0.3, 0.3, 0.1], [math.nan, 0.2, 0.1], [math.nan] * 3])
    np.testing.assert_array_equal(best, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    mask = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1]], bool)
    np.testing.assert_array_equal(share_held(mask, best), [0.5, 1, math.nan])


def test_sanity_differs_from_the_published_values_for_rank_metrics_only(tmp_path, request):
    rows = run_quick("sanity", tmp_path, request)["rows"]
    assert {x["metric"] for x in rows if x["differs"]} == {"simulation_auroc", "spearman"}


def write_stand_in(folder):
    # a stand-in for the file of real activations, which need not be at hand: 400 groups of 1 to 3
    # samples, two neurons for each concept, one clear and one faint
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), rng.integers(1, 4, 400))
    concepts = (rng.random((400, 10)) < 0.15)[groups]
    strength = np.repeat([4.0, 1.5], 10)
    conv = rng.normal(size=(len(groups), 20)) + strength * np.tile(concepts, 2)
    np.savez(
        folder / "magika.npz", conv=conv.astype(np.float16), concepts=concepts, groups=groups,
        names=np.array([f"concept {c}" for c in range(10)]),
    )  # fmt: skip


def test_real_layers(tmp_path, request):
    write_stand_in(tmp_path)
    found = run_quick("real_layers", tmp_path, request, NEUROTRUST_REAL=str(tmp_path))
    for figure in ("coverage", "sizes", "reliability"):
        assert (tmp_path / f"real_layers_{figure}.png").stat().st_size > 10_000
    layers = {"magika conv", "digits-mlp"}
    for part in ("sets", "probability", "verdicts"):
        assert {x["layer"] for x in found[part]} == layers
    for layer in layers:
        size = {
            x["kind"]: x["size"] for x in found["sets"]
            if x["layer"] == layer and x["data"] == "probing sets"
        }  # fmt: skip
        assert size["conformal"] < size["calibrated, replication"]
    assert {x["measure"] for x in found["probability"]} == {"probability", "agreement"}
    assert sum(x["neurons"] for x in found["verdicts"] if x["data"] == "all") == 20
