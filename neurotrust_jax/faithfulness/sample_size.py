"""How large a probing set must be: the rates of the finite-sample bounds, solved for its size.

Plain float64 NumPy: planning needs no data, and its numbers must not depend on JAX's precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._runtime.short_repr import short_repr
from ..metrics.metric import Metric
from ..metrics.planning import Floats, ProbingDesign
from ..metrics.table import METRICS, get_metric
from .certificates import LOWER_SHARE

__all__ = ["RequiredSamples", "generalization_gap", "required_samples"]

Ints: TypeAlias = np.int64 | NDArray[np.int64]

# beyond it float64 no longer tells n from n - 1
MOST_SAMPLES = 2**53


@short_repr
class RequiredSamples(NamedTuple):
    """The size of a probing set.

    Attributes
    ----------
    samples : int64, broadcast shape of error (or margin), concept_frequency and so on
        Number of independent samples, at least 1.
    positives : int64, same shape
        How many of them to expect with the concept, rounded up.
    """

    samples: Ints
    positives: Ints


def generalization_gap(
    metric: str | Metric,
    num_samples: ArrayLike,
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
    num_samples : float array, at least 1
        Number n of independent samples.
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
    float64, broadcast shape of num_samples, concept_frequency, active_rate and kurtosis
        At most the width of the metric's range, where n says nothing.

    Raises
    ------
    ValueError
        If an argument is out of range, shapes do not broadcast, or the metric has no planning gap.

    Examples
    --------
    >>> import neurotrust_jax as nt
    >>> gap = nt.generalization_gap("accuracy", 10_000, concept_frequency=0.1)
    >>> round(float(gap), 4)
    0.0136
    """
    metric = get_metric(metric)
    gap = _gap_of(metric)
    size = _numbers(
        "num_samples", num_samples, lambda x: (x >= 1) & (x < math.inf),
        "be finite and at least 1", "give the number of independent samples",
    )  # fmt: skip
    laws = _laws(concept_frequency, active_rate, kurtosis)
    _check(num_concepts, alpha)
    size, present, active, spread = _broadcast(num_samples=size, **laws)
    design = ProbingDesign(size, present, active, spread, num_concepts, alpha)
    return np.minimum(gap(design), metric.range[1] - metric.range[0])


def required_samples(
    metric: str | Metric,
    error: ArrayLike | None = None,
    *,
    margin: ArrayLike | None = None,
    concept_frequency: ArrayLike,
    num_concepts: int = 1,
    alpha: float = 0.05,
    active_rate: ArrayLike = 0.05,
    kurtosis: ArrayLike = 3.0,
) -> RequiredSamples:
    """The smallest probing set with a given error, or on which a label gets certified.

    The smallest n at which :func:`generalization_gap` is at most ``error``; with ``margin``, at
    which four gaps fit into it. A label is certified when its lower bound exceeds every other upper
    bound, see :func:`certify`. With probability 1 - alpha each measured similarity is within the
    gap of the true one: two gaps. The best concept's lower bound lies another gap below, at a
    quarter of alpha, the second's upper bound another above, at the rest of alpha for one concept
    alone. (The latter two would separate intervals about the true values; measured values fall
    closer together than that in about half of all probing sets.) All four are gaps to one side: the
    best concept must not be measured too low, nor another one too high.

    Everything said there of counts, thresholds and the asymptotic metrics applies here.

    Parameters
    ----------
    metric : str or Metric
        One with a row in :func:`generalization_gap`.
    error : float array, positive
        Largest error accepted. From the width of the metric's range on, one sample does.
    margin : float array, positive, at most the width of the metric's range
        How far the best concept's true similarity is ahead of the second's; excludes ``error``.
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
        If not exactly one of error and margin is given, an argument is out of range, shapes do
        not broadcast, the metric has no planning gap, or more than 2**53 samples are needed.

    Examples
    --------
    >>> import neurotrust_jax as nt
    >>> answer = nt.required_samples("recall", 0.1, concept_frequency=0.01, num_concepts=256)
    >>> int(answer.samples), int(answer.positives)
    (46171, 462)
    """
    metric = get_metric(metric)
    gap = _gap_of(metric)
    width = metric.range[1] - metric.range[0]
    if (error is None) == (margin is None):
        raise ValueError(
            f"give exactly one of error and margin, got error={error!r} and margin={margin!r}"
        )
    if margin is None:
        name, tails, parts = "error", 2, [(num_concepts, alpha)]
        target = _numbers(
            name, error, lambda x: (x > 0) & (x < math.inf),
            "be finite and positive", "give the largest error accepted",
        )  # fmt: skip
    else:
        name, tails, errors = "margin", 1, 2 * [(num_concepts, alpha)]
        parts = [*errors, (num_concepts, LOWER_SHARE * alpha), (1, (1 - LOWER_SHARE) * alpha)]
        target = _numbers(
            name, margin, lambda x: (x > 0) & (x <= width),
            f"be positive and at most {width:g}",
            f"no two values of {metric.name} are further apart than that",
        )  # fmt: skip
    laws = _laws(concept_frequency, active_rate, kurtosis)
    _check(num_concepts, alpha)
    target, present, active, spread = _broadcast(**{name: target, **laws})

    def enough(n: NDArray[np.int64]) -> NDArray[np.bool_]:
        size = n.astype(np.float64)
        gaps = [gap(ProbingDesign(size, present, active, spread, *part, tails)) for part in parts]
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


def _gap_of(metric: Metric) -> Callable[[ProbingDesign], Floats]:
    if metric.planning_gap is None:
        known = ", ".join(x.name for x in METRICS.values() if x.planning_gap is not None)
        raise ValueError(
            f"the gap of metric {metric.name!r} is not known beforehand; it is for {known}, "
            "and for a metric of your own with a planning_gap; for others measure a pilot probing "
            "set with intervals(..., method='asymptotic') and scale its width by 1/sqrt(n)"
        )
    return metric.planning_gap


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
