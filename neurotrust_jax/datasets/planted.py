"""Activations and concepts whose population similarities are known in closed form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Planted(NamedTuple):
    """One dataset drawn from a known law, with that law.

    Attributes
    ----------
    activations : float array [n, U]
        In (0, 1] where the neuron is active and in [-1, 0) where not, so a threshold of 0 is
        exact.
    concepts : float array [n, C]
        0 or 1.
    active_probability : float array [U]
        P(active).
    concept_probability : float array [C]
        P(concept).
    joint_probability : float array [U, C]
        P(active and concept).
    """

    activations: jax.Array
    concepts: jax.Array
    active_probability: jax.Array
    concept_probability: jax.Array
    joint_probability: jax.Array


def planted(
    key: jax.Array,
    num_samples: int,
    *,
    num_neurons: int = 8,
    num_concepts: int = 16,
    frequency: Any = 0.1,
    base_rate: Any = 0.02,
    effect: Any = 0.5,
    parents: Sequence[int] | np.ndarray | None = None,
) -> Planted:
    """Draw independent samples of concepts, and of neurons that depend on them linearly.

    A root concept is an independent coin of its frequency; a child is its parent and an independent
    coin. Neuron u is active with probability ``base_rate[u] + effect[u] @ concepts``, and its
    activation is uniform on (0, 1] when active and on [-1, 0) when not.

    Only `key` may be traced: under `jax.vmap` over keys thousands of datasets cost one call. The
    other arguments are plain numbers, and the law is computed from them once, in float64.

    Parameters
    ----------
    key : JAX random key
    num_samples, num_neurons, num_concepts : int
        n, U and C.
    frequency : float or array [C]
        P(concept), in (0, 1). A child's may not exceed its parent's.
    base_rate : float or array [U]
        P(active) in the absence of every concept.
    effect : float or array [U, C]
        What a concept adds to P(active). A number is the effect of concept ``u % C`` on neuron u,
        all others being 0.
    parents : int array [C], optional
        Index of each concept's parent, -1 for a root. A parent must be a root.

    Returns
    -------
    Planted

    Raises
    ------
    ValueError
        If a frequency is outside (0, 1), a child's exceeds its parent's, the tree is deeper than
        one level, or some combination of concepts takes P(active) outside [0, 1].
    """
    p, root, p_root = _concept_law(num_concepts, frequency, parents)
    base = np.broadcast_to(np.asarray(base_rate, np.float64), (num_neurons,))
    if np.ndim(effect) == 0:
        slope = np.zeros((num_neurons, num_concepts))
        slope[np.arange(num_neurons), np.arange(num_neurons) % num_concepts] = effect
    else:
        slope = np.broadcast_to(np.asarray(effect, np.float64), (num_neurons, num_concepts))
    lowest = base + np.minimum(slope, 0).sum(axis=1)
    highest = base + np.maximum(slope, 0).sum(axis=1)
    # The slack forgives a sum such as 0.1 + 0.2 + 0.7, never a probability that is truly outside.
    if not (np.all(lowest >= -1e-12) and np.all(highest <= 1 + 1e-12)):
        raise ValueError(
            f"P(active) must stay within [0, 1] for every combination of concepts, but it reaches "
            f"from {lowest.min():g} to {highest.max():g}; use smaller effects or another base_rate"
        )

    # E[c_j c_m]: independent given their common root, and a root is implied by its children.
    is_child = root != np.arange(num_concepts)
    both = np.outer(p, p)
    kin = root[:, None] == root[None, :]
    two_children = kin & is_child[:, None] & is_child[None, :]
    both = np.where(kin, np.minimum(p[:, None], p[None, :]), both)
    both = np.where(two_children, p[:, None] * p[None, :] / p_root[:, None], both)
    np.fill_diagonal(both, p)

    key_concept, key_active, key_size = jax.random.split(key, 3)
    coin = jax.random.uniform(key_concept, (num_samples, num_concepts))
    heads = coin < jnp.asarray(np.where(is_child, p / p_root, p), coin.dtype)[None, :]
    concepts = (heads & heads[:, root]).astype(coin.dtype)
    rate = jnp.asarray(base, coin.dtype)[None, :] + jnp.matmul(
        concepts, jnp.asarray(slope.T, coin.dtype), precision="highest"
    )
    active = jax.random.uniform(key_active, (num_samples, num_neurons)) < rate
    # 1 - [0, 1) is never 0: no activation can lie on the threshold.
    size = 1 - jax.random.uniform(key_size, (num_samples, num_neurons))
    return Planted(
        activations=jnp.where(active, size, -size),
        concepts=concepts,
        active_probability=jnp.asarray(base + slope @ p, coin.dtype),
        concept_probability=jnp.asarray(p, coin.dtype),
        joint_probability=jnp.asarray(base[:, None] * p[None, :] + slope @ both, coin.dtype),
    )


def _concept_law(
    num_concepts: int, frequency: Any, parents: Sequence[int] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each concept's probability, its root's index (itself for a root), and its root's."""
    p = np.broadcast_to(np.asarray(frequency, np.float64), (num_concepts,))
    if not np.all((p > 0) & (p < 1)):
        raise ValueError(f"frequency must be within (0, 1), got {frequency!r}")
    own = np.arange(num_concepts)
    if parents is None:
        return p, own, p
    parent = np.asarray(parents)
    if parent.shape != own.shape or not np.all((parent >= -1) & (parent < num_concepts)):
        raise ValueError(f"parents must be {num_concepts} indices of concepts or -1, got {parents}")
    root = np.where(parent < 0, own, parent)
    if np.any(parent == own) or np.any(parent[root] >= 0):
        raise ValueError(f"a parent must be a root (-1), and no concept its own; got {parents}")
    if np.any(p > p[root]):
        child = int(np.argmax(p > p[root]))
        raise ValueError(
            f"a child's frequency may not exceed its parent's: concept {child} has {p[child]:g}, "
            f"its parent {root[child]} has {p[root[child]]:g}"
        )
    return p, root, p[root]


def planted_similarity(planted: Planted, metric: str) -> jax.Array:
    """Return the exact population similarity of every neuron and concept.

    Each formula is written out from the law alone, so that it can serve as an oracle.

    Parameters
    ----------
    planted : Planted
        Only its three probabilities are read.
    metric : str
        One of accuracy, precision, recall, f1, iou, balanced_accuracy,
        simulation_balanced_accuracy, auroc, simulation_auroc, correlation, cosine, mad.
        Activations are thresholded at 0 where the metric is binary and raw in the last three.

    Returns
    -------
    float array [U, C]

    Raises
    ------
    ValueError
        If the metric is not one of them.
    """
    a = planted.active_probability[:, None]
    p = planted.concept_probability[None, :]
    both = planted.joint_probability
    neither = 1 - a - p + both
    # The size of an activation tells nothing beyond its sign, so a pair of samples is ordered at
    # random within a sign: AUROC = 1/2 + (P(active | concept) - P(active | no concept)) / 2.
    # Of a raw activation f: E[f] = a - 1/2, E[f^2] = 1/3, E[f | c] = P(active | c) - 1/2.
    covariance = (both - p / 2) - (a - 0.5) * p
    formulas = {
        "accuracy": lambda: both + neither,
        "precision": lambda: both / a,
        "recall": lambda: both / p,
        "f1": lambda: 2 * both / (a + p),
        "iou": lambda: both / (1 - neither),
        "balanced_accuracy": lambda: (both / p + neither / (1 - p)) / 2,
        "simulation_balanced_accuracy": lambda: (both / a + neither / (1 - a)) / 2,
        "auroc": lambda: 0.5 + (both / p - (a - both) / (1 - p)) / 2,
        "simulation_auroc": lambda: 0.5 + (both / a - (p - both) / (1 - a)) / 2,
        "correlation": lambda: covariance / jnp.sqrt((1 / 3 - (a - 0.5) ** 2) * p * (1 - p)),
        "cosine": lambda: (both - p / 2) / jnp.sqrt(p / 3),
        "mad": lambda: both / p - (a - both) / (1 - p),
    }
    if metric not in formulas:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(formulas)}")
    return formulas[metric]()
