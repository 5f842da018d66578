"""Several runs become one report, which is the report of one run of all their layers."""

import json
import shutil

import numpy as np
import pytest
from builders import command

from neurotrust_jax import report, runs

EXAMPLES = ["--concepts", "concepts.npy", "--names", "names.txt", "--examples", "images.npy"]
OF_A_RUN = ("command", "date")  # entries of a manifest that say how and when


def audit(layers, out, *options):
    given = [x for layer in layers for x in ("--activations", f"{layer}.npy")]
    result = command("audit", *given, *options, "--out", out)
    assert result.exit_code == 0, result.output


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def flat(text):
    return " ".join(text.split())


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def page(folder):
    """The page of a run, without how and when it was made."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    for name in OF_A_RUN:
        assert text.count(manifest(folder)[name]) == 1
        text = text.replace(manifest(folder)[name], "")
    return text


def assert_same_run(merged, whole):
    ours, theirs = files_of(merged), files_of(whole)
    assert set(ours) == set(theirs)
    for name in set(ours) - {"manifest.json", "report.html"}:
        assert ours[name] == theirs[name], name
    assert page(merged) == page(whole)
    plain = [{k: x for k, x in manifest(f).items() if k not in OF_A_RUN} for f in (merged, whole)]
    assert plain[0] == plain[1]
    assert list(manifest(merged)["done"]) == list(manifest(whole)["done"])


def test_merged_runs_are_the_run_of_all_layers(files):
    """Byte by byte, but for the command and the date."""
    audit(["first"], "a", *EXAMPLES)
    audit(["second"], "b", *EXAMPLES)
    audit(["first", "second"], "whole", *EXAMPLES)
    result = command("merge", "a", "b", "--out", "merged", "--json")
    assert_same_run(files / "merged", files / "whole")
    found = json.loads(result.stdout)
    assert [(x["layer"], x["neurons"]) for x in found["layers"]] == [("first", 4), ("second", 7)]
    assert len(found["audits"]) == 2
    # the run of all layers finds nothing left to do
    before = (files / "merged" / "descriptions.csv").read_bytes()
    audit(["first", "second"], "merged", *EXAMPLES)
    assert (files / "merged" / "descriptions.csv").read_bytes() == before
    # merged runs can be merged, and merging again changes nothing
    third = np.random.default_rng(1).normal(size=(200, 3))
    np.save("third.npy", third)
    audit(["third"], "c", *EXAMPLES)
    assert command("merge", "merged", "c", "--out", "more").exit_code == 0
    audit(["first", "second", "third"], "all", *EXAMPLES)
    assert_same_run(files / "more", files / "all")
    assert command("merge", "merged", "c", "--out", "more").exit_code == 0


def test_layers_of_one_file_are_merged_in_the_order_given(files):
    np.savez("layers.npz", **{x: np.load(f"{x}.npy") for x in ("first", "second")})
    for name in ("first", "second"):
        given = ["--activations", "layers.npz", "--layer", name, "--concepts", "concepts.npy"]
        assert command("audit", *given, "--out", name).exit_code == 0
    assert command("merge", "second", "first", "--out", "o").exit_code == 0
    found = manifest(files / "o")
    assert list(found["done"]) == ["second", "first"]
    assert found["layers"] == found["chosen_layers"] == ["first", "second"]
    assert set(found["inputs"]) == {"activations 0", "concepts"}
    assert command("audit", "--config", "o/manifest.json", "--quiet") == (0, "", "")


def test_runs_with_names_stay_layers_of_their_own_and_the_page_says_so(files):
    """As for the neurons of one layer that were audited in parts."""
    audit(["first"], "a", "--concepts", "concepts.npy")
    f = np.load("first.npy")
    np.save("first.npy", f[:, ::-1])
    audit(["first"], "b", "--concepts", "concepts.npy")
    refused = command("merge", "a", "b", "--out", "o")
    assert refused.exit_code == 2
    assert flat(refused.output) == (
        "neurotrust: b: layer 'first' is in a too; give the runs names, as in first=a second=b"
    )
    shown = command("merge", "x=a", "y=b", "--out", "o")
    assert "x/first, 4 neurons" in shown.stdout
    assert manifest(files / "o")["layers"] == ["x/first", "y/first"]
    for name, folder in (("x/first", "a"), ("y/first", "b")):
        ours = report.read_audit(files / "o" / runs.folder_name(name) / "audit.json")
        theirs = report.read_audit(files / folder / "audit.json")
        assert ours.layer == name
        np.testing.assert_array_equal(ours.null.q_value, theirs.null.q_value)
    assert "are those of each of these layers by itself" in (files / "o/report.html").read_text()
    audit(["second"], "c", "--concepts", "concepts.npy")
    assert command("merge", "c", "o", "--out", "again").exit_code == 0
    assert manifest(files / "again")["calibration"] == manifest(files / "o")["calibration"]
    (files / "x=a").mkdir()  # a folder of exactly that name goes first
    assert "x=a: has no manifest.json" in command("merge", "x=a", "y=b", "--out", "p").output


def test_thresholds_belong_to_each_run(files):
    for name, width in (("first", 4), ("second", 7)):
        np.save("t.npy", np.zeros(width))
        audit([name], name, "--concepts", "concepts.npy", "--thresholds", "t.npy")
    assert command("merge", "first", "second", "--out", "o").exit_code == 0
    inputs = manifest(files / "o")["inputs"]
    assert {"thresholds of first", "thresholds of second"} < set(inputs)


@pytest.fixture
def two_runs(files):
    audit(["first"], "a", *EXAMPLES)
    audit(["second"], "b", *EXAMPLES)
    return files


def change(folder, **entries):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | entries))


REFUSED = [
    ("a --out o", "merging takes at least two runs, got 1; give more folders"),
    ("a b --out a", "a: is one of the runs; give another --out"),
    ("a names.txt --out o", "names.txt: has no manifest.json; give a folder"),
    ("a missing --out o", "missing: has no manifest.json; give a folder"),
    ("a open --out o", "open: this run is not complete; start the same audit again first"),
    ("a alpha --out o", "alpha: is not an audit like a (alpha differ); merge runs of the same"),
    ("a other --out o", "other: is not an audit like a (concepts, names, examples differ)"),
    ("a new --out o", "new: is not an audit like a (the version of neurotrust-jax differ)"),
    ("a format --out o", "is not an audit in the format"),
    ("a b --out full", "manifest.json: is not the manifest of an audit; give another"),
    ("a b --out whole", "whole: holds another audit (alpha differ); give another --out"),
    ("a b --out o --examples concepts.npy", "concepts.npy: is not the file of samples of the"),
    ("plain more --out o --examples images.npy", "the runs have no examples; leave --examples"),
]


def test_what_does_not_belong_together_is_refused_in_one_line(two_runs):
    files = two_runs
    for name in ("open", "new", "format"):
        shutil.copytree(files / "b", files / name)
    change(files / "open", complete=False)
    change(files / "new", versions={**manifest(files / "b")["versions"], "neurotrust-jax": "9"})
    text = (files / "format" / "audit.json").read_text()
    (files / "format" / "audit.json").write_text(text.replace("neurotrust-audit-", "old-"))
    (files / "full").mkdir()
    (files / "full" / "manifest.json").write_text("mine")
    audit(["first", "second"], "whole", *EXAMPLES, "--alpha", 0.2)
    audit(["second"], "alpha", *EXAMPLES, "--alpha", 0.2)
    np.save("concepts.npy", ~np.load("concepts.npy"))
    audit(["second"], "other", "--concepts", "concepts.npy")
    audit(["second"], "plain", "--concepts", "concepts.npy")
    audit(["first"], "more", "--concepts", "concepts.npy")
    before = {path: path.stat().st_mtime_ns for path in files.rglob("*")}
    for arguments, message in REFUSED:
        refused = command("merge", *arguments.split())
        assert refused.exit_code == 2, arguments
        assert message in flat(refused.output)
        assert refused.stdout == ""
    assert {path: path.stat().st_mtime_ns for path in files.rglob("*")} == before


def test_samples_that_moved_are_given_again(two_runs):
    files = two_runs
    (files / "images.npy").rename(files / "moved.npy")
    refused = command("merge", "a", "b", "--out", "o")
    assert "the samples that the runs show are missing; give --examples" in flat(refused.output)
    assert command("merge", "a", "b", "--out", "o", "--examples", "moved.npy").exit_code == 0
    audit(["first", "second"], "whole", *EXAMPLES[:-1], "moved.npy")
    assert page(files / "o") == page(files / "whole").replace("moved.npy", "images.npy")


def test_saved_rows_of_examples_must_fit(two_runs):
    for rows in (np.full((4, 6), 200), np.zeros(4, int), np.zeros((4, 6))):
        np.save("a/examples.npy", rows)
        refused = command("merge", "a", "b", "--out", "o")
        assert refused.exit_code == 2
        assert "does not fit images.npy; start the audit again" in flat(refused.output)
    (two_runs / "a" / "examples.npy").unlink()
    assert command("merge", "a", "b", "--out", "o").exit_code == 2
    assert not (two_runs / "o").exists()


@pytest.mark.slow
def test_two_real_runs_merge_into_one(files, monkeypatch):
    """With the statistics and the figures; sets, q-values and probabilities are the same bytes."""
    monkeypatch.undo()
    monkeypatch.chdir(files)
    quick = ["--concepts", "concepts.npy", "--num-replicates", 50, "--num-permutations", 19]
    audit(["first"], "a", *quick)
    audit(["second"], "b", *quick)
    audit(["first", "second"], "whole", *quick)
    assert command("merge", "a", "b", "--out", "merged").exit_code == 0
    assert len(list((files / "merged").rglob("*.png"))) == 8
    assert_same_run(files / "merged", files / "whole")
