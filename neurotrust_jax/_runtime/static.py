"""The mark of fields that are not arrays, in the dataclasses that JAX passes through."""

from types import MappingProxyType

__all__ = ["STATIC"]

STATIC = MappingProxyType({"static": True})
"""``field(metadata=STATIC)``: part of the structure of a pytree, a constant where it is traced."""
