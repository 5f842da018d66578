"""The README is true: its example runs and its table is the library's."""

import json
import re
from pathlib import Path

import pytest

import neurotrust_jax as nt

PLANNED = [m.name for m in nt.METRICS.values() if m.planning_gap is not None]
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.x32
def test_example_runs():
    scope = {}
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(example, scope)
    assert scope["result"].description(0) in scope["probe"].concept_names


@pytest.mark.x32
def test_table_lists_every_metric_with_its_alias():
    rows = re.findall(r"^\| `(\w+)` \| (\w+), (\w+) \|.*\| (?:`(\w+)`)? \|$", README, re.MULTILINE)
    table = {name: (neuron, concept, alias or None) for name, neuron, concept, alias in rows}
    assert table == {
        m.name: (m.neuron_view, m.concept_view, nt.metrics.NEURON_EVAL_NAMES.get(m.name))
        for m in nt.METRICS.values()
    }


@pytest.mark.x32
def test_planning_table_is_what_required_samples_says():
    rows = re.findall(r"^\| (.*`) .*\| [a-z; ]+ \| ([\d, |]+) \|$", README, re.MULTILINE)
    table = {
        name: [int(x.replace(",", "")) for x in cells.split(" | ")]
        for names, cells in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert table == {
        metric: [
            int(nt.required_samples(metric, 0.1, concept_frequency=p, num_concepts=256).samples)
            for p in (0.5, 0.1, 0.01)
        ]
        for metric in PLANNED
    }


CPU_TABLE, GPU_TABLE = README.split("On one NVIDIA H200", 1)


@pytest.mark.x32
@pytest.mark.parametrize(
    ("text", "file", "size", "columns", "metrics"),
    [
        (
            CPU_TABLE,
            "speed.json",
            {"n": 10_000, "U": 512, "C": 256, "B": 1_000},
            ("torch_rows", "torch_weights", "numpy_rows", "published"),
            ("iou", "accuracy", "f1", "precision", "recall", "auroc", "spearman"),
        ),
        (
            GPU_TABLE,
            "h200/speed.json",
            {"n": 50_000, "U": 2048, "C": 1000, "B": 1_000},
            ("torch_rows, cuda", "torch_weights, cuda"),
            ("iou", "auroc"),
        ),
    ],
)
def test_speed_tables_are_what_the_benchmark_measured(text, file, size, columns, metrics):
    rows = json.loads((ROOT / "benchmarks" / "results" / file).read_text())
    found = {
        (x["metric"], x["method"]): x
        for x in rows["compare"]["rows"]
        if all(x[k] == v for k, v in size.items())
    }

    def cell(metric, method):
        x = found.get((metric, method))
        if not x:
            return ""
        ratio = x["best_seconds"] / found[metric, "ours"]["best_seconds"]
        seconds = f"{x['seconds']:.{0 if x['seconds'] >= 10 else 1}f}"
        return f"{seconds} s, {float(f'{ratio:.2g}'):g}x"

    lines = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| (.*) \|$", text, re.MULTILINE)
    assert {metric: (ours, cells) for metric, ours, cells in lines} == {
        metric: (
            f"{found[metric, 'ours']['seconds']:.2g}",
            " | ".join(cell(metric, x) for x in columns).replace("|  ", "| "),
        )
        for metric in metrics
    }


@pytest.mark.x32
@pytest.mark.parametrize("page", ["README.md", "benchmarks/README.md"])
def test_links_lead_somewhere(page):
    def anchors(path):
        titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        return {re.sub(r"[^\w -]", "", x).strip().lower().replace(" ", "-") for x in titles}

    here = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", here.read_text(encoding="utf-8"))
    assert links
    for path, anchor in links:
        target = (here.parent / path) if path else here
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), anchor
