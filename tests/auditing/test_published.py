"""Labels of other tools are read as they write them, and judged by the sets."""

import jax
import numpy as np
import pytest
from builders import planted_probe

import neurotrust_jax as nt
from neurotrust_jax.auditing import Finding, judge_labels, match_labels
from neurotrust_jax.files import Claim, FileError, read_labels
from neurotrust_jax.files.labels import claims_of_layer

KEY = jax.random.key(0)


@pytest.fixture
def probe():
    return planted_probe("a c-{}")


@pytest.mark.parametrize(
    ("header", "row", "claim"),
    [
        ("layer,unit,description,similarity", "l4,7,a dog,0.5", Claim("l4", "7", "a dog", 0.5)),
        ("layer,unit,description", 'l4,7,"dogs, cats"', Claim("l4", "7", "dogs, cats", np.nan)),
        ("unit,category,label,score", "7,object,dog,0.1", Claim("", "7", "dog", 0.1)),
        ("neuron,formula,AUC", "7,dog AND NOT cat,0.9", Claim("", "7", "dog AND NOT cat", 0.9)),
        ("Layer,Neuron_ID,Explanation,score", "x,7,dog,", Claim("x", "7", "dog", np.nan)),
        (
            "layer,unit,val correlation,weight0,concept0,weight1,concept1,bias,sim correlation",
            "layer4,7,0.33,2.18,lab coat,1.1,clothing,0.39,0.17",
            Claim("layer4", "7", "2.18 lab coat + 1.1 clothing", 0.33),
        ),
        ("unit,description,sim correlation", "7,dog,0.1", Claim("", "7", "dog", np.nan)),
    ],
)
def test_files_of_other_tools(tmp_path, header, row, claim):
    path = tmp_path / "labels.csv"
    path.write_text(f"{header}\n{row}\n", encoding="utf-8-sig")
    (found,) = read_labels(path)
    assert found[:3] == claim[:3]
    np.testing.assert_equal(found.similarity, claim.similarity)


def test_tables_that_are_none(tmp_path):
    path = tmp_path / "labels.csv"
    for content, message in (
        ("", "holds no labels"),
        ("unit,text\n1,x\n", r"has no column for the description \(known: description, label"),
        ("description\nx\n", "has no column for the neuron"),
        ("unit,label\n1,x\n\n1,y\n", "line 4 names neuron 1 a second time"),
        # the line of the file, after a blank line and a cell of two lines
        (
            'unit,label,score\n\n1,"a\nb",1\n0,red, shiny car,0.5\n',
            "line 5 has 4 cells for 3 columns",
        ),
        ("unit,label,score\n0,red\n", "line 2 has 2 cells for 3 columns"),
        ("unit\tlabel\n0\tred\tcar\n", "line 2 has 3 cells for 2 columns"),
        ("unit,label, Label \n0,red,blue\n", "has the column 'label' twice"),
        ("unit,neuron,label\n1,1,x\n2,3,y\n", "line 3 differs in its columns 'unit' and 'neuron'"),
        ("unit,label,concept\n1,x,y\n", "line 2 differs in its columns 'label' and 'concept'"),
        ('unit,label\n0,x\n1,"dog" barking\n', "line 3 can not be read: .*quote a cell"),
        ('unit,label\n0,x\n1,"dog\n2,y\n', "line 3 can not be read: unexpected end of data"),
    ):
        path.write_text(content)
        with pytest.raises(FileError, match=message):
            read_labels(path)


def test_columns_of_one_meaning(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("index,neuron,unit,label,description\n0,7,7,dog, dog\n , ,,,\n1,8,8,a,a\n")
    assert [x[:3] for x in read_labels(path)] == [("", "7", "dog"), ("", "8", "a")]
    path.write_text("index\tlabel\n3\tdog, cat\n")  # tabs, whatever the file is called
    assert read_labels(path)[0][:3] == ("", "3", "dog, cat")


def test_units_counted_from_one(tmp_path, probe):
    path = tmp_path / "labels.csv"
    path.write_text(
        "unit,category,label,score\n" + "".join(f"{u},x,a c-0,1\n" for u in range(1, 8))
    )
    message = r"label of neuron '7', but .*; the file counts from 1 to 7, set .*--first-neuron 1"
    with pytest.raises(ValueError, match=message):
        match_labels(read_labels(path), probe)
    claims = read_labels(path, first_neuron=1)
    assert [x.neuron for x in claims] == [str(u) for u in range(7)]
    np.testing.assert_array_equal(match_labels(claims, probe), np.zeros(7))
    with pytest.raises(FileError, match="names neuron 1, below the first one, 2"):
        read_labels(path, first_neuron=2)
    path.write_text("unit,label\nx,dog\n")
    with pytest.raises(
        FileError, match="line 2 names the neuron 'x', which is no number to count from 1"
    ):
        read_labels(path, first_neuron=1)


def test_labels_are_matched_by_their_words(probe):
    claims = [
        Claim("", "0", " A  C_3", 0.0),
        Claim("", "2", "a-c-8", 0.0),
        Claim("", "3", "x", 0.0),
    ]
    np.testing.assert_array_equal(match_labels(claims, probe), [3, -1, 8, -1, -1, -1, -1])
    with pytest.raises(ValueError, match="label of neuron '9', but the activations have 7 neurons"):
        match_labels([Claim("", "9", "a c-3", 0.0)], probe)


def test_an_exact_name_comes_before_a_loose_one():
    names = ["polar bear", "polar-bear", "US", "us", "ice cream", "caf\u00e9"]
    probe = nt.make_probe(np.eye(6), np.eye(6), thresholds=0.5, concept_names=names)

    def matched(*texts):
        claims = [Claim("", str(u), text, 0.0) for u, text in enumerate(texts)]
        return match_labels(claims, probe).tolist()

    assert matched(*names) == list(range(6))
    assert matched("Ice-Cream", "CAFE\u0301") == [4, 5, -1, -1, -1, -1]
    for text, which in (("Polar Bear", "'polar bear' or 'polar-bear'"), ("Us", "'US' or 'us'")):
        with pytest.raises(ValueError, match=rf"label '{text}' of neuron '0' may be .* {which}"):
            matched(text)


def test_units_are_matched_by_number_and_have_one_label(probe):
    claims = [Claim("", "0.0", "a c-1", 0.0), Claim("", "006", "a c-2", 0.0)]
    np.testing.assert_array_equal(match_labels(claims, probe), [1, -1, -1, -1, -1, -1, 2])
    with pytest.raises(ValueError, match=r"labels of '0\.0' and '0' both belong to neuron '0'"):
        match_labels([*claims, Claim("", "0", "a c-1", 0.0)], probe)
    two = [Claim("l1", "0", "a c-1", 0.0), Claim("l2", "0", "a c-2", 0.0)]
    with pytest.raises(ValueError, match=r"'0' of layer 'l1' and '0' of layer 'l2' both belong"):
        match_labels(two, probe)
    with pytest.raises(ValueError, match=r"label of neuron '0\.5'"):
        match_labels([Claim("", "0.5", "a c-1", 0.0)], probe)
    named = nt.make_probe(np.eye(2), np.eye(2), thresholds=0.5, neuron_names=["07", "7"])
    assert match_labels([Claim("", "7", "concept_0", 0.0)], named).tolist() == [-1, 0]
    assert claims_of_layer(two, "l2", "x.csv") == two[1:]
    with pytest.raises(FileError, match="has labels of the layers 'l1', 'l2'; choose one"):
        claims_of_layer(two, None, "x.csv")
    with pytest.raises(FileError, match="has no labels of layer 'x'; there are 'l1', 'l2'"):
        claims_of_layer(two, "x", "x.csv")


def test_findings_are_those_of_the_sets(probe):
    label = np.array([0, 1, 8, 3, 4, -1, 0])  # unit 2 is planted on concept 2, unit 6 is dead
    found = judge_labels(KEY, probe, label, num_replicates=100)
    boot = nt.bootstrap(KEY, probe, "iou", num_replicates=100)
    sets = nt.concept_sets(boot, alpha=0.1)
    value = np.asarray(nt.similarity(probe, "iou"))
    assert found.finding[:2] == [Finding.SUPPORTED, Finding.SUPPORTED]
    assert found.finding[2] == Finding.REFUTED
    assert not sets.mask[2, 8]
    assert found.finding[5:] == [Finding.UNKNOWN, Finding.UNDEFINED]
    np.testing.assert_array_equal(found.best[:6], np.arange(6))
    np.testing.assert_allclose(found.similarity[:5], value[np.arange(5), label[:5]])
    assert found.rank[0] == 1
    assert found.rank[2] == 1 + (value[2] > value[2, 8]).sum()
    assert found.shortfall[2] > value[2, 2] - value[2, 8] - 1e-6
    assert np.isnan(found.similarity[5:]).all()
    with pytest.raises(ValueError, match=r"label must be integers of shape \[7\]"):
        judge_labels(KEY, probe, label[:3])
    with pytest.raises(ValueError, match=r"must lie in \[-1, 8\]"):
        judge_labels(KEY, probe, label + 5)


def test_a_label_too_rare_to_be_judged_is_untested_and_no_rival(probe):
    rare = np.zeros((1500, 2), bool)
    rare[:4, 0] = rare[:2, 1] = True
    p = nt.make_probe(
        probe.activations, np.hstack([rare[:, :1], probe.concepts, rare[:, 1:]]), thresholds=0.0
    )
    without = judge_labels(KEY, probe, np.arange(7), num_replicates=50)
    label = np.array([1, 0, 3, 4, 5, -1, 10])
    found = judge_labels(KEY, p, label, num_replicates=50, min_positives=5)
    assert found.finding[1] == found.finding[6] == Finding.UNTESTED
    assert found.finding[5] == Finding.UNKNOWN
    assert found.positives[[1, 5, 6]].tolist() == [4, -1, 2]
    assert found.left_out == (("concept_0", 4), ("concept_10", 2))
    assert np.isnan(found.similarity[[1, 5, 6]]).all()
    for name in ("similarity", "lower", "upper", "rank", "rivals", "shortfall"):
        ours, theirs = getattr(found, name), getattr(without, name)
        np.testing.assert_array_equal(ours[[0, 2, 3, 4]], theirs[[0, 2, 3, 4]])
    np.testing.assert_array_equal(found.label, label)
    np.testing.assert_array_equal(found.best, np.where(without.best < 0, -1, without.best + 1))
