"""Examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import jax
import numpy as np
import pytest

import neurotrust_jax as nt

FINDER = doctest.DocTestFinder(exclude_empty=True)


def examples():
    """Docstrings with examples, each once, by name."""
    found = {}
    for info in pkgutil.walk_packages(nt.__path__, "neurotrust_jax."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for test in FINDER.find(module, info.name):
            if test.examples:
                found[test.name] = test
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_run(name):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    EXAMPLES[name].globs = {"jax": jax, "np": np, "nt": nt}  # as the examples of NumPy
    runner.run(EXAMPLES[name], out=print)
    assert runner.summarize(verbose=False).failed == 0
