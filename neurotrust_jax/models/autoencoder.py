"""A sparse autoencoder of a layer's activations, and its features of many inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from flax import nnx

from .networks import _check_sizes
from .steps import batches, check_steps, descend, minibatches, report, warmup_cosine

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Fixed(nnx.Variable):
    """What training sets once and no gradient moves."""


class SparseAutoencoder(nnx.Module):
    """A TopK autoencoder (Gao et al., 2024, "Scaling and evaluating sparse autoencoders").

    Inputs are centred and divided by one scale, so that their variance is one on average over the
    units. The features are the k largest values of ReLU((x - bias) @ encoder), the others zero; the
    reconstruction is features @ decoder + bias, back on the inputs' scale. Each row of the decoder,
    a feature's direction, has norm one.

    Parameters
    ----------
    input_size
        Units U of the layer.
    num_features
        Features F.
    k
        Features, at most, that are active at once.
    rngs
        Source of the initial directions.

    Raises
    ------
    ValueError
        If a size is not positive, or `k` exceeds the number of features.
    """

    def __init__(self, input_size: int, num_features: int, k: int, *, rngs: nnx.Rngs) -> None:
        _check_sizes(input_size=(input_size,), num_features=(num_features,), k=(k,))
        if k > num_features:
            raise ValueError(f"k must be at most num_features = {num_features}, got {k}")
        self.k = k
        shape = num_features, input_size
        directions = _unit_rows(jax.random.normal(rngs.params(), shape, jnp.float32))
        self.encoder = nnx.Param(directions.T)
        self.decoder = nnx.Param(directions)
        self.bias = nnx.Param(jnp.zeros(input_size, jnp.float32))
        self.mean = Fixed(jnp.zeros(input_size, jnp.float32))
        self.scale = Fixed(jnp.ones((), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Reconstruct inputs [n, U]."""
        return self.decode(self.encode(x))

    def encode(self, x: jax.Array) -> jax.Array:
        """Features [n, F] of inputs [n, U], at most k of which are not zero."""
        values, index = self.top(x)
        return _scatter(values, index, self.decoder.shape[0])

    def decode(self, features: jax.Array) -> jax.Array:
        """Inputs [n, U] that features [n, F] stand for."""
        reconstruction = features @ self.decoder[...] + self.bias[...][None]
        return reconstruction * self.scale[...] + self.mean[...][None]

    def top(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Values [n, k], not negative, of the largest features of inputs [n, U], and which."""
        if x.ndim != 2 or x.shape[1] != self.bias.shape[0]:
            raise ValueError(f"inputs must have shape [n, {self.bias.shape[0]}], got {x.shape}")
        return jax.lax.top_k(self._before_top(self._normalised(x)), self.k)

    def _normalised(self, x: jax.Array) -> jax.Array:
        return (x.astype(self.bias.dtype) - self.mean[...][None]) / self.scale[...]

    def _before_top(self, x: jax.Array) -> jax.Array:
        return nnx.relu((x - self.bias[...][None]) @ self.encoder[...])


class AutoencoderHistory(NamedTuple):
    """How the training of an autoencoder went.

    Attributes
    ----------
    unexplained
        Share of the variance of the inputs that each step's reconstruction leaves, [num_steps].
    dead
        Share, in [0, 1], of the features that had long not been active, [num_steps].
    """

    unexplained: jax.Array
    dead: jax.Array


def train_autoencoder(
    key: jax.Array,
    model: SparseAutoencoder,
    x: np.ndarray | jax.Array,
    *,
    num_steps: int,
    batch_size: int = 1024,
    learning_rate: float = 2e-3,
    dead_after: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> AutoencoderHistory:
    """Fit `model`, in place, to reconstruct inputs from few features.

    Adam, its learning rate as in ``train``. The mean and the scale of `x` are kept in the model.
    Features that are dead learn from what the others leave: of the dead ones the max(k, U / 2) with
    the largest values reconstruct the error of the batch, and the share they leave of it is added
    to the loss with weight 1/32 (AuxK, Gao et al., 2024). The model changes only when all steps are
    done.

    Parameters
    ----------
    key
        Key of the order of the inputs. (The initial parameters come from the model's own.)
    model
        The autoencoder.
    x
        Inputs [n, U], floating point, not all equal.
    num_steps
        Steps, at least 1.
    batch_size
        Inputs a step; all of them if there are fewer.
    learning_rate
        The highest learning rate, > 0.
    dead_after
        A feature that was active in none of so many steps is dead, until it is active again.
    progress
        Called as ``progress(steps_done, steps_in_all)`` about a hundred times.

    Returns
    -------
    AutoencoderHistory
        Variance unexplained and share of dead features, step by step.

    Raises
    ------
    ValueError
        If an argument is outside what is said above.
    """
    check_steps(num_steps, batch_size, learning_rate)
    if dead_after < 1:
        raise ValueError(f"dead_after must be at least 1, got {dead_after}")
    num_features, input_size = model.decoder.shape
    x = _check_inputs(x, input_size)
    mean = x.mean(axis=0, dtype=np.float64)
    squares = [np.square(part - mean).sum() for part in np.array_split(x, -(-len(x) // 65_536))]
    scale = np.sqrt(sum(squares) / x.size)
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"x must be finite and vary, got a standard deviation of {scale}")
    helpers = min(max(model.k, input_size // 2), num_features)
    graph, state = nnx.split(model)
    params, fixed = nnx.split_state(state, nnx.Param, ...)
    fixed = jax.tree.map(jnp.copy, fixed)
    fixed["mean"][...] = jnp.asarray(mean, model.bias.dtype)
    fixed["scale"][...] = jnp.asarray(scale, model.bias.dtype)
    optimizer = optax.adam(warmup_cosine(learning_rate, num_steps))

    def step(params: Any, moments: Any, idle: jax.Array, batch: jax.Array) -> Any:
        dead = idle >= dead_after

        def loss_of(params: Any) -> Any:
            model = nnx.merge(graph, params, fixed)
            x = model._normalised(batch)
            before = model._before_top(x)
            values, index = jax.lax.top_k(before, model.k)
            features = _scatter(values, index, num_features)
            error = x - features @ model.decoder[...] - model.bias[...][None]
            unexplained = jnp.mean(jnp.square(error))

            def share_left(before: jax.Array, error: jax.Array) -> jax.Array:
                values, index = jax.lax.top_k(jnp.where(dead[None], before, 0), helpers)
                left = error - _scatter(values, index, num_features) @ model.decoder[...]
                return jnp.mean(jnp.square(left)) / (jnp.mean(jnp.square(error)) + 1e-8)

            auxiliary = jax.lax.cond(
                dead.any(),
                share_left,
                lambda before, error: jnp.zeros((), error.dtype),
                before,
                jax.lax.stop_gradient(error),
            )
            return unexplained + auxiliary / 32, (unexplained, (features > 0).any(axis=0))

        (_, (unexplained, active)), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        params, moments = descend(optimizer, gradient, moments, params)
        params["decoder"][...] = _unit_rows(params["decoder"][...])
        idle = jnp.where(active, 0, idle + 1)
        return params, moments, idle, (unexplained, jnp.mean(dead, dtype=unexplained.dtype))

    step = jax.jit(step, donate_argnums=(0, 1, 2))
    params = jax.tree.map(jnp.copy, params)  # the steps donate them, and the model keeps its own
    moments, idle = optimizer.init(params), jnp.zeros(num_features, jnp.int32)
    records = []
    for rows in minibatches(key, len(x), batch_size, num_steps):
        params, moments, idle, record = step(params, moments, idle, x[rows])
        records.append(record)
        report(progress, len(records), num_steps, record[0])
    nnx.update(model, params, fixed)
    return AutoencoderHistory(*map(jnp.stack, zip(*records, strict=True)))


def sparse_features(
    model: SparseAutoencoder, x: np.ndarray | jax.Array, batch_size: int = 4096
) -> csr_array:
    """Features [n, F] of inputs [n, U], without the zeros; equal to ``model.encode(x)``.

    Parameters
    ----------
    model
        The autoencoder.
    x
        Inputs [n, U], floating point.
    batch_size
        Inputs, at most, that the model sees at once; no more dense features than theirs are held.

    Returns
    -------
    scipy.sparse.csr_array
        Features, float32, in ascending order within a row.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    ValueError
        If `x` is not [n, U] of floating point, or `batch_size` not positive.
    """
    try:
        from scipy.sparse import csr_array
    except ImportError as error:
        raise ImportError("sparse_features needs SciPy: pip install scipy") from error
    num_features, input_size = model.decoder.shape
    x = _check_inputs(x, input_size)
    graph, state = nnx.split(model)
    top = jax.jit(lambda state, x: nnx.merge(graph, state).top(x))
    counts, columns, data = [], [], []
    for rows, repeated in batches(len(x), batch_size):
        values, index = map(np.asarray, top(state, x[rows]))
        order = np.argsort(index, axis=1)
        values, index = (np.take_along_axis(a, order, axis=1) for a in (values, index))
        kept = (values > 0) & ~repeated[:, None]
        counts.append(kept[~repeated].sum(axis=1))
        columns.append(index[kept])
        data.append(values[kept])
    pointer = np.r_[0, np.cumsum(np.concatenate(counts))]
    return csr_array(
        (np.concatenate(data), np.concatenate(columns), pointer), shape=(len(x), num_features)
    )


def _unit_rows(x: jax.Array) -> jax.Array:
    return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _scatter(values: jax.Array, index: jax.Array, size: int) -> jax.Array:
    """Place `values` [n, k] at columns `index` [n, k] of a matrix [n, size] of zeros."""
    rows = np.arange(len(values))[:, None]
    return jnp.zeros((len(values), size), values.dtype).at[rows, index].set(values)


def _check_inputs(x: np.ndarray | jax.Array, input_size: int) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim != 2 or not len(x) or x.shape[1] != input_size:
        raise ValueError(f"x must have shape [n, {input_size}], n >= 1, got {x.shape}")
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"x must be floating point, got {x.dtype}")
    return x
