"""What each token of Python's source is, by the rules of Python's own parsers."""

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

__all__ = [
    "CONCEPTS",
    "CONTINUES",
    "FIRST",
    "IN_PIECES",
    "LAYOUT",
    "LINE",
    "concepts_of",
    "lexed",
    "read",
]

LAYOUT = {tokenize.NEWLINE: "⏎", tokenize.NL: "⏎", tokenize.INDENT: "⇥", tokenize.DEDENT: "⇤"}
# of f-strings, which are tokens of their own from Python 3.12 on
FSTRING = {
    getattr(tokenize, name)
    for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
    if hasattr(tokenize, name)
}
IN_PIECES = {tokenize.STRING, tokenize.COMMENT, *FSTRING}
LINE = 20  # bits of a place that tell the column


def lexed(path: Path) -> tuple[list[tokenize.TokenInfo], ast.Module, list[str]] | None:
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


def read(path: Path) -> tuple[File, list[tokenize.TokenInfo]] | None:
    """What the rules read of a file, and its tokens; None where there is nothing to read."""
    found = lexed(path)
    if found is None or not found[0]:
        return None
    tokens, tree, lines = found
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


def concepts_of(file: File) -> np.ndarray:
    """Labels of a file's tokens [t, C]."""
    found: dict[str, np.ndarray] = {}
    for name, parent, rule in CONCEPTS:
        found[name] = rule(file) if parent is None else rule(file) & found[parent]
    return np.stack(list(found.values()), axis=1)
