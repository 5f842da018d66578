"""The bootstrap: would another probing set have given another label?

One draw of weights is shared by all neurons and concepts, since the arg-max depends on their joint
law.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._engine.candidates import (
    MAX_CANDIDATES,
    Candidates,
    choose,
    has_enough_evidence,
    possible_winners,
)
from .._engine.replicates import accumulate, standard_deviation
from .._engine.room import SHARE, Room, room_for
from .._engine.row_index import active_rows, ranked_rows
from .._engine.screening import replicate_errors, replicate_range
from .._engine.strategies import (
    ReplicateInputs,
    choose_strategy,
    run_dense,
    run_rows,
    similarity_of_rows,
)
from .._numerics.packing import pairs_where
from .._runtime.chunks import Progress
from .._runtime.devices import at_once, by_neurons
from .._runtime.memory import free_memory
from .._runtime.validation import check_count
from ..faithfulness.evidence import effective_concept_units, effective_units
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, check_joint, check_scores, score, winner
from ..metrics.table import get_metric
from ..probing.checkpoints import checkpoint_for
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..schemes import SCHEMES, check_scheme, draw, draw_all

__all__ = ["Bootstrap", "bootstrap", "bootstrap_black_box", "bootstrap_weights"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=(
        "winners",
        "winning_similarity",
        "label_similarity",
        "label",
        "similarity",
        "vote_share",
        "candidates",
        "replicates",
        "thin",
        "excluded",
        "evidence",
        "probe",
    ),
    meta_fields=("metric", "scheme", "definition"),
)
@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Replicates of the labelling of a layer.

    Attributes
    ----------
    winners : Array [B, U] of int32
        Most similar concept in each replicate; -1 where every similarity is undefined.
    winning_similarity : Array [B, U]
        Its similarity in that replicate.
    label_similarity : Array [B, U]
        Replicates of the similarity of the observed label.
    label : Array [U] of int32
        The observed label (most similar concept on the data itself), -1 where there is none.
    similarity : Array [U, C]
        The observed similarity.
    vote_share : Array [U, C]
        Share of replicates that each concept wins; a row sums to 1 less its undefined replicates.
    candidates : Array [U, K] of int32
        Concepts that may be the most similar, on enough evidence to tell, most similar first; -1
        fills up. K is the largest number that a neuron has, at most 256, rounded up to a power of
        two.
    replicates : Array [P, B]
        Replicates of their similarity, NaN where undefined: one row for each of the P entries of
        ``candidates`` that are not -1, row by row. See :meth:`replicates_of`.
    thin : Array [U, C] of bool
        Pairs on which there is too little evidence for replicates to mean much: fewer than three
        effective units, a similarity at the end of its range, or no spread.
    excluded : Array [U, C] of bool
        Other pairs, so far behind the leader that no replicates are needed.
    evidence : Array [U, C]
        Effective number of sampling units behind each pair: from what moves the metric and each of
        its parts, see :func:`effective_units`; of a labelling method, from
        the concepts alone.
    probe : Probe or None
        The data; None where they were read in passes.
    metric, scheme : str
        How the replicates were made.
    definition : Metric or None
        The metric itself; None for a labelling method.
    """

    winners: Array
    winning_similarity: Array
    label_similarity: Array
    label: Array
    similarity: Array
    vote_share: Array
    candidates: Array
    replicates: Array
    thin: Array
    excluded: Array
    evidence: Array
    probe: Probe | None
    metric: str
    scheme: str
    definition: Metric | None

    @property
    def num_replicates(self) -> int:
        """Number of replicates B."""
        return self.winners.shape[0]

    def replicates_of(self, neuron: int) -> Array:
        """Replicates of the similarity of one neuron's candidates, [its number of them, B]."""
        followed = np.asarray(self.candidates) >= 0
        before = int(followed[:neuron].sum())
        return self.replicates[before : before + int(followed[neuron].sum())]


def bootstrap(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    num_replicates: int = 1000,
    scheme: str = "multinomial",
    strategy: str = "auto",
    scores: Array | None = None,
    chunk_size: int | None = None,
    memory_limit: float | None = None,
    mesh: Mesh | None = None,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Bootstrap:
    """Label every neuron anew under many resamplings of the probing set.

    Thresholds stay as they are on the probe. With ``groups``, whole groups are drawn.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    metric : str or Metric
    num_replicates : int
        Number of replicates B, at least 1.
    scheme : str
        A key of :data:`SCHEMES`.
    strategy : {"auto", "screened", "rows", "dense"}
        How replicates are computed; no effect on the labels but for ties within rounding.
        ``"dense"``: all pairs of a replicate at once, any metric. ``"rows"``: one neuron after the
        other, on the rows on which it is active or in the order of its activations; for metrics
        whose concepts are 0 and 1, the neuron binary (then under whole weights, whose sums are
        exact) or ranked. ``"screened"``: the same for those concepts only that can win at all, by a
        bound that fails with probability 1e-6 in all; no groups, equal weights, not the Bayesian
        scheme. ``"auto"`` takes the last that fits where the work is worth it.
    scores : array [U, C], optional
        What :func:`similarity` gives, where it is at hand already.
    chunk_size : int, optional
        Replicates per compiled call, between which ``progress`` is called; follows from the memory
        unless given.
    memory_limit : float, optional
        Bytes that the call may take in all, the probe and the result included. Default: half of
        what the device (or, on a CPU, the machine) has free.
    mesh : jax.sharding.Mesh, optional
        Devices among which an axis named ``"neurons"`` divides these, and all other axes the
        replicates of a chunk; each holds its neurons, and all concepts. With ``jax.distributed``
        replicates may belong to devices of several processes: all call with the same arguments, and
        all get the whole result. Replicate b is the same on any number of devices. Default: JAX's
        default device.
    checkpoint : path, optional
        A folder that keeps each chunk as soon as it is done. The same call goes on from there and
        gives the same result, bit for bit; a call on other data or options never meets these
        files. Several processes must see one folder. Delete it when you have the result.
    progress : callable, optional
        Called as ``progress(done, num_replicates)`` after each chunk.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        If the metric, scheme or strategy is unknown, the strategy does not fit, a count is below 1,
        or the memory limit is too low for the result.
    """
    metric = get_metric(metric)
    check_scheme(scheme)
    num_replicates = check_count(num_replicates, "num_replicates")
    if scores is not None:
        check_scores(scores, probe)
    of_part = partial(
        bootstrap, key, metric=metric, num_replicates=num_replicates, scheme=scheme,
        chunk_size=chunk_size, checkpoint=checkpoint,
    )  # fmt: skip

    def part_scores(some: slice) -> Array | None:
        return None if scores is None else scores[some]

    meshes = by_neurons(mesh)
    if meshes:
        check_joint(probe, metric, divided=len(meshes) > 1)
        # what is free, or allowed, is for all
        limit = SHARE * free_memory() if memory_limit is None else memory_limit
        bounds = np.linspace(0, probe.num_neurons, len(meshes) + 1).astype(int).tolist()
        bounds = sorted(set(bounds))
        shares = [probe.of_neurons(a, b) for a, b in itertools.pairwise(bounds)]
        return _in_parts(
            probe, shares, progress,
            lambda i, report_progress: of_part(
                shares[i], strategy=strategy, mesh=meshes[i], memory_limit=limit / len(shares),
                scores=part_scores(slice(*bounds[i : i + 2])), progress=report_progress,
            ),
            meshes[: len(shares)],
        )  # fmt: skip
    room = room_for(probe, num_replicates, memory_limit, chunk_size)
    strategy = choose_strategy(probe, metric, scheme, strategy, num_replicates)
    sparse = isinstance(probe.activations, SparseColumns)
    if sparse and strategy == "dense":
        check_joint(probe, metric)
        places, parts = zip(*probe.in_neurons(), strict=True)
        return _in_parts(
            probe, list(parts), progress,
            lambda i, report_progress: of_part(
                parts[i], strategy=strategy, mesh=mesh, memory_limit=memory_limit,
                scores=part_scores(places[i]), progress=report_progress,
            ),
        )  # fmt: skip

    # what is prepared of sparse activations would be dense
    prepared = None if sparse else metric.prepare_neurons(probe.neurons)
    layer = None
    if strategy != "dense":
        ranked = metric.neuron_view == "rank"
        layer = ranked_rows(probe, prepared) if ranked else active_rows(probe)

    def measured(metric: Metric) -> Array:
        if not sparse:
            return score(probe, prepared, metric)
        assert layer is not None
        return similarity_of_rows(probe, metric, layer, room)

    observed = measured(metric) if scores is None else scores
    on_data = np.asarray(observed)
    kept = checkpoint_for(
        checkpoint, key, probe, metric.name, on_data, num_replicates, scheme, strategy, chunk_size,
        memory_limit,
    )  # fmt: skip
    # how much was free at first decides on, whatever is free now
    room = Room(*(int(x) for x in kept.piece("room", lambda: tuple(room))))
    if mesh is not None:
        room = room._replace(replicates=-(-room.replicates // mesh.size) * mesh.size)
    evidence = effective_units(probe, metric, prepared)
    has_evidence = has_enough_evidence(metric, observed, evidence)
    label = winner(observed)
    ends, ceiling, errors = None, None, None
    if strategy == "screened":
        by = metric.ordering_statistic
        shown = observed if by is metric else measured(by)
        ends = replicate_range(probe, metric, scheme, num_replicates, shown)
        ceiling = np.asarray(ends[1])
        errors = replicate_errors(probe, metric, prepared, shown)
    pairs = pairs_where(possible_winners(has_evidence, ends, on_data))
    sought = ReplicateInputs(
        key, probe, metric, scheme, num_replicates, prepared, layer, on_data,
        np.asarray(label), has_evidence, ceiling, errors, room, mesh, kept,
    )  # fmt: skip
    found, *results = (run_dense if strategy == "dense" else run_rows)(sought, pairs, progress)
    return as_bootstrap(
        found, *results,
        observed=observed, label=label, evidence=evidence, probe=probe, metric=metric,
        scheme=scheme,
    )  # fmt: skip


def as_bootstrap(
    found: Candidates,
    won: np.ndarray,
    winning: np.ndarray,
    followed: np.ndarray,
    *,
    observed: Array,
    label: Array,
    evidence: Array,
    probe: Probe | None,
    metric: Metric,
    scheme: str,
) -> Bootstrap:
    """Put the winners and their similarity, both [U, B], and the followed pairs' [P, B] together.

    These are the candidates, then the label of every neuron that has one.
    """
    num_candidates = int((found.concept >= 0).sum())
    labelled = np.full(winning.shape, np.nan, winning.dtype)
    labelled[np.asarray(label) >= 0] = followed[num_candidates:]
    winners = jax.device_put(won.T)
    return Bootstrap(
        winners=winners,
        winning_similarity=jax.device_put(winning.T),
        label_similarity=jax.device_put(labelled.T),
        label=label,
        similarity=observed,
        vote_share=_vote_share(winners, observed),
        candidates=jax.device_put(found.concept),
        replicates=jax.device_put(followed[:num_candidates]),  # without a copy on a CPU
        thin=jax.device_put(found.thin),
        excluded=jax.device_put(found.excluded),
        evidence=evidence,
        probe=probe,
        metric=metric.name,
        scheme=scheme,
        definition=metric,
    )


def _in_parts(
    probe: Probe,
    parts: list[Probe],
    progress: Progress | None,
    of_part: Callable[[int, Progress], Bootstrap],
    meshes: list[Mesh] | None = None,
) -> Bootstrap:
    """Bootstrap some neurons at a time, or each part on its mesh, and join the results.

    The draws are the same for all.
    """
    done = [0] * len(parts)

    def run(i: int) -> Bootstrap:
        def report_progress(now: int, total: int) -> None:
            done[i] = now
            if progress is not None:
                progress(sum(done) // len(parts), total)

        return of_part(i, report_progress)

    boots = at_once(run, meshes) if meshes else [run(i) for i in range(len(parts))]

    def joined(name: str, axis: int = 0) -> Array:
        return jnp.concatenate([getattr(boot, name) for boot in boots], axis)

    most = max(boot.candidates.shape[1] for boot in boots)
    lists = [
        jnp.pad(x.candidates, ((0, 0), (0, most - x.candidates.shape[1])), constant_values=-1)
        for x in boots
    ]
    by_replicate = ("winners", "winning_similarity", "label_similarity")
    by_neuron = ("label", "similarity", "vote_share", "replicates", "thin", "excluded", "evidence")
    arrays: dict[str, Any] = {name: joined(name, 1) for name in by_replicate}
    arrays |= {name: joined(name) for name in by_neuron}
    return replace(boots[0], candidates=jnp.concatenate(lists), probe=probe, **arrays)


@jax.jit
def _vote_share(winners: Array, similarity: Array) -> Array:
    num_neurons, num_concepts = similarity.shape
    neuron = jnp.arange(num_neurons)[None, :]
    # one column more than there are concepts takes the undefined replicates (index -1)
    votes = jnp.zeros((num_neurons, num_concepts + 1), jnp.int32)
    votes = votes.at[neuron, winners].add(1)[:, :-1]
    return votes.astype(similarity.dtype) / winners.shape[0]


def bootstrap_weights(
    key: Array, probe: Probe, *, num_replicates: int, scheme: str = "multinomial"
) -> Array:
    """The resampling weights of the samples that :func:`bootstrap` uses, sample weights excluded.

    Returns
    -------
    Array [B, n]
        Row b is how often replicate b drew each sample (``multinomial``, ``poisson``,
        ``subsample``, twice or not at all), or its continuous weight (``bayesian``).
    """
    check_scheme(scheme)
    ids = np.arange(check_count(num_replicates, "num_replicates"))
    return draw_all(key, ids, probe.groups, scheme, probe.num_units, probe.weights.dtype)


def bootstrap_black_box(
    key: Array,
    score_fn: Callable[[Probe], Any],
    probe: Probe,
    *,
    num_replicates: int = 100,
    scheme: str = "multinomial",
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Bootstrap:
    """Bootstrap any black-box labelling method.

    Parameters
    ----------
    key : JAX PRNG key
    score_fn : callable
        ``score_fn(probe) -> array [U, C]`` of scores, higher is more alike, NaN where undefined.
        It need not be JAX. It gets the probe on resampled rows (repeated as often as drawn), so it
        may ignore weights; thresholds are those of the full probe.
    probe : Probe
    num_replicates : int
    scheme : {"multinomial", "poisson", "subsample"}
        The Bayesian scheme has no rows to repeat.
    checkpoint : path, optional
        A folder that keeps the scores of each replicate, see :func:`bootstrap`. It is known by its
        scores on the probe.
    progress : callable, optional
        Called as ``progress(done, num_replicates)``.

    Returns
    -------
    Bootstrap
        ``metric`` is the function's name.

    Raises
    ------
    ValueError
        If the scheme does not fit, or the scores do not have shape [U, C].
    """
    check_scheme(scheme)
    if not SCHEMES[scheme].whole:
        raise ValueError(
            "bootstrap_black_box repeats rows, which the bayesian scheme's continuous weights do "
            'not allow; use "multinomial", "poisson" or "subsample"'
        )
    num_replicates = check_count(num_replicates, "num_replicates")

    def scored(resampled: Probe) -> Array:
        scores = jnp.asarray(score_fn(resampled))
        expected = (probe.num_neurons, probe.num_concepts)
        if scores.shape != expected:
            raise ValueError(f"score_fn must return shape {expected}, got {scores.shape}")
        return scores

    observed = scored(probe)
    label = winner(observed)
    kept = checkpoint_for(checkpoint, key, probe, scheme, np.asarray(observed))

    def replicate(b: int) -> tuple[Array]:
        drawn = draw(key, jnp.asarray(b), probe.groups, scheme, probe.num_units, jnp.float32)
        rows = np.repeat(np.arange(probe.num_samples), np.asarray(drawn, np.int64))
        return (scored(probe.take(rows)),)

    scores = []
    for b in range(num_replicates):
        (found_scores,) = kept.piece(str(b), partial(replicate, b))
        scores.append(jnp.asarray(found_scores))
        if progress is not None:
            progress(b + 1, num_replicates)
    zero = jnp.zeros_like(observed)
    moments = zero, zero, zero
    for x in scores:
        moments = accumulate(moments, x - observed)
    evidence = jnp.broadcast_to(effective_concept_units(probe), observed.shape)
    on_data = np.asarray(observed)
    pairs = pairs_where(~np.isnan(on_data))
    spread = np.asarray(standard_deviation(moments))[pairs]
    has_evidence = has_enough_evidence(None, observed, evidence)
    found = choose(None, on_data, has_evidence, pairs, spread, MAX_CANDIDATES * probe.num_neurons)
    neuron, place = np.nonzero(found.concept >= 0)
    followed = neuron, found.concept[neuron, place]
    won = jnp.stack([winner(x) for x in scores])
    return Bootstrap(
        winners=won,
        winning_similarity=jnp.stack([at_concept(x, w) for x, w in zip(scores, won, strict=True)]),
        label_similarity=jnp.stack([at_concept(x, label) for x in scores]),
        label=label,
        similarity=observed,
        vote_share=_vote_share(won, observed),
        candidates=jax.device_put(found.concept),
        replicates=jnp.stack([x[followed] for x in scores], axis=1),
        thin=jax.device_put(found.thin),
        excluded=jax.device_put(found.excluded),
        evidence=evidence,
        probe=probe,
        metric=getattr(score_fn, "__name__", type(score_fn).__name__),
        scheme=scheme,
        definition=None,
    )
