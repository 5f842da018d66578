"""What make_probe accepts, refuses and does about ties at the threshold."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import Foreign

import neurotrust_jax as nt

RNG = np.random.default_rng(0)
F, C = RNG.normal(size=(40, 3)), RNG.random((40, 2)) < 0.3


@pytest.mark.both_precisions
@pytest.mark.parametrize("wrap", [np.asarray, jnp.asarray, Foreign])
def test_arrays_of_any_origin(wrap):
    probe = nt.make_probe(wrap(F.copy()), wrap(RNG.random((40, 2))))
    assert probe.activations.dtype == jnp.asarray(F).dtype
    np.testing.assert_allclose(np.asarray(probe.activations), F, rtol=1e-6)


def test_a_foreign_array_that_refuses_is_named():
    class Refuses(Foreign):
        def __dlpack__(self, **kwargs):
            raise BufferError("use tensor.detach()")

    with pytest.raises(TypeError, match=r"activations can not be read .*: use tensor.detach\(\)"):
        nt.make_probe(Refuses(F), C)


@pytest.mark.both_precisions
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32", "bool"])
def test_float_dtypes_are_kept_and_sums_taken_in_float32(dtype):
    f = jnp.asarray(np.round(F, 1) * 4, dtype)
    probe = nt.make_probe(f, C, thresholds=0)
    assert probe.activations.dtype == (f.dtype if "float" in dtype else jnp.float32)
    assert nt.similarity(probe, "correlation").dtype == jnp.float32


def test_strict_threshold_is_not_fooled_by_a_relu():
    f = np.zeros((1000, 1))
    f[:3] = 1.0
    concept = np.arange(1000)[:, None] < 3
    strict = nt.make_probe(f, concept, top_fraction=0.05)
    inclusive = nt.make_probe(f, concept, top_fraction=0.05, ties="inclusive")
    assert float(strict.active_rate[0]) == pytest.approx(0.003)
    assert float(inclusive.active_rate[0]) == 1.0


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("n", [1, 7, 20, 600])
def test_top_fraction_without_ties_takes_exactly_that_many(n, fraction):
    f = np.random.default_rng(n).permutation(n)[:, None].astype(float)
    expected = int(np.ceil(round(fraction * n, 9)))
    for ties in ("strict", "inclusive"):
        probe = nt.make_probe(f, np.ones((n, 1), bool), top_fraction=fraction, ties=ties)
        assert int(probe.neurons.present.sum()) == expected
        assert set(np.flatnonzero(np.asarray(probe.neurons.present)[:, 0])) == set(
            np.argsort(-f[:, 0])[:expected]
        )


def test_weighted_top_fraction_equals_repeated_rows():
    f = np.round(RNG.normal(size=(200, 4)), 1)
    w = RNG.integers(0, 4, 200)
    rows = np.repeat(np.arange(200), w)
    y = np.ones((200, 1), bool)
    for ties in ("strict", "inclusive"):
        weighted = nt.make_probe(f, y, sample_weight=w, top_fraction=0.1, ties=ties)
        repeated = nt.make_probe(f[rows], y[rows], top_fraction=0.1, ties=ties)
        np.testing.assert_array_equal(weighted.thresholds, repeated.thresholds)
        np.testing.assert_allclose(
            np.asarray(weighted.active_rate), np.asarray(repeated.active_rate), rtol=1e-6
        )


def test_groups_of_any_kind_become_dense():
    probe = nt.make_probe(F, C, groups=[f"doc {i % 7}" for i in range(40)])
    assert probe.num_groups == probe.num_units == 7
    assert np.asarray(probe.groups).tolist() == [i % 7 for i in range(40)]
    assert nt.make_probe(F, C).num_units == 40


def test_a_probe_is_an_immutable_pytree():
    probe = nt.make_probe(F, C, groups=np.arange(40) // 4)
    leaves, tree = jax.tree.flatten(probe)
    again = jax.tree.unflatten(tree, leaves)
    assert again.neuron_names == probe.neuron_names
    assert jax.tree.map(lambda x: x, probe).num_groups == 10
    with pytest.raises(dataclasses.FrozenInstanceError):
        probe.thresholds = 0
    taken = probe.take(np.array([3, 3, 5]))
    assert taken.num_samples == 3
    assert np.asarray(taken.groups).tolist() == [0, 0, 1]


def bad(array, value, at=(3, 1)):
    copy = np.array(array, float)
    copy[at] = value
    return copy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activations": F[:, 0]}, r"activations must have shape \[n, U\], got \[40\]; use act"),
        ({"activations": F.T}, "activations has 3 rows and concepts has 40"),
        ({"activations": F[:0], "concepts": C[:0]}, "no empty axis"),
        ({"activations": bad(F, np.nan)}, "NaN or infinite values in 1 places, first nan at row 3"),
        ({"activations": bad(F, np.inf)}, "first inf at row 3, column 1; drop or repair"),
        ({"activations": F + 1j}, "must hold real numbers, got dtype complex"),
        ({"activations": np.full((40, 3), "a")}, "must hold real numbers"),
        ({"concepts": bad(C, 1.5)}, r"values outside \[0, 1\] in 1 places, first 1.5"),
        ({"concepts": bad(C, np.nan)}, r"values outside \[0, 1\]"),
        ({"concepts": C.astype(int) * 2}, "integers other than 0 and 1"),
        ({"concept_names": ["a"]}, "concept_names has 1 entries for 2 columns"),
        ({"concept_names": ["a", "a"]}, "must be distinct; 'a' appears more than once"),
        ({"neuron_names": "abc"}, "sequence of 3 names, got one string"),
        ({"groups": np.zeros(39)}, r"groups must have shape \[40\], one per sample, got \[39\]"),
        ({"groups": np.full(40, np.nan)}, "groups holds NaN"),
        ({"sample_weight": -np.ones(40)}, "non-finite values in 40 places, first -1.0 at row 0"),
        ({"sample_weight": np.zeros(40)}, "only zeros"),
        ({"sample_weight": np.ones((40, 1))}, r"sample_weight must have shape \[40\]"),
        ({"top_fraction": 0}, r"top_fraction must lie in \(0, 1\], got 0"),
        ({"top_fraction": 1.2}, "got 1.2"),
        ({"top_fraction": 0.1, "thresholds": 0.0}, "not both"),
        ({"thresholds": np.zeros(2)}, r"have shape \[3\], got \[2\]"),
        ({"thresholds": np.nan}, "thresholds holds NaN"),
        ({"ties": "random"}, "got 'random'"),
        ({"concept_threshold": 2}, r"must lie in \[0, 1\], got 2"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_its_value_and_the_remedy(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        nt.make_probe(**{"activations": F, "concepts": C} | arguments)


@pytest.mark.parametrize("grouped", [False, True])
def test_split_thresholds_come_from_the_part_set_aside(grouped):
    rng = np.random.default_rng(0)
    f, c = rng.normal(size=(90, 3)), rng.random((90, 2)) < 0.5
    f[:, 0] = np.arange(90)  # tells which row is which
    groups = np.repeat([f"g{i}" for i in range(30)], 3) if grouped else None
    probe = nt.make_probe(f, c, groups=groups)
    assert not probe.thresholds_fixed
    rest = nt.split_thresholds(jax.random.key(0), probe, top_fraction=0.2, split=0.4)
    assert rest.thresholds_fixed
    kept = np.asarray(rest.activations)[:, 0].astype(int)
    aside = np.setdiff1d(np.arange(90), kept)
    assert len(aside) == 36
    np.testing.assert_array_equal(np.asarray(rest.concepts), c[kept])
    expected = nt.make_probe(f[aside], c[aside], top_fraction=0.2)
    np.testing.assert_array_equal(rest.thresholds, expected.thresholds)
    if grouped:
        assert rest.num_units == 18
        assert not set(kept // 3) & set(aside // 3)  # whole groups
        np.testing.assert_array_equal(np.unique(rest.groups), np.arange(18))
        assert rest.threshold_source == (
            "top_fraction=0.2 of 12 groups (36 samples) set aside for the thresholds"
        )


def test_a_split_takes_the_share_that_the_probe_was_made_with():
    rng = np.random.default_rng(0)
    f, c = rng.normal(size=(400, 3)), rng.random((400, 2)) < 0.5
    for options, share in (({"top_fraction": 0.1}, 0.1), ({}, 0.05), ({"thresholds": 0.0}, 0.05)):
        probe = nt.make_probe(f, c, **options)
        rest = nt.split_thresholds(jax.random.key(0), probe)
        expected = nt.split_thresholds(jax.random.key(0), probe, top_fraction=share)
        np.testing.assert_array_equal(rest.thresholds, expected.thresholds)
        assert rest.top_fraction == share
        assert probe.top_fraction == (None if "thresholds" in options else share)
    again = nt.split_thresholds(
        jax.random.key(1),
        nt.split_thresholds(jax.random.key(0), probe, top_fraction=0.2, split=0.5),
        split=0.5,
    )
    assert again.threshold_source == (
        "top_fraction=0.2 of 100 samples set aside for the thresholds"
    )


def test_names_of_bytes_are_their_text():
    names = np.array(["dog", "café"])
    probe = nt.make_probe(np.eye(3), np.eye(3)[:, :2], concept_names=np.char.encode(names, "utf-8"))
    assert probe.concept_names == ("dog", "café")


def test_split_thresholds_refuses_empty_parts():
    probe = nt.make_probe(np.arange(10.0)[:, None], np.arange(10)[:, None] % 2)
    for split in (0, 1):
        with pytest.raises(ValueError, match="split must lie strictly between 0 and 1"):
            nt.split_thresholds(jax.random.key(0), probe, split=split)
    with pytest.raises(ValueError, match="leaves one part without any"):
        nt.split_thresholds(jax.random.key(0), probe, split=0.01)
    with pytest.raises(ValueError, match="top_fraction must lie in"):
        nt.split_thresholds(jax.random.key(0), probe, top_fraction=2)
