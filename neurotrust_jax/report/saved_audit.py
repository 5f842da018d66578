"""An audit as two files: ``audit.json`` with settings and texts, and its arrays as ``.npz``.

A layer of 16,384 neurons has millions of numbers, which are slow to write and to read as text. So
all arrays, long and short, lie in ``audit.arrays.npz`` beside ``audit.json``, under the names of
the fields (``label``, ``intervals.lower``). The JSON holds the SHA-256 of that file: arrays of
another audit are refused, and the hash of the JSON stands for both files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.checkpoint import file_hash, save_arrays, whole_files
from .._runtime.text import FileError
from ..auditing.fit import SHARES, LabelFit
from ..auditing.result import LEADING, Audit, Leading
from ..auditing.verdicts import Verdict
from ..chance.null import PermutationTest
from ..composition.formulas import NONE, OPERATORS, Formulas
from ..composition.result import Compositions
from ..faithfulness.wide_intervals import LabelIntervals
from ..files.arrays import read_arrays
from ..files.numpy_files import NUMBERS
from ..metrics.scores import Reason
from ..probing.probe import LeftOut
from ..resampling.selection import WinnersCurse
from ..resampling.stability_measures import Stability
from ..resampling.trend import Trend

__all__ = ["read_audit", "write_audit"]

FORMAT = "neurotrust-audit-12"
HASH = "arrays_sha256"  # the entry of the JSON that ties the arrays to it
ENDING = ".arrays.npz"  # in place of .json; plain .npz might be the user's own activations
PARTS = {
    "intervals": LabelIntervals,
    "leading": Leading,
    "trend": Trend,
    "stability": Stability,
    "winners_curse": WinnersCurse,
    "fit": LabelFit,
    "null": PermutationTest,
    "compositions": Compositions,
}
OPTIONAL = ("null", "compositions")  # parts that an audit may lack
NAMES = ("concept_names", "neuron_names")  # formulas have those of the audit
# the kind of each array, floats unless listed here; its shape is [U] unless listed below
KINDS = {
    **dict.fromkeys(
        (
            "label", "tied", "reason", "answers", "verdict", "positives", "concept", "top_units",
            "label_hits", "top_concept", "top_hits", "label_above",
        ),
        "iu",
    ),
    **dict.fromkeys(("excludes_nothing", "explained", "certified_set", "concept_set"), "b"),
    **dict.fromkeys(("calibrated_set", "untested", "inflated_set", "judged"), "b"),
}  # fmt: skip
MATRICES = (
    "certified_set", "concept_set", "calibrated_set", "untested", "vote_share", "inflated_set",
)  # fmt: skip
COLUMNS = ("label", "concept", "top_concept", "label_above")  # of concepts, -1 for none
CODES = {"verdict": len(Verdict), "reason": len(Reason)}
PLAIN: dict[Any, Any] = {"str": str, "bool": bool, "int": int, "float": (int, float)}
PER_NEURON = ("verdict_reason", "why_wide")  # texts, of which most neurons have one of a few


class _Sizes(NamedTuple):
    """Numbers of neurons, of concepts, and of concepts of the longest formula."""

    neurons: int
    concepts: int
    length: int = 0


def write_audit(audit: Audit, path: str | Path) -> Path:
    """Write everything about an audit; :func:`read_audit` gives the same audit back.

    The JSON file at ``path`` holds settings, names and texts. All arrays lie beside it in one
    ``.npz`` file, ``audit.arrays.npz`` for ``audit.json``, under the names of their fields:
    ``numpy.load("audit.arrays.npz")["intervals.lower"]``. Keep the two files together. Both are
    written under other names first, and replace files of their own names at the end.

    Parameters
    ----------
    audit : Audit
    path : str or Path
        By custom it ends in ``.json``.

    Returns
    -------
    Path
        The JSON file.

    Examples
    --------
    >>> write_audit(audit, "audit.json")  # doctest: +SKIP
    >>> read_audit("audit.json").similarity  # doctest: +SKIP
    """
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    content = _fields(audit, "", arrays)
    # the arrays get their name first, so that JSON never waits for them
    with whole_files(_arrays_beside(path), path) as (arrays_part, part):
        save_arrays(arrays_part, arrays, compressed=True)
        content = {"format": FORMAT, HASH: file_hash(arrays_part), **content}
        part.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    return path


def _arrays_beside(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".json") + ENDING)


def _fields(part: Any, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """What JSON holds of an object; its arrays are put among the others under ``prefix``."""
    content: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(part, Compositions) and field.name in NAMES:
            continue
        if isinstance(value, np.ndarray):
            arrays[prefix + field.name] = value
        elif isinstance(value, Formulas):
            arrays |= {f"{prefix}{field.name}.{k}": x for k, x in value._asdict().items()}
        elif is_dataclass(value):
            content[field.name] = _fields(value, f"{prefix}{field.name}.", arrays)
        elif field.name in PER_NEURON:
            code = {text: i for i, text in enumerate(dict.fromkeys(value))}
            arrays[prefix + field.name] = np.array([code[text] for text in value], np.int32)
            content[field.name] = list(code)
        else:
            content[field.name] = value
    return content


def read_audit(path: str | Path) -> Audit:
    """Read an audit that :func:`write_audit` wrote, from its two files.

    Parameters
    ----------
    path : str or Path
        The JSON file.

    Returns
    -------
    Audit

    Raises
    ------
    FileError
        If the file is no audit in this format, or the file of its arrays is missing, damaged, or
        belongs to another audit.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        if content.get("format") != FORMAT:
            raise ValueError(f"its format is {content.get('format')!r}")
        sizes = _Sizes(len(content["neuron_names"]), len(content["concept_names"]))
        arrays = _read_arrays(path, content[HASH])
        return _built(Audit, content, arrays, "", sizes)
    except FileError:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise FileError(f"{path} is not an audit in the format {FORMAT!r}: {why}") from None


def _read_arrays(path: Path, expected_hash: Any) -> dict[str, np.ndarray]:
    beside = _arrays_beside(path)
    if not beside.is_file():
        raise FileError(
            f"{path}: the arrays of this audit are missing; put {beside.name} into the same folder"
        )
    if file_hash(beside) != expected_hash:
        raise FileError(
            f"{beside}: is damaged or belongs to another audit than {path.name}; copy both files "
            "of one audit"
        )
    return read_arrays(beside)


def _built(kind: type, content: Any, arrays: Mapping[str, Any], prefix: str, sizes: _Sizes) -> Any:
    """An object of this kind, from what JSON holds of it and from the arrays under ``prefix``."""
    if kind is Compositions:
        sizes = sizes._replace(length=content["max_length"])
    arguments: dict[str, Any] = {}
    for field in fields(kind):
        name = field.name
        if name in PARTS:
            value = content[name]
            if not (name in OPTIONAL and value is None):
                if name == "compositions":
                    value = value | {k: content[k] for k in NAMES}
                value = _built(PARTS[name], value, arrays, f"{prefix}{name}.", sizes)
        elif name in PER_NEURON:
            texts = _texts(name, content[name])
            codes = _array(arrays, prefix + name, (sizes.neurons,), "iu", (0, len(texts)))
            value = tuple(texts[i] for i in codes.tolist())
        elif field.type == "Formulas":
            value = _formulas(arrays, prefix + name, _shape(kind, name, sizes), sizes)
        elif field.type == "tuple[str, ...]":
            value = _texts(name, content[name])
        elif name == "shares":
            if content[name] != list(SHARES):
                raise ValueError(f"shares must be {list(SHARES)}")
            value = SHARES
        elif name == "left_out":
            value = tuple(_left_out(*entry) for entry in content[name])
        elif field.type in PLAIN:
            value = content[name]
            # to Python True is an integer
            if not isinstance(value, PLAIN[field.type]) or (
                isinstance(value, bool) and field.type != "bool"
            ):
                raise ValueError(f"{name} must be of type {field.type}")
        else:
            shape = _shape(kind, name, sizes)
            least = -1 if name in COLUMNS else 0
            below = sizes.concepts if name in COLUMNS else CODES.get(name)
            value = _array(arrays, prefix + name, shape, KINDS.get(name, "f"), (least, below))
        arguments[name] = value
    return kind(**arguments)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
        raise ValueError(f"{name} must be a list of texts")
    return tuple(value)


def _left_out(name: Any, positives: Any) -> LeftOut:
    whole = isinstance(positives, int) and not isinstance(positives, bool)
    if not isinstance(name, str) or not whole or positives < 0:
        raise ValueError(f"left_out holds [{name!r}, {positives!r}], not a name and a count")
    return LeftOut(name, positives)


def _formulas(
    arrays: Mapping[str, Any], name: str, shape: tuple[int, ...], sizes: _Sizes
) -> Formulas:
    bounds = {"concept": (NONE, sizes.concepts), "operator": (NONE, len(OPERATORS))}
    return Formulas(
        *(_array(arrays, f"{name}.{k}", shape, "iu", bounds[k]) for k in Formulas._fields)
    )


def _shape(kind: type, name: str, sizes: _Sizes) -> tuple[int, ...]:
    """The shape of an array of an object of this kind; that of formulas with their concepts."""
    num_neurons, num_concepts, length = sizes
    if kind is Leading:
        return num_neurons, min(LEADING, num_concepts)
    if kind is Compositions:
        shapes = {
            "by_length": (length, num_neurons, length),
            "other_formula": (num_neurons, length),
        }
        shapes |= dict.fromkeys(("similarity", "search_similarity"), (length, num_neurons))
        return shapes.get(name, (num_neurons,))
    if name in MATRICES:
        return num_neurons, num_concepts
    if name == "label_above":
        return num_neurons, len(SHARES)
    if name in ("positives", "judged"):
        return (num_concepts,)
    if name in ("coefficients", "agreement"):
        return (3,)
    if name == "fleiss_kappa" or name.endswith("_layer"):
        return ()
    return (num_neurons,)


def _array(
    arrays: Mapping[str, Any],
    name: str,
    shape: tuple[int, ...],
    kinds: str,
    bounds: tuple[int, int | None],
) -> np.ndarray:
    """An array, after checking shape, type, and that integers lie from the first bound on."""
    if name not in arrays:
        raise ValueError(f"there is no array {name}")
    array = arrays[name]
    if not isinstance(array, np.ndarray) or array.shape != shape:
        got = list(getattr(array, "shape", ()))
        raise ValueError(f"{name} must have shape {list(shape)}, got {got}")
    if array.dtype.kind not in kinds or array.dtype.kind not in NUMBERS:
        raise ValueError(f"{name} must not be of {array.dtype}")
    least, below = bounds
    if kinds != "iu" or not array.size:
        return array
    low, high = int(array.min()), int(array.max())
    if low < least or (below is not None and high >= below):
        wrong, to = (low, below) if low < least else (high, below)
        raise ValueError(f"{name} holds {wrong}, outside {least} to {to - 1 if to else '...'}")
    return array
