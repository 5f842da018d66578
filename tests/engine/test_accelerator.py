"""What is done another way on an accelerator: the same, seen here on a CPU and on a real one."""

import jax
import numpy as np
import pytest
from builders import awkward_probe, few_ties

import neurotrust_jax as nt
from neurotrust_jax._engine import row_index

KEY = jax.random.key(0)
SLOW = pytest.mark.slow  # variants that differ little from the others


@pytest.fixture(autouse=True)
def accelerator(monkeypatch):
    """Take the ways of an accelerator, whatever this machine has."""
    jax.clear_caches()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    yield
    jax.clear_caches()


def tied(rectified):
    """Few ties of long lists, or half of each list tied; samples weigh 1."""
    f, c = few_ties(700, 6, 9)
    if rectified:
        f[:, ::2] = np.maximum(f[:, ::2], 0.1)
    return nt.make_probe(f, c, top_fraction=0.2)


@pytest.mark.parametrize(
    ("metric", "data", "options"),
    [
        ("iou", lambda: awkward_probe(weighted=False), {}),
        ("iou", awkward_probe, {"scheme": "poisson"}),
        pytest.param("precision", lambda: tied(False), {"chunk_size": 7}, marks=SLOW),
        pytest.param("simulation_auroc", lambda: awkward_probe(4), {}, marks=SLOW),
        pytest.param("auroc", lambda: tied(False), {}, marks=SLOW),
        pytest.param("auroc", lambda: tied(True), {"scheme": "poisson"}, marks=SLOW),
        pytest.param("auroc", awkward_probe, {"scheme": "bayesian"}, marks=SLOW),
        pytest.param("spearman", lambda: tied(False), {"scheme": "bayesian"}, marks=SLOW),
        pytest.param("spearman", lambda: awkward_probe(weighted=False), {}, marks=SLOW),
    ],
)
def test_rows_give_the_replicates_of_the_dense_product(metric, data, options):
    probe = data()
    dense, rows = (
        nt.bootstrap(KEY, probe, metric, num_replicates=80, strategy=strategy, **options)
        for strategy in ("dense", "rows")
    )
    np.testing.assert_array_equal(rows.candidates, dense.candidates)
    # sums of binary sides are the same whole numbers, of ranks they are rounded, and copies tie
    binary = nt.METRICS[metric].neuron_view == nt.METRICS[metric].concept_view == "binary"
    won, expected = np.asarray(rows.winners), np.asarray(dense.winners)
    if not binary:
        won, expected = (np.where(x == probe.num_concepts - 1, 0, x) for x in (won, expected))
    np.testing.assert_array_equal(won, expected)
    exact = {"rtol": 2e-7, "atol": 1e-7} if binary else {"rtol": 3e-6, "atol": 1e-6}
    for field in ("winning_similarity", "label_similarity", "replicates"):
        np.testing.assert_allclose(getattr(rows, field), getattr(dense, field), **exact)


@pytest.mark.quick("iou", "auroc")
@pytest.mark.parametrize("metric", ["iou", "auroc", "spearman"])
def test_screening_finds_the_same_winners(metric):
    probe = tied(False)
    rows, screened = (
        nt.bootstrap(KEY, probe, metric, num_replicates=100, strategy=strategy)
        for strategy in ("rows", "screened")
    )
    np.testing.assert_array_equal(screened.winners, rows.winners)
    np.testing.assert_array_equal(screened.winning_similarity, rows.winning_similarity)


@pytest.mark.parametrize("rectified", [False, True])
def test_lists_are_those_that_a_cpu_makes(rectified, monkeypatch):
    probe = tied(rectified)
    ranking = nt.METRICS["auroc"].prepare_neurons(probe.neurons)
    made = row_index.active_rows(probe), row_index.ranked_rows(probe, ranking)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    expected = row_index.active_rows(probe), row_index.ranked_rows(probe, ranking)
    assert len(made[1].lists) == (2 if rectified else 1)
    for mine, theirs in zip(made, expected, strict=True):
        assert jax.tree.structure(mine) == jax.tree.structure(theirs)
        for one, other in zip(mine.lists, theirs.lists, strict=True):
            if one.ties is None:
                np.testing.assert_array_equal(one.rows, other.rows)
                continue
            # of two tied rows either may be listed first
            np.testing.assert_array_equal(np.sort(one.rows), np.sort(other.rows))
            for x, y in zip(jax.tree.leaves(one.ties), jax.tree.leaves(other.ties), strict=True):
                np.testing.assert_array_equal(x, y)
