"""Read an audit in the terminal."""

import json
from dataclasses import replace

import fuzz
import pytest
from builders import command

from neurotrust_jax import report
from neurotrust_jax.cli.show import find_neurons

BOTH = "audit --activations first.npy --activations second.npy --concepts concepts.npy --out o"


def flat(text):
    return " ".join(text.split())


def test_a_folder_shows_its_summaries_and_first_neurons(files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    command(*BOTH.split())
    shown = command("show", "o", "--rows", 2)
    assert shown.exit_code == 0
    assert "first: 2 of 4 neurons, best first" in flat(shown.stdout)
    assert "second: 2 of 7 neurons, best first" in flat(shown.stdout)
    one = report.read_audit(next((files / "o").glob("first-*/audit.json")))
    assert flat(one.summary()) in flat(shown.stdout)
    alone = command("show", "o", "--layer", "second", "--rows", 0).stdout
    assert "neurons, best first" not in alone
    assert "of 7 neurons a fresh probing set" in flat(alone)
    found = json.loads(command("show", "o", "--json").stdout)
    assert [(x["layer"], x["neurons"]) for x in found["layers"]] == [("first", 4), ("second", 7)]


def test_one_file_and_the_folder_of_a_demo_are_read_too(tmp_path):
    path = report.write_audit(fuzz.small_audit(), tmp_path / "audit.json")
    assert command("show", path).stdout == command("show", tmp_path).stdout
    assert "of 2 neurons a fresh probing set" in flat(command("show", path).stdout)


def test_neurons_are_shown_by_name_or_number_in_every_layer_that_has_them(files):
    command(*BOTH.split())
    shown = command("show", "o", "--neuron", 3, "--neuron", "6").stdout
    titles = [x for x in shown.splitlines() if x.startswith("Neuron")]
    assert [x.partition(":")[0] for x in titles] == [
        "Neuron 3 of layer first", "Neuron 3 of layer second", "Neuron 6 of layer second",
    ]  # fmt: skip
    found = json.loads(command("show", "o", "--neuron", 1, "--layer", "second", "--json").stdout)
    (one,) = found["neurons"]
    assert (one["name"], one["number"], one["layer"]) == ("1", 1, "second")
    assert (one["label"], one["verdict"]) == ("concept 1", "stable")
    assert one["concept_set"][0] == "concept 1"


def test_a_name_goes_before_a_number():
    audit = replace(fuzz.small_audit(3), neuron_names=("7", "2", "feature 1"))
    other = replace(fuzz.small_audit(4), layer="other", neuron_names=tuple("abcd"))

    def places(neuron):
        return [(x.layer, x.number) for x in find_neurons([audit, other], neuron)]

    assert places("2") == [("block", 1)]
    assert places("feature 1") == [("block", 2)]
    assert places("0") == [("block", 0), ("other", 0)]
    assert places("3") == [("other", 3)]
    with pytest.raises(ValueError, match="from 0 to 2, got 9"):
        places("9")
    with pytest.raises(ValueError, match="no neuron is named 'feature 2'; names are like 'featur"):
        places("feature 2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("o --layer x", "o: there is no layer 'x'; there are: first, second"),
        ("o --neuron x", "no neuron is named 'x'; names are like '0', '1', '2'"),
        ("o --neuron 9", "neuron must be a number from 0 to 3, got 9"),
        ("o --neuron -1", "no neuron is named '-1'"),
        (".", "has no manifest.json; give a folder that neurotrust audit wrote"),
        ("names.txt", "names.txt is not an audit in the format"),
        ("missing", "does not exist"),
    ],
)
def test_what_is_not_there_is_refused(files, arguments, message):
    command(*BOTH.split())
    refused = command("show", *arguments.split())
    assert refused.exit_code == 2
    assert message in flat(refused.output.replace("│", " "))
    assert refused.stdout == ""


def test_a_run_that_has_not_finished_a_layer_is_named(files, monkeypatch):
    command(*BOTH.split())
    path = files / "o" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"done": {}}))
    assert "o: no layer of this run is done" in flat(command("show", "o").output)
