"""Files of PyTorch, ``.pt`` and ``.pth``, by safe loading only."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from .._runtime.text import FileError
from .archives import check_archive
from .formats import FileFormat

__all__ = ["TORCH"]


def _read_torch(path: Path) -> dict[str, Any]:
    import torch

    with path.open("rb") as file:
        packed = file.read(2) == b"PK"
    source: Any = path
    if packed:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, path)
    else:
        # The format before PyTorch 1.6 states lengths, which would be allocated for a file on disk.
        source = io.BytesIO(path.read_bytes())
    found = torch.load(source, map_location="cpu", weights_only=True)
    tensors = nested_tensors(found, torch.Tensor, path)
    return {name: _as_array(x, torch, path) for name, x in tensors.items()}


def nested_tensors(found: Any, kind: Any, path: Path) -> dict[str, Any]:
    """Tensors by their path in dicts and lists, such as "layers/3/mlp"; one alone is named "".

    What is no tensor, or a single number beside others, is passed over.

    Raises
    ------
    FileError
        If there is no tensor, or two have the same path.
    """
    if isinstance(found, kind):
        return {"": found}
    tensors: dict[str, Any] = {}
    seen: set[int] = set()  # a container can hold itself
    waiting: list[tuple[str, Any]] = [("", found)]
    while waiting:
        name, x = waiting.pop()
        if isinstance(x, kind):
            if name in tensors:
                raise FileError(f"{path}: holds two tensors {name!r}; rename one of its keys")
            if x.ndim:
                tensors[name] = x
        elif isinstance(x, (dict, list, tuple)) and id(x) not in seen:
            seen.add(id(x))
            items = x.items() if isinstance(x, dict) else enumerate(x)
            inside = [(f"{name}/{key}" if name else str(key), value) for key, value in items]
            waiting += reversed(inside)
    if not tensors:
        raise FileError(f"{path}: must hold a tensor or a dict of tensors, which may be nested")
    return tensors


def _as_array(tensor: Any, torch: Any, path: Path) -> Any:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.layout == torch.strided:
        # A stride of 0 repeats what is stored once.
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise FileError(f"{path}: says that it holds {tuple(tensor.shape)}, more than it does")
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    from scipy.sparse import coo_array

    listed = tensor.to_sparse_coo().coalesce()
    rows, columns = listed.indices().numpy()
    values = listed.values()
    values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return coo_array((values, (rows, columns)), shape=tuple(tensor.shape))


TORCH = FileFormat((".pt", ".pth"), _read_torch, package="torch")
