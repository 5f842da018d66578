"""What are formulas of concepts worth, and what do they cost?

Writes ``composition.json``, and exits with status 1 if formulas are called better too often on
shuffled layers, intervals miss more often than they may, a loop gives other answers, or a negative
control does not fail. Parts:

planted   are the formulas found that neurons mean, and called better? and single concepts not?
shuffled  what is reported of neurons that were shuffled against the concepts
real      how much of the gain of longer formulas is left on other data; does a search that proves
          the best formula beat the beam, and what does it cost?
coverage  how often intervals of the formulas hold their similarity in the population
speed     the time of `compose` in three worlds, against loops in NumPy with the same answers

    python benchmarks/composition.py                     # everything
    python benchmarks/composition.py --parts speed       # one part; earlier results stay
    python benchmarks/composition.py --report            # the README's tables again

Real layers are looked for in the folder that the environment variable ``NEUROTRUST_REAL`` names, or
else in ``shared/real`` beside the repository.
"""

import time

from _common import command_line, results
from _composition.planted import coverage_part, planted_part
from _composition.real import real_part
from _composition.report import CELLS, failures, markdown, missed_targets, tables
from _composition.shuffled import shuffled_part
from _composition.speed import speed_part
from _real_layers.probing_sets import LAYERS
from rich.console import Console

PARTS = {
    "planted": planted_part, "shuffled": shuffled_part, "real": real_part,
    "coverage": coverage_part, "speed": speed_part,
}  # fmt: skip
FULL = {
    "population": 50_000, "concepts": 64, "of_kind": 4,
    "samples": (1000, 3000, 10_000), "draws": 4, "search": "optimal",
    "coverage_samples": (1000, 3000), "coverage_draws": 10,
    "shuffled": (1000, 3000), "shuffles": 20, "real_shuffles": 20,
    "layers": (*LAYERS, "glyphs-cnn", "python-transformer"), "metrics": ("iou", "auroc"),
    "neurons": None, "repeats": 3,
    "speed": (10_000, 512, 256), "worlds": ("strong", "weak", "noise"), "at_most": 60,
    "timed": {"published": 4, "products": 64},
}  # fmt: skip
QUICK = FULL | {
    "population": 10_000, "concepts": 64, "of_kind": 1, "samples": (1000,),
    "draws": 2, "search": "beam",
    "coverage_samples": (1000,), "coverage_draws": 4,
    "shuffled": (500,), "shuffles": 6, "real_shuffles": 3, "layers": ("magika conv",),
    "metrics": ("iou",), "neurons": 16, "repeats": 1,
    "speed": (1000, 16, 16), "worlds": ("weak",), "at_most": 60,
    "timed": {"published": 4, "products": 16},
}  # fmt: skip


def main():
    options = command_line.parser(__doc__, "a few draws of a small world", parts=PARTS)
    options.add_argument(
        "--report", action="store_true", help="measure nothing; print tables of earlier results"
    )
    arguments = options.parse_args()
    size = QUICK if arguments.quick else FULL
    path = arguments.out / "composition.json"
    progress, console = Console(stderr=True), Console(width=170)
    for part in () if arguments.report else arguments.parts:
        start = time.perf_counter()
        rows = results.finite(results.rounded(PARTS[part](size)))
        found = results.read(path)  # what other parts have measured stays
        seconds = round(time.perf_counter() - start, 1)
        took = found.get("part_seconds", {}) | {part: seconds}
        kept = {name: found.get(name, []) for name in PARTS} | {part: rows}
        sizes = found.get("sizes", {}) | {part: size}
        about = results.stamp(sizes=sizes) | results.machine()
        results.write(path, about | {"part_seconds": took} | kept)
        progress.print(f"{part}: {seconds:.0f} s")
    found = results.read(path)
    console.print(*tables(found), sep="\n")
    if arguments.report:
        for title in CELLS:
            console.print(markdown(found, title), markup=False, highlight=False, soft_wrap=True)
    for line in missed_targets(found):
        console.print(f"target missed: {line}", style="yellow")
    command_line.finish(console, failures(found))


if __name__ == "__main__":
    main()
