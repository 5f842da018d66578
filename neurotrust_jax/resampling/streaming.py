"""The bootstrap of data that do not fit into memory, read some rows at a time."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh

from .._engine.candidates import Candidates, has_enough_evidence, possible_winners, stable_scale
from .._engine.replicates import exact_product
from .._engine.room import NUM_PILOT, SHARE
from .._engine.screening import has_share_bounds, range_of_shares
from .._engine.strategies import choose_followed
from .._engine.stream_reader import CENTRED, Reader, Survey, plus
from .._engine.streamed_evidence import streamed_units
from .._numerics.packing import Blocks, Part, pack_pairs, pairs_where
from .._numerics.sums import Sums
from .._runtime.checkpoint import Checkpoint
from .._runtime.chunks import Progress
from .._runtime.devices import added, on_host, rows_on
from .._runtime.memory import free_memory
from .._runtime.validation import check_count
from ..metrics.metric import Metric
from ..metrics.scores import winner
from ..metrics.table import get_metric
from ..probing.sources import Chunks
from ..schemes import UNITS_A_BLOCK, poisson_blocks
from .bootstrapping import Bootstrap, as_bootstrap

__all__ = ["bootstrap_stream"]

VIEWS = ("binary", "raw", *CENTRED)  # those that sums over rows can tell
BYTES = 24  # per pair and replicate: its sum on the device and on the host, and its value
MOST_A_PASS = 512  # replicates: each pass reads all data once more
TOGETHER = 2**20  # values that are worked out at a time


def bootstrap_stream(
    key: Array,
    source: Chunks,
    metric: str | Metric = "iou",
    *,
    thresholds: Any,
    num_replicates: int = 1000,
    ties: str = "strict",
    concept_threshold: float = 0.5,
    memory_limit: float | None = None,
    mesh: Mesh | None = None,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Bootstrap:
    """Label every neuron anew under many resamplings of data that are read in passes.

    The same as ``bootstrap(scheme="poisson")`` on all rows at once: replicate b draws unit i a
    number of times that follows from b and i alone, so the result does not depend on how the rows
    are cut. Counts are exact for up to 2**53 samples. One pass tells what can win, and each further
    pass makes as many replicates as fit into the memory.

    Parameters
    ----------
    key : JAX PRNG key
    source : iterable, or callable that returns one
        Gives chunks ``(activations [m, U], concepts [m, C])`` or with ``groups [m]`` as a third
        array, anew each time it is iterated over (or called); see :func:`array_chunks`. What is
        said of the arrays in :func:`make_probe` holds here. Rows of one group follow one another.
    metric : str or Metric
        A six-sum metric of binary, raw, centred or standard views; ranks would need all rows.
    thresholds : float or array [U]
        A neuron is active above its threshold (at or above with ``ties="inclusive"``).
    num_replicates : int
        Number of replicates B, at least 1.
    ties : {"strict", "inclusive"}
    concept_threshold : float in [0, 1]
    memory_limit : float, optional
        Bytes for what is held of the replicates at a time. Default: half of what is free.
    mesh : jax.sharding.Mesh, optional
        Devices that share the rows, and add up; in several processes each must read the source.
    checkpoint : path, optional
        A folder that keeps what each pass makes, so that the same call on the same rows goes on
        from there, see :func:`bootstrap`. One pass over the rows tells that they are the same.
    progress : callable, optional
        Called as ``progress(done, num_replicates)``, in the course of each pass.

    Returns
    -------
    Bootstrap
        Without a probe: :func:`stability` and :func:`concept_sets` take it (concepts on too little
        evidence then all stay), :func:`winners_curse` and certificates need the data.

    Raises
    ------
    ValueError
        If the metric can not be had in passes, the source can be read once only or gives rows of
        other shapes, counts or values than it may, or the memory limit is too low.
    """
    metric = get_metric(metric)
    views = metric.neuron_view, metric.concept_view
    if metric.finalise is None or not set(views) <= set(VIEWS):
        raise ValueError(
            f"{metric.name!r} can not be had in passes over the rows: it reads neurons as "
            f"{views[0]!r} and concepts as {views[1]!r}, and sums tell {', '.join(VIEWS)} ones; "
            "take some neurons at a time with bootstrap()"
        )
    num_replicates = check_count(num_replicates, "num_replicates")
    if ties not in ("strict", "inclusive"):
        raise ValueError(f'ties must be "strict" or "inclusive", got {ties!r}')
    if not 0 <= concept_threshold <= 1:
        raise ValueError(f"concept_threshold must lie in [0, 1], got {concept_threshold}")
    devices = 1 if mesh is None else mesh.size
    reader = Reader(source, metric, thresholds, ties == "inclusive", concept_threshold, devices)
    survey = Survey(reader, hashed=checkpoint is not None)
    for block in reader.blocks():
        survey.add(block)
    sums = survey.sums()
    observed = _value(sums, metric)
    evidence = streamed_units(reader, survey, metric)
    has_evidence, label = has_enough_evidence(metric, observed, evidence), winner(observed)
    ends = None
    if survey.single and has_share_bounds(metric):
        ends = range_of_shares(sums, metric, num_replicates, observed)
    neuron, concept = pairs = pairs_where(possible_winners(has_evidence, ends, observed))
    held = BYTES * (len(neuron) + 2 * (reader.num_neurons + reader.num_concepts))
    limit = SHARE * free_memory() if memory_limit is None else float(memory_limit)
    room = int(limit / (held + 4 * NUM_PILOT))
    if room < min(NUM_PILOT, num_replicates):
        raise ValueError(
            f"memory_limit={limit:g} bytes is below the {held * NUM_PILOT:.3g} that "
            f"{len(neuron):,} pairs of neurons and concepts need; raise it, or take fewer neurons "
            "at a time"
        )
    kept = Checkpoint(
        checkpoint, key, survey.digest, metric.name, observed, num_replicates, memory_limit,
        [version(name) for name in ("neurotrust-jax", "jaxlib")],
    )  # fmt: skip
    # how much was free at first decides on, whatever is free now
    plan = min(room, MOST_A_PASS, num_replicates), int(limit / (8 * num_replicates))
    size, most_followed = (int(x) for x in kept.piece("room", lambda: plan))
    (part,) = pack_pairs(pairs, reader.num_neurons, 2**62)
    step = added(_block_sums, mesh, 3, counts=reader.counts)
    code = neuron * reader.num_concepts + concept

    def choose(spread: np.ndarray) -> tuple[Candidates, np.ndarray]:
        """The candidates, and the places of the pairs to follow."""
        found, followed = choose_followed(
            metric, observed, np.asarray(label), has_evidence, pairs, spread, most_followed
        )
        return found, np.searchsorted(code, followed[0] * reader.num_concepts + followed[1])

    def one_pass(start: int, spread: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """Winners and their similarity, the followed pairs' similarity, and all pairs' spread."""
        totals: list[np.ndarray] | None = None
        for block in reader.blocks(survey.most_active):
            ids = jnp.arange(start, start + size)
            new = step(key, ids, part.blocks, *rows_on(mesh, block.arrays))
            totals = plus(totals, [on_host(x) for x in new])
            if progress is not None:
                done = start + size * block.stop // survey.num_rows
                progress(min(done, num_replicates), num_replicates)
        reader.check_again(survey.num_rows)
        assert totals is not None
        values = _values(totals, part, metric)[:, : num_replicates - start]
        if spread is None:
            spread = np.asarray(_spread(values[:, :NUM_PILOT], observed[pairs], metric=metric))
        _, follow = choose(spread)
        return *_winners(values, neuron, concept, reader.num_neurons), values[follow], spread

    results = []
    spread = None
    for start in range(0, num_replicates, size):
        *result, spread = kept.piece(f"{start}-{start + size}", partial(one_pass, start, spread))
        results.append(result)
    assert spread is not None
    found, _ = choose(spread)
    return as_bootstrap(
        found, *(np.concatenate(x, axis=1) for x in zip(*results, strict=True)),
        observed=jnp.asarray(observed), label=label, evidence=jnp.asarray(evidence, observed.dtype),
        probe=None, metric=metric, scheme="poisson",
    )  # fmt: skip


def _block_sums(
    key: Array,
    ids: Array,
    blocks: Blocks,
    first: Array,
    place: Array,
    listed: Array,
    concepts: Array,
    *,
    counts: tuple[bool, bool],
) -> tuple[Array, ...]:
    """The sums of b replicates over a device's rows: S [b], F, FF [U, b], C, CC [C, b], FC.

    FC is [blocks, width, b]. Samples weigh what their unit is drawn.
    """
    number = place.shape[0] // UNITS_A_BLOCK + 1
    drawn = lax.map(
        lambda b: poisson_blocks(jax.random.fold_in(key, b), first, number, jnp.uint8), ids
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


def _values(totals: list[np.ndarray], part: Part, metric: Metric) -> np.ndarray:
    """Similarities of pairs [P, b] from the sums of replicates."""
    s, f, ff, c, cc, fc = totals
    neuron, concept = part.pairs
    num_replicates = len(s)
    fc = fc.reshape(-1, num_replicates)
    values = np.empty((len(neuron), num_replicates), np.float32)
    step = max(1, TOGETHER // num_replicates)
    for start in range(0, len(neuron), step):
        some = slice(start, start + step)
        u, k = neuron[some], concept[some]
        each: list[Any] = [s[None, :], f[u], c[k], ff[u], cc[k], fc[part.place[some]]]
        values[some] = _value(Sums(*each), metric)
    return values


def _value(s: Sums, metric: Metric) -> np.ndarray:
    """The similarity from sums in double precision, after centring where the metric centres."""
    f, c, ff, cc, fc = s.F, s.C, s.FF, s.CC, s.FC
    some = np.where(s.S > 0, s.S, 1)
    varies = []
    for view, x, xx in ((metric.neuron_view, f, ff), (metric.concept_view, c, cc)):
        spread = xx - x * x / some
        # a binary sum is exact, of a real one hardly any spread is rounding
        rounding = 0.25 if view == "binary" else 64 * np.finfo(np.float32).eps * xx
        varies.append(spread > rounding)
    centred_f, centred_c = metric.neuron_view in CENTRED, metric.concept_view in CENTRED
    if centred_f or centred_c:
        fc = fc - f * c / some
    if centred_f:
        f, ff = 0 * f, ff - f * f / some
    if centred_c:
        c, cc = 0 * c, cc - c * c / some
    # in double precision throughout: what a large count leaves must not be rounded
    with jax.enable_x64(True):
        sums = Sums(*(jnp.asarray(x, jnp.float64) for x in (s.S, f, c, ff, cc, fc)))
        value = _finalised(sums, jnp.asarray(varies[0] & varies[1]), metric=metric)
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
