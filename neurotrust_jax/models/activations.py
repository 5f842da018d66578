"""Activations of any layer of a Flax model, NNX or Linen, without changing the model."""

import difflib
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx, traverse_util

_POOLS: dict[str, Callable[..., jax.Array]] = {"mean": jnp.mean, "max": jnp.max}


def capture(
    model: nnx.Module | linen.Module,
    inputs: np.ndarray | jax.Array,
    path: str,
    *,
    variables: Any = None,
    pool: str | None = None,
    call: int | None = None,
    batch_size: int = 512,
    **kwargs: Any,
) -> jax.Array:
    """Activations of the layer at `path`, for many inputs.

    The activations of a layer are the output of its ``__call__``. An NNX model is copied, and the
    copy is put into evaluation mode (``model.eval()``: dropout off, batch statistics frozen); the
    model, its class and its state are not changed. A Linen model takes its mode from its arguments,
    so pass what it needs, such as ``train=False``. The model must treat the samples of a batch
    independently, because the last batch is filled up with copies of the last sample.

    Parameters
    ----------
    model : flax.nnx.Module or flax.linen.Module
        The model, called as ``model(inputs, **kwargs)``.
    inputs : array [n, ...]
        Samples along the first axis, n >= 1: images, vectors or integer tokens.
    path : str
        Dot-separated path of a submodule, as listed by ``layer_paths``: "hidden", "blocks.2",
        "encoder.layers.0.mlp". The empty path is the output of the model.
    variables : pytree, optional
        Variables of a Linen model, such as ``{"params": ...}``. An NNX model takes none.
    pool : {"mean", "max"}, optional
        Reduction over all axes between the first and the last, which turns feature maps
        [n, H, W, U] or tokens [n, T, U] into [n, U]. An output [n, U] is not pooled.
    call : int, optional
        Index, from 0, of the call to read if the model calls the layer more than once.
    batch_size : int
        Largest number of samples per call of the model, at least 1. One compiled program serves all
        batches.
    **kwargs
        Further arguments of the model's call (Linen: of ``model.apply``), the same for every batch.

    Returns
    -------
    array [n, U]
        Activations, in the dtype of the layer.

    Raises
    ------
    ValueError
        If no layer at `path` is called (the message lists those that are); if it is called more
        than once and `call` is missing or out of range; if its output is not a single array
        [n, ..., U]; if the output has more than two axes and `pool` is missing; or if `inputs`,
        `pool`, `batch_size` or `variables` can not be used.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> model = nnx.Sequential(
    ...     nnx.Linear(4, 6, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(6, 2, rngs=nnx.Rngs(1))
    ... )
    >>> x = jnp.ones((10, 4))
    >>> models.layer_paths(model, x)
    {'layers.0': (10, 6), 'layers.2': (10, 2), '': (10, 2)}
    >>> models.capture(model, x, "layers.0").shape
    (10, 6)
    """
    if pool is not None and pool not in _POOLS:
        raise ValueError(f"pool must be None or one of {sorted(_POOLS)}, got {pool!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if np.ndim(inputs) < 1 or inputs.shape[0] < 1:
        raise ValueError(
            f"inputs must hold at least one sample, got an array of shape {np.shape(inputs)}"
        )
    forward, state = recorder(model, variables, path, kwargs)

    @jax.jit
    def activations(state: Any, batch: jax.Array) -> jax.Array:
        calls = forward(state, batch).get(path)
        if calls is None:
            raise ValueError(unknown_layer(path, layer_paths(model, batch, variables, **kwargs)))
        output = output_of_call(path, calls, call)
        if output.ndim < 2 or output.shape[0] != batch.shape[0]:
            raise ValueError(
                f"layer {path!r} must return [n, ..., U] for n samples, "
                f"got shape {output.shape} for n = {batch.shape[0]}"
            )
        if output.ndim == 2:
            return output
        if pool is None:
            raise ValueError(
                f"layer {path!r} returns shape {output.shape} for {batch.shape[0]} samples, not "
                'one value per neuron: give pool="mean" or pool="max" to reduce the axes between '
                "the first and the last"
            )
        return _POOLS[pool](output, axis=tuple(range(1, output.ndim - 1)))

    # Batches of equal size compile once; this size fills up the last one the least.
    n = inputs.shape[0]
    size = -(-n // -(-n // batch_size))
    rows = np.minimum(np.arange(-(-n // size) * size), n - 1).reshape(-1, size)
    return jnp.concatenate([activations(state, inputs[batch]) for batch in rows])[:n]


def layer_paths(
    model: nnx.Module | linen.Module,
    inputs: np.ndarray | jax.Array,
    variables: Any = None,
    **kwargs: Any,
) -> dict[str, tuple[int, ...]]:
    """Paths that ``capture`` accepts, with the output shape of each layer.

    Shapes are inferred without computing anything.

    Parameters
    ----------
    model : flax.nnx.Module or flax.linen.Module
        The model, called as ``model(inputs, **kwargs)``.
    inputs : array [n, ...]
        Samples along the first axis, n >= 1.
    variables : pytree, optional
        Variables of a Linen model, such as ``{"params": ...}``. An NNX model takes none.
    **kwargs
        Further arguments of the model's call (Linen: of ``model.apply``).

    Returns
    -------
    dict of str to tuple of int
        Output shape, including the batch axis, of each submodule that the model calls (the first
        call, if there are several). A submodule whose output is not a single array is left out, and
        one with several parents has one path. The path of the model itself is the empty string.

    Raises
    ------
    ValueError
        If `variables` are missing for a Linen model, or given for an NNX model.
    """
    forward, state = recorder(model, variables, None, kwargs)
    paths: list[str] = []

    def first_calls(state: Any, batch: jax.Array) -> list[Any]:
        calls = forward(state, batch)
        paths.extend(calls)  # JAX sorts the keys of a dict that it returns: blocks.10, blocks.2
        return [calls[path][0] for path in paths]

    outputs = jax.eval_shape(first_calls, state, inputs)
    return {
        path: output.shape
        for path, output in zip(paths, outputs, strict=True)
        if isinstance(output, jax.ShapeDtypeStruct)
    }


_Forward = Callable[[Any, jax.Array], dict[str, tuple[Any, ...]]]


def recorder(
    model: nnx.Module | linen.Module, variables: Any, path: str | None, kwargs: dict[str, Any]
) -> tuple[_Forward, Any]:
    """Return ``forward(state, batch) -> {path: outputs of each call}`` and the model's state.

    If `path` is given, that layer alone is recorded, so that no other layer can cause an error.
    """
    if isinstance(model, linen.Module):
        if variables is None:
            raise ValueError(f"a Linen model needs its variables, got None for {type(model)}")

        def linen_forward(state: Any, batch: jax.Array) -> dict[str, tuple[Any, ...]]:
            _, recorded = model.apply(
                state,
                batch,
                capture_intermediates=lambda module, method: (
                    method == "__call__" and path in (None, ".".join(module.path))
                ),
                mutable=["intermediates"],
                **kwargs,
            )
            calls = traverse_util.flatten_dict(recorded.get("intermediates", {}))
            return {
                ".".join(keys[:-1]): outputs
                for keys, outputs in calls.items()
                if keys[-1] == "__call__"
            }

        # `init` returns such a collection, and the calls recorded here would be appended to it.
        return linen_forward, {k: v for k, v in variables.items() if k != "intermediates"}

    if not isinstance(model, nnx.Module):
        raise ValueError(f"model must be a Flax NNX or Linen module, got {type(model)}")
    if variables is not None:
        raise ValueError(
            f"variables must be omitted for an NNX model, which has them, got {type(variables)}"
        )
    graph, state = nnx.split(model)

    def nnx_forward(state: Any, batch: jax.Array) -> dict[str, tuple[Any, ...]]:
        copy = nnx.merge(graph, state)
        copy.eval()
        modules = {".".join(map(str, keys)): module for keys, module in nnx.iter_modules(copy)}
        watched = {
            key: module
            for key, module in modules.items()
            if path in (None, key) and callable(module)
        }
        for module in watched.values():
            object.__setattr__(module, "__class__", _recording(type(module)))
        copy(batch, **kwargs)
        return {
            key: module._calls.get_value()
            for key, module in watched.items()
            if hasattr(module, "_calls")
        }

    return nnx_forward, state


class _Calls(nnx.Intermediate):
    """Outputs of a layer, a tuple with one entry per call."""


@functools.cache
def _recording(cls: type[nnx.Module]) -> type[nnx.Module]:
    """Return a subclass of `cls` whose instances record the outputs of their calls.

    ``nnx.capture(..., method_outputs=)`` is no alternative: it edits the user's classes while it
    runs, and misses a ``__call__`` that a class inherits. The outputs are in a Variable and not in
    a list outside the model, so that ``nnx.jit``, ``nnx.remat`` and the like return them.
    """

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = cls.__call__(self, *args, **kwargs)
        earlier = self._calls.get_value() if hasattr(self, "_calls") else ()
        self._calls = _Calls((*earlier, output))
        return output

    return type(cls.__name__, (cls,), {"__call__": __call__})


def output_of_call(path: str, calls: tuple[Any, ...], call: int | None) -> jax.Array:
    """Return the output of one of a layer's `calls`, or raise if `call` does not name one."""
    if call is None and len(calls) > 1:
        raise ValueError(f"layer {path!r} is called {len(calls)} times: say which by call=0, ...")
    if call is not None and not 0 <= call < len(calls):
        raise ValueError(f"layer {path!r} is called {len(calls)} times, got call={call}")
    output = calls[call or 0]
    if not isinstance(output, jax.Array):
        raise ValueError(f"layer {path!r} must return one array, got {type(output)}")
    return output


def unknown_layer(path: str, shapes: dict[str, tuple[int, ...]]) -> str:
    """Return the message for a path that is not among those of `shapes`, the closest first."""
    close = difflib.get_close_matches(path, shapes, n=3)
    listed = ", ".join(repr(p) for p in (*close, *(p for p in shapes if p not in close)))
    return f"no layer at path {path!r} is called; the paths are {listed}"
