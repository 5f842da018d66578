"""Does chance among many concepts reach such a label too?"""

from .null import PermutationTest as PermutationTest
from .null import PowerWarning as PowerWarning
from .null import permutation_test as permutation_test
from .p_values import benjamini_hochberg as benjamini_hochberg
