"""A small transformer, and the activations of every token.

Texts are one array ``tokens`` [N] of all tokens, one text after another, and an array ``groups``
[N] with the text of each token: a run of equal groups is one text. A text is cut from its beginning
into windows of the length of the model's context; the last one may be shorter. The last position of
a window predicts the first token of the next window, so every token but the first of its text is
predicted exactly once: from the token before it and what precedes that token in its window.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import DTypeLike

from .activations import layer_paths, output_of_call, recorder, unknown_layer
from .networks import Dense, check_sizes
from .steps import batches

zeros = nnx.initializers.zeros_init()  # a new block is the identity, which trains faster


class Heads(nnx.Module):
    """The identity on the outputs of all heads side by side, a layer for ``capture`` to read."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [n, T, num_heads * head_width] to itself."""
        return x


class Attention(nnx.Module):
    """Causal attention with rotary positions: ``heads`` [n, T, width], then ``out``.

    Head h is the width / num_heads columns of ``heads`` from h * width / num_heads on.

    Parameters
    ----------
    width : int
        Width of the residual stream, a multiple of 2 * num_heads.
    num_heads : int
        Number of attention heads, at least 1.
    rngs : flax.nnx.Rngs
        Source of the initial parameters.
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
    """The MLP of a block: ``hidden``, the neurons after ReLU [n, T, 4 * width], then ``out``.

    Parameters
    ----------
    width : int
        Width of the residual stream, at least 1.
    rngs : flax.nnx.Rngs
        Source of the initial parameters.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        self.hidden = Dense(width, 4 * width, rngs=rngs)
        self.out = nnx.Linear(4 * width, width, kernel_init=zeros, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [n, T, width] to [n, T, width]."""
        return self.out(self.hidden(x))


class Block(nnx.Module):
    """A transformer block: ``attention``, then ``mlp``, each added to the residual stream.

    Parameters
    ----------
    width : int
        Width of the residual stream, a multiple of 2 * num_heads.
    num_heads : int
        Number of attention heads, at least 1.
    rngs : flax.nnx.Rngs
        Source of the initial parameters.
    """

    def __init__(self, width: int, num_heads: int, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = nnx.LayerNorm(width, rngs=rngs)
        self.attention = Attention(width, num_heads, rngs=rngs)
        self.mlp_norm = nnx.LayerNorm(width, rngs=rngs)
        self.mlp = FeedForward(width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map the residual stream [n, T, width] before the block to that after it."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nnx.Module):
    """A decoder-only transformer: ``embed``, ``blocks.0``, ``blocks.1``, ..., then ``norm``.

    Each branch of a block begins with layer normalisation, positions are rotary, the neurons are
    ReLU, and the embedding is also the output matrix. For ``capture`` and ``token_activations``,
    "blocks.i" is the residual stream after block i [n, T, width], "blocks.i.mlp.hidden" its neurons
    [n, T, 4 * width] and "blocks.i.attention.heads" the outputs of its heads [n, T, width].

    Parameters
    ----------
    vocab_size : int
        Size V of the vocabulary, at least 1.
    width : int
        Width of the residual stream, a multiple of 2 * num_heads.
    num_layers : int
        Number of blocks, at least 1.
    num_heads : int
        Number of attention heads of a block, at least 1.
    context : int
        Largest number of tokens of one input, at least 1.
    rngs : flax.nnx.Rngs
        Source of the initial parameters.

    Raises
    ------
    ValueError
        If a size is below 1, or the width is not a multiple of 2 * num_heads.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> model = models.Transformer(
    ...     11, width=16, num_layers=2, num_heads=2, context=8, rngs=nnx.Rngs(0)
    ... )
    >>> tokens = jnp.zeros((3, 8), "int32")
    >>> model(tokens).shape
    (3, 8, 11)
    >>> models.layer_paths(model, tokens)["blocks.1.mlp.hidden"]
    (3, 8, 64)
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
        check_sizes(
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
        """Map tokens [n, T] to the logits [n, T, V] of the next token at each position."""
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
    """Cut texts into windows, so that each window is in one text and each token in one window.

    Parameters
    ----------
    groups : array [N] of int
        Text of each token, N >= 1. A run of equal values is one text.
    length : int
        Number of tokens of a window, at least 1. The last window of a text may hold fewer.

    Returns
    -------
    index : array [W, length] of int32
        Indices into `groups` of the tokens of each window, in ascending order. A shorter window
        repeats its last token.
    mask : array [W, length] of bool
        False at these repeats.

    Raises
    ------
    ValueError
        If `groups` is not an integer array [N] with N >= 1, or `length` is below 1.

    Examples
    --------
    >>> from neurotrust_jax import models
    >>> index, mask = models.windows([0, 0, 0, 0, 0, 1, 1], 3)
    >>> index.tolist()
    [[0, 1, 2], [3, 4, 4], [5, 6, 6]]
    >>> mask.tolist()
    [[True, True, True], [True, True, False], [True, True, False]]
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
    """Activations of the layer at `path` on every token.

    Parameters
    ----------
    model : Transformer
        The transformer. It is not changed.
    tokens : array [N] of int
        Tokens, from 0 to ``model.vocab_size - 1``, N >= 1.
    groups : array [N] of int
        Text of each token. A run of equal values is one text.
    path : str
        Dot-separated path of a submodule, as for ``capture``: "blocks.1.mlp.hidden".
    batch_size : int
        Largest number of windows per call of the model, at least 1.
    dtype : dtype
        Type of the result: float32, or float16 to halve its memory.

    Returns
    -------
    array [N, U] of `dtype`
        Row i is the output of the layer at token i.

    Raises
    ------
    ValueError
        If no layer at `path` is called (the message lists those that are), if its output for tokens
        [n, T] is not [n, T, U], or if another argument has the wrong shape or dtype or is out of
        range.

    Examples
    --------
    >>> import numpy as np
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> model = models.Transformer(
    ...     11, width=16, num_layers=2, num_heads=2, context=8, rngs=nnx.Rngs(0)
    ... )
    >>> tokens, groups = np.arange(20) % 11, np.repeat([0, 1], 10)  # two texts of ten tokens
    >>> models.token_activations(model, tokens, groups, "blocks.1.mlp.hidden").shape
    (20, 64)
    """
    tokens = check_tokens(tokens, groups, model.vocab_size)
    index, mask = windows(groups, model.context)
    forward, state = recorder(model, None, path, {})

    @jax.jit
    def activations(state: Any, batch: jax.Array) -> jax.Array:
        calls = forward(state, batch).get(path)
        if calls is None:
            raise ValueError(unknown_layer(path, layer_paths(model, batch)))
        output = output_of_call(path, calls, None)
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
        first = mask[rows] & ~repeated[:, None]  # not a repeat that fills up a window or the batch
        result[index[rows][first]] = output[first]
    assert result is not None
    return result


def _rotate(x: jax.Array) -> jax.Array:
    """Apply rotary positions to x [n, T, heads, H]: rotate pairs of values by the position."""
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
