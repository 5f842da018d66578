"""Does chance among many concepts reach such a label too?"""

from .null import PermutationTest as PermutationTest
from .null import PowerWarning as PowerWarning
from .null import benjamini_hochberg as benjamini_hochberg
from .null import permutation_test as permutation_test
