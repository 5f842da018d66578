"""Audits of real layers."""

import jax
import numpy as np
from _real_layers.probing_sets import LAYERS, REAL, Halves

import neurotrust_jax as nt

from .plan import Size
from .rows import row
from .timing import timed
from .whole import verdicts_of


def real(layer, metric, neurons, limits):
    """The row of one layer, audited as a user would: all groups, default options."""
    file, _ = LAYERS[layer]
    if not (REAL / file).exists():
        nothing = Size(0, 0, 0, 0)
        return [row(metric, "audit", nothing, layer=layer, missing=f"{file} in {REAL}")]
    probe = Halves(layer, neurons).whole
    times, result = timed(lambda key: nt.audit(jax.random.key(key), probe, metric), limits)
    n, num_neurons = probe.activations.shape
    size = Size(n, num_neurons, probe.num_concepts, result.num_replicates)
    groups = len(np.unique(np.asarray(probe.groups)))
    about = {"layer": layer, "groups": groups, "permutations": result.null.num_permutations}
    return [row(metric, "audit", size, **about, **times, verdicts=verdicts_of(result))]
