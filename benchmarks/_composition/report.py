"""Tables of `composition.py`, the README's among them, and what makes it fail."""

from _common.terminal import table

from .worlds import ALPHA

TARGET_SECONDS, TARGET_RATIO = 20, 100
SIZE = {"n": 10_000, "U": 512, "C": 256}  # of the targets


def percent(x, digits=0):
    return "" if x is None else f"{100 * x:.{digits}f}"


def with_error(x, error, digits=1):
    return "" if x is None else f"{percent(x, digits)} ± {percent(error or 0, digits)}"


def planted_cells(rows):
    """Shares exact, alike and better, of each length and noise, by number of samples."""
    yield (
        "meant", "noise", "n", "formula found, %", "at its length, %", "samples found, %",
        "called better, %",
    )  # fmt: skip
    for x in sorted(rows, key=lambda x: (x["length"], x["noise"], x["n"])):
        if not x["length"]:
            continue
        concepts = f"{x['length']} concept{'s' * (x['length'] > 1)}"
        shares = (percent(x[name]) for name in ("exact", "at_length", "alike"))
        # a neuron that means one concept has nothing better
        better = (
            with_error(x["false"], x["false_error"]) if x["length"] == 1 else percent(x["better"])
        )
        yield (concepts, x["noise"], f"{x['n']:,}", *shares, better)


def shuffled_cells(rows):
    yield (
        "layer, shuffled", "neurons", "shuffles", "longer seems better, %", "naive interval, %",
        "called better, %", "shuffles with any, %",
    )  # fmt: skip
    for x in rows:
        shares = (with_error(x[name], x[f"{name}_error"]) for name in ("better", "any"))
        yield (
            x["layer"], x["neurons"], x["shuffles"],
            percent(x["longer"], 1), percent(x["naive"], 1), *shares,
        )  # fmt: skip


def real_cells(rows):
    yield (
        "layer", "metric", "one concept", "gain of 2: searched, left", "gain of 3: searched, left",
        "optimism, %", "called better, %", "same again, %", "overlap, %",
    )  # fmt: skip
    for x in rows:
        gains = (f"{x[f'searched_{k}']:.3f}, {x[f'left_{k}']:.3f}" for k in (2, 3))
        yield (
            x["layer"], x["metric"], f"{x['single']:.3f}", *gains, percent(x["optimism_3"]),
            percent(x["better"]), percent(x["same"]), percent(x["overlap"]),
        )  # fmt: skip


def search_cells(rows):
    yield (
        "layer", "beaten by the best, %", "by, in the mean", "at most", "proved, %",
        "seconds: beam", "best", "ratio",
    )  # fmt: skip
    for x in rows:
        if "beaten" not in x:
            continue
        ahead = "" if x["ahead"] is None else f"{x['ahead']:.4f}"
        yield (
            x["layer"], percent(x["beaten"], 1), ahead, f"{x['most_ahead']:.4f}",
            percent(x["proved_whole"]), f"{x['beam_seconds']:.2g}", f"{x['optimal_seconds']:.2g}",
            f"{x['time_ratio']:.1f}",
        )  # fmt: skip


def coverage_cells(rows):
    yield ("n", "interval from", "holds the truth, %", "misses from below, %", "from above, %")
    for x in rows:
        shares = (percent(x[name], 1) for name in ("too_low", "too_high"))
        covered = with_error(x["coverage"], x["standard_error"])
        yield (f"{x['n']:,}", x["interval"], covered, *shares)


def ratios(rows, world):
    """Seconds of each method, and how many times the published loop's are those of the others."""
    seconds = {x["method"]: x["seconds"] for x in rows if x["world"] == world}
    return seconds, {name: seconds["published"] / x for name, x in seconds.items()}


def speed_cells(rows):
    yield (
        "world", "search, both halves", "`compose`, beam", "`compose`, optimal", "published loop",
        "over search", "over `compose`", "loop of products", "same answers, %",
    )  # fmt: skip
    for world in dict.fromkeys(x["world"] for x in rows):
        seconds, times = ratios(rows, world)
        same = min(x["equal"] for x in rows if x["world"] == world and "equal" in x)
        names = ("search, beam", "compose, beam", "compose, optimal", "published")
        yield (
            world, *(f"{seconds[x]:.3g} s" for x in names),
            *(f"{times[x]:.3g}x" for x in names[:2]), f"{seconds['products']:.3g} s", percent(same),
        )  # fmt: skip


CELLS = {  # of each table: the part that it shows, and its rows, the first of which has titles
    "planted": ("planted", planted_cells), "shuffled": ("shuffled", shuffled_cells),
    "real": ("real", real_cells), "searches": ("real", search_cells),
    "coverage": ("coverage", coverage_cells), "speed": ("speed", speed_cells),
}  # fmt: skip


def tables(found):
    """One table for each part that was measured, two for real layers."""
    for title, (part, cells) in CELLS.items():
        if found.get(part):
            columns, *body = cells(found[part])
            yield table(title, columns, body)


def markdown(found, title):
    """A table of the README."""
    part, cells = CELLS[title]
    columns, *body = cells(found[part])
    lines = [f"| {' | '.join(map(str, x))} |" for x in (columns, *body)]
    lines.insert(1, "|" + "---|" * len(columns))
    return "\n".join(lines)


def failures(found):
    """One line for everything that contradicts the claims."""
    for x in found.get("shuffled", []):
        for name in ("better", "any"):
            # shares of few shuffles have an error of their own at the nominal level
            error = max(x[f"{name}_error"] or 0, (ALPHA * (1 - ALPHA) / x["shuffles"]) ** 0.5)
            if x[name] > ALPHA + 3 * error:
                yield f"too many called better on a shuffled layer ({name}): {x}"
        if x["naive"] < ALPHA:  # one side of an interval at 90% misses 5%
            yield f"the control, the naive interval, calls few better: {x}"
    judged = {
        x["n"]: x["coverage"] for x in found.get("coverage", []) if x["interval"] == "other half"
    }
    for x in found.get("coverage", []):
        slack = 3 * x["standard_error"]
        if x["interval"] == "other half" and x["coverage"] < 1 - ALPHA - slack:
            yield f"intervals cover too seldom: {x}"
        # an exact interval has more than its level to lose
        if x["interval"] == "search half" and x["coverage"] > judged[x["n"]] - slack:
            yield f"the control, the interval on the search half, covers as well: {x}"
    for x in found.get("planted", []):
        if x["false"] is not None and x["false"] > ALPHA + 3 * (x["false_error"] or 0):
            yield f"too many false ones: {x}"
    for x in found.get("speed", []):
        if x.get("equal", 1) < 1:
            yield f"a loop gives other answers: {x}"


def missed_targets(found):
    """One line for each target of speed that was missed at the size that it is set for."""
    rows = [x for x in found.get("speed", []) if all(x[k] == v for k, v in SIZE.items())]
    for x in rows:
        if x["method"].startswith("compose") and x["seconds"] > TARGET_SECONDS:
            yield f"{x['method']}, {x['world']}: {x['seconds']:.3g} s, target {TARGET_SECONDS} s"
    for world in dict.fromkeys(x["world"] for x in rows):
        _, times = ratios(rows, world)
        for name in ("search, beam", "compose, beam"):
            if times[name] < TARGET_RATIO:
                yield f"{name}, {world}: {times[name]:.3g}x, target {TARGET_RATIO}x"
