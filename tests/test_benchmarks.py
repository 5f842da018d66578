"""The benchmarks run, and what they claim holds."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.x32, pytest.mark.slow]
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_faithfulness_covers_and_its_controls_fail(tmp_path, request):
    # exits with 1 where an interval misses too often or a negative control does not
    run = subprocess.run(
        [sys.executable, BENCHMARKS / "faithfulness.py", "--quick", "--out", tmp_path],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(request.config.cache.mkdir("jax"))},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads((tmp_path / "faithfulness.json").read_text())
    for part in ("gap", "coverage", "width", "planning"):
        assert (tmp_path / f"faithfulness_{part}.png").stat().st_size > 10_000
    slopes = [row["slope"] for row in found["gap"]["slopes"]]
    assert slopes
    assert all(abs(slope + 0.5) < 0.1 for slope in slopes)
    for row in found["width"]["rows"]:
        # no valid interval is much narrower than the law of what was measured
        assert math.isfinite(row["over_oracle"])
        assert row["method"] == "asymptotic" or row["over_oracle"] > 0.9
    assert {row["must_fail"] for row in found["controls"]["rows"]} == {True, False}
