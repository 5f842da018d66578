"""Built-in tasks: real data, a network trained on it, and a layer of the network to audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax import Array

from . import datasets
from ._runtime.checkpoint import cache_folder
from ._runtime.chunks import StageProgress
from ._runtime.short_repr import short_repr
from .probing.construction import make_probe
from .probing.probe import Probe

if TYPE_CHECKING:
    from flax import nnx
    from scipy.sparse import csr_array

    from . import models

__all__ = ["TASKS", "Task", "TrainedLayer", "excerpts", "get_task", "register_task", "train_layer"]

TOP_FRACTION = 0.05
# tokens per file on which language models are judged and probed and the autoencoder is trained
EXCERPT = 512
ORDER = 4  # length of the n-grams that a language model is compared with
LANGUAGE_MODEL: dict[str, Any] = {"num_steps": 2400, "batch_size": 8, "learning_rate": 4e-3}
AUTOENCODER: dict[str, Any] = {"num_features": 1024, "k": 16, "num_steps": 3000}


@short_repr
class TrainedLayer(NamedTuple):
    """A layer of a trained network, and the samples held out from its training.

    Attributes
    ----------
    name : str
        Task and path of the layer.
    data : LabelledImages or LabelledTokens
        All data of the task.
    rows : array [n] of int
        Samples of `data` that are probed: all held-out images, or an excerpt of each held-out file.
    activations : array [n, U] of float32, or scipy.sparse.csr_array
        Activations of the layer on these samples.
    thresholds : array [U]
        A neuron is active above its threshold. They come from the training data, so that bounds
        for fixed thresholds hold.
    largest_unit : float or None
        The largest number of samples that a group can have, by construction; None without groups.
    read : callable
        ``read(images)``, or ``read(tokens, groups)``, gives the layer's activations on other data.
    achieved : str
        What the network was trained to do, and how well it does it.
    """

    name: str
    data: datasets.LabelledImages | datasets.LabelledTokens
    rows: np.ndarray
    activations: np.ndarray | csr_array
    thresholds: np.ndarray
    largest_unit: float | None
    read: Callable[..., Any]
    achieved: str

    @property
    def groups(self) -> np.ndarray:
        """Group [n] of each sample of `rows`; samples of one group are not independent."""
        return self.data.groups[self.rows]

    def probe(self) -> Probe:
        """The layer on the samples held out."""
        grouped = len(np.unique(self.groups)) < len(self.rows)
        return make_probe(
            self.activations,
            self.data.concepts[self.rows],
            concept_names=self.data.concept_names,
            groups=self.groups if grouped else None,
            thresholds=self.thresholds,
        )


@dataclass(frozen=True)
class Task:
    """Data, a network trained on it, and the layer of the network to audit.

    Attributes
    ----------
    name : str
        The name by which the task is chosen.
    train : callable
        ``train(key, name, report_progress)`` trains the network and returns a
        :class:`TrainedLayer`. It calls ``report_progress(stage, done, total)``.
    """

    name: str
    train: Callable[[Array, str, StageProgress], TrainedLayer]


def register_task(task: Task) -> Task:
    """Make a task known to :func:`train_layer` and to ``neurotrust demo``.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Task
        The same object.

    Raises
    ------
    ValueError
        If another task has its name.
    """
    if task.name in TASKS:
        raise ValueError(f"there is already a task {task.name!r}; choose another name")
    TASKS[task.name] = task
    return task


def train_layer(
    key: Array, task: str = "glyphs-cnn", *, progress: StageProgress | None = None
) -> TrainedLayer:
    """Train the network of a task on half of its data, and read a layer on the other half.

    The trained network is saved in the folder that the environment variable ``NEUROTRUST_CACHE``
    names, or else in ``~/.cache/neurotrust_jax``. A second run with the same key loads it.

    Parameters
    ----------
    key : JAX PRNG key
        Decides the split, the initial parameters and the order of training.
    task : str
        A key of :data:`TASKS`.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    TrainedLayer

    Raises
    ------
    ValueError
        If the task is unknown.
    ImportError
        If the task needs a package that is not installed.
    """
    found = get_task(task)
    return found.train(key, found.name, progress or (lambda stage, done, total: None))


def get_task(name: str) -> Task:
    """The task of a name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    return TASKS[name]


def excerpts(groups: np.ndarray, length: int = EXCERPT) -> np.ndarray:
    """Rows [G * length] of the middle of each group that has at least ``length`` samples.

    Groups of equal size can be drawn as whole sampling units, and are exchangeable.
    """
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    sizes = np.diff(np.r_[starts, len(groups)])
    first = (starts + (sizes - length) // 2)[sizes >= length]
    return (first[:, None] + np.arange(length)).ravel()


def _trained(
    key: Array, name: str, model: Any, settings: dict[str, Any], data: list[np.ndarray], fit: Any
) -> Any:
    """Load the saved model, or fit it now."""
    from . import models

    # a change of the code that makes models gives other models
    source = [
        p.read_text(encoding="utf-8") for p in sorted(Path(models.__file__).parent.glob("*.py"))
    ]
    made = models.fingerprint(name, settings, np.asarray(jax.random.key_data(key)), source, *data)
    return models.cached_model(cache_folder() / "models", model, fit, f"{name}-{made}")


def _image_layer(
    key: Array,
    task: str,
    report_progress: StageProgress,
    *,
    load: Callable[[], datasets.LabelledImages],
    network: Callable[[datasets.LabelledImages, nnx.Rngs], nnx.Module],
    path: str,
    num_epochs: int,
    aim: str,
    largest_unit: float | None = None,
) -> TrainedLayer:
    from flax import nnx

    from . import models

    split_key, train_key, parameter_key = jax.random.split(key, 3)
    report_progress("drawing images", 0, 1)
    data = load()
    seen, rows = datasets.split_groups(split_key, data.groups, (0.5, 0.5))
    report_progress("drawing images", 1, 1)

    images, targets = data.images[seen], data.targets[seen]
    model = _trained(
        key, task, network(data, nnx.Rngs(parameter_key)), {"num_epochs": num_epochs},
        [images, targets],
        lambda model: models.train(
            train_key, model, images, targets, num_epochs=num_epochs,
            progress=lambda done, total: report_progress("training", done, total),
        ),
    )  # fmt: skip

    def read(images: np.ndarray) -> np.ndarray:
        return np.asarray(models.capture(model, images, path))

    report_progress("reading activations", 0, 3)
    right = models.accuracy(model, data.images[rows], data.targets[rows])
    report_progress("reading activations", 1, 3)
    activations = read(data.images[rows])
    report_progress("reading activations", 2, 3)
    thresholds = _thresholds(read(images))
    report_progress("reading activations", 3, 3)
    chance = np.bincount(data.targets[rows]).max() / len(rows)
    return TrainedLayer(
        name=f"{task} {path}",
        data=data,
        rows=rows,
        activations=activations,
        thresholds=thresholds,
        largest_unit=largest_unit,
        read=read,
        achieved=f"{aim}. Accuracy on {len(rows):,} held-out images {right:.1%}; always answering "
        f"the commonest class gives {chance:.1%}",
    )


def _thresholds(activations: np.ndarray) -> np.ndarray:
    concepts = np.zeros((len(activations), 1), bool)
    return np.asarray(make_probe(activations, concepts, top_fraction=TOP_FRACTION).thresholds)


class _Language(NamedTuple):
    """A language model, its data, the rows to probe, and training rows to set thresholds on."""

    model: models.Transformer
    data: datasets.LabelledTokens
    rows: np.ndarray
    seen: np.ndarray
    achieved: str


def _language(key: Array, report_progress: StageProgress) -> _Language:
    """Train the transformer of both tasks on Python source."""
    from flax import nnx

    from . import models

    split_key, train_key, parameter_key = jax.random.split(key, 3)
    report_progress("reading source", 0, 1)
    data = datasets.python_source()
    seen, held_out = datasets.split_groups(split_key, data.groups, (0.5, 0.5))
    report_progress("reading source", 1, 1)
    tokens, groups = data.tokens[seen], data.groups[seen]
    model = _trained(
        key, "transformer",
        models.Transformer(len(data.vocabulary), rngs=nnx.Rngs(parameter_key)), LANGUAGE_MODEL,
        [tokens, groups],
        lambda model: models.train_language_model(
            train_key, model, tokens, groups, **LANGUAGE_MODEL,
            progress=lambda done, total: report_progress("training the transformer", done, total),
        ),
    )  # fmt: skip
    rows = held_out[excerpts(data.groups[held_out])]
    test = data.tokens[rows], data.groups[rows]
    report_progress("comparing with n-grams", 0, 2)
    bits = models.evaluate(model, *test)
    report_progress("comparing with n-grams", 1, 2)
    rival = models.ngram_bits(tokens, groups, *test, len(data.vocabulary), ORDER)
    report_progress("comparing with n-grams", 2, 2)
    return _Language(
        model, data, rows, seen[excerpts(groups)],
        achieved="predict the next token of Python source. It reaches "
        f"{bits:.2f} bits per token on {len(np.unique(test[1])):,} held-out files "
        f"({ORDER}-gram: {rival:.2f})",
    )  # fmt: skip


def _transformer_layer(key: Array, task: str, report_progress: StageProgress) -> TrainedLayer:
    from . import models

    path = "blocks.2.mlp.hidden"
    model, data, rows, seen, achieved = _language(key, report_progress)
    read = partial(models.token_activations, model, path=path)
    report_progress("reading activations", 0, 2)
    activations = read(data.tokens[rows], data.groups[rows])
    report_progress("reading activations", 1, 2)
    thresholds = _thresholds(read(data.tokens[seen], data.groups[seen]))
    report_progress("reading activations", 2, 2)
    return TrainedLayer(
        f"{task} {path}", data, rows, activations, thresholds, EXCERPT, read, achieved
    )


def _autoencoder_layer(key: Array, task: str, report_progress: StageProgress) -> TrainedLayer:
    from flax import nnx

    from . import models

    path = "blocks.2"
    language_model, data, rows, seen, achieved = _language(key, report_progress)
    train_key, parameter_key = jax.random.split(jax.random.fold_in(key, 1))
    read_stream = partial(models.token_activations, language_model, path=path)
    report_progress("reading activations", 0, 2)
    stream = read_stream(data.tokens[seen], data.groups[seen])
    report_progress("reading activations", 1, 2)
    settings = dict(AUTOENCODER)
    num_steps = settings.pop("num_steps")
    model = _trained(
        key, "autoencoder",
        models.SparseAutoencoder(stream.shape[1], **settings, rngs=nnx.Rngs(parameter_key)),
        AUTOENCODER, [stream],
        lambda model: models.train_autoencoder(
            train_key, model, stream, num_steps=num_steps,
            progress=lambda done, total: report_progress("training the autoencoder", done, total),
        ),
    )  # fmt: skip

    def read(tokens: np.ndarray, groups: np.ndarray) -> csr_array:
        return models.sparse_features(model, read_stream(tokens, groups))

    stream = read_stream(data.tokens[rows], data.groups[rows])
    left = np.square(np.asarray(model(stream)) - stream).sum() / (
        stream.var(axis=0).sum() * len(stream)
    )
    activations = read(data.tokens[rows], data.groups[rows])
    report_progress("reading activations", 2, 2)
    return TrainedLayer(
        name=f"{task} {path}",
        data=data,
        rows=rows,
        activations=activations,
        thresholds=np.zeros(activations.shape[1], np.float32),  # active where it is not zero
        largest_unit=EXCERPT,
        read=read,
        achieved=f"{achieved}. The autoencoder's {model.k} features of {activations.shape[1]:,} "
        f"leave {left:.1%} of the variance of {path}",
    )


def _cnn(data: datasets.LabelledImages, rngs: nnx.Rngs) -> nnx.Module:
    from . import models

    shape = data.images.shape[1:]
    return models.CNN(image_shape=shape, num_classes=len(data.target_names), rngs=rngs)


def _mlp(data: datasets.LabelledImages, rngs: nnx.Rngs) -> nnx.Module:
    from . import models

    size = int(np.prod(data.images.shape[1:]))
    return models.MLP(size, num_classes=len(data.target_names), rngs=rngs)


_digits = partial(_image_layer, load=datasets.digits, num_epochs=30, aim="read a handwritten digit")
_glyphs = partial(
    _image_layer, load=datasets.glyphs, num_epochs=6, largest_unit=12,  # faces of a character
    aim="name the base Latin letter or the family of a character never seen in training",
)  # fmt: skip
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("digits-mlp", partial(_digits, network=_mlp, path="blocks.1")),
        Task("digits-cnn", partial(_digits, network=_cnn, path="hidden")),
        Task("glyphs-mlp", partial(_glyphs, network=_mlp, path="blocks.1")),
        Task("glyphs-cnn", partial(_glyphs, network=_cnn, path="hidden")),
        Task("python-transformer", _transformer_layer),
        Task("python-sae", _autoencoder_layer),
    )
}
