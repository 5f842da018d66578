"""The examples in the docstrings of the package run, and give what they show."""

import doctest
import importlib
import pkgutil

import jax
import numpy as np
import pytest

import neurotrust_jax as nt

NAMES = {"jax": jax, "np": np, "nt": nt}


def examples():
    """All docstrings with examples."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for found in pkgutil.walk_packages(nt.__path__, "neurotrust_jax."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        yield from (x for x in finder.find(module, extraglobs=NAMES) if x.examples)


@pytest.mark.parametrize("example", [pytest.param(x, id=x.name) for x in examples()])
def test_an_example_gives_what_it_shows(example):
    said = []
    outcome = doctest.DocTestRunner().run(example, out=said.append)
    assert outcome.failed == 0, "".join(said)


def test_every_main_function_has_an_example():
    found = {name: getattr(nt, name) for name in nt.__all__}
    main = {name: x for name, x in found.items() if callable(x) and name.islower()}
    assert len(main) == 33
    assert [name for name, x in main.items() if ">>> " not in x.__doc__] == []
