"""How large a probing set must be: the rates of the finite-sample limits, turned round.

Plain float64 NumPy: planning needs no data, and its numbers must not depend on JAX's precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..metrics.table import METRICS, Metric, get_metric
from .certificates import LOWER_SHARE

__all__ = ["RequiredSamples", "generalization_gap", "required_samples"]

Floats: TypeAlias = np.float64 | NDArray[np.float64]
Ints: TypeAlias = np.int64 | NDArray[np.int64]

# beyond it float64 no longer tells n from n - 1
MOST_SAMPLES = 2**53


class RequiredSamples(NamedTuple):
    """The size of a probing set.

    Attributes
    ----------
    samples : int64, broadcast shape of epsilon (or margin), concept_frequency and so on
        Number of independent samples, at least 1.
    positives : int64, same shape
        How many of them to expect with the concept, rounded up.
    """

    samples: Ints
    positives: Ints


class _Design(NamedTuple):
    """A probing set to come and what is asked of it.

    It has n samples, P(present), P(active) and the kurtosis of the activations; alpha is for all
    concepts, and for one side or both.
    """

    n: NDArray[np.float64]
    present: NDArray[np.float64]
    active: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    num_concepts: int
    alpha: float
    sides: int = 2

    def rate(self, count: Floats, proportions: int = 1) -> Floats:
        """Half-width for a mean in [0, 1] of ``count`` samples, one of ``proportions`` at once."""
        log = math.log(self.sides * proportions * self.num_concepts / self.alpha)
        return np.sqrt(log / (2 * count))

    def two_classes(self, share: Floats) -> Floats:
        """Half-width for the mean of two proportions, one given an event and one given not."""
        return (self.rate(self.n * share, 2) + self.rate(self.n * (1 - share), 2)) / 2

    def pairs(self, share: Floats) -> Floats:
        """Half-width for an AUROC: as many independent pairs as the smaller class has samples."""
        return self.rate(self.n * np.minimum(share, 1 - share))

    def union(self) -> Floats:
        # active or present is at least as likely as either
        return self.rate(self.n * np.maximum(self.present, self.active))

    def independent(self) -> Floats:
        """Normal half-width for the correlation of independent columns, standard error n^-1/2."""
        # the lower tail, since 1 - alpha / 2m rounds; one side of an error above 1/2 needs no width
        z = max(-NormalDist().inv_cdf(self.alpha / (self.sides * self.num_concepts)), 0)
        return z / np.sqrt(self.n)

    def shifted(self) -> Floats:
        """Normal half-width for the correlation with a concept that shifts the activation.

        Let x and y be concept and activation, standardised, r their correlation, and
        y = r x + (1 - r²)^½ e with e independent of x. The influence on r is x y - r (x² + y²) / 2
        = (1 - r²) (r (x² - e²) / 2 + (1 - r²)^½ x e), of variance (1 - r²)² (1 + r² (K - 1)) with
        K = (kurtosis of e + kurtosis of x - 2) / 4. Its largest value is 1, at r = 0, up to K = 3,
        and from there on 4 K³ / (27 (K - 1)²), at r² = (K - 3) / (3 (K - 1)).
        """
        k = (self.kurtosis + 1 / (self.present * (1 - self.present)) - 5) / 4
        k = np.maximum(k, 3)
        return np.sqrt(4 * k**3 / (27 * (k - 1) ** 2)) * self.independent()


# One row a metric: its half-width. Each must not increase with n even in the last bit, which is
# why F1's 2g / (1 + g) is written with one g.
ROWS: Mapping[str, Callable[[_Design], Floats]] = MappingProxyType(
    {
        "accuracy": lambda d: d.rate(d.n),
        "precision": lambda d: d.rate(d.n * d.active),
        "recall": lambda d: d.rate(d.n * d.present),
        "iou": lambda d: d.union(),
        "f1": lambda d: 2 / (1 + 1 / d.union()),
        "balanced_accuracy": lambda d: d.two_classes(d.present),
        "simulation_balanced_accuracy": lambda d: d.two_classes(d.active),
        "auroc": lambda d: d.pairs(d.present),
        "simulation_auroc": lambda d: d.pairs(d.active),
        "correlation": lambda d: d.shifted(),
        "spearman": lambda d: d.independent(),
    }
)


def generalization_gap(
    metric: str | Metric,
    n: ArrayLike,
    *,
    concept_frequency: ArrayLike,
    num_concepts: int = 1,
    alpha: float = 0.05,
    active_rate: ArrayLike = 0.05,
    kurtosis: ArrayLike = 3.0,
) -> Floats:
    """How far measured and true similarity can be apart, on n independent samples.

    With probability 1 - alpha no concept of ``num_concepts`` is off by more, either way, for a
    neuron's threshold fixed beforehand. Let p be ``concept_frequency``, a ``active_rate``,
    M ``num_concepts`` and r(N, m) = sqrt(ln(2 m M / alpha) / (2 N)), Hoeffding's half-width (1963,
    theorem 2) for m proportions that share alpha, each a mean of N samples:

    ==============================  ================================================
    accuracy                        r(n, 1)
    precision, recall               r(n a, 1), r(n p, 1)
    iou                             r(n max(p, a), 1)
    f1                              2g / (1 + g), the largest shift of 2J / (1 + J)
                                    that a shift g of the IoU J makes
    balanced_accuracy               (r(n p, 2) + r(n (1 - p), 2)) / 2
    simulation_balanced_accuracy    the same with a for p
    auroc                           r(n min(p, 1 - p), 1): a two-sample U-statistic
                                    given the labels (Hoeffding, 1963, section 5b)
    simulation_auroc                the same with a for p
    correlation                     v z(1 - alpha / (2 M)) / sqrt(n), asymptotic; with
                                    K = (kurtosis + 1 / (p (1 - p)) - 5) / 4 the factor
                                    v² = 4 K³ / (27 (K - 1)²), and v = 1 up to K = 3
    spearman                        z(1 - alpha / (2 M)) / sqrt(n), asymptotic
    ==============================  ================================================

    The bounds hold given the realised number N of samples that are active, present, or either;
    planning puts its expectation there (for either: a lower bound on it), and half of all probing
    sets have fewer. Limits from data (:func:`neurotrust_jax.intervals`, method "exact", "chernoff"
    or "hoeffding") lie within them at the same counts. For thresholds taken from the same data, or
    samples in groups, they can be wider.

    The last two rows hold for large n only. That of ``correlation`` is for concepts of 0 and 1 that
    shift a neuron's activation: what is left of it once the concept is known has the stated
    kurtosis, and one law with and without the concept. It is then the worst over all correlations
    (at independence v is 1, whatever the kurtosis). A concept that also changes the spread of the
    activation can make the error larger still: measure a pilot probing set by ``intervals(...,
    method="asymptotic")`` and scale its width by 1/sqrt(n). That of ``spearman`` is for independent
    neuron and concept; whatever the law, a concept of 0 and 1 makes it at most
    sqrt(3 max(p, 1 - p)) times as large (from the largest variance of an AUROC).

    Parameters
    ----------
    metric : str or Metric
        One of the above.
    n : float array, at least 1
        Number of independent samples.
    concept_frequency : float array in (0, 1)
        Share of samples that have the concept; of several concepts, the rarest (for AUROC and
        balanced accuracy, the furthest from one half).
    num_concepts : int, at least 1
        Concepts for which the gap holds at once (Bonferroni); for all neurons too, the number of
        pairs.
    alpha : float in (0, 1)
        Probability that any of them is further off.
    active_rate : float array in (0, 1)
        Share of samples on which the neuron is active.
    kurtosis : float array, at least 1
        Fourth central moment over the squared variance of the activations on samples without the
        concept: 3 of a normal law, 114 of a lognormal one. Matters for ``correlation`` only.

    Returns
    -------
    float64, broadcast shape of n, concept_frequency, active_rate and kurtosis
        At most the width of the metric's range, where n says nothing.

    Raises
    ------
    ValueError
        If an argument is out of range, shapes do not broadcast, or the metric has no row.
    """
    metric = get_metric(metric)
    gap = _row(metric)
    size = _numbers(
        "n", n, lambda x: (x >= 1) & (x < math.inf),
        "be finite and at least 1", "give the number of independent samples",
    )  # fmt: skip
    laws = _laws(concept_frequency, active_rate, kurtosis)
    _check(num_concepts, alpha)
    size, present, active, tails = _broadcast(n=size, **laws)
    design = _Design(size, present, active, tails, num_concepts, alpha)
    return np.minimum(gap(design), metric.range[1] - metric.range[0])


def required_samples(
    metric: str | Metric,
    epsilon: ArrayLike | None = None,
    *,
    margin: ArrayLike | None = None,
    concept_frequency: ArrayLike,
    num_concepts: int = 1,
    alpha: float = 0.05,
    active_rate: ArrayLike = 0.05,
    kurtosis: ArrayLike = 3.0,
) -> RequiredSamples:
    """The smallest probing set with a given error, or on which a label gets certified.

    The smallest n at which :func:`generalization_gap` is at most ``epsilon``; with ``margin``, at
    which four gaps fit into it. A label is certified when its lower limit exceeds every other upper
    limit, see :func:`certify`. With probability 1 - alpha each measured similarity is within the
    gap of the true one: two gaps. The best concept's lower limit lies another gap below, at a
    quarter of alpha, the second's upper limit another above, at the rest of alpha for one concept
    alone. (The latter two would separate intervals about the true values; measured values fall
    closer together than that in about half of all probing sets.) All four are gaps to one side: the
    best concept must not be measured too low, nor another one too high.

    Everything said there of counts, thresholds and the asymptotic metrics applies here.

    Parameters
    ----------
    metric : str or Metric
        One with a row in :func:`generalization_gap`.
    epsilon : float array, positive
        Largest error accepted. From the width of the metric's range on, one sample does.
    margin : float array, positive, at most the width of the metric's range
        How far the best concept's true similarity is ahead of the second's; excludes ``epsilon``.
        ``num_concepts`` must count all concepts compared, and ``concept_frequency`` be that of the
        rarest.
    concept_frequency, num_concepts, alpha, active_rate, kurtosis
        As in :func:`generalization_gap`.

    Returns
    -------
    RequiredSamples

    Raises
    ------
    ValueError
        If not exactly one of epsilon and margin is given, an argument is out of range, shapes do
        not broadcast, the metric has no row, or more than 2**53 samples are needed.
    """
    metric = get_metric(metric)
    gap = _row(metric)
    width = metric.range[1] - metric.range[0]
    if (epsilon is None) == (margin is None):
        raise ValueError(
            f"give exactly one of epsilon and margin, got epsilon={epsilon!r} and margin={margin!r}"
        )
    if margin is None:
        name, sides, parts = "epsilon", 2, [(num_concepts, alpha)]
        target = _numbers(
            name, epsilon, lambda x: (x > 0) & (x < math.inf),
            "be finite and positive", "give the largest error accepted",
        )  # fmt: skip
    else:
        name, sides, errors = "margin", 1, 2 * [(num_concepts, alpha)]
        parts = [*errors, (num_concepts, LOWER_SHARE * alpha), (1, (1 - LOWER_SHARE) * alpha)]
        target = _numbers(
            name, margin, lambda x: (x > 0) & (x <= width),
            f"be positive and at most {width:g}",
            f"no two values of {metric.name} are further apart than that",
        )  # fmt: skip
    laws = _laws(concept_frequency, active_rate, kurtosis)
    _check(num_concepts, alpha)
    target, present, active, tails = _broadcast(**{name: target, **laws})

    def enough(n: NDArray[np.int64]) -> NDArray[np.bool_]:
        size = n.astype(np.float64)
        gaps = [gap(_Design(size, present, active, tails, *part, sides)) for part in parts]
        return np.minimum(gaps, width).sum(axis=0) <= target

    low, high = np.zeros(target.shape, np.int64), np.full(target.shape, MOST_SAMPLES)
    if not np.all(enough(high)):
        raise ValueError(
            f"{name}={target.min()} needs more than 2**53 samples for {metric.name}; "
            "give a larger one"
        )
    # low is too few and high is enough, until they are neighbours
    while np.any(high - low > 1):
        middle = np.maximum((low + high) // 2, 1)
        reached = enough(middle)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    # 100 * 0.07 is 7.000000000000001, and 7 positives
    positives = np.ceil(high * present * (1 - 4e-16)).astype(np.int64)
    return RequiredSamples(high[()], positives[()])


def _row(metric: Metric) -> Callable[[_Design], Floats]:
    # a metric of the caller's own may bear the name of another
    if METRICS.get(metric.name) is not metric or metric.name not in ROWS:
        own = "" if METRICS.get(metric.name) is metric else ", when it is not that of METRICS"
        raise ValueError(
            f"the gap of metric {metric.name!r} is not known beforehand{own}; it is for "
            f"{', '.join(ROWS)}; for others measure a pilot probing set with "
            "intervals(..., method='asymptotic') and scale its width by 1/sqrt(n)"
        )
    return ROWS[metric.name]


def _laws(
    concept_frequency: ArrayLike, active_rate: ArrayLike, kurtosis: ArrayLike
) -> dict[str, NDArray[np.float64]]:
    """What is known of neuron and concept, checked, in the order of a design."""
    laws = {
        name: _numbers(
            name, value, lambda x: (x > 0) & (x < 1),
            "lie strictly between 0 and 1", "give a share of samples, not a count or a percentage",
        )
        for name, value in (("concept_frequency", concept_frequency), ("active_rate", active_rate))
    }  # fmt: skip
    laws["kurtosis"] = _numbers(
        "kurtosis", kurtosis, lambda x: (x >= 1) & (x < math.inf),
        "be finite and at least 1", "give E(f - mean)^4 / variance^2, which is 3 of a normal law",
    )  # fmt: skip
    return laws


def _check(num_concepts: int, alpha: float) -> None:
    if not isinstance(num_concepts, int | np.integer) or num_concepts < 1:
        raise ValueError(
            f"num_concepts must be an integer of at least 1, got {num_concepts!r}; give the number "
            "of concepts for which the gap should hold at once"
        )
    if np.ndim(alpha) or not 0 < alpha < 1:
        raise ValueError(
            f"alpha must be one number strictly between 0 and 1, got {alpha!r}; give the "
            "probability of a miss, such as 0.05"
        )


def _numbers(
    name: str,
    value: ArrayLike | None,
    valid: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    must: str,
    remedy: str,
) -> NDArray[np.float64]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must {must}, got {value!r}; {remedy}") from None
    good = valid(array)
    if not np.all(good):
        raise ValueError(f"{name} must {must}, got {array[~good].flat[0]}; {remedy}")
    return array


def _broadcast(**arrays: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    try:
        return list(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"shapes do not broadcast, got {shapes}; add axes of length 1") from None
