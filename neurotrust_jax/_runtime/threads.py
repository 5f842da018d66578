"""Do several things at the same time in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax

__all__ = ["in_threads"]

Item = TypeVar("Item")


def in_threads(function: Callable[[Item], Any], items: Iterable[Item], number: int) -> list[Any]:
    """Results of a function for each item, so many at a time.

    JAX keeps the type of floats and the default device for each thread, so those of the caller are
    set in every thread. After an error no further item is begun.
    """
    if number <= 1:
        return [function(x) for x in items]
    settings: Any = jax.config  # whose types do not tell its fields
    double, device = settings.jax_enable_x64, settings.jax_default_device

    def run(item: Item) -> Any:
        with jax.enable_x64(double), jax.default_device(device):
            return function(item)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, items))
