"""Conformal sets against a loop in float64, and how often they hold fresh labels."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from builders import layer_of_near_ties, routes_by_halves, three_probes

import neurotrust_jax as nt
from neurotrust_jax.metrics.scores import winner
from neurotrust_jax.resampling.halves import _compare
from neurotrust_jax.schemes import SUBSAMPLE, draw_all
from neurotrust_jax.sets import conformal

KEY = jax.random.key(7)


def naive_scores(probe, metric, key, num_splits):
    """Recorded scores by neuron, those of all data [U, C], and labels, as the docstring has it.

    Last the leads over the runner-up, by neuron as the recorded ones and on all data.
    """
    f, c, active = (np.asarray(x) for x in (probe.activations, probe.concepts, probe.active))
    f, weights = f.astype(float), np.asarray(probe.weights)
    drawn = draw_all(
        key, np.arange(num_splits), probe.groups,
        scheme=SUBSAMPLE, num_units=probe.num_units, dtype=np.float32,
    )  # fmt: skip
    inside = np.asarray(drawn) > 0
    halves = [
        [oracles.similarity_of_pairs(metric, f, c, active, weights * x) for x in (half, ~half)]
        for half in inside
    ]
    whole = oracles.similarity_of_pairs(metric, f, c, active, weights)

    def best(s):
        return -1 if np.isnan(s).all() else int(np.nanargmax(s))

    def in_errors(lead, variance):
        if np.isnan(lead):
            return math.inf
        if lead <= 0:
            return 0.0
        return min(lead / math.sqrt(variance), 1e3) if variance > 0 else 1e3

    def second(s, label):
        return best(np.where(np.arange(len(s)) == label, np.nan, s))

    recorded, score, labels, leads, on_all = [], np.zeros(whole.shape), [], [], []
    for u in range(f.shape[1]):
        label = [[best(half[u]) for half in both] for both in halves]
        used = [s for s in range(num_splits) if min(label[s]) >= 0]
        phi = {s: [oracles.STABLE_SCALES[metric](halves[s][w][u]) for w in (0, 1)] for s in used}
        filled = {s: [np.where(np.isnan(x), np.nanmean(x), x) for x in phi[s]] for s in used}
        apart = {s: (filled[s][0] - filled[s][1]) / 2 for s in used}
        own, lead = {}, {}
        for s in used if len(used) > 1 else []:
            for w in (0, 1):
                k = label[s][w]
                for found, other in (
                    (own, label[s][1 - w]), (lead, second(halves[s][w][u], k)),
                ):  # fmt: skip
                    square = [(apart[t][k] - apart[t][other]) ** 2 for t in used if t != s]
                    at = in_errors(phi[s][w][k] - phi[s][w][other], 2 * np.mean(square))
                    found[s, w] = at
        recorded.append(own)
        leads.append(lead)
        labels.append(best(whole[u]))
        for k in range(c.shape[1]):
            square = [(apart[t][labels[u]] - apart[t][k]) ** 2 for t in used]
            at = oracles.STABLE_SCALES[metric](whole[u])
            score[u, k] = in_errors(at[labels[u]] - at[k], np.mean(square) if used else 0)
        on_all.append(score[u, second(whole[u], labels[u])])
    return recorded, score, labels, leads, on_all


def classes_of(leads, number):
    """Class of each neuron that has a lead: the rank of its lead, in parts of equal size."""
    order = sorted(leads, key=lambda u: (leads[u], u))
    return {u: rank * number // len(order) for rank, u in enumerate(order)}


def naive_sets(recorded, score, labels, leads, on_all, alpha, number=1):
    usable = [u for u, own in enumerate(recorded) if own and labels[u] >= 0]
    mask = np.ones(score.shape, bool)
    own = classes_of({u: on_all[u] for u in usable}, number)
    pools = [[] for _ in range(number)]
    for half in {half for lead in leads for half in lead}:
        drawn = classes_of({u: x[half] for u, x in enumerate(leads) if half in x}, number)
        for u, name in drawn.items():
            pools[name].append(recorded[u][half])
    for name, pool in enumerate(pools):
        inside = [u for u in usable if own[u] == name]
        rank = math.ceil(round((1 - alpha) * (1 + 1 / len(inside)) * len(pool), 6))
        cut = sorted(pool)[rank - 1] if rank <= len(pool) else math.inf
        mask[inside] = score[inside] <= cut
    return mask


@pytest.mark.quick("iou")
@pytest.mark.double
@pytest.mark.parametrize("metric", oracles.STABLE_SCALES)
def test_equals_a_loop(metric, monkeypatch):
    f, c = layer_of_near_ties()
    sizes, differ = [], []
    for probe in three_probes(f, c):
        naive = naive_scores(probe, metric, KEY, 5)
        absent = any(math.isinf(x) for own in naive[0] for x in own.values())
        assert absent or metric != "auroc"  # a half without the other's label
        for alpha in (0.1, 0.3, 0.5):
            found = nt.conformal_sets(KEY, probe, metric, alpha=alpha, num_splits=5)
            np.testing.assert_array_equal(found.mask, naive_sets(*naive, alpha))
            sizes.append(int(found.size.sum()))
        labelled = np.asarray(naive[2]) >= 0
        np.testing.assert_allclose(found.score[labelled], naive[1][labelled], rtol=1e-6)
        monkeypatch.setattr(conformal, "CLASS", 7)
        monkeypatch.setattr(conformal, "FEWEST", 0)
        classed = nt.conformal_sets(KEY, probe, metric, alpha=0.4, num_splits=5)
        np.testing.assert_array_equal(classed.mask, naive_sets(*naive, 0.4, number=3))
        assert "each of 3 classes of similar lead" in classed.guarantee
        alone = nt.conformal_sets(KEY, probe, metric, alpha=0.4, num_splits=5, classes=None)
        np.testing.assert_array_equal(alone.mask, naive_sets(*naive, 0.4))
        differ.append((np.asarray(alone.mask) != np.asarray(classed.mask)).any())
        monkeypatch.undo()
    assert len(set(sizes)) > 5
    assert any(differ)


def test_what_every_set_satisfies():
    f, c = layer_of_near_ties(seed=1)
    probe = next(three_probes(f, c))
    label = np.asarray(nt.identify(probe, "iou").concept[:, 0])
    before = np.zeros((f.shape[1], c.shape[1]), bool)
    for alpha in (0.9, 0.6, 0.3, 0.1, 0.05):
        sets = nt.conformal_sets(KEY, probe, alpha=alpha, num_splits=6)
        mask = np.asarray(sets.mask)
        assert mask[label < 0].all()
        assert mask[np.flatnonzero(label >= 0), label[label >= 0]].all()
        assert (mask >= before).all()
        score = np.asarray(sets.score)
        inside = np.where(mask, score, 0).max(axis=1)
        assert (score > inside[:, None])[~mask].all()  # nobody outside is closer than a member
        assert (score[np.flatnonzero(label >= 0), label[label >= 0]] == 0).all()
        before = mask
    assert label[0] == -1
    assert mask[1].all()  # active once: one half never has a label
    assert (sets.method, sets.target) == ("conformal", "replication")
    assert "95% of the neurons of the layer, on average and not for each" in sets.guarantee
    assert not np.asarray(sets.untested).any()


@pytest.mark.slow
def test_routes_agree():
    """Counted rows, matrix products, and sparse activations, some neurons at a time."""

    def compute(probe, metric):
        return nt.conformal_sets(KEY, probe, metric, num_splits=5).mask

    for found, expected in routes_by_halves(compute):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.quick("soft_wpmi", "auprc")
@pytest.mark.parametrize("metric", ["soft_wpmi", "auprc", "wpmi", "correlation_top_and_random"])
def test_other_metrics(metric):
    """Of metrics that are no function of six sums too the label is in, and others are out."""
    rng = np.random.default_rng(0)
    c = rng.random((300, 4)) < 0.3
    f = rng.normal(size=(300, 20)) + 3 * c[:, np.arange(20) % 4]
    probe = nt.make_probe(f, c, top_fraction=0.1)
    sets = nt.conformal_sets(KEY, probe, metric, alpha=0.2, num_splits=4)
    assert np.asarray(sets.mask)[range(20), np.arange(20) % 4].all()
    assert sets.size.mean() < 2


def test_each_class_has_its_own_quantile():
    """Neurons that follow one concept need no rivals; those that follow none do."""
    rng = np.random.default_rng(0)
    c = rng.random((400, 5)) < 0.3
    clear = np.arange(40) < 20
    f = rng.normal(size=(400, 40)) + 3 * clear * c[:, np.arange(40) % 5]
    probe = nt.make_probe(f, c, thresholds=0.5)
    size = np.asarray(
        nt.conformal_sets(KEY, probe, alpha=0.2, num_splits=8, classes=clear + 0).size
    )
    assert (size[clear] == 1).all()
    alone = [
        nt.conformal_sets(KEY, p, alpha=0.2, num_splits=8).size
        for p in (probe.of_neurons(slice(20)), probe.of_neurons(slice(20, 40)))
    ]
    np.testing.assert_array_equal(size, np.concatenate(alone))
    together = np.asarray(nt.conformal_sets(KEY, probe, alpha=0.2, num_splits=8).size)
    assert together[~clear].mean() < size[~clear].mean()


def test_small_layers_say_so():
    f, c = layer_of_near_ties()
    probe = nt.make_probe(f[:, 2:10], c, thresholds=0.8)
    with pytest.warns(
        nt.faithfulness.CoverageWarning, match="fewer than 20 neurons .* in the layer"
    ):
        sets = nt.conformal_sets(KEY, probe, alpha=0.1, num_splits=4)
    assert "from fewer than 20 neurons with labels on both halves in the layer" in sets.guarantee
    assert np.asarray(sets.mask).all()  # eight neurons can not speak of one in ten
    for groups, said in (
        (np.arange(len(f)) % 29, "only 29 groups, of 30 that are needed"),
        (
            np.maximum(np.arange(len(f)) - len(f) // 3, 0),
            "only 88 groups, worth 8 of equal size, of 30",
        ),
    ):
        grouped = nt.make_probe(f, c, thresholds=0.8, groups=groups)
        with pytest.warns(nt.faithfulness.CoverageWarning, match=said):
            sets = nt.conformal_sets(KEY, grouped, num_splits=4)
        assert f"from {said}" in sets.guarantee
    with pytest.warns(nt.faithfulness.CoverageWarning, match="in class 3"):
        nt.conformal_sets(
            KEY, nt.make_probe(f, c, thresholds=0.8), num_splits=4,
            classes=np.where(np.arange(24) < 22, 0, 3),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must lie strictly between 0 and 1, got 0.0"),
        ({"num_splits": 1}, "num_splits must be a whole number of at least 2, got 1"),
        ({"num_splits": 0}, "num_splits .* got 0"),
        ({"num_splits": 2.5}, "num_splits .* got 2.5"),
        ({"classes": [0, 1]}, r'classes must be "lead", None, or one whole number for each of'),
        ({"classes": np.zeros(24)}, r"classes .* the 24 neurons, got float64 of shape \(24,\)"),
        ({"classes": "led"}, "classes .* got 'led'"),
        ({"key": 0}, "key must be one JAX key, such as .* got int"),
        ({"key": jax.random.split(KEY)}, r"key .* got an array of key<fry> of shape \(2,\)"),
        ({"metric": "nonesuch"}, "unknown metric"),
    ],
)
def test_refusals(options, message):
    f, c = layer_of_near_ties()
    given = {"key": KEY, "probe": nt.make_probe(f, c), "num_splits": 2} | options
    with pytest.raises(ValueError, match=message) as caught:
        nt.conformal_sets(given.pop("key"), given.pop("probe"), **given)
    assert "\n" not in str(caught.value)


def fresh(rng, strength, n=600, rare=False):
    """A probing set of a law: near ties between concepts, each neuron to another degree."""
    num_concepts, num_neurons = strength.shape
    rate = np.where(np.arange(num_concepts) % 3 == 0, 0.02, 0.2) if rare else 0.2
    c = rng.random((n, num_concepts)) < rate
    f = rng.normal(size=(n, num_neurons)) + c @ strength
    return nt.make_probe(f.astype(np.float32), c, thresholds=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "rare"), [("iou", False), ("iou", True), ("auroc", True)])
def test_fresh_labels_are_covered(metric, rare, monkeypatch):
    """The share of neurons whose fresh label is in the set, on average over probing sets.

    One probing set is one draw: its neurons share the samples. The control takes the quantile of
    scores that the halves' own labels would have if halves agreed with all data: too low.
    """
    alpha, num_sets, num_neurons = 0.2, 24, 120
    world = np.random.default_rng(5)
    strength = world.random((12, num_neurons)) * (world.random((12, num_neurons)) < 0.4)
    share, control, size = [], [], []
    for seed in range(num_sets):
        rng = np.random.default_rng(seed)
        probe, other = fresh(rng, strength, rare=rare), fresh(rng, strength, rare=rare)
        label = np.asarray(nt.identify(other, metric).concept[:, 0])
        sets = nt.conformal_sets(jax.random.key(seed), probe, metric, alpha=alpha, num_splits=20)
        share.append(np.asarray(sets.mask)[range(num_neurons), label].mean())
        size.append(float(sets.size.mean()))
        with pytest.MonkeyPatch.context() as patch:
            own = conformal._scores

            def same_half(halves, label, differences, whole, *, metric, own=own):
                # the other half is replaced by all data, of which this half is a part
                halves, label = np.array(halves), np.array(label)
                halves[:, :, 1] = np.asarray(whole)[:, None]
                label[:, :, 1] = np.asarray(winner(whole))[:, None]
                changed = _compare(jnp.asarray(halves), jnp.asarray(label), metric=metric)
                return own(halves, label, changed, whole, metric=metric)

            patch.setattr(conformal, "_scores", same_half)
            wrong = nt.conformal_sets(
                jax.random.key(seed), probe, metric, alpha=alpha, num_splits=20
            )
        control.append(np.asarray(wrong.mask)[range(num_neurons), label].mean())
    # four standard errors of a mean over independent probing sets
    noise = 4 * np.std(share, ddof=1) / math.sqrt(num_sets)
    assert noise < 0.06
    assert np.mean(share) > 1 - alpha - noise
    assert np.mean(control) < 1 - alpha - noise
    assert np.mean(size) < 6


@pytest.mark.slow
def test_each_class_by_lead_is_covered(monkeypatch):
    """Neurons with close rivals as often as those with a clear label.

    The control has one quantile for all: the clear half needs none, and takes from the others.
    """
    monkeypatch.setattr(conformal, "CLASS", 40)
    alpha, num_sets, num_neurons = 0.2, 24, 120
    world = np.random.default_rng(5)
    strength = 0.8 * world.random((12, num_neurons))
    strength[:, ::2] = 3 * (np.arange(12)[:, None] == np.arange(0, num_neurons, 2) % 12)
    share = {"lead": [], None: []}
    for seed in range(num_sets):
        rng = np.random.default_rng(seed)
        probe, other = fresh(rng, strength), fresh(rng, strength)
        label = np.asarray(nt.identify(other, "iou").concept[:, 0])
        for classes, found in share.items():
            sets = nt.conformal_sets(
                jax.random.key(seed), probe, "iou", alpha=alpha, num_splits=20, classes=classes
            )
            held = np.asarray(sets.mask)[range(num_neurons), label]
            found.append(held[1::2].mean())
            assert np.asarray(sets.size)[::2].mean() < 2  # the clear ones
    for classes, found in share.items():
        # four standard errors of a mean over independent probing sets
        noise = 4 * np.std(found, ddof=1) / math.sqrt(num_sets)
        assert noise < 0.1
        assert (np.mean(found) > 1 - alpha - noise) == (classes == "lead")
