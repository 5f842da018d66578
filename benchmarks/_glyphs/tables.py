"""Tables of `glyphs.py`, and what makes it fail."""

import numpy as np
from _common.terminal import table, with_error


def tables(found):
    """One table for each part."""
    yield coverage_table(found["coverage"])
    yield verdict_table(found["verdicts"])
    yield permutation_table(found["permutation"])
    yield measures_table(found["measures"])


def coverage_table(rows):
    return table(
        "coverage of concept sets, and their mean size",
        ("metric", "n", "set", "nominal", "coverage", "lowest neuron", "size", "untested"),
        (
            (
                x["metric"], f"{x['n']:,}", x["kind"], f"{1 - x['alpha']:.0%}",
                with_error(x["coverage"], x["standard_error"]), f"{x['lowest_neuron']:.2f}",
                f"{x['size']:.1f}", f"{x['untested']:.1f}",
            )
            for x in rows
        ),
        failed=[not x["covers"] for x in rows],
    )  # fmt: skip


def verdict_table(rows):
    body = []
    for n, verdict in dict.fromkeys((x["n"], x["verdict"]) for x in rows):
        mine = [x for x in rows if (x["n"], x["verdict"]) == (n, verdict)]
        total = sum(x["neurons"] for x in mine)
        shares = (sum(x[k] for x in mine) for k in ("label_is_best", "same_answer_as_best"))
        cells = (f"{s / total:.1%}" if total else "" for s in shares)
        body.append((f"{n:,}", verdict, f"{total / len(mine):.1f}", *cells))
    columns = ("n", "verdict", "neurons", "label is the best", "or of its tree")
    return table("verdicts", columns, body)


def permutation_table(rows):
    return table(
        "permutation test at 5%",
        ("n", "activations kept", "median iou", "p <= 0.05", "explained (q)", "any"),
        (
            (
                f"{x['n']:,}", f"{x['kept']:.0%}", f"{np.median(x['iou']):.3f}",
                with_error(x["rejected"], x["standard_error"]), f"{x['explained']:.3f}",
                f"{x['any_explained']:.2f}",
            )
            for x in rows
        ),
    )  # fmt: skip


def measures_table(rows):
    return table(
        "measures of stability",
        ("n", "measure", "mean", "on fresh sets", "rmse", "rank correlation",
         "AUROC: label is best"),
        (
            (
                f"{x['n']:,}", x["measure"], f"{x['mean']:.3f}", f"{x['mean_fresh']:.3f}",
                f"{x['rmse']:.3f}", f"{x['rank_correlation']:.2f}",
                f"{x['auroc_label_is_best']:.3f}",
            )
            for x in rows
        ),
    )  # fmt: skip


def failures(found):
    """One line for everything that contradicts the claims."""
    for x in found["coverage"]:
        if not x["covers"] and not x["kind"].startswith("vote"):
            yield f"too low: {x}"
    for x in found["permutation"]:
        if x["kept"] == 0 and x["rejected"] > 0.05 + 3 * x["standard_error"]:
            yield f"false alarms: {x['rejected']:.3f} at n = {x['n']:,}"
        if x["kept"] == 1 and x["rejected"] < 0.5:
            yield f"no power: {x['rejected']:.3f} at n = {x['n']:,}"
