"""Replicates or permutations in chunks: each is told of, and kept, as soon as it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .folders import Kept
from .probe import Probe

__all__ = ["Progress", "StageProgress", "in_chunks", "kept_for"]

Progress = Callable[[int, int], None]
StageProgress = Callable[[str, int, int], None]


def in_chunks(
    run: Callable[[Array], tuple[Any, ...]],
    total: int,
    chunk_size: int,
    kept: Kept,
    progress: Progress | None,
    axis: int = 0,
) -> tuple[np.ndarray, ...]:
    """``run`` on the ids 0 to total - 1, some at a time, and its results joined along an axis.

    All calls have the same shape: the last one may run more than asked for, which is cut off. What
    is kept of an earlier call is not run again.
    """
    chunks = []
    for start in range(0, total, chunk_size):
        ids = jnp.asarray(np.arange(start, start + chunk_size))  # compiles nothing
        chunks.append(kept.piece(f"{start}-{start + chunk_size}", partial(run, ids)))
        if progress is not None:
            progress(min(start + chunk_size, total), total)
    size = total - (len(chunks) - 1) * chunk_size
    chunks[-1] = tuple(np.take(x, range(size), axis) for x in chunks[-1])
    return tuple(np.concatenate(x, axis) for x in zip(*chunks, strict=True))


def kept_for(checkpoint: Path | str | None, key: Array, probe: Probe, *options: Any) -> Kept:
    """What is kept of a computation on a probe."""
    if checkpoint is None:
        return Kept(None)
    # names decide on no number
    data = jax.tree.leaves(replace(probe, concept_names=(), neuron_names=()))
    rule = probe.inclusive, probe.concept_threshold
    versions = [version(name) for name in ("neurotrust-jax", "jaxlib")]
    return Kept(checkpoint, key, *data, rule, *options, versions)
