"""The main job in one call: label a layer's neurons and say how far each label can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .metrics import Metric, get_metric
from .probe import Probe
from .resampling import Bootstrap, Progress, bootstrap
from .sets import vote_sets
from .similarity import Reason, identify
from .stability import stability

__all__ = ["Audit", "audit"]


@dataclass(frozen=True, eq=False)
class Audit:
    """What is known about the labels of one layer, as NumPy arrays.

    Attributes
    ----------
    layer, metric, scheme, thresholds : str
        Where the activations come from and how they were judged.
    alpha : float
        Nominal error of sets and intervals.
    num_replicates, num_samples, num_units : int
        Bootstrap replicates, samples n, and independent units (groups where given).
    concept_names, neuron_names : tuple of str
    label : [U] of int
        Column of the most similar concept, -1 where no similarity is defined.
    similarity : [U]
        Its similarity.
    tied : [U] of int
        Number of concepts sharing that similarity.
    reason : [U] of int
        :class:`Reason` code of a missing label, else 0.
    lower, upper : [U]
        Bootstrap percentile interval of the label's similarity at level 1 - alpha. Asymptotic, and
        the label is taken as fixed: that it was chosen for its high similarity is not corrected.
        NaN where more than alpha of the replicates leave it undefined.
    agreement : [U]
        Share of replicates that give the same label.
    concept_set : [U, C] of bool
        The vote set: the fewest concepts that win 1 - alpha of the replicates.
    vote_share : [U, C]
        Share of replicates each concept wins.
    active_rate : [U]
        Share of samples on which the neuron is active.
    positives : [C] of int
        Independent units (groups where given) on which the concept is present.
    """

    layer: str
    metric: str
    scheme: str
    thresholds: str
    alpha: float
    num_replicates: int
    num_samples: int
    num_units: int
    concept_names: tuple[str, ...]
    neuron_names: tuple[str, ...]
    label: np.ndarray
    similarity: np.ndarray
    tied: np.ndarray
    reason: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    agreement: np.ndarray
    concept_set: np.ndarray
    vote_share: np.ndarray
    active_rate: np.ndarray
    positives: np.ndarray

    @property
    def set_size(self) -> np.ndarray:
        """Number of concepts in each neuron's set, [U]."""
        return self.concept_set.sum(axis=1)

    def description(self, neuron: int) -> str:
        """The label in words, empty where there is none."""
        label = self.label[neuron]
        return self.concept_names[label] if label >= 0 else ""

    def set_names(self, neuron: int) -> list[str]:
        """Names of the concepts in a neuron's set, those that win most replicates first."""
        order = np.argsort(-self.vote_share[neuron], kind="stable")
        return [self.concept_names[c] for c in order if self.concept_set[neuron, c]]

    def reason_text(self, neuron: int) -> str:
        """Why a neuron has no label, empty where it has one."""
        reason = Reason(int(self.reason[neuron]))
        return "" if reason is Reason.DEFINED else reason.text


def audit(
    key: Array,
    probe: Probe,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_replicates: int = 1000,
    scheme: str = "multinomial",
    layer: str = "",
    progress: Progress | None = None,
) -> Audit:
    """Label every neuron of a layer and say how stable each label is.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    metric : str or Metric
    alpha : float in (0, 1)
        Sets and intervals are made at level 1 - alpha.
    num_replicates : int
        Bootstrap replicates.
    scheme : str
        Resampling scheme, see :data:`neurotrust_jax.resampling.SCHEMES`.
    layer : str
        Name of the layer, for the record.
    progress : callable, optional
        Called as ``progress(done, num_replicates)``.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        If an option is out of its range, before any work starts.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    metric = get_metric(metric)
    found = identify(probe, metric)
    boot = bootstrap(
        key, probe, metric, num_replicates=num_replicates, scheme=scheme, progress=progress
    )
    lower, upper = _percentile_interval(boot, alpha)
    host = jax.device_get
    return Audit(
        layer=layer,
        metric=metric.name,
        scheme=scheme,
        thresholds=f"{probe.threshold_source}, {'>=' if probe.inclusive else '>'} threshold",
        alpha=alpha,
        num_replicates=boot.num_replicates,
        num_samples=probe.num_samples,
        num_units=probe.num_units,
        concept_names=probe.concept_names,
        neuron_names=probe.neuron_names,
        label=host(boot.label),
        similarity=host(found.similarity[:, 0]),
        tied=host(found.tied),
        reason=host(found.reason),
        lower=host(lower),
        upper=host(upper),
        agreement=host(stability(boot).top1_agreement),
        concept_set=host(vote_sets(boot, alpha, "best").mask),
        vote_share=host(boot.vote_share),
        active_rate=host(probe.active_rate),
        positives=host(_positive_units(probe)),
    )


def _percentile_interval(boot: Bootstrap, alpha: float) -> tuple[Array, Array]:
    """Quantiles alpha/2 and 1 - alpha/2 of the label's similarity over replicates: two [U]."""
    replicates = boot.label_similarity
    undefined = jnp.isnan(replicates).mean(axis=0, dtype=replicates.dtype) > alpha
    some = jnp.where(undefined[None, :], 0, replicates)
    levels = jnp.asarray([alpha / 2, 1 - alpha / 2], replicates.dtype)
    lower, upper = jnp.nanquantile(some, levels, axis=0)
    return jnp.where(undefined, jnp.nan, lower), jnp.where(undefined, jnp.nan, upper)


def _positive_units(probe: Probe) -> Array:
    """Number of units (groups, or samples) with the concept present anywhere in them, [C]."""
    present = probe.labels.present & (probe.weights > 0)[:, None]
    if probe.groups is not None:
        empty = jnp.zeros((probe.num_units, probe.num_concepts), bool)
        present = empty.at[probe.groups].max(present)
    return present.sum(axis=0, dtype=jnp.int32)
