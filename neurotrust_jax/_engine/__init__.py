"""How replicates are computed fast, behind one door.

The rest of the package imports from here alone, and these names only:

- ``compute_replicates``, with ``Draw`` (which replicates) and ``Budget`` (memory), returns
  ``Replicates``. ``stream_replicates`` does the same for rows that are read in passes. Their metric
  may be a ``ScoreFunction``, which runs a ``LabellingMethod``.
- ``room_for`` refuses a memory limit that is too low, before any work; ``num_weights`` says how
  many weights a replicate has.
- ``stable_scale`` and ``at_top`` are the scale on which two similarities are compared, and
  ``MAX_CANDIDATES`` is the largest number of concepts of a neuron that are followed.
- ``active_units`` lists the groups in which neurons are active as a ``RowIndex``, with their sums.
- ``CountTable``, ``countable``, ``shorter_lists``, ``list_rows``, ``count_rows`` and
  ``similarity_of_counts`` count rows where a product of 0 and 1 would be slower, for halves and
  permutations; ``rows_fit`` says whether concepts are 0 and 1.
"""

from .candidates import MAX_CANDIDATES, at_top, stable_scale
from .compute import Budget, compute_replicates, num_weights
from .counts import (
    CountTable,
    count_rows,
    countable,
    list_rows,
    shorter_lists,
    similarity_of_counts,
)
from .draws import Draw
from .labelling_method import LabellingMethod, ScoreFunction
from .result import Followed, Replicates
from .room import room_for
from .row_index import RowIndex, rows_fit
from .streamed_replicates import stream_replicates
from .unit_lists import active_units

__all__ = [
    "MAX_CANDIDATES",
    "Budget",
    "CountTable",
    "Draw",
    "Followed",
    "LabellingMethod",
    "Replicates",
    "RowIndex",
    "ScoreFunction",
    "active_units",
    "at_top",
    "compute_replicates",
    "count_rows",
    "countable",
    "list_rows",
    "num_weights",
    "room_for",
    "rows_fit",
    "shorter_lists",
    "similarity_of_counts",
    "stable_scale",
    "stream_replicates",
]
