"""Validate what a probe is made of: read by the host, checked, and only then handed to JAX."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._runtime.host_arrays import as_array, check_matrix, is_sparse, to_device
from .groups import number_groups
from .sample_weights import canonical_weights
from .sparse_columns import SparseColumns, dense_rows, read_sparse

__all__ = [
    "as_activations",
    "as_concepts",
    "as_groups",
    "as_names",
    "as_thresholds",
    "as_weights",
    "column_names",
]

AT_ONCE = 2**20  # elements checked at a time


def as_activations(values: Any) -> Any:
    """Finite activations [n, U]: a JAX array of floats, or sparse columns."""
    name = "activations"
    if is_sparse(values):
        sparse = read_sparse(values, name)
        if 0 in sparse.shape:
            raise ValueError(
                f"{name} must have shape [n, U] with no empty axis, got {sparse.shape}"
            )
        _check_stored(sparse, name)
        return sparse
    x = as_array(values, name)
    check_matrix(x, name, "n, U")
    f = to_device(x, None if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32)
    remedy = "drop or repair them"
    if not isinstance(x, Array) and x.dtype != f.dtype:
        remedy += f" (what is beyond the range of {f.dtype} becomes infinite: rescale it)"
    _require(f, _finite, name, "NaN or infinite values", remedy)
    return f


def _check_stored(sparse: SparseColumns, name: str) -> None:
    (bad,) = np.nonzero(~np.isfinite(sparse.values))
    if len(bad):
        row, column = sparse.places(bad)
        first = np.lexsort((column, row))[0]  # in the order of rows, as for dense ones
        raise ValueError(
            f"{name} holds NaN or infinite values in {len(bad)} places, first "
            f"{sparse.values[bad[first]]} at row {row[first]}, column {column[first]}; drop or "
            "repair them"
        )


def as_concepts(values: Any) -> Array:
    """Labels as bool, or probabilities, [n, C]; sparse ones are written out."""
    name = "concepts"
    if is_sparse(values):
        values = dense_rows(values, name)(0, values.shape[0])
    c = as_array(values, name)
    check_matrix(c, name, "n, C")
    if jnp.issubdtype(c.dtype, jnp.integer):
        what, remedy = "integers other than 0 and 1", "give 0/1 labels or probabilities"
        _require(c, _zero_or_one, name, what, remedy)  # before JAX may cut them to 32 bits
        return to_device(c, jnp.bool_)
    c = to_device(c)
    if c.dtype != jnp.bool_:
        remedy = "give labels or probabilities (a softmax or sigmoid of raw scores)"
        _require(c, _share, name, "values outside [0, 1]", remedy)
    return c


def as_weights(sample_weight: Any, n: int, dtype: Any) -> Array:
    """Sample weights [n] on their own scale, see :func:`canonical_weights`; ones for None."""
    if sample_weight is None:
        return jax.device_put(np.ones(n, dtype))
    w = as_array(sample_weight, "sample_weight")
    if w.shape != (n,):
        raise ValueError(f"sample_weight must have shape [{n}], got {list(w.shape)}")
    if isinstance(w, jax.core.Tracer):
        return w.astype(dtype)
    values = np.asarray(w).astype(np.float64)
    what, remedy = "negative or non-finite values", "weights must be at least 0"
    _require(values, _weight, "sample_weight", what, remedy)
    if not values.any():
        raise ValueError("sample_weight holds only zeros; give some sample a positive weight")
    return jax.device_put(canonical_weights(values, dtype, w.dtype))


def as_groups(groups: Any, n: int) -> tuple[Array | None, int | None]:
    """Dense index of each sample's group, [n] of int32, and the number of groups."""
    if groups is None:
        return None, None
    index, labels = number_groups(groups, n)
    return to_device(index, jnp.int32), len(labels)


def as_thresholds(thresholds: Any, f: Array | SparseColumns) -> Array:
    """Thresholds [U] in the type of the activations."""
    t = to_device(as_array(thresholds, "thresholds"), f.dtype)
    if t.shape not in ((), (f.shape[1],)):
        raise ValueError(
            f"thresholds must be a number or have shape [{f.shape[1]}], got {list(t.shape)}"
        )
    if isinstance(t, jax.core.Tracer):
        return jnp.broadcast_to(t, (f.shape[1],))
    _require(np.asarray(t).reshape(-1), _number, "thresholds", "NaN", "give numbers")
    return t if t.ndim else to_device(np.full(f.shape[1], t))


def as_names(names: Sequence[Any] | None, size: int, name: str, prefix: str) -> tuple[str, ...]:
    """One distinct name per column; bytes are read as UTF-8."""
    if names is None:
        return tuple(f"{prefix}{i}" for i in range(size))
    if isinstance(names, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of {size} names, got one string {names!r}")
    try:
        result = tuple(x.decode() if isinstance(x, bytes) else str(x) for x in names)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} holds {error.object!r}, which is not UTF-8; decode it") from None
    if len(result) != size:
        raise ValueError(f"{name} has {len(result)} entries for {size} columns")
    commonest, count = Counter(result).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{name} must be distinct; {commonest!r} appears more than once")
    return result


def column_names(values: Any) -> list[str] | None:
    """Names of the columns of a data frame; None without names, or where they only count."""
    columns = getattr(values, "columns", None)
    if columns is None or not hasattr(values, "to_numpy"):
        return None
    columns = list(columns)
    return None if columns == list(range(len(columns))) else [str(x) for x in columns]


@partial(jax.jit, static_argnames="valid")
def _all(x: Array, valid: Callable[[Any], Any]) -> Array:
    return valid(x).all()


def _all_rows(x: np.ndarray, valid: Callable[[Any], Any]) -> bool:
    """The same on the host, some rows at a time."""
    step = max(1, AT_ONCE // max(1, math.prod(x.shape[1:])))
    return all(valid(x[start : start + step]).all() for start in range(0, len(x), step))


def _zero_or_one(x: Any) -> Any:
    return (x == 0) | (x == 1)


def _share(x: Any) -> Any:
    return (x >= 0) & (x <= 1)


def _weight(x: Any) -> Any:
    return (x >= 0) & (x < jnp.inf)


def _finite(x: Any) -> Any:
    return (x > -jnp.inf) & (x < jnp.inf)


def _number(x: Any) -> Any:
    return x == x


def _require(
    x: Array | np.ndarray, valid: Callable[[Any], Any], name: str, what: str, remedy: str
) -> None:
    """Raise if an element is not valid; silent under tracing, where values are unknown."""
    if isinstance(x, jax.core.Tracer):
        return
    if isinstance(x, Array) and x.is_fully_addressable and jax.default_backend() == "cpu":
        x = np.asarray(x)  # read in place: nothing is compiled
    if not bool(_all(x, valid) if isinstance(x, Array) else _all_rows(x, valid)):
        bad = np.asarray(~valid(x))
        row, *column = (int(i) for i in np.argwhere(bad)[0])
        where = f"row {row}" + (f", column {column[0]}" if column else "")
        value = np.asarray(x)[(row, *column)]
        raise ValueError(
            f"{name} holds {what} in {int(bad.sum())} places, first {value} at {where}; {remedy}"
        )
