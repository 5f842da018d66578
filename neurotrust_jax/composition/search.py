"""Find the best formulas of all neurons of a probe, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from .._runtime.chunks import Progress
from ..metrics.metric import Metric
from ..probing.active_rows import list_active
from ..probing.probe import Probe
from .beam import Found, beam_search, best_of
from .formulas import NONE, Formulas
from .optimal import optimal_search
from .sums import Columns, columns_of, neurons_of
from .triples import TripleSizes

__all__ = ["PROVED", "WORKING_BYTES", "SearchOptions", "Searched", "search"]

PROVED = 3  # concepts of the longest formulas of which a search can prove that none is better
MATRICES = 24  # arrays [C, C] of a neuron that a search for the best formula holds at a time
LISTS = 6  # arrays [samples, beam] of a neuron that a beam search holds at a time
WORKING_BYTES = 2.0**28  # of a block, unless another limit is given


class SearchOptions(NamedTuple):
    """How to search.

    Attributes
    ----------
    max_length : int
    operators : tuple of int
        Places in ``OPERATORS``.
    optimal : bool
        Whether to go on from the beam's formula to the best one.
    beam_width, max_nodes : int
    soft : bool
        Whether the values of concepts are joined, not their presence.
    least : float
        Number of samples on which a formula must hold, and on which it must not.
    working_bytes : float
        Memory of a block.
    """

    max_length: int
    operators: tuple[int, ...]
    optimal: bool
    beam_width: int
    max_nodes: int
    soft: bool
    least: float
    working_bytes: float = WORKING_BYTES


class Searched(NamedTuple):
    """The best formulas of all neurons.

    Attributes
    ----------
    formulas : Formulas [L, U]
        The best of at most 1, 2, ... L concepts; without concepts where there is none.
    score : numpy.ndarray [L, U]
        Their similarity, NaN without a formula.
    bound : numpy.ndarray [U]
        No formula of at most L concepts is better; NaN after a beam search.
    """

    formulas: Formulas
    score: np.ndarray
    bound: np.ndarray

    def first(self, number: int) -> Searched:
        """Those of the first neurons."""
        formulas = self.formulas.take(slice(None), slice(number))
        return Searched(formulas, self.score[:, :number], self.bound[:number])


def search(
    probe: Probe, metric: Metric, options: SearchOptions, progress: Progress | None = None
) -> Searched:
    """The best formulas of every neuron; all are read in blocks that fit into memory."""
    columns = columns_of(probe, options.soft, options.least)
    packed = None if options.soft else _packed(probe)
    triples = TripleSizes(columns)
    found, members = [], []
    done = 0
    for some, number in _blocks(probe, metric, options):
        block = probe.of_neurons(some)
        own = _of_block(block, metric, options, columns, packed, triples)
        found.append(own.first(number))
        members.append(some[:number])
        done += number
        if progress is not None:
            progress(done, probe.num_neurons)
    place = np.argsort(np.concatenate(members))
    formulas, score = jax.tree.map(
        lambda *x: np.concatenate(x, axis=1)[:, place], *((x.formulas, x.score) for x in found)
    )
    return Searched(formulas, score, np.concatenate([x.bound for x in found])[place])


def _of_block(
    block: Probe, metric: Metric, options: SearchOptions, columns: Columns,
    packed: np.ndarray | None, triples: TripleSizes,
) -> Searched:  # fmt: skip
    neurons = neurons_of(block, metric, columns)
    beams = beam_search(
        columns, neurons, metric, max_length=options.max_length, operators=options.operators,
        width=options.beam_width, packed=packed,
    )  # fmt: skip
    if not options.optimal:
        return _of_beams(beams)
    best = optimal_search(
        columns, neurons, metric, single=best_of(beams[0]), start=best_of(beams[-1]),
        max_length=options.max_length, operators=options.operators, max_nodes=options.max_nodes,
        triples=triples,
    )  # fmt: skip
    none = ~np.isfinite(best.score)
    formulas = (
        np.where(none[..., None], NONE, np.stack(x)) for x in zip(*best.formulas, strict=True)
    )
    score = np.where(none, np.nan, best.score)
    return Searched(Formulas(*formulas), score, np.where(none[-1], np.nan, best.bound))


def _of_beams(beams: list[Found]) -> Searched:
    formulas, score = zip(*map(best_of, beams), strict=True)
    concept, operator = (np.stack(x) for x in zip(*formulas, strict=True))
    return Searched(Formulas(concept, operator), np.stack(score), np.full(score[0].shape, np.nan))


def _blocks(
    probe: Probe, metric: Metric, options: SearchOptions
) -> Iterator[tuple[np.ndarray, int]]:
    """Neurons of each block, and how many of them count: others fill up the last one.

    Neurons that are active on about as many samples stand side by side.
    """
    if metric.neuron_view == "binary":
        lengths = list_active(probe).lengths
    else:
        lengths = np.full(probe.num_neurons, probe.num_samples)
    order = np.argsort(-lengths, kind="stable")
    matrices = MATRICES * probe.num_concepts if options.optimal else 4 * options.beam_width
    lists = LISTS * options.beam_width * int(lengths.max())
    most = max(1, int(options.working_bytes / (4.0 * (probe.num_concepts * matrices + lists))))
    size = -(-len(order) // -(-len(order) // most))  # blocks of about one size
    for start in range(0, len(order), size):
        some = order[start : start + size]
        yield np.pad(some, (0, size - len(some)), mode="edge"), len(some)


def _packed(probe: Probe) -> np.ndarray:
    """The presence of each concept as bits, [C, words] of uint64."""
    bits = np.packbits(np.asarray(probe.present).T, axis=1)
    bits = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))
    return np.ascontiguousarray(bits).view(np.uint64)
