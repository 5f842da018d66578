"""What every image dataset of this package is: pictures, exact concepts, groups."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np


class LabelledImages(NamedTuple):
    """Pictures whose concepts are known exactly.

    Attributes
    ----------
    images : float32 array [N, H, W, 1]
        Ink in [0, 1]: 1 is ink, 0 is background.
    concepts : bool array [N, C]
        Whether a concept holds. Where a child holds, its parent holds.
    concept_names : tuple of C str
        Each completes the sentence "unit 17 fires on: ...".
    concept_parent : int32 array [C]
        Index of the concept's parent in the hierarchy, -1 for a root.
    targets : int32 array [N]
        Class of the training task, in 0..K-1.
    target_names : tuple of K str
        The classes' names.
    groups : int32 array [N]
        Dense 0..G-1. Images that are not independent of each other share a group.
    example_names : tuple of N str
        What a person would call the image.
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
    """Split the samples at random, keeping every group whole.

    Parameters
    ----------
    key : JAX random key
        Decides which groups go where; the same key gives the same split.
    groups : int array [N]
        Group of each sample.
    fractions : sequence of float
        Share of the *groups* in each part, each >= 0, their sum at most 1. What a sum below 1
        leaves over is in no part.

    Returns
    -------
    list of int array
        Increasing sample indices of each part; the parts are disjoint.

    Raises
    ------
    ValueError
        If a fraction is negative or not finite, or if they sum to more than 1.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not np.all(shares >= 0) or shares.sum() > 1 + 1e-9:
        raise ValueError(f"fractions must be >= 0 and sum to at most 1, got {fractions!r}")
    labels, member = np.unique(np.asarray(groups), return_inverse=True)
    rank = np.asarray(jax.random.permutation(key, len(labels)))[member]
    edges = np.rint(np.cumsum([0.0, *shares]) * len(labels)).astype(int)
    return [
        np.flatnonzero((start <= rank) & (rank < stop)) for start, stop in itertools.pairwise(edges)
    ]
