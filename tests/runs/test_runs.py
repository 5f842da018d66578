"""The command on files: everything lands in one folder, resumes, and never mixes with another."""

import csv
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout

import fuzz
import numpy as np
import pytest
from builders import command
from scipy import sparse

from neurotrust_jax import report, runs
from neurotrust_jax._runtime.checkpoint import file_hash
from neurotrust_jax.cli import main
from neurotrust_jax.cli.options import parse_bytes
from neurotrust_jax.datasets import planted
from neurotrust_jax.files import FileError
from neurotrust_jax.runs import audit_run
from neurotrust_jax.runs.examples import load_examples
from neurotrust_jax.runs.manifest import comparable, make_manifest

QUICK = ["--num-replicates", "60", "--num-permutations", "19", "--rows", "2"]


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
    assert manifest["options"]["min_positives"] == 10
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


def test_a_finished_layer_needs_both_of_its_files_as_they_were(tmp_path):
    path = report.write_audit(fuzz.small_audit(), tmp_path / "audit.json")
    arrays, code = tmp_path / "audit.arrays.npz", file_hash(path)
    assert audit_run._finished(tmp_path, code).layer == "block"
    assert audit_run._finished(tmp_path, None) is None
    assert audit_run._finished(tmp_path, code[::-1]) is None
    kept = arrays.read_bytes()
    arrays.write_bytes(kept + b"x")
    assert audit_run._finished(tmp_path, code) is None
    arrays.unlink()
    assert audit_run._finished(tmp_path, code) is None
    arrays.write_bytes(kept)
    path.unlink()
    assert audit_run._finished(tmp_path, code) is None


@pytest.mark.slow
def test_ranges_of_sparse_features(data, tmp_path):
    result = command(
        "audit", "--activations", data / "sparse.npz", "--concepts", data / "concepts.npy",
        "--ranges", 2, "--top-fraction", 0.2, "--examples", data / "images.npy",
        "--out", tmp_path, *QUICK,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = report.read_audit(tmp_path / "audit.json")
    assert found.finite_sample
    assert (found.num_ranges, found.num_samples) == (2, 480)
    with (tmp_path / "descriptions.csv").open(newline="", encoding="utf-8") as file:
        names = [row["unit"] for row in csv.DictReader(file)]
    assert names == [f"{u} range {r}/2" for u in range(5) for r in (1, 2)]
    assert "ranges of neurons" in " ".join(result.output.split())
    assert np.load(tmp_path / "examples.npy").shape == (10, 6)


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
    assert comparable((0, 9)) == options["activation_range"]  # so that the run can be resumed
    found = report.read_audit(tmp_path / "audit.json")
    assert found.finite_sample
    assert found.layer == "sparse"
    # a fifth of the groups is set aside for the thresholds, and it is said why
    assert (found.num_samples, found.num_units) == (480, 160)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["options"]["split"] == 0.2
    assert manifest["thresholds"] == (
        "top_fraction=0.05 of 40 groups (120 samples) set aside for the thresholds, 20% of all, so "
        "that bounds for fixed thresholds hold"
    )
    assert found.thresholds.startswith("top_fraction=0.05 of 40 groups (120 samples) set aside")
    assert "20% of all, so that bounds for fixed thresholds hold; --split 0 sets none" in " ".join(
        result.output.split()
    )


def test_examples_of_a_split_are_those_of_its_own_rows(data):
    """The picture shown first is the one of the highest activation left to the audit."""
    options = runs.Options(split=0.3)
    files = runs.Files((data / "one.npy",), data / "concepts.npy", groups=data / "groups.npy")
    (layer,) = runs.load_layers(files, options).values()
    used = layer.probe()
    assert used.num_samples == 420
    examples = load_examples(data / "images.npy", layer)(used)
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
    monkeypatch.setattr(audit_run, "audit", None)  # it is not called
    monkeypatch.chdir(data)
    concepts = [] if "--concepts" in options else ["--concepts", "concepts.npy"]
    result = command("audit", *options, *concepts, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


LABELS = """layer,unit,description
a,0.0,concept 1
a,1,concept 0
b,0,Concept-2
"""


@pytest.fixture
def here(data, tmp_path, monkeypatch):
    """A folder with the files, and some of their own for a test."""
    for path in data.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text(LABELS)
    (tmp_path / "plain.txt").write_text("\n".join(f"concept {i}" for i in range(6)))
    (tmp_path / "file").touch()
    np.save(tmp_path / "thresholds.npy", np.zeros(5))
    np.save(tmp_path / "c.npy", np.load("concepts.npy")[:300])
    np.save(tmp_path / "f.npy", np.load("one.npy")[:300])
    np.save(tmp_path / "few.npy", np.load("concepts.npy")[:90])
    np.savez(tmp_path / "one.npz", groups=np.arange(90) // 45)
    return tmp_path


ARRAYS = "--activations one.npy --concepts concepts.npy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (f"audit {ARRAYS} --out o --thresholds thresholds.npy --split 0.3",
         "thresholds.npy: thresholds from a file exclude split=0.3 (--split)"),
        (f"audit {ARRAYS} --out o --thresholds thresholds.npy --top-fraction 0.01",
         "exclude top_fraction=0.01 (--top-fraction)"),
        (f"audit {ARRAYS} --out o --metric auroc --split 0.3",
         "split=0.3 sets samples aside for thresholds, which auroc does not read; leave it out"),
        ("audit --activations few.npy --concepts few.npy --out o",
         "split=0.2 of 90 samples sets 18 samples aside, too few for the threshold of the top "
         "0.05; give --split 0 to set none aside"),
        ("audit --activations few.npy --concepts few.npy --groups one.npz --out o",
         "split=0.2 of 2 groups sets 0 samples aside, too few"),
        (f"audit {ARRAYS} --out o --min-positives 500",
         "min_positives=500 leaves no concept to judge: the most common one"),
        (f"audit {ARRAYS} --out o --seed {2**63}", f"0 to 4294967295, got {2**63}"),
        (f"audit {ARRAYS} --out o --seed -1", "from 0 to 4294967295, got -1"),
        (f"audit {ARRAYS} --out file", "file: can not be a folder, since file is a file"),
        (f"audit {ARRAYS} --out file/o", "can not be a folder"),
        (f"demo --seed {2**32}", "from 0 to 4294967295, got 4294967296"),
        (f"check labels.csv {ARRAYS} --layer a --out missing/o.csv", "there is no folder missing"),
        (f"check labels.csv {ARRAYS} --layer a --out .", "is a folder; give the name of a file"),
        (f"check labels.csv {ARRAYS} --layer a --out labels.csv", "would overwrite what is read"),
        (f"check labels.csv {ARRAYS} --layer a --seed -7", "from 0 to 4294967295, got -7"),
        (f"check labels.csv {ARRAYS}", "has labels of the layers 'a', 'b'; choose one (--layer)"),
        (f"check labels.csv {ARRAYS} --layer x", "has no labels of layer 'x'; there are 'a', 'b'"),
        ("check labels.csv --layer x", "has no labels of layer 'x'; there are 'a', 'b'"),
        ("check labels.csv --out o.csv", "--out: has no effect without --activations and --conc"),
        ("check labels.csv --metric iou", "--metric: has no effect without --activations"),
        ("check labels.csv --concepts c.npy", "--activations and --concepts go together"),
        (f"compare {ARRAYS}", "give --other-activations, --other-metric or another opt"),
        (f"compare {ARRAYS} --labels labels.csv", "has labels of the layers 'a', 'b'; choose one"),
        (f"compare {ARRAYS} --labels labels.csv --layer x", "there are 'a', 'b'"),
        (f"compare {ARRAYS} --other-layer x", "there is no layer 'x'; holds the layers one"),
        (f"compare {ARRAYS} --other-metric f1 --first-neuron 1",
         "--first-neuron: has no effect without --labels or --other-labels"),
        (f"compare {ARRAYS} --other-metric f1 --other-names plain.txt",
         "--other-names: has no effect without --other-concepts"),
        (f"compare {ARRAYS} --groups groups.npy --other-concepts c.npy --other-activations f.npy",
         "--groups: belong to the samples of --concepts; give --other-groups for those of"),
        (f"compare {ARRAYS} --other-metric f1 --seed -1", "from 0 to 4294967295, got -1"),
        (f"compare {ARRAYS} --other-metric IoU", "--other-metric: unknown metric 'IoU'"),
        ("compare --activations layers.npz --concepts concepts.npy --other-layer block/2",
         "layers.npz: holds the layers block.1, block/2; choose one (--layer)"),
        ("plan --error 0.1 --margin 0.2", "--error: excludes --margin"),
        ("plan --margin 0", "--margin: must be finite and above 0, got 0.0"),
        ("plan --num-samples 10 --margin 0.2", "--num-samples: excludes --error and --margin"),
    ],
)  # fmt: skip
def test_options_have_an_effect_or_are_refused_before_any_work(
    here, arguments, message, monkeypatch
):
    before = {path.name: path.stat().st_mtime_ns for path in here.iterdir()}
    monkeypatch.setenv("COLUMNS", "400")
    for work in (
        "runs.audit_run.audit",
        "auditing.label_checks.judge_labels",
        "auditing.comparison.compare",
        "tasks.train_layer",
    ):
        monkeypatch.setattr(f"neurotrust_jax.{work}", None)
    result = command(*arguments.split())
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").replace("'--", "--").replace(
        "':", ":").split())  # fmt: skip
    assert {path.name: path.stat().st_mtime_ns for path in here.iterdir()} == before


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"metric": "IoU"}, "unknown metric 'IoU'"),
        ({"alpha": 1.0}, "alpha must lie strictly between 0 and 1, got 1.0"),
        ({"num_replicates": 0}, "num_replicates must be a whole number of at least 1, got 0"),
        ({"num_permutations": -1}, "num_permutations must be a whole number of at least 1, got"),
        ({"scheme": "x"}, "unknown scheme 'x'"),
        ({"split": np.nan}, "split must be 0, or a share below 1, got nan"),
        ({"top_fraction": 0.0}, r"top_fraction must lie in \(0, 1\], got 0.0"),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4294967295, got 4294967296"),
    ],
)
def test_options_are_validated_before_a_file_is_read(option, message):
    with pytest.raises(ValueError, match=message):
        runs.Options(**option)


def test_a_split_takes_the_share_of_active_samples_given(here):
    files = runs.Files((here / "one.npy",), here / "concepts.npy")
    for given, share in ((None, 0.05), (0.2, 0.2)):
        options = runs.Options(split=0.3, top_fraction=given)
        (layer,) = runs.load_layers(files, options).values()
        assert layer.probe().threshold_source == (
            f"top_fraction={share:g} of 180 samples set aside for the thresholds"
        )
        made = make_manifest(files, options, [], lambda *x: None)
        assert made["options"]["top_fraction"] == share
    files = runs.Files(files.activations, files.concepts, thresholds=here / "thresholds.npy")
    made = make_manifest(files, runs.Options(), [], lambda *x: None)
    assert made["options"]["top_fraction"] is None


@pytest.mark.parametrize(
    ("metric", "split", "thresholds", "share"),
    [("iou", None, False, 0.2), ("f1", 0, False, 0), ("auroc", None, False, 0),
     ("iou", None, True, 0), ("correlation", None, False, 0), ("wpmi", None, False, 0.2)],
)  # fmt: skip
def test_a_fifth_is_set_aside_where_thresholds_are_read_and_come_from_the_data(
    here, metric, split, thresholds, share
):
    given = here / "thresholds.npy" if thresholds else None
    files = runs.Files((here / "one.npy",), here / "concepts.npy", thresholds=given)
    options = runs.Options(metric=metric, split=split)
    (layer,) = runs.load_layers(files, options).values()
    assert layer.probe().num_samples == 600 * (1 - share)
    assert layer.probe().thresholds_fixed == (thresholds or share > 0)
    assert layer.whole_probe().num_samples == 600
    made = make_manifest(files, options, [], lambda *x: None)
    assert made["options"]["split"] == share


def test_files_that_hold_other_arrays(here):
    f, c, words = np.load("one.npy"), np.load("concepts.npy"), np.array(["x"] * 600)
    np.savez("all.npz", act=f, two=f[:, :2], concepts=c, groups=words, note=np.array("by me"))
    path, options = here / "all.npz", runs.Options(split=0)
    files = runs.Files((path,), path, groups=path)
    (layer,) = runs.load_layers(files, options, ("two",)).values()
    assert layer.probe().num_neurons == 2
    assert layer.probe().num_groups == 1
    assert runs.load_layer(files, options, "act").probe().num_neurons == 5
    with pytest.raises(FileError, match=r"layer 'groups' must be .*; choose those that are lay"):
        runs.load_layers(files, options)
    with pytest.raises(FileError, match=r"'x'; .*the layers act, two, concepts, groups, note"):
        runs.load_layer(files, options, "x")
    np.savez("two.npz", a=c, b=c[:, :2])
    with pytest.raises(FileError, match=r"holds 'a' \[600, 6\], 'b' .* call .* 'concepts'"):
        runs.load_layers(runs.Files((path,), here / "two.npz"), options, ("act",))


def test_compare_takes_the_layers_named_and_what_is_the_others(here, monkeypatch):
    seen = []

    def end(key, *sides, **options):
        seen.append(sides)
        raise SystemExit

    monkeypatch.setattr("neurotrust_jax.auditing.comparison.compare", end)

    def sides(arguments):
        result = command("compare", *arguments.split())
        assert seen, result.output
        return seen.pop()

    first, second = sides(
        "--activations layers.npz --concepts concepts.npy --layer block.1 --other-layer block/2"
    )
    np.testing.assert_array_equal(first.probe.activations, second.probe.activations[:, ::-1])
    first, second = sides(f"{ARRAYS} --names plain.txt --labels labels.csv --layer b "
                          "--other-labels labels.csv --other-layer a")  # fmt: skip
    assert first.label.tolist() == [2, -1, -1, -1, -1]
    assert second.label.tolist() == [1, 0, -1, -1, -1]
    first, second = sides(f"{ARRAYS} --names plain.txt --labels labels.csv --layer b")
    assert first.label.tolist() == [2, -1, -1, -1, -1]
    assert second.label is None
    np.save("g.npy", np.arange(300) // 10)
    first, second = sides(
        f"{ARRAYS} --groups groups.npy --other-concepts c.npy --other-activations f.npy "
        "--other-groups g.npy --other-names plain.txt --top-fraction 0.2 --other-metric f1"
    )
    assert (first.probe.num_groups, second.probe.num_groups) == (200, 30)
    assert second.probe.concept_names[0] == "concept 0" != first.probe.concept_names[0]
    assert first.probe.top_fraction == second.probe.top_fraction == 0.2
    assert (first.metric, second.metric) == ("iou", "f1")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_the_characters_of_a_name(here, encoding):
    """They are replaced, and nothing that was done is lost."""
    (here / "u.txt").write_text("\n".join(["犬 ⏎"] + [f"café {i}" for i in range(5)]), "utf-8")
    (here / "u.csv").write_text("unit,label\n000,犬 ⏎\n1,CAFÉ 0\n", "utf-8")
    told = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(told):
        arguments = f"check u.csv {ARRAYS} --names u.txt --num-replicates 60 --out o.csv"
        patch.setattr("sys.argv", ["neurotrust", *arguments.split()])
        with pytest.raises(SystemExit, match="0"):
            main()
    told.flush()
    text = told.buffer.getvalue().decode(encoding)
    assert "Wrote o.csv" in text
    assert "? ?" in text
    assert ("CAFÉ 0" in text) == (encoding == "cp1252")
    with (here / "o.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(x["unit"], x["description"]) for x in rows] == [("0", "犬 ⏎"), ("1", "CAFÉ 0")]
    assert [x["best"] for x in rows] == ["犬 ⏎", "café 0"]  # as planted


def test_a_process_whose_output_is_ascii(here):
    (here / "u.csv").write_text("unit,label\n0,犬\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "neurotrust_jax", "check", "u.csv"], capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"'?' 1 times" in done.stdout


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1000", 1000), ("8GiB", 8 * 2**30), ("1.5 gib", 3 * 2**29), ("500MB", 5 * 10**8),
     ("2k", 2000), ("1TiB", 2**40), ("7B", 7)],
)  # fmt: skip
def test_memory_is_given_in_bytes_or_larger_units(text, size):
    assert parse_bytes(text) == size


def test_the_memory_limit_of_the_command_is_that_of_python(here, monkeypatch):
    seen = {}

    def end(*arguments, **options):
        seen.update(options)
        raise SystemExit

    monkeypatch.setattr("neurotrust_jax.runs.audit_files", end)
    command("audit", *ARRAYS.split(), "--out", "o", "--memory-limit", "2MiB")
    assert seen["memory_limit"] == 2 * 2**20
    refused = command("audit", *ARRAYS.split(), "--out", "o", "--memory-limit", "much")
    assert refused.exit_code == 2
    assert "must be a number of bytes, such as 8GiB or 500MB, got 'much'" in " ".join(
        refused.output.replace("│", " ").split()
    )


def test_options_have_one_name_and_one_default_in_python_and_on_the_command_line():
    """Whatever both know under one name has one default; those that differ are listed."""
    from neurotrust_jax import auditing, cli, faithfulness

    commands = {
        cli.audit_command: (runs.Options, runs.audit_files),
        cli.demo_command: (auditing.audit,),
        cli.check_command: (auditing.judge_labels,),
        cli.compare_command: (auditing.compare,),
        cli.plan_command: (faithfulness.required_samples, faithfulness.generalization_gap),
    }
    for shown, functions in commands.items():
        options = inspect.signature(shown).parameters
        shared = 0
        for function in functions:
            for name, parameter in inspect.signature(function).parameters.items():
                if parameter.default is not parameter.empty and name in options:
                    shared += 1
                    if (shown, name) != (cli.plan_command, "num_concepts"):
                        assert options[name].default == parameter.default, (shown, name)
        assert shared >= 2


def test_help_keeps_what_stands_in_brackets(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "Activations [n, U]: .npy" in command("audit", "--help").output
    assert "images [n, H, W(, 3)]" in command("audit", "--help").output
    assert "feature maps [n, c, h, w] or" in command("audit", "--help").output
    assert "python-sae" in command("demo", "--help").output


def test_plan():
    result = command("plan", "--metric", "iou", "--concept-frequency", 0.01)
    assert "9,235" in result.output
    assert "12,979" in command("plan", "--margin", 0.3, "--concept-frequency", 0.01).output
    heavy = ("plan", "--metric", "correlation", "--concept-frequency", 0.01, "--kurtosis", 114)
    assert "11,216" in command(*heavy).output
    assert "kurtosis 114; 3 is normal" in command(*heavy).output
    assert "0.215" in command("plan", "--metric", "auroc", "--num-samples", 1000).output
    refused = command("plan", "--num-samples", 10, "--error", 0.1)
    assert refused.exit_code == 2
    assert "excludes --error and --margin" in refused.output
