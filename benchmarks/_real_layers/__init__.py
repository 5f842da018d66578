"""The parts of `real_layers.py`."""
