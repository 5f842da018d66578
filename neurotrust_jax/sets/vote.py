"""The vote rule: the fewest concepts that together win most replicates."""

from __future__ import annotations

import warnings

import jax.numpy as jnp

from ..faithfulness.bounds import CoverageWarning
from .rule import ConceptSets, SetInputs, SetRule, at_label

__all__ = ["VOTE"]


def vote_sets(inputs: SetInputs) -> ConceptSets:
    """The fewest concepts whose joint share of bootstrap wins reaches 1 - alpha."""
    warnings.warn(
        "the vote rule contains the best concept less often than 1 - alpha when several "
        "concepts nearly tie; read its sets as a description of the replicates",
        CoverageWarning,
        stacklevel=4,
    )
    boot, alpha, target = inputs[:3]
    counts = jnp.round(boot.vote_share * boot.num_replicates)
    needed = jnp.ceil((1 - alpha) * boot.num_replicates * (1 - 1e-6))
    order = jnp.argsort(counts, axis=1, descending=True)
    ranked = jnp.take_along_axis(counts, order, axis=1)
    before = jnp.cumsum(ranked, axis=1) - ranked
    rank = jnp.argsort(order, axis=1)
    mask = jnp.take_along_axis(before < needed, rank, axis=1)
    short = (counts.sum(axis=1) < needed)[:, None]
    mask = mask | at_label(boot.label, mask.shape[1]) | short
    promise = "no coverage: they describe the replicates"
    return ConceptSets(mask, jnp.zeros_like(mask), alpha, VOTE.name, target, promise)


VOTE = SetRule("vote", ("best", "replication"), "none", (), vote_sets)
