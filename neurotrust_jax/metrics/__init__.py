"""Similarity metrics, and the similarity and label of every neuron."""

from .interval_rules import Column as Column
from .interval_rules import IntervalRule as IntervalRule
from .interval_rules import Pairs as Pairs
from .interval_rules import Share as Share
from .metric import Metric as Metric
from .metric import Ordering as Ordering
from .metric import six_sum_metric as six_sum_metric
from .parts import Part as Part
from .planning import ProbingDesign as ProbingDesign
from .sanity import LabelTests as LabelTests
from .sanity import label_tests as label_tests
from .scores import Identification as Identification
from .scores import Reason as Reason
from .scores import identify as identify
from .scores import similarity as similarity
from .scores import undefined_reason as undefined_reason
from .shift_rules import ShiftRule as ShiftRule
from .table import METRICS as METRICS
from .table import NEURON_EVAL_NAMES as NEURON_EVAL_NAMES
from .table import get_metric as get_metric
