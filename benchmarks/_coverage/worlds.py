"""Laws of probing sets whose best concept is known: what `coverage.py` draws from.

Neurons and concepts are thresholds of correlated normal variables, so every true similarity is an
integral; or, where the best concept is rare, events of known probability.
"""

import math
from functools import cache
from itertools import product
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

import neurotrust_jax as nt

NEURONS, SHARED = 4, 0.9  # neurons of a layer, and their correlation with the concepts' cause
STRENGTH, TOP = 0.7, 0.1  # correlation of cause and concepts; share of samples a neuron is active
WITHIN = 0.3  # correlation of a variable within a group
ZIPF_GROUPS = 60
RARE, ACTIVE, LIFT, COMMON = 0.015, 0.05, 2.0, 0.3  # of the world with a rare best concept


class Cell(NamedTuple):
    """A law of probing sets, and how they are resampled.

    Attributes
    ----------
    metric : str
    n, num_concepts : int
    frequency : float
        Frequency of the concepts.
    gap : float
        How much less the other concepts depend on the cause.
    structure : str
        "independent", "correlated" or "nested" given the cause; "crossing": two kinds of concepts,
        frequent weak ones and rare strong ones, as similar at the population's threshold but at no
        other; "rare best": the best concept is rare and hardly met.
    groups : str
        "": samples are independent; "copies": each is there three times, as one group; "12", "20":
        12 or 20 groups of one size; "zipf": 60 groups, the k-th of a size that falls as 1/k.
    scheme : str
    quantile : bool
        Whether thresholds are quantiles of the data, not those of the population.
    """

    metric: str
    n: int
    num_concepts: int
    frequency: float
    gap: float = 0.0
    structure: str = "independent"
    groups: str = ""
    scheme: str = "multinomial"
    quantile: bool = False


def laws(metrics, sizes, samples, frequencies):
    """Ties in every size; then gaps, structures and groups at one size."""
    for metric in metrics:
        for m, n, frequency in product(sizes, samples, frequencies):
            yield Cell(metric, n, m, frequency)
        n, m = samples[min(1, len(samples) - 1)], sizes[min(1, len(sizes) - 1)]
        for frequency in frequencies:
            for gap in (0.02, 0.1, 0.4):
                yield Cell(metric, n, m, frequency, gap)
            for structure in ("correlated", "nested"):
                yield Cell(metric, n, m, frequency, structure=structure)
            yield Cell(metric, n, m, frequency, groups="copies")


def hostile_laws(n=1000, num_concepts=10):
    """Where evidence is scarce or unequal, or something else than the bootstrap varies."""
    for metric in ("balanced_accuracy", "mad", "standardised_mad", "correlation", "spearman"):
        yield Cell(metric, n, 8, RARE, structure="rare best")
    for groups, gap in product(("zipf", "12", "20"), (0.0, 0.1)):
        for metric in ("iou", "auroc", "spearman", "correlation"):
            yield Cell(metric, n, num_concepts, 0.2, gap, groups=groups)
    for gap in (0.0, 0.1):
        yield Cell("soft_wpmi", n, num_concepts, 0.2, gap, scheme="subsample")
        for metric in ("iou", "precision"):
            yield Cell(metric, n, num_concepts, 0.2, gap, quantile=True)
    yield Cell("iou", n, num_concepts, 0.2, structure="crossing", quantile=True)
    yield Cell("iou", n, num_concepts, 0.2, structure="crossing")


def law(cell):
    """Correlation of each concept with the cause, and its threshold."""
    rho = np.full(cell.num_concepts, STRENGTH - cell.gap)
    rho[0] = STRENGTH
    frequency = np.full(cell.num_concepts, cell.frequency)
    if cell.structure == "nested":  # every second concept is a part of the one before it
        frequency[1::2] *= 0.6
    if cell.structure == "crossing":
        rho[1::2], frequency[1::2] = _as_similar(cell.frequency, cell.frequency / 4)
    return rho, np.array([NormalDist().inv_cdf(1 - p) for p in frequency])


@cache
def _as_similar(frequency, rarer):
    """The correlation at which a rarer concept has the IoU of the others, and its frequency."""
    wanted = _iou(STRENGTH, frequency)
    low, high = 0.0, 0.999
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _iou(middle, rarer) < wanted else (low, middle)
    return low, rarer


def _iou(rho, frequency):
    return _values("iou", np.array([rho]), np.array([NormalDist().inv_cdf(1 - frequency)]))[0]


def _sizes(cell):
    """Number of samples in each group."""
    if cell.groups == "zipf":
        share = 1 / np.arange(1, ZIPF_GROUPS + 1)
        return np.maximum(np.round(cell.n * share / share.sum()), 1).astype(int)
    return np.full(int(cell.groups), cell.n // int(cell.groups))


def draw(cell, seed, neurons=NEURONS):
    """A probing set."""
    rng = np.random.default_rng(seed)
    if cell.structure == "rare best":
        return _draw_rare(cell, rng, neurons)
    rho, threshold = law(cell)
    n, groups = cell.n, None
    if cell.groups not in ("", "copies"):
        groups = np.repeat(np.arange(len(_sizes(cell))), _sizes(cell))
        n = len(groups)

    def normal(columns):
        single = rng.standard_normal((n, columns))
        if groups is None:
            return single
        shared = rng.standard_normal((groups[-1] + 1, columns))[groups]
        return math.sqrt(WITHIN) * shared + math.sqrt(1 - WITHIN) * single

    cause = normal(1)
    f = SHARED * cause + math.sqrt(1 - SHARED**2) * normal(neurons)
    noise = normal(cell.num_concepts)
    if cell.structure == "correlated":
        noise = math.sqrt(0.5) * (noise + rng.standard_normal((n, 1)))
    if cell.structure == "nested":
        noise = noise[:, np.arange(cell.num_concepts) // 2 * 2]
    c = rho * cause + np.sqrt(1 - rho**2) * noise > threshold
    if cell.groups == "copies":
        groups = np.repeat(np.arange(n), 3)
        f, c = f[groups], c[groups]
    chosen = {"top_fraction": TOP} if cell.quantile else {"thresholds": _top_threshold()}
    return nt.make_probe(f.astype(np.float32), c, groups=groups, **chosen)


def _draw_rare(cell, rng, neurons):
    """Neurons fire twice as often where the first concept is, and know nothing of the others."""
    frequency = np.r_[RARE, np.full(cell.num_concepts - 1, COMMON)]
    c = rng.random((cell.n, cell.num_concepts)) < frequency
    rate = np.where(c[:, :1], LIFT * ACTIVE, ACTIVE)
    shape = cell.n, neurons
    f = np.where(rng.random(shape) < rate, 0.5 + rng.random(shape), 0)
    return nt.make_probe(f.astype(np.float32), c, thresholds=0.0)


def _top_threshold():
    return NormalDist().inv_cdf(1 - TOP)


def best(cell):
    """Whether each concept is truly the most similar; ties have one and the same value, [C]."""
    if cell.structure == "rare best":
        return np.arange(cell.num_concepts) == 0
    metric = "iou" if cell.metric == "soft_wpmi" else cell.metric  # orders these concepts alike
    value = _values(metric, *law(cell))
    return value > value.max() - 1e-6


def _values(metric, rho, threshold):
    """True similarity of each concept, [C], by quadrature on a fine grid."""
    x = np.linspace(-9, 9, 20_001)
    weight = np.exp(-x * x / 2)
    weight /= weight.sum()
    active = x > _top_threshold()
    found = []
    for r, t in zip(SHARED * rho, threshold, strict=True):
        given = ndtr((r * x - t) / math.sqrt(1 - r * r))
        p, a, both = (weight * given).sum(), weight[active].sum(), (weight * given)[active].sum()
        if metric == "iou":
            value = both / (p + a - both)
        elif metric == "precision":
            value = both / a
        elif metric == "accuracy":
            value = 1 - p - a + 2 * both
        elif metric == "correlation":
            value = (weight * x * given).sum() / math.sqrt(p * (1 - p))
        else:  # auroc, and Spearman's correlation with concepts of one frequency
            with_, without = weight * given / p, weight * (1 - given) / (1 - p)
            value = (with_ * (np.cumsum(without) - without / 2)).sum()
        found.append(value)
    return np.array(found)
