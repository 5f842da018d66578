"""Concepts too rare to be judged: chosen on the concepts alone, named, and out of every set."""

from dataclasses import fields, is_dataclass, replace

import jax
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax.auditing.vocabulary import judged_concepts, left_out_text
from neurotrust_jax.probing.probe import LeftOut

KEY = jax.random.key(0)
RARE, COMMON = [0, 4, 8], [1, 2, 3, 5, 6, 7]
OPTIONS = {"num_replicates": 40, "num_permutations": 19}
COLUMNS = (
    "label",
    "intervals.label",
    "leading.concept",
    "fit.label",
    "fit.top_concept",
    "fit.label_above",
)


@pytest.fixture(scope="module")
def data():
    """Columns 0, 4 and 8 are in 9, 3 and no pairs of samples; neuron 3 fires on column 0."""
    rng = np.random.default_rng(0)
    c = rng.random((400, 9)) < 0.3
    c[:, RARE] = False
    c[:18, 0] = c[:6, 4] = True
    f = rng.normal(size=(400, 4)) + 2 * c[:, [1, 2, 5, 0]]
    f[:, 2] = 0
    return f, c, np.arange(400) // 2


def made(data, columns=None, **options):
    f, c, groups = data
    return nt.make_probe(
        f, c if columns is None else c[:, columns], groups=groups, thresholds=1.0,
        concept_names=[f"c{i}" for i in (range(9) if columns is None else columns)], **options
    )  # fmt: skip


def arrays(part, within=""):
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            yield from arrays(value, f"{field.name}.")
        elif isinstance(value, np.ndarray):
            yield within + field.name, value


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["iou", "auroc"])
def test_an_audit_is_that_of_the_judged_concepts_in_the_columns_given(data, metric):
    # c0 is left out, and its parent stays; c4 has a child and is none of the concepts judged
    tree = {"c0": "c1", "c2": "c1", "c3": "c4", "c4": "top"}
    column = np.array([1, -1, 1, 4, -1, -1, -1, -1, -1])
    alone = nt.audit(
        KEY, made(data, COMMON), metric, min_positives=0, **OPTIONS,
        hierarchy={k: v for k, v in tree.items() if k in ("c2", "c3")},
    )  # fmt: skip
    for hierarchy in (tree, column):
        found = nt.audit(KEY, made(data), metric, min_positives=10, hierarchy=hierarchy, **OPTIONS)
        theirs = dict(arrays(alone))
        for name, ours in arrays(found):
            if name in COLUMNS:
                expected = np.where(theirs[name] < 0, -1, np.array(COMMON)[theirs[name]])
                ours = ours[:, :6] if name == "leading.concept" else ours
            elif name in ("positives", "judged"):
                ours, expected = ours[COMMON], theirs[name]
            elif ours.ndim == 2 and ours.shape[1] == 9:
                assert not ours[:, RARE].any()
                ours, expected = ours[:, COMMON], theirs[name]
            elif ours.ndim == 2:
                assert ours.shape[1] == 8  # of Leading
                assert np.isnan(ours[:, 6:]).all()
                ours, expected = ours[:, :6], theirs[name]
            else:
                expected = theirs[name]
            np.testing.assert_array_equal(ours, expected, err_msg=name)
        assert found.verdict_reason == alone.verdict_reason
        assert found.leading.concept.shape == (4, 8)
        assert (found.leading.concept[:, 6:] == -1).all()
        assert found.concept_names == tuple(f"c{i}" for i in range(9))
        assert np.flatnonzero(~found.judged).tolist() == RARE
        assert found.positives[RARE].tolist() == [9, 3, 0]
        assert found.left_out == (("c0", 9), ("c4", 3), ("c8", 0))
        assert found.min_positives == 10
        assert found.description(3) != "c0"
    assert "3 of 9 concepts occur in fewer than 10 groups" in found.left_out_text()


def test_at_the_bound_a_concept_is_judged(data):
    iou = nt.METRICS["iou"]
    assert np.flatnonzero(~judged_concepts(made(data), iou, 9)).tolist() == [4, 8]
    assert np.flatnonzero(~judged_concepts(made(data), iou, 1)).tolist() == [8]
    assert judged_concepts(made(data), iou, 0).all()


@pytest.mark.slow
def test_a_probe_leaves_out_what_is_rare_and_an_audit_still_names_it(data):
    probe = made(data, min_positives=4)
    assert probe.concept_names == ("c0", "c1", "c2", "c3", "c5", "c6", "c7")
    assert probe.left_out == (LeftOut("c4", 3), LeftOut("c8", 0))
    np.testing.assert_array_equal(probe.concepts, data[1][:, [0, 1, 2, 3, 5, 6, 7]])
    assert made(data).left_out == ()
    found = nt.audit(KEY, probe, "iou", hierarchy={"c4": "c1"}, min_positives=10, **OPTIONS)
    assert found.left_out == (("c0", 9), ("c4", 3), ("c8", 0))
    assert found.left_out_text().startswith("3 of 9 concepts")
    with pytest.raises(ValueError, match="hierarchy names 'c9'"):
        nt.audit(KEY, probe, "iou", hierarchy={"c9": "c1"}, **OPTIONS)
    # samples of weight 0 are none
    w = np.ones(400)
    w[:2] = 0
    assert "c0" not in made(data, min_positives=9, sample_weight=w).concept_names
    by_sample = nt.make_probe(*data[:2], thresholds=1.0, min_positives=18)
    assert by_sample.left_out == (("concept_4", 6), ("concept_8", 0))
    with pytest.raises(ValueError, match="under jit; make the probe outside"):
        jax.jit(lambda c: nt.make_probe(data[0], c, min_positives=1).concepts)(data[1])


def test_probabilities_below_the_threshold_are_judged_by_metrics_that_read_them(data):
    f, c, _ = data
    soft, sharp = (nt.make_probe(f, x, thresholds=1.0) for x in (np.where(c, 0.4, 0.1), c))
    for name in ("correlation", "wpmi", "simulation_auroc"):
        metric = nt.METRICS[name]
        assert judged_concepts(soft, metric, 10).all()
        assert np.flatnonzero(~judged_concepts(sharp, metric, 19)).tolist() == RARE
    for name in ("iou", "auroc", "mad"):
        with pytest.raises(ValueError, match="min_positives=10 leaves no concept to judge"):
            nt.audit(KEY, soft, name, min_positives=10, **OPTIONS)


def test_no_concept_left_and_bad_numbers_are_refused_before_any_work(data):
    untold = {"progress": lambda *x: pytest.fail("it works")}
    most = made(data).positive_units.max()
    message = rf"the most common one, 'c\d', is present in {most} of 200 groups; take more"
    with pytest.raises(ValueError, match=message):
        nt.audit(KEY, made(data), min_positives=201, **untold)
    with pytest.raises(ValueError, match=message):
        made(data, min_positives=201)
    for wrong in (-1, 2.5):
        with pytest.raises(ValueError, match=f"min_positives must be .* got {wrong}"):
            nt.audit(KEY, made(data), min_positives=wrong, **untold)
        with pytest.raises(ValueError, match=f"min_positives must be .* got {wrong}"):
            made(data, min_positives=wrong)


def test_the_text_says_how_much_larger_a_set_is_needed():
    def text(*units, limit=10, least=10):
        left_out = [LeftOut(f"x{i}", k) for i, k in enumerate(units)]
        return left_out_text(left_out, ["a", "b", "x0"], least, unit="groups", limit=limit)

    assert text() == ""
    assert text(7) == (
        "1 of 3 concepts occurs in fewer than 10 groups and can not be judged by this probing set: "
        "x0 (7). A probing set about 2 times as large would do."
    )
    several = text(9, 5, 3, 1, 0, limit=2)
    assert several.startswith("5 of 7 concepts occur in fewer than 10 groups")
    assert "x0 (9), x1 (5) and 3 more. A probing set about 2 times as large would" in several
    assert several.endswith("and one about 10 times as large for all that occur at all.")
    assert "None of them occurs at all" in text(0, 0)
    assert "fewer than 16 groups" in text(15, 2)  # the probe was made with a higher bound


def test_concepts_are_taken_in_any_order_and_the_rest_of_a_probe_stays(data):
    probe = replace(made(data), left_out=(LeftOut("gone", 1),))
    some = probe.of_concepts(np.array([5, 1]))
    assert some.concept_names == ("c5", "c1")
    np.testing.assert_array_equal(some.concepts, data[1][:, [5, 1]])
    assert some.left_out == probe.left_out
    assert some.neuron_names == probe.neuron_names
