"""Labels where the data differ from those that were probed."""

from .reweighting import ImportanceWeights as ImportanceWeights
from .reweighting import ShiftWarning as ShiftWarning
from .reweighting import importance_weights as importance_weights
from .reweighting import reweight as reweight
from .unknown_shift import RobustnessRadius as RobustnessRadius
from .unknown_shift import ShiftBounds as ShiftBounds
from .unknown_shift import robustness_radius as robustness_radius
from .unknown_shift import shift_bounds as shift_bounds
