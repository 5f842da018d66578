"""Neurons, replicates or rows divided among the devices of a mesh; several processes, too."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from io import BytesIO
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .threads import in_threads

__all__ = [
    "added",
    "at_once",
    "by_neurons",
    "divided",
    "gathered",
    "is_first",
    "on_host",
    "rows_on",
]

NEURONS = "neurons"  # name of the axis of a mesh that divides these


def by_neurons(mesh: Mesh | None) -> list[Mesh]:
    """A mesh for each share of the neurons; none unless an axis is named so.

    Raises
    ------
    ValueError
        If the mesh has devices of other processes.
    """
    if mesh is None or NEURONS not in mesh.axis_names:
        return []
    if not all(d.process_index == jax.process_index() for d in mesh.devices.flat):
        raise ValueError(
            f"the axis {NEURONS!r} of a mesh divides devices of one process, got those of several; "
            "give each process neurons of its own: their replicates are the same"
        )
    shares = np.moveaxis(mesh.devices, mesh.axis_names.index(NEURONS), 0)
    return [Mesh(share.reshape(-1), ("replicates",)) for share in shares]


def is_first(mesh: Mesh | None) -> bool:
    """Whether this process is the first of those that share a mesh, which writes and prints."""
    return mesh is None or jax.process_index() == 0


def at_once(function: Callable[[int], Any], meshes: list[Mesh]) -> list[Any]:
    """Results of a function for 0, 1, ..., each on the devices of its mesh, at the same time."""

    def run(i: int) -> Any:
        with jax.default_device(meshes[i].devices.flat[0]):
            return function(i)

    return in_threads(run, range(len(meshes)), len(meshes))


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


@lru_cache(maxsize=128)
def added(
    function: Callable[..., Any], mesh: Mesh | None, whole: int, **static: Any
) -> Callable[..., Any]:
    """Let each device of a mesh run a function on its share of the rows, and add the results up.

    The first ``whole`` arguments go to every device; of the others (see :func:`rows_on`) each
    device has its own, along the first axis.
    """

    def own(*arguments: Any) -> Any:
        shares = jax.tree.map(lambda x: x[0], arguments[whole:])
        return function(*arguments[:whole], *shares, **static)

    if mesh is None:
        return jax.jit(own)
    line = Mesh(mesh.devices.reshape(-1), ("rows",))

    def run(*arguments: Any) -> Any:
        specs = [PartitionSpec()] * whole + [PartitionSpec("rows")] * (len(arguments) - whole)
        return jax.shard_map(
            lambda *x: jax.lax.psum(own(*x), "rows"),
            mesh=line,
            in_specs=tuple(specs),
            out_specs=PartitionSpec(),
            check_vma=False,
        )(*arguments)

    return jax.jit(run)


def rows_on(mesh: Mesh | None, arrays: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    """Send arrays [devices, ...] to their devices; each process sends to its own."""
    if mesh is None:
        return arrays
    line = Mesh(mesh.devices.reshape(-1), ("rows",))
    sharding = NamedSharding(line, PartitionSpec("rows"))
    return tuple(jax.make_array_from_callback(x.shape, sharding, x.__getitem__) for x in arrays)


def on_host(x: Array) -> np.ndarray:
    """The whole of an array, also of one of which other processes hold a part."""
    if x.is_fully_addressable or x.is_fully_replicated:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))


def gathered(pieces: dict[int, tuple[np.ndarray, ...]]) -> dict[int, tuple[np.ndarray, ...]]:
    """The numbered arrays of all processes, in every process."""
    file = BytesIO()
    names = {f"{i}-{j}": x for i, arrays in pieces.items() for j, x in enumerate(arrays)}
    np.savez(file, **names)  # type: ignore[arg-type]
    own = np.frombuffer(file.getvalue(), np.uint8)
    sizes = np.asarray(multihost_utils.process_allgather(np.asarray([len(own)], np.int32)))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: len(own)] = own
    everyone = np.asarray(multihost_utils.process_allgather(padded))
    found: dict[int, tuple[np.ndarray, ...]] = {}
    for size, data in zip(sizes.ravel(), everyone, strict=True):
        with np.load(BytesIO(data[:size].tobytes())) as arrays:
            for name in arrays.files:  # in the order of each piece
                i = int(name.split("-")[0])
                found[i] = (*found.get(i, ()), arrays[name])
    return found
