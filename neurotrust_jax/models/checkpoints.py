"""Trained models kept on disk, so that a second run does not train again."""

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
    """Give `model` the parameters kept under `fingerprint`, or fit it and keep them.

    Everything in the model's state is kept but random keys. A checkpoint appears in one piece, with
    a checksum; one that is damaged, or of a model of another shape, is replaced, and the logger
    of this module says so.

    Parameters
    ----------
    folder
        Where checkpoints lie; made if it does not exist.
    model
        The model, changed in place.
    fit
        Called as ``fit(model)`` to train it in place, if need be.
    fingerprint
        Name of the checkpoint: letters, digits, "_" and "-"; ``fingerprint(...)`` makes one of the
        data and the settings. A model that was fitted otherwise must not share it.

    Returns
    -------
    flax.nnx.Module
        `model` itself.

    Raises
    ------
    ValueError
        If `fingerprint` is not such a name.
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
        except Exception as error:  # whatever a damaged file makes Orbax raise
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
    # here, because it takes a second
    import orbax.checkpoint as ocp  # type: ignore[import-untyped]

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path / "state", _kept(model))
    (path / "sha256").write_text(_checksum(path / "state"))


def _load(path: Path, model: nnx.Module) -> None:
    import orbax.checkpoint as ocp

    # Orbax itself would complain of damaged files from other threads, where no one can catch it.
    if (path / "sha256").read_text() != _checksum(path / "state"):
        raise ValueError("its files have changed since they were written")
    shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, _kept(model))
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(path / "state", shapes)
    nnx.update(model, state)


def _kept(model: nnx.Module) -> Any:
    return nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.RngState)))


def _checksum(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        total.update(f"{path.relative_to(folder).as_posix()} {len(data)} ".encode() + data)
    return total.hexdigest()
