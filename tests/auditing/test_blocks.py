"""An audit reads a layer in blocks of neurons: the numbers, the memory and what is saved."""

import os
import threading
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import scipy.sparse
from builders import same_fields

import neurotrust_jax as nt
from neurotrust_jax.auditing import block, blocks

KEY = jax.random.key(0)
OPTIONS = {"num_replicates": 60, "num_permutations": 39, "num_splits": 4}


def make_layer():
    """A layer of 23 neurons in three blocks of 8, of which the last reads one again."""
    rng = np.random.default_rng(0)
    concepts = rng.random((240, 5)) < 0.3
    effect = rng.uniform(0, 3, 23)
    activations = rng.normal(size=(240, 23)) + effect * concepts[:, np.arange(23) % 5]
    activations[:, 20] = 0  # no label
    return nt.make_probe(activations, concepts, top_fraction=0.2)


@pytest.fixture(scope="module")
def probe():
    return make_layer()


@pytest.fixture
def short_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "MOST", 9)
    monkeypatch.setattr(blocks, "LEAST", 4)


@pytest.mark.parametrize(("number", "limit"), [(1, 1e12), (512, 1e12), (513, 1e12), (5000, 1e9),
                                               (130, 1e3), (33_000, 4e9)])  # fmt: skip
def test_blocks_of_one_length_cover_every_neuron_once(number, limit):
    active = 0.3 / (1 + np.random.default_rng(0).permutation(number))
    spans = blocks.blocks_of(active, 256, 1000, limit, 2)
    assert len({len(x.neurons) for x in spans}) == 1
    assert len(spans[0].neurons) <= blocks.MOST
    covered = np.concatenate([x.neurons[x.skip :] for x in spans])
    assert sorted(covered.tolist()) == list(range(number))
    # the rows to read are shared out evenly, but for those of the most active neurons
    rows = [np.sort(active[x.neurons])[::-1][4:].sum() for x in spans]
    assert number < 513 or max(rows) < 1.1 * min(rows)


def test_blocks_are_shorter_where_memory_is_short():
    def length(limit, concepts=256, replicates=1000):
        return len(blocks.blocks_of(np.ones(51_200), concepts, replicates, limit, 1)[0].neurons)

    assert length(1e12) == blocks.MOST
    assert length(1e6) == blocks.LEAST
    assert length(2e9) < length(4e9) < length(4e9, concepts=100)
    assert length(4e9, concepts=5000) == length(4e9)  # no more than 256 are followed
    assert length(4e9, replicates=2000) < length(4e9)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["iou", "auroc", "correlation"])
def test_division_into_blocks_has_no_effect(probe, metric, request):
    whole = nt.audit(KEY, probe, metric, **OPTIONS)
    request.getfixturevalue("short_blocks")
    same_fields(nt.audit(KEY, probe, metric, **OPTIONS), whole, tolerance=2e-6)


@pytest.mark.double
def test_blocks_read_at_the_same_time_are_those_read_one_by_one(short_blocks, monkeypatch):
    """Also where the caller alone, and not the whole program, asks for double precision."""
    probe, found = make_layer(), []
    for cores in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        found.append(nt.audit(KEY, probe, **OPTIONS))
    assert found[0].similarity.dtype == jax.dtypes.canonicalize_dtype(float)
    same_fields(*found)


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_parts_read_at_the_same_time_are_those_read_one_by_one(grouped, monkeypatch):
    """A layer that is one block, with a null that its neurons share, and with one of each."""
    whole, threads, found = make_layer(), set(), []
    groups = np.arange(whole.num_samples) // 3 if grouped else None
    probe = nt.make_probe(whole.activations, whole.concepts, thresholds=0.5, groups=groups)

    def spied(*arguments, _read=block._of_halves):
        threads.add(threading.current_thread() is threading.main_thread())
        return _read(*arguments)

    monkeypatch.setattr(block, "_of_halves", spied)
    for cores in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        found.append(nt.audit(KEY, probe, **OPTIONS))
    assert threads == {True, False}
    same_fields(*found)


def test_an_error_in_the_bounds_ends_the_thread_of_the_sets(probe, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("of the bounds")

    monkeypatch.setattr(block, "bound_block", broken)
    for cores in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        with pytest.raises(ZeroDivisionError, match="of the bounds"):
            nt.audit(KEY, probe, **OPTIONS)


def test_as_many_blocks_at_a_time_as_fit_into_memory(probe, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    task = SimpleNamespace(num_replicates=1000)
    at_once = [blocks._at_once(task, probe, x * 2**30, None) for x in (0.01, 0.2, 100)]
    assert at_once[0] == 1 < at_once[1] < at_once[2] == 8


def test_blocks_of_sparse_neurons_take_what_they_store(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    rng = np.random.default_rng(0)
    f = scipy.sparse.random_array((20_000, 600), density=1e-3, rng=rng, dtype=np.float32)
    c = rng.random((20_000, 5)) < 0.1
    task = SimpleNamespace(num_replicates=1000)
    dense, sparse = (
        blocks._at_once(task, nt.make_probe(x, c, thresholds=0.0), 2**29, None)
        for x in (f.toarray(), f)
    )
    assert dense < sparse == 8


def test_progress_adds_up_over_blocks(probe, short_blocks):
    told = []
    nt.audit(KEY, probe, **OPTIONS, progress=lambda *x: told.append(x))
    for stage, total in (("resampling", 3 * 60), ("judging", 3 * 4)):
        done = [d for name, d, t in told if name == stage]
        assert done == sorted(done)
        assert done[-1] == total
        assert {t for name, _, t in told if name == stage} == {total}


def test_an_interrupted_audit_goes_on_with_the_next_block(
    probe, short_blocks, tmp_path, monkeypatch
):
    whole = nt.audit(KEY, probe, **OPTIONS)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # one block after the other
    read = []

    def spied(task, part, scores, progress, _read=blocks.read_block):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(part.neuron_names[0])
        return _read(task, part, scores, progress)

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "read_block", spied)
        with pytest.raises(KeyboardInterrupt):
            nt.audit(KEY, probe, **OPTIONS, checkpoint=tmp_path)
        read[:] = read[:1]
        # less memory is free now; the blocks stay as they were
        patch.setattr(blocks, "MOST", 5)
        again = nt.audit(KEY, probe, **OPTIONS, checkpoint=tmp_path)
    # the first two blocks came from the folder; the third reads the dead neuron again
    assert read == ["0", "20"]
    same_fields(again, whole)
    # another level is another audit
    with monkeypatch.context() as patch:
        read.clear()
        patch.setattr(blocks, "read_block", spied)
        with pytest.raises(KeyboardInterrupt):
            nt.audit(KEY, probe, **OPTIONS, alpha=0.2, checkpoint=tmp_path)


def test_a_metric_of_the_same_name_is_another_audit(probe, short_blocks, tmp_path):
    nt.audit(KEY, probe, "iou", **OPTIONS, checkpoint=tmp_path)
    half = nt.six_sum_metric(
        "iou", "binary", "binary", lambda s: s.FC / (2 * s.F), (0.0, 0.5), "half of the precision"
    )
    found = nt.audit(KEY, probe, half, **OPTIONS, checkpoint=tmp_path)
    np.testing.assert_array_equal(
        found.similarity, np.asarray(nt.identify(probe, half).similarity)[:, 0]
    )


def test_a_damaged_block_is_read_again(probe, short_blocks, tmp_path, caplog):
    whole = nt.audit(KEY, probe, **OPTIONS, checkpoint=tmp_path)
    (damaged,) = tmp_path.glob("*/block-1-*.npz")
    damaged.write_bytes(damaged.read_bytes()[:100])
    same_fields(nt.audit(KEY, probe, **OPTIONS, checkpoint=tmp_path), whole)
    assert "can not be used" in caplog.text
