"""How long does an audit of a layer take where labels are strong, weak, or nothing but noise?

Screening and active rows make resampling cheap where one concept leads clearly, so a figure from
such a layer flatters. Every neuron here is standard normal noise plus an effect times the presence
of one concept, and the three worlds differ in the effect alone: 1 to 4 (strong), 0 to 1 (weak),
0 (noise). Writes ``audit_time.json`` after each measurement.

    python benchmarks/audit_time.py                           # iou, 5 minutes on 2 idle cores
    python benchmarks/audit_time.py --metrics auroc --worlds weak
    python benchmarks/audit_time.py --quick                   # tiny sizes, seconds

Rows measured before stay in the JSON until they are measured again. The first call compiles and is
not counted. Each of the next ones waits until other processes leave the cores alone, and counts if
they did so until its end (read from /proc/stat, on Linux); the time is the median of three such
calls. Where there is none within ``--patience`` seconds, all calls count, and the row says how many
cores other processes used.
"""

import os
import statistics
import time
from pathlib import Path

import jax
import numpy as np
from _common import command_line, results
from _common.terminal import table
from rich.console import Console

import neurotrust_jax as nt

EFFECTS = {"strong": (1.0, 4.0), "weak": (0.0, 1.0), "noise": (0.0, 0.0)}
FULL = {"n": 10_000, "U": 512, "C": 256, "B": 1000}
QUICK = {"n": 1000, "U": 6, "C": 6, "B": 50}
BUSY = 0.1  # cores used by other processes above which a time is not to be trusted
CALLS = 3


def make_world(size, effects, seed=0):
    """The probing set of one world; the noise and the concepts are the same in all worlds."""
    rng = np.random.default_rng(seed)
    concepts = rng.random((size["n"], size["C"])) < rng.uniform(0.01, 0.2, size["C"])
    activations = rng.standard_normal((size["n"], size["U"]), np.float32)
    driver = rng.integers(0, size["C"], size["U"])
    effect = rng.uniform(*effects, size["U"]).astype(np.float32)
    activations += effect * concepts[:, driver]
    return nt.make_probe(activations, concepts, top_fraction=0.05)


def clocks():
    """Seconds on the wall, and seconds of all cores that other processes have used so far."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return time.perf_counter(), 0.0
    ticks = [int(x) for x in stat.read_text().split("\n")[0].split()[1:9]]
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # but idle and waiting
    return time.perf_counter(), busy - time.process_time()


def timed(call):
    """The seconds that a call takes, the cores that others used meanwhile, and the result."""
    before = clocks()
    result = jax.block_until_ready(call())
    wall, others = (now - then for now, then in zip(clocks(), before, strict=True))
    return wall, max(others / wall, 0.0), result


def measure(world, metric, size, patience):
    """Time audits of one world, and count the verdicts that they give."""
    probe = make_world(size, EFFECTS[world])
    options = {"num_replicates": size["B"], "num_permutations": size["B"]}
    jax.block_until_ready(nt.audit(jax.random.key(1), probe, metric, **options))
    calls, quiet, end = [], [], time.perf_counter() + patience
    while not calls or (len(quiet) < CALLS and time.perf_counter() < end):
        while timed(lambda: time.sleep(2))[1] > BUSY and time.perf_counter() < end:
            pass
        *call, result = timed(lambda: nt.audit(jax.random.key(0), probe, metric, **options))
        calls.append(call)
        quiet = [x for x in calls if x[1] <= BUSY]
    seconds, others = zip(*(quiet or calls), strict=True)
    verdicts = np.asarray(result.verdict)
    return {
        "world": world, "metric": metric, **size,
        "seconds": float(f"{statistics.median(seconds):.5g}"),
        "best_seconds": float(f"{min(seconds):.5g}"), "calls": len(seconds),
        "cores_of_others": round(max(others), 3),
        "verdicts": {x.text: int((verdicts == x).sum()) for x in nt.Verdict},
    }  # fmt: skip


def machine():
    """What the times depend on, and when they were taken."""
    found = results.machine()
    same = {name: found[name] for name in ("device", "backend", "cores", "python")}
    versions = {name: found["versions"][name] for name in ("jax", "numpy")}
    return same | versions | {"date": results.time_stamp()}


def cells(row):
    verdicts = ", ".join(f"{v} {k}" for k, v in row["verdicts"].items() if v)
    seconds = f"{row['seconds']:.3g}"
    return row["world"], row["metric"], seconds, row["cores_of_others"], verdicts


def main():
    parser = command_line.parser(__doc__, "tiny sizes")
    parser.add_argument("--worlds", nargs="+", choices=EFFECTS, default=list(EFFECTS))
    parser.add_argument("--metrics", nargs="+", choices=nt.METRICS, default=["iou"])
    parser.add_argument("--patience", type=float, default=300, help="seconds for a world")
    options = parser.parse_args()
    path = options.out / "audit_time.json"
    rows = results.read(path).get("rows", [])
    size, patience = (QUICK, 0) if options.quick else (FULL, options.patience)
    for metric in options.metrics:
        for world in options.worlds:
            row = measure(world, metric, size, patience)
            rows = [x for x in rows if (x["world"], x["metric"]) != (world, metric)] + [row]
            results.write(path, machine() | {"rows": rows})
    columns = ("world", "metric", "seconds", "cores of others", "verdicts")
    Console().print(table("seconds of an audit, without compilation", columns, map(cells, rows)))


if __name__ == "__main__":
    main()
