"""What is compiled, and when: nothing twice.

JAX reports every compilation with the function's name. What a call compiles depends on shapes, the
metric and the scheme: not on the key, an error level, names, thresholds or, but for the lengths of
a few lists, the data. A layer of another width is compiled anew, since no shape is filled up to it.
"""

from contextlib import contextmanager

import jax
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax._engine import room, run_rows
from neurotrust_jax._numerics import packing

KEY, OTHER = jax.random.key(0), jax.random.key(1)
_heard: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def listener():
    """One for all tests, since listeners can not be taken back."""

    def hear(event, duration, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            _heard.append(about["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(hear)


@contextmanager
def compiled():
    """Names of the functions that are compiled inside."""
    names: list[str] = []
    start = len(_heard)
    yield names
    names += _heard[start:]


def layer(num_neurons=3, n=120, **options):
    rng = np.random.default_rng(0)
    c = rng.random((n, 4)) < 0.4
    f = rng.normal(size=(n, num_neurons)) + 2 * c[:, :1]
    return nt.make_probe(f, c, **({"top_fraction": 0.2} | options))


def test_a_second_audit_compiles_nothing():
    def run(probe, alpha=0.1, **options):
        nt.audit(KEY, probe, alpha=alpha, num_replicates=64, num_permutations=63, **options)

    n = 117  # of no other test, whose compilations would not be heard
    with compiled() as names:
        run(layer(n=n))
    assert {"jit(dense_replicates)", "jit(_by_product)", "jit(_calibrated)"} <= set(names)
    assert len(names) > 10
    named = layer(n=n, concept_names=["a", "b", "c", "d"])
    for again in (
        lambda: run(layer(n=n)),
        lambda: run(layer(n=n), layer="block.2"),
        lambda: run(layer(n=n), alpha=0.2),
        lambda: run(named),
    ):
        with compiled() as names:
            again()
        assert names == []


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="arrays elsewhere are checked there")
def test_a_probe_of_numpy_arrays_compiles_nothing():
    f, c = np.arange(119 * 3).reshape(119, 3) / 7, np.arange(119 * 2).reshape(119, 2) % 3 == 0
    groups, weights = np.arange(119) // 2, np.arange(119) % 4
    with compiled() as names:
        for x in (f, f.astype(np.float32), f.astype(int)):
            for y in (c, c.astype(int), c.astype(np.float32)):
                nt.make_probe(x, y, thresholds=1, groups=groups, sample_weight=weights)
    assert names == []


@pytest.mark.parametrize("strategy", ["dense", "rows", "screened"])
def test_replicates_are_compiled_once_for_all_keys_and_numbers(strategy):
    """But for what holds all of them, such as the votes, and the list of the pairs followed."""

    probe = layer(n=118)

    def run(key, number):
        nt.bootstrap(key, probe, num_replicates=number, strategy=strategy, chunk_size=64)

    def work(names):
        return {x for x in names if "replicates" in x or "draw" in x or "spread" in x}

    with compiled() as names:
        run(KEY, 64)
    assert work(names) or strategy == "screened"  # it shares what "rows" has compiled
    for key, number in ((OTHER, 64), (KEY, 192), (KEY, 100)):
        with compiled() as names:
            run(key, number)
        assert not work(names)


def test_parts_of_a_call_share_a_program(monkeypatch):
    """Parts that fit into little memory hold unequally many pairs; all are filled up to one."""
    probe = layer(num_neurons=40, n=116, top_fraction=None, thresholds=1.0)
    at_once = nt.bootstrap(KEY, probe, num_replicates=64, strategy="screened")
    parts = []
    monkeypatch.setattr(
        run_rows,
        "pack_pairs",
        lambda *x, **y: parts.append(packing.pack_pairs(*x, **y)) or parts[-1],
    )
    monkeypatch.setattr(room, "SCORES_ON_CPU", 64 * 60)
    with compiled() as names:
        boot = nt.bootstrap(KEY, probe, num_replicates=64, strategy="screened")
    np.testing.assert_array_equal(boot.replicates, at_once.replicates)
    np.testing.assert_array_equal(boot.label_similarity, at_once.label_similarity)
    assert [x for x in names if "rows" in x] == ["jit(rows_spread)", "jit(rows_replicates)"]
    assert all(len({len(part.place) for part in found}) > 1 for found in parts)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["iou", "auroc"])
def test_levels_keys_and_thresholds_compile_nothing(metric):
    probe = layer()
    boot = nt.bootstrap(KEY, probe, metric, num_replicates=99)
    calls = (
        lambda x: nt.intervals(probe, metric, method="asymptotic", alpha=x),
        lambda x: nt.certify(probe, metric, alpha=x),
        lambda x: nt.concept_sets(boot, alpha=x),
        lambda x: nt.concept_sets(boot, alpha=x, target="replication"),
        lambda x: nt.permutation_test(
            jax.random.key(int(100 * x)), probe, metric, num_permutations=99, alpha=x
        ),
        lambda x: nt.winners_curse(jax.random.key(int(100 * x)), boot, num_splits=3),
        lambda x: nt.similarity(layer(top_fraction=None, thresholds=x), metric),
        lambda x: layer(top_fraction=x),
    )
    for call in calls:
        call(0.1)
        with compiled() as names:
            call(0.2)
            call(0.4)
        assert names == []


def test_a_wider_layer_is_compiled_anew():
    nt.similarity(layer(), "iou")
    with compiled() as names:
        nt.similarity(layer(), "iou")
    assert names == []
    with compiled() as names:
        nt.similarity(layer(num_neurons=5), "iou")
    assert "jit(score_prepared)" in names
