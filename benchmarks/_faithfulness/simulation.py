"""Measure and bound similarities on many datasets of each world."""

from typing import NamedTuple

import jax
import numpy as np
from _common.terminal import progress_bars

import neurotrust_jax as nt

from .settings import ALPHA, METHODS
from .worlds import glyph_world, planted_world


class Cell(NamedTuple):
    """All datasets of one world, frequency, sample size and metric.

    Attributes
    ----------
    measured : array [R, U, C]
    lower, upper : dict of array [R, U, C]
        By method; empty where only the gap is wanted.
    truth, condition : array [U, C]
    """

    world: str
    frequency: float
    n: int
    metric: str
    measured: np.ndarray
    lower: dict
    upper: dict
    truth: np.ndarray
    condition: np.ndarray

    @property
    def where(self):
        return {
            "world": self.world, "frequency": self.frequency, "n": self.n, "metric": self.metric
        }  # fmt: skip


BATCH = 10


def side_by_side(drawn, **options):
    """One probe of several datasets, since a call's overhead is most of its time.

    Only the blocks on the diagonal are read: a pair's limits depend on its own columns alone.
    """
    f, c = (np.concatenate(x, axis=1) for x in zip(*drawn, strict=True))
    return nt.make_probe(f, c, **options)


def blocks(x, count):
    """The blocks on the diagonal: [count * U, count * C] to [count, U, C]."""
    x = np.asarray(x)
    x = x.reshape(count, x.shape[0] // count, count, x.shape[1] // count)
    return x[np.arange(count), :, np.arange(count)]


def simulate(world, n, size, tick, *, limits):
    """Measure and bound every metric on many datasets of n samples: a list of cells."""
    measured = {m: [] for m in size.metrics}
    ends = {(m, method): [] for m in size.metrics for method in METHODS[m] if limits}
    known = np.tile(world.low, BATCH), np.tile(world.high, BATCH)
    for start in range(0, size.datasets, BATCH):
        probe = side_by_side(
            [world.draw(seed, n) for seed in range(start, start + BATCH)],
            thresholds=np.tile(world.thresholds, BATCH),
        )
        for metric in size.metrics:
            options = {"activation_range": known} if metric == "correlation" else {}
            for method in METHODS[metric] if limits else ():
                found = nt.intervals(probe, metric, alpha=ALPHA, method=method, **options)
                both = blocks(found.lower, BATCH), blocks(found.upper, BATCH)
                ends[metric, method].append(np.stack(both))
            value = found.similarity if limits else nt.similarity(probe, metric)
            measured[metric].append(blocks(value, BATCH))
        tick(BATCH)
    cells = []
    for metric in size.metrics:
        value = np.concatenate(measured[metric])
        both = {method: np.concatenate(x, axis=1) for (m, method), x in ends.items() if m == metric}
        for frequency, columns in world.columns.items():
            cells.append(
                Cell(
                    world.name, frequency, n, metric, value[..., columns],
                    {k: x[0][..., columns] for k, x in both.items()},
                    {k: x[1][..., columns] for k, x in both.items()},
                    world.truth[metric][:, columns],
                    world.condition[metric][:, columns],
                )
            )  # fmt: skip
    return cells


def simulate_all(size, parts):
    """Cells of both worlds, and what the glyph world is made of."""
    limits = bool({"coverage", "width", "auroc"} & set(parts))
    about = {}
    with progress_bars() as add_bar:
        cells = []

        def run(world, n, *, limits=limits):
            name = f"{world.name} {'/'.join(map(str, world.columns))}, n={n:,}"
            cells.extend(simulate(world, n, size, add_bar(name, size.datasets), limits=limits))
            # hundreds of compiled functions exhaust the memory maps of a process
            jax.clear_caches()

        worlds = [planted_world(frequency) for frequency in size.frequencies]
        if size.glyphs:
            advance = add_bar("training on glyphs", 1)
            glyphs, about = glyph_world(size.frequencies)
            worlds.append(glyphs)
            advance()
        for n in size.samples:
            for world in worlds:
                run(world, n)
        if "gap" in parts:
            for n in size.more_samples:
                run(worlds[len(size.frequencies) - 1], n, limits=False)
    return cells, about
