"""The bootstrap: would another probing set have given another label?

One draw of weights is shared by all neurons and concepts, since the arg-max depends on their joint
law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .candidates import MAX_CANDIDATES, choose, effective_units
from .checks import check_count
from .metrics import Metric, get_metric
from .probe import Probe
from .replicates import (
    accumulate,
    active_fits,
    active_replicates,
    active_rows,
    active_spread,
    dense_replicates,
    dense_spread,
    standard_deviation,
)
from .similarity import at_concept, prepare, similarity, winner
from .weights import check_scheme, draw

__all__ = ["Bootstrap", "bootstrap", "bootstrap_method", "bootstrap_weights"]

Progress = Callable[[int, int], None]
StageProgress = Callable[[str, int, int], None]

METHODS = ("auto", "active", "dense")
CHUNK_DENSE, CHUNK_ACTIVE = 64, 256
MOST_ACTIVE = 0.5  # of the samples; above it the product over all of them is as good


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
        Concepts that may be the most similar, on enough evidence to tell; -1 fills up. K is the
        largest number that a neuron has, at most 256, rounded up to a power of two.
    replicates : Array [B, U, K]
        Replicates of their similarity; NaN where undefined.
    thin : Array [U, C] of bool
        Pairs on which there is too little evidence for replicates to mean much: fewer than ten
        effective units, a similarity at the end of its range, or no spread.
    excluded : Array [U, C] of bool
        Other pairs, so far behind the leader that no replicates are needed.
    evidence : Array [U, C]
        Effective units of each pair: about the number of positives of a rare concept, and of active
        units where the metric reads these.
    probe : Probe
        The data.
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
    probe: Probe
    metric: str
    scheme: str
    definition: Metric | None

    @property
    def num_replicates(self) -> int:
        """Number of replicates B."""
        return self.winners.shape[0]


def bootstrap(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    num_replicates: int = 1000,
    scheme: str = "multinomial",
    method: str = "auto",
    chunk_size: int | None = None,
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
    method : {"auto", "active", "dense"}
        How replicates are computed; no effect on the numbers. ``"active"`` reads only the rows on
        which a neuron is active: for metrics of two binary sides, under whole sample weights and
        any scheme but the Bayesian. ``"auto"`` takes it where it fits and most rows are inactive.
    chunk_size : int, optional
        Replicates per compiled call, between which ``progress`` is told; no effect on the numbers.
    progress : callable, optional
        Called as ``progress(done, num_replicates)`` after each chunk.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        If the metric, scheme or method is unknown, the method does not fit, or a count is below 1.
    """
    metric = get_metric(metric)
    check_scheme(scheme)
    num_replicates = check_count(num_replicates, "num_replicates")
    active = _method(probe, metric, scheme, method)
    if chunk_size is None:
        chunk_size = CHUNK_ACTIVE if active else CHUNK_DENSE
    chunk_size = min(check_count(chunk_size, "chunk_size"), num_replicates)

    observed = similarity(probe, metric)
    label = winner(observed)
    prepared: Any = active_rows(probe) if active else prepare(probe, metric)
    data = prepared, probe.weights, probe.groups
    static = {"metric": metric, "scheme": scheme, "num_units": probe.num_units}
    evidence = effective_units(probe, metric)
    spread = (active_spread if active else dense_spread)(key, *data, observed, **static)
    found = choose(metric, observed, evidence, spread, MAX_CANDIDATES)
    run = active_replicates if active else dense_replicates
    won, winning, labelled, followed = in_chunks(
        lambda ids: run(key, ids, *data, label, found.concept, **static),
        num_replicates,
        chunk_size,
        progress,
    )
    return Bootstrap(
        winners=won,
        winning_similarity=winning,
        label_similarity=labelled,
        label=label,
        similarity=observed,
        vote_share=_vote_share(won, observed),
        candidates=found.concept,
        replicates=followed,
        thin=found.thin,
        excluded=found.excluded,
        evidence=evidence,
        probe=probe,
        metric=metric.name,
        scheme=scheme,
        definition=metric,
    )


def _method(probe: Probe, metric: Metric, scheme: str, method: str) -> bool:
    """Whether to compute replicates from the active rows."""
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if method == "dense":
        return False
    able = active_fits(probe, metric, scheme)
    if method == "active" and not able:
        raise ValueError(
            f'method "active" needs a metric of two binary sides, whole sample weights and a '
            f'scheme of whole counts, got {metric.name!r} and {scheme!r}; use "auto"'
        )
    return able and (method == "active" or bool(probe.active_rate.max() <= MOST_ACTIVE))


def in_chunks(
    run: Callable[[Array], Any], total: int, chunk_size: int, progress: Progress | None
) -> Any:
    """``run`` on the ids 0 to total - 1, some at a time, and its results one after another.

    All calls have the same shape: the last one may run more than asked for, which is cut off.
    """
    chunks = []
    for start in range(0, total, chunk_size):
        chunks.append(run(start + jnp.arange(chunk_size)))
        if progress is not None:
            jax.block_until_ready(chunks[-1])
            progress(min(start + chunk_size, total), total)
    return jax.tree.map(lambda *x: jnp.concatenate(x)[:total], *chunks)


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
        ``subsample``), or its continuous weight (``bayesian``).
    """
    check_scheme(scheme)
    ids = jnp.arange(check_count(num_replicates, "num_replicates"))
    return jax.lax.map(
        lambda b: draw(key, b, probe.groups, scheme, probe.num_units, probe.weights.dtype), ids
    )


def bootstrap_method(
    key: Array,
    score_fn: Callable[[Probe], Any],
    probe: Probe,
    *,
    num_replicates: int = 100,
    scheme: str = "multinomial",
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
    if scheme == "bayesian":
        raise ValueError(
            "bootstrap_method repeats rows, which the bayesian scheme's continuous weights do not "
            'allow; use "multinomial", "poisson" or "subsample"'
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
    scores = []
    for b in range(num_replicates):
        drawn = draw(key, jnp.asarray(b), probe.groups, scheme, probe.num_units, jnp.float32)
        rows = np.repeat(np.arange(probe.num_samples), np.asarray(drawn, np.int64))
        scores.append(scored(probe.take(rows)))
        if progress is not None:
            progress(b + 1, num_replicates)
    zero = jnp.zeros_like(observed)
    moments = zero, zero, zero
    for x in scores:
        moments = accumulate(moments, x - observed)
    evidence = effective_units(probe, None)
    found = choose(None, observed, evidence, standard_deviation(moments), MAX_CANDIDATES)
    won = jnp.stack([winner(x) for x in scores])
    column = jnp.maximum(found.concept, 0)
    return Bootstrap(
        winners=won,
        winning_similarity=jnp.stack([at_concept(x, w) for x, w in zip(scores, won, strict=True)]),
        label_similarity=jnp.stack([at_concept(x, label) for x in scores]),
        label=label,
        similarity=observed,
        vote_share=_vote_share(won, observed),
        candidates=found.concept,
        replicates=jnp.stack([jnp.take_along_axis(x, column, axis=1) for x in scores]),
        thin=found.thin,
        excluded=found.excluded,
        evidence=evidence,
        probe=probe,
        metric=getattr(score_fn, "__name__", type(score_fn).__name__),
        scheme=scheme,
        definition=None,
    )
