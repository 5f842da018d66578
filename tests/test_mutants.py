"""The table of mutants can not rot: each has one place in the package, and tests to kill it."""

import re
import shlex
from pathlib import Path

import mutants
import pytest

pytestmark = pytest.mark.x32
TESTS = Path(__file__).parent


def test_every_mutant_changes_one_place():
    for mutant in mutants.MUTANTS:
        text = (mutants.PACKAGE / mutant.module).read_text(encoding="utf-8")
        changed = mutant.applied(text)
        assert changed != text, mutant.name
        compile(changed, mutant.module, "exec")


def test_every_mutant_has_tests():
    for mutant in mutants.MUTANTS:
        chosen = [x for x in shlex.split(mutant.tests) if x.startswith("test_")]
        assert chosen, mutant.name
        for name in chosen:
            file, _, test = name.partition("::")
            text = (TESTS / file).read_text(encoding="utf-8")
            assert re.search(rf"^def {test or 'test_'}", text, re.MULTILINE), name


def test_every_formula_has_mutants():
    """At least 80, and some in each module of the statistics."""
    modules = {x.module for x in mutants.MUTANTS}
    assert len(mutants.MUTANTS) >= 80
    assert len({x.name for x in mutants.MUTANTS}) == len(mutants.MUTANTS)
    assert modules >= {
        "_engine/candidates.py",
        "_engine/neuron_view.py",
        "_engine/rows.py",
        "_engine/run_rows.py",
        "_engine/screening.py",
        "_numerics/sums.py",
        "auditing/comparison.py",
        "auditing/hierarchy.py",
        "auditing/verdicts.py",
        "chance/null.py",
        "faithfulness/bounds.py",
        "faithfulness/concentration.py",
        "faithfulness/estimands.py",
        "faithfulness/interval_rules.py",
        "faithfulness/jackknife.py",
        "faithfulness/sample_size.py",
        "metrics/ranked.py",
        "metrics/table.py",
        "metrics/transforms.py",
        "resampling/agreement.py",
        "resampling/crossfit.py",
        "resampling/selection.py",
        "resampling/stability_measures.py",
        "schemes.py",
        "sets/set_rules.py",
        "shift/unknown_shift.py",
    }


def test_a_place_that_is_gone_is_told():
    with pytest.raises(ValueError, match="found 0 times"):
        mutants.MUTANTS[0].applied("nothing of it")
