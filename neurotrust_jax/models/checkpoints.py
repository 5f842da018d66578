"""Trained models on disk, so that a second run does not train again."""

import hashlib
import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
from flax import nnx

Model = TypeVar("Model", bound=nnx.Module)

_logger = logging.getLogger(__name__)


def cached_model(
    folder: str | Path, model: Model, fit: Callable[[Model], Any], fingerprint: str
) -> Model:
    """Load the parameters saved under `fingerprint` into a model, or fit it and save them.

    The whole state of the model is saved, except for random keys. A checkpoint is written
    atomically and has a checksum. If it is damaged, or that of a model of another shape, the model
    is fitted again, the checkpoint is replaced, and a warning is logged.

    Parameters
    ----------
    folder : str or pathlib.Path
        Folder of the checkpoints, created if it does not exist.
    model : flax.nnx.Module
        The model, changed in place.
    fit : callable
        Called as ``fit(model)`` to train the model in place, if there is no usable checkpoint.
    fingerprint : str
        Name of the checkpoint, of letters, digits, "_" and "-". Models fitted to different data or
        with different settings need different names: ``models.fingerprint(...)`` computes one from
        the data and the settings.

    Returns
    -------
    flax.nnx.Module
        The object `model`, with its parameters.

    Raises
    ------
    ValueError
        If `fingerprint` holds any other character, or is empty.

    Examples
    --------
    >>> import tempfile
    >>> from flax import nnx
    >>> from neurotrust_jax import models
    >>> def fit(model):
    ...     print("training")
    >>> name = models.fingerprint({"num_epochs": 3})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for _ in range(2):
    ...         model = models.MLP(3, (4,), num_classes=2, rngs=nnx.Rngs(0))
    ...         model = models.cached_model(folder, model, fit, name)
    training
    """
    if not re.fullmatch(r"[\w-]+", fingerprint, re.ASCII):
        raise ValueError(
            f'fingerprint must consist of letters, digits, "_" and "-", got {fingerprint!r}: '
            "make one with models.fingerprint()"
        )
    folder = Path(folder).resolve()
    path = folder / fingerprint
    if path.exists():
        try:
            _load(path, model)
        except Exception as error:  # Orbax raises many kinds for a damaged file
            reason = str(error).partition("\n")[0]
            _logger.warning("checkpoint %s can not be used, training again: %s", path, reason)
        else:
            _logger.info("loaded checkpoint %s", path)
            return model
    fit(model)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=folder) as unfinished:
        _save(Path(unfinished) / fingerprint, model)
        if path.exists():
            shutil.rmtree(path)
        (Path(unfinished) / fingerprint).rename(path)
    return model


def _save(path: Path, model: nnx.Module) -> None:
    # The import takes a second, so it is not at the top.
    import orbax.checkpoint as ocp  # type: ignore[import-untyped]

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path / "state", _saved_state(model))
    (path / "sha256").write_text(_checksum(path / "state"))


def _load(path: Path, model: nnx.Module) -> None:
    import orbax.checkpoint as ocp

    # Orbax reports damaged files from other threads, where the error can not be caught.
    if (path / "sha256").read_text() != _checksum(path / "state"):
        raise ValueError("its files have changed since they were written")
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, _saved_state(model))
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(path / "state", shapes)
    nnx.update(model, state)


def _saved_state(model: nnx.Module) -> Any:
    return nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.RngState)))


def _checksum(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        total.update(f"{path.relative_to(folder).as_posix()} {len(data)} ".encode() + data)
    return total.hexdigest()
