"""Time calls while other processes leave the cores alone, and measure memory."""

import os
import resource
import statistics
import sys
import time
from pathlib import Path

import jax

from .plan import BUSY, CALLS, KEY, WARM_UP_KEY

STEP = 1.0  # seconds between two looks at what other processes do


def clocks():
    """Seconds on the wall, and seconds of all cores that other processes have used so far."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return time.perf_counter(), 0.0
    ticks = [int(x) for x in stat.read_text().split("\n")[0].split()[1:9]]
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # but idle and waiting
    return time.perf_counter(), busy - sum(os.times()[:4])


def measured(call):
    """The seconds that a call takes, the cores that others used meanwhile, and the result."""
    before = clocks()
    result = jax.block_until_ready(call())
    wall, others = (now - then for now, then in zip(clocks(), before, strict=True))
    return wall, max(others - 0.02, 0.0) / wall, result  # the system counts hundredths of seconds


def timed(call, limits):
    """Times of ``call(key)``, and its result, after a first call that compiles.

    A call counts if other processes used few cores until its end. The time is the median of three
    such calls, or fewer where they take longer than ``limits.calls`` seconds together. Between
    calls that do not count it waits; after ``limits.wait`` seconds all calls count.
    """
    first, _, _ = measured(lambda: call(WARM_UP_KEY))
    calls, waited = [], 0.0
    while True:
        seconds, others, result = measured(lambda: call(KEY))
        calls.append((seconds, others))
        quiet = [x for x in calls if x[1] <= BUSY]
        enough = len(quiet) >= CALLS or sum(x[0] for x in quiet) > limits.calls
        if enough or waited >= limits.wait:
            break
        while others > BUSY and waited < limits.wait:
            _, others, _ = measured(lambda: time.sleep(STEP))
            waited += STEP
    counted, others_used = zip(*(quiet or calls), strict=True)
    median = statistics.median(counted)
    return {
        "seconds": median, "best_seconds": min(counted), "compile_seconds": first - median,
        "calls": len(counted), "cores_of_others": max(others_used),
    }, result  # fmt: skip


def once(call):
    """The time of one call, which compiles, and its result."""
    seconds, others, result = measured(call)
    return {"seconds": seconds, "compilation_included": True, "cores_of_others": others}, result


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
