"""Figures hold the numbers that they are drawn from, in an order that can be read."""

from dataclasses import fields, replace

import matplotlib as mpl
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax import report
from neurotrust_jax.auditing.result import Leading

mpl.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture
def audited():
    """Neurons 0 and 3 have concept 5 as label, 1 has 2, which nearly ties with 3, 2 never fires."""
    votes = np.zeros((4, 12))
    votes[0, 5], votes[0, 0] = 0.97, 0.03
    votes[1, [2, 3, 11]] = 0.5, 0.3, 0.18  # and 0.02 undefined
    votes[3, [5, 2, 9]] = 0.6, 0.37, 0.03
    leading = np.array([[5, 0], [2, 3], [-1, -1], [5, 2]])
    leading = np.column_stack([leading, [[2, 3], [11, 7], [-1, -1], [9, 0]]])
    rng = np.random.default_rng(0)
    value = np.where(leading < 0, np.nan, -np.sort(-rng.random((4, 4)), axis=1))
    member = votes > 0.02
    told = {
        "layer": "block",
        "metric": "iou",
        "alpha": 0.1,
        "num_replicates": 200,
        "concept_names": tuple(f"a ${i}$" for i in range(12)),  # a dollar sign begins no formula
        "neuron_names": tuple("0123"),
        "label": leading[:, 0],
        "num_ranges": 1,
        "reason": np.array([0, 0, nt.metrics.Reason.NEVER_ACTIVE, 0]),
        "leading": Leading(leading, value, value - 0.4, value + 0.5, value - 0.2, value + 0.3),
        "concept_set": member,
        "answers": np.array([2, 2, 12, 3]),
        "vote_share": votes,
        "verdict": np.full(4, nt.Verdict.AMBIGUOUS),
    }
    unknown = dict.fromkeys(field.name for field in fields(nt.Audit))
    return nt.Audit(**(unknown | told))


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    figure.canvas.draw()
    plt.close(figure)


def segments(ax):
    """Ends [m, 2, 2] of all lines drawn by hlines and vlines."""
    lines = (c for c in ax.collections if isinstance(c, mpl.collections.LineCollection))
    return np.array([s for c in lines for s in c.get_segments()])


def test_leading_concepts_show_interval_votes_and_membership(audited, ax):
    assert report.plot_leading(audited, 1, ax) is ax
    leading = audited.leading
    drawn = segments(ax)
    drawn = drawn[np.argsort(drawn[:, 0, 1])]  # by row
    np.testing.assert_allclose(drawn[:, :, 1], np.repeat(np.arange(4)[:, None], 2, axis=1))
    np.testing.assert_allclose(drawn[:, 0, 0], leading.asymptotic_lower[1], rtol=1e-6)
    np.testing.assert_allclose(drawn[:, 1, 0], leading.asymptotic_upper[1], rtol=1e-6)
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == [audited.concept_names[c] for c in leading.concept[1]]
    assert names[0] == audited.description(1)
    top, bottom = ax.transData.transform([[0, 0], [0, 3]])[:, 1]
    assert top > bottom
    texts = {(x.get_text(), round(x.get_position()[1])) for x in ax.texts if x.get_text()}
    for row, c in enumerate(leading.concept[1]):
        word = "yes" if audited.concept_set[1, c] else "no"
        assert (word, row) in texts
        assert (f"{audited.vote_share[1, c]:.0%}", row) in texts
    points = [c for c in ax.collections if isinstance(c, mpl.collections.PathCollection)]
    in_set, ruled_out = (c.get_offsets() for c in points)
    member = audited.concept_set[1, leading.concept[1]]
    assert (member.sum(), (~member).sum()) == (3, 1)
    np.testing.assert_allclose(in_set[:, 0], leading.similarity[1][member], rtol=1e-6)
    np.testing.assert_allclose(ruled_out[:, 0], leading.similarity[1][~member], rtol=1e-6)
    assert ax.get_title(loc="left") == "neuron 1, ambiguous: 3 concepts in the set, 2 answers"


def test_of_a_neuron_without_label_the_reason_is_drawn(audited, ax):
    report.plot_leading(audited, 2, ax)
    assert ax.get_title(loc="left") == "neuron 2: never active"
    assert len(ax.collections) == 0


def test_votes_form_a_staircase_and_lose_no_vote(audited, ax):
    assert report.plot_votes(audited, ax) is ax
    table = np.asarray(ax.images[0].get_array())
    rows = [int(x.get_text()) for x in ax.get_yticklabels()]
    columns = [x.get_text() for x in ax.get_xticklabels()]
    assert sorted(rows) == [0, 1, 3]  # the one that never fires has no votes
    assert columns[-1] == "all others"
    shown = [audited.concept_names.index(name) for name in columns[:-1]]
    np.testing.assert_allclose(table[:, :-1], audited.vote_share[rows][:, shown], rtol=1e-6)
    np.testing.assert_allclose(table.sum(axis=1), audited.vote_share[rows].sum(axis=1), rtol=1e-5)
    assert (audited.vote_share[rows][:, shown].max(axis=0) >= 0.05).all()
    left_out = np.setdiff1d(np.arange(12), shown)
    assert (audited.vote_share[rows][:, left_out].max(axis=0) < 0.05).all()
    # 0 and 3 share a favourite and stand together, the surest first
    assert rows.index(3) == rows.index(0) + 1
    assert columns[0] == "a $5$"
    assert (np.diff(table.argmax(axis=1)) >= 0).all()
    assert ax.images[0].get_clim() == (0, 1)


def test_favourites_that_tie_keep_the_order_of_their_neurons(audited, ax):
    votes = np.zeros((4, 12))
    votes[[0, 1, 2], [7, 4, 2]] = 1
    votes[3, [7, 2]] = 0.4, 0.6  # of the three, 2 has most votes in all
    report.plot_votes(replace(audited, vote_share=votes, label=np.zeros(4, int)), ax)
    drawn = np.asarray(ax.images[0].get_array())
    assert [x.get_text() for x in ax.get_xticklabels()] == ["a $2$", "a $4$", "a $7$"]
    assert [x.get_text() for x in ax.get_yticklabels()] == ["2", "3", "1", "0"]
    np.testing.assert_allclose(drawn, [[1, 0, 0], [0.6, 0, 0.4], [0, 1, 0], [0, 0, 1]])


def test_votes_of_some_neurons_and_of_all_concepts(audited, ax):
    report.plot_votes(audited, ax, neurons=[1, 2], least=0.0)
    assert [x.get_text() for x in ax.get_yticklabels()] == ["1"]
    assert np.asarray(ax.images[0].get_array()).shape == (1, 12)  # none is left for "all others"
    with pytest.raises(ValueError, match="no neuron to show has a label"):
        report.plot_votes(audited, ax, neurons=[2])


def test_probing_sizes_show_intervals_and_the_bound_about_the_truth(ax):
    n, value = [1000, 100], [0.5, 0.6]  # in any order
    lower, upper, gap = [0.4, 0.2], [0.6, 0.9], [0.1, 0.7]
    options = {"gap": gap, "truth": 0.55, "metric": "iou"}
    assert report.plot_probing_size(n, value, lower, upper, ax, **options) is ax
    drawn = segments(ax)
    np.testing.assert_allclose(drawn[:, 0], [[100, 0.2], [1000, 0.4]])
    np.testing.assert_allclose(drawn[:, 1], [[100, 0.9], [1000, 0.6]])
    below, above, truth = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(below, [0, 0.45])  # no iou is below 0
    np.testing.assert_allclose(above, [1, 0.65])
    np.testing.assert_allclose(truth, 0.55)
    assert ax.get_xscale() == "log"
    ax.clear()
    report.plot_probing_size(n, value, lower, upper, ax, gap=gap)
    below, above = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(below, [0.6 - 0.7, 0.5 - 0.1])  # about those measured
    np.testing.assert_allclose(above, [0.6 + 0.7, 0.5 + 0.1])


def test_coverage_is_drawn_against_the_level(ax):
    held = {"calibrated": [0.96, 0.91], "vote": [0.6, 0.5]}
    error = {"calibrated": [0.01, 0.02], "vote": [0.03, 0.03]}
    assert report.plot_coverage([0.95, 0.9], held, ax, standard_error=error) is ax
    promised, *_ = ax.lines
    np.testing.assert_allclose(promised.get_xdata(), promised.get_ydata())
    drawn = {c.get_label(): c for c in ax.containers}
    assert list(drawn) == ["calibrated", "vote"]
    line, _, (bars,) = drawn["calibrated"]
    np.testing.assert_allclose(line.get_xydata(), [[90, 91], [95, 96]])
    ends = [s[:, 1] for s in bars.get_segments()]
    np.testing.assert_allclose(ends, [[87, 95], [94, 98]])  # two standard errors either way
    colours = {c[0].get_color() for c in drawn.values()}
    assert len(colours) == 2
    with pytest.raises(ValueError, match="at most 5 methods, got 6"):
        report.plot_coverage([0.9], {str(i): [0.9] for i in range(6)}, ax)


def test_verdicts_of_several_layers_are_bars_under_each_other(ax):
    first = dict.fromkeys(nt.Verdict, 1)
    counts = {"blocks.0": first, "blocks.1": {nt.Verdict.STABLE: 12}}
    report.plot_verdicts(counts, ax)
    names = [x.get_text() for x in ax.get_yticklabels()]
    heights = ax.transData.transform([[0, y] for y in ax.get_yticks()])[:, 1]
    assert [names[i] for i in np.argsort(-heights)] == ["blocks.0", "blocks.1"]
    assert ax.get_xlim() == (0, 12)
