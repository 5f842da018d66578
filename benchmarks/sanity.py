"""Our missing-label and extra-label tests beside the published ones.

Prints, for each metric and activation frequency, the mean normalised change that damaged labels
make, as ours / as published (Oikarinen, Yan & Weng, ICML 2025, 1,000 seeds), and writes
``results/sanity.json``. Where they differ by more than five standard errors and the rounding, the
row is marked: only the rank metrics on tied data should be, whose published ranks carry noise.
"""

import argparse
import datetime
import json
import platform
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

import neurotrust_jax as nt
from neurotrust_jax.metrics.sanity import FREQUENCIES, label_tests

HERE = Path(__file__).parent
PUBLISHED = HERE.parent / "tests" / "data" / "published_sanity.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="random damages to average over")
    parser.add_argument("--samples", type=int, default=500_000, help="samples simulated")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sanity.json")
    arguments = parser.parse_args()

    published = json.loads(PUBLISHED.read_text())
    table = Table(title=f"mean change over the range, {arguments.seeds} seeds: ours / published")
    for column in ("metric", "frequency", "missing labels", "extra labels", ""):
        table.add_column(column, justify="left" if column == "metric" else "right")
    rows = []
    for metric, theirs in nt.metrics.NEURON_EVAL_NAMES.items():
        if theirs not in published:
            continue
        ours = label_tests(
            jax.random.key(0), metric, num_samples=arguments.samples, num_seeds=arguments.seeds
        )
        for frequency, expected in published[theirs].items():
            at = FREQUENCIES.index(float(frequency))
            row = {"metric": metric, "published_name": theirs, "frequency": float(frequency)}
            differs = False
            for test in ("missing", "extra"):
                value, error = (float(getattr(ours, x)[at]) for x in (test, f"{test}_error"))
                row |= {test: value, f"{test}_error": error, f"{test}_published": expected[test]}
                differs |= abs(value - expected[test]) > 5 * error + 1.5e-4
            row["differs"] = differs
            rows.append(row)
            table.add_row(
                metric, frequency,
                *(f"{row[t]:+.4f} / {row[t + '_published']:+.4f}" for t in ("missing", "extra")),
                "differs" if differs else "",
            )  # fmt: skip
    Console(width=110).print(table)
    arguments.out.write_text(
        json.dumps(
            {
                "device": jax.devices()[0].device_kind,
                "jax": jax.__version__,
                "python": platform.python_version(),
                "date": datetime.date.today().isoformat(),
                "num_samples": arguments.samples,
                "num_seeds": arguments.seeds,
                "rows": rows,
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
