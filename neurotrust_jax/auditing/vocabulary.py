"""Which concepts a probing set can judge, and a text on those that are too rare.

The choice depends on the concepts alone and not on any neuron, so it can not favour a label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..metrics.metric import Metric
from ..probing.construction import enough_units
from ..probing.probe import LeftOut, Probe

__all__ = ["judged_concepts", "left_out_text"]


def judged_concepts(probe: Probe, metric: Metric, min_positives: int) -> np.ndarray:
    """Which concepts are present in enough sampling units to be judged, [C] of bool.

    Concepts that are probabilities may never reach the probe's ``concept_threshold``, and a metric
    that reads their values can still use them. So all of them are judged, unless the metric reads
    where a concept is present.

    Raises
    ------
    ValueError
        If no concept is present in that many units.
    """
    if min_positives == 0 or not (metric.concept_view == "binary" or probe.binary_concepts):
        return np.ones(probe.num_concepts, bool)
    return enough_units(probe, min_positives)


def left_out_text(
    left_out: Sequence[LeftOut],
    concept_names: Sequence[str],
    min_positives: int,
    *,
    unit: str,
    limit: int,
) -> str:
    """Name the concepts that are left out, and how much larger a probing set they need.

    Empty where none is left out. The number of units with a concept grows with the probing set, so
    a concept present in k units is expected in ``min_positives`` of a set min_positives / k times
    as large.

    Parameters
    ----------
    left_out : sequence of LeftOut
        The most common first.
    concept_names : sequence of str
        Names of the probe's concepts, with or without those left out.
    min_positives : int
    unit : str
        What sampling units are called, in the plural.
    limit : int
        How many concepts to name at most.
    """
    if not left_out:
        return ""
    total = len({*concept_names, *(x.name for x in left_out)})
    # make_probe may have left out more concepts than the audit would
    needed = max(min_positives, left_out[0].positives + 1)
    named = ", ".join(f"{x.name} ({x.positives:,})" for x in left_out[:limit])
    more = len(left_out) - limit
    occur = "occurs" if len(left_out) == 1 else "occur"
    text = (
        f"{len(left_out):,} of {total:,} concepts {occur} in fewer than {needed:,} {unit} and can "
        f"not be judged by this probing set: {named}{f' and {more:,} more' if more > 0 else ''}."
    )
    seen = [x.positives for x in left_out if x.positives]
    if not seen:
        return f"{text} None of them occurs at all, so no size can be named that would do."
    half, every = (math.ceil(needed / k) for k in (seen[(len(seen) - 1) // 2], seen[-1]))
    if half == every:
        text += f" A probing set about {every:,} times as large would do"
    else:
        text += (
            f" A probing set about {half:,} times as large would do for half of them, and one "
            f"about {every:,} times as large for all"
        )
    return f"{text}{'' if len(seen) == len(left_out) else ' that occur at all'}."
