"""Real numbers in arrays of any library, read on the host without a change of their values."""

from __future__ import annotations

import reprlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = [
    "as_array",
    "as_host_array",
    "check_matrix",
    "is_sparse",
    "native",
    "remedy",
    "to_device",
]

NUMBERS = "fbiu"  # kinds of NumPy's types
CPU = 1  # a device type of DLPack


def as_array(values: Any, name: str) -> np.ndarray | Array:
    """Read real numbers: JAX arrays stay as they are, all others become NumPy arrays.

    JAX without x64 would cut integers of 64 bits to 32, so that nothing becomes a JAX array here.
    A masked array is read if nothing in it is masked, and an array of Python objects if all of
    them are numbers.

    Raises
    ------
    TypeError
        If the values are not real numbers, or can not be read at all.
    ValueError
        If some are masked, or rows differ in length.
    """
    if isinstance(values, Array):
        if not any(jnp.issubdtype(values.dtype, k) for k in (jnp.bool_, jnp.integer, jnp.floating)):
            raise TypeError(f"{name} must hold real numbers, got dtype {values.dtype}")
        return values
    x = _host(values, name)
    if x.dtype == object:
        x = _from_objects(x, name)
    # NumPy knows bfloat16 by its name alone
    if x.dtype.kind not in NUMBERS and x.dtype.name != "bfloat16":
        raise TypeError(f"{name} must hold real numbers, got dtype {x.dtype}")
    return native(x)


def as_host_array(values: Any, name: str) -> np.ndarray:
    """Read real numbers as a NumPy array, see :func:`as_array`."""
    return np.asarray(as_array(values, name))


def to_device(x: np.ndarray | Array, dtype: Any = None) -> Array:
    """The JAX array of the nearest numbers in a type, or of floats in the type JAX has for them.

    NumPy converts, so that integers beyond 32 bits are rounded to floats and never cut, and copies,
    so that later changes of ``x`` are not seen: ``jnp.asarray`` would compile a copy of each shape.
    """
    dtype = jax.dtypes.canonicalize_dtype(x.dtype if dtype is None else dtype)
    if isinstance(x, Array):
        return x if x.dtype == dtype else x.astype(dtype)
    with np.errstate(over="ignore"):  # infinity is refused where it may not be
        return jax.device_put(x.astype(dtype))


def native(x: np.ndarray) -> np.ndarray:
    """The same numbers in this machine's byte order, long doubles rounded to double precision."""
    if x.dtype.kind == "f" and x.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return x.astype(np.float64)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def is_sparse(values: Any) -> bool:
    """Whether these are a sparse matrix of SciPy or JAX, or our sparse columns."""
    return hasattr(values, "tocoo") or hasattr(values, "nse")


def check_matrix(x: np.ndarray | Array, name: str, shape: str) -> None:
    """Refuse an array that is not a matrix, and say how to make one of it."""
    if x.ndim != 2:
        raise ValueError(
            f"{name} must have shape [{shape}], got {list(x.shape)}{remedy(x.shape, name)}"
        )
    if 0 in x.shape:
        raise ValueError(f"{name} must have shape [{shape}] with no empty axis, got {x.shape}")


def remedy(shape: tuple[int, ...], name: str) -> str:
    """How to make a matrix of an array of this shape, as the end of a message."""
    if len(shape) == 1:
        return f"; use {name}[:, None] for a single column"
    if len(shape) in (3, 4, 5):
        return (
            f"; pool its positions: neurotrust_jax.pool_activations({name}, how), or --pool, with "
            '"max" or "mean", or "none" to take each position as a sample'
        )
    return ""


def _host(values: Any, name: str) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            count = int(np.ma.getmaskarray(values).sum())
            raise ValueError(
                f"{name} is a masked array with {count} masked values; fill them "
                "(x.filled(value)) or drop their rows"
            )
        return np.asarray(values.data)
    # PyTorch keeps some signs as a flag beside the numbers, which DLPack does not hand over
    for resolve in ("resolve_conj", "resolve_neg"):
        values = getattr(values, resolve, lambda same=values: same)()
    if hasattr(values, "__dlpack__") and not isinstance(values, (np.ndarray, np.generic)):
        return _from_dlpack(values, name)
    if is_sparse(values):
        raise TypeError(f"{name} is sparse; give a dense array")
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must have rows of one length; pad them or drop some") from None


def _from_dlpack(values: Any, name: str) -> np.ndarray:
    try:
        if values.__dlpack_device__()[0] == CPU:
            try:
                return np.from_dlpack(values)
            except (TypeError, ValueError, RuntimeError, BufferError):
                pass  # JAX also takes what NumPy lacks, such as bfloat16
        elif "int64" in str(getattr(values, "dtype", "")):
            raise TypeError(
                "64-bit integers on an accelerator would be cut to 32 bits; bring them to the "
                "host, or convert them to floats there"
            )
        return np.asarray(jnp.from_dlpack(values))
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"{name} can not be read through DLPack: {error}") from error


def _from_objects(x: np.ndarray, name: str) -> np.ndarray:
    """Numbers that NumPy holds as Python objects: truth values, or all in double precision."""
    kinds = bool, int, float, np.bool_, np.integer, np.floating
    for place, value in enumerate(x.ravel().tolist()):
        if not isinstance(value, kinds):
            where = ""
            if x.ndim == 2:
                where = f" at row {place // x.shape[1]}, column {place % x.shape[1]}"
            raise TypeError(
                f"{name} must hold real numbers, got {reprlib.repr(value)} of type "
                f"{type(value).__name__}{where}"
            )
    if all(isinstance(value, (bool, np.bool_)) for value in x.ravel().tolist()):
        return x.astype(bool)
    try:
        return x.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds an integer beyond the range of floats") from None
