"""How far can a neuron's label be trusted?

``make_probe`` takes activations and concepts, ``audit`` answers; everything between is public too.
``neurotrust_jax.datasets`` and ``neurotrust_jax.models`` (Flax) are imported on demand.
"""

from .audit import Audit as Audit
from .audit import audit as audit
from .metrics import METRICS as METRICS
from .metrics import NEURON_EVAL_NAMES as NEURON_EVAL_NAMES
from .metrics import Metric as Metric
from .metrics import six_sum_metric as six_sum_metric
from .probe import Probe as Probe
from .probe import make_probe as make_probe
from .resampling import Bootstrap as Bootstrap
from .resampling import bootstrap as bootstrap
from .resampling import bootstrap_method as bootstrap_method
from .resampling import bootstrap_weights as bootstrap_weights
from .sets import ConceptSets as ConceptSets
from .sets import CoverageWarning as CoverageWarning
from .sets import concept_sets as concept_sets
from .similarity import Identification as Identification
from .similarity import Reason as Reason
from .similarity import identify as identify
from .similarity import similarity as similarity
from .similarity import undefined_reason as undefined_reason
from .stability import Stability as Stability
from .stability import stability as stability
