"""What `speed.py` prints, and what makes it fail."""

from _common.terminal import table

from .plan import GIB, Size
from .scaling import curves


def verdict(x):
    """The result of the check of a row."""
    if "missing" in x:
        return f"skipped, no {x['missing']}"
    if "unfinished" in x:
        return x["unfinished"]
    if "p_value_difference" in x:
        return (
            f"{x['disagreements'] + x['disagreements_on_halves']} real differences of winners and "
            f"labels, p-values within {x['p_value_difference']:.2g}"
        )
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
    if "verdicts" in x:
        return ", ".join(f"{number} {text}" for text, number in x["verdicts"].items() if number)
    if "compilations" in x:
        return f"{x['functions']} functions, {x['compilations']} compiled"
    return f"compiled in {x['compile_seconds']:.1f} s" if "compile_seconds" in x else ""


def size_of(x):
    return x.get("layer") or " x ".join(f"{x[k]:,}" for k in Size._fields)


COLUMNS = {
    "metric": lambda x: x.get("metric", ""),
    "world": lambda x: x.get("world", ""),
    "method": lambda x: x.get("method", ""),
    "n x U x C x B": size_of,
    "permutations": lambda x: f"{x['permutations']:,}" if "permutations" in x else "",
    "s": lambda x: f"{x['seconds']:.3g}" if "seconds" in x else "",
    "CPU s": lambda x: f"{x['cpu_seconds']:.3g}" if "cpu_seconds" in x else "",
    "times ours": lambda x: f"{x['speed_up']:.3g}" if "speed_up" in x else "",
    "peak GiB": lambda x: f"{x['peak_rss_bytes'] / GIB:.2f}" if "peak_rss_bytes" in x else "",
    "increase": lambda x: (
        f"{x['rss_increase_bytes'] / GIB:.2f}" if "rss_increase_bytes" in x else ""
    ),
    "others": lambda x: f"{x['cores_of_others']:.2f}" if "cores_of_others" in x else "",
    "checked": verdict,
}


def show(part, rows, console):
    """Print the rows of a part, and what follows from them."""
    if not rows:
        return
    cells = {name: [cell(x) for x in rows] for name, cell in COLUMNS.items()}
    cells = {name: values for name, values in cells.items() if any(values)}
    failed = [bool(failure(part, x)) for x in rows]
    title = f"{part}: seconds, and cores that other processes used"
    console.print(table(title, tuple(cells), zip(*cells.values(), strict=True), failed))
    for x in rows:
        if "meaning" in x:
            console.print(x["meaning"])
    for metric, world, variable, _, _, exponent in curves(rows) if part == "scaling" else ():
        console.print(f"{metric}, {world}: time grows as {variable} to the power {exponent:.2f}")


def failure(part, x):
    """A line where an answer is not the same, or an empty text."""
    wrong = (
        x.get("disagreements"), x.get("disagreements_on_halves"),
        x.get("error_ratio_off", 0) > x.get("tolerance", 0),
        x.get("difference", 0) > x.get("tolerance", 0),
        x.get("p_value_difference", 0) > x.get("p_value_tolerance", 0),
    )  # fmt: skip
    if not any(wrong):
        return ""
    return f"{part}, {x['metric']}, {x.get('world', '')}, {x['method']}: {verdict(x)}"


def failures(found):
    """One line for each answer that is not the same."""
    for part, measured in found.items():
        if isinstance(measured, dict) and "rows" in measured:
            yield from filter(None, (failure(part, x) for x in measured["rows"]))
