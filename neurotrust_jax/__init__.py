"""How far can a neuron's label be trusted?

``make_probe`` takes activations and concepts, ``audit`` answers; everything between is public too.
``neurotrust_jax.datasets`` and ``neurotrust_jax.models`` (Flax) are imported on demand.
"""

from .agreement import fleiss_kappa as fleiss_kappa
from .agreement import jaccard as jaccard
from .agreement import kendalls_w as kendalls_w
from .agreement import nogueira as nogueira
from .agreement import rank_biased_overlap as rank_biased_overlap
from .audit import Audit as Audit
from .audit import audit as audit
from .bounds import CoverageWarning as CoverageWarning
from .bounds import Intervals as Intervals
from .bounds import intervals as intervals
from .certificate import Certificate as Certificate
from .certificate import certify as certify
from .comparison import Comparison as Comparison
from .comparison import Labelling as Labelling
from .comparison import compare as compare
from .conformal import conformal_sets as conformal_sets
from .hierarchy import Answers as Answers
from .hierarchy import merge_answers as merge_answers
from .metrics import METRICS as METRICS
from .metrics import NEURON_EVAL_NAMES as NEURON_EVAL_NAMES
from .metrics import Metric as Metric
from .metrics import six_sum_metric as six_sum_metric
from .null import PermutationTest as PermutationTest
from .null import benjamini_hochberg as benjamini_hochberg
from .null import permutation_test as permutation_test
from .planning import RequiredSamples as RequiredSamples
from .planning import generalization_gap as generalization_gap
from .planning import required_samples as required_samples
from .probe import Probe as Probe
from .probing import make_probe as make_probe
from .probing import split_thresholds as split_thresholds
from .reading import array_chunks as array_chunks
from .resampling import Bootstrap as Bootstrap
from .resampling import bootstrap as bootstrap
from .resampling import bootstrap_method as bootstrap_method
from .resampling import bootstrap_weights as bootstrap_weights
from .reweighting import ImportanceWeights as ImportanceWeights
from .reweighting import ShiftWarning as ShiftWarning
from .reweighting import effective_size as effective_size
from .reweighting import importance_weights as importance_weights
from .reweighting import reweight as reweight
from .selection import WinnersCurse as WinnersCurse
from .selection import winners_curse as winners_curse
from .sets import ConceptSets as ConceptSets
from .sets import concept_sets as concept_sets
from .shift import RobustnessRadius as RobustnessRadius
from .shift import ShiftBounds as ShiftBounds
from .shift import robustness_radius as robustness_radius
from .shift import shift_bounds as shift_bounds
from .similarity import Identification as Identification
from .similarity import Reason as Reason
from .similarity import identify as identify
from .similarity import similarity as similarity
from .similarity import undefined_reason as undefined_reason
from .stability import Stability as Stability
from .stability import bagging_epsilon as bagging_epsilon
from .stability import inflated_argmax as inflated_argmax
from .stability import stability as stability
from .streaming import bootstrap_stream as bootstrap_stream
from .verdicts import Verdict as Verdict
from .wide_intervals import LabelIntervals as LabelIntervals
from .wide_intervals import label_intervals as label_intervals
