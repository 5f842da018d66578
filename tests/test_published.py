"""Labels of other tools are read as they write them, and judged by the sets."""

import jax
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax.datasets import planted
from neurotrust_jax.io import FileError
from neurotrust_jax.published import Claim, Finding, judge_labels, match_labels, read_labels

KEY = jax.random.key(0)


@pytest.fixture
def probe():
    p = planted(jax.random.key(1), 1500, num_neurons=6, num_concepts=9, effect=0.7)
    f = np.concatenate([np.asarray(p.activations), np.full((1500, 1), -1.0)], axis=1)
    return nt.make_probe(
        f, p.concepts, thresholds=0.0, concept_names=[f"a c-{i}" for i in range(9)]
    )


@pytest.mark.x32
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
            Claim("layer4", "7", "lab coat", np.nan),
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


@pytest.mark.x32
def test_tables_that_are_none(tmp_path):
    path = tmp_path / "labels.csv"
    for content, message in (
        ("", "holds no labels"),
        ("unit,text\n1,x\n", r"has no column description \(known: description, label"),
        ("description\nx\n", "has no column unit"),
        ("unit,label\n1,x\n1,y\n", "line 3 names unit 1 a second time"),
    ):
        path.write_text(content)
        with pytest.raises(FileError, match=message):
            read_labels(path)


@pytest.mark.x32
def test_units_counted_from_one(tmp_path, probe):
    path = tmp_path / "labels.csv"
    path.write_text(
        "unit,category,label,score\n" + "".join(f"{u},x,a c-0,1\n" for u in range(1, 8))
    )
    with pytest.raises(ValueError, match=r"label of unit '7', but .*--first-unit 1"):
        match_labels(read_labels(path), probe)
    claims = read_labels(path, first_unit=1)
    assert [x.unit for x in claims] == [str(u) for u in range(7)]
    np.testing.assert_array_equal(match_labels(claims, probe), np.zeros(7))
    with pytest.raises(FileError, match="has unit 1, below 2"):
        read_labels(path, first_unit=2)
    path.write_text("unit,label\nx,dog\n")
    with pytest.raises(FileError, match="no numbers to count from 1"):
        read_labels(path, first_unit=1)


@pytest.mark.x32
def test_labels_are_matched_by_their_words(probe):
    claims = [
        Claim("", "0", " A  C_3", 0.0),
        Claim("", "2", "a-c-8", 0.0),
        Claim("", "3", "x", 0.0),
    ]
    np.testing.assert_array_equal(match_labels(claims, probe), [3, -1, 8, -1, -1, -1, -1])
    with pytest.raises(ValueError, match="label of unit '9', but the activations have 7 units"):
        match_labels([Claim("", "9", "a c-3", 0.0)], probe)


@pytest.mark.x32
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
