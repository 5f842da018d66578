"""The parts of `faithfulness.py`."""
