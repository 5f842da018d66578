"""Real data as a population: everything is known, and probing sets are draws from it."""

from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

import neurotrust_jax as nt
from neurotrust_jax import datasets, demo, models


class Population(NamedTuple):
    """A layer's activations on all there is.

    Attributes
    ----------
    activations : array [N, U]
    data : LabelledImages
    thresholds : array [U]
        The 5% most active images of the population are above.
    live : array of int
        Neurons for which that is so; the others are tied at their threshold.
    """

    activations: np.ndarray
    data: datasets.LabelledImages
    thresholds: np.ndarray
    live: np.ndarray


def population(dataset):
    """All images of a dataset, read by a network trained on half of their groups."""
    split_key, train_key, parameter_key = jax.random.split(jax.random.key(0), 3)
    data = demo.DATASETS[dataset]()
    rows, _ = datasets.split_groups(split_key, data.groups, (0.5, 0.5))
    network = demo.MODELS["cnn"](data, nnx.Rngs(parameter_key))
    models.train(
        train_key, network, data.images[rows], data.targets[rows], num_epochs=demo.EPOCHS[dataset]
    )
    activations = np.asarray(models.capture(network, data.images, demo.LAYERS["cnn"]))
    thresholds = np.quantile(activations, 0.95, axis=0, method="higher").astype(np.float32)
    whole = nt.make_probe(activations, data.concepts, thresholds=thresholds)
    live = np.flatnonzero(np.asarray(whole.active_rate) > 0.04)
    return Population(activations, data, thresholds, live)
