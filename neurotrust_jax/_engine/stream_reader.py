"""Read data that do not fit into memory in blocks of rows, check them, and survey them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.packing import places_in_lists, round_up_shape
from .._numerics.sums import Sums
from .._runtime.host_arrays import as_host_array, check_matrix, is_sparse
from ..metrics.metric import Metric
from ..probing.groups import number_groups
from ..probing.sources import Chunks
from ..probing.sparse_columns import dense_rows
from ..schemes import UNITS_A_BLOCK

__all__ = ["CENTRED", "Block", "Reader", "Survey", "add_on_host"]

CENTRED = ("centred", "standard")  # views less their mean
ENTRIES = 2**24  # of activations and concepts that a device holds at a time
MOST_ROWS = 2**14
_NO_GROUP = object()  # which no row's group is


class Block(NamedTuple):
    """Some rows, of equally many for each device; the last block is filled up.

    Attributes
    ----------
    activations, concepts : numpy.ndarray [m, U], [m, C]
        As the metric reads them, the means and sizes of real columns taken off.
    unit : numpy.ndarray [m] of int64
        Unit of each row, counted over all rows; -1 where there is none.
    arrays : tuple
        For each device: its first block of units, the place of each row's unit from there, active
        rows or activations by neuron, concepts by concept.
    stop : int
        Rows up to here.
    """

    activations: np.ndarray
    concepts: np.ndarray
    unit: np.ndarray
    arrays: tuple[np.ndarray, ...]
    stop: int


class Reader:
    """Reads a source in blocks of equally many rows, and checks what it gives."""

    def __init__(
        self,
        source: Chunks,
        metric: Metric,
        thresholds: Any,
        inclusive: bool,
        concept_threshold: float,
        num_devices: int,
    ) -> None:
        if isinstance(source, Iterator):
            raise ValueError(
                f"source is a {type(source).__name__}, which can be read once only; give a "
                "function that starts a new one, or a list of chunks"
            )
        self.start = source if callable(source) else lambda: source
        self.metric, self.inclusive = metric, inclusive
        self.concept_threshold = concept_threshold
        self.num_devices = num_devices
        first = next(iter(self.start()), None)
        if first is None:
            raise ValueError("source gives no chunk; it must give one at least")
        f, c, _ = self._checked(first, None)
        self.num_neurons, self.num_concepts = f.shape[1], c.shape[1]
        self.thresholds = _as_thresholds(thresholds, self.num_neurons)
        rows = ENTRIES // (self.num_neurons + self.num_concepts)
        self.rows = min(max(rows, UNITS_A_BLOCK), MOST_ROWS) // UNITS_A_BLOCK * UNITS_A_BLOCK
        self.off = _mean_and_size(f, metric.neuron_view), _mean_and_size(c, metric.concept_view)
        self.num_read = 0

    @property
    def counts(self) -> tuple[bool, bool]:
        """Whether neurons, and concepts, are read as 0 and 1."""
        return self.metric.neuron_view == "binary", self.metric.concept_view == "binary"

    def check_again(self, num_rows: int) -> None:
        """Refuse a source that is not the same in every pass."""
        if self.num_read != num_rows:
            raise ValueError(
                f"source gave {num_rows:,} rows in the first pass and {self.num_read:,} in "
                "another; it must give the same rows each time"
            )

    def blocks(self, most_active: int | None = None) -> Iterator[Block]:
        """One pass; with ``most_active`` (rows of a block) also what the devices take."""
        size = self.rows * self.num_devices
        waiting: list[tuple[np.ndarray, ...]] = []
        held = self.num_read = 0
        for chunk in self._with_units():
            waiting.append(chunk)
            held += len(chunk[2])
            while held >= size:
                f, c, unit = (np.concatenate(x) for x in zip(*waiting, strict=True))
                self.num_read += size
                yield self._block(f[:size], c[:size], unit[:size], most_active)
                waiting, held = [(f[size:], c[size:], unit[size:])], held - size
        if held:
            f, c, unit = (np.concatenate(x) for x in zip(*waiting, strict=True))
            short = size - held
            self.num_read += held
            yield self._block(
                np.pad(f, ((0, short), (0, 0))), np.pad(c, ((0, short), (0, 0))),
                np.pad(unit, (0, short), constant_values=-1), most_active,
            )  # fmt: skip

    def _with_units(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Chunks with the unit of each row: its group, in the order in which they come."""
        unit, last, before = -1, _NO_GROUP, set()
        for given in self.start():
            f, c, groups = self._checked(given, (self.num_neurons, self.num_concepts))
            f, c = self._viewed(f, c)
            if groups is None:
                yield f, c, np.arange(unit + 1, unit + 1 + len(f))
                unit += len(f)
                continue
            index, labels = groups
            begins = np.r_[labels[index[0]] != last, index[1:] != index[:-1]]
            for label in (labels[i] for i in index[begins]):
                if label in before:
                    raise ValueError(
                        f"the rows of group {label!r} do not follow one another; sort them by group"
                    )
                before.add(label)
            units = unit + np.cumsum(begins)
            unit, last = int(units[-1]), labels[index[-1]]
            yield f, c, units

    def _checked(
        self, chunk: tuple[Any, ...], columns: tuple[int, int] | None
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, list[Any]] | None]:
        """Real numbers in both arrays, and the groups' numbers and labels in this chunk."""
        if len(chunk) not in (2, 3):
            raise ValueError(
                "a chunk must be (activations, concepts) or (activations, concepts, groups), got "
                f"{len(chunk)} arrays"
            )
        f, c = (
            dense_rows(x, name)(0, x.shape[0]) if is_sparse(x) else as_host_array(x, name)
            for x, name in zip(chunk[:2], ("activations", "concepts"), strict=True)
        )
        for x, name, axes in ((f, "activations", "m, U"), (c, "concepts", "m, C")):
            check_matrix(x, name, axes)
        if len(f) != len(c):
            raise ValueError(
                "a chunk needs activations [m, U] and concepts [m, C] with equally many rows, got "
                f"shapes {f.shape} and {c.shape}"
            )
        if columns is not None and (f.shape[1], c.shape[1]) != columns:
            raise ValueError(
                f"all chunks need as many columns as the first, {columns[0]} activations and "
                f"{columns[1]} concepts, got {f.shape[1]} and {c.shape[1]}"
            )
        f = f.astype(np.float32) if f.dtype.kind not in "f" else f  # as make_probe takes integers
        if not np.isfinite(f).all():
            raise ValueError("activations hold NaN or infinite values; drop or repair them")
        if not ((c >= 0) & (c <= 1)).all():
            raise ValueError("concepts hold values outside [0, 1]; give labels or probabilities")
        return f, c, number_groups(chunk[2], len(f)) if len(chunk) == 3 else None

    def _viewed(self, f: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both sides as the metric reads them; centred views may be off by a constant."""
        binary_neurons, binary_concepts = self.counts
        if binary_neurons:
            above = np.greater_equal if self.inclusive else np.greater
            dtype = jax.dtypes.canonicalize_dtype(f.dtype)
            with np.errstate(over="ignore"):
                f = above(f.astype(dtype, copy=False), self.thresholds.astype(dtype))
        else:
            f = ((f - self.off[0][0]) / self.off[0][1]).astype(np.float32)
        if binary_concepts:
            c = c >= self.concept_threshold if c.dtype.kind == "f" else c.astype(bool)
        else:
            c = ((c - self.off[1][0]) / self.off[1][1]).astype(np.float32)
        return f, c

    def _block(
        self, f: np.ndarray, c: np.ndarray, unit: np.ndarray, most_active: int | None
    ) -> Block:
        arrays: tuple[np.ndarray, ...] = ()
        if most_active is not None:
            parts = (np.split(x, self.num_devices) for x in (f, c, unit))
            shares = [
                self._share(*part, most_active=most_active) for part in zip(*parts, strict=True)
            ]
            arrays = tuple(np.stack(x) for x in zip(*shares, strict=True))
        return Block(f, c, unit, arrays, self.num_read)

    def _share(
        self, f: np.ndarray, c: np.ndarray, unit: np.ndarray, *, most_active: int
    ) -> tuple[np.ndarray, ...]:
        """The arrays of one device."""
        first = max(int(unit[0]), 0) // UNITS_A_BLOCK
        last = (len(unit) // UNITS_A_BLOCK + 1) * UNITS_A_BLOCK
        place = np.where(unit >= 0, unit - first * UNITS_A_BLOCK, last).astype(np.int32)
        if self.counts[0]:
            neuron, row = np.nonzero(np.ascontiguousarray(f.T))
            count = np.bincount(neuron, minlength=self.num_neurons)
            if count.max() > most_active:
                raise ValueError(
                    "source gave other activations than in the first pass; it must give "
                    "the same rows each time"
                )
            listed = np.full((self.num_neurons, most_active), len(f), np.int32)
            listed[neuron, places_in_lists(count)] = row
        else:
            listed = np.ascontiguousarray(f.T)
        concepts = np.pad(np.ascontiguousarray(c.T), ((0, 0), (0, 1)))
        return np.asarray(first, np.int32), place, listed, concepts


class Survey:
    """The sums, counts and digests of one pass over all rows."""

    def __init__(self, reader: Reader, *, hashed: bool = False) -> None:
        self.reader = reader
        self.hashes = [hashlib.sha256() for _ in range(3 * hashed)]
        self.num_rows, self.num_units, self.active = 0, 0, 0
        self.single = True
        self.total: list[np.ndarray] | None = None

    def add(self, block: Block) -> None:
        """Add a block."""
        used = block.unit >= 0
        f, c, unit = block.activations[used], block.concepts[used], block.unit[used]
        self.num_rows += len(unit)
        # rows in their order, however they are cut
        for total, x in zip(self.hashes, (f, c, unit), strict=False):
            total.update(np.ascontiguousarray(x).data)
        self.total = add_on_host(self.total, [np.asarray(x) for x in _all_sums(
            block.activations, block.concepts, used
        )])  # fmt: skip
        if self.reader.counts[0]:
            parts = np.split(block.activations, self.reader.num_devices)
            self.active = max(self.active, *(int(x.sum(axis=0).max()) for x in parts))
        self.num_units = int(unit[-1]) + 1
        self.single &= self.num_units == self.num_rows

    @property
    def digest(self) -> list[str]:
        """Digests that distinguish these rows from others, where they are hashed."""
        return [x.hexdigest() for x in self.hashes]

    @property
    def most_active(self) -> int:
        """Most rows on which a neuron is active, of those that a device takes at a time."""
        return round_up_shape(self.active)

    def sums(self) -> Sums:
        """Over all rows, on the host in double precision."""
        assert self.total is not None
        s, f, ff, c, cc, fc = self.total
        each: list[Any] = [s, f[:, None], c[None, :], ff[:, None], cc[None, :], fc]
        return Sums(*each)


def _mean_and_size(x: np.ndarray, view: str) -> tuple[np.ndarray, np.ndarray]:
    """What is subtracted from real columns, and their size, so that squares lose no digits."""
    x = x.astype(np.float64)
    mean = x.mean(axis=0) if view in CENTRED else np.zeros(x.shape[1])
    size = np.abs(x - mean).max(axis=0) if view in ("raw", "standard") else np.ones(x.shape[1])
    return mean, np.where(size > 0, size, 1)


def _as_thresholds(thresholds: Any, num_neurons: int) -> np.ndarray:
    t = as_host_array(thresholds, "thresholds")
    if t.shape not in ((), (num_neurons,)) or np.isnan(t).any():
        raise ValueError(
            f"thresholds must be a number or numbers of shape [{num_neurons}], got {thresholds!r}"
        )
    return np.broadcast_to(t, (num_neurons,))


def add_on_host(totals: list[np.ndarray] | None, new: list[np.ndarray]) -> list[np.ndarray]:
    """Add up on the host, in double precision: counts stay exact beyond 2**24."""
    if totals is None:
        return [x.astype(np.float64) for x in new]
    for total, x in zip(totals, new, strict=True):
        total += x
    return totals


@jax.jit
def _all_sums(f: Array, c: Array, used: Array) -> tuple[Array, ...]:
    """The six sums of all pairs of a block."""
    w = used.astype(jnp.float32)
    f, c = (x.astype(jnp.float32) * w[:, None] for x in (f, c))
    both = jnp.matmul(f.T, c, precision=lax.Precision.HIGHEST)
    return w.sum(), f.sum(axis=0), (f * f).sum(axis=0), c.sum(axis=0), (c * c).sum(axis=0), both
