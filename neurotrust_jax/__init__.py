"""How far can a neuron's label be trusted?

``make_probe`` takes activations and concepts, ``audit`` answers. The main functions stand here; the
packages hold the rest: the types of results, measures of agreement, checks of labels that exist.
``neurotrust_jax.datasets`` and ``neurotrust_jax.models`` (Flax) are imported on demand.

A name is imported when it is first used, so that the help of a command need not wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .auditing import Audit as Audit
    from .auditing import Labelling as Labelling
    from .auditing import Verdict as Verdict
    from .auditing import audit as audit
    from .auditing import compare as compare
    from .auditing import compare_audits as compare_audits
    from .auditing import label_fit as label_fit
    from .auditing import merge_answers as merge_answers
    from .chance import benjamini_hochberg as benjamini_hochberg
    from .chance import permutation_test as permutation_test
    from .composition import Compositions as Compositions
    from .composition import compose as compose
    from .faithfulness import certify as certify
    from .faithfulness import generalization_gap as generalization_gap
    from .faithfulness import intervals as intervals
    from .faithfulness import label_intervals as label_intervals
    from .faithfulness import required_samples as required_samples
    from .metrics import METRICS as METRICS
    from .metrics import Metric as Metric
    from .metrics import identify as identify
    from .metrics import similarity as similarity
    from .metrics import six_sum_metric as six_sum_metric
    from .probing import Probe as Probe
    from .probing import array_chunks as array_chunks
    from .probing import make_probe as make_probe
    from .probing import pool_activations as pool_activations
    from .probing import split_thresholds as split_thresholds
    from .resampling import bootstrap as bootstrap
    from .resampling import bootstrap_black_box as bootstrap_black_box
    from .resampling import bootstrap_stream as bootstrap_stream
    from .resampling import inflated_argmax as inflated_argmax
    from .resampling import replication_probability as replication_probability
    from .resampling import stability as stability
    from .resampling import winners_curse as winners_curse
    from .sets import concept_sets as concept_sets
    from .sets import conformal_sets as conformal_sets
    from .shift import importance_weights as importance_weights
    from .shift import reweight as reweight
    from .shift import robustness_radius as robustness_radius
    from .shift import shift_bounds as shift_bounds

_NAMES = {  # of each package, as above
    "auditing": "Audit Labelling Verdict audit compare compare_audits label_fit merge_answers",
    "chance": "benjamini_hochberg permutation_test",
    "composition": "Compositions compose",
    "faithfulness": "certify generalization_gap intervals label_intervals required_samples",
    "files": "",
    "metrics": "METRICS Metric identify similarity six_sum_metric",
    "probing": "Probe array_chunks make_probe pool_activations split_thresholds",
    "resampling": "bootstrap bootstrap_black_box bootstrap_stream inflated_argmax "
    "replication_probability stability winners_curse",
    "schemes": "",
    "sets": "concept_sets conformal_sets",
    "shift": "importance_weights reweight robustness_radius shift_bounds",
}
_HOME = {name: package for package, names in _NAMES.items() for name in names.split()}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import a main function, or a package of the statistics, at its first use."""
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _NAMES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_NAMES})
