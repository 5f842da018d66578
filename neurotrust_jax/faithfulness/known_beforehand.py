"""What the caller knows beforehand: how large a unit can be, and the range of activations."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.sums import per_unit
from .._runtime.kept import kept
from ..metrics.metric import Metric
from ..probing.probe import Probe

__all__ = ["LargestUnit", "check_per_pair", "in_samples", "known_range", "largest_weight"]

LargestUnit = float | Literal["pair"] | None


def largest_weight(probe: Probe, largest_unit: float | None) -> float:
    """Largest total weight that a unit can have."""
    heaviest = float(np.asarray(probe.weights).max())
    bound = 1.0
    if probe.groups is not None:
        of_unit = _of_heaviest_unit(probe.weights, probe.groups, num=probe.num_units)
        bound = float(of_unit) / heaviest
    if largest_unit is None:
        return bound * heaviest
    if not (math.isfinite(largest_unit) and largest_unit >= bound * (1 - 1e-6)):
        raise ValueError(
            f"largest_unit must be at least {bound:g}, the largest total weight of a unit seen in "
            f"units of the heaviest sample's, got {largest_unit}"
        )
    return float(largest_unit) * heaviest


@kept
@partial(jax.jit, static_argnames="num")
def _of_heaviest_unit(weights: Array, groups: Array, *, num: int) -> Array:
    return per_unit(weights, groups, num).max()


def check_per_pair(probe: Probe, metric: Metric) -> None:
    """Refuse ``largest_unit="pair"`` where there are no groups, or pairs of samples count."""
    if probe.groups is None:
        raise ValueError(
            "largest_unit='pair' is for groups, and this probe has none; leave it out, or give "
            "groups= to make_probe"
        )
    if metric.interval_rule is not None and metric.interval_rule.paired:
        raise ValueError(
            f"largest_unit='pair' does not fit {metric.name!r}, which counts pairs of samples; "
            "give the largest number of samples that a group can have"
        )


def in_samples(weight: float, even: bool) -> str:
    """A weight, in units of the heaviest sample's."""
    if not even:
        return f"{weight:g} times the heaviest sample"
    return "1 sample" if weight == 1 else f"{weight:g} samples"


def known_range(probe: Probe, known: tuple[Any, Any] | None) -> tuple[Array, Array]:
    """Smallest and largest activation possible, [U] each; zeros where they are not known."""
    low = high = jax.device_put(np.zeros(probe.num_neurons, probe.weights.dtype))
    if known is None:
        return low, high
    low, high = (jnp.broadcast_to(jnp.asarray(x, low.dtype), low.shape) for x in known)
    for some, part in probe.in_neurons():
        values = part.neurons.values
        inside = (values >= low[some][None, :]) & (values <= high[some][None, :])
        if not bool(inside.all()):
            row, own = (int(i) for i in np.argwhere(~np.asarray(inside))[0])
            column = some.start + own
            raise ValueError(
                f"activation_range must hold every activation, but sample {row} of neuron {column} "
                f"has {float(values[row, own]):g}, outside [{float(low[column]):g}, "
                f"{float(high[column]):g}]; give the range the network can reach"
            )
    return low, high
