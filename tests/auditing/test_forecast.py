"""Forecasts of an audit: counts of what its trend says, and refusals."""

from dataclasses import replace

import fuzz
import numpy as np
import pytest

from neurotrust_jax.resampling.trend import Trend

AUDIT = replace(
    fuzz.small_audit(4),
    trend=Trend(
        50, np.array([0.5, 2.0, 4.0, np.nan]), np.array([1.0, 0.2, 0.0, np.nan]),
        np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.9, -0.6, 0.1]), np.array([0.4, 0.5, 0.6]),
    ),
)  # fmt: skip


def test_counts_what_the_trend_says():
    found = AUDIT.forecast()
    np.testing.assert_array_equal(found.num_units, [50, 100, 200, 400])
    probability = AUDIT.trend.probability(found.num_units)[:, :3]
    np.testing.assert_allclose(found.expected, probability.sum(axis=1))
    np.testing.assert_array_equal(found.reliable, (probability >= 0.9).sum(axis=1))
    assert found.reliable[0] < found.reliable[-1]
    assert (np.diff(found.expected) > 0).all()
    assert found.num_neurons == 4
    assert found.guarantee == AUDIT.replication_guarantee


def test_sizes_come_in_ascending_order_once():
    found = AUDIT.forecast([200, 50, 200])
    np.testing.assert_array_equal(found.num_units, [50, 200])
    assert repr(found).startswith("Forecast for 50, 200 samples: ")
    one = AUDIT.forecast(200)
    np.testing.assert_allclose(one.expected, found.expected[1:])


def test_refusals():
    with pytest.raises(ValueError, match="num_units must be whole numbers, got float64"):
        AUDIT.forecast([60.5])
    with pytest.raises(ValueError, match=r"num_units must lie between 50.* and 400, 8 times"):
        AUDIT.forecast(401)
    silent = replace(AUDIT, trend=replace(AUDIT.trend, agreement=np.full(3, np.nan)))
    with pytest.raises(ValueError, match="quarters of the 50 samples give no neuron a label"):
        silent.forecast()
