"""``compose`` from its arguments to its result."""

import jax
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax.composition.formulas import AND_NOT, evaluate
from neurotrust_jax.composition.layer_formulas import search_halves


def layer(n=3000, seed=0, groups=None, **options):
    """Neurons that mean "a and not b", "a or b", a single concept, and nothing."""
    rng = np.random.default_rng(seed)
    c = rng.random((n, 8)) < 0.25
    means = np.stack([c[:, 0] & ~c[:, 1], c[:, 2] | c[:, 3], c[:, 4], c[:, 4] & False], axis=1)
    names = ["water", "river", "dog", "cat", "sky", "car", "tree", "rare"]
    c[:, 7] = np.arange(n) < 4
    f = rng.normal(size=means.shape) + 4 * means
    return nt.make_probe(f, c, concept_names=names, groups=groups, top_fraction=0.25, **options)


@pytest.fixture(scope="module")
def found():
    return nt.compose(jax.random.key(0), layer(), "iou", max_length=2)


def test_planted_formulas_are_found_and_called_better(found):
    assert found.descriptions[:2] == ["water AND NOT river", "dog OR cat"]
    assert found.better.tolist() == [True, True, False, False]
    assert found.labels[:3] == ["water AND NOT river", "dog OR cat", "sky"]
    assert found.replicated[:2].all()
    np.testing.assert_array_equal(found.overlap[:2], 1)
    assert found.proved.all()
    assert "better" in found.columns()
    assert found.summary().startswith("2 of 4 neurons have a formula of at most 2 concepts")
    assert repr(found) == (
        "Compositions of 4 neurons x 8 concepts by iou: 2 better than a single concept"
    )


def test_numbers_are_those_of_the_halves(found):
    # the halves and the thresholds once more, by what the result says of them
    probe = layer()
    assert found.thresholds == "top_fraction=0.25 of the half on which formulas are found"
    first, second = search_halves(jax.random.key(0), probe)
    assert first.num_samples + second.num_samples == 3000
    limit = np.quantile(np.asarray(first.activations), 0.75, axis=0)
    np.testing.assert_allclose(first.thresholds, limit, atol=0.01)
    for half, value in ((first, found.search_similarity), (second, found.similarity)):
        for length in range(2):
            truth = evaluate(np.asarray(half.present).astype(int), found.by_length.take(length)) > 0
            active = np.asarray(half.active)
            both, either = (active & truth).sum(axis=0), (active | truth).sum(axis=0)
            np.testing.assert_allclose(value[length], both / either, atol=1e-6)
    np.testing.assert_allclose(found.gain, found.similarity[1] - found.similarity[0], atol=1e-6)
    np.testing.assert_allclose(
        found.optimism, found.search_similarity[1] - found.similarity[1], atol=1e-7
    )
    assert "exact" in found.guarantee
    np.testing.assert_array_equal(found.single, found.by_length.concept[0, :, 0])


def test_rare_concepts_are_left_out_and_columns_are_those_given(found):
    assert found.num_formulas == 7 + 2 * 21 + 42
    assert found.concept_names[7] == "rare"
    assert not (found.formula.concept == 7).any()
    given = layer()
    moved = nt.compose(
        jax.random.key(0), given.of_concepts(np.array([7, 0, 1, 2, 3, 4, 5, 6])), max_length=2
    )
    assert moved.descriptions == found.descriptions
    np.testing.assert_array_equal(moved.formula.concept[:3, 0], found.formula.concept[:3, 0] + 1)


@pytest.mark.slow
def test_the_operators_and_the_search_are_those_asked_for():
    probe = layer()
    kept = nt.compose(
        jax.random.key(0), probe, max_length=3, operators=["or"], search="beam", beam_width=2
    )
    assert set(np.unique(kept.formula.operator)) <= {-1, 1}
    assert np.isnan(kept.bound).all()
    assert not kept.proved.any()
    assert kept.num_formulas == 7 + 21 + 35
    for metric, length, search in (("iou", 2, "optimal"), ("iou", 4, "beam"), ("mad", 2, "beam")):
        found = nt.compose(jax.random.key(0), probe, metric, max_length=length, beam_width=2)
        assert found.search == search


@pytest.mark.slow
def test_groups_stay_together_and_give_asymptotic_or_grouped_bounds():
    groups = [f"page {i // 3}" for i in range(3000)]
    found = nt.compose(jax.random.key(1), layer(groups=groups), max_length=2, largest_unit=3)
    assert found.num_units == 1000
    assert "500 groups" in found.guarantee
    assert found.descriptions[:2] == ["water AND NOT river", "dog OR cat"]


@pytest.mark.slow
def test_what_a_neuron_means_at_its_top_and_just_above_its_threshold_is_told_apart():
    rng = np.random.default_rng(3)
    c = rng.random((6000, 6)) < 0.12
    f = rng.normal(0, 0.3, size=(6000, 1))
    f[:, 0] += 6 * (c[:, 0] & ~c[:, 1]) + 3 * (c[:, 2] & ~c[:, 0])
    probe = nt.make_probe(f, c, thresholds=1.5, concept_names=list("abcdef"))
    found = nt.compose(jax.random.key(0), probe, max_length=2, ranges=2)
    assert found.neuron_names == ("0 range 1/2", "0 range 2/2")
    assert found.descriptions == ["a AND NOT b", "c AND NOT a"]
    assert found.better.all()
    assert np.isnan(found.certified_lower).all()  # cuts of half of the samples are not fixed
    assert "2 ranges, cut on other samples" in found.thresholds
    whole = nt.compose(jax.random.key(0), probe, max_length=2)
    assert "AND NOT" not in whole.descriptions[0]


@pytest.mark.slow
def test_the_same_key_gives_the_same_result_and_another_one_other_halves(found):
    again, other = (nt.compose(jax.random.key(x), layer(), max_length=2) for x in (0, 5))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (other.similarity != found.similarity).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_length": 4, "search": "optimal"},
            "proves the best of formulas of at most 3 concepts, got max_length=4",
        ),
        ({"max_length": 0}, "max_length must be a whole number of at least 1, got 0"),
        ({"search": "best"}, "search must be 'auto', 'optimal' or 'beam', got 'best'"),
        ({"operators": ["nor"]}, "operators must be some of"),
        ({"alpha": 1.0}, "alpha must lie strictly between 0 and 1"),
        ({"beam_width": 0}, "beam_width must be"),
        ({"max_nodes": 0}, "max_nodes must be"),
        ({"min_positives": 2000}, "min_positives=2000 leaves no concept"),
        ({"metric": "auprc"}, "metric='auprc' can not score formulas of present and absent"),
        (
            {"metric": "mad", "search": "optimal"},
            "search='optimal' has no bound for metric='mad'; use search='beam'",
        ),
        ({"metric": "iou", "soft": True}, "can not score values of soft formulas"),
        (
            {"metric": "correlation", "soft": True, "search": "optimal"},
            "has no bound for soft=True",
        ),
        ({"memory_limit": 0.0}, "memory_limit must be a positive number of bytes, got 0.0"),
        ({"ranges": 1}, "ranges must be a whole number of at least 2"),
        ({"metric": "auroc", "ranges": 2}, "ranges=2 needs a metric of active samples"),
    ],
)
def test_what_can_not_be_done_is_refused_before_any_work(options, message):
    stages = []
    with pytest.raises(ValueError, match=message) as refused:
        nt.compose(jax.random.key(0), layer(600), **options, progress=lambda *x: stages.append(x))
    assert "\n" not in str(refused.value)
    assert not stages


def test_progress_is_reported_by_neurons():
    said = []
    nt.compose(
        jax.random.key(0),
        layer(600),
        max_length=2,
        search="beam",
        progress=lambda *x: said.append(x),
    )
    assert ("searching", 4, 4) in said
    assert ("searching the other half", 4, 4) in said
    assert said[-1] == ("judging", 4, 4)


@pytest.mark.slow
def test_a_memory_limit_divides_the_neurons_and_changes_nothing(found):
    stages = []
    again = nt.compose(
        jax.random.key(0), layer(), max_length=2, memory_limit=210_000,
        progress=lambda *x: stages.append(x),
    )  # fmt: skip
    assert ("searching", 2, 4) in stages
    assert again.descriptions == found.descriptions
    np.testing.assert_array_equal(again.search_similarity, found.search_similarity)


def test_two_halves_need_two_units():
    probe = nt.make_probe(np.arange(6.0)[:, None], np.eye(6, 2), groups=[0] * 6, thresholds=2.5)
    with pytest.raises(ValueError, match="two halves need at least 2 sampling units, got 1 groups"):
        nt.compose(jax.random.key(0), probe, min_positives=0)


def test_the_last_operator_is_read_as_it_is_written(found):
    assert found.formula.operator[0].tolist() == [-1, AND_NOT]
