"""The bootstrap of data that do not fit into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jax import Array
from jax.sharding import Mesh

from .._engine import Draw, stream_replicates
from .._runtime.chunks import Progress
from .._runtime.validation import check_count
from ..metrics.metric import Metric
from ..metrics.table import get_metric
from ..probing.sources import Chunks
from ..schemes import POISSON
from .bootstrapping import Bootstrap, StreamedData, as_bootstrap

__all__ = ["bootstrap_stream"]


def bootstrap_stream(
    key: Array,
    source: Chunks,
    metric: str | Metric = "iou",
    *,
    thresholds: Any,
    num_replicates: int = 1000,
    ties: str = "strict",
    concept_threshold: float = 0.5,
    memory_limit: float | None = None,
    mesh: Mesh | None = None,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Bootstrap:
    """Label every neuron under many resamplings of data that are read in passes.

    The same as ``bootstrap(scheme="poisson")`` on all rows at once: replicate b draws unit i a
    number of times that follows from b and i alone, so the result does not depend on how the rows
    are cut. Counts are exact for up to 2**53 samples. One pass finds out what can win, and each
    further pass computes as many replicates as fit into the memory.

    Parameters
    ----------
    key : JAX PRNG key
    source : iterable, or callable that returns one
        Gives chunks ``(activations [m, U], concepts [m, C])`` or with ``groups [m]`` as a third
        array, from the start each time it is iterated over (or called); see :func:`array_chunks`.
        The arrays are as :func:`make_probe` takes them. Rows of one group follow one another.
    metric : str or Metric
        A six-sum metric of binary, raw, centred or standard views; ranks would need all rows.
    thresholds : float or array [U]
        A neuron is active above its threshold (at or above with ``ties="inclusive"``).
    num_replicates : int
        Number of replicates B, at least 1.
    ties : {"strict", "inclusive"}
    concept_threshold : float in [0, 1]
    memory_limit : float, optional
        Bytes for the replicates that are held at a time. Default: half of what is free.
    mesh : jax.sharding.Mesh, optional
        Devices that share the rows, and add up; in several processes each must read the source.
    checkpoint : path, optional
        A folder for the result of each pass, so that the same call on the same rows goes on from
        there, see :func:`bootstrap`. One pass over the rows checks that they are the same.
    progress : callable, optional
        Called as ``progress(done, num_replicates)`` during each pass.

    Returns
    -------
    Bootstrap
        Its ``probe`` is :class:`StreamedData`: :func:`stability` and :func:`concept_sets` take the
        result (concepts on too little evidence then all stay), while :func:`winners_curse` and
        certificates need the data.

    Raises
    ------
    ValueError
        If the metric cannot be streamed, the source can be read only once or gives rows of other
        shapes, counts or values than it may, or the memory limit is too low.

    Examples
    --------
    >>> import jax, numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((200, 3)) < 0.4
    >>> activations = rng.normal(size=(200, 2)) + 4 * concepts[:, :2]
    >>> source = nt.array_chunks(activations, concepts, size=50)
    >>> boot = nt.bootstrap_stream(
    ...     jax.random.key(0), source, thresholds=2.0, num_replicates=20
    ... )
    >>> boot.label.tolist(), boot.probe.num_samples
    ([0, 1], 200)
    """
    metric = get_metric(metric)
    num_replicates = check_count(num_replicates, "num_replicates")
    if ties not in ("strict", "inclusive"):
        raise ValueError(f'ties must be "strict" or "inclusive", got {ties!r}')
    if not 0 <= concept_threshold <= 1:
        raise ValueError(f"concept_threshold must lie in [0, 1], got {concept_threshold}")
    replicates, num_samples, num_units = stream_replicates(
        source, metric, Draw(key, POISSON), num_replicates, thresholds=thresholds,
        inclusive=ties == "inclusive", concept_threshold=concept_threshold,
        memory_limit=memory_limit, mesh=mesh, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    return as_bootstrap(replicates, StreamedData(num_samples, num_units), metric, POISSON)
