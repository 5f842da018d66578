"""Do the tests see what a hostile statistician would change? One wrong formula at a time.

``python tests/mutants.py [--only FILE] [--jobs N]`` copies package and tests into temporary
folders, puts one mutant at a time into the copy, and runs the tests that ought to fail. A mutant
whose tests pass has survived: then a test is missing, or the two formulas are the same. All tests
are first run on the package as it is, since a test that fails anyway kills nothing. The tables are
``mutants.py`` in the folders beside this file; ``mutation.py`` says what a row holds.
"""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from queue import Queue
from typing import Annotated

import pytest
import typer
from mutation import Mutant

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PACKAGE = ROOT / "neurotrust_jax"
PRELOADED = ["pytest", "typer", "jax", "scipy.stats", "scipy.sparse", "sklearn.metrics"]
LONGEST = 600  # seconds of a mutant's tests; one that makes a loop endless is killed too


def all_mutants() -> list[Mutant]:
    """Return the mutants of all tables."""
    tables = sorted(TESTS.glob("*/mutants.py"))
    return [x for path in tables for x in runpy.run_path(str(path))["MUTANTS"]]


def place(name: str) -> str:
    """Return a test file's path below the root; names of test files are unique."""
    (path,) = TESTS.rglob(name)
    return path.relative_to(ROOT).as_posix()


def selection(tests: str) -> list[str]:
    """Return the arguments of pytest with the paths of the files."""
    chosen = []
    for argument in shlex.split(tests):
        file, colons, test = argument.partition("::")
        is_file = file.startswith("test_") and file.endswith(".py")
        chosen.append(place(file) + colons + test if is_file else argument)
    return chosen


def tested(folder: str, chosen: list[str], report: str) -> None:
    """Run tests on the package in a folder, in this process, and stop at the first failure."""
    with open(report, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = folder
    sys.path.insert(0, folder)
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
    sys.exit(int(pytest.main([*options, *chosen])))


def outcome(folder: Path, tests: str) -> tuple[str, float, str]:
    """``"passed"`` or ``"failed"`` (or why neither), seconds, and what was printed."""
    chosen = selection(tests)
    report = folder / "report.txt"
    # from a server that has imported what takes long, but nothing of the package
    process = get_context("forkserver").Process(target=tested, args=(str(folder), chosen, report))
    start = time.perf_counter()
    process.start()
    process.join(LONGEST)
    if process.is_alive():
        process.kill()
        process.join()
        return "failed", LONGEST, "it took too long"
    words = {0: "passed", 1: "failed", 5: "no tests"}
    word = words.get(process.exitcode or 0, f"exit status {process.exitcode}")
    return word, time.perf_counter() - start, report.read_text(errors="replace")[-2000:]


def together(selections: Iterable[str]) -> list[str]:
    """Selections that run at least the same tests, one for each set of tests."""
    found: dict[str, list[str]] = {}
    for chosen in map(shlex.split, selections):
        where, _, chosen_by = " ".join(chosen).partition(" -k ")
        found.setdefault(where, []).append(chosen_by)
    return [
        f"{where} -k {shlex.quote(' or '.join(f'({x})' for x in dict.fromkeys(by)))}"
        if all(by) else where
        for where, by in found.items()
    ]  # fmt: skip


def copied(folder: Path) -> Path:
    """The package and what its tests read, in a folder."""
    kept = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("neurotrust_jax", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=kept)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Mutants of this module alone; may be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Mutants at a time.")] = 1,
) -> None:
    """Apply every mutant in turn, and tell which are not seen by the tests meant for them."""
    mutants = all_mutants()
    chosen = [x for x in mutants if not only or x.module in only]
    if not chosen:
        known = sorted({x.module for x in mutants})
        raise typer.BadParameter(f"no mutants of {only!r}; there are of {', '.join(known)}")
    mutated = [x.apply((PACKAGE / x.module).read_text(encoding="utf-8")) for x in chosen]
    with tempfile.TemporaryDirectory() as temporary:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{temporary}/jax")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        get_context("forkserver").set_forkserver_preload(PRELOADED)
        folders: Queue[Path] = Queue()
        for i in range(jobs):
            folders.put(copied(Path(temporary) / str(i)))

        def sound(tests: str) -> tuple[str, str]:
            folder = folders.get()
            word, _, told = outcome(folder, tests)
            folders.put(folder)
            return word, told

        def tried(mutant: Mutant, text: str) -> str:
            folder = folders.get()
            path = folder / "neurotrust_jax" / mutant.module
            original = path.read_text(encoding="utf-8")
            path.write_text(text, encoding="utf-8")
            word, seconds, told = outcome(folder, mutant.tests)
            path.write_text(original, encoding="utf-8")
            folders.put(folder)
            found = {"failed": "killed", "passed": "SURVIVED"}.get(word, f"INVALID ({word})")
            print(f"{found:8s} {seconds:4.0f} s  {mutant.name}", flush=True)
            if found.startswith("INVALID"):
                print(told, flush=True)
            return found

        with ThreadPoolExecutor(jobs) as pool:
            selections = together(x.tests for x in chosen)
            for tests, (word, told) in zip(selections, pool.map(sound, selections), strict=True):
                if word != "passed":
                    print(f"UNSOUND ({word}) {tests}\n{told}", flush=True)
                    raise typer.Exit(1)
            results = list(pool.map(tried, chosen, mutated))
    killed = results.count("killed")
    print(f"{killed} of {len(chosen)} mutants killed, {results.count('SURVIVED')} survived.")
    if killed < len(chosen):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
