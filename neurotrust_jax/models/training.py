"""Train a classifier, predict with it and measure its accuracy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from flax import nnx

from .activations import capture
from .steps import descend, minibatches, report, warmup_cosine


class History(NamedTuple):
    """Loss and accuracy of a classifier during training.

    Attributes
    ----------
    loss : array [num_epochs] of float
        Mean cross-entropy in nats over the epoch's minibatches, each before its step.
    accuracy : array [num_epochs] of float
        Share of these images that were classified correctly, in [0, 1].
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
    """Train a classifier in place, to minimise the cross-entropy of its logits.

    The optimiser is AdamW. The learning rate rises linearly over the first tenth of the steps and
    falls to zero along a cosine. Each epoch visits the images in a new random order and leaves out
    those that do not fill a whole minibatch. The model changes only after the last step.

    Parameters
    ----------
    key : JAX random key
        Random key for the order of the images. (The initial parameters are those of `model`.)
    model : flax.nnx.Module
        Maps inputs [n, ...] to logits [n, K]. It is trained in the mode, training or evaluation,
        that it is in.
    images : array [n, ...] of float
        Inputs, n >= 1.
    targets : array [n] of int
        Class of each input, from 0 to K - 1.
    num_epochs : int
        Number of passes over the images, at least 1.
    batch_size : int
        Number of images per step, at least 1. All images are used if there are fewer.
    learning_rate : float
        Highest learning rate, > 0.
    weight_decay : float
        Weight decay of AdamW, relative to the learning rate, >= 0.
    progress : callable, optional
        Called as ``progress(steps_done, num_steps)`` about a hundred times.

    Returns
    -------
    History
        Loss and accuracy of each epoch.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or dtype or is out of range.

    Examples
    --------
    >>> import jax
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> images = jax.random.normal(jax.random.key(0), (200, 4))
    >>> targets = (images[:, 0] > 0).astype("int32")
    >>> model = models.MLP(4, (8,), num_classes=2, rngs=nnx.Rngs(0))
    >>> history = models.train(
    ...     jax.random.key(1), model, images, targets, num_epochs=20, batch_size=20,
    ...     learning_rate=1e-2,
    ... )
    >>> history.loss.shape
    (20,)
    >>> models.accuracy(model, images, targets) > 0.9
    True
    """
    n = _check_data(images, targets)
    _check_options(num_epochs, batch_size, learning_rate, weight_decay)
    graph, state = nnx.split(model)
    params, rest = nnx.split_state(state, nnx.Param, ...)
    logits = jax.eval_shape(lambda *state: nnx.merge(graph, *state)(images), params, rest)
    _check_classes(targets, logits.shape)

    batch_size = min(batch_size, n)
    steps_per_epoch = n // batch_size
    num_steps = num_epochs * steps_per_epoch
    optimizer = optax.adamw(warmup_cosine(learning_rate, num_steps), weight_decay=weight_decay)
    step = _compiled_step(graph, optimizer)
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
    """Logits of a classifier, in evaluation mode.

    Parameters
    ----------
    model : flax.nnx.Module
        Maps inputs [n, ...] to logits [n, K]. It is not changed.
    images : array [n, ...]
        Inputs, n >= 1.
    batch_size : int
        Largest number of images per call of the model, at least 1.

    Returns
    -------
    array [n, K] of float
        Logits, in the dtype that the model returns.

    Raises
    ------
    ValueError
        If there are no images, `batch_size` is below 1, or the model does not return [n, K].
    """
    return capture(model, images, "", batch_size=batch_size)


def accuracy(
    model: nnx.Module, images: np.ndarray | jax.Array, targets: np.ndarray | jax.Array
) -> float:
    """Share of the images that a classifier, in evaluation mode, assigns to their target.

    Parameters
    ----------
    model : flax.nnx.Module
        Maps inputs [n, ...] to logits [n, K]. It is not changed.
    images : array [n, ...] of float
        Inputs, n >= 1.
    targets : array [n] of int
        Class of each input.

    Returns
    -------
    float
        Accuracy, in [0, 1].

    Raises
    ------
    ValueError
        If images are not floating point, targets are not integers, or their numbers differ.
    """
    _check_data(images, targets)
    return float(jnp.mean(jnp.argmax(predict(model, images), axis=-1) == jnp.asarray(targets)))


# A step is compiled and an epoch is not: XLA's CPU convolutions run ten times slower inside a
# `lax.scan`, and the loop in Python costs about 3 ms per step.
def _compiled_step(graph: Any, optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    """Return the compiled training step of a model whose static part is `graph`.

    The step maps the parameters, the model's other state, the optimiser's state, images [n, ...],
    targets [n] and the rows of a minibatch to the first three after the step and an array
    [loss, accuracy] of the minibatch before it.
    """

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

    return step


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


def _check_options(
    num_epochs: int, batch_size: int, learning_rate: float, weight_decay: float
) -> None:
    if num_epochs < 1 or batch_size < 1:
        raise ValueError(
            f"num_epochs and batch_size must be at least 1, got {num_epochs} and {batch_size}"
        )
    if not (learning_rate > 0 and weight_decay >= 0):
        raise ValueError(
            "learning_rate must be positive and weight_decay not negative, "
            f"got {learning_rate} and {weight_decay}"
        )


def _check_classes(targets: np.ndarray | jax.Array, logits: tuple[int, ...]) -> None:
    """Raise unless `logits` is a shape [n, K] and the targets [n] are below K."""
    n = targets.shape[0]
    if len(logits) != 2 or logits[0] != n:
        raise ValueError(f"model must return logits [{n}, K], got shape {logits}")
    low, high = int(np.min(targets)), int(np.max(targets))
    if low < 0 or high >= logits[1]:
        raise ValueError(
            f"targets must lie in [0, {logits[1] - 1}], the model's classes, got {low} to {high}"
        )
