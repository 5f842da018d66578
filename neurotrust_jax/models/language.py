"""Training a transformer as a language model, and judging it. Texts are given as to the model."""

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
    """How the training of a language model went.

    Attributes
    ----------
    loss
        Mean cross-entropy of each step's tokens, in bits a token, [num_steps].
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
    """Fit `model`, in place, to predict each token from those before it.

    AdamW on gradients clipped to norm 1; the learning rate rises linearly over the first tenth of
    the steps and falls to zero along a cosine. The windows are met in a fresh order in each pass
    over them. The model changes only when all steps are done.

    Parameters
    ----------
    key
        Key of the order of the windows. (The initial parameters come from the model's own.)
    model
        The transformer.
    tokens
        Tokens [N], integers from 0 to ``model.vocab_size - 1``.
    groups
        Text of each token [N]; a run of equal values is one text.
    num_steps
        Steps, at least 1.
    batch_size
        Windows of ``model.context`` tokens a step; all of them if there are fewer.
    learning_rate
        The highest learning rate, > 0.
    weight_decay
        AdamW's decay of the weights, relative to the learning rate, >= 0.
    progress
        Called as ``progress(steps_done, steps_in_all)`` about a hundred times.

    Returns
    -------
    LanguageHistory
        Loss of each step.

    Raises
    ------
    ValueError
        If an argument is outside what is said above, or no text has two tokens.
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
    params = jax.tree.map(jnp.copy, params)  # the steps donate them, and the model keeps its own
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
    """Bits a token: mean cross-entropy of all tokens but the first of each text.

    Parameters
    ----------
    model
        The transformer; left as it is.
    tokens, groups
        Tokens [N] and the text of each [N], as for ``train_language_model``.
    batch_size
        Windows, at most, that the model sees at once.

    Raises
    ------
    ValueError
        If an argument is outside what is said above, or no text has two tokens.
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
    """Bits a token of an n-gram model: what a language model must beat to have learnt anything.

    Interpolated Kneser-Ney smoothing (Chen & Goodman, 1999, equation 23), one discount an order,
    down to the uniform distribution. Every text begins with ``order - 1`` start symbols; the tokens
    scored are those that ``evaluate`` scores.

    Parameters
    ----------
    train_tokens, train_groups
        Tokens [N] that are counted, and the text of each [N].
    test_tokens, test_groups
        Tokens [M] that are scored, and the text of each [M].
    vocab_size
        Number of tokens; they are integers from 0 to ``vocab_size - 1``.
    order
        Length n of the n-grams, at least 1.

    Raises
    ------
    ValueError
        If an argument is outside what is said above, or no test text has two tokens.
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
    """Bits in all, and their number, of targets [n, T] under logits [n, T, V]; -1 is no target."""
    chosen = jnp.take_along_axis(logits, jnp.maximum(targets, 0)[..., None], axis=-1)[..., 0]
    nats = jax.nn.logsumexp(logits, axis=-1) - chosen
    is_target = targets >= 0
    return jnp.sum(jnp.where(is_target, nats, 0)) / float(np.log(2)), jnp.sum(is_target)


def _targets(
    tokens: np.ndarray, groups: np.ndarray, model: Transformer
) -> tuple[np.ndarray, np.ndarray]:
    """Windows [W, context] of token places, and the tokens that follow, -1 where none does."""
    tokens = check_tokens(tokens, groups, model.vocab_size)
    follows = np.r_[_has_predecessor(groups)[1:], False]
    if not follows.any():
        raise ValueError("groups must hold a text of at least two tokens, got none")
    index, mask = windows(groups, model.context)
    following = np.where(follows, np.roll(tokens, -1), -1)
    return index, np.where(mask, following[index], -1)


def _has_predecessor(groups: np.ndarray) -> np.ndarray:
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
    """Probability [M] of each test token, the first of a text included."""
    stream, is_token = [], []
    for tokens, groups in ((train_tokens, train_groups), (test_tokens, test_groups)):
        starts = np.repeat(np.flatnonzero(~_has_predecessor(groups)), order - 1)
        stream.append(np.insert(tokens.astype(np.int64), starts, vocab_size))
        is_token.append(np.insert(np.ones(len(tokens), bool), starts, False))
    train = np.flatnonzero(is_token[0])
    test = len(stream[0]) + np.flatnonzero(is_token[1])
    symbols = np.concatenate(stream)

    # context[k] numbers the k symbols before each place, gram[k] those and the symbol there
    gram, context = [], [np.zeros(len(symbols), np.int64)]
    for _ in range(order):
        _, number = np.unique(context[-1] * (vocab_size + 1) + symbols, return_inverse=True)
        gram.append(number)
        context.append(np.r_[0, number[:-1]])

    # a place in the training texts of each n-gram, and each n-gram's count: how often it occurs
    # for the longest, in how many contexts for the others
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
        kept = np.maximum(count[gram[k][test]] - discount, 0)
        probability = np.where(
            total > 0,
            (kept + discount * kinds * probability) / np.maximum(total, 1),
            probability,
        )
    return probability
