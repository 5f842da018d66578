"""Formulas of concepts for the neurons of an audit."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import jax
import numpy as np
from jax import Array

from .._runtime.checkpoint import Checkpoint, fingerprint
from .._runtime.chunks import StageProgress
from .._runtime.validation import check_count
from ..composition.formulas import Formulas
from ..composition.layer_formulas import compose as compose_formulas
from ..composition.result import Compositions
from ..composition.sums import VALUES, check_metric
from ..metrics.metric import Metric
from ..probing.construction import enough_units
from ..probing.probe import Probe
from ..sets.rule import BoundOptions
from .block import Record, part_of
from .blocks import saved

__all__ = ["check_compose", "compose_layer"]

OWN_SEED = 0x666F726D  # no split of a key into a few gives what it gives folded with this number
STAGE = "formulas, "


def check_compose(
    compose: int, metric: Metric, probe: Probe | None = None, min_positives: int = 0
) -> None:
    """Refuse formulas that are too short, or that the metric can not score, or of no concept.

    Parameters
    ----------
    compose : int
    metric : Metric
    probe : Probe, optional
        None where the data are not read yet.
    min_positives : int

    Raises
    ------
    ValueError
        If formulas may have fewer than two concepts, the metric is no function of the sums of a
        formula, or no concept is present in ``min_positives`` sampling units.
    """
    check_count(compose, "compose", 2)
    soft = probe is not None and _joins_values(metric, probe)
    try:
        check_metric(metric, soft)
    except ValueError as error:
        raise ValueError(f"compose={compose}: {error}, or leave compose out") from None
    if probe is not None:
        enough_units(probe, min_positives)  # an audit may judge probabilities that never reach 0.5


def compose_layer(
    key: Array,
    probe: Probe,
    metric: Metric,
    compose: int,
    *,
    ranges: int | None,
    alpha: float,
    min_positives: int,
    options: BoundOptions,
    similarity: np.ndarray,
    checkpoint: Checkpoint,
    progress: StageProgress | None,
) -> Compositions:
    """Find and judge the formulas of a layer, or read them from a checkpoint.

    Parameters
    ----------
    key : JAX PRNG key
        Of the audit; the halves are drawn by another one, which is derived from it.
    probe : Probe
        With all its concepts and whole neurons.
    metric : Metric
    compose : int
        The most concepts of a formula.
    ranges : int, optional
        Ranges of each neuron, which are cut on the half of the samples that finds the formulas.
    alpha : float
    min_positives : int
    options : BoundOptions
    similarity : numpy.ndarray [U]
        That of the labels, by which a checkpoint tells metrics of one name apart.
    checkpoint : Checkpoint
    progress : callable or None
        Called as ``progress(stage, done, total)``; all stages begin with "formulas".
    """

    def report(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(STAGE + stage, done, total)

    def find() -> Record:
        found = compose_formulas(
            jax.random.fold_in(key, OWN_SEED), probe, metric, max_length=compose,
            soft=_joins_values(metric, probe), ranges=ranges, alpha=alpha,
            min_positives=min_positives, activation_range=options.activation_range,
            largest_unit=options.largest_unit, progress=report,
        )  # fmt: skip
        return _as_record(found)

    code = fingerprint(compose, ranges or 0, min_positives, list(probe.concept_names), similarity)
    return _from_record(saved(checkpoint, f"formulas-{code[:16]}", find))


def _joins_values(metric: Metric, probe: Probe) -> bool:
    """Whether probabilities are joined, since the metric reads them."""
    return metric.concept_view in VALUES and not probe.binary_concepts


def _as_record(found: Compositions) -> Record:
    record: Record = {}
    for field in fields(found):
        value: Any = getattr(found, field.name)
        if isinstance(value, Formulas):
            record |= {f"{field.name}.{name}": x for name, x in value._asdict().items()}
        else:
            record[field.name] = value
    return record


def _from_record(record: Record) -> Compositions:
    values: dict[str, Any] = {}
    for field in fields(Compositions):
        parts = part_of(record, field.name)
        values[field.name] = Formulas(**parts) if parts else record[field.name]
    return Compositions(**values)
