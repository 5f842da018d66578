"""A formula stands beside a label where it is better than one concept, and nowhere else."""

import io
import json
from dataclasses import asdict, replace

import fuzz
import numpy as np
import pytest
from pages import Cells, data_of
from rich.console import Console

from neurotrust_jax import report

FORMULA = "concept 0 AND NOT concept 1"
SENTENCES = [
    FORMULA,
    "its iou is 0.050 (0.03 to 0.10) on the half that did not choose it",
    'it gains 0.025 ± 0.005 over "concept 0" there (q = 0.1); on the half that chose it the gain '
    "seemed 0.075",
    'the other half gives "concept 0"; the samples on which the two hold overlap by 10%',
]
NONE_BETTER = (
    'none is better than "concept 1" beyond chance; the best one, "concept 1 AND NOT concept 2", '
    "gains 0.075 ± 0.015 on other samples (q = 0.3)"
)


@pytest.fixture
def audit():
    """Five neurons, of which the formula of the first is better; that of the last is undefined."""
    made = fuzz.small_audit(5)
    own = made.compositions
    p, q = (np.where(np.arange(5) == 4, np.nan, x) for x in (own.p_value, own.q_value))
    return replace(made, compositions=replace(own, p_value=p, q_value=q))


def without(audit):
    return replace(audit, compositions=None)


def printed(audit, width):
    told = io.StringIO()
    Console(file=told, width=width).print(report.neuron_table(audit))
    return told.getvalue()


def test_columns_hold_the_formula_where_it_is_better(audit):
    own, columns, plain = audit.compositions, audit.columns(), without(audit).columns()
    assert columns["formula"] == [FORMULA, None, None, None, None]
    for name, value in (("similarity", own.similarity[-1, 0]), ("gain", own.gain[0])):
        np.testing.assert_array_equal(columns[f"formula_{name}"], [value] + 4 * [np.nan])
    # whoever wants another false discovery rate has all q-values
    np.testing.assert_array_equal(columns["formula_q_value"], own.q_value)
    assert list(plain) == list(columns)
    assert plain["formula"] == [None] * 5
    assert np.isnan(plain["formula_q_value"]).all()


def test_labels_read_from_our_own_table_are_no_formulas(audit, tmp_path):
    from neurotrust_jax.files import read_labels

    path = report.write_descriptions(audit, tmp_path / "descriptions.csv")
    claims = read_labels(path)
    assert [x.description for x in claims] == [audit.description(u) for u in range(5)]
    np.testing.assert_allclose([x.similarity for x in claims], audit.similarity, rtol=1e-5)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_has_the_formula_under_the_label(audit, width):
    text = printed(audit, width)
    cells = [line.split("│")[2].strip() for line in text.splitlines() if line.count("│") == 7]
    column = " ".join(" ".join(cells).split())
    assert column.count("better:") == 1
    assert f"concept 0 better: {FORMULA}, +0.025 concept" in column
    assert "Better: a formula of concepts that" in " ".join(text.split())
    plain = " ".join(printed(without(audit), width).split())
    assert "etter:" not in plain


def test_one_neuron_says_what_its_formula_is_worth(audit):
    facts = list(audit.neuron(0).facts())
    place = [name for name, _ in facts].index("formula")
    assert facts[place : place + 4] == list(zip(["formula", "", "", ""], SENTENCES, strict=True))
    assert ("formula", NONE_BETTER) in list(audit.neuron(1).facts())
    for one in (audit.neuron(4), without(audit).neuron(0)):
        assert one.formula is None
        assert "formula" not in repr(one)
    assert FORMULA in audit.neuron(0)._repr_html_()
    assert json.dumps(asdict(audit.neuron(0).formula))


def test_formulas_of_one_concept_and_the_same_on_both_halves(audit):
    own = audit.compositions
    same = replace(own, other_formula=own.formula)
    (*_, last) = replace(audit, compositions=same).neuron(0).formula.sentences()
    assert last == "the other half gives the same formula"
    short = replace(own, by_length=type(own.by_length)(*(x[[0, 0]] for x in own.by_length)))
    (only,) = replace(audit, compositions=short).neuron(1).formula.sentences()
    assert only == 'no formula of several concepts is more similar than "concept 1"'


def test_the_page_has_the_formula_in_the_row_and_in_the_opened_neuron(audit, tmp_path):
    data, _, text = data_of(report.write_page(audit, tmp_path / "a.html"))
    (layer,) = data["layers"]
    assert layer["formula"] == [FORMULA, "", "", "", ""]
    (details,) = layer["details"]
    first, second, *_, last = details["formulas"]
    assert first == [FORMULA, *(f"{x[0].upper()}{x[1:]}." for x in SENTENCES[1:])]
    assert second == [f"N{NONE_BETTER[1:]}."]
    assert last is None
    assert "<b>Formula</b>: the best of 12 formulas of at most 2 concepts on one half of" in text
    assert "(proved to be the best for 5 neurons) is measured on the other half" in text
    data, _, text = data_of(report.write_page(without(audit), tmp_path / "b.html"))
    (layer,) = data["layers"]
    assert layer["formula"] is None
    assert layer["details"][0]["formulas"] is None
    assert "<b>Formula</b>" not in text


def test_the_summary_counts_the_formulas(audit):
    line = (
        "Formulas: 1 of 4 neurons have a formula of at most 2 concepts that is better than their "
        "best single concept beyond chance (false discovery rate 0.1)."
    )
    assert line in audit.summary().splitlines()
    assert "Formulas:" not in without(audit).summary()
    own = replace(audit.compositions, num_ranges=2)
    ranges = replace(audit, num_ranges=2, compositions=own)
    assert "Formulas: 1 of 4 ranges of neurons have" in ranges.summary()
    assert audit.compositions.summary().startswith(line.removeprefix("Formulas: "))


def test_a_notebook_shows_the_formulas_that_gain_most(audit):
    own = audit.compositions
    assert f"better: {FORMULA}, +0.025" in Cells(audit._repr_html_()).text
    shown = Cells(replace(own, q_value=np.array([0.1, 0.01, 0.5, 0.02, np.nan]))._repr_html_())
    (table,) = shown.tables
    assert [row[0] for row in table[1:]] == ["3", "1", "0"]
    cells = table[3][1:-1]
    assert cells == [FORMULA, "0.050", "0.03 to 0.10", "0.025 ± 0.005", "0.1"]
    assert table[3][-1].startswith("concept 0")
    assert f"3{own.headline()[1:]}" in shown.text
    nothing = replace(own, q_value=np.ones(5))
    assert Cells(nothing._repr_html_()).tables == []


def test_pandas_takes_the_formulas(audit):
    pytest.importorskip("pandas")
    table = audit.compositions.to_pandas()
    assert list(table) == list(audit.compositions.columns())
    assert table["label"].tolist() == [FORMULA, "concept 1", "concept 2", "concept 0", "concept 1"]
