"""Probed on one distribution, judged on another.

Probing sets are drawn from a population, and the labels are judged on another one, all of it known:
characters resampled (the density ratio is known, and at most 2), turned by 15 degrees, thinned, of
faces with serifs after faces without; source of other packages after the standard library's.
Writes ``shift.json`` and a figure, and exits with status 1 if sets under the true density ratio, or
limits that allow for it, miss more often than they may, or if a label that no such ratio can
overturn is overturned. Parts:

coverage  how often a set holds the concept that is best on the target, and how often limits of the
          label's similarity hold its similarity there: as if there were no shift, under importance
          weights (true, and estimated from unlabelled target samples), under bounds for every
          density ratio in [1/gamma, gamma]
radius    do labels of a small robustness radius break, and does it tell them better than the share
          of resampled probing sets that agree, or the lead over the second concept, does?
"""

import warnings

import jax
from _common import command_line, results
from _shift.measurements import ALPHA, coverage_part, radius_part
from _shift.pairs import image_pairs, source_pairs
from _shift.report import draw_figure, failures, tables
from rich.console import Console

import neurotrust_jax as nt

FULL = {"draws": 20, "replicates": 200, "penalty": 30.0, "images": 2000, "tokens": 8000}
QUICK = FULL | {"draws": 4, "replicates": 60, "images": 300}


def pairs(quick):
    """The pairs of populations, one after another."""
    if quick:
        yield from image_pairs("digits-cnn", 16, False)
        return
    yield from image_pairs("glyphs-cnn", 128, True)
    yield from source_pairs("python-transformer", 64, ("numpy", "jax"))


def main():
    options = command_line.parser(__doc__, "a few draws from the small digits")
    options.add_argument("--metric", default="iou", choices=("iou", "f1", "accuracy"))
    arguments = options.parse_args()
    size = QUICK if arguments.quick else FULL
    warnings.simplefilter("ignore", nt.shift.ShiftWarning)
    found = results.stamp(metric=arguments.metric, alpha=ALPHA, sizes=size, coverage=[], radius=[])
    for pair in pairs(arguments.quick):
        n = size["tokens" if "Python" in pair.name else "images"]
        found["coverage"] += coverage_part(pair, n, size, arguments.metric)
        found["radius"] += radius_part(pair, n, size, arguments.metric)
        results.write(arguments.out / "shift.json", found)
        jax.clear_caches()
    draw_figure(found, arguments.out / "shift.png")
    console = Console(width=150)
    console.print(*tables(found), sep="\n")
    command_line.finish(console, failures(found))


if __name__ == "__main__":
    main()
