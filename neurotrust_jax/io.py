"""Arrays, names and examples from files, of whatever program wrote them; nothing is executed.

A file that is not what it says ends in a :class:`FileError`, one line that names the file, before
memory is taken for what it holds.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ._runtime.memory import free_memory
from .sparse_files import PARTS, read_scipy

__all__ = [
    "FileError",
    "as_cell",
    "check_numbers",
    "from_cell",
    "read_any",
    "read_array",
    "read_arrays",
    "read_examples",
    "read_hierarchy",
    "read_names",
    "read_rows",
    "read_wanted",
    "snippet",
    "visible",
]

LAYOUT = {"\n": "⏎", "\t": " "}  # of a text, on one line
CONTROL = {c: None for c in range(32)} | {127: None} | str.maketrans(LAYOUT)
LONGEST = 1000  # characters of a message
LONGEST_HEADER = 2**16  # bytes, of an array; NumPy reads no more than 10,000
MOST_PACKED = 1032  # bytes that deflate packs into one
NUMBERS, STRINGS = "biuf", "SU"  # kinds of NumPy's types


class FileError(ValueError):
    """A file that can not be used, and what to do about it: one line, whatever the file holds."""

    def __init__(self, message: str) -> None:
        text = visible(message)
        if len(text) > LONGEST:  # the file comes first, what to do about it last
            text = f"{text[: LONGEST - 300]} ... {text[-290:]}"
        super().__init__(text)


def visible(text: str) -> str:
    """The text without characters that hide, reorder or break others: each is made visible.

    Line ends and tabs become what :data:`LAYOUT` says, other control characters their pictures,
    and directional overrides, embeddings and isolates, surrogates and unassigned control codes the
    replacement character.
    """
    return "".join(_visible(x) for x in str(text))


def _visible(x: str) -> str:
    if x in LAYOUT:
        return LAYOUT[x]
    if x < " ":
        return chr(0x2400 + ord(x))
    if "\u202a" <= x <= "\u202e" or "\u2066" <= x <= "\u2069":
        return "\ufffd"
    kind = unicodedata.category(x)
    if kind in ("Zl", "Zp"):
        return LAYOUT["\n"]
    return "\ufffd" if kind in ("Cc", "Cs") else x


# what a spreadsheet takes for a formula, and what it does not although it begins so
FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|[\t\r\n])")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def as_cell(text: str) -> str:
    """A text as a cell of a .csv file, with an apostrophe in front where it may be a formula.

    Whoever opens the file in a spreadsheet must not run what a concept's name says (OWASP, "CSV
    injection"). :func:`from_cell` gives the text back; numbers stay as they are.
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """The text that :func:`as_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def read_arrays(path: str | Path) -> dict[str, Any]:
    """Read all matrices of a file, by name.

    ==============  ================================================================
    .npy            one array, named "", which stays on the disk until it is read
    .npz            arrays by name; or one SciPy sparse matrix of any format, named ""
    .pt, .pth       a tensor (dense or sparse), or a dict of them; by safe loading only
    .safetensors    tensors by name
    ==============  ================================================================

    Raises
    ------
    FileError
        If the file is missing, damaged, holds pickled objects, says that it holds more than it
        does or than there is memory for, holds no real numbers, or is of another kind.
    ImportError
        If its kind needs a package that is not installed.
    """
    path = Path(path)
    found = read_any(path)
    for name, array in found.items():
        check_numbers(array, name, path)
    return found


def read_any(path: Path) -> dict[str, Any]:
    """As :func:`read_arrays`, also what holds no numbers but strings."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise FileError(f"{path}: unknown kind of file; known: {', '.join(READERS)}")
    if not path.is_file():
        raise FileError(f"{path}: there is no such file")
    with _told(path):
        return reader(path)


def check_numbers(array: Any, name: str, path: Path) -> None:
    """Raise if an array of a file holds no real numbers."""
    # NumPy knows bfloat16 by its name alone
    if array.dtype.kind not in NUMBERS and array.dtype.name != "bfloat16":
        what = f"{name!r} is" if name else "it is"
        raise FileError(f"{path}: {what} of {array.dtype}; save real numbers")


def read_array(path: str | Path, name: str | None = None) -> Any:
    """Read one array of a file: the named one, or the only one there is.

    Raises
    ------
    FileError
        As :func:`read_arrays`; if there is no such array, or several and no name.
    """
    found = read_arrays(path)
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        wanted = "give one of its names" if name is None else f"there is no {name!r}"
        raise FileError(f"{path}: holds {', '.join(map(repr, found))}; {wanted}")
    return found[name]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes a library raise, as one line that names the file."""
    try:
        # of old headers, or of checks that it leaves out: no reason to refuse what can be read
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (FileError, ImportError):
        raise
    except MemoryError:
        raise FileError(f"{path}: there is not enough memory for what it holds") from None
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "allow_pickle" in reason or "Weights only load failed" in reason:
            reason = "it holds pickled objects, which could run code; save plain arrays instead"
        raise FileError(f"{path}: can not be read: {reason}") from None


def _npy(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        _check_header(file, path.stat().st_size, str(path))
    return {"": np.load(path, mmap_mode="r", allow_pickle=False)}


def _npz(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        _check_members(archive, path)
        entries = {
            x.filename.removesuffix(".npy"): x
            for x in archive.infolist()
            if x.filename.endswith(".npy")
        }
        if not entries:
            raise FileError(f"{path}: holds no arrays")
        for entry in entries.values():
            with archive.open(entry) as file:
                _check_header(file, entry.file_size, f"{path}, {entry.filename}")
        arrays = {}
        for name, entry in entries.items():
            with archive.open(entry) as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return {"": read_scipy(arrays, str(path))} if set(arrays) >= PARTS else arrays


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """That an archive holds what it says, each once, and unpacks into the memory there is."""
    entries = archive.infolist()
    names = [x.filename for x in entries]
    if len(set(names)) < len(names):
        raise FileError(f"{path}: holds {max(names, key=names.count)!r} more than once")
    if any(x.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for x in entries):
        raise FileError(f"{path}: is packed otherwise than by deflate; save it anew")
    total = sum(x.file_size for x in entries)
    packed = sum(x.compress_size for x in entries)
    if packed > path.stat().st_size or any(
        x.file_size > MOST_PACKED * (x.compress_size + 1) for x in entries
    ):
        raise FileError(f"{path}: says that it holds {total:,} bytes, more than it does")
    if total > free_memory():
        raise FileError(
            f"{path}: unpacks to {total / 2**30:.1f} GiB, more than there is memory; save its "
            "arrays as .npy files, which are read from the disk"
        )


def _check_header(file: Any, size: int, name: str) -> None:
    """That an array takes as many bytes as its header says, or raise."""
    # of the first bytes alone: a file on the disk would allocate what a header's length says
    start = io.BytesIO(file.read(LONGEST_HEADER))
    version = np.lib.format.read_magic(start)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise FileError(f"{name}: version {version} of the format is not known")
    shape, _, dtype = read[version](start)
    if dtype.hasobject:
        raise FileError(
            f"{name}: it holds pickled objects, which could run code; save plain arrays instead"
        )
    if dtype.kind not in NUMBERS + STRINGS or dtype.itemsize == 0:
        raise FileError(f"{name}: it is of {dtype}; save real numbers")
    stated, follow = math.prod(shape) * dtype.itemsize, size - start.tell()
    if stated != follow:
        raise FileError(
            f"{name}: its header says {dtype} {shape}, {stated:,} bytes, but {follow:,} follow; it "
            "is damaged or not what it says"
        )


def _torch(path: Path) -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{path} needs PyTorch: pip install torch") from error
    with path.open("rb") as file:
        packed = file.read(2) == b"PK"
    source: Any = path
    if packed:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
    else:
        # the format before 1.6 states lengths, which a file on the disk would allocate unseen
        source = io.BytesIO(path.read_bytes())
    found = torch.load(source, map_location="cpu", weights_only=True)
    if isinstance(found, torch.Tensor):
        found = {"": found}
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(x, torch.Tensor) for name, x in found.items()
    ):
        raise FileError(f"{path}: must hold a tensor or a dict of tensors by name")
    return {name: _from_torch(x, torch, path) for name, x in found.items()}


def _from_torch(tensor: Any, torch: Any, path: Path) -> Any:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.layout == torch.strided:
        # strides of 0 repeat what is stored once
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise FileError(f"{path}: says that it holds {tuple(tensor.shape)}, more than it does")
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    from scipy.sparse import coo_array

    listed = tensor.to_sparse_coo().coalesce()
    rows, columns = listed.indices().numpy()
    values = listed.values()
    values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return coo_array((values, (rows, columns)), shape=tuple(tensor.shape))


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError(f"{path} needs safetensors: pip install safetensors") from error
    found = {}
    with safe_open(path, framework="numpy") as file, safe_open(path, framework="flax") as by_jax:
        for name in file.keys():  # noqa: SIM118
            # JAX without x64 would cut integers of 64 bits; NumPy alone lacks short floats
            short = file.get_slice(name).get_dtype().startswith(("BF", "F8"))
            found[name] = np.asarray((by_jax if short else file).get_tensor(name))
    return found


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".pt": _torch,
    ".pth": _torch,
    ".safetensors": _safetensors,
}


def read_names(path: str | Path) -> list[str]:
    """Names: one a line, a list of strings in a .json file, or an array of strings or bytes.

    The array is that of a .npy file, or the one of a .npz file that is the only one or is called
    "names".

    Raises
    ------
    FileError
        If the file is missing, is not UTF-8 text, or holds something else.
    """
    path = Path(path)
    if path.suffix.lower() in (".npy", ".npz"):
        return _texts(_chosen(read_any(path), "names", path)[1], path)
    with _told(path):
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".json":
            names = text.split("\n")  # nothing else that Unicode takes for the end of a line
            while names and not names[-1].strip():
                names.pop()
            return names
        found = json.loads(text)
    if not isinstance(found, list) or not all(_is_text(x) for x in found):
        raise FileError(f"{path}: must be a list of strings")
    return found


def read_wanted(path: Path, wanted: str, *, texts: bool = False) -> Any:
    """Read the array of a file that is the only one, or has the name of what is wanted.

    It holds numbers; with ``texts`` also strings or bytes.

    Raises
    ------
    FileError
        As :func:`read_arrays`; if there are several arrays, and none of that name.
    """
    name, array = _chosen(read_any(path), wanted, path)
    if not (texts and array.dtype.kind in "SU"):
        check_numbers(array, name, path)
    return array


def _chosen(arrays: dict[str, Any], wanted: str, path: Path) -> tuple[str, Any]:
    if wanted in arrays:
        return wanted, arrays[wanted]
    if len(arrays) != 1:
        found = ", ".join(f"{name!r} {list(x.shape)}" for name, x in arrays.items())
        raise FileError(f"{path}: holds {found}; call the one to read {wanted!r}, or save it alone")
    return next(iter(arrays.items()))


def _texts(array: Any, path: Path) -> list[str]:
    if array.ndim != 1 or array.dtype.kind not in "SU":
        raise FileError(
            f"{path}: names must be strings of shape [C], got {array.dtype} {list(array.shape)}"
        )
    with _told(path):
        names = [x.decode() if isinstance(x, bytes) else x for x in array.tolist()]
    if not all(_is_text(x) for x in names):
        raise FileError(f"{path}: must hold whole characters")
    return names


def read_rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """Rows of a table of text, each with the number of the line on which it begins.

    Cells are separated by tabs in a .tsv or .tab file and where the first row holds a tab, else by
    commas. Rows without any text are left out.

    Raises
    ------
    FileError
        If the file is missing, is not UTF-8 text, or its quotes do not match.
    """
    path = Path(path)
    with _told(path), path.open(newline="", encoding="utf-8-sig") as file:
        text = file.read()
    lines = io.StringIO(text, newline="")
    first = next((x for x in lines if x.strip()), "")
    lines.seek(0)
    tabs = path.suffix.lower() in (".tsv", ".tab") or "\t" in first
    rows = csv.reader(lines, delimiter="\t" if tabs else ",", strict=True)
    found, line = [], 1
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                found.append((line, row))
            line = rows.line_num + 1
    except csv.Error as error:
        raise FileError(
            f"{path}: line {line} can not be read: {error}; quote a cell that begins with a "
            "quote, and double the quotes in it"
        ) from None
    return found


def _is_text(x: Any) -> bool:
    r"""Whether it is a string that can be written; JSON may say half of a character, "\ud800"."""
    return isinstance(x, str) and not any("\ud800" <= c <= "\udfff" for c in x)


def read_hierarchy(path: str | Path) -> dict[str, str]:
    """Parents of concepts: a .json object, or lines "child<tab>parent" or "child,parent".

    Raises
    ------
    FileError
        If the file is missing or holds something else, such as a line of three columns.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        with _told(path):
            text = path.read_text(encoding="utf-8-sig")
            found = json.loads(text, object_pairs_hook=_unique)
    else:
        rows = read_rows(path)
        for line, row in rows:
            if len(row) != 2:
                raise FileError(
                    f"{path}: line {line} has {len(row)} columns; give two, a child and its "
                    "parent, and quote a name that holds a comma"
                )
        with _told(path):
            found = _unique(row for _, row in rows)
    if not isinstance(found, dict) or not all(_is_text(x) for x in (*found, *found.values())):
        raise FileError(f"{path}: must say the parent, a string, of each concept")
    return found


def _unique(pairs: Any) -> dict[Any, Any]:
    """Pairs as a dict, if none of them undoes another."""
    found: dict[Any, Any] = {}
    for child, parent in pairs:
        if found.setdefault(child, parent) != parent:
            raise ValueError(f"{child!r} has two parents, {found[child]!r} and {parent!r}")
    return found


def read_examples(
    path: str | Path, num_samples: int
) -> tuple[Callable[[int], Any], np.ndarray | None]:
    """What the samples are, to be shown: pictures, texts, or the tokens of texts.

    ``.npy``: images [n, H, W], [n, H, W, 1] or [n, H, W, 3]. ``.jsonl``: a JSON value a line, n
    strings or objects with a "text"; or lists of tokens (or objects with "tokens"), n tokens in
    all, in the order of the samples.

    Returns
    -------
    show : callable
        Of a sample: its picture, or what comes before it, itself, and what follows.
    groups : array [n] or None
        The text of each token.

    Raises
    ------
    FileError
        If the file is missing, or does not hold so many samples.
    """
    path = Path(path)
    if path.suffix.lower() != ".jsonl":
        images = read_wanted(path, "images")
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
            raise FileError(
                f"{path}: images must be [n, H, W] or [n, H, W, 1|3], got {images.shape}"
            )
        if len(images) != num_samples:
            raise FileError(f"{path}: holds {len(images)} images for {num_samples} samples")
        return lambda row: np.asarray(images[row]), None
    with _told(path):
        text = path.read_text(encoding="utf-8-sig")
        lines = [_json_of(x, i) for i, x in enumerate(text.split("\n"), 1) if x.strip()]
    values: list[Any] = [
        x.get("tokens", x.get("text")) if isinstance(x, dict) else x for x in lines
    ]
    if all(_is_text(x) for x in values):
        if len(values) != num_samples:
            raise FileError(f"{path}: holds {len(values)} texts for {num_samples} samples")
        return lambda row: ("", values[row], ""), None
    if not all(isinstance(x, list) and all(_is_text(t) for t in x) for x in values):
        raise FileError(f"{path}: each line must be a text, or a list of tokens")
    lengths = [len(x) for x in values]
    if sum(lengths) != num_samples:
        raise FileError(f"{path}: holds {sum(lengths)} tokens for {num_samples} samples")
    groups = np.repeat(np.arange(len(values)), lengths)
    pieces = [token for tokens in values for token in tokens]

    def show(row: int) -> tuple[str, str, str]:
        return snippet(pieces, groups, row, 60)

    return show, groups


def _json_of(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"line {line} is no JSON: {error.msg}, character {error.pos + 1}"
        ) from None


def snippet(pieces: Any, groups: np.ndarray, row: int, width: int) -> tuple[str, str, str]:
    """A token, and up to so many characters of its text before and after it, on one line.

    ``pieces`` are the tokens [n] of all texts, ``groups`` [n] the text of each, ascending.
    """
    low, high = (int(np.searchsorted(groups, groups[row], side)) for side in ("left", "right"))
    before = "".join(pieces[max(low, row - width) : row])
    after = "".join(pieces[row + 1 : min(high, row + 1 + width)])
    told = [x.translate(CONTROL) for x in (before, pieces[row], after)]
    return told[0][-width:], told[1].strip() or told[1], told[2][:width]
