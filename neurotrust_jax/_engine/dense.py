"""Replicates of all pairs at once, one replicate after the other, for any metric."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._numerics.moments import accumulate, standard_deviation
from .._numerics.packing import Pairs, pad_to_equal_length
from .._runtime.chunks import Progress, in_chunks
from .._runtime.devices import divided, on_host
from ..metrics.scores import at_concept, winner
from ..metrics.table import Metric
from .candidates import stable_scale
from .draws import draw_weights, pilot_and_chunks
from .inputs import ReplicateInputs
from .room import NUM_PILOT

__all__ = ["dense_replicates", "dense_spread", "run_dense"]


@partial(jax.jit, static_argnames="metric")
def dense_spread(drawn: Array, prepared: Any, observed: Array, *, metric: Metric) -> Array:
    """Standard errors [U, C] on the stable scale from the first replicates."""

    def add(
        moments: tuple[Array, Array, Array], weights: Array
    ) -> tuple[tuple[Array, Array, Array], None]:
        scores = stable_scale(metric, metric.score(prepared, weights))
        return accumulate(moments, scores - centre), None

    centre = stable_scale(metric, observed)
    zero = jnp.zeros_like(centre)
    moments, _ = lax.scan(add, (zero, zero, zero), drawn[:, :NUM_PILOT].T)
    return standard_deviation(moments)


@partial(jax.jit, static_argnames="metric")
def dense_replicates(
    drawn: Array, prepared: Any, pairs: tuple[Array, Array], *, metric: Metric
) -> tuple[Array, Array, Array]:
    """Winners [U, b] of the replicates, their similarity [U, b] and that of the pairs [P, b]."""

    def one(weights: Array) -> tuple[Array, Array, Array]:
        scores = metric.score(prepared, weights)
        won = winner(scores)
        return won, at_concept(scores, won), scores[pairs]

    won, winning, followed = lax.map(one, drawn.T)
    return won.T, winning.T, followed.T


def run_dense(inputs: ReplicateInputs, pairs: Pairs, progress: Progress | None) -> tuple[Any, ...]:
    """The candidates among the pairs, and three arrays of all replicates.

    These are the winners and their similarity, [U, B], and the similarity of the pairs to follow,
    [P, B]: the candidates, then the labels. There are no candidates where only labels are followed.
    """
    probe, metric, room = inputs.probe, inputs.metric, inputs.room
    pilot, chunk = pilot_and_chunks(
        inputs.draw, room.replicates, inputs.mesh, draw_weights, probe.weights, probe.groups,
        num_units=probe.num_units,
    )  # fmt: skip
    sides = inputs.prepared, metric.prepare_concepts(probe.labels)
    found, followed = None, inputs.labels()
    if inputs.has_evidence is not None:
        spread = np.asarray(dense_spread(pilot(), sides, inputs.observed, metric=metric))
        found, followed = inputs.choose(pairs, spread[pairs])
    listed = tuple(pad_to_equal_length([x.astype(np.int32) for x in followed]))
    replicates = divided(dense_replicates, inputs.mesh, 0, metric=metric)

    def run(ids: Array) -> tuple[np.ndarray, ...]:
        won, winning, values = replicates(chunk(ids), sides, listed)
        return on_host(won), on_host(winning), on_host(values)[: len(followed[0])]

    return found, *in_chunks(
        run, inputs.num_replicates, room.replicates, inputs.checkpoint, progress, axis=-1
    )
