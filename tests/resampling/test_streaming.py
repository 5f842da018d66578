"""The bootstrap in passes over the rows gives what the bootstrap of all rows gives."""

import jax
import jax.experimental.sparse as jsparse
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax._engine import screening, stream_reader
from neurotrust_jax._engine.streamed_evidence import streamed_units
from neurotrust_jax.faithfulness.evidence import effective_units
from neurotrust_jax.schemes import POISSON

KEY = jax.random.key(0)
N = 5000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(stream_reader, "ENTRIES", 2048 * 20)


def data(seed=0):
    rng = np.random.default_rng(seed)
    c = rng.random((N, 12)) < np.linspace(0.02, 0.4, 12)
    f = (rng.normal(size=(N, 8)) + 1.5 * c[:, 4:]).astype(np.float32)
    f[:, 7] = -9.0  # never active
    return f, c


def chunked(*arrays, sizes=(700, 1, 1500, 333)):
    """Chunks of unequal many rows."""

    def chunks():
        start, i = 0, 0
        while start < len(arrays[0]):
            size = sizes[i % len(sizes)]
            yield tuple(x[start : start + size] for x in arrays)
            start, i = start + size, i + 1

    return chunks


@pytest.mark.quick("iou-False")
@pytest.mark.parametrize(
    ("metric", "grouped"),
    [
        ("iou", False), ("iou", True), ("balanced_accuracy", False), ("correlation", True),
        ("cosine", False), ("mad", True),
    ],
)  # fmt: skip
def test_passes_give_the_bootstrap_of_all_rows(metric, grouped):
    f, c = data()
    groups = np.sort(np.random.default_rng(1).integers(0, 900, N)) if grouped else None
    arrays = (f, c) if groups is None else (f, c, groups)
    if metric == "correlation":
        c = np.clip(c * 0.7 + np.random.default_rng(2).random(c.shape) * 0.3, 0, 1)
        arrays = f, c, *arrays[2:]
    probe = nt.make_probe(f, c, thresholds=1.5, groups=groups)
    whole = nt.bootstrap(KEY, probe, metric, num_replicates=100, scheme="poisson", strategy="dense")
    told = []
    passes = nt.bootstrap_stream(
        KEY, chunked(*arrays), metric, thresholds=1.5, num_replicates=100,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    np.testing.assert_array_equal(passes.winners, whole.winners)
    np.testing.assert_array_equal(passes.label, whole.label)
    exact = metric in ("iou", "balanced_accuracy")
    tolerance = {"rtol": 2e-7, "atol": 0} if exact else {"rtol": 2e-4, "atol": 2e-6}
    for name in ("similarity", "winning_similarity", "label_similarity"):
        np.testing.assert_allclose(getattr(passes, name), getattr(whole, name), **tolerance)
    np.testing.assert_allclose(passes.evidence, whole.evidence, rtol=2e-3)
    assert told == sorted(told)
    assert told[-1] == (100, 100)
    if metric != "iou" or grouped:  # of single samples it is screened, so fewer are candidates
        np.testing.assert_array_equal(passes.candidates, whole.candidates)
        np.testing.assert_allclose(passes.replicates, whole.replicates, **tolerance)


def test_neither_chunks_nor_memory_nor_files_change_the_result(tmp_path):
    f, c = data(1)
    expected = nt.bootstrap_stream(KEY, chunked(f, c), thresholds=1.0, num_replicates=150)
    np.save(tmp_path / "f.npy", f)
    np.save(tmp_path / "c.npy", c)
    mapped = [np.load(tmp_path / f"{x}.npy", mmap_mode="r") for x in "fc"]
    for source, limit, passes in (
        ([(f, c)], None, 1), (nt.array_chunks(*mapped, size=900), 1.5e5, 2),
        (nt.array_chunks(*mapped, size=900), 1e5, 3),
    ):  # fmt: skip
        told = []
        found = nt.bootstrap_stream(
            KEY, source, thresholds=1.0, num_replicates=150, memory_limit=limit,
            progress=lambda *x: told.append(x),  # noqa: B023
        )  # fmt: skip
        assert len(told) == 3 * passes  # as many as there are blocks
        for name in ("winners", "replicates", "candidates", "winning_similarity", "evidence"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert nt.stability(found).top1_agreement.shape == (8,)
    sets = nt.concept_sets(found)
    assert np.asarray(sets.mask)[np.arange(7), np.asarray(found.label)[:7]].all()
    with pytest.raises(ValueError, match="'certified' reads the data"):
        nt.concept_sets(found, method="certified")
    with pytest.raises(ValueError, match="does not hold its data"):
        nt.winners_curse(KEY, found)


def test_effective_units_of_rows_in_blocks(monkeypatch):
    f, c = data(2)
    groups = np.sort(np.random.default_rng(1).integers(0, 900, N))
    groups[1000:3500] = 400  # one goes on over several blocks
    groups = np.maximum.accumulate(groups)
    monkeypatch.setattr(stream_reader, "MOST_ROWS", 1024)
    for g in (None, groups):
        probe = nt.make_probe(f, c, thresholds=1.0, groups=g)
        for metric in ("iou", "balanced_accuracy", "correlation", "mad"):
            arrays = (f, c) if g is None else (f, c, g)
            reader = stream_reader.Reader(
                chunked(*arrays), nt.METRICS[metric], 1.0, False, 0.5, num_devices=1
            )
            survey = stream_reader.Survey(reader)
            for block in reader.blocks():
                survey.add(block)
            expected = effective_units(probe, nt.METRICS[metric])
            found = streamed_units(reader, survey, nt.METRICS[metric])
            np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_screening_from_sums_is_that_of_the_data():
    f, c = data(3)
    probe = nt.make_probe(f, c, thresholds=1.0)
    for name in ("iou", "f1", "accuracy", "balanced_accuracy"):
        metric = nt.METRICS[name]
        observed = nt.similarity(probe, metric)
        reader = stream_reader.Reader([(f, c)], metric, 1.0, False, 0.5, num_devices=1)
        survey = stream_reader.Survey(reader)
        for block in reader.blocks():
            survey.add(block)
        found = screening.range_of_shares(survey.sums(), metric, 100, observed)
        expected = screening.replicate_range(probe, metric, POISSON, 100, observed)
        for ours, theirs in zip(found, expected, strict=True):
            finite = np.isfinite(theirs)
            np.testing.assert_array_equal(np.isfinite(ours), finite)
            # a little wider, for the rounding of counts
            np.testing.assert_allclose(ours[finite], theirs[finite], atol=2e-3)
        assert (found[0] <= expected[0] + 1e-6).all()
        assert (found[1] >= expected[1] - 1e-6).all()


def test_counts_are_exact_beyond_single_precision():
    totals = None
    for count in (2**24, 2**24, 1, 2**31, 1):
        totals = stream_reader.add_on_host(totals, [np.array([count], np.float32)])
    assert int(totals[0][0]) == 2**25 + 2**31 + 2  # NumPy would round the right side, too


def test_samples_at_the_threshold_are_active_where_ties_are_inclusive():
    f, c = data(4)
    f = np.round(f * 4) / 4
    similarities = []
    for ties in ("strict", "inclusive"):
        probe = nt.make_probe(f, c, thresholds=1.5, ties=ties)
        whole = nt.bootstrap(KEY, probe, num_replicates=20, scheme="poisson")
        passes = nt.bootstrap_stream(KEY, [(f, c)], thresholds=1.5, ties=ties, num_replicates=20)
        np.testing.assert_array_equal(passes.similarity, whole.similarity)
        np.testing.assert_array_equal(passes.winners, whole.winners)
        similarities.append(np.asarray(passes.similarity))
    assert (similarities[0] != similarities[1])[:7].any(axis=1).all()


def test_of_concepts_that_are_equal_the_first_wins():
    f, c = data(5)
    c = np.concatenate([c, c], axis=1)
    probe = nt.make_probe(f, c, thresholds=1.5)
    whole = nt.bootstrap(KEY, probe, num_replicates=20, scheme="poisson")
    passes = nt.bootstrap_stream(KEY, [(f, c)], thresholds=1.5, num_replicates=20)
    np.testing.assert_array_equal(passes.winners, whole.winners)
    assert (np.asarray(passes.winners) < 12).all()


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_squares_of_large_and_small_activations_are_kept(metric):
    f, c = data(6)
    scale = 2.0 ** np.array([100, -100, 66, -66, 0, 70, -70, 0], np.float32)
    plain, scaled = (
        nt.bootstrap_stream(KEY, [(x, c)], metric, thresholds=1.5, num_replicates=20)
        for x in (f, f * scale)
    )
    np.testing.assert_allclose(scaled.similarity, plain.similarity, rtol=1e-6)
    np.testing.assert_array_equal(scaled.winners, plain.winners)


def never():
    raise AssertionError("read before it was checked")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "auroc"}, "'auroc' cannot be streamed: .* neurons as 'rank'"),
        ({"metric": "wpmi"}, "'wpmi' cannot be streamed"),
        ({"num_replicates": 0}, "num_replicates must be a whole number of at least 1, got 0"),
        ({"ties": "both"}, 'ties must be "strict" or "inclusive", got .both'),
        ({"concept_threshold": 2}, "concept_threshold must lie in"),
    ],
)
def test_bad_options_raise_before_anything_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        nt.bootstrap_stream(KEY, never, **({"thresholds": 0.0} | options))


@pytest.mark.parametrize("wrap", [
    scipy.sparse.csr_array, scipy.sparse.coo_array, jsparse.BCOO.fromdense,
])  # fmt: skip
def test_sparse_matrices_are_streamed(wrap):
    f, c = data()
    f, c = np.maximum(f, 0), c.astype(np.float32)
    expected = nt.bootstrap_stream(KEY, [(f, c)], thresholds=1.0, num_replicates=20)
    found = nt.bootstrap_stream(
        KEY, nt.array_chunks(wrap(f), wrap(c), size=900), thresholds=1.0, num_replicates=20
    )
    np.testing.assert_array_equal(found.winners, expected.winners)
    np.testing.assert_array_equal(found.similarity, expected.similarity)
    plain = nt.bootstrap_stream(
        KEY, [(scipy.sparse.csr_array(f), c)], thresholds=1.0, num_replicates=20
    )
    np.testing.assert_array_equal(plain.winners, expected.winners)


def test_bad_sources_are_named():
    f, c = data()

    def run(source, **options):
        return nt.bootstrap_stream(KEY, source, **({"thresholds": 0.0} | options))

    with pytest.raises(ValueError, match="source is a generator, which can be read once only"):
        run(chunked(f, c)())
    with pytest.raises(ValueError, match="source gives no chunk"):
        run([])
    with pytest.raises(ValueError, match="got 4 arrays"):
        run([(f, c, f, c)])
    with pytest.raises(ValueError, match=r"shapes \(5000, 8\) and \(4999, 12\)"):
        run([(f, c[1:])])
    with pytest.raises(ValueError, match=r"as many columns as the first, 8 .* got 7 and 12"):
        run([(f, c), (f[:, 1:], c)])
    with pytest.raises(ValueError, match="NaN or infinite"):
        run([(f * np.nan, c)])
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        run([(f, c * 2.0)])
    with pytest.raises(ValueError, match="group 0 do not follow one another"):
        run([(f, c, np.arange(N) % 2)])
    with pytest.raises(ValueError, match=r"thresholds must be .* shape \[8\]"):
        run([(f, c)], thresholds=np.zeros(7))
    with pytest.raises(ValueError, match="memory_limit=1000 bytes is below"):
        run([(f, c)], memory_limit=1000)
    passes = iter([[(f, c)], [(f, c)], [(f[1:], c[1:])]])
    with pytest.raises(ValueError, match="gave 5,000 rows in the first pass and 4,999"):
        run(lambda: next(passes))
    with pytest.raises(ValueError, match="equally many rows, got"):
        nt.array_chunks(f, c[1:])
