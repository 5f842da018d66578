"""Bootstrap and audit on a number of devices, as one of several processes; prints digests.

Run as ``python sharded.py DEVICES PROCESSES PROCESS PORT``; the devices are those of one process.
"""

import hashlib
import os
import sys

devices, processes, process, port = map(int, sys.argv[1:])
more = f"--xla_force_host_platform_device_count={devices}"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {more}"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import numpy as np  # noqa: E402

if processes > 1:
    jax.distributed.initialize(f"localhost:{port}", processes, process)

import neurotrust_jax as nt  # noqa: E402
from neurotrust_jax.auditing import blocks  # noqa: E402

rng = np.random.default_rng(0)
concepts = rng.random((300, 7)) < 0.3
probe = nt.make_probe(rng.normal(size=(300, 6)) + concepts[:, :6], concepts, top_fraction=0.1)
total = devices * processes
mesh = None if total == 1 else jax.make_mesh((total,), ("replicates",))
# neurons too, where all devices are of one process
both = mesh if processes > 1 or total == 1 else jax.make_mesh((2, total // 2), ("neurons", "x"))
for metric, strategy in (("iou", "screened"), ("auroc", "rows"), ("correlation", "dense")):
    # 21 replicates at a time divide among no even number of devices
    boot = nt.bootstrap(
        jax.random.key(1),
        probe,
        metric,
        strategy=strategy,
        num_replicates=50,
        chunk_size=21,
        mesh=both,
    )
    values = np.asarray(boot.replicates)
    assert values.shape[1] == boot.num_replicates == 50
    exact = [boot.winners, boot.candidates, *([values] if metric == "iou" else [])]
    digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in exact)).hexdigest()[:16]
    print(len(jax.devices()), metric, digest, repr(float(np.nansum(values, dtype=np.float64))))

# rows divided among the devices, and added up
source = [(np.asarray(probe.activations), concepts)] * 5
for metric in ("iou", "correlation"):
    boot = nt.bootstrap_stream(
        jax.random.key(1), source, metric, thresholds=1.5, num_replicates=50, mesh=mesh
    )
    values = np.asarray(boot.replicates)
    exact = [boot.winners, boot.candidates, *([values] if metric == "iou" else [])]
    digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in exact)).hexdigest()[:16]
    summed = repr(float(np.nansum(values, dtype=np.float64)))
    print(len(jax.devices()), f"streamed_{metric}", digest, summed)

# blocks of neurons on all devices
blocks.MOST, blocks.LEAST = 2, 1
probe = nt.make_probe(
    rng.normal(size=(300, 21)) + concepts[:, np.arange(21) % 7], concepts, top_fraction=0.1
)
found = nt.audit(
    jax.random.key(2), probe, num_replicates=50, num_permutations=39, num_splits=4, mesh=mesh
)
exact = [found.label, found.verdict, found.concept_set, found.calibrated_set, found.vote_share]
digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in exact)).hexdigest()[:16]
print(len(jax.devices()), "audit", digest, repr(float(np.sum(found.replication_probability))))
