"""The tables of mutants can not rot: each has one place in the package, and tests to kill it."""

import ast
import re

import mutants
import pytest
from mutation import Mutant

ALL = mutants.all_mutants()


def test_every_mutant_changes_one_place():
    for mutant in ALL:
        text = (mutants.PACKAGE / mutant.module).read_text(encoding="utf-8")
        changed = mutant.apply(text)
        assert changed != text, mutant.name
        compile(changed, mutant.module, "exec")


def test_every_mutant_has_tests():
    for mutant in ALL:
        chosen = [x for x in mutants.selection(mutant.tests) if x.startswith("tests/")]
        assert chosen, mutant.name
        for name in chosen:
            file, _, test = name.partition("::")
            text = (mutants.ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^def {test or 'test_'}", text, re.MULTILINE), name


def test_every_formula_has_mutants():
    """At least 80, and some in each module of the statistics."""
    modules = {x.module for x in ALL}
    assert len(ALL) >= 80
    assert len({x.name for x in ALL}) == len(ALL)
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
        "chance/p_values.py",
        "chance/permuted_statistics.py",
        "faithfulness/bounds.py",
        "faithfulness/concentration.py",
        "faithfulness/estimands.py",
        "faithfulness/jackknife.py",
        "faithfulness/sample_size.py",
        "metrics/interval_rules.py",
        "metrics/planning.py",
        "metrics/ranked.py",
        "metrics/shift_rules.py",
        "metrics/table.py",
        "metrics/transforms.py",
        "resampling/agreement.py",
        "resampling/crossfit.py",
        "resampling/selection.py",
        "resampling/stability_measures.py",
        "schemes.py",
        "sets/vote.py",
        "shift/probabilities.py",
        "shift/unknown_shift.py",
    }


SOURCE = """
scale = (2 * n)

class Side:
    def low(self, x):  # one side
        return min(x - 1,
                   (n + 1) / 2)

    def high(self, x):
        half = (n + 1) / 2
        if x > half: x = x * half
        return "±", x - 1
"""


def changed(scope, original, replacement, source=SOURCE):
    return Mutant("sides.py", scope, original, replacement, "").apply(source)


def test_only_the_node_named_is_replaced():
    assert "self, x):  # one side" in changed("Side.low", "(n+1)/2", "n / 2")
    found = changed("Side.low", "n + 1", "n")
    assert found == SOURCE.replace("(n + 1) / 2)", "((n)) / 2)")
    assert changed("", "scale = 2 * n", "scale = n") == SOURCE.replace("(2 * n)", "n")
    # a replacement that binds less strongly, after letters of several bytes on the line
    assert '"±", (x - 1 if n else x)' in changed("Side.high", "x - 1", "x - 1 if n else x")


def test_statements_are_replaced_as_they_are_indented():
    found = changed("Side.high", "half = (n + 1) / 2", "half = n\nhalf = half / 2")
    assert found == SOURCE.replace("half = (n + 1) / 2", "half = n\n        half = half / 2")
    assert "if x > half: pass\n" in changed("Side.high", "x = x * half", "pass")


def test_layout_comments_and_order_do_not_matter():
    methods = ast.parse(SOURCE)
    methods.body[1].body.reverse()
    moved = ast.unparse(methods)
    found = changed("Side.low", "(n + 1) / 2", "n / 2", moved)
    assert ast.unparse(ast.parse(found)) == moved.replace(
        "min(x - 1, (n + 1) / 2)", "min(x - 1, n / 2)"
    )


@pytest.mark.parametrize(
    ("scope", "original", "why"),
    [
        ("Side.low", "n + 2", "the original occurs 0 times"),
        ("Side", "x - 1", "the original occurs 2 times"),
        ("", "x - 1", "the original occurs 0 times"),
        ("low", "x - 1", "the scope occurs 0 times"),
        ("Side.high.low", "x - 1", "the scope occurs 0 times"),
    ],
)
def test_a_place_that_is_gone_or_ambiguous_is_refused(scope, original, why):
    with pytest.raises(ValueError, match=rf"^sides\.py.*: {why}$"):
        changed(scope, original, "n")
