"""Two worlds whose true similarities are known: planted samples, and all glyphs."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from _common.populations import Population

import neurotrust_jax as nt
from neurotrust_jax.datasets import planted, planted_similarity

from .settings import METHODS


class World(NamedTuple):
    """A law to draw probing sets from.

    Attributes
    ----------
    name : str
    draw : callable
        ``draw(seed, n)`` gives activations [n, U] and concepts [n, C].
    thresholds : array [U]
    truth : dict of array [U, C]
        True similarity by metric.
    condition : dict of array [U, C]
        Share of samples on which each metric is measured.
    columns : dict of array
        Columns of the concepts of each frequency.
    low, high : array [U]
        Range of the activations.
    """

    name: str
    draw: Callable
    thresholds: np.ndarray
    truth: dict
    condition: dict
    columns: dict
    low: np.ndarray
    high: np.ndarray


def conditions(active, present, both):
    """Share of samples that each metric conditions on; AUROC's and correlation's rarer class."""
    rarer = np.minimum(present, 1 - present)[None, :] + 0 * both
    either = active[:, None] + present[None, :] - both
    return {
        "accuracy": np.ones_like(both),
        "iou": either,
        "f1": either,
        "precision": active[:, None] + 0 * both,
        "recall": present[None, :] + 0 * both,
        "auroc": rarer,
        "correlation": rarer,
    }


def planted_world(frequency):
    """Four neurons, four concepts; effects in proportion keep similarities in mid range."""
    law = {
        "num_neurons": 4, "num_concepts": 4, "frequency": frequency, "base_rate": frequency / 2,
        "effect": 0.1 + 0.3 * np.eye(4),
    }  # fmt: skip
    sample = jax.jit(lambda key, n: planted(key, n, **law), static_argnums=1)

    def draw(seed, n):
        p = sample(jax.random.key(seed), n)
        return np.asarray(p.activations), np.asarray(p.concepts)

    known = sample(jax.random.key(0), 1)
    return World(
        name="planted",
        draw=draw,
        thresholds=np.zeros(4, np.float32),
        truth={m: np.asarray(planted_similarity(known, m), np.float64) for m in METHODS},
        condition=conditions(*(np.asarray(x, np.float64) for x in known[2:])),
        columns={frequency: np.arange(4)},
        low=np.full(4, -1.0, np.float32),
        high=np.full(4, 1.0, np.float32),
    )


def glyph_world(frequencies):
    """All glyphs as the population, and the neurons most similar to some concepts; a description.

    For each frequency two concepts of about that frequency are taken, and the neuron that is the
    most similar to each.
    """
    found = Population("glyphs-cnn")
    activations, data, thresholds = found.activations, found.data, found.thresholds
    score = np.asarray(nt.similarity(found.probe(), "iou"))
    rate = data.concepts.mean(axis=0)
    neurons, concepts, columns = [], [], {}
    for frequency in frequencies:
        near = np.flatnonzero(np.abs(np.log(rate / frequency)) < math.log(1.7))
        best = near[np.argsort(-score[:, near].max(axis=0), kind="stable")[:2]]
        columns[frequency] = np.arange(len(concepts), len(concepts) + len(best))
        for concept in best:
            order = found.live[np.argsort(-score[:, concept], kind="stable")]
            neurons.append(next(u for u in order if u not in neurons))
            concepts.append(concept)
    f, c = activations[:, neurons], data.concepts[:, concepts]
    t = thresholds[np.array(neurons)]
    whole = nt.make_probe(f, c, thresholds=t)

    def draw(seed, n):
        rows = np.random.default_rng(seed).integers(0, len(f), n)
        return f[rows], c[rows]

    active = np.asarray(whole.neurons.present, np.float64)
    world = World(
        name="glyphs",
        draw=draw,
        thresholds=t,
        truth={m: np.asarray(nt.similarity(whole, m), np.float64) for m in METHODS},
        condition=conditions(active.mean(axis=0), c.mean(axis=0), active.T @ c / len(c)),
        columns=columns,
        low=f.min(axis=0),
        high=f.max(axis=0),
    )
    about = {
        "population": len(f),
        "layer": found.layer.name,
        "neurons": [int(u) for u in neurons],
        "active_rate": [float(x) for x in active.mean(axis=0)],
        "concepts": [
            {"name": data.concept_names[i], "rate": float(rate[i])} for i in concepts
        ],
    }  # fmt: skip
    return world, about
