"""Labels that exist already: read them as other tools write them, and judge them against arrays."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from .bounds import intervals
from .checks import check_share
from .chunks import Progress
from .io import FileError, from_cell
from .metrics import Metric, get_metric
from .probe import Probe
from .resampling import bootstrap
from .sets import concept_sets

__all__ = ["Claim", "Finding", "Judged", "judge_labels", "match_labels", "read_labels"]

# Names of columns in files of CLIP-Dissect, MILAN, Network Dissection, INVERT, CoSy and others. Of
# Linear-Explanations it is the concept of largest weight; the correlation there is of all together.
COLUMNS = {
    "unit": ("unit", "neuron", "neuron_id", "unit_id", "feature", "feature_id", "index"),
    "description": (
        "description",
        "label",
        "explanation",
        "concept",
        "formula",
        "caption",
        "concept0",
    ),
    "layer": ("layer", "layer_name", "module"),
    "similarity": ("similarity", "score", "iou", "auc", "auroc", "correlation", "simulation_score"),
}


class Claim(NamedTuple):
    """A label as a file has it; ``similarity`` is NaN where it has none."""

    layer: str
    unit: str
    description: str
    similarity: float


class Finding(StrEnum):
    """What the data say of a label."""

    SUPPORTED = "supported"
    OPEN = "open"
    UNTESTED = "untested"
    REFUTED = "refuted"
    UNDEFINED = "undefined"
    UNKNOWN = "unknown"


SAYS = {
    Finding.SUPPORTED: "no other tested concept can be the best",
    Finding.OPEN: "it may be the best, and so may others",
    Finding.UNTESTED: "too little evidence on it to test",
    Finding.REFUTED: "another concept is better",
    Finding.UNDEFINED: "no similarity is defined: neuron or concept does not vary",
    Finding.UNKNOWN: "its text is none of the concepts",
}


@dataclass(frozen=True, eq=False)
class Judged:
    """Labels of the neurons of a layer, judged; NumPy arrays.

    Attributes
    ----------
    label : [U] of int
        Column of the concept that was claimed, -1 for none.
    similarity, lower, upper : [U]
        Its similarity, and limits that hold for all concepts of the neuron at once.
    rank : [U] of int
        Its place among the neuron's concepts, from 1; 0 where undefined.
    best : [U] of int
        The most similar concept as measured, -1 where none is defined.
    best_similarity : [U]
    shortfall : [U]
        The best concept's true similarity exceeds the label's by at most this.
    rivals : [U] of int
        Other tested concepts that may be the best.
    finding : [U] of Finding
    alpha : float
    """

    label: np.ndarray
    similarity: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    rank: np.ndarray
    best: np.ndarray
    best_similarity: np.ndarray
    shortfall: np.ndarray
    rivals: np.ndarray
    finding: list[Finding]
    alpha: float


def read_labels(path: str | Path, *, first_unit: int = 0) -> list[Claim]:
    """Read labels from a .csv or .tsv with a header line.

    A column of units and one of descriptions are needed, under any of the names that CLIP-Dissect
    (layer, unit, description, similarity), MILAN (layer, unit, description), Network Dissection
    (unit, category, label, score), INVERT, CoSy and Linear-Explanations (layer, unit, concept0)
    use. An apostrophe that keeps a cell from being a formula is no part of it.

    Parameters
    ----------
    path : path
    first_unit : int
        Number of the first unit in the file, 1 in Network Dissection's own; claims count from 0.

    Raises
    ------
    FileError
        If the file is missing, is no such table, or names a unit of a layer twice, or one below the
        first.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            kind = "excel-tab" if path.suffix.lower() in (".tsv", ".tab") else "excel"
            rows = list(csv.DictReader(file, dialect=kind))
    except (OSError, UnicodeError, csv.Error) as error:
        raise FileError(f"{path}: can not be read: {error}") from None
    if not rows:
        raise FileError(f"{path}: holds no labels below its header line")
    given = {(name or "").strip().lower(): name for name in rows[0]}
    column = {
        wanted: next((given[name] for name in names if name in given), None)
        for wanted, names in COLUMNS.items()
    }
    for wanted in ("unit", "description"):
        if column[wanted] is None:
            raise FileError(
                f"{path}: has no column {wanted} (known: {', '.join(COLUMNS[wanted])}); it has "
                f"{', '.join(filter(None, given.values()))}"
            )

    def cell(row: dict[str, str], wanted: str) -> str:
        name = column[wanted]
        return "" if name is None else from_cell((row[name] or "").strip())

    claims = [
        Claim(
            cell(row, "layer"), cell(row, "unit"), cell(row, "description"),
            _number(cell(row, "similarity")),
        )
        for row in rows
    ]  # fmt: skip
    seen: set[tuple[str, str]] = set()
    for line, claim in enumerate(claims, 2):
        if (claim.layer, claim.unit) in seen:
            where = f" of layer {claim.layer}" if claim.layer else ""
            raise FileError(f"{path}: line {line} names unit {claim.unit}{where} a second time")
        seen.add((claim.layer, claim.unit))
    if first_unit:
        try:
            numbers = [int(x.unit) - first_unit for x in claims]
        except ValueError:
            raise FileError(
                f"{path}: its units are no numbers to count from {first_unit}"
            ) from None
        if min(numbers) < 0:
            raise FileError(f"{path}: has unit {min(numbers) + first_unit}, below {first_unit}")
        claims = [x._replace(unit=str(n)) for x, n in zip(claims, numbers, strict=True)]
    return claims


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def match_labels(claims: Sequence[Claim], probe: Probe) -> np.ndarray:
    """Column of the concept that is claimed of each of the probe's neurons, -1 for none: [U].

    Units are matched by name, descriptions by their words, whatever their case and hyphens.

    Raises
    ------
    ValueError
        If a claim is about a neuron that the probe does not have.
    """
    concept = {_words(name): i for i, name in enumerate(probe.concept_names)}
    neuron = {name: i for i, name in enumerate(probe.neuron_names)}
    label = np.full(probe.num_neurons, -1)
    for claim in claims:
        if claim.unit not in neuron:
            raise ValueError(
                f"there is a label of unit {claim.unit!r}, but the activations have "
                f"{probe.num_neurons} units, named {probe.neuron_names[0]!r} to "
                f"{probe.neuron_names[-1]!r}; if the file counts from 1, say so by first_unit "
                "(--first-unit 1)"
            )
        label[neuron[claim.unit]] = concept.get(_words(claim.description), -1)
    return label


def _words(text: str) -> str:
    return " ".join(re.split(r"[\s_-]+", text.casefold().strip()))


def judge_labels(
    key: Array,
    probe: Probe,
    label: np.ndarray,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_replicates: int = 1000,
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
    progress: Progress | None = None,
) -> Judged:
    """Say of labels, wherever they come from, whether they can be the best on the data at hand.

    The set of :func:`concept_sets` is the judge: a label outside it is refuted at level alpha (the
    population's best concept is outside with a probability of at most alpha, asymptotically), one
    that is its only tested member is supported.

    Parameters
    ----------
    key : JAX PRNG key
    probe : Probe
    label : array [U] of int
        Column of the concept claimed of each neuron, -1 for none, see :func:`match_labels`.
    metric, alpha, num_replicates, progress
        As for :func:`bootstrap` and :func:`concept_sets`.
    activation_range, largest_unit
        What is known of the data for the intervals, see :func:`intervals`.

    Returns
    -------
    Judged

    Raises
    ------
    ValueError
        If the labels do not fit the probe, or an option is out of range.
    """
    check_share(alpha, "alpha")
    metric = get_metric(metric)
    label = np.asarray(label)
    if label.shape != (probe.num_neurons,) or label.dtype.kind not in "iu":
        raise ValueError(
            f"label must be integers of shape [{probe.num_neurons}], got {label.dtype} "
            f"{list(label.shape)}"
        )
    if label.min() < -1 or label.max() >= probe.num_concepts:
        raise ValueError(
            f"label must lie in [-1, {probe.num_concepts - 1}], the concepts, got {label.min()} to "
            f"{label.max()}"
        )
    limits = intervals(
        probe, metric, delta=alpha, simultaneous="concepts", activation_range=activation_range,
        largest_unit=largest_unit,
    )  # fmt: skip
    boot = bootstrap(key, probe, metric, num_replicates=num_replicates, progress=progress)
    sets = concept_sets(boot, alpha=alpha)
    mask, untested = np.asarray(sets.mask), np.asarray(sets.undecided)
    similarity = np.asarray(boot.similarity)
    lower, upper = np.asarray(limits.lower), np.asarray(limits.upper)
    everyone = np.arange(len(label))

    def own(values: np.ndarray) -> np.ndarray:
        return np.where(label < 0, np.nan, values[everyone, label])

    value = own(similarity)
    known = np.nan_to_num(similarity, nan=-np.inf)
    best = np.asarray(boot.label)
    others = np.where(np.isnan(upper), -np.inf, upper)
    others[everyone, label] = -np.inf
    tested = mask & ~untested
    findings = []
    for u, c in enumerate(label):
        if c < 0:
            findings.append(Finding.UNKNOWN)
        elif np.isnan(value[u]):
            findings.append(Finding.UNDEFINED)
        elif not mask[u, c]:
            findings.append(Finding.REFUTED)
        elif untested[u, c]:
            findings.append(Finding.UNTESTED)
        else:
            findings.append(Finding.SUPPORTED if tested[u].sum() == 1 else Finding.OPEN)
    return Judged(
        label=label,
        similarity=value,
        lower=own(lower),
        upper=own(upper),
        rank=np.where(np.isnan(value), 0, 1 + (known > value[:, None]).sum(axis=1)),
        best=best,
        best_similarity=np.where(best < 0, np.nan, known[everyone, best]),
        shortfall=np.maximum(others.max(axis=1) - own(lower), 0),
        rivals=tested.sum(axis=1) - np.where(label < 0, 0, tested[everyone, label]),
        finding=findings,
        alpha=alpha,
    )
