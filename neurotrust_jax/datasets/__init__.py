"""Datasets with exactly known concepts that need no download.

- `glyphs` draws the characters of the DejaVu faces, with concepts from the Unicode database.
- `digits` loads the handwritten digits of scikit-learn.
- `python_source` reads the tokens of installed packages, with concepts from Python's parsers.
- `planted` draws activations and concepts whose population similarities are known in closed form;
  `planted_similarity` computes these.
- `split_groups` splits the samples of any dataset by group.
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
