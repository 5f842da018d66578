"""What a larger probing set would settle, forecast from an audit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax
import numpy as np
from numpy.typing import ArrayLike

from .._runtime.short_repr import short_repr
from .._runtime.static import STATIC

if TYPE_CHECKING:
    from .result import Audit

__all__ = ["TIMES", "Forecast", "forecast"]

TIMES = (1, 2, 4, 8)


@short_repr
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Forecast:
    """How many labels of a layer would be settled by larger probing sets.

    The forecast continues what the audit saw from quarters to halves to all of its sampling units
    (see :mod:`neurotrust_jax.resampling.trend`). It is for more units of the same kind, with the
    same concepts and with thresholds set in the same way. Concepts that are too rare to be judged
    now stay out, and neurons without a label count as not settled. Where the audit was given a
    hierarchy of concepts, those of one tree count as the same label.

    Attributes
    ----------
    num_units : [m] of int
        Sampling units in the probing set, in ascending order.
    expected : [m]
        Expected number of neurons to which two such probing sets give the same label.
    reliable : [m] of int
        Neurons to which they do so with probability 1 - alpha at least.
    units_now : int
        Sampling units of the audit.
    num_neurons : int
    alpha : float
    unit_name : str
        Name of the sampling units, in the plural.
    guarantee : str
        What the probabilities promise, or what the audit was too small for.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((400, 8)) < 0.2
    >>> activations = rng.normal(size=(400, 24)) + 0.8 * concepts[:, np.arange(24) % 8]
    >>> probe = nt.make_probe(activations, concepts, top_fraction=0.1)
    >>> audit = nt.audit(jax.random.key(0), probe, num_replicates=50, num_permutations=999)
    >>> audit.forecast([400, 1600])
    Forecast for 400, 1,600 samples: 22, 24 of 24 labels reliable
    """

    num_units: np.ndarray
    expected: np.ndarray
    reliable: np.ndarray
    units_now: int = field(metadata=STATIC)
    num_neurons: int = field(metadata=STATIC)
    alpha: float = field(metadata=STATIC)
    unit_name: str = field(metadata=STATIC)
    guarantee: str = field(metadata=STATIC)

    def _in_short(self) -> str:
        counts = ", ".join(f"{x:,}" for x in self.reliable.tolist())
        sizes = ", ".join(f"{n:,}" for n in self.num_units.tolist())
        return f"for {sizes} {self.unit_name}: {counts} of {self.num_neurons:,} labels reliable"


def forecast(audit: Audit, num_units: ArrayLike | None = None) -> Forecast:
    """Forecast what larger probing sets settle; :meth:`Audit.forecast` tells the rest."""
    trend = audit.trend
    if np.isnan(trend.agreement).any():
        raise ValueError(
            f"halves or quarters of the {trend.num_units:,} {audit.unit_name} give no neuron a "
            "label, so that there is no trend to continue; audit a larger probing set"
        )
    if num_units is None:
        num_units = trend.num_units * np.array(TIMES)
    sizes = np.unique(np.asarray(num_units))
    if not np.issubdtype(sizes.dtype, np.integer):
        raise ValueError(f"num_units must be whole numbers, got {sizes.dtype}")
    probability = np.nan_to_num(trend.probability(sizes))
    return Forecast(
        num_units=sizes,
        expected=probability.sum(axis=1),
        reliable=(probability >= 1 - audit.alpha).sum(axis=1),
        units_now=trend.num_units,
        num_neurons=len(audit.label),
        alpha=audit.alpha,
        unit_name=audit.unit_name,
        guarantee=audit.replication_guarantee,
    )
