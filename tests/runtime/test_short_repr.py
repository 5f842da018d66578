"""A result is shown in a few lines, whatever its arrays hold."""

import importlib
import re
from dataclasses import fields, is_dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import small_probe
from test_structure import LEVEL

import neurotrust_jax as nt
from neurotrust_jax.metrics import Identification

ARRAYS = re.compile(r"(np\.ndarray|Array|Ints|Floats)\b")


def field_types(cls):
    if is_dataclass(cls):
        return [str(field.type) for field in fields(cls)]
    return [str(getattr(x, "__forward_arg__", x)) for x in cls.__annotations__.values()]


def results():
    """The public classes that hold arrays."""
    doors = (importlib.import_module(f"neurotrust_jax.{x}") for x in LEVEL if x[0] != "_")
    found = {x for door in doors for x in vars(door).values() if isinstance(x, type)}
    return sorted(
        (
            x
            for x in found
            if x.__module__.startswith("neurotrust_jax")
            and x.__name__[0] != "_"
            and (is_dataclass(x) or hasattr(x, "_fields"))
            and any(map(ARRAYS.match, field_types(x)))
        ),
        key=lambda x: x.__name__,
    )


def test_there_are_results():
    names = {x.__name__ for x in results()}
    assert names >= {"Audit", "AuditChanges", "Bootstrap", "Intervals", "Probe", "Difference"}


@pytest.mark.parametrize("cls", results(), ids=lambda cls: cls.__name__)
def test_a_result_is_shown_without_its_numbers(cls):
    values = [np.full((300, 7), 0.125, np.float32), jnp.full((7,), 0.125), "x" * 500, ("y",) * 500]
    for value in values:
        shown = repr(cls(*[value] * len(field_types(cls))))
        assert shown.startswith(cls.__name__)
        assert "0.125, 0.125" not in shown
        assert len(shown) < 4000
    wide = repr(cls(*[values[0]] * len(field_types(cls))))
    assert "float32[300,7]" in wide or " of " in wide


def test_a_short_text_counts():
    probe = small_probe(groups=np.arange(120) // 3)
    assert repr(probe) == (
        "Probe of 120 samples in 40 groups: 4 neurons (float32) and 5 concepts (bool), "
        "thresholds given"
    )
    boot = nt.bootstrap(jax.random.key(0), probe, "iou", num_replicates=20)
    start = "Bootstrap of 4 neurons x 5 concepts by iou: 20 replicates (multinomial) of 40 groups"
    assert repr(boot) == start
    sets = nt.concept_sets(boot, alpha=0.1)
    single = int((np.asarray(sets.size) == 1).sum())
    assert f"median size {np.median(sets.size):g}, {single} of one concept" in repr(sets)
    assert repr(nt.METRICS["iou"]).startswith("Metric iou: P(active and present")
    test = nt.permutation_test(jax.random.key(0), probe, "iou", num_permutations=99)
    assert f": {int(test.explained.sum())} have to do with some concept (99 perm" in repr(test)


def test_tracers_and_other_leaves_are_shown_too():
    sets = nt.concept_sets(
        nt.bootstrap(jax.random.key(0), small_probe(), "iou", num_replicates=20), alpha=0.1
    )
    shown = []
    jax.jit(lambda x: shown.append(repr(x)) or x.mask)(sets)
    assert "mask=bool[4,5]" in shown[0]
    assert "mask=bool[4,5]" in repr(jax.eval_shape(lambda x: x, sets))
    assert "mask=None" in repr(jax.tree.map(lambda x: None, sets))


def test_numbers_texts_and_tuples_are_cut():
    found = Identification(jnp.float32(0.25), np.float64(1 / 3), "a\n" + "b" * 80, ("c",) * 9)
    assert repr(found) == (
        "Identification(\n  concept=0.25,\n  similarity=0.3333,\n"
        f"  tied='a⏎{'b' * 58}…',\n  reason=('c', 'c', 'c', ... 9 in all)\n)"
    )
    assert repr(Identification(np.True_, jax.random.key(0), (1,), len)) == (
        "Identification(concept=True, similarity=key<fry>[], tied=(1,), reason=len)"
    )
