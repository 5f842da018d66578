"""The command on a small layer: what the first call costs, and what a later process costs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from .plan import CALLS
from .rows import row
from .timing import measured
from .worlds import World

PROCESS = """
import json, sys
from jax import monitoring
found = []
monitoring.register_event_duration_secs_listener(lambda name, *_, **__: found.append(name))
monitoring.register_event_listener(lambda name, **_: found.append(name))
from neurotrust_jax.cli import main
sys.argv = ["neurotrust", "audit", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    if end.code:
        raise
asked = sum(x.endswith("backend_compile_duration") for x in found)
kept = sum(x.endswith("cache_hits") for x in found)
print(json.dumps({"functions": asked, "compilations": asked - kept}))
"""


def command(size, metric, limits):
    """Rows of a first process, whose cache folder is empty, and of later ones."""
    world = World(size)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.save(folder / "activations.npy", np.asarray(world.probe.activations))
        np.save(folder / "concepts.npy", world.concepts)
        calls = [run(folder, metric, size) for _ in range(1 + (CALLS if limits.wait else 1))]
    first, *later = calls
    again = later[-1] | {
        k: statistics.median(x[k] for x in later) for k in ("seconds", "cpu_seconds")
    } | {"calls": len(later)}  # fmt: skip
    return [
        row(metric, "first process", size, **first),
        row(metric, "later process", size, **again),
    ]


def run(folder, metric, size):
    """Seconds on the wall and of the processor that one command takes, and what it compiled."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMP", "JAX_PERSIST"))}
    arguments = [
        "--activations", folder / "activations.npy", "--concepts", folder / "concepts.npy",
        "--out", folder / "out", "--metric", metric, "--num-replicates", size.B,
        "--num-permutations", size.B, "--force",
    ]  # fmt: skip
    before = os.times()
    environment = kept | {"NEUROTRUST_CACHE": str(folder / "cache")}
    process = [sys.executable, "-c", PROCESS, *map(str, arguments)]
    seconds, others, done = measured(
        lambda: subprocess.run(process, capture_output=True, text=True, env=environment)
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    return {
        "seconds": seconds, "cpu_seconds": spent, "cores_of_others": others,
        **json.loads(done.stdout.splitlines()[-1]),
    }  # fmt: skip
