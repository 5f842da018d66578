"""Probing sets with a fresh one beside each: halves of a real layer, or draws from a population."""

import os
from functools import cached_property, lru_cache
from pathlib import Path

import jax
import numpy as np
from _common.truth import best_concepts, labels, some_neurons

import neurotrust_jax as nt

REAL = Path(os.environ.get("NEUROTRUST_REAL", Path(__file__).parents[3] / "shared" / "real"))
LAYERS = {  # file and array of each real layer
    "magika conv": ("magika.npz", "conv"),
    "magika logits": ("magika.npz", "logits"),
    "ocr svtr": ("ocr.npz", "svtr"),
    "ocr cnn": ("ocr.npz", "cnn"),
}
FIXED = ("soft_wpmi", "wpmi_topk")  # metrics of a fixed number of samples
ASIDE = 0.2  # share of the groups that thresholds come from
MIN_POSITIVES = 10  # sampling units of a probing set in which a concept must be expected
TOGETHER = 500  # halves tried at a time


class _ProbingSets:
    """What both kinds have in common.

    Attributes
    ----------
    name : str
        Name of the layer.
    n : int
        Sampling units in a probing set.
    """

    def __init__(self):
        self.draw = lru_cache(16)(self._draw)
        self.bootstrap = lru_cache(16)(self._bootstrap)

    def _bootstrap(self, seed, metric, num_replicates):
        scheme = "subsample" if metric == "soft_wpmi" else "multinomial"
        return nt.bootstrap(
            jax.random.key(seed), self.draw(seed)[0], metric, num_replicates=num_replicates,
            scheme=scheme,
        )  # fmt: skip

    def fresh_labels(self, seed, metric):
        """Labels of the fresh probing sets of a draw, [sets, U], -1 for none."""
        return np.stack([labels(x, metric) for x in self.draw(seed)[1]])


class Halves(_ProbingSets):
    """Random halves of a real layer's groups: one is the probing set, the other the fresh one.

    All halves have the same number of groups and of samples, so that one compiled program serves
    them all. The vocabulary is chosen on all groups, before any neuron is looked at.
    """

    hierarchy = None

    def __init__(self, name, num_neurons):
        super().__init__()
        self.name = name
        file, array = LAYERS[name]
        with np.load(REAL / file) as stored:
            f = stored[array].astype(np.float32)[:, :num_neurons]
            probe = nt.make_probe(
                f, stored["concepts"], concept_names=stored["names"].tolist(),
                groups=stored["groups"],
            )  # fmt: skip
        self._all = nt.split_thresholds(jax.random.key(0), probe, split=ASIDE)
        self.group = np.asarray(self._all.groups)
        self.n = self._all.num_units // 2

    def _probe(self, rows, least):
        columns = np.flatnonzero(np.asarray(self._all.positive_units) >= least)
        return nt.make_probe(
            np.asarray(self._all.activations)[rows],
            np.asarray(self._all.concepts)[rows][:, columns],
            thresholds=np.asarray(self._all.thresholds), groups=self.group[rows],
            concept_names=[self._all.concept_names[c] for c in columns],
        )  # fmt: skip

    @cached_property
    def whole(self):
        """All groups, but for those that the thresholds come from."""
        return self._probe(slice(None), MIN_POSITIVES)

    def _draw(self, seed):
        rng = np.random.default_rng(seed)
        size = np.bincount(self.group)
        while True:
            first = rng.random((TOGETHER, len(size))).argsort(axis=1)[:, : self.n]
            found = np.flatnonzero(size[first].sum(axis=1) == len(self.group) // 2)
            if len(found):
                break
        inside = np.isin(self.group, first[found[0]])
        probe, fresh = (self._probe(rows, 2 * MIN_POSITIVES) for rows in (inside, ~inside))
        return probe, [fresh]

    def best(self, metric):
        """None, since the population is not known."""


class Draws(_ProbingSets):
    """Samples drawn one by one from a population, and fresh probing sets of as many.

    The vocabulary is that of the concepts expected in enough samples of such a probing set.
    """

    def __init__(self, population, n, num_neurons, num_fresh):
        super().__init__()
        self.name, self.n = population.layer.name.split()[0], n
        self.population, self.num_fresh = population, num_fresh
        self.neurons = some_neurons(population, num_neurons)
        self.concepts = np.flatnonzero(population.concepts.mean(axis=0) * n >= MIN_POSITIVES)
        self.names = [population.names[c] for c in self.concepts]
        self.hierarchy = {}
        for c in self.concepts:  # with ancestors that may be left out themselves
            while (parent := population.hierarchy[c]) >= 0:
                self.hierarchy[population.names[c]] = population.names[parent]
                c = parent

    def _probe(self, rows):
        found = self.population
        return nt.make_probe(
            found.activations[rows][:, self.neurons], found.concepts[rows][:, self.concepts],
            thresholds=found.thresholds[self.neurons], concept_names=self.names,
        )  # fmt: skip

    def _draw(self, seed):
        seeds = [seed, *(10**6 + self.num_fresh * seed + i for i in range(self.num_fresh))]
        probe, *fresh = (self._probe(self.population.samples(s, self.n)) for s in seeds)
        return probe, fresh

    @lru_cache(8)  # noqa: B019
    def best(self, metric):
        """Whether each concept is truly the most similar, [U, C].

        None for metrics of a fixed number of samples, such as the 100 most active: what these are
        depends on the size of the probing set.
        """
        if metric in FIXED:
            return None
        return best_concepts(nt.similarity(self._probe(slice(None)), metric))
