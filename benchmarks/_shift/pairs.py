"""Pairs of populations: one to probe, one to judge the labels on."""

from typing import NamedTuple

import numpy as np
from _common.populations import Population
from PIL import Image

import neurotrust_jax as nt
from neurotrust_jax import datasets, tasks

KNOWN = 2.0  # largest density ratio of the resampled characters, and one over the smallest


class Pair(NamedTuple):
    """Two populations of the same neurons and concepts.

    Attributes
    ----------
    name : str
    f, c : array [N, U], [N, C]
        Where probing sets are drawn.
    target_f, target_c : array [M, U], [M, C]
        Where labels are judged.
    thresholds : array [U]
    ratio : array [N] or None
        The density ratio of the target over the population, where it is known.
    """

    name: str
    f: np.ndarray
    c: np.ndarray
    target_f: np.ndarray
    target_c: np.ndarray
    thresholds: np.ndarray
    ratio: np.ndarray | None = None

    def probe(self, rows=slice(None)):
        return nt.make_probe(self.f[rows], self.c[rows], thresholds=self.thresholds)

    def rows(self, seed, n):
        return np.random.default_rng(seed).integers(0, len(self.f), n)

    def target_sample(self, seed, n):
        rng = np.random.default_rng([seed, 1])
        if self.ratio is None:
            return self.target_f[rng.integers(0, len(self.target_f), n)]
        return self.f[rng.choice(len(self.f), n, p=self.ratio / self.ratio.sum())]

    def truth(self, metric):
        """Similarity on the target, [U, C]."""
        if self.ratio is not None:
            whole = nt.reweight(self.probe(), self.ratio)
        else:
            whole = nt.make_probe(self.target_f, self.target_c, thresholds=self.thresholds)
        return np.asarray(nt.similarity(whole, metric), np.float64)


def turned(images, degrees=15):
    pictures = [Image.fromarray(np.uint8(255 * x[..., 0])) for x in images]
    after = [np.asarray(x.rotate(degrees, Image.Resampling.BILINEAR)) for x in pictures]
    return np.stack(after)[..., None].astype(np.float32) / 255


def thinned(images):
    """Ink only where the pixel on the right has some too."""
    return np.minimum(images, np.roll(images, -1, axis=2))


def image_pairs(task, num_neurons, all_of_them):
    found = Population(task)
    columns = found.live[:num_neurons]
    f, c, thresholds = found.activations[:, columns], found.concepts, found.thresholds[columns]
    images = found.data.images

    def read(images):
        return found.layer.read(images)[:, columns]

    # a ratio of the two values that is 1 on average: more of what the first neuron is above
    above = f[:, 0] > np.quantile(f[:, 0], 1 - 1 / (1 + KNOWN))
    ratio = np.where(above, KNOWN, 1 / KNOWN)
    ratio = np.clip(ratio / ratio.mean(), 1 / KNOWN, KNOWN)
    yield Pair("resampled", f, c, f, c, thresholds, ratio)
    yield Pair("turned by 15 degrees", f, c, read(turned(images)), c, thresholds)
    if not all_of_them:
        return
    yield Pair("thinned", f, c, read(thinned(images)), c, thresholds)
    serif = c[:, found.names.index("serif face")]
    signs = np.array(["face" not in name for name in found.names])
    yield Pair(
        "sans-serif to serif", f[~serif], c[~serif][:, signs], f[serif], c[serif][:, signs],
        thresholds,
    )  # fmt: skip


def source_pairs(task, num_neurons, packages):
    found = Population(task)
    columns = found.live[:num_neurons]
    for package in packages:
        other = datasets.python_source(package)
        rows = tasks.excerpts(other.groups, found.size)
        activations = found.layer.read(other.tokens[rows], other.groups[rows])[:, columns]
        yield Pair(
            f"Python's library to {package}", found.activations[:, columns], found.concepts,
            activations, other.concepts[rows], found.thresholds[columns],
        )  # fmt: skip
