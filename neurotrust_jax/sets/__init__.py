"""Concept prediction sets: the concepts that can not be ruled out."""

from .conformal import conformal_sets as conformal_sets
from .set_rules import ConceptSets as ConceptSets
from .set_rules import concept_sets as concept_sets
