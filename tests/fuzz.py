"""Damaged and hostile files for every loader: each loads as what it should be, or is refused.

``python tests/fuzz.py --seconds N [--seed S]`` mutates small valid files, byte by byte and in their
structure, and holds every loader to one law. An input gives something of the declared kind, or a
:class:`FileError` (or a loader's documented ValueError) with a message on one line, of bounded
length, that names the file. It takes at most two seconds and no more memory than the file
justifies, gives no warning, leaves no file open, and runs nothing. What breaks the law is kept as
a file that shows it.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import json
import os
import pickle
import random
import resource
import shutil
import string
import struct
import sys
import tempfile
import time
import tracemalloc
import unicodedata
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy import sparse

from neurotrust_jax.auditing.fit import SHARES, LabelFit
from neurotrust_jax.auditing.result import Audit, Leading
from neurotrust_jax.chance.null import PermutationTest
from neurotrust_jax.composition.formulas import Formulas
from neurotrust_jax.composition.result import Compositions
from neurotrust_jax.faithfulness import LabelIntervals
from neurotrust_jax.files import (
    FileError,
    read_array,
    read_arrays,
    read_examples,
    read_hierarchy,
    read_labels,
    read_names,
)
from neurotrust_jax.probing.probe import LeftOut
from neurotrust_jax.report import read_audit, write_audit
from neurotrust_jax.resampling.selection import WinnersCurse
from neurotrust_jax.resampling.stability_measures import Stability
from neurotrust_jax.resampling.trend import Trend
from neurotrust_jax.runs.manifest import FORMAT, read_earlier

MOST_SECONDS = 2.0  # of the processor
MOST_CHARACTERS = 1200
MOST_BYTES, PER_BYTE = 8 * 2**20, 1100  # deflate packs no more than 1,032 bytes into one
SPARE_MEMORY = 3 * 2**30  # above what is in use at the start: more can not be taken at all
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.",
             "os.remove", "os.rename", "os.mkdir", "shutil.", "ctypes.dlopen")  # fmt: skip

Random = random.Random


class Canary:
    """Unpickled by anything that unpickles, it makes a folder: a call that must not happen."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("ran",)


# ------------------------------------------------------------------------------------ mutations

INTEGERS = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, -1]
TEXTS = ["", "\0", "\ud800", "\u202e", "x" * 5000, "a\nb", "=1+1", "../../x", "nan", "__proto__"]
VALUES: list[Any] = [
    None, True, False, 0, -1, 1e308, -0.0, 2**63, 10**400, [], {}, [[]], "1", *TEXTS,
    *(float(x) for x in ("nan", "inf", "-inf")),
]  # fmt: skip
DTYPES = [
    "|O", "<f8", "<f4", ">f4", "<f2", "|b1", "|u1", "<i8", "<c16", "|S1", "|S1000000000", "<U9",
    "<U500000000", "|V8", "<M8[ns]", "", "x", "f4,f4", "(1000000,)f4", [("a", "<f4")], [["a"]], 3,
    None, "<g", "<f16", "bfloat16",
]  # fmt: skip
SHAPES: list[Any] = [
    (), (-1,), (0,), (0, 5), (2**40, 2**40), (2**62, 4), (2**64,), (True, 12), (1.0,), "x", None,
    (0, 2**62), (1,) * 65, (12, 5), (5, 12), (60,), (3, 4, 5), [12, 5], (12,), (12, -5), (2**31, 0),
]  # fmt: skip


def bent(data: bytes, rng: Random, other: bytes) -> bytes:
    """Some bytes changed, wherever they are."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        size = len(out)
        at = rng.randrange(size + 1)
        match rng.randrange(9):
            case 0 if at < size:
                out[at] ^= 1 << rng.randrange(8)
            case 1 if at < size:
                out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x22, 0x2C, 0x5B])
            case 2:
                del out[at : at + rng.choice([1, 1, 2, 8, 64])]
            case 3:
                out[at:at] = rng.randbytes(rng.choice([1, 2, 8, 64]))
            case 4:
                del out[at:]
            case 5:
                piece = out[at : at + rng.choice([1, 8, 64])]
                out[at:at] = piece * rng.choice([1, 2, 50])
            case 6:
                start = rng.randrange(len(other) + 1)
                out[at:at] = other[start : start + rng.choice([4, 32, 256])]
            case 7:
                kind = rng.choice("bhiq")
                mask = 2 ** (8 * struct.calcsize(kind)) - 1
                number = (rng.choice(INTEGERS) & mask).to_bytes(struct.calcsize(kind), "little")
                out[at : at + len(number)] = number
            case _:
                out[at:at] = rng.choice([b"\xef\xbb\xbf", b"\0", b"\r", b"\xff\xfe", b"\n\n", b'"'])
    return bytes(out)


def header(descr: Any, order: Any, shape: Any, extra: dict[str, Any] | None = None) -> bytes:
    """The first bytes of a .npy file, whether or not they make sense."""
    text = repr({"descr": descr, "fortran_order": order, "shape": shape} | (extra or {}))
    body = text.encode("latin1", "replace").ljust((len(text) // 64 + 1) * 64) + b"\n"
    if len(body) < 2**16:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(body)) + body


def bent_array(data: bytes, rng: Random) -> bytes:
    """A .npy file under a header of our own."""
    size = 10 + int.from_bytes(data[8:10], "little")
    body = data[size:]
    descr, order = rng.choice(DTYPES), rng.choice([True, False, 1, None, "x"])
    match rng.randrange(8):
        case 0:
            return header(descr, False, (12, 5)) + body
        case 1:
            return header("<f4", False, rng.choice(SHAPES)) + body
        case 2:
            return header(descr, order, rng.choice(SHAPES)) + body
        case 3:
            depth = rng.choice([10, 1000, 9000])
            nested = "(" * depth + ")" * depth
            text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {nested}}}\n".encode()
            return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body
        case 4:
            extra = {rng.choice(["descr ", "x", "shape\n"]): rng.choice(VALUES)}
            return header("<f4", False, (12, 5), extra) + body
        case 5:
            return data[:6] + bytes([rng.choice([0, 1, 2, 3, 4, 255]), rng.randrange(3)]) + data[8:]
        case 6:
            return data[:8] + struct.pack("<H", rng.choice([0, 1, 2**16 - 1, 60])) + data[10:]
        case _:
            pickled = pickle.dumps([Canary()] * 5)
            return header("|O", False, rng.choice([(5,), (1, 5), ()])) + pickled


def bent_zip(data: bytes, rng: Random) -> bytes:
    """A zip archive with other members, each with a right checksum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(x.filename, archive.read(x)) for x in archive.infolist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    match rng.randrange(7):
        case 0:
            names = ["../../x.npy", "/x.npy", "", ".npy", "a\nb.npy", "x" * 3000 + ".npy",
                     "CON.npy", "\u202e.npy", "x.NPY", "format.npy", "data.npy", "x/"]  # fmt: skip
            members[at] = rng.choice(names), content
        case 1:
            members.append((name, rng.choice([content, b"", bent(content, rng, data)])))
        case 2:
            del members[at]
        case 3 if content[:6] == b"\x93NUMPY":
            members[at] = name, bent_array(content, rng)
        case 4:
            members = (members * rng.choice([2, 300]))[:1000]
        case 5:
            members.append(
                ("x.npy", rng.choice([b"", pickle.dumps(Canary()), header("<f4", False, (5,))]))
            )
        case _:
            members[at] = name, bent(content, rng, data)
    file = io.BytesIO()
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    # the last two take long to begin with each of many members
    method = rng.choice(methods if len(members) < 100 else methods[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names met twice
        with zipfile.ZipFile(file, "w", method) as archive:
            for member in members:
                archive.writestr(*member)
    return file.getvalue()


def bent_csr(data: bytes, rng: Random) -> bytes:
    """A SciPy matrix of which one part is another."""
    with np.load(io.BytesIO(data)) as found:
        parts = {name: found[name] for name in found}
    name = rng.choice(list(parts))
    other: list[Any] = [
        parts[name].astype(rng.choice(["f4", "i1", "u1", "i8", "u8", "c8", "S3", "b1", "f2"]))
        if name != "format" else np.array(rng.choice(["csr", "csc", "bsr", "coo", "\0", "é"])),
        np.zeros(0), np.array(rng.choice([-1, 2**40, 2**62, 3])), parts[name][None],
        np.full(np.shape(parts[name]), rng.choice([-1, 0, 1, 4, 2**31 - 1])),
        np.array([2**40, 2**40]), np.array([2**62, 2]), np.array([12.5, np.nan]), np.array([True]),
        np.array(["x", "y"]), np.arange(len(np.atleast_1d(parts[name])))[::-1],
    ]  # fmt: skip
    parts[name] = other[rng.randrange(len(other))]
    if rng.random() < 0.2:
        del parts[rng.choice(list(parts))]
    file = io.BytesIO()
    np.savez(file, **parts)
    return file.getvalue()


def bent_value(value: Any, rng: Random) -> Any:
    """JSON with another value somewhere."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return value | {rng.choice(TEXTS): rng.choice(VALUES)}
            case _:
                return value | {key: bent_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value[:at], value[at], *value[at:]]
            case _:
                return [*value[:at], bent_value(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and rng.random() < 0.3:
        return rng.choice([*map(str, DTYPES), value + rng.choice(TEXTS), value[1:]])
    return rng.choice([*VALUES, *INTEGERS])


def bent_json(data: bytes, rng: Random) -> bytes:
    """A JSON document, or one of its lines, with another value somewhere."""
    text = data.decode("utf-8")
    lines = text.splitlines() if "\n{" in text or "\n[" in text or '\n"' in text else [text]
    try:
        [json.loads(x) for x in lines]
    except ValueError:
        lines = [text]
    at = rng.randrange(len(lines))
    match rng.randrange(8):
        case 0:
            depth = rng.choice([100, 5000, 100_000])
            mark = rng.choice(["[", '{"a":'])
            lines[at] = mark * depth + ("" if rng.random() < 0.5 else "]" * depth)
        case 1:
            place = rng.randrange(len(lines[at]) + 1)
            piece = rng.choice(
                ["NaN", "-Infinity", "1e999", "9" * 5000, '"\\ud800"', "\0", "\u2028"]
            )
            lines[at] = lines[at][:place] + piece + lines[at][place:]
        case _:
            lines[at] = json.dumps(bent_value(json.loads(lines[at]), rng))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def bent_tensors(data: bytes, rng: Random) -> bytes:
    """A .safetensors file under another header."""
    size = int.from_bytes(data[:8], "little")
    top = bent_json(data[8 : 8 + size], rng)
    stated = rng.choice([len(top)] * 6 + [0, 2**63, len(top) + 8, 2**32])
    return stated.to_bytes(8, "little") + top + data[8 + size :]


def bent_table(data: bytes, rng: Random) -> bytes:
    """Lines with other cells."""
    lines = [x.split(",") for x in data.decode("utf-8").split("\n")]
    row = rng.choice(lines)
    at = rng.randrange(len(row))
    match rng.randrange(6):
        case 0:
            row[at] = rng.choice([*TEXTS, '"', '"' * 7, "x" * 200_000, "1e999", "\r", "\t", "'=x"])
        case 1:
            del row[at]
        case 2:
            row.insert(at, rng.choice(["", "unit", "x"]))
        case 3:
            lines.append(list(row))
        case 4:
            rng.shuffle(lines)
        case _:
            row[at] += rng.choice(["\0", '"', "\u2028", "\x85", "\x1c", "\r\r"])
    return "\n".join(",".join(x) for x in lines).encode("utf-8", "surrogatepass")


# -------------------------------------------------------------------------------------- loaders


@dataclass(frozen=True)
class Loader:
    """What is put to the test.

    Attributes
    ----------
    name : str
    files : dict of str to bytes
        Valid files by name, whose ending says the kind.
    load : callable
        Reads a path.
    sound : callable
        Whether what was read is what is promised.
    bend : tuple of callable
        Mutations of this kind of file.
    refusals : tuple of exception types
        What the loader may raise.
    beside : callable
        ``beside(data)`` gives the files that lie in the folder of one that holds these bytes.
    """

    name: str
    files: dict[str, bytes]
    load: Callable[[Path], Any]
    sound: Callable[[Any], bool]
    bend: tuple[Callable[[bytes, Random], bytes], ...] = ()
    refusals: tuple[type[Exception], ...] = (FileError,)
    beside: Callable[[bytes], dict[str, bytes]] = lambda data: {}

    def put(self, folder: Path, name: str, data: bytes) -> Path:
        """Write a file, and what must lie beside it."""
        for other, content in ({name: data} | self.beside(data)).items():
            (folder / other).write_bytes(content)
        return folder / name


def is_numbers(x: Any) -> bool:
    """An array or sparse matrix of real numbers, that can be read to its end."""
    if sparse.issparse(x):
        small = np.prod([float(s) for s in x.shape]) < 1e6
        return x.dtype.kind in "biuf" and (not small or x.toarray().shape == x.shape)
    return isinstance(x, np.ndarray) and (
        np.array(x).shape == x.shape and (x.dtype.kind in "biuf" or x.dtype.name == "bfloat16")
    )


def are_numbers(found: Any) -> bool:
    """Arrays by name."""
    return isinstance(found, dict) and all(
        isinstance(k, str) and is_numbers(v) for k, v in found.items()
    )


def are_texts(found: Any) -> bool:
    """A list of texts that can be written."""
    return isinstance(found, list) and all(
        isinstance(x, str) and x.encode("utf-8") is not None for x in found
    )


def are_parents(found: Any) -> bool:
    """A parent of each concept."""
    return isinstance(found, dict) and are_texts([*found, *found.values()])


def are_examples(found: Any) -> bool:
    """What shows each of five samples."""
    show, groups = found
    shown = [show(row) for row in range(5)]
    texts = all(isinstance(x, tuple) and are_texts(list(x)) and len(x) == 3 for x in shown)
    images = all(isinstance(x, np.ndarray) and is_numbers(x) for x in shown)
    return (texts or images) and (groups is None or groups.shape == (5,))


def is_audit(found: Any) -> bool:
    """An audit that can be written and described."""
    num_neurons, num_concepts = len(found.neuron_names), len(found.concept_names)
    shapes = {(num_neurons, num_concepts)}
    shapes |= {x.shape for x in (found.certified_set, found.concept_set, found.untested)}
    vectors = {x.shape for x in (found.label, found.similarity, found.regret, found.verdict)}
    return (
        isinstance(found, Audit)
        and len(shapes) == 1
        and vectors == {(num_neurons,)}
        and all(isinstance(x, str) for x in (found.layer, *found.neuron_names))
        and all(isinstance(found.description(u), str) for u in range(num_neurons))
        and found.concept_set.dtype == bool
    )


def are_claims(found: Any) -> bool:
    """Labels with their neurons."""
    return isinstance(found, list) and all(
        are_texts([*x[:3], *x.alternatives]) and isinstance(x.similarity, float) for x in found
    )


def is_kept(found: Any) -> bool:
    """What a folder keeps of an audit: hashes by layer."""
    done = found.get("done", {})
    return isinstance(done, dict) and all(isinstance(x, str) for x in (*done, *done.values()))


def saved(write: Callable[[Path], Any], name: str) -> bytes:
    """What something writes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def small_compositions(num_neurons: int, names: tuple[str, ...]) -> Compositions:
    """Formulas "a AND NOT b" of made-up numbers, of which that of the first neuron is better."""
    one = np.linspace(0.1, 0.9, num_neurons)
    first = np.arange(num_neurons, dtype=np.int32) % len(names)
    longer = np.stack([first, (first + 1) % len(names)], axis=1, dtype=np.int32)
    concept = np.stack([np.stack([first, np.full_like(first, -1)], axis=1), longer])
    operator = np.stack([np.full_like(longer, -1), np.full_like(longer, [-1, 2])]).astype(np.int8)
    return Compositions(
        metric="iou", search="optimal", operators=("and", "or", "and not"), max_length=2,
        beam_width=10, soft=False, alpha=0.1, num_formulas=12, num_samples=50, num_units=50,
        thresholds="fixed", concept_names=names, neuron_names=tuple(map(str, range(num_neurons))),
        num_ranges=1,
        by_length=Formulas(concept, operator), search_similarity=np.stack([one / 4, one]),
        similarity=np.stack([one / 4, one / 2]), lower=one / 3, upper=one,
        guarantee="most of it", gain=one / 4, gain_error=one / 20, p_value=one / 2, q_value=one,
        certified_lower=one / 5, bound=one, other_formula=Formulas(concept[0], operator[0]),
        overlap=one,
    )  # fmt: skip


def small_audit(num_neurons: int = 2, num_concepts: int = 3) -> Audit:
    """An audit of made-up numbers."""
    one = np.linspace(0.1, 0.9, num_neurons)
    two = np.arange(num_neurons * num_concepts).reshape(num_neurons, -1) % 3 > 0
    scalar = np.array(0.5)
    names = tuple(f"concept {i}" for i in range(num_concepts))
    top = two[:, :8].astype(int)
    return Audit(
        layer="block", metric="iou", scheme="multinomial", thresholds="fixed", alpha=0.1,
        num_replicates=10, num_splits=4, num_samples=50, num_units=50, concept_names=names,
        neuron_names=tuple(map(str, range(num_neurons))), label=np.arange(num_neurons) % 3,
        similarity=one, tied=np.ones(num_neurons, int), reason=np.zeros(num_neurons, np.int32),
        set_guarantee="some of it", replication_guarantee="likely",
        replication_probability=one, answer_probability=one,
        trend=Trend(50, one, one, one / 2, one[:1].repeat(3), np.array([0.3, 0.4, 0.5])),
        intervals=LabelIntervals(
            label=np.arange(num_neurons) % 3, guarantee="all of it",
            lower=one / 2, upper=np.where(one > 0.5, np.inf, one),
            pair_lower=one / 2, pair_upper=one, pair_guarantee="perhaps",
            asymptotic_lower=one / 2, asymptotic_upper=one, asymptotic_guarantee="in the end",
            why_wide=("too few samples",) * num_neurons,
        ),
        leading=Leading(top, *(top * x for x in (0.5, 0.25, 0.75, 0.3, 0.6))), regret=one,
        certified_set=two,
        excludes_nothing=one > 0.5, finite_sample=True,
        stability=Stability(
            one, one, one, one, one, one, one, one, two, scalar, scalar, scalar, scalar, scalar,
            0.05, 0.1,
        ),
        concept_set=two, calibrated_set=two, calibrated_guarantee="more", untested=~two,
        answers=two.sum(axis=1), vote_share=two / 2,
        fit=LabelFit(
            *(np.arange(num_neurons) % 3,) * 5, np.full((num_neurons, len(SHARES)), -1), SHARES
        ),
        winners_curse=WinnersCurse(one, one, np.full(num_neurons, np.nan), 5),
        null=PermutationTest(one, one, one, one > 0.5, one, one, one, 99, 50, 0.1, "iou"),
        verdict=np.arange(num_neurons) % 5, verdict_reason=("one of 2",) * num_neurons,
        active_rate=one, positives=np.arange(num_concepts), judged=np.arange(num_concepts) > 0,
        min_positives=1, left_out=(LeftOut("concept 0", 0), LeftOut("gone", 0)), num_ranges=1,
        compositions=small_compositions(num_neurons, names),
    )  # fmt: skip


MANIFEST = {
    "format": FORMAT, "inputs": {"concepts": {"file": "c.npy", "bytes": 3, "sha256": "ab"}},
    "layers": ["a"], "options": {"metric": "iou", "alpha": 0.1},
    "versions": {"neurotrust-jax": "1", "jax": "1"}, "done": {"a": "cd"}, "complete": False,
}  # fmt: skip


def audit_loaders() -> list[Loader]:
    """Both files of an audit; the JSON always holds the hash of the arrays as they are."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_audit(small_audit(), Path(folder) / "audit.json")
        content, arrays = path.read_bytes(), path.with_name("audit.arrays.npz").read_bytes()
    own = hashlib.sha256(arrays).hexdigest().encode()
    return [
        Loader("report.read_audit", {"audit.json": content}, read_audit, is_audit, (bent_json,),
               beside=lambda data: {"audit.arrays.npz": arrays}),
        Loader("report.read_audit arrays", {"audit.arrays.npz": arrays},
               lambda p: read_audit(p.with_name("audit.json")), is_audit, (bent_zip,),
               beside=lambda data: {"audit.json": content.replace(
                   own, hashlib.sha256(data).hexdigest().encode())}),
    ]  # fmt: skip


def loaders() -> list[Loader]:
    """All loaders, with valid files of each kind; those of packages that are there."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(12, 5)).astype(np.float32)
    mask = sparse.csr_array(np.where(matrix > 0.5, matrix, 0))
    npy = saved(lambda p: np.save(p, matrix), "a.npy")
    npz = saved(lambda p: np.savez_compressed(p, one=matrix, two=matrix[:, :2]), "a.npz")
    labels = 'layer,unit,description,similarity\nl,1,a dog,0.5\nl,2,"cats, dogs",\nl,3,x,-1e3\n'
    explanations = [
        {"modelId": "m", "layer": "l", "index": str(i), "description": f"a {i}", "score": 0.5}
        for i in range(3)
    ]
    texts = '"one"\n{"text": "two"}\n"three"\n"four"\n"five"\n'
    tokens = '["a", "b "]\n{"tokens": ["c", " d", "e"]}\n'
    images = saved(lambda p: np.save(p, np.zeros((5, 4, 4, 3), np.uint8)), "a.npy")
    found = [
        Loader("read_array .npy", {"a.npy": npy, "b.npy": saved(lambda p: np.save(p, matrix > 0),
               "a.npy")}, read_array, is_numbers, (bent_array,)),
        Loader("read_arrays .npz", {"a.npz": npz}, read_arrays, are_numbers, (bent_zip,)),
        Loader("read_arrays .npz CSR", {
            "a.npz": saved(lambda p: sparse.save_npz(p, mask), "a.npz"),
            "b.npz": saved(lambda p: sparse.save_npz(p, sparse.csc_array(mask)), "a.npz"),
        }, read_arrays, are_numbers, (bent_csr, bent_csr, bent_zip)),
        Loader("read_names .txt", {"a.txt": "a dog\n\ncät\n".encode()}, read_names, are_texts,
               (bent_table,)),
        Loader("read_names .json", {"a.json": b'["x", "y", "z"]'}, read_names, are_texts,
               (bent_json,)),
        Loader("read_names .npy", {
            "a.npy": saved(lambda p: np.save(p, np.array(["a dog", "", "cät"])), "a.npy"),
            "b.npy": saved(lambda p: np.save(p, np.array([b"a dog", b"cat"])), "a.npy"),
        }, read_names, are_texts, (bent_array,)),
        Loader("read_hierarchy .csv", {"a.csv": b"dog,animal\ncat,animal\n",
               "b.tsv": b"a\tb\nc\td\n"}, read_hierarchy, are_parents, (bent_table,)),
        Loader("read_hierarchy .json", {"a.json": b'{"dog": "animal", "cat": "animal"}'},
               read_hierarchy, are_parents,
               (bent_json,)),
        Loader("read_examples .npy", {"a.npy": images}, lambda p: read_examples(p, 5),
               are_examples, (bent_array,)),
        Loader("read_examples .jsonl", {"a.jsonl": texts.encode(), "b.jsonl": tokens.encode()},
               lambda p: read_examples(p, 5), are_examples, (bent_json,)),
        Loader("read_labels", {"a.csv": labels.encode(), "b.tsv": labels.replace(
               ",", "\t").encode()}, read_labels, are_claims, (bent_table,)),
        Loader("read_labels .json", {
            "a.json": json.dumps(explanations).encode(), "b.json": b'{"0": "a dog", "1": "cat"}',
            "c.jsonl": "\n".join(map(json.dumps, explanations)).encode(),
        }, read_labels, are_claims, (bent_json,)),
        Loader("read_labels .csv", {
            "a.csv": b"group,concept_set_words\n\"1,2\",\"[('a', 0.5), ('b', 1e-3)]\"\n3,[]\n",
            "b.csv": b"unit,weight0,concept0,weight1,concept1\n0,0.5,a,-1,b\n1,2,c,0,0\n",
            "c.csv": b"Neuron ID;Label 1;Label 2\n0;a;b\n1;c; \n",
        }, read_labels, are_claims, (bent_table,)),
        *audit_loaders(),
        Loader("runs manifest", {"manifest.json": json.dumps(MANIFEST, indent=1).encode()},
               lambda p: read_earlier(p, MANIFEST, False), is_kept, (bent_json,)),
    ]  # fmt: skip
    try:
        import torch

        both = {"x": torch.tensor(matrix).bfloat16(), "y": torch.tensor(matrix).to_sparse_coo()}
        files = {
            "a.pt": saved(lambda p: torch.save(torch.tensor(matrix), p), "a.pt"),
            "b.pt": saved(lambda p: torch.save(both, p), "a.pt"),
            "c.pt": saved(lambda p: torch.save({"x": Canary()}, p), "a.pt"),
            "d.pt": saved(
                lambda p: torch.save(both, p, _use_new_zipfile_serialization=False), "a.pt"
            ),
        }
        found.append(
            Loader("read_arrays .pt", files, read_arrays, are_numbers, (bent_zip_of_torch,))
        )
    except ImportError:
        pass
    try:
        from safetensors.numpy import save_file

        data = saved(lambda p: save_file({"a": matrix, "b": matrix[:2].copy()}, p), "a.safetensors")
        found.append(Loader("read_arrays .safetensors", {"a.safetensors": data}, read_arrays,
                            are_numbers, (bent_tensors,)))  # fmt: skip
    except ImportError:
        pass
    try:
        import h5py

        def write(path: Path) -> None:
            with h5py.File(path, "w") as file:
                file["a"] = matrix
                file.create_dataset("b/c", data=matrix, compression="gzip", chunks=(2, 2))
                file["names"] = ["x", "y"]

        # Numbers are read when they are used.
        found.append(Loader("read_arrays .h5", {"a.h5": saved(write, "a.h5")},
                            lambda p: {k: np.asarray(x) for k, x in read_arrays(p).items()},
                            are_numbers))  # fmt: skip
    except ImportError:
        pass
    try:
        import pyarrow as pa
        from pyarrow.parquet import write_table

        table = pa.table({"a": [1.0, 2.0], "b": [True, False], "c": ["x", "y"]})
        data = saved(lambda p: write_table(table, p), "a.parquet")
        found.append(Loader("read_arrays .parquet", {"a.parquet": data}, read_arrays, are_numbers))
    except ImportError:
        pass
    return found


def bent_zip_of_torch(data: bytes, rng: Random) -> bytes:
    """An archive of PyTorch's; its older files are no archives."""
    return bent_zip(data, rng) if data[:2] == b"PK" else bent(data, rng, data)


# ------------------------------------------------------------------------------------- the law


@dataclass
class Row:
    """What a loader did with all its inputs."""

    name: str
    inputs: int = 0
    loaded: int = 0
    refused: int = 0
    worst: float = 0.0
    peak: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


class Watch:
    """What happens while a file is read."""

    def __init__(self) -> None:
        self.on, self.seen = False, []
        sys.addaudithook(self.hear)
        sys.unraisablehook = lambda x: self.seen.append(f"unraisable {x.exc_value!r}")

    def hear(self, event: str, arguments: Any) -> None:
        """Note what a loader has no business with."""
        if self.on and event.startswith(FORBIDDEN):
            self.seen.append(event)
        if (
            self.on
            and event == "open"
            and isinstance(arguments[1], str)
            and arguments[1][0] in "wax"
        ):
            self.seen.append(f"open for writing: {arguments[0]}")


def hides(text: str) -> bool:
    """Whether it holds what commands a terminal, or reorders what is read."""
    kinds = {unicodedata.category(x) for x in text}
    return bool(kinds & {"Cc", "Cs", "Zl", "Zp"}) or any(
        "\u202a" <= x <= "\u202e" or "\u2066" <= x <= "\u2069" for x in text
    )


def num_open() -> int:
    """Files that this process holds open."""
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


def held(loader: Loader, path: Path, watch: Watch, row: Row) -> str:
    """Why the law is broken; empty if it is not."""
    opened = num_open()
    wrong, result, size = "", None, path.stat().st_size
    watch.seen.clear()
    tracemalloc.reset_peak()
    before, start = tracemalloc.get_traced_memory()[0], time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        watch.on = True
        try:
            result = loader.load(path)
        except loader.refusals as error:
            said = str(error)
            row.refused += 1
            if len(said.splitlines()) != 1 or hides(said):
                wrong = f"a message of several lines, or with control characters: {said[:200]!r}"
            elif len(said) > MOST_CHARACTERS:
                wrong = f"a message of {len(said):,} characters: {said[:200]!r}"
            elif path.name not in said and path.parent.name not in said:
                wrong = f"the message does not name the file: {said!r}"
            elif "memory" in said or "alloc" in said:
                wrong = f"it took memory beyond what a small file justifies: {said!r}"
        except BaseException as error:
            wrong = f"{type(error).__name__}: {str(error)[:200]}"
        else:
            row.loaded += 1
        finally:
            watch.on = False
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1] - before
        if result is not None:
            try:
                wrong = wrong or ("" if loader.sound(result) else f"gave {str(result)[:200]!r}")
            except Exception as error:
                wrong = f"gave what can not be used: {type(error).__name__}: {str(error)[:200]}"
    del result
    if num_open() > opened:
        gc.collect()
    row.inputs += 1
    row.worst, row.peak = max(row.worst, seconds), max(row.peak, peak)
    if warned and not wrong:
        wrong = f"warned: {str(warned[0].message)[:200]}"
    if seconds > MOST_SECONDS:
        wrong = wrong or f"took {seconds:.1f} s"
    if peak > MOST_BYTES + PER_BYTE * size:
        wrong = wrong or f"took {peak / 2**20:.0f} MiB for a file of {size:,} bytes"
    if num_open() > opened:
        wrong = wrong or "left a file open"
    if watch.seen or Path("ran").exists():
        wrong = f"did what it must not: {', '.join(watch.seen) or 'ran code of the file'}"
    return wrong


def campaign(
    loader: Loader, row: Row, rng: Random, until: Callable[[], bool], folder: Path, watch: Watch,
    kept: Path,
) -> None:  # fmt: skip
    """Inputs for a loader until it is enough."""
    files = list(loader.files.items())
    while not until():
        name, data = rng.choice(files)
        for _ in range(rng.choice([1, 1, 1, 2])):
            if loader.bend and rng.random() < 0.5:
                try:
                    data = rng.choice(loader.bend)(data, rng)
                    continue
                except Exception:  # too damaged to have a structure
                    pass
            data = bent(data, rng, rng.choice(files)[1])
        path = loader.put(folder, name, data)
        wrong = held(loader, path, watch, row)
        if wrong:
            shutil.rmtree("ran", ignore_errors=True)
            known = {what[:60] for what, _ in row.failures}
            if wrong[:60] not in known:
                kept.mkdir(parents=True, exist_ok=True)
                plain = "".join(x if x in string.ascii_letters else "_" for x in loader.name)
                example = kept / f"{plain}-{len(row.failures)}-{name}"
                example.write_bytes(data)
                row.failures.append((wrong, str(example)))


def main(
    seconds: Annotated[float, typer.Option(min=0, help="How long, for all loaders.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the mutations.")] = 0,
    inputs: Annotated[
        int, typer.Option(min=0, help="Instead: so many inputs for each loader.")
    ] = 0,
    only: Annotated[str, typer.Option(help="Loaders with this in their name.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the files that break the law.")] = Path(
        "fuzz-failures"
    ),
) -> None:
    """Mutate valid files, and hold every loader to the law; exit status 1 if one breaks it."""
    chosen = [x for x in loaders() if only in x.name]
    kept, rows = out.resolve(), []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.chdir(folder)  # where what runs would leave its trace
        for loader in chosen:  # all that is imported late, before anyone watches
            for name, data in loader.files.items():
                for content in (data[:-3], b"[", b'{"x": 1}', data):
                    path = loader.put(folder, name, content)
                    with contextlib.suppress(*loader.refusals):
                        loader.load(path)
                harmless = name != "c.pt"  # which would run code
                if harmless and not loader.sound(loader.load(path)):
                    raise RuntimeError(f"{loader.name} does not read the valid {name}")
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_MEMORY, resource.RLIM_INFINITY))
        watch = Watch()
        tracemalloc.start()
        for loader in chosen:
            row = Row(loader.name)
            rng = random.Random(f"{seed} {loader.name}")
            end = time.monotonic() + seconds / len(chosen)

            def until(row: Row = row, end: float = end) -> bool:
                return row.inputs >= inputs if inputs else time.monotonic() >= end

            campaign(loader, row, rng, until, folder, watch, kept)
            rows.append(row)
        tracemalloc.stop()
        os.chdir(kept.parent)
    table = Table("loader", "inputs", "loaded", "refused", "worst s", "MiB", "failures")
    for row in rows:
        counts = (f"{x:,}" for x in (row.inputs, row.loaded, row.refused))
        table.add_row(
            row.name, *counts, f"{row.worst:.2f}", f"{row.peak / 2**20:.1f}",
            str(len(row.failures)),
        )  # fmt: skip
    console = Console(width=100)
    console.print(table)
    for row in rows:
        for wrong, example in row.failures:
            console.print(f"{row.name}: {wrong!r}\n  {example}", markup=False, highlight=False)
    if any(row.failures for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
