"""Spans of Python source by their role in the syntax tree: loops, calls, annotations, ...

A position in a file is one integer, ``(line << LINE) + column``, and a span is a pair of positions.
"""

from __future__ import annotations

import ast
from typing import Any

LINE = 20  # number of low bits of a position that hold the column

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# Name of the span of a node's body.
_BODIES: dict[type[ast.AST], str] = {
    ast.FunctionDef: "function",
    ast.AsyncFunctionDef: "function",
    ast.ClassDef: "class",
    ast.For: "loop",
    ast.While: "loop",
    ast.AsyncFor: "loop",
    ast.Try: "try",
    ast.ExceptHandler: "except",
}
# Name of the span of a whole node.
_NODES: dict[type[ast.AST], str] = {
    ast.ListComp: "comprehension",
    ast.SetComp: "comprehension",
    ast.DictComp: "comprehension",
    ast.GeneratorExp: "comprehension",
    ast.Lambda: "lambda",
    ast.Import: "import",
    ast.ImportFrom: "import",
    ast.Return: "return",
    ast.Raise: "raise",
    ast.JoinedStr: "fstring",
}
# Attribute of a node that has a span, which the tree may leave empty, and the span's name.
_PARTS: dict[type[ast.AST], tuple[str, str]] = {
    ast.FunctionDef: ("returns", "annotation"),
    ast.AsyncFunctionDef: ("returns", "annotation"),
    ast.AnnAssign: ("annotation", "annotation"),
    ast.arg: ("annotation", "annotation"),
    ast.If: ("test", "condition"),
    ast.IfExp: ("test", "condition"),
    ast.Subscript: ("slice", "index"),
}


def syntax_spans(tree: ast.Module, lines: list[str]) -> dict[str, list[tuple[int, int]]]:
    """Return the spans of a file's syntax tree by name, in any order; `lines` is its source."""
    spans = _Spans(lines)
    for node in ast.walk(tree):
        if name := _BODIES.get(type(node)):
            spans.add_body(name, node)
        if name := _NODES.get(type(node)):
            spans.add(name, node)
        if type(node) in _PARTS:
            attribute, name = _PARTS[type(node)]
            if part := getattr(node, attribute):
                spans.add(name, part)
        if isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Module)):
            _add_definition(spans, node)
        else:
            _add_names_and_arguments(spans, node)
    return spans.found


class _Spans:
    """Spans by name, and the source lines [L] by which they are located."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.found: dict[str, list[tuple[int, int]]] = {}

    def position(self, line: int, column: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        if not text.isascii():  # the tree counts bytes, tokens count characters
            column = len(text.encode()[:column].decode(errors="ignore"))
        return (line << LINE) + column

    def add(self, name: str, first: Any, last: Any = None) -> None:
        """Add the span from the start of node `first` to the end of `last`, or of `first`."""
        last = first if last is None else last
        start = self.position(first.lineno, first.col_offset)
        stop = self.position(last.end_lineno, last.end_col_offset)
        self.found.setdefault(name, []).append((start, stop))

    def add_body(self, name: str, node: Any) -> None:
        """Add the span of the body of `node`, if it has any statements."""
        if node.body:
            self.add(name, node.body[0], node.body[-1])

    def add_word(self, name: str, node: Any, word: str) -> None:
        """Add the span of `word` at the start of `node`."""
        start = self.position(node.lineno, node.col_offset)
        self.found.setdefault(name, []).append((start, start + len(word)))


def _add_definition(spans: _Spans, node: Any) -> None:
    """Add the docstring, decorators and methods of a module, class or function."""
    first = node.body[0] if node.body else None
    value = first.value if isinstance(first, ast.Expr) else None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        spans.add("docstring", first)
    if isinstance(node, ast.Module):
        return
    for decorator in node.decorator_list:
        spans.add("decorator", decorator)
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            if isinstance(member, FUNCTIONS):
                spans.add_body("method", member)


def _add_names_and_arguments(spans: _Spans, node: ast.AST) -> None:
    """Add parameters, assigned names, arguments of calls and names of keyword arguments."""
    match node:
        case ast.Call():
            for argument in (*node.args, *(x.value for x in node.keywords)):
                spans.add("arguments", argument)
        case ast.keyword() if node.arg is not None:
            spans.add_word("argument name", node, node.arg)
        case ast.arg():
            spans.add_word("parameter", node, node.arg)
        case ast.Name() if isinstance(node.ctx, ast.Store):
            spans.add("assigned", node)
