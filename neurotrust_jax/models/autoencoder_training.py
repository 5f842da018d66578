"""Training of a sparse autoencoder, with an auxiliary loss that revives dead features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from flax import nnx

from .autoencoder import SparseAutoencoder, check_inputs, normalise_rows, scatter
from .steps import check_steps, descend, minibatches, report, warmup_cosine


class AutoencoderHistory(NamedTuple):
    """Reconstruction error and dead features of an autoencoder during training.

    Attributes
    ----------
    unexplained : array [num_steps] of float
        Share of the variance of the inputs that the reconstruction of each batch leaves, >= 0.
    dead : array [num_steps] of float
        Share of the features that are dead before each step, in [0, 1].
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
    """Train an autoencoder in place, to reconstruct its inputs from few features.

    The optimiser is Adam, with the learning rate of ``train``. The mean and the scale of `x` are
    stored in the model. Dead features learn from the error that the others leave: the max(k, U / 2)
    dead features with the largest values reconstruct the error of the batch, and the share of it
    that they leave is added to the loss with weight 1/32 (AuxK, Gao et al., 2024). The model
    changes only after the last step.

    Parameters
    ----------
    key : JAX random key
        Random key for the order of the inputs. (The initial parameters are those of `model`.)
    model : SparseAutoencoder
        The autoencoder.
    x : array [n, U] of float
        Inputs, finite and not all equal, n >= 1.
    num_steps : int
        Number of steps, at least 1.
    batch_size : int
        Number of inputs per step, at least 1. All inputs are used if there are fewer.
    learning_rate : float
        Highest learning rate, > 0.
    dead_after : int
        A feature that has not been active for this number of steps, at least 1, is dead until it is
        active again.
    progress : callable, optional
        Called as ``progress(steps_done, num_steps)`` about a hundred times.

    Returns
    -------
    AutoencoderHistory
        Unexplained variance and share of dead features, one value per step.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or dtype or is out of range.

    Examples
    --------
    >>> import jax
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> x = jax.random.normal(jax.random.key(0), (500, 8))
    >>> model = models.SparseAutoencoder(8, num_features=32, k=3, rngs=nnx.Rngs(0))
    >>> history = models.train_autoencoder(
    ...     jax.random.key(1), model, x, num_steps=100, batch_size=100
    ... )
    >>> bool(history.unexplained[-1] < history.unexplained[0])
    True
    """
    check_steps(num_steps, batch_size, learning_rate)
    if dead_after < 1:
        raise ValueError(f"dead_after must be at least 1, got {dead_after}")
    num_features, input_size = model.decoder.shape
    x = check_inputs(x, input_size)
    mean, scale = _mean_and_scale(x)
    graph, state = nnx.split(model)
    params, fixed = nnx.split_state(state, nnx.Param, ...)
    fixed = jax.tree.map(jnp.copy, fixed)
    fixed["mean"][...] = jnp.asarray(mean, model.bias.dtype)
    fixed["scale"][...] = jnp.asarray(scale, model.bias.dtype)

    optimizer = optax.adam(warmup_cosine(learning_rate, num_steps))
    step = _compiled_step(graph, fixed, optimizer, dead_after)
    params = jax.tree.map(jnp.copy, params)  # the step donates them, and the model needs its arrays
    moments, idle = optimizer.init(params), jnp.zeros(num_features, jnp.int32)
    records = []
    for rows in minibatches(key, len(x), batch_size, num_steps):
        params, moments, idle, record = step(params, moments, idle, x[rows])
        records.append(record)
        report(progress, len(records), num_steps, record[0])
    nnx.update(model, params, fixed)
    return AutoencoderHistory(*map(jnp.stack, zip(*records, strict=True)))


def _mean_and_scale(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean [U] of inputs [n, U] and the root of their mean variance, or raise."""
    mean = x.mean(axis=0, dtype=np.float64)
    squares = [np.square(part - mean).sum() for part in np.array_split(x, -(-len(x) // 65_536))]
    scale = np.sqrt(sum(squares) / x.size)
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"x must be finite and vary, got a standard deviation of {scale}")
    return mean, scale


def _compiled_step(
    graph: Any, fixed: Any, optimizer: optax.GradientTransformation, dead_after: int
) -> Callable[..., Any]:
    """Return the compiled training step.

    The step maps the parameters, the optimiser's state, the number of steps [F] since each feature
    was active, and a batch [n, U] to the first three after the step and a pair: the batch's
    unexplained variance and the share of dead features before it.
    """

    def step(params: Any, moments: Any, idle: jax.Array, batch: jax.Array) -> Any:
        dead = idle >= dead_after

        def loss_of(params: Any) -> Any:
            return _loss(nnx.merge(graph, params, fixed), batch, dead)

        (_, (unexplained, active)), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        params, moments = descend(optimizer, gradient, moments, params)
        params["decoder"][...] = normalise_rows(params["decoder"][...])
        idle = jnp.where(active, 0, idle + 1)
        return params, moments, idle, (unexplained, jnp.mean(dead, dtype=unexplained.dtype))

    return jax.jit(step, donate_argnums=(0, 1, 2))


def _loss(
    model: SparseAutoencoder, batch: jax.Array, dead: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Return the loss of a batch [n, U], its unexplained variance and the active features [F]."""
    x = model.normalise(batch)
    dense = model.dense_features(x)
    values, index = jax.lax.top_k(dense, model.k)
    features = scatter(values, index, model.decoder.shape[0])
    error = x - features @ model.decoder[...] - model.bias[...][None]
    unexplained = jnp.mean(jnp.square(error))
    auxiliary = jax.lax.cond(
        dead.any(),
        partial(_share_left_by_dead, model, dead),
        lambda dense, error: jnp.zeros((), error.dtype),
        dense,
        jax.lax.stop_gradient(error),
    )
    return unexplained + auxiliary / 32, (unexplained, (features > 0).any(axis=0))


def _share_left_by_dead(
    model: SparseAutoencoder, dead: jax.Array, dense: jax.Array, error: jax.Array
) -> jax.Array:
    """Return the share of `error` [n, U] that the dead features [F] can not reconstruct."""
    num_features, input_size = model.decoder.shape
    number = min(max(model.k, input_size // 2), num_features)
    values, index = jax.lax.top_k(jnp.where(dead[None], dense, 0), number)
    left = error - scatter(values, index, num_features) @ model.decoder[...]
    return jnp.mean(jnp.square(left)) / (jnp.mean(jnp.square(error)) + 1e-8)
