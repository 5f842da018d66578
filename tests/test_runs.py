"""The command on files: everything lands in one folder, resumes, and never mixes with another."""

import csv
import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse

from neurotrust_jax import report, runs
from neurotrust_jax.cli import main
from neurotrust_jax.datasets import planted

pytestmark = pytest.mark.x32
QUICK = ["--replicates", "60", "--permutations", "19", "--rows", "2"]


class Result(NamedTuple):
    exit_code: int
    output: str


def command(*arguments):
    """Run the command in this process, as a shell would."""
    told, code = io.StringIO(), 0
    with redirect_stdout(told), redirect_stderr(told), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["neurotrust", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Result(code, told.getvalue())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files as other programs write them."""
    import jax

    folder = tmp_path_factory.mktemp("data")
    p = planted(jax.random.key(1), 600, num_neurons=5, num_concepts=6, effect=0.8)
    f, c = np.array(p.activations), np.array(p.concepts)
    np.savez(folder / "layers.npz", **{"block.1": f, "block/2": f[:, ::-1]})
    np.save(folder / "one.npy", f)
    sparse.save_npz(folder / "sparse.npz", sparse.csr_array(np.where(f > 0.5, f, 0)))
    np.save(folder / "concepts.npy", c)
    (folder / "names.txt").write_text("\n".join(f"<b>concept {i}</b>" for i in range(6)))
    np.save(folder / "groups.npy", np.arange(600) // 3)
    np.save(folder / "images.npy", np.random.default_rng(0).random((600, 6, 6)))
    return folder


@pytest.mark.slow
def test_layers_from_disk(data, tmp_path):
    """Everything is written, resumes without working again, and is refused for other content."""
    options = [
        "audit", "--activations", data / "layers.npz", "--concepts", data / "concepts.npy",
        "--names", data / "names.txt", "--examples", data / "images.npy", "--out", tmp_path / "a",
        *QUICK,
    ]  # fmt: skip
    result = command(*options)
    assert result.exit_code == 0, result.output
    out = tmp_path / "a"
    with (out / "descriptions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["layer"] for r in rows] == ["block.1"] * 5 + ["block/2"] * 5
    assert rows[0]["description"] == "<b>concept 0</b>" == rows[9]["description"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<b>concept" not in page
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["complete"]
    assert set(manifest["inputs"]) == {"activations 0", "concepts", "names", "examples"}
    folders = [runs.folder_name(x) for x in ("block.1", "block/2")]
    audits = [report.read_audit(out / x / "audit.json") for x in folders]
    assert [a.layer for a in audits] == ["block.1", "block/2"]
    np.testing.assert_array_equal(audits[0].similarity, audits[1].similarity[::-1])
    for folder in folders:
        assert {p.suffix for p in (out / folder).glob("verdicts.*")} == {".png", ".svg"}
    assert [p.name for p in out.rglob(".*")] == [".lock"]  # nothing half written is left

    # one layer is lost: only that one is done again, to the same numbers
    kept = (out / folders[0] / "audit.json").stat().st_mtime_ns
    lost = (out / folders[1] / "audit.json").read_bytes()
    (out / folders[1] / "audit.json").write_text("{}")
    assert command(*options).exit_code == 0
    assert (out / folders[0] / "audit.json").stat().st_mtime_ns == kept
    assert (out / folders[1] / "audit.json").read_bytes() == lost

    # other content under the same name
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    np.save(moved / "concepts.npy", np.load(data / "concepts.npy")[::-1])
    other = [moved / "concepts.npy" if x == data / "concepts.npy" else x for x in options]
    result = command(*other)
    assert result.exit_code == 2
    assert "holds another audit (concepts differ)" in " ".join(result.output.split())


@pytest.mark.slow
def test_sparse_features_and_groups(data, tmp_path):
    known = ["--largest-unit", 3, "--activation-range", 0, 9]
    result = command(
        "audit", "--activations", data / "sparse.npz", "--concepts", data / "concepts.npy",
        "--groups", data / "groups.npy", "--out", tmp_path, *QUICK, *known,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    options = json.loads((tmp_path / "manifest.json").read_text())["options"]
    assert (options["largest_unit"], options["activation_range"]) == (3, [0, 9])
    assert runs._content((0, 9)) == options["activation_range"]  # so that the run can be resumed
    found = report.read_audit(tmp_path / "audit.json")
    assert found.finite_sample
    assert found.layer == "sparse"
    assert (found.num_samples, found.num_units) == (600, 200)


def test_examples_of_a_split_are_those_of_its_own_rows(data):
    """The picture shown first is the one of the highest activation left to the audit."""
    options = runs.Options(split=0.3)
    files = runs.Files((data / "one.npy",), data / "concepts.npy", groups=data / "groups.npy")
    (probe_of,) = runs.load_layers(files, options).values()
    whole, used = probe_of(whole=True), probe_of()
    assert used.num_samples == 420
    examples = runs._examples(data / "images.npy", whole, used, options)(used)
    images, f = np.load(data / "images.npy"), np.load(data / "one.npy")
    left = np.isin(f[:, 0], np.asarray(used.activations)[:, 0])
    for u in range(5):
        best = np.where(left, f[:, u], -np.inf).argmax()
        np.testing.assert_array_equal(examples.show(examples.top[u, 0]), images[best])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--activations", "missing.npy"], "does not exist"),
        (["--activations", "concepts.npy", "--metric", "IoU"], "unknown metric 'IoU'"),
        (["--activations", "groups.npy"], "layer 'groups' must be [n, U] with the n = 600"),
        (["--activations", "short.npy"], "with the n = 600 samples"),
        (["--activations", "nan.npy"], "activations holds NaN or infinite values in 1 places"),
        (["--activations", "one.npy", "--names", "short.txt"], "holds 5 names for the 6 concepts"),
        (["--activations", "one.npy", "--groups", "short.npy"], "groups must have shape [600]"),
        (["--activations", "one.npy", "--examples", "short.npy"], "images must be [n, H, W]"),
        (["--activations", "objects.npy"], "pickled objects, which could run code"),
        (["--activations", "names.txt"], "unknown kind of file"),
        (["--activations", "layers.npz", "--layer", "x"], "there is no layer x; there are: block"),
        (["--activations", "one.npy", "--alpha", "1"], "must lie strictly between 0 and 1"),
        (
            ["--activations", "one.npy", "--concepts", "one.npy"],
            "concepts holds values outside [0, 1]",
        ),
        (["--activations", "one.npy", "--concepts", "empty.npy"], "must"),
    ],
)
def test_wrong_input_ends_in_one_line_before_any_work(
    data, tmp_path, options, message, monkeypatch
):
    one = np.load(data / "one.npy")
    np.save(data / "short.npy", one[:-1])
    np.save(data / "nan.npy", np.where(one == one.max(), np.nan, one))
    np.save(data / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(data / "empty.npy", np.zeros((600, 0)))
    (data / "short.txt").write_text("\n".join("abcde"))
    monkeypatch.setattr(runs, "audit", None)  # it is not called
    monkeypatch.chdir(data)
    concepts = [] if "--concepts" in options else ["--concepts", "concepts.npy"]
    result = command("audit", *options, *concepts, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_plan():
    result = command("plan", "--metric", "iou", "--frequency", 0.01)
    assert "9,235" in result.output
    assert "12,979" in command("plan", "--margin", 0.3, "--frequency", 0.01).output
    heavy = ("plan", "--metric", "correlation", "--frequency", 0.01, "--kurtosis", 114)
    assert "11,216" in command(*heavy).output
    assert "kurtosis 114; 3 is normal" in command(*heavy).output
    assert "0.215" in command("plan", "--metric", "auroc", "--samples", 1000).output
    refused = command("plan", "--samples", 10, "--error", 0.1)
    assert refused.exit_code == 2
    assert "excludes --error and --margin" in refused.output
