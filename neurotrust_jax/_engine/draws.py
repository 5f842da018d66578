"""The weights of replicates, drawn once for all neurons and concepts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh

from .._numerics.byte_products import bytes_are_fast, product_of_bytes
from .._numerics.sums import column_total
from .._runtime.devices import divided
from ..schemes import Scheme, draw_all
from .room import NUM_PILOT
from .row_index import RowIndex

__all__ = [
    "Draw",
    "Drawn",
    "draw_chunk",
    "draw_weights",
    "drawn_of",
    "exact_product",
    "is_small",
    "pilot_and_chunks",
]

COLUMNS = 4096  # concepts whose totals are taken at a time


class Draw(NamedTuple):
    """Which replicates are drawn: replicate b follows from the key, the scheme and b alone.

    Attributes
    ----------
    key : JAX PRNG key
    scheme : Scheme
    """

    key: Array
    scheme: Scheme


@partial(jax.jit, static_argnames=("scheme", "num_units"))
def draw_weights(
    key: Array, ids: Array, weights: Array, groups: Array | None, *, scheme: Scheme, num_units: int
) -> Array:
    """Weights [n, b] of the replicates ``ids``, sample weights included."""
    drawn = draw_all(key, ids, groups, scheme, num_units, weights.dtype)
    return (drawn * weights[None, :]).T


class Drawn(NamedTuple):
    """Some replicates.

    Attributes
    ----------
    weights : Array [n + 1, b]
        With a last row of zeros; of uint8 where samples are single, and weigh 1. How often each
        group is drawn, [G + 1, b], where groups are listed.
    total : Array [1, b]
        Their sum.
    single : Array [1, b] of bool
        Whether one sample has all the weight.
    concept_total : Array [C, b]
        Weight of each concept.
    concept_varies : Array [C, b] of bool
        Whether it is present in the replicate, and absent.
    cubes : Array [1, b], or None
        Sum of the cubes of the weights; None where no neuron is ranked.
    """

    weights: Array
    total: Array
    single: Array
    concept_total: Array
    concept_varies: Array
    cubes: Array | None


@partial(jax.jit, static_argnames=("scheme", "num_units", "counts"))
def draw_chunk(
    key: Array,
    ids: Array,
    index: RowIndex,
    weights: Array,
    groups: Array | None,
    *,
    scheme: Scheme,
    num_units: int,
    counts: bool,
) -> Drawn:
    """Draw the replicates ``ids``; with ``counts`` samples are single, and weigh 1."""
    if index.unit_weight is not None:
        drawn = draw_all(key, ids, None, scheme, num_units, weights.dtype).T
    elif counts:
        drawn = draw_all(key, ids, groups, scheme, num_units, jnp.uint8).T
    else:
        drawn = draw_weights(key, ids, weights, groups, scheme=scheme, num_units=num_units)
    return drawn_of(drawn, index, weights.dtype, counts)


def drawn_of(weights: Array, index: RowIndex, dtype: Any, counts: bool) -> Drawn:
    """Replicates of these weights [n, b]."""
    drawn = jnp.pad(weights, ((0, 1), (0, 0)))
    present = _concept_totals(index.present, drawn, dtype)
    if index.unit_weight is not None:
        total = exact_product(index.unit_weight, drawn, dtype)
        absent = _concept_totals(index.unit_weight - index.present, drawn, dtype)
    else:
        total = drawn.sum(axis=0, keepdims=True, dtype=dtype)
        # with whole numbers the difference is exact; else absent samples are summed separately
        absent = total - present if counts else _concept_totals(~index.present, drawn, dtype)
    single = drawn.max(axis=0, keepdims=True).astype(dtype) >= total
    ranked = index.lists[0].ties is not None
    cubes = column_total(drawn.astype(dtype) ** 3) if ranked else None
    return Drawn(drawn, total, single, present, (present > 0) & (absent > 0), cubes)


def _concept_totals(present: Array, drawn: Array, dtype: Any) -> Array:
    """Weight of each concept in each replicate, [C, b]; some concepts at a time."""
    num_concepts = present.shape[0]
    width = min(num_concepts, COLUMNS)
    steps = jnp.arange(-(-num_concepts // width), dtype=jnp.int32) * width
    # the last slice begins earlier, so that all have one width
    starts = jnp.minimum(steps, num_concepts - width)
    totals = lax.map(
        lambda s: exact_product(lax.dynamic_slice_in_dim(present, s, width), drawn, dtype), starts
    )
    every = jnp.zeros((num_concepts, drawn.shape[1]), dtype)
    place = starts[:, None] + jnp.arange(width, dtype=jnp.int32)[None, :]
    return every.at[place.reshape(-1)].set(totals.reshape(-1, drawn.shape[1]))


def exact_product(a: Array, b: Array, dtype: Any) -> Array:
    """Product of 0/1 and of weights: small counts by bytes or in bfloat16, where that is faster.

    Both are exact.
    """
    wide = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    if not (is_small(a) and is_small(b)):
        return wide(a.astype(dtype), b.astype(dtype))
    if bytes_are_fast():
        return product_of_bytes(a.astype(jnp.int8), b.astype(jnp.int8)).astype(dtype)

    def narrow(a: Array, b: Array) -> Array:
        a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
        return jnp.matmul(a, b, preferred_element_type=jnp.float32).astype(dtype)

    return lax.platform_dependent(
        a, b, cpu=lambda a, b: wide(a.astype(dtype), b.astype(dtype)), default=narrow
    )


def is_small(x: Array) -> bool:
    return x.dtype in (jnp.bool_, jnp.uint8)


def pilot_and_chunks(
    draw: Draw,
    chunk_size: int,
    mesh: Mesh | None,
    fn: Callable[..., Any],
    *data: Any,
    **static: Any,
) -> tuple[Callable[[], Any], Callable[[Array], Any]]:
    """Functions that draw the first replicates, and a chunk of replicates, by ``fn``."""
    static = static | {"scheme": draw.scheme}
    # the first chunk is drawn once where one device draws it all
    reused = mesh is None and chunk_size >= NUM_PILOT
    each = divided(fn, mesh, 1, **static)

    @cache
    def pilot() -> Any:
        return fn(draw.key, np.arange(chunk_size if reused else NUM_PILOT), *data, **static)

    def chunk(ids: Array) -> Any:
        return pilot() if reused and np.asarray(ids)[0] == 0 else each(draw.key, ids, *data)

    return pilot, chunk
