"""The demo's data: real pictures, a network trained on them, and a layer to audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from jax import Array

from . import datasets
from .models import CNN, MLP, accuracy, capture, train
from .probe import Probe, make_probe
from .resampling import StageProgress

__all__ = ["DATASETS", "MODELS", "TrainedLayer", "train_layer"]

DATASETS = {"glyphs": datasets.glyphs, "digits": datasets.digits}
TASKS = {
    "glyphs": "name the base Latin letter or the family of a character never seen in training",
    "digits": "read a handwritten digit",
}
EPOCHS = {"glyphs": 6, "digits": 30}
LAYERS = {"cnn": "hidden", "mlp": "blocks.1"}


def _cnn(data: datasets.LabelledImages, rngs: nnx.Rngs) -> nnx.Module:
    shape = data.images.shape[1:]
    return CNN(image_shape=shape, num_classes=len(data.target_names), rngs=rngs)


def _mlp(data: datasets.LabelledImages, rngs: nnx.Rngs) -> nnx.Module:
    size = int(np.prod(data.images.shape[1:]))
    return MLP(size, num_classes=len(data.target_names), rngs=rngs)


MODELS: dict[str, Callable[[datasets.LabelledImages, nnx.Rngs], nnx.Module]] = {
    "cnn": _cnn,
    "mlp": _mlp,
}


class TrainedLayer(NamedTuple):
    """A layer of a trained network, probed on held-out data.

    Attributes
    ----------
    probe : Probe
        Activations of the layer and the concepts, on the held-out images.
    layer : str
        Path of the layer.
    hierarchy : array [C] of int
        Parent of each concept, -1 without one.
    images : array [n, H, W, 1]
        The held-out images.
    groups : array [n] of int
        Images that are not independent share one.
    task : str
        What the network was trained to do.
    chance, test_accuracy : float
        Share of the held-out images right for the commonest class, and for the network.
    """

    probe: Probe
    layer: str
    hierarchy: np.ndarray
    images: np.ndarray
    groups: np.ndarray
    task: str
    chance: float
    test_accuracy: float


def train_layer(
    key: Array,
    *,
    dataset: str = "glyphs",
    model: str = "cnn",
    top_fraction: float = 0.05,
    progress: StageProgress | None = None,
) -> TrainedLayer:
    """Train a network on half of a built-in dataset and probe a layer on the other half.

    Parameters
    ----------
    key : JAX PRNG key
        Decides the split, the initial parameters and the order of training.
    dataset : {"glyphs", "digits"}
    model : {"cnn", "mlp"}
    top_fraction : float
        A neuron is active above this quantile of its activations on the half trained on.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    TrainedLayer

    Raises
    ------
    ValueError
        If the dataset or model is unknown.
    ImportError
        If the dataset needs a package that is not installed.
    """
    for kind, name, known in (("dataset", dataset, DATASETS), ("model", model, MODELS)):
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    told = progress or (lambda stage, done, total: None)
    split_key, train_key, parameter_key = jax.random.split(key, 3)

    told("drawing images", 0, 1)
    data = DATASETS[dataset]()
    train_rows, test_rows = datasets.split_groups(split_key, data.groups, (0.5, 0.5))
    told("drawing images", 1, 1)

    network = MODELS[model](data, nnx.Rngs(parameter_key))
    train(
        train_key,
        network,
        data.images[train_rows],
        data.targets[train_rows],
        num_epochs=EPOCHS[dataset],
        progress=lambda done, total: told("training", done, total),
    )

    told("reading activations", 0, 3)
    images, targets = data.images[test_rows], data.targets[test_rows]
    test_accuracy = accuracy(network, images, targets)
    told("reading activations", 1, 3)
    activations = capture(network, images, LAYERS[model])
    told("reading activations", 2, 3)
    # thresholds from the half trained on, so that bounds for fixed thresholds hold on the other
    seen = make_probe(
        capture(network, data.images[train_rows], LAYERS[model]),
        data.concepts[train_rows],
        top_fraction=top_fraction,
    )
    told("reading activations", 3, 3)

    groups = data.groups[test_rows]
    grouped = len(np.unique(groups)) < len(groups)
    probe = make_probe(
        activations,
        data.concepts[test_rows],
        concept_names=data.concept_names,
        groups=groups if grouped else None,
        thresholds=seen.thresholds,
    )
    return TrainedLayer(
        probe=probe,
        layer=f"{dataset} {model} {LAYERS[model]}",
        hierarchy=data.concept_parent,
        images=images,
        groups=groups,
        task=TASKS[dataset],
        chance=float(np.bincount(targets).max() / len(targets)),
        test_accuracy=test_accuracy,
    )
