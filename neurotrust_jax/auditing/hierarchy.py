"""A hierarchy of concepts, by which several concepts of a set count as one answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Any, TypeAlias

import jax
import numpy as np

from .._runtime.short_repr import short_repr
from .._runtime.static import STATIC

__all__ = ["Answers", "Lineages", "lineages", "merge_answers", "parents_in"]

Lineages: TypeAlias = tuple[tuple[str, ...], ...]


@short_repr
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Answers:
    """Sets of concepts with those of one tree merged.

    Attributes
    ----------
    size : int array [U]
        Number of answers in each set: trees of the hierarchy that have a concept in it.
    name : tuple of str
        Where that is one, the narrowest concept that is above or equal to all members; else empty.
    """

    size: np.ndarray
    name: tuple[str, ...] = field(metadata=STATIC)


def merge_answers(mask: Any, concept_names: Sequence[str], hierarchy: Any = None) -> Answers:
    """Count the answers in sets of concepts, where all concepts of one tree are one answer.

    The set {acute, grave} is one answer, "diacritic", where both are under that concept. Concepts
    that should count separately must not share a root, since everything under one root is one
    answer.

    Parameters
    ----------
    mask : array [U, C] of bool
        The sets, as ``concept_sets(...).mask``.
    concept_names : sequence of C str
    hierarchy : mapping of str to str, or int array [C], optional
        Parent of each child. By name, parents need not be concepts themselves; by column, -1 is a
        root. Without a hierarchy every concept is a separate answer.

    Returns
    -------
    Answers

    Raises
    ------
    ValueError
        If shapes differ, a name is unknown, a column out of range, or a concept is under itself.

    Examples
    --------
    >>> names = ("acute", "grave", "letter")
    >>> sets = [[True, True, False], [True, False, True]]
    >>> answers = nt.merge_answers(sets, names, {"acute": "diacritic", "grave": "diacritic"})
    >>> answers.size.tolist(), answers.name
    ([1, 2], ('diacritic', ''))
    """
    sets = np.asarray(mask, bool)
    if sets.ndim != 2 or sets.shape[1] != len(concept_names):
        raise ValueError(
            f"mask must have shape [U, {len(concept_names)}], one column for each concept name, "
            f"got {list(sets.shape)}"
        )
    paths = lineages(concept_names, hierarchy)
    members = [[paths[c] for c in np.flatnonzero(row)] for row in sets]
    size = np.array([len({path[0] for path in row}) for row in members], int)
    return Answers(size, tuple(_shared(row) for row in members))


def lineages(
    concept_names: Sequence[str], hierarchy: Any = None, *, left_out: Sequence[str] = ()
) -> Lineages:
    """The path of each concept from its root down to itself; see :func:`merge_answers`.

    A hierarchy by name may also name concepts that were ``left_out``.
    """
    parent = _parents(tuple(concept_names), hierarchy, left_out)
    paths = []
    for name in concept_names:
        path = [name]
        while path[-1] in parent:
            above = parent[path[-1]]
            if above in path:
                raise ValueError(
                    f"hierarchy puts {above!r} under itself: {' < '.join([*path, above])}"
                )
            path.append(above)
        paths.append(tuple(reversed(path)))
    return tuple(paths)


def parents_in(paths: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Parent of each child on some paths of :func:`lineages`."""
    return {child: parent for path in paths for parent, child in pairwise(path)}


def _parents(names: tuple[str, ...], hierarchy: Any, left_out: Sequence[str]) -> dict[str, str]:
    if hierarchy is None:
        return {}
    if isinstance(hierarchy, Mapping):
        known = {*names, *left_out, *hierarchy.values()}
        for child in hierarchy:
            if child not in known:
                raise ValueError(
                    f"hierarchy names {child!r}, which is neither a concept nor a parent of one; "
                    "take its names from concept_names"
                )
        return {str(child): str(parent) for child, parent in hierarchy.items()}
    column = np.asarray(hierarchy)
    if column.shape != (len(names),) or not np.issubdtype(column.dtype, np.integer):
        raise ValueError(
            f"hierarchy must map names of children to names of parents, or be {len(names)} "
            f"integers, one parent column (or -1) for each concept; got {type(hierarchy).__name__} "
            f"of shape {list(column.shape)}, {column.dtype}"
        )
    outside = (column < -1) | (column >= len(names))
    if outside.any():
        child = int(outside.argmax())
        raise ValueError(
            f"hierarchy gives concept {child} the parent {column[child]}, outside "
            f"-1 to {len(names) - 1}"
        )
    return {names[c]: names[p] for c, p in enumerate(column) if p >= 0}


def _shared(paths: list[tuple[str, ...]]) -> str:
    """The narrowest concept on all paths, empty if there is none."""
    same = takewhile(lambda step: len(set(step)) == 1, zip(*paths, strict=False))
    return ([""] + [step[0] for step in same])[-1]
