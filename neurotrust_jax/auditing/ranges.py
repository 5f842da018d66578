"""Which audits can be of ranges of activation."""

from __future__ import annotations

from typing import Any

from .._runtime.validation import check_count
from ..metrics.metric import Metric

__all__ = ["check_ranges"]


def check_ranges(ranges: int, metric: Metric, activation_range: tuple[Any, Any] | None) -> None:
    """Refuse ranges for a metric that does not read where they are active.

    Raises
    ------
    ValueError
        If there are fewer than two ranges, the metric reads the values or the order of the
        activations, or the range of the activations is given, which such a metric does not read.
    """
    check_count(ranges, "ranges", 2)
    if metric.neuron_view != "binary":
        raise ValueError(
            f"ranges={ranges} needs a metric of active samples, such as iou, but {metric.name} "
            "reads all activations; choose another metric, or leave ranges out"
        )
    if activation_range is not None:
        raise ValueError(
            f"activation_range={activation_range} has no effect on ranges={ranges}, whose "
            "activations are 0 and 1; leave one of them out"
        )
