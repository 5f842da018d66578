"""Evidence on the population ratios that similarity metrics are made of.

A :class:`Share` is a ratio such as P(present | active) read from one column of each side; a
:class:`Pairs` is a probability that a pair of samples is ordered rightly. Both turn the probe's
arrays into :class:`Evidence`, whose blocks are samples or groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._numerics.sums import Sums, power_sum, weighted_sums, weighted_total
from ..metrics.parts import Coefficients, combine
from ..metrics.transforms import LOG_FLOOR
from ..probing.probe import Side
from .concentration import Evidence

__all__ = ["Data", "Pairs", "Share"]


class Data(NamedTuple):
    """What evidence is read from.

    Attributes
    ----------
    neurons, labels : Side
    weights : Array [n]
        Sample weights over the largest one.
    groups : Array [n] of int32, or None
    bound : Array []
        Largest total weight that a unit can have.
    low, high : Array [U]
        Range of each neuron's activation, known beforehand (zeros where it is not).
    """

    neurons: Side
    labels: Side
    weights: Array
    groups: Array | None
    bound: Array
    low: Array
    high: Array


def _activation(d: Data) -> Array:
    width = (d.high - d.low)[None, :]
    return (d.neurons.values - d.low[None, :]) / jnp.where(width > 0, width, 1)


def _square(d: Data) -> Array:
    largest = jnp.maximum(jnp.abs(d.low), jnp.abs(d.high))[None, :]
    return (d.neurons.values / jnp.where(largest > 0, largest, 1)) ** 2


def _log(d: Data) -> Array:
    floor = jnp.log(jnp.asarray(LOG_FLOOR, d.labels.values.dtype))
    return 1 - jnp.log(jnp.maximum(d.labels.values, LOG_FLOOR)) / floor


# every column lies in [0, 1]
COLUMNS: Mapping[str, Callable[[Data], Array]] = MappingProxyType(
    {
        "active": lambda d: d.neurons.present.astype(d.weights.dtype),
        "activation": _activation,
        "activation_squared": lambda d: _activation(d) ** 2,
        "square": _square,
        "present": lambda d: d.labels.present.astype(d.weights.dtype),
        "score": lambda d: d.labels.values,
        "score_squared": lambda d: d.labels.values**2,
        "log": _log,
    }
)
BINARY = ("active", "present")
RANGED = ("activation", "activation_squared", "square")


Basis = tuple[Array, Array, Array, Array]  # sums of 1, f, c and f c


class Share(NamedTuple):
    """A ratio of the means of two combinations of 1, f, c and f c, the second a condition.

    Attributes
    ----------
    neuron, concept : str
        Which columns f and c are: keys of ``COLUMNS``.
    hits, trials : tuple of 4 int
        Coefficients of 1, f, c and f c; trials are 0 or 1 on every sample.
    """

    neuron: str
    concept: str
    hits: Coefficients
    trials: Coefficients

    @property
    def binomial(self) -> bool:
        """Whether each sample's hit is 0 or 1."""
        return self.neuron in BINARY and self.concept in BINARY

    @property
    def needs_range(self) -> bool:
        """Whether it reads activations, whose range must then be known."""
        return self.neuron in RANGED

    def evidence(self, d: Data, _: Array, *, num_units: int | None, squares: bool) -> Evidence:
        """Means over the blocks; those of squares only if asked for.

        ``num_units`` is None where samples are independent and of one weight.
        """
        f, c = self.columns(d)
        if d.groups is not None:
            return self._grouped(f, c, d, d.groups, num_units)
        counts = weighted_sums(f, c, (d.weights > 0).astype(f.dtype))
        blocks = combine(self.trials, counts)
        per_block = 1 / jnp.where(blocks > 0, blocks, 1)
        sums = weighted_sums(f, c, d.weights)
        hits = combine(self.hits, sums) * per_block
        result = Evidence(hits, hits, combine(self.trials, sums) * per_block, blocks, d.bound)
        if not squares:
            return result
        squares_of = partial(self._product_sum, f, c, d.weights**2)
        return result._replace(
            hits_squared=squares_of(self.hits, self.hits) * per_block,
            cross=squares_of(self.hits, self.trials) * per_block,
            trials_squared=squares_of(self.trials, self.trials) * per_block,
        )

    def counted(self, sums: Sums) -> Evidence:
        """From sums over independent samples of weight 1."""
        blocks = combine(self.trials, sums)
        per_block = 1 / jnp.where(blocks > 0, blocks, 1)
        hits = combine(self.hits, sums) * per_block
        return Evidence(hits, hits, blocks * per_block, blocks, jnp.ones((), hits.dtype))

    def _product_sum(
        self, f: Array, c: Array, weights: Array, left: Coefficients, right: Coefficients
    ) -> Array:
        """Weighted sum of the product of two combinations of 1, f, c and f c, [U, C]."""
        # the powers of a column of 0 and 1 are the column
        top = (1 if self.neuron in BINARY else 2, 1 if self.concept in BINARY else 2)
        powers = ((0, 0), (1, 0), (0, 1), (1, 1))
        coefficients: Counter[tuple[int, int]] = Counter()
        for (k, i), (m, j) in product(
            zip(left, powers, strict=True), zip(right, powers, strict=True)
        ):
            coefficients[min(i[0] + j[0], top[0]), min(i[1] + j[1], top[1])] += k * m
        total = jnp.zeros((f.shape[1], c.shape[1]), f.dtype)
        for power, k in coefficients.items():
            if k:
                total = total + k * power_sum(f, c, weights, *power)
        return total

    def columns(self, d: Data) -> tuple[Array, Array]:
        """The columns f [n, U] and c [n, C]."""
        return COLUMNS[self.neuron](d), COLUMNS[self.concept](d)

    def blocks(
        self, column: Array, c: Array, d: Data, num_units: int | None
    ) -> tuple[Array, Array]:
        """Hits X and trials Y of every block, [N, K], of one neuron's column and some concepts'."""
        w = d.weights
        weighted, scores = w * column, w[:, None] * c
        basis = w[:, None], weighted[:, None], scores, weighted[:, None] * c
        if d.groups is None:
            return self._combined(basis)
        s, fs, cs, fc = (jax.ops.segment_sum(x, d.groups, num_units) for x in basis)
        return self._of_groups((s, fs, cs, fc))

    def _combined(self, basis: Basis) -> tuple[Array, Array]:
        """Hits and trials from the sums of 1, f, c and f c."""
        zero = jnp.zeros_like(basis[3])
        x, y = (
            sum((k * b for k, b in zip(coefficients, basis, strict=True) if k), zero)
            for coefficients in (self.hits, self.trials)
        )
        return x, y

    def _of_groups(self, basis: Basis) -> tuple[Array, Array]:
        """Hits and trials of groups, without what floating point leaves of sums that cancel."""
        x, y = self._combined(basis)
        y = jnp.where(y > 1e-6 * basis[0].max(), y, 0)
        return jnp.clip(x, 0, y), y

    def _grouped(
        self, f: Array, c: Array, d: Data, groups: Array, num_groups: int | None
    ) -> Evidence:
        """One neuron after the other, so that memory stays at [n, C]."""

        def total(x: Array) -> Array:
            return jax.ops.segment_sum(x, groups, num_groups)

        w = d.weights
        s, cs = total(w)[:, None], total(w[:, None] * c)

        def one(column: Array) -> tuple[Array, ...]:
            weighted = w * column
            x, y = self._of_groups((s, total(weighted)[:, None], cs, total(weighted[:, None] * c)))
            blocks = (y > 0).sum(axis=0, dtype=f.dtype)
            means = (x, y, x * x, x * y, y * y)
            return (
                blocks,
                y.max(axis=0),
                *(m.sum(axis=0) / jnp.where(blocks > 0, blocks, 1) for m in means),
            )

        blocks, most, x, y, xx, xy, yy = lax.map(one, f.T)
        return Evidence(x, x, y, blocks, d.bound, xx, xy, yy, most)


class Pairs(NamedTuple):
    """The probability that of two samples, the one with the label scores higher (AUROC).

    Attributes
    ----------
    metric : {"auroc", "simulation_auroc"}
    mcdiarmid : bool
        Count blocks as Agarwal et al. (2005, theorem 5) do, by McDiarmid's inequality.
    """

    metric: str
    mcdiarmid: bool = False

    @property
    def binomial(self) -> bool:
        """Never: a sample is part of many pairs."""
        return False

    @property
    def needs_range(self) -> bool:
        """Never: only the order of activations counts."""
        return False

    def evidence(
        self, d: Data, value: Array, *, num_units: int | None, squares: bool = False
    ) -> Evidence:
        """Two-sample U-statistic given the labels; with groups, a U-statistic of pairs of groups.

        Independent samples of one weight: the statistic is a mean, over orderings, of means of k
        independent pairs, k the size of the smaller class (Hoeffding, 1963, section 5b). Groups:
        the kernel, made symmetric in two groups, counts at most M² / 2 pairs of samples, and
        ⌊G / 2⌋ pairs of groups are independent (section 5a). A pair within one group says nothing
        on independent samples: its outcome is left unknown. ``value`` [U, C] is the similarity.
        """
        defined = ~jnp.isnan(value)
        value = jnp.where(defined, value, 0)
        if self.metric == "auroc":
            labels, shape = d.labels.present, (1, -1)
        else:
            labels, shape = d.neurons.present, (-1, 1)
        y = labels.astype(d.weights.dtype)
        positive, negative = weighted_total(y, d.weights), weighted_total(1 - y, d.weights)

        if num_units is None:
            k = jnp.minimum(positive, negative)
            if self.mcdiarmid:
                k = positive * negative / d.weights.sum()
            blocks = jnp.where(defined, k.reshape(shape), 0)
            return Evidence(value, value, jnp.ones_like(value), blocks, jnp.ones_like(d.bound))

        groups = jnp.arange(num_units, dtype=jnp.int32) if d.groups is None else d.groups
        total = jax.ops.segment_sum(d.weights, groups, num_units)
        own = jax.ops.segment_sum(d.weights[:, None] * y, groups, num_units)
        inside = (own * (total[:, None] - own)).sum(axis=0).reshape(shape)
        pairs = (positive * negative).reshape(shape)
        between = jnp.maximum(pairs - inside, 0)
        number = (total > 0).sum(dtype=value.dtype)
        ordered = jnp.maximum(number * (number - 1), 1)
        return Evidence(
            hits_low=jnp.maximum(value * pairs - inside, 0) / ordered,
            hits_high=jnp.minimum(value * pairs, between) / ordered,
            trials=between / ordered + jnp.zeros_like(value),
            blocks=jnp.where(defined & (between > 0), jnp.floor(number / 2), 0),
            bound=d.bound**2 / 2,
        )
