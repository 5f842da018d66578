"""The source of Python packages as tokens with exact concepts from Python's parsers."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._runtime.checkpoint import cache_folder
from .._runtime.short_repr import short_repr
from . import python_concepts, python_syntax
from .python_concepts import (
    CONCEPTS,
    CONTINUES,
    FIRST,
    IN_PIECES,
    LAYOUT,
    concepts_of,
    lexed,
    read,
)
from .python_syntax import LINE

__all__ = ["LabelledTokens", "python_source"]

SKIPPED = {
    "site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__",
    "pydoc_data", "encodings",  # tables and text
}  # fmt: skip
PIECES = re.compile(r" ?[A-Z]?[a-z]+| ?[A-Z]+|\d|\n|[ \t]+|.", re.DOTALL)
OTHER = "\ufffd"  # stands for any character that is not in the vocabulary


@short_repr
class LabelledTokens(NamedTuple):
    """Tokens of source files whose concepts are known exactly.

    Attributes
    ----------
    tokens : array [N] of int32
        Index of each token in the vocabulary, one file after another.
    concepts : array [N, C] of bool
        Whether a concept holds for a token. Where a child holds, its parent holds.
    concept_names : tuple of C str
        Name of each concept, which completes the sentence "neuron 17 fires on: ...".
    concept_parent : array [C] of int32
        Index of each concept's parent in the hierarchy, -1 for a root.
    groups : array [N] of int32
        File of each token, from 0 to G - 1. Tokens of one file are not independent.
    group_names : tuple of G str
        Path of each file in its package.
    lines : array [N] of int32
        Line of each token in its file, from 1.
    starts : array [N] of bool
        True for the first or only piece of a token of Python (a name, a string, a comment, ...),
        false for its later pieces.
    vocabulary : tuple of V str
        Text of each entry. The pieces of a name, a string or a comment join to its text.
    """

    tokens: np.ndarray
    concepts: np.ndarray
    concept_names: tuple[str, ...]
    concept_parent: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...]
    lines: np.ndarray
    starts: np.ndarray
    vocabulary: tuple[str, ...]

    def pieces(self, rows: np.ndarray) -> np.ndarray:
        """Text of some tokens, spaced so that they join to nearly the source.

        Parameters
        ----------
        rows : array [n] of int
            Indices of the tokens.

        Returns
        -------
        array [n] of str
            Text of each token, after a space if it is the first piece of a token of Python.
        """
        words = np.array(self.vocabulary, object)
        visible = np.array([bool(word.strip()) for word in self.vocabulary])
        text = words[self.tokens[rows]]
        return np.where(self.starts[rows] & visible[self.tokens[rows]], " " + text, text)


def python_source(
    package: str | None = None,
    *,
    max_tokens: int | None = None,
    vocab_size: int = 4096,
    cache: bool = True,
) -> LabelledTokens:
    """Read the source of the standard library, or of another installed package.

    A name, number or operator that is frequent in the standard library is a single token. Others,
    and all strings and comments, are split into pieces (words, digits, characters) that share the
    concepts of the whole. The vocabulary is that of the standard library for every package, so
    another package is the same task on a shifted distribution. Tests are left out, and so are files
    that this version of Python can not parse. The package is read and not imported.

    Parameters
    ----------
    package : str, optional
        Import name of an installed package. The default is the standard library.
    max_tokens : int, optional
        Read whole files, in a pseudo-random order that is always the same, until there are at least
        this number of tokens, at least 1. The default is to read all files.
    vocab_size : int
        Size of the vocabulary, at least 256.
    cache : bool
        Whether to store the result on disk and load it in later calls. The folder is the value of
        the environment variable ``NEUROTRUST_CACHE``, or else ``~/.cache/neurotrust_jax``.

    Returns
    -------
    LabelledTokens
        Tokens of all files, with their concepts and the file of each.

    Raises
    ------
    ValueError
        If the package is not installed or has no Python source, or a number is too small.
    """
    if max_tokens is not None and max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
    if vocab_size < 256:
        raise ValueError(f"vocab_size must be at least 256, got {vocab_size}")
    library = _files(Path(os.__file__).parent)
    files = library if package is None else _files(_root(package))

    def vocabulary() -> dict[str, np.ndarray]:
        return {"vocabulary": np.array(_vocabulary(library, vocab_size))}

    stamp = _stamp(library)
    words = _cached(f"vocabulary-{vocab_size}-{stamp}", vocabulary, cache)["vocabulary"].tolist()

    def build() -> dict[str, np.ndarray]:
        return _label(files, {w: i for i, w in enumerate(words)}, max_tokens)

    name = f"source-{package or 'python'}-{max_tokens}-{vocab_size}-{stamp}-{_stamp(files)}"
    found = _cached(name, build, cache)
    names = [name for name, _, _ in CONCEPTS]
    return LabelledTokens(
        tokens=found["tokens"],
        concepts=np.unpackbits(found["concepts"], axis=1, count=len(names)).astype(bool),
        concept_names=tuple(names),
        concept_parent=np.array(
            [-1 if parent is None else names.index(parent) for _, parent, _ in CONCEPTS], np.int32
        ),
        groups=found["groups"],
        group_names=tuple(found["group_names"].tolist()),
        lines=found["lines"],
        starts=found["starts"],
        vocabulary=tuple(words),
    )


# ---------------------------------------------------------------------------- files


def _root(package: str) -> Path:
    """Return the folder or the file of an installed package, or raise."""
    if not package.isidentifier():
        raise ValueError(f"package must be the import name of a package, got {package!r}")
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ValueError(f"there is no package {package!r}; install it, or give another")
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise ValueError(f"{package!r} has no Python source; give another package")
    return Path(spec.origin)


def _files(root: Path) -> list[tuple[str, Path]]:
    """Return source files with their paths in the package, in the order of a hash of the path."""
    if root.is_file():
        return [(root.name, root)]
    found = {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*.py")
        if not SKIPPED & set(path.relative_to(root).parts[:-1])
    }
    if not found:
        raise ValueError(f"there is no Python source in {root.name!r}; give another package")
    return sorted(found.items(), key=lambda x: hashlib.sha256(x[0].encode()).hexdigest())


def _stamp(files: list[tuple[str, Path]]) -> str:
    """Return a hash that changes with the files, the version of Python or the rules here."""
    facts = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in files]
    modules = __file__, python_concepts.__file__, python_syntax.__file__
    rules = [Path(module).read_bytes() for module in modules]
    text = repr((sys.version_info[:3], facts, rules)).encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _cached(
    name: str, build: Callable[[], dict[str, np.ndarray]], cache: bool
) -> dict[str, np.ndarray]:
    """Return the arrays stored under a name, or build them and store them if possible."""
    if not cache:
        return build()
    folder = cache_folder()
    path = folder / f"{name}.npz"
    damaged = OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error
    with (
        contextlib.suppress(*damaged),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        return {key: stored[key] for key in stored}
    found = build()
    part = path.with_suffix(f".{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as target:
            np.savez_compressed(target, allow_pickle=False, **found)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return found


# ---------------------------------------------------------------------------- tokens


def _split(token: tokenize.TokenInfo, known: Any) -> list[str]:
    """Split a token into pieces that are in the vocabulary `known`."""
    if token.type in LAYOUT:
        return [LAYOUT[token.type]]
    if token.type not in IN_PIECES and token.string in known:
        return [token.string]
    pieces: list[str] = []
    for piece in PIECES.findall(token.string):
        if piece in known:
            pieces.append(piece)
        else:
            pieces += [x if x in known else OTHER for x in piece]
    return pieces


def _vocabulary(files: list[tuple[str, Path]], size: int) -> list[str]:
    """Return layout symbols, ASCII characters, then the most frequent tokens and pieces."""
    count: Counter[str] = Counter()
    for _, path in files:
        found = lexed(path)
        for token in found[0] if found else []:
            if token.type in LAYOUT:
                continue
            if token.type not in IN_PIECES:
                count[token.string] += 1
            if token.type in IN_PIECES or token.type == tokenize.NAME:
                count.update(PIECES.findall(token.string))
    characters = [chr(i) for i in range(32, 127)] + ["\n", "\t"]
    always = list(dict.fromkeys([OTHER, *LAYOUT.values(), *characters]))
    ranked = sorted(count.items(), key=lambda x: (-x[1], x[0]))
    often = [word for word, _ in ranked if word not in set(always) and "\x00" not in word]
    return (always + often)[:size]


def _label(
    files: list[tuple[str, Path]], known: dict[str, int], max_tokens: int | None
) -> dict[str, np.ndarray]:
    """Return the fields of ``LabelledTokens`` that depend on the files, concepts packed to bits."""
    names = [name for name, _, _ in CONCEPTS]
    continues, first = names.index(CONTINUES), names.index(FIRST)
    parts: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    total = 0
    for name, path in files:
        if max_tokens is not None and total >= max_tokens:
            break
        found = read(path)
        if found is None:
            continue
        file, tokens = found
        pieces = [_split(t, known) for t in tokens]
        length = np.array([len(x) for x in pieces])
        labels = np.repeat(concepts_of(file), length, axis=0)
        starts = np.cumsum(length) - length
        begins = np.zeros(len(labels), bool)
        begins[starts[length > 0]] = True
        words = [x for p in pieces for x in p]
        wordlike = np.array([x[-1:].isalnum() or x[-1:] == "_" for x in words], bool)
        spaced = np.array([x[:1].isspace() for x in words], bool)
        labels[:, continues] = wordlike & ~spaced & ~begins & np.r_[False, wordlike[:-1]]
        labels[:, first] &= begins
        ids = np.array([known[x] for x in words], np.int32)
        lines = np.repeat(file.position >> LINE, length).astype(np.int32)
        parts.append((name, ids, np.packbits(labels, axis=1), lines, begins))
        total += len(ids)
    if not parts:
        raise ValueError("this Python can read none of the files; give another package")
    parts.sort(key=lambda x: x[0])
    return {
        "tokens": np.concatenate([x[1] for x in parts]),
        "concepts": np.concatenate([x[2] for x in parts]),
        "lines": np.concatenate([x[3] for x in parts]),
        "starts": np.concatenate([x[4] for x in parts]),
        "groups": np.repeat(np.arange(len(parts)), [len(x[1]) for x in parts]).astype(np.int32),
        "group_names": np.array([x[0] for x in parts]),
    }
