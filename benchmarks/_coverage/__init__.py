"""The parts of `coverage.py`."""
