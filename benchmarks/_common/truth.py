"""Labels, best concepts and what sets hold, where the truth is known."""

import math

import numpy as np

import neurotrust_jax as nt

KINDS = ("vote", "calibrated", "certified", "vote, replication", "calibrated, replication")


def labels(probe, metric):
    """The most similar concept of each neuron, [U]; -1 where no similarity is defined."""
    return np.asarray(nt.identify(probe, metric).concept)[:, 0]


def fresh_labels(population, n, columns, metric, count):
    """Labels of some neurons on ``count`` fresh probing sets of n samples, [count, U]."""
    drawn = (population.probe(population.samples(10**6 + i, n), columns) for i in range(count))
    return np.stack([labels(probe, metric) for probe in drawn])


def best_concepts(similarity):
    """Whether each concept is the most similar or ties with it, [U, C].

    A row is False throughout where no similarity is defined.
    """
    known = np.asarray(similarity, np.float64)
    known = np.where(np.isnan(known), -np.inf, known)
    return (known >= known.max(axis=1, keepdims=True) - 1e-7) & np.isfinite(known)


def share_held(mask, best):
    """Share of each neuron's best concepts that its set holds, [U].

    Any of tied best concepts is a best concept: the share is the mean over which one is meant. It
    is NaN where there is none.
    """
    count = best.sum(axis=1)
    return np.where(count > 0, (mask & best).sum(axis=1) / np.maximum(count, 1), np.nan)


def sets_of_kind(boot, kind, alpha):
    """Concept sets of one of `KINDS`: a method and, after a comma, a target other than "best"."""
    method, *target = kind.split(", ")
    return nt.concept_sets(boot, alpha=alpha, method=method, target=(*target, "best")[0])


def some_neurons(population, count):
    """At most ``count`` of the live neurons, the same ones in every benchmark."""
    order = np.random.default_rng(0).permutation(population.live)
    return np.sort(order[:count])


def mean_of(values):
    """The mean of the values that are defined; NaN if none is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def slack(by_draw, alpha, count):
    """How far mean coverage may fall below its level by chance, and its standard error.

    ``by_draw`` holds the share of ``count`` neurons in each independent draw. Where no set misses
    at all, the standard error is 0 and says nothing, so the slack is at least three times the error
    that ``count`` independent neurons have at the nominal level.
    """
    error = np.std(by_draw) / math.sqrt(len(by_draw))
    nominal = math.sqrt(alpha * (1 - alpha) / len(by_draw) / count)
    return 3 * max(error, nominal), error
