"""Sparse activations give what the same activations give when they are dense."""

import jax
import jax.experimental.sparse as jsparse
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax.probing import probe as probe_module
from neurotrust_jax.probing.sparse_columns import SparseColumns

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def few_neurons_at_a_time(monkeypatch):
    monkeypatch.setattr(probe_module, "ENTRIES", 3 * 400)


def features(seed=0):
    """Features that are mostly 0, some never, some of them negative, of unequal many values."""
    rng = np.random.default_rng(seed)
    c = rng.random((400, 12)) < np.linspace(0.05, 0.4, 12)
    f = rng.normal(size=(400, 9)) + 2 * c[:, :9]
    f[rng.random(f.shape) > np.r_[np.linspace(0.02, 0.3, 6), 0.9, 1.0, 0.0]] = 0
    f[:, 5] = np.round(f[:, 5], 0)  # ties among what is stored
    f[:, 4] = np.abs(f[:, 4])
    return f.astype(np.float32), c


def both(**options):
    f, c = features()
    return nt.make_probe(f, c, **options), nt.make_probe(scipy.sparse.csr_array(f), c, **options)


@pytest.mark.parametrize("thresholds", [0.0, -0.5, 0.7, None])
def test_probe_reads_what_is_not_stored_as_zero(thresholds):
    options = {} if thresholds is None else {"thresholds": thresholds}
    dense, sparse = both(**options)
    assert isinstance(sparse.activations, SparseColumns)
    assert sparse.num_samples, sparse.num_neurons == dense.activations.shape
    np.testing.assert_array_equal(sparse.neurons.values, dense.activations)
    np.testing.assert_array_equal(sparse.thresholds, dense.thresholds)
    np.testing.assert_array_equal(sparse.active_rate, dense.active_rate)
    rows = np.r_[5, 5, 399, -1, 0:300:7]
    np.testing.assert_array_equal(
        sparse.take(rows).activations.dense(), dense.take(rows).activations
    )


@pytest.mark.parametrize("as_matrix", [
    scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.coo_array,
    scipy.sparse.bsr_array, scipy.sparse.lil_array,
    lambda f: jsparse.BCOO.fromdense(jnp.asarray(f), nse=2200),
    lambda f: jsparse.BCSR.fromdense(jnp.asarray(f)),
])  # fmt: skip
def test_formats(as_matrix):
    f, c = features()
    probe = nt.make_probe(as_matrix(f), c)
    np.testing.assert_array_equal(probe.activations.dense(), f)
    assert probe.activations.nbytes < 0.8 * f.nbytes * 2


def test_what_is_stored_twice_is_added():
    stored = scipy.sparse.coo_array(
        ([1.0, 2.0, 4.0, -4.0, 0.0], ([0, 0, 1, 1, 2], [1, 1, 0, 0, 0])), shape=(3, 2)
    )
    found = nt.make_probe(stored, np.eye(3, dtype=bool), thresholds=0).activations
    np.testing.assert_array_equal(found.dense(), [[0, 3], [0, 0], [0, 0]])
    assert len(found.values) == 1


@pytest.mark.quick("iou")
@pytest.mark.parametrize(
    ("metric", "scheme", "grouped", "weighted"),
    [
        ("iou", "multinomial", True, False), ("auroc", "multinomial", False, False),
        ("auroc", "bayesian", False, False), ("spearman", "poisson", True, True),
        ("correlation", "multinomial", False, False),
    ],
)  # fmt: skip
def test_bootstrap_is_that_of_dense_activations(metric, scheme, grouped, weighted):
    """Also under weights that leave out all zeros, all that is stored, or all but a tie."""
    f, c = features()
    late = np.arange(400) >= 200
    f[:, 2] = np.where(late, f[:, 7] + 0.1, 0)
    f[:, 3] = late
    options = {"thresholds": 0.2, "groups": np.arange(400) // 3 if grouped else None}
    for sample_weight in (late, ~late) if weighted else (None,):
        options["sample_weight"] = sample_weight
        dense, sparse = (nt.make_probe(x, c, **options) for x in (f, scipy.sparse.csc_array(f)))
        expected, found = (
            nt.bootstrap(KEY, probe, metric, num_replicates=70, scheme=scheme, strategy=strategy)
            for probe, strategy in ((dense, "dense"), (sparse, "auto"))
        )
        for name in ("winning_similarity", "label_similarity", "similarity", "replicates"):
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=1e-5, atol=3e-6
            )
        np.testing.assert_array_equal(found.candidates, expected.candidates)
        # others only where they tie within rounding
        assert (found.winners != expected.winners).mean() < 0.01


def test_nothing_dense_is_made(monkeypatch):
    """A bootstrap of rows on as many features as would take gigabytes."""
    monkeypatch.setattr(probe_module, "ENTRIES", 2**20)
    largest = [0]
    whole = SparseColumns.dense
    monkeypatch.setattr(
        SparseColumns, "dense",
        lambda self, *a: largest.append((x := whole(self, *a)).size) or x,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    f = scipy.sparse.random_array((2000, 3000), density=0.01, rng=rng, format="csr")
    probe = nt.make_probe(f, rng.random((2000, 4)) < 0.2, thresholds=0)
    boot = nt.bootstrap(KEY, probe, num_replicates=64)
    assert boot.winners.shape == (64, 3000)
    assert 0 < max(largest) <= 2**20


@pytest.mark.slow
def test_the_rest_of_the_library_agrees():
    dense, sparse = both(thresholds=0.2)
    for metric in ("auroc", "correlation"):
        found, expected = (nt.intervals(probe, metric) for probe in (sparse, dense))
        for name in ("similarity", "lower", "upper", "reason"):
            ours, theirs = getattr(found, name), getattr(expected, name)
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    found, expected = (
        nt.audit(KEY, probe, num_replicates=100, num_permutations=100) for probe in (sparse, dense)
    )
    for name in ("label", "verdict", "certified_set", "concept_set"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.regret, expected.regret, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.null.p_value, expected.null.p_value)
    with pytest.raises(ValueError, match="'soft_wpmi' scores all neurons jointly"):
        nt.similarity(sparse, "soft_wpmi")


def test_bad_sparse_input_is_named():
    f, c = features()
    broken = scipy.sparse.csr_array(f)
    rows, columns = f.nonzero()
    last = np.flatnonzero(columns == 0)[-1]
    for place in (last, last - 1):  # the second is stored behind the first, column by column
        broken.data[place] = np.nan
        where = f"first nan at row {rows[place]}, column {columns[place]}; drop or repair them"
        with pytest.raises(ValueError, match=f"activations holds NaN .*, {where}"):
            nt.make_probe(broken, c)
    with pytest.raises(ValueError, match=r"a BCOO with batch or dense axes; make it by BCOO\.from"):
        nt.make_probe(jsparse.BCOO.fromdense(jnp.asarray(f), n_dense=1), c)
    with pytest.raises(TypeError, match="activations must hold real numbers, got dtype complex"):
        nt.make_probe(scipy.sparse.csr_array(f * 1j), c)
    with pytest.raises(ValueError, match="activations has 400 rows and concepts has 399"):
        nt.make_probe(scipy.sparse.csr_array(f), c[1:])
