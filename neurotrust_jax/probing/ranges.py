"""Ranges of activation: each neuron cut into a few neurons, from its highest activations down."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.validation import check_count
from .probe import Probe
from .sparse_columns import SparseColumns, by_column
from .thresholds import from_the_top, threshold_at

__all__ = ["activation_ranges", "check_whole", "range_edges"]

DTYPE = np.float16  # the smallest float of NumPy and JAX; a range holds 0 and 1 alone


def range_edges(probe: Probe, num_ranges: int) -> Array:
    """Cuts of each neuron's active samples into ranges of equal weight, [U, R - 1].

    The samples on which a neuron is active are ordered by activation, and a value belongs to the
    range in which the middle of its weight lies. So samples that tie stay together, and R ranges
    of n distinct values of equal weight hold n / R samples each, where R divides n.

    Parameters
    ----------
    probe : Probe
        Samples of weight 0 do not count.
    num_ranges : int
        Number R of ranges, at least 2.

    Returns
    -------
    Array [U, R - 1]
        In each row from the highest cut to the lowest, in the type of the activations, finite. An
        activation lies above a cut as it lies above a threshold: see ``ties`` in
        :func:`neurotrust_jax.make_probe`. A neuron that is never active has its threshold here, so
        that activations of other samples above it lie in the highest range.

    Raises
    ------
    ValueError
        If the number of ranges is no whole number of at least 2, the probe holds ranges already, or
        under ``jit``.

    Examples
    --------
    >>> probe = nt.make_probe(np.array([[0.0], [1], [2], [3], [4]]), np.eye(5), thresholds=0.5)
    >>> range_edges(probe, 2).tolist()
    [[2.0]]
    """
    count = _check(probe, num_ranges)
    largest = float(jnp.finfo(probe.activations.dtype).max)
    edges = np.repeat(np.asarray(probe.thresholds)[:, None], count - 1, axis=1)
    edges = np.clip(edges, -largest, largest).astype(edges.dtype)
    weights = np.asarray(probe.weights, np.float64)
    for u, (values, rows) in enumerate(from_the_top(probe)):
        if len(rows):
            edges[u] = _cuts(values, weights[rows], edges[u, 0], count, probe.inclusive)
    return jax.device_put(edges)


def activation_ranges(probe: Probe, num_ranges: int, *, edges: Any = None) -> Probe:
    """Cut each neuron into ranges of its activation, each of which is a neuron of the result.

    What a neuron means where it is most active and what it means just above its threshold can then
    be labelled and judged apart. The idea is that of clustered compositional explanations (La Rosa,
    Gilpin and Capobianco, NeurIPS 2023), which cut by k-means. Quantiles are taken here, since they
    give each range the same weight of samples, and so about the same evidence for its label, and
    since nothing about them is random.

    Parameters
    ----------
    probe : Probe
        U neurons; only the samples on which a neuron is active, those above its threshold, are cut.
    num_ranges : int
        Number R of ranges, at least 2.
    edges : array [U, R - 1], optional
        Cuts from other samples, as :func:`range_edges` gives them: from a part set aside, or the
        other half. Cuts below a neuron's threshold count as the threshold. Default: those of this
        probe.

    Returns
    -------
    Probe
        Of U * R neurons. The ranges of a neuron lie side by side from the highest to that just
        above the threshold, named ``"417 range 1/3"``, ``"417 range 2/3"``... Activations are 1 in
        the range and 0 elsewhere, of 16 bits, with 0.5 as threshold; sparse ones stay sparse. A
        neuron of fewer distinct active values than ranges has ranges that are never active.
        ``thresholds_fixed`` says whether neither thresholds nor cuts come from these samples. A
        range has two cuts, so where they do come from these samples, bounds that are uniform in one
        threshold (the method ``"dkw"``) do not hold for it, and intervals are asymptotic.

    Raises
    ------
    ValueError
        If the number of ranges is no whole number of at least 2, the edges have another shape, are
        not finite or ascend in a row, the probe holds ranges already, or under ``jit``.

    Examples
    --------
    >>> probe = nt.make_probe(np.array([[0.0], [1], [2], [3], [4]]), np.eye(5), thresholds=0.5)
    >>> ranges = activation_ranges(probe, 2)
    >>> ranges.neuron_names
    ('0 range 1/2', '0 range 2/2')
    >>> ranges.active.T.astype(int).tolist()
    [[0, 0, 0, 1, 1], [0, 1, 1, 0, 0]]
    """
    count = _check(probe, num_ranges)
    cuts = np.asarray(range_edges(probe, count)) if edges is None else _read(edges, probe, count)
    thresholds = np.asarray(probe.thresholds)[:, None]
    levels = np.concatenate([np.maximum(cuts, thresholds), thresholds], axis=1)
    f = probe.activations
    if isinstance(f, SparseColumns):
        cut: Any = _in_ranges_of_stored(f, levels, probe.inclusive)
    else:
        cut = _in_ranges(f, levels, inclusive=probe.inclusive)
    where = "these samples" if edges is None else "other samples"
    digits = len(str(count))
    return replace(
        probe,
        activations=cut,
        thresholds=jax.device_put(np.full(probe.num_neurons * count, 0.5, DTYPE)),
        top_fraction=None,
        threshold_source=f"{count} ranges, cut on {where}, above: {probe.threshold_source}",
        thresholds_fixed=probe.thresholds_fixed and edges is not None,
        neuron_names=tuple(
            f"{name} range {r + 1:0{digits}}/{count}"
            for name in probe.neuron_names
            for r in range(count)
        ),
        num_ranges=count,
    )


def check_whole(probe: Probe) -> None:
    """Refuse a probe that holds ranges already."""
    if probe.num_ranges > 1:
        raise ValueError(
            f"the probe's neurons are {probe.num_ranges} ranges each already; take the probe that "
            "they were made from"
        )


def _check(probe: Probe, num_ranges: int) -> int:
    count = check_count(num_ranges, "num_ranges", 2)
    check_whole(probe)
    if isinstance(probe.thresholds, jax.core.Tracer):
        raise ValueError(
            f"num_ranges={count} looks at the activations, which can not be done under jit; cut "
            "the probe outside"
        )
    return count


def _read(edges: Any, probe: Probe, num_ranges: int) -> np.ndarray:
    """Edges that were given, in the type of the activations."""
    shape = probe.num_neurons, num_ranges - 1
    found = np.asarray(edges)
    if found.shape != shape:
        raise ValueError(
            f"edges must have shape {list(shape)} ([U, R - 1]), got {list(found.shape)}; take "
            "those of range_edges of the same neurons"
        )
    found = found.astype(probe.activations.dtype)
    if not np.isfinite(found).all():
        raise ValueError("edges must be finite, got NaN or infinite ones; repair them")
    ascending = (found[:, 1:] > found[:, :-1]).any(axis=1)
    if ascending.any():
        u = int(ascending.argmax())
        raise ValueError(
            f"edges must not ascend in a row, but those of neuron {probe.neuron_names[u]!r} are "
            f"{found[u].tolist()}; give the highest first"
        )
    return found


def _cuts(
    values: np.ndarray, weights: np.ndarray, threshold: Any, num_ranges: int, inclusive: bool
) -> list[Any]:
    """The cuts of one neuron, from its active values, highest first, and their weights."""
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))  # of those that tie
    weight = np.add.reduceat(weights, first)
    reached = np.cumsum(weight)
    middle = reached - weight / 2
    # both sides are exact where weights are whole
    quantiles = np.arange(1, num_ranges) * reached[-1]
    above = np.searchsorted(num_ranges * middle, quantiles)
    last = np.append(first, len(values))[above] - 1
    return [
        _just_above(values[0])
        if inclusive and place < 0
        else threshold_at(values, int(place), threshold, inclusive)
        for place in last
    ]


def _just_above(value: Any) -> Any:
    """A number a little larger, and not so close to 0 that XLA takes it for 0."""
    info = jnp.finfo(value.dtype)
    larger = float(value) + max(2 * float(info.eps) * abs(float(value)), float(info.tiny))
    return np.asarray(min(larger, float(info.max)), value.dtype)


@partial(jax.jit, static_argnames="inclusive")
def _in_ranges(f: Array, levels: Array | np.ndarray, *, inclusive: bool) -> Array:
    """Where each activation [n, U] lies between its levels [U, R], highest first, [n, U * R]."""
    f, levels = f[:, :, None], jnp.asarray(levels)[None, :, :]
    above = f >= levels if inclusive else f > levels
    higher = jnp.pad(above, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]
    return (above & ~higher).reshape(len(f), -1).astype(DTYPE)


def _in_ranges_of_stored(f: SparseColumns, levels: np.ndarray, inclusive: bool) -> SparseColumns:
    """As :func:`_in_ranges`; where a range holds 0, all zeros of its neuron get stored."""
    n, (num_neurons, count) = f.shape[0], levels.shape

    def place(values: np.ndarray, neuron: np.ndarray) -> np.ndarray:
        """The range of each value, R for those below all."""
        found = np.zeros(len(values), np.int64)
        for level in levels.T:
            found += ~(values >= level[neuron] if inclusive else values > level[neuron])
        return found

    every = np.arange(num_neurons)
    neuron = np.repeat(every, np.diff(f.starts))
    own, of_zero = place(f.values, neuron), place(np.zeros(num_neurons, f.dtype), every)
    active = own < count
    rows, columns = [f.rows[active]], [neuron[active] * count + own[active]]
    for u in np.flatnonzero(of_zero < count):
        zeros = np.ones(n, bool)
        zeros[f.rows[f.starts[u] : f.starts[u + 1]]] = False
        rows.append(np.flatnonzero(zeros).astype(np.int32))
        columns.append(np.full(len(rows[-1]), u * count + of_zero[u]))
    row = np.concatenate(rows)
    ones = np.ones(len(row), DTYPE)
    return by_column(row, np.concatenate(columns), ones, (n, num_neurons * count))
