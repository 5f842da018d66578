"""On how many sampling units each similarity rests.

A metric is made of means (:mod:`.parts`), and each mean is moved by its sampling
units. With J_g the change of a mean when unit g of G is left out, its variance is a sum of J_g^2,
which is itself an estimate: as good as that from N normal units where N - 1, the degrees of
freedom, is 2 / (1 / e - 1 / G) with e = (sum J^2)^2 / sum J^4, and at most G - 1 (Satterthwaite,
1946, with the moments of the sample). N is G where the changes are normal, twice the number of hits
of a rare event, and 2 or so where one group decides. A unit that has no part in a mean (for an IoU,
a group in which neither neuron nor concept occurs) does not count, whatever its size; and a mean
that no unit moves, a share of 0 or 1, rests on nothing.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import places_in_lists, round_up_shape
from .._numerics.sums import Sums, column_total, per_unit, weighted_sums
from .._runtime.kept import kept
from ..metrics.metric import Metric
from ..metrics.parts import ALWAYS, Part, combine
from ..metrics.scores import reads_active_rows
from ..metrics.unit_sums import UnitSums, in_order, sums_over_active, unit_sums
from ..probing.active_rows import list_active
from ..probing.probe import Probe, Side

__all__ = [
    "MIN_UNITS",
    "effective_concept_units",
    "effective_units",
    "moments_of_changes",
    "student_ratio",
    "units_of_moments",
    "units_of_shares",
]

MIN_UNITS = 3.0  # with fewer the spread on these data says little about that on others
ROUNDING = 16  # units in the last place, up to which a deviation is none
LOST = 1e-5  # share of its terms below which a fourth power has lost its digits


def effective_units(probe: Probe, metric: Metric, prepared: Any = None) -> Array:
    """Effective number of sampling units behind each pair, [U, C], from 0 to their number.

    The least over the parts of the metric and, where there are several, their signed sum, since
    their changes may cancel; see the head of this module. A part is a ratio H / T of hits over
    trials, and ``J_g = (H_g - H / T T_g) / (T - T_g)`` is the change that leaving unit g out makes.
    T - T_g is taken to be the same for single samples of equal weight. Views that depend on the
    weights (ranks, means) are held as they are on all data.

    Parameters
    ----------
    probe : Probe
    metric : Metric
        A metric without ``columns`` has the effective units of its concepts.
    prepared : Any, optional
        What the metric prepared of the probe's neurons, where it is at hand.
    """
    if metric.columns is None:
        evidence = effective_concept_units(probe)
        return jnp.broadcast_to(evidence, (probe.num_neurons, probe.num_concepts))
    counted = metric.neuron_view == metric.concept_view == "binary"
    simple = (
        probe.groups is None
        and probe.even_weights
        and _apart(metric.parts)
        and (counted or _given_by_one_side(metric.parts))
        and (probe.binary_concepts or not any(part.given_concept for part in metric.parts))
    )

    if metric.neuron_view == "binary" and probe.groups is not None:
        return _of_active(probe, metric=metric)
    if simple and reads_active_rows(probe, metric) and counted:
        return _of_counts(probe, metric.parts)

    def of_neurons(part: Probe) -> Array:
        neurons = metric.prepare_neurons(part.neurons) if prepared is None else prepared
        rows = None if simple else _active_rows(part, metric)
        found = []
        for _, some in part.in_columns():
            assert metric.columns is not None
            f, c = metric.columns(neurons, some.labels, part.weights)
            data = f, c, part.weights
            if not simple:
                found.append(
                    _of_units(
                        *data, part.groups, rows, parts=metric.parts, num_units=part.num_units
                    )
                )
            elif counted:
                found.append(_of_shares(*data, parts=metric.parts))
            else:
                found.append(_of_means(*data, parts=metric.parts))
        return found[0] if len(found) == 1 else jnp.concatenate(found, axis=1)

    return probe.map_neurons(of_neurons)


@kept
def _of_active(probe: Probe, *, metric: Metric) -> Array:
    """Units behind pairs of a binary neuron in groups, from the groups in which it is active."""
    assert metric.columns is not None
    assert probe.groups is not None
    active, weights = list_active(probe), probe.weights
    blind = _given_by_one_side(metric.parts) and metric.parts[0].given_neuron
    found = []
    for _, part in probe.in_columns():
        c = part.present
        if blind or metric.concept_view != "binary":
            # the columns of the concepts do not depend on the neurons
            silent = jnp.zeros((probe.num_samples, 1), weights.dtype)
            nobody = metric.prepare_neurons(Side(silent, silent > 0))
            c = metric.columns(nobody, part.labels, weights)[1]
        if blind:
            c = _about_zero(c, (weights > 0).astype(c.dtype))
        blocks = unit_sums(active, c, weights, probe.groups, probe.num_units)
        found.append(in_order([(own, _of_unit_sums(x, parts=metric.parts)) for own, x in blocks]))
    return jnp.concatenate(found, axis=1)


@partial(jax.jit, static_argnames="parts")
def _of_unit_sums(sums: UnitSums, *, parts: tuple[Part, ...]) -> Array:
    """One neuron after the other, so that memory stays at [groups, C]."""

    def one(place: Array) -> Array:
        units = sums.of_neuron(place)._replace(FF=sums.S, CC=sums.S)
        return _least_units(units, parts)

    return lax.map(one, sums.place)


def _least_units(units: Sums, parts: tuple[Part, ...]) -> Array:
    """Effective units [C] of one neuron from the sums per unit [G, C]."""
    total = Sums(*(x.sum(axis=0, keepdims=True) for x in units))
    moments = moments_of_changes(units, total, parts=parts)
    return jnp.stack([units_of_moments(*x) for x in moments]).min(axis=0)


def _of_counts(probe: Probe, parts: tuple[Part, ...]) -> Array:
    """Units behind shares of single samples, from the active rows of sparse activations."""
    active, used = list_active(probe), (probe.weights > 0).astype(probe.weights.dtype)
    found = [
        units_of_shares(sums_over_active(active, part.present, used), parts)
        for _, part in probe.in_columns()
    ]
    return jnp.concatenate(found, axis=1)


def student_ratio(quantile: Array, freedom: Array) -> Array:
    """Student's t quantile over the normal one, by three terms of Fisher's expansion.

    In powers of 1 / freedom (Abramowitz and Stegun, 26.7.5); low by at most 2% from 5 degrees of
    freedom on, for quantiles up to 2.
    """
    z2 = quantile**2
    first = (z2 + 1) / 4
    second = (5 * z2**2 + 16 * z2 + 3) / 96
    third = (3 * z2**3 + 19 * z2**2 + 17 * z2 - 15) / 384
    return 1 + first / freedom + second / freedom**2 + third / freedom**3


def effective_concept_units(probe: Probe) -> Array:
    """Effective number of units on which each concept is present, or absent if these are fewer.

    For scores of which nothing is known but the concepts: ``(sum C_g)^2 / sum C_g^2`` (Kish, 1965)
    of the units' totals, [1, C].
    """
    return _concept_units(probe.present, probe.weights, probe.groups, num_units=probe.num_units)


def _apart(parts: tuple[Part, ...]) -> bool:
    """Whether no sample is a trial of two parts."""
    in_all = tuple(sum(x) for x in zip(*(part.trials for part in parts), strict=True))
    return len(parts) == 1 or in_all == ALWAYS


def _given_by_one_side(parts: tuple[Part, ...]) -> bool:
    """Whether the same side alone decides what is a trial of each part."""
    return {(part.given_neuron, part.given_concept) for part in parts} in (
        {(True, False)},
        {(False, True)},
    )


@partial(jax.jit, static_argnames="num_units")
def _concept_units(
    present: Array, weights: Array, groups: Array | None, *, num_units: int
) -> Array:
    def size(x: Array) -> Array:
        total = per_unit(jnp.where(x, weights[:, None], 0), groups, num_units)
        return _quotient(total.sum(axis=0) ** 2, (total**2).sum(axis=0))

    return jnp.minimum(size(present), size(~present))[None, :]


def _quotient(top: Any, below: Any) -> Any:
    """A quotient, 0 over 0, of JAX or NumPy arrays."""
    xp: Any = jnp if isinstance(below, Array) else np
    return xp.where(below > 0, top / xp.where(below > 0, below, 1), 0)


def units_of_moments(square: Any, fourth: Any, count: Any) -> Any:
    """Effective units from the sums of squares and fourth powers of the changes by ``count``.

    The sums may be JAX arrays, or NumPy arrays in double precision.
    """
    xp: Any = jnp if isinstance(fourth, Array) else np
    excess = _quotient(fourth, square**2) - 1 / xp.maximum(count, 1)
    freedom = xp.where(excess > 0, 2 / xp.where(excess > 0, excess, 1), xp.inf)
    return xp.where(fourth > 0, xp.minimum(freedom, count - 1) + 1, 0)


def _nothing(deviation: Array, trials: Array) -> Array:
    """Deviations without those that are rounding alone, of columns in [-1, 1]."""
    rounding = ROUNDING * jnp.finfo(deviation.dtype).eps
    return jnp.where(jnp.abs(deviation) <= rounding * trials, 0, deviation)


@partial(jax.jit, static_argnames="parts")
def _of_shares(f: Array, c: Array, weights: Array, *, parts: tuple[Part, ...]) -> Array:
    return units_of_shares(weighted_sums(f, c, (weights > 0).astype(f.dtype)), parts)


def units_of_shares(sums: Sums, parts: tuple[Part, ...]) -> Array:
    """Units behind shares of single samples: r T of T trials deviate by 1 - r, the others by -r."""
    moments = []
    for part in parts:
        trials = combine(part.trials, sums)
        r = _quotient(combine(part.hits, sums), trials)
        square = trials * r * (1 - r)
        moments.append((square, square * ((1 - r) ** 3 + r**3), trials))
    return _least(moments)


def _least(moments: list[tuple[Array, Array, Array]]) -> Array:
    """Effective units from the moments of parts that share no sample, and of their signed sum."""
    found = [units_of_moments(*x) for x in moments]
    if len(moments) > 1:
        squares, fourths, counts = zip(*moments, strict=True)
        whole = jnp.stack(counts).sum(axis=0)
        size = [jnp.where(x > 0, x, 1) / whole for x in counts]
        square = jnp.stack([x / y**2 for x, y in zip(squares, size, strict=True)]).sum(axis=0)
        fourth = jnp.stack([x / y**4 for x, y in zip(fourths, size, strict=True)]).sum(axis=0)
        found.append(units_of_moments(square, fourth, whole))
    return jnp.stack(found).min(axis=0)


@partial(jax.jit, static_argnames="parts")
def _of_means(f: Array, c: Array, weights: Array, *, parts: tuple[Part, ...]) -> Array:
    """Units behind means of one side over the trials of the other, by moments up to the fourth.

    Trials are 0 or 1, or those of a single part.
    """
    used = (weights > 0).astype(f.dtype)
    (given_neuron,) = {part.given_neuron for part in parts}
    x, t = (c, f) if given_neuron else (f, c)
    x, t = _about_zero(x, used), used[:, None] * t
    powers = _products(x, t)
    others = [column_total(used[:, None] * x**k).T - y for k, y in enumerate(powers)]
    moments = []
    for part in parts:
        if part.trials[0]:
            found = _central_moments(x, used[:, None] - t, others, others, others)
        elif len(parts) > 1:
            found = _central_moments(x, t, powers, powers, powers)
        else:
            found = _central_moments(x, t, powers, _products(x, t**2), _products(x, t**4))
        square, fourth, count = (y.T for y in found) if given_neuron else found
        moments.append((square, fourth, count))
    return _least(moments)


def _products(x: Array, t: Array) -> list[Array]:
    """Sums of the powers 0 to 4 of x [n, A] over the trials t [n, L], [A, L] each."""
    return [jnp.matmul((x**k).T, t, precision=lax.Precision.HIGHEST) for k in range(5)]


def _about_zero(x: Array, used: Array) -> Array:
    """Columns less their mean, over the largest magnitude; 0 in rows that do not count."""
    size = jnp.abs(x).max(axis=0, keepdims=True)
    # twice, as the first mean of a narrow column is rounded
    for _ in range(2):
        mean = (used[:, None] * x).sum(axis=0, keepdims=True) / used.sum()
        x = jnp.where(used[:, None] > 0, x - mean, 0)
    rounding = ROUNDING * jnp.finfo(x.dtype).eps * size
    return _scaled(jnp.where(jnp.abs(x).max(axis=0, keepdims=True) > rounding, x, 0))


def _central_moments(
    x: Array, t: Array, first: list[Array], second: list[Array], fourth: list[Array]
) -> tuple[Array, Array, Array]:
    """Sums of squares and of fourth powers of ``t (x - mean)``, and the number of trials, [A, L].

    From :func:`_products` of x, about 0, with t and with its second and fourth power.
    """
    count = jnp.broadcast_to((t > 0).sum(axis=0).astype(t.dtype), first[0].shape)
    mean = _quotient(first[1], first[0])

    def about_mean(powers: list[Array], order: int) -> tuple[Array, Array]:
        """The moment of this order about the mean, and the size of the terms it is a sum of."""
        terms = jnp.stack(
            [math.comb(order, k) * (-mean) ** (order - k) * powers[k] for k in range(order + 1)]
        )
        return terms.sum(axis=0), jnp.abs(terms).sum(axis=0)

    (square, _), (quartic, size) = about_mean(second, 2), about_mean(fourth, 4)
    lost = ~(quartic > LOST * size)
    rows, columns = jnp.nonzero(lost, size=lost.size)

    def again(i: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        a, k = rows[i], columns[i]
        trials, column = t[:, k], x[:, a]
        deviation = column - _quotient((trials * column).sum(), trials.sum())
        deviation = _nothing(trials * deviation, trials)
        square, quartic = found
        return square.at[a, k].set((deviation**2).sum()), quartic.at[a, k].set((deviation**4).sum())

    square, quartic = lax.fori_loop(0, lost.sum(), again, (square, quartic))
    return square, quartic, count


def _scaled(x: Array) -> Array:
    """Over the largest magnitude of a column: the fourth power must not vanish."""
    largest = jnp.abs(x).max(axis=0, keepdims=True)
    return x / jnp.where(largest > 0, largest, 1)


def _active_rows(part: Probe, metric: Metric) -> Array | None:
    """Rows on which each neuron is active, [U, k], n filling up; None where all rows count."""
    if metric.neuron_view != "binary":
        return None
    neuron, row = np.nonzero(np.asarray(part.active).T)
    count = np.bincount(neuron, minlength=part.num_neurons)
    listed = np.full((part.num_neurons, round_up_shape(count.max(initial=0))), part.num_samples)
    listed[neuron, places_in_lists(count)] = row
    return jax.device_put(listed.astype(np.int32))


@partial(jax.jit, static_argnames=("parts", "num_units"))
def _of_units(
    f: Array,
    c: Array,
    weights: Array,
    groups: Array | None,
    rows: Array | None,
    *,
    parts: tuple[Part, ...],
    num_units: int,
) -> Array:
    """One neuron after the other, so that memory stays at [units, C]."""
    used = (weights > 0).astype(f.dtype)
    # a mean of one side where the other says so is blind to shift and scale of that side
    if _given_by_one_side(parts):
        if parts[0].given_neuron:
            c = _about_zero(c, used)
        elif rows is None:
            f = _about_zero(f, used)
    weighted = weights[:, None] * c
    s, cs = (per_unit(x, groups, num_units) for x in (weights[:, None], weighted))

    def one(neuron: tuple[Array, Array | None]) -> Array:
        column, own = neuron
        if own is None:
            fc = per_unit(column[:, None] * weighted, groups, num_units)
            fs = per_unit(column * weights, groups, num_units)
        else:

            def listed(x: Array) -> Array:
                return x.at[own].get(mode="fill", fill_value=0)

            unit = own if groups is None else groups.at[own].get(mode="fill", fill_value=num_units)
            fc = jax.ops.segment_sum(listed(weighted), unit, num_units)
            fs = jax.ops.segment_sum(listed(weights), unit, num_units)
        sums = Sums(S=s, F=fs[:, None], C=cs, FF=s, CC=s, FC=fc)
        return _least_units(sums, parts)

    return lax.map(one, (f.T, rows))


def moments_of_changes(
    units: Sums, total: Sums, *, parts: tuple[Part, ...]
) -> list[tuple[Array, Array, Array]]:
    """What units [G, C] add to the moments of one neuron's changes; ``total`` [1, C] is of all.

    For each part, and for their signed sum where there are several: the sums of squares and of
    fourth powers, and the number of units that take part, [C] each.
    """
    changes, counts = [], []
    for part in parts:
        trials, in_all = combine(part.trials, units), combine(part.trials, total)
        ratio = _quotient(combine(part.hits, total), in_all)
        deviation = _nothing(combine(part.hits, units) - ratio * trials, trials)
        rest = 1 - trials / jnp.where(in_all > 0, in_all, 1)
        # without the unit that has all trials nothing is known
        alone = rest <= ROUNDING * jnp.finfo(rest.dtype).eps
        change = jnp.where(alone, 0, deviation / jnp.where(alone, 1, rest))
        # both are near 1, so that fourth powers neither vanish nor overflow
        changes.append(part.sign * change)
        counts.append((trials > 0).sum(axis=0).astype(trials.dtype))
    if len(parts) > 1:
        size = [combine(part.trials, total) for part in parts]
        size = [jnp.where(x > 0, x, 1) / sum(size) for x in size]
        both = jnp.stack([x / y for x, y in zip(changes, size, strict=True)]).sum(axis=0)
        changes.append(both)
        number = (units.S > 0).sum(axis=0).astype(both.dtype)
        counts.append(jnp.broadcast_to(number, counts[0].shape))
    return [
        ((x**2).sum(axis=0), (x**4).sum(axis=0), count)
        for x, count in zip(changes, counts, strict=True)
    ]
