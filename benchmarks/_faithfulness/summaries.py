"""Gaps, miss rates and widths of simulated cells."""

import numpy as np

from .settings import allowance


def mean(x):
    """The mean without NaN; None if nothing is defined."""
    x = np.asarray(x, np.float64)
    return float(np.nanmean(x)) if np.any(~np.isnan(x)) else None


def mean_by_dataset(x):
    """Mean over pairs, NaN left out; NaN where none is defined. [R]."""
    some = ~np.isnan(x)
    count = some.sum(axis=(1, 2))
    return np.where(count > 0, np.nansum(x, axis=(1, 2)) / np.maximum(count, 1), np.nan)


def gap_part(cells):
    """Mean gaps, and their slope in log-log by world, frequency and metric."""
    rows, series = [], {}
    for cell in cells:
        error = np.abs(cell.measured - cell.truth)
        share = float(cell.condition.min())
        each = mean_by_dataset(error)
        enters = cell.n * share >= 20
        rows.append(
            cell.where | {
                "gap": mean(each), "undefined": float(np.isnan(error).mean()),
                "expected_in_condition": cell.n * share, "enters_slope": enters,
            }
        )  # fmt: skip
        points = series.setdefault((cell.world, cell.frequency, cell.metric), [])
        if enters:
            points.append((cell.n, each))
    rng = np.random.default_rng(0)
    slopes = [
        dict(zip(("world", "frequency", "metric"), where, strict=True)) | slope_of(points, rng)
        for where, points in series.items()
    ]
    return {"rows": rows, "slopes": slopes}


def slope_of(points, rng):
    """Slope of the log gap on log n with a 95% interval from resampled datasets.

    ``points`` is a list of sample sizes and gaps [R]; there is no slope for fewer than three.
    """
    if len(points) < 3:
        reason = f"{len(points)} sample sizes give the smallest condition 20 samples, 3 are needed"
        return {"slope": None, "low": None, "high": None, "reason": reason}
    n = np.log([n for n, _ in points])
    weight = (n - n.mean()) / ((n - n.mean()) ** 2).sum()

    def fit(gaps):
        return float(weight @ np.log(gaps))

    resampled = [
        fit([np.nanmean(rng.choice(each, len(each))) for _, each in points]) for _ in range(1000)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    slope = fit([np.nanmean(each) for _, each in points])
    return {"slope": slope, "low": low, "high": high, "points": len(points)}


def coverage_part(cells):
    """Miss rates by method."""
    rows = []
    for cell in cells:
        for method, lower in cell.lower.items():
            truth, upper = cell.truth, cell.upper[method]
            undefined = np.isnan(lower) | np.isnan(upper)
            # the truth is known in single precision, and no interval claims more
            miss = (truth < lower - 1e-6) | (truth > upper + 1e-6)
            rate = float(miss.sum() / max((~undefined).sum(), 1))
            allowed = allowance(len(miss))
            row = cell.where | {
                "method": method, "miss_rate": rate, "undefined": float(undefined.mean())
            }  # fmt: skip
            if method != "asymptotic":
                row["verdict"] = "holds" if rate <= allowed else "FAILS"
            rows.append(row)
    return {"allowance": allowance(len(cells[0].measured)), "rows": rows}


def oracle_width(cell):
    """Central 95% of the law of the measured similarity, [U, C]; NaN where mostly undefined."""
    some = (~np.isnan(cell.measured)).mean(axis=0) > 0.5
    filled = np.where(some, cell.measured, 0)
    return np.where(
        some, np.diff(np.nanquantile(filled, [0.025, 0.975], axis=0), axis=0)[0], np.nan
    )


def width_part(cells):
    """Widths over the oracle's, and how often exact is the narrowest that is valid."""
    rows, contests = [], []
    for cell in cells:
        if not cell.lower:
            continue
        oracle = oracle_width(cell)
        usable = np.where(oracle > 0, oracle, np.nan)
        widths = {}
        for method, lower in cell.lower.items():
            width = np.nanmean(cell.upper[method] - lower, axis=0)
            widths[method] = float(width.mean())
            rows.append(
                cell.where | {
                    "method": method, "width": widths[method], "over_oracle": mean(width / usable)
                }
            )  # fmt: skip
        if "exact" in widths:
            del widths["asymptotic"]
            best = min(widths, key=widths.get)
            contests.append(cell.where | {"narrowest": best, "width": widths[best],
                                          "exact": widths["exact"]})  # fmt: skip
    won = sum(x["narrowest"] == "exact" for x in contests)
    return {
        "rows": rows,
        "exact_narrowest": {
            "cells": len(contests), "share": won / max(len(contests), 1),
            "elsewhere": [x for x in contests if x["narrowest"] != "exact"],
        },
    }  # fmt: skip


def auroc_part(cells):
    """Half-widths of AUROC's limits beside the oracle's."""
    rows = []
    for cell in cells:
        if cell.metric != "auroc" or not cell.lower:
            continue
        half = {k: float(np.nanmean(cell.upper[k] - x) / 2) for k, x in cell.lower.items()}
        oracle = mean(oracle_width(cell))
        rows.append(
            {k: v for k, v in cell.where.items() if k != "metric"}
            | half | {"oracle": None if oracle is None else oracle / 2}
        )  # fmt: skip
    return {"rows": rows}
