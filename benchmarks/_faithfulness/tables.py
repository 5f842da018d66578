"""Tables of `faithfulness.py`, and what makes it fail."""

import statistics

from _common.terminal import number, table

from .settings import ALL_METHODS, ALPHA, METHODS
from .summaries import mean


def order(names, known):
    """Those of the known names that occur, in the order of ``known``."""
    names = set(names)
    return [x for x in known if x in names]


def tables(results, parts):
    """The tables of each part that has some."""
    for part, make in TABLES.items():
        if part in parts:
            yield from make(results[part])


def gap_tables(part):
    yield table(
        "slope of log gap on log n (95% interval); expected -0.5",
        ("world", "frequency", "metric", "slope", ""),
        [
            (x["world"], x["frequency"], x["metric"], number(x["slope"]),
             x.get("reason") or f"{x['low']:.3f} to {x['high']:.3f}")
            for x in part["slopes"]
        ],
    )  # fmt: skip


def coverage_tables(part):
    body = []
    for method in order((x["method"] for x in part["rows"]), ALL_METHODS):
        mine = [x for x in part["rows"] if x["method"] == method]
        worst = max(mine, key=lambda x: x["miss_rate"])
        body.append(
            (method, len(mine), number(mean([x["miss_rate"] for x in mine]), 4),
             number(worst["miss_rate"], 4),
             f"{worst['world']} {worst['metric']} {worst['frequency']} n={worst['n']}",
             sum(x.get("verdict") == "FAILS" for x in mine))
        )  # fmt: skip
    yield table(
        f"misses, alpha {ALPHA}, allowance {part['allowance']:.4f}",
        ("method", "cells", "mean", "worst", "where", "FAILS"), body,
    )  # fmt: skip


def width_tables(part):
    rows = [x for x in part["rows"] if x["over_oracle"] is not None]
    sizes = sorted({x["n"] for x in part["rows"]})
    body = []
    for metric in order((x["metric"] for x in part["rows"]), METHODS):
        for method in METHODS[metric]:
            mine = [x for x in rows if (x["metric"], x["method"]) == (metric, method)]
            ratios = [[x["over_oracle"] for x in mine if x["n"] == n] for n in sizes]
            medians = (number(statistics.median(x), 2) if x else "" for x in ratios)
            body.append((metric, method, *medians))
    share = part["exact_narrowest"]
    yield table(
        f"width over the oracle's, median of the cells; exact is the narrowest in "
        f"{share['share']:.0%} of {share['cells']} cells",
        ("metric", "method", *(f"n={n}" for n in sizes)), body,
    )  # fmt: skip


def auroc_tables(part):
    names = ("hoeffding", "chernoff", "agarwal", "asymptotic", "oracle")
    yield table(
        "AUROC: half-widths",
        ("world", "frequency", "n", *names),
        [
            (x["world"], x["frequency"], x["n"], *(number(x[name]) for name in names))
            for x in part["rows"]
        ],
    )


def control_tables(part):
    yield table(
        "negative controls: what must fail, and its remedy, which must not",
        ("control", "metric", "method", "misses", "allowance", ""),
        [
            (x["control"], x["metric"], x["method"], number(x["miss_rate"]),
             number(x["allowance"]), control_word(x))
            for x in part["rows"]
        ],
    )  # fmt: skip
    rows = part.get("plain_quantiles", [])
    body = []
    for law, method in dict.fromkeys((x["law"], x["method"]) for x in rows):
        mine = [x for x in rows if (x["law"], x["method"]) == (law, method)]
        worst = max(mine, key=lambda x: x["miss_rate"])
        body.append(
            (law, method, number(mean([x["miss_rate"] for x in mine])),
             number(worst["miss_rate"]), f"{worst['metric']} n={worst['n']}",
             "over" if not worst["covers"] else "")
        )  # fmt: skip
    if rows:
        yield table(
            "thresholds at the top 5% of the same data",
            ("law", "method", "mean misses", "worst", "where", ""), body,
        )  # fmt: skip


def cost_tables(part):
    rows = part["rows"]
    base = {x["metric"]: x["seconds"] for x in rows if x["method"] == "similarity"}
    ratio = {(x["metric"], x["method"]): x.get("ratio") for x in rows}
    yield table(
        f"time over that of similarity, n={part['n']}, U={part['neurons']}, C={part['concepts']}",
        ("metric", "similarity, s", *ALL_METHODS),
        [
            (m, number(s), *(number(ratio.get((m, method)), 1) for method in ALL_METHODS))
            for m, s in base.items()
        ],
    )


TABLES = {"gap": gap_tables, "coverage": coverage_tables, "width": width_tables,
          "auroc": auroc_tables, "controls": control_tables, "cost": cost_tables}  # fmt: skip


def control_word(row):
    """Whether a control did what it must."""
    if row["must_fail"]:
        return "PASSES, must fail" if row["covers"] else "fails, as it must"
    return "holds" if row["covers"] else "FAILS"


def failures(results, parts):
    """One line for everything that makes the run fail."""
    for x in results["coverage"]["rows"] if "coverage" in parts else ():
        if x.get("verdict") == "FAILS":
            yield "{world} {metric} {frequency} n={n} {method}: misses {miss_rate:.4f}".format(**x)
    for x in results["controls"]["rows"] if "controls" in parts else ():
        if x["covers"] == x["must_fail"]:
            yield f"{x['control']}, {x['metric']}, {x['method']}: {control_word(x)}"
