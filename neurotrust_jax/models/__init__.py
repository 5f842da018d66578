"""Small Flax networks, their training, and the activations of any layer of a Flax model.

- ``capture`` returns the activations of a layer of any Flax model, NNX or Linen, without changing
  the model, and ``layer_paths`` lists the layers.
- ``MLP`` and ``CNN`` are classifiers; ``train``, ``predict`` and ``accuracy`` work with any model
  that returns logits.
- ``Transformer`` is a language model, trained by ``train_language_model`` and scored by
  ``evaluate`` against ``ngram_bits``. ``token_activations`` are its activations on every token.
- ``SparseAutoencoder``, trained by ``train_autoencoder``, gives ``sparse_features`` of a layer.
- ``cached_model`` stores a trained model on disk, under a ``fingerprint`` of data and settings.

The package does not depend on the statistics: they take an activation matrix [n, U] of any origin.
"""

from .._runtime.checkpoint import fingerprint as fingerprint
from .activations import capture as capture
from .activations import layer_paths as layer_paths
from .autoencoder import SparseAutoencoder as SparseAutoencoder
from .autoencoder import sparse_features as sparse_features
from .autoencoder_training import AutoencoderHistory as AutoencoderHistory
from .autoencoder_training import train_autoencoder as train_autoencoder
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
