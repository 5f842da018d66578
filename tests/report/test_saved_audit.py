"""The two files of an audit belong together, stay small, and are there whole or as before."""

import json
from dataclasses import replace

import fuzz
import numpy as np
import pytest
from builders import same_fields

from neurotrust_jax import report
from neurotrust_jax._runtime import checkpoint
from neurotrust_jax.files import FileError

ARRAYS = "audit.arrays.npz"


@pytest.fixture
def written(tmp_path):
    return report.write_audit(fuzz.small_audit(), tmp_path / "audit.json")


def test_arrays_lie_beside_the_json_by_the_names_of_their_fields(written):
    content = json.loads(written.read_text())
    assert content["format"] == "neurotrust-audit-12"
    assert content["neuron_names"] == ["0", "1"]
    audit = fuzz.small_audit()
    with np.load(written.with_name(ARRAYS)) as arrays:
        np.testing.assert_array_equal(arrays["similarity"], audit.similarity)
        np.testing.assert_array_equal(arrays["intervals.upper"], audit.intervals.upper)
        assert arrays["fit.label_above"].dtype == audit.fit.label_above.dtype
    assert {p.name for p in written.parent.iterdir()} == {"audit.json", ARRAYS}
    # the same audit gives the same bytes
    other = report.write_audit(audit, written.with_name("b.json"))
    assert other.read_bytes() == written.read_bytes()


def test_names_without_json_never_share_their_arrays(tmp_path):
    for name in ("layer.1", "layer.2"):
        report.write_audit(fuzz.small_audit(), tmp_path / name)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"layer.1", "layer.2", "layer.1.arrays.npz", "layer.2.arrays.npz"}
    assert report.read_audit(tmp_path / "layer.1").layer == "block"


def test_arrays_that_are_missing_damaged_or_of_another_audit(written, tmp_path):
    other = report.write_audit(fuzz.small_audit(3), tmp_path / "other.json")
    arrays = written.with_name(ARRAYS)
    own = arrays.read_bytes()
    arrays.unlink()
    with pytest.raises(FileError, match=f"audit.json: the arrays .* missing; put {ARRAYS} into"):
        report.read_audit(written)
    for content in (b"", own[:-1], own + b"x", other.with_name("other.arrays.npz").read_bytes()):
        arrays.write_bytes(content)
        with pytest.raises(FileError, match=f"{ARRAYS}: is damaged or belongs to another audit"):
            report.read_audit(written)
    arrays.write_bytes(own)
    assert report.read_audit(written).layer == "block"


@pytest.mark.parametrize("failing", ["arrays", "json", "rename"])
def test_a_full_disk_leaves_the_earlier_audit(written, monkeypatch, failing):
    full = OSError(28, "No space left on device")

    def fail(*arguments, **options):
        raise full

    before = {p.name: p.read_bytes() for p in written.parent.iterdir()}
    target, name = {
        "arrays": (np.lib.format, "write_array"),
        "json": (checkpoint.Path, "write_text"),
        "rename": (checkpoint.Path, "replace"),
    }[failing]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, fail)
        with pytest.raises(OSError, match="No space left"):
            report.write_audit(fuzz.small_audit(5), written)
    assert {p.name: p.read_bytes() for p in written.parent.iterdir()} == before


def test_a_wide_layer_is_small_on_disk(tmp_path):
    audit = fuzz.small_audit(16_384, 60)
    path = report.write_audit(audit, tmp_path / "audit.json")
    # the JSON grows by the names of the neurons alone
    assert path.stat().st_size < 25 * 16_384
    assert path.with_name(ARRAYS).stat().st_size < 10e6
    again = report.read_audit(path)
    np.testing.assert_array_equal(again.vote_share, audit.vote_share)
    assert again.verdict_reason == audit.verdict_reason
    assert again.intervals.why_wide == audit.intervals.why_wide


@pytest.mark.parametrize("formulas", [True, False])
def test_everything_reads_back(tmp_path, formulas):
    audit = fuzz.small_audit(5)
    audit = audit if formulas else replace(audit, compositions=None)
    same_fields(report.read_audit(report.write_audit(audit, tmp_path / "audit.json")), audit)
