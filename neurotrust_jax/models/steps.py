"""What all training loops share: minibatches, learning rate, optimiser step and progress."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax  # type: ignore[import-untyped]


def check_steps(num_steps: int, batch_size: int, learning_rate: float) -> None:
    """Raise unless the number of steps, the batch size and the learning rate are positive."""
    if num_steps < 1 or batch_size < 1:
        raise ValueError(
            f"num_steps and batch_size must be at least 1, got {num_steps} and {batch_size}"
        )
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate}")


def minibatches(key: jax.Array, n: int, batch_size: int, num_steps: int) -> Iterator[np.ndarray]:
    """Yield the rows [batch_size] of each of `num_steps` steps.

    Each pass over the n rows has a new random order and leaves out the rows that do not fill a
    whole minibatch. A minibatch holds at most n rows.
    """
    batch_size = min(batch_size, n)
    steps_per_pass = n // batch_size
    for step in range(num_steps):
        number, place = divmod(step, steps_per_pass)
        if place == 0:
            order = np.asarray(jax.random.permutation(jax.random.fold_in(key, number), n))
        yield order[place * batch_size : (place + 1) * batch_size]


def batches(n: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows of batches of equal size, and a mask of the repeats that fill up the last."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    size = -(-n // -(-n // batch_size))
    for start in range(0, n, size):
        rows = np.arange(start, start + size)
        yield np.minimum(rows, n - 1), rows >= n


def warmup_cosine(learning_rate: float, num_steps: int) -> Any:
    """Return a learning rate that rises over the first tenth of the steps and falls to zero."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=learning_rate,
        warmup_steps=num_steps // 10,
        decay_steps=num_steps,
    )


def descend(
    optimizer: optax.GradientTransformation, gradient: Any, moments: Any, params: Any
) -> tuple[Any, Any]:
    """Return the parameters and the optimiser's state after one step along the gradient."""
    with jax.numpy_dtype_promotion("standard"):  # Optax raises a float to an integer power
        updates, moments = optimizer.update(gradient, moments, params)
    return optax.apply_updates(params, updates), moments


def report(
    progress: Callable[[int, int], None] | None, done: int, total: int, result: jax.Array
) -> None:
    """Call `progress` about a hundred times in all; `result` is an output of the last step."""
    if progress and (done % max(1, total // 100) == 0 or done == total):
        result.block_until_ready()  # JAX runs steps asynchronously: wait for the last
        progress(done, total)
