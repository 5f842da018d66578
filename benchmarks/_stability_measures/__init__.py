"""The parts of `stability_measures.py`."""
