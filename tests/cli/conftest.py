"""Folders of runs whose audits are made up, since what they hold does not matter here."""

from dataclasses import replace

import fuzz
import numpy as np
import pytest

from neurotrust_jax.runs import audit_run

NUM_CONCEPTS = 6


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files of two layers in the working folder, and an audit that takes no time."""
    rng = np.random.default_rng(0)
    concepts = rng.random((200, NUM_CONCEPTS)) < 0.3
    for name, width in (("first", 4), ("second", 7)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(200, width)).astype(np.float32))
    np.save(tmp_path / "concepts.npy", concepts)
    np.save(tmp_path / "images.npy", rng.random((200, 4, 4)))
    (tmp_path / "names.txt").write_text("\n".join(f"concept {i}" for i in range(NUM_CONCEPTS)))

    def audit(key, probe, metric, *, layer, alpha, **options):
        made = fuzz.small_audit(probe.num_neurons, NUM_CONCEPTS)
        return replace(made, layer=layer, alpha=alpha, metric=metric)

    monkeypatch.setattr(audit_run, "audit", audit)
    monkeypatch.setattr(audit_run, "save_figures", lambda audit, folder: [])
    monkeypatch.setattr("neurotrust_jax.cli.audit.keep_compiled_functions", lambda: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path
