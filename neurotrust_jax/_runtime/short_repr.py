"""Say in a line or two what a result is: its type, its shapes and the numbers that matter."""

from __future__ import annotations

import textwrap
from contextlib import suppress
from dataclasses import fields
from typing import Any, TypeVar

import jax
import numpy as np

from .text import visible

__all__ = ["short_repr"]

LONGEST_LINE = 88
LONGEST_TEXT = 60  # characters of a text that are shown
MOST_LISTED = 3  # entries of a tuple that are shown

Class = TypeVar("Class", bound=type)


def short_repr(cls: Class) -> Class:
    """Give a class of results a short ``repr``: a decorator of dataclasses and named tuples.

    If the class has a method ``_in_short``, the text is the name of the class and what that method
    returns. Otherwise, and wherever that method fails, as it may on the tracers of ``jax.jit``, the
    fields are listed. An array is shown by its type and shape, as in ``float32[512,256]``, and by
    its value if it is a single number. Long texts and tuples are cut.
    """
    cls.__repr__ = _repr  # type: ignore[method-assign, assignment]
    return cls


def _repr(self: Any) -> str:
    name = type(self).__name__
    if hasattr(self, "_in_short"):
        with suppress(Exception):  # a debugger shows an object in any state
            return f"{name} {self._in_short()}"
    names = getattr(self, "_fields", None) or [field.name for field in fields(self)]
    parts = [f"{field}={_shown(getattr(self, field))}" for field in names]
    line = f"{name}({', '.join(parts)})"
    if len(line) <= LONGEST_LINE and "\n" not in line:
        return line
    listed = textwrap.indent(",\n".join(parts), "  ")
    return f"{name}(\n{listed}\n)"


def _shown(value: Any) -> str:
    """One field, without the numbers of an array."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _array(value)
    if isinstance(value, str):
        text = visible(value[:LONGEST_TEXT])
        return f"'{text}…'" if len(value) > LONGEST_TEXT else f"'{text}'"
    if isinstance(value, float):
        return f"{value:.4g}"
    if type(value) in (tuple, list) and len(value) > MOST_LISTED:
        first = ", ".join(map(_shown, value[:MOST_LISTED]))
        return f"({first}, ... {len(value):,} in all)"
    if type(value) in (tuple, list):
        return f"({', '.join(map(_shown, value))}{',' if len(value) == 1 else ''})"
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    return repr(value)


def _array(value: Any) -> str:
    """A number, or the type and the shape of an array."""
    known = isinstance(value, np.ndarray | np.generic | jax.Array)
    if known and value.shape == () and not isinstance(value, jax.core.Tracer):
        if value.dtype == bool:
            return str(bool(value))
        if jax.dtypes.issubdtype(value.dtype, np.number):
            return f"{value.item():.4g}"
    return f"{value.dtype}[{','.join(map(str, value.shape))}]"
