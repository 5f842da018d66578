"""The bootstrap: would another probing set have given another label?

One draw of weights is shared by all neurons and concepts, since the arg-max depends on their joint
law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from .._engine import (
    Budget,
    Draw,
    LabellingMethod,
    Replicates,
    ScoreFunction,
    compute_replicates,
)
from .._runtime.chunks import Progress
from .._runtime.short_repr import short_repr
from .._runtime.validation import check_count
from ..metrics.metric import Metric
from ..metrics.scores import check_scores
from ..metrics.table import get_metric
from ..probing.probe import Probe
from ..schemes import Scheme, check_scheme, draw_all

__all__ = ["Bootstrap", "StreamedData", "bootstrap", "bootstrap_black_box", "bootstrap_weights"]


@jax.tree_util.register_static
@dataclass(frozen=True)
class StreamedData:
    """Data that were read in passes and are not held.

    Attributes
    ----------
    num_samples, num_units : int
        How many rows, and how many sampling units, were read.
    """

    num_samples: int
    num_units: int

    @property
    def unit_name(self) -> str:
        """What the sampling units are called."""
        return "units"


@short_repr
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
        effective units, a similarity at a bound of its range, or no spread.
    excluded : Array [U, C] of bool
        Other pairs, so far behind the leader that no replicates are needed.
    evidence : Array [U, C]
        Effective number of sampling units behind each pair: from what moves the metric and each of
        its parts, see :func:`effective_units`; for a labelling method, from the concepts alone.
    probe : Probe or StreamedData
        The data, or how many there were if they were read in passes.
    metric, scheme : str
        How the replicates were drawn and scored.
    definition : Metric or LabellingMethod
        The metric itself, or the labelling method that takes its place.
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
    probe: Probe | StreamedData
    metric: str
    scheme: str
    definition: Metric | LabellingMethod

    def _in_short(self) -> str:
        neurons, concepts = self.similarity.shape
        return (
            f"of {neurons:,} neurons x {concepts:,} concepts by {self.metric}: "
            f"{self.num_replicates:,} replicates ({self.scheme}) of "
            f"{self.probe.num_units:,} {self.probe.unit_name}"
        )

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
    scheme: str | Scheme = "multinomial",
    strategy: str = "auto",
    scores: Array | None = None,
    chunk_size: int | None = None,
    memory_limit: float | None = None,
    mesh: Mesh | None = None,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Bootstrap:
    """Label every neuron under many resamplings of the probing set.

    Thresholds stay as they are on the probe. With ``groups``, whole groups are drawn.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    metric : str or Metric
    num_replicates : int
        Number of replicates B, at least 1.
    scheme : str or Scheme
        A key of :data:`SCHEMES`, or a scheme of your own.
    strategy : {"auto", "screened", "rows", "dense"}
        How replicates are computed; no effect on the labels but for ties within rounding.
        ``"dense"``: all pairs of a replicate at once, any metric. ``"rows"``: one neuron after the
        other, on the rows on which it is active or in the order of its activations; for metrics
        whose concepts are 0 and 1, the neuron binary (then under whole weights, whose sums are
        exact) or ranked. ``"screened"``: the same for those concepts only that can win at all, by a
        bound that fails with probability 1e-6 in all; no groups, equal weights, not the Bayesian
        scheme. ``"auto"`` takes the last that fits where the work is worth it.
    scores : array [U, C], optional
        The similarities by ``metric``, where they are at hand, as from :func:`similarity`.
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
        A folder where each chunk is saved as soon as it is done. The same call goes on from there
        and gives the same result, bit for bit; a call on other data or options never reads these
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

    Examples
    --------
    >>> import jax, numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((200, 3)) < 0.4
    >>> activations = rng.normal(size=(200, 2)) + 4 * concepts[:, :2]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> boot = nt.bootstrap(jax.random.key(0), probe, "iou", num_replicates=20)
    >>> boot.winners.shape
    (20, 2)
    >>> boot.label.tolist(), boot.vote_share.round(2).tolist()
    ([0, 1], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    """
    metric, scheme = get_metric(metric), check_scheme(scheme)
    replicates = compute_replicates(
        probe, metric, Draw(key, scheme), check_count(num_replicates, "num_replicates"),
        strategy=strategy, budget=Budget(memory_limit, chunk_size), mesh=mesh,
        checkpoint=checkpoint, progress=progress,
        scores=None if scores is None else check_scores(scores, probe),
    )  # fmt: skip
    return as_bootstrap(replicates, probe, metric, scheme)


def as_bootstrap(
    replicates: Replicates,
    probe: Probe | StreamedData,
    definition: Metric | LabellingMethod,
    scheme: Scheme,
) -> Bootstrap:
    """The engine's replicates as a result."""
    followed = replicates.followed
    assert followed is not None
    return Bootstrap(
        winners=replicates.winners,
        winning_similarity=replicates.winning_similarity,
        label_similarity=replicates.label_similarity,
        label=replicates.label,
        similarity=replicates.similarity,
        vote_share=_vote_share(replicates.winners, replicates.similarity),
        candidates=followed.concept,
        replicates=followed.similarity,
        thin=followed.thin,
        excluded=followed.excluded,
        evidence=followed.evidence,
        probe=probe,
        metric=definition.name,
        scheme=scheme.name,
        definition=definition,
    )


@jax.jit
def _vote_share(winners: Array, similarity: Array) -> Array:
    num_neurons, num_concepts = similarity.shape
    neuron = jnp.arange(num_neurons)[None, :]
    # one column more than there are concepts takes the undefined replicates (index -1)
    votes = jnp.zeros((num_neurons, num_concepts + 1), jnp.int32)
    votes = votes.at[neuron, winners].add(1)[:, :-1]
    return votes.astype(similarity.dtype) / winners.shape[0]


def bootstrap_weights(
    key: Array, probe: Probe, *, num_replicates: int, scheme: str | Scheme = "multinomial"
) -> Array:
    """The resampling weights of the samples that :func:`bootstrap` uses, sample weights excluded.

    Returns
    -------
    Array [B, n]
        Row b is how often replicate b drew each sample (``multinomial``, ``poisson``,
        ``subsample``, twice or not at all), or its continuous weight (``bayesian``).
    """
    ids = np.arange(check_count(num_replicates, "num_replicates"))
    return draw_all(
        key, ids, probe.groups, check_scheme(scheme), probe.num_units, probe.weights.dtype
    )


def bootstrap_black_box(
    key: Array,
    score_fn: Callable[[Probe], Any],
    probe: Probe,
    *,
    num_replicates: int = 100,
    scheme: str | Scheme = "multinomial",
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
    scheme : {"multinomial", "poisson", "subsample"} or Scheme
        A scheme of whole counts. The Bayesian scheme has no rows to repeat.
    checkpoint : path, optional
        A folder for the scores of each replicate, see :func:`bootstrap`. The method is recognised
        by its scores on the probe.
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

    Examples
    --------
    >>> import jax, numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((200, 3)) < 0.4
    >>> activations = rng.normal(size=(200, 2)) + 4 * concepts[:, :2]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> def overlap(p):
    ...     return np.asarray(p.active).T.astype(float) @ np.asarray(p.concepts)
    >>> boot = nt.bootstrap_black_box(jax.random.key(0), overlap, probe, num_replicates=5)
    >>> boot.metric, boot.label.tolist()
    ('overlap', [0, 1])
    """
    scheme = check_scheme(scheme)
    if not scheme.whole_counts:
        raise ValueError(
            f"bootstrap_black_box repeats rows, which the {scheme.name} scheme's continuous "
            'weights do not allow; use "multinomial", "poisson" or "subsample"'
        )
    num_replicates = check_count(num_replicates, "num_replicates")
    method = LabellingMethod(getattr(score_fn, "__name__", type(score_fn).__name__))
    replicates = compute_replicates(
        probe, ScoreFunction(method, score_fn), Draw(key, scheme), num_replicates,
        checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    return as_bootstrap(replicates, probe, method, scheme)
