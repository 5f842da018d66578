"""Results that do not depend on the neurons, kept while the blocks of a layer are read.

All blocks of a layer have the same concepts, weights and groups. What follows from these alone is
computed by the first block that needs it, and kept for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any, TypeVar, cast

import jax

__all__ = ["kept", "kept_for"]

Function = TypeVar("Function", bound=Callable[..., Any])


class _Kept:
    """The arrays that are the same in all blocks, by their identity, and results of them."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.arrays: dict[int, list[Any]] = {}  # an array as often as it was named
        self.results: dict[Hashable, Future[Any]] = {}

    def claim(self, call: Hashable, args: Any) -> tuple[Future[Any] | None, bool]:
        """Where the result of a call is kept, and whether it is still to be computed.

        None where an argument belongs to one block.
        """
        settings: Any = jax.config  # of this thread; its type does not tell its fields
        where = settings.jax_default_device, settings.jax_enable_x64
        arrays, form = jax.tree.flatten(args)
        key = call, form, *map(id, arrays), *where
        with self.lock:
            if not all(id(x) in self.arrays for x in arrays):
                return None, True
            fresh = key not in self.results
            return self.results.setdefault(key, Future()), fresh


_KEPT = _Kept()


@contextmanager
def kept_for(arrays: Any) -> Iterator[None]:
    """While it lasts, functions marked by :func:`kept` compute a result of these arrays once.

    The arrays are the leaves of a pytree.
    """
    some = jax.tree.leaves(arrays)
    with _KEPT.lock:
        for x in some:
            _KEPT.arrays.setdefault(id(x), []).append(x)
    try:
        yield
    finally:
        with _KEPT.lock:
            for x in some:
                _KEPT.arrays[id(x)].pop()
                if not _KEPT.arrays[id(x)]:
                    del _KEPT.arrays[id(x)]
            if not _KEPT.arrays:
                _KEPT.results.clear()


def kept(function: Function) -> Function:
    """Mark a pure function whose positional arguments are pytrees of arrays, the others hashable.

    Arrays are told apart by identity: one that is made anew in every block is never taken for
    another, and what follows from it is not kept.
    """

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        result, fresh = _KEPT.claim((function, *sorted(named.items())), args)
        if result is None:
            return function(*args, **named)
        if fresh:
            try:
                result.set_result(function(*args, **named))
            except BaseException as error:
                result.set_exception(error)  # or another thread would wait for ever
        return result.result()

    return cast(Function, call)
