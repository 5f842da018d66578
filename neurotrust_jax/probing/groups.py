"""Number the groups of samples, whatever their names are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import jax
import numpy as np

from .._runtime.host_arrays import as_host_array

__all__ = ["number_groups"]

PLAIN = "biufSUmM"  # kinds of NumPy's types whose values NumPy itself can sort


def number_groups(groups: Any, n: int, name: str = "groups") -> tuple[np.ndarray, list[Any]]:
    """Number the group of each sample on the host, where no integer is cut to 32 bits.

    Groups are equal where Python says so; they are numbered in ascending order where they have
    one, else in the order in which they come.

    Parameters
    ----------
    groups : array or sequence [n]
        Anything hashable per sample: numbers, strings, tuples, None, or a mixture.
    n : int
        Number of samples.
    name : str
        What messages call the groups.

    Returns
    -------
    index : numpy.ndarray [n] of int64
        Number of each sample's group, 0 .. G - 1.
    labels : list of length G
        The group of each number.

    Raises
    ------
    TypeError
        If a group is not hashable, or all are traced by JAX.
    ValueError
        On another number of samples, and on groups that are missing: NaN, NaT, masked.
    """
    if isinstance(groups, jax.core.Tracer):
        raise TypeError(f"{name} must be concrete, since their number is a shape; got a tracer")
    if np.ma.is_masked(groups):
        raise ValueError(f"{name} holds masked values; drop these rows, or give them a name")
    labels = groups
    if hasattr(groups, "__dlpack__") and not isinstance(groups, np.ndarray):
        labels = as_host_array(groups, name)
    elif not isinstance(groups, Sequence) or isinstance(groups, (str, bytes)):
        labels = np.asarray(groups)
    shape = labels.shape if isinstance(labels, np.ndarray) else (len(labels),)
    if shape != (n,):
        raise ValueError(f"{name} must have shape [{n}], one per sample, got {list(shape)}")
    if isinstance(labels, np.ndarray) and labels.dtype.kind in PLAIN:
        missing = ~np.isfinite(labels) if labels.dtype.kind in "fmM" else np.zeros(n, bool)
        if missing.any():
            _refuse(name, labels[missing][0], int(missing.argmax()))
        values, index = np.unique(labels, return_inverse=True)
        return index, values.tolist()
    return _by_hash(labels, name)


def _by_hash(labels: Any, name: str) -> tuple[np.ndarray, list[Any]]:
    seen: dict[Hashable, int] = {}
    index = np.empty(len(labels), np.int64)
    for row, label in enumerate(labels):
        if getattr(label, "shape", None) == () and hasattr(label, "item"):
            label = label.item()  # a number in an array of its own, which may hash by identity
        try:
            number = seen.setdefault(label, len(seen))
        except TypeError:
            raise TypeError(
                f"{name} must be hashable, got {label!r} of type {type(label).__name__} at row "
                f"{row}; use tuples for lists or arrays"
            ) from None
        if number == len(seen) - 1 and _is_missing(label):
            _refuse(name, label, row)
        index[row] = number
    try:
        ordered = sorted(seen)  # type: ignore[type-var]
    except TypeError:
        return index, list(seen)
    place = np.empty(len(seen), np.int64)
    place[[seen[label] for label in ordered]] = np.arange(len(seen))
    return place[index], ordered


def _is_missing(label: Any) -> bool:
    """Whether it is NaN or the like, or holds one: no such group equals itself."""
    if isinstance(label, (tuple, frozenset)):
        return any(map(_is_missing, label))
    try:
        return bool(label != label) or label in (float("inf"), -float("inf"))
    except TypeError:  # what pandas calls NA is neither equal to itself nor not
        return True


def _refuse(name: str, label: Any, row: int) -> None:
    raise ValueError(
        f"{name} holds NaN or infinite values, first {label} at row {row}; drop these rows, or "
        "give them a name"
    )
