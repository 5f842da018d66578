"""The options of an audit of files, validated before any file is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
from jax import Array

from .._runtime.defaults import DEFAULT_MIN_POSITIVES
from .._runtime.validation import check_count, check_seed, check_share
from ..metrics.scores import check_ranges
from ..metrics.table import get_metric
from ..probing.thresholds import DEFAULT_SPLIT, check_top
from ..schemes import check_scheme

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """How to audit files.

    Attributes
    ----------
    metric, alpha, num_replicates, num_permutations, scheme, method, activation_range, \
largest_unit, min_positives
        See :func:`neurotrust_jax.audit`.
    top_fraction : float in (0, 1], optional
        See :func:`neurotrust_jax.make_probe`. It excludes thresholds from a file.
    top_of_active : float in (0, 1], optional
        See :func:`neurotrust_jax.make_probe`. It also raises thresholds from a file.
    ranges : int, optional
        See :func:`neurotrust_jax.audit`. The cuts come from the samples that are set aside for
        thresholds, where there are any.
    split : float in [0, 1), optional
        Share of the sampling units (groups where given, else samples) on which thresholds are set.
        They are left out of the audit, so that bounds for fixed thresholds hold on the others.
        Default 0.2 if the metric reads thresholds and no file gives them, else 0. Above 0 it
        excludes thresholds from a file.
    pool : {"max", "mean", "none"}, optional
        How to make a matrix of feature maps [n, c, h, w] or token vectors [n, t, d], see
        :func:`neurotrust_jax.pool_activations`. With "none" positions are samples, and groups
        are images or documents unless a file gives others.
    channel_axis : int, optional
        The axis of the neurons in feature maps; only with ``pool``.
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If one of them is out of range.
    """

    metric: str = "iou"
    alpha: float = 0.1
    num_replicates: int = 1000
    num_permutations: int | None = None
    scheme: str = "multinomial"
    method: str = "auto"
    activation_range: tuple[float, float] | None = None
    largest_unit: float | None = None
    min_positives: int = DEFAULT_MIN_POSITIVES
    top_fraction: float | None = None
    top_of_active: float | None = None
    ranges: int | None = None
    split: float | None = None
    pool: Literal["max", "mean", "none"] | None = None
    channel_axis: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate every option."""
        metric = get_metric(self.metric)
        check_share(self.alpha, "alpha")
        check_count(self.num_replicates, "num_replicates")
        if self.num_permutations not in (None, 0):
            check_count(self.num_permutations, "num_permutations")
        if self.min_positives != 0:
            check_count(self.min_positives, "min_positives")
        check_scheme(self.scheme)
        if self.split is not None and not 0 <= self.split < 1:
            raise ValueError(f"split must be 0, or a share below 1, got {self.split}")
        if self.split and not self._reads_thresholds:
            raise ValueError(
                f"split={self.split:g} sets samples aside for thresholds, which {metric.name} does "
                "not read; leave it out"
            )
        if self.pool not in (None, "max", "mean", "none"):
            raise ValueError(f'pool must be "max", "mean" or "none", got {self.pool!r}')
        if self.channel_axis is not None and self.pool is None:
            raise ValueError(
                f"channel_axis={self.channel_axis} has no effect without pool (--pool); leave it "
                "out, or say how to pool"
            )
        for name in ("top_fraction", "top_of_active"):
            if (share := getattr(self, name)) is not None:
                check_top(share, name)
        if self.top_of_active is not None and not self._reads_thresholds:
            raise ValueError(
                f"top_of_active={self.top_of_active:g} raises thresholds, which {metric.name} does "
                "not read; leave it out"
            )
        if self.ranges is not None:
            check_ranges(self.ranges, metric, self.activation_range)
        check_seed(self.seed)

    @property
    def _reads_thresholds(self) -> bool:
        return get_metric(self.metric).neuron_view == "binary"

    @property
    def split_key(self) -> Array:
        """The key that decides which sampling units are set aside for thresholds."""
        return jax.random.fold_in(jax.random.key(self.seed), 1)

    def split_share(self, thresholds_given: bool) -> float:
        """Share of the sampling units that is set aside for thresholds; 0 for none."""
        if self.split is not None:
            return self.split
        return DEFAULT_SPLIT if self._reads_thresholds and not thresholds_given else 0.0
