"""The six weighted sums from which most similarity metrics follow pointwise."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

__all__ = ["Sums", "weighted_sums"]


class Sums(NamedTuple):
    """Weighted sums of a view f of the neurons and a view c of the concepts.

    Attributes
    ----------
    S : Array []
        Total weight.
    F, FF : Array [U, 1]
        Sums of f and of its square.
    C, CC : Array [1, C]
        Sums of c and of its square.
    FC : Array [U, C]
        Sums of products: the only matrix, and one matrix product.
    """

    S: Array
    F: Array
    C: Array
    FF: Array
    CC: Array
    FC: Array


def weighted_sums(f: Array, c: Array, weights: Array) -> Sums:
    """Take the six sums of ``f`` [n, U] and ``c`` [n, C] under ``weights`` [n].

    The products run at the highest matrix precision, so that no accelerator rounds them to TF32
    or bfloat16; sums of 0/1 data under whole weights are exact up to 2**24 in float32.
    """
    weighted = weights[:, None] * f

    def total(columns: Array) -> Array:
        return jnp.matmul(weights, columns, precision=lax.Precision.HIGHEST)

    return Sums(
        S=weights.sum(),
        F=total(f)[:, None],
        C=total(c)[None, :],
        FF=total(f * f)[:, None],
        CC=total(c * c)[None, :],
        FC=jnp.matmul(weighted.T, c, precision=lax.Precision.HIGHEST),
    )
