"""Data with exactly known concepts, and without a download.

`glyphs` draws the characters of the DejaVu faces, labelled from the Unicode database; `digits` are
scikit-learn's handwritten digits; `python_source` are the tokens of installed packages, labelled by
Python's own parsers; `planted` draws activations and concepts whose population
similarities are known in closed form (`planted_similarity`). `split_groups` splits any of them.
"""

from .digits import digits as digits
from .glyphs import glyphs as glyphs
from .images import LabelledImages as LabelledImages
from .images import split_groups as split_groups
from .planted import Planted as Planted
from .planted import planted as planted
from .planted import planted_similarity as planted_similarity
from .python_source import LabelledTokens as LabelledTokens
from .python_source import python_source as python_source
