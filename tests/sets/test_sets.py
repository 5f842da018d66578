"""Concept sets against a loop over replicates in float64, and what every set must satisfy."""

import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax._engine import LabellingMethod, candidates
from neurotrust_jax._engine.candidates import choose, has_enough_evidence, stable_scale
from neurotrust_jax.faithfulness.bounds import Level, intervals_at
from neurotrust_jax.sets import ConceptSets, SetRule, calibrated, rule
from neurotrust_jax.sets.pairs import pairs_of

KEY = jax.random.key(0)
METHOD = LabellingMethod("scores of unknown range")
SCALES = {
    "iou": lambda s: np.arcsin(np.sqrt(s)),
    "auroc": lambda s: np.log(s / (1 - s)),
    "correlation": np.arctanh,
    "mad": lambda s: s,
}


def layer(seed=0, n=400, num_neurons=3, num_concepts=6, frequency=0.3):
    """Neurons with near ties: each follows all concepts about as much."""
    rng = np.random.default_rng(seed)
    c = rng.random((n, num_concepts)) < frequency
    strength = 0.5 + 0.3 * rng.random((num_concepts, num_neurons))
    return rng.normal(size=(n, num_neurons)) + c @ strength, c.astype(float)


def student(z, units):
    """Student's t quantile over the normal one, and the variance that replicates fall short of."""
    k = max(units - 1, 1)
    ratio = 1 + (z**2 + 1) / (4 * k) + (5 * z**4 + 16 * z**2 + 3) / (96 * k**2)
    ratio += (3 * z**6 + 19 * z**4 + 17 * z**2 - 15) / (384 * k**3)
    return ratio * math.sqrt((k + 1) / k)


def naive_sets(boot, metric, alpha, target):
    """The calibrated set as the docstring of concept_sets states it, concept by concept."""
    scale = SCALES[metric]
    shown = np.asarray(boot.similarity, float)
    num_replicates, num_neurons = boot.winners.shape
    mask = np.zeros(shown.shape, bool)

    def quantile(x, level):
        return sorted(x)[math.ceil(round(level * (num_replicates + 1), 9)) - 1]

    for u in range(num_neurons):
        follow = [int(c) for c in np.asarray(boot.candidates)[u] if c >= 0]
        s = {c: scale(shown[u, c]) for c in follow}
        drawn = scale(np.asarray(boot.replicates_of(u), float))
        d = {c: drawn[k] - s[c] for k, c in enumerate(follow)}
        sigma = {(r, c): np.std(d[r] - d[c]) for r in follow for c in follow}
        units = {c: float(boot.evidence[u, c]) for c in follow}
        ample = units[follow[0]] >= 20
        strong = [r for r in follow if units[r] >= 20 or not ample]
        over = {
            c: {r: (d[r] - d[c]) / sigma[r, c] for r in strong if r != c} for c in follow
        }  # fmt: skip
        for c in follow:
            if target == "replication":
                every = [np.max(list(over[k].values()), axis=0) for k in follow]
                bar = math.sqrt(2) * quantile(np.max(every, axis=0), 1 - alpha)
            else:
                slack = quantile(np.max([-z for z in over[c].values()], axis=0), 1 - alpha / 10)
                slack *= student(slack, units[c])
                moved = [
                    z + min((s[r] - s[c]) / sigma[r, c] + slack, 0) for r, z in over[c].items()
                ]
                bar = quantile(np.max(moved, axis=0), 1 - 0.9 * alpha)
            bar = max(bar, 0)
            mask[u, c] = True
            for r in over[c]:
                square = sigma[r, c] ** 2
                square += (student(bar, units[r]) ** 2 - 1) * np.var(d[r])
                square += (student(bar, units[c]) ** 2 - 1) * np.var(d[c])
                mask[u, c] &= (s[r] - s[c]) / math.sqrt(square) <= bar
    return mask


@pytest.mark.quick("iou-best", "auroc-replication", "mad-replication")
@pytest.mark.double
@pytest.mark.parametrize("target", ["best", "replication"])
@pytest.mark.parametrize("metric", SCALES)
def test_calibrated_sets_equal_a_loop(metric, target):
    probe = nt.make_probe(*layer(), top_fraction=0.2)
    boot = nt.bootstrap(KEY, probe, metric, num_replicates=199)
    assert not np.asarray(boot.thin).any()
    found = nt.concept_sets(boot, alpha=0.2, target=target)
    expected = naive_sets(boot, metric, 0.2, target)
    np.testing.assert_array_equal(np.asarray(found.mask), expected)
    assert 3 < expected.sum() < expected.size or target == "replication"
    assert not np.asarray(found.untested).any()


@pytest.mark.slow
@pytest.mark.double
@pytest.mark.parametrize("target", ["best", "replication"])
def test_calibrated_sets_equal_a_loop_at_every_level(target):
    """Few samples, many neurons and levels: each correction decides somewhere."""
    probe = nt.make_probe(*layer(seed=4, n=90, num_neurons=60, num_concepts=5), top_fraction=0.25)
    boot = nt.bootstrap(KEY, probe, "auroc", num_replicates=149)
    assert not np.asarray(boot.thin).any()
    decided = set()
    for alpha in (0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
        found = np.asarray(nt.concept_sets(boot, alpha=alpha, target=target).mask)
        np.testing.assert_array_equal(found, naive_sets(boot, "auroc", alpha, target))
        decided.add(int(found.sum()))
    assert len(decided) > (1 if target == "replication" else 5)


@pytest.mark.parametrize(
    ("level", "num_replicates", "rank"),
    [(0.9, 9, 9), (0.9, 8, 9), (0.9, 99, 90), (0.95, 199, 190), (0.9, 100, 91), (1e-9, 5, 1)],
)
def test_the_rank_counts_the_data_as_a_replicate(level, num_replicates, rank):
    assert calibrated.replicate_rank(level, num_replicates) == rank


def settled(followed, rank):
    """Which candidates stay, and the largest of their lower bounds."""
    ranks = calibrated.Ranks(rank, 0, rank)
    return calibrated._calibrated(followed, ranks, metric=METHOD, replication=False)


def lower_bounds(followed, rank):
    return jax.vmap(lambda x: calibrated._lower_bounds(x, pairs_of(x), rank))(followed)


@pytest.mark.double
def test_undefined_replicates_rule_nothing_out():
    """A concept far behind goes; if more of its replicates than alpha say nothing, it stays."""
    rng = np.random.default_rng(0)
    shown = jnp.array([0.0, -50.0])
    drawn = shown[:, None] + jnp.asarray(rng.normal(size=(2, 19)))
    for missing, kept in ((0, [True, False]), (3, [True, True])):
        followed = calibrated.Followed(
            drawn.at[1, :missing].set(jnp.nan)[None], shown[None], jnp.full((1, 2), 90.0),
            jnp.ones((1, 2), bool),
        )  # fmt: skip
        found, _ = settled(followed, 17)
        assert found[0].tolist() == kept


@pytest.mark.slow
@pytest.mark.double
def test_a_concept_as_good_as_the_label_is_never_ruled_out():
    f, c = layer(seed=5)
    probe = nt.make_probe(f, np.concatenate([c, c], axis=1), top_fraction=0.2)
    found = np.asarray(nt.concept_sets(nt.bootstrap(KEY, probe, num_replicates=99), alpha=0.5).mask)
    assert (found[:, :6] == found[:, 6:]).all()
    assert not found.all()
    # no other is near, so that the bar is 0, and the twin's lead is no more than that
    f = 3.0 * c[:, :1] + np.random.default_rng(0).normal(size=(400, 1))
    probe = nt.make_probe(f, c[:, [0, 1, 0]], top_fraction=0.2)
    found = nt.concept_sets(nt.bootstrap(KEY, probe, num_replicates=99), alpha=0.5).mask
    assert np.asarray(found).tolist() == [[True, False, True]]


@pytest.mark.double
def test_untested_concepts_meet_bounds_at_three_quarters_of_alpha(monkeypatch):
    f, c = layer(seed=6)
    c[:, 5] = np.arange(400) < 3
    boot = nt.bootstrap(KEY, nt.make_probe(f, c, top_fraction=0.2), num_replicates=99)
    assert np.asarray(boot.thin)[:, 5].any()
    levels = []

    def bounds(probe, metric, given, *options, scores):
        levels.extend(given)
        assert options == ("dkw", None, 7.0)
        np.testing.assert_array_equal(scores, boot.similarity)
        return intervals_at(probe, metric, given, *options, scores=scores)

    monkeypatch.setattr(rule, "intervals_at", bounds)
    nt.concept_sets(boot, alpha=0.2, interval_method="dkw", largest_unit=7.0)
    assert [(x.simultaneous, x.bound) for x in levels] == [("concepts", "lower"), ("none", "upper")]
    np.testing.assert_allclose([x.alpha for x in levels], [0.05, 0.15])


@pytest.mark.slow
def test_a_label_at_the_top_of_the_range_is_judged_by_bounds():
    """Replicates of an AUROC of 1 do not vary; the set is the certificate's, and all is tested."""
    rng = np.random.default_rng(0)
    c = rng.random((2000, 4)) < [0.4, 0.3, 0.3, 0.3]
    c[:, 1] = c[:, 0] & (rng.random(2000) < 0.97)
    f = c[:, :1] + 0.1 * rng.random((2000, 1))
    probe = nt.make_probe(f, c)
    boot = nt.bootstrap(KEY, probe, "auroc", num_replicates=99)
    assert boot.similarity[0, 0] == 1
    assert bool(boot.thin[0, 0])
    found = nt.concept_sets(boot)
    proof = nt.certify(probe, "auroc", alpha=0.1)
    np.testing.assert_array_equal(found.mask, proof.mask)
    assert np.asarray(found.mask).tolist() == [[True, True, False, False]]
    assert not np.asarray(found.untested).any()
    # the others, of which replicates tell, are compared with the label too
    boot = nt.bootstrap(KEY, nt.make_probe(f, c[:, [0, 2, 3]]), "auroc", num_replicates=99)
    assert np.asarray(nt.concept_sets(boot).mask).tolist() == [[True, False, False]]
    # few hits, on the other hand, are too little evidence, and said to be
    few = np.zeros((2000, 2), bool)
    few[[3, 33], 0] = few[300:302, 1] = True
    probe = nt.make_probe(np.arange(2000)[:, None] == 33, few, thresholds=0.5)
    boot = nt.bootstrap(KEY, probe, num_replicates=99)
    found = nt.concept_sets(boot)
    assert bool(boot.thin[0, 0])
    assert np.asarray(found.untested).all()


@pytest.mark.double
def test_rivals_seen_a_few_times_rule_nothing_out():
    """A rival on few units leads by far, but by luck; were it a rival, the others would go."""
    rng = np.random.default_rng(0)
    shown = jnp.array([0.0, 9.0, -0.5])
    drawn = shown[:, None] + jnp.asarray(rng.normal(size=(3, 99)))
    present = jnp.ones((1, 3), bool)
    for lead, few, kept in (
        (90.0, 19.0, [True, True, True]), (90.0, 21.0, [False, True, False]),
        (19.0, 19.0, [False, True, False]),
    ):  # fmt: skip
        units = jnp.array([[lead, few, 90.0]])
        followed = calibrated.Followed(drawn[None], shown[None], units, present)
        found, _ = settled(followed, 90)
        assert found[0].tolist() == kept
        limits = lower_bounds(followed, 90)[0]
        assert np.isfinite(limits).tolist() == [True, few > 20 or lead < 20, True]


def test_concepts_beyond_the_candidates_are_members_on_ample_evidence(monkeypatch):
    """A test looked at the first ones only; the others are not on too little evidence."""
    f, c = layer(n=1500, num_neurons=2, num_concepts=20)
    probe = nt.make_probe(f, c, top_fraction=0.2)
    whole = nt.bootstrap(KEY, probe, "iou", num_replicates=99)
    assert (np.asarray(whole.candidates) >= 0).sum(axis=1).min() > 4
    monkeypatch.setattr(candidates, "MAX_CANDIDATES", 4)
    boot = nt.bootstrap(KEY, probe, "iou", num_replicates=99)
    assert boot.candidates.shape[1] == 4
    found = nt.concept_sets(boot)
    assert not np.asarray(found.untested).any()
    beyond = ~np.asarray(boot.excluded)
    np.put_along_axis(beyond, np.asarray(boot.candidates), False, axis=1)
    assert beyond.any()
    assert np.asarray(found.mask)[beyond].all()


@pytest.mark.slow
def test_sets_say_what_they_promise():
    f, c = layer()
    fixed = nt.make_probe(f, c, thresholds=0.5)
    own = nt.make_probe(f, c, top_fraction=0.2, groups=np.arange(400) // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nt.faithfulness.CoverageWarning)
        for probe, metric, said in (
            (fixed, "iou", "of many samples"),
            (own, "auroc", "of many groups"),
            (own, "iou", "thresholds (top_fraction=0.2) are taken as fixed beforehand, but they"),
        ):
            boot = nt.bootstrap(KEY, probe, metric, num_replicates=20)
            text = nt.concept_sets(boot, alpha=0.2).guarantee
            assert text.startswith("sets of each neuron alone hold the population's most similar")
            assert said in text
            assert ("same data" in text) == (probe is own and metric == "iou")
        assert "fresh" in nt.concept_sets(boot, alpha=0.2, target="replication").guarantee
        assert "no coverage" in nt.concept_sets(boot, alpha=0.2, method="vote").guarantee
        sure = nt.concept_sets(boot, alpha=0.2, method="certified").guarantee
        assert sure == nt.certify(own, "iou", alpha=0.2).guarantee


@pytest.mark.double
@pytest.mark.parametrize("few", [12.0, 1e9])
def test_lower_limits_hold_at_once(few):
    """The limits with which untested concepts are compared, against a loop."""
    rng = np.random.default_rng(1)
    shown, spread = np.array([0.5, 0.1, -0.3]), np.array([[1.0], [0.3], [2.0]])
    drawn = shown[:, None] + spread * rng.normal(size=(3, 59))
    units = np.full(3, few)
    present = np.array([True, True, False])
    arrays = (jnp.asarray(x)[None] for x in (drawn, shown, units, present))
    followed = calibrated.Followed(*arrays)
    found = np.asarray(lower_bounds(followed, 54))[0]
    deviation = drawn - shown[:, None]
    error = deviation.std(axis=1)
    q = np.sort((deviation / error[:, None])[:2].max(axis=0))[53]
    np.testing.assert_allclose(found[:2], (shown - q * student(q, few) * error)[:2], rtol=1e-10)
    np.testing.assert_array_equal(settled(followed, 54)[1], found.max())


def test_candidates_are_followed_and_the_others_are_far_behind():
    rng = np.random.default_rng(1)
    c = rng.random((2000, 12)) < 0.2
    f = c[:, :2] @ np.array([[3.0, 0.0], [2.9, 3.0]]) + rng.normal(size=(2000, 2))
    probe = nt.make_probe(f, c, top_fraction=0.2)
    boot = nt.bootstrap(KEY, probe, "iou", num_replicates=50)
    every = np.stack([
        np.asarray(nt.similarity(nt.make_probe(f, c, thresholds=probe.thresholds,
                                               sample_weight=np.maximum(w, 1e-9)), "iou"))
        for w in np.asarray(nt.resampling.bootstrap_weights(KEY, probe, num_replicates=50))
    ])  # fmt: skip
    for u in range(2):
        kept = [k for k in np.asarray(boot.candidates)[u] if k >= 0]
        assert not np.asarray(boot.excluded)[u, kept].any()
        assert set(kept) | set(np.flatnonzero(np.asarray(boot.excluded)[u])) == set(range(12))
        assert kept[0] == int(boot.label[u])
        for k, concept in enumerate(kept):
            np.testing.assert_allclose(
                np.asarray(boot.replicates_of(u))[k], every[:, u, concept], rtol=1e-4
            )
    assert boot.candidates.shape[1] < 12
    # nobody who was left out came near the leader
    trailing = np.asarray(boot.excluded)
    assert (every.max(axis=2)[:, :, None] > every)[:, trailing].all()


@pytest.mark.slow
def test_what_trails_by_less_than_six_errors_is_followed():
    """Errors of 0.1 and 0.1 add up to 0.2: a lead of 1.1 is near, one of 1.3 is far."""
    shown = np.array([[2.0, 0.9, 0.7]])
    pairs = np.zeros(3, int), np.arange(3)
    found = choose(METHOD, shown, np.ones((1, 3), bool), pairs, np.full(3, 0.1), 99)
    assert found.concept.tolist() == [[0, 1]]
    assert found.excluded.tolist() == [[False, False, True]]


def test_similarities_at_the_ends_of_the_range_tell_nothing():
    shown, much = np.array([[0.0, 0.5, 1.0]], np.float32), np.full((1, 3), 99.0)
    assert has_enough_evidence(nt.METRICS["iou"], shown, much).tolist() == [[False, True, False]]
    assert has_enough_evidence(nt.METRICS["correlation"], shown, much).tolist() == [
        [True, True, False]
    ]
    rounded = np.nextafter(shown, np.float32(0.5))
    assert has_enough_evidence(nt.METRICS["iou"], rounded, much).tolist() == [[False, True, False]]
    a_millionth_off = np.array([[1e-6, 1 - 1e-6, 0.5]], np.float32)
    assert has_enough_evidence(nt.METRICS["iou"], a_millionth_off, much).all()
    assert has_enough_evidence(METHOD, shown, much - 96).all()  # three units are enough
    assert not has_enough_evidence(METHOD, shown, much - 96.1).any()


@pytest.mark.slow
def test_sets_grow_with_confidence_and_hold_the_label():
    probe = nt.make_probe(*layer(seed=2, num_neurons=5), top_fraction=0.2)
    boot = nt.bootstrap(KEY, probe, "auroc", num_replicates=999)
    before = np.zeros((5, 6), bool)
    for alpha in (0.5, 0.2, 0.1, 0.05):
        best = np.asarray(nt.concept_sets(boot, alpha=alpha).mask)
        fresh = np.asarray(nt.concept_sets(boot, alpha=alpha, target="replication").mask)
        sure = np.asarray(nt.concept_sets(boot, alpha=alpha, method="certified").mask)
        assert best[np.arange(5), np.asarray(boot.label)].all()
        assert (before <= best).all()
        assert (best <= fresh).all()
        assert (best <= sure).all()
        before = best


@pytest.mark.slow
def test_too_little_evidence_is_said_and_stays_in_the_set():
    rng = np.random.default_rng(3)
    c = rng.random((500, 4)) < [[0.5, 0.5, 0.5, 0.0]]
    c[:3, 3] = [True, True, False]
    f = c[:, :1] * 4.0 + rng.normal(size=(500, 1))
    f[:2, 0] = -9  # the rare concept scores 0 on the first neuron
    seldom = rng.random((500, 1)) < 0.06
    seldom[:2] = False  # and on the second, which is seldom active
    probe = nt.make_probe(np.concatenate([f, 4.0 * seldom], axis=1), c, thresholds=2.0)
    boot = nt.bootstrap(KEY, probe, "iou", num_replicates=200)
    assert np.asarray(boot.thin)[:, 3].tolist() == [True, True]
    assert not np.asarray(boot.thin)[np.arange(2), np.asarray(boot.label)].any()
    found = nt.concept_sets(boot)
    assert np.asarray(found.mask)[0].tolist() == [True, False, False, False]
    # bounds alone speak on the rare one: its own for every sample size, the others' simultaneous
    (high,) = intervals_at(probe, "iou", [Level(0.075, "none", "upper")], "auto", None, None)
    upper = stable_scale(boot.definition, high.upper)
    for u in range(2):
        followed = [int(c) for c in boot.candidates[u] if c >= 0]
        seen = np.asarray(stable_scale(boot.definition, boot.similarity[u]), float)
        drawn = np.asarray(stable_scale(boot.definition, boot.replicates_of(u)), float)
        spread = {c: drawn[k].std() for k, c in enumerate(followed)}
        units = np.asarray(boot.evidence[u], float)
        strong = {
            c: drawn[k] for k, c in enumerate(followed)
            if units[c] >= 20 or units[followed[0]] < 20
        }  # fmt: skip
        most = np.max([(x - seen[c]) / spread[c] for c, x in strong.items()], axis=0)
        q = np.sort(most)[math.ceil(0.975 * 201) - 1]
        floor = max(seen[c] - q * student(q, units[c]) * spread[c] for c in strong)
        assert bool(found.untested[u, 3]) == (upper[u, 3] >= floor)
    assert np.asarray(found.untested)[:, 3].tolist() == [False, True]
    fresh = nt.concept_sets(boot, target="replication")
    assert np.asarray(fresh.untested)[:, 3].all()


def test_too_few_replicates_give_full_sets_and_say_so():
    boot = nt.bootstrap(KEY, nt.make_probe(*layer(), top_fraction=0.2), num_replicates=8)
    with pytest.warns(nt.faithfulness.CoverageWarning, match="use at least 9"):
        found = nt.concept_sets(boot, alpha=0.1)
    assert np.asarray(found.mask).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nt.concept_sets(boot, alpha=0.2)


@pytest.mark.slow
def test_black_boxes_have_calibrated_sets_and_no_certificates():
    probe = nt.make_probe(*layer(), top_fraction=0.2)

    def scores(p):
        return nt.similarity(p, "mad")

    ours = nt.bootstrap(KEY, probe, "mad", num_replicates=60)
    boxed = nt.bootstrap_black_box(KEY, scores, probe, num_replicates=60)
    np.testing.assert_allclose(boxed.vote_share, ours.vote_share)
    np.testing.assert_array_equal(nt.concept_sets(boxed).mask, nt.concept_sets(ours).mask)
    with pytest.raises(ValueError, match="no intervals for the scores of scores"):
        nt.concept_sets(boxed, method="certified")
    with pytest.raises(ValueError, match=r"use method=.calibrated. with target=.replication."):
        nt.concept_sets(ours, method="certified", target="replication")


@pytest.mark.both_precisions
def test_scales_keep_the_order(precision):
    for name, scale in SCALES.items():
        metric = nt.METRICS[name]
        s = jnp.linspace(max(metric.range[0], -3.0) + 0.01, min(metric.range[1], 3.0) - 0.01, 50)
        np.testing.assert_allclose(
            stable_scale(metric, s), scale(np.asarray(s, float)), rtol=1e-4, atol=1e-5
        )
        assert (np.diff(np.asarray(stable_scale(metric, s))) > 0).all()
        ends = stable_scale(metric, jnp.asarray([max(metric.range[0], -3.0), jnp.nan]))
        assert np.isfinite(ends[0])
        assert np.isnan(ends[1])


def test_the_arcsine_of_a_root_is_exact_to_the_last_places():
    s = np.r_[0, np.geomspace(1e-12, 1, 999), np.linspace(0, 1, 999)].astype(np.float32)
    found = np.asarray(stable_scale(nt.METRICS["iou"], jnp.asarray(s)), float)
    expected = np.arcsin(np.sqrt(s.astype(float)))
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(np.float32).eps)


def test_order_statistics_are_those_of_a_sort():
    x = np.random.default_rng(0).normal(size=30).tolist()
    x = jnp.asarray([*x, -np.inf, np.inf, 0.0, -0.0, -3, -3], float)
    order_statistic = jax.jit(calibrated.order_statistic)
    found = [float(order_statistic(x, rank)) for rank in range(1, len(x) + 1)]
    np.testing.assert_array_equal(found, np.sort(x))


def leaders(inputs):
    """The three most similar concepts of each neuron."""
    similarity = inputs.boot.similarity
    mask = similarity >= jnp.sort(similarity, axis=1)[:, -3][:, None]
    promise = "three concepts"
    return ConceptSets(mask, ~mask & mask, inputs.alpha, "leaders", inputs.target, promise)


def test_a_rule_from_outside_is_one_object():
    probe = nt.make_probe(*layer(), top_fraction=0.2)
    boot = nt.bootstrap(KEY, probe, "mad", num_replicates=9)
    own = SetRule("leaders", ("replication",), "none", ("metric",), leaders)
    found = nt.concept_sets(boot, alpha=0.2, method=own, target="replication")
    assert (found.method, found.alpha) == ("leaders", 0.2)
    np.testing.assert_array_equal(
        found.mask, np.asarray(boot.similarity).argsort().argsort() >= probe.num_concepts - 3
    )
    with pytest.raises(ValueError, match="'leaders' makes sets with target 'replication', got"):
        nt.concept_sets(boot, method=own)
    boxed = nt.bootstrap_black_box(KEY, lambda p: nt.similarity(p), probe, num_replicates=9)
    with pytest.raises(ValueError, match="'leaders' needs a metric"):
        nt.concept_sets(boxed, method=own, target="replication")
    with pytest.raises(ValueError, match="unknown method 'leaders'; known: calibrated, certified"):
        nt.concept_sets(boot, method="leaders")
