"""A hostile set-up: warnings are errors, rank promotion raises and types are never mixed.

Tests run in single precision, as users do; a test marked ``both_precisions`` runs in each, and one
marked ``double`` in double precision alone. Nearly all of the suite's time is compilation, and
nothing tested is large: programs are compiled with few optimisations, unless ``--optimised`` asks
for them as users get them. ``test_optimised.py`` does so for the tests marked ``optimised``, whose
values in single precision might change with optimisation.
"""

import gc
import itertools
import os
import shutil
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_addoption(parser):
    parser.addoption(
        "--optimised", action="store_true", help="compile and run in 32 bits alone, as users do"
    )


def pytest_configure(config):
    # compilation is shared between workers, between runs, and with the processes that tests start
    cache = config.cache.mkdir("jax") if hasattr(config, "cache") else None
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    optimised = config.option.optimised
    jax.config.update("jax_disable_most_optimizations", not optimised)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(not optimised))
    if jax.__version_info__ < (0, 11):  # flags that later versions may not know
        flags = (
            # the older emitters take half of the time
            f"--xla_cpu_use_fusion_emitters={str(optimised).lower()}",
            # the workers have a core each: a program compiled in parts takes a tenth longer
            "--xla_cpu_parallel_codegen_split_count=1",
        )
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])


def pytest_collection_finish():
    # what is imported stays: looking through it again and again is a tenth of the suite's time
    gc.freeze()
    gc.set_threshold(100_000)


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("both_precisions"):
        run = ["x32"] if metafunc.config.option.optimised else ["x32", "x64"]
        metafunc.parametrize("precision", run, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Variants that hold none of the names by which their test is marked ``quick`` are slow."""
    given, found = set(), set()
    for item in items:
        mark = item.get_closest_marker("quick")
        if mark is None:
            continue
        own = set(item.callspec.id.split("-"))
        test = item.nodeid.partition("[")[0]
        names = {(test, name): own >= set(name.split("-")) for name in mark.args}
        given |= names.keys()
        found |= {key for key, holds in names.items() if holds}
        if not any(names.values()):
            item.add_marker("slow")
    all_variants = not config.option.optimised and not any("::" in x for x in config.args)
    if given - found and all_variants:
        raise pytest.UsageError(f"tests marked quick by names that no variant has: {given - found}")


@pytest.fixture(autouse=True)
def precision(request):
    double = request.node.get_closest_marker("double")
    name = getattr(request, "param", "x64" if double else "x32")
    with jax.enable_x64(name == "x64"):
        yield name


@pytest.fixture(autouse=True)
def free_compiled_functions(tests_run=itertools.count(1)):  # noqa: B008
    # each takes some of the 65,530 memory maps that a process may have, and the more there are,
    # the longer the next one takes: the suite runs a quarter faster than with 25,000
    yield
    maps = Path("/proc/self/maps")
    if next(tests_run) % 10 == 0 and maps.exists() and maps.read_bytes().count(b"\n") > 8_000:
        jax.clear_caches()


@pytest.fixture(scope="module")
def browser():
    library = pytest.importorskip("playwright.sync_api", exc_type=ImportError)
    with library.sync_playwright() as driver:
        known = ("chromium", "chromium-browser", "google-chrome")
        path = next(filter(None, map(shutil.which, known)), None)
        options = [
            "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run",
        ]  # fmt: skip
        try:
            found = driver.chromium.launch(executable_path=path, args=options)
        except library.Error as error:
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        yield found
        found.close()
