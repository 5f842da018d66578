"""Replicates on several devices and in several processes are those of one device."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).parent / "sharded.py"


@pytest.fixture(scope="module")
def start():
    """Start a program of tests/sharded.py's arguments."""

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finish(program):
    """The number of devices it saw, and by metric a digest and the sum of all replicates."""
    out, error = program.communicate(timeout=300)
    assert program.returncode == 0, error
    # the library that connects processes prints as well
    lines = [x.split() for x in out.splitlines() if not x.startswith("[Gloo]")]
    (seen,) = {int(devices) for devices, *_ in lines}
    return seen, {metric: (digest, float(total)) for _, metric, digest, total in lines}


@pytest.fixture(scope="module")
def alone(start):
    seen, results = finish(start(1, 1, 0, 0))
    assert seen == 1
    streamed = {"streamed_iou", "streamed_correlation"}
    assert set(results) == {"iou", "auroc", "correlation", "audit", *streamed}
    return results


def check(results, expected):
    # counts are equal to the last bit, sums of reals to their rounding
    assert results["iou"] == expected["iou"]
    assert results["streamed_iou"] == expected["streamed_iou"]
    for metric, (digest, total) in expected.items():
        assert results[metric][0] == digest
        assert results[metric][1] == pytest.approx(total, rel=1e-7)


def test_eight_devices(start, alone):
    seen, results = finish(start(8, 1, 0, 0))
    assert seen == 8
    check(results, alone)


def test_two_processes(start, alone):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    both = [start(1, 2, process, port) for process in range(2)]
    for program in both:
        seen, results = finish(program)
        assert seen == 2
        check(results, alone)
