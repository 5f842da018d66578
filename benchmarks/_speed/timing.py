"""Time calls, measure memory, and run in a process apart."""

import math
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import jax

from .plan import KEY, WARM_UP_KEY


@contextmanager
def worker():
    """A process that starts when first needed, and a function that calls others in it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


def fresh(function, *args):
    """The result of one call in a new process.

    It inherits no memory, compiled code or full accelerator; the parent never touches the device.
    """
    with worker() as call:
        return call(function, *args)


def seconds_of(call):
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def timed(call, patience=math.inf):
    """Times of ``call(key)``, and its result: three calls after one that compiles.

    Fewer, but one at least, where they take longer than ``patience`` seconds together.
    """
    first, _ = seconds_of(lambda: call(WARM_UP_KEY))
    warm = []
    while not warm or (len(warm) < 3 and sum(warm) < patience):
        seconds, result = seconds_of(lambda: call(KEY))
        warm.append(seconds)
    median = statistics.median(warm)
    times = {"seconds": median, "best_seconds": min(warm), "compile_seconds": first - median}
    return times, result


def peak_memory():
    """Peak bytes so far: resident in this process, and on the accelerator where there is one."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"rss": unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    device = jax.devices()[0].memory_stats() or {}
    return peak | ({"device": device["peak_bytes_in_use"]} if device else {})


def memory_since(before):
    after = peak_memory()
    return {f"peak_{k}_bytes": v for k, v in after.items()} | {
        f"{k}_increase_bytes": v - before[k] for k, v in after.items()
    }
