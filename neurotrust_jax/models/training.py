"""Training a classifier, and asking it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from flax import nnx

from .capture import capture
from .steps import descend, minibatches, report, warmup_cosine


class History(NamedTuple):
    """How the training went, epoch by epoch.

    Attributes
    ----------
    loss
        Mean cross-entropy in nats over the epoch's minibatches, as they were met, [num_epochs].
    accuracy
        Share of their images classified correctly, in [0, 1], [num_epochs].
    """

    loss: jax.Array
    accuracy: jax.Array


def train(
    key: jax.Array,
    model: nnx.Module,
    images: np.ndarray | jax.Array,
    targets: np.ndarray | jax.Array,
    *,
    num_epochs: int,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-2,
    progress: Callable[[int, int], None] | None = None,
) -> History:
    """Fit `model`, in place, to minimise the cross-entropy of its logits.

    AdamW; the learning rate rises linearly over the first tenth of the steps and falls to zero
    along a cosine. Each epoch visits the images in a fresh order; those that fill no whole
    minibatch sit that epoch out. The model changes only when all steps are done.

    Parameters
    ----------
    key
        Key of the order of the images. (The initial parameters come from the model's own.)
    model
        Maps [n, ...] to logits [n, K]; used in the mode, training or evaluation, it is in.
    images
        Inputs [n, ...], floating point.
    targets
        Classes [n], integers from 0 to K - 1.
    num_epochs
        Passes over the images, at least 1.
    batch_size
        Images a step, at least 1; all of them if there are fewer.
    learning_rate
        The highest learning rate, > 0.
    weight_decay
        AdamW's decay of the weights, relative to the learning rate, >= 0.
    progress
        Called as ``progress(steps_done, steps_in_all)`` about a hundred times.

    Returns
    -------
    History
        Loss and accuracy of each epoch.

    Raises
    ------
    ValueError
        If an argument is outside what is said above.
    """
    n = _check_data(images, targets)
    if num_epochs < 1 or batch_size < 1:
        raise ValueError(
            f"num_epochs and batch_size must be at least 1, got {num_epochs} and {batch_size}"
        )
    if not (learning_rate > 0 and weight_decay >= 0):
        raise ValueError(
            "learning_rate must be positive and weight_decay not negative, "
            f"got {learning_rate} and {weight_decay}"
        )
    batch_size = min(batch_size, n)
    graph, state = nnx.split(model)
    params, rest = nnx.split_state(state, nnx.Param, ...)
    logits = jax.eval_shape(lambda *state: nnx.merge(graph, *state)(images), params, rest)
    if logits.ndim != 2 or logits.shape[0] != n:
        raise ValueError(f"model must return logits [{n}, K], got shape {logits.shape}")
    low, high = int(np.min(targets)), int(np.max(targets))
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(
            f"targets must lie in [0, {logits.shape[1] - 1}], the model's classes, "
            f"got {low} to {high}"
        )

    steps_per_epoch = n // batch_size
    num_steps = num_epochs * steps_per_epoch
    optimizer = optax.adamw(warmup_cosine(learning_rate, num_steps), weight_decay=weight_decay)

    # A compiled step and not a compiled epoch: XLA's CPU convolutions run ten times slower inside
    # a `lax.scan`, and the loop in Python costs about 3 ms a step.
    @jax.jit
    def step(
        params: Any, rest: Any, moments: Any, images: jax.Array, targets: jax.Array, rows: jax.Array
    ) -> Any:
        def loss_of(params: Any) -> Any:
            copy = nnx.merge(graph, params, rest, copy=True)
            logits = copy(images[rows])
            labels = targets[rows]
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            hits = jnp.mean(jnp.argmax(logits, axis=-1) == labels, dtype=loss.dtype)
            return loss, (hits, nnx.state(copy, nnx.Not(nnx.Param)))

        (loss, (hits, rest)), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        params, moments = descend(optimizer, gradient, moments, params)
        return params, rest, moments, jnp.stack([loss, hits])

    images, targets = jnp.asarray(images), jnp.asarray(targets)
    moments = optimizer.init(params)
    records = []
    for rows in minibatches(key, n, batch_size, num_steps):
        params, rest, moments, record = step(params, rest, moments, images, targets, rows)
        records.append(record)
        report(progress, len(records), num_steps, record)
    nnx.update(model, params, rest)
    means = jnp.stack(records).reshape(num_epochs, steps_per_epoch, 2).mean(axis=1)
    return History(loss=means[:, 0], accuracy=means[:, 1])


def predict(
    model: nnx.Module, images: np.ndarray | jax.Array, *, batch_size: int = 512
) -> jax.Array:
    """Logits [n, K] of `model`, in evaluation mode, for images [n, ...].

    Parameters
    ----------
    model
        Maps [n, ...] to logits [n, K]; left as it is.
    images
        Inputs, n >= 1.
    batch_size
        Images, at most, that the model sees at once.

    Raises
    ------
    ValueError
        If there are no images, or the model does not return [n, K].
    """
    return capture(model, images, "", batch_size=batch_size)


def accuracy(
    model: nnx.Module, images: np.ndarray | jax.Array, targets: np.ndarray | jax.Array
) -> float:
    """Share, in [0, 1], of the images [n, ...] whose largest logit is that of their target [n].

    Raises
    ------
    ValueError
        If images are not floating point, targets not integers, or their numbers differ.
    """
    _check_data(images, targets)
    return float(jnp.mean(jnp.argmax(predict(model, images), axis=-1) == jnp.asarray(targets)))


def _check_data(images: np.ndarray | jax.Array, targets: np.ndarray | jax.Array) -> int:
    """Return the number of images [n, ...] and of targets [n], or raise."""
    if images.ndim < 2 or images.shape[0] < 1 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images must be floating point, of shape [n, ...], got {images.dtype} {images.shape}"
        )
    if targets.shape != images.shape[:1] or not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(
            f"targets must be integers of shape [{images.shape[0]}], "
            f"got {targets.dtype} {targets.shape}"
        )
    return images.shape[0]
