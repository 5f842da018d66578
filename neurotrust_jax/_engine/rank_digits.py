"""Products of weighted ranks with concepts by bytes, some samples at a time.

Samples are read in their own order, which is the same for all neurons: no concept has to be put
into the order of a neuron.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from .._numerics.byte_products import (
    digits_fit,
    digits_of,
    num_digits_of_ranks,
    number_from_digits,
    product_of_bytes,
)
from .draws import Drawn, is_small
from .row_index import RowIndex

__all__ = ["Pieces", "pieces_of"]

ENTRIES = 2**19  # of a piece: what is formed from it stays in the cache of a processor
ALIGNED = 64  # samples that a processor multiplies at a time


class Pieces(NamedTuple):
    """All samples, in pieces of k.

    Attributes
    ----------
    rows : Array [pieces, k] of int32
        Samples; n, of weight 0, fills up.
    weights : Array [pieces, k, b] of uint8
        Their weights in the replicates.
    present : Array [pieces, C, k] of int8
        Whether they have a concept.
    """

    rows: Array
    weights: Array
    present: Array

    def product(
        self, concept: Array, doubled: Callable[[Array, Array], Array], dtype: Any
    ) -> Array:
        """The sums of ``doubled(rows, weights)`` over the samples of each concept, [width, b].

        Exact but for one rounding to ``dtype``.
        """
        num_pieces, size, num_replicates = self.weights.shape
        number = num_digits_of_ranks(num_pieces * size)

        def step(s: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
            present = self.present.at[s, concept].get(mode="promise_in_bounds")
            digits = digits_of(doubled(self.rows[s], self.weights[s]), number)
            return tuple(
                total + product_of_bytes(present, x) for total, x in zip(sums, digits, strict=True)
            )

        none = jnp.zeros((len(concept), num_replicates), jnp.int32)
        sums = lax.fori_loop(0, num_pieces, step, (none,) * number)
        return number_from_digits(sums, dtype)


def pieces_of(drawn: Drawn, index: RowIndex) -> Pieces | None:
    """The samples in pieces; None where products of their ranks' digits are not quicker."""
    num_rows, num_replicates = drawn.weights.shape
    if not (index.ranks_all and digits_fit(num_rows - 1, is_small(drawn.weights))):
        return None
    wanted = max(1, round(num_rows * num_replicates / ENTRIES))
    size = -(-num_rows // (wanted * ALIGNED)) * ALIGNED
    number = -(-num_rows // size)
    short = number * size - num_rows
    every = jnp.arange(number * size, dtype=jnp.int32)
    weights = jnp.pad(drawn.weights, ((0, short), (0, 0)))
    present = jnp.pad(index.present, ((0, 0), (0, short))).astype(jnp.int8)
    return Pieces(
        jnp.minimum(every, num_rows - 1).reshape(number, size),
        weights.reshape(number, size, num_replicates),
        present.reshape(-1, number, size).swapaxes(0, 1),
    )
