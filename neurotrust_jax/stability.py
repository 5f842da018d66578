"""Measures of how stable a neuron's label is over bootstrap replicates."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from .resampling import Bootstrap

__all__ = ["Stability", "stability"]


class Stability(NamedTuple):
    """Stability of the labels of a layer.

    Attributes
    ----------
    top1_agreement : Array [U]
        Share of replicates, in [0, 1], that give the observed label; NaN without a label.
    top1_agreement_layer : Array []
        Its mean over the neurons that have a label; NaN if none has.
    """

    top1_agreement: Array
    top1_agreement_layer: Array


def stability(boot: Bootstrap) -> Stability:
    """Measure how often the bootstrap replicates agree with the observed labels."""
    labelled = boot.label >= 0
    same = (boot.winners == boot.label[None, :]).mean(axis=0, dtype=boot.vote_share.dtype)
    agreement = jnp.where(labelled, same, jnp.nan)
    mean = jnp.nanmean(agreement)  # NaN where no neuron has a label
    return Stability(agreement, mean)
