"""The main job: the audit, its files, its table and figures, and the command."""

import csv
import json
import subprocess
import sys
from dataclasses import fields

import jax
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import neurotrust_jax as nt
from neurotrust_jax import report
from neurotrust_jax.cli import app
from neurotrust_jax.datasets import planted

KEY = jax.random.key(0)


@pytest.fixture
def probe():
    """Six planted neurons, then a dead one; groups of five samples."""
    p = planted(jax.random.key(1), 300, num_neurons=6, num_concepts=9, effect=0.7)
    f = np.concatenate([np.asarray(p.activations), np.full((300, 1), -1.0)], axis=1)
    return nt.make_probe(
        f, p.concepts, thresholds=0.0, groups=np.arange(300) // 5,
        concept_names=[f"concept, {i}" for i in range(9)],
    )  # fmt: skip


@pytest.fixture
def audited(probe):
    return nt.audit(KEY, probe, "iou", num_replicates=200, layer="block.1")


def test_audit_says_what_its_parts_say(probe, audited):
    boot = nt.bootstrap(KEY, probe, "iou", num_replicates=200)
    found = nt.identify(probe, "iou")
    np.testing.assert_array_equal(audited.label, np.asarray(found.concept)[:, 0])
    np.testing.assert_array_equal(audited.label[:6], np.arange(6))  # as planted
    np.testing.assert_array_equal(audited.vote_share, np.asarray(boot.vote_share))
    np.testing.assert_array_equal(audited.agreement, np.asarray(nt.stability(boot).top1_agreement))
    bounds = nt.intervals(probe, "iou", delta=0.1, simultaneous="concepts")
    proof = nt.certify(probe, "iou", delta=0.1)
    for u in range(6):
        assert audited.lower[u] == bounds.lower[u, audited.label[u]]
        assert audited.upper[u] == bounds.upper[u, audited.label[u]]
    np.testing.assert_array_equal(audited.regret, np.asarray(proof.regret))
    np.testing.assert_array_equal(audited.certified_set, np.asarray(proof.mask))
    np.testing.assert_array_equal(audited.vacuous, np.asarray(proof.vacuous))
    assert audited.guarantee == bounds.guarantee
    present = np.asarray(probe.concepts).astype(bool).reshape(60, 5, 9).any(axis=1)
    np.testing.assert_array_equal(audited.positives, present.sum(axis=0))
    assert (audited.num_samples, audited.num_units) == (300, 60)
    assert audited.label[6] == -1
    assert audited.description(6) == ""
    assert audited.reason_text(6) == "never active"
    assert np.isnan(
        [audited.similarity[6], audited.lower[6], audited.regret[6], audited.agreement[6]]
    ).all()
    for u in range(6):
        assert audited.description(u) in audited.set_names(u)


def test_files_read_back(audited, tmp_path):
    again = report.read_audit(report.write_audit(audited, tmp_path / "audit.json"))
    for field in fields(audited):
        ours, theirs = getattr(audited, field.name), getattr(again, field.name)
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(theirs, ours)
            assert theirs.dtype == ours.dtype
        else:
            assert theirs == ours
    report.write_descriptions(audited, tmp_path / "descriptions.csv")
    with (tmp_path / "descriptions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:4] == ["layer", "unit", "description", "similarity"]
    assert rows[1][:3] == ["block.1", "0", "concept, 0"]
    assert float(rows[1][3]) == pytest.approx(float(audited.similarity[0]), rel=1e-5)
    assert rows[7][2:7] == [""] * 5
    assert rows[7][7] == "9"  # nothing is ruled out
    assert rows[7][-1] == "never active"
    (tmp_path / "other.json").write_text(json.dumps({"format": "x"}))
    with pytest.raises(ValueError, match="is not an audit in the format"):
        report.read_audit(tmp_path / "other.json")


@pytest.mark.x32
def test_table_shows_the_best_first_and_reasons_last(audited):
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(report.neuron_table(audited))
        text = console.export_text()
    lines = [line for line in text.splitlines() if "concept, " in line or "never" in line]
    assert len(lines) == 7
    assert "never active" in lines[-1]
    shown = [float(line.split("│")[3]) for line in lines[:-1]]
    assert shown == sorted(shown, reverse=True)
    summary = report.summary(audited)
    assert "6 of 7 neurons have a label, from 300 samples in 60 groups" in summary
    certified = (audited.certified_set.sum(axis=1) == 1)[:6].sum()
    assert f"{certified} labels are certified to be the best concept" in summary


@pytest.mark.x32
def test_figures_hold_what_they_say(audited, probe):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4)
    assert report.plot_agreement(audited, axes[0]) is axes[0]
    shown = np.concatenate([c.get_offsets() for c in axes[0].collections])
    assert sorted(shown[:, 1]) == pytest.approx(sorted(audited.agreement[:6]))
    report.plot_set_sizes(audited, axes[1])
    assert sum(bar.get_height() for bar in axes[1].patches) == 6
    report.plot_intervals(audited, axes[3])
    segments = [s for lines in axes[3].collections[:-1] for s in lines.get_segments()]
    drawn = sorted((float(s[0][1]), float(s[1][1])) for s in segments)
    expected = sorted(zip(audited.lower[:6], audited.upper[:6], strict=True))
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)
    images = np.zeros((300, 4, 4, 1))
    images[:, 0, 0, 0] = np.arange(300) / 300
    report.plot_examples(audited, 2, probe.activations, images, axes[2],
                         groups=np.asarray(probe.groups), count=5)  # fmt: skip
    tiles = axes[2].images[0].get_array()
    assert tiles.shape == (6, 30)
    drawn = np.round(np.asarray(tiles)[1, 1::6] * 300).astype(int)
    assert drawn[0] == int(np.argmax(np.asarray(probe.activations)[:, 2]))
    assert len(set(drawn // 5)) == 5  # one image of a group
    plt.close(figure)


@pytest.mark.x32
def test_audit_refuses_before_it_works(probe):
    with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1, got 0"):
        nt.audit(KEY, probe, alpha=0)
    with pytest.raises(ValueError, match="unknown metric 'IoU'"):
        nt.audit(KEY, probe, "IoU")


@pytest.mark.x32
@pytest.mark.slow
def test_demo_runs_end_to_end(tmp_path):
    """The command in a process of its own, on the small dataset."""
    options = ["--dataset", "digits", "--model", "mlp", "--metric", "auroc", "--replicates", "50"]
    command = [sys.executable, "-m", "neurotrust_jax", "demo", *options, "--out", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    printed = " ".join(printed.split())
    accuracy = float(printed.split("held-out images ")[1].split("%")[0])
    assert accuracy > 85  # chance is 10; a linear model reaches 95 with all of the data
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"descriptions.csv", "audit.json", "examples.png", "agreement.png",
                       "intervals.png", "set_sizes.png"}  # fmt: skip
    result = report.read_audit(tmp_path / "audit.json")
    assert result.metric == "auroc"
    assert np.nanmean(result.agreement) > 0.5


@pytest.mark.x32
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "jaccard"], "unknown metric 'jaccard'"),
        (["--alpha", "2"], "must lie strictly between 0 and 1, got 2.0"),
        (["--dataset", "mnist"], "mnist"),
        (["--replicates", "0"], "--replicates"),
        (["--out", "/dev/null/x"], "can not create the folder"),
    ],
)
def test_bad_options_of_the_command_end_at_once(arguments, message):
    result = CliRunner().invoke(app, ["demo", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in result.output
