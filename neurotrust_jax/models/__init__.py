"""Small Flax networks, their training, and the capture of any layer's activations.

``MLP`` and ``CNN`` are networks whose submodules are the layers one would label; ``train``,
``predict`` and ``accuracy`` fit and check them; ``capture`` and ``layer_paths`` read the
activations of any layer of any Flax model (NNX or Linen), without changing it. ``Transformer`` is a
language model, whose ``token_activations`` are those of every token of many texts, and
``SparseAutoencoder`` finds sparse features in them; ``cached_model`` keeps what was trained.
Nothing here knows about the statistics of this package: an activation matrix [n, U] is all that
passes between them.
"""

from .._runtime.checkpoint import fingerprint as fingerprint
from .autoencoder import AutoencoderHistory as AutoencoderHistory
from .autoencoder import SparseAutoencoder as SparseAutoencoder
from .autoencoder import sparse_features as sparse_features
from .autoencoder import train_autoencoder as train_autoencoder
from .capture import capture as capture
from .capture import layer_paths as layer_paths
from .checkpoints import cached_model as cached_model
from .language import LanguageHistory as LanguageHistory
from .language import evaluate as evaluate
from .language import ngram_bits as ngram_bits
from .language import train_language_model as train_language_model
from .networks import CNN as CNN
from .networks import MLP as MLP
from .training import History as History
from .training import accuracy as accuracy
from .training import predict as predict
from .training import train as train
from .transformer import Transformer as Transformer
from .transformer import token_activations as token_activations
from .transformer import windows as windows

__all__ = [
    "CNN",
    "MLP",
    "AutoencoderHistory",
    "History",
    "LanguageHistory",
    "SparseAutoencoder",
    "Transformer",
    "accuracy",
    "cached_model",
    "capture",
    "evaluate",
    "fingerprint",
    "layer_paths",
    "ngram_bits",
    "predict",
    "sparse_features",
    "token_activations",
    "train",
    "train_autoencoder",
    "train_language_model",
    "windows",
]
