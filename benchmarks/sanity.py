"""Our missing-label and extra-label tests beside the published ones.

Prints, for each metric and activation frequency, the mean normalised change that damaged labels
make, as ours / as published (Oikarinen, Yan & Weng, ICML 2025, 1,000 seeds), and writes
``results/sanity.json``. Where they differ by more than five standard errors and the rounding, the
row is marked: only the rank metrics on tied data should be, whose published ranks carry noise.
"""

import json
from pathlib import Path

import jax
from _common import command_line, results
from _common.terminal import table
from rich.console import Console

import neurotrust_jax as nt
from neurotrust_jax.metrics.sanity import FREQUENCIES, label_tests

PUBLISHED = Path(__file__).parent.parent / "tests" / "metrics" / "data" / "published_sanity.json"
TESTS = ("missing", "extra")


def rows_of(metric, theirs, published, arguments):
    """A row for each frequency of activation."""
    ours = label_tests(
        jax.random.key(0), metric, num_samples=arguments.samples, num_seeds=arguments.seeds
    )
    for frequency, expected in published.items():
        at = FREQUENCIES.index(float(frequency))
        row = {"metric": metric, "published_name": theirs, "frequency": float(frequency)}
        differs = False
        for test in TESTS:
            value, error = (float(getattr(ours, x)[at]) for x in (test, f"{test}_error"))
            row |= {test: value, f"{test}_error": error, f"{test}_published": expected[test]}
            differs |= abs(value - expected[test]) > 5 * error + 1.5e-4
        yield row | {"differs": differs}


def cells(row):
    changes = (f"{row[t]:+.4f} / {row[t + '_published']:+.4f}" for t in TESTS)
    return row["metric"], row["frequency"], *changes, "differs" if row["differs"] else ""


def main():
    options = command_line.parser(__doc__, "two seeds of 20,000 samples")
    options.add_argument("--seeds", type=int, metavar="N", help="random damages to average over")
    options.add_argument("--samples", type=int, metavar="N", help="samples simulated")
    arguments = options.parse_args()
    arguments.seeds = arguments.seeds or (2 if arguments.quick else 20)
    arguments.samples = arguments.samples or (20_000 if arguments.quick else 500_000)
    published = json.loads(PUBLISHED.read_text())
    rows = [
        row
        for metric, theirs in nt.metrics.NEURON_EVAL_NAMES.items()
        if theirs in published
        for row in rows_of(metric, theirs, published[theirs], arguments)
    ]
    title = f"mean change over the range, {arguments.seeds} seeds: ours / published"
    columns = ("metric", "frequency", "missing labels", "extra labels", "")
    Console(width=110).print(table(title, columns, map(cells, rows)))
    content = {"num_samples": arguments.samples, "num_seeds": arguments.seeds, "rows": rows}
    results.write(arguments.out / "sanity.json", results.stamp(**content))


if __name__ == "__main__":
    main()
