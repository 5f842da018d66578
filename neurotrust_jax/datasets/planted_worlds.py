"""Random activations and concepts whose population similarities are known in closed form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._runtime.short_repr import short_repr


@short_repr
class Planted(NamedTuple):
    """A dataset drawn from a known distribution, and the probabilities of that distribution.

    Attributes
    ----------
    activations : array [n, U] of float
        Activations, in (0, 1] where the neuron is active and in [-1, 0) elsewhere, so that a
        threshold of 0 is exact.
    concepts : array [n, C] of float
        1 where the concept is present and 0 elsewhere.
    active_probability : array [U] of float
        P(active) of each neuron, in [0, 1].
    concept_probability : array [C] of float
        P(concept), in (0, 1).
    joint_probability : array [U, C] of float
        P(active and concept), in [0, 1].
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
    """Draw independent samples of concepts, and of neurons whose P(active) is linear in them.

    A root concept is present with its frequency, independently of the others. A child is present if
    its parent and an independent coin are. Neuron u is active with probability
    ``base_rate[u] + effect[u] @ concepts``, and its activation is uniform on (0, 1] if it is active
    and on [-1, 0) if not.

    Only `key` may be traced, so one call under `jax.vmap` over keys draws thousands of datasets.
    The other arguments are plain numbers, and the probabilities are computed from them in float64.

    Parameters
    ----------
    key : JAX random key
        Random key for the samples.
    num_samples, num_neurons, num_concepts : int
        Sizes n, U and C, each at least 1.
    frequency : float or array [C] of float
        P(concept), in (0, 1). That of a child may not exceed that of its parent.
    base_rate : float or array [U] of float
        P(active) in the absence of all concepts, in [0, 1].
    effect : float or array [U, C] of float
        Difference that the presence of a concept makes to P(active). A number is the effect of
        concept ``u % C`` on neuron u, and all others are 0.
    parents : array [C] of int, optional
        Index of each concept's parent, -1 for a root. A parent must be a root. By default all
        concepts are roots.

    Returns
    -------
    Planted
        The samples and their probabilities.

    Raises
    ------
    ValueError
        If a frequency is outside (0, 1), a child's exceeds its parent's, the tree is deeper than
        one level, or some combination of concepts takes P(active) outside [0, 1].

    Examples
    --------
    >>> import jax
    >>> from neurotrust_jax import datasets
    >>> data = datasets.planted(jax.random.key(0), 1_000, num_neurons=2, num_concepts=3)
    >>> data.activations.shape, data.concepts.shape
    ((1000, 2), (1000, 3))
    >>> print(datasets.planted_similarity(data, "iou")[0].round(2))  # neuron 0 and each concept
    [0.44 0.04 0.04]
    """
    p, root, p_root = _concept_law(num_concepts, frequency, parents)
    base, slope = _neuron_law(num_neurons, num_concepts, base_rate, effect)
    is_child = root != np.arange(num_concepts)
    key_concept, key_active, key_size = jax.random.split(key, 3)
    coin = jax.random.uniform(key_concept, (num_samples, num_concepts))
    heads = coin < jnp.asarray(np.where(is_child, p / p_root, p), coin.dtype)[None, :]
    concepts = (heads & heads[:, root]).astype(coin.dtype)
    rate = jnp.asarray(base, coin.dtype)[None, :] + jnp.matmul(
        concepts, jnp.asarray(slope.T, coin.dtype), precision="highest"
    )
    active = jax.random.uniform(key_active, (num_samples, num_neurons)) < rate
    # The uniform numbers are in [0, 1), so 1 minus one is never 0, the threshold.
    size = 1 - jax.random.uniform(key_size, (num_samples, num_neurons))
    return Planted(
        activations=jnp.where(active, size, -size),
        concepts=concepts,
        active_probability=jnp.asarray(base + slope @ p, coin.dtype),
        concept_probability=jnp.asarray(p, coin.dtype),
        joint_probability=jnp.asarray(
            base[:, None] * p[None, :] + slope @ _concept_pairs(p, root), coin.dtype
        ),
    )


def _concept_law(
    num_concepts: int, frequency: Any, parents: Sequence[int] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each concept [C], its probability, its root's index, and that root's probability.

    The root of a root is itself.
    """
    p = np.broadcast_to(np.asarray(frequency, np.float64), (num_concepts,))
    if not np.all((p > 0) & (p < 1)):
        raise ValueError(f"frequency must be within (0, 1), got {frequency!r}")
    itself = np.arange(num_concepts)
    if parents is None:
        return p, itself, p
    parent = np.asarray(parents)
    if parent.shape != itself.shape or not np.all((parent >= -1) & (parent < num_concepts)):
        raise ValueError(f"parents must be {num_concepts} indices of concepts or -1, got {parents}")
    root = np.where(parent < 0, itself, parent)
    if np.any(parent == itself) or np.any(parent[root] >= 0):
        raise ValueError(f"a parent must be a root (-1), and not the concept itself; got {parents}")
    if np.any(p > p[root]):
        child = int(np.argmax(p > p[root]))
        raise ValueError(
            f"a child's frequency may not exceed its parent's: concept {child} has {p[child]:g}, "
            f"its parent {root[child]} has {p[root[child]]:g}"
        )
    return p, root, p[root]


def _neuron_law(
    num_neurons: int, num_concepts: int, base_rate: Any, effect: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return P(active) in the absence of all concepts [U], and what each adds to it [U, C]."""
    base = np.broadcast_to(np.asarray(base_rate, np.float64), (num_neurons,))
    if np.ndim(effect) == 0:
        slope = np.zeros((num_neurons, num_concepts))
        slope[np.arange(num_neurons), np.arange(num_neurons) % num_concepts] = effect
    else:
        slope = np.broadcast_to(np.asarray(effect, np.float64), (num_neurons, num_concepts))
    lowest = base + np.minimum(slope, 0).sum(axis=1)
    highest = base + np.maximum(slope, 0).sum(axis=1)
    # The tolerance is for the rounding of a sum such as 0.1 + 0.2 + 0.7.
    if not (np.all(lowest >= -1e-12) and np.all(highest <= 1 + 1e-12)):
        raise ValueError(
            f"P(active) must stay within [0, 1] for every combination of concepts, but it reaches "
            f"from {lowest.min():g} to {highest.max():g}; use smaller effects or another base_rate"
        )
    return base, slope


def _concept_pairs(p: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Return P(both present) of every two concepts [C, C].

    Two children of one root are independent given the root, and a child implies its root.
    """
    is_child = root != np.arange(len(p))
    both = np.outer(p, p)
    kin = root[:, None] == root[None, :]
    two_children = kin & is_child[:, None] & is_child[None, :]
    both = np.where(kin, np.minimum(p[:, None], p[None, :]), both)
    both = np.where(two_children, p[:, None] * p[None, :] / p[root][:, None], both)
    np.fill_diagonal(both, p)
    return both


def planted_similarity(planted: Planted, metric: str) -> jax.Array:
    """Exact population similarity of every neuron and concept.

    Each formula is derived from the distribution alone and shares no code with the metrics, so it
    can serve as an oracle.

    Parameters
    ----------
    planted : Planted
        The dataset, of which only the three probabilities are read.
    metric : str
        One of accuracy, precision, recall, f1, iou, balanced_accuracy,
        simulation_balanced_accuracy, auroc, simulation_auroc, correlation, cosine, mad.
        Activations are thresholded at 0 if the metric is binary, and raw for the last three.

    Returns
    -------
    array [U, C] of float
        Similarity, in the range of the metric.

    Raises
    ------
    ValueError
        If the metric is not one of these.

    Examples
    --------
    >>> import jax
    >>> from neurotrust_jax import datasets
    >>> data = datasets.planted(
    ...     jax.random.key(0), 10, num_neurons=1, num_concepts=2, frequency=0.5, effect=0.5,
    ...     base_rate=0.25,
    ... )
    >>> datasets.planted_similarity(data, "recall").tolist()
    [[0.75, 0.5]]
    """
    a = planted.active_probability[:, None]
    p = planted.concept_probability[None, :]
    both = planted.joint_probability
    neither = 1 - a - p + both
    # Given its sign, an activation is independent of the concepts, so two samples of equal sign are
    # in random order: AUROC = 1/2 + (P(active | concept) - P(active | no concept)) / 2.
    # A raw activation f has E[f] = a - 1/2, E[f^2] = 1/3, E[f | c] = P(active | c) - 1/2.
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
