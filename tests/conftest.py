"""A hostile set-up: rank promotion raises, and every test runs in 32 and in 64 bits."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_generate_tests(metafunc):
    once = metafunc.definition.get_closest_marker("x32")
    metafunc.fixturenames.append("precision")
    metafunc.parametrize("precision", ["x32"] if once else ["x32", "x64"], indirect=True)


@pytest.fixture
def precision(request):
    with jax.enable_x64(request.param == "x64"):
        yield request.param
