"""The bootstrap by weights against a loop that gathers rows, its schemes, sets and stability."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.stats
from builders import assert_close, awkward_probe, few_ties, tied_data

import neurotrust_jax as nt
from neurotrust_jax._engine import (
    candidates,
    compute,
    draws,
    room,
    row_index,
    rows,
    run_rows,
    screening,
    strategies,
)
from neurotrust_jax._numerics import moments, packing, sums
from neurotrust_jax.metrics.scores import prepare
from neurotrust_jax.schemes import SCHEMES

KEY = jax.random.key(0)
SLOW = pytest.mark.slow  # variants that differ little from the others


@pytest.mark.quick("iou", "auroc")
@pytest.mark.optimised
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("metric", ["iou", "auroc", "auprc", "correlation", "soft_wpmi"])
def test_replicates_equal_a_loop_that_gathers_rows(metric, grouped, precision):
    """The rows that the weights stand for, gathered, and scored as a probe of their own."""
    f, c = tied_data(seed=1)
    groups = np.arange(len(f)) // 4 if grouped else None
    probe = nt.make_probe(f, c, top_fraction=0.2, groups=groups)
    boot = nt.bootstrap(KEY, probe, metric, num_replicates=12)
    drawn = np.asarray(nt.resampling.bootstrap_weights(KEY, probe, num_replicates=12)).astype(int)
    assert (drawn.sum(axis=1) == len(f)).all()
    for b in range(12):
        scores = np.asarray(
            nt.similarity(probe.take(np.repeat(np.arange(len(f)), drawn[b])), metric)
        )
        winners = np.asarray(boot.winners)[b]
        best = np.nanmax(scores, axis=1)
        assert_close(boot.winning_similarity[b], best, metric, precision)
        neuron = np.arange(len(winners))
        assert_close(scores[neuron, winners], best, metric, precision)
        labelled = scores[neuron, np.asarray(boot.label)]
        assert_close(boot.label_similarity[b], labelled, metric, precision)


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        ("iou", {}),
        pytest.param("balanced_accuracy", {}, marks=SLOW),
        pytest.param("precision", {}, marks=SLOW),
        pytest.param("recall", {"scheme": "poisson"}, marks=SLOW),
        pytest.param("accuracy", {"scheme": "subsample"}, marks=SLOW),
        pytest.param("f1", {"groups": 4}, marks=SLOW),
        pytest.param("simulation_auroc", {}, marks=SLOW),
        ("auroc", {"groups": 4}),
        pytest.param("auroc", {"scheme": "bayesian"}, marks=SLOW),
        pytest.param("spearman", {"scheme": "subsample"}, marks=SLOW),
    ],
)
def test_rows_give_the_replicates_of_the_dense_product(metric, options):
    probe = awkward_probe(options.pop("groups", None))
    dense, rows = (
        nt.bootstrap(KEY, probe, metric, num_replicates=80, strategy=strategy, **options)
        for strategy in ("dense", "rows")
    )
    np.testing.assert_array_equal(rows.candidates, dense.candidates)
    # sums of binary sides are the same whole numbers, of ranks they are rounded
    binary = nt.METRICS[metric].neuron_view == nt.METRICS[metric].concept_view == "binary"
    # a concept and its copy tie: of equal scores the first wins, of rounded ones either may
    copy = probe.num_concepts - 1
    won = [np.asarray(x.winners) for x in (rows, dense)]
    if not binary:
        won = [np.where(x == copy, 0, x) for x in won]
    np.testing.assert_array_equal(*won)
    assert not (won[0] == copy).any()
    for field in ("winning_similarity", "label_similarity", "replicates"):
        ours, theirs = np.asarray(getattr(rows, field)), np.asarray(getattr(dense, field))
        np.testing.assert_allclose(
            ours, theirs, rtol=2e-7 if binary else 3e-6, atol=1e-7 if binary else 5e-7
        )
    assert (np.asarray(rows.winners)[:, -3:-1] == -1).all()


@pytest.mark.quick("spearman-bayesian")
@pytest.mark.parametrize(
    ("metric", "rectified", "scheme", "in_steps"),
    [
        ("auroc", True, "multinomial", True), ("spearman", False, "multinomial", True),
        ("spearman", False, "bayesian", False), ("auroc", False, "bayesian", True),
    ],
)  # fmt: skip
def test_few_ties_of_a_long_list_are_shared(metric, rectified, scheme, in_steps, monkeypatch):
    if in_steps:
        monkeypatch.setattr(row_index, "LEAST", 1)
        monkeypatch.setattr(row_index, "WORTH_IT", 9.0)
    f, c = few_ties(400, 3, 5)
    if rectified:
        f = np.maximum(f, np.sort(f, axis=0)[150])
    probe = nt.make_probe(f, c)
    dense, rows = (
        nt.bootstrap(KEY, probe, metric, num_replicates=50, scheme=scheme, strategy=strategy)
        for strategy in ("dense", "rows")
    )
    np.testing.assert_array_equal(rows.winners, dense.winners)
    np.testing.assert_allclose(rows.replicates, dense.replicates, rtol=3e-6, atol=1e-6)


def test_a_large_group_drawn_often_is_counted_in_full():
    """Its samples may outnumber the probing set several times over, and 16 bits."""
    rng = np.random.default_rng(9)
    groups = np.minimum(np.arange(30_000), 5)
    c = rng.random((30_000, 2)) < 0.3
    probe = nt.make_probe(rng.normal(size=(30_000, 1)) + c[:, :1], c, groups=groups)
    dense, rows = (
        nt.bootstrap(KEY, probe, "auroc", num_replicates=60, strategy=strategy)
        for strategy in ("dense", "rows")
    )
    drawn = nt.resampling.bootstrap_weights(KEY, probe, num_replicates=60)
    assert float(drawn.sum(axis=1).max()) > 2**16
    np.testing.assert_allclose(
        rows.winning_similarity, dense.winning_similarity, rtol=1e-5, atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "scheme"),
    [(m, "multinomial") for m in ("iou", "f1", "accuracy", "precision", "recall", "auroc")]
    + [("balanced_accuracy", "poisson"), ("iou", "subsample"), ("spearman", "multinomial")],
)
def test_screening_leaves_out_none_that_wins(metric, scheme):
    rng = np.random.default_rng(3)
    c = rng.random((3000, 30)) < np.linspace(0.05, 0.3, 30)
    effect = np.array([0.0, 1.0, 2.0, 4.0, 6.0])
    f = rng.normal(size=(3000, 5)) + c[:, -5:] * effect
    probe = nt.make_probe(f, c, top_fraction=0.1)
    dense, screened = (
        nt.bootstrap(KEY, probe, metric, num_replicates=100, scheme=scheme, strategy=strategy)
        for strategy in ("dense", "screened")
    )
    np.testing.assert_array_equal(screened.winners, dense.winners)
    np.testing.assert_array_equal(screened.candidates, dense.candidates)
    # correlations near 0 are rounded as their sums are
    tolerance = 2e-6 if metric == "spearman" else 0
    np.testing.assert_allclose(screened.replicates, dense.replicates, rtol=3e-6, atol=tolerance)
    rule = nt.METRICS[metric]
    shown = nt.similarity(probe, rule.ordering_statistic)
    ends = screening.replicate_range(probe, rule, SCHEMES[scheme], 100, shown)
    told = np.ones((5, 30), bool)
    kept = candidates.possible_winners(told, ends, np.asarray(dense.similarity))
    assert kept.sum() < 0.8 * kept.size  # or nothing would be tested here
    won = np.asarray(dense.vote_share) > 0
    assert kept[won].all()


@pytest.mark.quick("iou")
@pytest.mark.parametrize("metric", ["iou", "recall", "auroc", "spearman"])
def test_a_wrong_guess_of_what_is_needed_is_made_up_for(metric, monkeypatch):
    """Only the label is taken at first; without making up for the others it wins always.

    Whether all pairs fit into memory at once or they are taken in parts.
    """
    rng = np.random.default_rng(3)
    c = rng.random((3000, 30)) < np.linspace(0.05, 0.3, 30)
    f = rng.normal(size=(3000, 6)) + c[:, -6:] * np.array([0.0, 0.0, 0.1, 0.2, 0.4, 4.0])
    if nt.METRICS[metric].neuron_view == "binary":  # sums of counts tie exactly
        c = np.concatenate([c, c[:, -1:]], axis=1)
    probe = nt.make_probe(f, c, top_fraction=0.1)
    monkeypatch.setattr(candidates, "FAR_BEHIND", -9.0)
    monkeypatch.setattr(candidates, "REACH", -1e3)

    def run(strategy):
        return nt.bootstrap(KEY, probe, metric, num_replicates=100, strategy=strategy)

    dense, whole = run("dense"), run("screened")
    room_for = compute.room_for
    monkeypatch.setattr(
        compute, "room_for", lambda *args: room_for(*args)._replace(pairs=64, replicates=32)
    )
    in_parts = run("screened")
    monkeypatch.setattr(run_rows, "ROUNDING", -9.0)  # the control: nothing reaches what won
    label_alone = run("screened")
    for screened in (whole, in_parts):
        np.testing.assert_array_equal(screened.winners, dense.winners)
        np.testing.assert_allclose(
            screened.winning_similarity, dense.winning_similarity, rtol=3e-6, atol=1e-6
        )
    won, label = np.asarray(dense.winners), np.asarray(dense.label)
    assert (won != label).any(axis=0).sum() >= 4
    assert (np.asarray(label_alone.winners) == label).all()


@pytest.mark.parametrize("rectified", [False, True])
def test_the_floor_of_spearman_is_what_orders_concepts(rectified):
    """The least that the best concept's (2 A - 1) sqrt(p (1 - p)) is in any replicate."""
    rng = np.random.default_rng(6)
    c = rng.random((500, 4)) < 0.3
    f = rng.normal(size=(500, 3)) + c[:, :3]
    probe = nt.make_probe(np.maximum(f, 0.5) if rectified else f, c, top_fraction=0.1)
    rule = nt.METRICS["spearman"]
    layer = row_index.ranked_rows(probe, rule.prepare_neurons(probe.neurons))
    (part,) = packing.pack_pairs(packing.pairs_where(np.ones((3, 4), bool)), 3, 10**6)
    drawn = draws.draw_chunk(
        KEY, jnp.arange(40), layer, probe.weights, None,
        scheme=SCHEMES["multinomial"], num_units=500, counts=True,
    )  # fmt: skip
    *_, floor = rows.rows_replicates(drawn, layer, part.blocks, part.place, metric=rule)
    area = nt.METRICS["auroc"]
    prepared = prepare(probe, area)
    weights = nt.resampling.bootstrap_weights(KEY, probe, num_replicates=40)
    areas = np.asarray(jax.lax.map(lambda w: area.score(prepared, w), weights))
    share = np.asarray(weights, float) @ c / 500
    lead = (2 * areas - 1) * np.sqrt(share * (1 - share))[:, None, :]
    np.testing.assert_allclose(floor[:, 0], lead.max(axis=2).min(axis=0), rtol=1e-5)


@pytest.mark.quick("iou", "auroc")
@pytest.mark.parametrize("metric", ["iou", "auroc", "balanced_accuracy", "spearman"])
def test_replicates_stay_within_their_range(metric, monkeypatch):
    """At a failure of 1/2 for all, B U C replicates leave it no more than half of the time.

    Ten runs with at most one that fails in expectation 5: more than 9 has probability 0.001. The
    range at a hundredth of its logarithm is left nearly every time. Of Spearman's correlation it is
    the range of what orders it.
    """
    rng = np.random.default_rng(4)
    c = rng.random((400, 6)) < 0.3
    probe = nt.make_probe(rng.normal(size=(400, 3)) + c[:, :3], c, top_fraction=0.2)
    monkeypatch.setattr(screening, "FAILURE", 0.5)
    rule = nt.METRICS[metric]
    by = rule.ordering_statistic
    shown = nt.similarity(probe, by)
    ends = screening.replicate_range(probe, rule, SCHEMES["multinomial"], 50, shown)
    lower, upper = map(np.asarray, ends)
    assert (lower > -np.inf).all()
    monkeypatch.setattr(screening, "FAILURE", 4.0 * 6 * 3 * 50)  # the control: each end at 1/2
    ends = screening.replicate_range(probe, rule, SCHEMES["multinomial"], 50, shown)
    low, high = map(np.asarray, ends)
    outside, outside_control = [], []
    prepared = prepare(probe, by)
    for seed in range(10):
        drawn = nt.resampling.bootstrap_weights(jax.random.key(seed), probe, num_replicates=50)
        every = np.asarray(jax.lax.map(lambda w: by.score(prepared, w), drawn))
        if metric == "spearman":
            share = np.asarray(drawn, float) @ c / 400
            every = (2 * every - 1) * np.sqrt(share * (1 - share))[:, None, :]
        outside.append(((every < lower) | (every > upper)).any())
        outside_control.append(((every < low) | (every > high)).any())
    assert sum(outside) <= 9
    assert sum(outside_control) == 10


@pytest.mark.optimised
def test_spread_is_the_standard_deviation_of_what_is_defined():
    values = np.random.default_rng(13).normal(3, 1, (20, 4))
    values[:5, 1] = np.nan
    values[1:, 2] = np.nan
    added = (jnp.zeros(4),) * 3
    for x in values:
        added = moments.accumulate(added, jnp.asarray(x, jnp.float32))
    found = moments.standard_deviation(added)
    np.testing.assert_allclose(found, np.nanstd(values, axis=0), rtol=1e-4, atol=1e-3)


@pytest.mark.quick("False")
@pytest.mark.parametrize("rounded", [False, True])
def test_errors_of_auroc_are_limits_and_narrow(rounded):
    """Of DeLong's variance, a loop over samples, always; of replicates, but for their own error.

    The standard deviation of 400 replicates is off by a seventh in four standard errors.
    """
    rng = np.random.default_rng(8)
    c = rng.random((500, 6)) < [0.05, 0.1, 0.3, 0.5, 0.7, 0.9]
    f = rng.normal(size=(500, 4)) + c[:, :4] * [0.3, 4.0, 1.0, 0.5]
    c[:, 5] = np.abs(f[:, 0]) > 1.6  # present at both ends: no ranks vary more
    f = np.round(f) if rounded else f
    probe = nt.make_probe(f, c, top_fraction=0.1)
    rule = nt.METRICS["auroc"]
    shown = nt.similarity(probe, rule)
    found = screening.replicate_errors(probe, rule, rule.prepare_neurons(probe.neurons), shown)

    def delong(values, present):
        ahead = np.sign(values[present][:, None] - values[~present][None, :]) / 2 + 0.5
        return ahead.mean(axis=1).var() / len(ahead) + ahead.mean(axis=0).var() / ahead.shape[1]

    variance = np.array([[delong(x, y) for y in c.T] for x in probe.activations.T])
    area = np.asarray(shown, float)
    error = np.sqrt(variance) / (area * (1 - area))
    drawn = nt.resampling.bootstrap_weights(KEY, probe, num_replicates=400)
    prepared = prepare(probe, rule)
    every = jax.lax.map(lambda w: rule.score(prepared, w), drawn)
    spread = np.asarray(candidates.stable_scale(rule, every)).std(axis=0)
    usual, rate = area < 0.95, np.minimum(c.mean(axis=0), 1 - c.mean(axis=0))
    assert (found > 0.9999 * error).all()
    assert (found > 0.86 * spread)[usual].all()
    assert (found < 1.2 * error)[usual & (rate < 0.15)].all()
    assert (found < 2 * error)[usual].all()


@pytest.mark.parametrize(("metric", "drawn"), [("iou", [64]), ("auroc", [])])
def test_first_replicates_are_drawn_where_they_tell_standard_errors(metric, drawn, monkeypatch):
    found = []

    def draw_chunk(key, ids, *data, **static):
        if isinstance(ids, np.ndarray):  # chunks are drawn inside of what each device runs
            found.append(len(ids))
        return draws.draw_chunk(key, ids, *data, **static)

    monkeypatch.setattr(run_rows, "draw_chunk", draw_chunk)
    mesh = jax.make_mesh((1,), ("replicates",))
    probe = nt.make_probe(*tied_data(seed=3), top_fraction=0.2)
    nt.bootstrap(KEY, probe, metric, num_replicates=70, strategy="screened", mesh=mesh)
    assert found == drawn


@pytest.mark.parametrize("metric", ["iou", "auroc", "spearman"])
def test_the_range_counts_replicates_and_the_chance_to_miss_a_concept(metric, monkeypatch):
    rng = np.random.default_rng(12)
    c = rng.random((500, 4)) < [0.01, 0.1, 0.4, 0.99]
    probe = nt.make_probe(rng.normal(size=(500, 2)) + c[:, :2], c, top_fraction=0.2)
    rule = nt.METRICS[metric]
    shown = nt.similarity(probe, rule.ordering_statistic)

    def ends(num_replicates, probe=probe, shown=shown):
        scheme = SCHEMES["multinomial"]
        found = screening.replicate_range(probe, rule, scheme, num_replicates, shown)
        return tuple(map(np.asarray, found))

    lower, upper = ends(50)
    # of the concepts of about 5 samples, and of all but 5, a replicate may hold all or none
    np.testing.assert_array_equal(np.isneginf(lower), np.tile([True, False, False, True], (2, 1)))
    wider = ends(50_000)
    assert (wider[0] <= lower).all()
    assert (wider[0] < lower)[:, 2].all()
    assert (wider[1] > upper)[:, 2].all()
    # a thousand times the replicates, at a thousand times the probability of failure
    monkeypatch.setattr(screening, "FAILURE", 1000 * screening.FAILURE)
    for ours, theirs in zip(ends(50_000), (lower, upper), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    # and as many pairs count as replicates
    alone = nt.make_probe(probe.activations, c[:, 2:3], top_fraction=0.2)
    monkeypatch.setattr(screening, "FAILURE", screening.FAILURE / 4000)
    for ours, theirs in zip(ends(50, alone, shown[:, 2:3]), (lower, upper), strict=True):
        np.testing.assert_allclose(ours, theirs[:, 2:3], rtol=1e-6)


def test_what_orders_spearmans_correlation_spans_its_arguments():
    """The ends are the least and the greatest value over the two ranges, by a grid."""
    rng = np.random.default_rng(11)
    area, share = np.sort(rng.random((2, 200, 2)), axis=2)
    share[:100] = np.clip(share[:100], 0.05, 0.45) + 0.5 * (np.arange(100) % 2)[:, None]
    low, high = nt.METRICS["spearman"].ordering_rule.carry(
        [jnp.asarray(x[:, 0], jnp.float32) for x in (area, share)],
        [jnp.asarray(x[:, 1], jnp.float32) for x in (area, share)],
        (jnp.zeros(1), jnp.zeros(1)),
    )
    steps = np.linspace(0, 1, 201)
    a, p = (x[:, :1] + (x[:, 1:] - x[:, :1]) * steps for x in (area, share))
    values = (2 * a - 1)[:, :, None] * np.sqrt(p * (1 - p))[:, None, :]
    np.testing.assert_allclose(low, values.min(axis=(1, 2)), atol=2e-5)
    np.testing.assert_allclose(high, values.max(axis=(1, 2)), atol=2e-5)


def test_ways_are_taken_where_they_fit():
    f, soft = tied_data(seed=5)
    c = soft >= 0.5
    whole = nt.make_probe(f, c, top_fraction=0.2)
    light = nt.make_probe(f, c, top_fraction=0.2, sample_weight=np.r_[np.pi, np.ones(len(f) - 1)])
    mixed = nt.make_probe(f, c, top_fraction=0.2, sample_weight=1.0 + (np.arange(len(f)) % 2))
    grouped = nt.make_probe(f, c, top_fraction=0.2, groups=np.arange(len(f)) // 2)
    often = nt.make_probe(f, c, thresholds=-9.0, groups=np.arange(len(f)) // 2)
    soft = nt.make_probe(f, soft, top_fraction=0.2)
    for probe, metric, scheme, expected in (
        (whole, "iou", "multinomial", "screened"), (whole, "iou", "bayesian", "dense"),
        (whole, "auroc", "multinomial", "screened"), (whole, "auroc", "subsample", "rows"),
        (whole, "auroc", "bayesian", "rows"), (whole, "spearman", "multinomial", "screened"),
        (whole, "spearman", "subsample", "rows"), (grouped, "spearman", "multinomial", "rows"),
        (soft, "spearman", "multinomial", "dense"), (soft, "auroc", "multinomial", "screened"),
        (whole, "correlation", "multinomial", "dense"), (light, "iou", "multinomial", "dense"),
        (mixed, "iou", "multinomial", "rows"), (grouped, "iou", "poisson", "rows"),
        (often, "iou", "multinomial", "dense"),
    ):  # fmt: skip
        metric, scheme = nt.METRICS[metric], SCHEMES[scheme]
        assert strategies.choose_strategy(probe, metric, scheme, "auto", 10**9) == expected
        assert strategies.choose_strategy(probe, metric, scheme, "auto", 10) == "dense"
        assert strategies.choose_strategy(probe, metric, scheme, "dense", 10**9) == "dense"
    with pytest.raises(ValueError, match="'rows' needs concepts of 0 and 1"):
        nt.bootstrap(KEY, whole, "correlation", strategy="rows")
    with pytest.raises(ValueError, match="needs a metric made of shares, equal sample weights"):
        nt.bootstrap(KEY, grouped, "iou", strategy="screened")
    with pytest.raises(ValueError, match="unknown strategy 'fast'; known: auto, screened, rows"):
        nt.bootstrap(KEY, whole, strategy="fast")


@pytest.mark.quick("auroc")
@pytest.mark.parametrize(
    ("metric", "strategy"), [("iou", "screened"), ("auroc", "rows"), ("correlation", "dense")]
)
def test_memory_sets_the_pace_and_not_the_result(metric, strategy):
    rng = np.random.default_rng(6)
    c = rng.random((300, 70)) < 0.2
    f = rng.normal(size=(300, 9)) + c[:, :9]
    probe = nt.make_probe(f, c, top_fraction=0.2)
    told = []
    least = room.need_of(probe, 300).least
    little, much = (
        nt.bootstrap(
            KEY, probe, metric, num_replicates=300, strategy=strategy, memory_limit=limit,
            progress=lambda done, total: told.append(done),
        )
        for limit in (least, 1e9)
    )  # fmt: skip
    at_once = [160, 300] if jax.default_backend() == "cpu" else [300]
    assert told == [64, 128, 192, 256, 300, *at_once]
    np.testing.assert_array_equal(little.winners, much.winners)
    np.testing.assert_allclose(little.winning_similarity, much.winning_similarity, rtol=1e-5)
    with pytest.raises(
        ValueError, match=r"memory_limit=1000 bytes, of .* is below the .* raise it"
    ):
        nt.bootstrap(KEY, probe, metric, memory_limit=1000)


def test_groups_take_the_memory_of_the_weights_drawn():
    """One for each group: of many samples in few groups the weights are few."""
    rng = np.random.default_rng(0)
    n, groups = 200_000, np.arange(200_000) // 4000
    f = scipy.sparse.random_array((n, 6), density=0.01, rng=rng, dtype=np.float32)
    c = rng.random((n, 3)) < 0.1
    probe = nt.make_probe(f, c, thresholds=0.0, groups=groups)
    boot = nt.bootstrap(KEY, probe, num_replicates=20, memory_limit=5e8)
    whole = nt.bootstrap(KEY, probe, num_replicates=20)
    np.testing.assert_array_equal(boot.winners, whole.winners)
    with pytest.raises(ValueError, match="memory_limit=5e"):
        nt.bootstrap(KEY, probe, "auroc", num_replicates=20, memory_limit=5e8)


@pytest.mark.parametrize("room", [1, 40, 10**6])
def test_blocks_hold_every_pair_once(room):
    rng = np.random.default_rng(7)
    mask = rng.random((23, 90)) < rng.random((23, 1)) ** 2
    mask[5] = False
    pairs = packing.pairs_where(mask)
    seen = []
    for part in packing.pack_pairs(pairs, 23, room):
        for u, a, b in zip(*(np.asarray(x) for x in part.blocks[:3]), strict=True):
            seen += [
                (int(u), int(c)) for c in np.asarray(part.blocks.concept)[a:b].ravel() if c >= 0
            ]
        index, place = part.find(pairs, 90)
        assert (pairs[1][index] == np.asarray(part.blocks.concept).ravel()[place]).all()
    assert seen == list(zip(*(x.tolist() for x in pairs), strict=True))


@pytest.mark.quick("5000")
@pytest.mark.optimised
@pytest.mark.parametrize("size", [1, 16, 17, 5000])
def test_running_total_is_a_cumulative_sum(size):
    counts = np.random.default_rng(8).integers(0, 9, (size, 3))
    expected = np.cumsum(counts, axis=0)
    for dtype, wide in ((np.float32, np.float32), (np.uint8, np.uint16), (np.uint16, np.uint32)):
        rows = jnp.asarray(counts, dtype)
        found = sums.running_total(rows.astype(wide))
        assert found.dtype == wide
        np.testing.assert_array_equal(found, expected)
        for slabs in (False, True):
            order = sums.Tiling(size, 64 if slabs else 16, slabs)
            x = counts % 4 if slabs else counts  # 64 of them fit into 8 bits
            each, reached = jnp.asarray(x, dtype), np.cumsum(x, axis=0)
            stored = jax.vmap(lambda column, order=order: order.store(column, 0), 1, 1)(each)
            tiled = sums.tiled_total(stored, wide, order)
            assert tiled.before.dtype == wide
            assert tiled.within.dtype == (jnp.bfloat16 if slabs and dtype == np.uint8 else dtype)
            place = np.asarray(order.places())
            inside = place < size
            np.testing.assert_array_equal(np.sort(place[inside]), np.arange(size))
            np.testing.assert_array_equal(stored[inside], each[place[inside]])
            whole = tiled.whole(jnp.float32)
            np.testing.assert_array_equal(whole[inside], reached[place[inside]])
            some = np.array([size - 1, 0, size // 2])
            np.testing.assert_array_equal(tiled.at(some, jnp.float32), reached[some])


@pytest.mark.optimised
def test_running_total_keeps_its_digits():
    """Added up plainly, half a million numbers lose two of seven digits: the control."""
    x = np.random.default_rng(8).random((500_000, 2), np.float32)
    exact, allowed = np.cumsum(x, axis=0, dtype=float), 16 * np.finfo(np.float32).eps
    rows = jnp.asarray(x)
    row_by_row = sums.Tiling(len(x), 16, False)
    for found in (
        sums.running_total(rows),
        sums.tiled_total(rows, jnp.float32, row_by_row).whole(jnp.float32),
    ):
        np.testing.assert_allclose(found, exact, rtol=allowed)
    assert np.abs(np.cumsum(x, axis=0) / exact - 1).max() > 2 * allowed


@pytest.mark.optimised
@pytest.mark.parametrize("size", [1, 15, 16, 17, 300])
def test_column_total_is_a_sum(size):
    x = np.random.default_rng(8).integers(0, 9, (size, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        np.asarray(sums.column_total(jnp.asarray(x))), x.sum(axis=0, keepdims=True)
    )


def test_steps_hold_the_places_of_a_blocks_concepts(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")  # the only one to take them
    monkeypatch.setattr(packing, "WIDTHS", (4,))
    monkeypatch.setattr(row_index, "LEAST", 100)
    rng = np.random.default_rng(7)
    c = rng.random((300, 9)) < np.r_[np.full(8, 0.05), 0.9]
    f = rng.normal(size=(300, 4))
    f[:, 2:] = np.maximum(f[:, 2:], 0)  # shorter lists
    probe = nt.make_probe(f, c)
    layer = row_index.ranked_rows(probe, nt.METRICS["auroc"].prepare_neurons(probe.neurons))
    rare, all_nine = np.arange(9) < rng.integers(2, 9, (4, 1)), np.ones((4, 9), bool)

    def parts(mask, room=10**6, like=None):
        found = packing.pack_pairs(packing.pairs_where(mask), 4, room, like)
        return found, row_index.with_steps(layer, found, like)

    for part in parts(rare, room=12)[1]:
        steps = jax.tree.map(np.asarray, part.blocks.steps)
        for u, first, last in zip(*(x.tolist() for x in part.blocks[:3]), strict=True):
            rows = np.asarray(layer.lists[int(layer.kind[u])].rows)[int(layer.place[u])]
            for j in range(first, last):
                some = [x for x in part.blocks.concept[j].tolist() if x >= 0]
                expected = [i for i, row in enumerate(rows) if row < 300 and c[row, some].any()]
                found = steps.place[steps.start[j] : steps.stop[j]].ravel()
                assert found[found < 300].tolist() == expected
    whole = steps.place[: row_index.STEPS].ravel()
    np.testing.assert_array_equal(whole, np.arange(len(whole)))
    for late in parts(rare[:, ::-1], like=part)[1]:
        np.testing.assert_array_equal(late.blocks.steps.place, steps.place)
        assert not late.blocks.steps.start.any()
        assert (late.blocks.steps.stop == row_index.STEPS).all()
    # no use where a concept is nearly everywhere, nor of short lists
    found, the_same = parts(all_nine)
    assert the_same is found
    monkeypatch.setattr(row_index, "LEAST", 301)
    found, the_same = parts(rare)
    assert the_same is found


def test_blocks_of_a_shape_given():
    """As many parts as fit, of the neurons and blocks that are there already."""
    (like,) = packing.pack_pairs(packing.pairs_where(np.ones((4, 9), bool)), 4, 10**6)
    pairs = packing.pairs_where(np.random.default_rng(7).random((23, 90)) < 0.1)
    parts = packing.pack_pairs(pairs, 23, 1, like)
    for part in parts:
        assert jax.tree.map(jnp.shape, part.blocks) == jax.tree.map(jnp.shape, like.blocks)
    assert [u for part in parts for u in part.neurons] == list(range(23))
    joined = [np.concatenate(x) for x in zip(*(part.pairs for part in parts), strict=True)]
    np.testing.assert_array_equal(joined, pairs)


@pytest.mark.quick("multinomial", "bayesian")
@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_replicate_depends_on_its_number_alone(scheme):
    probe = nt.make_probe(*tied_data(seed=2), top_fraction=0.2)
    for metric in ("iou", "correlation"):
        few = nt.bootstrap(KEY, probe, metric, num_replicates=100, scheme=scheme)
        for chunk_size in (7, 64, 1000):
            many = nt.bootstrap(
                KEY, probe, metric, num_replicates=150, scheme=scheme, chunk_size=chunk_size
            )
            for field in ("winners", "winning_similarity", "label_similarity"):
                np.testing.assert_array_equal(
                    np.asarray(getattr(many, field))[:100], np.asarray(getattr(few, field))
                )


@pytest.mark.optimised
def test_vote_shares_and_agreement_count_the_winners():
    probe = nt.make_probe(*tied_data(seed=3), top_fraction=0.2)
    boot = nt.bootstrap(KEY, probe, num_replicates=77)
    winners = np.asarray(boot.winners)
    for u in range(probe.num_neurons):
        shares = np.bincount(winners[:, u], minlength=probe.num_concepts) / 77
        np.testing.assert_allclose(np.asarray(boot.vote_share)[u], shares, rtol=1e-6)
    observed = np.asarray(nt.identify(probe).concept)[:, 0]
    np.testing.assert_array_equal(np.asarray(boot.label), observed)
    agreement = nt.stability(boot)
    expected = (winners == observed).mean(axis=0)
    np.testing.assert_allclose(np.asarray(agreement.top1_agreement), expected, rtol=1e-6)
    assert float(agreement.top1_agreement_layer) == pytest.approx(expected.mean(), rel=1e-6)


@pytest.mark.optimised
@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_weights_have_the_moments_of_their_scheme(scheme):
    """Mean and variance of a sample's weight, each within 5 standard errors of B n draws."""
    n, count = 50, 4000
    probe = nt.make_probe(np.arange(n)[:, None] * 1.0, np.ones((n, 1), bool))
    w = np.asarray(nt.resampling.bootstrap_weights(KEY, probe, num_replicates=count, scheme=scheme))
    mean, variance = {
        "multinomial": (1, 1 - 1 / n),
        "poisson": (1, 1),
        "bayesian": (1, (n - 1) / (n + 1)),
        "subsample": (1, 1),
    }[scheme]
    total = w.sum(axis=1)
    if scheme == "poisson":
        assert abs(w.mean() - mean) < 5 / np.sqrt(n * count)
    else:
        np.testing.assert_allclose(total, n * mean, rtol=1e-5)
    fourth = ((w - mean) ** 2).std() / np.sqrt(n * count)
    assert abs(((w - mean) ** 2).mean() - variance) < 5 * fourth + 1e-6
    if scheme in ("multinomial", "poisson"):
        law = scipy.stats.binom(n, 1 / n) if scheme == "multinomial" else scipy.stats.poisson(1)
        for k in range(5):
            p = law.pmf(k)
            assert abs((w == k).mean() - p) < 5 * np.sqrt(p * (1 - p) / (n * count))


@pytest.mark.optimised
def test_groups_are_drawn_whole():
    groups = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    probe = nt.make_probe(np.arange(55)[:, None] * 1.0, np.ones((55, 1), bool), groups=groups)
    w = np.asarray(nt.resampling.bootstrap_weights(KEY, probe, num_replicates=30))
    for g in range(10):
        assert (w[:, groups == g] == w[:, groups == g][:, :1]).all()
    assert (np.stack([w[:, groups == g][:, 0] for g in range(10)], axis=1).sum(axis=1) == 10).all()


@pytest.mark.both_precisions
@pytest.mark.optimised
def test_sample_weights_multiply_resampling_weights():
    f, c = tied_data(seed=4)
    w = np.random.default_rng(5).uniform(0.5, 2, len(f))
    probe = nt.make_probe(f, c, thresholds=0.6, sample_weight=w)
    boot = nt.bootstrap(KEY, probe, num_replicates=3)
    drawn = np.asarray(nt.resampling.bootstrap_weights(KEY, probe, num_replicates=3))
    for b in range(3):
        again = nt.make_probe(f, c, thresholds=0.6, sample_weight=w * drawn[b])
        best = np.nanmax(np.asarray(nt.similarity(again)), axis=1)
        np.testing.assert_allclose(np.asarray(boot.winning_similarity)[b], best, rtol=1e-5)


def test_undefined_replicates_win_nothing():
    f = np.zeros((30, 2))
    f[0, 0] = 1.0  # active on one sample, which a replicate misses with probability 0.36
    c = np.arange(30)[:, None] < [[15, 20]]
    probe = nt.make_probe(f, c, thresholds=0.5)
    boot = nt.bootstrap(KEY, probe, "iou", num_replicates=200)
    missed = np.asarray(nt.resampling.bootstrap_weights(KEY, probe, num_replicates=200))[:, 0] == 0
    np.testing.assert_array_equal(np.asarray(boot.winners)[:, 0] == -1, missed)
    assert (np.asarray(boot.winners)[:, 1] == -1).all()
    assert float(boot.vote_share[0].sum()) == pytest.approx(1 - missed.mean(), rel=1e-5)
    assert float(boot.vote_share[1].sum()) == 0.0
    agreement = np.asarray(nt.stability(boot).top1_agreement)
    assert agreement[0] == pytest.approx(1 - missed.mean(), rel=1e-5)
    assert np.isnan(agreement[1])
    with pytest.warns(nt.faithfulness.CoverageWarning):
        sets = nt.concept_sets(boot, method="vote")
    assert np.asarray(sets.size).tolist() == [2, 2]  # too few defined replicates: every concept


def test_vote_set_is_the_smallest_and_holds_the_label():
    probe = nt.make_probe(*tied_data(seed=6, num_neurons=6, num_concepts=12), top_fraction=0.2)
    boot = nt.bootstrap(KEY, probe, num_replicates=200)
    for alpha in (0.05, 0.1, 0.5):
        with pytest.warns(nt.faithfulness.CoverageWarning, match="less often than 1 - alpha"):
            sets = nt.concept_sets(boot, alpha=alpha, method="vote")
        counts = np.round(np.asarray(boot.vote_share, float) * 200)
        for u in range(6):
            ranked = np.sort(counts[u])[::-1]
            needed = np.ceil(round((1 - alpha) * 200, 6))
            smallest = 1 + int(np.argmax(np.cumsum(ranked) >= needed))
            inside = np.asarray(sets.mask)[u]
            label = int(boot.label[u])
            assert inside[label]
            assert counts[u][inside].sum() >= needed
            assert inside.sum() in (smallest, smallest + 1)
            assert inside.sum() == smallest or counts[u][label] <= ranked[smallest - 1]


def test_votes_are_shares_of_all_replicates():
    """A replicate in which nothing is defined votes for none."""
    rng = np.random.default_rng(8)
    f, c = rng.normal(size=(60, 4)), rng.random((60, 5)) < 0.3
    f[:, 3] = 0
    f[:2, 3] = 9  # drawn in six of seven replicates
    boot = nt.bootstrap(KEY, nt.make_probe(f, c, thresholds=1.0), num_replicates=50)
    winners = np.asarray(boot.winners)
    expected = (winners[:, :, None] == np.arange(5)).mean(axis=0)
    np.testing.assert_allclose(boot.vote_share, expected, rtol=1e-6)
    total = np.asarray(boot.vote_share).sum(axis=1)
    assert 0.5 < total[3] < 0.99
    np.testing.assert_allclose(total[:3], 1, rtol=1e-6)


def test_agreement_rises_with_the_effect_planted():
    from neurotrust_jax.datasets import planted

    shares = []
    for effect in (0.02, 0.1, 0.6):
        p = planted(jax.random.key(3), 500, num_neurons=8, num_concepts=16, effect=effect)
        probe = nt.make_probe(p.activations, p.concepts, thresholds=0.0)
        boot = nt.bootstrap(KEY, probe, "iou", num_replicates=100)
        shares.append(float(nt.stability(boot).top1_agreement_layer))
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.99


@pytest.mark.slow
def test_black_box_methods_get_the_same_replicates():
    probe = nt.make_probe(*tied_data(seed=7), top_fraction=0.2, groups=np.arange(160) // 2)

    def by_numpy(resampled):
        a = np.asarray(resampled.neurons.present, float)
        y = np.asarray(resampled.labels.present, float)
        both = a.T @ y
        return both / (a.sum(0)[:, None] + y.sum(0)[None, :] - both)

    for scheme in ("multinomial", "poisson", "subsample"):
        told = []
        theirs = nt.bootstrap_black_box(
            KEY, by_numpy, probe, num_replicates=9, scheme=scheme,
            progress=lambda done, total: told.append((done, total)),  # noqa: B023
        )  # fmt: skip
        ours = nt.bootstrap(KEY, probe, "iou", num_replicates=9, scheme=scheme)
        np.testing.assert_array_equal(np.asarray(theirs.winners), np.asarray(ours.winners))
        assert theirs.metric == "by_numpy"
        assert told[-1] == (9, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "jackknife"}, "unknown scheme 'jackknife'; known: multinomial"),
        ({"num_replicates": 0}, "num_replicates must be a whole number of at least 1, got 0"),
        ({"num_replicates": 2.5}, "got 2.5"),
        ({"chunk_size": 0}, "chunk_size must be"),
        ({"metric": "jaccard"}, "unknown metric 'jaccard'"),
    ],
)
def test_bad_options_raise_before_any_work(options, message):
    with pytest.raises(ValueError, match=message):
        nt.bootstrap(KEY, nt.make_probe(*tied_data()), **options)


def test_bad_black_boxes_and_sets_are_named():
    probe = nt.make_probe(*tied_data())
    with pytest.raises(ValueError, match=r"must return shape \(3, 4\), got \(4,\)"):
        nt.bootstrap_black_box(KEY, lambda p: np.zeros(4), probe)
    with pytest.raises(ValueError, match="continuous weights do not allow"):
        nt.bootstrap_black_box(KEY, lambda p: np.zeros((3, 4)), probe, scheme="bayesian")
    boot = nt.bootstrap(KEY, probe, num_replicates=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the option is refused before the rule warns
        for options in ({"alpha": 1.0}, {"method": "magic"}, {"target": "mean"}):
            with pytest.raises(ValueError, match=str(next(iter(options.values())))):
                nt.concept_sets(boot, **options)


def test_progress_counts_to_the_end_and_compiles_once():
    probe, told = nt.make_probe(*tied_data(seed=8)), []
    nt.bootstrap(KEY, probe, num_replicates=250, chunk_size=100, strategy="screened",
                 progress=lambda done, total: told.append((done, total)))  # fmt: skip
    assert told == [(100, 250), (200, 250), (250, 250)]
    before = rows.rows_replicates._cache_size()
    again = nt.make_probe(*tied_data(seed=8), concept_names=["a", "b", "c", "d"])
    nt.bootstrap(jax.random.key(1), again, num_replicates=150, chunk_size=100, strategy="screened")
    # another seed, B and names: no retrace
    assert rows.rows_replicates._cache_size() == before > 0
    assert jnp.isfinite(again.thresholds).all()


@pytest.mark.quick("auroc")
@pytest.mark.parametrize("metric", ["iou", "auroc", "correlation"])
def test_a_layer_of_dead_neurons_has_no_winners(metric):
    probe = nt.make_probe(np.zeros((50, 3)), np.eye(50)[:, :4], thresholds=0)
    for strategy in ("dense", "rows") if metric != "correlation" else ("dense",):
        boot = nt.bootstrap(KEY, probe, metric, num_replicates=20, strategy=strategy)
        assert (np.asarray(boot.winners) == -1).all()
        assert boot.replicates.shape == (0, 20)
        assert nt.concept_sets(boot).mask.all()


@pytest.mark.slow
def test_lists_of_unequal_length_are_read_in_full():
    """Neurons active on few, on some and on most samples, and of whose values one is common."""
    rng = np.random.default_rng(10)
    c = rng.random((600, 6)) < 0.3
    f = rng.normal(size=(600, 24)) + c[:, rng.integers(0, 6, 24)]
    f = np.maximum(f, np.linspace(-4, 3, 24))
    f[:, ::5] = np.round(f[:, ::5])
    probe = nt.make_probe(f, c, thresholds=np.linspace(-4, 3, 24))
    assert len(row_index.active_rows(probe).lists) > 1
    assert len(row_index.ranked_rows(probe, prepare(probe, nt.METRICS["auroc"])[0]).lists) > 2
    for metric in ("iou", "auroc"):
        dense, rows = (
            nt.bootstrap(KEY, probe, metric, num_replicates=70, strategy=strategy)
            for strategy in ("dense", "rows")
        )
        np.testing.assert_array_equal(rows.candidates, dense.candidates)
        np.testing.assert_allclose(rows.winning_similarity, dense.winning_similarity, atol=1e-6)
        np.testing.assert_allclose(rows.replicates, dense.replicates, rtol=1e-5, atol=1e-6)
