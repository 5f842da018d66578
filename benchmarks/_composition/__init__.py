"""The parts of `composition.py`."""
