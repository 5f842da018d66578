"""Results of arrays that all blocks of a layer share."""

import threading
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax._runtime.kept import _KEPT, kept, kept_for


def counted():
    """A function of two arrays, and the calls that it got."""
    calls = []

    @kept
    def total(a, b, *, times=1):
        calls.append(times)
        return times * (a.sum() + (0 if b is None else b.sum()))

    return total, calls


def test_a_result_of_named_arrays_is_computed_once():
    total, calls = counted()
    a, b = jnp.arange(3.0), jnp.ones(2)
    with kept_for((a, None, {"b": b})):
        assert float(total(a, b)) == float(total(a, b)) == 5
        assert calls == [1]
        assert float(total(a, b, times=2)) == 10
        assert float(total(a, None)) == 3
        assert float(total(b, a)) == 5
        assert calls == [1, 2, 1, 1]


def test_equal_arrays_are_not_the_same():
    total, calls = counted()
    a = jnp.arange(3.0)
    with kept_for(a):
        total(jnp.arange(3.0), None)
        total(a + 0, None)
        total(a, jnp.ones(2))
        assert calls == [1, 1, 1]
    total(a, None)
    total(a, None)
    assert len(calls) == 5


def test_where_an_array_stands_tells_calls_apart():
    @kept
    def missing(a, b):
        return "a" if a is None else "b"

    x = jnp.arange(3.0)
    with kept_for(x):
        assert missing(None, x) == "a"
        assert missing(x, None) == "b"


def test_what_only_a_block_names_is_dropped_with_it():
    total, calls = counted()
    layer, block = jnp.arange(3.0), jnp.ones(2)
    with kept_for(layer):
        total(layer, None)
        for number in (1, 2):
            with kept_for((block, layer)):
                total(layer, block)
                total(layer, block)
            assert len(calls) == 1 + number
        total(layer, None)
        assert len(calls) == 3
    assert not _KEPT.arrays
    assert not _KEPT.results


def test_arrays_that_two_blocks_name_stay_until_the_last_is_read():
    total, calls = counted()
    a = jnp.arange(3.0)
    with kept_for(a):
        with kept_for(a):
            total(a, None)
        total(a, None)
    assert calls == [1]


def test_another_thread_waits_for_the_first():
    begun, go_on = threading.Event(), threading.Event()
    calls, found = [], []

    @kept
    def slow(a):
        calls.append(a)
        begun.set()
        assert go_on.wait(10)
        return a.sum()

    a = jnp.arange(3.0)
    with kept_for(a):
        threads = [threading.Thread(target=lambda: found.append(slow(a))) for _ in range(2)]
        threads[0].start()
        assert begun.wait(10)
        threads[1].start()
        go_on.set()
        for x in threads:
            x.join(10)
    assert len(calls) == 1
    assert found == [3, 3]


def test_an_error_reaches_everyone_who_asks():
    @kept
    def fails(a):
        raise ValueError("too few")

    a = jnp.arange(3.0)
    with kept_for(a):
        for _ in range(2):
            with pytest.raises(ValueError, match="too few"):
                fails(a)


def test_another_precision_is_another_result():
    total, calls = counted()
    a = jnp.arange(3.0)
    with kept_for(a):
        total(a, None)
        with jax.enable_x64(True):
            total(a, None)
        with jax.default_device(jax.devices()[0]):
            total(a, None)
    assert len(calls) == 3


@pytest.mark.parametrize("sparse", [False, True])
def test_blocks_of_an_audit_share_what_follows_from_the_concepts(sparse, monkeypatch):
    computed, claim = Counter(), _KEPT.claim

    def recorded(call, args):
        result, fresh = claim(call, args)
        computed[call[0].__name__] += fresh and result is not None
        return result, fresh

    monkeypatch.setattr(_KEPT, "claim", recorded)
    monkeypatch.setattr("neurotrust_jax.auditing.blocks.MOST", 64)
    rng = np.random.default_rng(0)
    f = np.maximum(rng.normal(size=(600, 200)) - 1, 0)
    concepts = rng.random((600, 5)) < 0.2
    probe = nt.make_probe(
        scipy.sparse.csr_array(f) if sparse else f, concepts, groups=np.arange(600) // 6,
        thresholds=0.0,
    )  # fmt: skip
    nt.audit(jax.random.key(0), probe, "iou", num_replicates=20, num_permutations=19)
    of_layer = "totals_of_units", "_table", "_units_of"
    assert {x: computed[x] for x in of_layer} == dict.fromkeys(of_layer, 1)
    blocks = 4
    for x in ("active_units", "_of_active", "_constant_neurons"):
        assert computed[x] == blocks
    assert not _KEPT.results
