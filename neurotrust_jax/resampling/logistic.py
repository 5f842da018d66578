"""Logistic regression on a handful of coefficients, in float64 NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["fit", "intercept", "log_odds", "logistic"]

STEPS = 60


def fit(
    design: np.ndarray,
    outcome: np.ndarray,
    weight: np.ndarray,
    typical: np.ndarray,
    penalty: np.ndarray,
) -> np.ndarray:
    """Logistic regression by Newton's steps, drawn to typical coefficients.

    Half the penalty times the squared distance from ``typical`` is added to the loss.

    Parameters
    ----------
    design : numpy.ndarray [m, p]
    outcome, weight : numpy.ndarray [m]
        Shares in [0, 1], and how much each counts.
    typical, penalty : numpy.ndarray [p]
    """
    found = typical.copy()
    for _ in range(STEPS):
        expected = logistic(design @ found)
        slope = design.T @ (weight * (outcome - expected)) - penalty * (found - typical)
        curvature = weight * expected * (1 - expected)
        step = np.linalg.solve((design.T * curvature) @ design + np.diag(penalty), slope)
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
