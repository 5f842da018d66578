"""Do sets, probabilities and verdicts say something on real layers, and is it so?

Each probing set has a fresh one beside it: the other half of a real
layer's groups, or other draws from a population whose best concepts are known. Writes
``real_layers.json`` and three figures, and exits with status 1 if something that is promised does
not hold, or the control, the vote rule, holds too. Parts:

sets         how often a set holds the fresh label and the best concept, and how large it is
probability  whether labels come out again as often as their probability of replication says
verdicts     whether labels called stable come out again, and those called certified are the best

    python benchmarks/real_layers.py                                  # all there is
    python benchmarks/real_layers.py --layers glyphs-cnn --parts sets --metrics iou
    python benchmarks/real_layers.py --report                         # figures and tables again

A run of some layers, parts or metrics leaves what is there of the others, and several processes
may run side by side. Real layers are looked for in the folder that the environment variable
``NEUROTRUST_REAL`` names, or else in ``shared/real`` beside the repository.
"""

import time
import warnings

import jax
from _common import command_line, results
from _real_layers import figures
from _real_layers.measurements import DRAWS, PARTS, POPULATIONS, worlds_of
from _real_layers.probing_sets import LAYERS, REAL
from _real_layers.tables import failures, markdown, tables
from rich.console import Console

import neurotrust_jax as nt

FULL = {
    "layers": (*LAYERS, *POPULATIONS),
    "metrics": ("iou", "auroc", "correlation", "accuracy", "soft_wpmi"),
    "alphas": (0.2, 0.1, 0.05), "samples": (500, 2000, 8000), "neurons": 192, "draws": 6,
    "probability_draws": 30,
    "fresh": 5, "replicates": 200, "audits": 4, "permutations": 200, "calibration_error": 0.03,
}  # fmt: skip
QUICK = FULL | {
    "layers": ("magika conv", "digits-mlp"), "metrics": ("iou",), "alphas": (0.1,),
    "samples": (500,), "neurons": 32, "draws": 5, "probability_draws": 5,
    "replicates": 100, "audits": 2,
    "calibration_error": 0.2,
}  # fmt: skip


def place(row):
    """Where a row stands among others."""
    return FULL["layers"].index(row["layer"]), FULL["metrics"].index(row["metric"])


def measured(path):
    """The rows of each part measured so far, and the seconds that they took."""
    found = results.read(path)
    return {part: found.get(part, []) for part in PARTS} | {"seconds": found.get("seconds", {})}


def rows_of(worlds, layer, metric, part, size):
    """Rows of one layer, metric and part."""
    return [
        {"layer": layer, "metric": metric, "n": world.n, "draws": size[DRAWS[part]], **row}
        for world in worlds
        for row in PARTS[part](world, metric, size)
    ]


def run(arguments, size, path, stamp, console):
    """Measure what the arguments ask for, and write it after each layer, metric and part."""
    for layer in arguments.layers or size["layers"]:
        if layer in LAYERS and not (REAL / LAYERS[layer][0]).exists():
            console.print(f"{layer}: skipped, no {LAYERS[layer][0]} in {REAL}")
            continue
        worlds = worlds_of(layer, size)
        for metric in arguments.metrics or size["metrics"]:
            for part in arguments.parts:
                start = time.perf_counter()
                rows = rows_of(worlds, layer, metric, part, size)
                if not rows:
                    continue
                found = measured(path)  # again each time: another process may measure other layers
                others = [x for x in found[part] if (x["layer"], x["metric"]) != (layer, metric)]
                found[part] = sorted(others + results.finite(rows), key=place)
                seconds = round(time.perf_counter() - start, 1)
                found["seconds"][f"{layer}, {metric}, {part}"] = seconds
                results.write(path, stamp | found)
                console.print(f"{layer}, {metric}, {part}: {seconds:.0f} s")
            jax.clear_caches()  # compiled functions take memory maps, of which there are few
            for world in worlds:
                world.bootstrap.cache_clear()


def main():
    options = command_line.parser(__doc__, "a few draws of two small layers", parts=PARTS)
    options.add_argument("--layers", nargs="+", choices=FULL["layers"])
    options.add_argument("--metrics", nargs="+", choices=FULL["metrics"])
    options.add_argument("--draws", type=int, metavar="N", help="probing sets of each kind")
    options.add_argument(
        "--report", action="store_true",
        help="measure nothing; make figures, tables and the README's table from earlier results",
    )  # fmt: skip
    arguments = options.parse_args()
    size = dict(QUICK if arguments.quick else FULL)
    if arguments.draws:
        size |= {name: min(arguments.draws, size[name]) for name in DRAWS.values()}

    warnings.simplefilter("ignore", nt.faithfulness.CoverageWarning)  # the vote rule is a control
    path = arguments.out / "real_layers.json"
    console = Console(width=150)
    if not arguments.report:
        run(arguments, size, path, results.stamp(sizes=size), Console(stderr=True))
    found = measured(path)
    figures.draw(found, arguments.out)
    console.print(*tables(found), sep="\n")
    if arguments.report:
        console.print(markdown(found), markup=False, highlight=False, soft_wrap=True)
    command_line.finish(console, failures(found, size))


if __name__ == "__main__":
    main()
