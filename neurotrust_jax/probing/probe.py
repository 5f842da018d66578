"""The probe: what was measured, and never changes afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.sums import weighted_total
from .._runtime.kept import kept
from .._runtime.short_repr import short_repr
from .._runtime.text import neuron_noun
from .active_rows import list_active
from .sparse_columns import SparseColumns

__all__ = ["ENTRIES", "LeftOut", "Probe", "Side", "compute_dtype"]

COLUMNS = 2048  # concepts at a time, where many would take too much memory as floats
ENTRIES = 2**24  # number of sparse activations written out at a time


@short_repr
class Side(NamedTuple):
    """One side of a probe, as the views of :mod:`.transforms` read it.

    Attributes
    ----------
    values : Array [n, d]
        Activations or concept scores, in the precision in which sums are taken.
    present : Array [n, d] of bool
        Neuron active, or concept present.
    """

    values: Array
    present: Array


class LeftOut(NamedTuple):
    """A concept that is too rare to be judged.

    Attributes
    ----------
    name : str
    positives : int
        Sampling units (groups where given, else samples) in which it is present.
    """

    name: str
    positives: int


@short_repr
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("activations", "concepts", "sample_weight", "thresholds", "groups"),
    meta_fields=(
        "inclusive",
        "concept_threshold",
        "num_groups",
        "top_fraction",
        "threshold_source",
        "thresholds_fixed",
        "concept_names",
        "neuron_names",
        "left_out",
        "num_ranges",
    ),
)
@dataclass(frozen=True, eq=False)
class Probe:
    """Activations of U neurons and scores of C concepts on the same n samples.

    Build it with :func:`neurotrust_jax.make_probe`, which validates. A probe is a pytree: pass it
    through ``jax.jit``, ``jax.vmap`` and ``jax.grad`` like any other array.

    Attributes
    ----------
    activations : Array [n, U], or SparseColumns
        Real activations; the dtype in which they came.
    concepts : Array [n, C]
        Labels (bool), or probabilities in [0, 1].
    sample_weight : Array [n]
        Non-negative weight of each sample; ones unless given. Scaled by :func:`make_probe` to
        the least whole numbers in the proportions of the given weights, or, where there are none
        up to 2^20, to the sum of the number of samples of positive weight.
    thresholds : Array [U]
        A neuron is active above its threshold.
    groups : Array [n] of int32, or None
        Dense group index 0..num_groups - 1; samples of one group are not independent.
    inclusive : bool
        Whether an activation equal to the threshold counts as active.
    concept_threshold : float
        A concept is present where its score is at least this.
    num_groups : int or None
        Number of groups, None without groups.
    top_fraction : float or None
        Share of the samples above the thresholds, of these samples or of those that a split set
        aside; None where thresholds were given.
    threshold_source : str
        How the thresholds came about: ``"given"``, ``"top_fraction=..."``, or from a split.
    thresholds_fixed : bool
        Whether they were set without looking at these samples.
    concept_names, neuron_names : tuple of str
        One name per column.
    left_out : tuple of LeftOut
        Concepts that :func:`make_probe` left out as too rare, the most common first.
    num_ranges : int
        Into how many ranges of activation each neuron was cut, so that a neuron here is one of
        them, see :func:`activation_ranges`; 1 where neurons are whole.
    """

    activations: Array | SparseColumns
    concepts: Array
    sample_weight: Array
    thresholds: Array
    groups: Array | None
    inclusive: bool
    concept_threshold: float
    num_groups: int | None
    top_fraction: float | None
    threshold_source: str
    thresholds_fixed: bool
    concept_names: tuple[str, ...]
    neuron_names: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    num_ranges: int = 1

    def _in_short(self) -> str:
        units = "" if self.groups is None else f" in {self.num_units:,} groups"
        noun = neuron_noun(self.num_ranges)
        return (
            f"of {self.num_samples:,} samples{units}: {self.num_neurons:,} {noun} "
            f"({self.activations.dtype}) and {self.num_concepts:,} concepts "
            f"({self.concepts.dtype}), thresholds {self.threshold_source}"
        )

    @property
    def num_samples(self) -> int:
        """Number of samples n."""
        return self.activations.shape[0]

    @property
    def num_neurons(self) -> int:
        """Number of neurons U."""
        return self.activations.shape[1]

    @property
    def num_concepts(self) -> int:
        """Number of concepts C."""
        return self.concepts.shape[1]

    @property
    def num_units(self) -> int:
        """Number of independent units: groups where given, samples otherwise."""
        return self.num_samples if self.num_groups is None else self.num_groups

    @property
    def unit_name(self) -> str:
        """What an independent unit is, in the plural: groups where given, samples otherwise."""
        return "samples" if self.groups is None else "groups"

    @property
    def active(self) -> Array:
        """Where each neuron is active, [n, U] of bool."""
        return _active(self._dense, self.thresholds, inclusive=self.inclusive)

    @property
    def present(self) -> Array:
        """Where each concept is present, [n, C] of bool."""
        if self.concepts.dtype == jnp.bool_:
            return self.concepts
        return self.concepts >= jnp.asarray(self.concept_threshold, self.concepts.dtype)

    @property
    def neurons(self) -> Side:
        """The neurons' side: activations, and where each neuron is active.

        Sparse activations are written out all at once; :meth:`in_neurons` takes some at a time.
        """
        return Side(self._dense.astype(self._compute_dtype), self.active)

    @property
    def labels(self) -> Side:
        """The concepts' side: scores, and where each concept is present."""
        return Side(self.concepts.astype(self._compute_dtype), self.present)

    @property
    def weights(self) -> Array:
        """Sample weights [n] in the precision in which sums are taken."""
        return self.sample_weight.astype(self._compute_dtype)

    @property
    def equal_weights(self) -> bool:
        """Whether all samples weigh the same."""
        weights = np.asarray(self.sample_weight)
        return bool((weights == weights[0]).all())

    @property
    def even_weights(self) -> bool:
        """Whether all samples that count (of positive weight) weigh the same."""
        weights = np.asarray(self.sample_weight)
        return bool(((weights == 0) | (weights == weights.max())).all())

    @property
    def binary_concepts(self) -> bool:
        """Whether every concept's score is 0 or 1."""
        c = self.concepts
        return c.dtype == jnp.bool_ or bool(((c == 0) | (c == 1)).all())

    @property
    def active_rate(self) -> Array:
        """Realised (weighted) share of samples on which each neuron is active, [U]."""
        if not isinstance(self.activations, SparseColumns):
            return _weighted_share(self.active, self.weights)
        weights, active = np.asarray(self.weights), list_active(self)
        total = np.bincount(active.neuron, weights[active.rows], self.num_neurons)
        return _of_all(jax.device_put(total.astype(weights.dtype)), self.weights)

    @property
    def concept_rate(self) -> Array:
        """Realised (weighted) share of samples on which each concept is present, [C]."""
        return _weighted_share(self.present, self.weights)

    @property
    def positive_units(self) -> Array:
        """Number of units (groups, or samples) with each concept anywhere in them, [C] of int32."""
        return _units_with(self.present, self.sample_weight, self.groups, num_units=self.num_units)

    def take(self, rows: Array | np.ndarray) -> Probe:
        """The probe on the given rows (repeats allowed), thresholds and names unchanged."""
        f = self.activations
        dense = None if isinstance(f, SparseColumns) else f
        dense, concepts, sample_weight, groups = _rows(
            (dense, self.concepts, self.sample_weight, self.groups), rows
        )
        return replace(
            self,
            activations=f.take(np.asarray(rows)) if isinstance(f, SparseColumns) else dense,
            concepts=concepts,
            sample_weight=sample_weight,
            groups=groups,
        )

    def of_neurons(self, some: slice | np.ndarray) -> Probe:
        """The probe of some neurons: from one to another, or of these numbers in their order."""
        f = self.activations
        names = np.array(self.neuron_names, dtype=object)[some]
        return replace(
            self,
            activations=f.of_columns(some) if isinstance(f, SparseColumns) else f[:, some],
            thresholds=self.thresholds[some],
            neuron_names=tuple(names.tolist()),
        )

    def of_concepts(self, columns: np.ndarray) -> Probe:
        """The probe of the concepts in the given columns, in that order."""
        return replace(
            self,
            concepts=self.concepts[:, columns],
            concept_names=tuple(self.concept_names[c] for c in columns),
        )

    def in_neurons(self) -> Iterator[tuple[slice, Probe]]:
        """Some neurons at a time: which, and a probe of them with dense activations.

        Dense ones come all at once.
        """
        f = self.activations
        if not isinstance(f, SparseColumns):
            yield slice(0, self.num_neurons), self
            return
        width = max(1, ENTRIES // self.num_samples)
        for start in range(0, self.num_neurons, width):
            stop = min(start + width, self.num_neurons)
            part = self.of_neurons(slice(start, stop))
            dense = jax.device_put(f.dense(start, stop))
            yield slice(start, stop), replace(part, activations=dense)

    def map_neurons(self, function: Callable[[Probe], Any]) -> Any:
        """Apply a function per block of neurons and concatenate its arrays [U, ...], or pytrees.

        Dense activations are one block; sparse ones are written out some neurons at a time.
        """
        parts = [function(part) for _, part in self.in_neurons()]
        return parts[0] if len(parts) == 1 else jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

    def in_columns(self) -> Iterator[tuple[slice, Probe]]:
        """Some concepts at a time: which, and a probe of them."""
        if self.num_concepts <= COLUMNS:
            yield slice(0, self.num_concepts), self
            return
        for start in range(0, self.num_concepts, COLUMNS):
            some = slice(start, min(start + COLUMNS, self.num_concepts))
            names = self.concept_names[some]
            yield some, replace(self, concepts=self.concepts[:, some], concept_names=names)

    @property
    def _dense(self) -> Array:
        f = self.activations
        return jax.device_put(f.dense()) if isinstance(f, SparseColumns) else f

    @property
    def _compute_dtype(self) -> Any:
        return compute_dtype(self.activations, self.concepts, self.sample_weight)


def compute_dtype(*arrays: Array | SparseColumns) -> Any:
    """Precision of sums: float64 if any array has it, else float32 (float16 is too short)."""
    return jnp.float64 if any(x.dtype == jnp.float64 for x in arrays) else jnp.float32


@jax.jit
def _rows(arrays: Any, rows: Array | np.ndarray) -> Any:
    return jax.tree.map(lambda x: x[rows], arrays)


@partial(jax.jit, static_argnames="inclusive")
def _active(f: Array, thresholds: Array, *, inclusive: bool) -> Array:
    return f >= thresholds[None, :] if inclusive else f > thresholds[None, :]


@kept
@partial(jax.jit, static_argnames="num_units")
def _units_with(present: Array, weights: Array, groups: Array | None, *, num_units: int) -> Array:
    present = present & (weights > 0)[:, None]
    if groups is not None:
        present = jnp.zeros((num_units, present.shape[1]), bool).at[groups].max(present)
    return present.sum(axis=0, dtype=jnp.int32)


@kept
@jax.jit
def _weighted_share(present: Array, w: Array) -> Array:
    return _of_all(weighted_total(present.astype(w.dtype), w), w)


@jax.jit
def _of_all(total: Array, w: Array) -> Array:
    return total / w.sum()
