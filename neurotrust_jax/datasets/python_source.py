"""The source of Python packages, each token labelled exactly by Python's own parsers."""

from __future__ import annotations

import ast
import builtins
import contextlib
import hashlib
import importlib.util
import io
import keyword
import os
import re
import sys
import tokenize
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..folders import cache_folder

__all__ = ["LabelledTokens", "python_source"]

SKIPPED = {
    "site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__",
    "pydoc_data", "encodings",  # tables and text
}  # fmt: skip
PIECES = re.compile(r" ?[A-Z]?[a-z]+| ?[A-Z]+|\d|\n|[ \t]+|.", re.DOTALL)
OTHER = "\ufffd"  # any character that has no token
LAYOUT = {tokenize.NEWLINE: "⏎", tokenize.NL: "⏎", tokenize.INDENT: "⇥", tokenize.DEDENT: "⇤"}


class LabelledTokens(NamedTuple):
    """Tokens of source files whose concepts are known exactly.

    Attributes
    ----------
    tokens : int32 array [N]
        Index into the vocabulary, one file after another.
    concepts : bool array [N, C]
        Whether a concept holds. Where a child holds, its parent holds.
    concept_names : tuple of C str
        Each completes the sentence "unit 17 fires on: ...".
    concept_parent : int32 array [C]
        Index of the concept's parent in the hierarchy, -1 for a root.
    groups : int32 array [N]
        File of each token, dense 0..G-1. Tokens of one file are not independent.
    group_names : tuple of G str
        Paths of the files in their package.
    lines : int32 array [N]
        Line in the file, from 1.
    starts : bool array [N]
        Whether the token begins what Python takes as one (a name, a string, a comment ...), and is
        no later piece of it.
    vocabulary : tuple of V str
        What each token stands for. The pieces of a name, a string or a comment join to its text.
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
        """Tokens `rows` as a person would read them in a row, array of str: nearly the source."""
        words = np.array(self.vocabulary, object)
        apart = np.array([bool(word.strip()) for word in self.vocabulary])
        told = words[self.tokens[rows]]
        return np.where(self.starts[rows] & apart[self.tokens[rows]], " " + told, told)


def python_source(
    package: str | None = None,
    *,
    max_tokens: int | None = None,
    vocab_size: int = 4096,
    cache: bool = True,
) -> LabelledTokens:
    """Read the source of the standard library, or of another installed package.

    Names, numbers and operators that are frequent in the standard library are tokens of their own;
    the rest, strings and comments come in pieces (words, digits, characters) that share the labels
    of the whole. The vocabulary is that of the standard library for every package, so that another
    package is the same task on a shifted distribution. Tests are left out, and files that this
    Python does not parse. Nothing is imported.

    Parameters
    ----------
    package : str, optional
        Import name of an installed package; the standard library unless given.
    max_tokens : int, optional
        Take whole files, in an order that has nothing to do with their content, until there are at
        least this many tokens.
    vocab_size : int
        Number of tokens to tell apart, at least 256.
    cache : bool
        Keep the result in the folder that the environment variable ``NEUROTRUST_CACHE`` names, else
        in ``~/.cache/neurotrust_jax``.

    Returns
    -------
    LabelledTokens

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
    """Source files by their path in the package, in the order of a hash of that path."""
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
    """Tells apart files, versions of Python, and versions of the rules here."""
    told = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in files]
    text = repr((sys.version_info[:3], told)).encode() + Path(__file__).read_bytes()
    return hashlib.sha256(text).hexdigest()[:16]


def _cached(
    name: str, build: Callable[[], dict[str, np.ndarray]], wanted: bool
) -> dict[str, np.ndarray]:
    """What was kept under a name, else what is built, which is then kept if it can be."""
    if not wanted:
        return build()
    folder = cache_folder()
    path = folder / f"{name}.npz"
    damaged = OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error
    with (
        contextlib.suppress(*damaged),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as kept,
    ):
        return {key: kept[key] for key in kept}
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


def _lexed(path: Path) -> tuple[list[tokenize.TokenInfo], ast.Module, list[str]] | None:
    """Tokens, syntax tree and lines of a file; None where this Python can not read it."""
    try:
        with tokenize.open(path) as file:
            source = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError, OSError):
        return None
    return [t for t in tokens if t.type != tokenize.ENDMARKER], tree, source.splitlines()


# of f-strings, which are tokens of their own from Python 3.12 on
FSTRING = {
    getattr(tokenize, name)
    for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
    if hasattr(tokenize, name)
}
IN_PIECES = {tokenize.STRING, tokenize.COMMENT, *FSTRING}


def _split(token: tokenize.TokenInfo, known: Any) -> list[str]:
    """The pieces of a token that the vocabulary knows."""
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
    """Layout, characters, then the most frequent tokens and pieces."""
    count: Counter[str] = Counter()
    for _, path in files:
        lexed = _lexed(path)
        for token in lexed[0] if lexed else []:
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


# ---------------------------------------------------------------------------- labels


class File(NamedTuple):
    """A file's tokens, and where its syntax tree says what.

    Attributes
    ----------
    kind : array [t]
        Types of the tokens.
    string : array [t] of str
    place : array [t]
        Where each begins.
    depth : array [t]
        Open brackets around it.
    indent : array [t]
        Blocks around it.
    spans : dict of str to array [s, 2]
        Places between which something holds.
    """

    kind: np.ndarray
    string: np.ndarray
    place: np.ndarray
    depth: np.ndarray
    indent: np.ndarray
    spans: dict[str, list[tuple[int, int]]]

    def within(self, name: str) -> np.ndarray:
        """Whether each token lies in a span."""
        found = np.array(self.spans.get(name, []), np.int64).reshape(-1, 2)
        change = np.zeros(len(self.place) + 1, np.int64)
        np.add.at(change, np.searchsorted(self.place, found[:, 0]), 1)
        np.add.at(change, np.searchsorted(self.place, found[:, 1]), -1)
        return np.cumsum(change)[:-1] > 0

    def is_one_of(self, *strings: str) -> np.ndarray:
        """Whether each token is one of these, outside strings and comments."""
        return np.isin(self.string, strings) & ~np.isin(self.kind, list(IN_PIECES))

    @property
    def identifier(self) -> np.ndarray:
        """Names that are no keywords."""
        return (self.kind == tokenize.NAME) & ~np.isin(self.string, keyword.kwlist)

    def next_is(self, *strings: str) -> np.ndarray:
        """Whether the token after each is one of these."""
        return np.r_[self.is_one_of(*strings)[1:], False]

    def after(self, *strings: str) -> np.ndarray:
        """Whether the token before each is one of these."""
        return np.r_[False, self.is_one_of(*strings)[:-1]]

    def matches(self, pattern: str) -> np.ndarray:
        """Whether the text of each identifier or number matches."""
        compiled = re.compile(pattern)
        return np.array([bool(compiled.fullmatch(x)) for x in self.string.tolist()], bool)


def _builtins(wanted: Callable[[Any], bool]) -> tuple[str, ...]:
    return tuple(name for name, value in vars(builtins).items() if wanted(value) and name[0] != "_")


def _is_exception(x: Any) -> bool:
    return isinstance(x, type) and issubclass(x, BaseException)


EXCEPTIONS = _builtins(_is_exception)
TYPES = _builtins(lambda x: isinstance(x, type) and not _is_exception(x))
FUNCTIONS = _builtins(lambda x: callable(x) and not isinstance(x, type))
CONTINUES, FIRST = "a piece that goes on with a word", "the first token of a line"
ARITHMETIC = ("+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "~", "<<", ">>")
COMPARISONS = ("<", ">", "<=", ">=", "==", "!=")
AUGMENTED = tuple(f"{x}=" for x in ARITHMETIC if x != "~")
KEYWORD, NAME, STRING, OPERATOR = "a keyword", "an identifier", "in a string", "an operator"
NUMBER, FUNCTION, BRACKETS = "a number", "in the body of a function", "within brackets"

Rule = Callable[[File], np.ndarray]


def _among(*strings: str) -> Rule:
    return lambda f: f.is_one_of(*strings)


def _within(name: str) -> Rule:
    return lambda f: f.within(name)


# name, parent, rule; a child holds only where its parent does
CONCEPTS: tuple[tuple[str, str | None, Rule], ...] = (
    (KEYWORD, None, lambda f: (f.kind == tokenize.NAME) & np.isin(f.string, keyword.kwlist)),
    ("if, elif or else", KEYWORD, _among("if", "elif", "else")),
    ("for, while, break or continue", KEYWORD, _among("for", "while", "break", "continue")),
    ("def, class or lambda", KEYWORD, _among("def", "class", "lambda")),
    ("import or from", KEYWORD, _among("import", "from")),
    ("try, except, finally or raise", KEYWORD, _among("try", "except", "finally", "raise")),
    ("return or yield", KEYWORD, _among("return", "yield")),
    ("and, or, not, in or is", KEYWORD, _among("and", "or", "not", "in", "is")),
    ("True, False or None", KEYWORD, _among("True", "False", "None")),
    (NAME, None, lambda f: f.identifier),
    ("a builtin function", NAME, _among(*FUNCTIONS)),
    ("a builtin type", NAME, _among(*TYPES)),
    ("a builtin exception", NAME, _among(*EXCEPTIONS)),
    ("self or cls", NAME, _among("self", "cls")),
    ("a name with double underscores", NAME, lambda f: f.matches(r"__\w+__")),
    ("a name with a leading underscore", NAME, lambda f: f.matches(r"_(?!_)\w*")),
    ("a name in capitals", NAME, lambda f: f.matches(r"_*[A-Z][A-Z0-9_]+")),
    ("a name in CamelCase", NAME, lambda f: f.matches(r"_*[A-Z]+[a-z]\w*")),
    ("a function's name where it is defined", NAME, lambda f: f.after("def")),
    ("a class's name where it is defined", NAME, lambda f: f.after("class")),
    ("a parameter of a function", NAME, _within("parameter")),
    ("a variable that is assigned", NAME, _within("assigned")),
    ("an attribute", NAME, lambda f: f.after(".") & ~f.within("import")),
    ("a name that is called", NAME, lambda f: f.next_is("(") & ~f.after("def", "class")),
    ("the name of a keyword argument", NAME, _within("argument name")),
    (NUMBER, None, lambda f: f.kind == tokenize.NUMBER),
    ("a floating-point number", NUMBER, lambda f: f.matches(r"(?i)(?!0x)[\d_]*([.e]).*")),
    ("a hexadecimal number", NUMBER, lambda f: f.matches(r"(?i)0x.*")),
    ("zero or one", NUMBER, _among("0", "1")),
    (STRING, None, lambda f: np.isin(f.kind, [tokenize.STRING, *FSTRING]) | f.within("fstring")),
    ("in a docstring", STRING, _within("docstring")),
    ("in an f-string", STRING, _within("fstring")),
    ("in a comment", None, lambda f: f.kind == tokenize.COMMENT),
    (OPERATOR, None, lambda f: f.kind == tokenize.OP),
    ("an arithmetic operator", OPERATOR, lambda f: f.is_one_of(*ARITHMETIC) & ~_decorates(f)),
    ("a comparison", OPERATOR, _among(*COMPARISONS)),
    ("an equals sign that assigns", OPERATOR, _among("=", ":=", *AUGMENTED)),
    ("an opening bracket", OPERATOR, _among("(", "[", "{")),
    ("a closing bracket", OPERATOR, _among(")", "]", "}")),
    ("a comma", OPERATOR, _among(",")),
    ("a dot", OPERATOR, _among(".")),
    ("a colon", OPERATOR, _among(":")),
    ("the end of a line", None, lambda f: np.isin(f.kind, [tokenize.NEWLINE, tokenize.NL])),
    (
        "a change of indentation",
        None,
        lambda f: np.isin(f.kind, [tokenize.INDENT, tokenize.DEDENT]),
    ),
    (FIRST, None, lambda f: _first_of_line(f)),
    (BRACKETS, None, lambda f: f.depth >= 1),
    ("within two pairs of brackets", BRACKETS, lambda f: f.depth >= 2),
    ("within three pairs of brackets", "within two pairs of brackets", lambda f: f.depth >= 3),
    ("indented", None, lambda f: f.indent >= 1),
    ("indented twice", "indented", lambda f: f.indent >= 2),
    ("indented three times", "indented twice", lambda f: f.indent >= 3),
    (FUNCTION, None, _within("function")),
    ("in the body of a method", FUNCTION, _within("method")),
    ("in the body of a class", None, _within("class")),
    ("in a loop", None, _within("loop")),
    ("in a try block", None, _within("try")),
    ("in an except block", None, _within("except")),
    ("in a comprehension", None, _within("comprehension")),
    ("in a lambda", None, _within("lambda")),
    ("in an import", None, _within("import")),
    ("in a return statement", None, _within("return")),
    ("in a raise statement", None, _within("raise")),
    ("in the condition of an if", None, _within("condition")),
    ("in the arguments of a call", None, _within("arguments")),
    ("in an index", None, _within("index")),
    ("in a type annotation", None, _within("annotation")),
    ("in a decorator", None, _within("decorator")),
    (CONTINUES, None, lambda f: np.zeros(len(f.kind), bool)),  # known of pieces alone
)


def _first_of_line(f: File) -> np.ndarray:
    layout = np.isin(f.kind, list(LAYOUT))
    line = f.place >> LINE
    order = np.flatnonzero(~layout)
    first = np.zeros(len(f.place), bool)
    first[order[np.r_[True, line[order][1:] != line[order][:-1]][: len(order)]]] = True
    return first


def _decorates(f: File) -> np.ndarray:
    return _first_of_line(f) & f.is_one_of("@")


LINE = 20  # bits of a place that tell the column
FUNCTIONS_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef)


def _spans(tree: ast.Module, lines: list[str]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}

    def place(line: int, column: int) -> int:
        text = lines[line - 1] if line <= len(lines) else ""
        if not text.isascii():  # the tree counts bytes, tokens count characters
            column = len(text.encode()[:column].decode(errors="ignore"))
        return (line << LINE) + column

    def add(name: str, first: Any, last: Any = None) -> None:
        last = first if last is None else last
        start = place(first.lineno, first.col_offset)
        found.setdefault(name, []).append((start, place(last.end_lineno, last.end_col_offset)))

    def body(name: str, node: Any, block: str = "body") -> None:
        if getattr(node, block):
            add(name, getattr(node, block)[0], getattr(node, block)[-1])

    for node in ast.walk(tree):
        if isinstance(node, (*FUNCTIONS_DEFINED, ast.ClassDef, ast.Module)):
            first = node.body[0] if node.body else None
            value = first.value if isinstance(first, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                add("docstring", first)
        if isinstance(node, (*FUNCTIONS_DEFINED, ast.ClassDef)):
            for decorator in node.decorator_list:
                add("decorator", decorator)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                body("function", node)
                if node.returns:
                    add("annotation", node.returns)
            case ast.ClassDef():
                body("class", node)
                for member in node.body:
                    if isinstance(member, FUNCTIONS_DEFINED):
                        body("method", member)
            case ast.For() | ast.While() | ast.AsyncFor():
                body("loop", node)
            case ast.Try():
                body("try", node)
            case ast.ExceptHandler():
                body("except", node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                add("comprehension", node)
            case ast.Lambda():
                add("lambda", node)
            case ast.Import() | ast.ImportFrom():
                add("import", node)
            case ast.Return():
                add("return", node)
            case ast.Raise():
                add("raise", node)
            case ast.If() | ast.IfExp():
                add("condition", node.test)
            case ast.Call():
                given = [*node.args, *(x.value for x in node.keywords)]
                for x in given:
                    add("arguments", x)
            case ast.keyword():
                if node.arg is not None:
                    start = place(node.lineno, node.col_offset)
                    end = start + len(node.arg)
                    found.setdefault("argument name", []).append((start, end))
            case ast.Subscript():
                add("index", node.slice)
            case ast.AnnAssign():
                add("annotation", node.annotation)
            case ast.arg():
                start = place(node.lineno, node.col_offset)
                found.setdefault("parameter", []).append((start, start + len(node.arg)))
                if node.annotation:
                    add("annotation", node.annotation)
            case ast.Name() if isinstance(node.ctx, ast.Store):
                add("assigned", node)
            case ast.JoinedStr():
                add("fstring", node)
    return found


def _read(path: Path) -> tuple[File, list[tokenize.TokenInfo]] | None:
    lexed = _lexed(path)
    if lexed is None or not lexed[0]:
        return None
    tokens, tree, lines = lexed
    kind = np.array([t.type for t in tokens])
    string = np.array([t.string if t.type not in IN_PIECES else "" for t in tokens])
    place = np.array([(t.start[0] << LINE) + t.start[1] for t in tokens])
    operator = kind == tokenize.OP
    opens = np.isin(string, ("(", "[", "{")) & operator
    closes = np.isin(string, (")", "]", "}")) & operator
    depth = np.cumsum(opens.astype(int) - closes) - opens
    change = (kind == tokenize.INDENT).astype(int) - (kind == tokenize.DEDENT)
    file = File(kind, string, place, depth, np.cumsum(change), _spans(tree, lines))
    return file, tokens


def _concepts(file: File) -> np.ndarray:
    """Labels of a file's tokens [t, C]."""
    found: dict[str, np.ndarray] = {}
    for name, parent, rule in CONCEPTS:
        found[name] = rule(file) if parent is None else rule(file) & found[parent]
    return np.stack(list(found.values()), axis=1)


def _label(
    files: list[tuple[str, Path]], known: dict[str, int], max_tokens: int | None
) -> dict[str, np.ndarray]:
    names = [name for name, _, _ in CONCEPTS]
    continues, first = names.index(CONTINUES), names.index(FIRST)
    parts: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    total = 0
    for name, path in files:
        if max_tokens is not None and total >= max_tokens:
            break
        read = _read(path)
        if read is None:
            continue
        file, tokens = read
        pieces = [_split(t, known) for t in tokens]
        length = np.array([len(x) for x in pieces])
        labels = np.repeat(_concepts(file), length, axis=0)
        starts = np.cumsum(length) - length
        begins = np.zeros(len(labels), bool)
        begins[starts[length > 0]] = True
        words = [x for p in pieces for x in p]
        wordlike = np.array([x[-1:].isalnum() or x[-1:] == "_" for x in words], bool)
        spaced = np.array([x[:1].isspace() for x in words], bool)
        labels[:, continues] = wordlike & ~spaced & ~begins & np.r_[False, wordlike[:-1]]
        labels[:, first] &= begins
        ids = np.array([known[x] for x in words], np.int32)
        lines = np.repeat(file.place >> LINE, length).astype(np.int32)
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
