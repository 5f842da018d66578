"""Real data as a population: everything is known, and probing sets are draws from it."""

import jax
import numpy as np

import neurotrust_jax as nt
from neurotrust_jax import tasks

SHARE = 0.05  # of the population above a neuron's threshold


class Population:
    """A layer's activations on all there is, and what is true of it.

    A unit is independent of the others: an image, or a file with all tokens of its excerpt.

    Attributes
    ----------
    layer : TrainedLayer
    rows : array [N] of int
        Samples of ``layer.data`` that make up the population: all images, an excerpt of every file.
    size : int
        Number of samples in a unit, which are consecutive.
    activations : array or scipy.sparse.csr_array [N, U]
    concepts : array [N, C] of bool
    thresholds : array [U]
        The 5% most active samples of the population are above; those not zero for sparse features.
    live : array of int
        The other neurons are tied at their threshold, or nearly always zero.
    """

    def __init__(self, task, excerpt=128):
        self.layer = layer = tasks.train_layer(jax.random.key(0), task)
        self.data, self.names = layer.data, layer.data.concept_names
        self.hierarchy = layer.data.concept_parent
        if hasattr(self.data, "images"):
            self.rows, self.size = np.arange(len(self.data.images)), 1
            self.activations = layer.read(self.data.images)
        else:
            self.rows, self.size = tasks.excerpts(self.data.groups, excerpt), excerpt
            self.activations = layer.read(self.data.tokens[self.rows], self.groups)
        self.concepts = self.data.concepts[self.rows]
        self.sparse = not isinstance(self.activations, np.ndarray)
        self.thresholds = layer.thresholds
        if not self.sparse:
            self.thresholds = np.quantile(
                self.activations, 1 - SHARE, axis=0, method="higher"
            ).astype(np.float32)
        self.live = np.arange(self.activations.shape[1])
        rate = np.asarray(self.probe().active_rate)
        self.live = np.flatnonzero(rate > (0.001 if self.sparse else 0.8 * SHARE))

    @property
    def groups(self):
        return self.data.groups[self.rows]

    @property
    def num_units(self):
        return len(self.rows) // self.size

    def probe(self, rows=slice(None), columns=None, groups=None, concepts=None):
        """A probe of some samples, neurons and concepts.

        By default these are all samples, the live neurons and all concepts.
        """
        chosen = np.arange(len(self.names)) if concepts is None else concepts
        columns = self.live if columns is None else columns
        return nt.make_probe(
            self.activations[rows][:, columns],
            self.concepts[rows][:, chosen],
            thresholds=self.thresholds[columns],
            concept_names=[self.names[c] for c in chosen],
            groups=groups,
        )

    def samples(self, seed, n):
        """Rows of n samples drawn one by one."""
        return np.random.default_rng(seed).integers(0, len(self.rows), n)

    def units(self, seed, count):
        """Rows of ``count`` units drawn whole, and the number of the draw of each row."""
        drawn = np.random.default_rng(seed).integers(0, self.num_units, count)
        rows = (drawn[:, None] * self.size + np.arange(self.size)).ravel()
        return rows, np.repeat(np.arange(count), self.size)
