"""Memory that this process may still take."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import jax

__all__ = ["free_memory"]


def free_memory() -> float:
    """Bytes free on the default device; on a CPU, in the machine, as far as this process may go.

    It may be held to less by a container or a batch system (control groups of Linux, of either
    version) or by ``ulimit``.
    """
    device = jax.devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    free = float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return max(min(free, *_left_of_limits()), 0.0)


def _left_of_limits() -> Iterator[float]:
    """What each limit on this process leaves it."""
    yield math.inf
    for group in _control_groups():
        for limit, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            try:
                # "max" where there is no limit
                most, now = (float((group / name).read_text()) for name in (limit, used))
                stat = dict(x.split() for x in (group / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):
                continue
            yield most - now + float(stat.get(cached, 0))  # files read are given back on demand
    try:
        import resource
    except ImportError:  # there is none on Windows
        return
    size = _status()
    for kind, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        limit_of_process = resource.getrlimit(kind)[0]
        if limit_of_process != resource.RLIM_INFINITY and used in size:
            yield float(limit_of_process - size[used])


def _control_groups() -> Iterator[Path]:
    """Folders of the control groups of this process, and of those around them."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, place = line.split(":", 2)
        if kinds in ("", "memory"):
            root = Path("/sys/fs/cgroup") / kinds
            own = root / place.lstrip("/")
            yield own
            yield from (x for x in own.parents if x.is_relative_to(root))


def _status() -> dict[str, int]:
    """Bytes of this process, by the names of ``/proc/self/status``."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return {}
    sizes = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): 1024 * int(size) for name, size, _ in sizes}
