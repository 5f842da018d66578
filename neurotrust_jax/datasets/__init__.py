"""Datasets with exactly known concepts that need no download.

- `glyphs` draws the characters of the DejaVu faces, with concepts from the Unicode database.
- `digits` loads the handwritten digits of scikit-learn.
- `python_source` reads the tokens of installed packages, with concepts from Python's parsers.
- `planted` draws activations and concepts whose population similarities are known in closed form;
  `planted_similarity` computes these.
- `split_groups` splits the samples of any dataset by group.
"""

from .digit_images import digits as digits
from .glyph_images import glyphs as glyphs
from .images import LabelledImages as LabelledImages
from .images import split_groups as split_groups
from .planted_worlds import Planted as Planted
from .planted_worlds import planted as planted
from .planted_worlds import planted_similarity as planted_similarity
from .python_tokens import LabelledTokens as LabelledTokens
from .python_tokens import python_source as python_source
