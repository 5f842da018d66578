"""Audit a layer: statistics on its labels, and one verdict for each neuron."""

from .changes import AuditChanges as AuditChanges
from .changes import compare_audits as compare_audits
from .comparison import Comparison as Comparison
from .comparison import Difference as Difference
from .comparison import Labelling as Labelling
from .comparison import compare as compare
from .fit import LabelFit as LabelFit
from .fit import label_fit as label_fit
from .hierarchy import Answers as Answers
from .hierarchy import merge_answers as merge_answers
from .label_checks import Finding as Finding
from .label_checks import Judged as Judged
from .label_checks import find_shift as find_shift
from .label_checks import judge_labels as judge_labels
from .label_checks import match_labels as match_labels
from .layer_audit import audit as audit
from .result import Audit as Audit
from .verdicts import Verdict as Verdict
