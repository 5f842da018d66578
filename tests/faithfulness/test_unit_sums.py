"""Statistics from the sums per group are those of plain loops over samples and groups."""

import jax
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax._numerics.sums import Sums
from neurotrust_jax.faithfulness import standard_error
from neurotrust_jax.faithfulness.evidence import effective_units
from neurotrust_jax.metrics import unit_sums as module
from neurotrust_jax.metrics.unit_sums import in_order, sums_over_active, unit_sums
from neurotrust_jax.probing.active_rows import list_active

N, GROUPS = 300, 23
BINARY = [m for m, x in nt.METRICS.items() if x.neuron_view == x.concept_view == "binary"]


def features(weighted, seed=0):
    """Sparse features, some never or always active, in unsorted groups of unequal sizes."""
    rng = np.random.default_rng(seed)
    c = rng.random((N, 7)) < np.linspace(0.03, 0.6, 7)
    f = rng.exponential(size=(N, 8)) * (rng.random((N, 8)) < np.r_[0, np.linspace(0.02, 0.9, 6), 1])
    f = np.where(c[:, [0, 1, 2, 3, 4, 5, 6, 0]] & (f > 0), 3 * f, f).astype(np.float32)
    groups = np.minimum(rng.geometric(0.1, N), GROUPS) - 1
    weights = rng.integers(0, 4, N) / 4 + (rng.random(N) < 0.5) * 0.3 if weighted else None
    return f, c, {"groups": groups, "sample_weight": weights}


def probes(threshold=0.5, weighted=False, **options):
    f, c, given = features(weighted)
    given |= {"thresholds": threshold, **options}
    return nt.make_probe(f, c, **given), nt.make_probe(scipy.sparse.csr_array(f), c, **given)


@pytest.fixture(params=[2**22, 150], ids=["one block", "blocks"])
def room(request, monkeypatch):
    """All neurons in one block, or one or two neurons in each."""
    monkeypatch.setattr(module, "ROOM", request.param)


@pytest.mark.quick("blocks")
@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("threshold", "ties"), [(0.5, "strict"), (0.0, "inclusive"), (-1, "strict")]
)
def test_sums_are_those_of_the_matrices(weighted, threshold, ties):
    for probe in probes(threshold, weighted, ties=ties):
        a = np.asarray(probe.active, np.float64)
        c, w = np.asarray(probe.present, np.float64), np.asarray(probe.weights, np.float64)
        group = np.eye(probe.num_units)[np.asarray(probe.groups)]
        active = list_active(probe)
        assert active.lengths.tolist() == (a[w > 0] > 0).sum(axis=0).tolist()
        view = probe.present.astype(probe.weights.dtype)
        total = sums_over_active(active, view, probe.weights)
        np.testing.assert_allclose(total.FC, (a * w[:, None]).T @ c, rtol=1e-5)
        np.testing.assert_allclose(total.F[:, 0], w @ a, rtol=1e-5)
        found = in_order([
            (own, jax.vmap(sums.of_neuron)(sums.place))
            for own, sums in unit_sums(active, view, probe.weights, probe.groups, probe.num_units)
        ])  # fmt: skip
        each = np.einsum("ng,nu,nc->ugc", group * w[:, None], a, c)
        np.testing.assert_allclose(found.FC, each, rtol=1e-5)
        np.testing.assert_allclose(found.F[..., 0], (group.T @ (a * w[:, None])).T, rtol=1e-5)
        np.testing.assert_allclose(found.C[0], group.T @ (c * w[:, None]), rtol=1e-5)
        np.testing.assert_allclose(found.S[0, :, 0], group.T @ w, rtol=1e-5)


@pytest.mark.quick("blocks")
@pytest.mark.usefixtures("room")
@pytest.mark.double
@pytest.mark.parametrize("metric", BINARY)
@pytest.mark.parametrize("weighted", [False, True])
def test_standard_error_is_that_of_differences(metric, weighted):
    """Each group's weight is moved by a little, one after the other."""
    dense, sparse = probes(weighted=weighted)
    error, _ = standard_error(sparse, metric)
    w, group, step = np.asarray(dense.weights), np.asarray(dense.groups), 1e-5

    def moved(g, by):
        weights = w * (1 + by * (group == g))
        a = np.asarray(dense.active, float)
        c = np.asarray(dense.present, float)
        s, f, cs = weights.sum(), (weights @ a)[:, None], (weights @ c)[None, :]
        sums = Sums(s, f, cs, f, cs, (a * weights[:, None]).T @ c)
        return np.asarray(nt.METRICS[metric].finalise(sums))

    used = [g for g in range(dense.num_units) if w[group == g].sum() > 0]
    influence = np.stack([(moved(g, step) - moved(g, -step)) / (2 * step) for g in used])
    expected = np.sqrt(len(used) * influence.var(axis=0, ddof=1))
    defined = ~np.isnan(np.asarray(nt.similarity(dense, metric)))
    assert (np.isnan(error) == ~defined).all()
    np.testing.assert_allclose(np.asarray(error)[defined], expected[defined], rtol=1e-6, atol=1e-9)


@pytest.mark.quick("blocks-groups-iou")
@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("metric", [*BINARY, "wpmi", "simulation_auroc"])
@pytest.mark.parametrize(
    ("grouped", "weighted"), [(True, False), (False, True)], ids=["groups", "weights"]
)
def test_sparse_gives_what_dense_gives(metric, grouped, weighted):
    options = {} if grouped else {"groups": None}
    dense, sparse = probes(weighted=weighted, **options)
    scores, found = nt.similarity(dense, metric), nt.similarity(sparse, metric)
    np.testing.assert_allclose(found, scores, rtol=2e-6, atol=1e-6)
    reasons = [nt.metrics.undefined_reason(x, metric) for x in (dense, sparse)]
    np.testing.assert_array_equal(*reasons)
    evidence = [effective_units(x, nt.METRICS[metric]) for x in (sparse, dense)]
    np.testing.assert_allclose(*evidence, rtol=1e-4)
    for method in ("auto", "asymptotic"):
        ours, theirs = (nt.intervals(x, metric, method=method) for x in (sparse, dense))
        for bound in ("lower", "upper"):
            np.testing.assert_allclose(getattr(ours, bound), getattr(theirs, bound), atol=3e-5)
    certificates = [nt.certify(x, metric) for x in (sparse, dense)]
    np.testing.assert_array_equal(*(x.mask for x in certificates))
    fits = [nt.label_fit(x, metric) for x in (sparse, dense)]
    for name in ("label", "top_units", "label_hits", "top_concept", "label_above"):
        np.testing.assert_array_equal(*(getattr(x, name) for x in fits))


def test_bounds_of_one_concept_are_those_of_all():
    _, sparse = probes()
    found = nt.intervals(sparse, "iou")
    one = nt.label_intervals(sparse, "iou", found)
    every = nt.intervals(sparse, "iou", largest_unit="pair")
    labelled = one.label >= 0
    own = np.flatnonzero(labelled), one.label[labelled]
    np.testing.assert_allclose(one.pair_lower[labelled], np.asarray(every.lower)[own], atol=2e-5)
    np.testing.assert_allclose(one.pair_upper[labelled], np.asarray(every.upper)[own], atol=2e-5)
    assert np.isnan(one.pair_lower[~labelled]).all()


def test_nothing_dense_is_made(monkeypatch):
    """Similarity, bounds, evidence and fit of sparse features in groups write no column out."""
    _, sparse = probes()
    monkeypatch.setattr(type(sparse.activations), "dense", None)
    found = nt.intervals(sparse, "iou")
    nt.intervals(sparse, "iou", method="asymptotic")
    nt.label_intervals(sparse, "iou", found)
    nt.label_fit(sparse, "iou")
    assert sparse.active_rate.shape == (8,)
    assert effective_units(sparse, nt.METRICS["iou"]).shape == (8, 7)
