"""Importance weights: estimates on a target whose density ratio is known, or estimated.

The density ratio of the target over the probing distribution is a sample weight.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .._runtime.host_arrays import as_host_array
from .._runtime.short_repr import short_repr
from .._runtime.validation import check_count
from ..probing.groups import number_groups
from ..probing.probe import Probe
from ..probing.sample_weights import as_weight, canonical_weights, effective_size

__all__ = [
    "ImportanceWeights",
    "ShiftWarning",
    "importance_weights",
    "reweight",
]

FEW = 100  # fewer effective units give a warning
SMALL_SHARE = 0.1  # a smaller share of the units gives one too
NEWTON_STEPS = 30


class ShiftWarning(UserWarning):
    """The probed data say little about the target."""


@short_repr
class ImportanceWeights(NamedTuple):
    """Density ratio of a target over the probing distribution, see :func:`importance_weights`.

    Attributes
    ----------
    weight : Array [n]
        The weight of each probing sample; mean 1.
    effective_size : float
        As many unweighted units would tell as much, see :func:`effective_size`.
    largest : float
        The largest weight.
    auroc : float
        How well the classifier tells held-out probing samples from target samples: at 0.5 there is
        no shift that it can see, near 1 the two hardly overlap and weights are of little use.
    """

    weight: Array
    effective_size: float
    largest: float
    auroc: float


def importance_weights(
    key: Array,
    features: Any,
    target: Any,
    *,
    groups: Any = None,
    target_groups: Any = None,
    penalty: float = 1.0,
    num_folds: int = 5,
    largest: float | None = None,
) -> ImportanceWeights:
    """Estimate the density ratio of a target over the probing distribution.

    A logistic regression learns to tell target samples from probing samples; its odds, over the
    ratio of their numbers, estimate the density ratio (Bickel, Brueckner & Scheffer, 2009). Each
    sample's odds come from a model that has not seen its fold (or group). No labels are needed.

    Parameters
    ----------
    key : JAX PRNG key
        Decides the folds.
    features : array [n, d]
        Features of the probing samples that may tell the two apart, such as the activations.
    target : array [m, d]
        The same features of samples of the target distribution.
    groups, target_groups : array [n], [m], optional
        Samples of one group go into one fold.
    penalty : float
        Half of it multiplies the squared coefficients of standardised features, in a sum of losses
        (the inverse of scikit-learn's ``C``); above 0.
    num_folds : int
        At least 2.
    largest : float, optional
        Weights are cut off here before they are scaled to mean 1: less variance, some bias.

    Returns
    -------
    ImportanceWeights

    Raises
    ------
    ValueError
        On features that do not match or are not finite, or options out of range.

    Examples
    --------
    The target lies one standard deviation to the right of the probing set:

    >>> rng = np.random.default_rng(0)
    >>> probed, target = rng.normal(size=(300, 1)), rng.normal(loc=1.0, size=(300, 1))
    >>> found = nt.importance_weights(jax.random.key(0), probed, target)
    >>> bool(found.weight[probed[:, 0] > 1].min() > found.weight[probed[:, 0] < -1].max())
    True
    >>> 50 < found.effective_size < 300
    True
    """
    x, y = (_as_features(v, name) for v, name in ((features, "features"), (target, "target")))
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"features has {x.shape[1]} columns and target {y.shape[1]}; both need the same ones"
        )
    if not penalty > 0 or not math.isfinite(penalty):
        raise ValueError(f"penalty must be positive and finite, got {penalty}")
    if largest is not None and not largest > 0:
        raise ValueError(f"largest must be positive, got {largest}")
    num_folds = check_count(num_folds, "num_folds")
    units = [
        _folds(jax.random.fold_in(key, i), len(v), g, num_folds, name)
        for i, (v, g, name) in enumerate(
            ((x, groups, "groups"), (y, target_groups, "target_groups"))
        )
    ]
    both, fold = np.concatenate([x, y]), np.concatenate(units)
    is_target = np.arange(len(both)) >= len(x)
    centre, size = both.mean(axis=0), both.std(axis=0)
    both = (both - centre) / np.where(size > 0, size, 1)
    score = np.zeros(len(both))
    for k in range(num_folds):
        seen = jnp.asarray(fold != k, both.dtype)
        coefficients = logistic_regression(
            jnp.asarray(both), jnp.asarray(is_target), seen, jnp.asarray(penalty, both.dtype)
        )
        held = fold == k
        slope, intercept = np.asarray(coefficients[:-1]), float(coefficients[-1])
        score[held] = both[held] @ slope + intercept
        # the odds of the fold's own training set
        score[held] -= math.log((is_target & ~held).sum() / (~is_target & ~held).sum())
    ratio = np.exp(np.clip(score[: len(x)], -50, 50))
    if largest is not None:
        ratio = np.minimum(ratio, largest)
    weight = ratio / ratio.mean()
    return ImportanceWeights(
        weight=jnp.asarray(weight, jnp.asarray(both).dtype),
        effective_size=effective_size(weight, groups),
        largest=float(weight.max()),
        auroc=_auroc(score, is_target),
    )


def _as_features(values: Any, name: str) -> np.ndarray:
    x = as_host_array(values, name)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name} must be numbers of shape [samples, features], got {x.shape}")
    with np.errstate(over="ignore"):  # what has no single-precision float is refused with the rest
        x = x.astype(jax.dtypes.canonicalize_dtype(np.float64))
    if not np.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinite values; drop or repair them")
    return x


def _folds(key: Array, n: int, groups: Any, num_folds: int, name: str) -> np.ndarray:
    unit, labels = number_groups(range(n) if groups is None else groups, n, name)
    if not 2 <= num_folds <= len(labels):
        raise ValueError(
            f"num_folds must lie between 2 and the {len(labels)} units of {name}, got {num_folds}"
        )
    return np.asarray(jax.random.permutation(key, len(labels)))[unit] % num_folds


@jax.jit
def logistic_regression(x: Array, y: Array, weights: Array, penalty: Array) -> Array:
    """Coefficients [d + 1], the intercept last and not penalised, by Newton's method."""
    x = jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)
    ridge = penalty * jnp.ones(x.shape[1], x.dtype).at[-1].set(0)
    label = y.astype(x.dtype)
    highest = partial(jnp.matmul, precision=lax.Precision.HIGHEST)

    def loss(beta: Array) -> Array:
        z = highest(x, beta)
        return (weights * (jnp.logaddexp(0, z) - label * z)).sum() + (ridge * beta**2).sum() / 2

    def step(_: int, beta: Array) -> Array:
        p = jax.nn.sigmoid(highest(x, beta))
        gradient = highest(x.T, weights * (p - label)) + ridge * beta
        curvature = weights * jnp.maximum(p * (1 - p), 1e-6)
        hessian = highest(x.T, curvature[:, None] * x) + jnp.diag(ridge)
        direction = jnp.linalg.solve(hessian, gradient)
        # halve the step until the loss falls
        sizes = 0.5 ** jnp.arange(8, dtype=x.dtype)
        losses = lax.map(lambda s: loss(beta - s * direction), sizes)
        best = jnp.argmin(losses)
        return jnp.where(losses[best] < loss(beta), beta - sizes[best] * direction, beta)

    return lax.fori_loop(0, NEWTON_STEPS, step, jnp.zeros(x.shape[1], x.dtype))


def _auroc(score: np.ndarray, positive: np.ndarray) -> float:
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    k = positive.sum()
    return float((rank[positive].sum() - k * (k + 1) / 2) / (k * (len(score) - k)))


def reweight(probe: Probe, weight: Any) -> Probe:
    """The probe under importance weights [n]: its estimates then speak of the target.

    Thresholds stay as they are. The probe's own weights are multiplied by these, and scaled as
    :func:`make_probe` scales them: a constant factor makes no difference.

    Raises
    ------
    ValueError
        If the weights have another shape, are negative or not finite, or all zero.

    Warns
    -----
    ShiftWarning
        If the effective size is below 100 units, or below a tenth of them.

    Examples
    --------
    On a target where samples with the first concept are twice as common:

    >>> concepts = np.tile([[1, 0], [0, 1], [1, 1], [0, 0]], (100, 1))
    >>> activations = np.tile([[0.9], [0.8], [0.7], [0.1]], (100, 1))
    >>> probe = nt.make_probe(activations, concepts, thresholds=0.5)
    >>> np.asarray(nt.similarity(probe, "precision"), float).round(3).tolist()
    [[0.667, 0.667]]
    >>> shifted = nt.reweight(probe, np.where(concepts[:, 0], 2.0, 1.0))
    >>> np.asarray(nt.similarity(shifted, "precision"), float).round(3).tolist()
    [[0.8, 0.6]]
    """
    given = as_host_array(weight, "weight")
    w = as_weight(given, probe.num_samples)
    own = np.asarray(probe.sample_weight)
    total = w / w.max() * own.astype(np.float64)
    if not total.any():
        raise ValueError("weight leaves no sample with a positive weight")
    groups = None if probe.groups is None else np.asarray(probe.groups)
    size = effective_size(total, groups)
    if size < max(FEW, SMALL_SHARE * probe.num_units):
        warnings.warn(
            f"under these weights {probe.num_units:,} units tell as much as {size:.0f} would; what "
            "is said of the target is then uncertain",
            ShiftWarning,
            stacklevel=2,
        )
    floats = [x.dtype for x in (given, own) if jnp.issubdtype(x.dtype, jnp.floating)]
    total = canonical_weights(total, own.dtype, max(floats, key=lambda x: jnp.finfo(x).eps))
    return replace(probe, sample_weight=jax.device_put(total))
