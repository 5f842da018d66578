"""A small transformer, its training as a language model, and the activations of every token.

Texts are given as all their tokens in a row, ``tokens`` [N], with the text of each, ``groups`` [N]:
a run of equal groups is one text. A text is cut from its beginning into windows of the model's
context; the last one may be short. A window's last position predicts the next window's first token,
so every token but the first of its text is predicted exactly once. It sees what precedes it in the
window of the token before it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from flax import nnx
from numpy.typing import DTypeLike

from .capture import _not_found, _one_call, _recorder, layer_paths
from .networks import Dense, _check_sizes

zeros = nnx.initializers.zeros_init()  # a block begins as the identity, which trains faster


class Heads(nnx.Module):
    """The outputs of all attention heads side by side, passed on as they are for ``capture``."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [n, T, num_heads * head_width] to itself."""
        return x


class Attention(nnx.Module):
    """Causal attention with rotary positions: ``heads`` [n, T, width], then ``out``.

    Head h owns units h * width / num_heads and those that follow, of ``heads``.
    """

    def __init__(self, width: int, num_heads: int, *, rngs: nnx.Rngs) -> None:
        self.num_heads = num_heads
        self.query_key_value = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.heads = Heads()
        self.out = nnx.Linear(width, width, use_bias=False, kernel_init=zeros, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [n, T, width] to [n, T, width]."""
        n, length, width = x.shape
        parts = self.query_key_value(x).reshape(n, length, 3, self.num_heads, -1)
        query, key = _rotate(parts[:, :, 0]), _rotate(parts[:, :, 1])
        read = jax.nn.dot_product_attention(query, key, parts[:, :, 2], is_causal=True)
        return self.out(self.heads(read.reshape(n, length, width)))


class FeedForward(nnx.Module):
    """``hidden``, the neurons after ReLU [n, T, 4 * width], then ``out``."""

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        self.hidden = Dense(width, 4 * width, rngs=rngs)
        self.out = nnx.Linear(4 * width, width, kernel_init=zeros, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [n, T, width] to [n, T, width]."""
        return self.out(self.hidden(x))


class Block(nnx.Module):
    """``attention``, then ``mlp``, each of which adds to the residual stream it reads."""

    def __init__(self, width: int, num_heads: int, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = nnx.LayerNorm(width, rngs=rngs)
        self.attention = Attention(width, num_heads, rngs=rngs)
        self.mlp_norm = nnx.LayerNorm(width, rngs=rngs)
        self.mlp = FeedForward(width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map the residual stream [n, T, width] to what it is after the block."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nnx.Module):
    """A decoder-only transformer: ``embed``, ``blocks.0``, ``blocks.1``, ..., then ``norm``.

    Normalisation comes first in each branch of a block, positions are rotary, the neurons are ReLU,
    and the logits are read with the embedding. For ``capture`` and ``token_activations``,
    "blocks.i" is the residual stream after block i [n, T, width], "blocks.i.mlp.hidden" its neurons
    [n, T, 4 * width] and "blocks.i.attention.heads" the outputs of its heads [n, T, width].

    Parameters
    ----------
    vocab_size
        Number of tokens.
    width
        Units of the residual stream, an even number for each head.
    num_layers
        Number of blocks.
    num_heads
        Attention heads of a block.
    context
        Tokens, at most, of one input.
    rngs
        Source of the initial parameters.

    Raises
    ------
    ValueError
        If a size is not positive, or the heads do not divide the width as said.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        width: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        context: int = 128,
        rngs: nnx.Rngs,
    ) -> None:
        _check_sizes(
            vocab_size=(vocab_size,),
            width=(width,),
            num_layers=(num_layers,),
            num_heads=(num_heads,),
            context=(context,),
        )
        if width % (2 * num_heads):
            raise ValueError(
                f"width must be a multiple of 2 * num_heads = {2 * num_heads}, got {width}"
            )
        self.vocab_size = vocab_size
        self.context = context
        self.embed = nnx.Embed(
            vocab_size, width, embedding_init=nnx.initializers.normal(width**-0.5), rngs=rngs
        )
        self.blocks = nnx.List([Block(width, num_heads, rngs=rngs) for _ in range(num_layers)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Map tokens [n, T] to the logits [n, T, vocab_size] of the tokens that follow them."""
        if tokens.ndim != 2 or tokens.shape[1] > self.context:
            raise ValueError(
                f"tokens must have shape [n, T] with T at most {self.context}, the model's "
                f"context, got shape {tokens.shape}: cut them with windows()"
            )
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.embed.attend(self.norm(x))


class LanguageHistory(NamedTuple):
    """How the training of a language model went.

    Attributes
    ----------
    loss
        Mean cross-entropy of each step's tokens, in bits a token, [num_steps].
    """

    loss: jax.Array


def windows(groups: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut texts into windows that lie each in one text, and hold every token exactly once.

    Parameters
    ----------
    groups
        Text of each token [N]; a run of equal values is one text.
    length
        Tokens of a window, at least 1. A text's last window may hold fewer.

    Returns
    -------
    index : numpy.ndarray
        Places in `groups` of a window's tokens [W, length], int32, in ascending order; a short
        window repeats its last one.
    mask : numpy.ndarray
        False at those repeats [W, length].

    Raises
    ------
    ValueError
        If `groups` is not one row of at least one integer, or `length` not positive.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not len(groups) or not np.issubdtype(groups.dtype, np.integer):
        raise ValueError(
            f"groups must be integers of shape [N], N >= 1, got {groups.dtype} {groups.shape}"
        )
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    stops = np.r_[starts[1:], len(groups)]
    count = -(-(stops - starts) // length)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    first = np.repeat(starts, count) + within * length
    last = np.minimum(first + length, np.repeat(stops, count)) - 1
    index = first[:, None] + np.arange(length)
    return np.minimum(index, last[:, None]).astype(np.int32), index <= last[:, None]


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
    _check_steps(num_steps, batch_size, learning_rate)
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    index, targets = _targets(tokens, groups, model)
    inputs, following = jnp.asarray(np.asarray(tokens, np.int32)[index]), jnp.asarray(targets)
    graph, params = nnx.split(model)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(_warmup_cosine(learning_rate, num_steps), b2=0.98, weight_decay=weight_decay),
    )

    def step(
        params: Any, moments: Any, inputs: jax.Array, targets: jax.Array, rows: jax.Array
    ) -> Any:
        def loss_of(params: Any) -> jax.Array:
            bits, count = _bits(nnx.merge(graph, params)(inputs[rows]), targets[rows])
            return bits / jnp.maximum(count, 1).astype(bits.dtype)

        loss, gradient = jax.value_and_grad(loss_of)(params)
        with jax.numpy_dtype_promotion("standard"):  # Optax raises a float to an integer power
            updates, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments, loss

    step = jax.jit(step, donate_argnums=(0, 1))
    params = jax.tree.map(jnp.copy, params)  # the steps donate them, and the model keeps its own
    moments = optimizer.init(params)
    losses = []
    for rows in minibatches(key, len(index), batch_size, num_steps):
        params, moments, loss = step(params, moments, inputs, following, rows)
        losses.append(loss)
        _report(progress, len(losses), num_steps, loss)
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
    for rows, repeated in _batches(len(index), batch_size):
        scored = np.where(repeated[:, None], -1, targets[rows])
        bits, number = bits_of(state, tokens[index[rows]], scored)
        total, count = total + float(bits), count + int(number)
    return total / count


def token_activations(
    model: Transformer,
    tokens: np.ndarray,
    groups: np.ndarray,
    path: str,
    *,
    batch_size: int = 32,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """Activations [N, U] of the layer at `path`: row i is the layer's output at token i.

    Parameters
    ----------
    model
        The transformer; left as it is.
    tokens, groups
        Tokens [N] and the text of each [N], as for ``train_language_model``.
    path
        Dot-separated path of a submodule, as for ``capture``: "blocks.1.mlp.hidden".
    batch_size
        Windows, at most, that the model sees at once.
    dtype
        Of the result: float32, or float16 to halve its memory.

    Raises
    ------
    ValueError
        If no layer at `path` is called (the message lists those that are), or its output for
        tokens [n, T] is not [n, T, U], or another argument is outside what is said above.
    """
    tokens = _check_tokens(tokens, groups, model.vocab_size)
    index, mask = windows(groups, model.context)
    forward, state = _recorder(model, None, path, {})

    @jax.jit
    def activations(state: Any, batch: jax.Array) -> jax.Array:
        calls = forward(state, batch).get(path)
        if calls is None:
            raise ValueError(_not_found(path, layer_paths(model, batch)))
        output = _one_call(path, calls, None)
        if output.ndim != 3 or output.shape[:2] != batch.shape:
            raise ValueError(
                f"layer {path!r} must return [n, T, U] for tokens [n, T], "
                f"got shape {output.shape} for {batch.shape}"
            )
        return output

    result = None
    for rows, repeated in _batches(len(index), batch_size):
        output = np.asarray(activations(state, tokens[index[rows]]))
        if result is None:
            result = np.empty((len(tokens), output.shape[2]), dtype)
        own = mask[rows] & ~repeated[:, None]
        result[index[rows][own]] = output[own]
    assert result is not None
    return result


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
    train_tokens = _check_tokens(train_tokens, train_groups, vocab_size)
    test_tokens = _check_tokens(test_tokens, test_groups, vocab_size)
    scored = _has_predecessor(test_groups)
    if not scored.any():
        raise ValueError("test_groups must hold a text of at least two tokens, got none")
    probability = _kneser_ney(
        train_tokens, train_groups, test_tokens, test_groups, vocab_size, order
    )
    return float(-np.log2(probability[scored]).mean())


def minibatches(key: jax.Array, n: int, batch_size: int, num_steps: int) -> Iterator[np.ndarray]:
    """Rows [batch_size] of each of `num_steps` steps: passes over n rows, each in a fresh order.

    Rows that fill no whole minibatch sit a pass out; a minibatch is no larger than n.
    """
    batch_size = min(batch_size, n)
    steps_per_pass = n // batch_size
    for step in range(num_steps):
        number, place = divmod(step, steps_per_pass)
        if place == 0:
            order = np.asarray(jax.random.permutation(jax.random.fold_in(key, number), n))
        yield order[place * batch_size : (place + 1) * batch_size]


def _rotate(x: jax.Array) -> jax.Array:
    """Turn pairs of values of x [n, T, heads, H] by angles in proportion to the position."""
    length, half = x.shape[1], x.shape[-1] // 2
    angle = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(half) / half)
    cos, sin = (jnp.asarray(f(angle)[None, :, None], x.dtype) for f in (np.cos, np.sin))
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


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
    tokens = _check_tokens(tokens, groups, model.vocab_size)
    follows = np.r_[_has_predecessor(groups)[1:], False]
    if not follows.any():
        raise ValueError("groups must hold a text of at least two tokens, got none")
    index, mask = windows(groups, model.context)
    following = np.where(follows, np.roll(tokens, -1), -1)
    return index, np.where(mask, following[index], -1)


def _has_predecessor(groups: np.ndarray) -> np.ndarray:
    groups = np.asarray(groups)
    return np.r_[False, groups[1:] == groups[:-1]]


def _batches(n: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of batches of one size, and which of them only fill up the last."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    size = -(-n // -(-n // batch_size))
    for start in range(0, n, size):
        rows = np.arange(start, start + size)
        yield np.minimum(rows, n - 1), rows >= n


def _warmup_cosine(learning_rate: float, num_steps: int) -> Any:
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=learning_rate,
        warmup_steps=num_steps // 10,
        decay_steps=num_steps,
    )


def _report(
    progress: Callable[[int, int], None] | None, done: int, total: int, result: jax.Array
) -> None:
    if progress and (done % max(1, total // 100) == 0 or done == total):
        result.block_until_ready()  # steps are queued ahead of the work: wait for it
        progress(done, total)


def _check_steps(num_steps: int, batch_size: int, learning_rate: float) -> None:
    if num_steps < 1 or batch_size < 1:
        raise ValueError(
            f"num_steps and batch_size must be at least 1, got {num_steps} and {batch_size}"
        )
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate}")


def _check_tokens(tokens: np.ndarray, groups: np.ndarray, vocab_size: int) -> np.ndarray:
    """Return the tokens [N] as int32, or raise."""
    tokens, groups = np.asarray(tokens), np.asarray(groups)
    if tokens.ndim != 1 or not len(tokens) or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            f"tokens must be integers of shape [N], N >= 1, got {tokens.dtype} {tokens.shape}"
        )
    if groups.shape != tokens.shape:
        raise ValueError(
            f"groups must hold the text of each of the {len(tokens)} tokens, "
            f"got shape {groups.shape}"
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"tokens must lie in [0, {vocab_size - 1}], the vocabulary, got {low} to {high}"
        )
    return tokens.astype(np.int32)


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
