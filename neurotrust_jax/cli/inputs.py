"""Labels and the layer that they belong to, and the layers of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..auditing.result import Audit
    from ..files.label_formats import Claim
    from ..runs import Files, LayerData, Options

__all__ = ["load_labelled_layer", "read_claims", "read_layers"]


def read_claims(path: Path, first_neuron: int, layer: str | None) -> list[Claim]:
    """The labels of a layer in a file."""
    from ..files.labels import claims_of_layer, read_labels

    return claims_of_layer(read_labels(path, first_neuron=first_neuron), layer, path)


def load_labelled_layer(
    claims: Sequence[Claim],
    files: Files,
    options: Options,
    layer: str | None,
    *,
    any_name: bool = False,
) -> LayerData:
    """The layer that labels belong to; see :func:`load_layer`."""
    from ..runs import load_layer

    # The layer may be named in the labels only, if the activations hold a single layer.
    return load_layer(files, options, layer, any_name=any_name or any(x.layer for x in claims))


def read_layers(run: Path, layers: Sequence[str]) -> list[Audit]:
    """The audits of a finished run: those of the layers that are named, or of all.

    Raises
    ------
    ValueError
        If there is no layer of a name.
    """
    from ..report import read_audit
    from ..runs import saved_audits

    audits = [read_audit(path) for path in saved_audits(run)]
    known = [audit.layer for audit in audits]
    for name in layers:
        if name not in known:
            raise ValueError(f"{run}: there is no layer {name!r}; there are: {', '.join(known)}")
    return [audit for audit in audits if not layers or audit.layer in layers]
