"""Replicates of a labelling method that is only known by its scores on resampled rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._numerics.moments import accumulate, standard_deviation
from .._numerics.packing import pairs_where
from .._runtime.chunks import Progress
from ..faithfulness.evidence import effective_concept_units
from ..metrics.scores import at_concept, winner
from ..probing.checkpoints import checkpoint_for
from ..probing.probe import Probe
from ..schemes import draw as draw_one
from .candidates import MAX_CANDIDATES, Candidates, choose, has_enough_evidence
from .draws import Draw
from .labelling_method import ScoreFunction
from .result import Followed, Replicates

__all__ = ["run_black_box"]


def run_black_box(
    probe: Probe,
    function: ScoreFunction,
    draw: Draw,
    num_replicates: int,
    checkpoint: Path | str | None,
    progress: Progress | None,
) -> Replicates:
    """Score the probe with its rows repeated as often as each replicate draws them.

    Raises
    ------
    ValueError
        If the scores do not have shape [U, C].
    """
    key, scheme = draw

    def scored(resampled: Probe) -> Array:
        scores = jnp.asarray(function.score(resampled))
        expected = (probe.num_neurons, probe.num_concepts)
        if scores.shape != expected:
            raise ValueError(f"score_fn must return shape {expected}, got {scores.shape}")
        return scores

    def counts(b: int) -> np.ndarray:
        drawn = draw_one(key, jnp.asarray(b), probe.groups, scheme, probe.num_units, jnp.float32)
        return np.asarray(drawn, np.int64)

    observed = scored(probe)
    done = checkpoint_for(
        checkpoint, key, probe, scheme.name, None if checkpoint is None else counts(0),
        np.asarray(observed),
    )  # fmt: skip

    def replicate(b: int) -> tuple[Array]:
        return (scored(probe.take(np.repeat(np.arange(probe.num_samples), counts(b)))),)

    scores = []
    for b in range(num_replicates):
        (found,) = done.piece(str(b), partial(replicate, b))
        scores.append(jnp.asarray(found))
        if progress is not None:
            progress(b + 1, num_replicates)
    evidence = jnp.broadcast_to(effective_concept_units(probe), observed.shape)
    candidates = _candidates(function, observed, evidence, scores)
    neuron, place = np.nonzero(candidates.concept >= 0)
    pairs = neuron, candidates.concept[neuron, place]
    won = jnp.stack([winner(x) for x in scores])
    label = winner(observed)
    return Replicates(
        winners=won,
        winning_similarity=jnp.stack([at_concept(x, w) for x, w in zip(scores, won, strict=True)]),
        label_similarity=jnp.stack([at_concept(x, label) for x in scores]),
        label=label,
        similarity=observed,
        followed=Followed(
            concept=jax.device_put(candidates.concept),
            similarity=jnp.stack([x[pairs] for x in scores], axis=1),
            thin=jax.device_put(candidates.thin),
            excluded=jax.device_put(candidates.excluded),
            evidence=evidence,
        ),
    )


def _candidates(
    function: ScoreFunction, observed: Array, evidence: Array, scores: list[Array]
) -> Candidates:
    zero = jnp.zeros_like(observed)
    moments = zero, zero, zero
    for x in scores:
        moments = accumulate(moments, x - observed)
    on_data = np.asarray(observed)
    pairs = pairs_where(~np.isnan(on_data))
    spread = np.asarray(standard_deviation(moments))[pairs]
    has_evidence = has_enough_evidence(function.method, observed, evidence)
    room = MAX_CANDIDATES * observed.shape[0]
    return choose(function.method, on_data, has_evidence, pairs, spread, room)
