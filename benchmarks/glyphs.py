"""What is said of a real layer whose truth is known, and whether it is so.

The population is all 28,356 glyphs, read by a CNN: every neuron's best concept is known, and
probing sets are drawn from it with replacement. Writes ``glyphs.json`` and three figures, and exits
with status 1 if a calibrated or certified set misses more often than it may, the permutation test
raises more false alarms than it may, or it does not see what is there. Parts:

coverage     how often each kind of set holds the best concept, and a fresh probing set's label
verdicts     how many neurons get which verdict, and how many labels of each are truly the best
permutation  false alarms on neurons that have nothing to do with the concepts; power
measures     measures of stability on the replicates against the same on fresh probing sets
"""

import warnings
from functools import partial

from _common import command_line, results
from _glyphs import figures
from _glyphs.measurements import coverage_part, measures_part, permutation_part, verdict_part
from _glyphs.tables import failures, tables
from _glyphs.world import World
from rich.console import Console

import neurotrust_jax as nt

FULL = {
    "metrics": ("iou", "auroc", "correlation", "accuracy"), "samples": (500, 2000, 8000),
    "draws": 30, "replicates": 400, "audits": 10, "tests": 60, "fresh": 200,
}  # fmt: skip
QUICK = {
    "metrics": ("iou",), "samples": (300,), "draws": 20, "replicates": 100, "audits": 2,
    "tests": 20, "fresh": 100,
}  # fmt: skip


def main():
    options = command_line.parser(__doc__, "a few draws from the small digits")
    arguments = options.parse_args()
    if arguments.quick:
        world, size, alphas = World("digits-cnn", 24), QUICK, (0.1,)
    else:
        world, size, alphas = World("glyphs-cnn", 128), FULL, (0.2, 0.1, 0.05)
    warnings.simplefilter("ignore", nt.faithfulness.CoverageWarning)  # the vote rule is a control
    found = results.stamp(
        population=len(world.f), neurons=world.f.shape[1], concepts=world.c.shape[1], sizes=size
    )
    parts = {
        "verdicts": verdict_part, "permutation": permutation_part, "measures": measures_part,
        "coverage": partial(coverage_part, alphas=alphas),
    }  # fmt: skip
    for name, part in parts.items():
        found[name] = part(world, size)
        results.write(arguments.out / "glyphs.json", found)
    figures.draw_verdicts(found["verdicts"], arguments.out / "glyphs_verdicts.png")
    figures.draw_coverage(found["coverage"], arguments.out / "glyphs_coverage.png")
    figures.draw_power(found["permutation"], arguments.out / "glyphs_power.png")
    console = Console(width=130)
    console.print(*tables(found), sep="\n")
    command_line.finish(console, failures(found))


if __name__ == "__main__":
    main()
