"""Replicates divided among the devices of a mesh, in one process or in several."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, PartitionSpec

__all__ = ["divided", "on_host"]


@lru_cache(maxsize=128)
def divided(
    function: Callable[..., Any], mesh: Mesh | None, position: int, **static: Any
) -> Callable[..., Any]:
    """Let each device of a mesh run a function on its share of the replicates.

    These are the last axis of all arrays of the argument at ``position``, whose length is a
    multiple of the number of devices, and of all results, which are [., b]. The other arguments go
    to every device whole. No device waits for another, since replicates know nothing of each other.
    """
    if mesh is None:
        return partial(function, **static)
    line = Mesh(mesh.devices.reshape(-1), ("replicates",))

    def run(*arguments: Any) -> Any:
        shares: list[Any] = [PartitionSpec()] * len(arguments)
        shares[position] = jax.tree.map(
            lambda x: PartitionSpec(*(None,) * (x.ndim - 1), "replicates"), arguments[position]
        )
        return jax.shard_map(
            partial(function, **static),
            mesh=line,
            in_specs=tuple(shares),
            out_specs=PartitionSpec(None, "replicates"),
            check_vma=False,
        )(*arguments)

    return jax.jit(run)


def on_host(x: Array) -> np.ndarray:
    """The whole of an array, also of one of which other processes hold a part."""
    if x.is_fully_addressable:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))
