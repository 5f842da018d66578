"""Results that are kept as long as they can be asked for again, while a layer is audited.

All blocks of a layer have the same concepts, weights and groups. What follows from these alone is
computed by the first block that needs it, and kept for the others; what follows from the neurons of
a block is kept for the statistics of this block.
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
    """Arrays that are named at the moment, by their identity, and results of them."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.arrays: dict[int, list[Any]] = {}  # an array as often as it was named
        self.results: dict[Hashable, tuple[set[int], Future[Any]]] = {}

    def claim(self, call: Hashable, args: Any) -> tuple[Future[Any] | None, bool]:
        """Where the result of a call is kept, and whether it is still to be computed.

        None where it is not kept.
        """
        if not self.arrays:  # no audit is at work
            return None, True
        settings: Any = jax.config  # of this thread; its type does not tell its fields
        where = settings.jax_default_device, settings.jax_enable_x64
        arrays, form = jax.tree.flatten(args)
        known = list(map(id, arrays))
        key = call, form, *known, *where
        with self.lock:
            if not all(x in self.arrays for x in known):
                return None, True
            fresh = key not in self.results
            return self.results.setdefault(key, (set(known), Future()))[1], fresh

    def drop(self, arrays: list[Any]) -> None:
        """Forget arrays, and the results of those that nothing else names."""
        with self.lock:
            for x in arrays:
                self.arrays[id(x)].pop()
            gone = {i for i, named in self.arrays.items() if not named}
            self.arrays = {i: x for i, x in self.arrays.items() if i not in gone}
            self.results = {k: x for k, x in self.results.items() if gone.isdisjoint(x[0])}


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
        _KEPT.drop(some)


def kept(function: Function) -> Function:
    """Mark a pure function whose positional arguments are pytrees of arrays, the others hashable.

    Arrays are told apart by identity. A result is kept where :func:`kept_for` names all of them.
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
