"""What is measured comes in with its values unchanged, whatever holds it, or is refused."""

import jax
import jax.experimental.sparse as jsparse
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from builders import Foreign

import neurotrust_jax as nt
from neurotrust_jax.chance.permutations import layout_of
from neurotrust_jax.files import read_array
from neurotrust_jax.probing import inputs
from neurotrust_jax.probing.groups import number_groups
from neurotrust_jax.probing.sample_weights import canonical_weights
from neurotrust_jax.runs.inputs import read_vector

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
F, C = RNG.normal(size=(40, 3)).astype(np.float32), RNG.random((40, 2)) < 0.3
FAR = np.arange(40) % 10 * 2**32 + 7  # ids that are the same in their last 32 bits


class OnDevice(Foreign):
    """An array of another library on a CUDA device."""

    dtype = "torch.int64"

    def __dlpack_device__(self):
        return 2, 0


class Negated:
    """A tensor whose sign is a flag, as PyTorch has them: DLPack hands over the rest alone."""

    def __init__(self, array, negative=True):
        self.array, self.negative = array, negative

    def resolve_neg(self):
        return -self.array if self.negative else self.array

    def __array__(self, *args, **kwargs):
        return self.array


def stored_as_they_are(x):
    """A sparse matrix whose values have a type into which SciPy would not convert."""
    matrix = scipy.sparse.coo_array(np.asarray(x, float))
    matrix.data = x[matrix.row, matrix.col]
    return matrix


def bcoo(x):
    """A sparse matrix of JAX, which itself can not make one of truth values."""
    stored = jsparse.BCOO.fromdense(jnp.asarray(x, jnp.float32))
    return jsparse.BCOO((stored.data.astype(x.dtype), stored.indices), shape=stored.shape)


# ------------------------------------------------------------------------- integers beyond 32 bits


@pytest.mark.parametrize("wrap", [np.asarray, Foreign, np.ndarray.tolist, scipy.sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_of_64_bits_are_rounded_and_never_cut(wrap, dtype):
    values = np.array([[2**32 + 1, 5], [2**33, 2**62], [3, 2**24 + 1]], dtype)
    c = np.eye(3, dtype=bool)
    plain = np.asarray if wrap is scipy.sparse.csr_array else wrap
    probe = nt.make_probe(
        wrap(values), c, thresholds=plain(values[1] - 1), sample_weight=plain(values[:, 0])
    )
    np.testing.assert_array_equal(probe.neurons.values, values.astype(np.float32))
    np.testing.assert_array_equal(probe.thresholds, (values[1] - 1).astype(np.float32))
    weights = np.asarray(probe.sample_weight, float)
    np.testing.assert_allclose(weights / weights.sum(), values[:, 0] / values[:, 0].sum(), 1e-6)


@pytest.mark.parametrize("wrap", [np.asarray, Foreign, scipy.sparse.csr_array])
@pytest.mark.parametrize("value", [2**32, 2**32 + 1, 2**63])
def test_labels_of_64_bits_are_checked_before_they_are_converted(wrap, value):
    c = np.eye(40, 2).astype(np.uint64)
    c[3, 1] = value
    with pytest.raises(ValueError, match=rf"in 1 places, first {value} at row 3, column 1"):
        nt.make_probe(F, wrap(c))
    c[3, 1] = 1
    assert nt.make_probe(F, wrap(c)).concepts.dtype == bool
    assert int(nt.make_probe(F, wrap(c)).concepts.sum()) == 3


def test_ids_beyond_32_bits_are_distinct_groups(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"id": FAR, "hash": FAR.astype(np.uint64) << 20}, tmp_path / "a.safetensors")
    np.save(tmp_path / "a.npy", FAR)
    for groups in (
        FAR, FAR.tolist(), Foreign(FAR), read_array(tmp_path / "a.npy"),
        *(read_array(tmp_path / "a.safetensors", name) for name in ("id", "hash")),
    ):  # fmt: skip
        probe = nt.make_probe(F, C, groups=groups)
        assert probe.num_groups == 10
        np.testing.assert_array_equal(probe.groups, np.arange(40) % 10)
    source = nt.array_chunks(F, C, np.sort(FAR), size=7)
    found = nt.bootstrap_stream(KEY, source, thresholds=0.0, num_replicates=8)
    whole = nt.make_probe(F, C, groups=np.sort(FAR), thresholds=0.0)
    expected = nt.bootstrap(KEY, whole, num_replicates=8, scheme="poisson")
    np.testing.assert_array_equal(found.winners, expected.winners)


def test_short_floats_of_safetensors_are_read(tmp_path):
    library = pytest.importorskip("safetensors.flax")
    library.save_file({"x": jnp.asarray(F, jnp.bfloat16)}, tmp_path / "a.safetensors")
    found = read_array(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(found.astype(np.float32), F.astype(jnp.bfloat16).astype(float))
    assert nt.make_probe(found, C).activations.dtype == jnp.bfloat16


def test_integers_of_64_bits_on_an_accelerator_are_refused():
    with pytest.raises(TypeError, match=r"activations can not be read .*: 64-bit integers on an"):
        nt.make_probe(OnDevice(FAR[:, None]), C)


# ------------------------------------------------------------------------ other kinds of the arrays


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", np.longdouble])
@pytest.mark.parametrize("wrap", [np.asarray, stored_as_they_are])
def test_foreign_byte_orders_and_long_doubles(dtype, wrap):
    f = np.round(F * 8).astype(dtype)
    probe = nt.make_probe(wrap(f), C.astype(dtype), thresholds=np.zeros(3, dtype))
    np.testing.assert_array_equal(probe.neurons.values, np.round(F * 8))
    np.testing.assert_array_equal(probe.present, C)


def test_masked_arrays_are_read_where_nothing_is_masked():
    whole = np.ma.masked_array(F, False)
    np.testing.assert_array_equal(nt.make_probe(whole, C).activations, F)
    masked = {
        "activations": F, "concepts": C, "sample_weight": np.ones(40), "thresholds": np.zeros(3),
    }  # fmt: skip
    for name, values in masked.items():
        some = np.ma.masked_array(values, np.zeros(values.shape, bool))
        some[1] = np.ma.masked
        arguments = {"activations": F, "concepts": C} | {name: some}
        with pytest.raises(ValueError, match=rf"{name} is a masked array .*; fill them .* or drop"):
            nt.make_probe(**arguments)
    groups = np.ma.masked_equal(np.arange(40), 3)
    with pytest.raises(ValueError, match="groups holds masked values; drop"):
        nt.make_probe(F, C, groups=groups)
    with pytest.raises(ValueError, match="activations is a masked array"):
        nt.bootstrap_stream(KEY, [(np.ma.masked_less(F, 0), C)], thresholds=0.0)
    with pytest.raises(ValueError, match="features is a masked array"):
        nt.importance_weights(KEY, np.ma.masked_less(F, 0), F)
    with pytest.raises(ValueError, match="weight is a masked array"):
        nt.reweight(nt.make_probe(F, C), np.ma.masked_equal(np.arange(40), 3))


def test_a_sign_kept_as_a_flag_is_resolved():
    probe = nt.make_probe(Negated(F), C, thresholds=Negated(np.ones(3, np.float32)))
    np.testing.assert_array_equal(probe.activations, -F)
    np.testing.assert_array_equal(probe.thresholds, [-1, -1, -1])
    np.testing.assert_array_equal(nt.make_probe(Negated(F, False), C).activations, F)


def test_numbers_held_as_objects():
    objects = C.astype(object)
    assert nt.make_probe(F, objects).concepts.dtype == bool
    objects[0, 0] = 0.25
    objects[1, 0] = np.int64(1)
    probe = nt.make_probe(F, objects)
    assert probe.concepts.dtype == jnp.float32
    np.testing.assert_array_equal(probe.concepts[:2, 0], [0.25, 1])
    for value, kind in ((None, "None of type NoneType"), ("1", "'1' of type str")):
        objects[2, 1] = value
        with pytest.raises(TypeError, match=f"concepts must .*, got {kind} at row 2, column 1"):
            nt.make_probe(F, objects)
    with pytest.raises(TypeError, match=r"activations must .*, got \{1\} of type set$"):
        nt.make_probe({1}, C)
    with pytest.raises(TypeError, match="concepts must hold real numbers, got dtype <U"):
        nt.make_probe(F[:2], [["yes", True], ["no", False]])
    with pytest.raises(ValueError, match="concepts must have rows of one length"):
        nt.make_probe(F[:2], [[1, 0], [1]])
    with pytest.raises(ValueError, match="beyond the range of floats"):
        nt.make_probe([[10**400], [1]], C[:2])
    with pytest.raises(ValueError, match=r"first inf .* beyond the range of float32"):
        nt.make_probe(np.full((40, 3), 1e300), C)


@pytest.mark.parametrize("wrap", [scipy.sparse.csr_array, scipy.sparse.coo_array, bcoo])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_sparse_concepts_are_written_out(wrap, dtype):
    c = C.astype(dtype) * (0.75 if dtype is np.float32 else True)
    probe = nt.make_probe(F, wrap(c.astype(dtype)))
    np.testing.assert_array_equal(probe.concepts, c)
    assert probe.concepts.dtype == (np.float32 if dtype is np.float32 else bool)
    with pytest.raises(TypeError, match="sample_weight is sparse; give a dense array"):
        nt.make_probe(F, C, sample_weight=wrap(c))
    with pytest.raises(TypeError, match="features is sparse; give a dense array"):
        nt.importance_weights(KEY, nt.make_probe(wrap(c), C, thresholds=0).activations, F)


def test_arrays_of_more_axes_are_refused_with_what_to_do():
    images, text = np.zeros((4, 3, 2, 5)), np.zeros((4, 6, 3))
    with pytest.raises(ValueError, match=r"got \[4, 3, 2, 5\]; pool its positions: neurotrust_jax"):
        nt.make_probe(images, C[:4])
    for call in (
        lambda: nt.make_probe(text, C[:4]),
        lambda: nt.bootstrap_stream(KEY, [(text, C[:4])], thresholds=0.0),
    ):
        with pytest.raises(ValueError, match=r"pool_activations\(activations, how\), or --pool"):
            call()


def test_names_of_bytes_are_text():
    names = np.array(["dog", "größe".encode()], object)
    assert nt.make_probe(F, C, concept_names=names).concept_names == ("dog", "größe")
    names = np.array([b"a", b"b", b"c"])
    assert nt.make_probe(F, C, neuron_names=names).neuron_names == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"concept_names holds .* not UTF-8"):
        nt.make_probe(F, C, concept_names=[b"\xff", b"a"])
    with pytest.raises(TypeError, match="a sequence of 2 names, got one string b'ab'"):
        nt.make_probe(F, C, concept_names=b"ab")


# ------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([3, 1, 3, -2], [2, 1, 2, 0]),
        (["b", "a", "b", "c"], [1, 0, 1, 2]),
        (np.array(["b", "a", "b", "c"], object), [1, 0, 1, 2]),
        (np.array([b"b", b"a", b"b", b"c"]), [1, 0, 1, 2]),
        ([1, "1", 1, "1"], [0, 1, 0, 1]),
        (["a", "a\0", "a", "a\0"], [0, 1, 0, 1]),
        ([None, "x", None, 2.5], [0, 1, 0, 2]),
        ([(2, "a"), (1, "b"), (1, "a"), (2, "a")], [2, 1, 0, 2]),
        ([(1, None), (1, 2), ("x",), (1, None)], [0, 1, 2, 0]),
        ([frozenset("ab"), frozenset("ba"), frozenset("c"), frozenset("c")], [0, 0, 1, 1]),
        ([2**70, 1, 2**70 + 1, 2**70], [1, 0, 2, 1]),
        ([np.array(5), jnp.asarray(5), np.int8(5), 6], [0, 0, 0, 1]),
        (np.array([0.5, -1, 0.5, 2], ">f8"), [1, 0, 1, 2]),
        (np.array(["2020-01-02", "2020-01-01"] * 2, "M8[D]"), [1, 0, 1, 0]),
    ],
)
def test_groups_are_whatever_is_equal(groups, expected):
    index, labels = number_groups(groups, 4)
    np.testing.assert_array_equal(index, expected)
    assert len(labels) == max(expected) + 1
    probe = nt.make_probe(F[:4], C[:4], groups=groups, thresholds=0)
    np.testing.assert_array_equal(probe.groups, expected)
    # wherever groups are given
    weight = np.array([4.0, 2, 1, 1])
    size = nt.probing.effective_size(weight, groups)
    assert size == pytest.approx(nt.probing.effective_size(np.bincount(expected, weight)))
    layout, *_ = layout_of(nt.make_probe(F[:4], C[:4]), [expected[0]] * 4, 0.5)
    assert layout.kinds is None


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([1.0, float("nan"), 2, 3], ValueError, "NaN or infinite values, first nan at row 1"),
        ([1, "a", float("nan"), 3], ValueError, "first nan at row 2"),
        ([(0, float("nan")), 1, 2, 3], ValueError, "at row 0"),
        (np.array(["2020", "NaT"] * 2, "M8[Y]"), ValueError, "first NaT at row 1"),
        ([[1], [2], [1], [2]], TypeError, r"hashable, got \[1\] of type list at row 0; use tuples"),
        ("abcd", ValueError, r"groups must have shape \[4\], one per sample, got \[\]"),
        ({1, 2, 3, 4}, ValueError, r"must have shape \[4\], one per sample, got \[\]"),
        (np.zeros((4, 1)), ValueError, r"one per sample, got \[4, 1\]"),
        ([1, 2, 3], ValueError, r"one per sample, got \[3\]"),
    ],
)
def test_groups_that_are_missing_or_unusable_are_refused(groups, error, message):
    with pytest.raises(error, match=message):
        number_groups(groups, 4)


def test_mixed_groups_are_the_same_in_every_function():
    groups = [(i // 4, None) if i < 20 else str(i // 4) for i in range(40)]
    plain = np.arange(40) // 4
    source = nt.array_chunks(F, C, groups, size=7)
    found, expected = (
        nt.bootstrap_stream(KEY, x, thresholds=0.0, num_replicates=8)
        for x in (source, nt.array_chunks(F, C, plain, size=11))
    )
    np.testing.assert_array_equal(found.winners, expected.winners)
    mixed, dense = (
        nt.importance_weights(KEY, F, F + 1, groups=x) for x in (groups, [(i,) for i in plain])
    )
    assert mixed.effective_size <= 10
    assert dense.effective_size <= 10
    with pytest.raises(ValueError, match=r"rows of group \(0, None\) do not follow one another"):
        nt.bootstrap_stream(KEY, [(F, C, groups[1:] + groups[:1])], thresholds=0.0)
    with pytest.raises(ValueError, match=r"of one group have \(0, None\) and 9; give each"):
        nt.permutation_test(
            KEY, nt.make_probe(F, C, groups=plain), strata=[(0, None), 9] + [9] * 38
        )


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_groups_of_strings_come_from_files(tmp_path, dtype):
    names = np.array([f"doc {i % 7}" for i in range(40)], dtype)
    np.save(tmp_path / "g.npy", names)
    np.savez(tmp_path / "g.npz", groups=names)
    for path in (tmp_path / "g.npy", tmp_path / "g.npz"):
        probe = nt.make_probe(F, C, groups=read_vector(path, 40, "groups", strings=True))
        assert probe.num_groups == 7
        with pytest.raises(ValueError, match="save real numbers"):
            read_vector(path, 40, "thresholds")


# ------------------------------------------------------------------------------------------ weights


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.1, 0.1], [1, 1]),
        ([0.2, 0.4], [1, 2]),
        ([2, 3], [2, 3]),
        ([4, 6, 0], [2, 3, 0]),
        ([0.3, 0.1, 0.7], [3, 1, 7]),
        ([1, 1 / 2, 1 / 3], [6, 3, 2]),
        ([1 / 3, 1 / 7], [7, 3]),
        ([1e18, 3e18], [1, 3]),
        ([1e-22, 2.5e-22], [2, 5]),
        ([1e308, 1e308], [1, 1]),
        ([1, 2**20 - 1], [1, 2**20 - 1]),
        ([0.1, 0.1 * 12_345], [1, 12_345]),
        ([1, np.sqrt(2)], [2 / (1 + np.sqrt(2)), 2 * np.sqrt(2) / (1 + np.sqrt(2))]),
        ([2**53 - 1, 2**53, 0], [1, 1, 0]),  # in float32
        ([1, 1e-60], [1, 0]),
        ([1, 1e-17], [2, 2e-17]),
        ([0, 1, 0.1 + 1e-9], [0, 2 / (1.1 + 1e-9), (0.2 + 2e-9) / (1.1 + 1e-9)]),
    ],
)
@pytest.mark.parametrize("factor", [1, 0.1, 1 / 3, 7e-5, 3])
def test_weights_have_their_own_scale(given, expected, factor):
    w = np.array(given, float) * min(factor, 1.7e308 / max(given))
    found = canonical_weights(w, np.float32)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array(expected, np.float32), rtol=2e-7)
    if all(x == round(x) for x in expected):
        np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_weights_in_single_precision_are_multiples_too():
    w = np.float32(0.1) * np.arange(5, dtype=np.float32)
    assert canonical_weights(w.astype(float), np.float32, w.dtype).tolist() == [0, 1, 2, 3, 4]
    w = np.random.default_rng(0).random(1000).astype(np.float32)
    found = canonical_weights(w.astype(float), np.float32, w.dtype)
    assert found.sum() == pytest.approx(1000, rel=1e-5)
    np.testing.assert_allclose(found / w, found[0] / w[0], rtol=1e-6)


@pytest.mark.parametrize("unit", [0.1, 1e18, 1e-22, 1 / 3, 1e300])
def test_no_result_depends_on_the_unit_of_the_weights(unit):
    f = RNG.normal(size=(600, 2)).astype(np.float32)
    c = np.c_[f[:, 0] > 1, RNG.random(600) < 0.2]
    one = nt.make_probe(f, c)
    other = nt.make_probe(f, c, sample_weight=np.full(600, unit))
    assert other.neurons.present.sum(axis=0).tolist() == [30, 30]
    w = RNG.integers(1, 4, 600)
    whole, parts = (nt.make_probe(f, c, sample_weight=w * x) for x in (1, unit))
    moved, likewise = (nt.reweight(one, w * x) for x in (1, unit))
    for a, b in ((one, other), (whole, parts), (moved, likewise)):
        np.testing.assert_array_equal(b.sample_weight, a.sample_weight)
        np.testing.assert_array_equal(b.thresholds, a.thresholds)
    for metric in ("iou", "auroc", "correlation", "soft_wpmi"):
        found = np.asarray(nt.similarity(parts, metric))
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, nt.similarity(whole, metric))
    groups = np.arange(600) // 3
    near = w * (1 + 1e-6 * RNG.random(600))  # no multiples of anything, and so on another scale
    wide, likewise, nearly = (
        nt.intervals(
            nt.make_probe(f, c, sample_weight=x, groups=groups, thresholds=1.0), "iou",
            largest_unit=4,
        ).upper
        for x in (w, w * unit, near * unit)
    )  # fmt: skip
    np.testing.assert_array_equal(likewise, wide)
    np.testing.assert_allclose(nearly, wide, atol=1e-4)
    assert nt.probing.effective_size(w * unit) == pytest.approx(nt.probing.effective_size(w))


def test_weights_of_all_sizes_do_no_harm():
    w = RNG.random(40)
    w[3] = 1e-60
    probe = nt.make_probe(F, C, sample_weight=w)
    without = nt.make_probe(F, C, sample_weight=np.where(w < 1e-50, 0, w))
    for metric in ("iou", "auroc", "correlation"):
        found = np.asarray(nt.similarity(probe, metric))
        np.testing.assert_array_equal(found, nt.similarity(without, metric))
        assert np.isfinite(found).all()
    tenth = np.full(40, 0.1, np.float32)
    traced = jax.jit(lambda w: nt.make_probe(F, C, sample_weight=w, thresholds=0).sample_weight)
    np.testing.assert_array_equal(traced(tenth), tenth)


def test_columns_of_a_data_frame_are_names():
    pd = pytest.importorskip("pandas")
    f, c = pd.DataFrame(F), pd.DataFrame(C, columns=[f"c {i}" for i in range(C.shape[1])])
    groups = pd.Series([f"document {i // 2}" for i in range(len(F))])
    probe = nt.make_probe(f, c, groups=groups)
    assert probe.concept_names == tuple(c.columns)
    assert probe.neuron_names == tuple(map(str, range(F.shape[1])))  # columns that only count
    assert probe.num_groups == groups.nunique()
    f.columns = [f"unit {i}" for i in range(F.shape[1])]
    assert nt.make_probe(f, c).neuron_names == tuple(f.columns)
    names = [str(i) for i in range(C.shape[1])]
    assert nt.make_probe(f, c, concept_names=names).concept_names == tuple(names)
    np.testing.assert_array_equal(probe.activations, nt.make_probe(F, C).activations)
    assert nt.make_probe(F, pd.DataFrame(C)).concept_names[0] == "concept_0"


@pytest.mark.parametrize("kind", [np.float32, np.float64, bool, np.int32])
def test_later_changes_of_an_array_are_not_seen(kind):
    """Of any place in memory: JAX would take some arrays as they lie there."""
    for start in range(16):
        f = np.zeros(16 + 40 * 3, kind)[start : start + 120].reshape(40, 3)
        c = np.zeros(16 + 40 * 2, kind)[start : start + 80].reshape(40, 2)
        probe = nt.make_probe(f, c, thresholds=0.5)
        f[:], c[:] = 1, 1
        assert not np.asarray(probe.activations).any()
        assert not np.asarray(probe.concepts).any()


def test_every_row_is_checked_however_many_are_read_at_once(monkeypatch):
    monkeypatch.setattr(inputs, "AT_ONCE", 9)
    for row in (0, 2, 3, 39):
        f = F.copy()
        f[row, 1] = np.nan
        with pytest.raises(ValueError, match=f"in 1 places, first nan at row {row}, column 1"):
            nt.make_probe(f, C, thresholds=0.5)
