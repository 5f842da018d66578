"""Does a formula say more of a neuron than one concept does?

A longer formula may have the higher similarity although its other concepts have nothing to do with
the neuron. The IoU of a neuron and a concept that are independent grows with the size of the
concept, for example, so that "a or b" is truly better than "a" for a neuron of pure noise. The null
hypothesis here is that, given the concept, the neuron does not depend on the formula: among the
samples that have the concept, and among those that do not, the formula holds as often where the
neuron is active as where it is not.

For single samples of equal weight and a neuron that is active or not, this has an exact test. In
each of the two strata the number of samples on which both neuron and formula hold is hypergeometric
given its margins, and the p-value is the probability that their sum is as large as seen (Mantel and
Haenszel, 1959; the exact law by convolution). Otherwise the test is that of the mean, over sampling
units, of the product of residuals: those of the neuron's view, and those of the formula, less their
regression on the concept. It is asymptotic, by Student's t for the effective number of units.
"""

from __future__ import annotations

import numpy as np

from ..faithfulness.evidence import units_of_moments

__all__ = ["by_counts", "by_units", "upper_tail"]


def by_counts(active: np.ndarray, formula: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """Exact p-values [U], of columns [n, U] of bool for the neurons, formulas and concepts."""
    active, formula, concept = (np.asarray(x, bool) for x in (active, formula, concept))
    counts = []
    for stratum in (concept, ~concept):
        total, on, holds, both = (
            (stratum & x).sum(axis=0) for x in (True, active, formula, active & formula)
        )
        counts.append(np.stack([total, on, holds, both], axis=1))
    log_factorial = np.append(0.0, np.cumsum(np.log(np.arange(1, len(active) + 1))))
    return np.array([_tail(log_factorial, *x) for x in zip(*counts, strict=True)])


def _tail(log_factorial: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """P(sum of two hypergeometric numbers >= that seen)."""
    laws, least = [], 0
    for total, on, holds, _ in (first, second):
        low = max(0, on + holds - total)
        both = np.arange(low, min(on, holds) + 1)
        cells = (both, on - both, holds - both, total - on - holds + both)
        margins = on, total - on, holds, total - holds
        weight = sum(log_factorial[x] for x in margins) - log_factorial[total]
        laws.append(np.exp(weight - sum(log_factorial[x] for x in cells)))
        least += low
    law = np.convolve(*laws)
    seen = first[3] + second[3] - least
    return float(min(law[seen:].sum(), 1.0))


def by_units(
    values: np.ndarray,
    formula: np.ndarray,
    concept: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray | None,
) -> np.ndarray:
    """Asymptotic p-values [U], of columns [n, U] for the neurons, formulas and concepts.

    Parameters
    ----------
    values : array [n, U]
        What the metric reads of the neurons.
    formula, concept : array [n, U]
    weights : array [n]
    groups : array [n] of int, or None
        Sampling units; each sample is one without them.
    """  # fmt: skip
    w = np.asarray(weights, np.float64)[:, None]
    values, formula, concept = (np.asarray(x, np.float64) for x in (values, formula, concept))
    product = w * _residual(values, concept, w) * _residual(formula, concept, w)
    if groups is not None:
        total = np.zeros((int(groups.max()) + 1, product.shape[1]))
        np.add.at(total, groups, product)
        product = total
    count = np.bincount(groups, w[:, 0]) > 0 if groups is not None else w[:, 0] > 0
    square, fourth = (product**2).sum(axis=0), (product**4).sum(axis=0)
    varies = square > 0
    freedom = units_of_moments(square, fourth, count.sum()) - 1
    ratio = product.sum(axis=0) / np.sqrt(np.where(varies, square, 1))
    return np.where(varies, upper_tail(ratio, freedom), 1.0)


def _residual(x: np.ndarray, concept: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Columns less their weighted regression on the concept of the same column."""
    total = w.sum()
    centred, moved = x - (w * x).sum(axis=0) / total, concept - (w * concept).sum(axis=0) / total
    spread = (w * moved**2).sum(axis=0)
    slope = (w * centred * moved).sum(axis=0) / np.where(spread > 0, spread, 1)
    return centred - slope * moved


def upper_tail(ratio: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """P(Student's t with these degrees of freedom > ratio)."""
    from scipy.special import stdtr  # slow to import, and few need it

    return np.asarray(stdtr(np.maximum(freedom, 1), -ratio))
