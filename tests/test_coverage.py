"""Monte Carlo checks of what the README claims, each with a negative control.

Counts of covered datasets are compared with their binomial law: a sound interval fails a check by
chance less than once in 10,000 runs (4 standard errors), and here the seed is fixed besides.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax._engine import compute
from neurotrust_jax.datasets import planted, planted_similarity

pytestmark = pytest.mark.slow
DATASETS, COPIES = 400, 4
TOGETHER = 20  # datasets side by side in one probe, each of its own neuron and concept


DELTA = 0.1
NOISE = 4 * np.sqrt(DELTA * (1 - DELTA) / DATASETS)


def misses(settings, repeat):
    """Share of DATASETS planted datasets on which each setting's interval misses the truth.

    A setting is (metric, method, whether groups are told). With ``repeat`` each sample stands there
    four times, as tokens of one document might.
    """
    missed = dict.fromkeys(settings, 0)
    rows = np.repeat(np.arange(300), COPIES if repeat else 1)
    for seed in range(DATASETS // TOGETHER):
        p = planted(
            jax.random.key(seed), 300, num_neurons=TOGETHER, num_concepts=TOGETHER, frequency=0.3
        )
        f, c = np.asarray(p.activations)[rows], np.asarray(p.concepts)[rows]
        single = nt.make_probe(f, c, thresholds=0.0)
        grouped = nt.make_probe(f, c, thresholds=0.0, groups=rows)
        for metric, method, told in settings:
            found = nt.intervals(
                grouped if told else single, metric, method=method, alpha=DELTA,
                activation_range=(-1, 1),
            )  # fmt: skip
            truth = np.diagonal(planted_similarity(p, metric))
            missed[metric, method, told] += num_missed(found, truth)
    return {setting: count / DATASETS for setting, count in missed.items()}


def num_missed(found, truth):
    """How many of the datasets side by side have an interval that misses the truth."""
    lower, upper = (np.diagonal(x) for x in (found.lower, found.upper))
    return np.count_nonzero(~((lower <= truth) & (truth <= upper)))


def test_finite_sample_intervals_miss_no_more_than_delta():
    settings = [
        ("iou", "exact", False), ("accuracy", "exact", False), ("f1", "hoeffding", False),
        ("auroc", "chernoff", False), ("balanced_accuracy", "exact", False),
        ("mad", "bernstein", False), ("iou", "dkw", False),
    ]  # fmt: skip
    for setting, share in misses(settings, repeat=False).items():
        assert share <= DELTA + NOISE, setting


def test_asymptotic_intervals_miss_delta():
    settings = [(m, "asymptotic", False) for m in ("iou", "auroc", "correlation")]
    # normal limits are off by O(1/n), here up to two points
    for setting, share in misses(settings, repeat=False).items():
        assert abs(share - DELTA) <= NOISE + 0.02, setting


def test_groups_must_be_told():
    """Copies taken as independent samples halve the width: a negative control."""
    valid = misses([("iou", "betting", True), ("auroc", "asymptotic", True)], repeat=True)
    assert valid["iou", "betting", True] <= DELTA + NOISE
    assert abs(valid["auroc", "asymptotic", True] - DELTA) <= NOISE + 0.02
    control = misses([("iou", "exact", False), ("auroc", "asymptotic", False)], repeat=True)
    for setting, share in control.items():
        assert share > DELTA + NOISE + 0.1, setting


def test_thresholds_from_the_same_data():
    """Limits for fixed thresholds fail where the data chose the threshold; three ways out hold.

    The concept is a fair coin, whatever the activation: precision is 1/2 at every threshold.
    """
    missed = dict.fromkeys(("tuned exact", "tuned dkw", "quantile exact", "split exact"), 0)
    n, every = 400, np.arange(TOGETHER)
    for seed in range(DATASETS // TOGETHER):
        rng = np.random.default_rng(seed)
        f, c = rng.random((n, TOGETHER)), rng.random((n, TOGETHER)) < 0.5

        def probe(f=f, c=c, **options):
            return nt.make_probe(f, c, **options)

        # the threshold with the most striking precision, with ten active at least
        order = np.argsort(-f, axis=0)
        active = np.arange(1, n + 1)[:, None]
        hits = np.cumsum(np.take_along_axis(c, order, axis=0), axis=0)
        striking = np.abs(hits - active / 2) / np.sqrt(active)
        best = 9 + np.argmax(striking[9:-1], axis=0)
        tuned = (f[order[best, every], every] + f[order[best + 1, every], every]) / 2
        quantile = probe(top_fraction=0.2)
        split = nt.split_thresholds(jax.random.key(seed), quantile, top_fraction=0.2, split=0.5)
        for name, p, method in (
            ("tuned exact", probe(thresholds=tuned), "exact"),
            ("tuned dkw", probe(thresholds=tuned), "dkw"),
            ("quantile exact", quantile, "exact"),
            ("split exact", split, "exact"),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", nt.faithfulness.CoverageWarning)
                found = nt.intervals(p, "precision", method=method, alpha=DELTA)
            missed[name] += num_missed(found, 0.5)
    share = {name: count / DATASETS for name, count in missed.items()}
    assert share["tuned exact"] > DELTA + NOISE
    assert share["tuned dkw"] <= DELTA + NOISE
    assert share["split exact"] <= DELTA + NOISE
    # a quantile knows nothing of the labels: at its own threshold it does no harm worth seeing
    assert share["quantile exact"] <= DELTA + NOISE


def test_a_quantile_of_the_data_is_not_the_quantile_of_the_population():
    """The concept is the neuron's top 5%: the population's IoU there is 1, the measured one less.

    Limits are for the threshold in use; taken for the population's top 5% they fail.
    """
    missed = 0
    for seed in range(DATASETS // TOGETHER):
        f = np.random.default_rng(seed).random((100, TOGETHER))
        probe = nt.make_probe(f, f > 0.95, top_fraction=0.05)
        with pytest.warns(nt.faithfulness.CoverageWarning, match="same data"):
            found = nt.intervals(probe, "iou", method="exact", alpha=DELTA)
        missed += np.count_nonzero(np.diagonal(found.upper) < 1)
    assert missed / DATASETS > DELTA + NOISE + 0.3


def test_certified_sets_hold_the_best_concept_among_near_ties():
    """Ten concepts within 0.002 of each other, where votes fail; regret bounds the loss."""
    outside = worse = 0
    effect = np.zeros((1, 12))
    effect[0, :10] = 0.05
    effect[0, 0] += 0.002
    for seed in range(DATASETS):
        p = planted(
            jax.random.key(seed), 1000, num_neurons=1, num_concepts=12, frequency=0.2,
            effect=effect,
        )  # fmt: skip
        proof = nt.certify(nt.make_probe(p.activations, p.concepts, thresholds=0.0), alpha=DELTA)
        truth = np.asarray(planted_similarity(p, "iou")[0])
        outside += not bool(proof.mask[0, int(truth.argmax())])
        worse += truth.max() - truth[int(proof.label[0])] > float(proof.regret[0])
    assert outside / DATASETS <= DELTA + NOISE
    assert worse / DATASETS <= DELTA + NOISE


def test_calibrated_sets_cover_among_near_ties_where_vote_sets_do_not():
    """Ten concepts within 0.002 of each other; then one clear winner, where the set is small."""

    datasets = DATASETS // 2

    def shares(gap, rivals):
        """How often each method's sets hold the best concept, and the calibrated ones' size."""
        effect = np.zeros((1, rivals + 2))
        effect[0, :rivals] = 0.05
        effect[0, 0] += gap
        hits, size = {"vote": 0, "calibrated": 0}, 0
        for seed in range(datasets):
            p = planted(
                jax.random.key(seed), 1000, num_neurons=1, num_concepts=rivals + 2,
                frequency=0.2, effect=effect,
            )  # fmt: skip
            probe = nt.make_probe(p.activations, p.concepts, thresholds=0.0)
            boot = nt.bootstrap(jax.random.key(seed), probe, num_replicates=100, chunk_size=100)
            assert int(jnp.argmax(planted_similarity(p, "iou")[0])) == 0
            for method in hits:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", nt.faithfulness.CoverageWarning)
                    found = nt.concept_sets(boot, alpha=0.1, method=method)
                hits[method] += bool(found.mask[0, 0])
            size += int(found.size[0])
        return {m: count / datasets for m, count in hits.items()}, size / datasets

    noise = 4 * np.sqrt(0.9 * 0.1 / datasets)
    tied, _ = shares(gap=0.002, rivals=10)
    assert tied["calibrated"] > 0.9 - noise
    assert tied["vote"] < 0.9 - noise - 0.1
    clear, size = shares(gap=0.5, rivals=2)
    assert min(clear.values()) > 0.9 - noise
    assert size < 1.2


@pytest.mark.slow
def test_sets_cover_where_a_sparse_feature_meets_no_positive(monkeypatch):
    """A best concept that is never met by chance stays; were it tested, its replicates would lie.

    A feature active on 3% of the samples, a concept of 15 positives of which it is active on 9%:
    one probing set in four has no such sample, and then no replicate has one.
    """

    def coverage():
        held = []
        for seed in range(25):
            rng = np.random.default_rng(seed)
            c = rng.random((1000, 12)) < np.r_[np.full(4, 0.015), np.full(8, 0.4)]
            # each feature's own concept is the best, a frequent one is nearly as good
            rate = np.where(c[:, :4], 0.09, 0.02 + 0.02 * c[:, 4:5])
            f = np.where(rng.random((1000, 4)) < rate, rng.random((1000, 4)) + 0.1, 0)
            probe = nt.make_probe(f, c, thresholds=0.0)
            boot = nt.bootstrap(jax.random.key(seed), probe, "auroc", num_replicates=100)
            held.append(np.asarray(nt.concept_sets(boot, alpha=0.1).mask)[range(4), range(4)])
        return np.mean(held)

    assert coverage() > 0.9
    plenty = jnp.full((4, 12), 1e6)
    monkeypatch.setattr(compute, "effective_units", lambda *_: plenty)
    assert coverage() < 0.9


@pytest.mark.slow
def test_sets_cover_with_twelve_groups(monkeypatch):
    """Ten tied concepts on 12 groups, whose samples have much in common.

    Were each pair on ample evidence, the spread of 12 groups would be taken for known.
    """
    datasets, groups = 40, np.repeat(np.arange(12), 80)

    def coverage():
        held = []
        for seed in range(datasets):
            rng = np.random.default_rng(seed)

            def normal(columns, rng=rng):
                own, shared = rng.normal(size=(960, columns)), rng.normal(size=(12, columns))
                return 0.84 * own + 0.55 * shared[groups]

            cause = normal(1)
            f = 0.9 * cause + 0.44 * normal(4)
            c = 0.7 * cause + 0.71 * normal(10) > 0.85
            probe = nt.make_probe(f.astype(np.float32), c, groups=groups)
            boot = nt.bootstrap(
                jax.random.key(seed), probe, "spearman", num_replicates=100, chunk_size=100
            )
            # any of the tied concepts is the best: the mean is over which one is meant
            held.append(np.asarray(nt.concept_sets(boot, alpha=0.1).mask).mean())
        # neurons and concepts of a dataset are dependent; datasets are not
        return np.mean(held), 4 * np.std(held) / np.sqrt(datasets)

    share, noise = coverage()
    assert share > 0.9 - noise
    plenty = jnp.full((4, 10), 1e6)
    monkeypatch.setattr(compute, "effective_units", lambda *_: plenty)
    share, noise = coverage()
    assert share < 0.9 - noise
