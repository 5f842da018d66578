"""Where a computation on a probe keeps what is done of it."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax import Array

from .._runtime.checkpoint import Checkpoint
from .probe import Probe

__all__ = ["checkpoint_for"]


def checkpoint_for(
    checkpoint: Path | str | None, key: Array, probe: Probe, *options: Any
) -> Checkpoint:
    """The checkpoint of a computation on a probe."""
    if checkpoint is None:
        return Checkpoint(None)
    # names decide on no number
    data = jax.tree.leaves(replace(probe, concept_names=(), neuron_names=(), left_out=()))
    # where thresholds come from decides on the method of the intervals, and on what they say
    rule = (
        probe.inclusive, probe.concept_threshold, probe.threshold_source, probe.thresholds_fixed,
        probe.num_ranges,
    )  # fmt: skip
    versions = [version(name) for name in ("neurotrust-jax", "jaxlib")]
    return Checkpoint(checkpoint, key, *data, rule, *options, versions)
