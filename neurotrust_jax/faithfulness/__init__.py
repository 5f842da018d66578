"""How far the true similarity can be from the measured one."""

from .bounds import CoverageWarning as CoverageWarning
from .bounds import intervals as intervals
from .certificates import Certificate as Certificate
from .certificates import certify as certify
from .jackknife import standard_error as standard_error
from .methods import METHODS as METHODS
from .methods import IntervalMethod as IntervalMethod
from .methods import PartBound as PartBound
from .result import Intervals as Intervals
from .sample_size import RequiredSamples as RequiredSamples
from .sample_size import generalization_gap as generalization_gap
from .sample_size import required_samples as required_samples
from .wide_intervals import LabelIntervals as LabelIntervals
from .wide_intervals import label_intervals as label_intervals
