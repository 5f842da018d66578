"""How many replicates, concepts and pairs fit into memory at a time."""

from __future__ import annotations

from typing import NamedTuple

import jax

from .._runtime.memory import free_memory
from .._runtime.validation import check_count
from ..probing.probe import ENTRIES, Probe
from ..probing.sparse_columns import SparseColumns

__all__ = ["NUM_PILOT", "Room", "need_of", "room_for"]

SHARE = 0.5  # of the free memory, unless a limit is given
MOST_ON_CPU, MOST_ELSEWHERE = 256, 1024  # replicates at a time; more no longer fit into a cache
SCORES_ON_CPU = 3 * 2**20  # at a time; to get and give back more memory takes longer than use
RESULT_BYTES = 26  # per pair: four results of 4 bytes, two flags, and what choosing takes
WORKING_BYTES = 24  # per weight of a replicate
SCORE_BYTES = 16  # per pair and replicate: its score, and three passes over it
NUM_PILOT = 64  # replicates that choose the candidates


class Room(NamedTuple):
    """What fits into memory at a time.

    Attributes
    ----------
    replicates : int
        Replicates of a chunk.
    pairs : int
        Pairs of a neuron and a concept whose scores are held for a chunk.
    followed : int
        Pairs whose replicates are held to the end.
    """

    replicates: int
    pairs: int
    followed: int


class Need(NamedTuple):
    """Bytes of the data, bytes that stay in use, and bytes per replicate and per pair."""

    held: float
    stays: float
    per_replicate: float
    per_pair: float
    least: float


def need_of(probe: Probe, num_replicates: int, num_weights: int | None = None) -> Need:
    """The memory that a bootstrap needs, see :func:`room_for`."""
    n, num_neurons, num_concepts = probe.num_samples, probe.num_neurons, probe.num_concepts
    held = sum(x.nbytes for x in (probe.activations, probe.concepts, probe.sample_weight))
    if isinstance(probe.activations, SparseColumns):
        entries = 4 * len(probe.activations.values) + 2 * ENTRIES  # and some neurons written out
    else:
        entries = 2 * n * num_neurons
    stays = held + 2 * n * num_concepts + 4 * entries  # flags of presence; views of the neurons
    stays += RESULT_BYTES * num_neurons * num_concepts + 12 * num_replicates * num_neurons
    per_replicate = WORKING_BYTES * (num_weights or n) + 12 * num_concepts
    per_pair = 4 * num_replicates
    # a quarter of the rest is for a chunk, a quarter for the followed pairs: at least all labels
    least = stays + 4 * max(NUM_PILOT * per_replicate, num_neurons * per_pair)
    return Need(held, stays, per_replicate, per_pair, least)


def room_for(
    probe: Probe,
    num_replicates: int,
    memory_limit: float | None,
    chunk_size: int | None,
    num_weights: int | None = None,
    *,
    elsewhere: float = 0.0,
) -> Room:
    """Divide a memory limit between the data, a chunk of replicates, and the followed pairs.

    A replicate has ``num_weights`` weights, one for each sample unless given. ``elsewhere`` are
    bytes that something else holds meanwhile.

    Raises
    ------
    ValueError
        If the limit is too low for the data and the results alone.
    """
    need = need_of(probe, num_replicates, num_weights)
    need = need._replace(
        held=need.held + elsewhere, stays=need.stays + elsewhere, least=need.least + elsewhere
    )
    free = free_memory()
    if memory_limit is None:
        wanted = max(need.stays + SHARE * free, need.least)
    else:
        wanted = float(memory_limit)
    limit = min(wanted, need.held + free)
    if not limit >= need.least:
        least = (
            f"{need.least:.3g} that {probe.num_samples:,} samples, {probe.num_neurons:,} neurons"
        )
        raise ValueError(
            f"memory_limit={wanted:g} bytes, of which {need.held + free:.3g} are there, is below "
            f"the {least}, {probe.num_concepts:,} concepts and {num_replicates:,} replicates need; "
            "raise it, or take fewer neurons at a time"
        )
    part = (limit - need.stays) / 4
    most = MOST_ON_CPU if jax.default_backend() == "cpu" else MOST_ELSEWHERE
    if chunk_size is None:
        fit = max(NUM_PILOT, min(most, int(part / need.per_replicate)))
        chunks = -(-num_replicates // fit)
        # chunks of one size, little of which the last one wastes; whole words of counts
        equal = -(-num_replicates // chunks)
        replicates = min(fit, -(-equal // 16) * 16) if chunks > 1 else max(NUM_PILOT, equal)
    else:
        replicates = min(check_count(chunk_size, "chunk_size"), num_replicates)
    scores = part / SCORE_BYTES
    if jax.default_backend() == "cpu":
        scores = min(scores, SCORES_ON_CPU)
    return Room(
        replicates,
        pairs=max(1, int(scores / max(replicates, NUM_PILOT))),
        followed=int(part / need.per_pair),
    )
