"""Neurons that mean known formulas, real layers, and layers shuffled against the concepts."""

from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
from _real_layers.probing_sets import LAYERS, REAL
from scipy import stats

import neurotrust_jax as nt
from neurotrust_jax import tasks
from neurotrust_jax.chance.permutations import draw_units, layout_of, rows_of
from neurotrust_jax.composition.formulas import NONE, OPERATORS, Formulas, canonical, evaluate
from neurotrust_jax.composition.layer_formulas import search_halves

ALPHA = 0.1
TOKENS, EXCERPT = 64, 512  # tokens of each file that are taken, of those that the task has
KINDS = (  # joins of the formulas that neurons mean
    (), ("and",), ("or",), ("and not",), ("and", "and"), ("or", "or"), ("or", "and"), ("and", "or"),
    ("or", "and not"), ("and not", "and not"),
)  # fmt: skip
NOISES = {  # how often a neuron is active where its formula holds, and elsewhere
    "faint": (0.95, 0.002), "middling": (0.8, 0.01), "strong": (0.5, 0.02),
}  # fmt: skip
FAMILY, LIKENESS = 4, 0.8  # concepts that have to do with each other, and how much
RARE, DIFFERENT = 0.02, 0.2  # of a formula, and of what each of its concepts changes, at least


def holds(concepts, formulas):
    """Whether each formula [V] holds on each sample, [n, V] of bool."""
    columns = np.asarray(concepts, np.float32)
    safe = Formulas(np.maximum(formulas.concept, 0), formulas.operator)
    return evaluate(columns, safe) > 0.5


class Planted:
    """A population of samples that is known as a whole, and neurons that mean known formulas.

    Concepts of a rate between 1% and 20% come in families of four, whose members are present
    together more often than by chance (Gaussian variables that correlate by 0.8, cut off). A
    formula holds on at least 2% of the population, and leaving out any of its concepts changes at
    least a fifth of the samples that it selects.

    Attributes
    ----------
    concepts, active : numpy.ndarray [N, C], [N, U] of bool
    meaning : Formulas [U]
        What the neurons mean.
    noise : list of str [U]
    """

    def __init__(self, size, seed=0):
        rng = np.random.default_rng(seed)
        shared = rng.standard_normal((size["population"], size["concepts"] // FAMILY, 1))
        own = rng.standard_normal((*shared.shape[:2], FAMILY))
        value = np.sqrt(LIKENESS) * shared + np.sqrt(1 - LIKENESS) * own
        rate = rng.uniform(0.01, 0.2, size["concepts"])
        self.concepts = value.reshape(len(shared), -1) > stats.norm.isf(rate)
        several = size["of_kind"]
        kinds = [k for k in KINDS for _ in range(several * (3 if not k else 1))]
        chains = [self._formula(rng, joins) for _ in NOISES for joins in kinds]
        self.noise = [name for name in NOISES for _ in kinds]
        self.meaning = canonical(Formulas(*map(np.stack, zip(*chains, strict=True))))
        truth = holds(self.concepts, self.meaning)
        hit, false = np.array([NOISES[x] for x in self.noise]).T
        self.active = rng.random(truth.shape, np.float32) < np.where(truth, hit, false)

    def _formula(self, rng, joins):
        """A formula of these joins that meets the conditions, as columns and operators [3]."""
        while True:
            first = rng.integers(self.concepts.shape[1])
            family = first // FAMILY * FAMILY + rng.permutation(FAMILY)
            relatives = iter(family[family != first])
            others = iter(rng.permutation(self.concepts.shape[1]))
            columns = [first] + [next(others if x == "or" else relatives) for x in joins]
            concept = np.pad(columns, (0, 2 - len(joins)), constant_values=NONE).astype(np.int32)
            operator = np.full(3, NONE, np.int8)
            operator[1 : len(columns)] = [OPERATORS.index(x) for x in joins]
            if len(set(columns)) == len(columns) and self._matters(concept, operator):
                return concept, operator

    def _matters(self, concept, operator, at_most=5000):
        some = self.concepts[:at_most]
        length = int((concept >= 0).sum())
        shorter = [np.delete(np.arange(3), i) for i in range(length)] if length > 1 else []
        tried = [(concept, operator)]
        for left in shorter:
            # without its first concept a chain starts at the second
            fewer, joins = concept[left], np.r_[NONE, operator[left][1:]]
            tried.append((np.append(fewer, NONE), np.append(joins, NONE)))
        formulas = Formulas(*(np.stack(x) for x in zip(*tried, strict=True)))
        full, *others = holds(some, formulas).T
        if full.mean() < RARE:
            return False
        return all(((full ^ x).sum() >= DIFFERENT * (full | x).sum()) for x in others)

    def draw(self, seed, n):
        """A probing set of n samples, drawn with replacement."""
        rows = np.random.default_rng(seed).integers(0, len(self.concepts), n)
        return nt.make_probe(
            self.active[rows].astype(np.float32), self.concepts[rows],
            thresholds=np.full(self.active.shape[1], 0.5, np.float32),
        )  # fmt: skip


class Half(NamedTuple):
    """The search half, in NumPy.

    Attributes
    ----------
    active, concepts : numpy.ndarray [m, U], [m, C] of bool
    groups : numpy.ndarray [m] of int
    """

    active: np.ndarray
    concepts: np.ndarray
    groups: np.ndarray


def search_half(key, probe):
    """The half on which `compose` searches with this key, and the probe of it."""
    part, _ = search_halves(key, probe)
    groups = np.arange(part.num_samples) if part.groups is None else np.asarray(part.groups)
    return Half(np.asarray(part.neurons.present).astype(bool), np.asarray(part.present), groups)


def layer_probe(name, neurons=None):
    """A real layer; thresholds that are not known beforehand are left to `compose`."""
    if name not in LAYERS:
        probe = tasks.train_layer(jax.random.key(0), name).probe()
        if "python" in name:
            rows = np.arange(probe.num_samples)
            probe = probe.take(rows[rows % EXCERPT < TOKENS])
        return probe if neurons is None else probe.of_neurons(slice(0, neurons))
    file, array = LAYERS[name]
    with np.load(REAL / file) as stored:
        return nt.make_probe(
            stored[array].astype(np.float32)[:, :neurons], stored["concepts"],
            concept_names=stored["names"].tolist(), groups=stored["groups"],
        )  # fmt: skip


def at_hand(name):
    """Whether a layer's file exists, or it is one of our own tasks."""
    return name not in LAYERS or (REAL / LAYERS[name][0]).exists()


def capped(probe, most=4):
    """The probe with at most so many samples of each group, chosen at random.

    Groups can be shuffled among those of their size alone, and large ones have no partner.
    """
    if probe.groups is None:
        return probe
    groups = np.asarray(probe.groups)
    order = np.random.default_rng(0).permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    place = np.arange(len(order)) - np.searchsorted(groups[order], groups[order])
    return probe.take(np.sort(order[place < most]))


def shuffler(probe):
    """A function of a number that gives the probe with its units' concepts permuted.

    Whole sampling units trade places with those of their size, as in the permutation test.
    """
    layout, number, _ = layout_of(probe, None, ALPHA)

    def shuffled(seed):
        ids = np.array([seed], np.int32)
        drawn = draw_units(jax.random.key(0), ids, layout, num_units=number)
        rows = np.asarray(rows_of(drawn[0], layout))
        return replace(probe, concepts=probe.concepts[rows])

    return shuffled
