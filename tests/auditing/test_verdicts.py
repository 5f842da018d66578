"""The hierarchy that merges answers, and the rules that judge a neuron."""

import itertools

import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax.auditing.judging import judge_layer
from neurotrust_jax.auditing.prepared import JudgedConcepts
from neurotrust_jax.auditing.verdicts import STYLES, Evidence, judge

NAMES = ("acute", "grave", "above", "below", "letter")
BY_NAME = {"acute": "above", "grave": "above", "above": "diacritic", "below": "diacritic"}
PLAIN = Evidence(
    label="acute", missing="", q_value=0.01, proved=(3, ""), answers=(1, "acute"),
    probability=0.95, label_judged=True, positives="present in 12 samples",
)  # fmt: skip


def test_sets_under_one_root_are_one_answer():
    sets = np.array([
        [1, 1, 0, 0, 0],  # both above
        [1, 0, 1, 0, 0],  # a child and its parent
        [1, 0, 0, 1, 0],  # of two branches
        [1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
    ])  # fmt: skip
    merged = nt.merge_answers(sets, NAMES, BY_NAME)
    assert merged.size.tolist() == [1, 1, 1, 2, 1, 0]
    assert merged.name == ("above", "above", "diacritic", "", "letter", "")
    apart = nt.merge_answers(sets, NAMES)
    np.testing.assert_array_equal(apart.size, sets.sum(axis=1))
    assert apart.name == ("", "", "", "", "letter", "")
    columns = nt.merge_answers(sets, NAMES, np.array([2, 2, -1, -1, -1]))
    assert columns.size.tolist() == [1, 1, 2, 3, 1, 0]
    assert columns.name == ("above", "above", "", "", "letter", "")


def test_merged_sizes_are_those_of_a_naive_union():
    """Concepts are joined with their parents, one link after another."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        parent = np.array([rng.integers(-1, c) if c else -1 for c in range(9)])
        order = rng.permutation(9)  # parents need not come first
        shuffled = np.full(9, -1)
        for child, above in enumerate(parent):
            shuffled[order[child]] = order[above] if above >= 0 else -1
        tree = list(range(9))
        for _, child in itertools.product(range(9), range(9)):
            if shuffled[child] >= 0:
                tree[child] = tree[shuffled[child]]
        sets = rng.random((6, 9)) < 0.4
        expected = [len({tree[c] for c in np.flatnonzero(row)}) for row in sets]
        merged = nt.merge_answers(sets, [f"c{i}" for i in range(9)], shuffled)
        assert merged.size.tolist() == expected


@pytest.mark.parametrize(
    ("hierarchy", "message"),
    [
        ({"acut": "above"}, "'acut', which is neither a concept nor a parent"),
        ({"acute": "grave", "grave": "acute"}, "'acute' under itself: acute < grave < acute"),
        ({"acute": "acute"}, "'acute' under itself"),
        ([1, 2], "5 integers, one parent column"),
        ([0.5] * 5, "5 integers, one parent column"),
        ([5, -1, -1, -1, -1], "concept 0 the parent 5, outside -1 to 4"),
    ],
)
def test_wrong_hierarchies_are_refused(hierarchy, message):
    with pytest.raises(ValueError, match=message):
        nt.merge_answers(np.ones((1, 5), bool), NAMES, hierarchy)


def test_a_mask_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"mask must have shape \[U, 5\].*got \[1, 4\]"):
        nt.merge_answers(np.ones((1, 4), bool), NAMES)


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        ({}, "stable", "the only answer"),
        ({"answers": (1, "above")}, "stable", "the only answer, as above, in 95% of fresh"),
        ({"proved": (1, "acute")}, "certified", "proved best"),
        ({"proved": (1, "above")}, "certified", "proved best, as above"),
        ({"proved": (0, "")}, "stable", "the only answer"),
        ({"answers": (4, "")}, "ambiguous", "among 4"),
        ({"answers": (4, ""), "probability": 0.99}, "ambiguous", "among 4"),
        ({"probability": 0.9}, "stable", "the only answer"),  # at 1 - alpha itself
        ({"probability": 0.89}, "ambiguous", "no close rival, but a fresh probing set may"),
        ({"probability": 0.89, "answers": (1, "above")}, "ambiguous", "no close rival, as above,"),
        ({"probability": float("nan")}, "ambiguous", "no close rival, but"),
        ({"q_value": 0.2}, "unexplained", "chance among the concepts finds as similar a label"),
        # the best of all, by base rates alone
        ({"q_value": 0.2, "proved": (1, "acute")}, "unexplained", "chance"),
        ({"q_value": float("nan")}, "stable", "the only answer"),
        ({"label_judged": False}, "undecided", "too little evidence on the label itself (present"),
        ({"label_judged": False, "proved": (1, "acute")}, "certified", "proved best"),
        (
            {"label_judged": False, "answers": (3, "")},
            "undecided",
            "too little evidence on the label",
        ),
        ({"q_value": 0.1}, "stable", "the only answer"),  # explained at alpha itself
        ({"label": "", "missing": "never active"}, "undecided", "no label: never active"),
        ({"label": "", "q_value": 0.5, "missing": "x"}, "undecided", "no label: x"),
    ],
)
def test_the_first_rule_that_applies(change, verdict, reason):
    found = judge(PLAIN._replace(**change), 0.1)
    assert found.verdict.text == verdict
    assert found.reason.startswith(reason)


def test_a_certified_neuron_has_the_set_of_its_certificate():
    """Of four neurons alike the second is certified, and of the last the label is not tested."""
    rng = np.random.default_rng(0)
    probe = nt.make_probe(rng.random((40, 4)), rng.random((40, 3)) < 0.5, thresholds=0.5)
    proved = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0]], bool)
    headline = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]], bool)
    calibrated = np.ones((4, 3), bool)
    untested = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1], [1, 0, 0]], bool)
    record = {
        "label": np.zeros(4, int), "reason": np.zeros(4, int), "finite_sample": True,
        "certified_set": proved, "calibrated_set": calibrated, "untested": untested,
    }  # fmt: skip
    concepts = JudgedConcepts(probe, np.ones(3, bool), probe, None)
    found = judge_layer(concepts, record, headline, np.zeros(4), np.ones(4), 0.1)
    verdicts = [nt.Verdict(x).text for x in found.verdict]
    assert verdicts == ["stable", "certified", "ambiguous", "undecided"]
    certified = np.array([[False], [True], [False], [False]])
    np.testing.assert_array_equal(found.concept_set, np.where(certified, proved, headline))
    np.testing.assert_array_equal(found.calibrated_set, np.where(certified, proved, calibrated))
    np.testing.assert_array_equal(found.untested, untested & ~certified)
    assert found.answers.tolist() == [1, 1, 3, 1]
    # in the limit alone nothing is proved
    asymptotic = record | {"finite_sample": False}
    found = judge_layer(concepts, asymptotic, headline, np.zeros(4), np.ones(4), 0.1)
    assert nt.Verdict(found.verdict[1]).text == "ambiguous"
    np.testing.assert_array_equal(found.concept_set, headline)


def test_every_verdict_has_a_style_of_its_own():
    assert list(STYLES) == list(nt.Verdict)
    for field in ("text", "rule", "colour", "glyph", "terminal"):
        assert len({getattr(v.style, field) for v in nt.Verdict}) == len(nt.Verdict)
    assert [v.text for v in nt.Verdict] == [v.name.lower() for v in nt.Verdict]
