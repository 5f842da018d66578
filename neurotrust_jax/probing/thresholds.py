"""Thresholds above which a neuron counts as active."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.ranks import ascending
from .._numerics.sums import running_total
from .active_rows import list_active
from .probe import Probe
from .sparse_columns import SparseColumns

__all__ = [
    "DEFAULT_SPLIT",
    "DEFAULT_TOP_FRACTION",
    "check_top",
    "from_the_top",
    "last_kept",
    "raised_thresholds",
    "threshold_at",
    "top_thresholds",
]

DEFAULT_TOP_FRACTION = 0.05
DEFAULT_SPLIT = 0.2  # share of the sampling units set aside for thresholds
COLUMNS = 64  # turned from columns to rows at a time


def check_top(share: float, name: str) -> float:
    """A share in (0, 1]."""
    if not 0 < share <= 1:
        raise ValueError(f"{name} must lie in (0, 1], got {share}")
    return float(share)


def top_thresholds(probe: Probe, fraction: float) -> Array:
    """Threshold of each neuron so that the top ``fraction`` of the weight is active, [U]."""

    def of_part(part: Probe) -> Array:
        f = jnp.asarray(part.activations)
        return _top_thresholds(f, ascending(f), part.sample_weight, fraction, probe.inclusive)

    return probe.map_neurons(of_part)


def raised_thresholds(probe: Probe, share: float) -> Array:
    """Thresholds [U] that leave each neuron active on the top of its active samples.

    Parameters
    ----------
    probe : Probe
    share : float in (0, 1]
        How much of the weight of the samples on which a neuron is active remains, rounded up to
        whole samples. Samples that tie at the new threshold are active or not as those at the old
        one are, see ``ties`` in :func:`make_probe`.

    Returns
    -------
    Array [U]
        A neuron that is never active keeps its threshold.
    """
    raised = np.array(probe.thresholds)
    weights = np.asarray(probe.weights, np.float64)
    for u, (values, rows) in enumerate(from_the_top(probe)):
        for last in last_kept(weights[rows], [share]):
            raised[u] = threshold_at(values, int(last), raised[u], probe.inclusive)
    return jax.device_put(raised)


def last_kept(weights: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Place of the last sample that each share of the weight takes in, none without samples."""
    if not len(weights):
        return np.zeros(0, int)
    reached = np.cumsum(weights)
    return np.searchsorted(reached, np.asarray(shares) * reached[-1] * (1 - 1e-9))


def threshold_at(values: np.ndarray, last: int, before: Any, inclusive: bool) -> Any:
    """Threshold that keeps descending values up to place ``last``; as before if that is all."""
    if inclusive:
        return values[last]
    return values[last + 1] if last + 1 < len(values) else before


def from_the_top(probe: Probe) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Activations on the samples on which each neuron is active, highest first, and their rows."""
    for values, rows in _active_values(probe):
        order = np.argsort(-values, kind="stable")
        yield values[order], rows[order]


def _active_values(probe: Probe) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Activations on the samples on which each neuron is active, and their rows, ascending."""
    f = probe.activations
    if not isinstance(f, SparseColumns):
        values = np.asarray(f)
        on = np.asarray(probe.active) & (np.asarray(probe.weights) > 0)[:, None]
        for start in range(0, probe.num_neurons, COLUMNS):
            some = slice(start, start + COLUMNS)
            for column, active in zip(values[:, some].T, on[:, some].T, strict=True):
                rows = np.flatnonzero(active)
                yield column[rows], rows
        return
    listed = list_active(probe)
    for u, (stored, values) in enumerate(f.columns()):
        rows = listed.of_neuron(u)
        place = np.minimum(np.searchsorted(stored, rows), max(len(stored) - 1, 0))
        if len(stored):
            # 0 is active too where the threshold is below it
            yield np.where(stored[place] == rows, values[place], 0).astype(f.dtype), rows
        else:
            yield np.zeros(len(rows), f.dtype), rows


@partial(jax.jit, static_argnames="inclusive")
def _top_thresholds(f: Array, order: Array, w: Array, fraction: float, inclusive: bool) -> Array:
    n = f.shape[0]
    order = order[::-1]
    reached = running_total(w[order])
    total = w.sum()
    # Whole weights are counts: a fraction of them is rounded up (the factor keeps 0.05 * 600 at 30
    # in floating point), and half a count tells "reached" from "just short" safely.
    budget = total * fraction
    whole = jnp.all(w == jnp.round(w))
    budget = jnp.where(whole, jnp.ceil(budget * (1 - 4 * jnp.finfo(w.dtype).eps)), budget)
    half = jnp.where(whole, 0.5, 0.0).astype(w.dtype)
    below = reached < budget - half if inclusive else reached <= budget + half
    index = below.sum(axis=0)
    at = jnp.take_along_axis(
        f, jnp.take_along_axis(order, jnp.minimum(index, n - 1)[None, :], axis=0), axis=0
    )[0]
    return jnp.where(index < n, at, -jnp.inf).astype(f.dtype)
