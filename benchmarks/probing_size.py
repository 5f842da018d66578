"""How large a probing set, how frequent a concept? Gap, labels, stability and sets.

Four known populations, a layer of an MLP, of a CNN and of a transformer, and features of a sparse
autoencoder; probing sets are drawn from them. Writes ``probing_size.json`` and two figures, and
exits with status 1 if a calibrated set misses more often than it may. Parts:

size      by number of samples and frequency of the concept: the gap between measured and true
          similarity, labels that are truly the best, agreement, and size and coverage of sets
files     probing sets of whole files, taken as such and as if their tokens were independent
forecast  of labels for probing sets two and four times as large, beside what happened there
"""

from _common import command_line, results
from _common.populations import Population
from _probing_size.forecasts import forecast_part
from _probing_size.measurements import ALPHA, files_part, size_part, slopes
from _probing_size.report import draw_files, draw_size, failures, tables
from rich.console import Console

FULL = {
    "tasks": ("glyphs-mlp", "glyphs-cnn", "python-transformer", "python-sae"),
    "metrics": ("iou", "auroc"), "samples": (250, 1000, 4000, 16000), "neurons": 64, "draws": 20,
    "replicates": 200, "fresh": 20, "files": (32, 128, 512), "forecast_neurons": 128,
    "forecast_draws": 6, "forecast_samples": (500, 1000, 2000, 4000, 8000, 16000),
    "forecast_files": (64, 128, 256, 512),
}  # fmt: skip
PARTS = ("size", "files", "forecast")
QUICK = FULL | {
    "tasks": ("digits-mlp",), "metrics": ("iou",), "samples": (150, 600), "neurons": 16,
    "draws": 8, "replicates": 60, "fresh": 10, "files": (), "forecast_neurons": 24,
    "forecast_draws": 3, "forecast_samples": (150, 300),
}  # fmt: skip


def main():
    options = command_line.parser(
        __doc__, "a few draws from the small digits", PARTS, tasks=FULL["tasks"]
    )
    arguments = options.parse_args()
    size = QUICK if arguments.quick else FULL
    path = arguments.out / "probing_size.json"
    found = results.stamp(alpha=ALPHA, sizes=size, **{part: [] for part in PARTS})
    wanted = arguments.tasks or size["tasks"]
    for part in PARTS:
        if part not in arguments.parts:
            found[part] = results.read(path).get(part, [])
        elif arguments.tasks:
            found[part] = results.other_tasks(path, part, wanted)
    for task in wanted:
        population = Population(task)
        for metric in size["metrics"]:
            if "size" in arguments.parts:
                found["size"] += size_part(population, metric, size)
            if "forecast" in arguments.parts:
                found["forecast"] += forecast_part(population, metric, size)
        if population.size > 1 and "files" in arguments.parts:
            found["files"] += files_part(population, size)
        found["slopes"] = slopes(found["size"])
        results.write(path, found)
    if found["size"]:
        draw_size(found["size"], size["metrics"][0], arguments.out / "probing_size.png")
    if found["files"]:
        draw_files(found["files"], arguments.out / "probing_size_files.png")
    console = Console(width=150)
    console.print(*tables(found), sep="\n")
    command_line.finish(console, failures(found))


if __name__ == "__main__":
    main()
