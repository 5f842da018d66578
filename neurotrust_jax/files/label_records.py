"""The records of a file of labels: texts by the name of their column or key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .._runtime.text import FileError, from_cell
from .arrays import FORMATS
from .errors import file_errors
from .names import is_text
from .tables import read_rows, read_text

__all__ = ["Record", "read_records"]

LATENT = re.compile(r"(.*)_latent(\d+)\.(?:txt|json)", re.DOTALL)
JSON = (".json", ".jsonl")
SCORERS = ("detection", "fuzz")  # the first one that a run of delphi has scores of


class Record(NamedTuple):
    """A row of a table, or an object in JSON.

    Attributes
    ----------
    where : str
        File and line, for messages.
    cells : dict of str
        Texts by column or key; names are in lower case, with "_" for spaces.
    """

    where: str
    cells: dict[str, str]


def read_records(path: str | Path) -> list[Record]:
    """Read the records of a table, a .json or .jsonl file (also .gz), or a folder.

    A .json file holds a list of objects, an object around such a list, or an object of labels by
    neuron. A folder holds .jsonl or .json files, which are read one after another, or what delphi
    writes: a file for each latent in ``explanations``, and beside it, perhaps, its scores.

    Raises
    ------
    FileError
        If there is no such file, or it holds something else.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    if any(path.suffix.lower() in x.suffixes for x in FORMATS):
        raise FileError(
            f"{path}: holds arrays; give labels as a table or .json, and activations, such as a "
            "latent cache, by --activations"
        )
    if _kind(path) in JSON:
        return list(_of_json(path))
    rows = read_rows(path)
    if len(rows) < 2:
        raise FileError(f"{path}: holds no labels below its header line")
    (_, header), *body = rows
    names = [_name(name) for name in header]
    for name in filter(None, names):
        if names.count(name) > 1:
            raise FileError(f"{path}: has the column {name!r} twice; leave one of them out")
    for line, row in body:
        if len(row) != len(names):
            raise FileError(
                f"{path}: line {line} has {len(row)} cells for {len(names)} columns; quote a cell "
                "that holds a comma, a semicolon or a tab"
            )
    place = f"{path}: line "
    return [
        Record(
            f"{place}{line}",
            {name: from_cell(x.strip()) for name, x in zip(names, row, strict=True) if name},
        )
        for line, row in body
    ]


def _name(text: str) -> str:
    return re.sub(r"[\s_]+", "_", text.strip().lower())


def _kind(path: Path) -> str:
    suffixes = [x.lower() for x in path.suffixes]
    return suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else path.suffix.lower()


def _of_json(path: Path) -> Iterator[Record]:
    for where, found in _json_values(path):
        for number, item in enumerate(_objects(found, where)):
            place = f"{where}: item {number}" if _kind(path) == ".json" else where
            yield Record(place, _texts(item, place))


def _json_values(path: Path) -> Iterator[tuple[str, Any]]:
    """The one value of a .json file, or those of the lines of a .jsonl file."""
    text = read_text(path)
    texts: Iterable[tuple[str, str]] = [(str(path), text)]
    if _kind(path) == ".jsonl":
        lines = enumerate(text.split("\n"), 1)
        texts = [(f"{path}: line {i}", line) for i, line in lines if line.strip()]
    for where, part in texts:
        with file_errors(Path(where)):
            value = json.loads(part)
        yield where, value


def _objects(found: Any, where: str) -> list[dict[str, Any]]:
    """The objects in a value: in a list, in the one list of an object, or by neuron."""
    if isinstance(found, dict):
        lists = [x for x in found.values() if _is_list_of_objects(x)]
        if len(lists) == 1 and not any(isinstance(x, str) for x in found.values()):
            found = lists[0]
        elif found and all(re.fullmatch(r"\d+", key) for key in found):
            found = [
                {"neuron": key} | (x if isinstance(x, dict) else {"description": x})
                for key, x in found.items()
            ]
        else:
            found = [found]
    if not _is_list_of_objects(found):
        raise FileError(
            f"{where}: must hold objects with a neuron and its description, or an object of "
            "descriptions by the number of the neuron"
        )
    return list(found)


def _is_list_of_objects(x: Any) -> bool:
    return isinstance(x, list) and bool(x) and all(isinstance(item, dict) for item in x)


def _texts(item: dict[str, Any], where: str) -> dict[str, str]:
    """The texts and numbers of an object, as texts."""
    cells = {}
    for key, value in item.items():
        if isinstance(value, str):
            if not is_text(value):
                raise FileError(f"{where}: {key!r} must hold whole characters")
            cells[_name(key)] = value.strip()
        elif isinstance(value, int | float) and not isinstance(value, bool):
            cells[_name(key)] = str(value)
        elif value is None:
            cells[_name(key)] = ""
    return cells


def _of_folder(path: Path) -> list[Record]:
    folder = path / "explanations" if (path / "explanations").is_dir() else path
    files = sorted(x for x in folder.iterdir() if x.is_file())
    latents = [(x, found) for x in files if (found := LATENT.fullmatch(x.name))]
    if latents:
        return [_of_latent(x, found[1], found[2]) for x, found in latents]
    files = [x for x in files if _kind(x) in JSON]
    if not files:
        raise FileError(
            f"{path}: holds no labels: neither .jsonl or .json files nor those of delphi, such as "
            "explanations/layers.5_latent7.txt"
        )
    return [record for x in files for record in _of_json(x)]


def _of_latent(path: Path, module: str, latent: str) -> Record:
    """What delphi writes of a latent: its explanation, and its scores beside."""
    with file_errors(path):
        text = json.loads(read_text(path))
        if isinstance(text, dict):
            text = text.get("explanation")
    if not is_text(text):
        raise FileError(f"{path}: must hold the explanation of a latent as a string of JSON")
    cells = {"module": module, "latent": latent, "explanation": text.strip()}
    for scorer in SCORERS:
        score = path.parent.parent / "scores" / scorer / path.name
        if path.parent.name == "explanations" and score.is_file():
            cells["score"] = str(_balanced_accuracy(score))
            break
    return Record(str(path), cells)


def _balanced_accuracy(path: Path) -> float:
    """Mean of the shares of active and of inactive examples that a scorer of delphi got right.

    An example without an answer does not count. NaN where a kind has no answered example.
    """
    with file_errors(path):
        examples = json.loads(read_text(path))
    if not isinstance(examples, list) or not all(isinstance(x, dict) for x in examples):
        raise FileError(f"{path}: must hold a list of scored examples")
    right: dict[bool, list[bool]] = {True: [], False: []}
    for x in examples:
        active, answer = x.get("activating", x.get("ground_truth")), x.get("prediction")
        if isinstance(active, bool | int) and isinstance(answer, bool | int | float):
            right[bool(active)].append((answer >= 0.5) == bool(active))
    if not right[True] or not right[False]:
        return float("nan")
    return sum(sum(x) / len(x) for x in right.values()) / 2
