"""Views: how a metric reads one side of a probe.

A view turns the values of a side into a matrix [n, d] whose weighted sums the metric takes. What
does not depend on the weights (sorting, say) is prepared once; what does (the mid-ranks, the mean)
is evaluated again under every weight vector, so that a bootstrap replicate by weights equals the
metric on resampled rows exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._numerics.ranks import mid_ranks, ranking
from .._numerics.sums import weighted_total
from .._runtime.kept import kept
from ..probing.probe import Side

__all__ = [
    "VIEWS",
    "View",
    "both_vary",
    "centred",
    "evaluate",
    "varies",
]

LOG_FLOOR = 1e-8  # smallest probability whose logarithm is taken (as in Oikarinen et al., 2025)


class View(NamedTuple):
    """A way to read one side.

    Attributes
    ----------
    prepare : callable
        ``prepare(side) -> prepared``, free of weights.
    evaluate : callable
        ``evaluate(prepared, weights [n]) -> Array [n, d]``.
    summary : str
        What the numbers mean.
    distinct : callable
        ``distinct(prepared) -> Array [n, d]`` of numbers that differ between two rows where the
        view does. Of the view itself, which is calculated, a compiler may round two copies
        differently, and a constant column would then seem to vary.
    weights_enter : {"nowhere", "mean", "other"}
        Whether the view depends on the weights: not at all, through the weighted mean that it
        subtracts, or otherwise.
    """

    prepare: Callable[[Side], Any]
    evaluate: Callable[[Any, Array], Array]
    summary: str
    distinct: Callable[[Any], Array] = lambda prepared: prepared
    weights_enter: str = "other"


@kept
@jax.jit
def varies(values: Array, weights: Array) -> Array:
    """Whether each column takes two values or more on the rows of positive weight, [d] of bool.

    Where it does not, no similarity is defined: a dead neuron, a constant activation, a concept
    that is never or always there.
    """
    # if weights are constants, XLA looks for the first used row as it compiles, for minutes
    used = lax.optimization_barrier(weights > 0)
    one = values[jnp.argmax(used)]
    return ((values != one[None, :]) & used[:, None]).any(axis=0)


def both_vary(f: Array, c: Array, weights: Array) -> Array:
    """Whether both columns of a pair vary, [U, C] of bool."""
    return varies(f, weights)[:, None] & varies(c, weights)[None, :]


@jax.jit
def _scaled(side: Side) -> Array:
    """Divide by the largest magnitude: sums of squares then stay finite for activations of 1e30."""
    largest = jnp.max(jnp.abs(side.values), axis=0, keepdims=True)
    # XLA divides by the reciprocal, which is out of range for the largest and smallest floats
    step = jnp.where(largest > 1, 2.0**-64, 2.0**64).astype(largest.dtype)
    return side.values * step / jnp.where(largest > 0, largest * step, 1)


@jax.jit
def _standard(side: Side) -> Array:
    """Deviations from the plain mean over the largest one, for metrics blind to shift and scale."""
    scaled = _scaled(side)
    return _scaled(Side(scaled - scaled.mean(axis=0, keepdims=True), side.present))


def centred(values: Array, weights: Array) -> Array:
    """Subtract the weighted mean of each column of ``values`` [n, d]."""
    return values - weighted_total(values, weights)[None, :] / weights.sum()


def _log_lift(values: Array, weights: Array) -> Array:
    mean = weighted_total(values, weights)[None, :] / weights.sum()
    return jnp.log(jnp.maximum(values, LOG_FLOOR)) - jnp.log(jnp.where(mean > 0, mean, 1))


VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "binary": View(
            lambda side: side.present.astype(side.values.dtype),
            lambda prepared, weights: prepared,
            "1 where active or present, else 0",
            weights_enter="nowhere",
        ),
        "raw": View(
            _scaled,
            lambda prepared, weights: prepared,
            "the value over its largest magnitude",
            weights_enter="nowhere",
        ),
        "centred": View(
            lambda side: side.values,
            centred,
            "the value minus its weighted mean",
            weights_enter="mean",
        ),
        "standard": View(
            _standard,
            centred,
            "the value minus its weighted mean, scaled",
            weights_enter="mean",
        ),
        "cubed": View(
            _standard,
            lambda prepared, weights: centred(prepared, weights) ** 3,
            "the cube of the value minus its weighted mean, scaled",
        ),
        "rank": View(
            lambda side: ranking(side.values),
            mid_ranks,
            "the weighted mid-rank",
            lambda ranking: ranking.first,
        ),
        "log": View(
            lambda side: side.values,
            _log_lift,
            "the logarithm of a probability over its weighted mean",
            lambda prepared: jnp.maximum(prepared, LOG_FLOOR),
        ),
    }
)


@partial(jax.jit, static_argnames="view")
def evaluate(prepared: Any, weights: Array, *, view: str) -> Array:
    """A view [n, d] from what was prepared of a side."""
    return VIEWS[view].evaluate(prepared, weights)
