"""Concept prediction sets: the concepts that can not be ruled out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from .bounds import CoverageWarning
from .resampling import Bootstrap

__all__ = ["ConceptSets", "concept_sets"]

METHODS = ("vote",)
TARGETS = ("best", "replication")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("mask",),
    meta_fields=("alpha", "method", "target"),
)
@dataclass(frozen=True, eq=False)
class ConceptSets:
    """One set of concepts per neuron.

    Attributes
    ----------
    mask : Array [U, C] of bool
        Whether the concept is in the neuron's set; no row of a labelled neuron is empty.
    alpha : float
        Nominal error: the set should contain its target with probability 1 - alpha.
    method : str
        How the set was made.
    target : str
        What it should contain: ``"best"``, the population's most similar concept, or
        ``"replication"``, the label a fresh probing set of the same size would give.
    """

    mask: Array
    alpha: float
    method: str
    target: str

    @property
    def size(self) -> Array:
        """Number of concepts in each set, [U] of int32."""
        return self.mask.sum(axis=1, dtype=jnp.int32)


def concept_sets(
    boot: Bootstrap, *, alpha: float = 0.1, method: str = "vote", target: str = "best"
) -> ConceptSets:
    """Concept sets from a bootstrap.

    ``method="vote"`` is the bootstrap ensemble's set as we reconstruct it: the fewest concepts
    whose joint share of bootstrap wins reaches 1 - alpha. It carries no guarantee and under-covers
    when several concepts nearly tie, hence the warning. The observed label is always in its set.
    A neuron whose replicates were undefined more often than alpha gets every concept, since the
    votes that are left can not reach 1 - alpha; a neuron without a label too.

    Parameters
    ----------
    boot : Bootstrap
    alpha : float in (0, 1)
    method : {"vote"}
    target : {"best", "replication"}
        Recorded in the result; the vote rule is the same for both.

    Returns
    -------
    ConceptSets

    Raises
    ------
    ValueError
        If alpha, method or target is not one of these.

    Warns
    -----
    CoverageWarning
        With ``method="vote"``.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")
    warnings.warn(
        "the vote rule contains the best concept less often than 1 - alpha when several concepts "
        "nearly tie; read its sets as a description of the replicates",
        CoverageWarning,
        stacklevel=2,
    )
    return vote_sets(boot, alpha, target)


def vote_sets(boot: Bootstrap, alpha: float, target: str) -> ConceptSets:
    """The vote rule itself, for callers that state its limits in their own words."""
    counts = jnp.round(boot.vote_share * boot.num_replicates)
    needed = jnp.ceil((1 - alpha) * boot.num_replicates * (1 - 1e-6))
    order = jnp.argsort(counts, axis=1, descending=True)
    ranked = jnp.take_along_axis(counts, order, axis=1)
    before = jnp.cumsum(ranked, axis=1) - ranked
    rank = jnp.argsort(order, axis=1)
    mask = jnp.take_along_axis(before < needed, rank, axis=1)
    chosen = jnp.arange(counts.shape[1], dtype=jnp.int32)[None, :] == boot.label[:, None]
    short = (counts.sum(axis=1) < needed)[:, None]
    return ConceptSets(mask | chosen | short, alpha, "vote", target)
