"""``neurotrust audit --compose``: what reaches the audit, what is written, shown and refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from builders import command, same_fields

from neurotrust_jax import report
from neurotrust_jax.runs import audit_run

AUDIT = "audit --activations first.npy --concepts concepts.npy"
FORMULA = "concept 0 AND NOT concept 1"


def run(arguments):
    return command(*AUDIT.split(), *arguments.split())


def flat(text):
    return " ".join(text.replace("│", " ").split())


def test_the_option_reaches_the_audit_and_is_kept(files, monkeypatch):
    given, made = [], audit_run.audit

    def audit(*arguments, **options):
        given.append(options["compose"])
        return made(*arguments, **options)

    monkeypatch.setattr(audit_run, "audit", audit)
    assert run("--compose 3 --out o --quiet").exit_code == 0
    manifest = json.loads(Path("o/manifest.json").read_text(encoding="utf-8"))
    assert manifest["options"]["compose"] == 3
    # the manifest gives the same run again, and another number is another audit
    assert command("audit", "--config", "o/manifest.json", "--out", "p", "--quiet").exit_code == 0
    Path("run.toml").write_text('activations = ["first.npy"]\nconcepts = "concepts.npy"\n'
                                'compose = 2\nout = "q"\n')  # fmt: skip
    assert command("audit", "--config", "run.toml", "--quiet").exit_code == 0
    assert run("--out r --quiet").exit_code == 0
    assert given == [3, 3, 2, None]
    assert "holds another audit (compose differ)" in flat(run("--out o --quiet").output)


def test_formulas_are_shown_and_merged(files):
    assert run("--compose 2 --out a --names names.txt").exit_code == 0
    other = AUDIT.replace("first", "second")
    assert command(*f"{other} --compose 2 --out b --names names.txt".split()).exit_code == 0
    assert command("merge", "a", "b", "--out", "both").exit_code == 0
    for layer in ("first", "second"):
        (merged,) = Path("both").glob(f"{layer}-*/audit.json")
        before = report.read_audit(Path("a" if layer == "first" else "b") / "audit.json")
        same_fields(report.read_audit(merged).compositions, before.compositions)
    shown = flat(command("show", "both", "--neuron", 0, "--layer", "first").stdout)
    assert f"formula {FORMULA} its iou is 0.050" in shown
    (one,) = json.loads(command("show", "a", "--neuron", 0, "--json").stdout)["neurons"]
    assert one["formula"]["formula"] == FORMULA
    assert one["formula"]["better"]
    assert "Formulas: 1 of 4 neurons have" in flat(command("show", "a").stdout)
    assert "better:" in command("show", "a").stdout


@pytest.mark.parametrize(("arguments", "message"), [
    ("--compose 1", "--compose"),
    ("--compose 2 --metric auprc", "compose=2: metric='auprc' can not score formulas of present "
     "and absent concepts; give one of"),
])  # fmt: skip
def test_what_can_not_be_composed_is_refused(files, arguments, message):
    result = run(f"{arguments} --out o")
    assert result.exit_code == 2
    assert message in flat(result.output)
    assert not (files / "o").exists()


@pytest.mark.slow
def test_a_planted_formula_is_found_by_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    rng = np.random.default_rng(0)
    c = rng.random((3000, 8)) < 0.3
    f = rng.normal(size=(3000, 3)).astype(np.float32)
    f[:, 0] += 4 * (c[:, 0] & ~c[:, 1])
    f[:, 1] += 4 * c[:, 2]
    np.save("first.npy", f)
    np.save("concepts.npy", c)
    np.save("thresholds.npy", np.full(3, 2, np.float32))
    Path("names.txt").write_text("\n".join(f"concept {i}" for i in range(8)))
    options = (
        "--names names.txt --thresholds thresholds.npy --num-replicates 50 --num-permutations 99 "
        "--compose 2 --out o"
    )
    result = run(options)
    assert result.exit_code == 0, result.output
    assert "better:" in result.stdout  # the formula itself is divided over lines
    with Path("o/descriptions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["formula"] for row in rows] == [FORMULA, "", ""]
    assert float(rows[0]["formula_gain"]) > 0.1
    assert rows[1]["formula_gain"] == ""
    audit = report.read_audit("o/audit.json")
    assert audit.compositions.search == "optimal"
    assert audit.compositions.proved.all()
    assert audit.formula(0) == FORMULA
    assert "<b>Formula</b>: the best of" in Path("o/report.html").read_text(encoding="utf-8")
    # a finished run is read, and the same numbers are written again
    written = Path("o/descriptions.csv").read_bytes()
    assert run(options).exit_code == 0
    assert Path("o/descriptions.csv").read_bytes() == written
