"""What must hold of every probing set, on sets that Hypothesis makes up.

Their values are few, so that ties, constant columns and weights of 0 are common; their shapes are
fixed, so that little is compiled. A run takes a few examples a property, always the same ones, and
one metric of each kind; ``HYPOTHESIS_PROFILE=thorough pytest tests/test_properties.py -n 0`` takes
200, other ones each time, and every metric.
"""

import os
from dataclasses import fields, is_dataclass, replace

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from builders import KINDS, LONG_SUMS, same_fields
from hypothesis import HealthCheck, Phase, assume, given, settings

import neurotrust_jax as nt
from neurotrust_jax import report
from neurotrust_jax.faithfulness.bounds import Level, intervals_at

settings.register_profile(
    "quick", max_examples=4, derandomize=True, deadline=None, print_blob=True, database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    # the fixture that sets the precision may stay as it is from example to example
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
settings.register_profile(
    "thorough", settings.get_profile("quick"), max_examples=200, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

KEY = jax.random.key(0)
SMALL = [(24, 2, 3)]
SHAPES = SMALL if len(KINDS) < len(nt.METRICS) else [*SMALL, (64, 3, 4)]
COUNTS = [m.name for m in nt.METRICS.values() if m.neuron_view == m.concept_view == "binary"
          and m.finalise is not None]  # fmt: skip
PAIRWISE = [name for name in KINDS if not nt.METRICS[name].joint]
ACTIVATIONS = [-2.0, -0.5, 0.0, 0.25, 0.75, 1.0, 1.5, 3.0]
SCORES = [0.0, 0.125, 0.25, 0.5, 0.625, 0.875, 1.0]


@st.composite
def arrays(draw, shapes=SHAPES, binary=False):
    """Activations [n, U], concepts [n, C] and whole weights [n], of which not all are 0.

    A column takes one to all of the values, at random: arrays that Hypothesis fills by itself are
    constant so often that little is defined.
    """
    n, num_neurons, num_concepts = draw(st.sampled_from(shapes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def columns(values, size):
        values = np.asarray(values)
        sets = (rng.permutation(values)[: rng.integers(1, len(values) + 1)] for _ in range(size))
        return np.stack([rng.choice(x, n) for x in sets], axis=1)

    f = columns(ACTIVATIONS, num_neurons).astype(np.float32)
    c = columns([False, True] if binary else SCORES, num_concepts)
    w = rng.permutation(draw(st.sampled_from([(1,), (0, 1), (1, 3), (0, 1, 2, 3)])))
    w = rng.choice(w, n).astype(np.float32)
    return f, c if binary else c.astype(np.float32), np.where(w.any(), w, 1).astype(np.float32)


def probe_of(f, c, w=None, **options):
    return nt.make_probe(f, c, sample_weight=w, **({"thresholds": 0.5} | options))


def assert_same(ours, theirs, metric):
    """Equal where counts are divided, else but for the rounding of sums in another order."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if metric in COUNTS:
        # a division may be by the reciprocal, a unit in the last place off
        np.testing.assert_allclose(ours, theirs, rtol=2.5e-7, atol=6e-8)
        return
    # a column that hardly varies leaves few digits to its deviations
    tolerance = 1e-3 if metric in LONG_SUMS else 1e-4
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def assert_same_winners(ours, theirs, similarity, metric):
    """Equal but for concepts that tie within rounding, and then nearly as similar, [B, U]."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    np.testing.assert_array_equal(ours < 0, theirs < 0)
    assert_same(*similarity, metric)
    if metric in COUNTS:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("metric", KINDS)
@given(data=arrays(), seed=st.integers(0, 99))
def test_order_of_samples_neurons_and_concepts_is_a_name(metric, data, seed):
    f, c, w = data
    rng = np.random.default_rng(seed)
    rows, neurons, concepts = (rng.permutation(size) for size in (*f.shape, c.shape[1]))
    probe = probe_of(f, c, w)
    moved = probe_of(f[rows][:, neurons], c[rows][:, concepts], w[rows])
    expected = np.asarray(nt.similarity(probe, metric))[neurons][:, concepts]
    assert_same(nt.similarity(moved, metric), expected, metric)
    reason = np.asarray(nt.metrics.undefined_reason(probe, metric))[neurons][:, concepts]
    np.testing.assert_array_equal(nt.metrics.undefined_reason(moved, metric), reason)
    found, before = nt.identify(moved, metric, 2), nt.identify(probe, metric, 2)
    assert_same(found.similarity, np.asarray(before.similarity)[neurons], metric)
    label, old = np.asarray(found.concept)[:, 0], np.asarray(before.concept)[neurons, 0]
    clear = (np.asarray(before.tied)[neurons] == 1) & (old >= 0)
    gap = -np.diff(np.asarray(before.similarity)[neurons], axis=1)[:, 0]
    clear &= ~(np.abs(gap) < 1e-3)
    np.testing.assert_array_equal(concepts[label[clear]], old[clear])


@pytest.mark.quick("iou", "mad")
@pytest.mark.parametrize("metric", ["iou", "auroc", "mad", "correlation"])
@given(data=arrays(SMALL), seed=st.integers(0, 99))
def test_intervals_and_certificates_move_with_their_columns(metric, data, seed):
    f, c, _ = data
    rng = np.random.default_rng(seed)
    rows, neurons, concepts = (rng.permutation(size) for size in (*f.shape, c.shape[1]))
    probe, moved = probe_of(f, c), probe_of(f[rows][:, neurons], c[rows][:, concepts])
    found, before = nt.intervals(moved, metric), nt.intervals(probe, metric)
    for name in ("similarity", "lower", "upper"):
        expected = np.asarray(getattr(before, name))[neurons][:, concepts]
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-4, atol=1e-4)
    found, before = nt.certify(moved, metric), nt.certify(probe, metric)
    # of labels that tie within rounding, either may be the one that is certified
    scores = np.nan_to_num(nt.similarity(probe, metric), nan=-9.0)
    second, first = np.sort(scores, axis=1).T[-2:]
    alone = (first - second > 1e-4)[neurons]
    regret = np.asarray(before.regret)[neurons]
    np.testing.assert_allclose(found.regret[alone], regret[alone], atol=2e-4)
    np.testing.assert_array_equal(found.positives, np.asarray(before.positives)[concepts])
    # limits that touch may part by rounding
    levels = [Level(0.25 * 0.05, "concepts", "lower"), Level(0.75 * 0.05, "none", "upper")]
    low, high = intervals_at(probe, metric, levels, "auto", None, None)
    lower, upper = np.asarray(low.lower), np.asarray(high.upper)
    floor = np.where(np.isnan(lower), -np.inf, lower).max(axis=1, keepdims=True)
    clear = ~(np.abs(upper - floor) < 1e-3)[neurons][:, concepts]
    mask = np.asarray(before.mask)[neurons][:, concepts]
    np.testing.assert_array_equal(np.asarray(found.mask)[clear], mask[clear])


@pytest.mark.parametrize("metric", ["iou", "auroc", "correlation"])
@given(data=arrays(SMALL), seed=st.integers(0, 99))
def test_replicates_move_with_their_columns_and_draws_with_their_samples(metric, data, seed):
    f, c, w = data
    rng = np.random.default_rng(seed)
    rows, neurons, concepts = (rng.permutation(size) for size in (*f.shape, c.shape[1]))
    boot = nt.bootstrap(KEY, probe_of(f, c, w), metric, num_replicates=20)
    moved = nt.bootstrap(KEY, probe_of(f[:, neurons], c[:, concepts], w), metric, num_replicates=20)
    for name in ("winning_similarity", "label_similarity"):
        expected = np.asarray(getattr(boot, name))[:, neurons]
        if name == "label_similarity":  # of labels that tie either may be told
            tied = np.asarray(nt.identify(boot.probe, metric).tied)[neurons] > 1
            expected, found = expected[:, ~tied], np.asarray(moved.label_similarity)[:, ~tied]
        else:
            found = np.asarray(moved.winning_similarity)
        assert_same(found, expected, metric)
    # the samples in another order, under the same draws in that order
    drawn = np.asarray(nt.resampling.bootstrap_weights(KEY, boot.probe, num_replicates=20))[:, rows]
    for b in range(3):
        assume((drawn[b] * w[rows]).any())
        scores = nt.similarity(probe_of(f[rows], c[rows], drawn[b] * w[rows]), metric)
        best = np.where(np.isnan(scores), -np.inf, scores).max(axis=1)
        best = np.where(np.isinf(best), np.nan, best)
        assert_same(best, boot.winning_similarity[b], metric)


@given(data=arrays(SMALL), seed=st.integers(0, 99), alpha=st.sampled_from([0.1, 0.3]))
def test_concept_sets_of_the_same_replicates_move_with_their_columns(data, seed, alpha):
    f, c, _ = data
    rng = np.random.default_rng(seed)
    concepts = rng.permutation(c.shape[1])
    boot = nt.bootstrap(KEY, probe_of(f, c), "iou", num_replicates=64)
    place = np.append(np.argsort(concepts), -1).astype(np.int32)  # of each concept, and of none
    moved = replace(
        boot, probe=probe_of(f, c[:, concepts]),
        **{name: jnp.asarray(place[np.asarray(getattr(boot, name))])
           for name in ("winners", "label", "candidates")},
        **{name: getattr(boot, name)[:, concepts]
           for name in ("similarity", "vote_share", "thin", "excluded", "evidence")},
    )  # fmt: skip
    for target in ("best", "replication"):
        found, before = (nt.concept_sets(b, alpha=alpha, target=target) for b in (moved, boot))
        for name in ("mask", "untested"):
            np.testing.assert_array_equal(
                getattr(found, name), np.asarray(getattr(before, name))[:, concepts]
            )
        label = np.asarray(boot.label)
        assert np.asarray(before.mask)[label >= 0, label[label >= 0]].all()


@pytest.mark.slow
@pytest.mark.parametrize("metric", KINDS)
@given(data=arrays(), seed=st.integers(0, 99))
def test_whole_weights_are_repeated_rows(metric, data, seed):
    """Thresholds too; the weights of n rows add up to 2 n, so that shapes stay."""
    f, c, _ = data
    n = len(f)
    rows = np.random.default_rng(seed).integers(0, n, 2 * n)
    weight = np.bincount(rows, minlength=n).astype(np.float32)
    weighted = nt.make_probe(f, c, sample_weight=weight, top_fraction=0.3)
    repeated = nt.make_probe(f[rows], c[rows], top_fraction=0.3)
    np.testing.assert_array_equal(weighted.thresholds, repeated.thresholds)
    assert_same(nt.similarity(weighted, metric), nt.similarity(repeated, metric), metric)


BY_ORDER = [m.name for m in nt.METRICS.values() if m.neuron_view == "rank"
            and m.name != "rank_reorder"]  # its displacement is one of activations  # fmt: skip
BY_THRESHOLD = [m.name for m in nt.METRICS.values() if m.neuron_view == "binary"
                and m.name != "correlation_top_and_random"]  # fmt: skip


@pytest.mark.parametrize("metric", BY_ORDER + BY_THRESHOLD)
@given(
    data=arrays(), ties=st.sampled_from(["strict", "inclusive"]),
    steps=st.lists(st.floats(2**-6, 2**6, width=32), min_size=8, max_size=8),
)  # fmt: skip
def test_only_the_order_of_activations_counts(metric, data, ties, steps):
    """Any increasing function of the activations gives the very same scores."""
    f, c, w = data
    image = np.cumsum(np.asarray(steps, np.float32)) - 40
    assume((np.diff(image) > 0).all())
    mapped = image[np.searchsorted(ACTIVATIONS, f)]
    options = {"thresholds": None, "top_fraction": 0.25, "ties": ties}
    before, after = (nt.similarity(probe_of(x, c, w, **options), metric) for x in (f, mapped))
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    "metric", ["correlation", "cos_similarity_cubed", "standardised_mad",
               "correlation_top_and_random", "rank_reorder"],
)  # fmt: skip
@given(data=arrays(), scale=st.sampled_from([2.0**-90, 0.3, 5.0, 2.0**90]))
def test_scale_of_activations_does_not_count(metric, data, scale):
    f, c, w = data
    before = nt.similarity(probe_of(f, c, w), metric)
    after = nt.similarity(probe_of(f * np.float32(scale), c, w, thresholds=0.5 * scale), metric)
    assert_same(after, before, metric)


MIRRORED = {
    "auroc": lambda s: 1 - s, "accuracy": lambda s: 1 - s, "balanced_accuracy": lambda s: 1 - s,
    "simulation_balanced_accuracy": lambda s: 1 - s, "simulation_auroc": lambda s: 1 - s,
    "precision": lambda s: 1 - s, "correlation": lambda s: -s, "spearman": lambda s: -s,
    "cos_similarity_cubed": lambda s: -s, "mad": lambda s: -s, "standardised_mad": lambda s: -s,
    "correlation_top_and_random": lambda s: -s,
}  # fmt: skip


@pytest.mark.parametrize("metric", MIRRORED)
@given(data=arrays(binary=True))
def test_the_absence_of_a_concept_mirrors_it(metric, data):
    f, c, w = data
    present, absent = (np.asarray(nt.similarity(probe_of(f, x, w), metric)) for x in (c, ~c))
    np.testing.assert_allclose(absent, MIRRORED[metric](present), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("metric", COUNTS)
@given(data=arrays(SMALL, binary=True), place=st.integers(0, 2))
def test_another_concept_takes_votes_and_gives_none(metric, data, place):
    f, c, w = data
    every = nt.bootstrap(KEY, probe_of(f, c, w), metric, num_replicates=50)
    fewer = nt.bootstrap(
        KEY, probe_of(f, np.delete(c, place, axis=1), w), metric, num_replicates=50
    )
    share = np.delete(np.asarray(every.vote_share), place, axis=1)
    assert (share <= np.asarray(fewer.vote_share)).all()
    undefined = np.asarray(fewer.winners) < 0
    assert (undefined >= (np.asarray(every.winners) < 0)).all()


@pytest.mark.slow
@pytest.mark.parametrize("metric", PAIRWISE)
@settings(max_examples=max(1, settings().max_examples // 4))
@given(data=arrays(SMALL))
def test_sparse_and_traced_scores_are_the_scores(metric, data):
    f, c, w = data
    expected = nt.similarity(probe_of(f, c, w), metric)
    sparse = nt.similarity(probe_of(scipy.sparse.csc_array(f), c, w), metric)
    np.testing.assert_array_equal(sparse, expected)
    traced = jax.jit(lambda f, c, w: nt.similarity(probe_of(f, c, w), metric))
    assert_same(traced(f, c, w), expected, metric)


@pytest.mark.slow
@pytest.mark.parametrize("metric", KINDS)
@settings(max_examples=max(1, settings().max_examples // 4))
@given(data=arrays(SMALL))
def test_eager_scores_are_the_compiled_ones(metric, data):
    probe = probe_of(*data)
    with jax.disable_jit():
        eager = nt.similarity(probe, metric)
    assert_same(eager, nt.similarity(probe, metric), metric)


@pytest.mark.slow
@pytest.mark.parametrize("metric", KINDS)
@given(data=arrays(SMALL))
def test_single_precision_rounds_the_double(metric, data):
    single = np.asarray(nt.similarity(probe_of(*data), metric))
    with jax.enable_x64(True):
        probe = probe_of(*(x.astype(np.float64) for x in data))
        double = np.asarray(nt.similarity(probe, metric))
        reason = np.asarray(nt.metrics.undefined_reason(probe, metric))
    assert double.dtype == np.float64
    np.testing.assert_array_equal(nt.metrics.undefined_reason(probe_of(*data), metric), reason)
    assert_same(single, double, metric)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["iou", "balanced_accuracy", "auroc", "correlation"])
@settings(max_examples=max(1, settings().max_examples // 4))
@given(data=arrays(SMALL, binary=True), chunk_size=st.sampled_from([16, 50]))
def test_every_way_gives_the_same_replicates(metric, data, chunk_size):
    """In chunks, on a mesh, from lists of rows, from sparse activations, and in passes."""
    f, c, _ = data
    probe, sparse = probe_of(f, c), probe_of(scipy.sparse.csr_array(f), c)
    options = {"num_replicates": 50, "scheme": "poisson"}
    whole = nt.bootstrap(KEY, probe, metric, strategy="dense", **options)
    chunked = nt.bootstrap(KEY, probe, metric, strategy="dense", chunk_size=chunk_size, **options)
    mesh = jax.make_mesh((1,), ("replicates",), (jax.sharding.AxisType.Auto,))
    others = [nt.bootstrap(KEY, probe, metric, strategy="dense", mesh=mesh, **options)]
    others.append(nt.bootstrap(KEY, sparse, metric, **options))
    if metric != "correlation":
        others.append(nt.bootstrap(KEY, probe, metric, strategy="rows", **options))
    if metric in COUNTS:
        others.append(nt.bootstrap(KEY, probe, metric, strategy="screened", **options))
    if metric != "auroc":
        cut = len(f) // 3
        source = [(f[:cut], c[:cut]), (f[cut:], c[cut:])]
        others.append(nt.bootstrap_stream(KEY, source, metric, thresholds=0.5, num_replicates=50))
    np.testing.assert_array_equal(chunked.winners, whole.winners)
    np.testing.assert_array_equal(chunked.winning_similarity, whole.winning_similarity)
    for boot in others:
        similarity = boot.winning_similarity, whole.winning_similarity
        assert_same_winners(boot.winners, whole.winners, similarity, metric)
        assert_same(boot.similarity, whole.similarity, metric)


@pytest.fixture(scope="module")
def audited():
    rng = np.random.default_rng(0)
    probe = probe_of(rng.normal(size=(30, 2)), rng.random((30, 3)) < 0.4)
    return nt.audit(KEY, probe, num_replicates=20, num_permutations=20)


def made_up(draw, part):
    """Another object of the same kind: every field anew, arrays of the same shapes and types."""
    fresh = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            fresh[field.name] = made_up(draw, value)
        elif isinstance(value, np.ndarray):
            elements = None
            if value.dtype.kind == "i":  # columns, where -1 is none, codes, and counts
                columns = ("label", "concept", "top_concept", "label_above")
                low = -1 if field.name in columns else 0
                coded = field.name in (*columns, "verdict", "reason")
                elements = st.integers(low, 2 if coded else 2**31 - 1)
            fresh[field.name] = draw(hnp.arrays(value.dtype, value.shape, elements=elements))
        elif field.name in ("shares", "left_out") or value is None:
            fresh[field.name] = value
        elif isinstance(value, tuple):
            fresh[field.name] = tuple(draw(st.text()) for _ in value)
        elif isinstance(value, bool | int | float | str):
            kinds = {bool: st.booleans(), int: st.integers(), str: st.text(),
                     float: st.floats(allow_nan=False, allow_infinity=False)}  # fmt: skip
            fresh[field.name] = draw(kinds[type(value)])
        else:
            raise TypeError(f"no way to make up {field.name} of {type(value)}")
    return replace(part, **fresh)


@pytest.mark.slow
@given(choice=st.data(), tested=st.booleans())
def test_an_audit_reads_back_as_it_was_written(audited, tmp_path_factory, choice, tested):
    audit = made_up(choice.draw, audited)
    audit = audit if tested else replace(audit, null=None)
    path = report.write_audit(audit, tmp_path_factory.mktemp("audit") / "audit.json")
    same_fields(report.read_audit(path), audit)
