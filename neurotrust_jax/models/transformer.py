"""A small transformer, and the activations of every token.

Texts are given as all their tokens in a row, ``tokens`` [N], with the text of each, ``groups`` [N]:
a run of equal groups is one text. A text is cut from its beginning into windows of the model's
context; the last one may be short. A window's last position predicts the next window's first token,
so every token but the first of its text is predicted exactly once. It sees what precedes it in the
window of the token before it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import DTypeLike

from .capture import _not_found, _one_call, _recorder, layer_paths
from .networks import Dense, _check_sizes
from .steps import batches

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
    tokens = check_tokens(tokens, groups, model.vocab_size)
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
    for rows, repeated in batches(len(index), batch_size):
        output = np.asarray(activations(state, tokens[index[rows]]))
        if result is None:
            result = np.empty((len(tokens), output.shape[2]), dtype)
        own = mask[rows] & ~repeated[:, None]
        result[index[rows][own]] = output[own]
    assert result is not None
    return result


def _rotate(x: jax.Array) -> jax.Array:
    """Turn pairs of values of x [n, T, heads, H] by angles in proportion to the position."""
    length, half = x.shape[1], x.shape[-1] // 2
    angle = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(half) / half)
    cos, sin = (jnp.asarray(f(angle)[None, :, None], x.dtype) for f in (np.cos, np.sin))
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def check_tokens(tokens: np.ndarray, groups: np.ndarray, vocab_size: int) -> np.ndarray:
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
