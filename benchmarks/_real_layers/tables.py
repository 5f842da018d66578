"""Tables of `real_layers.py`, the README's among them, and what makes it fail."""

import math

from _common.terminal import table

from .measurements import ALPHA, POPULATIONS

BEFORE = {  # verdicts of version 0.1.0 on all groups, a fifth of them set aside for thresholds
    "magika conv": {"ambiguous": 85, "undecided": 107},
    "ocr svtr": {"ambiguous": 91, "undecided": 27, "unexplained": 2},
}


def percent(x, digits=1):
    return "" if x is None or not math.isfinite(x) else f"{100 * x:.{digits}f}"


def with_error(x, error):
    return f"{percent(x)} +- {percent(error)}" if x is not None else ""


def tables(found):
    """One table for each part."""
    yield sets_table(found["sets"])
    yield probability_table(found["probability"])
    yield verdicts_table(found["verdicts"])


def _probing_set(x):
    return "all groups" if x["data"] == "all" else f"{x['n']:,}"


def sets_table(rows):
    body, failed = [], []
    for x in rows:
        on_all = x["data"] == "all"
        lowest = None if on_all else min((y for y in x["by_lead"] if y is not None), default=None)
        body.append((
            x["layer"], x["metric"], _probing_set(x), x["kind"], percent(1 - x["alpha"], 0),
            "" if on_all else with_error(x["coverage"], x["standard_error"]), percent(lowest),
            percent(x.get("best_coverage")), f"{x['size']:.1f}", f"{x['median_size']:.1f}",
            percent(x["single"], 0),
        ))  # fmt: skip
        failed.append(not (x.get("covers", True) and x.get("classes_cover", True)))
    return table(
        "sets, shares in %",
        ("layer", "metric", "n", "set", "nominal", "fresh label in", "lowest class", "best in",
         "size", "median", "single"),
        body, failed,
    )  # fmt: skip


def probability_table(rows):
    return table(
        "does a label come out again as often as it says? shares in %",
        ("layer", "metric", "n", "measure", "calibration error", "bias", "at least 90",
         "of these, came again"),
        (
            (
                x["layer"], x["metric"], f"{x['n']:,}", x["measure"],
                f"{x['calibration_error']:.3f}", f"{x['bias']:+.3f}", percent(x["high"]),
                with_error(x["high_replicated"], x["high_error"]),
            )
            for x in rows
        ),
    )  # fmt: skip


def verdicts_table(rows):
    body = []
    for x in rows:
        on_all = x["data"] == "all"
        before = BEFORE.get(x["layer"], {}) if on_all else None
        body.append((
            x["layer"], _probing_set(x), x["verdict"], f"{x['neurons']:.1f}",
            before.get(x["verdict"], 0) if before else "",
            "" if on_all else with_error(x["again"], x["again_error"]), percent(x.get("right")),
        ))  # fmt: skip
    return table(
        "verdicts by iou, shares in %",
        ("layer", "n", "verdict", "neurons", "in 0.1.0", "label came again",
         "best concept or of its tree"),
        body,
    )  # fmt: skip


def markdown(found):
    """The table of the README: 90% sets by iou, and the probability of replication."""
    lines = [
        "| layer | probing set | conformal: fresh label in, % | best in | size: mean, median, "
        "single | calibrated: mean | vote: fresh label in, % | calibration error | agreement's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows = [x for x in found["sets"] if (x["metric"], x["alpha"]) == ("iou", ALPHA)]
    for x in (x for x in rows if x["kind"] == "conformal"):
        where = x["layer"], x["n"], x["data"]
        other = {y["kind"]: y for y in rows if (y["layer"], y["n"], y["data"]) == where}
        stated = {
            y["measure"]: f"{y['calibration_error']:.3f}" for y in found["probability"]
            if (y["layer"], y["n"], y["metric"], x["data"]) == (*where[:2], "iou", "probing sets")
        }  # fmt: skip
        on_all = x["data"] == "all"
        cells = (
            x["layer"], "all groups" if on_all else f"{x['n']:,}",
            "" if on_all else with_error(x["coverage"], x["standard_error"]),
            percent(x.get("best_coverage")),
            f"{x['size']:.1f}, {x['median_size']:.1f}, {percent(x['single'], 0)}%",
            "" if on_all else f"{other['calibrated']['size']:.1f}",
            "" if on_all else percent(other["vote"]["coverage"]),
            stated.get("probability", ""), stated.get("agreement", ""),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |".replace("+-", "±"))
    return "\n".join(lines)


def failures(found, size):
    """One line for everything that contradicts the claims."""
    controls = []
    for x in found["sets"]:
        if x["data"] == "all":
            continue
        if x["kind"] == "vote":
            controls.append(not x["covers"])
            continue
        wanted = ("covers_best",) if x["kind"] == "calibrated" else ("covers", "covers_best")
        if x["kind"] == "conformal":
            wanted += ("classes_cover",)
        for name in wanted:
            if not x.get(name, True):
                yield f"not so, {name}: {x}"
    for x in found["probability"]:
        if x["measure"] == "agreement":
            controls.append(x["bias"] > 0)
        elif x["layer"] in POPULATIONS and x["calibration_error"] > size["calibration_error"]:
            yield f"calibration error: {x}"
    for x in found["verdicts"]:
        again, right = x.get("again"), x.get("right")
        # on small probing sets few labels are stable, and neurons too are then few
        nominal = math.sqrt(ALPHA * (1 - ALPHA) / max(x["neurons"] * x["draws"], 1))
        slack = 3 * max(x.get("again_error") or 0, nominal)
        if x["verdict"] == "stable" and again is not None and again < 1 - ALPHA - slack:
            yield f"stable labels do not come out again: {x}"
        if x["verdict"] == "certified" and right is not None and right < 1:
            yield f"certified labels are not of the best concept's tree: {x}"
    if controls and not any(controls):
        yield "the vote rule covers and agreement is not too high: this test sees nothing"
