"""The main job: the audit, its files, its table and figures, and the command."""

import csv
import io
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from builders import planted_probe, same_fields
from rich.console import Console
from typer.testing import CliRunner

import neurotrust_jax as nt
from neurotrust_jax import report
from neurotrust_jax.auditing.fit import SHARES
from neurotrust_jax.cli import app
from neurotrust_jax.metrics import scores
from neurotrust_jax.resampling import part_scores

KEY = jax.random.key(0)


@pytest.fixture
def probe():
    return planted_probe(groups=np.arange(1500) // 5)


@pytest.fixture
def audited(probe):
    return nt.audit(
        KEY, probe, "iou", num_replicates=200, num_permutations=99, layer="block.1",
        hierarchy={f"concept, {i}": "high" for i in (7, 8)},
    )  # fmt: skip


@pytest.mark.slow
def test_labels_are_certified_where_units_and_ranges_are_known_only(probe):
    def certified(probe, metric, **known):
        done = nt.audit(KEY, probe, metric, num_replicates=50, num_permutations=0, **known)
        some = (done.verdict == nt.Verdict.CERTIFIED).any()
        assert done.finite_sample == some
        assert ("this assumes that no group is heavier" in done.intervals.guarantee) == (
            probe.groups is not None and not known
        )
        return some

    pairs, alone = (
        nt.make_probe(probe.activations, probe.concepts, thresholds=0.0, groups=groups)
        for groups in (np.arange(1500) // 2, None)
    )
    assert not certified(pairs, "iou")
    assert certified(pairs, "iou", largest_unit=2)
    assert not certified(alone, "mad")
    assert certified(alone, "mad", activation_range=(-1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["iou", "auroc"])
def test_an_audit_computes_the_similarity_once(probe, metric, monkeypatch):
    """Labels above raised thresholds need similarities of their own, which are counted apart."""
    seen = []

    def counted(prepared, weights, *, metric):
        seen.append(metric.name)
        return original(prepared, weights, metric=metric)

    original = scores.score_prepared
    for module in (scores, part_scores):
        monkeypatch.setattr(module, "score_prepared", counted)
    nt.audit(KEY, probe, metric, num_replicates=20, num_permutations=19, num_splits=4)
    above = len(SHARES) if metric == "iou" else 0
    assert seen == [metric] * (1 + above)


def test_similarities_at_hand_must_fit(probe):
    for run in (partial(nt.bootstrap, num_replicates=9), nt.permutation_test):
        with pytest.raises(ValueError, match=r"scores must have shape \[7, 9\].*got \[7, 8\]"):
            run(KEY, probe, "iou", scores=np.zeros((7, 8)))


@pytest.mark.slow
def test_a_verdict_never_contradicts_the_set_beside_it():
    """A concept that replicates can not rule out goes where the certificate leaves one answer."""
    rng = np.random.default_rng(0)
    c = rng.random((4000, 12)) < 0.2
    c[:, 8:] = rng.random((4000, 4)) < 0.001
    f = 4.0 * c[:, :8] + rng.normal(size=(4000, 8))
    probe = nt.make_probe(f, c, thresholds=2.0)
    found = nt.audit(KEY, probe, "iou", num_replicates=99, num_permutations=99)
    proof = np.asarray(nt.certify(probe, "iou", alpha=0.1).mask)
    certified = found.verdict == nt.Verdict.CERTIFIED
    assert certified.any()
    np.testing.assert_array_equal(found.concept_set[certified], proof[certified])
    assert (found.concept_set[certified].sum(axis=1) == 1).all()
    np.testing.assert_array_equal(found.calibrated_set[certified], proof[certified])
    assert not found.untested[certified].any()
    assert (found.answers[certified] == 1).all()
    # a method of intervals reaches the set: at no level do the widest bounds rule out more
    wide = nt.audit(KEY, probe, "iou", num_replicates=99, num_permutations=0, method="hoeffding")
    assert (found.untested <= wide.untested).all()
    assert (found.certified_set <= wide.certified_set).all()
    single = found.set_size == 1
    for verdict in (nt.Verdict.CERTIFIED, nt.Verdict.STABLE):
        assert single[found.verdict == verdict].all()


def test_audit_says_what_its_parts_say(probe, audited):
    boot_key, null_key, split_key = jax.random.split(KEY, 3)
    boot = nt.bootstrap(boot_key, probe, "iou", num_replicates=200)
    found = nt.identify(probe, "iou")
    np.testing.assert_array_equal(audited.label, np.asarray(found.concept)[:, 0])
    np.testing.assert_array_equal(audited.label[:6], np.arange(6))  # as planted
    np.testing.assert_array_equal(audited.vote_share, np.asarray(boot.vote_share))
    null = nt.permutation_test(null_key, probe, "iou", num_permutations=99, alpha=0.1)
    parts = (audited.stability, nt.stability(boot)), (audited.null, null)
    for ours, theirs in (
        *parts,
        (audited.winners_curse, nt.winners_curse(split_key, boot, num_splits=40)),
    ):
        jax.tree.map(np.testing.assert_array_equal, ours, jax.device_get(theirs))
    sets = nt.concept_sets(boot, alpha=0.1)
    for ours, theirs in (
        (audited.concept_set, sets.mask),  # the layer is too small for others
        (audited.calibrated_set, sets.mask),
        (audited.untested, sets.untested),
    ):
        np.testing.assert_array_equal(ours, np.asarray(theirs))
    assert audited.set_guarantee == audited.calibrated_guarantee == sets.guarantee
    bounds = nt.intervals(probe, "iou", alpha=0.1, simultaneous="concepts")
    proof = nt.certify(probe, "iou", alpha=0.1)
    for u in range(6):
        assert audited.lower[u] == bounds.lower[u, audited.label[u]]
        assert audited.upper[u] == bounds.upper[u, audited.label[u]]
    limit = nt.intervals(probe, "iou", alpha=0.1, simultaneous="concepts", method="asymptotic")
    assert audited.intervals.asymptotic_lower[3] == limit.lower[3, 3]
    assert audited.intervals.asymptotic_upper[3] == limit.upper[3, 3]
    assert audited.intervals.asymptotic_guarantee == limit.guarantee
    fit = nt.label_fit(probe, "iou")
    jax.tree.map(np.testing.assert_array_equal, audited.fit, fit)
    found = nt.identify(probe, "iou", 8)
    np.testing.assert_array_equal(audited.leading.concept, np.asarray(found.concept))
    np.testing.assert_array_equal(audited.leading.similarity, np.asarray(found.similarity))
    for ours, theirs in (
        (audited.leading.lower, bounds.lower),
        (audited.leading.upper, bounds.upper),
        (audited.leading.asymptotic_lower, limit.lower),
        (audited.leading.asymptotic_upper, limit.upper),
    ):
        assert ours[2, 5] == theirs[2, found.concept[2, 5]]
    assert (audited.leading.concept[6] == -1).all()
    assert np.isnan(audited.leading.lower[6]).all()
    np.testing.assert_array_equal(audited.regret, np.asarray(proof.regret))
    np.testing.assert_array_equal(audited.certified_set, np.asarray(proof.mask))
    np.testing.assert_array_equal(audited.excludes_nothing, np.asarray(proof.excludes_nothing))
    assert audited.intervals.guarantee == bounds.guarantee
    present = np.asarray(probe.concepts).astype(bool).reshape(300, 5, 9).any(axis=1)
    np.testing.assert_array_equal(audited.positives, present.sum(axis=0))
    assert (audited.num_samples, audited.num_units) == (1500, 300)
    assert audited.label[6] == -1
    assert audited.description(6) == ""
    assert audited.reason_text(6) == "never active"
    assert np.isnan(
        [audited.similarity[6], audited.lower[6], audited.regret[6], audited.agreement[6]]
    ).all()
    for u in range(6):
        assert audited.description(u) in audited.set_names(u)
    assert audited.answers[6] == 8  # two of nine concepts are one answer
    assert audited.verdict[6] == nt.Verdict.UNDECIDED
    assert audited.verdict_reason[6] == "no label: never active"
    assert set(audited.verdict[:6]) <= {nt.Verdict.CERTIFIED, nt.Verdict.STABLE}
    assert sum(audited.verdict_counts.values()) == 7


@pytest.mark.slow
def test_the_headline_set_of_a_layer_is_the_conformal_one():
    """Of weak labels it is smaller than the calibrated one; verdicts follow it."""
    rng = np.random.default_rng(0)
    c = rng.random((800, 6)) < 0.25
    f = rng.normal(size=(800, 30)) + 0.7 * c[:, np.arange(30) % 6] + 0.6 * c[:, np.arange(30) % 5]
    probe = nt.make_probe(f, c, thresholds=1.0)
    found = nt.audit(KEY, probe, num_replicates=99, num_permutations=0, num_splits=20)
    split_key = jax.random.split(KEY, 3)[2]
    sets = nt.conformal_sets(split_key, probe, num_splits=20)
    certified = found.verdict == nt.Verdict.CERTIFIED
    np.testing.assert_array_equal(found.concept_set[~certified], np.asarray(sets.mask)[~certified])
    assert found.set_guarantee == sets.guarantee
    assert found.concept_set.sum() < found.calibrated_set.sum()
    probability = nt.replication_probability(split_key, probe, num_splits=20)
    np.testing.assert_array_equal(found.replication_probability, np.asarray(probability))
    np.testing.assert_array_equal(found.answer_probability, found.replication_probability)
    single, likely = found.set_size == 1, found.replication_probability >= 0.9
    np.testing.assert_array_equal(found.verdict == nt.Verdict.STABLE, single & likely & ~certified)
    several = [f"among {n}" for n in found.set_size[~single]]
    assert [found.verdict_reason[u] for u in np.flatnonzero(~single)] == several
    assert 3 < single.sum() < 27
    # of one tree all are one answer, and any of them is it
    tree = nt.audit(
        KEY, probe, num_replicates=99, num_permutations=0, num_splits=20,
        hierarchy={f"concept_{i}": "any" for i in range(6)},
    )  # fmt: skip
    assert (tree.answers == 1).all()
    assert (tree.answer_probability > 0.95).all()
    np.testing.assert_array_equal(tree.replication_probability, found.replication_probability)
    assert (tree.verdict <= nt.Verdict.STABLE).all()


@pytest.mark.slow
def test_audit_judges_noise_unexplained_unless_the_test_is_left_out():
    rng = np.random.default_rng(0)
    probe = nt.make_probe(rng.normal(size=(300, 5)), rng.random((300, 4)) < 0.3, thresholds=0.5)
    told = []
    options = {"num_replicates": 50, "progress": lambda *x: told.append(x)}
    judged = nt.audit(KEY, probe, num_permutations=99, **options)
    unexplained = judged.verdict == nt.Verdict.UNEXPLAINED
    np.testing.assert_array_equal(unexplained, ~np.asarray(judged.null.explained))
    assert unexplained.sum() >= 4
    assert told[-1] == ("judging", 4, 4)
    assert ("resampling", 50, 50) in told
    assert ("permuting", 99, 99) in told
    without = nt.audit(KEY, probe, num_permutations=0, **options)
    assert without.null is None
    assert not (without.verdict == nt.Verdict.UNEXPLAINED).any()
    with pytest.raises(ValueError, match="neither a concept nor a parent"):
        nt.audit(KEY, probe, hierarchy={"concept_9": "x"})
    with pytest.raises(ValueError, match="num_permutations must be"):
        nt.audit(KEY, probe, num_permutations=-1)
    with pytest.raises(ValueError, match="num_splits must be at least 2, got 1"):
        nt.audit(KEY, probe, num_splits=1)


def test_files_read_back(audited, tmp_path):
    again = report.read_audit(report.write_audit(audited, tmp_path / "audit.json"))
    same_fields(again, audited)
    report.write_descriptions(audited, tmp_path / "descriptions.csv")
    with (tmp_path / "descriptions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["layer", "unit", "description", "similarity"]
    assert list(rows[0].values())[:3] == ["block.1", "0", "concept, 0"]
    for column, values in (
        ("similarity", audited.similarity), ("agreement", audited.agreement),
        ("similarity_corrected", audited.winners_curse.corrected),
        ("q_value", audited.null.q_value),
    ):  # fmt: skip
        assert float(rows[0][column]) == pytest.approx(float(values[0]), rel=1e-5)
        assert rows[6][column] == ""
    assert rows[6]["replication_probability"] == rows[6]["label_top_10%"] == rows[6]["fit"] == ""
    assert rows[6]["description"] == rows[6]["set"] == rows[6]["positives"] == ""
    assert (rows[6]["certified_size"], rows[6]["set_answers"]) == ("9", "8")  # none is ruled out
    assert (rows[6]["verdict"], rows[6]["reason"]) == ("undecided", "no label: never active")
    assert rows[0]["verdict"] in {"certified", "stable"}
    untold = replace(audited, null=None)
    path = report.write_audit(untold, tmp_path / "untold.json")
    same_fields(report.read_audit(path), untold)
    report.write_descriptions(untold, tmp_path / "untold.csv")
    (tmp_path / "other.json").write_text(json.dumps({"format": "x"}))
    with pytest.raises(ValueError, match="is not an audit in the format"):
        report.read_audit(tmp_path / "other.json")


def test_results_pickle(probe, audited):
    """As a pool of processes sends them."""
    same_fields(pickle.loads(pickle.dumps(audited)), audited)
    boot = nt.bootstrap(KEY, probe, "iou", num_replicates=200)
    sets = nt.concept_sets(boot, alpha=0.1)
    again = pickle.loads(pickle.dumps(boot))
    assert again.definition is boot.definition
    for ours, theirs in (
        (nt.concept_sets(again, alpha=0.1), sets), (pickle.loads(pickle.dumps(sets)), sets),
        (pickle.loads(pickle.dumps(bounds := nt.intervals(probe, "iou"))), bounds),
    ):  # fmt: skip
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_table_shows_the_best_first_and_reasons_last(audited):
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(report.neuron_table(audited))
        text = console.export_text()
    lines = [line for line in text.splitlines() if "concept, " in line or "never" in line]
    assert len(lines) == 7
    assert "never active" in lines[-1]
    shown = [line.split("│")[1].strip() for line in lines]
    assert shown == [audited.neuron_names[u] for u in audited.ranked]
    order = [tuple(x[u] for x in (audited.verdict, -audited.replication_probability))
             for u in audited.ranked[:-1]]  # fmt: skip
    assert order == sorted(order)
    summary = report.summary(audited)
    firm = (audited.replication_probability >= 0.9).sum()
    assert summary.startswith(f"For {firm} of 7 neurons a fresh probing set would give the same")
    assert "1,500 samples in 300 groups and 9 concepts by iou" in summary
    assert "6 neurons have a label" in summary
    counts = [f"{n} {v.text}" for v, n in audited.verdict_counts.items() if n]
    assert f"Verdicts: {', '.join(counts)}." in summary
    assert "99 permutations" in summary
    ahead = audited.forecast([600, 1200]).reliable
    assert f"twice as many groups {ahead[0]} neurons would get the same " in summary
    assert f"four times as many {ahead[1]}." in summary
    assert "Chance" not in report.summary(replace(audited, null=None))


@pytest.mark.parametrize("width", [50, 80, 81, 100])
def test_no_word_below_the_table_is_cut_at_the_edge_of_the_terminal(audited, width):
    unsure = replace(audited, verdict=np.full(7, nt.Verdict.AMBIGUOUS),
                     verdict_reason=("among 2 (or a concept of a long name)",) * 7)  # fmt: skip
    table = report.neuron_table(unsure)
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    lines = console.file.getvalue().splitlines()
    assert set(str(table.caption).split()) <= {word for line in lines for word in line.split()}
    assert lines[1].endswith("┓")
    assert max(map(len, lines)) <= width


def test_ranked_puts_the_surest_of_the_best_verdict_first(audited):
    probability = np.array([0.5, 0.9, 0.9, 0.7, np.nan, 0.2, np.nan])
    found = replace(
        audited, replication_probability=probability, verdict=np.array([1, 1, 1, 0, 1, 2, 3]),
        similarity=np.array([0.9, 0.1, 0.2, 0.1, 0.8, 0.7, np.nan]),
    )  # fmt: skip
    assert found.ranked.tolist() == [3, 2, 1, 0, 4, 5, 6]


def test_figures_hold_what_they_say(audited, probe):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(5)
    counts = {
        "a": {nt.Verdict.STABLE: 3, nt.Verdict.UNDECIDED: 1},
        "b": audited.verdict_counts,
    }
    report.plot_verdicts(counts, axes[4])
    widths = [[bar.get_width() for bar in bars] for bars in axes[4].containers]
    assert widths == [[counts[name].get(v, 0) for name in counts] for v in nt.Verdict]
    assert report.plot_replication(audited, axes[0]) is axes[0]
    shown = np.concatenate([c.get_offsets() for c in axes[0].collections])
    assert sorted(shown[:, 1]) == pytest.approx(sorted(audited.replication_probability[:6]))
    report.plot_set_sizes(audited, axes[1])
    heights, edges, _ = axes[1].patches[0].get_data()
    assert heights.tolist() == sorted(audited.set_size[:6])
    assert edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    np.testing.assert_array_equal(
        axes[1].lines[0].get_ydata(), np.sort(audited.calibrated_set[:6].sum(axis=1))
    )
    report.plot_intervals(audited, axes[3])
    for lines, low, high in (
        (axes[3].collections[0], audited.lower, audited.upper),
        (
            axes[3].collections[1],
            audited.intervals.asymptotic_lower,
            audited.intervals.asymptotic_upper,
        ),
    ):
        drawn = sorted((float(s[0][1]), float(s[1][1])) for s in lines.get_segments())
        expected = sorted(zip(low[:6], high[:6], strict=True))
        np.testing.assert_allclose(drawn, expected, rtol=1e-6)
    images = np.zeros((1500, 4, 4, 1))
    images[:, 0, 0, 0] = np.arange(1500) / 1500
    activations = np.asarray(probe.activations)[:, 2]
    report.plot_examples(audited, 2, activations, images, axes[2],
                         groups=np.asarray(probe.groups), count=5)  # fmt: skip
    tiles = axes[2].images[0].get_array()
    assert tiles.shape == (6, 30)
    drawn = np.round(np.asarray(tiles)[1, 1::6] * 1500).astype(int)
    assert drawn[0] == int(np.argmax(activations))
    assert len(set(drawn // 5)) == 5  # one image of a group
    axes[2].clear()
    pieces = [f"$<{i}>" if i % 5 else f"\n{i}" for i in range(1500)]
    report.plot_snippets(audited, 2, activations, pieces, np.arange(1500) // 5, axes[2], count=3)
    shown = [text.get_text() for text in axes[2].texts]
    assert len(shown) == 9
    most = int(np.argmax(activations))
    assert shown[0] == pieces[most].replace("\n", "⏎")
    first = most - most % 5  # the context is of the same text
    assert shown[1] == "".join(pieces[first:most]).replace("\n", "⏎")
    assert shown[2] == "".join(pieces[most + 1 : first + 5])
    figure.canvas.draw()  # a dollar sign begins no formula
    plt.close(figure)


def test_audit_refuses_before_it_works(probe):
    with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1, got 0"):
        nt.audit(KEY, probe, alpha=0)
    with pytest.raises(ValueError, match="unknown metric 'IoU'"):
        nt.audit(KEY, probe, "IoU")
    for option, message in (
        ({"num_replicates": 0}, "num_replicates must be a whole number of at least 1, got 0"),
        ({"scheme": "x"}, "unknown scheme 'x'"), ({"method": "x"}, "unknown method 'x'"),
        ({"memory_limit": 1.0}, "memory_limit=1 bytes"),
        ({"method": "agarwal"}, "method 'agarwal' does not fit 'iou'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            nt.audit(KEY, probe, progress=lambda *x: pytest.fail("it works"), **option)


@pytest.mark.slow
def test_demo_runs_end_to_end(tmp_path):
    """The command in a process of its own, on the small dataset."""
    options = [
        "--task",
        "digits-mlp",
        "--metric",
        "auroc",
        "--num-replicates",
        "50",
        "--num-permutations",
        "99",
    ]
    command = [sys.executable, "-m", "neurotrust_jax", "demo", *options, "--out", str(tmp_path)]
    environment = os.environ | {"NEUROTRUST_CACHE": str(tmp_path / "cache")}
    run = partial(subprocess.run, command, check=True, capture_output=True, text=True)
    printed = run(env=environment).stdout
    printed = " ".join(printed.split())
    accuracy = float(printed.split("held-out images ")[1].split("%")[0])
    assert accuracy > 85  # chance is 10; a linear model reaches 95 with all of the data
    assert (tmp_path / "cache" / "models").exists()
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    figures = {f"{x}.{y}" for x in ("replication", "intervals", "set_sizes", "verdicts")
               for y in ("png", "svg")}  # fmt: skip
    files = {"report.html", "descriptions.csv", "audit.json", "audit.arrays.npz", "examples.png"}
    assert written == files | figures
    result = report.read_audit(tmp_path / "audit.json")
    assert result.metric == "auroc"
    assert np.nanmean(result.agreement) > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "jaccard"], "unknown metric 'jaccard'"),
        (["--alpha", "2"], "must lie strictly between 0 and 1, got 2.0"),
        (["--task", "mnist"], "mnist"),
        (["--num-replicates", "0"], "--num-replicates"),
        (["--out", "/dev/null/x"], "can not be a folder, since /dev/null is a file"),
    ],
)
def test_bad_options_of_the_command_end_at_once(arguments, message):
    result = CliRunner().invoke(app, ["demo", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in result.output
