"""Time against what the dense formulation needs at this machine's peak."""

import math
from functools import partial

import jax
import jax.numpy as jnp

from .plan import KEY
from .rows import row
from .timing import timed
from .worlds import World


def peaks(side, copied, limits):
    """Matrix products and copies a second."""
    key, found = jax.random.key(KEY), {}
    on_cpu = jax.default_backend() == "cpu"
    side = side if on_cpu else 2 * side  # or it would take no longer than to start it
    for dtype in ("float32",) if on_cpu else ("float32", "bfloat16"):
        x = jax.random.normal(key, (side, side), dtype)
        product = jax.jit(partial(jnp.matmul, precision="highest"))
        times, _ = timed(lambda _, x=x, product=product: product(x, x), limits)
        found[f"{dtype}_gflops"] = 2e-9 * side**3 / times["best_seconds"]
    x = jax.random.normal(key, copied, jnp.float32)
    times, _ = timed(lambda _: jnp.copy(x), limits)
    return found | {"copy_gbytes": 8e-9 * copied / times["best_seconds"]}  # one read, one write


def ceiling(size, metric, name, side, copied, limits):
    """What the dense formulation needs at this machine's peak, and what we take.

    A replicate of it reads both sides once, multiplies them, and writes the similarities.
    """
    peak = peaks(side, copied, limits)
    times, _ = timed(partial(World(size, name).bootstrap, metric), limits)
    n, num_neurons, num_concepts, num_replicates = size
    operations = 2.0 * math.prod(size)
    moved = 4.0 * num_replicates * (n * (num_neurons + num_concepts) + num_neurons * num_concepts)
    fastest = max(v for k, v in peak.items() if k.endswith("gflops"))
    least = 1e-9 * max(operations / fastest, moved / peak["copy_gbytes"])
    seconds = times["seconds"]
    rate = 1e-9 * operations / seconds
    meaning = (
        f"{metric}, {name}: all neurons with all concepts on all samples take {least:.3g} s "
        f"or more at this machine's peak; ours takes {seconds:.3g} s, as if at {rate:.4g} GFlop/s, "
        f"{rate / fastest:.3g} times the peak: "
        + ("work is avoided" if seconds < least else "time goes to what is not that product")
    )
    return [row(
        metric, "ours", size, world=name, **times, replicates_timed=num_replicates,
        speed_up=least / seconds, equal_winners=None, **peak,
        dense_operations=operations, dense_bytes=moved,
        dense_seconds_at_peak=least, as_if_dense_gflops=rate, over_ceiling=rate / fastest,
        meaning=meaning,
    )]  # fmt: skip
