"""Two small image classifiers, whose hidden layers are submodules that ``capture`` can read."""

import itertools
import math
from collections.abc import Sequence

import jax
from flax import nnx


class Dense(nnx.Module):
    """A linear map followed by ReLU; its output is the layer's activations.

    Parameters
    ----------
    in_size, out_size : int
        Number of inputs and of neurons, each at least 1.
    rngs : flax.nnx.Rngs
        Source of the initial parameters.
    """

    def __init__(self, in_size: int, out_size: int, *, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(in_size, out_size, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [n, in_size] to [n, out_size]."""
        return nnx.relu(self.linear(x))


class ConvBlock(nnx.Module):
    """A 3 x 3 convolution and ReLU, then the maximum over 2 x 2 windows if `pool` is true.

    Parameters
    ----------
    in_size, out_size : int
        Number of input and output channels, each at least 1.
    pool : bool
        Whether to halve the height and the width. An odd last row or column is dropped.
    rngs : flax.nnx.Rngs
        Source of the initial parameters.
    """

    def __init__(self, in_size: int, out_size: int, *, pool: bool, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(in_size, out_size, kernel_size=(3, 3), rngs=rngs)
        self.pool = pool

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [n, H, W, in_size] to [n, H, W, out_size], or to [n, H / 2, W / 2, out_size]."""
        x = nnx.relu(self.conv(x))
        if not self.pool:
            return x
        # Not nnx.max_pool: the gradient of its reduce_window is a scatter, which makes a whole
        # training step twice as slow on a CPU.
        n, height, width, channels = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


class MLP(nnx.Module):
    """A multi-layer perceptron: ``blocks.0``, ``blocks.1``, ... (linear, ReLU), then ``head``.

    Parameters
    ----------
    input_size : int
        Number of values of one input: for an image, height * width * channels.
    hidden : sequence of int
        Number of neurons of each hidden layer.
    num_classes : int
        Number of classes K.
    rngs : flax.nnx.Rngs
        Source of the initial parameters.

    Raises
    ------
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> model = models.MLP(64, (16, 8), num_classes=10, rngs=nnx.Rngs(0))
    >>> images = jnp.ones((5, 8, 8, 1))
    >>> model(images).shape
    (5, 10)
    >>> models.capture(model, images, "blocks.1").shape
    (5, 8)
    """

    def __init__(
        self,
        input_size: int,
        hidden: Sequence[int] = (256, 128),
        *,
        num_classes: int,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = (input_size, *hidden)
        check_sizes(input_size=(input_size,), hidden=hidden, num_classes=(num_classes,))
        self.blocks = nnx.List([Dense(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)])
        self.head = nnx.Linear(sizes[-1], num_classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map inputs [n, ...], each of `input_size` values, to logits [n, num_classes]."""
        x = x.reshape(x.shape[0], -1)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class CNN(nnx.Module):
    """A convolutional network: ``blocks.0``, ..., then ``hidden`` (linear, ReLU), then ``head``.

    A block halves the image if both sides have at least 8 pixels. There is no normalisation, so an
    activation depends on a single image and not on the others of its batch.

    Parameters
    ----------
    image_shape : tuple of three int
        Height, width and channels of an image.
    widths : sequence of int
        Number of channels of each block.
    hidden : int
        Number of neurons of the layer ``hidden``.
    num_classes : int
        Number of classes K.
    rngs : flax.nnx.Rngs
        Source of the initial parameters.

    Raises
    ------
    ValueError
        If `image_shape` does not have three entries, or a size is below 1.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> model = models.CNN((8, 8, 1), (4, 6), 5, num_classes=10, rngs=nnx.Rngs(0))
    >>> images = jnp.ones((3, 8, 8, 1))
    >>> models.layer_paths(model, images)["blocks.1"]
    (3, 4, 4, 6)
    >>> models.capture(model, images, "blocks.1", pool="mean").shape
    (3, 6)
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (28, 28, 1),
        widths: Sequence[int] = (16, 32, 64),
        hidden: int = 128,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
    ) -> None:
        if len(image_shape) != 3:
            raise ValueError(f"image_shape must be (height, width, channels), got {image_shape}")
        check_sizes(
            image_shape=image_shape, widths=widths, hidden=(hidden,), num_classes=(num_classes,)
        )
        height, width, channels = image_shape
        blocks = []
        for out_size in widths:
            pool = min(height, width) >= 8
            blocks.append(ConvBlock(channels, out_size, pool=pool, rngs=rngs))
            channels = out_size
            if pool:
                height, width = height // 2, width // 2
        self.image_shape = tuple(image_shape)
        self.blocks = nnx.List(blocks)
        self.hidden = Dense(math.prod((height, width, channels)), hidden, rngs=rngs)
        self.head = nnx.Linear(hidden, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map images [n, H, W, channels] to logits [n, num_classes]."""
        if x.shape[1:] != self.image_shape:
            raise ValueError(f"images must have shape [n, *{self.image_shape}], got {x.shape}")
        for block in self.blocks:
            x = block(x)
        return self.head(self.hidden(x.reshape(x.shape[0], -1)))


def check_sizes(**sizes: Sequence[int]) -> None:
    """Raise unless every size is at least 1."""
    for name, values in sizes.items():
        if any(size < 1 for size in values):
            raise ValueError(f"{name} must be positive, got {tuple(values)}")
