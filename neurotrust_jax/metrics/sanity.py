"""Sanity checks of the metrics themselves: do they notice labels that are missing, or too many?

The missing-label and extra-label tests of Oikarinen, Yan & Weng, "Evaluating Neuron Explanations:
A Unified Framework with Sanity Checks" (ICML 2025). A simulated neuron fires exactly on its
concept. The concept's labels are then damaged: each is dropped with probability 1/2 (missing), or
as many are added at random (extra). A sound metric scores the damaged concept lower.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.short_repr import short_repr
from ..probing.probe import Side
from .metric import Metric
from .scores import score_prepared
from .table import get_metric

__all__ = ["FREQUENCIES", "LabelTests", "label_tests"]

FREQUENCIES = (0.499, 0.1, 0.01, 0.001, 0.0001)


@short_repr
class LabelTests(NamedTuple):
    """Mean change of a metric, over its range, when labels are damaged.

    Attributes
    ----------
    missing, extra : Array [F]
        Mean normalised change for each activation frequency; 0 or above means blind.
    missing_error, extra_error : Array [F]
        Standard errors of these means over the seeds.
    """

    missing: Array
    extra: Array
    missing_error: Array
    extra_error: Array


def label_tests(
    key: Array,
    metric: str | Metric,
    *,
    frequencies: tuple[float, ...] = FREQUENCIES,
    num_samples: int = 500_000,
    num_seeds: int = 100,
) -> LabelTests:
    """Run the missing-label and the extra-label test on simulated neurons.

    Neuron k is 1 on the first ``frequencies[k] * num_samples`` samples and 0 elsewhere, and so is
    its concept. Changes are divided by the metric's range; for an unbounded metric, as in the
    source, by the range of all its values met in the test with the first seed.

    Parameters
    ----------
    key : JAX PRNG key
    metric : str or Metric
    frequencies : tuple of float in (0, 1/2)
        Activation frequencies F.
    num_samples, num_seeds : int

    Returns
    -------
    LabelTests
    """
    metric = get_metric(metric)
    if not all(0 < p < 0.5 for p in frequencies):
        raise ValueError(f"frequencies must lie in (0, 0.5), got {frequencies}")
    counts = np.floor(np.asarray(frequencies) * num_samples + 0.5).astype(int)
    if counts.min() < 1:
        raise ValueError(
            f"num_samples={num_samples} leaves no sample active at frequency {min(frequencies)}; "
            f"use at least {int(np.ceil(1 / min(frequencies)))}"
        )
    perfect = jnp.arange(num_samples)[:, None] < jnp.asarray(counts)[None, :]
    neurons = metric.prepare_neurons(_side(perfect))
    weights = jnp.ones(num_samples, jnp.float32)

    def score(labels: Array) -> Array:
        return score_prepared(
            (neurons, metric.prepare_concepts(_side(labels))), weights, metric=metric
        )

    best = score(perfect)
    low, high = metric.range
    bounded = np.isfinite(high - low)
    missing, extra = [], []
    for seed in range(num_seeds):
        drop_key, add_key = jax.random.split(jax.random.fold_in(key, seed))
        fewer = perfect & jax.random.bernoulli(drop_key, 0.5, perfect.shape)
        rate = perfect.mean(axis=0) / (1 - perfect.mean(axis=0))
        more = perfect | (jax.random.uniform(add_key, perfect.shape) < rate[None, :])
        after_missing, after_extra = score(fewer), score(more)
        if not bounded and seed == 0:
            seen = jnp.stack([best, after_missing, after_extra])
            low, high = float(jnp.nanmin(seen)), float(jnp.nanmax(seen))
        missing.append(jnp.diagonal(after_missing - best) / (high - low))
        extra.append(jnp.diagonal(after_extra - best) / (high - low))
    missing_mean, missing_error = _mean(missing)
    extra_mean, extra_error = _mean(extra)
    return LabelTests(missing_mean, extra_mean, missing_error, extra_error)


def _side(present: Array) -> Side:
    return Side(present.astype(jnp.float32), present)


def _mean(draws: list[Array]) -> tuple[Array, Array]:
    stack = jnp.stack(draws)
    spread = stack.std(axis=0, ddof=1) if len(draws) > 1 else jnp.full_like(draws[0], jnp.nan)
    return stack.mean(axis=0), spread / jnp.sqrt(len(draws))
