"""Find the audits that a run left in its folder."""

from __future__ import annotations

from pathlib import Path

from .._runtime.text import FileError
from .manifest import folder_name, read_manifest

__all__ = ["saved_audits"]


def saved_audits(out: Path) -> list[Path]:
    """The files ``audit.json`` of a folder, one for each layer.

    Parameters
    ----------
    out : Path
        A folder that ``neurotrust audit``, ``merge`` or ``demo`` wrote, or one such file.

    Returns
    -------
    list of Path
        In the order in which the layers were finished.

    Raises
    ------
    FileError
        If there is none, or the file of a layer is missing.
    """
    if out.is_file():
        return [out]
    if not out.exists():
        raise FileError(f"{out}: does not exist; give a folder that neurotrust audit wrote")
    if not (out / "manifest.json").exists() and (out / "audit.json").is_file():  # of a demo
        return [out / "audit.json"]
    manifest = read_manifest(out / "manifest.json")
    if not manifest["done"]:
        raise FileError(f"{out}: no layer of this run is done; start the same audit again")
    if len(manifest["layers"]) == 1:
        return [out / "audit.json"]
    return [out / folder_name(layer) / "audit.json" for layer in manifest["done"]]
