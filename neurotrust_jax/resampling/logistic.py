"""Logistic regression on a handful of coefficients, in float64 NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Observations", "fit", "intercept", "log_odds", "logistic"]

STEPS = 60


class Observations(NamedTuple):
    """Some of the observations of a regression.

    Attributes
    ----------
    design : numpy.ndarray [m, p]
    outcome : numpy.ndarray [m]
        Shares in [0, 1].
    weight : numpy.ndarray [m]
        How much each counts.
    """

    design: np.ndarray
    outcome: np.ndarray
    weight: np.ndarray


def fit(
    observed: Callable[[], Iterable[Observations]], typical: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Logistic regression by Newton's steps, drawn to typical coefficients.

    Half the penalty times the squared distance from ``typical`` is added to the loss.

    Parameters
    ----------
    observed : callable
        Gives the observations, some at a time, again for every step.
    typical, penalty : numpy.ndarray [p]
    """
    found = typical.copy()
    for _ in range(STEPS):
        slope, curvature = -penalty * (found - typical), np.diag(penalty)
        for design, outcome, weight in observed():
            expected = logistic(design @ found)
            slope = slope + design.T @ (weight * (outcome - expected))
            curvature = curvature + (design.T * (weight * expected * (1 - expected))) @ design
        step = np.linalg.solve(curvature, slope)
        step *= min(1, 2 / max(np.abs(step).max(), 1e-9))
        found = found + step
        if np.abs(step).max() < 1e-8:
            break
    return found


def intercept(score: np.ndarray, mean: float) -> float:
    """The number that, added to all scores [m], gives their logistic function this mean."""
    low, high = -score.max() - 50, -score.min() + 50
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if logistic(middle + score).mean() < mean else (low, middle)
    return (low + high) / 2


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return 0.5 * (1 + np.tanh(x / 2))


def log_odds(p: float) -> float:
    """log(p / (1 - p)) of a probability strictly between 0 and 1."""
    return math.log(p / (1 - p))
