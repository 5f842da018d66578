"""``neurotrust audit --ranges``: where the cuts come from, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import command

from neurotrust_jax.probing import activation_ranges
from neurotrust_jax.runs import Files, Options, audit_run, load_layer

AUDIT = "audit --activations first.npy --concepts concepts.npy --quiet"


@pytest.fixture
def audited(files, monkeypatch):
    """Probes that the command audits."""
    found, made = [], audit_run.audit

    def audit(key, probe, *arguments, **options):
        found.append(probe)
        return made(key, probe, *arguments, **options)

    monkeypatch.setattr(audit_run, "audit", audit)
    return found


def run(arguments):
    return command(*AUDIT.split(), *arguments.split())


def test_cuts_come_from_the_samples_that_are_set_aside(audited):
    assert run("--ranges 3 --split 0.4 --top-fraction 0.2 --out o").exit_code == 0
    (cut,) = audited
    assert (cut.num_ranges, cut.num_neurons, cut.num_samples) == (3, 12, 120)
    assert cut.thresholds_fixed
    assert cut.neuron_names[:2] == ("0 range 1/3", "0 range 2/3")
    found = json.loads(Path("o/manifest.json").read_text(encoding="utf-8"))
    assert found["options"]["ranges"] == 3
    assert found["thresholds"].startswith("3 ranges, cut on other samples, above: top_fraction=0.2")
    # the manifest gives the same run again
    assert command("audit", "--config", "o/manifest.json", "--out", "p", "--quiet")[0] == 0
    assert audited[1].neuron_names == cut.neuron_names
    np.testing.assert_array_equal(audited[1].activations, cut.activations)


def test_without_samples_set_aside_cuts_are_of_the_same_ones(audited):
    np.save("thresholds.npy", np.zeros(4, np.float32))
    for i, arguments in enumerate(("--split 0", "--thresholds thresholds.npy")):
        assert run(f"--ranges 2 {arguments} --out {i}").exit_code == 0
        assert (audited[i].num_ranges, audited[i].num_samples) == (2, 200)
        assert not audited[i].thresholds_fixed


def test_a_layer_is_cut_after_its_thresholds_are_raised(files):
    options = Options(ranges=2, top_fraction=0.4, top_of_active=0.5, split=0.0)
    data = load_layer(Files((files / "first.npy",), files / "concepts.npy"), options)
    whole = Options(top_fraction=0.4, top_of_active=0.5, split=0.0)
    plain = load_layer(Files((files / "first.npy",), files / "concepts.npy"), whole)
    expected = activation_ranges(plain.probe(), 2)
    np.testing.assert_array_equal(data.probe().activations, expected.activations)


@pytest.mark.parametrize(("arguments", "message"), [
    ("--ranges 2 --metric auroc", "ranges=2 needs a metric of active samples, such as iou"),
    ("--ranges 2 --activation-range 0 1", "activation_range=(0.0, 1.0) has no effect on ranges=2"),
    ("--ranges 1", "--ranges"),
    ("--ranges 4 --split 0.2", "sets 40 samples aside, too few for 4 ranges of the top 0.05; give"),
])  # fmt: skip
def test_ranges_that_do_not_fit_are_refused(files, arguments, message):
    result = run(f"{arguments} --out o")
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (files / "o").exists()


def test_examples_of_a_range_are_spread_over_its_samples(audited, monkeypatch):
    np.save("groups.npy", np.arange(200) // 2)
    shown = []
    monkeypatch.setattr(audit_run, "save_examples", lambda found, folder: shown.append(found.top))
    for groups in ("", " --groups groups.npy"):
        arguments = f"--ranges 2 --split 0 --top-fraction 0.2 --out o{len(shown)}{groups}"
        assert run(f"{arguments} --examples images.npy").exit_code == 0
        active = np.asarray(audited[-1].active)
        for u, rows in enumerate(shown[-1]):
            assert active[rows, u].all()
            assert (np.diff(rows) > 0).all()
            (inside,) = np.nonzero(active[:, u])
            assert rows[0] == inside[0]
            if groups:
                assert len(set(rows // 2)) == 6
                assert rows[-1] // 2 == inside[-1] // 2
            else:
                assert rows[-1] == inside[-1]
