"""Layers as wide and sparse as those of sparse autoencoders, made chunk by chunk."""

import numpy as np
import scipy.sparse

import neurotrust_jax as nt

from .worlds import EFFECTS

ACTIVE = 22  # features of a token, on average
SLOPE = 0.7  # the feature of rank r is active on a share of the tokens in proportion to 1 / r^SLOPE
CHUNK = 8192  # tokens


class Features:
    """Features of tokens, in documents of equal length.

    A concept is more frequent in some documents than in others. Where it is present, the features
    that it drives are active e^effect times as often. A chunk is drawn in time and memory in
    proportion to its active features: a number of features for each token, and more for each
    concept that is present; features drawn twice count once.

    Attributes
    ----------
    activations : scipy.sparse.csr_array [n, U] of float32
    concepts : numpy.ndarray [n, C] of bool
    groups : numpy.ndarray [n] of int
        Document of each token.
    driver : numpy.ndarray [U] of int
        Concept that drives each feature.
    """

    def __init__(self, size, documents, world, seed=0):
        rng = np.random.default_rng(seed)
        self.size, self.name = size, world
        self.groups = np.arange(size.n) * documents // size.n
        frequency = rng.uniform(0.01, 0.2, size.C)
        self._by_document = np.minimum(frequency * rng.gamma(2, 0.5, (documents, size.C)), 1)
        rate = rng.permutation(np.arange(1, size.U + 1) ** -SLOPE)
        self.driver = driver = np.sort(rng.integers(0, size.C, size.U))
        more = np.expm1(rng.uniform(*EFFECTS[world], size.U))
        rate *= ACTIVE / (rate * (1 + more * frequency[driver])).sum()
        self._base, self._driven = np.cumsum(rate), np.cumsum(rate * more)
        edges = np.searchsorted(driver, np.arange(size.C + 1))
        self._edges = np.append(0, self._driven)[edges]  # those of one concept follow each other
        chunks = [self._chunk(rng, start) for start in range(0, size.n, CHUNK)]
        self.activations = scipy.sparse.vstack([x for x, _ in chunks], "csr")
        self.concepts = np.concatenate([x for _, x in chunks])

    def _chunk(self, rng, start):
        of_token = self.groups[start : start + CHUNK]
        n = len(of_token)
        present = rng.random((n, self.size.C)) < self._by_document[of_token]
        token = np.repeat(np.arange(n), rng.poisson(self._base[-1], n))
        feature = np.searchsorted(self._base, rng.random(len(token)) * self._base[-1])
        where, concept = np.nonzero(present)
        width = np.diff(self._edges)
        times = rng.poisson(width[concept])
        where, concept = np.repeat(where, times), np.repeat(concept, times)
        at = self._edges[concept] + rng.random(len(where)) * width[concept]
        token = np.append(token, where)
        feature = np.append(feature, np.searchsorted(self._driven, at))
        values = rng.exponential(size=len(token)).astype(np.float32)
        feature = np.minimum(feature, self.size.U - 1)
        shape = n, self.size.U
        return scipy.sparse.coo_array((values, (token, feature)), shape).tocsr(), present

    def make_probe(self):
        return nt.make_probe(
            self.activations, self.concepts, groups=self.groups, thresholds=0.0
        )  # fmt: skip
