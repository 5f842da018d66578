"""Formulas are written down once for each meaning, and counted."""

import itertools

import numpy as np
import pytest
from builders import chains

import neurotrust_jax as nt
from neurotrust_jax.composition.formulas import (
    AND,
    AND_NOT,
    OR,
    Formulas,
    canonical,
    check_operators,
    count_formulas,
    evaluate,
    written,
)

EVERY = (AND, OR, AND_NOT)


def truth_by_hand(row, concept, operator):
    value = row[concept[0]]
    for c, join in zip(concept[1:], operator[1:], strict=True):
        if join == AND:
            value = value and row[c]
        elif join == OR:
            value = value or row[c]
        elif join == AND_NOT:
            value = value and not row[c]
    return value


@pytest.mark.parametrize(
    "operators", [EVERY, (AND,), (OR,), (AND_NOT,), (AND, OR), (AND, AND_NOT), (OR, AND_NOT)]
)
@pytest.mark.parametrize(("num_concepts", "max_length"), [(3, 3), (4, 4), (4, 2), (2, 1)])
def test_a_canonical_form_is_a_meaning(operators, num_concepts, max_length):
    # by the table of truth: equal forms for equal meaning, and as many forms as are counted
    formulas = chains(num_concepts, max_length, operators)
    table = np.array(list(itertools.product([False, True], repeat=num_concepts)))
    truth = evaluate(table.astype(int), formulas)
    forms = canonical(formulas)
    code = np.concatenate(forms, axis=1)
    assert len(np.unique(code, axis=0)) == count_formulas(num_concepts, max_length, operators)
    assert len(np.unique(truth.T, axis=0)) == len(np.unique(code, axis=0))
    np.testing.assert_array_equal(evaluate(table.astype(int), forms), truth)
    assert forms.same(canonical(forms)).all()


def test_there_are_millions_of_formulas_of_256_concepts():
    # 256 + 2 * 32640 + 256 * 255 of one and two; 23 kinds of three for each set of three concepts
    assert count_formulas(256, 3, EVERY) == 256 + 2 * 32640 + 65280 + 23 * 2763520


def test_truth_is_that_of_boolean_operators():
    rng = np.random.default_rng(0)
    table = rng.random((40, 4)) < 0.5
    formulas = chains(4, 3)
    some = rng.choice(len(formulas.concept), 60, replace=False)
    formulas = formulas.take(some)
    found = evaluate(table.astype(np.float32), formulas)
    expected = [[truth_by_hand(row, *x) for x in zip(*formulas, strict=True)] for row in table]
    np.testing.assert_array_equal(found, np.array(expected, float))


def test_values_are_joined_by_product_and_probabilistic_sum():
    values = np.array([[0.5, 0.4, 0.2]])
    formulas = Formulas(
        np.array([[0, 1, -1], [0, 1, -1], [0, 1, -1], [0, 1, 2]], np.int32),
        np.array([[-1, 0, -1], [-1, 1, -1], [-1, 2, -1], [-1, 1, 2]], np.int8),
    )
    np.testing.assert_allclose(evaluate(values, formulas)[0], [0.2, 0.7, 0.3, 0.7 * 0.8])


def test_a_formula_is_written_with_the_brackets_it_needs():
    names = ["a", "b", "c", "d"]
    assert written([0, 1, 2, 3], [-1, OR, AND_NOT, OR], names) == "((a OR b) AND NOT c) OR d"
    assert written([0, 1, 2, 3], [-1, AND, AND_NOT, AND], names) == "a AND b AND NOT c AND d"
    assert written([2, -1], [-1, -1], names) == "c"
    assert written([-1, -1], [-1, -1], names) == ""


def test_operators_are_checked():
    assert check_operators(["and not", "and"]) == (AND, AND_NOT)
    assert check_operators("or") == (OR,)
    with pytest.raises(ValueError, match=r"operators must be some of 'and', 'or', 'and not', got"):
        check_operators(["xor"])
    with pytest.raises(ValueError, match="operators"):
        check_operators([])
    assert nt.composition.Formulas is Formulas
