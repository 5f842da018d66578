"""A trained layer on a population of images, and what is true of it."""

import numpy as np
from _common.populations import Population
from _common.truth import best_concepts, labels

import neurotrust_jax as nt


class World:
    """A population and what is true in it."""

    def __init__(self, task, num_neurons):
        found = Population(task)
        columns = found.live[:num_neurons]
        self.f, self.c = found.activations[:, columns], found.concepts
        self.thresholds = found.thresholds[columns]
        self.names, self.hierarchy = found.names, found.hierarchy
        self.whole = self.probe(self.f, self.c)
        self._best = {}

    def probe(self, f, c):
        return nt.make_probe(f, c, thresholds=self.thresholds, concept_names=self.names)

    def rows(self, seed, n):
        return np.random.default_rng(seed).integers(0, len(self.f), n)

    def draw(self, seed, n):
        """A probing set of n samples, drawn with replacement."""
        rows = self.rows(seed, n)
        return self.probe(self.f[rows], self.c[rows])

    def diluted(self, seed, n, kept):
        """As `draw`, with the activations of other samples on all but a share of them."""
        rows, others = self.rows(seed, n), self.rows(10**7 + seed, n)
        keep = np.random.default_rng(2 * 10**7 + seed).random(n) < kept
        return self.probe(self.f[np.where(keep, rows, others)], self.c[rows])

    def best(self, metric):
        """Whether each concept is truly the most similar, [U, C]."""
        if metric not in self._best:
            self._best[metric] = best_concepts(nt.similarity(self.whole, metric))
        return self._best[metric]

    def labels(self, seed, n, metric):
        """Labels on the probing set that `draw` gives, [U]."""
        return labels(self.draw(seed, n), metric)
