"""Labels that exist already: read them as other tools write them, and judge them against arrays."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from ._runtime.chunks import Progress
from ._runtime.validation import check_count, check_share
from .auditing.vocabulary import DEFAULT_MIN_POSITIVES, judged_concepts
from .faithfulness.bounds import intervals
from .io import FileError, from_cell, read_rows
from .metrics.metric import Metric
from .metrics.table import get_metric
from .probing.construction import rare_concepts
from .probing.probe import LeftOut, Probe
from .resampling.bootstrapping import bootstrap
from .sets.set_rules import concept_sets

__all__ = [
    "Claim",
    "Finding",
    "Judged",
    "judge_labels",
    "match_labels",
    "match_units",
    "of_layer",
    "read_labels",
]

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
WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?", re.ASCII)


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
    Finding.UNTESTED: "too rare to be judged, or too little evidence on it to test",
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
    positives : [U] of int
        Sampling units (groups where given, else samples) in which the label is present, -1 for
        none. A label in fewer than ``min_positives`` is untested, and its numbers are NaN.
    left_out : tuple of LeftOut
        The concepts that were not judged, the most common first.
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
    positives: np.ndarray
    left_out: tuple[LeftOut, ...]


def read_labels(path: str | Path, *, first_unit: int = 0) -> list[Claim]:
    """Read labels from a .csv or .tsv with a header line.

    A column of units and one of descriptions are needed, under any of the names that CLIP-Dissect
    (layer, unit, description, similarity), MILAN (layer, unit, description), Network Dissection
    (unit, category, label, score), INVERT, CoSy and Linear-Explanations (layer, unit, concept0)
    use. Two columns of one meaning, such as "unit" and "neuron", must agree; "index" counts as the
    unit only where nothing else does. An apostrophe that keeps a cell from being a formula is no
    part of it.

    Parameters
    ----------
    path : path
    first_unit : int
        Number of the first unit in the file, 1 in Network Dissection's own; claims count from 0.

    Raises
    ------
    FileError
        If the file is missing or is no such table: a row has more or fewer cells than the header, a
        column stands twice, two of one meaning differ; if it names a unit of a layer twice, or one
        below the first.
    """
    path = Path(path)
    rows = read_rows(path)
    if len(rows) < 2:
        raise FileError(f"{path}: holds no labels below its header line")
    (_, header), *body = rows
    names = [name.strip().lower() for name in header]
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise FileError(f"{path}: has the column {twice[0]!r} twice; leave one of them out")
    for line, row in body:
        if len(row) != len(names):
            raise FileError(
                f"{path}: line {line} has {len(row)} cells for {len(names)} columns; quote a cell "
                "that holds what separates cells"
            )
    column = {wanted: _column(wanted, names, body, path) for wanted in COLUMNS}

    def cell(row: list[str], wanted: str) -> str:
        i = column[wanted]
        return "" if i is None else _plain(row[i])

    claims, seen = [], set()
    for line, row in body:
        claim = Claim(
            cell(row, "layer"), cell(row, "unit"), cell(row, "description"),
            _number(cell(row, "similarity")),
        )  # fmt: skip
        if (claim.layer, claim.unit) in seen:
            where = f" of layer {claim.layer}" if claim.layer else ""
            raise FileError(f"{path}: line {line} names unit {claim.unit}{where} a second time")
        seen.add((claim.layer, claim.unit))
        if first_unit:
            number = _whole(claim.unit)
            if number is None:
                raise FileError(
                    f"{path}: line {line} has the unit {claim.unit!r}, no number to count from "
                    f"{first_unit}"
                )
            if number < first_unit:
                raise FileError(f"{path}: line {line} has unit {number}, below {first_unit}")
            claim = claim._replace(unit=str(number - first_unit))
        claims.append(claim)
    return claims


def _column(
    wanted: str, names: list[str], body: list[tuple[int, list[str]]], path: Path
) -> int | None:
    """Which column is the wanted one, of several that say the same the first."""
    found = [names.index(name) for name in COLUMNS[wanted] if name in names]
    if not found and wanted in ("unit", "description"):
        raise FileError(
            f"{path}: has no column {wanted} (known: {', '.join(COLUMNS[wanted])}); it has "
            f"{', '.join(filter(None, names))}"
        )
    if len(found) > 1 and names[found[-1]] == "index":  # pandas numbers its rows so
        found.pop()
    for line, row in body:
        for i in found[1:]:
            if _plain(row[i]) != _plain(row[found[0]]):
                raise FileError(
                    f"{path}: line {line} differs in its columns {names[found[0]]!r} and "
                    f"{names[i]!r}, each of which may be the {wanted}; leave one of them out"
                )
    return found[0] if found else None


def _plain(cell: str) -> str:
    return from_cell(cell.strip())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _whole(text: str) -> int | None:
    """The whole number that a text is, also as "7.0" (pandas) and "007"."""
    return int(text.partition(".")[0]) if WHOLE.fullmatch(text) else None


def of_layer(claims: Sequence[Claim], layer: str | None, path: Path) -> list[Claim]:
    """The labels of one layer, and those that name none.

    Raises
    ------
    FileError
        If they are of several layers and none is chosen, or none is of the chosen one.
    """
    layers = sorted({x.layer for x in claims if x.layer})
    there = ", ".join(map(repr, layers))
    if layer is None and len(layers) > 1:
        raise FileError(f"{path}: has labels of the layers {there}; choose one (--layer)")
    if layer is not None and layers and layer not in layers:
        raise FileError(f"{path}: has no labels of layer {layer!r}; there are {there}")
    return [x for x in claims if layer is None or x.layer in ("", layer)]


def match_units(claims: Sequence[Claim], probe: Probe) -> list[int]:
    """The neuron of the probe that each claim is about: by its name, else by its number.

    Raises
    ------
    ValueError
        If a claim is about a neuron that the probe does not have, or two are about one neuron.
    """
    neuron = {name: i for i, name in enumerate(probe.neuron_names)}
    first: dict[int, Claim] = {}
    for claim in claims:
        u = neuron.get(claim.unit)
        if u is None and (number := _whole(claim.unit)) is not None:
            u = neuron.get(str(number))
        if u is None:
            raise ValueError(
                f"there is a label of unit {claim.unit!r}, but the activations have "
                f"{probe.num_neurons} units, named {probe.neuron_names[0]!r} to "
                f"{probe.neuron_names[-1]!r}; if the file counts from 1, say so by first_unit "
                "(--first-unit 1)"
            )
        if u in first:
            which = [f"{x.unit!r}" + f" of layer {x.layer!r}" * bool(x.layer)
                     for x in (first[u], claim)]  # fmt: skip
            raise ValueError(
                f"units {' and '.join(which)} are both neuron {probe.neuron_names[u]!r}, which can "
                "have one label; leave one out, or choose a layer"
            )
        first[u] = claim
    return list(first)


def match_labels(claims: Sequence[Claim], probe: Probe) -> np.ndarray:
    """Column of the concept that is claimed of each of the probe's neurons, -1 for none: [U].

    A description is the concept of that very name; where there is none, the one concept of the same
    words, whatever their case, hyphens, underscores and spaces.

    Raises
    ------
    ValueError
        If a claim is about a neuron that the probe does not have, two are about one neuron, or a
        description may be any of several concepts.
    """
    exact = {name: i for i, name in enumerate(probe.concept_names)}
    loose: dict[str, list[int]] = {}
    for name, i in exact.items():
        loose.setdefault(_words(name), []).append(i)
    label = np.full(probe.num_neurons, -1)
    for u, claim in zip(match_units(claims, probe), claims, strict=True):
        text = claim.description
        alike = [exact[text]] if text in exact else loose.get(_words(text), [])
        if len(alike) > 1:
            names = " or ".join(repr(probe.concept_names[i]) for i in alike)
            raise ValueError(
                f"the label {text!r} of unit {claim.unit!r} may be the concept {names}; write it "
                "as one of them"
            )
        label[u] = alike[0] if alike else -1
    return label


def _words(text: str) -> str:
    same = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.split(r"[\s_-]+", same.strip()))


def judge_labels(
    key: Array,
    probe: Probe,
    label: np.ndarray,
    metric: str | Metric = "iou",
    *,
    alpha: float = 0.1,
    num_replicates: int = 1000,
    min_positives: int = DEFAULT_MIN_POSITIVES,
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
    min_positives : int
        Concepts present in fewer sampling units are not judged, see :func:`audit`: a label among
        them is untested, and they are no rivals of others.
    activation_range, largest_unit
        What is known of the data for the intervals, see :func:`intervals`.

    Returns
    -------
    Judged

    Raises
    ------
    ValueError
        If the labels do not fit the probe, an option is out of range, or ``min_positives`` leaves
        no concept.
    """
    check_share(alpha, "alpha")
    if min_positives != 0:
        check_count(min_positives, "min_positives")
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
    judged = judged_concepts(probe, metric, min_positives)
    left_out = rare_concepts(probe, judged)
    positives = np.where(label < 0, -1, np.asarray(probe.positive_units)[label])
    # columns of the judged concepts, -1 for no label and for one that is too rare; the last for -1
    place = np.append(np.where(judged, np.cumsum(judged) - 1, -1), -1)
    claimed, label = label, place[label]
    column = np.flatnonzero(judged)
    if not judged.all():
        probe = probe.of_concepts(column)
    known: Any = {"activation_range": activation_range, "largest_unit": largest_unit}
    limits = intervals(probe, metric, alpha=alpha, simultaneous="concepts", **known)
    boot = bootstrap(key, probe, metric, num_replicates=num_replicates, progress=progress)
    sets = concept_sets(boot, alpha=alpha, **known)
    mask, untested = np.asarray(sets.mask), np.asarray(sets.untested)
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
            findings.append(Finding.UNKNOWN if claimed[u] < 0 else Finding.UNTESTED)
        elif np.isnan(value[u]):
            findings.append(Finding.UNDEFINED)
        elif not mask[u, c]:
            findings.append(Finding.REFUTED)
        elif untested[u, c]:
            findings.append(Finding.UNTESTED)
        else:
            findings.append(Finding.SUPPORTED if tested[u].sum() == 1 else Finding.OPEN)
    return Judged(
        label=claimed,
        similarity=value,
        lower=own(lower),
        upper=own(upper),
        rank=np.where(np.isnan(value), 0, 1 + (known > value[:, None]).sum(axis=1)),
        best=np.where(best < 0, -1, column[best]),
        best_similarity=np.where(best < 0, np.nan, known[everyone, best]),
        shortfall=np.maximum(others.max(axis=1) - own(lower), 0),
        rivals=tested.sum(axis=1) - np.where(label < 0, 0, tested[everyone, label]),
        finding=findings,
        alpha=alpha,
        positives=positives,
        left_out=left_out,
    )
