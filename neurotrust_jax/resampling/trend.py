"""How the probability of replication grows with the probing set: a forecast for larger ones.

The calibration in :mod:`.replication` sees a layer on quarters, halves and all of its sampling
units. Its two observations are continued to k times as many units, d = log2 k doublings:

* The log-odds of the layer's mean agreement rise by nine tenths of the last step with each
  doubling, so by ``9 (1 - 0.9^d)`` times the step from n/2 to n. Nothing rises in a layer whose
  agreement did not rise from quarters to halves, as where its neurons mean nothing.
* A neuron's lead over its rivals, in standard errors, is sqrt(k) times as large. A standard error
  tells b3 log2 k more, as from halves to all data, and leads above 6 say no more.

The scores ``(b1 + b3 log2 k) min(sqrt(k) lead, 6) + b2 rivals`` say how the neurons differ; the
intercept is the one that gives them the mean. All this is a forecast and not a theorem; how far off
it was on known populations is measured by ``benchmarks/probing_size.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np
from numpy.typing import ArrayLike

from .._runtime.short_repr import short_repr
from .._runtime.static import STATIC
from .logistic import intercept, log_odds, logistic

__all__ = ["DAMPING", "FARTHEST", "FARTHEST_SIZE", "Trend"]

DAMPING = 0.9  # of a step of the log-odds with a doubling of n, relative to the one before
FARTHEST = 6.0  # standard errors: a larger lead says no more
FARTHEST_SIZE = 8  # times n: forecasts were tried up to there


@short_repr
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Trend:
    """What the parts of a probing set say of larger ones.

    Attributes
    ----------
    num_units : int
        Sampling units n (groups where the probe has them, else samples).
    lead : [U]
        How far the label is ahead of the second concept, in standard errors and on the stable
        scale, at most 6; NaN without a label.
    rivals : [U]
        log(1 + the number of close rivals), see :mod:`neurotrust_jax.resampling.replication`.
    missing : [U]
        Share of the halves of n that give no label.
    coefficients : [3]
        b1, b2 and b3: what lead and rivals tell, and how much more a lead does with each doubling.
    agreement : [3]
        Mean probability that two sets give a neuron the same label, if they give one: for sets of
        n/4, n/2 and n units. NaN where halves or quarters give no labels.
    """

    num_units: int = field(metadata=STATIC)
    lead: np.ndarray
    rivals: np.ndarray
    missing: np.ndarray
    coefficients: np.ndarray
    agreement: np.ndarray

    def probability(self, num_units: ArrayLike) -> np.ndarray:
        """Probability that two probing sets of so many units give each neuron the same label.

        Parameters
        ----------
        num_units : int or array of int
            From the present number n to 8 n.

        Returns
        -------
        numpy.ndarray, shape of num_units and [U]
            NaN where the neuron has no label, and everywhere where halves or quarters have none.

        Raises
        ------
        ValueError
            If a number is out of range.
        """
        sizes = np.asarray(num_units, float)
        n = self.num_units
        outside = ~((sizes >= n) & (sizes <= FARTHEST_SIZE * n))
        if outside.any():
            raise ValueError(
                f"num_units must lie between {n:,}, the number of the audit, and "
                f"{FARTHEST_SIZE * n:,}, {FARTHEST_SIZE} times that, got {sizes[outside][0]:,.0f}; "
                "to look further, audit a larger probing set first"
            )
        found = np.full((*sizes.shape, len(self.lead)), np.nan)
        labelled = ~np.isnan(self.lead)
        if labelled.any() and not np.isnan(self.agreement).any():
            for at, size in np.ndenumerate(sizes):
                found[at][labelled] = self._at(size / n, labelled)
        return found

    def _at(self, times: float, labelled: np.ndarray) -> np.ndarray:
        doublings = np.log2(times)
        of_lead, of_rivals, more = self.coefficients
        lead = np.minimum(np.sqrt(times) * self.lead[labelled], FARTHEST)
        score = (of_lead + more * doublings) * lead + of_rivals * self.rivals[labelled]
        _, half, whole = map(log_odds, self.agreement)
        steps = DAMPING * (1 - DAMPING**doublings) / (1 - DAMPING)
        mean = logistic(whole + steps * (whole - half))
        # absence of a label is geometric in the size
        return logistic(intercept(score, mean) + score) * (
            1 - self.missing[labelled] ** (2 * times)
        )
