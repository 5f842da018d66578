"""Products of 0/1 and whole numbers by products of bytes.

A processor multiplies bytes several times as fast as floating-point numbers. A whole number is
therefore divided into digits of base 256 that lie between -128 and 127, one product is taken for
each digit, and the sums are put together. All of it is exact.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

__all__ = [
    "MANY",
    "by_bytes",
    "digits_fit",
    "digits_needed",
    "digits_of",
    "num_digits_of_ranks",
    "number_from_digits",
    "product_of_bytes",
    "product_of_digits",
    "whole_product",
]

BASE_BITS = 8
MOST_DIGITS = 3  # more take as long as a product in single precision
MANY = 64  # concepts of a neuron; for fewer, forming the digits takes longer than they save
MOST_DRAWN = 32  # a sample is drawn as often with probability 1e-36


@cache
def bytes_are_fast() -> bool:
    """Whether this processor has a quick product of bytes.

    XLA has one on CPUs since it uses YNNPACK; without it such a product takes far longer than one
    of floating-point numbers. Accelerators multiply small counts in bfloat16.
    """
    if jax.default_backend() != "cpu":
        return False
    byte = jax.ShapeDtypeStruct((64, 64), jnp.int8)
    return "ynn" in (jax.jit(product_of_bytes).lower(byte, byte).compile().as_text() or "")


def product_of_bytes(a: Array, b: Array) -> Array:
    """Product of ``a`` [m, k] and ``b`` [k, b] of int8, in int32."""
    return jnp.matmul(a, b, preferred_element_type=jnp.int32)


def digits_fit(num_samples: int, counts: bool) -> bool:
    """Whether weighted ranks have few digits that are quick to multiply.

    Samples must be drawn whole (``counts``); twice a centred rank is then a whole number of at most
    the number of samples.
    """
    return counts and num_digits_of_ranks(num_samples) <= MOST_DIGITS and bytes_are_fast()


def num_digits_of_ranks(num_samples: int) -> int:
    """How many digits hold the centred ranks of so many samples, doubled and weighted."""
    return digits_needed(MOST_DRAWN * (num_samples + 1))


def digits_needed(largest: int) -> int:
    """How many digits hold all whole numbers between ``-largest`` and ``largest``."""
    number = 1
    # the largest numbers of all digits 127 and of all digits -128 differ
    while 127 * (256**number - 1) // 255 < largest:
        number += 1
    return number


def digits_of(values: Array, number: int) -> tuple[Array, ...]:
    """The last ``number`` digits of whole numbers of int32, the lowest first: int8 each."""
    least = 128 * (256**number - 1) // 255  # the negative of the smallest number
    bytes_of = [(values + least) >> (BASE_BITS * k) for k in range(number)]
    return tuple(((x & 255) - 128).astype(jnp.int8) for x in bytes_of)


def product_of_digits(a: Array, digits: tuple[Array, ...], dtype: Any) -> Array:
    """Product of ``a`` [m, k] of 0 and 1 with the numbers [k, b] of these digits, in ``dtype``.

    Equal sums give equal results: they are rounded once all of their digits are known.
    """
    narrow = a.astype(jnp.int8)
    return number_from_digits(tuple(product_of_bytes(narrow, x) for x in digits), dtype)


def number_from_digits(sums: tuple[Array, ...], dtype: Any) -> Array:
    """The whole numbers with these sums of int32 for digits, the lowest first, in ``dtype``."""
    *lower, highest = sums
    carried, carry = [], jnp.zeros_like(highest)
    for x in lower:
        total = x + carry
        carried.append(total & (2**BASE_BITS - 1))
        carry = total >> BASE_BITS
    found = (highest + carry).astype(dtype)
    for x in reversed(carried):
        found = found * 2**BASE_BITS + x.astype(dtype)
    return found


def by_bytes(largest: int) -> bool:
    """Whether whole numbers up to ``largest`` are quicker to multiply with 0 and 1 by bytes."""
    return digits_needed(largest) < MOST_DIGITS and bytes_are_fast()


def whole_product(a: Array, values: Array, largest: int, dtype: Any) -> Array:
    """Product of ``a`` [m, k] of 0 and 1 with whole numbers [k, b] up to ``largest``, in ``dtype``.

    It is exact where :func:`by_bytes`, and else one of ``dtype``.
    """
    if by_bytes(largest):
        return product_of_digits(a, digits_of(values, digits_needed(largest)), dtype)
    return jnp.matmul(a.astype(dtype), values.astype(dtype), precision=lax.Precision.HIGHEST)
