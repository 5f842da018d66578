"""Labels that are not one concept of one neuron: weighted sums of concepts, groups of features.

Each becomes a column like any other, so that it is judged by the same statistics.

**A weighted sum** (Linear-Explanations) predicts how active a neuron is. With weights w and
concepts c in [0, 1] the column is (w c - low) / (high - low), where low and high are the sums of
the negative and of the positive weights: the least and the largest value that the sum can take.
This lies in [0, 1] and orders the samples as the sum does, so a correlation or a rank is that of
the sum itself. A metric that asks where a label is present, or that is moved by a constant, would
judge something else.

**A group of features** (FALCON) is active where all of its features are: where the smallest of them
is above the threshold. The column is this smallest activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..files.label_formats import Claim
from ..metrics.metric import Metric
from ..metrics.table import METRICS, get_metric
from ..probing.probe import Probe, compute_dtype

__all__ = ["check_weighted", "feature_groups", "join_features", "with_weighted_sums"]

KEEP_SUMS = ("standard", "rank")  # views that a positive factor and a constant do not change


def check_weighted(claims: Sequence[Claim], metric: str | Metric) -> None:
    """Refuse weighted sums of concepts as labels for a metric that would judge something else.

    Raises
    ------
    ValueError
        If a label is a weighted sum, and the metric does not read standardised labels or ranks.
    """
    metric = get_metric(metric)
    weighted = [x for x in claims if x.weights]
    if weighted and metric.concept_view not in KEEP_SUMS:
        known = ", ".join(x.name for x in METRICS.values() if x.concept_view in KEEP_SUMS)
        raise ValueError(
            f"the label of neuron {weighted[0].neuron!r} is a weighted sum of concepts, which "
            f"metric={metric.name!r} can not judge; give one of {known} (--metric correlation)"
        )


def with_weighted_sums(probe: Probe, claims: Sequence[Claim]) -> Probe:
    """Add a column to a probe's concepts for each label that is a weighted sum of them.

    A sum is called as its claim describes it. Concepts may then be probabilities, so all of them
    are judged, however rare. The sums of other neurons are rivals of a label as concepts are. A sum
    of which the probe lacks a concept gets no column: such a label is unknown.

    Parameters
    ----------
    probe : Probe
    claims : sequence of Claim

    Returns
    -------
    Probe
        With C + K concepts, where K is the number of different sums; the same probe if K is 0.

    Examples
    --------
    >>> from neurotrust_jax.auditing.composite_labels import with_weighted_sums
    >>> from neurotrust_jax.files import Claim
    >>> probe = nt.make_probe(np.eye(3), np.eye(3, 2), concept_names=["dog", "cat"], thresholds=0.5)
    >>> claim = Claim("", "0", "3 dog - 1 cat", 0.4, weights=(("dog", 3.0), ("cat", -1.0)))
    >>> with_weighted_sums(probe, [claim]).concepts[:, 2].tolist()
    [1.0, 0.0, 0.25]
    """
    column = {name: i for i, name in enumerate(probe.concept_names)}
    sums = {
        x.description: x.weights
        for x in claims
        if x.weights
        and x.description not in column
        and all(name in column for name, _ in x.weights)
    }
    if not sums:
        return probe
    weights = np.zeros((probe.num_concepts, len(sums)))
    for k, terms in enumerate(sums.values()):
        for name, weight in terms:
            weights[column[name], k] += weight
    low, high = np.minimum(weights, 0).sum(axis=0), np.maximum(weights, 0).sum(axis=0)
    concepts = np.asarray(probe.concepts, np.float64)
    values = np.clip((concepts @ weights - low) / np.where(high > low, high - low, 1), 0, 1)
    dtype = compute_dtype(probe.activations)
    return replace(
        probe,
        concepts=jnp.asarray(np.hstack([concepts, values]).astype(dtype)),
        concept_names=(*probe.concept_names, *sums),
    )


def feature_groups(claims: Sequence[Claim], neuron_names: Sequence[str]) -> dict[str, list[int]]:
    """The columns of the features of each group that is labelled, by the group's name.

    Empty unless a label belongs to several features at once, whose names are joined by commas. Then
    a label of a single feature is that of a group of one.

    Raises
    ------
    ValueError
        If a group names a feature that the layer does not have.
    """
    column = {name: i for i, name in enumerate(neuron_names)}
    if not any("," in x.neuron and x.neuron not in column for x in claims):
        return {}
    groups = {}
    for claim in claims:
        features = [column.get(x) for x in claim.neuron.split(",")]
        known = [x for x in features if x is not None]
        if len(known) < len(features):
            raise ValueError(
                f"there is a label of the features {claim.neuron!r}, but the activations have "
                f"{len(column)} features, named {neuron_names[0]!r} to {neuron_names[-1]!r}; if "
                "the file counts from 1, set first_neuron=1 (--first-neuron 1)"
            )
        groups[claim.neuron] = known
    return groups


def join_features(activations: Any, groups: dict[str, list[int]]) -> np.ndarray:
    """The smallest activation in each group of features, [n, G].

    Parameters
    ----------
    activations : array or sparse matrix [n, U]
    groups : dict of list of int
        Features of each of the G groups, see :func:`feature_groups`.

    Examples
    --------
    >>> from neurotrust_jax.auditing.composite_labels import join_features
    >>> join_features(np.array([[1.0, 3.0, 2.0], [0.0, 5.0, 4.0]]), {"1,2": [1, 2], "0": [0]})
    array([[2., 1.],
           [4., 0.]])
    """
    if hasattr(activations, "tocsc"):
        activations = activations.tocsc()
    columns = []
    for features in groups.values():
        part = activations[:, features]
        part = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
        columns.append(part.min(axis=1))
    return np.stack(columns, axis=1)
