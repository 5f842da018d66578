"""Where what takes long to make is kept."""

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """The folder that ``NEUROTRUST_CACHE`` names, else ``~/.cache/neurotrust_jax``."""
    return Path(os.environ.get("NEUROTRUST_CACHE", "~/.cache/neurotrust_jax")).expanduser()
