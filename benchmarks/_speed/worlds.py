"""Layers to time: of strong labels, of weak ones, and of noise.

Screening makes resampling cheap where one concept leads clearly, so a figure from such a layer
flatters. Every neuron is standard normal noise plus an effect times the presence of one concept.
The three worlds differ in the effect alone.
"""

import jax
import numpy as np

import neurotrust_jax as nt

from .plan import KEY, RANKED

EFFECTS = {"strong": (1.0, 4.0), "weak": (0.0, 1.0), "noise": (0.0, 0.0)}


class Layer:
    """The arrays of a probe, as loops read them.

    Attributes
    ----------
    probe : Probe
    concepts : numpy.ndarray [n, C] of bool
    """

    def __init__(self, probe):
        self.probe = probe
        self.concepts = np.asarray(probe.concepts).astype(bool)

    def neurons(self, metric):
        """What a metric reads of the neurons: activations, or 0 and 1."""
        if metric in RANKED:
            return np.asarray(self.probe.activations)
        return np.asarray(self.probe.neurons.present)


class World(Layer):
    """Neurons driven by one concept each, active on a twentieth of the samples.

    Noise and concepts are the same in all worlds. The arrays are made in blocks of columns, so that
    the peak of memory is little more than the result.
    """

    def __init__(self, size, name="strong", seed=0, block=256):
        rng = np.random.default_rng(seed)
        self.size, self.name = size, name
        concepts = np.empty((size.n, size.C), bool)
        activations = np.empty((size.n, size.U), np.float32)
        for start in range(0, size.C, block):
            part = concepts[:, start : start + block]
            frequency = rng.uniform(0.01, 0.2, part.shape[1])
            part[:] = rng.random(part.shape, np.float32) < frequency
        for start in range(0, size.U, block):
            part = activations[:, start : start + block]
            driver = rng.integers(0, size.C, part.shape[1])
            effect = rng.uniform(*EFFECTS[name], part.shape[1]).astype(np.float32)
            part[:] = rng.standard_normal(part.shape, np.float32)
            part += effect * concepts[:, driver]
        super().__init__(nt.make_probe(activations, concepts, top_fraction=0.05))

    def bootstrap(self, metric, key, **options):
        return nt.bootstrap(
            jax.random.key(key), self.probe, metric, num_replicates=self.size.B, **options
        )

    def counts(self, at_most=200):
        """Counts of each sample in the first replicates that `bootstrap` draws, [replicates, n]."""
        number = min(self.size.B, at_most)
        key = jax.random.key(KEY)
        return np.array(nt.resampling.bootstrap_weights(key, self.probe, num_replicates=number))
