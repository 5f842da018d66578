"""Beam search by IoU as one would write it in NumPy: in the published style, and at its best.

Both give the best formula's IoU of one neuron under the rules of the library: a formula must hold,
and must not hold, on some samples; one that selects the samples of a better or shorter one is
passed over; only formulas that the last step added are extended.
"""

from typing import NamedTuple

import numpy as np

TINY = np.finfo(float).tiny


class Candidate(NamedTuple):
    """A formula; candidates are in the order of their score, then of their length."""

    cost: float
    length: int
    columns: tuple
    joins: tuple
    mask: np.ndarray


def _kept(candidates, width, least):
    """The best formulas that select different samples, and neither too few nor too many."""
    kept, seen = [], set()
    for x in sorted(candidates, key=lambda x: x[:4]):
        size = np.count_nonzero(x.mask)
        code = x.mask.tobytes()
        if code in seen or not least <= size <= len(x.mask) - least:
            continue
        seen.add(code)
        kept.append(x)
        if len(kept) == width:
            break
    return kept


def _joined(mask, concept, join):
    if join == 0:
        return np.logical_and(mask, concept)
    return np.logical_or(mask, concept) if join == 1 else np.logical_and(mask, ~concept)


def published(active, concepts, *, length=3, width=10, least=5):
    """A loop over formulas, concepts and operators, with a mask and two sums for each.

    The IoU is taken as the code of Mu and Andreas does, from the sums of two logical operations.

    Parameters
    ----------
    active : numpy.ndarray [n] of bool
    concepts : numpy.ndarray [C, n] of bool
        One row for each concept.
    """

    def candidate(mask, columns, joins):
        intersection, union = np.logical_and(mask, active), np.logical_or(mask, active)
        iou = np.sum(intersection) / (np.sum(union) + TINY)
        return Candidate(-iou, len(columns), columns, joins, mask)

    singles = [candidate(x, (c,), ()) for c, x in enumerate(concepts)]
    beam = _kept(singles, width, least)
    for step in range(1, length):
        grown = [
            candidate(_joined(old.mask, x, join), (*old.columns, c), (*old.joins, join))
            for old in beam if old.length == step
            for c, x in enumerate(concepts) if c not in old.columns
            for join in range(3)
        ]  # fmt: skip
        beam = _kept(beam + grown, width, least)
    return -beam[0].cost


class Products:
    """Matrix products of the masks of a neuron's beam with all concepts, in single precision.

    What does not depend on the neuron, the sizes of concepts and of their overlaps, is found once.
    """

    def __init__(self, concepts, *, length=3, width=10, least=5):
        self.rows = np.ascontiguousarray(concepts)
        self.values = np.ascontiguousarray(self.rows.T.astype(np.float32))
        self.size = self.values.sum(axis=0)
        self.pairs = self.values.T @ self.values
        self.length, self.width, self.least = length, width, least

    def __call__(self, active):
        """The IoU of the best formula found for a neuron, active [n] of bool."""
        here = self.values[active]
        hits = here.sum(axis=0)
        cost = -hits / np.maximum(len(here) + self.size - hits, TINY)
        order = np.argsort(cost, kind="stable")[: 2 * self.width]
        singles = [Candidate(float(cost[c]), 1, (int(c),), (), self.rows[c]) for c in order]
        beam = _kept(singles, self.width, self.least)
        for step in range(1, self.length):
            fresh = [x for x in beam if x.length == step]
            if not fresh:
                break
            beam = _kept(beam + self._grown(active, here, hits, fresh), self.width, self.least)
        return -beam[0].cost

    def _grown(self, active, here, hits, fresh):
        """The best extensions of some formulas."""
        masks = np.stack([x.mask for x in fresh])
        if fresh[0].length == 1:
            both = self.pairs[[x.columns[0] for x in fresh]]
        else:
            both = masks.astype(np.float32) @ self.values
        inner = masks[:, active].astype(np.float32) @ here
        own = masks.sum(axis=1, dtype=np.float32)[:, None]
        own_hits = masks[:, active].sum(axis=1, dtype=np.float32)[:, None]
        size = np.stack([both, own + self.size - both, own - both])
        hit = np.stack([inner, own_hits + hits - inner, own_hits - inner])
        cost = -hit / np.maximum(len(here) + size - hit, TINY)
        crossing = (both > 0) & (both < own)
        adds = np.stack(
            [crossing & (both < self.size), (both < own) & (both < self.size), crossing]
        )
        # what selects too few samples, or those of a shorter formula, could fill the list
        cost[~adds | (size < self.least) | (size > len(active) - self.least)] = np.inf
        for i, x in enumerate(fresh):
            cost[:, i, list(x.columns)] = np.inf
        number = (fresh[0].length + 1) * self.width
        flat = cost.ravel()
        place = np.argpartition(flat, min(number, len(flat) - 1))[:number]
        place = place[np.isfinite(flat[place])]
        found = []
        for join, i, c in zip(*np.unravel_index(place, cost.shape), strict=True):
            old = fresh[i]
            mask = _joined(old.mask, self.rows[c], join)
            columns, joins = (*old.columns, int(c)), (*old.joins, int(join))
            found.append(Candidate(float(cost[join, i, c]), len(columns), columns, joins, mask))
        return found
