"""The parts of `probing_size.py`."""
