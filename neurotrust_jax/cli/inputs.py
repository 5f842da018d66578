"""Labels and the layer that they belong to, as the command compare reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..files.labels import Claim
    from ..probing.probe import Probe
    from ..runs import Files, Options

__all__ = ["load_claims_and_probe"]


def load_claims_and_probe(
    labels: Path | None,
    first_neuron: int,
    layer: str | None,
    files: Files,
    options: Options,
    *,
    any_name: bool = False,
) -> tuple[list[Claim], Probe]:
    """The labels of a layer (none without a file) and its probe; see :func:`load_layer`."""
    from ..files.labels import claims_of_layer, read_labels
    from ..runs import load_layer

    claims: list[Claim] = []
    if labels is not None:
        claims = claims_of_layer(read_labels(labels, first_neuron=first_neuron), layer, labels)
    # The layer may be named in the labels only, if the activations hold a single layer.
    any_name |= any(x.layer for x in claims)
    return claims, load_layer(files, options, layer, any_name=any_name).probe()
