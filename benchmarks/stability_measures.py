"""Which measure tells from one probing set whether a label would last, and whether it is right?

Every measure is computed on one probing set, drawn from a known population, and judged by (a) the
share of fresh probing sets that give the same label and (b) whether the label is the population's
best. Writes ``stability_measures.json`` and a figure.

    python benchmarks/stability_measures.py            # five networks
    python benchmarks/stability_measures.py --quick    # one, a few draws
"""

import warnings

import jax
from _common import command_line, results
from _common.populations import Population
from _stability_measures.measures import collect
from _stability_measures.report import draw_figure, table
from _stability_measures.worth import rows_of, summary
from rich.console import Console

import neurotrust_jax as nt

FULL = {
    "tasks": ("digits-mlp", "glyphs-mlp", "glyphs-cnn", "python-transformer", "python-sae"),
    "samples": (500, 2000, 8000), "neurons": 64, "draws": 10, "fresh": 50, "replicates": 200,
    "rankings": 20,
}  # fmt: skip
QUICK = FULL | {
    "tasks": ("digits-mlp",), "samples": (300,), "neurons": 24, "draws": 4, "fresh": 20,
    "replicates": 100, "rankings": 10,
}  # fmt: skip


def main():
    options = command_line.parser(__doc__, "a few draws from the small digits", tasks=FULL["tasks"])
    options.add_argument("--metric", default="iou")
    arguments = options.parse_args()
    size = QUICK if arguments.quick else FULL
    warnings.simplefilter("ignore", nt.shift.ShiftWarning)
    path = arguments.out / "stability_measures.json"
    found = results.stamp(metric=arguments.metric, sizes=size, rows=[])
    wanted = arguments.tasks or size["tasks"]
    if arguments.tasks:
        found["rows"] = results.other_tasks(path, "rows", wanted)
    for task in wanted:
        population = Population(task)
        for n in size["samples"]:
            found["rows"] += rows_of(task, n, *collect(population, n, arguments.metric, size))
            jax.clear_caches()  # compiled functions take memory maps, of which there are few
        found["summary"] = summary(found["rows"])
        results.write(path, found)
    draw_figure(found, arguments.out / "stability_measures.png")
    Console(width=150).print(table(found))


if __name__ == "__main__":
    main()
