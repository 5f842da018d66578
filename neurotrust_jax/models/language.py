"""Train and score a transformer as a language model, with n-grams as the baseline.

Texts are arrays ``tokens`` [N] and ``groups`` [N], as in :mod:`.transformer`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from flax import nnx

from .steps import batches, check_steps, descend, minibatches, report, warmup_cosine
from .transformer import Transformer, check_tokens, windows


class LanguageHistory(NamedTuple):
    """Loss of a language model during training.

    Attributes
    ----------
    loss : array [num_steps] of float
        Mean cross-entropy of each batch before its step, in bits per token.
    """

    loss: jax.Array


def train_language_model(
    key: jax.Array,
    model: Transformer,
    tokens: np.ndarray,
    groups: np.ndarray,
    *,
    num_steps: int,
    batch_size: int = 16,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.1,
    progress: Callable[[int, int], None] | None = None,
) -> LanguageHistory:
    """Train a transformer in place, to predict each token from those before it.

    The optimiser is AdamW on gradients clipped to norm 1. The learning rate rises linearly over the
    first tenth of the steps and falls to zero along a cosine. Each pass over the windows has a new
    random order. The model changes only after the last step.

    Parameters
    ----------
    key : JAX random key
        Random key for the order of the windows. (The initial parameters are those of `model`.)
    model : Transformer
        The transformer.
    tokens : array [N] of int
        Tokens, from 0 to ``model.vocab_size - 1``, N >= 2.
    groups : array [N] of int
        Text of each token. A run of equal values is one text.
    num_steps : int
        Number of steps, at least 1.
    batch_size : int
        Number of windows of ``model.context`` tokens per step, at least 1. All windows are used if
        there are fewer.
    learning_rate : float
        Highest learning rate, > 0.
    weight_decay : float
        Weight decay of AdamW, relative to the learning rate, >= 0.
    progress : callable, optional
        Called as ``progress(steps_done, num_steps)`` about a hundred times.

    Returns
    -------
    LanguageHistory
        Loss of each step.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or dtype or is out of range, or if no text has two
        tokens.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> tokens, groups = np.arange(200) % 5, np.zeros(200, int)
    >>> model = models.Transformer(
    ...     5, width=16, num_layers=1, num_heads=2, context=8, rngs=nnx.Rngs(0)
    ... )
    >>> history = models.train_language_model(
    ...     jax.random.key(0), model, tokens, groups, num_steps=100, learning_rate=1e-2
    ... )
    >>> models.evaluate(model, tokens, groups) < 0.5  # chance is log2(5) = 2.3 bits per token
    True
    """
    check_steps(num_steps, batch_size, learning_rate)
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    index, targets = _targets(tokens, groups, model)
    inputs, following = jnp.asarray(np.asarray(tokens, np.int32)[index]), jnp.asarray(targets)
    graph, params = nnx.split(model)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(warmup_cosine(learning_rate, num_steps), b2=0.98, weight_decay=weight_decay),
    )

    def step(
        params: Any, moments: Any, inputs: jax.Array, targets: jax.Array, rows: jax.Array
    ) -> Any:
        def loss_of(params: Any) -> jax.Array:
            bits, count = _bits(nnx.merge(graph, params)(inputs[rows]), targets[rows])
            return bits / jnp.maximum(count, 1).astype(bits.dtype)

        loss, gradient = jax.value_and_grad(loss_of)(params)
        params, moments = descend(optimizer, gradient, moments, params)
        return params, moments, loss

    step = jax.jit(step, donate_argnums=(0, 1))
    params = jax.tree.map(jnp.copy, params)  # the step donates them, and the model needs its arrays
    moments = optimizer.init(params)
    losses = []
    for rows in minibatches(key, len(index), batch_size, num_steps):
        params, moments, loss = step(params, moments, inputs, following, rows)
        losses.append(loss)
        report(progress, len(losses), num_steps, loss)
    nnx.update(model, params)
    return LanguageHistory(jnp.stack(losses))


def evaluate(
    model: Transformer, tokens: np.ndarray, groups: np.ndarray, *, batch_size: int = 32
) -> float:
    """Mean cross-entropy of a language model on all tokens but the first of each text.

    Parameters
    ----------
    model : Transformer
        The transformer. It is not changed.
    tokens : array [N] of int
        Tokens, from 0 to ``model.vocab_size - 1``, N >= 2.
    groups : array [N] of int
        Text of each token. A run of equal values is one text.
    batch_size : int
        Largest number of windows per call of the model, at least 1.

    Returns
    -------
    float
        Bits per token, >= 0.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or dtype or is out of range, or if no text has two
        tokens.
    """
    index, targets = _targets(tokens, groups, model)
    graph, state = nnx.split(model)

    @jax.jit
    def bits_of(state: Any, inputs: jax.Array, targets: jax.Array) -> Any:
        return _bits(nnx.merge(graph, state)(inputs), targets)

    tokens, total, count = np.asarray(tokens, np.int32), 0.0, 0
    for rows, repeated in batches(len(index), batch_size):
        scored = np.where(repeated[:, None], -1, targets[rows])
        bits, number = bits_of(state, tokens[index[rows]], scored)
        total, count = total + float(bits), count + int(number)
    return total / count


def ngram_bits(
    train_tokens: np.ndarray,
    train_groups: np.ndarray,
    test_tokens: np.ndarray,
    test_groups: np.ndarray,
    vocab_size: int,
    order: int = 3,
) -> float:
    """Mean cross-entropy of an n-gram model, the baseline that a language model should beat.

    The model has interpolated Kneser-Ney smoothing (Chen & Goodman, 1999, equation 23) with one
    discount per order, down to the uniform distribution. Every text begins with ``order - 1`` start
    symbols. The tokens scored are those that ``evaluate`` scores.

    Parameters
    ----------
    train_tokens : array [N] of int
        Tokens that are counted, from 0 to ``vocab_size - 1``, N >= 1.
    train_groups : array [N] of int
        Text of each of these tokens. A run of equal values is one text.
    test_tokens : array [M] of int
        Tokens that are scored, from 0 to ``vocab_size - 1``, M >= 2.
    test_groups : array [M] of int
        Text of each of these tokens.
    vocab_size : int
        Size V of the vocabulary.
    order : int
        Length n of the n-grams, at least 1.

    Returns
    -------
    float
        Bits per token, >= 0.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or dtype or is out of range, or if no test text has two
        tokens.

    Examples
    --------
    >>> import numpy as np
    >>> from neurotrust_jax import models
    >>> rng = np.random.default_rng(0)
    >>> noise, groups = rng.integers(0, 4, 5_000), np.zeros(5_000, int)
    >>> bits = models.ngram_bits(noise[:4_000], groups[:4_000], noise[4_000:], groups[4_000:], 4)
    >>> round(bits, 1)  # uniform noise has log2(4) bits per token
    2.0
    """
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    train_tokens = check_tokens(train_tokens, train_groups, vocab_size)
    test_tokens = check_tokens(test_tokens, test_groups, vocab_size)
    scored = _has_predecessor(test_groups)
    if not scored.any():
        raise ValueError("test_groups must hold a text of at least two tokens, got none")
    probability = _kneser_ney(
        train_tokens, train_groups, test_tokens, test_groups, vocab_size, order
    )
    return float(-np.log2(probability[scored]).mean())


def _bits(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the total bits of targets [n, T] under logits [n, T, V] and the number of targets.

    A target of -1 is not scored.
    """
    chosen = jnp.take_along_axis(logits, jnp.maximum(targets, 0)[..., None], axis=-1)[..., 0]
    nats = jax.nn.logsumexp(logits, axis=-1) - chosen
    is_target = targets >= 0
    return jnp.sum(jnp.where(is_target, nats, 0)) / float(np.log(2)), jnp.sum(is_target)


def _targets(
    tokens: np.ndarray, groups: np.ndarray, model: Transformer
) -> tuple[np.ndarray, np.ndarray]:
    """Return windows [W, context] of token indices, and the next token of each or -1 for none."""
    tokens = check_tokens(tokens, groups, model.vocab_size)
    follows = np.r_[_has_predecessor(groups)[1:], False]
    if not follows.any():
        raise ValueError("groups must hold a text of at least two tokens, got none")
    index, mask = windows(groups, model.context)
    following = np.where(follows, np.roll(tokens, -1), -1)
    return index, np.where(mask, following[index], -1)


def _has_predecessor(groups: np.ndarray) -> np.ndarray:
    """Return whether each token [N] follows another token of its text."""
    groups = np.asarray(groups)
    return np.r_[False, groups[1:] == groups[:-1]]


def _kneser_ney(
    train_tokens: np.ndarray,
    train_groups: np.ndarray,
    test_tokens: np.ndarray,
    test_groups: np.ndarray,
    vocab_size: int,
    order: int,
) -> np.ndarray:
    """Return the probability [M] of each test token, including the first of a text."""
    stream, is_token = [], []
    for tokens, groups in ((train_tokens, train_groups), (test_tokens, test_groups)):
        starts = np.repeat(np.flatnonzero(~_has_predecessor(groups)), order - 1)
        stream.append(np.insert(tokens.astype(np.int64), starts, vocab_size))
        is_token.append(np.insert(np.ones(len(tokens), bool), starts, False))
    train = np.flatnonzero(is_token[0])
    test = len(stream[0]) + np.flatnonzero(is_token[1])
    symbols = np.concatenate(stream)

    # context[k] numbers the k symbols before each position; gram[k] these and the symbol there.
    gram, context = [], [np.zeros(len(symbols), np.int64)]
    for _ in range(order):
        _, number = np.unique(context[-1] * (vocab_size + 1) + symbols, return_inverse=True)
        gram.append(number)
        context.append(np.r_[0, number[:-1]])

    # One position in the training texts of each distinct n-gram. The count of an n-gram is the
    # number of its occurrences for the longest n, and of the symbols before it for the others.
    places = [train[np.unique(g[train], return_index=True)[1]] for g in gram] + [train]
    probability = np.full(len(test), 1 / vocab_size)
    for k in range(order):
        count = np.bincount(gram[k][places[k + 1]], minlength=gram[k].max() + 1)
        followed = context[k][places[k]]
        size = context[k].max() + 1
        total = np.bincount(followed, count[gram[k][places[k]]], minlength=size)[context[k][test]]
        kinds = np.bincount(followed, minlength=size)[context[k][test]]
        once, twice = np.sum(count == 1), np.sum(count == 2)
        discount = (once + 1) / (once + 2 * twice + 2)
        discounted = np.maximum(count[gram[k][test]] - discount, 0)
        probability = np.where(
            total > 0,
            (discounted + discount * kinds * probability) / np.maximum(total, 1),
            probability,
        )
    return probability
