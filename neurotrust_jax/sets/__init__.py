"""Concept prediction sets: the concepts that can not be ruled out."""

from .conformal import conformal_sets as conformal_sets
from .rule import ConceptSets as ConceptSets
from .rule import SetInputs as SetInputs
from .rule import SetRule as SetRule
from .set_rules import SET_RULES as SET_RULES
from .set_rules import concept_sets as concept_sets
