"""Laws of one neuron and one concept for thresholds that depend on the data."""

from typing import NamedTuple

import numpy as np


class Law(NamedTuple):
    """A neuron and a concept whose similarity is known in closed form at every threshold.

    u is uniform on (0, 1) and P(concept | u) = low + slope u + jump [u > step]. The activation is u
    itself, 0 where u is at most ``zero``, or the level on which u lies.
    """

    name: str
    low: float
    slope: float = 0.0
    jump: float = 0.0
    step: float = 0.0
    zero: float = 0.0
    levels: int | None = None

    def draw(self, rng, shape):
        u = rng.uniform(size=shape)
        concept = rng.uniform(size=shape) < self.low + self.slope * u + self.jump * (u > self.step)
        f = np.where(u < self.zero, 0, u)
        if self.levels:
            f = np.floor(f * self.levels)  # whole numbers: a threshold can then be met exactly
        return f.astype(np.float32), concept

    def truth(self, metric, threshold):
        t = np.asarray(threshold, np.float64)
        edge = (np.floor(t) + 1) / self.levels if self.levels else t
        edge = np.clip(edge, self.zero, 1)  # active is u > edge
        active, present = 1 - edge, self.low + self.slope / 2 + self.jump * (1 - self.step)
        both = (
            self.low * active
            + self.slope * (1 - edge**2) / 2
            + self.jump * (1 - np.maximum(edge, self.step))
        )
        either = active + present - both
        return {
            "accuracy": 1 - either + both,
            "iou": both / either,
            "f1": 2 * both / (active + present),
            "recall": both / present,
            "precision": both / np.where(active > 0, active, np.nan),
        }[metric]


LAWS = (
    Law("independent", 0.1),
    Law("concept more likely at high activation", 0.0, slope=1.0),
    Law("concept is the top 5%", 0.0, jump=1.0, step=0.95),
    Law("concept is all but the top 5%", 1.0, jump=-1.0, step=0.95),
    Law("concept is the top 3%, ReLU active on 5%", 0.0, jump=1.0, step=0.97, zero=0.95),
    Law("concept is the top 5%, 20 levels", 0.0, jump=1.0, step=0.95, levels=20),
    Law("concept is the top 3%, 25 levels", 0.0, jump=1.0, step=0.97, levels=25),
)
