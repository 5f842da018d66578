"""Concepts of the tokens of Python source, exact because Python's parsers give them."""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import tokenize
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .python_syntax import LINE, syntax_spans

__all__ = [
    "CONCEPTS",
    "CONTINUES",
    "FIRST",
    "IN_PIECES",
    "LAYOUT",
    "concepts_of",
    "lexed",
    "read",
]

LAYOUT = {tokenize.NEWLINE: "⏎", tokenize.NL: "⏎", tokenize.INDENT: "⇥", tokenize.DEDENT: "⇤"}
# The parts of an f-string are separate tokens from Python 3.12 on.
FSTRING = {
    getattr(tokenize, name)
    for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
    if hasattr(tokenize, name)
}
IN_PIECES = {tokenize.STRING, tokenize.COMMENT, *FSTRING}


def lexed(path: Path) -> tuple[list[tokenize.TokenInfo], ast.Module, list[str]] | None:
    """Return a file's tokens, syntax tree and lines, or None if this Python can not read it."""
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


class File(NamedTuple):
    """The T tokens of a file and the spans of its syntax tree.

    Attributes
    ----------
    kind : array [T] of int
        Type of each token, a constant of :mod:`tokenize`.
    string : array [T] of str
        Text of each token, empty for strings, comments and f-strings.
    position : array [T] of int
        Where each token begins, as in :mod:`.python_syntax`.
    depth : array [T] of int
        Number of brackets that are open around each token.
    indent : array [T] of int
        Number of indented blocks around each token.
    spans : dict of str to list of (int, int)
        Spans between two positions, as in :mod:`.python_syntax`.
    """

    kind: np.ndarray
    string: np.ndarray
    position: np.ndarray
    depth: np.ndarray
    indent: np.ndarray
    spans: dict[str, list[tuple[int, int]]]

    def within(self, name: str) -> np.ndarray:
        """Return whether each token lies in a span of that name."""
        found = np.array(self.spans.get(name, []), np.int64).reshape(-1, 2)
        change = np.zeros(len(self.position) + 1, np.int64)
        np.add.at(change, np.searchsorted(self.position, found[:, 0]), 1)
        np.add.at(change, np.searchsorted(self.position, found[:, 1]), -1)
        return np.cumsum(change)[:-1] > 0

    def is_one_of(self, *strings: str) -> np.ndarray:
        """Return whether each token is one of these, outside strings and comments."""
        return np.isin(self.string, strings) & ~np.isin(self.kind, list(IN_PIECES))

    @property
    def identifier(self) -> np.ndarray:
        """Whether each token is a name and not a keyword."""
        return (self.kind == tokenize.NAME) & ~np.isin(self.string, keyword.kwlist)

    def next_is(self, *strings: str) -> np.ndarray:
        """Return whether the token after each is one of these."""
        return np.r_[self.is_one_of(*strings)[1:], False]

    def after(self, *strings: str) -> np.ndarray:
        """Return whether the token before each is one of these."""
        return np.r_[False, self.is_one_of(*strings)[:-1]]

    def matches(self, pattern: str) -> np.ndarray:
        """Return whether the whole text of each token matches a regular expression."""
        compiled = re.compile(pattern)
        return np.array([bool(compiled.fullmatch(x)) for x in self.string.tolist()], bool)


def _builtins(test: Callable[[Any], bool]) -> tuple[str, ...]:
    return tuple(name for name, value in vars(builtins).items() if test(value) and name[0] != "_")


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


# Name, parent and rule. A concept holds where its rule and its parent hold; parents come first.
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
    (CONTINUES, None, lambda f: np.zeros(len(f.kind), bool)),  # set later, for pieces of tokens
)


def _first_of_line(f: File) -> np.ndarray:
    layout = np.isin(f.kind, list(LAYOUT))
    line = f.position >> LINE
    order = np.flatnonzero(~layout)
    first = np.zeros(len(f.position), bool)
    first[order[np.r_[True, line[order][1:] != line[order][:-1]][: len(order)]]] = True
    return first


def _decorates(f: File) -> np.ndarray:
    return _first_of_line(f) & f.is_one_of("@")


def read(path: Path) -> tuple[File, list[tokenize.TokenInfo]] | None:
    """Return what the rules need of a file and its tokens, or None if there is nothing to read."""
    found = lexed(path)
    if found is None or not found[0]:
        return None
    tokens, tree, lines = found
    kind = np.array([t.type for t in tokens])
    string = np.array([t.string if t.type not in IN_PIECES else "" for t in tokens])
    position = np.array([(t.start[0] << LINE) + t.start[1] for t in tokens])
    operator = kind == tokenize.OP
    opens = np.isin(string, ("(", "[", "{")) & operator
    closes = np.isin(string, (")", "]", "}")) & operator
    depth = np.cumsum(opens.astype(int) - closes) - opens
    change = (kind == tokenize.INDENT).astype(int) - (kind == tokenize.DEDENT)
    file = File(kind, string, position, depth, np.cumsum(change), syntax_spans(tree, lines))
    return file, tokens


def concepts_of(file: File) -> np.ndarray:
    """Return whether each concept holds for each token of a file, [T, C]."""
    found: dict[str, np.ndarray] = {}
    for name, parent, rule in CONCEPTS:
        found[name] = rule(file) if parent is None else rule(file) & found[parent]
    return np.stack(list(found.values()), axis=1)
