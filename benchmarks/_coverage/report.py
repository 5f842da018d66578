"""Tables of `coverage.py`, and what makes it fail."""

from itertools import product

import numpy as np
from _common.terminal import table
from _common.truth import KINDS


def world_of(row):
    """What tells a world from the others, in a few words."""
    text = f"{row['metric']} M={row['num_concepts']} n={row['n']} p={row['frequency']}"
    text += f" gap={row['gap']} {row['structure']}"
    if row["groups"]:
        text += f", groups: {row['groups']}"
    if row["scheme"] != "multinomial":
        text += f", {row['scheme']}"
    return text + (", quantile" if row["quantile"] else "")


def of_kind(rows, kind, alpha):
    return [x for x in rows if (x["kind"], x["alpha"]) == (kind, alpha)]


def levels(rows):
    """Error levels, the largest first."""
    return sorted({x["alpha"] for x in rows}, reverse=True)


def hostile(rows, alpha):
    """Coverage and size in every hostile world."""
    vote = {world_of(x): x["coverage"] for x in of_kind(rows, "vote", alpha)}
    return table(
        f"hostile worlds, calibrated {1 - alpha:.0%} sets",
        ("world", "holds the best", "error", "size", "untested", "vote rule"),
        (
            (
                world_of(x), f"{x['coverage']:.3f}", f"{x['standard_error']:.3f}",
                f"{x['size']:.2f}", f"{x['untested']:.2f}", f"{vote[world_of(x)]:.3f}",
            )
            for x in of_kind(rows, "calibrated", alpha)
        ),
    )  # fmt: skip


def summary(rows):
    """Cells, lowest and mean coverage and failures by kind and level."""
    body = []
    for kind, alpha in product(KINDS, levels(rows)):
        mine = of_kind(rows, kind, alpha)
        low = min(mine, key=lambda x: x["coverage"])
        body.append((
            kind, f"{1 - alpha:.0%}", len(mine), f"{np.mean([x['coverage'] for x in mine]):.3f}",
            f"{low['coverage']:.3f}", world_of(low), sum(not x["covers"] for x in mine),
        ))  # fmt: skip
    return table(
        "coverage of concept sets",
        ("set", "nominal", "cells", "mean coverage", "lowest", "where", "too low"), body,
    )  # fmt: skip


def sizes(rows):
    """In how many cells the calibrated set is smaller than the certified one, and where not."""
    body = []
    for alpha in levels(rows):
        mine, sure = (of_kind(rows, kind, alpha) for kind in ("calibrated", "certified"))
        pairs = list(zip(mine, sure, strict=True))
        larger = [a for a, b in pairs if a["size"] > b["size"]]
        smaller = sum(a["size"] < b["size"] for a, b in pairs)
        body.append((
            f"{1 - alpha:.0%}", len(pairs), smaller, len(pairs) - smaller - len(larger),
            len(larger), f"{np.median([a['size'] / b['size'] for a, b in pairs]):.2f}",
            "; ".join(map(world_of, larger[:4])),
        ))  # fmt: skip
    return table(
        "mean size, calibrated against certified",
        ("nominal", "cells", "smaller", "same", "larger", "ratio, median", "larger where"), body,
    )  # fmt: skip


def failures(rows, parts):
    """One line for everything that is promised and missed, and one if the controls cover too."""
    for part in ("planted", "hostile", "conformal"):
        for x in rows[part]:
            promised = x.get("promised", True) and not x["kind"].startswith("vote")
            if promised and not x["covers"]:
                yield f"too low: {x}"
    for x in rows["compare"]:
        if not (x["covers"] and x["neurons_cover"]):
            yield f"too low: {x}"
    planted = [x for x in rows["planted"] if x["num_concepts"] >= 10 and "planted" in parts]
    controls = [
        [x["covers"] for x in tied if x["kind"] == "vote" and x["gap"] == 0]
        for tied in (planted, rows["conformal"])
    ]
    chosen = (x for x in rows["compare"] if x["case"] == "chosen, given")
    controls.append([x["control_coverage"] > 0.5 for x in chosen])
    if any(covers and all(covers) for covers in controls):
        yield "a control covers too: this test sees nothing"
