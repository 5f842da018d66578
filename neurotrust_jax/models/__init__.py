"""Small Flax networks, their training, and the capture of any layer's activations.

``MLP`` and ``CNN`` are networks whose submodules are the layers one would label; ``train``,
``predict`` and ``accuracy`` fit and check them; ``capture`` and ``layer_paths`` read the
activations of any layer of any Flax model (NNX or Linen), without changing it. Nothing here knows
about the statistics of this package: an activation matrix [n, U] is all that passes between them.
"""

from .capture import capture as capture
from .capture import layer_paths as layer_paths
from .networks import CNN as CNN
from .networks import MLP as MLP
from .training import History as History
from .training import accuracy as accuracy
from .training import predict as predict
from .training import train as train

__all__ = ["CNN", "MLP", "History", "accuracy", "capture", "layer_paths", "predict", "train"]
