"""Certificates: how good a neuron's label is at least, and which concepts could be better."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .._runtime.short_repr import short_repr
from .._runtime.validation import check_share
from ..metrics.metric import Metric
from ..metrics.scores import at_concept, winner
from ..probing.probe import Probe
from .bounds import Level, intervals_at
from .known_beforehand import LargestUnit
from .methods import IntervalMethod
from .result import Intervals, promise

__all__ = ["LOWER_SHARE", "Certificate", "certificate_from", "certificate_levels", "certify"]

LOWER_SHARE = 0.25  # share of a certificate's alpha


@short_repr
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("label", "lower", "regret", "mask", "excludes_nothing", "positives"),
    meta_fields=("guarantee", "finite_sample", "assumes"),
)
@dataclass(frozen=True, eq=False)
class Certificate:
    """What holds for a neuron's label with probability 1 - alpha, see :func:`certify`.

    Attributes
    ----------
    label : Array [U] of int32
        The most similar concept on the data, -1 where there is none.
    lower : Array [U]
        The label's true similarity is at least this; NaN without a label.
    regret : Array [U]
        No concept's true similarity exceeds the label's by more than this, at least 0; 0 means that
        the label is the best. NaN without a label.
    mask : Array [U, C] of bool
        The certified set, which holds the truly best concept: those whose upper bound reaches the
        largest lower bound. All concepts without a label.
    excludes_nothing : Array [U] of bool
        Whether the set rules out no concept at all: the probing set is too small to say anything.
    positives : Array [C] of int32
        Independent units (groups where given) on which each concept is present: what most bounds
        are made of.
    guarantee : str
        What is promised, see :class:`Intervals`.
    finite_sample : bool
        Whether it holds for every n, with nothing assumed but independent units.
    assumes : str
        What is taken for granted beside that, see :class:`Intervals`.
    """

    label: Array
    lower: Array
    regret: Array
    mask: Array
    excludes_nothing: Array
    positives: Array
    guarantee: str
    finite_sample: bool
    assumes: str

    @property
    def certified(self) -> Array:
        """Whether the set is the label alone, [U] of bool."""
        return (self.mask.sum(axis=1) == 1) & (self.label >= 0)


def certify(
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.05,
    method: str | IntervalMethod = "auto",
    simultaneous: str = "concepts",
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: LargestUnit = None,
) -> Certificate:
    """Certify each neuron's label: how good it is at least, and which concepts could be better.

    The label is chosen by the data, so lower bounds hold for all concepts at once, with a quarter
    of alpha. The truly best concept is the same whatever the data, so it needs no correction for
    many concepts: its upper bound holds at three quarters of alpha, whichever concept it is. With
    probability 1 - alpha the best similarity is thus at most the largest upper bound, and the best
    concept is one of those whose upper bound reaches the largest lower bound. Each bound is
    one-sided, and so nearer to the similarity than that of :func:`intervals` at the same level.

    Parameters
    ----------
    probe, metric, alpha, method, activation_range, largest_unit
        As in :func:`intervals`.
    simultaneous : {"concepts", "all"}
        Whether alpha is for each neuron, or for the whole layer.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        As :func:`intervals`; intervals for single pairs can not certify.

    Examples
    --------
    >>> import numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((400, 3)) < 0.2
    >>> activations = rng.normal(size=(400, 2))
    >>> activations[:, 0] += 4 * concepts[:, 1]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> certificate = nt.certify(probe, "iou", alpha=0.05)
    >>> int(certificate.label[0]), certificate.mask[0].tolist(), bool(certificate.certified[0])
    (1, [False, True, False], True)
    """
    if simultaneous not in ("concepts", "all"):
        raise ValueError(
            f"simultaneous must be 'concepts' or 'all' to certify a label, got {simultaneous!r}"
        )
    check_share(alpha, "alpha")
    neurons = probe.num_neurons if simultaneous == "all" else 1
    levels = certificate_levels(alpha, simultaneous, neurons)
    low, high = intervals_at(probe, metric, levels, method, activation_range, largest_unit)
    return certificate_from(probe, low, high, alpha, simultaneous)


def certificate_levels(
    alpha: float, simultaneous: str = "concepts", neurons: int = 1
) -> list[Level]:
    """The levels of the lower and the upper bounds that a certificate consists of."""
    return [
        Level(LOWER_SHARE * alpha, simultaneous, "lower"),
        Level((1 - LOWER_SHARE) * alpha / neurons, "none", "upper"),
    ]


def certificate_from(
    probe: Probe, low: Intervals, high: Intervals, alpha: float, simultaneous: str = "concepts"
) -> Certificate:
    """The certificate from the lower and the upper bounds at :func:`certificate_levels`."""
    scope = "each neuron alone" if simultaneous == "concepts" else "all neurons at once"
    label, lower, regret, mask, excludes_nothing = _certified(low.similarity, low.lower, high.upper)
    return Certificate(
        label=label,
        lower=lower,
        regret=regret,
        mask=mask,
        excludes_nothing=excludes_nothing,
        positives=probe.positive_units,
        guarantee=promise(low, alpha, scope),
        finite_sample=low.finite_sample,
        assumes=low.assumes,
    )


@jax.jit
def _certified(similarity: Array, lower: Array, upper: Array) -> tuple[Array, ...]:
    """Label, its lower bound, regret, mask, and whether this is full."""
    label = winner(similarity)
    # an undefined bound excludes nothing
    lower = jnp.where(jnp.isnan(lower), -jnp.inf, lower)
    upper = jnp.where(jnp.isnan(upper), jnp.inf, upper)
    at_label = jnp.arange(lower.shape[1], dtype=jnp.int32)[None, :] == label[:, None]
    label_lower = at_concept(lower, label)
    rival_upper = jnp.where(at_label, -jnp.inf, upper).max(axis=1)
    mask = (upper >= lower.max(axis=1, keepdims=True)) | (label < 0)[:, None]
    return label, label_lower, jnp.maximum(rival_upper - label_lower, 0), mask, mask.all(axis=1)
