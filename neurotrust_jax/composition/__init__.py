"""Formulas of concepts, such as "water AND NOT river", with honest judgement."""

from .formulas import Formulas as Formulas
from .layer_formulas import compose as compose
from .result import Compositions as Compositions
