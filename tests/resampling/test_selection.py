"""The winner's curse: against loops, and against the truth of planted neurons."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax._engine import counts
from neurotrust_jax.datasets import planted, planted_similarity
from neurotrust_jax.resampling import part_scores

KEY = jax.random.key(0)


@pytest.mark.quick("counts-groups", "scores-samples")
@pytest.mark.double
@pytest.mark.parametrize("groups", [None, np.arange(120) // 3], ids=["samples", "groups"])
@pytest.mark.parametrize("counted", [True, False], ids=["counts", "scores"])
def test_equals_a_loop_over_replicates_and_halves(groups, counted, monkeypatch):
    if not counted:
        monkeypatch.setattr(part_scores, "countable", lambda *x: False)
    rng = np.random.default_rng(0)
    f = np.append(rng.normal(size=(120, 2)), np.zeros((120, 1)), axis=1)
    c = (rng.random((120, 5)) < 0.4).astype(float)
    f[:, 1] += 1
    # the second is active on most samples
    probe = nt.make_probe(f, c, thresholds=[0.5, 0.3, 0.5], groups=groups)
    boot = nt.bootstrap(KEY, probe, num_replicates=40)
    found = nt.winners_curse(KEY, boot, num_splits=6)
    halves = (
        np.asarray(
            nt.resampling.bootstrap_weights(KEY, probe, num_replicates=6, scheme="subsample")
        )
        > 0
    )
    present = np.asarray(probe.neurons.present)

    def sums(u, j, w):
        return np.array([w @ (present[:, u] * c[:, j]), w @ np.maximum(present[:, u], c[:, j])])

    def iou(u, j, w):
        both, either = sums(u, j, w)
        return both / either

    every = np.asarray(boot.similarity)
    for u in range(2):
        chosen = []
        for h in np.asarray(halves, float):
            for one, other in ((h, 1 - h), (1 - h, h)):
                label = max(range(5), key=lambda j, u=u, w=one: iou(u, j, w))
                chosen.append((label, sums(u, label, other)))
        pooled = {x: sum(s for y, s in chosen if y == x) for x, _ in chosen}
        split = [pooled[x][0] / pooled[x][1] for x, _ in chosen]
        assert len(pooled) > 1
        optimism = [
            float(boot.winning_similarity[b, u]) - every[u, int(boot.winners[b, u])]
            for b in range(40)
        ]
        for ours, expected in (
            (found.naive, every[u].max()), (found.split, np.mean(split)),
            (found.corrected, every[u].max() - np.mean(optimism)),
        ):  # fmt: skip
            assert float(ours[u]) == pytest.approx(expected, rel=1e-10)
    # a dead neuron has no label, and so none of the three
    assert np.isnan([found.naive[2], found.corrected[2], found.split[2]]).all()


def test_what_can_not_be_counted_is_scored():
    """A metric of one's own without a formula of sums; unequal weights, which change the answer."""
    rng = np.random.default_rng(1)
    f, c, w = rng.normal(size=(90, 3)), rng.random((90, 4)) < 0.4, rng.integers(1, 4, 90)
    plain = nt.make_probe(f, c, thresholds=0.5)
    weighted = nt.make_probe(f, c, thresholds=0.5, sample_weight=w)
    iou = nt.METRICS["iou"]
    own = replace(iou, name="own", finalise=None)
    assert counts.countable(plain, iou)
    assert not counts.countable(plain, own)
    assert not counts.countable(weighted, iou)
    counted, scored, other = (
        nt.winners_curse(KEY, nt.bootstrap(KEY, probe, metric, num_replicates=5)).split
        for probe, metric in ((plain, iou), (plain, own), (weighted, iou))
    )
    # its values are averaged, where the sums of others are
    np.testing.assert_allclose(scored, counted, rtol=0.02)
    assert not np.allclose(other, counted, rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "route"),
    [("precision", "counts"), ("iou", "scores"), ("precision", "sparse"), ("iou", "groups")],
)
def test_halves_without_the_concept_count(metric, route, monkeypatch):
    """Concepts on one or two of 300 samples, none better than another: the truth is known.

    Halves that have the concept of their label alone would say half as much again.
    """
    if route == "scores":
        monkeypatch.setattr(part_scores, "countable", lambda *x: False)
    rng = np.random.default_rng(0)
    rate, active, n, copies = 0.005, 0.1, 300, 3 if route == "groups" else 1
    truth = rate if metric == "precision" else rate * active / (rate + active - rate * active)
    found = []
    for seed in range(40):
        f = np.where(rng.random((n, 40)) < active, 1.0, 0.0)
        c = rng.random((n, 100)) < rate
        rows = np.repeat(np.arange(n), copies)
        probe = nt.make_probe(
            scipy.sparse.csc_array(f) if route == "sparse" else f[rows], c[rows],
            thresholds=0.5, groups=rows if copies > 1 else None,
        )  # fmt: skip
        boot = nt.bootstrap(KEY, probe, metric, num_replicates=1)
        split = np.asarray(nt.winners_curse(jax.random.key(seed), boot, num_splits=20).split)
        found.append(split.mean())
    # concepts, which neurons share, vary from one data set to the next
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert 4 * error < 0.4 * truth
    assert abs(np.mean(found) - truth) < 4 * error


def test_a_half_that_lacks_the_concept_is_no_hit_for_its_label():
    """One concept, on one unit only: no half that judges it has a hit."""
    f = np.zeros((40, 1))
    f[:8] = 1
    c = np.zeros((40, 1))
    c[0] = 1
    probe = nt.make_probe(f, c, thresholds=0.5)
    for metric, truth in (("precision", 0), ("recall", np.nan)):
        boot = nt.bootstrap(KEY, probe, metric, num_replicates=1)
        split = nt.winners_curse(KEY, boot, num_splits=8).split
        np.testing.assert_array_equal(split, [truth])


@pytest.mark.slow
def test_the_naive_similarity_is_too_high_and_the_others_less_so():
    """Twelve tied concepts: every label is as true as any other, so its similarity is known."""
    gaps = []
    for seed in range(60):
        p = planted(
            jax.random.key(seed), 400, num_neurons=4, num_concepts=12, frequency=0.2,
            effect=np.full((4, 12), 0.05),
        )  # fmt: skip
        probe = nt.make_probe(p.activations, p.concepts, thresholds=0.0)
        boot = nt.bootstrap(jax.random.key(seed), probe, num_replicates=100, chunk_size=100)
        found = nt.winners_curse(jax.random.key(seed), boot, num_splits=10)
        truth = float(planted_similarity(p, "iou")[0, 0])
        gaps.append([float((x - truth).mean())
                     for x in (found.naive, found.corrected, found.split)])  # fmt: skip
    bias = np.mean(gaps, axis=0)
    error = 4 * np.std(gaps, axis=0) / np.sqrt(len(gaps))
    naive, corrected, split = bias
    assert naive > error[0]
    assert abs(corrected) < naive / 2
    # the similarity of an independent half, up to the O(1/n) bias of a ratio
    assert abs(split) < error[2] + 0.002


def test_bad_input_is_named():
    rng = np.random.default_rng(0)
    probe = nt.make_probe(rng.normal(size=(50, 2)), rng.random((50, 3)) < 0.5)
    boot = nt.bootstrap(KEY, probe, num_replicates=5)
    with pytest.raises(ValueError, match="num_splits must be a whole number of at least 1, got 0"):
        nt.winners_curse(KEY, boot, num_splits=0)

    def boxed(p):
        return nt.similarity(p)

    with pytest.raises(ValueError, match="boxed is a labelling method"):
        nt.winners_curse(KEY, nt.bootstrap_black_box(KEY, boxed, probe, num_replicates=5))
