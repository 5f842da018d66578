"""``python -m neurotrust_jax`` is the command ``neurotrust``."""

from .cli import main

main()
