"""Do the concept sets hold what they should, as often as they say?

Counts how often each method's set holds the best concept, and the label of a fresh probing set, and
how large the sets are, in worlds whose truth is known. Writes ``coverage.json`` and two figures,
and exits with status 1 if a calibrated, certified or conformal set, or a comparison, misses more
often than it may, or if the controls do not. Parts:

planted    planted ties, gaps and structures
hostile    rare best concepts, groups of unequal sizes or few of them, thresholds from the same
           data, metrics of a fixed number of samples under subsampling
compare    the intervals of `compare`
conformal  conformal sets, on average over a layer's neurons
"""

import warnings

import jax
from _common import command_line, results
from _common.terminal import track
from _coverage import conformal, differences, report, sets
from _coverage.figures import draw_coverage, draw_size
from _coverage.worlds import NEURONS, hostile_laws, laws
from rich.console import Console

import neurotrust_jax as nt

PARTS = ("planted", "hostile", "compare", "conformal")


def cells_of(quick):
    """The worlds of each part."""
    if quick:
        hostile = [x for x in hostile_laws(300) if x.metric == "iou" and x.gap == 0][:2]
        planted = laws(("iou",), (2, 10), (300,), (0.2,))
    else:
        hostile = hostile_laws()
        metrics = ("iou", "auroc", "correlation", "accuracy")
        planted = laws(metrics, (2, 10, 40, 200), (200, 1000, 5000), (0.2, 0.01))
    cells = {"planted": planted, "hostile": hostile, "conformal": conformal.cells_of(quick)}
    # one shape after another, since each compiles
    order = {k: sorted(x, key=lambda c: (c.n, c.groups, c.num_concepts)) for k, x in cells.items()}
    return order | {"compare": differences.QUICK if quick else differences.CASES}


def measures(arguments, alphas, replicates):
    """Functions of a cell that give its rows, by part."""
    quick = arguments.quick
    datasets = arguments.datasets or (20 if quick else 100)
    of_differences = arguments.datasets or (40 if quick else 200)
    return {
        "planted": lambda cell: sets.rows_of(cell, datasets, alphas, replicates),
        "hostile": lambda cell: sets.rows_of(cell, datasets, alphas, replicates),
        "compare": lambda case: differences.rows_of(case, of_differences),
        "conformal": lambda cell: conformal.rows_of(cell, datasets, alphas, replicates),
    }


def show(rows, arguments, alphas, console):
    """Print the tables, and draw the figures of planted worlds."""
    if "planted" in arguments.parts:
        draw_coverage(rows["planted"], arguments.out / "coverage.png")
        draw_size(rows["planted"], arguments.out / "coverage_size.png")
        console.print(report.summary(rows["planted"]), report.sizes(rows["planted"]), sep="\n")
    if rows["hostile"]:
        console.print(report.hostile(rows["hostile"], alphas[len(alphas) // 2]))
    if "compare" in arguments.parts:
        console.print(differences.summary(rows["compare"]))
    if rows["conformal"]:
        console.print(conformal.summary(rows["conformal"]))


def main():
    options = command_line.parser(__doc__, "a few cells", parts=PARTS)
    options.add_argument("--datasets", type=int, metavar="N", help="probing sets of each world")
    arguments = options.parse_args()
    alphas, replicates = ((0.1,), 200) if arguments.quick else ((0.2, 0.1, 0.05), 500)
    warnings.simplefilter("ignore", nt.faithfulness.CoverageWarning)  # the vote rule is a control
    console = Console(width=130)
    path = arguments.out / "coverage.json"
    earlier = {} if arguments.quick else results.read(path)
    rows = {part: earlier.get(part, []) for part in PARTS}
    stamp = results.stamp(neurons=NEURONS, replicates=replicates)
    cells, measure = cells_of(arguments.quick), measures(arguments, alphas, replicates)
    for part in arguments.parts:
        rows[part] = []
        for i, cell in enumerate(track(cells[part], part)):
            rows[part] += measure[part](cell)
            results.write(path, stamp | rows)
            if i % 8 == 7:
                jax.clear_caches()  # few compiled functions at a time
    show(rows, arguments, alphas, console)
    command_line.finish(console, report.failures(rows, arguments.parts))


if __name__ == "__main__":
    main()
