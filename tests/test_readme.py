"""The READMEs are true: examples run, tables hold what was measured, links lead somewhere."""

import contextlib
import importlib
import io
import json
import re
from pathlib import Path

import pytest

import neurotrust_jax as nt

PLANNED = [m.name for m in nt.METRICS.values() if m.planning_gap is not None]
ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "neurotrust_jax"
FRONT = ROOT / "README.md"
FOLDERS = ("neurotrust_jax", "benchmarks", "tests")
PAGES = [FRONT, *sorted(page for x in FOLDERS for page in (ROOT / x).rglob("README.md"))]
MOST_WORDS = 900


def read(page):
    return page.read_text(encoding="utf-8")


def python_of(page):
    return re.findall(r"```python\n(.*?)```", read(page), re.DOTALL)


@pytest.fixture(scope="module")
def front():
    """The names that the example of the front page defines, and what it prints."""
    scope, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for example in python_of(FRONT):
            exec(example, scope)
    return scope, printed.getvalue()


def test_the_front_page_fits_one_screen():
    assert len(read(FRONT).split()) <= MOST_WORDS


def test_example_prints_what_the_front_page_shows(front):
    scope, printed = front
    (shown,) = re.findall(r"```text\n(.*?)```", read(FRONT), re.DOTALL)
    assert printed == shown
    assert scope["result"].description(0) in scope["probe"].concept_names


EXAMPLES = [page for page in PAGES if page != FRONT and python_of(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", EXAMPLES, ids=lambda x: x.parent.name)
def test_examples_of_the_folders_continue_that_of_the_front_page(front, page):
    scope = dict(front[0])
    for example in python_of(page):
        exec(example, scope)


def test_verdicts_are_those_of_the_library():
    for page in (FRONT, PACKAGE / "auditing" / "README.md"):
        (table,) = re.findall(r"^\| verdict \|.*\n\|[-|]*\n((?:\|.*\n)*)", read(page), re.MULTILINE)
        listed = re.findall(r"^\| (\w+)", table, re.MULTILINE)
        assert set(listed) == {x.text for x in nt.Verdict}, page


def test_table_lists_every_metric_with_its_alias():
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+), (\w+) \|.*\| (?:`(\w+)`)? \|$",
        read(PACKAGE / "metrics" / "README.md"),
        re.MULTILINE,
    )
    table = {name: (neuron, concept, alias or None) for name, neuron, concept, alias in rows}
    assert table == {
        m.name: (m.neuron_view, m.concept_view, nt.metrics.NEURON_EVAL_NAMES.get(m.name))
        for m in nt.METRICS.values()
    }


def test_planning_table_is_what_required_samples_says():
    rows = re.findall(
        r"^\| (.*`) .*\| [a-z; ]+ \| ([\d, |]+) \|$",
        read(PACKAGE / "faithfulness" / "README.md"),
        re.MULTILINE,
    )
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


def test_the_map_lists_every_package_and_its_functions():
    page = read(PACKAGE / "README.md")
    rows = re.findall(r"^\| (`\w+`[^|]*) \| [^|]* \|([^|]*)\|$", page, re.MULTILINE)
    table = {
        name: re.findall(r"`(\w+)`", functions)
        for names, functions in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert {x.parent.name for x in PACKAGE.glob("*/__init__.py")} <= set(table)
    for name, functions in table.items():
        for function in functions:
            package = importlib.import_module(f"neurotrust_jax.{name}")
            assert hasattr(package, function), f"{name}.{function}"
    verbs = {name for name in nt.__all__ if callable(getattr(nt, name)) and name.islower()}
    assert verbs <= {function for functions in table.values() for function in functions}


def results(file):
    return json.loads(read(ROOT / "benchmarks" / "results" / file))


def bootstraps(file, size):
    """What was measured of bootstraps of one size, by metric and method, where labels are strong.

    Rows without a world are from the time when there was no other.
    """
    return {
        (x["metric"], x["method"]): x
        for x in results(file)["compare"]["rows"]
        if x.get("world", "strong") == "strong" and all(x.get(k) == v for k, v in size.items())
    }


def ratio(found, metric, method):
    x = found[metric, method]["best_seconds"] / found[metric, "ours"]["best_seconds"]
    return f"{float(f'{x:.2g}'):g}"


CPU = "speed.json", {"n": 10_000, "U": 512, "C": 256, "B": 1_000}
GPU = "h200/speed.json", {"n": 50_000, "U": 2048, "C": 1000, "B": 1_000}


def test_the_front_page_has_the_measured_time_of_audits_in_each_world():
    measured = results("worlds/speed.json")
    assert "Xeon" in measured["device"]
    assert measured["cores"] == 2
    found = {
        (x["world"], x["method"]): x for x in measured["whole"]["rows"] if x["metric"] == "iou"
    }
    expected = []
    for world in ("strong", "weak", "noise"):
        audit, loops = found[world, "audit"], found[world, "numpy_loops"]
        assert [audit[k] for k in ("n", "U", "C", "B")] == [10_000, 512, 256, 1000]
        assert audit["cores_of_others"] < 0.1  # times of a busy machine say little
        assert loops["equal_winners"] == 1
        expected.append((world, f"{audit['seconds']:.2g}", f"{loops['seconds']:.2g}"))
    lines = re.findall(
        r"^\| (\w+) \| [\d to]+ \| ([\d.]+) \| ([\d.]+) \|$", read(FRONT), re.MULTILINE
    )
    assert lines == expected


def test_the_table_of_whole_audits_is_what_the_benchmark_measured():
    rows = results("worlds/speed.json")["whole"]["rows"]
    found = {(x["job"], x["method"]): x["seconds"] for x in rows}
    table = read(ROOT / "benchmarks" / "README.md")
    head = re.search(r"^\| metric, world \| (.*) \|$", table, re.MULTILINE)
    methods = [
        x.replace("NumPy loops", "numpy_loops").replace(" ", "_") for x in head[1].split(" | ")
    ]
    lines = re.findall(r"^\| `(\w+)`, (\w+) \| (.*) \|$", table, re.MULTILINE)
    expected = [
        (metric, world, " | ".join(f"{found[job, method]:.2g}" for method in methods))
        for metric in ("iou", "auroc")
        for world in ("strong", "weak", "noise")
        for job in [f"{metric}, {world}, 10000 x 512 x 256 x 1000"]
    ]
    assert lines == expected


def test_the_front_page_has_the_measured_time_of_a_bootstrap():
    cpu, gpu = bootstraps(*CPU), bootstraps(*GPU)
    text = " ".join(read(FRONT).split())
    seconds = f"takes {cpu['iou', 'ours']['seconds']:.2g} s on 2 cores of an AMD EPYC"
    assert f"{seconds}, {ratio(cpu, 'iou', 'torch_rows')} times less than a loop" in text
    assert f"{gpu['iou', 'ours']['seconds']:.2g} s on an NVIDIA H200" in text


CPU_TABLE, GPU_TABLE = read(PACKAGE / "_engine" / "README.md").split("On one NVIDIA H200", 1)


@pytest.mark.parametrize(
    ("text", "measured", "columns", "metrics"),
    [
        (
            CPU_TABLE,
            CPU,
            ("torch_rows", "torch_weights", "numpy_rows", "published"),
            ("iou", "accuracy", "f1", "precision", "recall", "auroc", "spearman"),
        ),
        (GPU_TABLE, GPU, ("torch_rows, cuda", "torch_weights, cuda"), ("iou", "auroc")),
    ],
    ids=["cpu", "gpu"],
)
def test_speed_tables_are_what_the_benchmark_measured(text, measured, columns, metrics):
    found = bootstraps(*measured)

    def cell(metric, method):
        x = found.get((metric, method))
        if not x:
            return ""
        seconds = f"{x['seconds']:.{0 if x['seconds'] >= 10 else 1}f}"
        return f"{seconds} s, {ratio(found, metric, method)}x"

    lines = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| (.*) \|$", text, re.MULTILINE)
    assert {metric: (ours, cells) for metric, ours, cells in lines} == {
        metric: (
            f"{found[metric, 'ours']['seconds']:.2g}",
            " | ".join(cell(metric, x) for x in columns).replace("|  ", "| "),
        )
        for metric in metrics
    }


REAL = {
    "Magika, convolution": "magika conv",
    "Magika, outputs": "magika logits",
    "PP-OCR, transformer": "ocr svtr",
}


@pytest.mark.parametrize(("title", "layer"), REAL.items(), ids=REAL.values())
def test_what_is_said_of_a_real_layer_was_measured(title, layer):
    found = results("real_layers.json")
    (whole,) = (
        x for x in found["sets"]
        if (x["layer"], x["metric"], x["alpha"]) == (layer, "iou", 0.1)
        and (x["kind"], x["data"]) == ("conformal", "all")
    )  # fmt: skip
    verdicts = [x for x in found["verdicts"] if x["layer"] == layer]
    number = {x["verdict"]: x["neurons"] for x in verdicts if x["data"] == "all"}
    (again,) = (
        x["again"] for x in verdicts if x["data"] != "all" and x["verdict"] == "stable"
    )  # fmt: skip
    sizes = f"{whole['median_size']:g}, {whole['single']:.0%}"
    cells = sum(number.values()), sizes, number["certified"] + number["stable"], f"{again:.0%}"
    row = " | ".join(map(str, (title, *cells)))
    assert f"| {row} |" in read(ROOT / "benchmarks" / "README.md")


def anchors(page):
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)  # a comment is no title
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", x).strip().lower().replace(" ", "-") for x in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda x: str(x.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", read(page))
    for path, anchor in links:
        target = (page.parent / path) if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), anchor


def test_every_page_is_reached_from_the_front_page():
    reached, new = set(), {FRONT}
    while new:
        reached |= new
        links = {
            (page.parent / path).resolve()
            for page in new
            for path in re.findall(r"\]\((?!https?:)([^)#]+\.md)", read(page))
        }
        new = links - reached
    assert {x.resolve() for x in PAGES if x.parent.name != "vendor"} <= reached
