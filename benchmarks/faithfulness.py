"""How far are measured similarities from true ones, and do the intervals cover?

Two worlds whose true similarities are known: ``planted`` samples, and probing sets drawn with
replacement from all 28,356 glyphs, read by a trained network. Writes ``faithfulness.json`` and four
figures, and exits with status 1 if a finite-sample method misses more often than it may, or if a
negative control, which must miss, does not. Parts:

gap       |measured - true| against n, and the slope of its logarithm (expected: -1/2)
coverage  how often each method's interval misses, at alpha = 0.05
width     interval widths over the oracle's, which knows the law of the measured similarity
auroc     half-widths of the limits made for AUROC
controls  groups ignored, thresholds tuned on the same data; thresholds that are plain quantiles
cost      time of ``intervals`` over that of ``similarity``
planning  the gap known beforehand (figure only)
"""

from _common import command_line, results
from _faithfulness.controls import controls_part
from _faithfulness.cost import cost_part, planning_part
from _faithfulness.figures import FIGURES
from _faithfulness.settings import ALPHA, FULL, PARTS, QUICK
from _faithfulness.simulation import simulate_all
from _faithfulness.summaries import auroc_part, coverage_part, gap_part, width_part
from _faithfulness.tables import failures, tables
from rich.console import Console

# the timings are among the first, while nothing else has filled the memory
ALONE = {"planning": planning_part, "cost": cost_part, "controls": controls_part}
SIMULATED = {"gap": gap_part, "coverage": coverage_part, "width": width_part,
             "auroc": auroc_part}  # fmt: skip


def measure(size, parts, keep):
    """Measure the parts, and call ``keep(name, content)`` after each."""
    for name, part in ALONE.items():
        if name in parts:
            keep(name, part(size))
    if set(SIMULATED) & set(parts):
        cells, about = simulate_all(size, parts)
        if about:
            keep("glyphs", about)
        for name, part in SIMULATED.items():
            if name in parts:
                keep(name, part(cells))


def main():
    options = command_line.parser(__doc__, "a minute's worth, without the glyphs", parts=PARTS)
    arguments = options.parse_args()
    size, parts = QUICK if arguments.quick else FULL, arguments.parts
    path = arguments.out / "faithfulness.json"
    stamp = results.stamp(datasets=size.datasets, alpha=ALPHA)
    found = {}

    def keep(name, part):
        # another run may have written other parts meanwhile
        found.update(results.read(path))
        found[name] = results.rounded(stamp | part)
        results.write(path, dict(sorted(found.items())))

    measure(size, parts, keep)
    console = Console(width=110)
    console.print(*tables(found, parts), sep="\n")
    for name, draw in FIGURES.items():
        if name in parts:
            draw(found[name], arguments.out / f"faithfulness_{name}.png")
    command_line.finish(console, failures(found, parts))


if __name__ == "__main__":
    main()
