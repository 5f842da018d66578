"""A hostile set-up: rank promotion raises, and every test runs in 32 and in 64 bits.

A test marked ``x32`` or ``x64`` runs once, in that precision; one marked ``plain`` is compiled
without most optimisations, as are the processes that tests start.
"""

import itertools
import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config):
    # nearly all of the suite's time is compilation: share it between workers, and between runs
    cache = config.cache.mkdir("jax") if hasattr(config, "cache") else None
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        # and with the processes that tests start
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # of theirs, too, nearly all of the time is compilation
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"


def pytest_generate_tests(metafunc):
    once = [p for p in ("x32", "x64") if metafunc.definition.get_closest_marker(p)]
    metafunc.parametrize("precision", once or ["x32", "x64"], indirect=True)


@pytest.fixture(autouse=True)
def precision(request):
    # 32 bits, which users run, are compiled as for them; 64 bits only check the formulas
    plain = request.param == "x64" or request.node.get_closest_marker("plain") is not None
    jax.config.update("jax_disable_most_optimizations", plain)
    with jax.enable_x64(request.param == "x64"):
        yield request.param


@pytest.fixture(autouse=True)
def free_compiled_functions(tests_run=itertools.count(1)):  # noqa: B008
    # each takes some of the 65,530 memory maps that a process may have
    yield
    maps = Path("/proc/self/maps")
    if next(tests_run) % 10 == 0 and maps.exists() and maps.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()
