"""What `speed.py` prints, and what makes it fail."""

from _common.terminal import table

from .plan import GIB, Size
from .scaling import curves


def verdict(x):
    """The result of the check of a row."""
    if "missing" in x:
        return f"{x['missing']} is not installed"
    if "disagreements" in x:
        return f"{x['equal_winners']:.3%} equal winners, {x['disagreements']} real differences"
    if "error_ratio_off" in x:
        off, allowed = x["error_ratio_off"], x["tolerance"]
        return f"standard errors within {off:.0%} ({allowed:.0%} allowed)"
    if "holds_our_label" in x:
        return (
            f"{x['neurons_timed']} neurons: holds our label in {x['holds_our_label']:.0%}, "
            f"size {x['mean_size']:.1f}, ours {x['our_mean_size']:.1f}"
        )
    return f"compiled in {x['compile_seconds']:.1f} s"


def show(part, rows, console):
    """Print the rows of a part."""
    if part in ("compare", "sparse"):
        console.print(
            table(
                "seconds of B replicates",
                ("metric", "method", "n x U x C x B", "timed", "s", "speed-up", "checked"),
                map(comparison, rows),
            )
        )
    for line in LINES[part](rows) if part in LINES else ():
        console.print(line)


def comparison(x):
    """Cells of a row of the table."""
    numbers = ("", "", "") if "missing" in x else (
        f"{x['replicates_timed']:,}", f"{x['seconds']:.3g}", f"{x['speed_up']:.3g}"
    )  # fmt: skip
    size = " x ".join(f"{x[k]:,}" for k in Size._fields)
    return x["metric"], x["method"], size, *numbers, verdict(x)


def scaling_lines(rows):
    for metric, variable, _, _, exponent in curves(rows):
        yield f"time of {metric} grows as {variable} to the power {exponent:.2f}"


def whole_lines(rows):
    for x in rows:
        ratio = f", {x['speed_up']:.3g} times ours" if "difference" in x else ""
        yield f"{x['metric']}, {x['method']}: {x['seconds']:.3g} s{ratio}"


def scale_lines(rows):
    names = "memory_limit", "peak_rss_bytes", "rss_increase_bytes"
    for x in rows:
        limit, peak, more = (x[k] / GIB for k in names)
        yield (
            f"{x['U']:,} neurons x {x['C']:,} concepts x {x['B']:,} replicates, "
            f"n = {x['n']:,}: {x['seconds']:.1f} s, peak {peak:.2f} GiB, {more:.2f} more than "
            f"before, under a limit of {limit:.2f} GiB"
        )


LINES = {
    "ceiling": lambda rows: (x["meaning"] for x in rows), "scaling": scaling_lines,
    "scale": scale_lines, "whole": whole_lines,
}  # fmt: skip


def failures(found):
    """One line for each answer that is not the same."""
    for x in (x for part in ("compare", "sparse") for x in found.get(part, {"rows": ()})["rows"]):
        if x.get("disagreements") or x.get("error_ratio_off", 0) > x.get("tolerance", 0):
            yield f"{x['metric']}, {x['method']}: {verdict(x)}"
    for x in found.get("whole", {"rows": ()})["rows"]:
        if x.get("difference", 0) > x.get("tolerance", 0):
            difference = f"{x['difference']:.2g}"
            yield f"{x['metric']}: the permutation test differs from the product by {difference}"
