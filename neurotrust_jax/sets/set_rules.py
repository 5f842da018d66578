"""Concept prediction sets: the concepts that can not be ruled out."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .._runtime.validation import check_share
from ..faithfulness.bounds import CoverageWarning
from ..faithfulness.certificates import certify
from ..metrics.table import Metric
from ..probing.probe import Probe
from ..resampling.bootstrapping import Bootstrap
from .calibrated import BoundOptions, calibrated_sets, chosen, replicate_rank

__all__ = ["ConceptSets", "concept_sets", "threshold_note"]

METHODS = ("calibrated", "certified", "vote")
TARGETS = ("best", "replication")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("mask", "untested", "score"),
    meta_fields=("alpha", "method", "target", "guarantee"),
)
@dataclass(frozen=True, eq=False)
class ConceptSets:
    """One set of concepts per neuron.

    Attributes
    ----------
    mask : Array [U, C] of bool
        Whether the concept is in the neuron's set; no row is empty, and the label is always in.
    untested : Array [U, C] of bool
        Members of a calibrated set that no test has looked at: too little evidence for a bootstrap
        (see :attr:`Bootstrap.thin`), and no bounds for every sample size rule them out either.
    alpha : float
        Nominal error: the set should contain its target with probability 1 - alpha; conformal
        sets for a share 1 - alpha of the neurons.
    method : str
        How the set was made.
    target : str
        What it should contain: ``"best"``, the population's most similar concept, or
        ``"replication"``, the label a fresh probing set of the same size would give.
    guarantee : str
        What the sets promise, of whom, and what that takes for granted.
    score : Array [U, C] or None
        For conformal sets how far each concept is from the label: the label's lead over it in
        standard errors, 0 for the label, infinite where there is nothing to compare. Members of a
        set in this order are its closest first. None for other methods.
    """

    mask: Array
    untested: Array
    alpha: float
    method: str
    target: str
    guarantee: str
    score: Array | None = None

    @property
    def size(self) -> Array:
        """Number of concepts in each set, [U] of int32."""
        return self.mask.sum(axis=1, dtype=jnp.int32)


def concept_sets(
    boot: Bootstrap,
    *,
    alpha: float = 0.1,
    method: str = "calibrated",
    target: str = "best",
    interval_method: str = "auto",
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
) -> ConceptSets:
    """Concept sets from a bootstrap.

    ``"calibrated"`` tests each concept against all its rivals at once: it stays unless some rival
    leads by more than the largest deviation that replicates show. Similarities are put on a scale
    of steady spread (arcsine, logit or Fisher's z, by the metric). With T_c the largest
    ``(s_c' - s_c) / sigma_cc'``, the critical value q_c is the 1 - alpha quantile over replicates
    of the largest deviation from these measured values, where rivals that are surely worse than c
    are moved back by as much as a first step at level alpha / 10 allows (Romano, Shaikh & Wolf,
    2014), and is widened for spreads estimated from few units as Student's t is (Fisher's
    expansion, with the effective units of each pair). Rivals are the concepts on at least twenty
    effective units if the most similar one is, else all. Concepts on which there is too little
    evidence for replicates stay unless their upper bound for every sample size (at three
    quarters of alpha) is below the largest of simultaneous lower bounds of the others (at a
    quarter); see ``untested``. These lower bounds are the bootstrap's, so that this exclusion too,
    and with it all coverage, holds in the limit of many units. Where the label itself is on too
    little evidence (or at the end of the range, as an AUROC of 0.99999 is), replicates can not
    compare the others with it, and the set is that of the certificate.

    For ``target="replication"`` the bar is sqrt(2) times the quantile of the maximum over all
    pairs: the fresh probing set adds a deviation of the same law. Untested concepts then all stay.
    Replicates keep the thresholds of the data, even where these are a quantile of the data.

    ``"certified"`` is the certificate of :func:`certify` at level alpha: no approximation where its
    intervals hold for every sample size, and wide.

    ``"vote"`` is the bootstrap ensemble's set as we reconstruct it: the fewest concepts whose joint
    share of bootstrap wins reaches 1 - alpha. It carries no guarantee and under-covers when several
    concepts nearly tie, hence the warning. A neuron whose replicates were undefined more often than
    alpha gets every concept, since the votes that are left can not reach 1 - alpha.

    A neuron without a label gets every concept.

    Parameters
    ----------
    boot : Bootstrap
    alpha : float in (0, 1)
    method : {"calibrated", "certified", "vote"}
    target : {"best", "replication"}
        What the set shall contain. The vote rule is the same for both; a certificate speaks of
        true similarities, so it has the first only.
    interval_method, activation_range, largest_unit
        As ``method``, ``activation_range`` and ``largest_unit`` in :func:`intervals`: how the
        bounds are made that a certified set consists of, and that rule out untested concepts.

    Returns
    -------
    ConceptSets

    Raises
    ------
    ValueError
        If an option is not one of these, they do not go together, or the bounds do not fit.

    Warns
    -----
    CoverageWarning
        With ``method="vote"``; or with too few replicates for alpha, when every set is full.
    """
    check_share(alpha, "alpha")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")
    if method == "vote":
        warnings.warn(
            "the vote rule contains the best concept less often than 1 - alpha when several "
            "concepts nearly tie; read its sets as a description of the replicates",
            CoverageWarning,
            stacklevel=2,
        )
        return vote_sets(boot, alpha, target)
    options = BoundOptions(interval_method, activation_range, largest_unit)
    if method == "certified":
        if target != "best":
            raise ValueError(
                "a certificate bounds true similarities, so it says nothing on the label of a "
                'fresh probing set; use method="calibrated" with target="replication"'
            )
        if not isinstance(boot.definition, Metric):
            raise ValueError(
                f"there are no intervals for the scores of {boot.metric}, which is no metric; use "
                'method="calibrated"'
            )
        if not isinstance(boot.probe, Probe):
            raise ValueError(
                "a certificate is read from the data, which a bootstrap in passes does not keep; "
                'use method="calibrated", or certify() on a probe'
            )
        proof = certify(boot.probe, boot.definition, alpha=alpha, **options._asdict())
        mask = proof.mask | chosen(boot.label, proof.mask.shape[1])
        return ConceptSets(mask, jnp.zeros_like(mask), alpha, method, target, proof.guarantee)
    needed = replicate_rank(1 - alpha, boot.num_replicates)
    if needed > boot.num_replicates:
        warnings.warn(
            f"{boot.num_replicates} replicates can not reach level {1 - alpha:g}, so every set is "
            f"full; use at least {math.ceil(1 / alpha - 1e-9) - 1}",
            CoverageWarning,
            stacklevel=2,
        )
    sets = calibrated_sets(boot, alpha, target, options)
    return ConceptSets(*sets, alpha, method, target, _calibrated_promise(boot, alpha, target))


def _calibrated_promise(boot: Bootstrap, alpha: float, target: str) -> str:
    what = {
        "best": "hold the population's most similar concept",
        "replication": "hold the label of a fresh probing set of the same size",
    }[target]
    text = f"sets of each neuron alone {what} with {100 * (1 - alpha):g}% probability, in the limit"
    probe, metric = boot.probe, boot.definition
    text += f" of many {probe.unit_name}"
    if isinstance(probe, Probe) and isinstance(metric, Metric):
        text += threshold_note(probe, metric)
    return text


def threshold_note(probe: Probe, metric: Metric) -> str:
    """What a promise must add where the thresholds come from the same data; else empty."""
    if metric.neuron_view != "binary" or probe.thresholds_fixed:
        return ""
    return (
        f"; thresholds ({probe.threshold_source}) are taken as fixed beforehand, but they come "
        "from the same data"
    )


def vote_sets(boot: Bootstrap, alpha: float, target: str) -> ConceptSets:
    """The vote rule itself, for callers that state its limits in their own words."""
    counts = jnp.round(boot.vote_share * boot.num_replicates)
    needed = jnp.ceil((1 - alpha) * boot.num_replicates * (1 - 1e-6))
    order = jnp.argsort(counts, axis=1, descending=True)
    ranked = jnp.take_along_axis(counts, order, axis=1)
    before = jnp.cumsum(ranked, axis=1) - ranked
    rank = jnp.argsort(order, axis=1)
    mask = jnp.take_along_axis(before < needed, rank, axis=1)
    short = (counts.sum(axis=1) < needed)[:, None]
    mask = mask | chosen(boot.label, mask.shape[1]) | short
    promise = "no coverage: they describe the replicates"
    return ConceptSets(mask, jnp.zeros_like(mask), alpha, "vote", target, promise)
