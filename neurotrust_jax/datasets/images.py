"""Images with exact concepts and groups, and a split of samples by group."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from .._runtime.short_repr import short_repr


@short_repr
class LabelledImages(NamedTuple):
    """Images whose concepts are known exactly.

    Attributes
    ----------
    images : array [N, H, W, 1] of float32
        Ink in [0, 1]: 1 is ink, 0 is background.
    concepts : array [N, C] of bool
        Whether a concept holds for an image. Where a child holds, its parent holds.
    concept_names : tuple of C str
        Name of each concept, which completes the sentence "neuron 17 fires on: ...".
    concept_parent : array [C] of int32
        Index of each concept's parent in the hierarchy, -1 for a root.
    targets : array [N] of int32
        Class of each image in the training task, from 0 to K - 1.
    target_names : tuple of K str
        Name of each class.
    groups : array [N] of int32
        Group of each image, from 0 to G - 1. Images that are not independent share a group.
    example_names : tuple of N str
        Name of each image for a reader.
    """

    images: np.ndarray
    concepts: np.ndarray
    concept_names: tuple[str, ...]
    concept_parent: np.ndarray
    targets: np.ndarray
    target_names: tuple[str, ...]
    groups: np.ndarray
    example_names: tuple[str, ...]


def split_groups(key: jax.Array, groups: Any, fractions: Sequence[float]) -> list[np.ndarray]:
    """Split samples at random into parts that consist of whole groups.

    Parameters
    ----------
    key : JAX random key
        Random key for the order of the groups.
    groups : array [N] of int
        Group of each sample.
    fractions : sequence of float
        Share of the *groups* in each part, each >= 0, with a sum of at most 1. If the sum is below
        1, the other groups are in no part.

    Returns
    -------
    list of array of int
        Indices of the samples of each part, in ascending order. The parts are disjoint.

    Raises
    ------
    ValueError
        If a fraction is negative or not finite, or if they sum to more than 1.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from neurotrust_jax import datasets
    >>> groups = np.repeat(np.arange(10), 3)  # ten groups of three samples
    >>> first, second = datasets.split_groups(jax.random.key(0), groups, (0.6, 0.4))
    >>> len(first), len(second)
    (18, 12)
    >>> set(groups[first]) & set(groups[second])
    set()
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not np.all(shares >= 0) or shares.sum() > 1 + 1e-9:
        raise ValueError(f"fractions must be >= 0 and sum to at most 1, got {fractions!r}")
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    rank = np.asarray(jax.random.permutation(key, len(names)))[member]
    edges = np.rint(np.cumsum([0.0, *shares]) * len(names)).astype(int)
    return [
        np.flatnonzero((start <= rank) & (rank < stop)) for start, stop in itertools.pairwise(edges)
    ]
