"""The certificate's set: the concepts whose upper bound reaches the largest lower bound."""

from __future__ import annotations

import jax.numpy as jnp

from ..faithfulness.certificates import certificate_from
from ..probing.probe import Probe
from .rule import ConceptSets, SetInputs, SetRule, at_label

__all__ = ["CERTIFIED"]


def certified_sets(inputs: SetInputs) -> ConceptSets:
    """The sets of :func:`certify` at level alpha."""
    boot = inputs.boot
    assert isinstance(boot.probe, Probe)
    proof = certificate_from(boot.probe, *inputs.certificate_bounds(), inputs.alpha)
    mask = proof.mask | at_label(boot.label, proof.mask.shape[1])
    return ConceptSets(
        mask, jnp.zeros_like(mask), inputs.alpha, CERTIFIED.name, inputs.target, proof.guarantee
    )


CERTIFIED = SetRule("certified", ("best",), "neuron", ("metric", "probe"), certified_sets)
