"""Audits with formulas: what they hold, that nothing else changes, and what is refused."""

import jax
import numpy as np
import pytest
from builders import same_fields
from scipy.sparse import csr_array

import neurotrust_jax as nt
from neurotrust_jax._runtime.checkpoint import Checkpoint
from neurotrust_jax.auditing import compositions, layer_audit
from neurotrust_jax.sets.rule import BoundOptions

KEY = jax.random.key(0)
OPTIONS = {"num_replicates": 20, "num_permutations": 19, "num_splits": 2}
NAMES = ["rare", "water", "dog", "river", "sky"]


def world(as_matrix=np.asarray, **options):
    """Neuron 0 is active on water without river, neuron 1 on dogs, neuron 2 at random."""
    rng = np.random.default_rng(0)
    c = rng.random((900, 5)) < [0.003, 0.4, 0.3, 0.3, 0.2]
    f = np.abs(0.3 * rng.normal(size=(900, 3)))
    f[:, 0] += 2 * (c[:, 1] & ~c[:, 3])
    f[:, 1] += 2 * c[:, 2]
    f[:, 2] += 2 * (rng.random(900) < 0.2)
    f[f < 1] = 0
    options = {"thresholds": 0.5, "concept_names": NAMES} | options
    return nt.make_probe(as_matrix(f), c, **options)


@pytest.fixture(scope="module")
def found():
    return nt.audit(KEY, world(), compose=2, **OPTIONS)


def formulas_alone(probe, metric="iou", **options):
    key = jax.random.fold_in(KEY, compositions.OWN_SEED)
    return nt.compose(key, probe, metric, **options)


def test_formulas_are_those_of_compose_and_nothing_else_changes(found):
    own = found.compositions
    same_fields(own, formulas_alone(world(), max_length=2))
    assert own.search == "optimal"
    assert own.concept_names == found.concept_names == tuple(NAMES)
    assert own.single[:2].tolist() == found.label[:2].tolist() == [1, 2]
    assert [found.formula(u) for u in range(3)] == ["water AND NOT river", "", ""]
    assert own.better.tolist() == [True, False, False]
    plain = nt.audit(KEY, world(), **OPTIONS)
    assert plain.compositions is None
    assert plain.formula(0) == ""
    for name, value in vars(plain).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(found, name), value)
    np.testing.assert_array_equal(found.null.q_value, plain.null.q_value)


def test_the_halves_of_formulas_have_a_key_of_their_own():
    others = [*jax.random.split(KEY, 8), *(jax.random.fold_in(KEY, i) for i in range(8)), KEY]
    own = jax.random.key_data(jax.random.fold_in(KEY, compositions.OWN_SEED)).tolist()
    assert own not in [jax.random.key_data(x).tolist() for x in others]


def asked(monkeypatch, probe, metric, compose):
    """The options by which an audit asks for formulas."""
    given = []
    answer = formulas_alone(world(), max_length=2)
    with monkeypatch.context() as patch:
        patch.setattr(
            compositions, "compose_formulas",
            lambda key, probe, metric, **options: (given.append(options), answer)[1],
        )  # fmt: skip
        found = compositions.compose_layer(
            KEY, probe, nt.METRICS[metric], compose, ranges=3, alpha=0.2, min_positives=5,
            options=BoundOptions("auto", (0.0, 9.0), 2.0), similarity=np.zeros(3),
            checkpoint=Checkpoint(None), progress=None,
        )  # fmt: skip
    same_fields(found, answer)
    return given[0]


def test_formulas_are_asked_for_as_the_audit_is(monkeypatch):
    own = asked(monkeypatch, world(), "iou", 4)
    assert (own["max_length"], own["ranges"], own["soft"]) == (4, 3, False)
    assert (own["alpha"], own["min_positives"]) == (0.2, 5)
    assert (own["activation_range"], own["largest_unit"]) == ((0.0, 9.0), 2.0)


def test_hard_concepts_are_not_joined_by_values(monkeypatch):
    assert not asked(monkeypatch, world(), "correlation", 2)["soft"]


def test_probabilities_are_joined_where_the_metric_reads_them(monkeypatch):
    hard = world()
    soft = nt.make_probe(np.asarray(hard.activations), 0.9 * np.asarray(hard.concepts, np.float32))
    found = [asked(monkeypatch, soft, metric, 2) for metric in ("correlation", "iou")]
    assert [x["soft"] for x in found] == [True, False]


@pytest.mark.slow
def test_formulas_of_ranges_sparse_features_and_groups(found):
    sparse = nt.audit(KEY, world(csr_array), compose=2, **OPTIONS)
    same_fields(sparse.compositions, found.compositions, tolerance=1e-6)
    groups = np.arange(900) // 2
    cut = nt.audit(KEY, world(groups=groups), compose=2, ranges=2, **OPTIONS)
    own = cut.compositions
    assert own.num_units == 450
    assert own.neuron_names == cut.neuron_names
    assert [cut.formula(u) for u in range(2)] == ["water AND NOT river"] * 2
    assert own.thresholds.startswith("2 ranges, cut on other samples")


def test_a_finished_search_is_stored(found, tmp_path, monkeypatch):
    stages = []
    options = OPTIONS | {"compose": 2, "checkpoint": tmp_path}
    first = nt.audit(KEY, world(), **options, progress=lambda *x: stages.append(x))
    same_fields(first.compositions, found.compositions)
    own = [(stage, done, total) for stage, done, total in stages if stage.startswith("formulas")]
    assert ("formulas, searching", 3, 3) in own
    assert ("formulas, searching the other half", 3, 3) in own
    assert own[-1] == ("formulas, judging", 3, 3)

    def again(*arguments, **options):
        raise ZeroDivisionError("searched once more")

    monkeypatch.setattr(compositions, "compose_formulas", again)
    same_fields(nt.audit(KEY, world(), **options).compositions, found.compositions)
    for other in ({"compose": 3}, {"min_positives": 11}):
        with pytest.raises(ZeroDivisionError):
            nt.audit(KEY, world(), **options | other)
    with pytest.raises(ZeroDivisionError):
        nt.audit(KEY, world(concept_names=[*NAMES[::-1]]), **options)


@pytest.mark.slow
def test_devices_give_the_same_formulas(found):
    mesh = jax.make_mesh((1,), ("blocks",))
    shared = nt.audit(KEY, world(), compose=2, mesh=mesh, **OPTIONS)
    same_fields(shared.compositions, found.compositions)


@pytest.mark.parametrize(("metric", "options", "message"), [
    ("iou", {"compose": 1}, "compose must be a whole number of at least 2, got 1"),
    ("iou", {"compose": 2.5}, r"compose must be a whole number of at least 2, got 2\.5"),
    ("auprc", {"compose": 2}, "compose=2: metric='auprc' can not score .*, or leave compose out"),
])  # fmt: skip
def test_what_can_not_be_composed_is_refused_in_one_line(monkeypatch, metric, options, message):
    monkeypatch.setattr(layer_audit, "divide", None)  # no work
    with pytest.raises(ValueError, match=message) as error:
        nt.audit(KEY, world(), metric, **OPTIONS | options)
    assert "\n" not in str(error.value)


def test_probabilities_that_are_present_nowhere_give_no_formula(monkeypatch):
    low = np.full((60, 2), 0.2, np.float32)
    low[::2] = 0.4
    f = np.random.default_rng(0).normal(size=(60, 2))
    monkeypatch.setattr(layer_audit, "divide", None)
    with pytest.raises(ValueError, match="min_positives=10 leaves no concept to judge"):
        nt.audit(KEY, nt.make_probe(f, low), "correlation", compose=2, **OPTIONS)
