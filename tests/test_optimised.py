"""What optimisation might change is tested once more, compiled as for users (see conftest.py)."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
MARKED = sorted(
    path
    for path in Path(__file__).parent.rglob("test_*.py")
    if "pytest.mark.optimised" in path.read_text() and path != Path(__file__)
)


@pytest.mark.parametrize("file", MARKED, ids=lambda path: path.stem)
def test_results_hold_as_compiled_for_users(file):
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--optimised", "-m", "optimised"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, file],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
