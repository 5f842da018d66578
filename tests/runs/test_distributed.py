"""The command in several processes of a cluster, as Slurm starts them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from neurotrust_jax import report

PROGRAM = """
import sys
from neurotrust_jax.auditing import blocks
from neurotrust_jax.cli import main
blocks.MOST, blocks.LEAST = 8, 4
main()
"""


@pytest.fixture
def command(tmp_path):
    """The command on a layer of three blocks, without ``--out``."""
    rng = np.random.default_rng(0)
    concepts = rng.random((300, 6)) < 0.3
    np.save(tmp_path / "concepts.npy", concepts)
    np.save(tmp_path / "layer.npy", rng.normal(size=(300, 22)) + 2 * concepts[:, np.arange(22) % 6])
    options = {"activations": "layer.npy", "concepts": "concepts.npy", "num-replicates": 50,
               "num-permutations": 39}  # fmt: skip
    return [x for name, value in options.items() for x in (f"--{name}", str(value))]


def start(folder, *arguments, **variables):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "audit", *arguments], cwd=folder, text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **variables},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def slurm(process, processes, job):
    """What Slurm tells a process about the job."""
    values = {"JOB_ID": job, "STEP_NODELIST": "localhost", "NTASKS": processes, "PROCID": process,
              "LOCALID": process, "STEP_NUM_NODES": 1}  # fmt: skip
    return {f"SLURM_{name}": str(value) for name, value in values.items()}


@pytest.mark.slow
def test_two_processes_write_one_folder_with_the_numbers_of_one(command, tmp_path):
    alone = start(tmp_path, *command, "--out", "alone")
    _, error = alone.communicate(timeout=300)
    assert alone.returncode == 0, error
    job = os.getpid()  # decides the port
    both = [
        start(tmp_path, *command, "--out", "both", "--distributed", **slurm(i, 2, job))
        for i in range(2)
    ]
    printed = []
    for program in both:
        out, error = program.communicate(timeout=300)
        assert program.returncode == 0, error
        printed.append(out)
    assert "Wrote both" in printed[0]
    assert "Wrote" not in printed[1]
    ours, theirs = (
        json.loads((tmp_path / name / "audit.json").read_text()) for name in ("both", "alone")
    )
    assert ours == theirs
    assert report.read_audit(tmp_path / "both" / "audit.json").num_replicates == 50
    assert (tmp_path / "both" / "report.html").is_file()
    assert not list((tmp_path / "both").glob(".unfinished*"))


def test_no_cluster_is_refused_in_a_line(command, tmp_path):
    program = start(tmp_path, *command, "--out", "out", "--distributed")
    _, error = program.communicate(timeout=120)
    assert program.returncode == 2
    assert "--distributed finds no cluster" in " ".join(error.split())
    assert "leave the option out" in " ".join(error.split())
