"""Options from files, quiet and machine-readable output, completion, and the exit status."""

import inspect
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import typer
from builders import command
from typer.main import get_command

from neurotrust_jax import cli
from neurotrust_jax.cli import command as shared
from neurotrust_jax.cli import config, output

AUDIT = "audit --activations first.npy --concepts concepts.npy --out o"


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_options_come_from_a_file_and_those_of_the_command_line_win(files, monkeypatch):
    (files / "deep").mkdir()
    (files / "deep" / "run.toml").write_text(
        'activations = ["../first.npy", "../second.npy"]\nconcepts = "../concepts.npy"\n'
        'num-replicates = 7\nnum_permutations = 5\nmetric = "mad"\nout = "o"\n'
        "activation-range = [-9, 9.5]\nforce = true\nquiet = true\nmemory-limit = 80000000\n"
    )
    result = command("audit", "--config", "deep/run.toml", "--num-replicates", 9)
    assert result == (0, "", "")
    found = manifest(files / "deep" / "o")
    assert found["layers"] == ["first", "second"]
    options = found["options"]
    assert (options["num_replicates"], options["num_permutations"]) == (9, 5)
    assert (options["metric"], options["activation_range"]) == ("mad", [-9, 9.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num-replicat = 5", "'num-replicat' is no option of neurotrust plan; neurotrust plan --h"),
        ("num-concept = 5", "'num-concept' is no option of neurotrust plan; did you mean 'num-con"),
        ("config = 'x'", "'config' is no option of neurotrust plan; neurotrust plan --help lists"),
        ("[plan]\nalpha = 0.1", "'plan' is no option of neurotrust plan; neurotrust plan --help"),
        ("alpha = [0.1, 0.2]", "alpha takes one value, got [0.1, 0.2]; give one"),
        ("alpha = true", "alpha must be a number or a text, got True"),
        ("json = 1", "json must be true or false, got 1"),
        ("concept-frequency = [[0.1]]", "concept-frequency must be a number or a text, got [0.1]"),
        ("alpha: 0.1", "is not TOML (Expected '=' after a key"),
        ("alpha = 2", "must lie strictly between 0 and 1, got 2.0"),
        ("error = 0.1\nmargin = 0.1", "excludes --margin; leave one of them out"),
    ],
)
def test_what_a_file_can_not_set_is_refused_in_one_line(tmp_path, monkeypatch, text, message):
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "c.toml").write_text(text)
    result = command("plan", "--config", tmp_path / "c.toml")
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert result.stdout == ""


def test_an_option_of_a_file_that_has_no_effect_is_refused(files):
    (files / "labels.csv").write_text("unit,label\n0,concept 1\n")
    (files / "c.toml").write_text("metric = 'iou'\n")
    result = command("check", "labels.csv", "--config", "c.toml")
    assert result.exit_code == 2
    assert "has no effect without" in result.output
    (files / "c.toml").write_text("quiet = true\n")
    assert command("check", "labels.csv", "--config", "c.toml") == (0, "", "")


def test_a_manifest_gives_the_same_run_again(files):
    command(*AUDIT.split(), "--names", "names.txt", "--top-fraction", 0.1, "--seed", 3, "--alpha",
            0.2)  # fmt: skip
    first = manifest(files / "o")
    (files / "elsewhere").mkdir()
    os.chdir(files / "elsewhere")
    assert command("audit", "--config", "../o/manifest.json", "--out", "new", "--quiet")[0] == 0
    second = manifest(files / "elsewhere" / "new")
    for part in ("inputs", "options", "layers", "chosen_layers", "thresholds"):
        assert second[part] == first[part]
    # without another folder the run goes on where it stopped, and others do not mix with it
    before = (files / "o" / "audit.json").stat().st_mtime_ns
    assert command("audit", "--config", "../o/manifest.json")[0] == 0
    assert (files / "o" / "audit.json").stat().st_mtime_ns == before
    refused = command("audit", "--config", "../o/manifest.json", "--alpha", 0.3)
    assert refused.exit_code == 2
    assert "holds another audit (alpha differ)" in " ".join(refused.output.split())


def test_what_was_taken_by_default_follows_from_the_other_options_again(files):
    """A manifest lists the split that was made; another metric needs none."""
    command(*AUDIT.split())
    assert manifest(files / "o")["options"]["split"] == 0.2
    again = ["audit", "--config", "o/manifest.json", "--quiet", "--out"]
    assert command(*again, "a", "--metric", "auroc")[0] == 0
    assert manifest(files / "a")["options"]["split"] == 0
    np.save("t.npy", np.zeros(4))
    assert command(*again, "b", "--thresholds", "t.npy") == (0, "", "")
    assert manifest(files / "b")["options"]["top_fraction"] is None
    # what was chosen stays: no split although thresholds are set, and the layers
    assert command(*again, "c", "--split", 0, "--layer", "first")[0] == 0
    assert command("audit", "--config", "c/manifest.json", "--out", "d", "--quiet")[0] == 0
    found = manifest(files / "d")
    assert (found["options"]["split"], found["chosen_layers"]) == (0, ["first"])
    assert command("audit", "--config", "a/manifest.json", "--out", "e", "--metric", "iou")[0] == 0
    assert manifest(files / "e")["options"]["split"] == 0.2


def test_a_manifest_that_only_python_can_repeat_is_refused(files):
    command(*AUDIT.split())
    path = files / "o" / "manifest.json"
    found = manifest(files / "o")
    path.write_text(json.dumps(found | {"options": found["options"] | {"scheme": "poisson"}}))
    refused = command("audit", "--config", path)
    assert refused.exit_code == 2
    assert "scheme='poisson' can be set in Python only" in " ".join(refused.output.split())
    for text in ("{", "[]", json.dumps(found | {"inputs": 3}), json.dumps({"format": 1})):
        path.write_text(text)
        refused = command("audit", "--config", path)
        assert refused.exit_code == 2
        assert "is not the manifest of an audit" in " ".join(refused.output.split())


def test_json_is_all_that_stands_on_standard_output(files):
    result = command(*AUDIT.split(), "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == ["command", "out", "layers", "page", "descriptions", "audits", "seconds"]
    (layer,) = found["layers"]
    verdicts = {"certified": 1, "stable": 1, "ambiguous": 1, "undecided": 1, "unexplained": 0}
    assert layer == {
        "layer": "first", "metric": "iou", "neurons": 4, "concepts": 5, "samples": 50,
        "verdicts": verdicts,
    }  # fmt: skip
    assert all(os.path.exists(found[x]) for x in ("out", "page", "descriptions"))
    assert found["audits"] == [os.path.join("o", "audit.json")]
    assert found["seconds"] > 0
    # one that is refused prints none, and the next command is not quiet
    refused = command(*AUDIT.split(), "--json", "--alpha", 0.3)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Wrote o in" in command(*AUDIT.split()).stdout


def test_commands_answer_in_json():
    found = json.loads(command("plan", "--concept-frequency", 0.01, "--json").stdout)
    assert found["plan"] == [{"concept_frequency": 0.01, "samples": 9235, "positives": 93}]
    found = json.loads(command("plan", "--num-samples", 1000, "--json").stdout)
    assert [x["concept_frequency"] for x in found["plan"]] == [0.5, 0.1, 0.01]


def test_numbers_that_json_does_not_know_are_null():
    facts = {"a": [np.float32(2), float("nan")], "b": np.array([1, 2]), 3: (float("inf"), True)}
    assert output._plain(facts) == {"a": [2.0, None], "b": [1, 2], "3": [None, True]}


def test_quiet_prints_errors_only(files, monkeypatch):
    monkeypatch.setattr(output, "SECONDS", 0.0)  # else a line comes after ten seconds
    assert command(*AUDIT.split(), "--quiet") == (0, "", "")
    refused = command(*AUDIT.split(), "--quiet", "--alpha", 0.3)
    assert refused.exit_code == 2
    assert "holds another audit" in refused.output


def test_every_option_is_in_a_group_and_every_command_has_an_example():
    app = get_command(cli.app)
    for name, one in app.commands.items():
        assert one.epilog.startswith(f"Example: neurotrust {name} ")
        for option in one.params:
            if option.param_type_name == "option":
                assert option.rich_help_panel in shared.ORDER, (name, option.name)
    known = {x.name for one in app.commands.values() for x in one.params}
    assert set(shared.GROUPS) <= known


@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_and_shows_an_example(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    for name in get_command(cli.app).commands:
        text = command(name, "--help").stdout
        assert max(map(len, text.splitlines())) <= width
        assert f"Example: neurotrust {name}" in text
        assert "…" not in text


def test_the_types_of_values():
    class Other:
        pass

    def found(function):
        annotations = inspect.signature(function, eval_str=True).parameters.values()
        return [config.value_type(x.annotation) for x in annotations]

    def options(
        a: int, b: "float | None", c: "list[str] | None", d: "tuple[float, float] | None",
        e: "typer.Context",
    ): ...  # fmt: skip

    assert found(options) == [
        (int, False), (float, False), (str, True), (float, True), (typer.Context, False),
    ]  # fmt: skip


COMPLETE = """
import os, sys
os.environ |= {"_NEUROTRUST_COMPLETE": "complete_bash", "COMP_WORDS": sys.argv[1],
               "COMP_CWORD": str(len(sys.argv[1].split(" ")) - 1)}
sys.argv = ["neurotrust"]
from neurotrust_jax.cli import app
try:
    app(prog_name="neurotrust")
finally:
    assert not {"jax", "scipy", "flax", "matplotlib", "jinja2"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("neurotrust m", "merge"),
        ("neurotrust demo --task python-s", "python-sae"),
        # the values before it are not looked at, since that would take JAX
        ("neurotrust compare --metric auroc --seed 1 --other-metric soft", "soft_wpmi"),
        ("neurotrust audit --metric iou --out o --config x.toml --memory-l", "--memory-limit"),
    ],
)
def test_the_shell_completes_commands_options_and_choices_without_jax(line, words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE, line], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout.strip(), done.stderr) == (words, "")


def test_the_exit_status(files, monkeypatch):
    def end(error):
        def audit(*arguments, **options):
            raise error

        monkeypatch.setattr("neurotrust_jax.runs.audit_files", audit)
        return command(*AUDIT.split())

    assert command("--version").exit_code == 0
    assert command("plan", "--nothing").exit_code == 2
    assert end(ValueError("no")).exit_code == 2
    found = end(MemoryError())
    assert found.exit_code == 3
    assert "there is not enough memory" in found.output
    assert end(RuntimeError("RESOURCE_EXHAUSTED: out")).exit_code == 3
    found = end(KeyboardInterrupt())
    assert found.exit_code == 130
    assert "Interrupted. The same command goes on" in " ".join(found.output.split())
    assert found.stdout == ""
    with pytest.raises(RuntimeError, match="a defect"):  # which ends a process with status 1
        end(RuntimeError("a defect"))
