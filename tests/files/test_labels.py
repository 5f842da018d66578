"""Each published format is told by its columns or keys, and read as its program wrote it."""

import gzip
import json
import math

import numpy as np
import pytest

from neurotrust_jax.files import FileError, read_labels
from neurotrust_jax.files.label_formats import LABEL_FORMATS, number
from neurotrust_jax.files.labels import read_with_format
from neurotrust_jax.files.tables import read_rows

NAN = float("nan")
FALCON = "group,Unnamed: 0,concept_set_words,concept_set_noun_phrases\n"
NEURONPEDIA = {"modelId": "gpt2-small", "layer": "6-res-jb", "typeName": "oai_token-act-pair"}


def facts(claims):
    """What claims say, without what is empty in most formats."""
    return [tuple(x[:3]) for x in claims]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "Describe-and-Dissect",
            "Neuron ID,Label 1,Label 2,Label 3\n5,black imagery,gray things, \n6,red,,\n7,,,\n",
            [("", "5", "black imagery", NAN, ("gray things",)), ("", "6", "red", NAN, ())],
        ),
        (
            "MILANNOTATIONS",
            "layer,unit,summary\nl3,26,facemask\nl3,26,stairs\nl2,17,dogs\nl3,26,areas\n",
            [("l3", "26", "facemask", NAN, ("stairs", "areas")), ("l2", "17", "dogs", NAN, ())],
        ),
        (
            "FALCON",
            FALCON + """48,48,"[('piano', 0.25), (""it's"", np.float64(0.5))]",[]\n"""
            """"3, 12","3,12","[('dog', 1e-2)]",[]\n9,9,[],[]\n""",
            [("", "48", "it's", 0.5, ("piano",)), ("", "3,12", "dog", 0.01, ())],
        ),
        (
            "INVERT",
            "neuron,concept,concept_id,metric\n0,electric locomotive,n03272562,0.8932\n",
            [("", "0", "electric locomotive", 0.8932, ())],
        ),
        (
            "Linear-Explanations",
            "layer,unit,val correlation,weight0,concept0,weight1,concept1,weight2,concept2,bias\n"
            "l1,0,0.05,0.053,fishpond,0.0,0,0.0,0,0.35\n"
            "l1,15,0.09,0.075,bamboo,-0.045,alcove,0,0,0.36\n"
            "l1,16,0.09,-0.5,bamboo,0.0,0,0,0,0.36\nl1,17,0,0,0,0,0,0,0,0\n",
            [
                ("l1", "0", "fishpond", 0.05, ()),
                ("l1", "15", "0.075 bamboo - 0.045 alcove", 0.09, ()),
                ("l1", "16", "- 0.5 bamboo", 0.09, ()),
            ],
        ),
    ],
)
def test_tables(tmp_path, name, text, expected):
    path = tmp_path / "x.csv"
    path.write_text(text)
    label_format, claims = read_with_format(path)
    assert label_format.name == name
    np.testing.assert_equal([tuple(x[:5]) for x in claims], expected)


def test_every_format_has_its_keys_and_comes_before_the_tables_it_resembles():
    assert len({x.name for x in LABEL_FORMATS}) == len({x.keys for x in LABEL_FORMATS})
    for i, x in enumerate(LABEL_FORMATS):
        assert not any(set(x.keys) < set(later.keys) for later in LABEL_FORMATS[i + 1 :])


def test_weights_of_a_sum_and_the_number_of_a_concept(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("unit,weight0,concept0,weight1,concept1\n1,0.5,dog,-2,cat\n2,1,sky,0,0\n")
    assert [x.weights for x in read_labels(path)] == [(("dog", 0.5), ("cat", -2.0)), ()]
    path.write_text("neuron,concept,concept_id,metric\n0,slot,n04243546,0.83\n")
    assert read_labels(path)[0].concept_id == "n04243546"


def test_exports_of_neuronpedia(tmp_path):
    rows = [
        NEURONPEDIA | {"index": i, "description": text}
        for i, text in (("0", "dogs"), (1, "cats"), ("0", "animals"), ("2", ""), ("3", "sky"))
    ]
    expected = [("6-res-jb", "0", "dogs"), ("6-res-jb", "1", "cats"), ("6-res-jb", "3", "sky")]
    lines = [json.dumps(x) for x in rows]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.json").write_text(json.dumps({"explanations": rows, "count": 5}))
    (tmp_path / "c.jsonl").write_text("\n".join(lines) + "\n\n")
    folder = tmp_path / "explanations"
    folder.mkdir()
    (folder / "batch-0.jsonl").write_text(lines[0])
    with gzip.open(folder / "batch-1.jsonl.gz", "wt") as file:
        file.write("\n".join(lines[1:]))
    for path in (*tmp_path.glob("*.json*"), folder):
        label_format, claims = read_with_format(path)
        assert label_format.name == "Neuronpedia"
        assert facts(claims) == expected
        assert claims[0].alternatives == ("animals",)
    path = tmp_path / "two.jsonl"
    path.write_text(lines[0] + "\n" + lines[1].replace("gpt2-small", "gemma-2-2b"))
    with pytest.raises(FileError, match="labels of the models gemma-2-2b, gpt2-small; leave one"):
        read_labels(path)


def test_labels_by_neuron(tmp_path):
    path = tmp_path / "x.json"
    for found in ({"7": "dog", "8": "cat"}, {"7": {"label": "dog"}, "8": {"label": "cat"}}):
        path.write_text(json.dumps(found))
        assert facts(read_labels(path)) == [("", "7", "dog"), ("", "8", "cat")]


def test_folders_of_delphi(tmp_path):
    for name in ("explanations", "scores/detection", "scores/fuzz"):
        (tmp_path / name).mkdir(parents=True)
    texts = {"layers.5.mlp_latent7.txt": "dogs", "layers.5.mlp_latent12.txt": "cats"}
    for name, text in texts.items():
        (tmp_path / "explanations" / name).write_text(json.dumps(text))
    # 2 of 3 active ones and 1 of 4 inactive ones are right; two have no answer
    right = [(True, 1)] * 2 + [(True, 0), (False, 0)] + [(False, 1)] * 3 + [(True, None)] * 2
    score = [{"activating": a, "prediction": p, "correct": a == p} for a, p in right]
    (tmp_path / "scores/detection/layers.5.mlp_latent7.txt").write_text(json.dumps(score))
    (tmp_path / "scores/fuzz/layers.5.mlp_latent7.txt").write_text("[]")
    (tmp_path / "scores/fuzz/layers.5.mlp_latent12.txt").write_text(json.dumps(score[:3]))
    for path in (tmp_path, tmp_path / "explanations"):
        label_format, claims = read_with_format(path)
        assert label_format.name == "delphi"
        assert facts(claims) == [("layers.5.mlp", "12", "cats"), ("layers.5.mlp", "7", "dogs")]
        assert math.isnan(claims[0].similarity)  # no inactive example
        assert claims[1].similarity == pytest.approx((2 / 3 + 1 / 4) / 2)
    (tmp_path / "scores/detection/layers.5.mlp_latent7.txt").write_text('{"x": 1}')
    with pytest.raises(FileError, match=r"latent7.txt: must hold a list of scored examples"):
        read_labels(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_encodings(tmp_path, encoding, separator, end):
    path = tmp_path / "x.csv"
    rows = ["unit label score", "7 \"a;b,'\u72ac'\" 0.5", '8 "c" "0,25"']
    text = end.join(x.replace(" ", separator) for x in rows) + end
    for first in ("", f"sep={separator}{end}"):
        path.write_bytes((first + text).encode(encoding))
        claims = read_labels(path)
        assert facts(claims) == [("", "7", "a;b,'\u72ac'"), ("", "8", "c")]
        assert [x.similarity for x in claims] == [0.5, 0.25]
        assert [line for line, _ in read_rows(path)] == [i + 1 + bool(first) for i in range(3)]


def test_a_quoted_header_does_not_decide_what_separates(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('unit,label,"a; b; c; d"\n0,dog,x\n')
    assert facts(read_labels(path)) == [("", "0", "dog")]


def test_numbers():
    found = [number(x) for x in ("0.5", "0,5", "-,5", "1e-3", "1,2,3", "", "x")]
    np.testing.assert_array_equal(found, [0.5, 0.5, -0.5, 1e-3, NAN, NAN, NAN])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "unit,label\n0,caf\u00e9\n".encode("cp1252"),
         'unexpected end of data at byte|invalid continuation byte at byte 16; save .*"CSV UTF-8"'),
        ("x.csv", FALCON.encode() + b"4,4,dog,[]\n",
         r"line 2 must list words with scores in concept_set_words, such as .*; it has 'dog'"),
        ("x.csv", b"Neuron ID,Label 1\n0,\n", "x.csv: holds no labels"),
        ("x.csv", b"unit;label\n0;a;b\n", "line 2 has 3 cells for 2 columns; quote a cell that"),
        ("x.json", b"[1, 2]", "x.json: must hold objects with a neuron and its description, or"),
        ("x.json", b'{"a": 1}', "has no column for the neuron"),
        ("x.json", b'[{"index": "0"}]', r"has no column for the description .*; it has index"),
        ("x.json", b'[{"index": "0", "label": "\\ud800"}]', "item 0: 'label' must hold whole char"),
        ("x.json", b"[{", "x.json: can not be read: Expecting"),
        ("x.jsonl", b'{"index": 0, "label": "a"}\n{\n', "x.jsonl: line 2: can not be read"),
        ("x.jsonl", b"", "x.jsonl: holds no labels"),
        ("x.csv.gz", b"unit,label\n", "x.csv.gz: can not be read: Not a gzipped file"),
        ("x.json", b'[{"index": 0, "label": "a"}, {"index": 0, "label": "b"}]',
         "item 1 names neuron 0 a second time; leave one of the two out"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as error:
        read_labels(path)
    assert "\n" not in str(error.value)


def test_folders_without_labels(tmp_path):
    with pytest.raises(
        FileError, match=r"holds no labels: neither .jsonl or .json files nor those"
    ):
        read_labels(tmp_path)
    (tmp_path / "a_latent3.txt").write_text("a dog")
    with pytest.raises(FileError, match=r"a_latent3.txt: can not be read"):
        read_labels(tmp_path)
    (tmp_path / "a_latent3.txt").write_text("[1]")
    with pytest.raises(FileError, match="must hold the explanation of a latent as a string"):
        read_labels(tmp_path)


@pytest.mark.parametrize("group", ["3,12", "[3, 12]", "(3, 12)"])
def test_a_group_is_written_with_and_without_brackets(tmp_path, group):
    path = tmp_path / "x.csv"
    path.write_text(FALCON + f""""{group}","{group}","[('dog', 0.1)]",[]\n""")
    assert read_labels(path)[0].neuron == "3,12"


def test_features_of_a_group_count_from_one_too(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(FALCON + """"3,12","3,12","[('dog', 0.1)]",[]\n""")
    assert read_labels(path, first_neuron=1)[0].neuron == "2,11"
    with pytest.raises(FileError, match="line 2 names neuron 3, below the first one, 4"):
        read_labels(path, first_neuron=4)
