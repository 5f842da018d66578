"""The probe: what was measured, validated once and never changed afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .checks import check_share
from .sparse import SparseColumns, is_sparse, read_sparse
from .sums import weighted_total

__all__ = ["Probe", "Side", "make_probe", "split_thresholds"]

DEFAULT_TOP_FRACTION = 0.05
COLUMNS = 2048  # concepts at a time, where many would take too much memory as floats
ENTRIES = 2**24  # of sparse activations written out at a time


class Side(NamedTuple):
    """One side of a probe, as the views of :mod:`neurotrust_jax.views` read it.

    Attributes
    ----------
    values : Array [n, d]
        Activations or concept scores, in the precision in which sums are taken.
    present : Array [n, d] of bool
        Neuron active, or concept present.
    """

    values: Array
    present: Array


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("activations", "concepts", "sample_weight", "thresholds", "groups"),
    meta_fields=(
        "inclusive",
        "concept_threshold",
        "num_groups",
        "threshold_source",
        "thresholds_fixed",
        "concept_names",
        "neuron_names",
    ),
)
@dataclass(frozen=True, eq=False)
class Probe:
    """Activations of U neurons and scores of C concepts on the same n samples.

    Build it with :func:`make_probe`, which validates. A probe is a pytree: pass it through
    ``jax.jit``, ``jax.vmap`` and ``jax.grad`` like any other array.

    Attributes
    ----------
    activations : Array [n, U], or SparseColumns
        Real activations; the dtype in which they came.
    concepts : Array [n, C]
        Labels (bool), or probabilities in [0, 1].
    sample_weight : Array [n]
        Non-negative weight of each sample; ones unless given.
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
    threshold_source : str
        How the thresholds came about: ``"given"``, ``"top_fraction=..."``, or from a split.
    thresholds_fixed : bool
        Whether they were set without looking at these samples.
    concept_names, neuron_names : tuple of str
        One name per column.
    """

    activations: Array | SparseColumns
    concepts: Array
    sample_weight: Array
    thresholds: Array
    groups: Array | None
    inclusive: bool
    concept_threshold: float
    num_groups: int | None
    threshold_source: str
    thresholds_fixed: bool
    concept_names: tuple[str, ...]
    neuron_names: tuple[str, ...]

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
    def active(self) -> Array:
        """Where each neuron is active, [n, U] of bool."""
        above = jnp.greater_equal if self.inclusive else jnp.greater
        return above(self._dense, self.thresholds[None, :])

    @property
    def present(self) -> Array:
        """Where each concept is present, [n, C] of bool."""
        if self.concepts.dtype == jnp.bool_:
            return self.concepts
        return self.concepts >= jnp.asarray(self.concept_threshold, self.concepts.dtype)

    @property
    def neurons(self) -> Side:
        """The neurons' side: activations, and where each neuron is active.

        Of sparse activations all at once, as dense ones: see :meth:`in_neurons`.
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
    def active_rate(self) -> Array:
        """Realised (weighted) share of samples on which each neuron is active, [U]."""
        return self.each_neuron(lambda part: _weighted_share(part.active, part.weights))

    @property
    def concept_rate(self) -> Array:
        """Realised (weighted) share of samples on which each concept is present, [C]."""
        return _weighted_share(self.present, self.weights)

    @property
    def positive_units(self) -> Array:
        """Number of units (groups, or samples) with each concept anywhere in them, [C] of int32."""
        present = self.present & (self.sample_weight > 0)[:, None]
        if self.groups is not None:
            empty = jnp.zeros((self.num_units, self.num_concepts), bool)
            present = empty.at[self.groups].max(present)
        return present.sum(axis=0, dtype=jnp.int32)

    def take(self, rows: Array | np.ndarray) -> Probe:
        """The probe on the given rows (repeats allowed), thresholds and names unchanged."""
        f = self.activations
        return replace(
            self,
            activations=f.take(np.asarray(rows)) if isinstance(f, SparseColumns) else f[rows],
            concepts=self.concepts[rows],
            sample_weight=self.sample_weight[rows],
            groups=None if self.groups is None else self.groups[rows],
        )

    def of_neurons(self, start: int, stop: int) -> Probe:
        """The probe of the neurons from ``start`` up to ``stop``."""
        f, some = self.activations, slice(start, stop)
        return replace(
            self,
            activations=f.between(start, stop) if isinstance(f, SparseColumns) else f[:, some],
            thresholds=self.thresholds[some],
            neuron_names=self.neuron_names[some],
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
            part = self.of_neurons(start, stop)
            yield slice(start, stop), replace(part, activations=jnp.asarray(f.dense(start, stop)))

    def each_neuron(self, function: Callable[[Probe], Any]) -> Any:
        """What a function gives of each neuron by itself: arrays [U, ...], or pytrees of them.

        Of sparse activations it is told some neurons at a time.
        """
        parts = [function(part) for _, part in self.in_neurons()]
        return parts[0] if len(parts) == 1 else jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

    def in_columns(self) -> Iterator[tuple[slice, Side]]:
        """Some concepts at a time: which, and their side of the probe."""
        for start in range(0, self.num_concepts, COLUMNS):
            some = slice(start, min(start + COLUMNS, self.num_concepts))
            names = self.concept_names[some]
            yield some, replace(self, concepts=self.concepts[:, some], concept_names=names).labels

    @property
    def _dense(self) -> Array:
        f = self.activations
        return jnp.asarray(f.dense()) if isinstance(f, SparseColumns) else f

    @property
    def _compute_dtype(self) -> Any:
        return _compute_dtype(self.activations, self.concepts, self.sample_weight)


def make_probe(
    activations: Any,
    concepts: Any,
    *,
    concept_names: Sequence[str] | None = None,
    neuron_names: Sequence[str] | None = None,
    groups: Any = None,
    sample_weight: Any = None,
    top_fraction: float | None = None,
    thresholds: Any = None,
    ties: Literal["strict", "inclusive"] = "strict",
    concept_threshold: float = 0.5,
) -> Probe:
    """Validate what was measured on a probing dataset.

    NumPy arrays, JAX arrays and anything that speaks DLPack (a CPU or CUDA torch tensor, say)
    come in without a copy where the device allows; do not write to them afterwards. Inside
    ``jit`` the values can not be inspected, so only shapes and dtypes are checked there.

    Parameters
    ----------
    activations : array [n, U], or sparse matrix of SciPy or JAX
        Real, finite activations of U neurons. A float dtype is kept (float64 becomes float32
        unless JAX runs with x64); bool and integers become float32. A sparse matrix stays sparse:
        what it does not store is 0. Denormal float32 numbers (below 1.2e-38) count as 0.
    concepts : array [n, C]
        bool, 0/1 integers, or probabilities in [0, 1].
    concept_names, neuron_names : sequence of str, optional
        Distinct concept names; default ``concept_0``... and ``0``, ``1``...
    groups : array [n], optional
        Anything hashable per sample (document, image, code point). Samples of one group are not
        independent; every resampling then draws whole groups.
    sample_weight : array [n], optional
        Non-negative, finite, not all zero. An integer weight is the same as repeated rows.
    top_fraction : float in (0, 1], optional
        A neuron is active on its ``ceil(top_fraction * n)`` highest activations (weighted: on
        that share of the weight). Default 0.05 where no thresholds are given. These thresholds
        depend on the probing data.
    thresholds : float or array [U], optional
        Thresholds fixed beforehand; excludes ``top_fraction``.
    ties : {"strict", "inclusive"}
        ``"strict"``: active means above the threshold, and ties at the boundary of
        ``top_fraction`` are left out, so the realised rate is at most ``top_fraction``.
        ``"inclusive"``: at or above the threshold, and ties at the boundary are all taken in, so
        the realised rate is at least ``top_fraction`` (for a ReLU or SAE neuron with few positive
        activations that can mean every sample). Without ties both agree.
        ``probe.active_rate`` tells the realised rate.
    concept_threshold : float in [0, 1]
        A probability at or above this counts as present in the metrics that need labels.

    Returns
    -------
    Probe

    Raises
    ------
    ValueError
        On wrong shapes, non-finite values, concepts outside [0, 1], names off by one or repeated,
        bad weights, thresholds or options. The message repeats the value and names the remedy.
    TypeError
        On complex or non-numeric arrays.
    """
    sparse = is_sparse(activations)
    f: Any = (
        read_sparse(activations, "activations")
        if sparse
        else _as_matrix(activations, "activations", "n, U")
    )
    if 0 in f.shape:
        raise ValueError(f"activations must have shape [n, U] with no empty axis, got {f.shape}")
    c = _as_matrix(concepts, "concepts", "n, C")
    n = f.shape[0]
    if c.shape[0] != n:
        raise ValueError(
            f"activations has {n} rows and concepts has {c.shape[0]}; both need one row per "
            "sample ([n, U] and [n, C]), so transpose or align them"
        )
    if not jnp.issubdtype(f.dtype, jnp.floating):
        f = f.astype(jnp.float32)
    finite = "NaN or infinite values", "drop or repair them"
    if sparse:
        _require(jnp.asarray(f.values), jnp.isfinite, "the values that activations stores", *finite)
    else:
        _require(f, jnp.isfinite, "activations", *finite)
    if jnp.issubdtype(c.dtype, jnp.integer):
        _require(
            c,
            lambda x: (x == 0) | (x == 1),
            "concepts",
            "integers other than 0 and 1",
            "give 0/1 labels or probabilities",
        )
        c = c.astype(jnp.bool_)
    elif c.dtype != jnp.bool_:
        _require(
            c,
            lambda x: (x >= 0) & (x <= 1),
            "concepts",
            "values outside [0, 1]",
            "give labels or probabilities (a softmax or sigmoid of raw scores)",
        )
    if not 0 <= concept_threshold <= 1:
        raise ValueError(f"concept_threshold must lie in [0, 1], got {concept_threshold}")
    if ties not in ("strict", "inclusive"):
        raise ValueError(f'ties must be "strict" or "inclusive", got {ties!r}')

    w = _as_weights(sample_weight, n, _compute_dtype(f))
    group_index, num_groups = _as_groups(groups, n)
    inclusive = ties == "inclusive"
    if thresholds is not None:
        if top_fraction is not None:
            raise ValueError("give either thresholds or top_fraction, not both")
        t = _as_thresholds(thresholds, f)
        source = "given"
    else:
        fraction = DEFAULT_TOP_FRACTION if top_fraction is None else float(top_fraction)
        _check_top_fraction(fraction)
        source = f"top_fraction={fraction:g}"
        t = jnp.zeros(f.shape[1], f.dtype)

    probe = Probe(
        activations=f,
        concepts=c,
        sample_weight=w,
        thresholds=t,
        groups=group_index,
        inclusive=inclusive,
        concept_threshold=float(concept_threshold),
        num_groups=num_groups,
        threshold_source=source,
        thresholds_fixed=thresholds is not None,
        concept_names=_as_names(concept_names, c.shape[1], "concept_names", "concept_"),
        neuron_names=_as_names(neuron_names, f.shape[1], "neuron_names", ""),
    )
    if thresholds is not None:
        return probe
    return replace(probe, thresholds=top_thresholds(probe, fraction))


def split_thresholds(
    key: Array, probe: Probe, *, top_fraction: float = DEFAULT_TOP_FRACTION, fraction: float = 0.5
) -> Probe:
    """Set the thresholds on a random part of the probing set and keep the rest for probing.

    Bounds for fixed thresholds then hold on the rest, since it had no say in them.

    Parameters
    ----------
    key : JAX PRNG key
        Decides the split.
    probe : Probe
        Its own thresholds are replaced.
    top_fraction : float in (0, 1]
        See :func:`make_probe`; a quantile of the part set aside.
    fraction : float in (0, 1)
        Share of the units (samples, or groups) that is set aside.

    Returns
    -------
    Probe
        On the samples that were not set aside.

    Raises
    ------
    ValueError
        If a fraction is out of range, or either part is empty or of weight zero.
    """
    _check_top_fraction(top_fraction)
    in_part, aside = rows_aside(key, probe, fraction)
    part, rest = probe.take(np.flatnonzero(in_part)), probe.take(np.flatnonzero(~in_part))
    for name, side in (("part set aside", part), ("rest", rest)):
        if not bool((side.sample_weight > 0).any()):
            raise ValueError(f"every sample of the {name} has weight 0; choose another key")
    groups, num_groups = _as_groups(rest.groups, rest.num_samples)
    return replace(
        rest,
        thresholds=top_thresholds(part, float(top_fraction)),
        groups=groups,
        num_groups=num_groups,
        threshold_source=f"top_fraction={top_fraction:g} of {aside:,} other units",
        thresholds_fixed=True,
    )


def rows_aside(key: Array, probe: Probe, fraction: float) -> tuple[np.ndarray, int]:
    """Which rows :func:`split_thresholds` sets aside, [n] of bool, and how many units these are."""
    check_share(fraction, "fraction")
    aside = round(fraction * probe.num_units)
    if not 0 < aside < probe.num_units:
        raise ValueError(
            f"fraction={fraction} of {probe.num_units} units leaves one part without any; choose "
            "another fraction"
        )
    order = np.asarray(jax.random.permutation(key, probe.num_units))
    chosen = np.zeros(probe.num_units, bool)
    chosen[order[:aside]] = True
    return chosen if probe.groups is None else chosen[np.asarray(probe.groups)], aside


def top_thresholds(probe: Probe, fraction: float) -> Array:
    """Threshold of each neuron so that the top ``fraction`` of the weight is active, [U]."""
    return probe.each_neuron(
        lambda part: _top_thresholds(
            part.activations, part.sample_weight, fraction, probe.inclusive
        )
    )


def _check_top_fraction(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise ValueError(f"top_fraction must lie in (0, 1], got {fraction}")


def _as_matrix(values: Any, name: str, shape: str) -> Array:
    x = _as_array(values, name)
    if x.ndim != 2:
        hint = f"; use {name}[:, None] for a single column" if x.ndim == 1 else ""
        raise ValueError(f"{name} must have shape [{shape}], got {list(x.shape)}{hint}")
    if 0 in x.shape:
        raise ValueError(f"{name} must have shape [{shape}] with no empty axis, got {x.shape}")
    return x


def _as_array(values: Any, name: str) -> Array:
    if hasattr(values, "__dlpack__") and not isinstance(values, (np.ndarray, Array)):
        try:
            values = jnp.from_dlpack(values)
        except (TypeError, ValueError, RuntimeError, BufferError):
            # NumPy also takes what JAX lacks: float64 in x32 mode, say
            try:
                values = np.from_dlpack(values)
            except (TypeError, ValueError, RuntimeError, BufferError) as error:
                raise TypeError(f"{name} can not be read through DLPack: {error}") from error
    if not isinstance(values, Array):
        values = np.asarray(values)
        if values.dtype.kind not in "fbiu" and values.dtype != jnp.bfloat16:
            raise TypeError(f"{name} must hold real numbers, got dtype {values.dtype}")
    elif jnp.issubdtype(values.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must hold real numbers, got dtype {values.dtype}")
    return jnp.asarray(values)


def _require(x: Array, valid: Any, name: str, what: str, remedy: str) -> None:
    """Raise if an element is not valid; silent under tracing, where values are unknown."""
    if isinstance(x, jax.core.Tracer):
        return
    bad = ~valid(x)
    if bool(bad.any()):
        row, *column = (int(i) for i in np.argwhere(np.asarray(bad))[0])
        where = f"row {row}" + (f", column {column[0]}" if column else "")
        value = np.asarray(x)[(row, *column)]
        raise ValueError(
            f"{name} holds {what} in {int(bad.sum())} places, first {value} at {where}; {remedy}"
        )


def _as_weights(sample_weight: Any, n: int, dtype: Any) -> Array:
    if sample_weight is None:
        return jnp.ones(n, dtype)
    w = _as_array(sample_weight, "sample_weight").astype(dtype)
    if w.shape != (n,):
        raise ValueError(f"sample_weight must have shape [{n}], got {list(w.shape)}")
    _require(
        w,
        lambda x: jnp.isfinite(x) & (x >= 0),
        "sample_weight",
        "negative or non-finite values",
        "weights must be at least 0",
    )
    _require(
        w.sum(keepdims=True),
        lambda x: x > 0,
        "sample_weight",
        "only zeros",
        "give some sample a positive weight",
    )
    return w


def _as_groups(groups: Any, n: int) -> tuple[Array | None, int | None]:
    if groups is None:
        return None, None
    if isinstance(groups, jax.core.Tracer):
        raise TypeError("groups must be concrete, since their number is a shape; got a tracer")
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"groups must have shape [{n}], got {list(labels.shape)}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("groups holds NaN or infinite values; give every sample a group")
    _, index = np.unique(labels, return_inverse=True)
    return jnp.asarray(index, jnp.int32), int(index.max()) + 1


def _as_thresholds(thresholds: Any, f: Array) -> Array:
    t = _as_array(thresholds, "thresholds").astype(f.dtype)
    if t.shape not in ((), (f.shape[1],)):
        raise ValueError(
            f"thresholds must be a number or have shape [{f.shape[1]}], got {list(t.shape)}"
        )
    _require(t.reshape(-1), lambda x: ~jnp.isnan(x), "thresholds", "NaN", "give numbers")
    return jnp.broadcast_to(t, (f.shape[1],))


@partial(jax.jit, static_argnames=("fraction", "inclusive"))
def _top_thresholds(f: Array, w: Array, fraction: float, inclusive: bool) -> Array:
    n = f.shape[0]
    order = jnp.argsort(f, axis=0, descending=True)
    reached = jnp.cumsum(w[order], axis=0)
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


def _as_names(names: Sequence[str] | None, size: int, name: str, prefix: str) -> tuple[str, ...]:
    if names is None:
        return tuple(f"{prefix}{i}" for i in range(size))
    if isinstance(names, str):
        raise TypeError(f"{name} must be a sequence of {size} names, got one string {names!r}")
    result = tuple(str(x) for x in names)
    if len(result) != size:
        raise ValueError(f"{name} has {len(result)} entries for {size} columns")
    commonest, count = Counter(result).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{name} must be distinct; {commonest!r} appears more than once")
    return result


def _compute_dtype(*arrays: Array | SparseColumns) -> Any:
    """Precision of sums: float64 if any array has it, else float32 (float16 is too short)."""
    return jnp.float64 if any(x.dtype == jnp.float64 for x in arrays) else jnp.float32


def _weighted_share(present: Array, w: Array) -> Array:
    return weighted_total(present.astype(w.dtype), w) / w.sum()
