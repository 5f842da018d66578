"""The benchmark of speed runs, and its baselines give the answers that it compares."""

import os
import time
from functools import partial

import numpy as np
import pytest
import scipy.sparse
from test_benchmarks import BENCHMARKS, run_quick, write_stand_in

WORLDS = {"strong", "weak", "noise"}
PAIR = {"iou", "auroc"}


@pytest.fixture(autouse=True)
def path_of_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def run_parts(folder, request, *parts, **environment):
    found = run_quick("speed", folder, request, "--parts", *parts, **environment)
    for part in parts:
        for x in found[part]["rows"]:
            assert {"job", "date", "metric", "method"} <= set(x)
            assert x.get("seconds", 0) > 0 or "missing" in x
    return {part: found[part]["rows"] for part in parts}, found


def key(rows, *names):
    return {tuple(x[k] for k in names) for x in rows}


@pytest.mark.slow
def test_a_bootstrap_has_the_winners_of_every_loop(tmp_path, request):
    found, about = run_parts(tmp_path, request, "compare", "ceiling", "scaling", "scale")
    assert (tmp_path / "speed.png").stat().st_size > 10_000
    assert {"device", "versions", "date", "cores", "load"} <= set(about)
    loops = [x for x in found["compare"] if "disagreements" in x]
    assert key(loops, "metric", "world") == {(m, w) for m in PAIR for w in WORLDS}
    assert {"numpy_rows", "numpy_weights"} <= {x["method"] for x in loops}
    assert all(x["disagreements"] == 0 and x["equal_winners"] > 0.99 for x in loops)
    for part in ("ceiling", "scaling", "scale"):
        assert {x["world"] for x in found[part]} == WORLDS
    assert all(x["dense_operations"] > 0 and x["dense_bytes"] > 0 for x in found["ceiling"])


@pytest.mark.slow
def test_an_audit_is_timed_beside_its_parts_and_loops(tmp_path, request):
    found, _ = run_parts(tmp_path, request, "whole", "permutations")
    from _speed.audit_parts import STEPS

    rows = found["whole"]
    expected = {"audit", *STEPS, "numpy_loops"}
    for metric in PAIR:
        for world in WORLDS:
            mine = {x["method"] for x in rows if (x["metric"], x["world"]) == (metric, world)}
            assert expected <= mine
    for x in rows:
        assert x["cores_of_others"] >= 0
        if x["method"].endswith("loops"):
            assert x["disagreements"] == x["disagreements_on_halves"] == 0
            assert min(x["equal_winners"], x["equal_on_halves"]) > 0.99
            assert x["p_value_difference"] <= x["p_value_tolerance"]
            assert x["difference"] <= x["tolerance"]
            assert x["extrapolated"]
    explained = {
        x["world"]: x["U"] - x["verdicts"]["unexplained"]
        for x in rows if (x["method"], x["metric"]) == ("audit", "iou")
    }  # fmt: skip
    assert explained["strong"] >= 20
    assert explained["strong"] > explained["weak"] > explained["noise"] == 0
    numbers = key(found["permutations"], "metric", "world", "permutations")
    assert numbers == {(m, w, 99) for m in PAIR for w in WORLDS} | {(m, "weak", 999) for m in PAIR}

    # what is measured is not measured again, unless asked for
    again, _ = run_parts(tmp_path, request, "whole", "permutations")
    assert again == found
    other = run_quick(
        "speed", tmp_path, request, "--parts", "permutations", "--metrics", "iou", "--again"
    )
    dates = {x["metric"]: x["date"] for x in other["permutations"]["rows"]}
    assert dates["auroc"] in {x["date"] for x in found["permutations"]}
    assert dates["iou"] > dates["auroc"]
    assert other["whole"]["rows"] == rows


@pytest.mark.slow
def test_real_and_sparse_layers_memory_and_the_command(tmp_path, request):
    write_stand_in(tmp_path)
    found, _ = run_parts(
        tmp_path, request, "real", "command", "features", "memory", "wide",
        NEUROTRUST_REAL=str(tmp_path),
    )  # fmt: skip
    (layer,) = found["real"]
    assert sum(layer["verdicts"].values()) == layer["U"] == 20
    first, later = found["command"]
    assert first["compilations"] == first["functions"] > 20
    assert later["compilations"] < 0.1 * first["compilations"]
    assert later["cpu_seconds"] < first["cpu_seconds"]
    (audit, loops) = found["features"]
    assert 0 < audit["density"] < 0.4
    assert loops["disagreements"] == loops["disagreements_on_halves"] == 0
    assert loops["p_value_difference"] <= loops["p_value_tolerance"]
    for x in (audit, *found["memory"], *found["wide"]):
        assert x["peak_rss_bytes"] > x["rss_increase_bytes"] >= 0
    (few,) = found["memory"]
    assert few["data_bytes"] >= 1000 * 24 * 4
    assert few["result_bytes"] > 0


@pytest.mark.slow
def test_layers_that_are_not_at_hand_are_skipped_in_a_word(tmp_path, request):
    (row,) = run_parts(tmp_path, request, "real", NEUROTRUST_REAL=str(tmp_path))[0]["real"]
    assert row["missing"] == f"magika.npz in {tmp_path}"


def similarity_of(metric, x, c):
    """Plain formulas, pair by pair, in float64: x [n, U] and c [n, C] of bool to [U, C]."""
    if metric == "iou":
        return (x.T[:, None] & c.T).sum(2) / (x.T[:, None] | c.T).sum(2)
    found = np.empty((x.shape[1], c.shape[1]))
    for j in range(c.shape[1]):
        high, low = x[c[:, j]][:, None], x[~c[:, j]][None]
        found[:, j] = ((high > low) + 0.5 * (high == low)).mean(axis=(0, 1))
    return found


class SmallLayer:
    """Activations with many ties, more neurons than a block of ranks has."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.concepts = rng.random((60, 3)) < 0.4
        f = rng.normal(size=(60, 70)).round(1) + self.concepts[:, np.arange(70) % 3]
        self.f = f.astype(np.float32)
        self.activations = scipy.sparse.csr_array(np.maximum(self.f, 0))

    def neurons(self, metric):
        return self.f if metric == "auroc" else self.f > 0


def builds(metric):
    from _speed.audit_loops import numpy_scores, scipy_scores, torch_scores
    from _speed.loops import devices

    yield numpy_scores
    if metric == "iou":
        yield scipy_scores
    for device in devices():
        yield partial(torch_scores, device=device)


@pytest.mark.parametrize("metric", sorted(PAIR))
def test_loops_agree_with_plain_formulas(metric):
    from _speed.audit_loops import Draws, audit_by_loops

    layer, rng = SmallLayer(), np.random.default_rng(1)
    x, c = layer.neurons(metric), layer.concepts
    weights = rng.multinomial(60, np.full(60, 1 / 60), 30).astype(np.float32)
    rows = np.stack([rng.permutation(60) for _ in range(40)])
    half = rng.permuted(np.tile(np.arange(60) < 30, (5, 1)), axis=1)
    draws = Draws(weights, rows, False, list(np.stack([half, ~half], axis=1)))

    data = similarity_of(metric, x, c)
    replicates = np.stack([
        similarity_of(metric, *(y.repeat(w.astype(int), axis=0) for y in (x, c))) for w in weights
    ])  # fmt: skip
    null = np.stack([similarity_of(metric, x, c[r]).max(axis=1) for r in rows])
    p_value = (1 + (null >= data.max(axis=1) - 1e-9).sum(axis=0)) / 41
    on_halves = np.stack([[similarity_of(metric, x[h], c[h]) for h in (a, ~a)] for a in half])
    for build in builds(metric):
        found = audit_by_loops(build, layer, metric, draws, np.inf)
        np.testing.assert_allclose(found["similarity"], data, atol=1e-6)
        assert len(found["replicates"].seconds) == 30
        votes, width = found["replicates"].summary
        best = replicates.max(axis=2, keepdims=True)
        tied = (replicates > best - 1e-6).sum(axis=2) > 1
        share = np.eye(3)[replicates.argmax(axis=2)].mean(axis=0)
        np.testing.assert_allclose(votes, share, atol=tied.mean(axis=0).max() + 1e-6)
        # float32 squares of similarities up to 1 err by 1e-6, where a variance is about 0.004
        np.testing.assert_allclose(width, 1.6448536 * replicates.std(axis=0), rtol=1e-3)
        np.testing.assert_allclose(found["permutations"].summary, p_value)
        for (scores, labels, crossed), expected in zip(
            found["parts"].found, on_halves, strict=True
        ):
            for here in range(2):
                np.testing.assert_allclose(scores[here], expected[here], atol=1e-6)
                own = np.take_along_axis(expected[here], labels[here][:, None], 1)[:, 0]
                np.testing.assert_allclose(own, expected[here].max(axis=1), atol=1e-6)
                other = labels[1 - here][:, None]
                across = np.take_along_axis(expected[here], other, 1)
                np.testing.assert_allclose(crossed[here], across, atol=1e-6)


def test_sparse_loops_refuse_what_they_cannot_do():
    from _speed.audit_loops import scipy_scores

    with pytest.raises(ValueError, match="not auroc"):
        scipy_scores(SmallLayer(), "auroc", False)


def test_total_seconds_of_loops():
    from _speed.audit_loops import Loop, total_seconds

    found = {"replicates": Loop([1, 2, 6], [], None), "parts": Loop([3], [], None)}
    times = total_seconds(found, {"replicates": 10, "parts": 2})
    assert times == {"seconds": 26, "best_seconds": 16}


@pytest.mark.parametrize(("world", "low", "high"), [("strong", 3, 40), ("noise", 0.9, 1.1)])
def test_features_are_sparse_and_driven(world, low, high):
    from _speed.features import Features
    from _speed.plan import Size

    layer = Features(Size(20_000, 2000, 10, 1), 50, world)
    active = layer.activations > 0
    # features drawn twice count once, so that somewhat fewer than 22 are active
    assert 18 < active.sum() / 20_000 < 22.2
    assert active.shape == (20_000, 2000)
    assert layer.concepts.shape == (20_000, 10)
    assert np.unique(layer.groups, return_counts=True)[1].tolist() == [400] * 50
    ratio = []
    for concept in range(10):
        mine = active[:, np.flatnonzero(layer.driver == concept)].sum(axis=1)
        present = layer.concepts[:, concept]
        ratio.append(mine[present].mean() / mine[~present].mean())
    assert low < np.mean(ratio) < high


def test_calls_that_others_disturb_do_not_count(monkeypatch):
    from _speed import timing
    from _speed.plan import Limits

    calls = iter([(9, 0), (3, 0.5), (1, 0.0), (2, 0.0), (4, 0.2), (1, 0.0), (5, 0.0)])
    monkeypatch.setattr(timing, "STEP", 0)

    def measured(call):
        return (*(next(calls) if call() != "wait" else (0, 0.0)), "result")

    monkeypatch.setattr(timing, "measured", measured)
    monkeypatch.setattr(timing.time, "sleep", lambda _: "wait")
    times, result = timing.timed(lambda key: key, Limits(loop=1, calls=100, wait=100))
    assert result == "result"
    assert times == {
        "seconds": 1, "best_seconds": 1, "compile_seconds": 8, "calls": 3, "cores_of_others": 0
    }  # fmt: skip


def test_without_patience_all_calls_count(monkeypatch):
    from _speed import timing
    from _speed.plan import Limits

    monkeypatch.setattr(timing, "measured", lambda call: (2.0, 1.5, call()))
    times, key = timing.timed(lambda key: key, Limits(loop=1, calls=100, wait=0))
    assert key == 0
    assert (times["seconds"], times["calls"], times["cores_of_others"]) == (2, 1, 1.5)


def test_processes_that_fail_are_told_apart():
    from _speed.processes import fresh

    assert fresh(int, "12") == 12
    with pytest.raises(ValueError, match="invalid literal"):
        fresh(int, "x")
    with pytest.raises(TimeoutError, match=r"not done after 0\.1 s"):
        fresh(time.sleep, 60, limit=0.1)
    with pytest.raises(MemoryError, match="status 3"):
        fresh(os._exit, 3)


def test_a_wrong_answer_makes_the_benchmark_fail():
    from _speed.report import failures

    row = {"metric": "iou", "world": "weak", "method": "numpy_loops", "equal_winners": 1.0,
           "disagreements": 0, "disagreements_on_halves": 0, "difference": 0.0, "tolerance": 1e-5,
           "p_value_difference": 0.01, "p_value_tolerance": 0.02}  # fmt: skip
    assert list(failures({"date": "today", "whole": {"rows": [row]}})) == []
    for wrong in ("disagreements", "disagreements_on_halves", "difference", "p_value_difference"):
        (line,) = failures({"whole": {"rows": [row | {wrong: 1}]}})
        assert line.startswith("whole, iou, weak, numpy_loops: ")
