"""Planning against naive loops, against simulated probing sets, and against itself inverted."""

import dataclasses
import math

import numpy as np
import oracles
import pytest
from scipy import stats

import neurotrust_jax as nt
from neurotrust_jax.faithfulness.sample_size import generalization_gap, required_samples

PLANNED = [m.name for m in nt.METRICS.values() if m.planning_gap is not None]


def half_width(count, miss):
    """Where Hoeffding's two-sided bound 2 exp(-2 N t²) equals ``miss``."""
    return math.sqrt(-math.log(miss / 2) / 2 / count)


def widest_f1_shift(shift):
    """The largest change of 2J / (1 + J) over a grid of IoUs J, which has 0 in it."""
    widest = 0.0
    for j in np.linspace(0, 1, 1001):
        widest = max(widest, 2 * (j + shift) / (1 + j + shift) - 2 * j / (1 + j))
    return widest


def both_classes(n, share, miss):
    return (half_width(n * share, miss / 2) + half_width(n * (1 - share), miss / 2)) / 2


def normal(n, miss):
    return stats.norm.isf(miss / 2) / math.sqrt(n)


def worst_influence(share, kurtosis):
    """The largest standard deviation of a sample's influence on Pearson's correlation.

    The concept is there or not, and what is left of the neuron is 0 or far out: two by three
    outcomes, summed over.
    """
    x = np.array([[-share, 1 - share]]).T / math.sqrt(share * (1 - share))
    e = math.sqrt(kurtosis) * np.array([[-1, 0, 1]])
    mass = np.array([[1 - share, share]]).T * [1 / 2 / kurtosis, 1 - 1 / kurtosis, 1 / 2 / kurtosis]
    r = np.linspace(0, 1, 2001)[:, None, None]
    y = r * x + np.sqrt(1 - r**2) * e
    influence = x * y - r / 2 * (x**2 + y**2)
    return math.sqrt((influence**2 * mass).sum((1, 2)).max())


# the half-width from n, P(present), P(active) and the probability of a miss of one concept
NAIVE = {
    "accuracy": lambda n, p, a, miss: half_width(n, miss),
    "precision": lambda n, p, a, miss: half_width(n * a, miss),
    "recall": lambda n, p, a, miss: half_width(n * p, miss),
    "iou": lambda n, p, a, miss: half_width(n * max(p, a), miss),
    "f1": lambda n, p, a, miss: widest_f1_shift(half_width(n * max(p, a), miss)),
    "balanced_accuracy": lambda n, p, a, miss: both_classes(n, p, miss),
    "simulation_balanced_accuracy": lambda n, p, a, miss: both_classes(n, a, miss),
    "auroc": lambda n, p, a, miss: half_width(min(n * p, n - n * p), miss),
    "simulation_auroc": lambda n, p, a, miss: half_width(min(n * a, n - n * a), miss),
    "correlation": lambda n, p, a, miss: normal(n, miss) * worst_influence(p, 3.0),
    "spearman": lambda n, p, a, miss: normal(n, miss),
}
ASYMPTOTIC = ("correlation", "spearman")


def test_every_row_has_a_naive_twin():
    assert set(NAIVE) == set(PLANNED)


@pytest.mark.parametrize("metric", PLANNED)
def test_gap_equals_the_naive_loop_and_broadcasts(metric):
    n = np.array([1, 40, 3000, 1e6])
    frequency = np.array([[0.001], [0.3], [0.8]])
    rate = np.array([0.05, 0.7])[:, None, None]
    low, high = nt.METRICS[metric].range
    got = generalization_gap(
        metric, n, concept_frequency=frequency, num_concepts=7, alpha=0.1, active_rate=rate
    )
    assert got.shape == (2, 3, 4)
    assert got.dtype == np.float64
    for (k, j, i), value in np.ndenumerate(got):
        naive = NAIVE[metric](n[i], frequency[j, 0], rate[k, 0, 0], 0.1 / 7)
        # the worst correlation lies between those of the grid
        close = 1e-6 if metric == "correlation" else 1e-12
        assert value == pytest.approx(min(naive, high - low), rel=close)


@pytest.mark.parametrize("kurtosis", [1.0, 8.9, 113.9])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_heavy_tails_and_rare_concepts_widen_the_gap_of_a_correlation(kurtosis, share):
    law = {"concept_frequency": share, "kurtosis": kurtosis}
    got = generalization_gap("correlation", 5000, **law)
    assert got == pytest.approx(normal(5000, 0.05) * worst_influence(share, kurtosis), rel=1e-6)
    assert got >= generalization_gap("spearman", 5000, **law)


def test_one_number_in_one_number_out():
    gap = generalization_gap("accuracy", 10_000, concept_frequency=0.1)
    # sqrt(ln(40) / 20000), by hand
    assert gap == pytest.approx(0.0135810151, abs=1e-10)
    assert isinstance(gap, np.float64)
    answer = required_samples("accuracy", 0.0135810152, concept_frequency=0.07)
    assert (answer.samples, answer.positives) == (10_000, 700)
    assert isinstance(answer.samples, np.int64)
    assert isinstance(answer.positives, np.int64)


# Cells of a probing set: the concept's label, and the neuron's activation, active above 0.
LABEL = np.array([0, 0, 0, 1, 1, 1])
ACTIVATION = np.array([-1, 0, 1, -1, 0, 1])
LAWS = {
    # each of the four outcomes alike
    "coins": (0.25, 0.0, 0.25, 0.25, 0.0, 0.25),
    # positives lie above or below every negative: the AUROC with the largest variance
    "split": (0.0, 0.5, 0.0, 0.25, 0.0, 0.25),
    "rare": (0.42, 0.41, 0.07, 0.01, 0.02, 0.07),
}
SAMPLES, DATASETS, DELTA = 400, 20_000, 0.2
NOISE = 4 * math.sqrt(DELTA * (1 - DELTA) / DATASETS)


def ordered(cells, score, label):
    """AUROC from cell masses [..., 6]: pairs ordered rightly, ties half."""
    positive, negative = cells * (label == 1), cells * (label == 0)
    kernel = (score[:, None] > score) + (score[:, None] == score) / 2
    won = ((positive @ kernel) * negative).sum(-1)
    return won / positive.sum(-1) / negative.sum(-1)


def masses(cells):
    """Total, active, present, both and either."""
    active = cells[..., ACTIVATION > 0].sum(-1)
    present = cells[..., LABEL == 1].sum(-1)
    both = cells[..., (LABEL == 1) & (ACTIVATION > 0)].sum(-1)
    return cells.sum(-1), active, present, both, active + present - both


def measured(metric, cells):
    """A metric of cell masses [..., 6], counts or probabilities alike."""
    n, active, present, both, either = masses(cells)
    neither = n - either
    return {
        "accuracy": lambda: (both + neither) / n,
        "precision": lambda: both / active,
        "recall": lambda: both / present,
        "iou": lambda: both / either,
        "f1": lambda: 2 * both / (active + present),
        "balanced_accuracy": lambda: (both / present + neither / (n - present)) / 2,
        "simulation_balanced_accuracy": lambda: (both / active + neither / (n - active)) / 2,
        "auroc": lambda: ordered(cells, ACTIVATION, LABEL),
        "simulation_auroc": lambda: ordered(cells, LABEL, ACTIVATION > 0),
    }[metric]()


def misses(metric, law, factor=1.0):
    """Share of probing sets whose deviation exceeds ``factor`` times the gap at their counts."""
    truth = np.array(LAWS[law])
    cells = np.random.default_rng(20).multinomial(SAMPLES, truth, DATASETS)
    n, active, present, _, either = masses(cells)
    if metric in ("iou", "f1"):
        active, present = either, np.ones_like(present)
    gap = generalization_gap(
        metric, n, concept_frequency=present / n, active_rate=active / n, alpha=DELTA
    )
    return np.mean(np.abs(measured(metric, cells) - measured(metric, truth)) > factor * gap)


FINITE = [m for m in PLANNED if m not in ASYMPTOTIC]


@pytest.mark.parametrize("metric", FINITE)
def test_the_simulation_measures_the_metric(metric):
    cells = np.array([5, 4, 3, 6, 2, 9])
    f, y = np.repeat(ACTIVATION, cells).astype(float), np.repeat(LABEL, cells).astype(float)
    oracle = oracles.PAIR[metric](f, y, (f > 0).astype(float), y)
    assert measured(metric, cells) == pytest.approx(oracle, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "law"),
    [*((m, law) for m in FINITE for law in ("coins", "rare")), ("auroc", "split")],
)
def test_deviations_exceed_the_gap_at_most_as_often_as_stated(metric, law):
    assert misses(metric, law) <= DELTA + NOISE


@pytest.mark.parametrize(
    ("metric", "law"),
    [
        ("accuracy", "coins"),
        ("precision", "coins"),
        ("recall", "coins"),
        ("iou", "coins"),
        ("auroc", "split"),
    ],
)
def test_half_of_the_gap_would_be_too_little(metric, law):
    assert misses(metric, law, factor=0.5) > DELTA + NOISE


@pytest.mark.parametrize("metric", ASYMPTOTIC)
@pytest.mark.parametrize("concept", ["binary", "normal"])
def test_independent_columns_exceed_the_asymptotic_gap_as_often_as_stated(metric, concept):
    datasets, n = 4000, 400
    rng = np.random.default_rng(21)
    f = rng.normal(size=(datasets, n))
    c = rng.normal(size=(datasets, n))
    if concept == "binary":
        c = (c > 0.5).astype(float)
    if metric == "spearman":
        f, c = stats.rankdata(f, axis=1), stats.rankdata(c, axis=1)
    f, c = f - f.mean(1, keepdims=True), c - c.mean(1, keepdims=True)
    value = (f * c).sum(1) / np.sqrt((f * f).sum(1) * (c * c).sum(1))
    gap = generalization_gap(metric, n, concept_frequency=0.3, alpha=DELTA)
    # first order in 1/n beside the noise
    slack = 4 * math.sqrt(DELTA * (1 - DELTA) / datasets) + 2 / n
    assert np.mean(np.abs(value) > gap) == pytest.approx(DELTA, abs=slack)
    assert np.mean(np.abs(value) > gap / 2) > DELTA + slack


@pytest.mark.parametrize(("law", "share"), [("normal", 0.01), ("lognormal", 0.1)])
def test_correlations_of_rare_concepts_and_heavy_tails_keep_the_gap(law, share):
    """At the worst correlation; a gap for independent columns would miss far more often."""
    datasets, n, r = 1000, 3000, 0.55
    rng = np.random.default_rng(24)
    c = rng.random((datasets, n)) < share
    rest = rng.normal(size=(datasets, n))
    kurtosis = 3.0
    if law == "lognormal":
        rest = (np.exp(rest) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)
        kurtosis = math.e**4 + 2 * math.e**3 + 3 * math.e**2 - 3
    x = (c - share) / math.sqrt(share * (1 - share))
    f = r * x + math.sqrt(1 - r**2) * rest
    f, x = f - f.mean(1, keepdims=True), x - x.mean(1, keepdims=True)
    value = (f * x).sum(1) / np.sqrt((f * f).sum(1) * (x * x).sum(1))
    noise = 4 * math.sqrt(DELTA * (1 - DELTA) / datasets)
    away = np.abs(value - r)
    options = {"concept_frequency": share, "alpha": DELTA}
    planned = generalization_gap("correlation", n, kurtosis=kurtosis, **options)
    assert np.mean(away > planned) <= DELTA + noise
    assert np.mean(away > generalization_gap("spearman", n, **options)) > DELTA + noise


@pytest.mark.parametrize("metric", ["accuracy", "precision", "iou", "f1", "auroc"])
def test_all_concepts_at_once(metric):
    one = generalization_gap(metric, 5000, concept_frequency=0.1, alpha=0.05 / 300)
    many = generalization_gap(metric, 5000, concept_frequency=0.1, num_concepts=300)
    assert many == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("metric", ["precision", "iou", "balanced_accuracy", "auroc"])
def test_hoeffding_intervals_of_a_probe_have_the_gap_at_its_counts(metric):
    rng = np.random.default_rng(22)
    f = rng.normal(size=(1000, 3)).astype(np.float32)
    y = rng.uniform(size=(1000, 4)) < 0.3 + 0.2 * (f[:, :1] > 0)
    probe = nt.make_probe(f, y.astype(np.float32), thresholds=0.3)
    active, share = f > np.float32(0.3), y.mean(0)[None, :]
    rate = active.mean(0)[:, None]
    if metric == "iou":
        rate = (active[:, :, None] | y[:, None, :]).mean(0)
        share = np.full_like(rate, 1e-9)
    gap = generalization_gap(
        metric, 1000, concept_frequency=share, active_rate=rate, num_concepts=4
    )
    limits = nt.intervals(probe, metric, method="hoeffding", simultaneous="concepts")
    value = np.asarray(limits.similarity, float)
    assert np.asarray(limits.upper) == pytest.approx(np.minimum(value + gap, 1), abs=1e-5)
    assert np.asarray(limits.lower) == pytest.approx(np.maximum(value - gap, 0), abs=1e-5)


@pytest.mark.parametrize("n", [1, 2, 10, 300])
def test_clopper_and_pearsons_limits_lie_within_the_gap(n):
    gap = generalization_gap("accuracy", n, concept_frequency=0.1, alpha=0.1)
    for hits in range(n + 1):
        limits = stats.binomtest(hits, n).proportion_ci(0.9, method="exact")
        assert hits / n - gap <= limits.low
        assert limits.high <= hits / n + gap


@pytest.mark.parametrize("metric", PLANNED)
def test_required_samples_is_the_smallest_number(metric):
    options = {
        "concept_frequency": np.array([[0.003], [0.2], [0.7]]),
        "active_rate": 0.04,
        "num_concepts": 20,
        "alpha": 0.01,
    }
    error = np.array([0.3, 0.05, 0.001])
    answer = required_samples(metric, error, **options)
    assert answer.samples.shape == answer.positives.shape == (3, 3)
    assert answer.samples.dtype == answer.positives.dtype == np.int64
    assert np.all(generalization_gap(metric, answer.samples, **options) <= error)
    assert np.all(generalization_gap(metric, answer.samples - 1, **options) > error)

    def four_gaps(n):
        """Two errors, the lower limit of the label and the upper limit of the best concept.

        Each on one side, which may fail as often as both sides of a gap at twice the error.
        """
        either = options | {"alpha": 2 * 0.01}
        below = options | {"alpha": 2 * 0.01 / 4}
        above = options | {"alpha": 2 * 0.03 / 4, "num_concepts": 1}
        parts = (either, either, below, above)
        return sum(generalization_gap(metric, n, **part) for part in parts)

    margin = 4 * error[1:]
    certain = required_samples(metric, margin=margin, **options)
    assert np.all(four_gaps(certain.samples) <= margin)
    assert np.all(four_gaps(certain.samples - 1) > margin)


@pytest.mark.parametrize("metric", PLANNED)
def test_required_samples_undoes_the_gap_exactly(metric):
    # equality counts as enough, also where n and n + 1 differ in the last digits only
    n = np.array([200_000, 123_456_789, 10**12])
    gap = generalization_gap(metric, n, concept_frequency=0.1)
    assert np.array_equal(required_samples(metric, gap, concept_frequency=0.1).samples, n)


def test_positives_are_the_share_of_the_samples():
    shares = np.array([0.001, 0.07, 0.29, 0.5])
    got = required_samples("accuracy", 0.0135810152, concept_frequency=shares)
    assert got.positives.tolist() == [10, 700, 2900, 5000]
    assert required_samples("accuracy", 0.0135810152, concept_frequency=0.00001).positives == 1


def test_an_error_as_wide_as_the_range_needs_one_sample():
    assert required_samples("iou", 1.0, concept_frequency=0.1).samples == 1
    assert generalization_gap("iou", 1, concept_frequency=0.1) == 1
    assert generalization_gap("spearman", 1, concept_frequency=0.1, alpha=1e-9) == 2


def certified_share(n):
    """How often of two concepts of accuracy 0.6 and 0.5 the better one is certified."""
    rng = np.random.default_rng(23)
    best, second = (rng.binomial(n, p, DATASETS) / n for p in (0.6, 0.5))
    below, above = (
        generalization_gap("accuracy", n, concept_frequency=0.1, num_concepts=count, alpha=alpha)
        for count, alpha in ((2, 2 * DELTA / 4), (1, 2 * 3 * DELTA / 4))
    )
    return np.mean(best - below > second + above)


def test_a_margin_certifies_the_label_as_often_as_stated():
    options = {"concept_frequency": 0.1, "num_concepts": 2, "alpha": DELTA}
    n = required_samples("accuracy", margin=0.1, **options).samples
    assert certified_share(n) >= 1 - DELTA - NOISE
    # negative control: limits that add up to the margin separate them about every other time
    typical = required_samples("accuracy", 0.05, **options).samples
    assert certified_share(typical) < 0.6


@pytest.mark.parametrize("metric", PLANNED)
def test_more_samples_and_weaker_demands_narrow_the_gap(metric):
    def gap(n=20_000, **changed):
        options = {"concept_frequency": 0.1, "active_rate": 0.05, "num_concepts": 10} | changed
        return generalization_gap(metric, n, **options)

    assert np.all(np.diff(gap(n=np.geomspace(1000, 1e9, 50))) < 0)
    assert np.all(np.diff([gap(alpha=d) for d in (1e-6, 0.01, 0.05, 0.5, 0.99)]) < 0)
    assert np.all(np.diff([gap(num_concepts=m) for m in (1, 2, 50, 10**9)]) > 0)
    by_present = np.diff(gap(concept_frequency=np.linspace(0.01, 0.5, 50)))
    by_active = np.diff(gap(active_rate=np.linspace(0.01, 0.5, 50)))
    present = metric in ("recall", "balanced_accuracy", "auroc", "iou", "f1", "correlation")
    active = metric in (
        "precision", "simulation_balanced_accuracy", "simulation_auroc", "iou", "f1",
    )  # fmt: skip
    # a union is as likely as the likelier side at least, so the other does not matter; a
    # correlation suffers from rare concepts only
    strict = metric not in ("iou", "f1", "correlation")
    assert np.all(by_present <= 0)
    assert np.all(by_present < 0) == (present and strict)
    assert np.any(by_present < 0) == present
    assert np.all(by_active <= 0)
    assert np.all(by_active < 0) == (active and strict)
    assert np.any(by_active < 0) == active


@pytest.mark.parametrize("metric", ["auroc", "balanced_accuracy"])
def test_a_concept_and_its_absence_are_as_hard(metric):
    both = generalization_gap(metric, 1000, concept_frequency=[0.25, 0.75])
    assert both[0] == both[1]


@pytest.mark.parametrize("metric", [m for m in nt.METRICS if m not in PLANNED])
def test_metrics_without_a_row_say_which_have_one(metric):
    for call in (
        lambda: generalization_gap(metric, 100, concept_frequency=0.1),
        lambda: required_samples(metric, 0.1, concept_frequency=0.1),
    ):
        with pytest.raises(ValueError, match=rf"'{metric}'.*accuracy, precision.*asymptotic"):
            call()


def test_a_metric_object_is_planned_for_by_the_gap_that_it_carries():
    iou = nt.METRICS["iou"]
    got = generalization_gap(iou, 100, concept_frequency=0.1)
    assert got == generalization_gap("iou", 100, concept_frequency=0.1)
    other = dataclasses.replace(iou, planning_gap=nt.METRICS["recall"].planning_gap)
    assert generalization_gap(other, 100, concept_frequency=0.1) == generalization_gap(
        "recall", 100, concept_frequency=0.1
    )
    with pytest.raises(ValueError, match=r"'iou'.*not known beforehand.*asymptotic"):
        generalization_gap(dataclasses.replace(iou, planning_gap=None), 100, concept_frequency=0.1)
    with pytest.raises(ValueError, match="did you mean 'iou'"):
        generalization_gap("iuo", 100, concept_frequency=0.1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_samples": 0}, "num_samples must be finite and at least 1, got 0.0"),
        ({"num_samples": [10, np.nan]}, "num_samples must .* got nan"),
        ({"num_samples": np.inf}, "num_samples must .* got inf"),
        ({"num_samples": "many"}, "num_samples must .* got 'many'; give the number"),
        ({"concept_frequency": 0}, "concept_frequency must .* got 0.0; give a share"),
        ({"concept_frequency": [0.1, 1.0]}, "concept_frequency must .* got 1.0"),
        ({"concept_frequency": None}, "concept_frequency must .* got nan"),
        ({"active_rate": 5}, "active_rate must .* got 5.0; give a share"),
        ({"kurtosis": 0.9}, "kurtosis must .* got 0.9; give E"),
        ({"alpha": 0.0}, "alpha must .* got 0.0; give the probability"),
        ({"alpha": 1}, "alpha must .* got 1"),
        ({"alpha": [0.1, 0.2]}, r"alpha must be one number .* got \[0.1, 0.2\]"),
        ({"num_concepts": 0}, "num_concepts must .* got 0; give the number"),
        ({"num_concepts": 2.5}, "num_concepts must be an integer .* got 2.5"),
        (
            {"num_samples": [1, 2], "active_rate": [0.1] * 3},
            r"num_samples \(2,\).*active_rate \(3,\).*; add axes",
        ),
    ],
)
def test_bad_arguments_of_the_gap(changed, message):
    with pytest.raises(ValueError, match=message):
        generalization_gap("iou", **({"num_samples": 100, "concept_frequency": 0.1} | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, "exactly one of error and margin, got error=None and margin=None"),
        ({"error": 0.1, "margin": 0.1}, "exactly one .* got error=0.1 and margin=0.1"),
        ({"error": 0}, "error must .* got 0.0; give the largest error"),
        ({"error": [0.1, np.nan]}, "error must .* got nan"),
        ({"error": 1e-12}, r"error=1e-12 needs more than 2\*\*53 samples for iou"),
        ({"margin": 1e-12}, r"margin=1e-12 needs more than 2\*\*53 samples for iou"),
        ({"margin": -0.1}, "margin must .* got -0.1"),
        ({"margin": 1.1}, "margin must be positive and at most 1, got 1.1; no two values of iou"),
        ({"error": [0.1, 0.2], "active_rate": [0.1] * 3}, r"error \(2,\).*; add axes"),
        ({"error": 0.1, "alpha": 2}, "alpha must .* got 2"),
        ({"error": 0.1, "num_concepts": -1}, "num_concepts must .* got -1"),
        ({"error": 0.1, "active_rate": 1}, "active_rate must .* got 1.0"),
    ],
)
def test_bad_arguments_of_required_samples(changed, message):
    with pytest.raises(ValueError, match=message):
        required_samples("iou", **({"concept_frequency": 0.1} | changed))
