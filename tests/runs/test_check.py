"""The command that judges labels: files of labels meet the arrays behind them."""

import csv
import io
import json
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest

from neurotrust_jax.cli import main

ARRAYS = "--activations f.npy --concepts c.npy --names names.txt"
NAMES = [f"concept {i}" for i in range(16)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Sixteen neurons, each of which follows the concept of its number."""
    rng = np.random.default_rng(0)
    c = rng.random((400, 16)) < 0.2
    np.save(tmp_path / "c.npy", c)
    np.save(tmp_path / "f.npy", (rng.normal(size=(400, 16)) + 3 * c).astype(np.float32))
    np.save(tmp_path / "t.npy", np.ones(16))
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    labels = [f"{u},{name},0.{u}" for u, name in enumerate(NAMES)]
    (tmp_path / "labels.csv").write_text("\n".join(["unit,label,score", *labels]))
    (tmp_path / "later.csv").write_text(
        "unit,label\n" + "\n".join(f"{u + 1},{name}" for u, name in enumerate(NAMES[:-1]))
    )
    (tmp_path / "falcon.csv").write_text(
        "group,concept_set_words\n\"3,1\",\"[('concept 1', 0.4), ('x', 0.1)]\"\n"
        "5,\"[('concept 5', 0.3)]\"\n"
    )
    (tmp_path / "linear.csv").write_text(
        "layer,unit,val correlation,weight0,concept0,weight1,concept1,bias\n"
        "l4,2,0.4,0.5,concept 2,0.25,concept 3,0.1\nl4,3,0.4,0.5,concept 3,0.0,0,0.1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    return tmp_path


def command(arguments):
    """Exit code and output of the command in this process."""
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["neurotrust", "check", *arguments.split()])
        try:
            main()
        except SystemExit as end:
            return end.code or 0, told.getvalue()
    return 0, told.getvalue()


class Captured(Exception):
    """What was going to be judged."""


@pytest.fixture
def judged(here, monkeypatch):
    """The probe and the labels that the command would judge, and what it has said so far."""

    def judge(key, probe, label, metric, **options):
        raise Captured(probe, label)

    monkeypatch.setattr("neurotrust_jax.auditing.label_checks.judge_labels", judge)

    def run(arguments):
        told = io.StringIO()
        with redirect_stderr(told), pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["neurotrust", "check", *arguments.split()])
            with pytest.raises(Captured) as found:
                main()
        return *found.value.args, told.getvalue()

    return run


def test_groups_of_features_take_the_place_of_neurons(here, judged):
    probe, label, _ = judged(f"falcon.csv {ARRAYS} --top-fraction 0.1 --split 0")
    assert probe.neuron_names == ("3,1", "5")
    assert label.tolist() == [1, 5]
    f = np.load("f.npy")
    np.testing.assert_array_equal(probe.activations, np.stack([f[:, [1, 3]].min(1), f[:, 5]], 1))
    assert probe.active.sum(axis=0).tolist() == [40, 40]


def test_weighted_sums_become_concepts(here, judged):
    probe, label, _ = judged(f"linear.csv {ARRAYS} --metric correlation")
    assert probe.concept_names[16:] == ("0.5 concept 2 + 0.25 concept 3",)
    assert label.tolist() == [-1, -1, 16, 3] + [-1] * 12


@pytest.mark.parametrize(
    ("options", "samples", "source"),
    [
        ("", 320, "top_fraction=0.05 of 80 samples set aside for the thresholds"),
        ("--split 0.5 --top-fraction 0.2", 200, "top_fraction=0.2 of 200 samples set aside for "
         "the thresholds"),
        ("--split 0", 400, "top_fraction=0.05"),
        ("--thresholds t.npy", 400, "given"),
        ("--metric auroc", 400, "top_fraction=0.05"),
    ],
)  # fmt: skip
def test_thresholds_are_set_as_in_an_audit(here, judged, options, samples, source):
    probe, _, _ = judged(f"labels.csv {ARRAYS} {options}")
    assert (probe.num_samples, probe.threshold_source) == (samples, source)


def test_labels_that_fit_a_neighbour_raise_a_question(here, judged):
    for path, remedy in (("later.csv", "count from 0, give --first-neuron 1."), ("labels.csv", "")):
        _, label, told = judged(f"{path} {ARRAYS}")
        assert ("Warning: most labels fit the neuron before theirs" in told) == bool(remedy)
        assert remedy in told
        assert label[3] == (2 if remedy else 3)  # as stated
    _, label, told = judged(f"later.csv {ARRAYS} --first-neuron 1")
    assert label[3] == 3
    assert "Warning" not in told
    (here / "early.csv").write_text(
        "unit,label\n" + "\n".join(f"{u},{name}" for u, name in enumerate(NAMES[1:]))
    )
    told = judged(f"early.csv {ARRAYS}")[2]
    assert "fit the neuron after theirs better than their own; if the file does not count" in told
    assert "from 0, raise the numbers in it by 1." in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("labels.csv --split 0.1", "--split: has no effect without --activations and --concepts"),
        ("labels.csv --top-fraction 0.1", "--top-fraction: has no effect without --activations"),
        (f"labels.csv {ARRAYS} --thresholds t.npy --split 0.1", "exclude split=0.1 (--split)"),
        (f"labels.csv {ARRAYS} --metric auroc --split 0.1", "which auroc does not read; leave it"),
        (f"falcon.csv {ARRAYS} --thresholds t.npy", "--thresholds: are of single features, and "
         "falcon.csv labels groups of them; leave it out"),
        (f"linear.csv {ARRAYS}", "metric='iou' can not judge; give one of simulation_auroc"),
        (f"f.npy {ARRAYS}", "f.npy: holds arrays; give labels as a table or .json"),
    ],
)  # fmt: skip
def test_what_is_refused(here, arguments, message):
    code, told = command(arguments)
    assert code == 2
    assert message in told
    assert "Traceback" not in told


def test_what_a_file_alone_tells(here):
    code, told = command("falcon.csv")
    assert code == 0
    assert told.startswith("FALCON: 2 labels of 1 layer(s), 2 with a similarity")


@pytest.mark.slow
def test_stated_similarities_and_alternatives_stand_beside_ours(here):
    code, told = command(f"falcon.csv {ARRAYS} --num-replicates 60 --out o.csv")
    assert code == 0, told
    assert "stated" in told
    with (here / "o.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [x["unit"] for x in rows] == ["3,1", "5"]
    assert [x["stated_similarity"] for x in rows] == ["0.4", "0.3"]
    assert [x["alternatives"] for x in rows] == ["x", ""]
    assert rows[1]["finding"] == "supported"
    code, told = command(f"linear.csv {ARRAYS} --metric correlation --num-replicates 60")
    assert code == 0, told
    assert "1 labels are weighted sums of concepts. If their weights were fitted" in told


@pytest.mark.slow
def test_labels_of_an_audit_have_its_similarity(here):
    """Both set the same samples aside for the thresholds."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        arguments = f"audit {ARRAYS} --out a --num-replicates 60 --num-permutations 0 --rows 0"
        patch.setattr("sys.argv", ["neurotrust", *arguments.split()])
        with pytest.raises(SystemExit):
            main()
    code, told = command(f"a/descriptions.csv {ARRAYS} --num-replicates 60 --out o.csv")
    assert code == 0, told
    with (here / "o.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(NAMES)
    for x in rows:
        assert float(x["similarity"]) == pytest.approx(float(x["stated_similarity"]), abs=1e-4)
    assert json.loads((here / "a" / "manifest.json").read_text())["complete"]
