"""The probe: what was measured of a layer, validated once."""

from .construction import make_probe as make_probe
from .construction import split_thresholds as split_thresholds
from .pooling import Pooled as Pooled
from .pooling import pool_activations as pool_activations
from .probe import LeftOut as LeftOut
from .probe import Probe as Probe
from .probe import Side as Side
from .ranges import activation_ranges as activation_ranges
from .ranges import range_edges as range_edges
from .sample_weights import effective_size as effective_size
from .sources import array_chunks as array_chunks
