"""One change of the package, anchored to its syntax tree.

A mutant names a function and an expression or a statement in it. Both are compared as syntax trees
and not as text, so that a row of a table outlives comments, another layout and a move within the
file. The change itself is made in the text: all else stays as it is.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Mutant(NamedTuple):
    """A change that must not go unseen.

    Attributes
    ----------
    module : str
        File of the package, such as ``"metrics/table.py"``.
    scope : str
        Qualified name of the function or class that holds the change; empty at module level.
    original : str
        Source of the expression or statement, which occurs exactly once in its scope.
    replacement : str
        Source of what takes its place.
    tests : str
        Arguments of pytest that select the tests which ought to fail; files by their name alone.
    """

    module: str
    scope: str
    original: str
    replacement: str
    tests: str

    @property
    def name(self) -> str:
        """The change on one line."""
        where = f"{self.module}:{self.scope}" if self.scope else self.module
        old, new = (" ".join(x.split()) for x in (self.original, self.replacement))
        return f"{where}: {old} -> {new}"

    def apply(self, text: str) -> str:
        """Return the module's text with the change.

        Raises
        ------
        ValueError
            If the scope or the expression does not occur exactly once.
        """
        wanted = _parse(self.original)
        form = ast.unparse(wanted)
        scopes = list(_scopes(ast.parse(text), self.scope))
        found = [
            x
            for scope in scopes
            for x in _nodes(scope, whole=bool(self.scope))
            if type(x) is type(wanted) and ast.unparse(x) == form
        ]
        if len(scopes) != 1:
            raise ValueError(f"{self.name}: the scope occurs {len(scopes)} times")
        if len(found) != 1:
            raise ValueError(f"{self.name}: the original occurs {len(found)} times")
        return _replaced(text, found[0], self.replacement)


def of(module: str, *rows: tuple[str, str, str, str]) -> list[Mutant]:
    """Return the mutants of a module, each row without the module."""
    return [Mutant(module, *row) for row in rows]


def _parse(source: str) -> ast.expr | ast.stmt:
    """Return the tree of one expression or one statement."""
    (statement,) = ast.parse(textwrap.dedent(source)).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def _scopes(tree: ast.Module, name: str) -> Iterator[ast.AST]:
    """Yield the definitions of a qualified name, or the module itself if the name is empty."""
    if not name:
        yield tree
        return
    first, _, rest = name.partition(".")
    for node in _nodes(tree, whole=False):
        if isinstance(node, SCOPES) and node.name == first:
            yield from _scopes(node, rest)


def _nodes(scope: ast.AST, whole: bool) -> Iterator[ast.AST]:
    """Yield all nodes below a scope; without the insides of its definitions unless ``whole``."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if whole or not isinstance(node, SCOPES):
            yield from _nodes(node, whole)


def _replaced(text: str, node: ast.expr | ast.stmt, replacement: str) -> str:
    """Return the text with the source of one node replaced."""
    if isinstance(node, ast.stmt):
        new = textwrap.indent(textwrap.dedent(replacement), node.col_offset * " ").strip()
    else:
        new = f"({replacement})"  # whatever binds more strongly on either side
    lines = text.encode().splitlines(keepends=True)  # offsets of nodes are those of bytes
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    stop = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    whole = b"".join(lines)
    return (whole[:start] + new.encode() + whole[stop:]).decode()
