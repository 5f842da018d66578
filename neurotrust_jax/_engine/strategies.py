"""Choose the strategy by which replicates are computed."""

from __future__ import annotations

from ..metrics.metric import Metric
from ..probing.probe import Probe
from ..probing.sparse_columns import SparseColumns
from ..schemes import Scheme
from .row_index import rows_fit
from .screening import has_bounds

__all__ = ["choose_strategy"]

STRATEGIES = ("auto", "screened", "rows", "dense")
WORTH_IT = 1e10  # multiply-adds of the dense product, below which less is compiled with it
MOST_ACTIVE = 0.5  # of the samples; above it the product over all of them is as good


def choose_strategy(
    probe: Probe, metric: Metric, scheme: Scheme, strategy: str, num_replicates: int
) -> str:
    """The strategy to use, after checking that it fits."""
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; known: {', '.join(STRATEGIES)}")
    if strategy == "dense":
        return strategy
    able, bounded = rows_fit(probe, metric, scheme), has_bounds(probe, metric, scheme)
    if strategy != "auto" and not able:
        raise ValueError(
            f"strategy {strategy!r} needs concepts of 0 and 1, and a neuron that is ranked, or "
            f'binary under whole weights; got {metric.name!r} and {scheme.name!r}; use "auto"'
        )
    if strategy == "screened" and not bounded:
        raise ValueError(
            'strategy "screened" needs a metric made of shares, equal sample weights, no groups '
            f'and a scheme with bounds; got {metric.name!r} and {scheme.name!r}; use "auto"'
        )
    if strategy != "auto":
        return strategy
    size = probe.num_samples * probe.num_neurons * probe.num_concepts * num_replicates
    sparse = isinstance(probe.activations, SparseColumns)
    if not able or (size < WORTH_IT and not sparse):
        return "dense"
    if bounded:
        return "screened"
    often = metric.neuron_view == "binary" and bool(probe.active_rate.mean() > MOST_ACTIVE)
    return "dense" if often else "rows"
