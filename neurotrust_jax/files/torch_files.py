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
    if isinstance(found, torch.Tensor):
        found = {"": found}
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(x, torch.Tensor) for name, x in found.items()
    ):
        raise FileError(f"{path}: must hold a tensor or a dict of tensors by name")
    return {name: _as_array(x, torch, path) for name, x in found.items()}


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
