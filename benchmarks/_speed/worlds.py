"""Planted neurons and sparse features to time."""

import jax
import numpy as np
import scipy.sparse

import neurotrust_jax as nt

from .plan import KEY, RANKED


class World:
    """Neurons driven by one concept each, with effects from weak to plain.

    Built in blocks of columns, so that the peak of memory is little more than the result.
    """

    def __init__(self, size, seed=0, block=256):
        rng = np.random.default_rng(seed)
        self.size = size
        self.concepts = np.empty((size.n, size.C), bool)
        self.activations = np.empty((size.n, size.U), np.float32)
        for start in range(0, size.C, block):
            part = self.concepts[:, start : start + block]
            frequency = rng.uniform(0.01, 0.2, part.shape[1])
            part[:] = rng.random(part.shape, np.float32) < frequency
        for start in range(0, size.U, block):
            part = self.activations[:, start : start + block]
            driver = rng.integers(0, size.C, part.shape[1])
            effect = rng.uniform(1, 4, part.shape[1]).astype(np.float32)
            part[:] = rng.standard_normal(part.shape, np.float32)
            part += effect * self.concepts[:, driver]
        self.probe = nt.make_probe(self.activations, self.concepts, top_fraction=0.05)

    def neurons(self, metric):
        """What a metric reads of the neurons: activations, or 0 and 1."""
        if metric in RANKED:
            return self.activations
        return np.asarray(self.probe.neurons.present)

    def bootstrap(self, metric, key, **options):
        return nt.bootstrap(
            jax.random.key(key), self.probe, metric, num_replicates=self.size.B, **options
        )

    def counts(self, at_most=200):
        """Counts of each sample in the first replicates that `bootstrap` draws, [replicates, n]."""
        number = min(self.size.B, at_most)
        key = jax.random.key(KEY)
        return np.array(nt.resampling.bootstrap_weights(key, self.probe, num_replicates=number))


class SparseWorld:
    """Features that are 0 but on a few samples, of rates from 40 samples to 3 in 10."""

    def __init__(self, size, seed=0):
        rng = np.random.default_rng(seed)
        self.size = size
        self.concepts = rng.random((size.n, size.C)) < rng.uniform(0.01, 0.2, size.C)
        rates = np.exp(rng.normal(np.log(0.006), 1, size.U)).clip(40 / size.n, 0.3)
        rows = []
        for rate, driver in zip(rates, rng.integers(0, size.C, size.U), strict=True):
            present = self.concepts[:, driver]
            rows.append(np.flatnonzero(rng.random(size.n) < np.where(present, 6, 1) * rate))
        stored = np.concatenate(rows)
        starts = np.r_[0, np.cumsum([len(x) for x in rows])]
        values = rng.exponential(size=len(stored)).astype(np.float32)
        self.features = scipy.sparse.csc_array((values, stored, starts), shape=(size.n, size.U))
        self.probe = nt.make_probe(self.features, self.concepts, thresholds=0.0)

    bootstrap, counts = World.bootstrap, World.counts
