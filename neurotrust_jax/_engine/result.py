"""What the engine returns, put together from what the strategies computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._runtime.chunks import Progress
from .._runtime.devices import at_once
from .._runtime.short_repr import short_repr
from .candidates import Candidates

__all__ = ["Followed", "Replicates", "as_replicates", "in_parts"]


@short_repr
class Followed(NamedTuple):
    """The concepts that may be the most similar, and their replicates.

    Attributes
    ----------
    concept : Array [U, K] of int32
        Most similar first; -1 fills up.
    similarity : Array [P, B]
        Replicates of their similarity, for the P entries of ``concept`` that are not -1.
    thin, excluded : Array [U, C] of bool
        As :class:`Candidates` describes them.
    evidence : Array [U, C]
        Effective number of sampling units behind each pair.
    """

    concept: Array
    similarity: Array
    thin: Array
    excluded: Array
    evidence: Array


@short_repr
class Replicates(NamedTuple):
    """The replicates of the labelling of a layer.

    Attributes
    ----------
    winners : Array [B, U] of int32
        Most similar concept in each replicate; -1 where every similarity is undefined.
    winning_similarity : Array [B, U]
        Its similarity in that replicate.
    label_similarity : Array [B, U]
        Similarity of the concepts given as labels, else of ``label``; NaN without one.
    label : Array [U] of int32
        The most similar concept on the data, -1 where there is none.
    similarity : Array [U, C]
        The similarity on the data.
    followed : Followed or None
        None where only labels are followed.
    """

    winners: Array
    winning_similarity: Array
    label_similarity: Array
    label: Array
    similarity: Array
    followed: Followed | None


def as_replicates(
    found: Candidates | None,
    won: np.ndarray,
    winning: np.ndarray,
    values: np.ndarray,
    *,
    observed: Array,
    best: Array,
    followed: np.ndarray,
    evidence: Array | None,
) -> Replicates:
    """Put the winners and their similarity, both [U, B], and the followed pairs' [P, B] together.

    These pairs are the candidates, then the label of every neuron that has one.
    """
    num_candidates = 0 if found is None else int((found.concept >= 0).sum())
    labelled = np.full(winning.shape, np.nan, winning.dtype)
    labelled[followed >= 0] = values[num_candidates:]
    candidates = None
    if found is not None:
        assert evidence is not None
        candidates = Followed(
            concept=jax.device_put(found.concept),
            similarity=jax.device_put(values[:num_candidates]),  # without a copy on a CPU
            thin=jax.device_put(found.thin),
            excluded=jax.device_put(found.excluded),
            evidence=evidence,
        )
    return Replicates(
        winners=jax.device_put(won.T),
        winning_similarity=jax.device_put(winning.T),
        label_similarity=jax.device_put(labelled.T),
        label=best,
        similarity=observed,
        followed=candidates,
    )


def in_parts(
    compute: Callable[[int, Progress], Replicates],
    number: int,
    progress: Progress | None,
    meshes: list[Mesh] | None = None,
) -> Replicates:
    """Compute parts of the neurons one after the other, or each on its mesh, and join them.

    The draws are the same for all parts.
    """
    done = [0] * number

    def run(i: int) -> Replicates:
        def report(now: int, total: int) -> None:
            done[i] = now
            if progress is not None:
                progress(sum(done) // number, total)

        return compute(i, report)

    parts = at_once(run, meshes) if meshes else [run(i) for i in range(number)]

    def joined(name: str, axis: int) -> Array:
        return jnp.concatenate([getattr(x, name) for x in parts], axis)

    return Replicates(
        winners=joined("winners", 1),
        winning_similarity=joined("winning_similarity", 1),
        label_similarity=joined("label_similarity", 1),
        label=joined("label", 0),
        similarity=joined("similarity", 0),
        followed=_joined([x.followed for x in parts if x.followed is not None]),
    )


def _joined(parts: list[Followed]) -> Followed | None:
    if not parts:
        return None
    most = max(x.concept.shape[1] for x in parts)
    lists = [
        jnp.pad(x.concept, ((0, 0), (0, most - x.concept.shape[1])), constant_values=-1)
        for x in parts
    ]
    rest = zip(*(x[1:] for x in parts), strict=True)
    return Followed(jnp.concatenate(lists), *map(jnp.concatenate, rest))
