"""The arrows between packages run one way, and the statistics stand without their shell."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import neurotrust_jax as nt
from neurotrust_jax.cli.completion import BUILT_IN_TASKS, METRIC_NAMES
from neurotrust_jax.metrics import METRICS
from neurotrust_jax.tasks import TASKS

PACKAGE = Path(nt.__file__).parent

# The floors of the house, the lowest first: a package imports from lower floors only.
FLOORS = (
    {"_numerics", "_runtime"},
    {"files", "probing"},
    {"metrics"},
    {"faithfulness"},
    {"schemes"},
    {"_engine"},
    {"resampling"},
    {"sets", "chance", "shift"},
    {"composition"},
    {"auditing"},
    {"report"},
    {"runs"},
    {"datasets", "models"},
    {"tasks"},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
# Audits, comparisons and formulas show themselves: their methods import the report when called.
DOORS = {
    (home, "report", f"neurotrust_jax.{home}.{x}")
    for home, x in (("auditing", "result"), ("auditing", "changes"), ("composition", "result"))
}
SHELL = {"flax", "matplotlib", "pandas", "optax", "orbax", "jinja2", "typer", "rich", "PIL"}
STATISTICS = [name for names in FLOORS[: FLOORS.index({"report"})] for name in names]


def sources():
    """Each module of the package, by its dotted name, with its syntax tree."""
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield parts, ast.parse(path.read_text(encoding="utf-8"))


def imported(parts, tree):
    """Dotted names that a module imports, with those inside its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            start = parts[: len(parts) - node.level] if node.level else ()
            yield from ((*start, *module, alias.name) for alias in node.names)


def arrows():
    """Pairs of a package and one that it imports from, with the module that does."""
    for parts, tree in sources():
        home = parts[1]
        for target in imported(parts, tree):
            if target[0] == "neurotrust_jax" and home != "__init__" and len(target) > 1:
                yield home, target[1], ".".join(parts)


def upward(found):
    """The arrows that do not run to a lower floor."""
    return {x for x in found if x[0] != x[1] and LEVEL[x[1]] >= LEVEL[x[0]]}


def test_every_package_stands_on_a_floor():
    there = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert there - {"__init__"} == set(LEVEL)


def test_arrows_run_one_way():
    found = set(arrows())
    assert ("metrics", "probing") in {x[:2] for x in found}
    assert upward(found) == DOORS
    assert upward({("probing", "metrics", "a module"), ("sets", "chance", "another")})


def test_the_statistics_import_no_shell():
    for parts, tree in sources():
        if parts[1] in STATISTICS:
            used = {target[0] for target in imported(parts, tree)}
            assert not used & SHELL, parts
    code = (
        "import sys, neurotrust_jax as nt\n"
        f"assert not {SHELL} & set(sys.modules), {SHELL} & set(sys.modules)\n"
        "probe = nt.make_probe([[0.0], [1.0], [2.0]], [[0], [1], [1]], thresholds=0.5)\n"
        "nt.intervals(probe), nt.audit\n"
        "assert 'neurotrust_jax.report' not in sys.modules\n"
        f"assert not {SHELL} & set(sys.modules), {SHELL} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_the_top_level_imports_each_name_at_its_first_use():
    (checked,) = (
        node for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.If)
    )  # fmt: skip
    homes = {alias.name: node.module for node in checked.body for alias in node.names}
    assert homes == nt._HOME
    assert set(nt.__all__) == set(homes) <= set(dir(nt))
    for name, home in homes.items():
        assert getattr(nt, name) is getattr(importlib.import_module(f"neurotrust_jax.{home}"), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nt.nothing


def test_help_does_not_wait_for_jax():
    code = (
        "import sys\n"
        "from neurotrust_jax.cli import app\n"
        "commands = 'audit', 'check', 'compare', 'demo', 'merge', 'plan', 'show'\n"
        "for command in ([], *([x] for x in commands)):\n"
        "    app([*command, '--help'], standalone_mode=False)\n"
        "heavy = {'jax', 'scipy', 'flax', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_help_and_completion_know_the_metrics_and_the_built_in_tasks():
    assert list(BUILT_IN_TASKS) == list(TASKS)
    assert list(METRIC_NAMES) == list(METRICS)


def test_no_function_is_named_as_a_module():
    """A file of the command may be named as the function that it serves."""
    modules = {part for parts, _ in sources() if parts[1] != "cli" for part in parts[1:]}
    inside = (importlib.import_module(f"neurotrust_jax.{x}") for x in LEVEL if x != "__main__")
    doors = [nt, *(x for x in inside if hasattr(x, "__path__"))]
    public = {
        name
        for door in doors
        for name in dir(door)
        if inspect.isfunction(getattr(door, name)) and not name.startswith("_")
    }
    assert len(public) > 30
    assert public & modules == set()


def test_the_top_level_is_short():
    verbs = [name for name in nt.__all__ if callable(getattr(nt, name)) and name[0].islower()]
    assert 20 <= len(verbs) <= 33, verbs


def test_files_are_short():
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in PACKAGE.rglob("*.py")}
    assert {p.name: n for p, n in lines.items() if n > 420} == {}
