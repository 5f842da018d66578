"""A TopK sparse autoencoder and its features as a sparse matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .networks import check_sizes
from .steps import batches

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Fixed(nnx.Variable):
    """A variable that training sets once and that has no gradient."""


class SparseAutoencoder(nnx.Module):
    """A TopK autoencoder (Gao et al., 2024, "Scaling and evaluating sparse autoencoders").

    Inputs are centred and divided by one scale, so that their mean variance over the neurons is
    one. The features are the k largest values of ReLU((x - bias) @ encoder), and the others are
    zero. The reconstruction is features @ decoder + bias, on the scale of the inputs. Each row of
    the decoder is the direction of one feature and has norm one.

    Parameters
    ----------
    input_size : int
        Number of neurons U of the layer, at least 1.
    num_features : int
        Number of features F, at least 1.
    k : int
        Largest number of features that are active at once, from 1 to F.
    rngs : flax.nnx.Rngs
        Source of the initial directions.

    Raises
    ------
    ValueError
        If a size is below 1, or `k` exceeds the number of features.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> model = models.SparseAutoencoder(8, num_features=32, k=3, rngs=nnx.Rngs(0))
    >>> features = model.encode(jnp.ones((5, 8)))
    >>> features.shape
    (5, 32)
    >>> int((features > 0).sum(axis=1).max())
    3
    >>> model.decode(features).shape
    (5, 8)
    """

    def __init__(self, input_size: int, num_features: int, k: int, *, rngs: nnx.Rngs) -> None:
        check_sizes(input_size=(input_size,), num_features=(num_features,), k=(k,))
        if k > num_features:
            raise ValueError(f"k must be at most num_features = {num_features}, got {k}")
        self.k = k
        shape = num_features, input_size
        directions = normalise_rows(jax.random.normal(rngs.params(), shape, jnp.float32))
        self.encoder = nnx.Param(directions.T)
        self.decoder = nnx.Param(directions)
        self.bias = nnx.Param(jnp.zeros(input_size, jnp.float32))
        self.mean = Fixed(jnp.zeros(input_size, jnp.float32))
        self.scale = Fixed(jnp.ones((), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Reconstruct inputs [n, U]."""
        return self.decode(self.encode(x))

    def encode(self, x: jax.Array) -> jax.Array:
        """Return the features of inputs.

        Parameters
        ----------
        x : array [n, U] of float
            Inputs.

        Returns
        -------
        array [n, F] of float32
            Features, each >= 0, at most k of them nonzero in a row.

        Raises
        ------
        ValueError
            If `x` does not have shape [n, U].
        """
        values, index = self.top(x)
        return scatter(values, index, self.decoder.shape[0])

    def decode(self, features: jax.Array) -> jax.Array:
        """Return the inputs that features reconstruct.

        Parameters
        ----------
        features : array [n, F] of float32
            Features, as returned by ``encode``.

        Returns
        -------
        array [n, U] of float32
            Reconstruction, on the scale of the inputs.
        """
        reconstruction = features @ self.decoder[...] + self.bias[...][None]
        return reconstruction * self.scale[...] + self.mean[...][None]

    def top(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the k largest features of inputs, and their indices.

        Parameters
        ----------
        x : array [n, U] of float
            Inputs.

        Returns
        -------
        values : array [n, k] of float32
            Largest features in descending order, each >= 0.
        index : array [n, k] of int32
            Index of each, from 0 to F - 1.

        Raises
        ------
        ValueError
            If `x` does not have shape [n, U].
        """
        if x.ndim != 2 or x.shape[1] != self.bias.shape[0]:
            raise ValueError(f"inputs must have shape [n, {self.bias.shape[0]}], got {x.shape}")
        return jax.lax.top_k(self.dense_features(self.normalise(x)), self.k)

    def normalise(self, x: jax.Array) -> jax.Array:
        """Return the inputs [n, U] less their mean, divided by their scale."""
        return (x.astype(self.bias.dtype) - self.mean[...][None]) / self.scale[...]

    def dense_features(self, x: jax.Array) -> jax.Array:
        """Return all features [n, F] of normalised inputs [n, U], of which ``top`` takes k."""
        return nnx.relu((x - self.bias[...][None]) @ self.encoder[...])


def sparse_features(
    model: SparseAutoencoder, x: np.ndarray | jax.Array, batch_size: int = 4096
) -> csr_array:
    """Features of many inputs as a sparse matrix, equal to ``model.encode(x)``.

    Parameters
    ----------
    model : SparseAutoencoder
        The autoencoder.
    x : array [n, U] of float
        Inputs, n >= 1.
    batch_size : int
        Largest number of inputs per call of the model, at least 1. Dense features of one batch at a
        time are in memory.

    Returns
    -------
    scipy.sparse.csr_array [n, F] of float32
        Features. Column indices ascend within a row, and no zeros are stored.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    ValueError
        If `x` is not a floating-point array [n, U], or `batch_size` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> model = models.SparseAutoencoder(8, num_features=32, k=3, rngs=nnx.Rngs(0))
    >>> x = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    >>> features = models.sparse_features(model, x)
    >>> features.shape, features.nnz
    ((5, 32), 15)
    """
    try:
        from scipy.sparse import csr_array
    except ImportError as error:
        raise ImportError("sparse_features needs SciPy: pip install scipy") from error
    num_features, input_size = model.decoder.shape
    x = check_inputs(x, input_size)
    graph, state = nnx.split(model)
    top = jax.jit(lambda state, x: nnx.merge(graph, state).top(x))
    counts, columns, data = [], [], []
    for rows, repeated in batches(len(x), batch_size):
        values, index = map(np.asarray, top(state, x[rows]))
        order = np.argsort(index, axis=1)
        values, index = (np.take_along_axis(a, order, axis=1) for a in (values, index))
        stored = (values > 0) & ~repeated[:, None]
        counts.append(stored[~repeated].sum(axis=1))
        columns.append(index[stored])
        data.append(values[stored])
    pointer = np.r_[0, np.cumsum(np.concatenate(counts))]
    return csr_array(
        (np.concatenate(data), np.concatenate(columns), pointer), shape=(len(x), num_features)
    )


def normalise_rows(x: jax.Array) -> jax.Array:
    """Divide the rows of `x` [F, U] by their norms."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def scatter(values: jax.Array, index: jax.Array, size: int) -> jax.Array:
    """Place `values` [n, k] at columns `index` [n, k] of a matrix [n, size] of zeros."""
    rows = np.arange(len(values))[:, None]
    return jnp.zeros((len(values), size), values.dtype).at[rows, index].set(values)


def check_inputs(x: np.ndarray | jax.Array, input_size: int) -> np.ndarray:
    """Return the inputs [n, U] as a NumPy array, or raise."""
    x = np.asarray(x)
    if x.ndim != 2 or not len(x) or x.shape[1] != input_size:
        raise ValueError(f"x must have shape [n, {input_size}], n >= 1, got {x.shape}")
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"x must be floating point, got {x.dtype}")
    return x
