"""A published format of labels is one object: the keys that tell it, and how it states a label.

The keys are those of the files in the repositories named below; a file is recognised by them and
not by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from .._runtime.text import FileError
from .label_records import Record

__all__ = ["COLUMNS", "LABEL_FORMATS", "Claim", "LabelFormat", "find_format"]

# Names of columns in the tables of CLIP-Dissect, MILAN, Network Dissection, CoSy and others.
COLUMNS = {
    "neuron": ("unit", "neuron", "neuron_id", "unit_id", "feature", "feature_id", "index"),
    "description": ("description", "label", "explanation", "concept", "formula", "caption"),
    "layer": ("layer", "layer_name", "module"),
    "similarity": ("similarity", "score", "iou", "auc", "auroc", "correlation", "simulation_score"),
}
SCORED = re.compile(
    r"""\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*,\s*(?:[\w.]+\()?([-+.\deE]+)\)?\s*\)"""
)
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)


class Claim(NamedTuple):
    """A label of one neuron, as a file states it.

    Attributes
    ----------
    layer : str
        Empty where the file names none.
    neuron : str
        Name or number; numbers joined by commas for a group of features.
    description : str
    similarity : float
        NaN where the file states none.
    alternatives : tuple of str
        Further labels that the file gives the same neuron; they are not judged.
    concept_id : str
        Another name of the concept, such as its WordNet number; empty where there is none.
    weights : tuple of (str, float)
        Concepts and their weights, where the label is a weighted sum of several.
    """

    layer: str
    neuron: str
    description: str
    similarity: float
    alternatives: tuple[str, ...] = ()
    concept_id: str = ""
    weights: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class LabelFormat:
    """A format of files of labels.

    Attributes
    ----------
    name : str
    keys : tuple of str
        The columns or keys that a file of this format has, as :class:`Record` writes them.
    make_claim : callable
        ``make_claim(record)`` gives a :class:`Claim`, or None where the record states no label.
    repeats : bool
        Whether a neuron may have several records. Then the first is its label, and the others are
        alternatives.
    """

    name: str
    keys: tuple[str, ...]
    make_claim: Callable[[Record], Claim | None]
    repeats: bool = False


def find_format(records: Sequence[Record], path: object) -> LabelFormat:
    """The format of some records: the first of :data:`LABEL_FORMATS` whose keys are all there.

    Raises
    ------
    FileError
        If there are no records, or no columns of neurons and descriptions among them.
    """
    if not records:
        raise FileError(f"{path}: holds no labels")
    kinds = {tuple(x.cells): x.cells.keys() for x in records}  # few: a table has one
    there = set.intersection(*map(set, kinds.values()))
    found = next((x for x in LABEL_FORMATS if set(x.keys) <= there), None)
    return found or _table_format(records, list(dict.fromkeys(chain.from_iterable(kinds))), path)


def _table_format(records: Sequence[Record], names: list[str], path: object) -> LabelFormat:
    """The format of a table with columns of these names, some of which are known."""
    column = {meaning: _find_column(meaning, records, names, path) for meaning in COLUMNS}

    def make_claim(record: Record) -> Claim:
        layer, neuron, description, similarity = (
            record.cells.get(column[meaning] or "", "")
            for meaning in ("layer", "neuron", "description", "similarity")
        )
        return Claim(layer, neuron, description, number(similarity))

    keys = tuple(x for x in column.values() if x)
    return LabelFormat(f"A table of {', '.join(keys)}", keys, make_claim)


def _find_column(
    meaning: str, records: Sequence[Record], names: list[str], path: object
) -> str | None:
    """Name of the column with this meaning: the first of several that agree."""
    found = [name for name in COLUMNS[meaning] if name in names]
    if not found and meaning in ("neuron", "description"):
        raise FileError(
            f"{path}: has no column for the {meaning} (known: {', '.join(COLUMNS[meaning])}); it "
            f"has {', '.join(names)}"
        )
    if len(found) > 1 and found[-1] == "index":  # pandas numbers its rows in this column
        found.pop()
    for x in records if len(found) > 1 else ():
        for other in found[1:]:
            if x.cells.get(other) != x.cells.get(found[0]):
                raise FileError(
                    f"{x.where} differs in its columns {found[0]!r} and {other!r}, each of which "
                    f"may be the {meaning}; leave one of them out"
                )
    return found[0] if found else None


def number(text: str) -> float:
    """The number that a text states, also with a decimal comma; else NaN."""
    if DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _describe_and_dissect(record: Record) -> Claim | None:
    """Up to three labels from the best one on; a blank stands for a missing one."""
    cells = record.cells
    labels = [cells[key] for key in sorted(cells) if re.fullmatch(r"label_\d", key) and cells[key]]
    if not labels:
        return None
    layer = cells.get("layer", "")
    return Claim(layer, cells["neuron_id"], labels[0], number(""), tuple(labels[1:]))


def _milannotations(record: Record) -> Claim:
    """The text of one of three people, who have a record each."""
    cells = record.cells
    return Claim(cells["layer"], cells["unit"], cells["summary"], number(""))


def _falcon(record: Record) -> Claim | None:
    """A list of pairs (word, score) for a group of features: the word of the highest score."""
    text = record.cells["concept_set_words"]
    words = [(x[1] if x[1] is not None else x[2], number(x[3])) for x in SCORED.finditer(text)]
    if not words and text != "[]":
        raise FileError(
            f"{record.where} must list words with scores in concept_set_words, such as "
            f"[('dog', 0.3)]; it has {text[:60]!r}"
        )
    words.sort(key=lambda x: -x[1])
    group = re.sub(r"[\s()\[\]]", "", record.cells["group"])  # "1,2", "[1, 2]" or "(1, 2)"
    rest = tuple(word for word, _ in words[1:])
    return Claim(record.cells.get("layer", ""), group, *words[0], rest) if words else None


def _invert(record: Record) -> Claim:
    """A concept or a formula, with its AUC in ``metric``."""
    cells = record.cells
    return Claim(
        cells.get("layer", ""), cells["neuron"], cells["concept"], number(cells["metric"]),
        concept_id=cells["concept_id"],
    )  # fmt: skip


def _neuronpedia(record: Record) -> Claim | None:
    """An explanation, in some exports with its score; an empty one states no label."""
    cells = record.cells
    text = cells["description"]
    score = number(cells.get("score", ""))
    return Claim(cells["layer"], cells["index"], text, score) if text else None


def _delphi(record: Record) -> Claim:
    """The explanation of a latent, with the balanced accuracy of a scorer."""
    cells = record.cells
    score = number(cells.get("score", ""))
    return Claim(cells["module"], cells["latent"], cells["explanation"], score)


def _linear(record: Record) -> Claim | None:
    """Concepts with weights; the correlation on held-out samples is that of their sum.

    A weight of 0 ends the list. The bias moves no correlation and is left out. A single concept of
    positive weight is a label like any other.
    """
    cells = record.cells
    weights: list[tuple[str, float]] = []
    while abs(weight := number(cells.get(f"weight{len(weights)}", ""))) > 0:
        weights.append((cells.get(f"concept{len(weights)}", ""), weight))
    if not weights:
        return None
    terms = (f"{'-' if weight < 0 else '+'} {abs(weight):.4g} {x}" for x, weight in weights)
    text, plain = " ".join(terms).removeprefix("+ "), len(weights) == 1 and weights[0][1] > 0
    return Claim(
        cells.get("layer", ""), cells["unit"], weights[0][0] if plain else text,
        number(cells.get("val_correlation", "")), weights=() if plain else tuple(weights),
    )  # fmt: skip


def _own(record: Record) -> Claim:
    """The label; a formula in another column is none."""
    cells = record.cells
    return Claim(cells["layer"], cells["unit"], cells["description"], number(cells["similarity"]))


LABEL_FORMATS = (
    # descriptions.csv of an audit
    LabelFormat(
        "A table of neurotrust", ("layer", "unit", "description", "similarity", "set_answers"), _own
    ),
    # Trustworthy-ML-Lab/Describe-and-Dissect, describe_neurons.py
    LabelFormat("Describe-and-Dissect", ("neuron_id", "label_1"), _describe_and_dissect),
    # MILANNOTATIONS of evandez/neuron-descriptions, as exported in the repository above
    LabelFormat("MILANNOTATIONS", ("layer", "unit", "summary"), _milannotations, repeats=True),
    # NehaKalibhat/falcon-explain, falcon_concepts.csv of explain_feature_group.py
    LabelFormat("FALCON", ("group", "concept_set_words"), _falcon),
    # INVERT in lkopf/cosy, assets/explanations/INVERT
    LabelFormat("INVERT", ("neuron", "concept", "concept_id", "metric"), _invert),
    # hijohnnylin/neuronpedia, exports of explanations as .json and .jsonl.gz
    LabelFormat(
        "Neuronpedia", ("modelid", "layer", "index", "description"), _neuronpedia, repeats=True
    ),
    # EleutherAI/delphi, folders explanations and scores of __main__.py
    LabelFormat("delphi", ("module", "latent", "explanation"), _delphi),
    # Trustworthy-ML-Lab/Linear-Explanations, explain_neurons.py
    LabelFormat("Linear-Explanations", ("unit", "weight0", "concept0"), _linear),
)
