"""Replicates of data that do not fit into memory, read some rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh

from .._numerics.packing import Blocks, PackedPairs, Pairs, pack_pairs, pairs_where
from .._numerics.sums import Sums, about_own_means
from .._runtime.checkpoint import Checkpoint
from .._runtime.chunks import Progress
from .._runtime.devices import added, on_host, rows_on
from .._runtime.memory import free_memory
from ..metrics.scores import winner
from ..metrics.table import Metric
from ..probing.sources import Chunks
from ..schemes import UNITS_A_BLOCK
from .candidates import Candidates, has_enough_evidence, possible_winners, stable_scale
from .draws import Draw, exact_product
from .inputs import choose_followed
from .result import Replicates, as_replicates
from .room import NUM_PILOT, SHARE
from .screening import has_share_bounds, range_of_shares
from .stream_reader import CENTRED, Reader, Survey, add_on_host
from .streamed_evidence import streamed_units

__all__ = ["StreamedReplicates", "stream_replicates"]

VIEWS = ("binary", "raw", *CENTRED)  # those whose sums over rows are enough
BYTES = 24  # per pair and replicate: its sum on the device and on the host, and its value
MOST_A_PASS = 512  # replicates: each pass reads all data once more
TOGETHER = 2**20  # values that are computed at a time


class StreamedReplicates(NamedTuple):
    """The replicates of rows that are not held.

    Attributes
    ----------
    replicates : Replicates
    num_samples, num_units : int
        How many rows, and how many sampling units, there are.
    """

    replicates: Replicates
    num_samples: int
    num_units: int


def stream_replicates(
    source: Chunks,
    metric: Metric,
    draw: Draw,
    num_replicates: int,
    *,
    thresholds: Any,
    inclusive: bool,
    concept_threshold: float,
    memory_limit: float | None,
    mesh: Mesh | None,
    checkpoint: Path | str | None,
    progress: Progress | None,
) -> StreamedReplicates:
    """As :func:`compute_replicates`, from rows that are read in passes.

    Raises
    ------
    ValueError
        If the metric or the scheme cannot be streamed, the source can be read only once or gives
        rows that it may not, or the memory limit is too low.
    """
    _check_streamable(metric, draw)
    devices = 1 if mesh is None else mesh.size
    reader = Reader(source, metric, thresholds, inclusive, concept_threshold, devices)
    survey = Survey(reader, hashed=checkpoint is not None)
    for block in reader.blocks():
        survey.add(block)
    sums = survey.sums()
    observed = _value(sums, metric)
    evidence = streamed_units(reader, survey, metric)
    has_evidence, label = has_enough_evidence(metric, observed, evidence), winner(observed)
    bounds = None
    if survey.single and has_share_bounds(metric, draw.scheme):
        bounds = range_of_shares(sums, metric, num_replicates, observed)
    pairs = pairs_where(possible_winners(has_evidence, bounds, observed))
    room = _room(reader, pairs, num_replicates, memory_limit)
    done = Checkpoint(
        checkpoint, draw.key, survey.digest, metric.name, observed, num_replicates, memory_limit,
        draw.scheme.name, [version(name) for name in ("neurotrust-jax", "jaxlib")],
    )  # fmt: skip
    # the memory that was free at first decides, however much is free now
    size, most_followed = (int(x) for x in done.piece("room", lambda: room))
    known = _Known(metric, observed, np.asarray(label), has_evidence, pairs, most_followed)
    passes = _Passes(reader, survey, draw, known, size, num_replicates, mesh, progress)
    results = []
    spread = None
    for start in range(0, num_replicates, size):
        name = f"{start}-{start + size}"
        *result, spread = done.piece(name, partial(passes.compute, start, spread))
        results.append(result)
    assert spread is not None
    found, _ = known.choose(spread)
    replicates = as_replicates(
        found, *(np.concatenate(x, axis=1) for x in zip(*results, strict=True)),
        observed=jnp.asarray(observed), best=label, followed=np.asarray(label),
        evidence=jnp.asarray(evidence, observed.dtype),
    )  # fmt: skip
    return StreamedReplicates(replicates, survey.num_rows, survey.num_units)


def _check_streamable(metric: Metric, draw: Draw) -> None:
    views = metric.neuron_view, metric.concept_view
    if metric.finalise is None or not set(views) <= set(VIEWS):
        raise ValueError(
            f"{metric.name!r} cannot be streamed: it reads neurons as {views[0]!r} and concepts as "
            f"{views[1]!r}, and sums over rows are enough for {', '.join(VIEWS)} only; take some "
            "neurons at a time with bootstrap()"
        )
    if draw.scheme.draw_blocks is None or not draw.scheme.small_counts:
        raise ValueError(
            f"scheme {draw.scheme.name!r} cannot be streamed, since it does not draw small counts "
            'block by block; use "poisson"'
        )


def _room(
    reader: Reader, pairs: Pairs, num_replicates: int, memory_limit: float | None
) -> tuple[int, int]:
    """How many replicates fit into a pass, and how many pairs are followed."""
    num_pairs = len(pairs[0])
    held = BYTES * (num_pairs + 2 * (reader.num_neurons + reader.num_concepts))
    limit = SHARE * free_memory() if memory_limit is None else float(memory_limit)
    fit = int(limit / (held + 4 * NUM_PILOT))
    if fit < min(NUM_PILOT, num_replicates):
        raise ValueError(
            f"memory_limit={limit:g} bytes is below the {held * NUM_PILOT:.3g} that "
            f"{num_pairs:,} pairs of neurons and concepts need; raise it, or take fewer neurons "
            "at a time"
        )
    return min(fit, MOST_A_PASS, num_replicates), int(limit / (8 * num_replicates))


class _Known(NamedTuple):
    """What the survey found."""

    metric: Metric
    observed: np.ndarray
    label: np.ndarray
    has_evidence: np.ndarray
    pairs: Pairs
    most_followed: int

    def choose(self, spread: np.ndarray) -> tuple[Candidates, np.ndarray]:
        """The candidates, and the places of the pairs to follow."""
        num_concepts = self.observed.shape[1]
        found, followed = choose_followed(
            self.metric, self.observed, self.label, self.has_evidence, self.pairs, spread,
            self.most_followed,
        )  # fmt: skip
        code = self.pairs[0] * num_concepts + self.pairs[1]
        return found, np.searchsorted(code, followed[0] * num_concepts + followed[1])


class _Passes:
    """Passes over the rows, each of which computes ``size`` replicates."""

    def __init__(
        self,
        reader: Reader,
        survey: Survey,
        draw: Draw,
        known: _Known,
        size: int,
        num_replicates: int,
        mesh: Mesh | None,
        progress: Progress | None,
    ) -> None:
        self.reader, self.survey, self.draw, self.known = reader, survey, draw, known
        self.size, self.num_replicates = size, num_replicates
        self.mesh, self.progress = mesh, progress
        (self.packed,) = pack_pairs(known.pairs, reader.num_neurons, 2**62)
        self.step = added(
            _block_sums, mesh, 3, draw_blocks=draw.scheme.draw_blocks, counts=reader.counts
        )

    def compute(self, start: int, spread: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """Winners and their similarity, the followed pairs' similarity, and all pairs' spread."""
        known, packed = self.known, self.packed
        totals: list[np.ndarray] | None = None
        for block in self.reader.blocks(self.survey.most_active):
            ids = jnp.arange(start, start + self.size)
            arrays = rows_on(self.mesh, block.arrays)
            new = self.step(self.draw.key, ids, packed.blocks, *arrays)
            totals = add_on_host(totals, [on_host(x) for x in new])
            if self.progress is not None:
                done = start + self.size * block.stop // self.survey.num_rows
                self.progress(min(done, self.num_replicates), self.num_replicates)
        self.reader.check_again(self.survey.num_rows)
        assert totals is not None
        values = _values(totals, packed, known.metric)[:, : self.num_replicates - start]
        if spread is None:
            centre = known.observed[known.pairs]
            spread = np.asarray(_spread(values[:, :NUM_PILOT], centre, metric=known.metric))
        _, follow = known.choose(spread)
        return *_winners(values, *known.pairs, self.reader.num_neurons), values[follow], spread


def _block_sums(
    key: Array,
    ids: Array,
    blocks: Blocks,
    first: Array,
    place: Array,
    listed: Array,
    concepts: Array,
    *,
    draw_blocks: Callable[[Array, Array, int, Any], Array],
    counts: tuple[bool, bool],
) -> tuple[Array, ...]:
    """The sums of b replicates over a device's rows: S [b], F, FF [U, b], C, CC [C, b], FC.

    FC is [blocks, width, b]. Samples weigh what their unit is drawn.
    """
    number = place.shape[0] // UNITS_A_BLOCK + 1
    drawn = lax.map(
        lambda b: draw_blocks(jax.random.fold_in(key, b), first, number, jnp.uint8), ids
    ).T
    # units that are not there, and the row that fills lists up, are last
    drawn = jnp.pad(drawn, ((0, 1), (0, 0)))
    w = jnp.pad(drawn.at[place].get(mode="promise_in_bounds"), ((0, 1), (0, 0)))
    dtype = jnp.float32
    c = exact_product(concepts, w, dtype)
    cc = c if counts[1] else exact_product(concepts**2, w, dtype)

    def neuron(i: Array, out: tuple[Array, ...]) -> tuple[Array, ...]:
        u = blocks.neuron[i]
        own = listed[u]
        if counts[0]:
            x = w.at[own].get(mode="promise_in_bounds")
            f = ff = x.sum(axis=0, dtype=dtype)
        else:
            x = w[:-1].astype(dtype) * own[:, None]
            f, ff = x.sum(axis=0), (x * own[:, None]).sum(axis=0)

        def block(j: Array, fc: Array) -> Array:
            some = jnp.maximum(blocks.concept[j], 0)
            here = concepts[some[:, None], own[None, :]] if counts[0] else concepts[some][:, :-1]
            return lax.dynamic_update_index_in_dim(fc, exact_product(here, x, dtype), j, 0)

        fs, ffs, fc = out
        fc = lax.fori_loop(blocks.start[i], blocks.stop[i], block, fc)
        return fs.at[u].set(f), ffs.at[u].set(ff), fc

    b = ids.shape[0]
    empty = jnp.zeros((listed.shape[0], b), dtype)
    fc = jnp.zeros((*blocks.concept.shape, b), dtype)
    f, ff, fc = lax.fori_loop(0, blocks.neuron.shape[0], neuron, (empty, empty, fc))
    return w.sum(axis=0, dtype=dtype), f, ff, c, cc, fc


def _values(totals: list[np.ndarray], packed: PackedPairs, metric: Metric) -> np.ndarray:
    """Similarities of pairs [P, b] from the sums of replicates."""
    s, f, ff, c, cc, fc = totals
    neuron, concept = packed.pairs
    num_replicates = len(s)
    fc = fc.reshape(-1, num_replicates)
    values = np.empty((len(neuron), num_replicates), np.float32)
    step = max(1, TOGETHER // num_replicates)
    for start in range(0, len(neuron), step):
        some = slice(start, start + step)
        u, k = neuron[some], concept[some]
        each: list[Any] = [s[None, :], f[u], c[k], ff[u], cc[k], fc[packed.place[some]]]
        values[some] = _value(Sums(*each), metric)
    return values


def _value(s: Sums, metric: Metric) -> np.ndarray:
    """The similarity from sums in double precision, after centring where the metric centres."""
    some = np.where(s.S > 0, s.S, 1)
    varies = []
    for view, x, xx in ((metric.neuron_view, s.F, s.FF), (metric.concept_view, s.C, s.CC)):
        spread = xx - x * x / some
        # a binary sum is exact; a real one may have a small spread by rounding alone
        rounding = 0.25 if view == "binary" else 64 * np.finfo(np.float32).eps * xx
        varies.append(spread > rounding)
    s = about_own_means(s, metric.neuron_view in CENTRED, metric.concept_view in CENTRED)
    # double precision throughout, since small differences of large counts must not be rounded
    with jax.enable_x64(True):
        sums = Sums(*(jnp.asarray(x, jnp.float64) for x in s))
        value = _finalised(sums, varies[0] & varies[1], metric=metric)
    value = np.asarray(value)
    return np.where(np.abs(value) <= np.finfo(np.float32).max, value, np.nan).astype(np.float32)


@partial(jax.jit, static_argnames="metric")
def _finalised(sums: Sums, defined: Array, *, metric: Metric) -> Array:
    return metric.value(sums, defined)


@partial(jax.jit, static_argnames="metric")
def _spread(values: Array, observed: Array, *, metric: Metric) -> Array:
    """Standard errors [P] on the stable scale."""
    deviation = stable_scale(metric, values) - stable_scale(metric, observed)[:, None]
    return jnp.nan_to_num(jnp.nanstd(deviation, axis=1))


def _winners(
    values: np.ndarray, neuron: np.ndarray, concept: np.ndarray, num_neurons: int
) -> tuple[np.ndarray, np.ndarray]:
    """Most similar concept of each neuron, the first of equals, and its similarity: [U, b]."""
    won = np.full((num_neurons, values.shape[1]), -1, np.int32)
    winning = np.full(won.shape, np.nan, values.dtype)
    begins = np.flatnonzero(np.r_[True, neuron[1:] != neuron[:-1]])[: len(neuron)]
    if len(neuron) == 0:
        return won, winning
    ordered = np.where(np.isnan(values), -np.inf, values)
    top = np.maximum.reduceat(ordered, begins, axis=0)
    lengths = np.diff(np.r_[begins, len(neuron)])
    leads = ordered == np.repeat(top, lengths, axis=0)
    column = np.where(leads, concept[:, None], np.iinfo(np.int32).max)
    first = np.minimum.reduceat(column, begins, axis=0)
    labelled = np.isfinite(top)
    own = neuron[begins]
    won[own] = np.where(labelled, first, -1)
    winning[own] = np.where(labelled, top, np.nan)
    return won, winning
