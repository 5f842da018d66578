"""Scores that are no metric: a labelling method that is known by what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..probing.probe import Probe

__all__ = ["LabellingMethod", "ScoreFunction"]


@dataclass(frozen=True)
class LabellingMethod:
    """A method whose scores have no known range, no formula and no intervals.

    Attributes
    ----------
    name : str
    """

    name: str


class ScoreFunction(NamedTuple):
    """A labelling method that can be run.

    Attributes
    ----------
    method : LabellingMethod
    score : callable
        ``score(probe) -> array [U, C]``, NaN where undefined.
    """

    method: LabellingMethod
    score: Callable[[Probe], Any]
