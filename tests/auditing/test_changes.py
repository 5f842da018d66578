"""What changed between two audits: neuron by neuron, and seldom by noise alone."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax.auditing import Verdict
from neurotrust_jax.datasets import planted

KEY = jax.random.key(0)
COUNT = 8  # concepts


def audit(activations, concepts, **options):
    names = [f"concept {i}" for i in range(concepts.shape[1])]
    probe = nt.make_probe(activations, concepts, thresholds=0.0, concept_names=names)
    return nt.audit(KEY, probe, "iou", num_replicates=50, num_permutations=199, **options)


def layer(seed, effect):
    """A fresh probing set for the neurons with these effects [U, C]."""
    drawn = planted(
        jax.random.key(seed), 800, num_neurons=len(effect), num_concepts=COUNT, frequency=0.15,
        effect=effect,
    )  # fmt: skip
    return np.asarray(drawn.activations), np.asarray(drawn.concepts)


@pytest.fixture(scope="module")
def effect():
    """Neurons with two concepts that nearly tie, and some with one strong concept."""
    rng = np.random.default_rng(0)
    effect = np.zeros((120, COUNT))
    for row in effect:
        first, second = rng.choice(COUNT, 2, replace=False)
        row[first] = rng.uniform(0.1, 0.45)
        row[second] = row[first] * rng.uniform(0.4, 1)
    effect[::3] = 0.6 * np.eye(COUNT)[rng.integers(COUNT, size=40)]
    return effect


@pytest.fixture(scope="module")
def audits(effect):
    with jax.enable_x64(False):
        return [audit(*layer(seed, effect), layer=f"step {seed}") for seed in (1, 2)]


def made(audited, label, members, verdict, judged=(True,) * COUNT):
    """The first four neurons of an audit with other labels, sets and verdicts."""
    sets = np.zeros((4, COUNT), bool)
    for u, chosen in enumerate(members):
        sets[u, list(chosen)] = True
    return replace(
        audited, neuron_names=tuple("abcd"), label=np.array(label), concept_set=sets,
        similarity=np.array([0.5, 0.4, 0.3, np.nan]), verdict=np.array(verdict),
        judged=np.array(judged),
    )  # fmt: skip


def test_noise_alone_seldom_changes_a_label(audits):
    """Two probing sets of the same neurons: most other labels are noise, and are seen to be."""
    found = nt.compare_audits(*audits)
    assert found.false_share == pytest.approx(0.2)
    other = found.counts["another"]
    assert other > 0.2 * 120  # the control: labels alone differ far more often than the rule allows
    assert found.changed.sum() <= 0.2 * 120
    assert found.changed.sum() < other / 4
    assert not found.changed[::3].any()


def test_real_changes_are_found(effect, audits):
    moved = effect.copy()
    moved[::3] = np.roll(moved[::3], 1, axis=1)  # the strong concepts become others
    found = nt.compare_audits(audits[0], audit(*layer(3, moved)))
    assert found.changed[::3].mean() > 0.9
    assert "->" in found.summary()


@pytest.mark.slow
def test_effects_of_middling_strength():
    """Between noise and the obvious: at each strength few false changes, and more true ones.

    Every neuron has a first concept and a rival of half or 0.9 of its strength. A tenth of the
    neurons is what the rule allows each audit to get wrong.
    """
    strengths, pairs, rng = (0.15, 0.25, 0.35, 0.5), 3, np.random.default_rng(5)
    effect = np.zeros((4, 30, COUNT))
    for strength, rows in zip(strengths, effect, strict=True):
        for u, row in enumerate(rows):
            first, rival = rng.choice(COUNT, 2, replace=False)
            row[first], row[rival] = strength, strength * (0.5 if u % 2 else 0.9)
    effect = effect.reshape(120, COUNT)
    moved = np.roll(effect, 1, axis=1)  # to another first concept, with another rival

    def shares(other, seed):
        """Shares that changed, and whose labels differ: of each strength (rows), by rival."""
        found = [
            nt.compare_audits(audit(*layer(i, effect)), audit(*layer(seed + i, other)))
            for i in range(10, 10 + pairs)
        ]
        values = np.array([(x.changed, ~x.same_label) for x in found]).mean(axis=0)
        return values.reshape(2, 4, 15, 2).mean(axis=2)

    false, differ = shares(effect, 10)
    power, _ = shares(moved, 20)
    assert differ[0].mean() > 0.2  # the control: labels alone differ far more often
    assert (false.mean(axis=1) <= 0.1).all()
    near, far = power.T
    assert far[-1] > 0.5  # where the rival is far behind; a near one is in the set, and rightly
    assert (np.diff(far) > 0).all()
    assert (near <= far + 0.1).all()
    assert (power[1:].mean(axis=1) > false[1:].mean(axis=1) + 0.05).all()


def test_an_audit_agrees_with_itself_in_another_order(audits):
    ours, rng = audits[0], np.random.default_rng(1)
    neurons, concepts = rng.permutation(120), rng.permutation(COUNT)
    place = np.argsort(concepts)  # of each column in the new order
    theirs = replace(
        ours,
        neuron_names=tuple(ours.neuron_names[u] for u in neurons),
        concept_names=tuple(ours.concept_names[c] for c in concepts),
        label=np.where(ours.label >= 0, place[ours.label], -1)[neurons],
        similarity=ours.similarity[neurons],
        verdict=ours.verdict[neurons],
        concept_set=ours.concept_set[neurons][:, concepts],
        judged=ours.judged[concepts],
    )
    found = nt.compare_audits(ours, theirs)
    np.testing.assert_array_equal(found.label[1], ours.label)
    np.testing.assert_array_equal(found.similarity[1], ours.similarity)
    np.testing.assert_array_equal(found.shared, ours.set_size)
    assert found.counts["the same label"] == (ours.label >= 0).sum()
    assert not found.changed.any()
    table = found.verdict_table
    assert np.diag(table).tolist() == list(ours.verdict_counts.values())
    assert table.sum() == np.trace(table) == 120


@pytest.mark.parametrize(
    ("verdicts", "members", "judged", "changed"),
    [
        ((1, 0), ({0}, {1}), True, True),
        ((0, 0), ({0, 2}, {1, 3}), True, True),
        ((1, 2), ({0}, {1}), True, False),  # not firm in both
        ((3, 1), ({0}, {1}), True, False),
        ((1, 1), ({0, 2}, {1, 2}), True, False),  # the sets share a concept
        ((1, 1), ({0}, {1}), False, False),  # the first vocabulary lacks the new label
    ],
)
def test_a_change_is_firm_disjoint_and_of_a_shared_vocabulary(
    audits, verdicts, members, judged, changed
):
    known = [True] * COUNT
    known[1] = judged
    old, new = members
    none = set()
    labels = [0, 0, -1, -1], [1, -1, 4, -1]
    first = made(audits[0], labels[0], [old, {0}, none, none], [verdicts[0], 2, 3, 3], known)
    second = made(audits[1], labels[1], [new, none, {4}, none], [verdicts[1], 3, 1, 3])
    found = nt.compare_audits(first, second)
    assert found.changed.tolist() == [changed, False, False, False]
    assert found.shared.tolist() == [len(old & new), 0, 0, 0]
    assert list(found.counts.values()) == [0, 1, 1, 1, 1]
    assert found.verdict_table[verdicts] >= 1
    assert found.verdict_table.sum() == 4
    columns = found.columns()
    assert columns["description"] == ["concept 0", "concept 0", None, None]
    assert columns["new_description"] == ["concept 1", None, "concept 4", None]
    assert columns["new_verdict"][0] == Verdict(verdicts[1]).text
    assert repr(found) == (
        "AuditChanges of 4 neurons: 1 another, 1 gained one, 1 lost one, 1 none in both; "
        f"{int(changed)} beyond noise"
    )
    assert ("  a: concept 0 -> concept 1" in found.summary()) == changed


def test_changes_in_a_notebook_and_as_a_table(audits):
    pandas = pytest.importorskip("pandas")
    none = set()
    first = made(audits[0], [0, 0, 2, -1], [{0}, {0}, {2}, none], [1, 0, 2, 3])
    second = made(audits[1], [1, 1, 2, -1], [{1}, {3}, {2}, none], [0, 1, 2, 3])
    names = ("<b>&", *first.concept_names[1:])
    first, second = (replace(x, concept_names=names) for x in (first, second))
    found = nt.compare_audits(replace(first, layer=""), second)
    assert found.changed.tolist() == [True, True, False, False]
    table = found.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table) == list(found.columns())
    assert table["changed"].tolist() == found.changed.tolist()
    assert table["new_description"].isna().tolist() == [False, False, False, True]

    shown = found._repr_html_()
    changed, verdicts = (
        [re.findall("<t[dh][^>]*>(.*?)</t[dh]>", row) for row in x.split("<tr>")[1:]]
        for x in re.findall("<table.*?</table>", shown)
    )
    text = [[re.sub("<.*?>", "", cell) for cell in row] for row in changed]
    assert text[1:] == [
        ["a", "&lt;b&gt;&amp;", "concept 1", "0.500", "0.500", "stable", "certified"],
        ["b", "&lt;b&gt;&amp;", "concept 1", "0.400", "0.400", "certified", "stable"],
    ]
    assert [[int(n) for n in row[1:]] for row in verdicts[1:]] == found.verdict_table.tolist()
    assert "4 neurons, first and step 2" in shown
    assert all(x in shown for x in found.sentences())
    same = nt.compare_audits(first, first)._repr_html_()
    assert same.count("<table") == 1  # of verdicts alone
    many = replace(found, changed=np.ones(4, bool), layers=("x" * 10**5,) * 2)
    assert len(many._repr_html_()) < 20_000


def test_missing_names_are_refused(audits):
    fewer = made(audits[0], [0] * 4, [{0}] * 4, [1] * 4)
    words = r"120 neurons are missing in the second audit: '0', '1', '2', '3', '4', \.\.\.; audit"
    with pytest.raises(ValueError, match=words):
        nt.compare_audits(audits[0], fewer)
    more = replace(audits[0], concept_names=("else", *audits[0].concept_names))
    with pytest.raises(ValueError, match=r"1 concept is missing in the first audit: 'else'; audit"):
        nt.compare_audits(audits[0], more)


def test_names_that_stand_for_several_are_refused(audits):
    twice = replace(audits[0], concept_names=("x", "x", *audits[0].concept_names[2:]))
    for pair in ((twice, audits[0]), (audits[0], twice)):
        with pytest.raises(ValueError, match="2 concepts of an audit are named 'x'"):
            nt.compare_audits(*pair)
