"""Defaults that the help of a command shows, which must not wait for JAX."""

__all__ = ["DEFAULT_MIN_POSITIVES"]

DEFAULT_MIN_POSITIVES = 10  # sampling units in which a concept must be present to be judged
