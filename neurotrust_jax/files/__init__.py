"""Arrays, names, samples and labels from the files of other programs.

A file that can not be used ends in a :class:`FileError`, one line that names the file and the
remedy. To read another format, describe it by a :class:`FileFormat` and pass that to
:func:`register_format`.
"""

from .._runtime.text import FileError as FileError
from .arrays import FORMATS as FORMATS
from .arrays import read_array as read_array
from .arrays import read_arrays as read_arrays
from .arrays import register_format as register_format
from .examples import read_examples as read_examples
from .formats import FileFormat as FileFormat
from .label_formats import Claim as Claim
from .labels import read_labels as read_labels
from .names import read_hierarchy as read_hierarchy
from .names import read_names as read_names
