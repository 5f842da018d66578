"""`neurotrust plan --from`: forecasts of an audit, its figure, and refusals."""

import json
from dataclasses import replace

import fuzz
import numpy as np
import pytest
from builders import command

from neurotrust_jax import report
from neurotrust_jax.resampling import Trend

AUDIT = replace(
    fuzz.small_audit(4),
    trend=Trend(
        50, np.array([0.5, 2.0, 4.0, 5.0]), np.array([1.0, 0.2, 0.0, 0.1]), np.zeros(4),
        np.array([0.9, -0.6, 0.1]), np.array([0.4, 0.5, 0.6]),
    ),
)  # fmt: skip


@pytest.fixture
def out(tmp_path):
    report.write_audit(AUDIT, tmp_path / "audit.json")
    return tmp_path


def test_a_table_tells_what_more_units_would_settle(out):
    shown = command("plan", "--from", out).stdout
    rows = [x.split("│")[1:5] for x in shown.splitlines() if x.startswith("│")]
    cells = [[int(x.strip().replace(",", "")) for x in row] for row in rows]
    expected = AUDIT.forecast()
    assert [row[0] for row in cells] == [50, 100, 200, 400]
    assert [row[1] for row in cells] == [0, 50, 150, 350]
    assert [row[2] for row in cells] == [round(x) for x in expected.expected]
    assert [row[3] for row in cells] == expected.reliable.tolist()
    assert "It rests on the likely." in shown


def test_json_and_other_sizes(out):
    found = json.loads(command("plan", "--from", out, "--units", 120, "--json").stdout)
    (layer,) = found["layers"]
    forecast = AUDIT.forecast(120)
    assert (layer["layer"], layer["neurons"], layer["units"]) == ("block", 4, [120])
    assert layer["expected"] == pytest.approx(forecast.expected)
    assert layer["reliable"] == forecast.reliable.tolist()


def test_the_curve_is_drawn_by_the_ending_of_its_name(out):
    for name, start in (("curve.png", b"\x89PNG"), ("curve.svg", b"<?xml"), ("curve.pdf", b"%PDF")):
        assert command("plan", "--from", out, "--plot", out / name).exit_code == 0
        assert (out / name).read_bytes().startswith(start)
    refused = command("plan", "--from", out, "--plot", out / "curve.xyz")
    assert refused.exit_code == 2
    assert "can not be drawn; end its name in one of" in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--error", 0.2], "--error: has no effect with --from"),
        (["--metric", "auroc"], "--metric: has no effect with --from"),
        (["--units", 20], "num_units must lie between 50, the number of the audit, and 400"),
        (["--layer", "other"], "there is no layer 'other'"),
    ],
)
def test_refusals(out, arguments, message):
    found = command("plan", "--from", out, *arguments)
    assert found.exit_code == 2
    assert message in " ".join(found.output.replace("│", " ").split())


def test_options_of_a_run_need_one():
    for option in (["--units", 5], ["--layer", "a"], ["--plot", "x.png"]):
        found = command("plan", *option)
        assert found.exit_code == 2
        assert f"{option[0]}: has no effect without --from" in " ".join(found.output.split())
