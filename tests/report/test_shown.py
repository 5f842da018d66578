"""An audit in a notebook and as columns, and one neuron of it, say what the arrays hold."""

import csv
import re
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from pages import Cells

import neurotrust_jax as nt
from neurotrust_jax import report

mpl.use("Agg")
from matplotlib import pyplot as plt


def test_a_repr_counts_the_verdicts(audited):
    counts = ", ".join(f"{n} {v.text}" for v, n in audited.verdict_counts.items() if n)
    assert repr(audited) == f"Audit of layer block, 7 neurons x 9 concepts by iou: {counts}"
    assert audited.summary() == report.summary(audited)


def test_a_notebook_shows_the_best_neurons_and_all_verdicts(audited):
    shown = Cells(audited._repr_html_())
    assert "Audit of layer block, 7 neurons x 9 concepts by iou" in shown.text
    (table,) = shown.tables
    assert [row[0] for row in table[1:]] == [audited.neuron_names[u] for u in audited.ranked]
    for row, u in zip(table[1:], audited.ranked, strict=True):
        verdict = nt.Verdict(audited.verdict[u])
        assert row[-1].startswith(f"{verdict.text} {audited.verdict_reason[u]}")
        if audited.label[u] < 0:
            assert row[1:5] == ["-"] * 4
            continue
        bounds = audited.intervals.asymptotic_lower[u], audited.intervals.asymptotic_upper[u]
        assert row[1] == audited.description(u)
        assert row[3] == f"{audited.similarity[u]:.3f}"
        assert row[4] == "{:.2f} to {:.2f}".format(*bounds)
    for verdict, n in audited.verdict_counts.items():
        assert (f"{verdict.text}\xa0{n:,} ({n / 7:.0%})" in shown.text) == (n > 0)
    assert table[0][4] == "90% interval"
    for line in audited.summary().split("\n"):
        assert line[:400] in shown.text


def test_the_bar_is_as_wide_as_the_verdicts_are_frequent(audited):
    many = replace(audited, verdict=np.array([0, 0, 0, 0, 1, 2, 2]))
    parts = re.findall(r"flex:(\d+) 0 0;min-width:3px;background:(#\w+)", many._repr_html_())
    styles = [nt.Verdict(v).style.colour for v in range(3)]
    assert parts == [(n, colour) for n, colour in zip("412", styles, strict=True)]


def test_columns_are_those_of_the_file(audited, tmp_path):
    columns = audited.columns()
    path = report.write_descriptions(audited, tmp_path / "descriptions.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(columns)
    assert {len(values) for values in columns.values()} == {7}
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
                assert row[name] == "", name
            elif isinstance(value, list):
                assert row[name] == "; ".join(value)
            elif isinstance(value, str):
                assert row[name] == value
            else:
                assert float(row[name]) == pytest.approx(float(value), rel=1e-5)


def test_columns_hold_the_audit(audited):
    columns, rest = audited.columns(), replace(audited, null=None).columns()
    for name, values in (
        ("similarity", audited.similarity), ("lower", audited.lower), ("regret", audited.regret),
        ("asymptotic_upper", audited.intervals.asymptotic_upper), ("set_size", audited.set_size),
        ("p_value", audited.null.p_value), ("q_value", audited.null.q_value),
        ("calibrated_untested", audited.untested.sum(axis=1)), ("tied", audited.tied),
        ("certified_size", audited.certified_set.sum(axis=1)),
    ):  # fmt: skip
        np.testing.assert_array_equal(columns[name], values)
    assert np.isnan(rest["p_value"]).all()
    assert np.isnan(rest["q_value"]).all()
    for u in range(7):
        labelled = audited.label[u] >= 0
        assert columns["description"][u] == (audited.description(u) or None)
        assert columns["set"][u] == (audited.set_names(u) if labelled else None)
        count = audited.positives[audited.label[u]] if labelled else np.nan
        np.testing.assert_equal(columns["positives"][u], float(count))


def test_pandas_takes_the_columns(audited):
    pandas = pytest.importorskip("pandas")
    table = audited.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table) == list(audited.columns())
    np.testing.assert_array_equal(table["similarity"], audited.similarity)
    assert table["description"].isna().tolist() == (audited.label < 0).tolist()
    assert table["set"][0] == audited.set_names(0)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_other_libraries_take_the_columns(audited, library):
    imported = pytest.importorskip(library)
    take = imported.DataFrame if library == "polars" else imported.table
    table = take(audited.columns())
    assert table.shape == (7, len(audited.columns()))
    sets = table["set"].to_list() if library == "polars" else table["set"].to_pylist()
    assert sets == audited.columns()["set"]


def test_without_pandas_the_remedy_is_named(audited, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_pandas needs pandas.*: pip install pandas, or use"):
        audited.to_pandas()


def test_one_neuron_is_found_by_number_and_by_name(audited):
    named = replace(audited, neuron_names=tuple("abcdefg"))
    assert named.neuron("c") == named.neuron(2) == named.neuron(np.int32(2))
    for u in range(6):
        x, bounds = audited.neuron(u), audited.intervals
        assert (x.number, x.name, x.label) == (u, str(u), audited.description(u))
        assert (x.verdict, x.reason) == (audited.verdict[u], audited.verdict_reason[u])
        assert x.similarity == audited.similarity[u]
        assert x.similarity_corrected == audited.winners_curse.corrected[u]
        assert x.sure_interval == (audited.lower[u], audited.upper[u])
        assert x.pair_interval == (bounds.pair_lower[u], bounds.pair_upper[u])
        assert x.interval == (bounds.asymptotic_lower[u], bounds.asymptotic_upper[u])
        assert x.concept_set == tuple(audited.set_names(u))
        assert (x.p_value, x.q_value) == (audited.null.p_value[u], audited.null.q_value[u])
        assert x.replication_probability == audited.replication_probability[u]
        assert x.positives == audited.positives[audited.label[u]]
        assert [c.concept for c in x.contenders] == [
            audited.concept_names[c] for c in audited.leading.concept[u] if c >= 0
        ]
        for k, contender in enumerate(x.contenders):
            c = audited.leading.concept[u, k]
            assert contender.similarity == audited.leading.similarity[u, k]
            assert contender.in_set == audited.concept_set[u, c]
            assert contender.vote_share == audited.vote_share[u, c]
            assert contender.interval[0] == audited.leading.asymptotic_lower[u, k]
            assert contender.sure_interval[1] == audited.leading.upper[u, k]


def test_one_neuron_in_words(audited):
    x = audited.neuron(0)
    text = repr(x)
    lines = text.splitlines()
    assert lines[0] == f"Neuron 0 of layer block: {audited.description(0)}"
    assert lines[1] == f"  {x.verdict.text}: {x.reason}"
    assert f"{x.similarity:.3f} measured, {x.similarity_corrected:.3f} corrected" in text
    assert f"{audited.lower[0]:.2f} to {audited.upper[0]:.2f} for every sample size" in text
    marked = [line for line in lines if line.startswith("  * ")]
    assert len(marked) == sum(c.in_set for c in x.contenders)
    facts, concepts = Cells(x._repr_html_()).tables
    assert [tuple(row) for row in facts] == [(a, b[:500]) for a, b in x.facts()]
    assert [row[0] for row in concepts[1:]] == [c.concept for c in x.contenders]
    assert [row[-1] == "yes" for row in concepts[1:]] == [c.in_set for c in x.contenders]


def test_a_neuron_without_label_says_so(audited):
    x = audited.neuron(6)
    assert repr(x).splitlines() == [
        "Neuron 6 of layer block: no label",
        "  undecided: no label: never active",
        "  active on             0.0% of the samples",
    ]
    assert len(Cells(x._repr_html_()).tables) == 1


@pytest.mark.parametrize(
    ("neuron", "error", "words"),
    [
        (7, ValueError, r"from 0 to 6, got 7; give a name as text, as in neuron\('6'\)"),
        (-1, ValueError, "from 0 to 6, got -1"),
        ("block_2", ValueError, "no neuron is named 'block_2'; names are like '0', '1', '2'"),
        (True, TypeError, "must be a number or a name, got True"),
        (1.0, TypeError, "must be a number or a name, got 1.0"),
    ],
)
def test_an_unknown_neuron_is_refused(audited, neuron, error, words):
    with pytest.raises(error, match=words):
        audited.neuron(neuron)


def test_a_name_of_two_neurons_is_refused(audited):
    with pytest.raises(ValueError, match=r"2 neurons are named 'a'; give the number.*\[0, 5\]"):
        replace(audited, neuron_names=tuple("abcdeag")).neuron("a")


def test_a_mistyped_name_is_told_its_neighbours(audited):
    named = replace(audited, neuron_names=tuple(f"unit_{i}" for i in range(7)))
    with pytest.raises(ValueError, match=r"no neuron is named 'units_3'; names are like 'unit_3'"):
        named.neuron("units_3")


def test_a_plot_has_the_four_figures(audited):
    axes = audited.plot()
    assert list(axes) == ["verdicts", "intervals", "replication", "set_sizes"]
    assert len({ax.figure for ax in axes.values()}) == 1
    assert all(ax.has_data() for ax in axes.values())
    axes["verdicts"].figure.canvas.draw()
    plt.close(axes["verdicts"].figure)
