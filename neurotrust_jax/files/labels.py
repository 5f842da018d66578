"""Labels as other tools write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .._runtime.text import FileError
from .label_formats import Claim, LabelFormat, find_format
from .label_records import Record, read_records

__all__ = ["claims_of_layer", "read_labels", "read_with_format", "whole_number"]

WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?", re.ASCII)


def read_labels(path: str | Path, *, first_neuron: int = 0) -> list[Claim]:
    r"""Read the labels of neurons from a file or folder in a published format.

    The columns or keys tell the format, whatever the file is called:

    =====================  ======================================================================
    Describe-and-Dissect   "Neuron ID", "Label 1", ...: the first label, others as alternatives
    MILANNOTATIONS         layer, unit, summary: the first summary, others as alternatives
    FALCON                 group, concept_set_words: the word of the highest score
    INVERT                 neuron, concept, concept_id, metric
    Neuronpedia            modelId, layer, index, description: .json, .jsonl or .jsonl.gz, or a
                           folder of them
    delphi                 the folder of a run, or its folder ``explanations``
    Linear-Explanations    unit, weight0, concept0, ...: the weighted sum of the concepts
    others                 a column of neurons and one of descriptions under a known name, such as
                           layer, unit, description, similarity (CLIP-Dissect, MILAN), or unit,
                           label, score (Network Dissection)
    =====================  ======================================================================

    A table may be separated by commas, semicolons or tabs and may come from Excel (UTF-8 or
    UTF-16). Two columns of one meaning, such as "unit" and "neuron", must agree; "index" counts as
    the neuron only if no other column does. An apostrophe that keeps a spreadsheet from reading a
    cell as a formula is removed.

    Parameters
    ----------
    path : path
    first_neuron : int
        Number of the first neuron in the file: 1 in Network Dissection's own files. Claims count
        from 0.

    Returns
    -------
    list of Claim

    Raises
    ------
    FileError
        If the file is missing or is in no known format: a row has more or fewer cells than the
        header, a column occurs twice, or two columns of one meaning differ; if it names a neuron of
        a layer twice in a format of one label each, mixes several models, or names a neuron below
        the first.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from neurotrust_jax.files import read_labels
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = path.write_text("Neuron ID,Label 1,Label 2\n7,a dog,an animal\n")
    >>> (claim,) = read_labels(path)
    >>> claim.neuron, claim.description, claim.alternatives
    ('7', 'a dog', ('an animal',))
    """
    return read_with_format(path, first_neuron=first_neuron)[1]


def read_with_format(path: str | Path, *, first_neuron: int = 0) -> tuple[LabelFormat, list[Claim]]:
    """The format of a file or folder, and the labels that :func:`read_labels` reads from it."""
    records = read_records(path)
    found = find_format(records, path)
    _refuse_several_models(records, path)
    claims: dict[tuple[str, str], tuple[Claim, str]] = {}
    for record in records:
        claim = found.make_claim(record)
        if claim is None:
            continue
        key = claim.layer, claim.neuron
        if key not in claims:
            claims[key] = claim, record.where
        elif found.repeats:
            first, where = claims[key]
            more = (*first.alternatives, claim.description)
            claims[key] = first._replace(alternatives=more), where
        else:
            of_layer = f" of layer {claim.layer}" if claim.layer else ""
            raise FileError(
                f"{record.where} names neuron {claim.neuron}{of_layer} a second time; leave one of "
                "the two out"
            )
    if not claims:
        raise FileError(f"{path}: holds no labels")
    return found, [_count_from_zero(claim, first_neuron, where) for claim, where in claims.values()]


def _refuse_several_models(records: Sequence[Record], path: str | Path) -> None:
    models = sorted({x.cells["modelid"] for x in records if "modelid" in x.cells})
    if len(models) > 1:
        raise FileError(f"{path}: has labels of the models {', '.join(models)}; leave one of them")


def _count_from_zero(claim: Claim, first_neuron: int, where: str) -> Claim:
    """The claim with the number of its neuron, or of its features, counted from 0."""
    if not first_neuron:
        return claim
    numbers = []
    for text in claim.neuron.split(","):
        number = whole_number(text)
        if number is None:
            raise FileError(
                f"{where} names the neuron {claim.neuron!r}, which is no number to count from "
                f"{first_neuron}"
            )
        if number < first_neuron:
            raise FileError(f"{where} names neuron {number}, below the first one, {first_neuron}")
        numbers.append(str(number - first_neuron))
    return claim._replace(neuron=",".join(numbers))


def whole_number(text: str) -> int | None:
    """The whole number that a text states, also as "7.0" (pandas) or "007"; else None."""
    return int(text.partition(".")[0]) if WHOLE.fullmatch(text) else None


def claims_of_layer(claims: Sequence[Claim], layer: str | None, path: Path) -> list[Claim]:
    """The labels of one layer, and those that name no layer.

    Raises
    ------
    FileError
        If there are several layers and none is chosen, or the chosen one has no labels.
    """
    layers = sorted({x.layer for x in claims if x.layer})
    there = ", ".join(map(repr, layers))
    if layer is None and len(layers) > 1:
        raise FileError(f"{path}: has labels of the layers {there}; choose one (--layer)")
    if layer is not None and layers and layer not in layers:
        raise FileError(f"{path}: has no labels of layer {layer!r}; there are {there}")
    return [x for x in claims if layer is None or x.layer in ("", layer)]
